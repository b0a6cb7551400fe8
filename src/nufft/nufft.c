/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nufft/nufft.h"

#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "kernel/clones.h"
#include "kernel/two_reals.h"
#include "math/fft.h"
#include "math/fft_plans.h"
#include "nufft/plan.h"

static const double pi = 3.14159265358979323846;

/* The rms error of all modes on three axes, (N7), with the best beta of a few. */
static double error_of(int w, int n, int nf, double *beta)
{
    double best = INFINITY, centre = pi * w * (1 - 0.5 * n / nf);

    *beta = centre;

    for (int i = 0; i < 9; i++) {
        double b = centre * (0.94 + 0.01 * i), e = sqrt(3 * spi_kaiser_error2(w, b, n, nf));

        if (e < best) {
            best = e;
            *beta = b;
        }
    }
    return best;
}

/* The narrowest window that reaches tol on a grid of at most twice the modes, and the
 * smallest such grid. */
static void choose(spi_nufft *p, double tol)
{
    const int most = spi_fft_good_size(2 * p->n);
    double beta;

    for (int w = SPI_KAISER_W_MIN; w <= SPI_TAPS_MAX; w++) {
        if (w < SPI_TAPS_MAX && error_of(w, p->n, most, &beta) > tol)
            continue; /* on no smaller grid either */
        for (p->nf = spi_fft_good_size((int)(1.2 * p->n)); p->nf <= most;
             p->nf = spi_fft_good_size(p->nf + 2)) {
            /* the widest on the largest grid serves every tol that is allowed */
            bool last = w == SPI_TAPS_MAX && p->nf == most;

            if (error_of(w, p->n, p->nf, &beta) <= tol || last) {
                spi_taps_init(&p->taps, w, beta);
                return;
            }
        }
    }
}

spi_err spi_nufft_new(int n, double dx, double tol, spi_nufft **out)
{
    spi_err err;
    spi_nufft *p = NULL;

    *out = NULL;
    if (n < 4 || n > 1024 || n % 2)
        return spi_fail(SPI_EINVAL,
                        "nufft: %d modes per axis; need an even number in 4..1024", n);
    if (!(tol >= 1e-6 && tol <= 0.1) || !(dx > 0))
        return spi_fail(SPI_EINVAL, "nufft: tol is %g, dx %g; need 1e-6..0.1, dx > 0", tol,
                        dx);
    SPI_TRY(err = SPI_NEW(p, 1, "nufft plan"), fail);
    p->n = n;
    p->dx = dx;
    p->threads = 1;
    choose(p, tol);
    p->side = p->nf + 2 * MARGIN;
    p->pitch = (p->side + 15) / 16 * 16;
    p->planes = Z_LOW + p->nf / 2 + MARGIN;
    SPI_TRY(err = SPI_NEW(p->deconv, n, "nufft plan"), fail);
    for (int i = 1; i < n; i++)
        p->deconv[i] = 1 / spi_kaiser_transform(p->taps.w, p->taps.window.beta,
                                                (double)(i - n / 2) / p->nf);
    *out = p;
    return SPI_OK;
fail:
    spi_nufft_free(p);
    return err;
}

void spi_nufft_free(spi_nufft *p)
{
    if (!p)
        return;
    free(p->deconv);
    free(p);
}

void spi_nufft_set_threads(spi_nufft *p, int n)
{
    p->threads = n < 1 ? 1 : n;
}

double spi_nufft_scale(const spi_nufft *p)
{
    return p->nf * p->dx;
}

double spi_nufft_spacing(const spi_nufft *p)
{
    return p->dx;
}

int spi_nufft_fine(const spi_nufft *p)
{
    return p->nf;
}

int spi_nufft_width(const spi_nufft *p)
{
    return p->taps.w;
}

size_t spi_nufft_grid_floats(const spi_nufft *p, int comp)
{
    return (size_t)p->planes * (size_t)p->side * (size_t)p->pitch * (size_t)comp;
}

