/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The complete nonuniform fast Fourier transform: types 1 and 2, two and three dimensions,
 * single and double precision.  Layer: nufft.  doc/math.md (U1).
 *
 *     type 1:  f[k] = sum_j c[j] exp(i s k.x_j)
 *     type 2:  c[j] = sum_k f[k] exp(i s k.x_j)
 *
 * with s = +1 or -1, k.x = k_x x + k_y y (+ k_z z), and on an axis of m modes
 * k = -floor(m/2) ... ceil(m/2) - 1.  Nothing is scaled: type 1 with s is the exact adjoint
 * of type 2 with -s.  One plan serves both types and both signs at the same points.
 *
 * Arrays: f is C order [z][y][x] ([y][x] in two dimensions), x fastest, mode k at index
 * k + floor(m/2), or at k mod m if fft_order; transform t of several begins at
 * f + t * (number of modes) and c + t * (number of points).  Points: radians, any finite
 * value, folded with period 2 pi.
 *
 * Error, in the l2 norm, relative to the result or (where values cancel) to what random
 * values would give, sqrt(modes) |c| for type 1 and sqrt(points) |f| for type 2;
 * doc/math.md (U8): at most 2 tol + 16 u for points here and there, at most 4 tol + 16 u if
 * all points sit at the same place between fine-grid points, u = 2^-24 or 2^-53.
 *
 * The result does not depend on the number of threads, to the last bit.  A plan is used by
 * one thread at a time; different plans are independent. */
#ifndef SPI_NUFFT_GENERAL_H
#define SPI_NUFFT_GENERAL_H

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct spi_nu_spec {
    int dim;        /* 2 or 3 */
    int modes[3];   /* per axis x, y (, z): 1 ... 2^20 */
    double tol;     /* single: 1e-6 ... 1e-1; double: 1e-13 ... 1e-1 */
    bool fft_order; /* modes 0, 1, ..., -1 instead of centred */
    int n_threads;  /* 1 ... 256 */
};

typedef struct spi_nuplan_f32 spi_nuplan_f32;
typedef struct spi_nuplan_f64 spi_nuplan_f64;

/** A plan without points.  SPI_EINVAL if the specification is out of range; SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_nuplan_new_f32(const struct spi_nu_spec *spec,
                                       spi_nuplan_f32 **out);
/** As spi_nuplan_new_f32, in double precision. */
SPI_MUSTUSE spi_err spi_nuplan_new_f64(const struct spi_nu_spec *spec,
                                       spi_nuplan_f64 **out);

/** Set (or replace) the points: they are sorted into the plan, the arrays are not needed
 * afterwards.  n >= 0, below 2^32; z is not read in two dimensions.  SPI_EINVAL names the
 * first point that is not finite; the plan then has no points.
 * Memory: 16 (32) bytes a point, and a fine grid of 1.25^dim to 2^dim complex numbers a
 * mode, once, whatever the number of transforms. */
SPI_MUSTUSE spi_err spi_nuplan_points_f32(spi_nuplan_f32 *plan, int64_t n, const float *x,
                                          const float *y, const float *z);
/** As spi_nuplan_points_f32, in double precision. */
SPI_MUSTUSE spi_err spi_nuplan_points_f64(spi_nuplan_f64 *plan, int64_t n, const double *x,
                                          const double *y, const double *z);

/** n_transforms transforms of type 1, sign s: c (n_transforms x points) -> f. */
SPI_MUSTUSE spi_err spi_nuplan_type1_f32(spi_nuplan_f32 *plan, int s, int n_transforms,
                                         const float complex *c, float complex *f);
/** As spi_nuplan_type1_f32, in double precision. */
SPI_MUSTUSE spi_err spi_nuplan_type1_f64(spi_nuplan_f64 *plan, int s, int n_transforms,
                                         const double complex *c, double complex *f);

/** n_transforms transforms of type 2, sign s: f (n_transforms x modes) -> c. */
SPI_MUSTUSE spi_err spi_nuplan_type2_f32(spi_nuplan_f32 *plan, int s, int n_transforms,
                                         const float complex *f, float complex *c);
/** As spi_nuplan_type2_f32, in double precision. */
SPI_MUSTUSE spi_err spi_nuplan_type2_f64(spi_nuplan_f64 *plan, int s, int n_transforms,
                                         const double complex *f, double complex *c);

/** What the plan chose: window width, fine grid per axis, sigma (for reports). */
struct spi_nu_choice {
    int width;
    int fine[3];
    double sigma;
};
/** What this plan chose. */
struct spi_nu_choice spi_nuplan_choice_f32(const spi_nuplan_f32 *plan);
/** As spi_nuplan_choice_f32, in double precision. */
struct spi_nu_choice spi_nuplan_choice_f64(const spi_nuplan_f64 *plan);

/** Release the object; NULL is allowed. */
void spi_nuplan_free_f32(spi_nuplan_f32 *plan);
/** Release the object; NULL is allowed. */
void spi_nuplan_free_f64(spi_nuplan_f64 *plan);

/** The sums themselves, in double: sum over points times modes. */
void spi_nu_type1_ref(const struct spi_nu_spec *spec, int s, int64_t n, const double *x,
                      const double *y, const double *z, const double complex *c,
                      double complex *f);
/** The sums of type 2, in double: sum over modes. */
void spi_nu_type2_ref(const struct spi_nu_spec *spec, int s, int64_t n, const double *x,
                      const double *y, const double *z, const double complex *f,
                      double complex *c);

#endif
