/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/diameter.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "match/speckle.h"
#include "math/rot.h"

enum {
    FINE = 8,       /* parts of a ring in the kernel (J2) */
    ROWS = 128,     /* rings of the fit at most */
    R_POINTS = 160, /* of r between 0 and the largest trial D */
    LEAST_POINTS = 12,
    N_ALPHA = 31, /* from ALPHA_LOW in steps of 4 */
    RESCALE_MAX = 4,
    THREADS = 16, /* of a scan at most: each needs half a megabyte */
};
static const double alpha_low = 1e-9, alpha_step = 4;
static const double trial_ratio = 1.025; /* of neighbouring trial D */
static const double reach = 0.45;        /* largest D times the width of a ring */
static const double sampling_part = 0.1; /* (J3) */
static const double model_part = 5e-4;   /* of S: rings are finite, images float */
static const double calibration = 1.10, calibration_sigma = 0.04; /* (J6) */
/* Beam stops, as q_min D: beyond the first the answer is uncertain, beyond the second it is
 * guesswork (J6). */
static const double wide_hole = 1.5, widest_hole = 3;
static const double error_most = 0.3; /* of D */

/* (J9) */
static const double full_hole = 1;      /* q_min D where pixels are full */
static const double wilson = 2.5;       /* rings beyond this many 1/D */
static const double speckle_least = 10; /* mean of (K / error)^2 */
static const double speckle_sigma = 0.2, speckle_calibration = 0.1; /* of D */

/* (J7) pixels and images that are left out */
enum { BINS = 1 << 15, SATURATED_LEAST = 20 };
static const double zero_expected = 20;    /* photons of a pixel that never sees one */
static const double saturated_part = 0.01; /* of the images in which a pixel is full */
static const double steps_low = 0.03, steps_high = 0.7;    /* (J8) shares of the counts */
static const double outlier = 3.5, outliers_most = 0.2;    /* sigmas; of the images */
static const double suspects = 0.1, suspect_change = 0.87; /* of the images; of D */

/* What the first look at the images found of each pixel. */
struct look {
    int64_t n;               /* images */
    double *sum;             /* [n_pixels] */
    float *top;              /* [n_pixels] largest value, and */
    int32_t *full;           /* [n_pixels] in how many images */
    float largest;           /* of all pixels, and */
    int64_t n_largest, *bin; /* how often; [BINS] how often values are about as large */
};

struct spi_diameter {
    struct look look;
    bool chosen; /* after the look: pixels that are left out have left their rings */
    spi_speckle *speckle; /* from the first image that is added on */
    struct spi_diameter_pixels left_out;
    double dq; /* width of a ring: a pixel, 1/A */
    int n_rings;
    int32_t *ring;     /* [n_pixels], -1: not used */
    double *live;      /* [n_rings] sum of the geometry factors */
    double *part_live; /* [n_rings * FINE] the same of each part, and */
    double *part_q;    /* its mean |q| */
    enum spi_image_kind kind;
    double *z; /* [n_images] (J8), once outliers have been dropped */
    int64_t n_pixels, n_images, room;
    float *sums; /* [n_images][n_rings] */
};

static double modulus(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* Median distance of neighbours in a row of pixels. */
static spi_err pixel_width(const struct spi_detector *det, double *dq)
{
    int64_t n = 0;
    double *step;
    spi_err err = SPI_NEW(step, det->n_pixels, "pixel distances");

    if (err)
        return err;
    for (int64_t p = 1; p < det->n_pixels; p++) {
        const double *a = det->q + 3 * (p - 1), *b = det->q + 3 * p;

        if (p % det->nx)
            step[n++] = hypot(b[0] - a[0], b[1] - a[1]);
    }
    if (n)
        spi_sort(n, step);
    *dq = n ? step[n / 2] : 0;
    free(step);
    return *dq > 0
               ? SPI_OK
               : spi_fail(SPI_EINVAL, "diameter: the pixels of a row have one and the same "
                                      "q; needed a detector");
}

static bool usable(const struct spi_detector *det, int64_t p)
{
    return !det->bad[p] && det->geometry[p] > 0 && modulus(det->q + 3 * p) > 0;
}

static int part_of(const spi_diameter *d, const struct spi_detector *det, int64_t p)
{
    return (int)(modulus(det->q + 3 * p) / d->dq * FINE);
}

/* Rings, their parts and their pixels; `skip` [n_pixels] (or NULL): not these. */
static spi_err fill_rings(spi_diameter *d, const struct spi_detector *det,
                          const uint8_t *skip)
{
    int n = 0;

    memset(d->live, 0, (size_t)d->n_rings * sizeof *d->live);
    memset(d->part_live, 0, (size_t)d->n_rings * FINE * sizeof *d->part_live);
    memset(d->part_q, 0, (size_t)d->n_rings * FINE * sizeof *d->part_q);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        double q = modulus(det->q + 3 * p), g = (double)det->geometry[p];
        int part = part_of(d, det, p);

        d->ring[p] = -1;
        if (!usable(det, p) || part >= d->n_rings * FINE || (skip && skip[p]))
            continue;
        d->ring[p] = part / FINE;
        d->live[d->ring[p]] += g;
        d->part_live[part] += g;
        d->part_q[part] += g * q;
    }
    for (int i = 0; i < d->n_rings * FINE; i++)
        d->part_q[i] /= d->part_live[i] > 0 ? d->part_live[i] : 1;
    for (int i = 0; i < d->n_rings; i++)
        n += d->live[i] > 0;
    if (n >= 16)
        return SPI_OK;
    return skip ? spi_fail(SPI_EINVAL,
                           "diameter: usable pixels lie on %d rings, without %lld that are "
                           "always zero and %lld that are saturated; needed 16",
                           n, (long long)d->left_out.zero, (long long)d->left_out.saturated)
                : spi_fail(SPI_EINVAL, "diameter: usable pixels lie on %d rings; needed 16",
                           n);
}

