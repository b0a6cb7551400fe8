/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/friedel.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"

enum { CELLS_MOST = 128, BLOCKS_LEAST = 5, ROUNDS = 20, HELD_MOST = 50 };
static const double floor_of_mean = 0.4; /* c of (J13), of the mean over all cells */
static const double few = 3;             /* photons that may come where few come */
static const double clip = 6;            /* standard deviations of a count */
static const double window = 2;          /* of the fit, half cells */
static const int window_most = 6;
static const double pairs_least = 0.1; /* of all, where a place is looked for */
static const double both_least = 0.3;  /* where one is believed */
static const double signal_least = 0.02, signal_sigmas = 3; /* of the variance of counts */
static const int cells_least = 50;                          /* with signal */
static const double out_least = 8;                          /* times the noise */
static const double sigma_most_px = 0.3;

struct spi_friedel {
    const struct spi_detector *det;
    enum spi_image_kind kind;
    int bin, n, size;          /* pixels a cell, cells a side, of the transforms */
    int64_t n_images, n_means; /* block means that images are compared with */
    double dq, low[2];         /* place of the first pixel */
    int32_t *cell;             /* [n_pixels]; -1: not used */
    double *mean, *weight;     /* [n*n] */
    double *scale;             /* [n*n] 1 / sqrt(c + mean); 0: not used */
    double *most;              /* [n*n] of |x| */
    float *held;        /* [HELD_MOST][n*n] images of one block that wait for its mean */
    double *block_mean; /* [n*n] */
    int n_held, block;  /* of them */
    float complex *z;   /* [size*size] */
    int64_t count[SPI_FRIEDEL_BLOCKS];
    double *squares[SPI_FRIEDEL_BLOCKS];       /* [n*n] sum of x^2 */
    double complex *power[SPI_FRIEDEL_BLOCKS]; /* [size*size] */
};

/* ---- cells -------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

spi_err spi_friedel_pixel(const struct spi_detector *det, const double (*t)[2],
                          double *width)
{
    int64_t n = 0;
    double *step;
    spi_err err = SPI_NEW(step, det->n_pixels, "centre");

    for (int64_t p = 1; p < det->n_pixels && !err; p++)
        if (p % det->nx)
            step[n++] = hypot(t[p][0] - t[p - 1][0], t[p][1] - t[p - 1][1]);
    *width = 0;
    if (!err && n > 0) {
        qsort(step, (size_t)n, sizeof *step, by_value);
        *width = step[n / 2];
    }
    free(step);
    return err;
}

/* Square cells of a whole number of pixels; false: there is no grid. */
static bool find_cells(spi_friedel *f, const double (*t)[2])
{
    const struct spi_detector *det = f->det;
    double high[2] = {-INFINITY, -INFINITY}, side;

    f->low[0] = f->low[1] = INFINITY;
    for (int64_t p = 0; p < det->n_pixels; p++)
        for (int c = 0; c < 2 && !det->bad[p]; c++) {
            f->low[c] = fmin(f->low[c], t[p][c]);
            high[c] = fmax(high[c], t[p][c]);
        }
    side = fmax(high[0] - f->low[0], high[1] - f->low[1]) / f->dq + 1;
    if (!(f->dq > 0 && side >= 4 && side < 1e6))
        return false;
    f->bin = (int)ceil(side / CELLS_MOST - 1e-6);
    f->n = (int)floor((side - 0.5) / f->bin) + 1;
    f->size = spi_fft_good_size(2 * f->n);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        int at[2];

        for (int c = 0; c < 2 && !det->bad[p]; c++)
            at[c] = (int)floor(((t[p][c] - f->low[c]) / f->dq + 0.5) / f->bin);
        f->cell[p] = det->bad[p] ? -1 : (int32_t)(at[1] * f->n + at[0]);
    }
    return true;
}

