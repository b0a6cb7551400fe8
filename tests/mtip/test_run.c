/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One generation on any number of workers, and a run that is saved and goes on: the same
 * bits. */
#include <string.h>

#include "mtip/replica_tasks.h"
#include "run_bench.h"
#include "task/engine.h"

/* ---- one generation on several engines ---------------------------------------------- */

struct outcome {
    int n;
    float A[64 * 64 * 64], fluence[IMAGES], beta;
    int32_t candidate[IMAGES * 5];
    struct spi_best best[IMAGES / 2];
    double score;
};

/* Ingest, then three generations of one replica: all orientations with weight, all but with
 * few that have, then near the candidates; more blocks than partials. */
static spi_err generations(const char *engine, int workers, uint64_t seed,
                           struct outcome *o)
{
    enum { BLOCK = 8 };
    struct spi_settings set;
    struct bench b;
    struct spi_half_set half = {0};
    struct spi_replica replica = {0};
    struct spi_resolution_level level = {0};
    int64_t batch[IMAGES / 2];
    spi_err err;

    memset(o, 0, sizeof *o);
    small_settings(&set);
    SPI_TRY(err = bench_init(engine, workers, &b), out);
    SPI_TRY(err = spi_half_set_init(&half, &b.data, 0, 5), out);
    SPI_TRY(err = spi_resolution_level_init(&level, &b.data.rings, &set,
                                            spi_likelihood_of(SPI_PHOTONS), 0.08, 0.1, 1,
                                            true),
            out);
    SPI_TRY(err = spi_replica_init(&replica, &b.data, &half, &level, seed, 0), out);
    for (int i = 0; i < IMAGES / 2; i++)
        batch[i] = i;
    for (int i = 0; i < 3; i++) {
        const double n = (double)level.views.nd * level.views.Na,
                     perplexity[] = {0.01 * n, 1e-4 * n, 5};
        struct spi_generation gen = {.level = &level,
                                     .perplexity = perplexity[i],
                                     .n_batch = half.n_images,
                                     .batch = batch,
                                     .local = i == 2,
                                     .radius = 1.25 * half.candidate_cell,
                                     .best_of = 3,
                                     .keep_candidates = true,
                                     .store_best = true,
                                     .merge = true};
        spi_err late;

        err = spi_replica_begin(&replica, b.graph, &gen, BLOCK);
        if (!err)
            err = spi_replica_slice(&replica);
        if (!err)
            err = spi_replica_match(&replica);
        if (!err)
            err = spi_replica_merge(&replica);
        late = spi_graph_wait(b.graph);
        if (!err && ((replica.work->context.n_soft == SPI_PARTIALS_MAX) != (i == 0) ||
                     replica.work->context.n_blocks <= SPI_PARTIALS_MAX))
            err = err ? err : spi_fail(SPI_EINVAL, "generation %d: not as meant", i);
        spi_replica_settle(&replica, !err && !late);
        SPI_TRY(err = err ? err : late, out);
    }
    o->n = replica.A.n;
    memcpy(o->A, replica.A.data, spi_volume_count(&replica.A) * sizeof *o->A);
    memcpy(o->candidate, half.candidate, (size_t)half.n_images * 5 * sizeof *o->candidate);
    memcpy(o->fluence, half.fluence, (size_t)half.n_images * sizeof *o->fluence);
    memcpy(o->best, half.best, (size_t)half.n_images * sizeof *o->best);
    o->beta = replica.beta;
    o->score = replica.score;
out:
    spi_replica_clear(&replica);
    spi_resolution_level_clear(&level);
    spi_half_set_clear(&half);
    bench_clear(&b);
    return err;
}

static void check_engines(void)
{
    static struct outcome serial, other;
    static const struct {
        const char *engine;
        int workers;
    } how[] = {{"threads", 1},  {"threads", 2}, {"threads", 3},
               {"threads", 4},  {"threads", 7}, {"threads", 16},
               {"threads", 64}, {"starpu", 2},  {"copies", 1}};

    OK(generations("serial", 1, 1, &serial) == SPI_OK, "serial: beta %.3g, score %.4f",
       (double)serial.beta, serial.score);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        if (spi_engine_find(how[i].engine)->why_not)
            continue;
        OK(generations(how[i].engine, how[i].workers, 1, &other) == SPI_OK,
           "%s, %d workers", how[i].engine, how[i].workers);
        OK(memcmp(&serial, &other, sizeof serial) == 0, "the same bits");
    }
    OK(generations("serial", 1, 2, &other) == SPI_OK &&
           memcmp(serial.A, other.A, sizeof other.A) != 0,
       "another seed is noticed");
}