spi_err spi_diameter_new(const struct spi_detector *det, enum spi_image_kind kind,
                         spi_diameter **out)
{
    spi_diameter *d = NULL;
    double q_max = 0;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(d, 1, "diameter"), out);
    d->kind = kind;
    d->n_pixels = det->n_pixels;
    SPI_TRY(err = pixel_width(det, &d->dq), out);
    for (int64_t p = 0; p < det->n_pixels; p++)
        if (usable(det, p))
            q_max = fmax(q_max, modulus(det->q + 3 * p));
    d->n_rings = (int)fmin(q_max / d->dq, 1e5) + 1;
    SPI_TRY(err = SPI_NEW(d->ring, det->n_pixels, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->live, d->n_rings, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->part_live, d->n_rings * FINE, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->part_q, d->n_rings * FINE, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->look.sum, det->n_pixels, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->look.top, det->n_pixels, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->look.full, det->n_pixels, "diameter"), out);
    SPI_TRY(err = SPI_NEW(d->look.bin, BINS, "diameter"), out);
    err = fill_rings(d, det, NULL);
out:
    if (err)
        spi_diameter_free(d);
    else
        *out = d;
    return err;
}

void spi_diameter_free(spi_diameter *d)
{
    if (!d)
        return;
    free(d->ring);
    free(d->live);
    free(d->part_live);
    free(d->part_q);
    free(d->sums);
    free(d->z);
    spi_speckle_free(d->speckle);
    free(d->look.sum);
    free(d->look.top);
    free(d->look.full);
    free(d->look.bin);
    free(d);
}

/* ---- pixels that are left out (J7) -------------------------------------------------- */

/* Of a positive number: 128 bins an octave. */
static int bin_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    return (int)(bits >> 16 & (BINS - 1));
}

static void look_at(struct look *l, int64_t p, float v)
{
    l->sum[p] += (double)v;
    if (!(v > 0))
        return;
    l->bin[bin_of(v)]++;
    if (v > l->top[p])
        l->top[p] = v, l->full[p] = 0;
    l->full[p] += v == l->top[p];
    if (v > l->largest)
        l->largest = v, l->n_largest = 0;
    l->n_largest += v == l->largest;
}

spi_err spi_diameter_look(spi_diameter *d, const struct spi_detector *det, int64_t n,
                          const float *pixels)
{
    if (det->n_pixels != d->n_pixels)
        return spi_fail(SPI_EINVAL, "diameter: images of %lld pixels; needed %lld",
                        (long long)det->n_pixels, (long long)d->n_pixels);
    for (int64_t k = 0; k < n; k++, pixels += d->n_pixels)
        for (int64_t p = 0; p < d->n_pixels; p++)
            if (d->ring[p] >= 0)
                look_at(&d->look, p, pixels[p]);
    d->look.n += n;
    return SPI_OK;
}

/* The largest value M is a limit where it comes more often than all those from 0.9 M on, or
 * from M - 1 on: photons thin out. */
static bool saturates(const struct look *l, enum spi_image_kind kind)
{
    float part = 0.9F * l->largest,
          from = kind == SPI_PHOTONS ? fminf(part, l->largest - 1.5F) : part;
    int low = from > 0 ? bin_of(from) : 0;
    int64_t smaller = -l->n_largest;

    for (int b = bin_of(l->largest); b >= low; b--)
        smaller += l->bin[b];
    return l->n_largest >= SATURATED_LEAST && l->n_largest > smaller;
}

/* What a pixel's neighbours of the same |q| say that it should have seen. */
static void expectations(const spi_diameter *d, const struct spi_detector *det,
                         double *expected)
{
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (d->ring[p] >= 0)
            expected[part_of(d, det, p)] += d->look.sum[p];
    for (int i = 0; i < d->n_rings * FINE; i++)
        expected[i] /= d->part_live[i] > 0 ? d->part_live[i] : 1;
}

