/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/hits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "match/hits_split.h"
#include "math/fft.h"
#include "math/rot.h"
#include "ring/pixel_rings.h"

/* (J17): q D of the pairs of neighbours. */
static const double pairs_from = 1.5, pairs_to = 5;
/* (J18): q D of the pixels; lengths over D: of the particle, beyond it; half the grid must
 * reach so far. */
static const double grid_to = 8, inner_from = 0.2, inner_to = 0.9, beyond_from = 1.1,
                    beyond_to = 1.8, reach_least = 1.6;
static const double inner_least =
    0.5; /* (J18): signal over noise where the share means something */
static const double dark = 0.1; /* of the mean count: what is added to the variance */
/* (J19) */
static const double more_times = 2; /* as many without as with a little */
static const double particle_part = 0.75, round_level = 0.25, round_sigmas = 2.5,
                    sure_sigmas = 4, beyond_least = 0.04, beyond_part = 0.3,
                    beyond_times = 5, beyond_sigmas = 6;
/* (J22) */
static const double sum_share = 0.05, sum_sigmas = 4;
enum { sum_images = 100 };

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* ---- what images share --------------------------------------------------------------- */

void spi_hits_clear(struct spi_hits *h)
{
    free(h->pixel);
    free(h->bin);
    free(h->ring);
    free(h->above);
    free(h->geometry);
    free(h->cell);
    free(h->pair);
    free(h->zone);
    *h = (struct spi_hits){0};
}

static spi_err grid_init(struct spi_hits *h, double D, double width, double q_max)
{
    double reach = 0.5 / width, q = fmin(q_max, grid_to / D);
    spi_err err;

    if (reach < reach_least * D)
        return SPI_OK;
    h->side = spi_fft_good_size(2 * (int)ceil(q / width) + 2);
    if ((err = SPI_NEW(h->zone, (int64_t)h->side * h->side, "hits")))
        return err;
    for (int y = 0; y < h->side; y++)
        for (int x = 0; x < h->side; x++) {
            int ky = y < (h->side + 1) / 2 ? y : y - h->side,
                kx = x < (h->side + 1) / 2 ? x : x - h->side;
            double r = hypot(ky, kx) / (h->side * width) / D;

            if (r >= inner_from && r <= inner_to)
                h->zone[y * h->side + x] = 1, h->n_inner++;
            else if (r >= beyond_from && r <= fmin(beyond_to, 0.95 * reach / D))
                h->zone[y * h->side + x] = 2, h->n_beyond++;
        }
    return SPI_OK;
}

/* Neighbours of which the first has from <= q D < to. */
static void add_pairs(struct spi_hits *h, const struct spi_detector *det, double D,
                      double from, double to, const int32_t *place)
{
    int64_t panel = (int64_t)det->ny * det->nx;

    for (int64_t i = 0; i < h->n; i++) {
        int64_t p = h->pixel[i], at = p % panel;
        double qD = length(det->q + 3 * p) * D;
        const int32_t next[2] = {at % det->nx + 1 < det->nx ? place[p + 1] : 0,
                                 at / det->nx + 1 < det->ny ? place[p + det->nx] : 0};

        for (int k = 0; k < 2 && qD >= from && qD < to; k++)
            if (next[k]) {
                h->pair[h->n_pairs][0] = (int32_t)i;
                h->pair[h->n_pairs++][1] = next[k] - 1;
            }
    }
}

/* Near pairs first, in the order of their pixels. */
static void pairs_of(struct spi_hits *h, const struct spi_detector *det, double D,
                     const int32_t *place)
{
    add_pairs(h, det, D, pairs_from, pairs_to, place);
    h->n_near = h->n_pairs;
    add_pairs(h, det, D, pairs_to, INFINITY, place);
}

/* The pixels as the grid that they are on a flat detector: their distance in t, and the
 * fraction of it at which they lie. */
struct raster {
    double step, at[2];
};

