/* SPDX-License-Identifier: GPL-3.0-or-later */
/* survey_neighbours.c, of io/survey_priv.h: pixels that differ from those around them. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sort.h"
#include "io/survey_priv.h"

enum { DIRECTIONS = 4, DIRECTIONS_LEAST = 2, AROUND = 2, ROUNDS = 12, RING_LEAST = 8 };
enum { LINE_LEAST = 16, LINES = 4 }; /* pixels of a line that can be told */
enum { SQUARE = (2 * AROUND + 1) * (2 * AROUND + 1), AROUND_LEAST = 8, CROWDED = 2 };

static const double sigmas = 6;       /* 2e-9 of a normal distribution; tails are wider */
static const double structured = 1.5; /* a ring whose mean image is no smooth one ... */
static const double halvings = 20;    /* ... has tails exp(-|z|): 2^-20 of its pixels */
static const double hot_least = 1.5, dark_most = 0.5; /* of what neighbours let expect */
static const double own_noise = 1.3; /* standard deviation with that of the expectation */
static const double flicker_over = 3, flicker_counts = 6; /* times, and photons above */
static const double noisy_over = 4, noisy_counts = 30;
static const double hot_fano = 5; /* flickering: more than photons vary */
static const double border_over = 1.25, border_under = 0.8;

/* ---- small things ------------------------------------------------------------------- */

