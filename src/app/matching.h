/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Matching all images of a file against all orientations of a model, as tasks.  Layer: app.
 */
#ifndef SPI_APP_MATCHING_H
#define SPI_APP_MATCHING_H

#include "io/images.h"
#include "io/orient.h"
#include "likelihood/likelihood.h"
#include "match/brute.h"
#include "nufft/nufft.h"
#include "ring/ring.h"
#include "task/graph.h"

struct spi_matching_spec {
    struct spi_images *images;  /* borrowed */
    const struct spi_volume *A; /* the model, borrowed */
    double diameter_A, q_min, q_max;
    double finer;        /* steps per Shannon cell */
    double oversampling; /* rings per Shannon cell */
    double nufft_tol;
    const struct spi_likelihood *like;
    double signal_min;       /* images below it are blank (algorithm.signal_min) */
    double init_qD;          /* coarse to fine: |q| times diameter of the first level */
    struct spi_graph *graph; /* borrowed */
    void (*progress)(int64_t done, int64_t total, void *user); /* images; may be NULL */
    void *user;
};

/** What both methods start from; images and model are brought to a common scale, so that
 *  tiny numbers do no harm and fluences are near 1. */
struct spi_matching {
    struct spi_matching_spec spec;
    const struct spi_detector *det; /* borrowed */
    int64_t n_images;
    struct spi_rings rings;
    struct spi_ring_map map;
    struct spi_band band;
    struct spi_views views;
    double scale;   /* image value -> counts */
    double counts;  /* of the mean image on the rings */
    float *inv_var; /* [rings.R] where the likelihood is weighted, else NULL; owned */
    struct spi_volume model; /* A scaled to the mean image, owned */
    spi_nufft *plan;
    float *grid; /* prepared */
};

/** Reads up to 1,000 images for the scale and the variances.  SPI_EINVAL: the model does
 * not reach q_max, or is not positive on any ring; SPI_EFORMAT: images all zero. */
SPI_MUSTUSE spi_err spi_matching_init(struct spi_matching *m,
                                      const struct spi_matching_spec *spec);
/** Release what the struct owns. */
void spi_matching_clear(struct spi_matching *m);

/** Every image against all views.  o: quat, score, margin, fluence (mean 1) of all images
 *  that hold signal (E5).
 *  The result does not depend on the number of workers. */
SPI_MUSTUSE spi_err spi_matching_rings(const struct spi_matching *m,
                                       struct spi_orientations *o);
/** The same from coarse to fine (spi_search); memory for images: about `bytes`. */
SPI_MUSTUSE spi_err spi_matching_levels(const struct spi_matching *m, double bytes,
                                        struct spi_orientations *o);
/** The same pixel by pixel; memory for images: about `bytes`, then the model images are
 * made again for the next images. */
SPI_MUSTUSE spi_err spi_matching_brute(const struct spi_matching *m, double bytes,
                                       struct spi_orientations *o);

/** Refine the orientations that any of these found, pixel by pixel (match/refine.h):
 * rotation, score and fluence are replaced.  Only for a likelihood that works on rings. */
SPI_MUSTUSE spi_err spi_matching_refine(const struct spi_matching *m,
                                        struct spi_orientations *o);

#endif
