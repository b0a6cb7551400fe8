/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/matching_parts.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/stage.h"
#include "base/mem.h"
#include "math/rot.h"
#include "mtip/data.h"
#include "mtip/orientations.h"
#include "mtip/split.h"
#include "ring/moments.h"
#include "slice/templates.h"

enum { FIRST_IMAGES = 1000 };

/* ---- preparation -------------------------------------------------------------------- */

/* Sums over the first n images: of ring samples per live weight, of their squares. */
struct moments {
    int64_t n;
    double *sum, *sum2; /* [R] */
    float *samples;
};

static spi_err read_moments(const struct spi_matching *m, struct moments *s)
{
    float *pixels = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(pixels, m->det->n_pixels, "images"), out);
    for (int64_t k = 0; k < s->n; k++) {
        SPI_TRY(err = spi_images_read(m->spec.images, k * (m->n_images / s->n), 1, pixels),
                out);
        spi_ring_resample(&m->map, &m->rings, pixels, s->samples);
        spi_ring_moments_add(&m->map, &m->rings, m->band.R, 1, s->samples, s->sum, s->sum2);
    }
out:
    free(pixels);
    return err;
}

/* Scale of the images: photons as they are, other data to SPI_TYPICAL_COUNTS an image.
 * mean, variance [R]: of counts per live weight. */
static spi_err use_moments(struct spi_matching *m, const struct moments *s, double *mean,
                           double *variance, double *counts)
{
    double total = 0, n = (double)s->n;
    int R = m->band.R;

    spi_ring_moments(&m->map, &m->rings, R, n, 1, s->sum, s->sum2, mean, variance);
    for (int r = 0; r < R; r++)
        total += mean[r] * (double)crealf(m->map.live_h[m->rings.h_at[r]]);
    if (!(total > 0 && isfinite(total)))
        return spi_fail(SPI_EFORMAT, "%.0f images are all zero between |q| = %g and %g 1/A",
                        n, m->spec.q_min, m->rings.q[R - 1]);
    m->scale =
        spi_images_kind(m->spec.images) == SPI_PHOTONS ? 1 : SPI_TYPICAL_COUNTS / total;
    *counts = m->scale * total;
    spi_ring_moments(&m->map, &m->rings, R, n, m->scale, s->sum, s->sum2, mean, variance);
    if (m->spec.like->weighted)
        m->spec.like->inv_var(R, mean, variance, m->inv_var);
    return SPI_OK;
}

static spi_err measure_images(struct spi_matching *m, double *counts)
{
    int R = m->rings.R;
    struct moments s = {.n = m->n_images < FIRST_IMAGES ? m->n_images : FIRST_IMAGES};
    double *mean = NULL, *variance = NULL;
    spi_err err;

    if (m->spec.like->weighted)
        SPI_TRY(err = SPI_NEW(m->inv_var, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(mean, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(variance, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.sum, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.sum2, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.samples, m->rings.at[R], "matching"), out);
    SPI_TRY(err = read_moments(m, &s), out);
    err = use_moments(m, &s, mean, variance, counts);
out:
    free(mean);
    free(variance);
    free(s.sum);
    free(s.sum2);
    free(s.samples);
    return err;
}

/* The model whose mean image has `counts`. */
static spi_err scale_model(struct spi_matching *m, double counts)
{
    double *mean = NULL, total = 0, largest = 0;
    size_t n = spi_volume_count(m->spec.A);
    spi_err err;

    SPI_TRY(err = SPI_NEW(mean, m->band.R, "matching"), out);
    SPI_TRY(err = spi_volume_copy(m->spec.A, &m->model), out);
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)m->model.data[i]));
    for (size_t i = 0; i < n; i++) /* so that sums stay within a float's range */
        m->model.data[i] = (float)((double)m->model.data[i] / largest);
    SPI_TRY(err = spi_stage_prepare(&m->model, m->spec.nufft_tol, &m->plan, &m->grid), out);
    SPI_TRY(err = spi_ring_means_of_model(&m->rings, m->band.R, m->plan, m->grid,
                                          SPI_MEAN_DIRECTIONS, mean),
            out);
    for (int r = 0; r < m->band.R; r++)
        total += fmax(mean[r], 0) * (double)crealf(m->map.live_h[m->rings.h_at[r]]);
    if (!(total > 0)) {
        err = spi_fail(SPI_EINVAL,
                       "the model has no positive intensity between |q| = %g and "
                       "%g 1/A; is it an autocorrelation?",
                       m->spec.q_min, m->rings.q[m->band.R - 1]);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        m->model.data[i] = (float)((double)m->model.data[i] * counts / total);
    err = spi_nufft_prepare(m->plan, m->model.data, m->grid);
out:
    free(mean);
    return err;
}

