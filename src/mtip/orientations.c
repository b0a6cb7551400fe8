/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/orientations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "math/sphere.h"
#include "mtip/wiener.h"

enum { BLOCK = 64, AT_ONCE = 64 }; /* images of a task; tasks between two waits */

/* ---- collecting --------------------------------------------------------------------- */

/* With a point group any of its elements may be applied: they are dealt out evenly, so that
 * no direction is left without images. */
void spi_replica_orientations(const struct spi_replica *c, int which,
                              struct spi_orientations *o)
{
    const struct spi_half_set *half = c->half;

    for (int64_t i = 0; i < half->n_images; i++) {
        const struct spi_best *b = &half->best[i];
        int64_t k = half->image[i];
        double dir[3], M0[9], M[9], R[9];

        spi_sphere_point(half->best_nd, b->dir, dir);
        spi_rot_view(dir, (double)b->angle, M0);
        spi_rot_mul(c->group[i % c->n_group], M0, M);
        for (int e = 0; e < 9; e++)
            R[e] = M[e % 3 * 3 + e / 3];
        spi_rot_quat(R, o->quat + 4 * k);
        o->score[k] = b->score;
        o->margin[k] = b->margin;
        o->entropy[k] = b->entropy;
        o->fluence[k] = half->fluence[i];
        if (o->half)
            o->half[k] = (uint8_t)(which + 1);
    }
}

spi_err spi_run_orientations(const struct spi_run *r, struct spi_orientations *o)
{
    spi_err err;

    *o = (struct spi_orientations){.n = r->data->n_images};
    SPI_TRY(err = SPI_NEW(o->quat, 4 * o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->score, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->margin, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->fluence, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->entropy, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->misfit, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->particle, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->half, o->n, "orientations"), out);
    SPI_TRY(err = SPI_NEW(o->aside, o->n, "orientations"), out);
    memcpy(o->aside, r->data->split.aside, (size_t)o->n * sizeof *o->aside);
    for (int64_t k = 0; k < o->n; k++)
        if (!r->data->split.half[k])
            spi_orientations_none(o, k);
    for (int h = 0; h < 2; h++)
        spi_replica_orientations(&r->replica[h][r->leading[h]], h, o);
out:
    if (err)
        spi_orientations_clear(o);
    return err;
}

void spi_orientations_common_frame(const double G[9], struct spi_orientations *o)
{
    for (int64_t k = 0; k < o->n; k++) {
        double R[9], RG[9];

        if (o->half[k] != 2) /* half 1, or no orientation */
            continue;
        spi_rot_matrix(o->quat + 4 * k, R);
        spi_rot_mul_nt(R, G, RG);
        spi_rot_quat(RG, o->quat + 4 * k);
    }
}

/* ---- refining ----------------------------------------------------------------------- */

struct block_args {
    struct spi_images *images;
    double scale;
    struct spi_beside beside;
    const struct spi_refine *model[2];
    const uint8_t *half; /* [n], or NULL: all are of one */
    int64_t first, n;
};

/* v: orientations, scores, fluences of the block. */
static spi_err task_refine(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct block_args *a = arg;
    int64_t n_pixels = spi_images_detector(a->images)->n_pixels;
    double *quat = v[0].data;
    float *score = v[1].data, *fluence = v[2].data, *pixels = NULL;
    struct spi_pixel_list own = {0};
    struct spi_refine model[2] = {*a->model[0], *a->model[a->half ? 1 : 0]};
    spi_err err;

    SPI_TRY(err = spi_pixel_list_of(a->model[0]->pixels, a->images, a->first, a->n, &own,
                                    &model[0].pixels),
            out);
    model[1].pixels = model[0].pixels; /* of one detector */
    SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "refinement"), out);
    SPI_TRY(err = spi_images_read(a->images, a->first, a->n, pixels), out);
    for (int64_t i = 0; i < a->n; i++) {
        float times = spi_beside_times(&a->beside, a->first + i);
        struct spi_refined best;

        for (int64_t p = 0; p < n_pixels; p++)
            pixels[i * n_pixels + p] = pixels[i * n_pixels + p] * (float)a->scale -
                                       spi_beside_at(&a->beside, times, p);

        SPI_TRY(err = *stop ? spi_fail(SPI_ECANCEL, "stopped on request") : SPI_OK, out);
        if (isnan(quat[4 * i])) /* none: spi_orientations_none */
            continue;
        SPI_TRY(err = spi_refine_image(&model[a->half ? a->half[a->first + i] - 1 : 0],
                                       pixels + i * n_pixels, quat + 4 * i, &best),
                out);
        memcpy(quat + 4 * i, best.quat, sizeof best.quat);
        score[i] = (float)best.score;
        fluence[i] = (float)best.fluence;
    }
out:
    spi_pixel_list_of_clear(&own);
    free(pixels);
    return err;
}

