/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/merging.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "mtip/merging_parts.h"

enum {
    PIXELS_AT_ONCE = 1 << 22, /* of one task: 16 MiB, 256 images of 128 x 128 */
    POINTS_AT_ONCE = 1 << 20  /* double: 56 bytes a point */
};

/* ---- the normal equations ----------------------------------------------------------- */

void spi_merging_count_product(struct spi_merging *m)
{
    m->products++;
    if (m->spec.stepped)
        m->spec.stepped(m->products, m->spec.user);
}

static spi_err apply_toeplitz(const void *self, const double *x, double *y)
{
    /* the operator's counter; CG sees a constant product */
    struct spi_merging *m = (struct spi_merging *)(uintptr_t)self;

    spi_merging_count_product(m);
    return spi_normal_product(&m->normal, x, y);
}

static spi_err make_normal(struct spi_merging *m)
{
    const struct spi_merging_spec *s = &m->spec;
    size_t n = (size_t)m->n;
    double *b = NULL, *Q = NULL;
    spi_err err;

    if (!s->direct && !s->f64) {
        SPI_TRY(err = spi_normal_collect(m->plan, spi_array_data(m->partial[0], 0, NULL),
                                         m->n, &b, &Q),
                out);
    } else {
        SPI_TRY(err = SPI_NEW(b, n * n * n, "merge"), out);
        SPI_TRY(err = spi_merging_collect(m, 0, m->n, b), out);
        if (!s->direct) {
            SPI_TRY(err = SPI_NEW(Q, 8 * n * n * n, "merge"), out);
            SPI_TRY(err = spi_merging_collect(m, 1, 2 * m->n, Q), out);
        }
    }
    if (!s->direct)
        spi_merging_partials_free(m); /* large, and no longer needed */
    SPI_TRY(err = spi_normal_new(&m->normal, m->n, m->dx, s->diameter_A, b, Q, m->weight,
                                 s->f64),
            out);
    m->normal.threads = SPI_THREADS_MAX;
    m->normal.op.apply = s->direct ? spi_merging_direct_apply : apply_toeplitz;
    m->normal.op.self = m;
    if (s->corner_weight > 0)
        spi_normal_damp_corners(&m->normal, s->corner_weight, s->pixels->q_max);
    if (s->direct)
        SPI_TRY(err = spi_merging_direct_new(m), out);
    if (s->prior)
        err = spi_normal_prior(&m->normal, s->prior);
out:
    free(b);
    free(Q);
    return err;
}

static spi_err make_plan(struct spi_merging *m)
{
    const struct spi_merging_spec *s = &m->spec;

    spi_merge_grid(s->diameter_A, s->pixels->q_max, &m->n, &m->dx);
    m->modes =
        (struct spi_modes){.m = s->direct ? m->n : 2 * m->n, .dx = m->dx, .tol = s->tol};
    if (s->f64)
        return SPI_OK;

    spi_err err = spi_nufft_new(m->modes.m, m->dx, s->tol, &m->plan);

    if (err)
        return err;
    spi_nufft_set_threads(m->plan, SPI_THREADS_MAX);
    return spi_points_new(m->plan, s->pixels->n, (const float(*)[3])s->pixels->q,
                          &m->points);
}

/* The sums of all partials and the normal equations; the images took `wall` s. */
static spi_err collect_sums(struct spi_merging *m, double wall)
{
    const struct spi_merging_sums *sums = spi_array_data(m->sums, SPI_WHOLE, NULL);
    double t0 = spi_now_s(), read_s = 0, spread_s = 0;
    spi_err err;

    for (int s = 0; s < m->n_partials; s++) {
        m->weight += sums[s].weight;
        m->norm2 += sums[s].norm2;
        m->noise2 += sums[s].noise2;
        m->n_merged += sums[s].merged;
        read_s += sums[s].read_s;
        spread_s += sums[s].spread_s;
    }
    /* the workers' seconds as shares of the wall clock's */
    m->read_s = wall * read_s / fmax(read_s + spread_s, 1e-9);
    m->spread_s = wall - m->read_s;
    spi_merging_partials_sum(m);
    err = make_normal(m);
    m->collect_s = spi_now_s() - t0;
    return err;
}

spi_err spi_merging_init_sets(struct spi_merging *m, const struct spi_merging_spec *spec,
                              int n_sets, const float *const *fluence)
{
    enum { DRIFT_BLOCK = 32 }; /* images of one place of the beam */
    int64_t per_image = spi_images_detector(spec->images)->n_pixels;
    double at[2];
    bool drifts = spi_images_drift(spec->images, 0, 1, at);
    double t0 = spi_now_s(), wall;
    spi_err err;

    for (int i = 0; i < n_sets; i++) {
        m[i] =
            (struct spi_merging){.spec = *spec, .n_images = spi_images_count(spec->images)};
        m[i].spec.fluence = fluence[i];
        m[i].block = (spec->f64 ? POINTS_AT_ONCE : PIXELS_AT_ONCE) / per_image;
        m[i].block = m[i].block < 1                       ? 1
                     : m[i].block > SPI_MERGING_BLOCK_MAX ? SPI_MERGING_BLOCK_MAX
                                                          : m[i].block;
        if (drifts && m[i].block > DRIFT_BLOCK)
            m[i].block = DRIFT_BLOCK;
    }
    if (n_sets < 1 || n_sets > SPI_MERGING_SETS_MAX || (spec->average > 0 && n_sets > 1))
        return spi_fail(SPI_EINVAL, "merge: %d sets at once; needed 1 to %d, summed: 1",
                        n_sets, SPI_MERGING_SETS_MAX);
    if (spec->average > 0 && (spec->direct || spec->f64))
        return spi_fail(SPI_EINVAL,
                        "merge: summed images need the Toeplitz product, single "
                        "precision");
    for (int i = 0; i < n_sets; i++) {
        SPI_TRY(err = make_plan(&m[i]), out);
        SPI_TRY(err = spi_merging_partials_new(&m[i], n_sets), out);
    }
    SPI_TRY(err = spec->average > 0 ? spi_merging_spread_views(m)
                                    : spi_merging_spread(m, n_sets),
            out);
    wall = spi_now_s() - t0;
    for (int i = 0; i < n_sets && !err; i++)
        err = collect_sums(&m[i], wall);
out:
    return err;
}

spi_err spi_merging_init(struct spi_merging *m, const struct spi_merging_spec *spec)
{
    return spi_merging_init_sets(m, spec, 1, &spec->fluence);
}

void spi_merging_clear(struct spi_merging *m)
{
    spi_merging_partials_free(m);
    spi_array_free(m->spec.graph, m->x);
    spi_normal_clear(&m->normal);
    spi_points_free(m->points);
    spi_nufft_free(m->plan);
    *m = (struct spi_merging){0};
}

/* ---- solution ----------------------------------------------------------------------- */

struct spi_cg_options spi_merging_rules(const struct spi_merging *m,
                                        const struct spi_settings *set, int n_iter)
{
    double d = set->discrepancy;

    return (struct spi_cg_options){
        .n_iter = n_iter,
        .tol = set->cg_tol,
        .enough = d > 0 ? fmax(m->norm2 - d * d * m->noise2, 1e-300) : 0,
        .stop = m->spec.stop};
}

spi_err spi_merging_solve(struct spi_merging *m, double lambda,
                          const struct spi_cg_options *opt, float *A,
                          struct spi_cg_report *report)
{
    double t0 = spi_now_s();
    spi_err err = spi_normal_solve(&m->normal, lambda, opt, A, report);

    m->solve_s += spi_now_s() - t0;
    return err;
}
