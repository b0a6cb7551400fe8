/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/mtip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cores.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mtip/extent.h"

/* Random initialisations of each half set before more are called useless: of half sets that
 * differ, and of half sets that agree to converge.halves_cc_repeat. */
enum { INITS_LEAST = 3, INITS_LEAST_REPEAT = 2 };
static const double repeated_cc = 0.9, repeated_slack = 0.05;

/* ---- which images a generation sees ------------------------------------------------- */

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
        if (all || step->stage != SPI_STAGE_INIT || i % stride != 0)
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
        (*batch)[(*n)++] = i;
    return err;
}

/* ---- one generation ----------------------------------------------------------------- */

/* View directions x in-plane angles that are really different. */
static double orientations(const struct spi_replica *c,
                           const struct spi_resolution_level *level)
{
    return (double)level->views.nd * level->views.Na / c->n_group;
}

/* During the initialisation all replicas run; afterwards the leading one of each half. */
bool spi_run_replica_runs(const struct spi_run *r, int which, int replica,
                          enum spi_stage stage)
{
    if (stage != SPI_STAGE_INIT)
        return replica == r->leading[which];
    return replica >= r->round * r->set->N_inits; /* of this round */
}

static int count_running(const struct spi_run *r, enum spi_stage stage)
{
    int n = 0;

    for (int s = 0; s < r->n_replicas; s++)
        for (int h = 0; h < 2; h++)
            n += spi_run_replica_runs(r, h, s, stage);
    return n > 0 ? n : 1;
}

static spi_err submit_all(struct spi_run *r, const struct spi_resolution_level *level,
                          const struct spi_step *step, bool heldout, int64_t *images)
{
    int workers = spi_graph_workers(r->graph), cores = spi_cores();
    int threads = (workers < cores ? workers : cores) / count_running(r, step->stage);

    *images = 0;
    spi_nufft_set_threads(level->plan2, threads);
    for (int s = 0; s < r->n_replicas; s++)
        for (int h = 0; h < 2; h++) {
            int64_t *batch = NULL;
            struct spi_generation gen = {
                .level = level,
                .perplexity = spi_plan_perplexity(r->set, step,
                                                  orientations(&r->replica[h][s], level)),
                .local = step->local,
                .radius = step->search_radius * r->half[h].candidate_cell,
                .best_of = step->best_of,
                .keep_candidates = step->keep,
                .store_best = step->keep,
                .merge = !heldout,
                .threads = threads};
            spi_err err;

            if (!spi_run_replica_runs(r, h, s, step->stage))
                continue;
            err = heldout ? draw_heldout(r, h, &batch, &gen.n_batch)
                          : draw_batch(r, h, s, step, &batch, &gen.n_batch);
            gen.batch = batch;
            *images += gen.n_batch;
            if (!err)
                err = spi_replica_submit(&r->replica[h][s], r->graph, &gen,
                                         r->set->block_images);
            free(batch);
            if (err)
                return err;
        }
    return SPI_OK;
}

static void settle_all(struct spi_run *r, bool done)
{
    for (int s = 0; s < r->n_replicas; s++)
        for (int h = 0; h < 2; h++)
            spi_replica_settle(&r->replica[h][s], done);
}

static void find_leading(struct spi_run *r)
{
    for (int h = 0; h < 2; h++)
        for (int s = 0; s < r->n_replicas; s++)
            if (r->replica[h][s].score > r->replica[h][r->leading[h]].score)
                r->leading[h] = s;
}

/* slice, match and merge of every replica that runs; the tasks of different replicas
 * overlap */
static spi_err one_generation(struct spi_run *r, const struct spi_step *step,
                              struct spi_generation_report *report)
{
    struct spi_resolution_level level;
    int64_t images = 0;
    double t0 = spi_now_s();
    spi_err err, late;

    SPI_TRY(err = spi_resolution_level_init(
                &level, &r->data->rings, r->set, r->like, step->q_match, step->q_merge,
                step->oversampling, step->stage == SPI_STAGE_INIT),
            out);
    err = submit_all(r, &level, step, false, &images);
    late = spi_graph_wait(r->graph);
    report->q_max_invA = level.q_max;
    report->perplexity = spi_plan_perplexity(
        r->set, step, orientations(&r->replica[0][r->leading[0]], &level));
    err = err ? err : late;
    settle_all(r, !err);
out:
    spi_resolution_level_clear(&level);
    report->slice_s = spi_graph_seconds(r->graph, "slice");
    report->match_s = spi_graph_seconds(r->graph, "match");
    report->merge_s =
        spi_graph_seconds(r->graph, "merge") + spi_graph_seconds(r->graph, "solve");
    report->images_per_s = (double)images / fmax(spi_now_s() - t0, 1e-9);
    return err;
}

/* ---- from stage to stage ------------------------------------------------------------ */

