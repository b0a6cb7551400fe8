/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine `starpu`: the StarPU library, which was made for clusters and devices.  No
 * other file uses it. */
#include <starpu.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "task/engine.h"

#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

static bool
    pending; /* tasks were submitted since the last wait; StarPU too is one a process */

/* What StarPU hands to the codelet. */
struct packet {
    struct spi_task *task;
};

static void codelet_cpu(void *buffers[], void *arg)
{
    const struct packet *p = arg;

    (void)buffers;
    spi_task_run(p->task);
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

static spi_err start(int workers, void **self, int *got, const char **why)
{
    struct starpu_conf conf;
    char scratch[SPI_PATH_MAX] = "";
    spi_err err;

    *self = NULL;
    SPI_TRY(err = make_scratch(scratch), out);
    /* two runs side by side would bind their workers to the same cores */
    setenv("STARPU_WORKERS_NOBIND", "1", 0);
    starpu_conf_init(&conf);
    conf.ncpus = workers < STARPU_MAXCPUS ? workers : STARPU_MAXCPUS;
    conf.ncuda = 0;
    conf.nopencl = 0;
    conf.sched_policy_name = "lws";
    conf.precedence_over_environment_variables = 1; /* what was asked counts */
    if (starpu_init(&conf) != 0) {
        err = spi_fail(SPI_EIO, "StarPU does not start; --set runtime.backend=threads runs "
                                "without it");
        goto out;
    }
    *got = (int)starpu_cpu_worker_get_count();
    *why = "the StarPU library of this system was built for at most " VALUE(
        STARPU_MAXCPUS) " in a process (STARPU_MAXCPUS); --set runtime.backend=threads has "
                        "no such limit";
    starpu_pause(); /* idle workers spin: they run only inside wait */
out:
    spi_scratch_remove(scratch); /* nothing is read or written there after the start */
    return err;
}

static void stop(void *self)
{
    (void)self;
    starpu_resume();
    starpu_shutdown();
}

static void wait_all(void *self)
{
    (void)self;
    starpu_resume();
    starpu_task_wait_for_all();
    starpu_pause();
    pending = false;
}

/* StarPU only keeps the order: a region is a byte that nobody looks at. */
static spi_err region_new(void *self, void **region)
{
    static char byte;
    starpu_data_handle_t handle;

    (void)self;
    starpu_variable_data_register(&handle, STARPU_MAIN_RAM, (uintptr_t)&byte, sizeof byte);
    *region = handle;
    return SPI_OK;
}

static void region_free(void *self, void *region)
{
    (void)self;
    if (pending) /* unregister waits for the tasks on it, so somebody must run them */
        starpu_resume();
    starpu_data_unregister(region);
    if (pending)
        starpu_pause();
}

static enum starpu_data_access_mode mode_of(enum spi_privilege p)
{
    return p == SPI_READ ? STARPU_R : p == SPI_WRITE ? STARPU_W : STARPU_RW;
}

static void release(void *arg)
{
    free(arg);
}

static spi_err submit(void *self, struct spi_task *task, int n,
                      const struct spi_engine_access *access)
{
    struct packet *p = NULL;
    struct starpu_task *t = NULL;
    spi_err err = SPI_NEW(p, 1, "task");

    (void)self;
    SPI_TRY(err, fail);
    *p = (struct packet){task};
    t = starpu_task_create();
    t->cl = &codelet;
    t->name = spi_task_name(task);
    t->cl_arg = p;
    t->callback_func = release;
    t->callback_arg = p;
    t->nbuffers = n;
    if (n > STARPU_NMAXBUFS) {
        SPI_TRY(err = SPI_NEW(t->dyn_handles, n, "task"), fail);
        SPI_TRY(err = SPI_NEW(t->dyn_modes, n, "task"), fail);
    }
    for (int i = 0; i < n; i++)
        if (n > STARPU_NMAXBUFS) {
            t->dyn_handles[i] = access[i].region;
            t->dyn_modes[i] = mode_of(access[i].privilege);
        } else {
            t->handles[i] = access[i].region;
            t->modes[i] = mode_of(access[i].privilege);
        }
    pending = true;
    if (starpu_task_submit(t) == 0)
        return SPI_OK;
    err = spi_fail(SPI_EIO, "task %s: StarPU refuses it", spi_task_name(task));
fail:
    if (t) {
        t->destroy = 0;
        starpu_task_destroy(t); /* releases both lists */
    }
    free(p);
    return err;
}

const struct spi_engine spi_engine_starpu = {.name = "starpu",
                                             .start = start,
                                             .stop = stop,
                                             .region_new = region_new,
                                             .region_free = region_free,
                                             .submit = submit,
                                             .wait = wait_all};
