/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE /* sched_getaffinity */
#include "task/graph.h"

#include <cblas.h>
#include <pthread.h>
#include <sched.h>
#include <starpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"

enum { MAX_NAMES = 32, MESSAGE = 1024 };

struct spi_region {
    void *data;
    starpu_data_handle_t handle; /* NULL in the serial engine */
    struct spi_region *next, *prev;
};

struct spi_graph {
    bool serial, pending; /* pending: tasks were submitted since the last wait */
    int workers;
    struct spi_region *regions;
    pthread_mutex_t lock; /* of everything below */
    spi_err first_error;
    char message[MESSAGE];
    struct {
        const char *name;
        double seconds;
    } clock[MAX_NAMES];
    const volatile int *stop;
};

static const volatile int never;

/* What a task carries besides its regions. */
struct packet {
    struct spi_graph *g;
    spi_task_fn *fn;
    const char *name;
    void *arg;
    int n;
};

static void note_time(struct spi_graph *g, const char *name, double s)
{
    pthread_mutex_lock(&g->lock);
    for (int i = 0; i < MAX_NAMES; i++) {
        if (!g->clock[i].name)
            g->clock[i].name = name;
        if (strcmp(g->clock[i].name, name) == 0) {
            g->clock[i].seconds += s;
            break;
        }
    }
    pthread_mutex_unlock(&g->lock);
}

static void run(struct packet *p, void *const *data)
{
    struct spi_graph *g = p->g;
    spi_err err;

    pthread_mutex_lock(&g->lock);
    err = g->first_error;
    pthread_mutex_unlock(&g->lock);
    if (err)
        return;

    double t0 = spi_now_s();

    err = *g->stop ? spi_fail(SPI_ECANCEL, "stopped on request")
                   : p->fn(data, p->arg, g->stop);
    note_time(g, p->name, spi_now_s() - t0);
    if (!err)
        return;
    pthread_mutex_lock(&g->lock);
    if (!g->first_error) {
        g->first_error = err;
        snprintf(g->message, sizeof g->message, "%s", spi_err_message());
    }
    pthread_mutex_unlock(&g->lock);
}

static void codelet_cpu(void *buffers[], void *arg)
{
    struct packet *p = arg;
    void *data[64];

    for (int i = 0; i < p->n; i++)
        data[i] = (void *)STARPU_VECTOR_GET_PTR(buffers[i]);
    run(p, data);
}

static struct starpu_codelet codelet = {
    .name = "spinifel",
    .cpu_funcs = {codelet_cpu},
    .nbuffers = STARPU_VARIABLE_NBUFFERS,
};

/* StarPU calibrates the machine and keeps what it found in files.  They go to a private
 * folder, for it aborts where it cannot write, where another user's files lie or where the
 * path is longer than its buffers. */
static spi_err make_scratch(char dir[SPI_PATH_MAX])
{
    enum { LONGEST = 160 }; /* StarPU appends .starpu/sampling/..., 256 characters in all */
    spi_err err = spi_scratch_make(LONGEST, dir);

    if (err)
        return err;
    setenv("STARPU_HOME", dir, 1);
    unsetenv("STARPU_PERF_MODEL_DIR");
    setenv("STARPU_SILENT", "1", 0);
    return SPI_OK;
}

/* Cores that this process may run on. */
static int cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* asked 0: one per core. */
static void tell_limit(const struct spi_graph *g, int asked)
{
    int want = asked > 0 ? asked : cores();

    if (want > g->workers && g->workers == STARPU_MAXCPUS)
        spi_info("%d workers are used, not %d: the StarPU library of this system was built "
                 "for at most %d in a process (STARPU_MAXCPUS)",
                 g->workers, want, STARPU_MAXCPUS);
}

static spi_err start_starpu(struct spi_graph *g, int asked)
{
    struct starpu_conf conf;
    char scratch[SPI_PATH_MAX] = "";
    spi_err err;

    SPI_TRY(err = make_scratch(scratch), out);
    if (asked > 0) /* two runs side by side would bind their workers to the same cores */
        setenv("STARPU_WORKERS_NOBIND", "1", 0);
    starpu_conf_init(&conf);
    if (asked > 0)
        conf.ncpus = asked < STARPU_MAXCPUS ? asked : STARPU_MAXCPUS;
    conf.ncuda = 0;
    conf.nopencl = 0;
    conf.sched_policy_name = "lws";
    conf.precedence_over_environment_variables = asked > 0; /* what was asked counts */
    if (starpu_init(&conf) != 0) {
        err = spi_fail(SPI_EIO, "StarPU does not start; --set runtime.backend=serial runs "
                                "without it");
        goto out;
    }
    g->workers = (int)starpu_cpu_worker_get_count();
    starpu_pause(); /* idle workers spin: they run only inside _wait */
    tell_limit(g, asked);
out:
    spi_scratch_remove(scratch); /* nothing is read or written there after the start */
    return err;
}

