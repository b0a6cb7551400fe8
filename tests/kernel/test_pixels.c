/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Passes over pixels against the same, literally; lengths with and without a remainder. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/pixels.h"
#include "tap.h"

enum { MOST = 1000 };

static float image[MOST], copy[MOST];
static uint8_t flag[MOST];

static void fill(int n)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, (uint64_t)n);

    for (int i = 0; i < n; i++) {
        image[i] = (float)spi_rng_below(&rng, 5000);
        flag[i] = (uint8_t)spi_rng_below(&rng, 3);
    }
    memcpy(copy, image, sizeof image);
}

static void check_clean(int n)
{
    const float wrong[] = {-1, NAN, INFINITY, -INFINITY};
    int zero = 1, told = 0;

    fill(n);
    OK(spi_pixels_clean(n, flag, image), "%d good pixels", n);
    for (int i = 0; i < n; i++)
        zero &= image[i] == (flag[i] ? 0 : copy[i]);
    OK(zero, "bad ones are 0, the others stay");
    for (int w = 0; w < 4; w++)
        for (int i = 0; i < n; i++) {
            bool good;

            image[i] = wrong[w];
            good = spi_pixels_clean(n, flag, image);
            told += good == (flag[i] != 0);
            image[i] = 0;
        }
    OK(told == 4 * n, "a wrong value is told wherever it is, unless it is bad");
}

static void check_sums(int n)
{
    double want = 0, sum[MOST], first[MOST];
    int same = 1;

    fill(n);
    for (int i = 0; i < n; i++) {
        want += flag[i] ? (double)image[i] : 0;
        sum[i] = first[i] = i / 3.0;
    }
    OK(spi_pixels_sum(n, flag, image) == want, "%d counts: %.0f", n, want);
    spi_pixels_add(n, 0.37F, -1, image, sum);
    for (int i = 0; i < n; i++)
        same &= image[i] == 0.37F * copy[i] && sum[i] == first[i] - (double)image[i];
    OK(same, "taken from sums, with a scale: the same bits");
    spi_pixels_add(n, 1, 1, image, sum);
    for (int i = 0; i < n; i++)
        same &= sum[i] == first[i] - (double)image[i] + (double)image[i];
    OK(same, "added again");
}

int main(void)
{
    const int lengths[] = {1, 7, 16, 37, MOST};

    for (int i = 0; i < 5; i++) {
        check_clean(lengths[i]);
        check_sums(lengths[i]);
    }
    return tap_done();
}
