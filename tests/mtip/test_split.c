/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which images take part and in which half set: blank images, copies, the draw. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "mtip/split.h"
#include "tap.h"

enum { N = 3000 };
static double signal[N];
static uint64_t hash[N];

/* Every image is its own. */
static void different(void)
{
    for (int k = 0; k < N; k++)
        hash[k] = 1000003U * (uint64_t)k + 17;
}

enum spread { CONSTANT, HALF_TO_THREE_HALVES, EXPONENTIAL };

static double fluence(struct spi_rng *r, enum spread spread)
{
    switch (spread) {
    case CONSTANT:
        return 1;
    case HALF_TO_THREE_HALVES:
        return 0.5 + spi_rng_uniform(r);
    case EXPONENTIAL:
        return -log(spi_rng_uniform(r));
    }
    return 0;
}

/* Photons of images, every `period`-th one blank with `dark` photons on average. */
static void make_signals(double photons, enum spread spread, int period, double dark)
{
    struct spi_rng r = spi_rng_stream(3, SPI_RNG_TEST, (uint64_t)(photons + period));

    for (int k = 0; k < N; k++) {
        bool blank = period > 0 && k % period == 0;
        double mean = blank ? dark : photons * fluence(&r, spread) + dark;

        signal[k] = (double)spi_rng_poisson(&r, mean);
    }
}

/* Wrong decisions: blank images kept, others set aside. */
static int wrong(const struct spi_split *s, int period)
{
    int n = 0;

    for (int k = 0; k < N; k++)
        n += (s->aside[k] == SPI_ASIDE_BLANK) != (period > 0 && k % period == 0);
    return n;
}

static void blanks(double photons, enum spread spread, int period, double dark, int allowed)
{
    struct spi_split s = {0};
    double least = -1;
    spi_err err;

    different();
    make_signals(photons, spread, period, dark);
    err = spi_split_least(N, signal, true, &least);
    err = err ? err : spi_split_init(&s, N, signal, hash, NULL, least, SPI_DEAL_RANDOM, 1);
    OK(!err && wrong(&s, period) <= allowed,
       "%g photons (spread %d), every %d. image blank with %g photons: limit %.1f, %lld "
       "blank, %d wrong (%d allowed) %s",
       photons, spread, period, dark, least, (long long)s.n_blank,
       err ? -1 : wrong(&s, period), allowed, err ? spi_err_message() : "");
    spi_split_clear(&s);
}

static void blank_images(void)
{
    /* Clean sets lose no image, but for those of an exponential spread that hold a photon
     * or two: P(fluence < 2/200) = 1 % of 3,000. */
    blanks(200, CONSTANT, 0, 0, 0);
    blanks(200, HALF_TO_THREE_HALVES, 0, 0, 0);
    blanks(200, EXPONENTIAL, 0, 0, 30);
    blanks(1e4, EXPONENTIAL, 0, 0, 2);
    blanks(20, CONSTANT, 0, 0, 0);
    blanks(1e4, HALF_TO_THREE_HALVES, 0, 100, 0);
    /* Half of the images are blank, or a few, or most. */
    blanks(1e4, CONSTANT, 2, 0, 0);
    blanks(1e4, HALF_TO_THREE_HALVES, 2, 50, 0);
    blanks(200, HALF_TO_THREE_HALVES, 2, 0, 0);
    blanks(200, CONSTANT, 2, 5, 0);
    blanks(1e3, HALF_TO_THREE_HALVES, 100, 10, 0);
    /* a wide spread reaches down to the blank images: exp(-1/8) of them do not */
    blanks(1e4, EXPONENTIAL, 2, 10, 60);
}

/* Intensities: any unit; a control that two particles of unlike size are no blank images.
 */
static void other_units(void)
{
    double least[2];
    spi_err err;

    make_signals(1e4, HALF_TO_THREE_HALVES, 2, 50);
    for (int k = 0; k < N; k++)
        signal[k] = ldexp(signal[k], -60);
    err = spi_split_least(N, signal, false, &least[0]);
    OK(!err && least[0] > ldexp(100, -60) && least[0] < ldexp(5000, -60),
       "intensities of 1e-18: limit %g", least[0]);
    make_signals(1e4, CONSTANT, 2, 4000);
    err = spi_split_least(N, signal, true, &least[1]);
    OK(!err && least[1] == 0,
       "images of 4,000 and 14,000 photons: both may be particles (%g)", least[1]);
    for (int k = 0; k < N; k++)
        signal[k] = k % 50 ? 200 : 20000; /* 2 % outshine all others */
    err = spi_split_least(N, signal, true, &least[1]);
    OK(!err && least[1] == 0, "a few bright images make no others blank (%g)", least[1]);
}