static double median(int n, double *x)
{
    spi_sort(n, x);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* The second of four, the middle one of three, the mean of two: what bright neighbours
 * spoil does not count. */
static double lower(int n, double *x)
{
    spi_sort(n, x);
    return n == 2 ? 0.5 * (x[0] + x[1]) : x[1];
}

static float most_but_two(int n, float *x)
{
    int last = n > CROWDED ? CROWDED : n - 1;

    for (int k = 0; k <= last; k++) /* faults have faults as neighbours now and then */
        for (int i = k + 1; i < n; i++)
            if (x[i] > x[k]) {
                float t = x[i];

                x[i] = x[k];
                x[k] = t;
            }
    return x[last];
}

/* The pixel dy rows and dx columns from p on its panel; -1: there is none that is used. */
static int64_t beside(const struct spi_look *l, int64_t p, int dy, int dx)
{
    const struct spi_detector *d = &l->im->s.det;
    int64_t y = p / d->nx % d->ny + dy, x = p % d->nx + dx,
            at = p + (int64_t)dy * d->nx + dx;

    if (y < 0 || y >= d->ny || x < 0 || x >= d->nx || d->bad[at])
        return -1;
    return at;
}

/* Pixels around p, itself not among them. */
static int around(const struct spi_look *l, int64_t p, int reach, int64_t at[SQUARE])
{
    int n = 0;

    for (int dy = -reach; dy <= reach; dy++)
        for (int dx = -reach; dx <= reach; dx++) {
            int64_t q = dy || dx ? beside(l, p, dy, dx) : -1;

            if (q >= 0)
                at[n++] = q;
        }
    return n;
}

/* Photons, or units of the file, by which the ring's variances exceed its means. */
static double fano(const struct spi_look *l, int64_t p)
{
    double f = l->fano[spi_survey_ring(l, p)];

    return f > 0 ? f : 0;
}

/* ---- what a pixel should hold (X6) -------------------------------------------------- */

static bool expect(const struct spi_look *l, int64_t p, double *expected, double *variance)
{
    static const int step[DIRECTIONS][2] = {{0, 1}, {1, 0}, {1, 1}, {1, -1}};
    double guess[DIRECTIONS], v[SQUARE], m[SQUARE];
    int64_t near[SQUARE];
    int n = 0, count;

    for (int k = 0; k < DIRECTIONS; k++) {
        int64_t at[4];
        double one, two;

        for (int i = 0; i < 4; i++) {
            int times = i < 2 ? 1 : 2, side = i % 2 ? -times : times;

            at[i] = beside(l, p, side * step[k][0], side * step[k][1]);
        }
        if (at[0] < 0 || at[1] < 0)
            continue;
        one = 0.5 * (spi_survey_mean(l, at[0]) + spi_survey_mean(l, at[1]));
        two = at[2] < 0 || at[3] < 0
                  ? one
                  : 0.5 * (spi_survey_mean(l, at[2]) + spi_survey_mean(l, at[3]));
        guess[n++] = (4 * one - two) / 3;
    }
    if (n < DIRECTIONS_LEAST)
        return false;
    *expected = lower(n, guess);
    count = around(l, p, 1, near);
    for (int i = 0; i < count; i++) {
        v[i] = spi_survey_variance(l, near[i]);
        m[i] = spi_survey_mean(l, near[i]);
    }
    *variance = median(count, v);
    if (!l->s->analogue) /* few counts: most neighbours have none */
        *variance = fmax(*variance, fano(l, p) * fmax(*expected, median(count, m)));
    return true;
}

/* Without the largest value: one image is no fault of a pixel. */
static double calm_mean(const struct spi_look *l, int64_t p)
{
    return (l->sum[p] - (double)l->top[p][0]) / fmax((double)spi_survey_valid(l, p) - 1, 1);
}

static double calm_variance(const struct spi_look *l, int64_t p)
{
    double n = fmax((double)spi_survey_valid(l, p) - 1, 1), top = (double)l->top[p][0],
           mean = calm_mean(l, p);

    return fmax(0, (l->sum2[p] - top * top) / n - mean * mean);
}

/* (X7): how many standard deviations the mean of a pixel is off. */
static double deviation(const struct spi_look *l, int64_t p, double *expected)
{
    const double quarter = 3.0 / 8, n = (double)spi_survey_valid(l, p);
    double variance, unit, mean = spi_survey_mean(l, p);

    if (!expect(l, p, expected, &variance) || !(variance > 0))
        return 0;
    if (mean > *expected)
        mean = fmax(*expected, calm_mean(l, p));
    if (l->s->analogue)
        return (mean - *expected) / sqrt(variance / n) / own_noise;
    unit = *expected > 0 ? fmax(variance / *expected, fano(l, p)) : fano(l, p);
    if (!(unit > 0))
        return 0;
    return 2 *
           (sqrt(mean * n / unit + quarter) -
            sqrt(fmax(0, *expected) * n / unit + quarter)) /
           own_noise;
}

/* ---- hot and dark pixels ------------------------------------------------------------ */

struct local {
    double *z, *expected; /* [n_pixels] */
    uint8_t *odd;         /* [n_pixels] stands out in this round */
    double *limit;        /* [rings] of |z| */
    uint8_t *structure;   /* [rings] the mean image has it, in the size of pixels */
};

/* Where the mean image has structure of the size of pixels, it is not told from faults
 * unless these are far larger. */
static spi_err find_limits(const struct spi_look *l, struct local *s)
{
    const struct spi_detector *d = &l->im->s.det;
    int64_t *start = NULL;
    double *value = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(start, l->rings + 2, "survey"), out);
    SPI_TRY(err = SPI_NEW_UNSET(value, d->n_pixels, "survey"), out);
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p])
            start[spi_survey_ring(l, p) + 2]++;
    for (int r = 0; r < l->rings; r++)
        start[r + 2] += start[r + 1];
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p])
            value[start[spi_survey_ring(l, p) + 1]++] = fabs(s->z[p]);
    for (int r = 0; r < l->rings; r++) {
        int64_t n = start[r + 1] - start[r];
        double middle;

        s->limit[r] = NAN;
        if (n < RING_LEAST)
            continue;
        middle = median((int)n, value + start[r]);
        s->limit[r] = 1.4826 * middle > structured ? halvings * middle
                                                   : sigmas * fmax(1, 1.4826 * middle);
        s->structure[r] = 1.4826 * middle > structured;
    }
    for (int r = l->rings - 2; r >= 0; r--) /* small rings: as those around them */
        if (isnan(s->limit[r]))
            s->limit[r] = s->limit[r + 1], s->structure[r] = s->structure[r + 1];
    for (int r = 1; r < l->rings; r++)
        if (isnan(s->limit[r]))
            s->limit[r] = s->limit[r - 1], s->structure[r] = s->structure[r - 1];
