/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Images at given orientations -> the least squares of merging, pixel by pixel.  Layer:
 * merge. doc/math.md section 8.
 *
 *     b_kp = K_kp / (phi_k g_p),   w_kp = kappa_p phi_k g_p,   kappa_p = |q_p| / q_max (V6)
 *
 * g_p: geometry factor of the pixel (solid angle x polarisation).  Pixels that are not in
 * the list (ring/pixel_list.h) have weight zero. */
#ifndef SPI_MERGE_MERGE_PIXELS_H
#define SPI_MERGE_MERGE_PIXELS_H

#include "nufft/nufft.h"
#include "ring/pixel_list.h"

/** value[l->n] = (w b, w) of one image of counts; adds to the sums of w and w b^2.  A pixel
 *  without weight, or an image of fluence 0, gives zeros. */
void spi_merge_pixels_weigh(const struct spi_pixel_list *l, const float *image,
                            float fluence, float (*value)[2], double *weight,
                            double *norm2);

/** Spread n images into a two-component fine grid: components w b = kappa K and w.
 *  points: spi_points_new of l->q, for the plan of the grid;
 *  images: [n][n_pixels] counts; quat: [n][4] molecule -> laboratory; fluence: [n] or NULL
 * (1); an image whose fluence is 0 weighs nothing. *weight += sum of w, *norm2 += sum of w
 * b^2.  threads: of its loops (base/parallel.h; the plan has its own); the sums do not depend
 * on it. */
SPI_MUSTUSE spi_err spi_merge_pixels(const struct spi_pixel_list *l,
                                     const spi_points *points, int64_t n, int64_t n_pixels,
                                     const float *images, const double (*quat)[4],
                                     const float *fluence, int threads, float *grid2,
                                     double *weight, double *norm2);

#endif
