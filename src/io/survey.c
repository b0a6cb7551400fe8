/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/survey.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/hash.h"
#include "io/images_priv.h"

enum {
    STRATA = 32, /* parts of the file, of each so many neighbouring images at most: */
    BLOCK = 4,
    SEED = 1,       /* of the places of the blocks */
    RING_LEAST = 8, /* pixels of a ring that can be compared */
    NEIGHBOURS = 8,
    NEIGHBOURS_LEAST = 3, /* in a corner */
    BRIGHT_LEAST = 4      /* a speckle is so wide that some neighbours share its light */
};

/* A hot pixel's mean is more than so many times that of its ring and of its neighbours.  Of
 * speckles (negative exponential) one in exp(20) is so bright, and its neighbours are too.
 */
static const double over_ring = 20, over_neighbours = 10;
static const double over_ring_always = 3; /* in every image */
static const double dead_counts = 50;     /* exp(-50): never by chance */
/* Where all images show one orientation, rings have dark speckles: deviation = mean. */
static const double even_most = 0.5;

enum { VALUES = 100000, VALUES_LEAST = 100 }; /* above 0 that tell the unit */
static const double whole = 1e-3; /* from a whole multiple of the gain, of the gain */
static const double singles_least = 0.02; /* of the values above 0 are one gain */

/* Sums over the sample, one of each pixel. */
struct look {
    struct spi_images *im;
    struct spi_survey *s;
    double top;      /* largest number of the type; 0: none */
    double *sum;     /* of the valid values */
    float *least;    /* the smallest valid value */
    int32_t *wrong;  /* images in which it is negative or no number */
    int32_t *full;   /* ... in which it is the largest number */
    uint8_t *is_nan; /* some value is no number */
    float *even;     /* [rings] deviation of its pixels that are not 0, over their mean */
    float *ring; /* [rings] mean of the ring without its brightest tenth; NAN: too small */
    int rings;
    double corner;
    int64_t first_wrong_image, first_wrong_pixel, negative, values, broken;
    double first_wrong_value;
    float *value;      /* [n_value] of VALUES, above 0 */
    int32_t *value_of; /* [n_value] their pixels */
    int64_t n_value;
};

static double largest_of(const char *type)
{
    int bits = 0;

    if (sscanf(type, "uint%d", &bits) == 1)
        return ldexp(1, bits) - 1;
    if (sscanf(type, "int%d", &bits) == 1)
        return ldexp(1, bits - 1) - 1;
    return 0;
}

/* As floats: 2^31 - 1 and 2^32 - 1 are rounded to powers of two. */
static bool is_full(const struct look *l, float v)
{
    return v == 32767.0F || v == 65535.0F || v == 2147483648.0F || v == 4294967296.0F ||
           (l->top > 0 && v == (float)l->top);
}

static spi_err look_new(struct look *l)
{
    const int64_t n = l->im->s.det.n_pixels;
    spi_err err;

    l->top = largest_of(l->im->s.type_on_disk);
    l->first_wrong_image = -1;
    l->rings = (int)fmin(fmax(sqrt((double)n) / 2, 8), 4096);
    l->corner = spi_detector_q_corner(&l->im->s.det);
    SPI_TRY(err = SPI_NEW(l->sum, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->least, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->wrong, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->full, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->is_nan, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->ring, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->even, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->value, VALUES, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->value_of, VALUES, "survey"), out);
    for (int64_t p = 0; p < n; p++)
        l->least[p] = INFINITY;
out:
    return err;
}

static void look_clear(struct look *l)
{
    free(l->sum);
    free(l->least);
    free(l->wrong);
    free(l->full);
    free(l->is_nan);
    free(l->ring);
    free(l->even);
    free(l->value);
    free(l->value_of);
}

/* ---- the sample --------------------------------------------------------------------- */

static void add_image(struct look *l, int64_t image, const float *v)
{
    const struct spi_detector *d = &l->im->s.det;
    const bool photons = l->im->s.kind == SPI_PHOTONS;
    struct spi_survey *s = l->s;
    const int64_t each = VALUES / 32, /* of 32 images at least, where pixels are many */
        room = l->n_value + each < VALUES ? l->n_value + each : VALUES;

    for (int64_t p = 0; p < d->n_pixels; p++) {
        if (d->bad[p])
            continue;
        l->values++;
        if (!(v[p] >= 0 && v[p] <= FLT_MAX)) {
            l->wrong[p]++;
            l->negative += v[p] < 0;
            l->is_nan[p] |= isnan(v[p]) != 0;
            continue;
        }
        l->full[p] += is_full(l, v[p]);
        if (v[p] > 0 && l->n_value < room) {
            l->value_of[l->n_value] = (int32_t)p;
            l->value[l->n_value++] = v[p];
        }
        l->sum[p] += (double)v[p];
        l->least[p] = fminf(l->least[p], v[p]);
        if (photons && v[p] != floorf(v[p])) {
            if (l->broken++ == 0) {
                s->not_whole_image = image;
                s->not_whole_pixel = p;
                s->not_whole_value = (double)v[p];
            }
        }
    }
    s->n_images++;
}

