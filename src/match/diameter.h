/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The particle's largest diameter D from the images alone.  Layer: match.
 * doc/math.md (J1)-(J9).
 *
 * The mean ring profile S(q) of images of random orientation is the transform of the
 * distribution p(r) of distances in the particle, which ends at D.  For each D a smooth
 * p(r) on 0 ... D is fitted (indirect transform); the Bayesian evidence says which D the
 * data want.  No orientation, no model and no beam-stop filling are needed.
 *
 * Use: _new, _look at the images, _add for blocks of images (500 to 1,000 in all are
 * enough), _estimate, _free.
 */
#ifndef SPI_MATCH_DIAMETER_H
#define SPI_MATCH_DIAMETER_H

#include <stdbool.h>

#include "io/images.h"

enum { SPI_DIAMETER_LEAST_IMAGES = 100 };

typedef struct spi_diameter spi_diameter;

/** Sums over rings of one pixel's width.  `det` is not kept.  SPI_EINVAL: fewer than 16
 *  rings of usable pixels. */
SPI_MUSTUSE spi_err spi_diameter_new(const struct spi_detector *det,
                                     enum spi_image_kind kind, spi_diameter **out);
/** Release the object; NULL is allowed. */
void spi_diameter_free(spi_diameter *d);

/** A first look at n images, all of which are added afterwards: finds pixels that are zero
 *  in every image though others of the same |q| are not (a gap, dead pixels that no mask
 *  marks), and pixels that are full (J7).  They take no part. */
SPI_MUSTUSE spi_err spi_diameter_look(spi_diameter *d, const struct spi_detector *det,
                                      int64_t n, const float *pixels);

/** What takes no part. */
struct spi_diameter_pixels {
    int64_t zero, first_zero; /* pixels; the first of them */
    int64_t saturated;        /* pixels */
    double limit;             /* the value at which pixels are full; 0: none is */
    int64_t images;           /* that hold more than one particle, it seems (J8) */
    int64_t odd; /* that look so, whether they are left out or too many for that */
};
/** The pixels and images that took no part so far. */
struct spi_diameter_pixels spi_diameter_left_out(const spi_diameter *d);

/** Add n images, pixels[n][n_pixels] as spi_images_read gives them (`det` as in _new).
 *  Images without any count are passed over.  Memory: one number a ring and image. */
SPI_MUSTUSE spi_err spi_diameter_add(spi_diameter *d, const struct spi_detector *det,
                                     int64_t n, const float *pixels);

struct spi_diameter_result {
    double diameter_A;  /* the value to use: a little too large rather than too small */
    double sigma_A;     /* its standard error, calibration included */
    bool from_speckles; /* by (J9): small |q| are missing or full */
    int64_t n_images;   /* that had counts */
    /* The curves behind it, all owned: */
    int n_q; /* ring profile: measured, its error, fitted */
    double *q_invA, *profile, *profile_error, *profile_fit;
    int n_r; /* p(r) at the most probable D, largest value 1 */
    double *r_A, *p;
    int n_trials; /* trial diameters and their probability (sums to 1) */
    double *trial_A, *probability;
};

/** SPI_EINVAL: fewer than SPI_DIAMETER_LEAST_IMAGES images with counts; SPI_EFORMAT: the
 *  images do not tell (no end of p(r), or an error above 30 %).  All messages name likely
 *  causes and ask for --diameter.  A second or less.  Images that are left out (J8) leave
 *  `d`. */
SPI_MUSTUSE spi_err spi_diameter_estimate(spi_diameter *d, struct spi_diameter_result *out);
/** Release what the struct owns. */
void spi_diameter_result_clear(struct spi_diameter_result *r);

#endif
