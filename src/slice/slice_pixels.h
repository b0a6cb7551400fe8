/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Model images at the detector's own, curved pixel positions.  Layer: slice.
 * doc/math.md section 8.
 *
 *     K_kp = phi_k g_p W(R_k^T q_p)                                                  (V8)
 */
#ifndef SPI_SLICE_SLICE_PIXELS_H
#define SPI_SLICE_SLICE_PIXELS_H

#include "nufft/nufft.h"
#include "ring/pixel_list.h"

/** out[n][n_pixels] = (V8), 0 at pixels that do not
 * take part.  fluence: [n] or NULL (1). */
SPI_MUSTUSE spi_err spi_slice_pixels(const struct spi_pixel_list *l, int64_t n,
                                     int64_t n_pixels, const double (*quat)[4],
                                     const float *fluence, const spi_nufft *plan,
                                     const spi_packed *model, float *out);

#endif
