/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interpolation of complex grids against its literal twin.
 *
 * Bound: gamma_{w^3 + comp + 8} times the sum of absolute values (float sums) plus three
 * times the measured error of a tap for each of the w^3 products, of which the values are
 * at most 1. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/interp_complex.h"
#include "tap.h"

enum { HALF = 9, NX = HALF + 12, SIDE = 2 * HALF + 12, N = 400 };

static double tap_error(const struct spi_window *win)
{
    double worst = 0;

    for (int i = 0; i < 1000; i++)
        for (int c = 0; c < win->w; c++) {
            float f = (float)(i / 1000.0), tap = win->coef[win->degree][c];

            for (int p = win->degree - 1; p >= 0; p--)
                tap = tap * (2 * f - 1) + win->coef[p][c];
            worst =
                fmax(worst, fabs((double)tap -
                                 spi_window_value(win, c - win->w / 2 + 1 - (double)f)));
        }
    return worst;
}

static void one(double tol, int comp)
{
    struct spi_window win;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)comp);
    size_t values = (size_t)NX * SIDE * SIDE * (size_t)comp * 2;
    float *data = malloc(values * sizeof *data), factor[N * 4], F[N][2] = {{0}};
    struct spi_half_space_grid grid = {NX, SIDE, 6, SIDE / 2, comp, data};
    /* a rotation by 2 pi / 3 about (1,1,1): no coordinate keeps its place */
    static const double M[9] = {0, 0, 1, 1, 0, 0, 0, 1, 0};
    double q[N][3], ref[N][2] = {{0}}, mag[N], worst = 0;

    NEED(data);
    spi_window_init(&win, tol);
    for (size_t i = 0; i < values; i++)
        data[i] = (float)(2 * spi_rng_uniform(&rng) - 1);
    for (int j = 0; j < N; j++)
        for (int k = 0; k < 3; k++)
            q[j][k] = (2 * spi_rng_uniform(&rng) - 1) * HALF;
    q[0][0] = q[0][1] = q[0][2] = 0; /* on a grid point */
    for (int j = 0; j < N * comp; j++)
        factor[j] = (float)(2 * spi_rng_uniform(&rng) - 1);
    spi_interp_complex(&win, &grid, M, N, (const double(*)[3])q, factor, F);
    spi_interp_complex_ref(&win, &grid, M, N, (const double(*)[3])q, factor, ref, mag);

    int w3 = win.w * win.w * win.w;
    double taps = 3 * tap_error(&win) * w3 * comp * 2;

    for (int j = 0; j < N; j++)
        for (int c = 0; c < 2; c++)
            worst = fmax(worst, fabs((double)F[j][c] - ref[j][c]) /
                                    (gamma_f32(w3 + comp + 8) * mag[j] + taps));
    OK(worst <= 1, "w = %d, %d components: error / bound = %.3f", win.w, comp, worst);

    double change = 2 * (gamma_f32(w3 + comp + 8) * mag[7] + taps);

    OK(fabs((double)F[7][1] + change - ref[7][1]) >
           gamma_f32(w3 + comp + 8) * mag[7] + taps,
       "a wrong value is noticed");

    /* F(-q) = conj F(q), from the same half of the grid */
    float back[2][2] = {{0}}, there[2][2] = {{0}};
    double minus[2][3] = {{-q[3][0], -q[3][1], -q[3][2]}, {-q[4][0], -q[4][1], -q[4][2]}};

    spi_interp_complex(&win, &grid, M, 2, (const double(*)[3])minus, factor, back);
    spi_interp_complex(&win, &grid, M, 2, (const double(*)[3])(q + 3), factor, there);
    OK(fabs((double)(back[1][0] - there[1][0])) <= 0 &&
           fabs((double)(back[1][1] + there[1][1])) <= 0,
       "F(-q) = conj F(q) to the last bit");
    free(data);
}

int main(void)
{
    static const double tol[3] = {1e-3, 1e-5, 1e-6};

    for (int i = 0; i < 3; i++) {
        one(tol[i], 2);
        one(tol[i], 4);
    }
    return tap_done();
}