spi_err spi_matching_init(struct spi_matching *m, const struct spi_matching_spec *spec)
{
    double counts = 0, reach = 0.5 / spec->A->step;
    spi_err err;

    *m = (struct spi_matching){.spec = *spec,
                               .det = spi_images_detector(spec->images),
                               .n_images = spi_images_count(spec->images)};
    if (!(spec->q_max < reach))
        return spi_fail(SPI_EINVAL, "|q| up to %g 1/A is asked; the model ends at %g 1/A",
                        spec->q_max, reach);
    SPI_TRY(err = spi_rings_init(&m->rings, spec->diameter_A, m->det->wavelength_A,
                                 spec->q_min, spec->q_max, spec->oversampling),
            fail);
    SPI_TRY(err = spi_ring_map_init(&m->map, &m->rings, m->det), fail);
    SPI_TRY(err =
                spi_band_init(&m->band, &m->rings, spi_rings_upto(&m->rings, spec->q_max)),
            fail);
    m->views = spi_views_for(&m->rings, &m->band, spec->finer);
    if (m->views.Na > UINT16_MAX || m->views.nd > INT32_MAX) {
        err = spi_fail(SPI_EINVAL, "%lld directions x %d angles are too many",
                       (long long)m->views.nd, m->views.Na);
        goto fail;
    }
    SPI_TRY(err = measure_images(m, &counts), fail);
    SPI_TRY(err = scale_model(m, counts), fail);
    m->counts = counts;
    return SPI_OK;
fail:
    spi_matching_clear(m);
    return err;
}

void spi_matching_clear(struct spi_matching *m)
{
    spi_rings_clear(&m->rings);
    spi_ring_map_clear(&m->map);
    spi_band_clear(&m->band);
    free(m->inv_var);
    spi_volume_clear(&m->model);
    spi_nufft_free(m->plan);
    free(m->grid);
    *m = (struct spi_matching){0};
}

/* ---- results ------------------------------------------------------------------------ */

spi_err spi_matching_results_new(int64_t n, bool entropy, struct spi_orientations *o)
{
    spi_err err;

    *o = (struct spi_orientations){.n = n};
    SPI_TRY(err = SPI_NEW(o->quat, 4 * n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->score, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->margin, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->fluence, n, "orientations"), fail);
    if (entropy)
        SPI_TRY(err = SPI_NEW(o->entropy, n, "orientations"), fail);
    return SPI_OK;
fail:
    spi_orientations_clear(o);
    return err;
}

/* Images without signal get no orientation (E5); an image's fluence is its signal in units
 * of the mean image. */
static spi_err leave_blanks(const struct spi_matching *m, struct spi_orientations *o)
{
    bool photons = spi_images_kind(m->spec.images) == SPI_PHOTONS;
    double *signal, least = m->spec.signal_min * m->scale;
    spi_err err;

    SPI_TRY(err = SPI_NEW(signal, o->n, "matching"), out);
    for (int64_t k = 0; k < o->n; k++)
        signal[k] = (double)o->fluence[k] * m->counts;
    if (m->spec.signal_min < 0)
        SPI_TRY(err = spi_split_least(o->n, signal, photons, &least), out);
    for (int64_t k = 0; k < o->n; k++)
        if (!(signal[k] > 0 && signal[k] >= least))
            spi_orientations_none(o, k);
out:
    free(signal);
    return err;
}

spi_err spi_matching_results_finish(const struct spi_matching *m,
                                    struct spi_orientations *o)
{
    double sum = 0, n;
    spi_err err = leave_blanks(m, o);

    if (err)
        return err;
    n = (double)spi_orientations_count(o);
    for (int64_t k = 0; k < o->n; k++)
        sum += (double)o->fluence[k];
    for (int64_t k = 0; k < o->n && sum > 0; k++)
        o->fluence[k] = (float)((double)o->fluence[k] * n / sum);
    return SPI_OK;
}

/* ---- refinement --------------------------------------------------------------------- */

spi_err spi_matching_refine(const struct spi_matching *m, struct spi_orientations *o)
{
    struct spi_refine_set set = {0};
    const struct spi_refine *model[2] = {&set.r, NULL};
    double *mean;
    spi_err err;

    SPI_TRY(err = SPI_NEW(mean, m->band.R, "refinement"), out);
    SPI_TRY(err = spi_ring_means_of_model(&m->rings, m->band.R, m->plan, m->grid,
                                          SPI_MEAN_DIRECTIONS, mean),
            out);
    SPI_TRY(err = spi_refine_set_init(&set, m->det, &m->rings, m->band.R, mean,
                                      m->spec.like, m->inv_var, m->plan, m->grid),
            out);
    err = spi_refine_images(m->spec.graph, m->spec.images, m->scale, model,
                            m->spec.progress, m->spec.user, o);
out:
    spi_refine_set_clear(&set);
    free(mean);
    return err;
}
