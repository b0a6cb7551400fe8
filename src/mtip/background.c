/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/background.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/mask.h"
#include "mtip/orientations.h"
#include "mtip/uneven.h"

static const double share_least =
    0.2; /* (Q19): of a shell; a particle alone has 0 +- 0.05 */
static const double sigmas_least = 3;
static const double contrast_most = 0.85; /* of the images, in those shells */
static const double fluence_least = 0.01;
enum { SHELLS_LEAST = 2 };

spi_err spi_background_begin(const struct spi_run *r, struct spi_background *b)
{
    const struct spi_data *d = r->data;
    const float *known = d->background ? d->background : d->uneven;
    spi_err err;

    *b = (struct spi_background){.told = d->background != NULL};
    if (d->even)
        SPI_TRY(err = SPI_NEW(b->even, d->det->n_pixels, "background"), out);
    if (!known)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(b->pixel, d->det->n_pixels, "background"), out);
    memcpy(b->pixel, known, (size_t)d->det->n_pixels * sizeof *known);
    if (b->told && d->even)
        memcpy(b->even, d->even, (size_t)d->det->n_pixels * sizeof *d->even);
out:
    return err;
}

struct spi_beside spi_background_beside(const struct spi_run *r,
                                        const struct spi_background *b)
{
    if (!b->even)
        return (struct spi_beside){.same = b->pixel};
    return (struct spi_beside){r->data->uneven, b->even, r->data->glow};
}

void spi_background_clear(struct spi_background *b)
{
    free(b->pixel);
    free(b->even);
    *b = (struct spi_background){0};
}

/* ---- what is given ------------------------------------------------------------------ */

static bool same_detector(const struct spi_detector *a, const struct spi_detector *b)
{
    return a->panels == b->panels && a->ny == b->ny && a->nx == b->nx;
}

static spi_err mean_of(struct spi_images *im, float *out)
{
    enum { AT_ONCE = 16 };
    const struct spi_detector *det = spi_images_detector(im);
    int64_t n = spi_images_count(im), n_pixels = det->n_pixels;
    double *sum = NULL;
    float *pixels = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(sum, n_pixels, "background"), out);
    SPI_TRY(err = SPI_NEW(pixels, AT_ONCE * n_pixels, "background"), out);
    for (int64_t first = 0; first < n; first += AT_ONCE) {
        int64_t m = n - first < AT_ONCE ? n - first : AT_ONCE;

        SPI_TRY(err = spi_images_read(im, first, m, pixels), out);
        for (int64_t i = 0; i < m * n_pixels; i++)
            sum[i % n_pixels] += (double)pixels[i];
    }
    for (int64_t p = 0; p < n_pixels; p++)
        out[p] = (float)(sum[p] / (double)n);
out:
    free(sum);
    free(pixels);
    return err;
}

spi_err spi_background_read(const char *name, const struct spi_images *im, float **out)
{
    const struct spi_detector *det = spi_images_detector(im), *own;
    struct spi_images *misses = NULL;
    const char *dataset = strstr(name, ":/");
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(*out, det->n_pixels, "background"), out);
    if (dataset) {
        err = spi_weights_read(name, det->panels, det->ny, det->nx, *out);
        goto out;
    }
    SPI_TRY(err = spi_images_open(name, &misses), out);
    own = spi_images_detector(misses);
    if (!same_detector(own, det)) {
        err = spi_fail(SPI_EFORMAT,
                       "%s: images of %d x %d x %d pixels; the background needs those of "
                       "the images, %d x %d x %d",
                       name, own->panels, own->ny, own->nx, det->panels, det->ny, det->nx);
        goto out;
    }
    if (spi_images_count(misses) < 1) {
        err = spi_fail(SPI_EFORMAT, "%s: no image; the background needs one or more", name);
        goto out;
    }
    SPI_TRY(err = mean_of(misses, *out), out);
    err = spi_uneven_fill(own, *out);
out:
    spi_images_close(misses);
    if (err) {
        free(*out);
        *out = NULL;
    }
    return err;
}

bool spi_background_shows(const struct spi_run *r, double q_max)
{
    const struct spi_contrast *c = r->contrast;
    double sum = 0;
    int n = 0;

    if (!c || strcmp(r->set->background, "none") == 0)
        return false;
    for (int i = 0; i < c->n && c->q[i] <= q_max; i++, n++)
        sum += c->square[i];
    return n > 0 && sum < contrast_most * contrast_most * n;
}

/* ---- what is alike in all directions ------------------------------------------------ */

