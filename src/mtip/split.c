/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

/* (E5) */
enum { HITS_LEAST = 20 };
static const double hits_part = 0.1;    /* of the images at least lie above the gap */
static const double gap_filled = 0.05;  /* images in the gap, of the fewer beside it */
static const double blank_level = 0.25; /* median below the gap over median above */
static const double few_photons = 4;    /* added to counts: 0 and 1 are no gap */
static const double step = 1.0905077326652577; /* 2^(1/8), of trial limits */

/* ---- the hash ----------------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93U;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93U;
    return h ^ h >> 32;
}

uint64_t spi_split_hash(int64_t n, const float *pixels)
{
    enum { LANES = 4 }; /* independent chains of products */
    uint64_t h[LANES] = {1, 2, 3, 4}, all = (uint64_t)n;

    for (int64_t p = 0; p < n; p++) {
        float v = pixels[p] + 0.0F; /* -0 becomes +0 */
        uint32_t bits;

        memcpy(&bits, &v, sizeof bits);
        h[p % LANES] = (h[p % LANES] ^ bits) * 0x9e3779b97f4a7c15U;
        h[p % LANES] ^= h[p % LANES] >> 29;
    }
    for (int i = 0; i < LANES; i++)
        all = mix(all ^ h[i]) + (uint64_t)i;
    return all;
}

/* ---- images without signal ---------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* How many of the sorted values lie below `limit`. */
static int64_t below(int64_t n, const double *sorted, double limit)
{
    int64_t low = 0, high = n;

    while (low < high) {
        int64_t middle = (low + high) / 2;

        if (sorted[middle] < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Images in the gap about `limit`, as a part of the fewer beside it; infinite where `limit`
 * does not part blank images from others. */
static double filled(int64_t n, const double *x, double limit)
{
    int64_t under = below(n, x, limit / sqrt(2)), upto = below(n, x, limit * sqrt(2)),
            over = n - upto, fewer = under < over ? under : over;
    double hits = fmax(HITS_LEAST, hits_part * (double)n), part;

    if (under < 1 || (double)over < hits || x[under / 2] > blank_level * x[upto + over / 2])
        return INFINITY;
    part = (double)(upto - under) / (double)fewer;
    return part <= gap_filled ? part : (double)INFINITY;
}

spi_err spi_split_least(int64_t n, const double *signal, bool photons, double *least)
{
    double *x, offset = photons ? few_photons : 0, best = INFINITY, first = 0, last = 0;
    int64_t m = 0;
    spi_err err = SPI_NEW(x, n, "signals");

    *least = 0;
    if (err)
        return err;
    for (int64_t k = 0; k < n; k++)
        if (signal[k] + offset > 0)
            x[m++] = signal[k] + offset;
    qsort(x, (size_t)m, sizeof *x, by_value);
    for (double limit = m ? x[0] : 0; m && limit < x[m - 1]; limit *= step) {
        double part = filled(m, x, limit);

        if (part < best)
            best = part, first = limit;
        if (part <= best && isfinite(part))
            last = limit;
    }
    if (isfinite(best))
        *least = fmax(0, sqrt(first * last) - offset);
    free(x);
    return SPI_OK;
}

/* ---- copies ------------------------------------------------------------------------- */

struct known {
    uint64_t hash;
    int64_t image;
};

static int by_hash(const void *a, const void *b)
{
    const struct known *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* Keep the pairs of the first copies in the file's order. */
static void note_pair(struct spi_split *s, int64_t copy, int64_t of)
{
    int i = s->n_copies < SPI_SPLIT_PAIRS ? (int)s->n_copies : SPI_SPLIT_PAIRS;

    for (; i > 0 && s->pair[i - 1][0] > copy; i--)
        memcpy(s->pair[i], s->pair[i - 1], sizeof s->pair[i]);
    s->pair[i][0] = copy;
    s->pair[i][1] = of;
    s->n_copies++;
}

static spi_err find_copies(struct spi_split *s, const uint64_t *hash)
{
    struct known *known;
    int64_t m = 0, first = 0;
    spi_err err = SPI_NEW(known, s->n, "hashes of the images");

    if (err)
        return err;
    for (int64_t k = 0; k < s->n; k++)
        if (s->aside[k] == SPI_ASIDE_NO)
            known[m++] = (struct known){hash[k], k};
    qsort(known, (size_t)m, sizeof *known, by_hash);
    for (int64_t i = 1; i < m; i++) {
        if (known[i].hash != known[first].hash) {
            first = i;
            continue;
        }
        s->aside[known[i].image] = SPI_ASIDE_COPY;
        note_pair(s, known[i].image, known[first].image);
    }
    free(known);
    return SPI_OK;
}

/* ---- the draw ----------------------------------------------------------------------- */

/* (E6): image by image, with the probability that leaves both halves equally large. */
static void deal_images(struct spi_split *s, enum spi_deal deal, uint64_t seed)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_HALVES, 0);
    int64_t left = s->n - s->n_blank - s->n_copies,
            want = deal == SPI_DEAL_ONE ? left : (left + 1) / 2;

    for (int64_t k = 0; k < s->n; k++) {
        bool one;

        if (s->aside[k] == SPI_ASIDE_BLANK || s->aside[k] == SPI_ASIDE_COPY)
            continue;
        one = deal == SPI_DEAL_RANDOM ? spi_rng_uniform(&rng) * (double)left < (double)want
                                      : want > 0;
        s->half[k] = one ? 1 : 2;
        s->n_half[one ? 0 : 1]++;
        want -= one;
        left--;
    }
}

spi_err spi_split_init(struct spi_split *s, int64_t n, const double *signal,
                       const uint64_t *hash, const uint8_t *shows, double least,
                       enum spi_deal deal, uint64_t seed)
{
    spi_err err;

    *s = (struct spi_split){.n = n, .signal_min = least};
    SPI_TRY(err = SPI_NEW(s->half, n, "half sets"), fail);
    SPI_TRY(err = SPI_NEW(s->aside, n, "half sets"), fail);
    for (int64_t k = 0; k < n; k++)
        if (!(signal[k] > 0 && signal[k] >= least)) {
            s->aside[k] = SPI_ASIDE_BLANK;
            s->n_blank++;
        } else if (shows && shows[k] != SPI_ASIDE_NO) {
            s->aside[k] = shows[k];
            s->n_round += shows[k] == SPI_ASIDE_ROUND;
            s->n_other += shows[k] == SPI_ASIDE_OTHER;
            s->n_doublets += shows[k] == SPI_ASIDE_DOUBLET;
        }
    if (hash)
        SPI_TRY(err = find_copies(s, hash), fail);
    deal_images(s, deal, seed);
    return SPI_OK;
fail:
    spi_split_clear(s);
    return err;
}

int64_t spi_split_count(const struct spi_split *s)
{
    return s->n_half[0] + s->n_half[1] - s->n_round - s->n_doublets - s->n_other;
}

void spi_split_clear(struct spi_split *s)
{
    free(s->half);
    free(s->aside);
    *s = (struct spi_split){0};
}
