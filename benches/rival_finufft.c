/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rival_finufft.c, of benches/rival.h: FINUFFT, loaded when the bench begins. */
#include <dlfcn.h>
#include <finufft.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "rival.h"

enum { BUILDS_MAX = 4 };

/* Builds of one library have the same names inside: each is opened on its own. */
static struct {
    const char *name;
    __typeof__(finufftf_default_opts) *options;
    __typeof__(finufftf_makeplan) *plan;
    __typeof__(finufftf_setpts) *points;
    __typeof__(finufftf_execute) *execute;
    __typeof__(finufftf_destroy) *destroy;
    void (*fftw_threads)(int); /* NULL: its FFT is not FFTW */
} builds[BUILDS_MAX];

static bool find(void *library, const char *name, void *out)
{
    void *p = dlsym(library, name);

    if (!p)
        fprintf(stderr, "finufft: %s\n", dlerror());
    memcpy(out, &p, sizeof p);
    return p;
}

int finufft_count(void)
{
    static const char *const paths[][2] = {FINUFFT_LIBRARIES}; /* name, file */
    static int count = -1;

    if (count >= 0)
        return count;
    count = 0;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && count < BUILDS_MAX; i++) {
        void *library = dlopen(paths[i][1], RTLD_NOW | RTLD_LOCAL);

        if (!library)
            fprintf(stderr, "finufft: %s\n", dlerror());
        else if (find(library, "finufftf_default_opts", &builds[count].options) &&
                 find(library, "finufftf_makeplan", &builds[count].plan) &&
                 find(library, "finufftf_setpts", &builds[count].points) &&
                 find(library, "finufftf_execute", &builds[count].execute) &&
                 find(library, "finufftf_destroy", &builds[count].destroy)) {
            void *threads = dlsym(library, "fftwf_plan_with_nthreads");

            memcpy(&builds[count].fftw_threads, &threads, sizeof threads);
            builds[count++].name = paths[i][0];
        }
    }
    return count;
}

const char *finufft_name(int i)
{
    return builds[i].name;
}

bool finufft_run(int i, const struct rival_job *job, double seconds[RIVAL_TIMES])
{
    int64_t modes[3] = {job->m, job->m, job->m};
    finufftf_plan plan = NULL;
    finufft_opts options;
    double start = clock_s(job->cpu_time, job->n_threads), planned, ready;
    int rc;

    /* its defaults are its best: sorted where it pays, upsampling chosen by itself */
    builds[i].options(&options);
    options.nthreads = job->n_threads;
    rc = builds[i].plan(job->type, 3, modes, +1, 1, (float)job->tol, &plan, &options);
    planned = clock_s(job->cpu_time, job->n_threads);
    if (rc <= 1) /* 1 is a warning: the tolerance cannot be met */
        rc = builds[i].points(plan, job->n, job->x[0], job->x[1], job->x[2], 0, NULL, NULL,
                              NULL);
    ready = clock_s(job->cpu_time, job->n_threads);
    if (rc <= 1)
        rc = builds[i].execute(plan, job->c, job->f);
    seconds[RIVAL_EXECUTE] = clock_s(job->cpu_time, job->n_threads) - ready;
    seconds[RIVAL_KEPT_PLAN] = clock_s(job->cpu_time, job->n_threads) - planned;
    if (plan)
        builds[i].destroy(plan);
    seconds[RIVAL_ALL] = clock_s(job->cpu_time, job->n_threads) - start;
    /* it sets the threads of all plans of FFTW's one copy in the process, ours too */
    if (builds[i].fftw_threads)
        builds[i].fftw_threads(1);
    if (rc > 1)
        fprintf(stderr, "%s: error %d\n", builds[i].name, rc);
    return rc <= 1;
}