/* Where a pixel lies on a flat detector: (q_x, q_y) near the beam. */
static void flat(const struct spi_detector *det, int64_t p, double t[2])
{
    const double *q = det->q + 3 * p;
    double along = 1 + q[2] * det->wavelength_A;

    along = along > 0.1 ? along : 0.1; /* far from the beam: beyond the grid of (J18) */
    t[0] = q[0] / along;
    t[1] = q[1] / along;
}

static struct raster raster_of(const struct spi_detector *det)
{
    struct raster g = {.step = INFINITY};
    double turn[2][2] = {{0}};
    double a[2], b[2];

    for (int64_t p = 0; p + 1 < det->n_pixels; p++) {
        if (p % det->nx == det->nx - 1 || det->bad[p] || det->bad[p + 1])
            continue;
        flat(det, p, a);
        flat(det, p + 1, b);
        if (hypot(b[0] - a[0], b[1] - a[1]) > 0)
            g.step = fmin(g.step, hypot(b[0] - a[0], b[1] - a[1]));
    }
    if (!isfinite(g.step))
        g.step = spi_detector_q_corner(det);
    for (int64_t p = 0; p < det->n_pixels; p++)
        if (!det->bad[p]) {
            flat(det, p, a);
            for (int i = 0; i < 2; i++)
                turn[i][0] += cos(2 * SPI_PI * a[i] / g.step),
                    turn[i][1] += sin(2 * SPI_PI * a[i] / g.step);
        }
    for (int i = 0; i < 2; i++)
        g.at[i] = atan2(turn[i][1], turn[i][0]) / (2 * SPI_PI);
    return g;
}

/* The ring below q and the share of the one above, of rings that hold pixels. */
static void place_on_rings(const struct spi_pixel_rings *f, double q, int32_t *ring,
                           float *above)
{
    int lo = (int)(q / f->width), hi;

    while (lo > 0 && !(f->count[lo] > 0 && f->q[lo] <= q))
        lo--;
    for (hi = lo + 1; hi < f->n && !(f->count[hi] > 0);)
        hi++;
    *ring = lo;
    *above = 0;
    if (hi == lo + 1 && hi < f->n && f->count[lo] > 0 && f->q[lo] <= q)
        *above = (float)((q - f->q[lo]) / (f->q[hi] - f->q[lo]));
}

spi_err spi_hits_init(struct spi_hits *h, const struct spi_detector *det, double D,
                      double q_max)
{
    struct spi_pixel_rings f = {0};
    int32_t *place = NULL;
    struct raster raster = raster_of(det);
    spi_err err;

    *h = (struct spi_hits){0};
    SPI_TRY(err = spi_pixel_rings_init(det, &f), out);
    spi_pixel_rings_of(det, det->geometry, &f); /* which rings hold pixels, and where */
    h->n_rings = f.n + 1;
    SPI_TRY(err = SPI_NEW(place, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->pixel, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->bin, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->ring, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->above, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->geometry, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->cell, det->n_pixels, "hits"), out);
    SPI_TRY(err = SPI_NEW(h->pair, 2 * det->n_pixels, "hits"), out);
    SPI_TRY(err = grid_init(h, D, raster.step, q_max), out);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        double q = length(det->q + 3 * p), t[2];
        int x, y;

        if (det->bad[p] || !(det->geometry[p] > 0) || q < 1 / D || q > q_max)
            continue;
        h->pixel[h->n] = (int32_t)p;
        h->geometry[h->n] = det->geometry[p];
        h->bin[h->n] = (int32_t)(q / f.width);
        place_on_rings(&f, q, &h->ring[h->n], &h->above[h->n]);
        flat(det, p, t);
        x = (int)lround(t[0] / raster.step - raster.at[0]);
        y = (int)lround(t[1] / raster.step - raster.at[1]);
        h->cell[h->n] =
            h->side && q * D <= grid_to && 2 * abs(x) < h->side && 2 * abs(y) < h->side
                ? (y + h->side) % h->side * h->side + (x + h->side) % h->side
                : -1;
        place[p] = (int32_t)++h->n;
    }
    pairs_of(h, det, D, place);