spi_err spi_graph_new(bool serial, int workers, const volatile int *stop,
                      struct spi_graph **out)
{
    struct spi_graph *g = NULL;
    spi_err err = SPI_NEW(g, 1, "task graph");

    *out = NULL;
    if (err)
        return err;
    g->serial = serial;
    g->stop = stop ? stop : &never;
    openblas_set_num_threads(1); /* the workers are the parallelism */
    g->workers = 1;
    if (!serial && (err = start_starpu(g, workers)) != SPI_OK) {
        free(g);
        return err;
    }
    pthread_mutex_init(&g->lock, NULL);
    *out = g;
    return SPI_OK;
}

void spi_graph_free(struct spi_graph *g)
{
    if (!g)
        return;
    if (!g->serial) {
        starpu_resume();
        starpu_task_wait_for_all();
        g->pending = false;
    }
    while (g->regions)
        spi_region_free(g, g->regions);
    if (!g->serial)
        starpu_shutdown();
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

    *out = r;
    if (err)
        return err;
    r->data = data;
    if (!g->serial)
        starpu_vector_data_register(&r->handle, STARPU_MAIN_RAM, (uintptr_t)data,
                                    bytes ? (uint32_t)((bytes + 63) / 64) : 1, 64);
    r->next = g->regions;
    if (r->next)
        r->next->prev = r;
    g->regions = r;
    return SPI_OK;
}

void spi_region_free(struct spi_graph *g, struct spi_region *r)
{
    if (!r)
        return;
    if (r->handle) { /* waits for the tasks on it, so somebody must run them */
        if (g->pending)
            starpu_resume();
        starpu_data_unregister(r->handle);
        if (g->pending)
            starpu_pause();
    }
    if (r->prev)
        r->prev->next = r->next;
    else
        g->regions = r->next;
    if (r->next)
        r->next->prev = r->prev;
    free(r);
}

static enum starpu_data_access_mode mode_of(enum spi_privilege p)
{
    return p == SPI_READ ? STARPU_R : p == SPI_WRITE ? STARPU_W : STARPU_RW;
}

static void release(void *arg)
{
    free(arg);
}

static spi_err submit_starpu(struct packet *p, int n, const struct spi_access *access)
{
    struct starpu_task *t = starpu_task_create();

    t->cl = &codelet;
    t->name = p->name;
    t->cl_arg = p;
    t->callback_func = release;
    t->callback_arg = p;
    t->nbuffers = n;
    if (n > STARPU_NMAXBUFS) {
        spi_err err = SPI_NEW(t->dyn_handles, n, p->name);

        err = err ? err : SPI_NEW(t->dyn_modes, n, p->name);
        if (err) {
            t->destroy = 0;
            starpu_task_destroy(t); /* releases both lists */
            return err;
        }
    }
    for (int i = 0; i < n; i++)
        if (n > STARPU_NMAXBUFS) {
            t->dyn_handles[i] = access[i].region->handle;
            t->dyn_modes[i] = mode_of(access[i].privilege);
        } else {
            t->handles[i] = access[i].region->handle;
            t->modes[i] = mode_of(access[i].privilege);
        }
    p->g->pending = true;
    if (starpu_task_submit(t) != 0) {
        t->destroy = 0;
        starpu_task_destroy(t);
        return spi_fail(SPI_EIO, "task %s: StarPU refuses it", p->name);
    }
    return SPI_OK;
}

spi_err spi_graph_submit(struct spi_graph *g, const char *name, spi_task_fn *fn,
                         const void *arg, size_t arg_size, int n,
                         const struct spi_access *access)
{
    struct packet *p = spi_alloc(1, (sizeof *p + 63) / 64 * 64 + arg_size, "task");

    if (!p)
        return SPI_ENOMEM;
    *p = (struct packet){.g = g,
                         .fn = fn,
                         .name = name,
                         .n = n,
                         .arg = (char *)p + (sizeof *p + 63) / 64 * 64};
    if (arg_size)
        memcpy(p->arg, arg, arg_size);
    if (n > 64) {
        free(p);
        return spi_fail(SPI_EINVAL, "task %s: %d regions; at most 64", name, n);
    }
    if (!g->serial) {
        spi_err err = submit_starpu(p, n, access);

        if (err)
            free(p);
        return err;
    }

    void *data[64];

    for (int i = 0; i < n; i++)
        data[i] = access[i].region->data;
    run(p, data);
    free(p);
    return SPI_OK;
}

spi_err spi_graph_wait(struct spi_graph *g)
{
    if (!g->serial) {
        starpu_resume();
        starpu_task_wait_for_all();
        starpu_pause();
        g->pending = false;
    }
    pthread_mutex_lock(&g->lock);

    spi_err err = g->first_error;

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