static spi_err read_block(struct look *l, int64_t first, int64_t n, float *pixels)
{
    spi_err err = spi_images_read_raw(l->im, first, n, pixels);
    for (int64_t i = 0; i < n && !err; i++)
        add_image(l, first + i, pixels + i * l->im->s.det.n_pixels);
    return err;
}

static spi_err look_at_sample(struct look *l)
{
    const int64_t n = l->im->s.n;
    int64_t strata = n <= (int64_t)STRATA * BLOCK ? (n + BLOCK - 1) / BLOCK : STRATA;
    float *pixels = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW_UNSET(pixels, BLOCK * l->im->s.det.n_pixels, "survey"), out);
    for (int64_t k = 0; k < strata && !err; k++) {
        struct spi_rng rng = spi_rng_stream(SEED, SPI_RNG_BATCH, (uint64_t)k);
        int64_t from = n * k / strata, to = n * (k + 1) / strata, room = to - from - BLOCK;

        if (n <= (int64_t)STRATA * BLOCK) { /* all of them */
            from = k * BLOCK;
            to = from + BLOCK < n ? from + BLOCK : n;
        } else if (room > 0) {
            from += (int64_t)(spi_rng_uniform(&rng) * (double)(room + 1));
            to = from + BLOCK;
        }
        err = read_block(l, from, to - from < BLOCK ? to - from : BLOCK, pixels);
    }
out:
    free(pixels);
    return err;
}

/* ---- the unit ----------------------------------------------------------------------- */

/* Are all values whole multiples of the smallest, which is common and not all there is? */
static double common_unit(int64_t n, const float *value)
{
    double least = INFINITY, most = 0, singles = 0;

    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, (double)value[i]);
        most = fmax(most, (double)value[i]);
    }
    if (n < VALUES_LEAST || !(most > 1.5 * least))
        return 0;
    for (int64_t i = 0; i < n; i++) {
        double times = (double)value[i] / least;

        if (times < 1 / whole / 10 && fabs(times - round(times)) > whole)
            return 0;
        singles += times < 1.5;
    }
    return singles >= singles_least * (double)n ? least : 0;
}

/* Of the pixels that are not masked. */
static void find_gain(struct look *l)
{
    int64_t n = 0;
    double unit;

    for (int64_t i = 0; i < l->n_value; i++)
        if (!l->im->s.det.bad[l->value_of[i]])
            l->value[n++] = l->value[i];
    unit = common_unit(n, l->value);
    l->s->gain = l->im->s.kind == SPI_PHOTONS && !(unit > 1) ? 0 : unit;
}

/* ---- what is wrong ------------------------------------------------------------------ */

static void mask_pixel(struct look *l, int64_t p, enum spi_survey_kind kind)
{
    struct spi_survey *s = l->s;
    int64_t valid = s->n_images - l->wrong[p];

    l->im->s.det.bad[p] = 1;
    s->n[kind]++;
    if (s->n_listed < SPI_SURVEY_LISTED)
        s->listed[s->n_listed++] = (struct spi_surveyed){
            p, kind, l->is_nan[p] || valid == 0 ? (double)NAN : l->sum[p] / (double)valid};
}

static void find_constant(struct look *l)
{
    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++)
        if (!l->im->s.det.bad[p] && l->wrong[p] + l->full[p] == l->s->n_images)
            mask_pixel(l, p, l->wrong[p] > 0 ? SPI_SURVEY_INVALID : SPI_SURVEY_FULL);
}

static int ring_of(const struct look *l, int64_t p)
{
    const double *q = l->im->s.det.q + 3 * p;
    double at = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) / l->corner;

    return (int)fmin(at * l->rings, l->rings - 1);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double mean_of(const struct look *l, int64_t p)
{
    return l->sum[p] / (double)l->s->n_images;
}

/* Means of rings without the brightest tenth of their pixels, one at least, and how even
 * the pixels are that see light. */
