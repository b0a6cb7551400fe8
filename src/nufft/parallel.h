/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A loop over independent tasks on several threads.  Layer: nufft. */
#ifndef SPI_NUFFT_PARALLEL_H
#define SPI_NUFFT_PARALLEL_H

#include <stdint.h>

/** Work of one task by thread `rank` (0 ... n_threads - 1, for scratch memory). */
typedef void spi_parallel_fn(void *ctx, int rank, int64_t task);

/** Tasks first[0] ... first[n_phases] - 1, handed out in order; those of phase p
 * (first[p] ... first[p + 1] - 1) begin after all of phase p - 1 have ended.  If fewer
 * threads can be started, fewer do the work. */
void spi_parallel_phases(int n_threads, int n_phases, const int64_t *first,
                         spi_parallel_fn *work, void *ctx);
/** Tasks 0 ... n - 1 in one phase. */
void spi_parallel_for(int n_threads, int64_t n, spi_parallel_fn *work, void *ctx);

#endif