out:
    spi_pixel_rings_clear(&f);
    free(place);
    if (err)
        spi_hits_clear(h);
    return err;
}

/* ---- one image ----------------------------------------------------------------------- */

size_t spi_hits_work_bytes(const struct spi_hits *h)
{
    return (size_t)h->side * (size_t)h->side * sizeof(float complex) +
           2 * (size_t)h->n_rings * sizeof(double) + 2 * (size_t)h->n * sizeof(float);
}

struct spi_hits_work spi_hits_parts(const struct spi_hits *h, void *memory)
{
    struct spi_hits_work w = {.grid = memory};

    w.counts = (double *)(void *)(w.grid + (size_t)h->side * (size_t)h->side);
    w.weight = w.counts + h->n_rings;
    w.even = (float *)(void *)(w.weight + h->n_rings);
    w.rest = w.even + h->n;
    return w;
}

bool spi_hits_split(const struct spi_hits *h, const float *K, const struct spi_hits_work *w)
{
    double all = 0;

    memset(w->counts, 0, 2 * (size_t)h->n_rings * sizeof *w->counts);
    for (int64_t i = 0; i < h->n; i++) {
        w->counts[h->bin[i]] += (double)K[h->pixel[i]];
        w->weight[h->bin[i]] += (double)h->geometry[i];
        all += (double)K[h->pixel[i]];
    }
    for (int r = 0; r < h->n_rings; r++)
        if (w->weight[r] > 0)
            w->counts[r] /= w->weight[r];
    for (int64_t i = 0; i < h->n; i++) {
        const double *ring = w->counts + h->ring[i];
        double t = (double)h->above[i];

        w->even[i] = (float)((double)h->geometry[i] * ((1 - t) * ring[0] + t * ring[1]));
        w->rest[i] = K[h->pixel[i]] - w->even[i];
    }
    return all > 0;
}

/* (J17) of the pairs from the first to the end. */
static void structure(const struct spi_hits *h, const struct spi_hits_work *w,
                      int64_t first, int64_t end, float *ratio, float *sigma)
{
    double both = 0, even = 0;

    for (int64_t k = first; k < end; k++) {
        int32_t a = h->pair[k][0], b = h->pair[k][1];

        both += (double)w->rest[a] * (double)w->rest[b];
        even += (double)w->even[a] * (double)w->even[b];
    }
    if (even > 0) {
        *ratio = (float)(both / even);
        *sigma = (float)(1 / sqrt(even)); /* of Poisson counts: E E' each */
    }
}

/* (J18) */
static spi_err lengths(const struct spi_hits *h, const float *K,
                       const struct spi_hits_work *w, struct spi_hit *out)
{
    int64_t cells = (int64_t)h->side * h->side, n = 0;
    double sum = 0, noise = 0, zone[3] = {0}, add, inner, beyond;
    spi_err err;

    if (h->side == 0 || !(h->n_beyond > 0))
        return SPI_OK;
    for (int64_t i = 0; i < h->n; i++)
        if (h->cell[i] >= 0)
            sum += (double)w->even[i], n++;
    if (!(sum > 0))
        return SPI_OK;
    add = dark * sum / (double)n;
    memset(w->grid, 0, (size_t)cells * sizeof *w->grid);
    for (int64_t i = 0; i < h->n; i++)
        if (h->cell[i] >= 0) {
            double variance = fmax((double)w->even[i], 0) + add;

            w->grid[h->cell[i]] += (float)((double)w->rest[i] / sqrt(variance));
            noise += (double)K[h->pixel[i]] / variance;
        }
    if ((err = spi_fft2_c2c(h->side, -1, w->grid)))
        return err;
    for (int64_t c = 0; c < cells; c++)
        zone[h->zone[c]] += pow((double)cabsf(w->grid[c]), 2);
    inner = zone[1] / fmax(1, h->n_inner) - noise;
    beyond = zone[2] / h->n_beyond - noise;
    out->sigmas = (float)(beyond / (noise / sqrt(h->n_beyond / 2)));
    out->beyond = inner > inner_least * noise ? (float)(beyond / inner) : 0;
    return SPI_OK;
}

