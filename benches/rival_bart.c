/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rival_bart.c, of benches/rival.h: BART's nonuniform transform, run as a program. */
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "math/rot.h"
#include "rival.h"

extern char **environ;

/* Names of the files: NAME.hdr with the dimensions, NAME.cfl with complex floats. */
enum { NAME = 64 };

static bool write_header(const char *name, int64_t a, int64_t b, int64_t c)
{
    char path[NAME + 8];
    FILE *f;

    snprintf(path, sizeof path, "%s.hdr", name);
    f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f, "# Dimensions\n%lld %lld %lld\n", (long long)a, (long long)b, (long long)c);
    return fclose(f) == 0;
}

static FILE *open_values(const char *name, const char *mode)
{
    char path[NAME + 8];

    snprintf(path, sizeof path, "%s.cfl", name);
    return fopen(path, mode);
}

static bool write_values(const char *name, int64_t n, const float complex *v)
{
    FILE *f = open_values(name, "wb");
    bool ok = f && fwrite(v, sizeof *v, (size_t)n, f) == (size_t)n;

    return f && fclose(f) == 0 && ok;
}

static bool read_values(const char *name, int64_t n, float complex *v)
{
    FILE *f = open_values(name, "rb");
    bool ok = f && fread(v, sizeof *v, (size_t)n, f) == (size_t)n;

    if (f)
        fclose(f);
    return ok;
}

/* Radians -> its unit, m / (2 pi); three complex numbers a point. */
static bool write_points(const char *name, const struct rival_job *job)
{
    FILE *f = open_values(name, "wb");
    float scale = (float)(job->m / (2 * SPI_PI));
    bool ok = f;

    for (int64_t i = 0; i < job->n && ok; i++) {
        float at[6] = {job->x[0][i] * scale, 0, job->x[1][i] * scale, 0,
                       job->x[2][i] * scale, 0};

        ok = fwrite(at, sizeof at, 1, f) == 1;
    }
    return f && fclose(f) == 0 && ok && write_header(name, 3, job->n, 1);
}

static bool run(const struct rival_job *job, char *const *argv, double *seconds)
{
    posix_spawn_file_actions_t quiet;
    char threads[16];
    double start = clock_s(job->cpu_time, job->n_threads);
    int status = -1;
    pid_t pid;
    bool ok;

    snprintf(threads, sizeof threads, "%d", job->n_threads);
    setenv("OMP_NUM_THREADS", threads, 1);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ok = posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) == 0 &&
         waitpid(pid, &status, 0) == pid && status == 0;
    posix_spawn_file_actions_destroy(&quiet);
    unsetenv("OMP_NUM_THREADS");
    *seconds = clock_s(job->cpu_time, job->n_threads) - start;
    return ok;
}

bool bart_run(const struct rival_job *job, double *seconds)
{
    char bart[] = "bart", nufft[] = "nufft", adjoint[] = "-a", dims[] = "-d", size[48];
    char dir[] = "/tmp/bench_bart_XXXXXX", points[NAME], from[NAME], to[NAME],
         file[NAME + 8];
    char *forward[] = {bart, nufft, points, from, to, NULL};
    char *back[] = {bart, nufft, adjoint, dims, size, points, from, to, NULL};
    int64_t modes = (int64_t)job->m * job->m * job->m;
    bool type1 = job->type == 1, ok = mkdtemp(dir);

    snprintf(size, sizeof size, "%d:%d:%d", job->m, job->m, job->m);
    snprintf(points, sizeof points, "%s/points", dir);
    snprintf(from, sizeof from, "%s/from", dir);
    snprintf(to, sizeof to, "%s/to", dir);
    ok = ok && write_points(points, job) &&
         (type1 ? write_header(from, 1, job->n, 1)
                : write_header(from, job->m, job->m, job->m)) &&
         write_values(from, type1 ? job->n : modes, type1 ? job->c : job->f) &&
         run(job, type1 ? back : forward, seconds) &&
         read_values(to, type1 ? modes : job->n, type1 ? job->f : job->c);
    if (ok) /* its transforms are unitary on a full grid */
        for (int64_t i = 0; i < (type1 ? modes : job->n); i++)
            (type1 ? job->f : job->c)[i] *= sqrtf((float)modes);
    for (int i = 0; i < 6; i++) {
        snprintf(file, sizeof file, "%s.%s",
                 i < 2   ? points
                 : i < 4 ? from
                         : to,
                 i % 2 ? "hdr" : "cfl");
        unlink(file);
    }
    rmdir(dir);
    if (!ok)
        fputs("bart: not found, or it failed; skipped\n", stderr);
    return ok;
}
