/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plot/ticks.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool spi_axis_shows(bool log, double v)
{
    return fabs(v) <= SPI_PLOT_HUGE && (!log || v >= 1 / SPI_PLOT_HUGE);
}

struct spi_axis spi_axis_make(double lo, double hi, bool log)
{
    if (lo > hi) {
        double swap = lo;

        lo = hi;
        hi = swap;
    }
    if (log) {
        if (hi / lo < 1 + 1e-9) {
            lo /= 2;
            hi *= 2;
        }
    } else {
        double big = fmax(fabs(lo), fabs(hi)), d = big < 1 / SPI_PLOT_HUGE ? 1 : 0.1 * big;

        if (hi - lo <= fmax(1e-9 * big, 1 / SPI_PLOT_HUGE)) { /* labels have 10 digits */
            lo -= d;
            hi += d;
        }
    }
    return (struct spi_axis){lo, hi, log};
}

struct spi_axis spi_axis_pad(struct spi_axis a, double by)
{
    if (a.log) {
        double f = pow(a.hi / a.lo, by);

        a.lo /= f;
        a.hi *= f;
    } else {
        double d = by * (a.hi - a.lo);

        a.lo -= d;
        a.hi += d;
    }
    return a;
}

double spi_axis_place(const struct spi_axis *a, double v)
{
    double t = a->log ? log(v / a->lo) / log(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);

    return fmin(fmax(t, -1000), 1000);
}

double spi_round_below(double x)
{
    double p = pow(10, floor(log10(x) + 1e-9)), m = x / p * (1 + 1e-9);

    return p * (m >= 5 ? 5 : m >= 2 ? 2 : 1);
}

/* "12.50" with a typographic minus. */
static void number(double v, int decimals, char text[SPI_TICK_TEXT])
{
    snprintf(text, SPI_TICK_TEXT, "%s%.*f", v < 0 ? "\u2212" : "", decimals, fabs(v));
}

/* v = mantissa * 10^k -> "mantissa x 10^k" or, where short, plain. */
static void power_label(double v, bool plain, char text[SPI_TICK_TEXT])
{
    int k = (int)floor(log10(v) + 1e-9);
    double m = v / pow(10, k);

    if (plain)
        snprintf(text, SPI_TICK_TEXT, "%g", v);
    else if (fabs(m - 1) < 1e-6)
        snprintf(text, SPI_TICK_TEXT, "10^%s%d", k < 0 ? "\u2212" : "", k < 0 ? -k : k);
    else
        snprintf(text, SPI_TICK_TEXT, "%.3g\u00d710^%s%d", m, k < 0 ? "\u2212" : "",
                 k < 0 ? -k : k);
}

static void linear(const struct spi_axis *a, int want, struct spi_ticks *t)
{
    static const double round[] = {1, 2, 2.5, 5, 10};
    double raw = (a->hi - a->lo) / want, p = pow(10, floor(log10(raw))), step = 10 * p;
    int extra = 0; /* decimals of the mantissa: 2.5 has one */

    for (int i = 4; i >= 0; i--)
        if (round[i] * p >= 0.999 * raw) {
            step = round[i] * p;
            extra = i == 2;
        }

    double first = ceil(a->lo / step - 1e-6), big = fmax(fabs(a->lo), fabs(a->hi));
    int place = (int)floor(log10(step) + 1e-9), top = (int)floor(log10(big) + 1e-9);

    t->exponent = top > 4 || top < -3 ? top : 0; /* 10000 and 0.001 are still written out */

    int decimals = t->exponent - place + extra;

    decimals = decimals < 0 ? 0 : decimals > 12 ? 12 : decimals;
    for (int i = 0; t->n < SPI_TICKS_MAX; i++) {
        double v = (first + i) * step;

        if (!(v <= a->hi + 1e-6 * step))
            break;
        t->at[t->n] = v;
        number(fabs(v) < 1e-6 * step ? 0 : v / pow(10, t->exponent), decimals,
               t->label[t->n]);
        t->n++;
    }
    for (int i = -5; i < 5 * SPI_TICKS_MAX && t->n_minor < SPI_MINOR_MAX; i++) {
        double v = (first + i / 5.0) * step;

        if (i % 5 && v >= a->lo && v <= a->hi)
            t->minor[t->n_minor++] = v;
    }
}

