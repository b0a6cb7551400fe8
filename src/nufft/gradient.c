#include <assert.h>
#include <math.h>

#include "kernel/refine.h"
#include "nufft/nufft.h"
#include "nufft/plan.h"

void spi_nufft_gradient(const spi_nufft *p, const float *grid, int n,
                        const float u[3][SPI_POINTS], float out[4][SPI_POINTS])
{
    struct spi_rows_in rows = {.at = grid + grid_at(p, 1, 0, 0, 0),
                               .row = p->pitch,
                               .plane = (ptrdiff_t)p->side * p->pitch};
    float folded[3][SPI_POINTS];

    /* W(-u) = W(u): the slopes change their sign */
    for (int j = 0; j < n; j++)
        for (int c = 0; c < 3; c++) {
            assert(fabsf(u[c][j]) <= (float)(p->nf / 2 + 1));
            folded[c][j] = u[2][j] < 0 ? -u[c][j] : u[c][j];
        }
    spi_interp_grad(&p->taps, &rows, n, (const float(*)[SPI_POINTS])folded, out);
    for (int j = 0; j < n; j++)
        for (int c = 1; c < 4; c++)
            out[c][j] = u[2][j] < 0 ? -out[c][j] : out[c][j];
}
