/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A look at some of the images before anything is computed.  Layer: mtip.
 *
 * Reads up to 1,000 images, spread evenly over the file in blocks: their mean, whether the
 * origin of q is where the beam is, and the particle's diameter. */
#ifndef SPI_MTIP_PREVIEW_H
#define SPI_MTIP_PREVIEW_H

#include "match/centre.h"
#include "match/diameter.h"

enum { SPI_PREVIEW_CENTRE_LEAST = 250 }; /* images that the centre's measurement needs */

struct spi_preview {
    int64_t n;                     /* images looked at */
    enum spi_image_kind kind;      /* photons also where values are multiples of `gain` */
    double gain;                   /* of struct spi_survey */
    struct spi_centre centre;      /* as the file has it */
    struct spi_moved_centre moved; /* `images` have been corrected by it */
    struct spi_diameter_pixels left_out; /* of the estimate */
    struct spi_diameter_result diameter; /* diameter_A 0: not asked for */
};

/** Told first: the mean of the images [n_pixels], before a centre is corrected. */
typedef spi_err spi_preview_seen(const struct spi_preview *s,
                                 const struct spi_detector *det, const float *mean,
                                 void *user);

/** gain: of struct spi_survey.  seen: may be NULL; its error is that of the preview.
 * correct: where the file is clearly wrong about the beam's centre, all q of `images` are
 * moved (spi_images_move_centre), and what follows is about the centre that the mean image
 * has. diameter: estimate it; SPI_EINVAL, SPI_EFORMAT as spi_diameter_estimate (what was
 * found before is in `s`). */
SPI_MUSTUSE spi_err spi_preview_init(struct spi_preview *s, struct spi_images *images,
                                     double gain, bool correct, bool diameter,
                                     spi_preview_seen *seen, void *user);
/** Release what the struct owns. */
void spi_preview_clear(struct spi_preview *s);

#endif
