/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The Kaiser-Bessel window: values between the nodes of a fine grid.  Layer: fsc.
 * doc/math.md (F4).
 *
 * A function known by its transform on one side (a map, or a spectrum) is divided by the
 * window's transform, transformed to a grid `sigma` times finer, and then any value is a
 * sum over w x w x w nodes.  The error is the window's aliasing, about exp(-pi w sqrt(1 -
 * 1/sigma)): 1.4e-4 for w = 4, 1.6e-6 for w = 6 at sigma = 2. */
#ifndef SPI_FSC_KB_H
#define SPI_FSC_KB_H

#include "base/error.h"

enum { SPI_KB_W_MAX = 6, SPI_KB_ROWS = 1024 };

struct spi_kb {
    int w; /* nodes per axis, even, 2..SPI_KB_W_MAX */
    double beta;
    float *table; /* [SPI_KB_ROWS + 1][w], owned: row i is the w weights at fraction i /
                     ROWS */
};

/** Make the window of w nodes for a grid `sigma` times finer.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_kb_init(int w, double sigma, struct spi_kb *kb);
/** Release what the struct owns. */
void spi_kb_clear(struct spi_kb *kb);

/** The window at t (nodes): I0(beta sqrt(1 - (2t/w)^2)) / I0(beta), 0 beyond w/2. */
double spi_kb_window(const struct spi_kb *kb, double t);
/** Its transform at xi (cycles per node), |xi| < 1/2. */
double spi_kb_hat(const struct spi_kb *kb, double xi);

/** Weights of the w nodes that begin with floor(u) - w/2 + 1, where `fraction` = u -
 * floor(u); linear between rows of the table (error below 1e-6). */
static inline void spi_kb_weights(const struct spi_kb *kb, int w, float fraction,
                                  float *out)
{
    float at = fraction * SPI_KB_ROWS;
    int row = (int)at;
    const float *a, *b;

    row = row < SPI_KB_ROWS ? row : SPI_KB_ROWS - 1;
    at -= (float)row;
    a = kb->table + row * w;
    b = a + w;
    for (int i = 0; i < w; i++)
        out[i] = a[i] + at * (b[i] - a[i]);
}

#endif
