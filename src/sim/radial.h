/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Form factors on few common radial functions.  Layer: sim.  doc/math.md (S7).
 *
 *     f_c(q) = sum_b alpha_cb g_b(q),   c: classes of atoms (element, B)
 *
 * g_b are orthonormal combinations of the form factors of the classes that are hardest to
 * express (pivoted Gram-Schmidt on a list of |q|), added until the largest relative misfit
 * is below SPI_RADIAL_TOL. */
#ifndef SPI_SIM_RADIAL_H
#define SPI_SIM_RADIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "io/atoms.h"

/* W errs by about twice this where the atoms' phases are random. */
#define SPI_RADIAL_TOL 1.5e-5
enum { SPI_RADIAL_MAX = 12, SPI_RADIAL_SAMPLES = 64 };

struct spi_radial_class {
    int z;
    double b_A2;
    int64_t atoms; /* how many */
};

struct spi_radial {
    int rank;
    struct spi_radial_class pivot[SPI_RADIAL_MAX];
    double T[SPI_RADIAL_MAX][SPI_RADIAL_MAX]; /* g_b = sum_k T[b][k] f_pivot(k) */
    double misfit;
    int64_t n_classes;
    struct spi_radial_class *cls;    /* [n_classes], owned, sorted */
    double (*alpha)[SPI_RADIAL_MAX]; /* [n_classes], owned */
};

/** Make the functions for the atoms of `s` up to q_max (1/A); use_b: with their B
 *  factors.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_radial_init(const struct spi_structure *s, bool use_b, double q_max,
                                    struct spi_radial *out);
/** Release what the struct owns. */
void spi_radial_clear(struct spi_radial *r);
/** alpha of an atom's class. */
const double *spi_radial_alpha(const struct spi_radial *r, const struct spi_atom *a,
                               bool use_b);
/** g[rank] at |q|. */
void spi_radial_values(const struct spi_radial *r, double q, double *g);

#endif
