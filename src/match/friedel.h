/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where the beam meets the detector, from single images.  Layer: match.  doc/math.md
 * (J13), (J14).
 *
 * An image of one particle is nearly the same on both sides of the beam (Friedel's law),
 * whatever it shows.  What all images share, such as a background of any shape, takes no
 * part: what an image has beyond the mean of its block is compared with the same, inverted
 * about every place of the detector. */
#ifndef SPI_MATCH_FRIEDEL_H
#define SPI_MATCH_FRIEDEL_H

#include <stdbool.h>

#include "io/images.h"

enum { SPI_FRIEDEL_BLOCKS = 20 };

struct spi_friedel_result {
    bool known;        /* one place stands out, with enough pixels on both sides */
    double at[2];      /* it, as spi_detector_flat has places, 1/A */
    double sigma[2];   /* its standard error, from block to block, 1/A */
    double pixel;      /* width of a pixel, 1/A */
    double both;       /* share of the weight that has its mate */
    double stands_out; /* correlation over its noise */
    int n_blocks;      /* of the images, in order; 0: they are too few */
    double block[SPI_FRIEDEL_BLOCKS][2]; /* the place in each, 1/A */
};

typedef struct spi_friedel spi_friedel;

/** mean [n_pixels]: of the images that follow, for the weights.  *out NULL and SPI_OK: the detector is not
 * flat, or its pixels are no grid. SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_friedel_new(const struct spi_detector *det,
                                    enum spi_image_kind kind, const float *mean,
                                    spi_friedel **out);
/** n more images [n][n_pixels] of block 0 ... SPI_FRIEDEL_BLOCKS - 1, block after block.
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_friedel_add(spi_friedel *f, int block, int64_t n,
                                    const float *pixels);
/** What all of them say.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_friedel_find(spi_friedel *f, struct spi_friedel_result *out);
/** Release it; NULL is allowed. */
void spi_friedel_free(spi_friedel *f);

/** Cells a side of the grid that the images are put on. */
int spi_friedel_cells(const spi_friedel *f);
/** (J14): sum over all images and all pairs of cells that lie on both sides of place
 * (j, i) / 2 of the grid, c[i][j], i and j < 2 cells - 1.  A cell and itself are no pair.
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_friedel_sums(spi_friedel *f, double *c);

/** Width of the detector's pixels at places t [n_pixels] (spi_detector_flat): the median of
 * the distance of neighbours in a row; 0: there are none.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_friedel_pixel(const struct spi_detector *det, const double (*t)[2],
                                      double *width);

#endif
