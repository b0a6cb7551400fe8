/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/pass.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mtip/wiener.h"

/* ---- which images a replica sees ---------------------------------------------------- */

/* Every n-th image of a half set is held out of the random initialisations, to score them.
 */
static int64_t heldout_stride(const struct spi_run *r, const struct spi_half_set *h)
{
    int64_t want = r->set->N_images_heldout, most = h->n_images / 4;

    want = want < most ? want : most;
    return want > 0 ? h->n_images / want : h->n_images + 1;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* A random batch without repeats from the images that are not held out (Fisher and Yates),
 * or all images. */
static spi_err draw_batch(const struct spi_run *r, int which, int start,
                          const struct spi_step *step, int64_t **batch, int64_t *n)
{
    const struct spi_half_set *h = &r->half[which];
    int64_t stride = heldout_stride(r, h), count = 0;
    bool all = step->batch == 0 || step->batch >= h->n_images;
    struct spi_rng rng =
        spi_rng_stream(r->seed * 2 + (uint64_t)which, SPI_RNG_BATCH,
                       (uint64_t)r->generation * SPI_REPLICAS_MAX + (uint64_t)start);
    spi_err err = SPI_NEW(*batch, h->n_images, "batch");

    if (err)
        return err;
    for (int64_t i = 0; i < h->n_images; i++)
        if (spi_split_models(&r->data->split, h->image[i]) &&
            (all || step->stage != SPI_STAGE_INIT || i % stride != 0))
            (*batch)[count++] = i;
    *n = all ? count : step->batch < count ? step->batch : count;
    for (int64_t i = 0; i < *n && *n < count; i++) {
        int64_t j = i + spi_rng_below(&rng, (uint32_t)(count - i)), t = (*batch)[i];

        (*batch)[i] = (*batch)[j];
        (*batch)[j] = t;
    }
    qsort(*batch, (size_t)*n, sizeof **batch, by_value); /* disk order */
    return SPI_OK;
}

static spi_err draw_heldout(const struct spi_run *r, int which, int64_t **batch, int64_t *n)
{
    const struct spi_half_set *h = &r->half[which];
    int64_t stride = heldout_stride(r, h);
    spi_err err = SPI_NEW(*batch, h->n_images / stride + 1, "batch");

    *n = 0;
    for (int64_t i = 0; !err && i < h->n_images; i += stride)
        if (spi_split_models(&r->data->split, h->image[i]))
            (*batch)[(*n)++] = i;
    return err;
}

static spi_err take_doubtful(const struct spi_run *r, int which, int64_t **batch,
                             int64_t *n)
{
    const struct spi_half_set *h = &r->half[which];
    spi_err err = SPI_NEW(*batch, h->n_images, "batch");

    *n = 0;
    for (int64_t i = 0; !err && i < h->n_images; i++)
        if (spi_split_doubtful(&r->data->split, h->image[i]))
            (*batch)[(*n)++] = i;
    return err;
}

/* ---- the pass ------------------------------------------------------------------------ */

/* View directions x in-plane angles that are really different. */
static double orientations(const struct spi_replica *c,
                           const struct spi_resolution_level *level)
{
    return (double)level->views.nd * level->views.Na / c->n_group;
}

/* Which images replica s of half set h sees, and how. */
static spi_err begin_replica(struct spi_pass *p, int h, int s)
{
    struct spi_run *r = p->run;
    const struct spi_step *step = p->step;
    struct spi_replica *c = &r->replica[h][s];
    int64_t *batch = NULL;
    struct spi_generation gen = {
        .level = &p->level,
        .perplexity = spi_plan_perplexity(r->set, step, orientations(c, &p->level)),
        .local = step->local,
        .radius = step->search_radius * r->half[h].candidate_cell,
        .best_of = step->best_of,
        .keep_candidates = step->keep,
        .store_best = step->keep,
        .ring_signal = p->ring_signal,
        .merge = p->sees == SPI_PASS_MODELS};
    spi_err err = p->sees == SPI_PASS_HELDOUT ? draw_heldout(r, h, &batch, &gen.n_batch)
                  : p->sees == SPI_PASS_DOUBTFUL
                      ? take_doubtful(r, h, &batch, &gen.n_batch)
                      : draw_batch(r, h, s, step, &batch, &gen.n_batch);

    gen.batch = batch;
    p->images += gen.n_batch;
    if (!err && gen.n_batch > 0)
        err = spi_replica_begin(c, r->graph, &gen, r->set->block_images);
    free(batch);
    return err;
}

/* Of the leading models, as the generation before left them. */
static spi_err find_signal(struct spi_pass *p)
{
    struct spi_run *r = p->run;
    const struct spi_volume *const A[2] = {&r->replica[0][r->leading[0]].A,
                                           &r->replica[1][r->leading[1]].A};
    spi_err err = SPI_NEW(p->ring_signal, p->level.band.R, "slice");

    return err ? err : spi_wiener_find(r, A, p->level.band.R, p->ring_signal);
}

spi_err spi_pass_begin(struct spi_pass *p, struct spi_run *r, const struct spi_step *step,
                       enum spi_pass_sees sees)
{
    spi_err err;

    *p = (struct spi_pass){.run = r, .step = step, .sees = sees, .t0 = spi_now_s()};
    err = spi_resolution_level_init(&p->level, &r->data->rings, r->set, r->like,
                                    step->q_match, step->q_merge, step->oversampling,
                                    step->stage == SPI_STAGE_INIT);
    if (!err && step->stage != SPI_STAGE_INIT && r->have_pose)
        err = find_signal(p);
    if (err)
        return err;
    for (int s = 0; s < r->n_replicas && !err; s++)
        for (int h = 0; h < 2 && !err; h++)
            if (spi_run_replica_runs(r, h, s, step->stage))
                err = begin_replica(p, h, s);
    return err;
}

static spi_err each_replica(struct spi_pass *p, spi_err (*submit)(struct spi_replica *c))
{
    struct spi_run *r = p->run;
    spi_err err = SPI_OK;

    for (int s = 0; s < r->n_replicas && !err; s++)
        for (int h = 0; h < 2 && !err; h++)
            if (spi_run_replica_runs(r, h, s, p->step->stage) && r->replica[h][s].work)
                err = submit(&r->replica[h][s]);
    return err;
}

spi_err spi_pass_slice(struct spi_pass *p)
{
    return each_replica(p, spi_replica_slice);
}

spi_err spi_pass_match(struct spi_pass *p)
{
    return each_replica(p, spi_replica_match);
}

spi_err spi_pass_merge(struct spi_pass *p)
{
    return each_replica(p, spi_replica_merge);
}

static void fill_report(const struct spi_pass *p, struct spi_generation_report *report)
{
    struct spi_run *r = p->run;

    report->q_max_invA = p->level.q_max;
    report->perplexity = spi_plan_perplexity(
        r->set, p->step, orientations(&r->replica[0][r->leading[0]], &p->level));
    report->slice_s = spi_graph_seconds(r->graph, "slice");
    report->match_s = spi_graph_seconds(r->graph, "match");
    report->merge_s =
        spi_graph_seconds(r->graph, "merge") + spi_graph_seconds(r->graph, "solve");
    report->images_per_s = (double)p->images / fmax(spi_now_s() - p->t0, 1e-9);
}

spi_err spi_pass_end(struct spi_pass *p, spi_err err, struct spi_generation_report *report)
{
    struct spi_run *r = p->run;
    spi_err late = spi_graph_wait(r->graph);

    err = err ? err : late;
    if (report && !err)
        fill_report(p, report);
    for (int s = 0; s < r->n_replicas; s++)
        for (int h = 0; h < 2; h++)
            spi_replica_settle(&r->replica[h][s], !err);
    spi_resolution_level_clear(&p->level);
    free(p->ring_signal);
    return err;
}

spi_err spi_pass_only_match(struct spi_run *r, const struct spi_step *step,
                            enum spi_pass_sees sees)
{
    struct spi_pass p;
    spi_err err;

    SPI_TRY(err = spi_pass_begin(&p, r, step, sees), out);
    SPI_TRY(err = spi_pass_slice(&p), out);
    err = spi_pass_match(&p);
out:
    return spi_pass_end(&p, err, NULL);
}
