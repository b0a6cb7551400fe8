/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tasks with conflicts give the same bits on any number of workers as one after another;
 * the first failure and the stop flag. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tap.h"
#include "task/graph.h"

enum { REGIONS = 12, LENGTH = 64, TASKS = 400 };

struct args {
    int n_in; /* regions 1 ... n_in are read, region 0 is changed */
    int number;
};

static void spin(int rounds)
{
    volatile double x = 1;

    for (int i = 0; i < rounds; i++)
        x = x * 1.0000001;
}

/* Not commutative and rounding: any other order gives other bits. */
static spi_err mix(void *const *data, const void *arg, const volatile int *stop)
{
    const struct args *a = arg;
    float *to = data[0];

    (void)stop;
    spin(200 * (a->number % 7));
    for (int k = 1; k <= a->n_in; k++) {
        const float *from = data[k];

        for (int i = 0; i < LENGTH; i++)
            to[i] = 0.7F * to[i] + 0.31F * from[(i + a->number) % LENGTH] + 1e-3F;
    }
    return SPI_OK;
}

/* The same random graph each time.  more: tasks with more regions than StarPU's own list
 * holds. */
static void run_graph(bool serial, int workers, int swap, float out[REGIONS][LENGTH])
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_graph *g;
    struct spi_region *region[REGIONS];

    if (spi_graph_new(serial, workers, NULL, &g)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int r = 0; r < REGIONS; r++) {
        for (int i = 0; i < LENGTH; i++)
            out[r][i] = (float)spi_rng_normal(&rng);
        if (spi_region_new(g, out[r], sizeof out[r], &region[r]))
            OK(0, "%s", spi_err_message());
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
                (struct spi_access){region[order[r]], r ? SPI_READ : SPI_READ_WRITE};
        }
        if (spi_graph_submit(g, "mix", mix, &a, sizeof a, n + 1, access))
            OK(0, "%s", spi_err_message());
        if (t == TASKS / 2)
            OK(spi_graph_wait(g) == SPI_OK, "half of the tasks");
    }
    OK(spi_graph_wait(g) == SPI_OK, "%s, %d asked, %d workers",
       serial ? "serial" : "StarPU", workers, spi_graph_workers(g));
    OK(spi_graph_seconds(g, "mix") > 0 && spi_graph_seconds(g, "mix") == 0,
       "seconds, once");
    spi_graph_free(g);
}

static void check_same_bits(void)
{
    static float serial[REGIONS][LENGTH], other[REGIONS][LENGTH];
    static const int workers[] = {1, 2, 4};

    run_graph(true, 1, -1, serial);
    for (int i = 0; i < 3; i++) {
        run_graph(false, workers[i], -1, other);
        OK(memcmp(serial, other, sizeof serial) == 0, "%d workers: the same bits",
           workers[i]);
    }
    run_graph(true, 1, 150, other);
    OK(memcmp(serial, other, sizeof serial) != 0, "two tasks exchanged are noticed");
}

/* ---- failures ----------------------------------------------------------------------- */

struct trace {
    int done;
};

static spi_err count(void *const *data, const void *arg, const volatile int *stop)
{
    struct trace *t = data[0];
    int fails = *(const int *)arg;

    (void)stop;
    if (fails)
        return spi_fail(SPI_EFORMAT, "task %d: broken", fails);
    t->done++;
    return SPI_OK;
}

static spi_err set_flag(void *const *data, const void *arg, const volatile int *stop)
{
    (void)data;
    (void)stop;
    **(volatile int *const *)arg = 1;
    return SPI_OK;
}

static void submit_count(struct spi_graph *g, struct spi_region *r, int fails)
{
    struct spi_access a = {r, SPI_READ_WRITE};

    if (spi_graph_submit(g, "count", count, &fails, sizeof fails, 1, &a))
        OK(0, "%s", spi_err_message());
}

static void check_failures(bool serial)
{
    const char *engine = serial ? "serial" : "StarPU";
    volatile int flag = 0, *at = &flag;
    struct trace t = {0};
    struct spi_graph *g;
    struct spi_region *r, *other;
    struct spi_access access[65];

    if (spi_graph_new(serial, 2, &flag, &g) || spi_region_new(g, &t, sizeof t, &r) ||
        spi_region_new(g, NULL, 0, &other)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int i = 0; i < 10; i++)
        submit_count(g, r, i == 4 || i == 7 ? i : 0);
    OK(spi_graph_wait(g) == SPI_EFORMAT && strcmp(spi_err_message(), "task 4: broken") == 0,
       "%s: the first failure, '%s'", engine, spi_err_message());
    OK(t.done == 4, "%s: later tasks are skipped (%d done)", engine, t.done);
    submit_count(g, r, 0);
    OK(spi_graph_wait(g) == SPI_OK && t.done == 5, "%s: then all is well again", engine);

    access[0] = (struct spi_access){r, SPI_READ_WRITE};
    if (spi_graph_submit(g, "flag", set_flag, &at, sizeof at, 1, access))
        OK(0, "%s", spi_err_message());
    submit_count(g, r, 0);
    OK(spi_graph_wait(g) == SPI_ECANCEL && t.done == 5, "%s: stop flag: %s", engine,
       spi_err_message());
    flag = 0;
    for (int i = 0; i < 65; i++)
        access[i] = access[0];
    OK(spi_graph_submit(g, "wide", set_flag, &at, sizeof at, 65, access) == SPI_EINVAL,
       "%s", spi_err_message());
    submit_count(g, r, 0);
    spi_region_free(g, r); /* runs what is still to do on it */
    OK(t.done == 6, "%s: a region is freed after its last task", engine);
    spi_region_free(g, NULL);
    spi_graph_free(g); /* frees `other` */
    spi_graph_free(NULL);
}

int main(void)
{
    check_same_bits();
    check_failures(true);
    check_failures(false);
    return tap_done();
}
