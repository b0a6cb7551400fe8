/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Small loops of the general nonuniform transform.  Layer: kernel. */
#ifndef SPI_KERNEL_NUGRID_H
#define SPI_KERNEL_NUGRID_H

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

/* One axis of a fine grid of n points, cut into bricks of 2^shift points. */
struct spi_nu_axis {
    int n, shift;
    uint32_t stride; /* of the brick's number on this axis in the number of a brick */
};

/** x (radians) folded to u = n x / (2 pi) mod n, 0 <= u < n; its brick b = floor(u) >>
 * shift; v = u - b 2^shift (f32: in units of 2^-SPI_NU_FRACTION, rounded down; shift <= 5);
 * brick[i] += b stride.  False if some x is not finite (v and brick are then of no use).
 * The error of u is 3 u_64 n, and for |x| > 2 pi 2^22 that of reducing x by a rounded 2 pi:
 * 2^-53 |x| / (2 pi) n. */
bool spi_nu_locate_f32(const struct spi_nu_axis *axis, int n, const float *x, int32_t *v,
                       uint32_t *brick);
/** As spi_nu_locate_f32, in double precision. */
bool spi_nu_locate_f64(const struct spi_nu_axis *axis, int n, const double *x, double *v,
                       uint32_t *brick);

/** to[i] += from[i]. */
void spi_nu_add_f32(int n, const float complex *from, float complex *to);
/** As spi_nu_add_f32, in double precision. */
void spi_nu_add_f64(int n, const double complex *from, double complex *to);

/** to[i] = factor d[i] from[i]. */
void spi_nu_scale_f32(int n, float factor, const float *d, const float complex *from,
                      float complex *to);
/** As spi_nu_scale_f32, in double precision. */
void spi_nu_scale_f64(int n, double factor, const double *d, const double complex *from,
                      double complex *to);

#endif
