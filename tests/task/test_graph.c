/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every engine keeps the contract of task/graph.h: tasks with conflicts give the same bits
 * on any number of workers as one after another; the first failure, the stop flag, the
 * trace. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/settings.h"
#include "tap.h"
#include "task/engine.h"

enum { REGIONS = 12, LENGTH = 64, TASKS = 400 };

struct args {
    int n_in; /* arrays 1 ... n_in are read, array 0 is changed */
    int number;
};

static void spin(int rounds)
{
    volatile double x = 1;

    for (int i = 0; i < rounds; i++)
        x = x * 1.0000001;
}

/* Not commutative and rounding: any other order gives other bits. */
static spi_err mix(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct args *a = arg;
    float *to = v[0].data;

    (void)stop;
    spin(200 * (a->number % 7));
    for (int k = 1; k <= a->n_in; k++) {
        const float *from = v[k].data;

        for (int i = 0; i < LENGTH; i++)
            to[i] = 0.7F * to[i] + 0.31F * from[(i + a->number) % LENGTH] + 1e-3F;
    }
    return SPI_OK;
}

static spi_err wrap(struct spi_graph *g, void *data, size_t bytes, struct spi_array **out)
{
    struct spi_array_shape shape = {SPI_ARRAY_OF(uint8_t, "test"), .rows = (int64_t)bytes,
                                    .columns = 1};

    return spi_array_wrap(g, &shape, data, out);
}

/* The same random graph each time.  Some tasks name more arrays than StarPU's own list
 * holds.  swap: this task and the next are exchanged. */
static void run_graph(const char *engine, int workers, int swap, float out[REGIONS][LENGTH])
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_graph *g;
    struct spi_array *array[REGIONS];

    memset(out, 0, REGIONS * sizeof *out);
    NEED(spi_graph_new(engine, workers, NULL, &g) == SPI_OK);
    for (int r = 0; r < REGIONS; r++) {
        for (int i = 0; i < LENGTH; i++)
            out[r][i] = (float)spi_rng_normal(&rng);
        NEED(wrap(g, out[r], sizeof out[r], &array[r]) == SPI_OK);
    }
    for (int t = 0; t < TASKS; t++) {
        int order[REGIONS], n = 1 + (int)spi_rng_below(&rng, t % 20 ? 3 : REGIONS - 1);
        struct spi_access access[REGIONS];
        struct args a = {n, t == swap ? t + 1 : t == swap + 1 ? t - 1 : t};

        for (int r = 0; r < REGIONS; r++)
            order[r] = r;
        for (int r = 0; r <= n; r++) {
            int j = r + (int)spi_rng_below(&rng, (uint32_t)(REGIONS - r)), x = order[r];

            order[r] = order[j];
            order[j] = x;
            access[r] =
                (struct spi_access){array[order[r]], 0, r ? SPI_READ : SPI_READ_WRITE};
        }
        if (spi_graph_submit(g, "mix", mix, &a, sizeof a, n + 1, access))
            OK(0, "%s", spi_err_message());
        if (t == TASKS / 2)
            OK(spi_graph_wait(g) == SPI_OK, "half of the tasks");
    }
    OK(spi_graph_wait(g) == SPI_OK, "%s, %d asked, %d workers", engine, workers,
       spi_graph_workers(g));
    OK(spi_graph_seconds(g, "mix") > 0 && spi_graph_seconds(g, "mix") == 0,
       "seconds, once");
    spi_graph_free(g);
}

static void check_same_bits(const char *engine)
{
    static float serial[REGIONS][LENGTH], other[REGIONS][LENGTH];
    static const int workers[] = {1, 2, 3, 4, 7, 16, 64};

    run_graph("serial", 1, TASKS, serial);
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        run_graph(engine, workers[i], TASKS, other);
        OK(memcmp(serial, other, sizeof serial) == 0, "%s, %d asked: the same bits", engine,
           workers[i]);
    }
    run_graph(engine, 2, 150, other);
    OK(memcmp(serial, other, sizeof serial) != 0, "two tasks exchanged are noticed");
}

/* ---- many small tasks --------------------------------------------------------------- */

enum { MANY = 10000, CELLS = 8 };

/* cell = 3 cell + number (mod 2^64): the order matters. */
static spi_err step(struct spi_view *v, const void *arg, const volatile int *stop)
{
    uint64_t *cell = v[0].data;

    (void)stop;
    *cell = 3 * *cell + *(const uint64_t *)arg;
    return SPI_OK;
}

/* All cells are read while others read them; nobody may write one meanwhile. */
static spi_err look(struct spi_view *v, const void *arg, const volatile int *stop)
{
    uint64_t *to = v[CELLS].data, sum = 0;

    (void)stop;
    (void)arg;
    for (int c = 0; c < CELLS; c++)
        sum += *(const uint64_t *)v[c].data;
    *to = *to * 5 + sum;
    return SPI_OK;
}

static bool cells_are(struct spi_array *const *array, const uint64_t *want)
{
    for (int c = 0; c < CELLS + 2; c++)
        if (*(const uint64_t *)spi_array_data(array[c], 0, NULL) != want[c])
            return false;
    return true;
}