spi_err spi_hits_image(const struct spi_hits *h, const float *K, void *memory,
                       struct spi_hit *out)
{
    const struct spi_hits_work w = spi_hits_parts(h, memory);

    *out = (struct spi_hit){0};
    if (!spi_hits_split(h, K, &w))
        return SPI_OK;
    structure(h, &w, 0, h->n_near, &out->structure, &out->sigma);
    structure(h, &w, h->n_near, h->n_pairs, &out->far, &out->far_sigma);
    return lengths(h, K, &w, out);
}

void spi_hits_unexplained(const struct spi_hits *h, const float *K, const float *T,
                          void *memory, double *share, double *sigma)
{
    const struct spi_hits_work image = spi_hits_parts(h, memory),
                               model = spi_hits_parts(h, (char *)memory +
                                                             spi_hits_work_bytes(h));
    double left = 0, noise2 = 0, all = 0, cross = 0, own = 0, scale;

    *share = *sigma = (double)NAN;
    if (!spi_hits_split(h, K, &image) || !spi_hits_split(h, T, &model))
        return;
    for (int64_t k = 0; k < h->n_near; k++) { /* the scale at which the model fits best */
        int32_t a = h->pair[k][0], b = h->pair[k][1];

        cross += (double)image.rest[a] * (double)model.rest[b] +
                 (double)model.rest[a] * (double)image.rest[b];
        own += 2 * (double)model.rest[a] * (double)model.rest[b];
        all += (double)image.even[a];
        noise2 += (double)model.even[a];
    }
    if (!(own > 0 && noise2 > 0))
        return;
    /* never far from that of the counts: a model scaled to nothing explains nothing */
    scale = fmax(cross / own, 0.5 * all / noise2);
    noise2 = 0;
    for (int64_t k = 0; k < h->n_near; k++) {
        int32_t a = h->pair[k][0], b = h->pair[k][1];
        double da = (double)image.rest[a] - scale * (double)model.rest[a],
               db = (double)image.rest[b] - scale * (double)model.rest[b];

        left += da * db;
        noise2 += da * db * da * db;
    }
    *share = left / (scale * scale * own / 2);
    *sigma = sqrt(noise2) / (scale * scale * own / 2);
}

double spi_hits_rings(const struct spi_hits *h, const float *K, const float *T,
                      void *memory)
{
    const struct spi_hits_work image = spi_hits_parts(h, memory),
                               model = spi_hits_parts(h, (char *)memory +
                                                             spi_hits_work_bytes(h));
    double all = 0, light = 0, sum = 0;

    if (!spi_hits_split(h, K, &image) || !spi_hits_split(h, T, &model))
        return (double)NAN;
    for (int r = 0; r < h->n_rings; r++) {
        all += image.weight[r] * image.counts[r];
        light += model.weight[r] * fmax(0, model.counts[r]);
    }
    if (!(light > 0))
        return (double)NAN;
    for (int r = 0; r < h->n_rings; r++) {
        double k = image.counts[r], t = fmax(0, model.counts[r]) * all / light;

        if (k + t > 0) /* counting alone makes 1 */
            sum += image.weight[r] * (k + t) / 2 * pow(2 * (k - t) / (k + t), 2) - 1;
    }
    return sum / all;
}

/* ---- images beside each other --------------------------------------------------------- */

/* sum c w / sum w, and its standard deviation from how the images differ; w: sum E E'. */
static void add_up(int64_t n, const struct spi_hit *hit, bool far, double *ratio,
                   double *sigma)
{
    double sum = 0, weight = 0, square = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < n; k++) {
            double c = (double)(far ? hit[k].far : hit[k].structure),
                   s = (double)(far ? hit[k].far_sigma : hit[k].sigma), w = 1 / (s * s);

            if (!(s > 0))
                continue;
            if (pass == 0)
                sum += c * w, weight += w;
            else
                square += pow((c - sum / weight) * w, 2);
        }
    *ratio = weight > 0 ? sum / weight : 0;
    *sigma = weight > 0 ? sqrt(square) / weight : 0;
}

