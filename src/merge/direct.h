/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The product H* w H applied point by point, as published: W at every pixel of every image
 * (type 2), times its weight, spread again (type 1).  Layer: merge.  doc/math.md (V11).
 *
 * The rival and the twin of the Toeplitz product, in float on the fine grids of
 * nufft/nufft.h, and in double with the general transform.  Both work on a block of images
 * and add to a sum; positions and weights are made again each time, so that memory does not
 * grow with the number of images. */
#ifndef SPI_MERGE_DIRECT_H
#define SPI_MERGE_DIRECT_H

#include <complex.h>

#include "merge/merge_pixels.h"

/** grid2 (two components, the first is used) += H* w W of n images; prepared: the fine grid
 *  of A, one component.  quat, fluence: as for spi_merge_pixels. */
SPI_MUSTUSE spi_err spi_direct_add(const struct spi_pixel_list *l, int64_t n,
                                   const double (*quat)[4], const float *fluence,
                                   const spi_nufft *plan, const float *prepared,
                                   float *grid2);

/** What the general transform works on: m^3 modes of spacing dx. */
struct spi_modes {
    int m;
    double dx, tol;
};

/** sum[m^3] += type 1 of w b + i w over n images: the even part holds H* w b as its real
 *  part and the Toeplitz kernel as its imaginary part.  *weight += sum of w, *norm2 += sum
 * of w b^2. */
SPI_MUSTUSE spi_err spi_direct_merge_f64(const struct spi_pixel_list *l, int64_t n,
                                         int64_t n_pixels, const float *images,
                                         const double (*quat)[4], const float *fluence,
                                         const struct spi_modes *modes, double complex *sum,
                                         double *weight, double *norm2);
/** sum[m^3] += H* w H A of n images. */
SPI_MUSTUSE spi_err spi_direct_add_f64(const struct spi_pixel_list *l, int64_t n,
                                       const double (*quat)[4], const float *fluence,
                                       const struct spi_modes *modes,
                                       const double complex *A, double complex *sum);

#endif