/* ---- checkpoint --------------------------------------------------------------------- */

struct saver {
    const char *state;
    int stop_after, seen, stages;
};

static spi_err on_generation(struct spi_run *r, const struct spi_generation_report *report,
                             void *user)
{
    struct saver *s = user;

    s->seen = report->generation;
    s->stages |= 1 << report->stage;
    if (report->generation < s->stop_after)
        return SPI_OK;
    spi_err err = spi_run_save(r, s->state, "key");

    return err ? err : spi_fail(SPI_ECANCEL, "enough");
}

/* Runs until `stop` generations are done, from `from` if not NULL, and saves to `to`. */
static spi_err run_until(struct bench *b, const char *from, int stop, const char *to,
                         struct saver *s)
{
    struct spi_settings set;
    static struct spi_run run; /* large */
    spi_err err;

    small_settings(&set);
    *s = (struct saver){.state = to, .stop_after = stop};
    SPI_TRY(err = spi_run_init(&run, &set, &b->data, b->graph, NULL, scene_q_max, 9), out);
    if (from)
        SPI_TRY(err = spi_run_load(&run, from, "key"), out);
    err = spi_mtip_run(&run, on_generation, s);
    err = err == SPI_ECANCEL ? SPI_OK : err;
out:
    spi_run_clear(&run);
    return err;
}

static int same_file(const char *a, const char *b)
{
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    int c = 0, d = 0;
    long n = 0;

    while (f && g && c == d && c != EOF) {
        c = fgetc(f);
        d = fgetc(g);
        n++;
    }
    if (f)
        fclose(f);
    if (g)
        fclose(g);
    return f && g && c == d && n > 1000;
}

/* Refused with a message that names the file, nothing leaks. */
static void refused(struct bench *b, const char *state, const char *key, spi_err want)
{
    struct spi_settings set;
    static struct spi_run run;

    small_settings(&set);
    if (spi_run_init(&run, &set, &b->data, b->graph, NULL, scene_q_max, 9))
        OK(0, "%s", spi_err_message());
    OK(spi_run_load(&run, state, key) == want && strstr(spi_err_message(), state), "%s",
       spi_err_message());
    spi_run_clear(&run);
}

static void check_resume(struct bench *b)
{
    enum { CUTS = 2, END = 4 };
    static const int cut[CUTS] = {
        1, 3}; /* in the random initialisations; in frequency marching */
    char straight[4096], half[4096], resumed[4096];
    struct saver s;

    snprintf(straight, sizeof straight, "%s/straight.state", dir);
    snprintf(half, sizeof half, "%s/half.state", dir);
    snprintf(resumed, sizeof resumed, "%s/resumed.state", dir);
    OK(run_until(b, NULL, END, straight, &s) == SPI_OK && s.seen == END,
       "%d generations: %s", END, spi_err_message());
    OK(s.stages & 1 << SPI_STAGE_INIT && s.stages & 1 << SPI_STAGE_MARCHING,
       "random initialisations and frequency marching");
    for (int i = 0; i < CUTS; i++) {
        OK(run_until(b, NULL, cut[i], half, &s) == SPI_OK && s.seen == cut[i],
           "stopped after %d", cut[i]);
        OK(!same_file(straight, half), "that is another state");
        OK(run_until(b, half, END, resumed, &s) == SPI_OK && s.seen == END, "resumed: %s",
           spi_err_message());
        OK(same_file(straight, resumed), "the same bits as an uninterrupted run");
    }
    refused(b, half, "other", SPI_EINVAL);
    refused(b, "/nowhere/state", "key", SPI_EIO);
    if (truncate(half, 5000) != 0)
        OK(0, "truncate");
    refused(b, half, "key", SPI_EFORMAT);
    remove(straight), remove(half), remove(resumed);
}

int main(void)
{
    struct bench b;

    if (bench_folder("run"))
        return tap_done();
    if (bench_init("serial", 1, &b)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    check_resume(&b);
    bench_clear(&b);
    check_engines();
    remove(path);
    rmdir(dir);
    return tap_done();
}