static void check_many(const char *engine, int workers)
{
    uint64_t cell[CELLS + 2] = {0}, want[CELLS + 2] = {0};
    struct spi_array *array[CELLS + 2];
    struct spi_graph *g;

    NEED(spi_graph_new(engine, workers, NULL, &g) == SPI_OK);
    for (int c = 0; c < CELLS + 2; c++)
        NEED(wrap(g, &cell[c], sizeof *cell, &array[c]) == SPI_OK);
    for (uint64_t t = 0; t < MANY; t++) {
        struct spi_access access[CELLS + 1];
        int to = (int)(t % CELLS);

        if (t % 100 < 98) {
            access[0] = (struct spi_access){array[to], 0, SPI_READ_WRITE};
            if (spi_graph_submit(g, "step", step, &t, sizeof t, 1, access))
                OK(0, "%s", spi_err_message());
            want[to] = 3 * want[to] + t;
            continue;
        }
        to = CELLS + (int)(t % 2);
        want[to] *= 5;
        for (int c = 0; c < CELLS; c++) {
            access[c] = (struct spi_access){array[c], 0, SPI_READ};
            want[to] += want[c];
        }
        access[CELLS] = (struct spi_access){array[to], 0, SPI_READ_WRITE};
        if (spi_graph_submit(g, "look", look, NULL, 0, CELLS + 1, access))
            OK(0, "%s", spi_err_message());
    }
    OK(spi_graph_wait(g) == SPI_OK && cells_are(array, want),
       "%s, %d workers: %d tasks in their order", engine, workers, MANY);
    for (int i = 0; i < 300; i++) { /* nothing is lost between many short waits */
        uint64_t t = (uint64_t)i;
        struct spi_access access = {array[i % CELLS], 0, SPI_READ_WRITE};

        want[i % CELLS] = 3 * want[i % CELLS] + t;
        if (spi_graph_submit(g, "step", step, &t, sizeof t, 1, &access) ||
            (i % 3 == 0 && spi_graph_wait(g)))
            OK(0, "%s", spi_err_message());
    }
    OK(spi_graph_wait(g) == SPI_OK && cells_are(array, want), "%s, %d workers: 100 waits",
       engine, workers);
    OK(spi_graph_wait(g) == SPI_OK, "a wait for nothing");
    spi_graph_free(g);
}

/* ---- failures ----------------------------------------------------------------------- */

struct trace {
    int done;
};

static spi_err count(struct spi_view *v, const void *arg, const volatile int *stop)
{
    struct trace *t = v[0].data;
    int fails = *(const int *)arg;

    (void)stop;
    if (fails)
        return spi_fail(SPI_EFORMAT, "task %d: broken", fails);
    t->done++;
    return SPI_OK;
}

static spi_err set_flag(struct spi_view *v, const void *arg, const volatile int *stop)
{
    (void)v;
    (void)stop;
    **(volatile int *const *)arg = 1;
    return SPI_OK;
}

static int done(struct spi_array *r)
{
    return ((const struct trace *)spi_array_data(r, 0, NULL))->done;
}

static void submit_count(struct spi_graph *g, struct spi_array *r, int fails)
{
    struct spi_access a = {r, 0, SPI_READ_WRITE};

    if (spi_graph_submit(g, "count", count, &fails, sizeof fails, 1, &a))
        OK(0, "%s", spi_err_message());
}

static void check_failures(const char *engine)
{
    volatile int flag = 0, *at = &flag;
    struct trace t = {0};
    struct spi_graph *g;
    struct spi_array *r, *other;
    struct spi_access access[SPI_ACCESSES_MAX + 1];

    NEED(spi_graph_new(engine, 2, &flag, &g) == SPI_OK);
    NEED(wrap(g, &t, sizeof t, &r) == SPI_OK);
    NEED(wrap(g, NULL, 0, &other) == SPI_OK);
    for (int i = 0; i < 10; i++)
        submit_count(g, r, i == 4 || i == 7 ? i : 0);
    OK(spi_graph_wait(g) == SPI_EFORMAT && strcmp(spi_err_message(), "task 4: broken") == 0,
       "%s: the first failure, '%s'", engine, spi_err_message());
    OK(done(r) == 4, "%s: later tasks are skipped (%d done)", engine, done(r));
    submit_count(g, r, 0);
    OK(spi_graph_wait(g) == SPI_OK && done(r) == 5, "%s: then all is well again", engine);

    access[0] = (struct spi_access){r, 0, SPI_READ_WRITE};
    if (spi_graph_submit(g, "flag", set_flag, &at, sizeof at, 1, access))
        OK(0, "%s", spi_err_message());
    submit_count(g, r, 0);
    OK(spi_graph_wait(g) == SPI_ECANCEL && done(r) == 5, "%s: stop flag: %s", engine,
       spi_err_message());
    flag = 0;
    for (int i = 0; i <= SPI_ACCESSES_MAX; i++)
        access[i] = access[0];
    OK(spi_graph_submit(g, "wide", set_flag, &at, sizeof at, SPI_ACCESSES_MAX + 1,
                        access) == SPI_EINVAL,
       "%s", spi_err_message());
    OK(spi_graph_submit(g, "twice", set_flag, &at, sizeof at, 2, access) == SPI_EINVAL,
       "%s", spi_err_message());
    submit_count(g, r, 0);
    spi_array_free(g, r); /* runs what is still to do on it */
    OK(t.done == 6, "%s: an array is freed after its last task", engine);
    spi_array_free(g, NULL);
    OK(wrap(g, &t, sizeof t, &r) == SPI_OK, "another array");
    submit_count(g, r, 0);
    spi_graph_free(g); /* runs what is left, frees `r` and `other` */
    OK(t.done == 7, "%s: a graph is freed after its last task", engine);
    spi_graph_free(NULL);
}