/* The scale lives in the model of each half alone. */
void spi_orientations_normalise(struct spi_orientations *o)
{
    double sum[2] = {0}, n[2] = {0};

    for (int64_t k = 0; k < o->n; k++) {
        int h = o->half ? o->half[k] - 1 : 0;

        if (!spi_orientations_has(o, k) || (o->aside && o->aside[k])) /* doubtful */
            continue;
        sum[h] += (double)o->fluence[k];
        n[h] += 1;
    }
    for (int64_t k = 0; k < o->n; k++) {
        int h = o->half ? o->half[k] - 1 : 0;

        if (spi_orientations_has(o, k) && sum[h] > 0)
            o->fluence[k] = (float)((double)o->fluence[k] * n[h] / sum[h]);
    }
}

struct refined {
    struct spi_array *quat, *score, *fluence;
};

static spi_err refined_init(struct refined *x, struct spi_graph *g,
                            struct spi_orientations *o)
{
    int parts = (int)((o->n + BLOCK - 1) / BLOCK);
    const struct spi_array_shape quat = {SPI_ARRAY_OF(double, "orientations"), .rows = o->n,
                                         .columns = 4, .parts = parts, .part_rows = BLOCK};
    struct spi_array_shape one = {SPI_ARRAY_OF(float, "scores"), .rows = o->n, .columns = 1,
                                  .parts = parts, .part_rows = BLOCK};
    spi_err err;

    SPI_TRY(err = spi_array_wrap(g, &quat, o->quat, &x->quat), out);
    SPI_TRY(err = spi_array_wrap(g, &one, o->score, &x->score), out);
    one.name = "fluences";
    err = spi_array_wrap(g, &one, o->fluence, &x->fluence);
out:
    return err;
}

spi_err spi_refine_images(struct spi_graph *g, struct spi_images *images, double scale,
                          const struct spi_beside *beside,
                          const struct spi_refine *const model[2],
                          void (*progress)(int64_t done, int64_t total, void *user),
                          void *user, struct spi_orientations *o)
{
    struct refined x = {NULL};
    spi_err err, late;
    int b = 0;

    SPI_TRY(err = refined_init(&x, g, o), out);
    for (int64_t first = 0; first < o->n; first += BLOCK, b++) {
        struct block_args a = {.images = images,
                               .scale = scale,
                               .beside = *beside,
                               .model = {model[0], model[1]},
                               .half = o->half,
                               .first = first,
                               .n = o->n - first < BLOCK ? o->n - first : BLOCK};
        struct spi_access access[3] = {{x.quat, b, SPI_READ_WRITE},
                                       {x.score, b, SPI_READ_WRITE},
                                       {x.fluence, b, SPI_READ_WRITE}};

        SPI_TRY(err = spi_graph_submit(g, "refine", task_refine, &a, sizeof a, 3, access),
                out);
        if (progress && b % AT_ONCE == AT_ONCE - 1) {
            SPI_TRY(err = spi_graph_wait(g), out);
            progress(first + a.n, o->n, user);
        }
    }
out:
    late = spi_graph_wait(g);
    err = err ? err : late;
    spi_array_free(g, x.quat);
    spi_array_free(g, x.score);
    spi_array_free(g, x.fluence);
    if (!err)
        spi_orientations_normalise(o);
    return err;
}

spi_err spi_half_models_init(const struct spi_run *r, const struct spi_volume *const A[2],
                             struct spi_half_models *m)
{
    int R = spi_rings_upto(&r->data->rings, r->q_max);
    float *signal = NULL;
    spi_err err;

    *m = (struct spi_half_models){.reference = {{0}}};
    SPI_TRY(err = SPI_NEW(signal, R, "refinement"), out);
    SPI_TRY(err = spi_wiener_find(r, A, R, signal), out);
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = spi_reference_init(&m->reference[h], r->data, r->q_max,
                                         r->set->nufft_tol, A[h]),
                out);
        SPI_TRY(err = spi_reference_refine_set(&m->reference[h], r->data, r->q_max, signal,
                                               r->like, &m->set[h]),
                out);
        spi_reference_drop_grid(&m->reference[h], m->set[h].model);
    }
out:
    free(signal);
    return err;
}

void spi_half_models_clear(struct spi_half_models *m)
{
    for (int h = 0; h < 2; h++) {
        spi_refine_set_clear(&m->set[h]);
        spi_reference_clear(&m->reference[h]);
    }
}

spi_err spi_run_refine(struct spi_run *r, const struct spi_volume *const A[2],
                       struct spi_orientations *o)
{
    struct spi_half_models m;
    const struct spi_refine *refine[2] = {&m.set[0].r, &m.set[1].r};
    struct spi_beside beside;
    spi_err err;

    SPI_TRY(err = spi_half_models_init(r, A, &m), out);
    beside = spi_data_beside(r->data);
    err = spi_refine_images(r->graph, r->data->images, r->data->scale, &beside, refine,
                            NULL, NULL, o);
out:
    spi_half_models_clear(&m);
    return err;
}
