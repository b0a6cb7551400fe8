/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/angular.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static const double two_pi = 6.283185307179586477;

/* Factors of H = Na / 2, the largest of each first; 0 if there is another prime. */
static int factor(int H, int radix[SPI_PASSES_MAX])
{
    static const int radices[] = {5, 4, 3, 2};
    int n = 0;

    for (int i = 0; i < 4; i++)
        for (; H % radices[i] == 0; H /= radices[i])
            radix[n++] = radices[i];
    return H == 1 ? n : 0;
}

int spi_angular_count(int least)
{
    int radix[SPI_PASSES_MAX], Na = least < 4 ? 4 : least + least % 2;

    while (!factor(Na / 2, radix))
        Na += 2;
    return Na;
}

/* Pass with groups of length l: exp(2 pi i j q / l), j = 1 ... radix-1, q < l / radix. */
static float *pass_twiddles(int l, int radix, float *w)
{
    for (int q = 0; q < l / radix; q++)
        for (int j = 1; j < radix; j++, w += 2) {
            double x = two_pi * j * q / l;

            w[0] = (float)cos(x);
            w[1] = (float)sin(x);
        }
    return w;
}

/* Real operations of a butterfly without its twiddles, by radix. */
static const double butterfly[] = {[2] = 4, [3] = 16, [4] = 16, [5] = 40};

spi_err spi_angular_init(struct spi_angular *t, int M, int Na)
{
    int H = Na / 2;
    float *w;
    spi_err err;

    *t = (struct spi_angular){.M = M, .Na = Na};
    if (Na >= 4 && Na % 2 == 0 && Na < 1 << 20)
        t->n_passes = factor(H, t->radix);
    if (t->n_passes == 0 || M < 1 || M > H)
        return spi_fail(
            SPI_EINVAL,
            "in-plane angles: %d for %d harmonics; need twice a product of 2, 3, "
            "5, at least twice the harmonics",
            Na, M);
    if ((err = SPI_NEW(t->twiddle, 2 * (size_t)H * (size_t)(1 + t->n_passes), "angles")))
        return err;
    w = t->twiddle;
    for (int k = 0; k < H; k++, w += 2) { /* i exp(2 pi i k / Na) */
        w[0] = (float)-sin(two_pi * k / Na);
        w[1] = (float)cos(two_pi * k / Na);
    }
    t->flops = 7.0 * H;
    for (int p = 0, l = H; p < t->n_passes; l /= t->radix[p], p++) {
        int radix = t->radix[p];

        w = pass_twiddles(l, radix, w);
        t->flops += H / radix * (butterfly[radix] + (l > radix ? 6.0 * (radix - 1) : 0));
    }
    return SPI_OK;
}

void spi_angular_clear(struct spi_angular *t)
{
    free(t->twiddle);
    *t = (struct spi_angular){0};
}
