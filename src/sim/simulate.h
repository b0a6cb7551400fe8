/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Images of randomly oriented particles, and what experiments make of them.  Layer: sim.
 * doc/math.md (S10)-(S21).
 *
 * Expected photons (or intensity) of image k at pixel p:
 *
 *     I_kp = scale fluence_k geometry_p W_label(k)(R_k^T q_p) + beta_k B_p
 *
 * Orientation, fluence, label, class, background and photons of image k come from streams of
 * their own (seed, purpose, k): an image does not depend on the number of workers or of
 * images. */
#ifndef SPI_SIM_SIMULATE_H
#define SPI_SIM_SIMULATE_H

#include "io/images.h"
#include "sim/junk.h"
#include "sim/model.h"
#include "sim/response.h"

struct spi_simulate_options {
    int64_t n_images;
    uint64_t seed;
    int workers; /* threads, >= 1 */
    /* at most one of the two; neither: noise-free |F|^2 x geometry in electrons^2 */
    double photons;           /* mean number per image in the usable pixels */
    double fluence_ph_um2;    /* incident photons per um^2 */
    bool noise_free;          /* with either: expected photons instead of Poisson numbers */
    double fluence_spread;    /* sigma of ln(fluence); the mean fluence is 1 */
    bool focus;               /* particles anywhere in a Gaussian focus (S12) */
    double view_cone_rad;     /* the beam comes from within this angle of one random
                               * direction of the particle; 0: from everywhere */
    bool pure_noise;          /* the mean of all directions in place of W: rings without any
                               * structure, as a negative control */
    const double *proportion; /* [structures], NULL: equal */

    struct spi_junk_shares junk;
    int n_others;             /* the last so many models are shown by SPI_IS_OTHER only */
    const float *background;  /* [n_pixels] B of sum 1 (sim/background.h); NULL: none */
    double background_ratio;  /* its photons over those of the particles */
    double background_spread; /* sigma of ln(beta); its mean is 1 */
    const struct spi_response *response; /* of the detector; NULL: photons are read */
    const struct spi_detector *told;     /* what the file says of the detector; NULL: the
                                          * truth */
    double told_centre_px[2];            /* the beam is so far from where the file says */
    const struct spi_detector *drift; /* [n_drift] the detector of each part of the images,
                                          * in their order; as `det`, but for the beam's
                                          * centre; NULL: all are of `det` */
    int n_drift;
    const double (*told_drift_px)[2]; /* [n_drift] where the beam is in each, from its
                                          * place in `det` */
    const double (*told_panel_px)[2]; /* [panels] and each panel; NULL: no panel is */
};

struct spi_simulator;

/** `models` [n_models] reach the detector's corners.  All pointers are borrowed until
 * _free. SPI_EINVAL: no usable pixel, no scattering, proportions without a positive sum, or
 * more photons in a pixel than a 32-bit file holds. */
SPI_MUSTUSE spi_err spi_simulator_new(const struct spi_detector *det, int n_models,
                                      struct spi_model *const *models,
                                      const struct spi_simulate_options *opt,
                                      struct spi_simulator **out);
/** Release the object; NULL is allowed. */
void spi_simulator_free(struct spi_simulator *s);

enum spi_image_kind spi_simulator_kind(const struct spi_simulator *s);
/** Photons per electron^2 at fluence 1 and geometry 1 (1 when noise-free without either).
 */
double spi_simulator_scale(const struct spi_simulator *s);
/** Expected sum over the usable pixels of an image, mean over orientations and structures,
 * without background. */
double spi_simulator_mean_sum(const struct spi_simulator *s);
/** No pixel of any image will hold more (0 unless photons are read). */
int64_t spi_simulator_max_photons(const struct spi_simulator *s);

/** Images first .. first+n-1 into pixels[n][n_pixels] and truth (arrays of n, all needed).
 *  Bad pixels are 0 in photons; the orientation of what is not one particle is NaN. */
SPI_MUSTUSE spi_err spi_simulator_images(struct spi_simulator *s, int64_t first, int64_t n,
                                         float *pixels,
                                         const struct spi_image_truth *truth);

/** All images into a new file, computed in blocks while the block before is written: memory
 *  does not depend on their number.  report(ctx, done) (may be NULL) is called after each
 *  block; an error from it ends the work, and the file is removed. */
SPI_MUSTUSE spi_err spi_simulator_write(struct spi_simulator *s, const char *path,
                                        const char *provenance_json,
                                        spi_err (*report)(void *ctx, int64_t done),
                                        void *ctx);

#endif
