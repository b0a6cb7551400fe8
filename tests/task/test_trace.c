/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trace says what more threads would give: loops of tasks, and loops between waits. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parallel.h"
#include "tap.h"
#include "task/graph.h"

enum { ITEMS = 8, LINES = 16 };
static const double spin_s = 0.004;

static void spin(void *ctx, int rank, int64_t item)
{
    double until = spi_cpu_s() + spin_s;

    (void)ctx;
    (void)rank;
    (void)item;
    while (spi_cpu_s() < until)
        ;
}

static int noted_inside; /* (atomic) */

/* arg: items of its loop. */
static spi_err task(struct spi_view *v, const void *arg, const volatile int *stop)
{
    (void)v;
    (void)stop;
    __atomic_store_n(&noted_inside, spi_noted(), __ATOMIC_RELAXED);
    spi_parallel_for(SPI_THREADS_MAX, *(const int *)arg, spin, NULL);
    return SPI_OK;
}

static spi_err run(struct spi_graph *g)
{
    const int items[] = {ITEMS, 0};
    spi_err err = SPI_OK;

    for (int i = 0; i < 2 && !err; i++)
        err = spi_graph_submit(g, i ? "without" : "with", task, &items[i], sizeof items[i],
                               0, NULL);
    if (!err)
        err = spi_graph_wait(g);
    if (!err)
        spi_parallel_for(SPI_THREADS_MAX, ITEMS, spin, NULL);
    return err ? err : spi_graph_wait(g);
}

/* The number behind a key; NAN: the line has no such key. */
static double value(const char *line, const char *key)
{
    char name[64];
    const char *at;

    snprintf(name, sizeof name, "\"%s\": ", key);
    at = line ? strstr(line, name) : NULL;
    return at ? strtod(at + strlen(name), NULL) : (double)NAN;
}

static const char *line_with(char line[LINES][1024], int n, const char *what)
{
    for (int i = 0; i < n; i++)
        if (strstr(line[i], what))
            return line[i];
    return "";
}

/* One loop of ITEMS items: 2 threads need half of it, 8 and more the longest item. */
static bool one_loop(const char *line, const char *cpu)
{
    double loops_s = value(line, "loops_s"), on[6];
    const char *at = strstr(line, "\"loops_on_s\": [");

    if (!at || sscanf(at, "\"loops_on_s\": [%lf, %lf, %lf, %lf, %lf, %lf]}", on, on + 1,
                      on + 2, on + 3, on + 4, on + 5) != 6)
        return false;
    return value(line, "loops") == 1 && value(line, "meets") == 1 &&
           loops_s >= ITEMS * spin_s && value(line, cpu) >= loops_s &&
           on[0] >= loops_s / 2 - 1e-6 && on[0] < loops_s && on[2] >= spin_s &&
           on[2] < on[0] && on[5] == on[2];
}

static void name_file(char path[4096])
{
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(path, 4096, "%s/notes.%ld.jsonl", tmp ? tmp : "/tmp", (long)getpid());
}

static void check(const char *engine, int workers)
{
    char path[4096], line[LINES][1024];
    struct spi_graph *g = NULL;
    int n = 0;
    FILE *f;

    name_file(path);
    NEED(spi_graph_new(engine, workers, NULL, &g) == SPI_OK);
    OK(run(g) == SPI_OK && !noted_inside && !spi_noted(), "%s: no trace, no notes", engine);
    OK(spi_graph_trace(g, path) == SPI_OK && run(g) == SPI_OK && noted_inside &&
           spi_noted() && spi_graph_trace_end(g) == SPI_OK && !spi_noted(),
       "%s, %d workers: a trace, which ends", engine, workers);
    spi_graph_free(g);
    NEED((f = fopen(path, "re")) != NULL);
    while (n < LINES && fgets(line[n], sizeof *line, f)) {
        line[n][strcspn(line[n], "\n")] = 0;
        n++;
    }
    fclose(f);
    unlink(path);
    OK(n == 5, "two tasks, two waits, the end: %d lines", n);
    OK(one_loop(line_with(line, n, "\"with\""), "cpu_s"), "the task with a loop: %s",
       line_with(line, n, "\"with\""));
    OK(value(line_with(line, n, "\"without\""), "loops_s") == 0,
       "the task without items: %s", line_with(line, n, "\"without\""));
    OK(value(line[2], "loops") == 0, "before the first wait: %s", line[2]);
    OK(one_loop(line[3], "before_cpu_s"), "a loop between two waits: %s", line[3]);
}

/* A trace that is given up leaves no note behind. */
static void check_dropped(void)
{
    char path[4096];
    struct spi_graph *g = NULL;

    name_file(path);
    NEED(spi_graph_new("threads", 2, NULL, &g) == SPI_OK);
    OK(spi_graph_trace(g, path) == SPI_OK && spi_noted(), "a trace begins");
    spi_graph_free(g);
    OK(!spi_noted(), "it is dropped, and so is the note");
}

int main(void)
{
    check("serial", 1);
    check("threads", 1);
    check("threads", 3);
    check_dropped();
    return tap_done();
}