static spi_err choose_pixels(spi_diameter *d, const struct spi_detector *det)
{
    const struct look *l = &d->look;
    bool limit = saturates(l, d->kind);
    double *expected = NULL, least = d->kind == SPI_PHOTONS ? zero_expected : 0;
    uint8_t *skip = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(expected, d->n_rings * FINE, "diameter"), out);
    SPI_TRY(err = SPI_NEW(skip, d->n_pixels, "diameter"), out);
    expectations(d, det, expected);
    for (int64_t p = 0; p < d->n_pixels; p++) {
        bool zero, full;

        if (d->ring[p] < 0)
            continue;
        zero = l->sum[p] == 0 &&
               expected[part_of(d, det, p)] * (double)det->geometry[p] > least;
        full = limit && l->top[p] == l->largest &&
               (double)l->full[p] >= saturated_part * (double)l->n;
        skip[p] = zero || full;
        d->left_out.zero += zero;
        d->left_out.saturated += full;
        if (zero && d->left_out.zero == 1)
            d->left_out.first_zero = p;
    }
    d->left_out.limit = limit ? (double)l->largest : 0;
    d->chosen = true;
    if (d->left_out.zero + d->left_out.saturated > 0)
        err = fill_rings(d, det, skip);
out:
    free(expected);
    free(skip);
    return err;
}

struct spi_diameter_pixels spi_diameter_left_out(const spi_diameter *d)
{
    return d->left_out;
}

/* ---- images ------------------------------------------------------------------------- */

spi_err spi_diameter_add(spi_diameter *d, const struct spi_detector *det, int64_t n,
                         const float *pixels)
{
    void *sums = d->sums;
    double *ring = NULL;
    spi_err err;

    if (det->n_pixels != d->n_pixels)
        return spi_fail(SPI_EINVAL, "diameter: images of %lld pixels; needed %lld",
                        (long long)det->n_pixels, (long long)d->n_pixels);
    if (d->look.n > 0 && !d->chosen && (err = choose_pixels(d, det)))
        return err;
    if (!d->speckle &&
        (err = spi_speckle_new(det, d->kind, d->ring, d->n_rings, d->dq, &d->speckle)))
        return err;
    err = spi_grow(&sums, (size_t)d->n_rings * sizeof *d->sums, d->n_images,
                   d->n_images + n, &d->room, "ring sums");
    d->sums = sums;
    if (err || (err = SPI_NEW(ring, d->n_rings, "ring sums")))
        return err;
    for (int64_t k = 0; k < n; k++, pixels += d->n_pixels) {
        double total = 0;

        memset(ring, 0, (size_t)d->n_rings * sizeof *ring);
        for (int64_t p = 0; p < d->n_pixels; p++)
            if (d->ring[p] >= 0)
                ring[d->ring[p]] += (double)pixels[p];
        for (int i = 0; i < d->n_rings; i++)
            total += ring[i];
        if (!(total > 0) || !isfinite(total))
            continue;
        for (int i = 0; i < d->n_rings; i++)
            d->sums[d->n_images * d->n_rings + i] = (float)ring[i];
        d->n_images++;
        if ((err = spi_speckle_add(d->speckle, pixels)))
            break;
    }
    free(ring);
    return err;
}

/* ---- images that are left out (J8) -------------------------------------------------- */

/* Of each image the share of its counts up to a ring above the median, in units of the
 * spread above it; z[k] becomes the largest of all rings. */
static void raise_z(const spi_diameter *d, const double *share, double *work, double *z)
{
    double middle, spread;
    int64_t n = d->n_images, m = 0;

    memcpy(work, share, (size_t)n * sizeof *work);
    middle = spi_median(n, work);
    for (int64_t k = 0; k < n; k++)
        if (share[k] > middle)
            work[m++] = share[k] - middle;
    spread = 1.4826 * spi_median(m, work); /* of a normal distribution: sigma */
    for (int64_t k = 0; k < n && spread > 0; k++)
        z[k] = fmax(z[k], (share[k] - middle) / spread);
}

/* Images of several particles are brighter at the lowest |q| than the same counts of one:
 * those with far too much there are taken out of the sums. */
static spi_err drop_outliers(spi_diameter *d)
{
    double *share = NULL, *upto = NULL, *total = NULL, *work = NULL, *z = NULL, all = 0,
           sum = 0;
    int64_t n = d->n_images, out_n = 0, kept = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(share, n, "diameter"), out);
    SPI_TRY(err = SPI_NEW(upto, n, "diameter"), out);
    SPI_TRY(err = SPI_NEW(total, n, "diameter"), out);
    SPI_TRY(err = SPI_NEW(work, n, "diameter"), out);
    SPI_TRY(err = SPI_NEW(z, n, "diameter"), out);
    for (int64_t k = 0; k < n; k++) {
        for (int i = 0; i < d->n_rings; i++)
            total[k] += (double)d->sums[k * d->n_rings + i];
        all += total[k];
    }
    for (int i = 0; i < d->n_rings && sum < steps_high * all; i++) {
        for (int64_t k = 0; k < n; k++) {
            upto[k] += (double)d->sums[k * d->n_rings + i];
            share[k] = upto[k] / total[k];
            sum += (double)d->sums[k * d->n_rings + i];
        }
        if (sum > steps_low * all)
            raise_z(d, share, work, z);
    }
    for (int64_t k = 0; k < n; k++)
        out_n += z[k] > outlier;
    d->left_out.odd = out_n;
    if ((double)out_n > outliers_most * (double)n)
        out_n = 0; /* so many are no exception */
    for (int64_t k = 0; k < n && out_n > 0; k++) {
        if (z[k] > outlier)
            continue;
        memmove(d->sums + kept * d->n_rings, d->sums + k * d->n_rings,
                (size_t)d->n_rings * sizeof *d->sums);
        z[kept++] = z[k];
    }
    d->n_images = out_n > 0 ? kept : n;
    d->left_out.images += out_n;
    free(d->z);
    d->z = z;
    z = NULL;