out:
    free(start);
    free(value);
    return err;
}

/* What three of the eight pixels around reach: the middle of a steep peak is no fault. */
static double near_light(const struct spi_look *l, int64_t p)
{
    int64_t near[SQUARE];
    float mean[SQUARE];
    int n = around(l, p, 1, near);

    for (int i = 0; i < n; i++)
        mean[i] = (float)spi_survey_mean(l, near[i]);
    return n > 0 ? (double)most_but_two(n, mean) : 0;
}

static bool stands_out(const struct spi_look *l, const struct local *s, int64_t p,
                       bool bright)
{
    double z = s->z[p], mean = spi_survey_mean(l, p), most = fmax(0, s->expected[p]);
    int64_t near[SQUARE];
    int n, ring = spi_survey_ring(l, p);

    if (l->im->s.det.bad[p] || !(fabs(z) > s->limit[ring]) || bright != (z > 0))
        return false;
    if (bright ? !(mean > hot_least * fmax(most, near_light(l, p)))
               : s->structure[ring] || l->uneven[ring] || !(mean < dark_most * most))
        return false;
    n = around(l, p, AROUND, near);
    for (int i = 0; i < n; i++) /* what is odd makes its neighbours look odd */
        if (fabs(s->z[near[i]]) > fabs(z))
            return false;
    return true;
}

static enum spi_pixel_reason too_bright(const struct spi_look *l, int64_t p)
{
    double f = spi_survey_variance(l, p) / spi_survey_mean(l, p);

    return !l->s->analogue && f > hot_fano * fano(l, p) ? SPI_REASON_FLICKERING
                                                        : SPI_REASON_HOT;
}

static spi_err find_odd(struct spi_look *l, struct local *s, bool bright)
{
    const int64_t n = l->im->s.det.n_pixels;
    int64_t found = 1;
    spi_err err = SPI_OK;

    for (int round = 0; round < ROUNDS && found > 0 && !err; round++) {
        found = 0;
        for (int64_t p = 0; p < n; p++)
            s->z[p] = l->im->s.det.bad[p] ? 0 : deviation(l, p, &s->expected[p]);
        err = find_limits(l, s);
        for (int64_t p = 0; p < n && !err; p++)
            found += s->odd[p] = stands_out(l, s, p, bright);
        for (int64_t p = 0; p < n && !err; p++)
            if (s->odd[p])
                spi_survey_mask(l, p, bright ? too_bright(l, p) : SPI_REASON_DARK);
    }
    return err;
}

/* ---- pixels that vary (X8) ---------------------------------------------------------- */

static void find_varying(struct spi_look *l, uint8_t *found)
{
    const struct spi_detector *d = &l->im->s.det;

    for (int64_t p = 0; p < d->n_pixels; p++) {
        int64_t near[SQUARE];
        float most[SQUARE], var[SQUARE];
        double unit = l->s->analogue ? 0 : fano(l, p), brightest, widest,
               n_images = (double)spi_survey_valid(l, p);
        int n = d->bad[p] ? 0 : around(l, p, AROUND, near);

        if (n < AROUND_LEAST || n_images < 2 * SPI_SURVEY_LEAST_IMAGES)
            continue;
        for (int i = 0; i < n; i++) {
            most[i] = l->top[near[i]][0];
            var[i] = (float)spi_survey_variance(l, near[i]);
        }
        brightest = (double)most_but_two(n, most);
        widest = (double)most_but_two(n, var);
        if (!(widest > 0))
            continue;
        if ((double)l->top[p][1] >
            flicker_over * fmax(0, brightest) + flicker_counts * unit)
            found[p] = (uint8_t)too_bright(l, p);
        else if (calm_variance(l, p) >
                 noisy_over * widest + noisy_counts * unit * unit / n_images)
            found[p] = SPI_REASON_NOISY;
    }
}

