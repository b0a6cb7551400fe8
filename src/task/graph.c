/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/graph.h"

#include <assert.h>
#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cores.h"
#include "base/log.h"
#include "base/mem.h"
#include "task/engine.h"
#include "task/trace.h"

enum { MAX_NAMES = 32, ALIGN = 64 };

const struct spi_engine *const spi_engine_table[] = {
    &spi_engine_threads, &spi_engine_starpu, &spi_engine_serial, NULL};

struct spi_region {
    void *of_engine;
    int64_t number; /* in the trace */
    const struct spi_graph *g;
    struct spi_region *next, *prev;
};

struct spi_graph {
    const struct spi_engine *engine;
    void *self; /* of the engine */
    int workers;
    struct spi_region *regions;
    int64_t n_tasks, n_waits, n_regions; /* so far */
    double t0, last_s, last_cpu_s;       /* start; end of the last wait, for the trace */
    const volatile int *stop;

    pthread_mutex_t lock; /* of everything below */
    spi_err first_error;
    char message[SPI_MESSAGE_MAX];
    struct {
        const char *name;
        double seconds;
    } clock[MAX_NAMES];
    struct spi_trace *trace; /* NULL: none */
    pthread_t caller;        /* the thread that submits and waits, ... */
    double caller_cpu_s;     /* ... and what it spent inside tasks since the last wait */
};

static const volatile int never;
static _Thread_local bool inside_task; /* tasks neither submit nor wait */

/* What a task carries besides its regions. */
struct spi_task {
    struct spi_graph *g;
    spi_task_fn *fn;
    const char *name;
    void *arg;
    int64_t number, wait;
    int n;
    int64_t *region; /* [n] numbers, or NULL: not traced */
    unsigned char privilege[SPI_REGIONS_MAX];
};

const char *spi_task_name(const struct spi_task *t)
{
    return t->name;
}

/* ---- a task runs -------------------------------------------------------------------- */

/* (the lock is held) */
static void note_time(struct spi_graph *g, const char *name, double s)
{
    for (int i = 0; i < MAX_NAMES; i++) {
        if (!g->clock[i].name)
            g->clock[i].name = name;
        if (strcmp(g->clock[i].name, name) == 0) {
            g->clock[i].seconds += s;
            break;
        }
    }
}

/* (the lock is held) */
static void note_trace(struct spi_graph *g, const struct spi_task *t, double start,
                       double wall_s, double cpu_s)
{
    struct spi_trace_task done = {.task = t->number,
                                  .wait = t->wait,
                                  .name = t->name,
                                  .start_s = start - g->t0,
                                  .wall_s = wall_s,
                                  .cpu_s = cpu_s,
                                  .n = t->n,
                                  .region = t->region,
                                  .privilege = t->privilege};

    spi_trace_task(g->trace, &done);
    if (pthread_equal(pthread_self(), g->caller))
        g->caller_cpu_s += cpu_s;
}

static spi_err failed_before(struct spi_graph *g)
{
    pthread_mutex_lock(&g->lock);

    spi_err err = g->first_error;

    pthread_mutex_unlock(&g->lock);
    return err;
}

void spi_task_run(struct spi_task *t, void *const *data)
{
    struct spi_graph *g = t->g;
    double t0, cpu0, t1;
    spi_err err;

    if (failed_before(g)) {
        free(t);
        return;
    }
    t0 = spi_now_s();
    cpu0 = t->region ? spi_cpu_s() : 0;
    inside_task = true;
    err = *g->stop ? spi_fail(SPI_ECANCEL, "stopped on request")
                   : t->fn(data, t->arg, g->stop);
    inside_task = false;
    t1 = spi_now_s();

    pthread_mutex_lock(&g->lock);
    note_time(g, t->name, t1 - t0);
    if (t->region && g->trace)
        note_trace(g, t, t0, t1 - t0, spi_cpu_s() - cpu0);
    if (err && !g->first_error) {
        g->first_error = err;
        snprintf(g->message, sizeof g->message, "%s", spi_err_message());
    }
    pthread_mutex_unlock(&g->lock);
    free(t);
}