/* ---- the table of engines ----------------------------------------------------------- */

static void check_table(void)
{
    const struct spi_setting *row = spi_setting_find("runtime", "backend");
    char words[256] = "";
    struct spi_settings set;
    struct spi_graph *g;

    NEED(row != NULL);
    for (int i = 0; spi_engine_table[i]; i++) {
        strcat(words, i ? "|" : "");
        strcat(words, spi_engine_table[i]->name);
    }
    OK(strcmp(words, row->unit) == 0, "runtime.backend takes the names of the table: %s",
       words);
    for (int i = 0; spi_engine_table[i]; i++) {
        const struct spi_engine *e = spi_engine_table[i];

        OK(spi_graph_check_engine(e->name) == (e->why_not ? SPI_EUSAGE : SPI_OK), "%s: %s",
           e->name, e->why_not ? spi_err_message() : "it is there");
    }
    spi_settings_default(&set);
    OK(spi_engine_find(set.backend) && !spi_engine_find(set.backend)->why_not,
       "its default, %s, can be used everywhere", set.backend);
    OK(spi_graph_new("pigeons", 2, NULL, &g) == SPI_EUSAGE && !g, "%s", spi_err_message());
}

/* ---- the trace ---------------------------------------------------------------------- */

static void check_trace(const char *engine)
{
    const char *tmp = getenv("SPI_TEST_TMP");
    char path[2048], line[1024];
    struct trace t = {0};
    struct spi_graph *g;
    struct spi_array *r, *other;
    struct spi_access both[2];
    int fails = 0, tasks = 0, waits = 0, right = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/trace.%ld.jsonl", tmp ? tmp : "/tmp", (long)getpid());
    NEED(spi_graph_new(engine, 2, NULL, &g) == SPI_OK);
    NEED(wrap(g, &t, sizeof t, &r) == SPI_OK);
    NEED(wrap(g, NULL, 0, &other) == SPI_OK);
    submit_count(g, r, 0); /* before the trace */
    NEED(spi_graph_trace(g, path) == SPI_OK);
    submit_count(g, r, 0);
    OK(spi_graph_wait(g) == SPI_OK, "%s: traced", engine);
    both[0] = (struct spi_access){r, 0, SPI_READ_WRITE};
    both[1] = (struct spi_access){other, 0, SPI_READ};
    NEED(spi_graph_submit(g, "both", count, &fails, sizeof fails, 2, both) == SPI_OK);
    OK(access(path, F_OK) != 0, "no file before the end");
    OK(spi_graph_trace_end(g) == SPI_OK, "%s", spi_err_message());
    f = fopen(path, "r");
    NEED(f != NULL);
    while (fgets(line, sizeof line, f)) {
        tasks += strncmp(line, "{\"task\": ", 9) == 0;
        waits += strncmp(line, "{\"wait\": ", 9) == 0;
        right += strstr(line, "{\"task\": 1, \"wait\": 0, \"name\": \"count\"") &&
                 strstr(line, "\"reads\": [], \"writes\": [0], \"alone_s\": ");
        right += strstr(line, "{\"task\": 2, \"wait\": 1, \"name\": \"both\"") &&
                 strstr(line, "\"reads\": [1], \"writes\": [0], \"alone_s\": ");
    }
    fclose(f);
    remove(path);
    OK(tasks == 2 && waits == 2 && right == 2, "%s: %d tasks, %d waits, %d lines as meant",
       engine, tasks, waits, right);
    NEED(spi_graph_trace(g, path) == SPI_OK);
    spi_graph_free(g);
    OK(access(path, F_OK) != 0, "a trace without its end leaves no file");
}

int main(void)
{
    check_table();
    for (int i = 0; spi_engine_table[i]; i++) {
        const struct spi_engine *e = spi_engine_table[i];

        if (e->why_not) {
            NOTE("%s: %s", e->name, e->why_not);
            continue;
        }
        if (e != &spi_engine_serial) /* it is what the others are compared with */
            check_same_bits(e->name);
        check_many(e->name, 2);
        check_many(e->name, 16);
        check_failures(e->name);
        check_trace(e->name);
    }
    return tap_done();
}