/* Planes of zeros: each thread its own, so that their pages are spread over the machine. */
struct blank {
    float *grid;
    size_t floats; /* of a plane */
};

static void clear_plane(void *ctx, int rank, int64_t task)
{
    const struct blank *b = ctx;

    (void)rank;
    memset(b->grid + (size_t)task * b->floats, 0, b->floats * sizeof *b->grid);
}

spi_err spi_nufft_grid_new(const spi_nufft *p, int comp, float **grid)
{
    size_t n = spi_nufft_grid_floats(p, comp);
    struct blank b = {spi_alloc_unset(n, sizeof **grid, "nufft fine grid"),
                      n / (size_t)p->planes};

    *grid = b.grid;
    if (!b.grid)
        return SPI_ENOMEM;
    spi_parallel_for(p->threads, p->planes, clear_plane, &b);
    return SPI_OK;
}

/* ---- the transforms between modes and fine grid -------------------------------------- */

/* (N9): A is even, so after the transforms over z and y the half x >= 0 is enough, and a
 * transform over x from Hermitian data gives real values; and z -> k_z of real data needs
 * k_z >= 0 only.  Zeros are never transformed: lines over z for the n/2 n pairs (x, y),
 * then plane by plane n/2 lines over y and nf over x.  Merging runs the same stages
 * backwards. */

enum { ROWS = 8 }; /* lines over x at once */

/* A component of the grid on its way from or to modes. */
struct part {
    int comp;              /* collect: of two */
    int m, h;              /* modes used per axis; m/2 */
    float *modes;          /* collect: out [m]^3 */
    float complex *middle; /* [nf/2 + 1][m][h], x >= 0 */
};

struct job {
    const spi_nufft *plan;
    const float *A;    /* prepare: in */
    float *grid;       /* prepare: out */
    const float *from; /* collect: in, two components */
    struct part part[2];
    int parts, h; /* h: the largest of the parts */
    struct spi_rooms scratch;
    struct spi_failure failure;
};

static double deconv(const spi_nufft *p, int m, int i)
{
    return i ? p->deconv[i + p->n / 2 - m / 2] : 0;
}

/* FFT index of mode i - m/2. */
static int wrapped(const spi_nufft *p, int m, int i)
{
    int k = i - m / 2;

    return k < 0 ? k + p->nf : k;
}

/* Scratch of a thread: a block of lines over z, or the planes of two components,
 * columns, lines and ROWS rows. */
static spi_err run(struct job *job, spi_parallel_fn *first, int64_t n_first,
                   spi_parallel_fn *second, int64_t n_second)
{
    const spi_nufft *p = job->plan;
    spi_err err = SPI_OK;
    size_t nf = (size_t)p->nf, h;

    for (int i = 0; i < job->parts; i++) {
        struct part *part = &job->part[i];

        job->h = part->h > job->h ? part->h : job->h;
        SPI_TRY(err =
                    SPI_NEW(part->middle, (nf / 2 + 1) * (size_t)part->m * (size_t)part->h,
                            "nufft transform"),
                out);
    }

    h = (size_t)job->h;

    size_t block = nf * h * sizeof(float) + (nf / 2 + 1) * h * sizeof(float complex) + 64;
    size_t plane = 2 * nf * h * sizeof(float complex) +
                   ROWS * (nf * sizeof(float) + (nf / 2 + 1) * sizeof(float complex)) +
                   2 * nf * nf * sizeof(float) + 192;

    SPI_TRY(err = spi_rooms_init(&job->scratch, p->threads, block > plane ? block : plane,
                                 "nufft transform"),
            out);
    spi_parallel_for(p->threads, n_first, first, job);
    SPI_TRY(err = spi_failure_end(&job->failure), out);
    spi_parallel_for(p->threads, n_second, second, job);
    err = spi_failure_end(&job->failure);
out:
    spi_rooms_clear(&job->scratch);
    for (int i = 0; i < job->parts; i++)
        free(job->part[i].middle);
    return err;
}