spi_err spi_survey_neighbours(struct spi_look *l)
{
    const int64_t n = l->im->s.det.n_pixels;
    struct local s = {0};
    uint8_t *found = NULL;
    spi_err err;

    SPI_TRY(err = spi_survey_rings(l), out);
    SPI_TRY(err = SPI_NEW(s.z, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(s.expected, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(s.odd, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(s.limit, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(s.structure, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(found, n, "survey"), out);
    SPI_TRY(err = find_odd(l, &s, true), out); /* first: beside them others look dark */
    find_varying(l, found);
    for (int64_t p = 0; p < n; p++)
        if (found[p])
            spi_survey_mask(l, p, (enum spi_pixel_reason)found[p]);
    err = find_odd(l, &s, false);
out:
    free(s.z);
    free(s.expected);
    free(s.odd);
    free(s.limit);
    free(s.structure);
    free(found);
    return err;
}

/* ---- lines beside gaps (X9) --------------------------------------------------------- */

/* Pixels p of a line that goes along `step`, whose neighbours inwards are p + in, p + 2 in,
 * p + 3 in.  These let expect what the rings have times the ratio that three lines have to
 * their rings, and what a parabola through three lines has. */
static bool line_is_off(const struct spi_look *l, int64_t first, int64_t step, int64_t n,
                        int64_t in)
{
    double sum[LINES] = {0}, ring[LINES] = {0}, variance = 0, straight, curved;

    for (int64_t i = 0; i < n; i++) {
        int64_t p = first + i * step;

        for (int k = 0; k < LINES; k++) {
            double r = l->mean[spi_survey_ring(l, p + k * in)];

            sum[k] += spi_survey_mean(l, p + k * in);
            ring[k] += r > 0 ? r : 0;
        }
        variance += spi_survey_variance(l, p + in) / (double)l->s->n_images;
    }
    straight = ring[0] * (sum[1] + sum[2] + sum[3]) / (ring[1] + ring[2] + ring[3]);
    curved = 3 * sum[1] - 3 * sum[2] + sum[3];
    if (!(variance > 0 &&
          fabs(sum[0] - straight) > sigmas * sqrt(variance * LINES / (LINES - 1))))
        return false;
    return sum[0] > border_over * fmax(straight, curved) ||
           sum[0] < border_under * fmin(straight, curved);
}

/* Is p used and three more inwards, and nothing outwards? */
static bool is_border(const struct spi_look *l, int64_t p, int dy, int dx)
{
    if (l->im->s.det.bad[p] || beside(l, p, -dy, -dx) >= 0)
        return false;
    for (int k = 1; k <= 3; k++)
        if (beside(l, p, k * dy, k * dx) < 0)
            return false;
    return true;
}

static void scan_line(struct spi_look *l, int64_t first, int64_t step, int64_t n, int dy,
                      int dx, uint8_t *off)
{
    const int64_t in = (int64_t)dy * l->im->s.det.nx + dx;
    int64_t begin = 0;

    for (int64_t i = 0; i <= n; i++) {
        if (i < n && is_border(l, first + i * step, dy, dx))
            continue;
        if (i - begin >= LINE_LEAST &&
            line_is_off(l, first + begin * step, step, i - begin, in))
            for (int64_t k = begin; k < i; k++)
                off[first + k * step] = 1;
        begin = i + 1;
    }
}

spi_err spi_survey_borders(struct spi_look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    uint8_t *off;
    spi_err err = SPI_NEW(off, d->n_pixels, "survey");

    if (!err)
        err = spi_survey_rings(l);
    for (int panel = 0; panel < d->panels && !err; panel++) {
        int64_t at = (int64_t)panel * d->ny * d->nx;

        for (int side = -1; side <= 1; side += 2) {
            for (int y = 0; y < d->ny; y++)
                scan_line(l, at + (int64_t)y * d->nx, 1, d->nx, side, 0, off);
            for (int x = 0; x < d->nx; x++)
                scan_line(l, at + x, d->nx, d->ny, 0, side, off);
        }
    }
    for (int64_t p = 0; p < d->n_pixels && !err; p++)
        if (off[p])
            spi_survey_mask(l, p, SPI_REASON_BORDER);
    free(off);
    return err;
}
