/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One replica: a model and the weights that its images gave it.  A half set has many of
 * them during the initialisation and one afterwards.  Layer: mtip.
 *
 * A replica owns the model (autocorrelation A) and the image likelihoods computed against
 * it: all of that lasts.  What one generation needs is its work: made by _submit, gone
 * after _settle.  The four stages of a generation are submitted as tasks; two replicas
 * share nothing, so the half sets and the random initialisations run side by side
 * (mtip/pass.h).
 *
 *     slice   A -> templates of all view directions        (blocks of directions)
 *     match   images x templates -> posterior              (blocks of images)
 *     merge   posterior, images -> normal equations -> A   (blocks of directions)
 *     phase   A -> density                                 (one task a half set)
 *
 * generation.c submits the first three, replica_tasks.c is what they do; half_sets.c
 * phases. */
#ifndef SPI_MTIP_REPLICA_H
#define SPI_MTIP_REPLICA_H

#include "math/volume.h"
#include "merge/views.h"
#include "mtip/data.h"
#include "mtip/lasting.h"
#include "mtip/resolution_level.h"
#include "slice/templates.h"

/** What is known of each image of a half set (index: place in the half). */
struct spi_half_set {
    int64_t n_images;
    int64_t *image; /* [n_images] index in the file, owned */
    int keep;       /* candidates per image */
    SPI_HALF_SET_LASTING(SPI_MEMBER, SPI_MEMBER_EACH)
};

struct spi_replica {
    const struct spi_data *data;
    struct spi_half_set *half; /* borrowed */
    uint64_t seed;
    int index;           /* number of the initialisation, for its random stream */
    struct spi_volume A; /* the model */
    float *ring_scale;   /* [R], owned: of the random initialisation; NULL later */
    SPI_REPLICA_LASTING(SPI_MEMBER, SPI_MEMBER_MANY)
    int n_group;        /* elements of the point group */
    double (*group)[9]; /* [n_group], rotated by the axes; owned */

    struct spi_generation_work *work; /* of the generation that runs; NULL between two */
};

/** Take the images of half set `which` (0, 1), with `keep` candidates each.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_half_set_init(struct spi_half_set *h, const struct spi_data *d,
                                      int which, int keep);
/** Release what the struct owns. */
void spi_half_set_clear(struct spi_half_set *h);

/** A replica with a random model: the autocorrelation of a dozen random blobs, its rings
 * scaled to those of the data.  Stream (seed, SPI_RNG_INIT_MODEL, index). */
SPI_MUSTUSE spi_err spi_replica_init(struct spi_replica *c, const struct spi_data *d,
                                     struct spi_half_set *half,
                                     const struct spi_resolution_level *level,
                                     uint64_t seed, int index);
/** A replica whose model is a copy of A, in the scale of the data, and whose images weigh as
 * the likelihood says: beta is 1.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_replica_given(struct spi_replica *c, const struct spi_data *d,
                                      struct spi_half_set *half,
                                      const struct spi_volume *A);
/** Release what the struct owns. */
void spi_replica_clear(struct spi_replica *c);
/** From now on the particle has this point group: images spread over its elements when
 * merged, and all directions means all of its asymmetric unit.  axes: from the standard
 * frame (math/symmetry.h) to that of the model; NULL: the same. */
SPI_MUSTUSE spi_err spi_replica_symmetry(struct spi_replica *c, const char *group,
                                         const double axes[9]);

/** How a generation treats the images. */
struct spi_generation {
    const struct spi_resolution_level *level;
    double perplexity; /* target; a fraction of all orientations has been multiplied out */
    bool beta_stays;   /* beta is that of the replica, and not found from the perplexity */
    int64_t n_batch;
    const int64_t *batch;     /* [n_batch] places in the half */
    bool local;               /* only directions near the candidates of each image */
    double radius;            /* local: rad around each candidate */
    int best_of;              /* local: use this many candidates of each image */
    bool keep_candidates;     /* write the new candidates to the half */
    bool store_best;          /* write best orientation and fluence to the half */
    bool only_candidates;     /* nothing but candidates is wanted: no weights, no score */
    const float *ring_signal; /* [R matched] (Q27): how much of the model's structure is
                               * signal; NULL: all */
    bool merge; /* also merge (false: only match: held-out scores, a model that is
                           * given) */
    /* may be NULL: told how many images of the batch are matched, after a wait now and then;
     * for one replica by itself */
    void (*progress)(int64_t done, int64_t total, void *user);
    void *user;
};

/** generation.c: make what the tasks of one generation name.  Call _settle in any case,
 * after spi_graph_wait. */
SPI_MUSTUSE spi_err spi_replica_begin(struct spi_replica *c, struct spi_graph *g,
                                      const struct spi_generation *gen, int block_images);
/** Submit the tasks that make the templates: the first stage. */
SPI_MUSTUSE spi_err spi_replica_slice(struct spi_replica *c);
/** Submit the tasks that match the batch with them. */
SPI_MUSTUSE spi_err spi_replica_match(struct spi_replica *c);
/** Submit the tasks that merge the batch and solve for the next model (gen->merge). */
SPI_MUSTUSE spi_err spi_replica_merge(struct spi_replica *c);
/** Release the work of the generation.  Call after the wait; done: the wait reported no
 * failure, so the replica has its score and its new model. */
void spi_replica_settle(struct spi_replica *c, bool done);

#endif