/* The scratch of a thread; NULL: there is no memory. */
static char *scratch_of(struct job *job, int rank)
{
    char *scratch = spi_rooms_of(&job->scratch, rank);

    if (!scratch)
        spi_failure_note(&job->failure, SPI_ENOMEM);
    return scratch;
}

/* A part of it. */
static void *scratch_at(char *scratch, size_t offset)
{
    return scratch + (offset + 63) / 64 * 64;
}

/* What the work on a plane needs of it. */
struct plane_scratch {
    float complex *columns, *lines; /* [nf][h], [h][nf] */
    float complex *half;            /* [ROWS][nf/2 + 1] */
    float *real;                    /* [ROWS][nf] */
    float *plane;                   /* [2][nf][nf]: collect */
};

static struct plane_scratch plane_scratch(const struct job *job, char *scratch)
{
    size_t nf = (size_t)job->plan->nf, h = (size_t)job->h, hf = nf / 2 + 1;
    size_t one = sizeof(float complex);
    float *real = scratch_at(scratch, (2 * nf * h + ROWS * hf) * one + 128);

    return (struct plane_scratch){.columns = scratch_at(scratch, 0),
                                  .lines = scratch_at(scratch, nf * h * one),
                                  .half = scratch_at(scratch, 2 * nf * h * one + 64),
                                  .real = real,
                                  .plane = real + ROWS * nf};
}

/* Lines over z of one y = task + 1: real [nf][h] -> [nf/2 + 1][h]. */
static void prepare_lines(void *ctx, int rank, int64_t task)
{
    struct job *job = ctx;
    const spi_nufft *p = job->plan;
    float complex *middle = job->part[0].middle;
    int n = p->n, h = n / 2, y = (int)task + 1;
    size_t nf = (size_t)p->nf;
    char *scratch = scratch_of(job, rank);

    if (!scratch)
        return;

    float *real = scratch_at(scratch, 0);
    float complex *half = scratch_at(scratch, nf * (size_t)h * sizeof *real);

    memset(real, 0, nf * (size_t)h * sizeof *real);
    for (int z = 1; z < n; z++) {
        const float *from =
            job->A + ((size_t)z * (size_t)n + (size_t)y) * (size_t)n + (size_t)n / 2;
        float *to = real + (size_t)wrapped(p, n, z) * (size_t)h;
        double d = deconv(p, n, z) * deconv(p, n, y);

        /* the signs centre the grid: (-1)^y, (-1)^x */
        for (int x = 0; x < h; x++)
            to[x] = (float)((x + y + h) % 2 ? -d * deconv(p, n, x + h)
                                            : d * deconv(p, n, x + h)) *
                    from[x];
    }

    spi_failure_note(&job->failure, spi_fft1_columns_r2c(p->nf, h, real, half));
    for (size_t k = 0; k <= nf / 2; k++)
        memcpy(middle + (k * (size_t)n + (size_t)y) * (size_t)h, half + k * (size_t)h,
               (size_t)h * sizeof *half);
}

/* The margins of a plane whose inner [nf][nf] is filled: W is periodic. */
static void wrap_plane(const spi_nufft *p, float *plane)
{
    size_t pitch = (size_t)p->pitch, nf = (size_t)p->nf;

    for (size_t y = MARGIN; y < MARGIN + nf; y++) {
        float *row = plane + y * pitch;

        for (size_t x = 0; x < MARGIN; x++) {
            row[MARGIN - 1 - x] = row[MARGIN + nf - 1 - x % nf];
            row[MARGIN + nf + x] = row[MARGIN + x % nf];
        }
    }
    for (size_t y = 0; y < MARGIN; y++) {
        memcpy(plane + (MARGIN - 1 - y) * pitch, plane + (MARGIN + nf - 1 - y % nf) * pitch,
               pitch * sizeof *plane);
        memcpy(plane + (MARGIN + nf + y) * pitch, plane + (MARGIN + y % nf) * pitch,
               pitch * sizeof *plane);
    }
}