out:
    free(share);
    free(upto);
    free(total);
    free(work);
    free(z);
    return err;
}

struct ranked {
    double z;
    int64_t image;
};

static int by_z(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->z != y->z)
        return x->z < y->z ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* Images by z, the largest last. */
static spi_err sort_images(spi_diameter *d)
{
    struct ranked *rank = NULL;
    float *sums = NULL;
    size_t row = (size_t)d->n_rings;
    spi_err err;

    SPI_TRY(err = SPI_NEW(rank, d->n_images, "diameter"), out);
    SPI_TRY(err = SPI_NEW(sums, d->n_images * d->n_rings, "diameter"), out);
    for (int64_t k = 0; k < d->n_images; k++)
        rank[k] = (struct ranked){d->z[k], k};
    qsort(rank, (size_t)d->n_images, sizeof *rank, by_z);
    for (int64_t k = 0; k < d->n_images; k++)
        memcpy(sums + (size_t)k * row, d->sums + (size_t)rank[k].image * row,
               row * sizeof *sums);
    memcpy(d->sums, sums, (size_t)d->n_images * row * sizeof *sums);
out:
    free(rank);
    free(sums);
    return err;
}

/* The data of a fit: rings joined to rows of width `width` up to q_top. */
struct fit {
    int n, first[ROWS], last[ROWS]; /* rings first ... last of each row */
    double q[ROWS], S[ROWS], variance[ROWS];
    double width, h;       /* row width, 1/A; step of r, A */
    double unit;           /* of S: the largest one is 1 */
    double *T;             /* [n][R_POINTS] kernel (J2), owned */
    double y[ROWS], scale; /* S / error; errors are multiplied by scale */
};

/* (J3): mean, shot noise and a part of the spread from image to image. */
static void measure(const spi_diameter *d, int first, int last, const double *weight,
                    double *S, double *variance)
{
    double live = 0, sum = 0, sum_w = 0, spread = 0, shot;

    for (int i = first; i <= last; i++)
        live += d->live[i];
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < d->n_images; k++) {
            double c = 0;

            for (int i = first; i <= last; i++)
                c += (double)d->sums[k * d->n_rings + i];
            if (pass == 0)
                sum += c, sum_w += weight[k];
            else
                spread += pow((c - sum / sum_w * weight[k]) / live, 2);
        }
    *S = sum / sum_w / live;
    shot = d->kind == SPI_PHOTONS ? sum / pow(sum_w * live, 2) : 0;
    *variance = shot + sampling_part * fmax(0, spread / (sum_w * sum_w) - shot) +
                pow(model_part * *S, 2);
}

static void join_rings(const spi_diameter *d, double q_top, struct fit *f)
{
    int per_row = (int)ceil(q_top / d->dq / ROWS - 1e-9), top = (int)(q_top / d->dq);

    per_row = per_row < 1 ? 1 : per_row;
    f->n = 0;
    f->width = per_row * d->dq;
    for (int i = 0; i + per_row <= d->n_rings && i + per_row <= top + 1 && f->n < ROWS;
         i += per_row) {
        double live = 0, q = 0;

        for (int p = i * FINE; p < (i + per_row) * FINE; p++)
            live += d->part_live[p], q += d->part_live[p] * d->part_q[p];
        if (!(live > 0))
            continue;
        f->first[f->n] = i;
        f->last[f->n] = i + per_row - 1;
        f->q[f->n++] = q / live;
    }
}

/* T[row][j] = mean over the row's pixels of sin(2 pi q r_j) / (2 pi q r_j), (J2). */
static void kernel(const spi_diameter *d, struct fit *f)
{
    for (int i = 0; i < f->n; i++)
        for (int j = 0; j < R_POINTS; j++) {
            double sum = 0, live = 0, r = (j + 1) * f->h;

            for (int p = f->first[i] * FINE; p < (f->last[i] + 1) * FINE; p++) {
                double x = 2 * SPI_PI * d->part_q[p] * r;

                if (d->part_live[p] > 0)
                    sum += d->part_live[p] * sin(x) / x, live += d->part_live[p];
            }
            f->T[i * R_POINTS + j] = sum / live;
        }
}

