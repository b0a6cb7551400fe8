/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gradient.c, of nufft/nufft.h: values of W with their gradients. */
#include <assert.h>
#include <math.h>

#include "kernel/clones.h"
#include "kernel/refine.h"
#include "nufft/nufft.h"
#include "nufft/plan.h"

SPI_CLONES void spi_nufft_fold(const spi_nufft *p, int n, const float u[3][SPI_POINTS],
                               float folded[3][SPI_POINTS])
{
    float most = 0;

    for (int c = 0; c < 3; c++)
#pragma omp simd reduction(max : most)
        for (int j = 0; j < n; j++) {
            float v = u[2][j] < 0 ? -u[c][j] : u[c][j];

            most = fabsf(v) > most ? fabsf(v) : most;
            folded[c][j] = v;
        }
    assert(most <= (float)(p->nf / 2 + 1));
}

SPI_CLONES void spi_nufft_unfold(int n, const float u[3][SPI_POINTS],
                                 float out[4][SPI_POINTS])
{
    for (int c = 1; c < 4; c++)
        for (int j = 0; j < n; j++)
            out[c][j] = u[2][j] < 0 ? -out[c][j] : out[c][j];
}

void spi_nufft_gradient(const spi_nufft *p, const float *grid, int n,
                        const float u[3][SPI_POINTS], float out[4][SPI_POINTS])
{
    struct spi_rows_in rows = {.at = grid + grid_at(p, 1, 0, 0, 0),
                               .row = p->pitch,
                               .plane = (ptrdiff_t)p->side * p->pitch};
    float folded[3][SPI_POINTS];

    spi_nufft_fold(p, n, u, folded);
    spi_interp_grad(&p->taps, &rows, n, (const float(*)[SPI_POINTS])folded, out);
    spi_nufft_unfold(n, u, out);
}
