/* Interpolation and spreading against their literal twins.
 *
 * Bound: gamma_{w^3 + 8} of the sum of absolute values for the float sums (contract in
 * kernel/interp.h) plus the tap polynomials' error: degree w + 3 through Chebyshev nodes
 * errs by less than 0.1 of the window's own error 10^(1-w) per tap, three taps a product.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/interp.h"
#include "tap.h"

enum { SIDE = 34, N = 300 };

static double tap_error(const struct spi_window *win)
{
    double worst = 0;

    for (int i = 0; i < 1000; i++) {
        float u = (float)(i / 1000.0 - 0.5), tap[SPI_W_MAX];
        int i0 = spi_window_taps(win, SIDE, u, tap);

        for (int c = 0; c < win->w; c++)
            worst = fmax(worst, fabs((double)tap[c] -
                                     spi_window_value(win, i0 + c - SIDE / 2 - (double)u)));
    }
    return worst;
}

static void one_width(double tol)
{
    struct spi_window win;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    size_t points = (size_t)SIDE * SIDE * SIDE;
    float *grid = calloc(2 * points, sizeof *grid), out1[N], pos[N][3],
          val[N][2];
    double *sum = calloc(2 * points, sizeof *sum), ref[2 * N], mag[2 * N], worst = 0;

    spi_window_init(&win, tol);
    double te = tap_error(&win), te_bound = 0.1 * pow(10, 1 - win.w) + 8 * 0x1p-24;

    OK(te <= te_bound, "w = %d: tap error / bound = %.2f", win.w, te / te_bound);
    for (size_t i = 0; i < 2 * points; i++)
        grid[i] = (float)spi_rng_normal(&rng);
    for (int j = 0; j < N; j++)
        for (int c = 0; c < 3; c++)
            pos[j][c] =
                (float)((spi_rng_uniform(&rng) - 0.5) * (SIDE - 2 * SPI_GRID_MARGIN));
    pos[0][0] = pos[0][1] = pos[0][2] = 0; /* on a grid point */

    /* one tap off by te changes a product by at most te, three taps and (2 w)^3 terms */
    double slack = gamma_f32(win.w * win.w * win.w + 8);
    double extra = 3 * te * pow(win.w, 1.5) * 4;

    spi_interp1(&win, SIDE, grid, N, (const float(*)[3])pos, out1);
    spi_interp_ref(&win, SIDE, 1, grid, N, (const float(*)[3])pos, ref, mag);
    for (int j = 0; j < N; j++)
        worst = fmax(worst, fabs((double)out1[j] - ref[j]) / (slack * mag[j] + extra));
    OK(worst <= 1, "w = %d: interp1 error / bound = %.3f", win.w, worst);
    out1[5] += (float)(3 * (slack * mag[5] + extra));
    OK(fabs((double)out1[5] - ref[5]) > slack * mag[5] + extra, "a wrong value is noticed");

    for (int j = 0; j < N; j++)
        val[j][0] = (float)spi_rng_normal(&rng), val[j][1] = 1;
    memset(grid, 0, 2 * points * sizeof *grid);
    spi_spread2(&win, SIDE, grid, N, (const float(*)[3])pos, (const float(*)[2])val);
    spi_spread_ref(&win, SIDE, 2, sum, N, (const float(*)[3])pos, &val[0][0]);
    worst = 0;
    for (size_t i = 0; i < 2 * points; i++)
        worst = fmax(worst, fabs((double)grid[i] - sum[i]));
    /* every node is touched by far fewer than N values of at most ~4 */
    double bound = N * (gamma_f32(N + 8) + 3 * te) * 4;

    OK(worst <= bound, "w = %d: spread2 error / bound = %.3f", win.w, worst / bound);
    free(grid);
    free(sum);
}

int main(void)
{
    one_width(1e-3);
    one_width(1e-5);
    one_width(1e-6);
    return tap_done();
}
