/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/rng.h"

#include <math.h>
#include <string.h>

void spi_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k0 = key[0], k1 = key[1];

    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;

        c[1] = (uint32_t)p1;
        c[3] = (uint32_t)p0;
        c[0] = n0;
        c[2] = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

struct spi_rng spi_rng_stream(uint64_t seed, enum spi_rng_purpose purpose, uint64_t index)
{
    struct spi_rng r = {
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, 0, (uint32_t)index,
                    (uint32_t)(index >> 32 & 0xffff) | (uint32_t)purpose << 16},
        .used = 4,
    };

    return r;
}

uint32_t spi_rng_u32(struct spi_rng *r)
{
    if (r->used == 4) {
        spi_philox(r->counter, r->key, r->out);
        if (++r->counter[0] == 0)
            r->counter[1]++;
        r->used = 0;
    }
    return r->out[r->used++];
}

double spi_rng_uniform(struct spi_rng *r)
{
    uint64_t hi = spi_rng_u32(r), lo = spi_rng_u32(r);

    return ((double)((hi << 32 | lo) >> 12) + 0.5) * 0x1p-52;
}

uint32_t spi_rng_below(struct spi_rng *r, uint32_t n)
{
    uint64_t m = (uint64_t)spi_rng_u32(r) * n;

    if ((uint32_t)m < n) { /* Lemire, ACM Trans. Model. Comput. Simul. 29 (2019) 3 */
        uint32_t reject = -n % n;

        while ((uint32_t)m < reject)
            m = (uint64_t)spi_rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

double spi_rng_normal(struct spi_rng *r)
{
    if (r->have_normal) {
        r->have_normal = 0;
        return r->normal;
    }

    double radius = sqrt(-2 * log(spi_rng_uniform(r)));
    double angle = 2 * 3.14159265358979323846 * spi_rng_uniform(r);

    r->normal = radius * sin(angle);
    r->have_normal = 1;
    return radius * cos(angle);
}

static int64_t poisson_small(struct spi_rng *r, double lambda)
{
    double p = exp(-lambda), u = spi_rng_uniform(r);
    int64_t k = 0;

    for (double sum = p; u > sum && k < 1000; sum += p)
        p *= lambda / (double)++k;
    return k;
}

static int64_t poisson_ptrs(struct spi_rng *r, double lambda)
{
    double slope = 0.931 + 2.53 * sqrt(lambda), a = -0.059 + 0.02483 * slope;
    double inv_alpha = 1.1239 + 1.1328 / (slope - 3.4);
    double v_r = 0.9277 - 3.6224 / (slope - 2), log_lambda = log(lambda);

    for (;;) {
        double u = spi_rng_uniform(r) - 0.5, v = spi_rng_uniform(r);
        double us = 0.5 - fabs(u);
        double k = floor((2 * a / us + slope) * u + lambda + 0.43);

        if (us >= 0.07 && v <= v_r)
            return (int64_t)k;
        if (k < 0 || (us < 0.013 && v > us))
            continue;
        if (log(v) + log(inv_alpha) - log(a / (us * us) + slope) <=
            -lambda + k * log_lambda - lgamma(k + 1))
            return (int64_t)k;
    }
}

int64_t spi_rng_poisson(struct spi_rng *r, double lambda)
{
    if (!(lambda > 0))
        return 0;
    return lambda < 10 ? poisson_small(r, lambda) : poisson_ptrs(r, lambda);
}