/* ---- graph -------------------------------------------------------------------------- */

const struct spi_engine *spi_engine_find(const char *name)
{
    for (int i = 0; spi_engine_table[i]; i++)
        if (strcmp(spi_engine_table[i]->name, name) == 0)
            return spi_engine_table[i];
    return NULL;
}

spi_err spi_graph_check_engine(const char *engine)
{
    const struct spi_engine *e = spi_engine_find(engine);

    if (!e)
        return spi_fail(SPI_EUSAGE, "runtime.backend \"%s\": there is no such task engine",
                        engine);
    if (e->why_not)
        return spi_fail(SPI_EUSAGE, "runtime.backend \"%s\": %s; \"%s\" is always there",
                        engine, e->why_not, spi_engine_table[0]->name);
    return SPI_OK;
}

spi_err spi_graph_new(const char *engine, int workers, const volatile int *stop,
                      struct spi_graph **out)
{
    struct spi_graph *g = NULL;
    int want = workers > 0 ? workers : spi_cores();
    const char *why = NULL;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = spi_graph_check_engine(engine), fail);
    SPI_TRY(err = SPI_NEW(g, 1, "task graph"), fail);
    g->engine = spi_engine_find(engine);
    g->stop = stop ? stop : &never;
    g->t0 = g->last_s = spi_now_s();
    g->caller = pthread_self();
    openblas_set_num_threads(1); /* the workers are the parallelism */
    SPI_TRY(err = g->engine->start(want, &g->self, &g->workers, &why), fail);
    pthread_mutex_init(&g->lock, NULL);
    if (g->workers < want && why)
        spi_info("%d worker%s used, not %d: %s", g->workers,
                 g->workers == 1 ? " is" : "s are", want, why);
    *out = g;
    return SPI_OK;
fail:
    free(g);
    return err;
}

