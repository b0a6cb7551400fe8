/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Known answers of Philox4x32-10 (Random123 1.09, kat_vectors), and that streams differ. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "tap.h"

static void known_answers(void)
{
    static const uint32_t in[3][6] = {
        {0, 0, 0, 0, 0, 0},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0},
    };
    static const uint32_t want[3][4] = {
        {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };

    for (int i = 0; i < 3; i++) {
        uint32_t out[4];

        spi_philox(in[i], in[i] + 4, out);
        OK(memcmp(out, want[i], sizeof out) == 0, "known answer %d", i);
    }
}

/* Mean and variance of n Poisson deviates: both are lambda, with standard errors
 * sqrt(lambda / n) and sqrt((lambda + 2 lambda^2) / n); 6 of them fail by chance 2e-9. */
static void poisson_moments(double lambda)
{
    enum { N = 200000 };
    struct spi_rng r = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)(lambda * 10));
    double sum = 0, sum2 = 0;

    for (int i = 0; i < N; i++) {
        double k = (double)spi_rng_poisson(&r, lambda);

        sum += k;
        sum2 += (k - lambda) * (k - lambda);
    }

    double dm = fabs(sum / N - lambda) / sqrt(lambda / N);
    double dv = fabs(sum2 / N - lambda) / sqrt((lambda + 2 * lambda * lambda) / N);

    OK(dm < 6, "Poisson %g: mean is %.2f standard errors off", lambda, dm);
    OK(dv < 6, "Poisson %g: variance is %.2f standard errors off", lambda, dv);
}

int main(void)
{
    known_answers();
    poisson_moments(0.3);
    poisson_moments(9.9);
    poisson_moments(10.1);
    poisson_moments(300);

    struct spi_rng a = spi_rng_stream(7, SPI_RNG_TEST, 5),
                   b = spi_rng_stream(7, SPI_RNG_TEST, 6);
    struct spi_rng c = spi_rng_stream(7, SPI_RNG_BATCH, 5);
    uint32_t x = spi_rng_u32(&a);

    OK(x != spi_rng_u32(&b) && x != spi_rng_u32(&c), "streams differ");
    return tap_done();
}