spi_err spi_run_make_replicas(struct spi_run *r, int n_replicas)
{
    struct spi_resolution_level level;
    struct spi_step step;
    spi_err err;

    (void)spi_plan_step(r->set, r->data->rings.diameter_A, r->q_max, SPI_STAGE_INIT, 0,
                        &step);
    SPI_TRY(err = spi_resolution_level_init(&level, &r->data->rings, r->set, r->like,
                                            step.q_match, step.q_merge, 1, true),
            out);
    for (int s = r->n_replicas; s < n_replicas; s++, r->n_replicas++)
        for (int h = 0; h < 2; h++)
            SPI_TRY(err = spi_replica_init(&r->replica[h][s], r->data, &r->half[h], &level,
                                           r->seed * 2 + (uint64_t)h, s),
                    out);
out:
    spi_resolution_level_clear(&level);
    return err;
}

/* Score every replica of this round on the held-out images, take the best of each half set
 * and ask whether both are the same particle. */
static spi_err select_replicas(struct spi_run *r, const struct spi_step *step)
{
    struct spi_resolution_level level;
    int64_t images;
    double q0 = spi_plan_init_q(r->set, r->data->rings.diameter_A, r->q_max), R[9], mean_cc;
    spi_err err, late;

    SPI_TRY(err = spi_resolution_level_init(&level, &r->data->rings, r->set, r->like,
                                            step->q_match, step->q_merge, 1, true),
            out);
    err = submit_all(r, &level, step, true, &images);
    late = spi_graph_wait(r->graph);
    err = err ? err : late;
    settle_all(r, !err);
    SPI_TRY(err, out);
    find_leading(r);
    SPI_TRY(err = spi_half_sets_agree(&r->replica[0][r->leading[0]],
                                      &r->replica[1][r->leading[1]],
                                      r->data->rings.diameter_A, r->data->rings.q[0], q0,
                                      q0, NULL, R, &r->halves_cc, &mean_cc),
            out);
    for (int i = 0; i < 9; i++)
        r->pose.R[i] = R[i];
    r->have_pose = 1;
    spi_info("init: the best held-out scores are %.5f and %.5f; the half sets agree to "
             "%.3f (need %.2f; from %.2f on no further round is made)",
             r->replica[0][r->leading[0]].score, r->replica[1][r->leading[1]].score,
             r->halves_cc, r->set->halves_cc, r->set->halves_cc_stop);
out:
    spi_resolution_level_clear(&level);
    return err;
}

/* The two best replicas of a half set. */
static void find_best_two(const struct spi_run *r, int h, int best[2])
{
    best[0] = r->leading[h];
    best[1] = -1;
    for (int s = 0; s < r->n_replicas; s++)
        if (s != best[0] &&
            (best[1] < 0 || r->replica[h][s].score > r->replica[h][best[1]].score))
            best[1] = s;
}

/* Whether the two best replicas of each half set are one model: then further random
 * initialisations would find the same, and the images limit how well the half sets agree. */
static spi_err inits_repeat(const struct spi_run *r, bool *repeat)
{
    double D = r->data->rings.diameter_A, q0 = spi_plan_init_q(r->set, D, r->q_max),
           least = 1, R[9], mean_cc;
    bool alike = r->halves_cc >= r->set->halves_cc_repeat;
    double need = alike ? fmin(repeated_cc, r->halves_cc - repeated_slack) : repeated_cc;

    *repeat = false;
    if (r->n_replicas < (alike ? INITS_LEAST_REPEAT : INITS_LEAST))
        return SPI_OK;
    for (int h = 0; h < 2; h++) {
        int best[2];
        double cc;
        spi_err err;

        find_best_two(r, h, best);
        err = spi_half_sets_agree(&r->replica[h][best[0]], &r->replica[h][best[1]], D,
                                  r->data->rings.q[0], q0, q0, NULL, R, &cc, &mean_cc);
        if (err)
            return err;
        least = fmin(least, cc);
    }
    *repeat = least >= need;
    spi_info("init: the two best replicas of each half set agree to %.3f (need %.3f)%s",
             least, need, *repeat ? "; further rounds would find the same" : "");
    return SPI_OK;
}

static spi_err after_init(struct spi_run *r, const struct spi_step *step)
{
    bool last =
        r->n_replicas + r->set->N_inits >
        (r->set->N_inits_max < SPI_REPLICAS_MAX ? r->set->N_inits_max : SPI_REPLICAS_MAX);
    spi_err err = select_replicas(r, step);

    if (!err && !last && r->halves_cc < r->set->halves_cc_stop)
        err = inits_repeat(r, &last);
    if (err)
        return err;

    r->step = 0;
    if (r->halves_cc >= (last ? r->set->halves_cc : r->set->halves_cc_stop)) {
        r->stage = SPI_STAGE_MARCHING;
        if (r->look_at_diameter &&
            ((err = spi_run_look_at_diameter(r)) || r->refined_A > 0))
            return err;
        return strcmp(r->set->symmetry, "auto") == 0 ? spi_run_find_symmetry(r, step)
                                                     : SPI_OK;
    }
    if (last) {
        r->stage = SPI_STAGE_DONE;
        return SPI_OK;
    }
    r->round++;
    return spi_run_make_replicas(r, r->n_replicas + r->set->N_inits);
}