/* Ticks at m[0..n) times every stride-th power of ten. */
static void decades(const struct spi_axis *a, const double *m, int n, int stride,
                    bool plain, struct spi_ticks *t)
{
    int k0 = (int)floor(log10(a->lo)) - 1, k1 = (int)ceil(log10(a->hi)) + 1;

    for (int k = k0; k <= k1; k++)
        for (int i = 0; i < n; i++) {
            double v = m[i] * pow(10, k);

            if (v < a->lo * (1 - 1e-9) || v > a->hi * (1 + 1e-9))
                continue;
            if (k % stride == 0 && t->n < SPI_TICKS_MAX) {
                t->at[t->n] = v;
                power_label(v, plain, t->label[t->n]);
                t->n++;
            }
        }
}

/* 1, 2, ... 9 times each power of ten, or only these; none where they would touch. */
static void minor_decades(const struct spi_axis *a, double span, struct spi_ticks *t)
{
    int k0 = (int)floor(log10(a->lo)), k1 = (int)ceil(log10(a->hi));

    for (int k = k0; k <= k1 && span <= 50; k++)
        for (int i = 1; i < (span <= 12 ? 10 : 2) && t->n_minor < SPI_MINOR_MAX; i++) {
            double v = i * pow(10, k);

            if (v >= a->lo && v <= a->hi)
                t->minor[t->n_minor++] = v;
        }
}

static void logarithmic(const struct spi_axis *a, int want, struct spi_ticks *t)
{
    static const double one[] = {1}, few[] = {1, 2, 5}, all[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    double span = log10(a->hi / a->lo);
    bool plain = a->lo >= 0.999e-3 && a->hi <= 10001;
    static const int strides[] = {1, 2, 3, 4, 5, 10, 20, 25, 50, 100};
    int stride = 1;

    for (size_t i = 0; stride * want < span && i < sizeof strides / sizeof *strides; i++)
        stride = strides[i];
    if (span >= 2)
        decades(a, one, 1, stride, plain, t);
    else if (span >= 0.8)
        decades(a, few, 3, 1, plain, t);
    else
        decades(a, all, 9, 1, plain, t);
    if (t->n >= 2)
        minor_decades(a, span, t);
    else { /* less than one step of that: as on a linear axis */
        struct spi_axis flat = {a->lo, a->hi, false};

        t->n = 0;
        linear(&flat, want, t);
    }
}

void spi_ticks_make(const struct spi_axis *a, int want, struct spi_ticks *t)
{
    memset(t, 0, sizeof *t);
    want = want < 2 ? 2 : want > SPI_TICKS_MAX / 2 ? SPI_TICKS_MAX / 2 : want;
    if (a->log)
        logarithmic(a, want, t);
    else
        linear(a, want, t);
}

void spi_ticks_resolution(const struct spi_axis *q, double gap, struct spi_ticks *t)
{
    static const double round[] = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8};
    enum { N = sizeof round / sizeof *round };
    double last = HUGE_VAL;

    memset(t, 0, sizeof *t);
    if (!(q->hi > 1e-9) || !(q->hi < 1e9))
        return;
    /* from the highest resolution down: there the reader looks, and there the ticks are far
     * apart */
    int k0 = (int)floor(-log10(q->hi));

    for (int i = 0; i < 9 * N && t->n < SPI_TICKS_MAX; i++) {
        double d = round[i % N] * pow(10, k0 + i / N);
        double at = spi_axis_place(q, 1 / d);

        if (1 / d > q->hi * (1 + 1e-9) || 1 / d < q->lo || last - at < gap)
            continue;
        last = at;
        t->at[t->n] = 1 / d;
        snprintf(t->label[t->n], SPI_TICK_TEXT, "%.4g", d);
        t->n++;
    }
}
