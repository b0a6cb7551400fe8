/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Colours that colour-blind readers can tell apart.  Layer: plot. */
#ifndef SPI_PLOT_COLOUR_H
#define SPI_PLOT_COLOUR_H

#include <stdint.h>

enum { SPI_COLOURS = 256, SPI_PALETTE = 7 };

/** Colour of what is not a number: a grey that the scale does not contain. */
#define SPI_COLOUR_NAN 0xb4b4b4u

/** 0xRRGGBB for values 0 ... 1 in equal steps, dark violet to light yellow.  Lightness of
 *  OKLab (Ottosson 2020) rises in equal steps, so the scale is also true in print and for
 *  every kind of colour blindness. */
struct spi_colour_map {
    uint32_t rgb[SPI_COLOURS];
};
/** Fill the table. */
void spi_colour_map_init(struct spi_colour_map *m);

/** t in 0 ... 1 (clamped); NaN gives SPI_COLOUR_NAN. */
uint32_t spi_colour(const struct spi_colour_map *m, double t);

/** Colour of curve i: Okabe and Ito (2008), the yellow left out. */
uint32_t spi_palette(int i);

#endif
