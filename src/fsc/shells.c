/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/shells.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"

struct keyed {
    uint32_t key;
    float p[3];
};

/* The bits of three numbers below 1024 woven together (Morton order). */
static uint32_t weave(const float p[3], double q)
{
    uint32_t key = 0;

    for (int k = 0; k < 3; k++) {
        uint32_t v = (uint32_t)fmin(fmax(((double)p[k] / q + 1) * 16, 0), 31);

        for (int b = 0; b < 5; b++)
            key |= (v >> b & 1u) << (3 * b + k);
    }
    return key;
}

static int by_key(const void *a, const void *b)
{
    uint32_t x = ((const struct keyed *)a)->key, y = ((const struct keyed *)b)->key;

    return (x > y) - (x < y);
}

/* Half a sphere of radius q, n points; z = 1 - (i + 1/2)/n is uniform on it. */
static void fibonacci(double q, int64_t n, double turn, struct keyed *work, float (*p)[3])
{
    const double golden = SPI_PI * (3 - sqrt(5));

    for (int64_t i = 0; i < n; i++) {
        double z = 1 - ((double)i + 0.5) / (double)n, r = sqrt(1 - z * z);
        double phi = golden * (double)i + turn;

        work[i].p[0] = (float)(q * r * cos(phi));
        work[i].p[1] = (float)(q * r * sin(phi));
        work[i].p[2] = (float)(q * z);
        work[i].key = weave(work[i].p, q);
    }
    /* keys tie; the order of ties must not depend on qsort */
    for (int64_t i = 0; i < n; i++)
        work[i].key = (uint32_t)(work[i].key << 16 | (uint32_t)(i & 0xffff));
    qsort(work, (size_t)n, sizeof *work, by_key);
    for (int64_t i = 0; i < n; i++)
        memcpy(p[i], work[i].p, sizeof p[i]);
}

static double cells(double q, double cell)
{
    return fmax(6, 2 * SPI_PI * (q / cell) * (q / cell));
}

spi_err spi_shells_init(double diameter_A, double q_min, double q_max, int64_t most,
                        struct spi_shells *s)
{
    spi_err err;
    double cell = 1 / (2 * diameter_A), total = 0, share;
    int lo = (int)fmax(ceil(q_min / cell - 1e-6), 1), hi = (int)floor(q_max / cell + 1e-6);
    int64_t at = 0;
    struct keyed *work = NULL;

    *s = (struct spi_shells){.n = hi >= lo ? hi - lo + 1 : 1};
    SPI_TRY(err = SPI_NEW(s->q, s->n, "shells"), out);
    SPI_TRY(err = SPI_NEW(s->first, s->n + 1, "shells"), out);
    for (int k = 0; k < s->n; k++) {
        s->q[k] = fmin((lo + k) * cell, q_max);
        total += cells(s->q[k], cell);
    }
    share = fmin(1, (double)most / total);
    for (int k = 0; k < s->n; k++)
        s->first[k + 1] = s->first[k] + (int64_t)ceil(share * cells(s->q[k], cell));
    SPI_TRY(err = SPI_NEW(s->p, s->first[s->n], "shells"), out);
    SPI_TRY(err = SPI_NEW(work, s->first[s->n], "shells"), out);
    for (int k = 0; k < s->n; k++, at = s->first[k])
        fibonacci(s->q[k], s->first[k + 1] - at, k, work, s->p + at);
out:
    free(work);
    if (err)
        spi_shells_clear(s);
    return err;
}

void spi_shells_clear(struct spi_shells *s)
{
    free(s->q);
    free(s->first);
    free(s->p);
    *s = (struct spi_shells){0};
}

int spi_shells_up_to(const struct spi_shells *s, double q)
{
    int n = 1;

    while (n < s->n && s->q[n] <= q * (1 + 1e-9))
        n++;
    return n;
}
