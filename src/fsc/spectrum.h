/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The Fourier transform of a map at any q.  Layer: fsc.  doc/math.md (F4), (F5).
 *
 *     F(q) = sum_x map(x) exp(-2 pi i q.x),   |q| <= q_reach
 *
 * from the map padded by two and a window of four nodes.  Stated error: below 1e-3 of the
 * largest |F| for a box full of noise to its faces (the worst map), 1e-4 for a particle
 * that leaves a fifth of the box free.  For an intensity map W the map is its
 * autocorrelation and only the real part is kept. */
#ifndef SPI_FSC_SPECTRUM_H
#define SPI_FSC_SPECTRUM_H

#include <stdint.h>

#include "fsc/kb.h"
#include "math/volume.h"

struct spi_spectrum {
    int parts;      /* 1: real (even map); 2: complex */
    int side;       /* of the cube of nodes kept, centre at side / 2 */
    double dq;      /* distance of nodes, 1/A */
    double q_reach; /* largest |q| that may be asked for */
    struct spi_kb kb;
    float *f; /* [side][side][side][parts], owned */
};

/** From a density map (complex).  q_max at most 1 / (2 step).  SPI_EINVAL: odd side, a
 * value that is not finite; SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_spectrum_of_density(const struct spi_volume *map, double q_max,
                                            struct spi_spectrum *s);
/** From an intensity map (real); q_max at most n/2 step. */
SPI_MUSTUSE spi_err spi_spectrum_of_intensity(const struct spi_volume *W, double q_max,
                                              struct spi_spectrum *s);
/** Release what the struct owns. */
void spi_spectrum_clear(struct spi_spectrum *s);

/** out[n][parts] = F(R^T q[i]); q: [n][3], 1/A, |q| <= q_reach. */
void spi_spectrum_sample(const struct spi_spectrum *s, const double R[9], int64_t n,
                         const float (*q)[3], float *out);

#endif