static spi_err find_rings(struct look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    int64_t *start = NULL;
    float *value = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(start, l->rings + 2, "survey"), out);
    SPI_TRY(err = SPI_NEW_UNSET(value, d->n_pixels, "survey"), out);
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p])
            start[ring_of(l, p) + 2]++;
    for (int r = 0; r < l->rings; r++)
        start[r + 2] += start[r + 1];
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p])
            value[start[ring_of(l, p) + 1]++] = (float)mean_of(l, p);
    for (int r = 0; r < l->rings; r++) {
        int64_t n = start[r + 1] - start[r], kept = n - (n + 9) / 10;
        double sum = 0, n_lit = 0, lit = 0, lit2 = 0;

        l->ring[r] = NAN;
        l->even[r] = INFINITY;
        if (n < RING_LEAST)
            continue;
        qsort(value + start[r], (size_t)n, sizeof *value, by_value);
        for (int64_t i = 0; i < kept; i++)
            sum += (double)value[start[r] + i];
        l->ring[r] = (float)(sum / (double)kept);
        for (int64_t i = 0; i < n; i++) {
            double v = (double)value[start[r] + i];

            n_lit += v > 0;
            lit += v;
            lit2 += v * v;
        }
        if (lit > 0)
            l->even[r] = (float)sqrt(fmax(0, lit2 * n_lit / (lit * lit) - 1));
    }
out:
    free(start);
    free(value);
    return err;
}

/* The mean that BRIGHT_LEAST of the neighbours reach (all three in a corner); INFINITY: too
 * few can be used. */
static double neighbours(const struct look *l, int64_t p)
{
    const struct spi_detector *d = &l->im->s.det;
    const int64_t row = p / d->nx % d->ny, column = p % d->nx;
    float value[NEIGHBOURS];
    int n = 0;

    for (int64_t y = row - 1; y <= row + 1; y++)
        for (int64_t x = column - 1; x <= column + 1; x++) {
            int64_t at = p + (y - row) * d->nx + (x - column);

            if (y < 0 || y >= d->ny || x < 0 || x >= d->nx || at == p || d->bad[at])
                continue;
            value[n++] = (float)mean_of(l, at);
        }
    if (n < NEIGHBOURS_LEAST)
        return INFINITY;
    qsort(value, (size_t)n, sizeof *value, by_value);
    return (double)value[n < BRIGHT_LEAST ? 0 : n - BRIGHT_LEAST];
}

static bool is_hot(const struct look *l, int64_t p)
{
    double ring = (double)l->ring[ring_of(l, p)], near = neighbours(l, p),
           mean = mean_of(l, p);

    if (!(l->least[p] > 0) || l->wrong[p] > 0 || isinf(near))
        return false;
    if (isnan(ring))
        ring = near;
    return mean > over_ring * ring && (double)l->least[p] > over_ring_always * ring &&
           mean > over_neighbours * near;
}

static spi_err find_hot(struct look *l)
{
    const int64_t n = l->im->s.det.n_pixels;
    uint8_t *hot = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(hot, n, "survey"), out);
    SPI_TRY(err = find_rings(l), out);
    for (int64_t p = 0; p < n; p++)
        hot[p] = !l->im->s.det.bad[p] && is_hot(l, p);
    for (int64_t p = 0; p < n; p++)
        if (hot[p])
            mask_pixel(l, p, SPI_SURVEY_HOT);
out:
    free(hot);
    return err;
}

static void find_dead(struct look *l)
{
    const double least =
        l->im->s.kind == SPI_PHOTONS ? dead_counts / (double)l->s->n_images : 0;

    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++)
        if (!l->im->s.det.bad[p] && l->wrong[p] == 0 && !(l->sum[p] > 0) &&
            (double)l->ring[ring_of(l, p)] > least &&
            (double)l->even[ring_of(l, p)] < even_most && l->s->n_dead++ == 0)
            l->s->dead = p;
}

/* Some images have it, some not: no mask of the detector. */
static spi_err check_others(const struct look *l)
{
    const struct spi_images *im = l->im;
    int64_t pixels = 0, first = -1, times = 0;
    double share = (double)l->negative / fmax((double)l->values, 1);
    char at[96];

    for (int64_t p = 0; p < im->s.det.n_pixels; p++)
        if (!im->s.det.bad[p] && l->wrong[p] > 0) {
            first = first < 0 ? p : first;
            times += l->wrong[p];
            pixels++;
        }
    if (pixels == 0)
        return SPI_OK;
    if (share > 0.01)
        return spi_fail(SPI_EFORMAT,
                        "%s: %.0f %% of the values are negative: a pedestal seems to be "
                        "subtracted from them; turn them into photons first (round value / "
                        "gain, nothing below 0)",
                        im->path, 100 * share);
    spi_pixel_text(&im->s.det, first, at);
    return spi_fail(SPI_EFORMAT,
                    "%s: %lld pixel%s (%s%s) %s negative or no number in some images, %lld "
                    "times in the %lld looked at; set such values to 0, or hide the pixels "
                    "with --mask",
                    im->path, (long long)pixels, pixels == 1 ? "" : "s", at,
                    pixels == 1 ? "" : ", the first", pixels == 1 ? "is" : "are",
                    (long long)times, (long long)l->s->n_images);
}