void spi_graph_free(struct spi_graph *g)
{
    if (!g)
        return;
    g->engine->wait(g->self);
    while (g->regions)
        spi_region_free(g, g->regions);
    g->engine->stop(g->self);
    spi_trace_drop(g->trace);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

int spi_graph_workers(const struct spi_graph *g)
{
    return g->workers;
}

spi_err spi_region_new(struct spi_graph *g, void *data, size_t bytes,
                       struct spi_region **out)
{
    struct spi_region *r = NULL;
    spi_err err = SPI_NEW(r, 1, "region");

    *out = NULL;
    if (err)
        return err;
    if ((err = g->engine->region_new(g->self, data, bytes, &r->of_engine)) != SPI_OK) {
        free(r);
        return err;
    }
    r->g = g;
    r->number = g->n_regions++;
    r->next = g->regions;
    if (r->next)
        r->next->prev = r;
    g->regions = r;
    *out = r;
    return SPI_OK;
}

void spi_region_free(struct spi_graph *g, struct spi_region *r)
{
    if (!r)
        return;
    g->engine->region_free(g->self, r->of_engine);
    if (r->prev)
        r->prev->next = r->next;
    else
        g->regions = r->next;
    if (r->next)
        r->next->prev = r->prev;
    free(r);
}

/* ---- submission --------------------------------------------------------------------- */

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* One piece of memory: the task, its arguments and, when traced, the numbers of regions. */
static spi_err make_task(struct spi_graph *g, const char *name, spi_task_fn *fn,
                         const void *arg, size_t arg_size, int n,
                         const struct spi_access *access, struct spi_task **out)
{
    size_t at_arg = rounded(sizeof **out), at_region = at_arg + rounded(arg_size);
    size_t size = at_region + (g->trace ? (size_t)n * sizeof(int64_t) : 0);
    struct spi_task *t = spi_alloc(1, size, "task");

    if (!t)
        return SPI_ENOMEM;
    *t = (struct spi_task){.g = g,
                           .fn = fn,
                           .name = name,
                           .arg = (char *)t + at_arg,
                           .number = g->n_tasks++,
                           .wait = g->n_waits,
                           .n = n};
    if (arg_size)
        memcpy(t->arg, arg, arg_size);
    if (g->trace)
        t->region = (int64_t *)(void *)((char *)t + at_region);
    for (int i = 0; i < n && g->trace; i++) {
        t->region[i] = access[i].region->number;
        t->privilege[i] = (unsigned char)access[i].privilege;
    }
    *out = t;
    return SPI_OK;
}

spi_err spi_graph_submit(struct spi_graph *g, const char *name, spi_task_fn *fn,
                         const void *arg, size_t arg_size, int n,
                         const struct spi_access *access)
{
    struct spi_engine_access named[SPI_REGIONS_MAX];
    struct spi_task *t;
    spi_err err;

    assert(!inside_task);
    if (n > SPI_REGIONS_MAX)
        return spi_fail(SPI_EINVAL, "task %s: %d regions; at most %d", name, n,
                        SPI_REGIONS_MAX);
    for (int i = 0; i < n; i++) {
        named[i] =
            (struct spi_engine_access){access[i].region->of_engine, access[i].privilege};
        for (int j = 0; j < i; j++)
            if (access[j].region == access[i].region)
                return spi_fail(SPI_EINVAL, "task %s: names one region twice", name);
    }
    if ((err = make_task(g, name, fn, arg, arg_size, n, access, &t)) != SPI_OK)
        return err;
    err = g->engine->submit(g->self, t, n, named);
    if (err)
        free(t);
    return err;
}

/* What this thread did since the last wait, without tasks that it ran. */
static void note_wait(struct spi_graph *g, double before_s, double before_cpu_s)
{
    double now = spi_now_s();

    pthread_mutex_lock(&g->lock);
    spi_trace_wait(g->trace, g->n_waits, before_s - g->last_s, before_cpu_s - g->last_cpu_s,
                   now - before_s);
    g->caller_cpu_s = 0;
    g->last_s = now;
    g->last_cpu_s = spi_cpu_s();
    pthread_mutex_unlock(&g->lock);
}

spi_err spi_graph_wait(struct spi_graph *g)
{
    double before_s = spi_now_s(), before_cpu_s = spi_cpu_s() - g->caller_cpu_s;
    spi_err err;

    assert(!inside_task);
    g->engine->wait(g->self);
    if (g->trace)
        note_wait(g, before_s, before_cpu_s);
    g->n_waits++;
    pthread_mutex_lock(&g->lock);
    err = g->first_error;
    g->first_error = SPI_OK;
    pthread_mutex_unlock(&g->lock);
    return err ? spi_fail(err, "%s", g->message) : SPI_OK;
}

double spi_graph_seconds(struct spi_graph *g, const char *name)
{
    double s = 0;

    pthread_mutex_lock(&g->lock);
    for (int i = 0; i < MAX_NAMES && g->clock[i].name; i++)
        if (strcmp(g->clock[i].name, name) == 0) {
            s = g->clock[i].seconds;
            g->clock[i].seconds = 0;
        }
    pthread_mutex_unlock(&g->lock);
    return s;
}

spi_err spi_graph_trace(struct spi_graph *g, const char *path)
{
    return spi_trace_new(path, &g->trace);
}

spi_err spi_graph_trace_end(struct spi_graph *g)
{
    struct spi_trace *t = g->trace;

    if (!t)
        return SPI_OK;
    g->engine->wait(g->self);
    note_wait(g, spi_now_s(), spi_cpu_s() - g->caller_cpu_s); /* what came after the last */
    g->trace = NULL;
    return spi_trace_finish_take(t);
}
