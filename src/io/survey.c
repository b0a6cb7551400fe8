/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/survey.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/hash.h"
#include "io/survey_priv.h"

enum {
    IMAGES_LEAST = 128, /* of the sample, where the file has so many; */
    IMAGES_MOST = 4096, /* more than the least where images are small: */
    SAMPLE_VALUES = 1 << 26,
    BLOCK = 4, /* neighbouring images */
    SEED = 1   /* of the places of the blocks */
};

enum { VALUES = 100000 };             /* above 0 that tell the unit */
enum { ANY = 400000 };                /* that tell the electronics */
static const double wrong_most = 0.2; /* of the images: such a pixel is masked */
enum { SIGNS = 2 };                   /* so many values below 0 are signs, no noise */
enum { SATURATED_LEAST = 8 };         /* pixels, whose largest values are all at the top */
static const double saturated_counts = 10; /* photons: fewer are equal by chance */
static const double saturated_most = 0.01; /* of the images: such a pixel is masked */

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
static const float full_value[SPI_SURVEY_FULL] = {32767.0F, 65535.0F, 2147483648.0F,
                                                  4294967296.0F};

static bool is_full(const struct spi_look *l, float v)
{
    for (int k = 0; k < SPI_SURVEY_FULL; k++)
        if (v == full_value[k])
            return true;
    return l->full > 0 && v == (float)l->full;
}

static spi_err look_new(struct spi_look *l, const struct spi_survey_options *opt)
{
    const int64_t n = l->im->s.det.n_pixels;
    spi_err err;

    l->full = largest_of(l->im->s.type_on_disk);
    l->rings = (int)fmin(fmax(sqrt((double)n) / 2, 8), 4096);
    l->corner = spi_detector_q_corner(&l->im->s.det);
    SPI_TRY(err = SPI_NEW(l->sum, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->sum2, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->top, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->least, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->at_least, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->wrong, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->at_full, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->zero, n, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->mean, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->fano, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->uneven, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->evidence, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->value, VALUES, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->value_of, VALUES, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->any, ANY, "survey"), out);
    SPI_TRY(err = SPI_NEW(l->any_of, ANY, "survey"), out);
    SPI_TRY(err = spi_repair_new(n, &l->repair), out);
    l->repair->n_bad = opt->n_bad;
    for (int i = 0; i < opt->n_bad; i++)
        l->repair->bad[i] = (float)opt->bad[i];
    for (int64_t p = 0; p < n; p++) {
        l->least[p] = INFINITY;
        for (int k = 0; k < SPI_SURVEY_TOP; k++)
            l->top[p][k] = -INFINITY;
    }
out:
    return err;
}

static void look_clear(struct spi_look *l)
{
    free(l->sum);
    free(l->sum2);
    free(l->top);
    free(l->least);
    free(l->wrong);
    free(l->at_full);
    free(l->at_least);
    free(l->zero);
    free(l->mean);
    free(l->fano);
    free(l->uneven);
    free(l->evidence);
    free(l->value);
    free(l->value_of);
    free(l->any);
    free(l->any_of);
    spi_repair_free(l->repair);
}

/* ---- the sample --------------------------------------------------------------------- */

/* Values below 0 are added here: whether they are measurements shows at the end. */
static void add_negative(struct spi_look *l, float v)
{
    int k = 0;

    l->negative++;
    while (k < l->n_distinct && l->distinct[k] != v)
        k++;
    if (k == l->n_distinct && k < SPI_SURVEY_TOP)
        l->distinct[l->n_distinct++] = v;
}

static void add_value(struct spi_look *l, int64_t p, float v)
{
    float *top = l->top[p];

    l->sum[p] += (double)v;
    l->sum2[p] += (double)v * (double)v;
    l->zero[p] += v == 0;
    if (v < l->least[p]) {
        l->least[p] = v;
        l->at_least[p] = 0;
    }
    l->at_least[p] += v == l->least[p];
    for (int k = 0; k < SPI_SURVEY_TOP && v > top[SPI_SURVEY_TOP - 1]; k++)
        if (v > top[k]) {
            float t = top[k];

            top[k] = v;
            v = t;
        }
}

static bool is_wrong(struct spi_look *l, int64_t p, float v)
{
    if (v < 0 && fabsf(v) <= FLT_MAX)
        add_negative(l, v);
    if (is_full(l, v)) {
        for (int k = 0; k < SPI_SURVEY_FULL; k++)
            l->seen_full[k] |= v == full_value[k];
        l->at_full[p]++;
        l->wrong[p]++;
        return true;
    }
    if (spi_repair_is_wrong(l->repair, v)) {
        l->wrong[p]++;
        return true;
    }
    return false;
}