spi_err spi_background_levels(const struct spi_run *r, const struct spi_volume *const A[2],
                              const double R[9], double q_min, double q_max,
                              struct spi_isotropic *level)
{
    struct spi_pose rotation = {.inverted = 0};
    struct spi_volume two = {0}, W[2] = {{0}, {0}};
    spi_err err;

    memcpy(rotation.R, R, sizeof rotation.R);
    SPI_TRY(err = spi_pose_apply(A[1], &rotation, A[0]->n, A[0]->step, &two), out);
    SPI_TRY(err = spi_volume_fourier_even(A[0], &W[0]), out);
    SPI_TRY(err = spi_volume_fourier_even(&two, &W[1]), out);
    err = spi_isotropic_find(&W[0], &W[1], r->data->rings.diameter_A, q_min, q_max, level);
out:
    spi_volume_clear(&two);
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&W[h]);
    return err;
}

/* (Q19): shells of which a background is a part for certain, and the contrast of the images
 * in them: that of the merge is less where orientations are not sharp. */
static bool is_certain(const struct spi_isotropic *s, const struct spi_contrast *c,
                       double diameter_A, struct spi_background *b)
{
    double contrast = 0;
    int row = 0, longest = 0, counted = 0;

    for (int i = 0; i < s->n; i++) {
        double share = s->mean[i] > 0 ? s->level[i] / s->mean[i] : 0;
        bool sure = s->q[i] >= SPI_BALL_QD / diameter_A && share >= share_least &&
                    s->level[i] >= sigmas_least * s->sigma[i];

        row = sure ? row + 1 : 0;
        longest = row > longest ? row : longest;
        if (!sure)
            continue;
        if (share > b->share) {
            b->share = share;
            b->share_q = s->q[i];
        }
        for (int k = 0; k < c->n; k++)
            if (fabs(c->q[k] - s->q[i]) <= 0.5 / (2 * diameter_A) * (1 + 1e-9)) {
                contrast += c->square[k];
                counted++;
            }
    }
    return longest >= SHELLS_LEAST && counted > 0 &&
           contrast < contrast_most * contrast_most * counted;
}

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

spi_err spi_background_look(const struct spi_run *r, const struct spi_volume half_A[2],
                            const struct spi_agreement *a, const struct spi_contrast *c,
                            bool again, struct spi_background *b, bool *found)
{
    const struct spi_detector *det = r->data->det;
    struct spi_isotropic s = {0};
    spi_err err;

    SPI_TRY(err = spi_background_levels(
                r, (const struct spi_volume *const[2]){&half_A[0], &half_A[1]}, a->R,
                a->q_min, a->q_max, &s),
            out);
    *found = strcmp(r->set->background, "none") != 0 &&
             (is_certain(&s, c, r->data->rings.diameter_A, b) || again);
    if (!*found)
        goto out;
    if (!b->pixel)
        SPI_TRY(err = SPI_NEW(b->pixel, det->n_pixels, "background"), out);
    for (int64_t p = 0; p < det->n_pixels; p++)
        if (!det->bad[p]) {
            float add = (float)((double)det->geometry[p] *
                                spi_isotropic_at(&s, s.level, length(det->q + 3 * p)));

            b->pixel[p] += add;
            if (b->even)
                b->even[p] += add;
        }
out:
    spi_isotropic_clear(&s);
    return err;
}

/* ---- fluences ----------------------------------------------------------------------- */

void spi_background_fluences(const struct spi_data *d, double q_max,
                             struct spi_background *b, struct spi_orientations *o)
{
    double all = 0, light = 0, was = 1 + b->removed;

    for (int64_t p = 0; p < d->det->n_pixels && b->pixel; p++) {
        double q = length(d->det->q + 3 * p);

        if (d->det->bad[p] || q < d->rings.q[0] || q > q_max)
            continue;
        all += (double)d->mean_image[p];
        light += (double)b->pixel[p];
    }
    if (!(light > 0 && light < all)) {
        b->ratio = light > 0 ? (double)INFINITY : 0;
        return;
    }
    b->ratio = light / (all - light);
    if (b->even)
        return;
    for (int64_t k = 0; k < o->n; k++) {
        double both, alone;

        if (!spi_orientations_has(o, k))
            continue;
        both = ((double)o->fluence[k] + b->removed) / was;
        alone = both * (1 + b->ratio) - b->ratio;
        o->fluence[k] = (float)fmax(alone, fluence_least);
    }
    b->removed = b->ratio;
    spi_orientations_normalise(o);
}