static spi_err make_arrays(spi_friedel *f)
{
    int64_t cells = (int64_t)f->n * f->n, points = (int64_t)f->size * f->size;
    spi_err err;

    SPI_TRY(err = SPI_NEW(f->mean, cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(f->weight, cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(f->scale, cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(f->most, cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(f->held, HELD_MOST * cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(f->block_mean, cells, "centre"), out);
    err = SPI_NEW(f->z, points, "centre");
out:
    return err;
}

/* (J13): what an image is divided by, and the weights that follow; false: all is 0. */
static bool weigh(spi_friedel *f, const float *mean)
{
    int64_t cells = (int64_t)f->n * f->n, used = 0;
    double c, total = 0;

    for (int64_t p = 0; p < f->det->n_pixels; p++)
        if (f->cell[p] >= 0)
            f->mean[f->cell[p]] += (double)mean[p];
    for (int64_t i = 0; i < cells; i++)
        if (f->mean[i] > 0) {
            total += f->mean[i];
            used++;
        }
    c = used > 0 ? floor_of_mean * total / (double)used : 0;
    for (int64_t i = 0; i < cells; i++) {
        if (!(f->mean[i] > 0)) {
            f->mean[i] = 0;
            continue;
        }
        f->scale[i] = 1 / sqrt(c + f->mean[i]);
        f->weight[i] = sqrt(f->mean[i]) * f->scale[i];
        f->most[i] =
            (clip * sqrt(f->mean[i]) + (f->kind == SPI_PHOTONS ? few : 0)) * f->scale[i];
    }
    return total > 0;
}

spi_err spi_friedel_new(const struct spi_detector *det, enum spi_image_kind kind,
                        const float *mean, spi_friedel **out)
{
    spi_friedel *f;
    double(*t)[2] = NULL;
    bool flat = true;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(f, 1, "centre"), out);
    f->det = det;
    f->kind = kind;
    SPI_TRY(err = SPI_NEW(t, det->n_pixels, "centre"), out);
    SPI_TRY(err = SPI_NEW(f->cell, det->n_pixels, "centre"), out);
    for (int64_t p = 0; p < det->n_pixels; p++)
        flat = flat && spi_detector_flat(det, p, t[p]);
    if (flat)
        SPI_TRY(err = spi_friedel_pixel(det, t, &f->dq), out);
    if (!flat || !find_cells(f, t))
        goto out;
    SPI_TRY(err = make_arrays(f), out);
    if (weigh(f, mean)) {
        *out = f;
        f = NULL;
    }
out:
    free(t);
    spi_friedel_free(f);
    return err;
}

void spi_friedel_free(spi_friedel *f)
{
    if (!f)
        return;
    for (int b = 0; b < SPI_FRIEDEL_BLOCKS; b++) {
        free(f->squares[b]);
        free(f->power[b]);
    }
    free(f->cell);
    free(f->mean);
    free(f->weight);
    free(f->scale);
    free(f->most);
    free(f->held);
    free(f->block_mean);
    free(f->z);
    free(f);
}

/* ---- images ------------------------------------------------------------------------- */

static void put_on_cells(const spi_friedel *f, const float *pixels, float *x)
{
    int64_t cells = (int64_t)f->n * f->n;

    memset(x, 0, (size_t)cells * sizeof *x);
    for (int64_t p = 0; p < f->det->n_pixels; p++)
        if (f->cell[p] >= 0)
            x[f->cell[p]] += pixels[p];
    for (int64_t i = 0; i < cells; i++)
        x[i] = f->scale[i] > 0 ? x[i] : 0;
}

/* (J13): x of an image in its place, and its squares; total: of the block's mean. */
static void beyond_mean(const spi_friedel *f, double total, float *x, double *squares)
{
    int64_t cells = (int64_t)f->n * f->n;
    double sum = 0, a;

    for (int64_t i = 0; i < cells; i++)
        sum += (double)x[i];
    a = total > 0 ? sum / total : 0;
    for (int64_t i = 0; i < cells; i++) {
        double v = ((double)x[i] - a * f->block_mean[i]) * f->scale[i];

        v = fmax(-f->most[i], fmin(f->most[i], v));
        x[i] = (float)v;
        squares[i] += v * v;
    }
}

/* (J14): the power of x1 and x2 together is Z(k) Z(-k)* for Z of x1 + i x2. */
static spi_err add_power(spi_friedel *f, const float *x1, const float *x2,
                         double complex *power)
{
    int n = f->n, m = f->size;
    spi_err err;

    memset(f->z, 0, (size_t)m * (size_t)m * sizeof *f->z);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            f->z[i * m + j] = x1[i * n + j] + (x2 ? x2[i * n + j] : 0) * (float complex)I;
    err = spi_fft2_c2c(m, -1, f->z);
    for (int i = 0; i < m && !err; i++)
        for (int j = 0; j < m; j++)
            power[i * m + j] += (double complex)(
                f->z[i * m + j] * conjf(f->z[(m - i) % m * m + (m - j) % m]));
    return err;
}

/* All that waits: beyond the mean of its block, so that what drifts slowly takes no part. */
static spi_err take_held(spi_friedel *f)
{
    int64_t cells = (int64_t)f->n * f->n, points = (int64_t)f->size * f->size;
    int n = f->n_held, b = f->block;
    double total = 0;
    spi_err err = SPI_OK;

    if (n == 0)
        return SPI_OK;
    if (!f->squares[b])
        err = SPI_NEW(f->squares[b], cells, "centre");
    if (!err && !f->power[b])
        err = SPI_NEW(f->power[b], points, "centre");
    memset(f->block_mean, 0, (size_t)cells * sizeof *f->block_mean);
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < cells; i++)
            f->block_mean[i] += (double)f->held[k * cells + i] / n;
    for (int64_t i = 0; i < cells; i++)
        total += f->block_mean[i];
    for (int k = 0; k < n && !err; k++)
        beyond_mean(f, total, f->held + k * cells, f->squares[b]);
    for (int k = 0; k < n && !err; k += 2)
        err = add_power(f, f->held + k * cells,
                        k + 1 < n ? f->held + (k + 1) * cells : NULL, f->power[b]);
    f->count[b] += n;
    f->n_images += n;
    f->n_means++;
    f->n_held = 0;
    return err;
}

spi_err spi_friedel_add(spi_friedel *f, int block, int64_t n, const float *pixels)
{
    int64_t cells = (int64_t)f->n * f->n;
    spi_err err = SPI_OK;

    for (int64_t i = 0; i < n && !err; i++) {
        if (f->n_held == HELD_MOST || f->block != block)
            err = take_held(f);
        f->block = block;
        put_on_cells(f, pixels + i * f->det->n_pixels, f->held + f->n_held++ * cells);
    }
    return err;
}

/* ---- the place ---------------------------------------------------------------------- */

static int64_t places(const spi_friedel *f)
{
    return (2 * (int64_t)f->n - 1) * (2 * f->n - 1);
}

/* Pairs of power, without the pairs of a cell and itself; c [side * side] with side = 2 n - 1:
 * places are half cells apart. */
static spi_err pairs_of(spi_friedel *f, const double complex *power, const double *squares,
                        double *c)
{
    int n = f->n, m = f->size, side = 2 * n - 1;
    spi_err err;

    for (int i = 0; i < m * m; i++)
        f->z[i] = (float complex)power[i];
    err = spi_fft2_c2c(m, 1, f->z);
    for (int i = 0; i < side && !err; i++)
        for (int j = 0; j < side; j++)
            c[i * side + j] = (double)crealf(f->z[i * m + j]) / ((double)m * m);
    for (int i = 0; i < n && !err; i++)
        for (int j = 0; j < n; j++)
            c[2 * i * side + 2 * j] -= squares[i * n + j];
    return err;
}

/* Pairs of an array of cells. */
static spi_err pairs_of_cells(spi_friedel *f, const double *x, double *c)
{
    int cells = f->n * f->n;
    double complex *power = NULL;
    double *squares = NULL;
    float *single = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(power, (int64_t)f->size * f->size, "centre"), out);
    SPI_TRY(err = SPI_NEW(squares, cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(single, cells, "centre"), out);
    for (int i = 0; i < cells; i++) {
        single[i] = (float)x[i];
        squares[i] = x[i] * x[i];
    }
    SPI_TRY(err = add_power(f, single, NULL, power), out);
    err = pairs_of(f, power, squares, c);
out:
    free(single);
    free(power);
    free(squares);
    return err;
}

/* Solve a x = b of 6, a positive definite; false: it is not. */
static bool solve6(double a[6][6], double b[6])
{
    for (int i = 0; i < 6; i++) {
        double pivot = a[i][i];

        if (!(pivot > 1e-12))
            return false;
        for (int j = i + 1; j < 6; j++) {
            double g = a[j][i] / pivot;

            for (int k = i; k < 6; k++)
                a[j][k] -= g * a[i][k];
            b[j] -= g * b[i];
        }
    }
    for (int i = 5; i >= 0; i--) {
        for (int k = i + 1; k < 6; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

/* (J14): a parabola about place `at` (half cells: x, y), of pairs c over those of the
 * weights v; out: value, gradient, second derivatives xx, xy, yy. */
static bool parabola(const spi_friedel *f, const double *c, const double *v,
                     const double at[2], double out[6])
{
    int side = 2 * f->n - 1, i0 = (int)lround(at[1]), j0 = (int)lround(at[0]);
    double a[6][6] = {{0}}, b[6] = {0},
           thin = 1e-3 * v[lround(at[1]) * side + lround(at[0])];

    for (int i = i0 - window_most; i <= i0 + window_most; i++)
        for (int j = j0 - window_most; j <= j0 + window_most; j++) {
            double x = j - at[0], y = i - at[1], r2 = x * x + y * y,
                   basis[6] = {1, x, y, x * x / 2, x * y, y * y / 2}, w, value;

            if (i < 0 || j < 0 || i >= side || j >= side || !(v[i * side + j] > thin))
                continue;
            w = exp(-r2 / (2 * window * window)) * v[i * side + j];
            value = c[i * side + j] / v[i * side + j];
            for (int p = 0; p < 6; p++) {
                b[p] += w * basis[p] * value;
                for (int q = 0; q < 6; q++)
                    a[p][q] += w * basis[p] * basis[q];
            }
        }
    if (!(thin > 0 && a[0][0] > 0))
        return false;
    for (int p = 0; p < 6; p++) {
        b[p] /= a[0][0];
        for (int q = 0; q < 6; q++)
            if (p || q)
                a[p][q] /= a[0][0];
    }
    a[0][0] = 1;
    if (!solve6(a, b))
        return false;
    memcpy(out, b, 6 * sizeof *out);
    return true;
}

/* Step to the top of a parabola; false: it has none. */
static bool to_top(const double p[6], const double curvature[3], double step[2])
{
    double det = curvature[0] * curvature[2] - curvature[1] * curvature[1];

    if (!(det > 0 && curvature[0] < 0))
        return false;
    step[0] = -(curvature[2] * p[1] - curvature[1] * p[2]) / det;
    step[1] = -(curvature[0] * p[2] - curvature[1] * p[1]) / det;
    return isfinite(step[0]) && isfinite(step[1]);
}

/* The place that stands out most, to half a cell. */
static double coarse(const spi_friedel *f, const double *c, const double *v,
                     const double *noise, double whole, double at[2])
{
    int side = 2 * f->n - 1;
    double best = 0;

    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int64_t k = i * side + j;
            double z =
                v[k] > pairs_least * whole && noise[k] > 0 ? c[k] / sqrt(noise[k]) : 0;

            if (z > best) {
                best = z;
                at[0] = j;
                at[1] = i;
            }
        }
    return best;
}

/* Place of half cells on the detector. */
static void place(const spi_friedel *f, const double at[2], double out[2])
{
    for (int c = 0; c < 2; c++)
        out[c] = f->low[c] + f->dq * (f->bin * at[c] / 2 + (f->bin - 1) / 2.0);
}

/* The top of a block from that of all, with the curvature of all, which has less noise. */
static bool top_of_block(const spi_friedel *f, const double *c, const double *v,
                         const double curvature[3], double at[2])
{
    enum { STEPS = 6 };

    for (int i = 0; i < STEPS; i++) {
        double p[6], step[2];

        if (!parabola(f, c, v, at, p) || !to_top(p, curvature, step) ||
            hypot(step[0], step[1]) > 2 * window)
            return false;
        at[0] += step[0];
        at[1] += step[1];
    }
    return true;
}

/* What each block says. */
static spi_err by_blocks(spi_friedel *f, const double *v, const double at[2],
                         const double curvature[3], struct spi_friedel_result *out)
{
    double *c, total[2] = {0}, squares[2] = {0}, half = f->bin * f->dq / 2;
    int n = 0;
    spi_err err = SPI_NEW(c, places(f), "centre");

    for (int b = 0; b < SPI_FRIEDEL_BLOCKS && !err; b++) {
        double scale[3], there[2] = {at[0], at[1]};

        if (!f->count[b])
            continue;
        err = pairs_of(f, f->power[b], f->squares[b], c);
        for (int k = 0; k < 3; k++)
            scale[k] = curvature[k] * (double)f->count[b] / (double)f->n_images;
        if (err || !top_of_block(f, c, v, scale, there))
            break;
        for (int k = 0; k < 2; k++) {
            total[k] += there[k] - at[k];
            squares[k] += pow(there[k] - at[k], 2);
        }
        place(f, there, out->block[n++]);
    }
    free(c);
    out->n_blocks = n >= BLOCKS_LEAST ? n : 0;
    for (int k = 0; k < 2 && n > 1; k++)
        out->sigma[k] =
            half * sqrt(fmax(0, squares[k] / n - total[k] * total[k] / n / n) / (n - 1));
    return err;
}

/* The top, from the place that stands out most; false: there is none. */
static bool fine(const spi_friedel *f, const double *c, const double *v, double at[2],
                 double curvature[3])
{
    for (int r = 0; r < ROUNDS; r++) {
        double p[6], step[2], far;

        if (!parabola(f, c, v, at, p))
            return false;
        memcpy(curvature, p + 3, 3 * sizeof *curvature);
        if (!to_top(p, curvature, step))
            return false;
        far = hypot(step[0], step[1]);
        for (int k = 0; k < 2; k++)
            at[k] += step[k] * fmin(1, 1 / fmax(far, 1e-9));
        if (at[0] < 0 || at[1] < 0 || at[0] > 2 * f->n - 2 || at[1] > 2 * f->n - 2)
            return false;
        if (far < 1e-3)
            return true;
    }
    return false;
}

/* Sum of x^2 over all images, [n*n]. */
static void all_squares(const spi_friedel *f, double *squares)
{
    int64_t cells = (int64_t)f->n * f->n;

    for (int b = 0; b < SPI_FRIEDEL_BLOCKS; b++)
        for (int64_t i = 0; f->count[b] && i < cells; i++)
            squares[i] += f->squares[b][i];
}

spi_err spi_friedel_sums(spi_friedel *f, double *c)
{
    int64_t cells = (int64_t)f->n * f->n, points = (int64_t)f->size * f->size;
    double *squares = NULL;
    double complex *power = NULL;
    spi_err err;

    SPI_TRY(err = take_held(f), out);
    SPI_TRY(err = SPI_NEW(power, points, "centre"), out);
    SPI_TRY(err = SPI_NEW(squares, cells, "centre"), out);
    for (int b = 0; b < SPI_FRIEDEL_BLOCKS; b++)
        for (int64_t i = 0; f->count[b] && i < points; i++)
            power[i] += f->power[b][i];
    all_squares(f, squares);
    err = pairs_of(f, power, squares, c);
out:
    free(power);
    free(squares);
    return err;
}

/* (J14): the square root of what x has of variance beyond that of counting, smoothed; where
 * that is nowhere, the weights as they are. */
static void signal_of(const spi_friedel *f, const double *squares, double *weight)
{
    int n = f->n, used = 0;
    double images = (double)f->n_images, left = 1 - (double)f->n_means / images;

    for (int i = 0; i < n * n; i++) {
        double sum = 0, counted = 0, cells = 0, w2 = pow(f->weight[i], 2), noise = 0;

        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                int y = i / n + dy, x = i % n + dx, k = y * n + x;

                if (y < 0 || x < 0 || y >= n || x >= n || !(f->scale[k] > 0))
                    continue;
                sum += squares[k] / images;
                counted += pow(f->weight[k], 2) * left;
                cells += 1;
            }
        weight[i] = 0;
        if (!(f->scale[i] > 0))
            continue;
        if (f->kind == SPI_PHOTONS) {
            sum -= counted;
            noise = fmax(signal_least,
                         signal_sigmas * sqrt((1 / f->mean[i] + 2) / (cells * images)));
        }
        weight[i] = sum / cells > noise * w2 ? sqrt(sum / cells) : 0;
        used += weight[i] > 0;
    }
    if (used < cells_least)
        memcpy(weight, f->weight, (size_t)n * (size_t)n * sizeof *weight);
}

spi_err spi_friedel_find(spi_friedel *f, struct spi_friedel_result *out)
{
    int side = 2 * f->n - 1, cells = f->n * f->n;
    double *c = NULL, *v = NULL, *noise = NULL, *squares = NULL, *signal = NULL,
           at[2] = {0}, curvature[3], whole = 0;
    spi_err err;

    *out = (struct spi_friedel_result){.pixel = f->dq};
    SPI_TRY(err = SPI_NEW(c, places(f), "centre"), out);
    SPI_TRY(err = SPI_NEW(v, places(f), "centre"), out);
    SPI_TRY(err = SPI_NEW(noise, places(f), "centre"), out);
    SPI_TRY(err = SPI_NEW(squares, cells, "centre"), out);
    SPI_TRY(err = SPI_NEW(signal, cells, "centre"), out);
    SPI_TRY(err = spi_friedel_sums(f, c), out);
    if (f->n_images == 0)
        goto out;
    all_squares(f, squares);
    signal_of(f, squares, signal);
    SPI_TRY(err = pairs_of_cells(f, f->weight, v), out);
    for (int i = 0; i < cells; i++) {
        whole += f->weight[i] * f->weight[i];
        squares[i] *= sqrt(2 / (double)f->n_images); /* each pair is there twice */
    }
    SPI_TRY(err = pairs_of_cells(f, squares, noise), out);
    out->stands_out = coarse(f, c, v, noise, whole, at);
    SPI_TRY(err = pairs_of_cells(f, signal, v), out);
    if (!(out->stands_out > out_least) || !fine(f, c, v, at, curvature))
        goto out;
    place(f, at, out->at);
    whole = 0;
    for (int i = 0; i < cells; i++)
        whole += signal[i] * signal[i];
    out->both = v[lround(at[1]) * side + lround(at[0])] / whole;
    SPI_TRY(err = by_blocks(f, v, at, curvature, out), out);
    out->known = out->n_blocks > 0 && out->both >= both_least &&
                 hypot(out->sigma[0], out->sigma[1]) < sigma_most_px * f->dq;
out:
    free(c);
    free(v);
    free(noise);
    free(squares);
    free(signal);
    return err;
}

int spi_friedel_cells(const spi_friedel *f)
{
    return f->n;
}