static void add_image(struct spi_look *l, int64_t image, const float *v)
{
    const struct spi_detector *d = &l->im->s.det;
    const bool photons = l->im->s.kind == SPI_PHOTONS;
    struct spi_survey *s = l->s;
    const int64_t each = VALUES / 32, /* of 32 images at least, where pixels are many */
        room = l->n_value + each < VALUES ? l->n_value + each : VALUES;
    const float usual = l->repair->n_bad > 0 ? 0
                        : l->full > 0        ? fminf(full_value[0], (float)l->full)
                                             : full_value[0];
    int64_t next = image * 7919 % l->any_step; /* other pixels of each image */

    for (int64_t p = 0; p < d->n_pixels; p++) {
        if (d->bad[p])
            continue;
        l->values++;
        if (!(v[p] >= 0 && v[p] < usual) && is_wrong(l, p, v[p]))
            continue;
        if (v[p] > 0 && l->n_value < room) {
            l->value_of[l->n_value] = (int32_t)p;
            l->value[l->n_value++] = v[p];
        }
        if (p >= next) {
            next = p + l->any_step;
            if (l->n_any < ANY) {
                l->any_of[l->n_any] = (int32_t)p;
                l->any[l->n_any++] = v[p];
            }
        }
        add_value(l, p, v[p]);
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

/* What is done with n images from `first` on. */
typedef void images_fn(struct spi_look *l, int64_t first, int64_t n, float *pixels);

static void add_images(struct spi_look *l, int64_t first, int64_t n, float *pixels)
{
    for (int64_t i = 0; i < n; i++)
        add_image(l, first + i, pixels + i * l->im->s.det.n_pixels);
}

static spi_err each_image(struct spi_look *l, images_fn *fn)
{
    const int64_t n = l->im->s.n, room_for = SAMPLE_VALUES / l->im->s.det.n_pixels,
                  wanted = room_for < IMAGES_LEAST  ? IMAGES_LEAST
                           : room_for > IMAGES_MOST ? IMAGES_MOST
                                                    : room_for / BLOCK * BLOCK,
                  strata = ((n < wanted ? n : wanted) + BLOCK - 1) / BLOCK;
    float *pixels = NULL;
    spi_err err;

    l->any_step = (n < wanted ? n : wanted) * l->im->s.det.n_pixels / ANY + 1;
    SPI_TRY(err = SPI_NEW_UNSET(pixels, BLOCK * l->im->s.det.n_pixels, "survey"), out);
    for (int64_t k = 0; k < strata && !err; k++) {
        struct spi_rng rng = spi_rng_stream(SEED, SPI_RNG_BATCH, (uint64_t)k);
        int64_t from = n * k / strata, to = n * (k + 1) / strata, room = to - from - BLOCK,
                count;

        if (n <= wanted) { /* all of them */
            from = k * BLOCK;
            to = from + BLOCK < n ? from + BLOCK : n;
        } else if (room > 0) {
            from += (int64_t)(spi_rng_uniform(&rng) * (double)(room + 1));
            to = from + BLOCK;
        }
        count = to - from < BLOCK ? to - from : BLOCK;
        err = spi_images_read_raw(l->im, from, count, pixels);
        if (!err)
            fn(l, from, count, pixels);
    }
out:
    free(pixels);
    return err;
}

/* One or two whole numbers below 0 are signs of no measurement; noise has more values. */
static bool are_signs(const struct spi_look *l)
{
    bool signs = l->n_distinct <= SIGNS;

    for (int k = 0; k < l->n_distinct; k++)
        signs = signs && l->distinct[k] == floorf(l->distinct[k]);
    return signs;
}

/* Once more from the beginning, where values below 0 turned out to be measurements. */
static spi_err look_at_sample(struct spi_look *l, bool analogue)
{
    const int64_t n = l->im->s.det.n_pixels;
    spi_err err = each_image(l, add_images);

    if (err || !analogue || are_signs(l))
        return err;
    l->s->analogue = l->repair->analogue = true;
    l->s->n_images = l->values = l->broken = l->negative = l->n_value = l->n_any = 0;
    memset(l->sum, 0, (size_t)n * sizeof *l->sum);
    memset(l->sum2, 0, (size_t)n * sizeof *l->sum2);
    memset(l->wrong, 0, (size_t)n * sizeof *l->wrong);
    memset(l->at_full, 0, (size_t)n * sizeof *l->at_full);
    memset(l->zero, 0, (size_t)n * sizeof *l->zero);
    for (int64_t p = 0; p < n; p++) {
        l->least[p] = INFINITY;
        for (int k = 0; k < SPI_SURVEY_TOP; k++)
            l->top[p][k] = -INFINITY;
    }
    return each_image(l, add_images);
}

/* ---- what is wrong ------------------------------------------------------------------ */

void spi_survey_mask(struct spi_look *l, int64_t p, enum spi_pixel_reason reason)
{
    l->im->s.det.bad[p] = 1;
    l->s->reason[p] = (uint8_t)reason;
    l->s->n[reason]++;
}

/* What is no measurement in many images. */
static void find_invalid(struct spi_look *l)
{
    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++)
        if (!l->im->s.det.bad[p] &&
            (double)l->wrong[p] > wrong_most * (double)l->s->n_images)
            spi_survey_mask(l, p,
                            2 * l->at_full[p] >= l->wrong[p] ? SPI_REASON_FULL
                                                             : SPI_REASON_INVALID);
}

/* (X10): the detector counts no further. */
static double find_top(const struct spi_look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    const double noise = l->s->electronics.gain > 0 ? 6 * l->s->electronics.noise : 0;
    double top = 0, counts = saturated_counts * (l->s->gain > 0 ? l->s->gain : 1), level;
    int64_t n = 0;

    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p])
            top = fmax(top, (double)l->top[p][0]);
    level = top - 2 * noise;
    for (int64_t p = 0; p < d->n_pixels; p++)
        n += !d->bad[p] && (double)l->top[p][SPI_SURVEY_TOP - 1] >= level;
    return n >= SATURATED_LEAST && top >= counts ? level : 0;
}

