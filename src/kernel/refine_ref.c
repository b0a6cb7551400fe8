/* SPDX-License-Identifier: GPL-3.0-or-later */
/* refine_ref.c, of kernel/refine.h: the formulas in double. */
#include <math.h>
#include <stddef.h>

#include "kernel/refine.h"

/* First tap of a coordinate. */
static int first(const struct spi_kaiser *win, float u)
{
    return (int)ceil((double)u - win->w / 2.0);
}

/* Tap c of a coordinate (slope: its derivative) from the polynomial, sum_p coef z^p; mag:
 * the sum of absolute values. */
static double tap(const struct spi_kaiser *win, float u, int c, bool slope, double *mag)
{
    double f = first(win, u) - ((double)u - win->w / 2.0), z = 2 * f - 1, sum = 0,
           power = 1;

    *mag = 0;
    for (int p = slope; p <= win->degree; p++, power *= z) { /* dz/du = -2 */
        double coef = win->coef[p][c] * (slope ? -2 * p : 1);

        sum += coef * power;
        *mag += fabs(coef);
    }
    return sum;
}

void spi_interp_grad_ref(const struct spi_taps *taps, const struct spi_rows_in *grid, int n,
                         const float u[3][SPI_POINTS], double out[4][SPI_POINTS],
                         double mag[4][SPI_POINTS])
{
    const struct spi_kaiser *win = &taps->window;
    const ptrdiff_t stride[3] = {1, grid->row, grid->plane};

    for (int j = 0; j < n; j++)
        for (int c = 0; c < 4; c++) { /* 0: the value; 1, 2, 3: slope along x, y, z */
            out[c][j] = mag[c][j] = 0;
            for (int at = 0; at < win->w * win->w * win->w; at++) {
                int t[3] = {at % win->w, at / win->w % win->w, at / win->w / win->w};
                double product = 1, abs_product = 1, m;
                ptrdiff_t where = 0;

                for (int k = 0; k < 3; k++) {
                    product *= tap(win, u[k][j], t[k], c == k + 1, &m);
                    abs_product *= m;
                    where += (first(win, u[k][j]) + t[k]) * stride[k];
                }
                out[c][j] += product * (double)grid->at[where];
                mag[c][j] += fabs(abs_product * (double)grid->at[where]);
            }
        }
}

static void add(double term, double abs_term, double *sum, double *mag)
{
    *sum += term;
    *mag += abs_term;
}

/* v NULL: counts. */
static void add_sums(int n, const float *K, const float *g, const float *least,
                     const float *v, const float u[3][SPI_POINTS],
                     const float W[4][SPI_POINTS], struct spi_likelihood_sums *sums,
                     struct spi_likelihood_sums *mag)
{
    for (int j = 0; j < n; j++) {
        double k = (double)K[j], gj = (double)g[j], T = (double)W[0][j];
        double y[3] = {0}, size[3] = {0};
        double a, b;

        if (T > (double)least[j])
            for (int c = 0; c < 3; c++) {
                int d = (c + 1) % 3, e = (c + 2) % 3;

                double left = (double)u[d][j] * (double)W[1 + e][j];
                double right = (double)u[e][j] * (double)W[1 + d][j];

                y[c] = left - right;
                size[c] = fabs(left) + fabs(right);
            }
        else
            T = (double)least[j];
        a = v ? (double)v[j] : 1 / T;
        b = v ? T * (double)v[j] : 1;
        if (v)
            add(k * b, fabs(k * b), &sums->fit, &mag->fit);
        else
            add(k * log(T), fabs(k) * (1 + fabs(log(T))), &sums->fit, &mag->fit);
        add(gj * b * T, fabs(gj * b * T), &sums->model, &mag->model);
        for (int c = 0, at = 0; c < 3; c++) {
            add(k * a * y[c], fabs(k * a) * size[c], &sums->K1[c], &mag->K1[c]);
            add(gj * b * y[c], fabs(gj * b) * size[c], &sums->g1[c], &mag->g1[c]);
            for (int d = c; d < 3; d++, at++)
                add(gj * a * y[c] * y[d], fabs(gj * a) * size[c] * size[d], &sums->g2[at],
                    &mag->g2[at]);
        }
    }
}

void spi_sums_counts_ref(int n, const float *K, const float *g, const float *least,
                         const float *v, const float u[3][SPI_POINTS],
                         const float W[4][SPI_POINTS], struct spi_likelihood_sums *sums,
                         struct spi_likelihood_sums *mag)
{
    (void)v;
    add_sums(n, K, g, least, NULL, u, W, sums, mag);
}

void spi_sums_squares_ref(int n, const float *K, const float *g, const float *least,
                          const float *v, const float u[3][SPI_POINTS],
                          const float W[4][SPI_POINTS], struct spi_likelihood_sums *sums,
                          struct spi_likelihood_sums *mag)
{
    add_sums(n, K, g, least, v, u, W, sums, mag);
}