static spi_err fit_init(const spi_diameter *d, double q_top, struct fit *f)
{
    double *weight = NULL, largest = 0, mean = 0;
    spi_err err = SPI_NEW(weight, d->n_images, "image weights");

    if (err)
        return err;
    join_rings(d, q_top, f);
    f->h = reach / f->width / R_POINTS;
    for (int64_t k = 0; k < d->n_images; k++) {
        for (int i = 0; i < d->n_rings; i++)
            weight[k] += (double)d->sums[k * d->n_rings + i];
        mean += weight[k] / (double)d->n_images;
    }
    for (int64_t k = 0; k < d->n_images; k++)
        weight[k] /= mean;
    for (int i = 0; i < f->n; i++) {
        measure(d, f->first[i], f->last[i], weight, &f->S[i], &f->variance[i]);
        largest = fmax(largest, f->S[i]);
    }
    for (int i = 0; i < f->n && largest > 0; i++) {
        double live = 0, one;

        for (int k = f->first[i]; k <= f->last[i]; k++)
            live += d->live[k];
        one =
            1 / (live * (double)d->n_images); /* a ring without any photon: error of one */
        f->S[i] /= largest;
        f->variance[i] = (f->variance[i] + (d->kind == SPI_PHOTONS ? one * one : 0)) /
                             (largest * largest) +
                         1e-12; /* and no ring is exact */
    }
    f->unit = largest;
    free(weight);
    f->scale = 1;
    if (f->n < 12)
        return spi_fail(SPI_ENOCONV,
                        "diameter: %d rings are not enough to see where distances "
                        "end; give it by --diameter",
                        f->n);
    if ((err = SPI_NEW(f->T, f->n * R_POINTS, "kernel")))
        return err;
    kernel(d, f);
    return SPI_OK;
}

/* The same for the correlation along rings beyond q_low: K takes the place of S (J9). */
static spi_err fit_init_speckle(const spi_diameter *d, double q_low, struct fit *f)
{
    enum { BINS_K = 64 };
    double largest = 0;
    spi_err err;

    f->n = d->n_rings / 2 < BINS_K ? d->n_rings / 2 : BINS_K;
    f->width = d->dq;
    f->h = reach / f->width / R_POINTS;
    f->scale = 1;
    if ((err = spi_speckle_curve(d->speckle, q_low, f->n, f->q, f->S, f->variance)))
        return err;
    for (int i = 0; i < f->n; i++)
        largest = fmax(largest, f->S[i]);
    f->unit = largest;
    for (int i = 0; i < f->n && largest > 0; i++) {
        f->S[i] /= largest;
        f->variance[i] = f->variance[i] / (largest * largest) + 1e-6;
        if (!isfinite(f->variance[i]))
            f->variance[i] = 1e6;
    }
    if ((err = SPI_NEW(f->T, f->n * R_POINTS, "kernel")))
        return err;
    for (int i = 0; i < f->n; i++)
        for (int j = 0; j < R_POINTS; j++)
            for (int part = 0; part < FINE; part++) {
                double k = f->q[i] + ((part + 0.5) / FINE - 0.5) * d->dq;
                double x = 2 * SPI_PI * k * (j + 1) * f->h;

                f->T[i * R_POINTS + j] += sin(x) / x / FINE;
            }
    return SPI_OK;
}

/* Band Cholesky, in place, of K = N^3 L'L, (J4): K = G G', G lower with two subdiagonals;
 * g[j] = {G_jj, G_j,j-1, G_j,j-2}.  m = N - 1 unknowns. */
static void prior_factor(int m, double (*g)[3])
{
    double n3 = pow(m + 1, 3);

    for (int j = 0; j < m; j++) {
        double diag = j == 0 ? 5 : 6, one = -4, two = 1;

        /* rows of L: second differences at r_1 ... r_m with p = 0 at both ends, and at r_N
         * with nothing beyond: the last diagonal element is 1 + 4 + 1 as well */
        two = j >= 2 ? n3 * two / g[j - 2][0] : 0;
        one = j >= 1 ? (n3 * one - (j >= 2 ? two * g[j - 1][1] : 0)) / g[j - 1][0] : 0;
        g[j][2] = two;
        g[j][1] = one;
        g[j][0] = sqrt(n3 * diag - one * one - two * two);
    }
}

/* What one trial D says. */
struct trial {
    int N;                         /* D = N h */
    double log_evidence;           /* over all alpha */
    double alpha, misfit, freedom; /* at the best alpha: |residual|^2 and its expectation */
};

struct scratch {
    double g[R_POINTS][3];
    double X[R_POINTS * ROWS];             /* G^-1 A' */
    double M[ROWS * ROWS], C[ROWS * ROWS]; /* A K^-1 A'; Cholesky factor */
    double v[ROWS];
};

/* X = G^-1 A' and M = X' X for D = N h; A = T / (N error). */
static void covariance(const struct fit *f, int N, const double *inv_error,
                       struct scratch *s)
{
    int m = N - 1;

    prior_factor(m, s->g);
    for (int j = 0; j < m; j++)
        for (int i = 0; i < f->n; i++) {
            double x = f->T[i * R_POINTS + j] * inv_error[i] / N;

            x -= j >= 1 ? s->g[j][1] * s->X[(j - 1) * ROWS + i] : 0;
            x -= j >= 2 ? s->g[j][2] * s->X[(j - 2) * ROWS + i] : 0;
            s->X[j * ROWS + i] = x / s->g[j][0];
        }
    memset(s->M, 0, sizeof s->M);
    for (int j = 0; j < m; j++) {
        const double *x = s->X + j * ROWS;

        for (int a = 0; a < f->n; a++)
            for (int b = 0; b <= a; b++)
                s->M[a * ROWS + b] += x[a] * x[b];
    }
}