/* Counts again, now of what is seen where. */
static void count_saturated(struct spi_look *l, int64_t first, int64_t n, float *pixels)
{
    const struct spi_detector *d = &l->im->s.det;

    (void)first;
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < d->n_pixels; p++)
            l->zero[p] += (double)pixels[i * d->n_pixels + p] >= l->s->saturation;
}

static spi_err find_saturated(struct spi_look *l)
{
    const struct spi_electronics *e = &l->s->electronics;
    const int64_t n = l->im->s.det.n_pixels;
    double level = find_top(l);
    spi_err err;

    if (!(level > 0))
        return SPI_OK;
    l->s->saturation = e->gain > 0 ? e->pedestal + e->gain * level : level;
    memset(l->zero, 0, (size_t)n * sizeof *l->zero);
    err = each_image(l, count_saturated);
    for (int64_t p = 0; p < n && !err; p++)
        if (!l->im->s.det.bad[p] &&
            (double)l->zero[p] > saturated_most * (double)l->s->n_images)
            spi_survey_mask(l, p, SPI_REASON_SATURATED);
    return err;
}

/* Values that will be replaced. */
static void count_replaced(struct spi_look *l, int64_t first, int64_t n, float *pixels)
{
    const struct spi_detector *d = &l->im->s.det;

    (void)first;
    for (int64_t i = 0; i < n; i++) {
        int64_t r = spi_repair_image(l->repair, d->bad, pixels + i * d->n_pixels);

        l->s->lacking_images += r > d->n_pixels;
        l->s->replaced_images += r > 0 && r <= d->n_pixels;
        l->s->replaced += r <= d->n_pixels ? r : 0;
    }
}

static spi_err check_left(const struct spi_look *l)
{
    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++)
        if (!l->im->s.det.bad[p])
            return SPI_OK;
    return spi_fail(SPI_EFORMAT,
                    "%s: all pixels that the mask leaves are negative, no numbers, the "
                    "largest of their type, or one value in every image: nothing can be "
                    "used",
                    l->im->path);
}

static spi_err find_faults(struct spi_look *l, const struct spi_survey_options *opt)
{
    spi_err err;

    if (l->s->n_images < SPI_SURVEY_LEAST_IMAGES) {
        spi_survey_find_gain(l);
        return spi_survey_find_electronics(l, opt);
    }
    find_invalid(l);
    SPI_TRY(err = check_left(l), out);
    SPI_TRY(err = spi_survey_constant(l), out);
    SPI_TRY(err = check_left(l), out);
    spi_survey_find_gain(l);
    SPI_TRY(err = spi_survey_find_electronics(l, opt), out);
    SPI_TRY(err = spi_survey_dead(l), out);
    SPI_TRY(err = spi_survey_neighbours(l), out);
    SPI_TRY(err = spi_survey_borders(l), out);
    SPI_TRY(err = find_saturated(l), out);
    err = check_left(l);
out:
    return err;
}

/* Images are read with it from here on. */
static spi_err begin_repairs(struct spi_look *l)
{
    struct spi_repair *r = l->repair;
    const struct spi_detector *d = &l->im->s.det;
    bool wrong = false;
    spi_err err = SPI_OK;

    for (int64_t p = 0; p < d->n_pixels; p++) {
        r->mean[p] = (float)fmax(0, spi_survey_mean(l, p) + l->base);
        wrong |= !d->bad[p] && l->wrong[p] > 0;
    }
    if (l->full > 0)
        r->limit = (float)l->full;
    for (int k = 0; k < SPI_SURVEY_FULL; k++)
        if (r->n_bad < SPI_BAD_VALUES && l->seen_full[k])
            r->bad[r->n_bad++] = full_value[k];
    if (wrong)
        err = each_image(l, count_replaced);
    spi_repair_free(l->im->repair);
    l->im->repair = r;
    l->repair = NULL;
    return err;
}

