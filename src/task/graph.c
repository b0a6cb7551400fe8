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
#include "base/parallel.h"
#include "task/array_priv.h"
#include "task/copies.h"
#include "task/trace.h"

enum { MAX_NAMES = 32, ALIGN = 64 };

const struct spi_engine *const spi_engine_table[] = {
    &spi_engine_threads, &spi_engine_starpu, &spi_engine_serial, &spi_engine_copies, NULL};

struct spi_graph {
    const struct spi_engine *engine;
    void *self; /* of the engine */
    int workers;
    struct spi_array *arrays;
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
    struct spi_note between; /* of its loops since then */
};

static const volatile int never;
static _Thread_local bool inside_task; /* tasks neither submit nor wait */

struct spi_task {
    struct spi_graph *g;
    spi_task_fn *fn;
    const char *name;
    void *arg;
    int64_t number, wait;
    int n;
    struct spi_access *access; /* [n] */
    int n_regions;
    int64_t *region; /* [n_regions] numbers, or NULL: not traced */
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
                       double wall_s, double cpu_s, const struct spi_note *note)
{
    struct spi_trace_task done = {.task = t->number,
                                  .wait = t->wait,
                                  .name = t->name,
                                  .start_s = start - g->t0,
                                  .wall_s = wall_s,
                                  .cpu_s = cpu_s + note->helped_s,
                                  .note = note,
                                  .n = t->n_regions,
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

static void look(const struct spi_access *access, struct spi_view *v)
{
    struct spi_array *a = access->array;
    size_t at;

    *v = (struct spi_view){0};
    if (a->ragged && access->part == SPI_WHOLE) {
        v->piece = a->piece;
    } else if (a->ragged) {
        v->data = a->piece[access->part].data;
        v->n = a->piece[access->part].n;
        v->given = access->privilege != SPI_READ ? &a->piece[access->part] : NULL;
    } else {
        v->n = spi_array_elements(a, access->part, &at);
        v->data = (char *)a->base + at;
    }
}

static spi_err call(const struct spi_task *t)
{
    struct spi_view v[SPI_ACCESSES_MAX];

    if (t->g->engine->copies)
        return spi_copies_run(t->g, t->name, t->fn, t->arg, t->g->stop, t->n, t->access);
    for (int i = 0; i < t->n; i++)
        look(&t->access[i], &v[i]);
    return t->fn(v, t->arg, t->g->stop);
}

void spi_task_run(struct spi_task *t)
{
    struct spi_graph *g = t->g;
    struct spi_note note = {0}, *before = NULL;
    double t0, cpu0, t1;
    spi_err err;

    if (failed_before(g)) {
        free(t);
        return;
    }
    t0 = spi_now_s();
    cpu0 = t->region ? spi_cpu_s() : 0;
    if (t->region)
        before = spi_note_begin(&note);
    inside_task = true;
    spi_threads_begin();
    err = *g->stop ? spi_fail(SPI_ECANCEL, "stopped on request") : call(t);
    spi_threads_end();
    inside_task = false;
    if (t->region)
        spi_note_begin(before);
    t1 = spi_now_s();

    pthread_mutex_lock(&g->lock);
    note_time(g, t->name, t1 - t0);
    if (t->region && g->trace)
        note_trace(g, t, t0, t1 - t0, spi_cpu_s() - cpu0, &note);
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

/* The name that counts. */
static const char *name_of(const char *engine)
{
    const char *instead = getenv("SPI_ENGINE");

    return instead && *instead ? instead : engine;
}

spi_err spi_graph_check_engine(const char *name)
{
    const char *engine = name_of(name);
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
    g->engine = spi_engine_find(name_of(engine));
    g->stop = stop ? stop : &never;
    g->t0 = g->last_s = spi_now_s();
    g->caller = pthread_self();
    openblas_set_num_threads(1); /* the workers are the parallelism */
    SPI_TRY(err = g->engine->start(want, &g->self, &g->workers, &why), fail);
    pthread_mutex_init(&g->lock, NULL);
    spi_threads_admit(g->workers);
    spi_threads_begin(); /* this thread, but for its waits */
    if (g->workers < want && why)
        spi_info("%d worker%s used, not %d: %s", g->workers,
                 g->workers == 1 ? " is" : "s are", want, why);
    *out = g;
    return SPI_OK;
fail:
    free(g);
    return err;
}

/* Every task.  This thread works as one of the workers, not beside them. */
static void run_all(struct spi_graph *g)
{
    spi_threads_end();
    g->engine->wait(g->self);
    spi_threads_begin();
}

void spi_graph_free(struct spi_graph *g)
{
    if (!g)
        return;
    run_all(g);
    while (g->arrays)
        spi_array_free(g, g->arrays);
    g->engine->stop(g->self);
    spi_threads_end();
    spi_threads_admit(-g->workers);
    if (g->trace)
        spi_note_begin(NULL);
    spi_trace_drop(g->trace);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

int spi_graph_workers(const struct spi_graph *g)
{
    return g->workers;
}

/* ---- regions ------------------------------------------------------------------------ */

const struct spi_engine *spi_graph_engine(const struct spi_graph *g)
{
    return g->engine;
}

struct spi_array **spi_graph_arrays(struct spi_graph *g)
{
    return &g->arrays;
}

spi_err spi_graph_region(struct spi_graph *g, struct spi_region *r)
{
    spi_err err = g->engine->region_new(g->self, &r->of_engine);

    if (!err)
        r->number = g->n_regions++;
    return err;
}

void spi_graph_region_free(struct spi_graph *g, struct spi_region *r)
{
    if (r->number >= 0) {
        spi_threads_end(); /* tasks on it run first */
        g->engine->region_free(g->self, r->of_engine);
        spi_threads_begin();
    }
    r->number = -1;
}

/* ---- submission --------------------------------------------------------------------- */

/* The regions of a task, each once. */
struct named {
    int n;
    struct spi_region *region[SPI_REGIONS_MAX];
    enum spi_privilege privilege[SPI_REGIONS_MAX];
};

static void name_region(struct named *to, struct spi_region *r, enum spi_privilege p)
{
    for (int i = 0; i < to->n; i++)
        if (to->region[i] == r)
            return; /* two parts of one array: `whole` is read for both */
    to->region[to->n] = r;
    to->privilege[to->n++] = p;
}

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* One piece of memory: the task, its accesses, its arguments and, when traced, the numbers
 * of its regions. */
static spi_err make_task(struct spi_graph *g, const char *name, spi_task_fn *fn,
                         const void *arg, size_t arg_size, int n,
                         const struct spi_access *access, const struct named *named,
                         struct spi_task **out)
{
    size_t at_access = rounded(sizeof **out),
           at_arg = at_access + rounded((size_t)n * sizeof *access),
           at_region = at_arg + rounded(arg_size);
    size_t size = at_region + (g->trace ? (size_t)named->n * sizeof(int64_t) : 0);
    struct spi_task *t = spi_alloc(1, size, "task");

    if (!t)
        return SPI_ENOMEM;
    *t = (struct spi_task){.g = g,
                           .fn = fn,
                           .name = name,
                           .arg = (char *)t + at_arg,
                           .number = g->n_tasks++,
                           .wait = g->n_waits,
                           .n = n,
                           .access = (struct spi_access *)(void *)((char *)t + at_access),
                           .n_regions = named->n};
    if (arg_size)
        memcpy(t->arg, arg, arg_size);
    if (n)
        memcpy(t->access, access, (size_t)n * sizeof *access);
    if (g->trace)
        t->region = (int64_t *)(void *)((char *)t + at_region);
    for (int i = 0; i < named->n && g->trace; i++) {
        t->region[i] = named->region[i]->number;
        t->privilege[i] = (unsigned char)named->privilege[i];
    }
    *out = t;
    return SPI_OK;
}

static spi_err submit(struct spi_graph *g, const char *name, spi_task_fn *fn,
                      const void *arg, size_t arg_size, int n,
                      const struct spi_access *access, const struct named *named)
{
    struct spi_engine_access list[SPI_REGIONS_MAX];
    struct spi_task *t;
    spi_err err = make_task(g, name, fn, arg, arg_size, n, access, named, &t);

    if (err)
        return err;
    for (int i = 0; i < named->n; i++)
        list[i] =
            (struct spi_engine_access){named->region[i]->of_engine, named->privilege[i]};
    if ((err = g->engine->submit(g->self, t, named->n, list)) != SPI_OK)
        free(t);
    return err;
}

static spi_err do_nothing(struct spi_view *v, const void *arg, const volatile int *stop)
{
    (void)v;
    (void)arg;
    (void)stop;
    return SPI_OK;
}

/* Tasks that name parts read `whole` together, and so do tasks that read all parts.  An
 * empty task that writes `whole` keeps the ones from the others. */
static spi_err fence(struct spi_graph *g, const char *name, struct spi_array *a)
{
    struct named all = {.n = 0};

    name_region(&all, &a->whole, SPI_READ_WRITE);
    a->parts_written = a->whole_read = false;
    return submit(g, name, do_nothing, NULL, 0, 0, NULL, &all);
}

/* The regions of one access. */
static spi_err name_access(struct spi_graph *g, const char *task,
                           const struct spi_access *access, struct named *to)
{
    struct spi_array *a = access->array;
    enum spi_privilege p = access->privilege;
    spi_err err = SPI_OK;

    if (!a->part) {
        name_region(to, &a->whole, p);
    } else if (access->part != SPI_WHOLE) {
        if (p != SPI_READ && a->whole_read)
            err = fence(g, task, a);
        a->parts_written |= p != SPI_READ;
        name_region(to, &a->whole, SPI_READ);
        name_region(to, &a->part[access->part], p);
    } else {
        if (p == SPI_READ && a->parts_written)
            err = fence(g, task, a);
        a->whole_read |= p == SPI_READ;
        if (p != SPI_READ)
            a->parts_written = a->whole_read = false;
        name_region(to, &a->whole, p);
    }
    return err;
}

static bool same_memory(const struct spi_access *a, const struct spi_access *b)
{
    return a->array == b->array && (!a->array->part || a->part == b->part ||
                                    a->part == SPI_WHOLE || b->part == SPI_WHOLE);
}

spi_err spi_graph_submit(struct spi_graph *g, const char *name, spi_task_fn *fn,
                         const void *arg, size_t arg_size, int n,
                         const struct spi_access *access)
{
    struct named named = {.n = 0};
    spi_err err = SPI_OK;

    assert(!inside_task);
    if (n > SPI_ACCESSES_MAX)
        return spi_fail(SPI_EINVAL, "task %s: names %d arrays; at most %d", name, n,
                        SPI_ACCESSES_MAX);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (same_memory(&access[i], &access[j]))
                return spi_fail(SPI_EINVAL, "task %s: names array %s twice", name,
                                access[i].array->shape.name);
    for (int i = 0; i < n && !err; i++)
        err = name_access(g, name, &access[i], &named);
    return err ? err : submit(g, name, fn, arg, arg_size, n, access, &named);
}

/* What this thread and those that helped it did since the last wait, without tasks that it
 * ran. */
static void note_wait(struct spi_graph *g, double before_s, double before_cpu_s)
{
    double now = spi_now_s();

    pthread_mutex_lock(&g->lock);
    spi_trace_wait(g->trace, g->n_waits, before_s - g->last_s,
                   before_cpu_s - g->last_cpu_s + g->between.helped_s, now - before_s,
                   &g->between);
    g->between = (struct spi_note){0};
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
    run_all(g);
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
    spi_err err = spi_trace_new(path, &g->trace);

    if (!err)
        spi_note_begin(&g->between);
    return err;
}

spi_err spi_graph_trace_end(struct spi_graph *g)
{
    struct spi_trace *t = g->trace;

    if (!t)
        return SPI_OK;
    run_all(g);
    note_wait(g, spi_now_s(), spi_cpu_s() - g->caller_cpu_s); /* what came after the last */
    g->trace = NULL;
    spi_note_begin(NULL);
    return spi_trace_finish_take(t);
}