static spi_err check_left(const struct look *l)
{
    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++)
        if (!l->im->s.det.bad[p])
            return SPI_OK;
    return spi_fail(SPI_EFORMAT,
                    "%s: all pixels that the mask leaves are negative, no numbers, or the "
                    "largest of their type in every image: nothing can be used",
                    l->im->path);
}

spi_err spi_survey(struct spi_images *im, struct spi_survey *out)
{
    struct look l = {.im = im, .s = out};
    spi_err err;

    *out = (struct spi_survey){.n_pixels = im->s.det.n_pixels};
    for (int64_t p = 0; p < im->s.det.n_pixels; p++)
        out->hidden += im->s.det.bad[p] != 0;
    SPI_TRY(err = look_new(&l), out);
    SPI_TRY(err = look_at_sample(&l), out);
    out->not_whole = (double)l.broken / fmax((double)l.values, 1);
    if (out->n_images >= SPI_SURVEY_LEAST_IMAGES) {
        find_constant(&l);
        SPI_TRY(err = check_left(&l), out);
        SPI_TRY(err = find_hot(&l), out);
        find_dead(&l);
    }
    find_gain(&l);
    err = check_others(&l);
out:
    look_clear(&l);
    return err;
}

enum spi_image_kind spi_survey_images_kind(const struct spi_images *im, double gain)
{
    return gain > 0 ? SPI_PHOTONS : spi_images_kind(im);
}

bool spi_survey_mostly_hidden(const struct spi_survey *s)
{
    return (double)s->hidden > 0.8 * (double)s->n_pixels;
}

/* ---- words -------------------------------------------------------------------------- */

const char *spi_survey_words(enum spi_survey_kind kind, int64_t n)
{
    static const char *const words[SPI_SURVEY_KINDS][2] = {
        {"is negative or no number", "are negative or no numbers"},
        {"holds the largest number of its type", "hold the largest number of their type"},
        {"outshines its ring and its neighbours by far",
         "outshine their rings and neighbours by far"}};

    return words[kind][n != 1];
}

void spi_survey_where(const struct spi_images *im, int64_t pixel, char text[96])
{
    spi_pixel_text(&im->s.det, pixel, text);
}

json_t *spi_survey_json(const struct spi_images *im, const struct spi_survey *s, int most)
{
    static const char *const names[SPI_SURVEY_KINDS] = {"invalid", "full", "hot"};
    const struct spi_detector *d = &im->s.det;
    json_t *pixels = json_array();
    json_t *o = json_pack("{s:I, s:I}", "of_images", (json_int_t)s->n_images,
                          "hidden_by_masks", (json_int_t)s->hidden);

    for (int i = 0; i < s->n_listed && i < most; i++) {
        const struct spi_surveyed *p = s->listed + i;

        json_array_append_new(
            pixels, json_pack("{s:s, s:I, s:I, s:I, s:o}", "is", names[p->kind], "panel",
                              (json_int_t)(p->pixel / ((int64_t)d->ny * d->nx)), "row",
                              (json_int_t)(p->pixel / d->nx % d->ny), "column",
                              (json_int_t)(p->pixel % d->nx), "mean",
                              isfinite(p->mean) ? json_real(p->mean) : json_null()));
    }
    for (int k = 0; k < SPI_SURVEY_KINDS; k++)
        json_object_set_new(o, names[k], json_integer((json_int_t)s->n[k]));
    json_object_set_new(o, "dead_not_masked", json_integer((json_int_t)s->n_dead));
    json_object_set_new(o, "not_whole", json_real(s->not_whole));
    json_object_set_new(o, "whole_multiples_of",
                        s->gain > 0 ? json_real(s->gain) : json_null());
    json_object_set_new(o, "masked_pixels", pixels);
    return o;
}

void spi_images_mask_sha256(const struct spi_images *im, char hex[65])
{
    spi_bytes_sha256((size_t)im->s.det.n_pixels, im->s.det.bad, hex);
}
