/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Points on spheres |q| = const that stand for all of q space.  Layer: fsc.
 * doc/math.md (F6).
 *
 * Shells 1/(2D) apart (one Shannon cell of the intensity); on each a spherical Fibonacci
 * grid over half the sphere (the other half follows by Friedel), one point per cell
 * (1/(2D))^2, at most `most` points in all.  Points of a shell are neighbours in memory
 * when they are neighbours in space. */
#ifndef SPI_FSC_SHELLS_H
#define SPI_FSC_SHELLS_H

#include <stdint.h>

#include "base/error.h"

struct spi_shells {
    int n;
    double *q;      /* [n] 1/A, owned */
    int64_t *first; /* [n + 1] first point of each shell, owned */
    float (*p)[3];  /* [first[n]], 1/A, owned */
};

/** Shells at multiples of 1/(2D) in q_min..q_max (at least one, at q_max). */
SPI_MUSTUSE spi_err spi_shells_init(double diameter_A, double q_min, double q_max,
                                    int64_t most, struct spi_shells *s);
/** Release what the struct owns. */
void spi_shells_clear(struct spi_shells *s);
/** How many of the shells are at or below q (at least 1). */
int spi_shells_up_to(const struct spi_shells *s, double q);

#endif