static void copies(void)
{
    struct spi_split s;
    spi_err err;
    int apart = 0, seen = 0;

    different();
    for (int k = 0; k < N; k++)
        signal[k] = 100;
    for (int k = N / 2; k < N; k++) /* the second half repeats the first */
        hash[k] = hash[k - N / 2];
    hash[7] = hash[3];
    signal[5] = 0;
    err = spi_split_init(&s, N, signal, hash, NULL, 0, SPI_DEAL_RANDOM, 1);
    if (err) {
        OK(0, "%s", spi_err_message());
        return;
    }
    /* of the second half the images that repeat 5, which is blank, and 7, whose pixels have
     * changed since, are no copies; 7 is one */
    OK(s.n_blank == 1 && s.n_copies == N / 2 - 1 && s.aside[5] == SPI_ASIDE_BLANK &&
           s.aside[5 + N / 2] == SPI_ASIDE_NO,
       "%lld copies, %lld blank", (long long)s.n_copies, (long long)s.n_blank);
    OK(s.pair[0][0] == 7 && s.pair[0][1] == 3 && s.pair[1][0] == N / 2 &&
           s.pair[1][1] == 0 && s.pair[2][0] == N / 2 + 1 && s.pair[2][1] == 1,
       "the first pairs: %lld of %lld, %lld of %lld", (long long)s.pair[0][0],
       (long long)s.pair[0][1], (long long)s.pair[1][0], (long long)s.pair[1][1]);
    for (int k = 0; k < N; k++) {
        apart += (s.half[k] == 0) != (s.aside[k] != SPI_ASIDE_NO);
        seen += s.half[k] != 0;
    }
    OK(apart == 0 && seen == N / 2 && s.n_half[0] + s.n_half[1] == seen &&
           s.n_half[0] - s.n_half[1] <= 1,
       "each image counts once: %d in half sets of %lld and %lld", seen,
       (long long)s.n_half[0], (long long)s.n_half[1]);
    spi_split_clear(&s);
}

/* How many images with k % period == 0 are in half 1. */
static int of_period(const struct spi_split *s, int period)
{
    int n = 0;

    for (int k = 0; k < N; k += period)
        n += s->half[k] == 1;
    return n;
}

static void the_draw(void)
{
    struct spi_split a, b, c, t;
    spi_err err;
    int same = 0, ordered = 1;

    different();
    for (int k = 0; k < N; k++)
        signal[k] = 100;
    err = spi_split_init(&a, N, signal, hash, NULL, 0, SPI_DEAL_RANDOM, 1);
    err = err ? err : spi_split_init(&b, N, signal, hash, NULL, 0, SPI_DEAL_RANDOM, 1);
    err = err ? err : spi_split_init(&c, N, signal, hash, NULL, 0, SPI_DEAL_RANDOM, 2);
    err = err ? err : spi_split_init(&t, N, signal, hash, NULL, 0, SPI_DEAL_BLOCKS, 1);
    if (err) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int k = 0; k < N; k++)
        same += a.half[k] == c.half[k];
    OK(!memcmp(a.half, b.half, N), "the same seed gives the same halves");
    /* sqrt(3000)/2 = 27 is the standard deviation; 6 of them */
    OK(abs(same - N / 2) < 6 * 27, "another seed gives others: %d of %d are the same", same,
       N);
    OK(a.n_half[0] == N / 2 && a.n_half[1] == N / 2, "the halves are equally large");
    for (int period = 2; period <= 8; period *= 2) /* hypergeometric: sigma < sqrt(n)/2 */
        OK(fabs(of_period(&a, period) - N / period / 2.0) < 3 * sqrt(N / period),
           "of every %d. image %d are in half 1, half of them would be %d", period,
           of_period(&a, period), N / period / 2);
    for (int k = 0; k < N; k++)
        ordered &= t.half[k] == (k < N / 2 ? 1 : 2);
    OK(ordered, "blocks: the earlier images are half 1");
    spi_split_clear(&t);
    for (int k = 0; k < N; k += 2)
        hash[k] = hash[0];
    signal[1] = 0;
    err = spi_split_init(&t, N, signal, NULL, NULL, 0, SPI_DEAL_ONE, 1);
    OK(!err && t.n_half[0] == N - 1 && t.n_half[1] == 0 && t.n_copies == 0 &&
           t.half[0] == 1 && t.half[1] == 0 && t.half[2] == 1 && t.half[N - 1] == 1,
       "one set: all with signal, copies too");
    spi_split_clear(&a);
    spi_split_clear(&b);
    spi_split_clear(&c);
    spi_split_clear(&t);
}