/* One plane k_z = task: lines over y, then over x, into the grid. */
static void prepare_plane(void *ctx, int rank, int64_t task)
{
    struct job *job = ctx;
    const spi_nufft *p = job->plan;
    size_t n = (size_t)p->n, nf = (size_t)p->nf, h = n / 2, hf = nf / 2 + 1;
    char *scratch = scratch_of(job, rank);
    float *plane =
        job->grid + ((size_t)Z_LOW + (size_t)task) * (size_t)p->side * (size_t)p->pitch;
    spi_err err;

    if (!scratch)
        return;

    struct plane_scratch t = plane_scratch(job, scratch);

    memset(t.columns, 0, nf * h * sizeof *t.columns);
    for (size_t y = 1; y < n; y++)
        memcpy(t.columns + (size_t)wrapped(p, p->n, (int)y) * h,
               job->part[0].middle + ((size_t)task * n + y) * h, h * sizeof *t.columns);
    SPI_TRY(err = spi_fft_lines(SPI_FFT_FWD_IN, p->nf, (int)h, (int)h, t.columns, t.lines),
            out);
    for (size_t y0 = 0; y0 < nf; y0 += ROWS) {
        size_t rows = nf - y0 < ROWS ? nf - y0 : ROWS;

        memset(t.half, 0, ROWS * hf * sizeof *t.half);
        /* the transform to real values has the other sign: conjugate */
        for (size_t x = 0; x < h; x++)
            for (size_t r = 0; r < rows; r++)
                t.half[r * hf + x] = conjf(t.lines[x * nf + y0 + r]);
        SPI_TRY(err = spi_fft1_c2r(p->nf, ROWS, t.half, t.real), out);
        for (size_t r = 0; r < rows; r++)
            memcpy(plane + (MARGIN + y0 + r) * (size_t)p->pitch + MARGIN, t.real + r * nf,
                   nf * sizeof *t.real);
    }
    wrap_plane(p, plane);
out:
    spi_failure_note(&job->failure, err);
}

/* The plane that stands for plane z: its number, or minus it if it is to be taken at (-y,
 * -x), because W(-q) = W(q). */
static int stand_in(const spi_nufft *p, int z, bool *mirrored)
{
    int k = (z % p->nf + p->nf) % p->nf;

    *mirrored = k > p->nf / 2;
    return *mirrored ? p->nf - k : k;
}

/* A plane below 0 or above nf/2. */
static void copy_plane(void *ctx, int rank, int64_t task)
{
    const struct job *job = ctx;
    const spi_nufft *p = job->plan;
    int z = task < Z_LOW ? -1 - (int)task : p->nf / 2 + 1 + (int)task - Z_LOW;
    size_t pitch = (size_t)p->pitch, size = (size_t)p->side * pitch, nf = (size_t)p->nf;
    bool mirrored;
    const float *from = job->grid + (size_t)(Z_LOW + stand_in(p, z, &mirrored)) * size;
    float *to = job->grid + (size_t)(Z_LOW + z) * size;

    (void)rank;
    if (!mirrored) {
        memcpy(to, from, size * sizeof *to);
        return;
    }
    /* inner index i is u = i - nf/2; -u has index nf - i */
    for (size_t y = 0; y < nf; y++) {
        float *t = to + (MARGIN + y) * pitch + MARGIN;
        const float *f = from + (MARGIN + (nf - y) % nf) * pitch + MARGIN;

        t[0] = f[0];
        for (size_t x = 1; x < nf; x++)
            t[x] = f[nf - x];
    }
    wrap_plane(p, to);
}

