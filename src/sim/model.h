/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The transform of a structure.  Layer: sim.  doc/math.md (S1), (S6)-(S9).
 *
 *     F(q) = sum_j occ_j f_j(|q|) exp(-2 pi i q.x_j),   W(q) = |F(q)|^2   (electrons^2)
 *
 * f_j = f0 of the element, times exp(-B_j q^2 / 4) if use_b.  Without it (the default) all
 * atoms stand still: a B factor of a crystal describes the crystal.
 *
 * The fast way writes f_j(q) = sum_b alpha_jb g_b(q) with few radial functions g_b, and
 * interpolates the smooth G_b(q) = sum_j occ_j alpha_jb exp(-2 pi i q.x_j) from a Cartesian
 * grid whose atoms carry the inverse of the window's transform, so that the interpolation
 * has only the window's error.  Error of W: relative l2 <= 1e-4 over an image, and at each
 * |q| the rms error is <= 1e-4 of the rms of W at that |q| (tests/sim/test_model.c;
 * measured about 1e-5, mostly the window's of 6 taps). */
#ifndef SPI_SIM_MODEL_H
#define SPI_SIM_MODEL_H

#include <stdbool.h>

#include "io/atoms.h"
#include "io/images.h"

struct spi_model_options {
    double q_max_invA; /* |q| on every axis up to this */
    bool use_b;
};

struct spi_model; /* read-only after _new: any number of threads may share it */

/** The centre of the structure does not matter for W.  SPI_EINVAL: no atoms, q_max out of
 *  0..12, or the grid would need more than 8 GiB (large particle at high resolution). */
SPI_MUSTUSE spi_err spi_model_new(const struct spi_structure *s,
                                  const struct spi_model_options *opt,
                                  struct spi_model **out);
/** Release the object; NULL is allowed. */
void spi_model_free(struct spi_model *m);

/** Largest relative misfit of a form factor by the radial functions (a part of the error).
 */
double spi_model_misfit(const struct spi_model *m);
/** Number of radial functions. */
int spi_model_rank(const struct spi_model *m);
/** Memory of the model. */
int64_t spi_model_bytes(const struct spi_model *m);
/** Half the side of the box around the atoms, A: W is band-limited to twice that. */
double spi_model_half_extent_A(const struct spi_model *m);

/** A list of points prepared for many orientations. */
struct spi_model_points {
    int64_t n;
    double (*q)[3]; /* [n], owned, 1/A */
    float *factor;  /* [passes][n][comp], owned: the radial functions at |q| */
};
/** Copies q[n].  SPI_EINVAL if a point lies beyond q_max. */
SPI_MUSTUSE spi_err spi_model_points_init(const struct spi_model *m, int64_t n,
                                          const double (*q)[3],
                                          struct spi_model_points *out);
/** Release what the struct owns. */
void spi_model_points_clear(struct spi_model_points *p);

/** W[n] at R(quat)^T q.  `F` is scratch of n pairs of floats. */
void spi_model_slice(const struct spi_model *m, const struct spi_model_points *points,
                     const double quat[4], float (*F)[2], float *W);

/** The sum over atoms itself, in double. */
void spi_model_slice_ref(const struct spi_structure *s, bool use_b, int64_t n,
                         const double (*q)[3], const double quat[4], double *W);

/** Largest W with q_min <= |q| <= q_max over all directions, from above: the largest of the
 *  grid's values times the bound of (S9).  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_model_largest(const struct spi_model *m, double q_min, double q_max,
                                      double *W);

#endif