static void hashes(void)
{
    enum { PIXELS = 101 };
    static float image[PIXELS], other[PIXELS];
    struct spi_rng r = spi_rng_stream(5, SPI_RNG_TEST, 0);
    uint64_t h;
    int equal = 0, bits[64] = {0}, low = PIXELS;

    for (int p = 0; p < PIXELS; p++)
        image[p] = other[p] = (float)spi_rng_poisson(&r, 0.5);
    h = spi_split_hash(PIXELS, image);
    OK(h == spi_split_hash(PIXELS, other), "equal pixels have equal hashes");
    other[17] = -other[17];
    image[17] = 0, other[17] = -0.0F;
    OK(spi_split_hash(PIXELS, image) == spi_split_hash(PIXELS, other), "-0 is 0");
    h = spi_split_hash(PIXELS, image);
    memcpy(other, image, sizeof other);
    for (int p = 0; p < PIXELS; p++) { /* one photon more anywhere changes all bits */
        uint64_t change;

        other[p] += 1;
        change = spi_split_hash(PIXELS, other) ^ h;
        equal += change == 0;
        for (int b = 0; b < 64; b++)
            bits[b] += change >> b & 1;
        other[p] = image[p];
    }
    for (int b = 0; b < 64; b++)
        low = bits[b] < low ? bits[b] : low;
    /* binomial (101, 1/2): sigma 5; the least of 64 bits is above 50 - 5 sigma */
    OK(equal == 0 && low > 25,
       "a photon more: no hash equal, each bit changes %d times of %d", low, PIXELS);
    for (int p = 1; p < PIXELS && image[0] == image[p]; p++)
        equal++;
    other[0] = image[1], other[1] = image[0] + 1, image[1] = image[0] + 1;
    image[0] = other[0];
    other[0] = image[1], other[1] = image[0];
    OK(spi_split_hash(PIXELS, image) != spi_split_hash(PIXELS, other),
       "two pixels in each other's place have another hash");
}

/* Doubtful images get a half set and make no model; blank ones get none. */
static void doubtful(void)
{
    static uint8_t shows[N];
    struct spi_split s = {0};
    int64_t round = 0, other = 0, pairs = 0, bad = 0;
    spi_err err;

    different();
    for (int k = 0; k < N; k++) {
        signal[k] = k % 10 ? 100 : 0;
        shows[k] = k % 7 == 1   ? SPI_ASIDE_ROUND
                   : k % 7 == 2 ? SPI_ASIDE_DOUBLET
                   : k % 7 == 3 ? SPI_ASIDE_OTHER
                                : SPI_ASIDE_NO;
        round += k % 10 && k % 7 == 1;
        pairs += k % 10 && k % 7 == 2;
        other += k % 10 && k % 7 == 3;
    }
    err = spi_split_init(&s, N, signal, hash, shows, 0, SPI_DEAL_RANDOM, 1);
    for (int k = 0; k < N && !err; k++) {
        bool takes = k % 10 != 0, doubt = takes && k % 7 >= 1 && k % 7 <= 3;

        bad += (s.half[k] != 0) != takes || spi_split_doubtful(&s, k) != doubt ||
               spi_split_models(&s, k) != (takes && !doubt);
    }
    OK(!err && bad == 0 && s.n_round == round && s.n_other == other &&
           s.n_doublets == pairs && s.n_blank == N / 10,
       "round, other, double and blank images: %lld, %lld, %lld, %lld; %lld treated "
       "wrongly",
       (long long)s.n_round, (long long)s.n_other, (long long)s.n_doublets,
       (long long)s.n_blank, (long long)bad);
    OK(!err && spi_split_count(&s) == N - N / 10 - round - other - pairs &&
           llabs(s.n_half[0] - s.n_half[1]) <= 1,
       "%lld images make the models; half sets of %lld and %lld",
       (long long)spi_split_count(&s), (long long)s.n_half[0], (long long)s.n_half[1]);
    spi_split_clear(&s);
}

int main(void)
{
    hashes();
    blank_images();
    other_units();
    copies();
    doubtful();
    the_draw();
    return tap_done();
}
