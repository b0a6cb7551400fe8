/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The rotation function: the correlation of two intensities over all rotations at once,
 * from spherical harmonics (Crowther 1972; Kostelec and Rockmore, J. Fourier Anal. Appl. 14
 * (2008) 145).  Layer: fsc.  doc/math.md (F7), (F8).
 *
 * Exhaustive: every rotation on an Euler grid finer than a Shannon angle is looked at. */
#ifndef SPI_FSC_ROTFUN_H
#define SPI_FSC_ROTFUN_H

#include "fsc/spectrum.h"

/** The function on its grid, alpha_i = 2 pi i / n, beta_j = pi (j + 1/2) / n_beta, gamma_k
 * as alpha; R = Rz(alpha) Ry(beta) Rz(gamma). */
struct spi_rotfun {
    int n, n_beta;
    float *c; /* [n_beta][n alpha][n gamma], in -1..1, owned */
};

/** c(R): mean over shells of the correlation of ref(q) with map(R^T q), shell means
 * removed; shells at multiples of 1/(2D) in q_min..q_max, weighted by their number of
 * Shannon cells. Complex spectra enter by |F|^2.  q_max D up to 10 (harmonics to degree 64;
 * higher ones are left out). */
SPI_MUSTUSE spi_err spi_rotfun_init(const struct spi_spectrum *ref,
                                    const struct spi_spectrum *map, double diameter_A,
                                    double q_min, double q_max, struct spi_rotfun *f);
/** Release what the struct owns. */
void spi_rotfun_clear(struct spi_rotfun *f);

/** Up to `want` highest local maxima, best first, no two closer than `apart` radians.
 *  R: [want][9].  Returns their number. */
SPI_MUSTUSE spi_err spi_rotfun_peaks(const struct spi_rotfun *f, double apart, int want,
                                     double (*R)[9], int *found);

/** R = Rz(alpha) Ry(beta) Rz(gamma). */
void spi_rot_euler(double alpha, double beta, double gamma, double R[9]);

#endif
