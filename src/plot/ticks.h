/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where an axis has its ticks and what they say: pure functions.  Layer: plot. */
#ifndef SPI_PLOT_TICKS_H
#define SPI_PLOT_TICKS_H

#include <stdbool.h>

enum { SPI_TICKS_MAX = 24, SPI_MINOR_MAX = 200, SPI_TICK_TEXT = 32 };

/** Numbers beyond this are not drawn, so that widened intervals stay finite. */
#define SPI_PLOT_HUGE 1e100

/** An interval of an axis, lo < hi, both > 0 when log. */
struct spi_axis {
    double lo, hi;
    bool log;
};

struct spi_ticks {
    int n, n_minor;
    double at[SPI_TICKS_MAX];
    char label[SPI_TICKS_MAX][SPI_TICK_TEXT]; /* UTF-8; what follows '^' is raised */
    double minor[SPI_MINOR_MAX];
    int exponent; /* labels are to be multiplied by 10^exponent; 0: as they are */
};

/** Is v a number that the axis can show? */
bool spi_axis_shows(bool log, double v);
/** The interval [lo, hi] made drawable: swapped if need be, an empty one widened. */
struct spi_axis spi_axis_make(double lo, double hi, bool log);
/** Widened by the fraction `by` on either side. */
struct spi_axis spi_axis_pad(struct spi_axis a, double by);
/** 0 at lo, 1 at hi; clamped to +-1000, so that it can always be drawn. */
double spi_axis_place(const struct spi_axis *a, double v);

/** About `want` round ticks (1, 2, 2.5, 5 times a power of ten) within the axis, at most
 *  SPI_TICKS_MAX. */
void spi_ticks_make(const struct spi_axis *a, int want, struct spi_ticks *t);

/** Resolution d = 1/q at round d, for an axis of q in 1/A; ticks closer than `gap` (a
 *  fraction of the axis) are left out. */
void spi_ticks_resolution(const struct spi_axis *q, double gap, struct spi_ticks *t);

/** The largest of 1, 2, 5 times a power of ten that is not above x > 0. */
double spi_round_below(double x);

#endif
