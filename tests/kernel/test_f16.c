/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers in half precision: there and back, against the literal meaning of the 16 bits. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "f16_test.h"
#include "kernel/f16.h"
#include "tap.h"

enum { N = 5000 };

/* Every half that is a number comes back as itself. */
static void every_half(void)
{
    int same = 1, right = 1;

    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t half = (uint16_t)i;

        if ((half & 0x7c00) == 0x7c00)
            continue; /* infinite, or no number */
        right &= (double)spi_f16_value(half) * 0x1p112 == value_of(half);
        same &= spi_f16_of((float)value_of(half)) == half;
    }
    OK(right, "what every half means");
    OK(same, "and the half nearest to it");
}

/* Halfway between two normal halves: the even one; a little off: the nearer. */
static void rounding(void)
{
    int right = 1;

    for (uint16_t half = 0x400; half < 0x7bff; half++) {
        double middle = (value_of(half) + value_of((uint16_t)(half + 1))) / 2;
        uint16_t even = (uint16_t)(half + (half & 1));

        right &= spi_f16_of((float)middle) == even;
        right &= spi_f16_of(nextafterf((float)middle, 0)) == half;
        right &= spi_f16_of(nextafterf((float)middle, 1e9F)) == half + 1;
        right &= spi_f16_of((float)-middle) == (even | 0x8000);
    }
    OK(right, "rounded to the nearest, ties to even");
}

/* Numbers of many sizes, n of them: each within 2^-11 of itself, or 2^-25 + 2^-38. */
static double worst_of(struct spi_rng *rng, int n, double size)
{
    float *x = calloc(N, sizeof *x), *y = calloc(N, sizeof *y), scale;
    uint16_t *half = calloc(N, sizeof *half);
    double worst = 0;

    for (int i = 0; i < n; i++)
        x[i] = (float)(size * spi_rng_normal(rng) * exp(-12 * spi_rng_uniform(rng)));
    y[n] = 7;
    half[n] = 7;
    scale = spi_f16_pack(n, x, half);
    spi_f16_unpack(n, half, scale, y);
    for (int i = 0; i < n; i++) {
        double bound =
            fmax(0x1p-11 * fabs((double)x[i]), (0x1p-25 + 0x1p-38) / (double)scale);

        worst = fmax(worst, fabs((double)y[i] - (double)x[i]) / bound);
    }
    if (y[n] != 7 || half[n] != 7)
        worst = INFINITY;
    free(x), free(y), free(half);
    return worst;
}

int main(void)
{
    static const double size[] = {1e-35, 1e-20, 1e-3, 1, 1e5, 1e20, 1e37};
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    float zero[3] = {0}, back[3] = {1, 1, 1};
    uint16_t half[3];
    double worst = 0;

    every_half();
    rounding();
    for (int i = 0; i < 7; i++) {
        worst = worst_of(&rng, N - 1, size[i]);
        OK(worst <= 1 && worst > 0.9, "numbers about %g: error / bound = %.3f", size[i],
           worst);
    }
    worst = 0;
    for (int n = 0; n < 100; n++)
        worst = fmax(worst, worst_of(&rng, n, 1e3));
    OK(worst <= 1, "0 to 99 of them: error / bound = %.3f", worst);
    spi_f16_unpack(3, half, spi_f16_pack(3, zero, half), back);
    OK(back[0] == 0 && back[1] == 0 && back[2] == 0, "zeros stay zeros");
    OK(spi_f16_scale(0) == 1 && spi_f16_scale(1) == 0x1p14F &&
           spi_f16_scale(65535) == 0.5F && spi_f16_scale(3e38F) == 0x1p-113F,
       "the scale of the largest");
    return tap_done();
}