/* With masks that say all, other pixels hold measurements. */
static spi_err check_trusted(const struct spi_look *l)
{
    const struct spi_images *im = l->im;
    int64_t pixels = 0, first = -1, times = 0;
    char at[96];

    for (int64_t p = 0; p < im->s.det.n_pixels; p++)
        if (l->wrong[p] > l->at_full[p]) {
            first = first < 0 ? p : first;
            times += l->wrong[p] - l->at_full[p];
            pixels++;
        }
    if (pixels == 0)
        return SPI_OK;
    spi_pixel_text(&im->s.det, first, at);
    return spi_fail(SPI_EFORMAT,
                    "%s: %lld pixel%s (%s%s) %s negative or no number in some images, %lld "
                    "times in the %lld looked at; leave out --trust-mask, or hide the "
                    "pixels with --mask",
                    im->path, (long long)pixels, pixels == 1 ? "" : "s", at,
                    pixels == 1 ? "" : ", the first", pixels == 1 ? "is" : "are",
                    (long long)times, (long long)l->s->n_images);
}

static bool is_listed(const struct spi_survey *s, int64_t p)
{
    for (int i = 0; i < s->n_listed && i < SPI_REASONS; i++)
        if (s->listed[i].pixel == p)
            return true;
    return false;
}

/* The first pixel of each reason, then others. */
static void list(struct spi_look *l, const double *mean)
{
    struct spi_survey *s = l->s;
    bool had[SPI_REASONS] = {false};

    for (int again = 0; again < 2; again++)
        for (int64_t p = 0; p < s->n_pixels; p++) {
            enum spi_pixel_reason r = (enum spi_pixel_reason)s->reason[p];

            if (r <= SPI_REASON_MASK || s->n_listed == SPI_SURVEY_LISTED)
                continue;
            bool first = !had[r];

            had[r] = true;
            if (again ? !is_listed(s, p) : first)
                s->listed[s->n_listed++] = (struct spi_surveyed){p, r, mean[p]};
        }
}

spi_err spi_survey(struct spi_images *im, const struct spi_survey_options *opt,
                   struct spi_survey *out)
{
    static const struct spi_survey_options nothing = {0};
    struct spi_look l = {.im = im, .s = out};
    double *mean = NULL;
    spi_err err;

    opt = opt ? opt : &nothing;
    *out = (struct spi_survey){.n_pixels = im->s.det.n_pixels};
    SPI_TRY(err = SPI_NEW(out->reason, out->n_pixels, "survey"), out);
    SPI_TRY(err = SPI_NEW(mean, out->n_pixels, "survey"), out);
    for (int64_t p = 0; p < out->n_pixels; p++)
        if (im->s.det.bad[p]) {
            out->reason[p] = SPI_REASON_MASK;
            out->n[SPI_REASON_MASK]++;
        }
    SPI_TRY(err = look_new(&l, opt), out);
    SPI_TRY(err = look_at_sample(&l, !opt->trust), out);
    out->not_whole = (double)l.broken / fmax((double)l.values, 1);
    for (int64_t p = 0; p < out->n_pixels; p++)
        mean[p] = spi_survey_valid(&l, p) > 0 ? spi_survey_mean(&l, p) : (double)NAN;
    if (opt->trust) {
        spi_survey_find_gain(&l);
        SPI_TRY(err = check_trusted(&l), out);
    } else {
        SPI_TRY(err = find_faults(&l, opt), out);
        SPI_TRY(err = begin_repairs(&l), out);
        list(&l, mean);
    }
out:
    free(mean);
    look_clear(&l);
    if (err)
        spi_survey_clear(out);
    return err;
}

void spi_survey_clear(struct spi_survey *s)
{
    free(s->reason);
    *s = (struct spi_survey){0};
}

enum spi_image_kind spi_survey_images_kind(const struct spi_images *im, double gain)
{
    return gain > 0 ? SPI_PHOTONS : spi_images_kind(im);
}

bool spi_survey_mostly_hidden(const struct spi_survey *s)
{
    return (double)s->n[SPI_REASON_MASK] > 0.8 * (double)s->n_pixels;
}

int64_t spi_survey_masked(const struct spi_survey *s)
{
    int64_t n = 0;

    for (int r = SPI_REASON_MASK + 1; r < SPI_REASONS; r++)
        n += s->n[r];
    return n;
}

void spi_images_mask_sha256(const struct spi_images *im, char hex[65])
{
    spi_bytes_sha256((size_t)im->s.det.n_pixels, im->s.det.bad, hex);
}
