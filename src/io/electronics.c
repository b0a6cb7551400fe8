/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/electronics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { VALUES_LEAST = 1000, SCALES = 12, TURNS_LEAST = 4, TURNS_MOST = 60, FINE = 6 };
enum { PEAKS = 12 };
enum { BINS = 4096, LEVEL = BINS / TURNS_LEAST / 2 };

/* A comb shows as a line of the spectrum: of its height at least, and above its noise. */
static const double line_least = 0.08, line_over_noise = 25;
static const double line_first = 0.9; /* of the highest: the first such line is the gain */
static const double low_part = 0.01, low_sigmas = 2.326;     /* of a normal distribution */
static const double gain_apart = 0.03, pedestal_apart = 0.2; /* of half the images */
static const double few_part = 0.9, most_part = 0.9999; /* of the values, below windows */
static const double no_line = 1e-12;
static const double cut_part =
    0.2; /* of the values are the lowest: the detector cut them */

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* The place where sorted values are densest: the half sample of least width, again and
 * again. */
static double densest(int64_t n, const float *x)
{
    while (n > 2) {
        int64_t half = (n + 1) / 2, at = 0;

        for (int64_t i = 0; i + half <= n; i++)
            if (x[i + half - 1] - x[i] < x[at + half - 1] - x[at])
                at = i;
        x += at;
        n = half;
        if (x[n - 1] == x[0])
            break;
    }
    return 0.5 * ((double)x[0] + (double)x[n - 1]);
}

/* A spectrum of the values between `from` and `from` + width.  The histogram is divided by
 * its running mean, so that a steep distribution is level, and has a Hann window: what is
 * left has no line beyond a few turns unless there is a comb. */
struct window {
    double from, width, weight[BINS], sum, n_effective;
};

static void look_at(struct window *w, int64_t n, const float *x)
{
    double count[BINS] = {0}, run = 0, sum2 = 0;

    for (int64_t i = 0; i < n; i++) {
        double t = ((double)x[i] - w->from) / w->width;

        if (t >= 0 && t < 1)
            count[(int)(t * BINS)]++;
    }
    w->sum = 0;
    for (int b = -LEVEL; b < BINS; b++) { /* run: of b - LEVEL to b + LEVEL */
        double s, level;

        if (b + LEVEL < BINS)
            run += count[b + LEVEL];
        if (b - LEVEL - 1 >= 0)
            run -= count[b - LEVEL - 1];
        if (b < 0)
            continue;
        s = sin(M_PI * (b + 0.5) / BINS);
        level = run > 0 ? s * s / run : 0;
        w->weight[b] = count[b] * level;
        w->sum += w->weight[b];
        sum2 += w->weight[b] * level;
    }
    w->n_effective = sum2 > 0 ? w->sum * w->sum / sum2 : 0;
}

/* Height of the line at so many turns over the width, and its phase in turns. */
static double line(const struct window *w, double turns, double *phase)
{
    double re = 0, im = 0;

    for (int b = 0; b < BINS; b++) {
        double a = 2 * M_PI * turns * (b + 0.5) / BINS;

        if (w->weight[b] > 0) {
            re += w->weight[b] * cos(a);
            im += w->weight[b] * sin(a);
        }
    }
    *phase = atan2(im, re) / (2 * M_PI);
    return w->sum > 0 ? hypot(re, im) / w->sum : 0;
}

struct comb {
    double gain, phase_at, height;
};

