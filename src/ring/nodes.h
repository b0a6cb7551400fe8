/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Sums over pixels moved to rings, where they can be rotated.  Layer: ring.
 * doc/math.md (V15).
 *
 *     sum_p s_p f(q_p) = sum_j (T^T s)_j f(q_j)
 *
 * for every f(q) = exp(2 pi i q.x), |x| <= band: T interpolates f from the nodes q_j on
 * rings of the same curved Ewald sphere to the pixels, T^T takes what is summed at pixels
 * to the nodes.  Nothing is divided by the weight that a node happens to collect, so masks
 * and edges need no care.  12 x 12 taps; rings and their samples twice denser than the
 * band needs. */
#ifndef SPI_RING_NODES_H
#define SPI_RING_NODES_H

#include "ring/pixel_list.h"

enum { SPI_NODE_TAPS = 12 };

struct spi_ring_nodes {
    struct spi_rings rings;          /* n, m_max and dq by the band */
    int64_t n;                       /* pixels of the list */
    int32_t (*first)[SPI_NODE_TAPS]; /* [n][ring] first of 12 samples, each row padded
                                        by 12; owned */
    float (*weight)[SPI_NODE_TAPS][SPI_NODE_TAPS]; /* [n][ring][sample], owned */
};

/** Nodes for the pixels of a list; band in A: D for data, 2 D for the kernel of the normal
 *  equations.  SPI_EINVAL: more than 4,096 rings. */
SPI_MUSTUSE spi_err spi_ring_nodes_init(struct spi_ring_nodes *t,
                                        const struct spi_pixel_list *l, double wavelength_A,
                                        double band_A);
/** Release what the struct owns. */
void spi_ring_nodes_clear(struct spi_ring_nodes *t);

/** h [rings.h_at[R]] = harmonics of T^T s, s_p = value[p][component]; ring-major. */
SPI_MUSTUSE spi_err spi_ring_nodes_sum(const struct spi_ring_nodes *t,
                                       const float (*value)[2], int component,
                                       float complex *h);

#endif
