#include <math.h>
#include <stddef.h>

#include "kernel/refine.h"

/* d phi / d u at grid point i: the window is a function of i - u. */
static double window_slope(const struct spi_window *win, double x)
{
    double t = 2 * x / win->w, s = 1 - t * t;

    return s <= 0 ? 0 : win->beta * t / sqrt(s) * 2 / win->w * spi_window_value(win, x);
}

void spi_interp_grad_ref(const struct spi_window *win, int side, const float *grid, int n,
                         const float u[3][SPI_POINTS], double out[4][SPI_POINTS],
                         double mag[4][SPI_POINTS])
{
    for (int j = 0; j < n; j++)
        for (int c = 0; c < 4; c++) { /* 0: the value; 1, 2, 3: slope along x, y, z */
            out[c][j] = mag[c][j] = 0;
            for (int at = 0; at < win->w * win->w * win->w; at++) {
                int tap[3] = {at % win->w, at / win->w % win->w, at / win->w / win->w};
                double product = 1;
                size_t where = 0;

                for (int k = 2; k >= 0; k--) {
                    double p = (double)u[k][j];
                    int i = (int)floor(p) - win->w / 2 + 1 + tap[k];

                    product *= c == k + 1 ? window_slope(win, i - p)
                                          : spi_window_value(win, i - p);
                    where = where * (size_t)side + (size_t)(i + side / 2);
                }
                out[c][j] += product * (double)grid[where];
                mag[c][j] += fabs(product * (double)grid[where]);
            }
        }
}

static void add(double term, double *sum, double *mag)
{
    *sum += term;
    *mag += fabs(term);
}

void spi_likelihood_sums_ref(int n, const float *K, const float *g, const float *least,
                             const float *v, const float u[3][SPI_POINTS],
                             const float W[4][SPI_POINTS], struct spi_likelihood_sums *sums,
                             struct spi_likelihood_sums *mag)
{
    for (int j = 0; j < n; j++) {
        double k = (double)K[j], gj = (double)g[j], T = (double)W[0][j], y[3] = {0};
        double a, b;

        if (T > (double)least[j])
            for (int c = 0; c < 3; c++) {
                int d = (c + 1) % 3, e = (c + 2) % 3;

                y[c] = (double)u[d][j] * (double)W[1 + e][j] -
                       (double)u[e][j] * (double)W[1 + d][j];
            }
        else
            T = (double)least[j];
        a = v ? (double)v[j] : 1 / T;
        b = v ? T * (double)v[j] : 1;
        add(v ? k * b : k * log(T), &sums->fit, &mag->fit);
        add(gj * b * T, &sums->model, &mag->model);
        for (int c = 0, at = 0; c < 3; c++) {
            add(k * a * y[c], &sums->K1[c], &mag->K1[c]);
            add(gj * b * y[c], &sums->g1[c], &mag->g1[c]);
            for (int d = c; d < 3; d++, at++)
                add(gj * a * y[c] * y[d], &sums->g2[at], &mag->g2[at]);
        }
    }
}
