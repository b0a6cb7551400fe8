/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Everything that a run is, from its first generation to its last.  Layer: mtip.
 *
 * Two half sets of the images, each with its replicas: random initialisations at first, the
 * leading one of each half set later.  What lasts is in the tables of mtip/lasting.h. */
#ifndef SPI_MTIP_RUN_H
#define SPI_MTIP_RUN_H

#include "mtip/event.h"
#include "mtip/plan.h"
#include "mtip/replica.h"

enum { SPI_REPLICAS_MAX = 64 };
struct spi_contrast; /* mtip/contrast.h */

/** What one generation came to: a line of metrics.jsonl. */
struct spi_generation_report {
    int generation; /* from 1 */
    enum spi_stage stage;
    int step;              /* within the stage */
    double q_max_invA;     /* of the rings merged */
    double resolution_A;   /* half maps, FSC 0.143; infinite: none, or not phased */
    double resolution05_A; /* half maps, FSC 0.5 */
    double mean_fsc;       /* over the shells up to q_max of the images; or NaN */
    double halves_cc;      /* intensities of the halves at the resolution of init, shell
                            * means removed */
    double mean_cc;        /* the same, mean over all shells up to q_max of the images */
    double score;          /* mean log-likelihood per count, mean of the leading replicas */
    double perplexity, beta;
    double slice_s, match_s, merge_s, phase_s, wall_s;
    double images_per_s; /* matched, both half sets and all replicas */
    int64_t peak_rss_bytes;
};

/** Everything a run is.  The checkpoint saves what lasts (mtip/lasting.h). */
struct spi_run {
    const struct spi_settings *set; /* borrowed */
    struct spi_data *data;          /* borrowed */
    struct spi_graph *graph;        /* borrowed */
    const volatile int *stop;       /* borrowed, or NULL */
    const struct spi_likelihood *like;
    const struct spi_contrast *contrast; /* of the images, borrowed; NULL: not measured */
    double q_max;                        /* 1/A */
    uint64_t seed;

    SPI_RUN_LASTING(SPI_MEMBER, SPI_MEMBER_MANY)
    struct spi_replica replica[2][SPI_REPLICAS_MAX];
    struct spi_half_set half[2];

    struct spi_volume density[2]; /* of the last generation; not saved, like what follows */
    bool look_at_diameter;        /* when the random initialisations agree (extent.h) */
    int diameters_most;           /* so many other diameters may be tried */
    double refined_A;             /* the diameter to begin anew with; 0: go on */
    spi_on_event *on_event;       /* told what happens, or NULL */
    void *event_user;
};

/** Begin a run with random models, N_inits of each half set; all pointers are borrowed.
 *  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_run_init(struct spi_run *r, const struct spi_settings *set,
                                 struct spi_data *data, struct spi_graph *graph,
                                 const volatile int *stop, double q_max, uint64_t seed);
/** Release what the struct owns. */
void spi_run_clear(struct spi_run *r);
/** Add random initialisations until each half has n_replicas. */
SPI_MUSTUSE spi_err spi_run_make_replicas(struct spi_run *r, int n_replicas);

/** Tell what happened, if somebody asked for it. */
void spi_run_tell(const struct spi_run *r, const struct spi_event *e);
/** Whether a replica takes part: in the random initialisations those of this round, later
 * the leading ones. */
bool spi_run_replica_runs(const struct spi_run *r, int which, int replica,
                          enum spi_stage stage);

/** symmetry.c: impose the given point group on each replica of this round. */
SPI_MUSTUSE spi_err spi_run_impose(struct spi_run *r, const struct spi_step *step);
/** symmetry.c: find the point group of the leading replicas, and use it when copies rotated
 *  by it are as alike as the half sets. */
SPI_MUSTUSE spi_err spi_run_find_symmetry(struct spi_run *r, const struct spi_step *step);

/** checkpoint.c: the whole state, atomically; `key` names images, settings and seed. */
SPI_MUSTUSE spi_err spi_run_save(const struct spi_run *r, const char *path,
                                 const char *key);
/** Read what spi_run_save wrote, checked.  SPI_EFORMAT, SPI_EIO. */
SPI_MUSTUSE spi_err spi_run_load(struct spi_run *r, const char *path, const char *key);
/** The diameters of a saved run, before its data are made; first_A: that which it began
 * with. */
SPI_MUSTUSE spi_err spi_run_saved_diameters(const char *path, const char *key,
                                            double first_A, int32_t *n,
                                            double diameter_A[SPI_DIAMETERS_MAX]);

struct spi_phase_options;

/** half_sets.c: phasing as the settings ask for, up to q_max; `recipe` holds its text. */
void spi_run_phase_options(const struct spi_run *r, double q_max, int n_starts,
                           uint64_t seed, char recipe[SPI_TEXT_MAX],
                           struct spi_phase_options *o);
/** half_sets.c: phase the leading models (of the random initialisations now and then only),
 * superpose half 2 on half 1, FSC. */
SPI_MUSTUSE spi_err spi_half_sets_phase(struct spi_run *r, const struct spi_step *step);
/** Fill what `report` says of the half sets; keep the pose of half 2. */
SPI_MUSTUSE spi_err spi_half_sets_compare(struct spi_run *r, const struct spi_step *step,
                                          struct spi_generation_report *report);
/** Best rotation R between the intensities of two replicas, their correlation `cc` in
 *  q_min..q_max (shell means removed), and the mean over all shells up to q_end of the
 *  correlation of each at that rotation.  initial non-NULL: local refinement of it. */
SPI_MUSTUSE spi_err spi_half_sets_agree(const struct spi_replica *a,
                                        const struct spi_replica *b, double diameter_A,
                                        double q_min, double q_max, double q_end,
                                        const double *initial, double R[9], double *cc,
                                        double *mean_cc);

#endif