/* C C' = 1 + M / alpha (lower); log det / 2. */
static double factor(int n, double alpha, const double *M, double *C)
{
    double half_log_det = 0;

    for (int a = 0; a < n; a++) {
        for (int b = 0; b <= a; b++) {
            double sum = M[a * ROWS + b] / alpha + (a == b);
            const double *ca = C + a * ROWS, *cb = C + b * ROWS;

            for (int k = 0; k < b; k++)
                sum -= ca[k] * cb[k];
            C[a * ROWS + b] = a == b ? sqrt(fmax(sum, 1e-300)) : sum / cb[b];
        }
        half_log_det += log(C[a * ROWS + a]);
    }
    return half_log_det;
}

/* v <- C^-1 v, |v|^2;  then v <- C'^-1 v. */
static double forward(int n, const double *C, double *v)
{
    double sum2 = 0;

    for (int a = 0; a < n; a++) {
        for (int k = 0; k < a; k++)
            v[a] -= C[a * ROWS + k] * v[k];
        v[a] /= C[a * ROWS + a];
        sum2 += v[a] * v[a];
    }
    return sum2;
}

static void backward(int n, const double *C, double *v)
{
    for (int a = n - 1; a >= 0; a--) {
        for (int k = a + 1; k < n; k++)
            v[a] -= C[k * ROWS + a] * v[k];
        v[a] /= C[a * ROWS + a];
    }
}

/* |(1 + M/alpha)^-1 y|^2 and trace (1 + M/alpha)^-1. */
static void residual(const struct fit *f, struct scratch *s, struct trial *t)
{
    double v[ROWS];

    factor(f->n, t->alpha, s->M, s->C);
    memcpy(v, f->y, sizeof v);
    forward(f->n, s->C, v);
    backward(f->n, s->C, v);
    t->misfit = t->freedom = 0;
    for (int i = 0; i < f->n; i++)
        t->misfit += v[i] * v[i];
    for (int i = 0; i < f->n; i++) { /* (C C')^-1_ii = |C^-1 e_i|^2 */
        memset(v, 0, sizeof v);
        v[i] = 1;
        t->freedom += forward(f->n, s->C, v);
    }
}

/* (J5) */
static void try_diameter(const struct fit *f, const double *inv_error, struct scratch *s,
                         struct trial *t)
{
    double log_e[N_ALPHA], best = -INFINITY, sum = 0, alpha = alpha_low;

    covariance(f, t->N, inv_error, s);
    for (int i = 0; i < N_ALPHA; i++, alpha *= alpha_step) {
        double half_log_det = factor(f->n, alpha, s->M, s->C), v[ROWS];

        memcpy(v, f->y, sizeof v);
        log_e[i] = -forward(f->n, s->C, v) / 2 - half_log_det;
        if (log_e[i] > best)
            best = log_e[i], t->alpha = alpha;
    }
    for (int i = 0; i < N_ALPHA; i++)
        sum += exp(log_e[i] - best);
    t->log_evidence = best + log(sum);
    residual(f, s, t);
}

static void set_errors(struct fit *f, double inv_error[ROWS])
{
    for (int i = 0; i < f->n; i++) {
        inv_error[i] = 1 / sqrt(f->variance[i] * f->scale);
        f->y[i] = f->S[i] * inv_error[i];
    }
}

/* Trials of one round, an item each. */
struct round {
    const struct fit *f;
    const double *inv_error;
    struct scratch *s; /* [ranks] */
    struct trial *t;
};

static void try_item(void *ctx, int rank, int64_t item)
{
    const struct round *r = ctx;

    try_diameter(r->f, r->inv_error, &r->s[rank], &r->t[item]);
}

/* All trial D; errors are enlarged until the best one fits: no fit can be better than the
 * errors say, but they may leave something out. */
static int scan(struct fit *f, struct scratch *s, struct trial *t, int n)
{
    int best = 0;

    for (int round = 0; round < RESCALE_MAX; round++) {
        double inv_error[ROWS];

        set_errors(f, inv_error);
        best = 0;
        spi_parallel_for(THREADS, n, try_item, &(struct round){f, inv_error, s, t});
        for (int i = 0; i < n; i++)
            if (t[i].log_evidence > t[best].log_evidence)
                best = i;
        if (t[best].misfit < 1.15 * t[best].freedom || round == RESCALE_MAX - 1)
            break;
        f->scale *= t[best].misfit / t[best].freedom;
    }
    return best;
}

/* Trial numbers of points, neighbours 2.5 % apart or one point. */
static int trials(struct trial t[R_POINTS])
{
    int n = 0;

    for (double N = LEAST_POINTS; N <= R_POINTS; N = fmax(N + 1, N * trial_ratio))
        t[n++].N = (int)N;
    return n;
}

