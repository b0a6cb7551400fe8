/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What is done to each image when it is read: values that are no measurement are replaced,
 * what electronics read becomes photons.  Layer: io.  doc/math.md (X1) to (X3). */
#ifndef SPI_IO_REPAIR_H
#define SPI_IO_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/electronics.h"

enum { SPI_BAD_VALUES = 16 };

/** How values become what is read.  A value that is no measurement takes what the pixel
 * holds on average, times the brightness of the image. */
struct spi_repair {
    int64_t n_pixels;
    bool analogue; /* values below 0 are measurements */
    int n_bad;
    float bad[SPI_BAD_VALUES];          /* values that are no measurement */
    float limit;                        /* nor are this and all above; INFINITY: none */
    struct spi_electronics electronics; /* gain 0: values stay as they are */
    float *mean; /* [n_pixels], owned: of the valid values, in the unit that is read */
};

/** With a mean of zeros.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_repair_new(int64_t n_pixels, struct spi_repair **out);
/** Release; NULL is allowed. */
void spi_repair_free(struct spi_repair *r);

/** Does what is read count photons?  It does where electronics are known whose noise is
 * small. */
bool spi_repair_makes_photons(const struct spi_repair *r);
/** Is this value of a pixel no measurement? */
bool spi_repair_is_wrong(const struct spi_repair *r, float value);
/** One image, in place; pixels that are bad become 0.  Returns how many usable pixels were
 * replaced; n_pixels + 1: so many of them lack a measurement (more than 5 %) that the whole
 * image becomes 0, as an image without signal. */
int64_t spi_repair_image(const struct spi_repair *r, const uint8_t *bad, float *image);

#endif
