/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/kb.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/rot.h"

/* Modified Bessel function by its power series: all terms positive, so full precision. */
static double bessel_i0(double x)
{
    double term = 1, sum = 1, y = x * x / 4;

    for (int k = 1; term > 1e-17 * sum; k++) {
        term *= y / ((double)k * k);
        sum += term;
    }
    return sum;
}

double spi_kb_window(const struct spi_kb *kb, double t)
{
    double u = 2 * t / kb->w, s = 1 - u * u;

    return s < 0 ? 0 : bessel_i0(kb->beta * sqrt(s)) / bessel_i0(kb->beta);
}

double spi_kb_hat(const struct spi_kb *kb, double xi)
{
    double a = SPI_PI * kb->w * xi, s2 = kb->beta * kb->beta - a * a, s = sqrt(fabs(s2));
    double shape = s < 1e-9 ? 1 : (s2 > 0 ? sinh(s) : sin(s)) / s;

    return kb->w * shape / bessel_i0(kb->beta);
}

spi_err spi_kb_init(int w, double sigma, struct spi_kb *kb)
{
    double a = w / sigma * (sigma - 0.5);
    spi_err err;

    assert(w >= 2 && w <= SPI_KB_W_MAX && w % 2 == 0);
    /* Beatty, Nishimura and Pauly, IEEE Trans. Med. Imaging 24 (2005) 799, eq. 5 */
    *kb = (struct spi_kb){.w = w, .beta = SPI_PI * sqrt(a * a - 0.8)};
    err = SPI_NEW(kb->table, (SPI_KB_ROWS + 1) * w, "interpolation window");
    if (err)
        return err;
    for (int i = 0; i <= SPI_KB_ROWS; i++)
        for (int k = 0; k < w; k++)
            kb->table[i * w + k] =
                (float)spi_kb_window(kb, k - w / 2 + 1 - (double)i / SPI_KB_ROWS);
    return SPI_OK;
}

void spi_kb_clear(struct spi_kb *kb)
{
    free(kb->table);
    *kb = (struct spi_kb){0};
}