/* Polishing ends when the intensities of the halves no longer agree better: unlike the FSC
 * of the phased maps their agreement does not depend on the luck of a phasing start. */
static void after_refinement(struct spi_run *r, const struct spi_generation_report *report)
{
    bool better = report->mean_cc > r->best_cc + r->set->halves_cc_gain_min;

    r->waiting = better ? 0 : r->waiting + 1;
    r->best_cc = fmax(r->best_cc, report->mean_cc);
    if (r->waiting >= r->set->patience) {
        r->converged = 1;
        r->stage = SPI_STAGE_DONE;
    }
}

static spi_err advance(struct spi_run *r, const struct spi_step *step,
                       const struct spi_generation_report *report)
{
    struct spi_step next;
    double D = r->data->rings.diameter_A;

    r->step++;
    if (step->stage == SPI_STAGE_REFINEMENT) {
        after_refinement(r, report);
    } else if (!spi_plan_step(r->set, D, r->q_max, step->stage, r->step, &next)) {
        if (step->stage == SPI_STAGE_INIT)
            return after_init(r, step);
        r->stage = SPI_STAGE_REFINEMENT;
        r->step = 0;
        r->best_cc = report->mean_cc;
    }
    return SPI_OK;
}

/* ---- the loop ----------------------------------------------------------------------- */

spi_err spi_run_init(struct spi_run *r, const struct spi_settings *set,
                     struct spi_data *data, struct spi_graph *graph,
                     const volatile int *stop, double q_max, uint64_t seed)
{
    spi_err err;

    *r = (struct spi_run){.set = set,
                          .data = data,
                          .graph = graph,
                          .stop = stop,
                          .q_max = q_max,
                          .seed = seed,
                          .stage = SPI_STAGE_INIT,
                          .n_diameters = 1,
                          .diameter_A = {data->rings.diameter_A}};
    r->like = spi_likelihood_named(set->score, data->kind);
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_half_set_init(&r->half[h], data, h, set->N_candidates), fail);
    SPI_TRY(err = spi_run_make_replicas(r, set->N_inits), fail);
    return SPI_OK;
fail:
    spi_run_clear(r);
    return err;
}

void spi_run_clear(struct spi_run *r)
{
    for (int h = 0; h < 2; h++) {
        for (int s = 0; s < SPI_REPLICAS_MAX; s++) /* one may be half made */
            spi_replica_clear(&r->replica[h][s]);
        spi_half_set_clear(&r->half[h]);
        spi_volume_clear(&r->density[h]);
    }
}

static spi_err not_converged(const struct spi_run *r)
{
    if (r->stage == SPI_STAGE_INIT)
        return spi_fail(
            SPI_ENOCONV,
            "not converged: algorithm.N_generations = %d ended the run before the random "
            "initialisations were compared; no map is presented; --resume with a larger "
            "one goes on",
            r->set->N_generations);
    if (r->halves_cc < r->set->halves_cc)
        return spi_fail(SPI_ENOCONV,
                        "not converged: after %d generations and %d random "
                        "initialisations the two half sets agree to %.3f (need %.3f); no "
                        "map is presented",
                        r->generation, 2 * r->n_replicas, r->halves_cc, r->set->halves_cc);
    return spi_fail(
        SPI_ENOCONV,
        "not converged: the half sets still improve after %d generations; no map is "
        "presented; --resume with a larger algorithm.N_generations goes on",
        r->generation);
}

spi_err spi_mtip_run(struct spi_run *r, spi_on_generation *on_generation, void *user)
{
    double D = r->data->rings.diameter_A;
    spi_err err = SPI_OK;

    while (r->stage != SPI_STAGE_DONE &&
           r->generation - r->begun_at < r->set->N_generations) {
        struct spi_generation_report report = {.generation = r->generation + 1,
                                               .stage = (enum spi_stage)r->stage,
                                               .step = r->step};
        struct spi_step step;
        double t0 = spi_now_s();

        (void)spi_plan_step(r->set, D, r->q_max, (enum spi_stage)r->stage, r->step, &step);
        if (step.impose_group)
            SPI_TRY(err = spi_run_impose(r, &step), out);
        SPI_TRY(err = one_generation(r, &step, &report), out); /* slice, match, merge */
        if (step.stage == SPI_STAGE_INIT)
            find_leading(r);
        SPI_TRY(err = spi_half_sets_phase(r, &step), out); /* phase */
        SPI_TRY(err = spi_half_sets_compare(r, &step, &report), out);
        r->generation++;
        SPI_TRY(err = advance(r, &step, &report), out);
        report.wall_s = spi_now_s() - t0;
        report.peak_rss_bytes = spi_peak_rss_bytes();
        SPI_TRY(err = on_generation(r, &report, user), out);
        if (r->refined_A > 0)
            return SPI_OK;
    }
    if (!r->converged)
        err = not_converged(r);
out:
    return err;
}