/* Probability of the trials, prior 1/D dD; mean and standard deviation of D. */
static void posterior(const struct trial *t, int n, int best, double h, double *probability,
                      double *mean, double *sigma)
{
    double sum = 0, m1 = 0, m2 = 0;

    for (int i = 0; i < n; i++) {
        int lower = i ? t[i - 1].N : t[i].N - 1, upper = i < n - 1 ? t[i + 1].N : t[i].N;

        probability[i] = exp(t[i].log_evidence - t[best].log_evidence) * (upper - lower) /
                         (2.0 * t[i].N);
        sum += probability[i];
    }
    for (int i = 0; i < n; i++) {
        probability[i] /= sum;
        m1 += probability[i] * t[i].N * h;
        m2 += probability[i] * pow(t[i].N * h, 2);
    }
    *mean = m1;
    *sigma = sqrt(fmax(0, m2 - m1 * m1));
}

/* p = K^-1 A' (M + alpha)^-1 y at the trial t, and its profile. */
static void curves(const struct fit *f, struct scratch *s, const struct trial *t,
                   struct spi_diameter_result *out)
{
    int m = t->N - 1;
    double inv_error[ROWS], v[ROWS], largest = 0;
    struct fit copy = *f;

    set_errors(&copy, inv_error);
    covariance(f, t->N, inv_error, s);
    factor(f->n, t->alpha, s->M, s->C);
    memcpy(v, copy.y, sizeof v);
    forward(f->n, s->C, v);
    backward(f->n, s->C, v);
    for (int j = 0; j < m; j++) {
        out->r_A[j] = (j + 1) * f->h;
        for (int i = 0; i < f->n; i++)
            out->p[j] += s->X[j * ROWS + i] * v[i] / t->alpha;
    }
    for (int j = m - 1; j >= 0; j--) { /* G' p = X v / alpha */
        out->p[j] -= j + 1 < m ? s->g[j + 1][1] * out->p[j + 1] : 0;
        out->p[j] -= j + 2 < m ? s->g[j + 2][2] * out->p[j + 2] : 0;
        out->p[j] /= s->g[j][0];
        largest = fmax(largest, fabs(out->p[j]));
    }
    for (int i = 0; i < f->n; i++) {
        out->q_invA[i] = f->q[i];
        out->profile[i] = f->unit * f->S[i];
        out->profile_error[i] = f->unit / inv_error[i];
        for (int j = 0; j < m; j++)
            out->profile_fit[i] += f->unit * f->T[i * R_POINTS + j] * out->p[j] / t->N;
    }
    for (int j = 0; j < m; j++)
        out->p[j] /= largest > 0 ? largest : 1;
}

static spi_err result_init(struct spi_diameter_result *r, int n_q, int n_r, int n_trials)
{
    spi_err err;

    *r = (struct spi_diameter_result){.n_q = n_q, .n_r = n_r, .n_trials = n_trials};
    SPI_TRY(err = SPI_NEW(r->q_invA, n_q, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->profile, n_q, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->profile_error, n_q, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->profile_fit, n_q, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->r_A, n_r, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->p, n_r, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->trial_A, n_trials, "diameter"), out);
    SPI_TRY(err = SPI_NEW(r->probability, n_trials, "diameter"), out);
out:
    return err;
}

void spi_diameter_result_clear(struct spi_diameter_result *r)
{
    free(r->q_invA);
    free(r->profile);
    free(r->profile_error);
    free(r->profile_fit);
    free(r->r_A);
    free(r->p);
    free(r->trial_A);
    free(r->probability);
    *r = (struct spi_diameter_result){0};
}

/* Is the answer one?  (J6) has been applied. */
static spi_err check_fit(const spi_diameter *d, const struct fit *f, const struct trial *t,
                         int n, double mean, const struct spi_diameter_result *r)
{
    double low = t[0].N * f->h, high = t[n - 1].N * f->h;

    if (mean < 1.15 * low)
        return spi_fail(
            SPI_EFORMAT,
            "diameter: the images show no structure coarser than %.0f A; likely "
            "causes: the images are empty or background alone, or their "
            "resolution is too low; else give the particle's diameter by "
            "--diameter",
            low);
    if (mean > 0.85 * high)
        return spi_fail(
            SPI_EFORMAT,
            "diameter: the images show no end of the particle below %.0f A, the "
            "most that pixels %.3g 1/A apart resolve; likely causes: a "
            "particle about that large, bad pixels or a gap that no mask marks, a "
            "wrong centre, scattering from the beam stop; look at mean_image.png, or "
            "give the particle's diameter by --diameter",
            high, d->dq);
    if (r->sigma_A > error_most * r->diameter_A)
        return spi_fail(
            SPI_EFORMAT,
            "diameter: about %.0f A with an error of %.0f A, too much to go on; "
            "likely causes: too few images or photons, or a wide beam stop or "
            "many full pixels in the middle; give the particle's diameter by "
            "--diameter",
            r->diameter_A, r->sigma_A);
    return SPI_OK;
}

/* The width of speckles instead (J9), where it says enough; q_low in units of 1/D. */
static bool from_speckles(const spi_diameter *d, struct scratch *s, double D,
                          struct spi_diameter_result *out)
{
    struct fit f = {0};
    struct trial t[R_POINTS];
    double probability[R_POINTS], mean, sigma, clear = 0;
    int n = trials(t), best;
    bool enough = false;