/* The line of the lowest frequency that is about as high as the highest. */
static void find_line(const struct window *w, struct comb *best)
{
    enum { STEPS = (TURNS_MOST - TURNS_LEAST) * FINE };
    double height[STEPS + 1], phase, most = 0, at, step = 1.0 / FINE, top;
    int first = 0;

    for (int i = 0; i <= STEPS; i++) {
        height[i] = line(w, TURNS_LEAST + i * step, &phase);
        most = fmax(most, height[i]);
    }
    while (height[first] < line_first * most || (first == 0 && height[1] > height[0]))
        first++;
    if (first == 0) /* it still falls: no line, or one of fewer turns */
        return;
    while (first < STEPS && height[first + 1] > height[first])
        first++;
    at = TURNS_LEAST + first * step;
    top = height[first];
    for (; step > 1e-4; step *= 0.5)
        for (int side = -1; side <= 1; side += 2) {
            double h = line(w, at + side * step, &phase);

            if (h > top)
                top = h, at += side * step;
        }
    if (top * top * w->n_effective < line_over_noise || top < line_least)
        return;
    line(w, at, &phase);
    *best = (struct comb){
        .gain = w->width / at, .phase_at = w->from + phase * w->width / at, .height = top};
}

/* Detectors may cut what lies below the pedestal: the lower half of the peak of no photon is
 * then one value, and the upper half stands for both. */
struct cut {
    bool yes;
    double at;
};

static void count_values(int64_t n, const float *x, const struct cut *cut, double from,
                         double size, double half, double count[BINS])
{
    for (int b = 0; b < BINS; b++)
        count[b] = 0;
    for (int64_t i = 0; i < n; i++) {
        double at = ((double)x[i] - from) / size,
               twin = (2 * cut->at - (double)x[i] - from) / size;

        if (cut->yes && (double)x[i] <= cut->at)
            continue;
        if (at >= 0 && at < BINS)
            count[(int)at]++;
        if (cut->yes && (double)x[i] < cut->at + half && twin >= 0 && twin < BINS)
            count[(int)twin]++;
    }
}

/* Peaks of 0 to PEAKS photons of any weights, and the tail of the next: most likely gain,
 * pedestal and noise (X3), by expectation and maximisation. */
static void fit_peaks(int64_t n, const float *x, const struct cut *cut,
                      struct spi_electronics *e)
{
    enum { ALL = PEAKS + 2, ROUNDS = 100 };
    double weight[ALL];

    for (int k = 0; k < ALL; k++)
        weight[k] = 1.0 / ALL;
    for (int round = 0; round < ROUNDS; round++) {
        double s0 = 0, s1 = 0, s2 = 0, sv = 0, skv = 0, svv = 0, sum[ALL] = {0}, total = 0,
               det, left;
        const double from = e->pedestal - fmax(0.5, 5 * e->noise) * e->gain,
                     to = e->pedestal + (PEAKS + 0.5) * e->gain, size = (to - from) / BINS,
                     v = e->noise * e->noise * e->gain * e->gain + size * size / 12;
        double count[BINS];

        count_values(n, x, cut, from, size, 0.5 * e->gain, count);
        for (int b = 0; b < BINS; b++) {
            double p[ALL], all = 0, at = from + (b + 0.5) * size;

            if (!(count[b] > 0))
                continue;
            for (int k = 0; k < ALL; k++) {
                double d = at - e->pedestal - k * e->gain;

                all += p[k] = weight[k] * exp(-0.5 * d * d / v);
            }
            for (int k = 0; k < ALL && all > 0; k++) {
                double m = count[b] * p[k] / all;

                sum[k] += m;
                total += m;
                if (k > PEAKS)
                    continue;
                s0 += m;
                s1 += k * m;
                s2 += (double)k * k * m;
                sv += m * at;
                skv += k * m * at;
                svv += m * at * at;
            }
        }
        det = s0 * s2 - s1 * s1;
        if (!(det > 0))
            return;
        for (int k = 0; k < ALL; k++)
            weight[k] = sum[k] / total;
        e->gain = (s0 * skv - s1 * sv) / det;
        e->pedestal = (sv - e->gain * s1) / s0;
        left = (svv - e->pedestal * sv - e->gain * skv) / s0;
        e->noise = sqrt(fmax(0, left)) / e->gain;
    }
}