spi_err spi_nufft_prepare(const spi_nufft *p, const float *A, float *grid)
{
    struct job job = {
        .plan = p, .A = A, .grid = grid, .parts = 1, .part = {{.m = p->n, .h = p->n / 2}}};
    spi_err err = run(&job, prepare_lines, p->n - 1, prepare_plane, p->nf / 2 + 1);

    if (!err)
        spi_parallel_for(p->threads, p->planes - p->nf / 2 - 1, copy_plane, &job);
    return err;
}

/* to0, to1[nf] += both components of a row with margins, taken at -x if mirrored. */
SPI_CLONES static void add_row(int nf, const float *restrict from, bool mirrored,
                               float *restrict to0, float *restrict to1)
{
    const float *inner = from + 2 * MARGIN;

    if (!mirrored) {
#pragma omp simd
        for (int x = 0; x < nf; x++) {
            to0[x] += inner[2 * x];
            to1[x] += inner[2 * x + 1];
        }
    } else {
        to0[0] += inner[0];
        to1[0] += inner[1];
#pragma omp simd
        for (int x = 1; x < nf; x++) {
            to0[nf - x] += inner[2 * x];
            to1[nf - x] += inner[2 * x + 1];
        }
    }
    for (int x = 0; x < MARGIN; x++) {
        int lo = nf - 1 - x % nf, hi = x % nf; /* inner places of -1 - x and nf + x */

        lo = mirrored ? (nf - lo) % nf : lo;
        hi = mirrored ? (nf - hi) % nf : hi;
        to0[lo] += from[2 * (MARGIN - 1 - x)];
        to1[lo] += from[2 * (MARGIN - 1 - x) + 1];
        to0[hi] += inner[2 * (nf + x)];
        to1[hi] += inner[2 * (nf + x) + 1];
    }
}

/* plane[2][nf][nf] = both components of all planes of the grid that stand for k_z. */
static void fold_plane(const struct job *job, int k_z, float *plane)
{
    const spi_nufft *p = job->plan;
    size_t nf = (size_t)p->nf;

    memset(plane, 0, 2 * nf * nf * sizeof *plane);
    for (int z = 0; z < p->planes; z++) {
        bool mirrored;

        if (stand_in(p, z - Z_LOW, &mirrored) != k_z)
            continue;
        for (int y = 0; y < p->side; y++) {
            int i = ((y - MARGIN) % p->nf + p->nf) % p->nf;
            size_t row = (size_t)z * (size_t)p->side + (size_t)y;
            float *to = plane + (size_t)(mirrored && i ? p->nf - i : i) * nf;

            add_row(p->nf, job->from + 2 * row * (size_t)p->pitch, mirrored, to,
                    to + nf * nf);
        }
    }
}

/* One plane k_z = task of a component: lines over x, then over y. */
static spi_err collect_part(const struct job *job, const struct part *part, int64_t k_z,
                            const struct plane_scratch *t)
{
    const spi_nufft *p = job->plan;
    size_t nf = (size_t)p->nf, m = (size_t)part->m, h = (size_t)part->h, hf = nf / 2 + 1;
    float complex *to = part->middle + (size_t)k_z * m * h;
    const float *plane = t->plane + (size_t)part->comp * nf * nf;
    spi_err err;

    for (size_t y0 = 0; y0 < nf; y0 += ROWS) {
        size_t rows = nf - y0 < ROWS ? nf - y0 : ROWS;

        memcpy(t->real, plane + y0 * nf, rows * nf * sizeof *t->real);
        SPI_TRY(err = spi_fft1_r2c(p->nf, ROWS, t->real, t->half), out);
        for (size_t r = 0; r < rows; r++)
            memcpy(t->columns + (y0 + r) * h, t->half + r * hf, h * sizeof *t->half);
    }
    SPI_TRY(err =
                spi_fft_lines(SPI_FFT_FWD_IN, p->nf, (int)h, (int)h, t->columns, t->lines),
            out);
    /* modes y = -m/2 ... -1 stand at the end of the lines, 0 ... at their beginning */
    spi_transpose_lines((int)(m / 2), (int)h, t->lines + nf - m / 2, nf, to, h);
    spi_transpose_lines((int)(m / 2), (int)h, t->lines, nf, to + m / 2 * h, h);
out:
    return err;
}