    if (d->speckle && fit_init_speckle(d, wilson / D, &f) == SPI_OK) {
        for (int i = 0; i < f.n; i++)
            clear += f.S[i] * f.S[i] / f.variance[i] / f.n;
        best = scan(&f, s, t, n);
        posterior(t, n, best, f.h, probability, &mean, &sigma);
        enough = clear >= speckle_least && mean + sigma > 0 &&
                 sigma <= speckle_sigma * (mean + sigma) && mean > 1.15 * t[0].N * f.h &&
                 mean < 0.85 * t[n - 1].N * f.h;
        if (enough) {
            out->diameter_A = calibration * (mean + sigma);
            out->sigma_A =
                hypot(calibration * sigma, speckle_calibration * out->diameter_A);
            out->from_speckles = true;
        }
    }
    free(f.T);
    return enough;
}

static spi_err estimate(const spi_diameter *d, struct fit *f, struct scratch *s,
                        struct spi_diameter_result *out)
{
    struct trial t[R_POINTS];
    double q_top = d->n_rings * d->dq, mean = 0, sigma = 0, hole;
    char why[SPI_MESSAGE_MAX];
    int n = trials(t), best;
    spi_err err;

    /* A large particle needs narrow rings: halve the range of q until D is well inside. */
    for (;; q_top /= 2) {
        free(f->T);
        f->T = NULL;
        if ((err = fit_init(d, q_top, f)))
            return err;
        best = scan(f, s, t, n);
        spi_diameter_result_clear(out);
        if ((err = result_init(out, f->n, t[best].N - 1, n)))
            return err;
        posterior(t, n, best, f->h, out->probability, &mean, &sigma);
        if (mean < 0.7 * R_POINTS * f->h || f->width < 1.5 * d->dq)
            break;
    }
    for (int i = 0; i < n; i++)
        out->trial_A[i] = t[i].N * f->h;
    curves(f, s, &t[best], out);
    out->n_images = d->n_images;
    out->diameter_A = calibration * (mean + sigma);
    out->sigma_A = hypot(calibration * sigma, calibration_sigma * out->diameter_A);
    if (f->q[0] * out->diameter_A > wide_hole)
        out->sigma_A =
            fmax(out->sigma_A,
                 (f->q[0] * out->diameter_A > widest_hole ? 0.2 : 0.12) * out->diameter_A);
    hole = f->q[0] * out->diameter_A;
    err = check_fit(d, f, t, n, mean, out);
    snprintf(why, sizeof why, "%s", err ? spi_err_message() : "");
    if ((err || hole > wide_hole || (d->left_out.saturated > 0 && hole > full_hole)) &&
        from_speckles(d, s, out->diameter_A, out))
        return SPI_OK;
    return err ? spi_fail(err, "%s", why) : SPI_OK;
}

/* One estimate of the first n images. */
static spi_err estimate_of(spi_diameter *d, int64_t n, struct spi_diameter_result *out)
{
    struct fit f = {0};
    struct scratch *s = NULL;
    int64_t all = d->n_images;
    spi_err err;

    *out = (struct spi_diameter_result){0};
    SPI_TRY(err = SPI_NEW(s, spi_parallel_ranks(THREADS), "diameter"), out);
    d->n_images = n;
    err = estimate(d, &f, s, out);
out:
    d->n_images = all;
    free(f.T);
    free(s);
    if (err)
        spi_diameter_result_clear(out);
    return err;
}

/* Once more without the images of the largest z: where a tenth of them carries the end of
 * p(r), and no more than a tenth, it is not the particle's. */
static spi_err without_suspects(spi_diameter *d, spi_err first,
                                struct spi_diameter_result *out)
{
    int64_t n = d->n_images - (int64_t)(suspects * (double)d->n_images);
    struct spi_diameter_result second;
    char why[SPI_MESSAGE_MAX];
    spi_err err;

    snprintf(why, sizeof why, "%s", first ? spi_err_message() : "");
    err = sort_images(d);
    if (err)
        return err;
    err = estimate_of(d, n, &second);
    if (err == SPI_ENOMEM)
        return err;
    if (!err && (first || second.diameter_A < suspect_change * out->diameter_A)) {
        d->left_out.images += d->n_images - n;
        spi_diameter_result_clear(out);
        *out = second;
        return SPI_OK;
    }
    spi_diameter_result_clear(&second);
    return first ? spi_fail(first, "%s", why) : SPI_OK;
}

spi_err spi_diameter_estimate(spi_diameter *d, struct spi_diameter_result *out)
{
    spi_err err;

    *out = (struct spi_diameter_result){0};
    if (d->n_images < SPI_DIAMETER_LEAST_IMAGES)
        return spi_fail(SPI_EINVAL,
                        "diameter: %lld of the images looked at have counts; needed %d to "
                        "estimate the particle's diameter: are the others blank? else give "
                        "it by --diameter",
                        (long long)d->n_images, SPI_DIAMETER_LEAST_IMAGES);
    SPI_TRY(err = drop_outliers(d), out);
    err = estimate_of(d, d->n_images, out);
    if (err != SPI_ENOMEM)
        err = without_suspects(d, err, out);
out:
    if (err)
        spi_diameter_result_clear(out);
    return err;
}