static float part_of(int64_t n, const float *x, double part)
{
    return x[(int64_t)(part * (double)(n - 1))];
}

/* Of the pedestals that the peaks allow, that of the lowest values. */
static double lowest_peak(int64_t n, const float *x, double zero, double at,
                          const struct spi_electronics *e)
{
    double low = (double)part_of(n, x, low_part) + low_sigmas * e->noise * e->gain;

    return at + e->gain * round((fmin(zero, low) - at) / e->gain);
}

/* x: sorted values. */
static void find_peaks(int64_t n, const float *x, struct window *w,
                       struct spi_electronics *out)
{
    struct comb comb[SCALES] = {{0}}, best = {0};
    double zero = densest(n, x), most = 0, widest = (double)part_of(n, x, most_part) - zero;
    int64_t n_lowest = 0;
    struct cut cut;

    for (int64_t i = 0; i < n; i++)
        n_lowest += (double)x[i] == zero;
    cut = (struct cut){(double)n_lowest > cut_part * (double)n, zero};
    w->from = zero;
    w->width = (double)part_of(n, x, few_part) - zero;
    for (int i = 0; i < SCALES && w->width > 0 && w->width <= widest; i++, w->width *= 2) {
        look_at(w, n, x);
        find_line(w, &comb[i]);
        most = fmax(most, comb[i].height);
    }
    for (int i = 0; i < SCALES; i++) /* not one of its harmonics */
        if (comb[i].height >= line_first * most && comb[i].gain > best.gain)
            best = comb[i];
    if (!(best.gain > 0))
        return;
    out->gain = best.gain;
    out->noise = sqrt(fmax(0, -log(fmin(1, fmax(best.height, no_line)))) / 2) / M_PI;
    for (int round = 0; round < 2; round++) {
        out->pedestal = lowest_peak(n, x, zero, round ? out->pedestal : best.phase_at, out);
        fit_peaks(n, x, &cut, out);
    }
}

/* Of the values in any order; x: room for them. */
static struct spi_electronics look_for_peaks(int64_t n, const float *value, float *x,
                                             struct window *w)
{
    struct spi_electronics e = {0};

    memcpy(x, value, (size_t)n * sizeof *x);
    qsort(x, (size_t)n, sizeof *x, by_value);
    find_peaks(n, x, w, &e);
    return e;
}

spi_err spi_electronics_find(int64_t n, const float *value, struct spi_electronics *out)
{
    struct window *w = NULL;
    float *x = NULL;
    spi_err err;

    *out = (struct spi_electronics){0};
    if (n < VALUES_LEAST)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(w, 1, "electronics"), out);
    SPI_TRY(err = SPI_NEW_UNSET(x, n, "electronics"), out);
    *out = look_for_peaks(n, value, x, w);
    for (int half = 0; half < 2 && out->gain > 0; half++) { /* others see the same */
        struct spi_electronics e = look_for_peaks(n / 2, value + half * (n / 2), x, w);

        if (!(fabs(e.gain / out->gain - 1) < gain_apart &&
              fabs(e.pedestal - out->pedestal) < pedestal_apart * out->gain))
            *out = (struct spi_electronics){0};
    }
out:
    free(w);
    free(x);
    return err;
}

double spi_electronics_photons(double x, double expected, double noise)
{
    enum { NEAR = 3 };
    double step = log(expected / (1 + expected)), sum = 0, weighted = 0, most = -INFINITY;
    double s = 1 / (2 * noise * noise), first = fmax(0, rint(x) - NEAR);

    if (!(expected > 0))
        return 0;
    for (int i = 0; i <= 2 * NEAR; i++) {
        double k = first + i;

        most = fmax(most, k * step - (x - k) * (x - k) * s);
    }
    for (int i = 0; i <= 2 * NEAR; i++) {
        double k = first + i, w = exp(k * step - (x - k) * (x - k) * s - most);

        sum += w;
        weighted += k * w;
    }
    return weighted / sum;
}
