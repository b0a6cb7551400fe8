/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * orientations.h5: what matching found for each image.  Layer: io.  doc/formats.md. */
#ifndef SPI_IO_ORIENT_H
#define SPI_IO_ORIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/images.h"

/** All arrays owned; optional ones may be NULL.  An image without an orientation has a
 *  quaternion of four NaN, half 0, score, margin, entropy and misfit NaN and fluence 0. */
struct spi_orientations {
    int64_t n;
    double *quat;    /* [n][4] w x y z, molecule -> laboratory, frame of the density map */
    float *score;    /* [n] log-likelihood of the best orientation (optional) */
    float *margin;   /* [n] score minus that of the next distinct direction (optional) */
    float *fluence;  /* [n] relative to the mean (optional) */
    uint8_t *half;   /* [n] 1 or 2; 0: no orientation (optional) */
    float *entropy;  /* [n] of the weights of its orientations, nats (optional) */
    float *misfit;   /* [n] share of its structure that the model does not explain
                     * (optional) */
    float *particle; /* [n] how probable it is that the image shows the particle, as far as
                      * the map says (optional) */
    uint8_t *aside;  /* [n] why it has none: 1 no signal, 2 a copy, 3 no structure along its
                     * rings, 4 longer than the particle, 5 not explained by the map; 0: it
                     * has (optional) */
    struct spi_moved_centre moved; /* the images were matched about this centre */
    struct spi_places places;      /* then its panels were placed here, owned */
    double (
        *drift)[2]; /* [n] then its beam was followed: spi_images_set_drift (optional) */
};

/** Whether image k has an orientation. */
bool spi_orientations_has(const struct spi_orientations *o, int64_t k);
/** How many images have one. */
int64_t spi_orientations_count(const struct spi_orientations *o);
/** Image k has none. */
void spi_orientations_none(struct spi_orientations *o, int64_t k);

/** Datasets /orientations (n,4) float64, /score, /margin, /fluence, /entropy,
 *  /misfit, /particle, /half, /aside; root attributes
 *  `convention` (text), `provenance` (JSON) and, where the centre of the images was moved,
 * `centre_shift_x_invA`, `centre_shift_y_invA`, `centre_shift_x_px`, `centre_shift_y_px`
 * and `centre_positions_sha256`; where panels were placed, /panel_shift (panels,2) float64
 * and the attributes `panel_pixel_invA`, `distance_stretch` and `panel_positions_sha256`.
 * Where a beam that drifts was followed, /centre_drift (n,2) float64.  Atomic. */
SPI_MUSTUSE spi_err spi_orientations_write(const char *path,
                                           const struct spi_orientations *o,
                                           const char *provenance_json);
/** Also reads `orientations` of shape (n,1,4) and quaternion lists of an image file. */
SPI_MUSTUSE spi_err spi_orientations_read(const char *path, struct spi_orientations *o);
/** Release what the struct owns. */
void spi_orientations_clear(struct spi_orientations *o);

#endif
