/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Values between the nodes of a grid: sums over 4 x 4 x 4 nodes, weights from a table.
 * Layer: kernel.  doc/math.md (F4).
 *
 *     out[j][p] = sum_abc w_a(u_z) w_b(u_y) w_c(u_x) f[i_z + a][i_y + b][i_x + c][p]
 *
 * with u = (M q_j) + centre in nodes from the grid's corner and i = floor(u) - 1 on each
 * axis; w(u) is linear between the rows of the table about the fraction of u. */
#ifndef SPI_KERNEL_SAMPLE_H
#define SPI_KERNEL_SAMPLE_H

#include <stdint.h>

enum { SPI_SAMPLE_W = 4 };

struct spi_sample_grid {
    int side, parts;    /* parts: 1 or 2 interleaved reals a node */
    const float *f;     /* [side][side][side][parts], borrowed */
    int rows;           /* of the table, less one */
    const float *table; /* [rows + 1][SPI_SAMPLE_W], borrowed: row i at fraction i / rows */
};

/** M maps q to nodes, row-major; coordinate 0 is node side / 2.  All nodes must lie on the
 * grid (asserted). */
void spi_sample(const struct spi_sample_grid *grid, const float M[9], int64_t n,
                const float (*q)[3], float *out);

#endif