struct spi_hits_sum spi_hits_add_up(int64_t n, const struct spi_hit *hit)
{
    struct spi_hits_sum all = {0};

    for (int64_t k = 0; k < n; k++)
        all.n += hit[k].sigma > 0;
    add_up(n, hit, false, &all.near, &all.near_sigma);
    add_up(n, hit, true, &all.far, &all.far_sigma);
    return all;
}

spi_err spi_hits_check(const struct spi_hits_sum *all, double contrast2)
{
    double least = sum_share * contrast2;

    if (all->n < sum_images || !(all->near_sigma > 0) ||
        all->near + sum_sigmas * all->near_sigma > least ||
        (all->far_sigma > 0 && all->far > fmax(least, sum_sigmas * all->far_sigma)))
        return SPI_OK;
    return spi_fail(
        SPI_ENOCONV,
        "no particle: the images differ from each other (contrast^2 %.3f about "
        "their mean), but have no structure along their rings (contrast^2 %.4f +- "
        "%.4f near the beam, %.4f +- %.4f further out, in %lld images; need %.4f): "
        "droplets, or empty shots of changing brightness",
        contrast2, all->near, all->near_sigma, all->far, all->far_sigma, (long long)all->n,
        least);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* The value below which `part` of the n values of x lie; x is sorted. */
static double part_of(int64_t n, float *x, double part)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return n > 0 ? (double)x[(int64_t)(part * (double)(n - 1))] : 0;
}

bool spi_hits_round(const struct spi_hit *h, double typical)
{
    double c = (double)h->structure, s = (double)h->sigma;

    return s > 0 && c < round_level * typical && c < round_sigmas * s &&
           typical / 2 - c > sure_sigmas * s;
}

/* A particle's views have all kinds of structure, and those with little of it are rarer the
 * less they have; droplets have none.  So droplets there are where more images have none
 * than have a little. */
static bool some_are_round(int64_t n, const struct spi_hit *hit, double typical)
{
    int64_t none = 0, little = 0;

    for (int64_t k = 0; k < n; k++) {
        double c = (double)hit[k].structure, s = (double)hit[k].sigma;

        if (!(s > 0 && typical / 2 > sure_sigmas * s)) /* nobody can tell */
            continue;
        none += spi_hits_round(&hit[k], typical);
        little += c >= round_sigmas * s && c < 2 * round_sigmas * s;
    }
    return none > more_times * (double)little;
}

spi_err spi_hits_judge(int64_t n, const struct spi_hit *hit, uint8_t *kind, double *typical)
{
    double beyond;
    int64_t m = 0;
    bool round;
    float *x;
    spi_err err = SPI_NEW(x, n, "hits");

    if (err)
        return err;
    for (int64_t k = 0; k < n; k++)
        if (hit[k].sigma > 0)
            x[m++] = hit[k].structure;
    *typical = part_of(m, x, particle_part);
    round = some_are_round(n, hit, *typical);
    m = 0;
    for (int64_t k = 0; k < n; k++) {
        const struct spi_hit *h = &hit[k];

        if (!(h->sigma > 0))
            continue;
        if (round && spi_hits_round(h, *typical)) {
            kind[k] = SPI_HIT_ROUND;
        } else if (h->beyond != 0) {
            x[m++] = h->beyond;
        }
    }
    beyond = fmax(beyond_least, beyond_times * part_of(m, x, beyond_part));
    for (int64_t k = 0; k < n; k++)
        if (kind[k] == SPI_HIT_PARTICLE && (double)hit[k].beyond > beyond &&
            (double)hit[k].sigmas > beyond_sigmas)
            kind[k] = SPI_HIT_DOUBLET;
    free(x);
    return SPI_OK;
}