static void collect_plane(void *ctx, int rank, int64_t task)
{
    struct job *job = ctx;
    char *scratch = scratch_of(job, rank);

    if (!scratch)
        return;

    struct plane_scratch t = plane_scratch(job, scratch);

    fold_plane(job, (int)task, t.plane);
    for (int i = 0; i < job->parts; i++)
        spi_failure_note(&job->failure, collect_part(job, &job->part[i], task, &t));
}

/* Lines over z of one y, and the modes (z, y, x >= 0) and their twins. */
static spi_err collect_part_lines(const spi_nufft *p, const struct part *part, int y,
                                  float *real, float complex *half)
{
    int nf = p->nf, m = part->m, h = part->h;
    spi_err err;

    for (int k = 0; k <= nf / 2; k++) {
        const float complex *from =
            part->middle + ((size_t)k * (size_t)m + (size_t)y) * (size_t)h;
        bool once = k == 0 || k == nf / 2;

        /* the sum of k and -k is the real part; conjugate for the other sign */
        for (int x = 0; x < h; x++)
            half[k * h + x] = once ? crealf(from[x]) : 0.5F * conjf(from[x]);
    }
    SPI_TRY(err = spi_fft1_columns_c2r(nf, h, half, real), out);
    for (int z = 1; z < m; z++)
        for (int x = 0; x < h; x++) {
            double d = deconv(p, m, z) * deconv(p, m, y) * deconv(p, m, x + h);
            float v = (float)((x + y + h) % 2 ? -d : d) * real[wrapped(p, m, z) * h + x];
            float *modes = part->modes;

            modes[((size_t)z * (size_t)m + (size_t)y) * (size_t)m + (size_t)(h + x)] = v;
            if (x > 0)
                modes[((size_t)(m - z) * (size_t)m + (size_t)(m - y)) * (size_t)m +
                      (size_t)(h - x)] = v;
        }
out:
    return err;
}

/* The lines of the first part, y = task + 1, then those of the second. */
static void collect_lines(void *ctx, int rank, int64_t task)
{
    struct job *job = ctx;
    int64_t first = job->part[0].m - 1;
    const struct part *part = &job->part[task < first ? 0 : 1];
    int y = (int)(task < first ? task : task - first) + 1;
    char *scratch = scratch_of(job, rank);

    if (!scratch)
        return;

    float *real = scratch_at(scratch, 0);
    float complex *half =
        scratch_at(scratch, (size_t)job->plan->nf * (size_t)part->h * sizeof *real);

    spi_failure_note(&job->failure, collect_part_lines(job->plan, part, y, real, half));
}

static spi_err collect(const spi_nufft *p, const float *grid, int parts,
                       const struct part part[2])
{
    struct job job = {.plan = p, .from = grid, .parts = parts};
    int64_t lines = 0;

    for (int i = 0; i < parts; i++) {
        size_t m = (size_t)part[i].m;

        job.part[i] = part[i];
        lines += part[i].m - 1;
        memset(part[i].modes, 0, m * m * m * sizeof *part[i].modes);
    }
    return run(&job, collect_plane, p->nf / 2 + 1, collect_lines, lines);
}

spi_err spi_nufft_collect(const spi_nufft *p, const float *grid, int c, int m, float *modes)
{
    struct part part[2] = {{.comp = c, .m = m, .h = m / 2, .modes = modes}};

    return collect(p, grid, 1, part);
}

spi_err spi_nufft_collect_both(const spi_nufft *p, const float *grid, int m0, float *modes0,
                               int m1, float *modes1)
{
    struct part part[2] = {{.comp = 0, .m = m0, .h = m0 / 2, .modes = modes0},
                           {.comp = 1, .m = m1, .h = m1 / 2, .modes = modes1}};

    return collect(p, grid, 2, part);
}
