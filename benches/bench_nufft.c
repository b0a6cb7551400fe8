/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nonuniform transforms: ours beside the machine's bound and beside FINUFFT.
 *   bench_nufft [--op OP] [--modes M] [--tol T] [--images N] [--threads N] [--repeats N]
 *               [--rival finufft|bart|none] [--cpu-time] [--limit X]
 * One JSON line a case on standard output; what is not asked for runs through its list.
 * Planning, sorting and FFTs are inside every time (slice1 excepted: see there).  Exit 1 if
 * an error is above X times its tolerance.  --cpu-time: on a machine with other work, CPU
 * time over threads in place of time (set OMP_WAIT_POLICY=passive).  doc/limits.md
 * tells what the fields mean.
 */
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "machine.h"
#include "nufft/general.h"
#include "nufft/nufft.h"
#include "rival.h"
#include "workload.h"

enum { POINTS_CHECKED = 48, REPEATS_MAX = 31, ONE_SLICE_CALLS = 64 };

struct job {
    const struct workload *w;
    int m, n;          /* modes per axis; the even number that our slicing takes */
    const char *rival; /* finufft, bart or none */
    int rival_m;       /* its modes per axis */
    double tol;
    int n_threads;
    bool cpu_time;
    float *A;                        /* [n^3] real, even */
    float complex *f, *f_A, *f_even; /* [m^3] random; [n^3], [m^3]: A as complex numbers */
    float *values;                   /* [points] slices */
    float *sums[2];                  /* [n^3] merged data, weights */
    float complex *c, *F;            /* [points], [m^3]: of complex transforms */
    int k[SAMPLE][3];
    /* sums over the points as they are and as rounded, at k and at -k; and which are known
     */
    double complex exact[2][2][SAMPLE];
    bool have[2][2];
};

/* What one side did. */
struct result {
    double seconds, fixed_s; /* least; fixed: FFTs, whatever the number of points */
    double execute_s;        /* theirs: without plan and sort */
    double error;
    int width, fine;  /* ours */
    int build;        /* theirs */
    double cpu_share; /* CPU time over time and threads: what the machine left us */
};

/* ---- our side: each fills seconds[0] (all) and [1] (all but the points' part) ------- */

static double job_clock(const struct job *j)
{
    return clock_s(j->cpu_time, j->n_threads);
}

static spi_err our_slice(struct job *j, double *seconds, struct result *r)
{
    double start = job_clock(j), t;
    spi_nufft *plan = NULL;
    spi_points *points = NULL;
    float *grid = NULL;
    spi_err err;

    SPI_TRY(err = spi_nufft_new(j->n, 1, j->tol, &plan), out);
    spi_nufft_set_threads(plan, j->n_threads);
    SPI_TRY(err = spi_nufft_grid_new(plan, 1, &grid), out);
    SPI_TRY(err = spi_nufft_prepare(plan, j->A, grid), out);
    t = job_clock(j);
    SPI_TRY(err =
                spi_points_new(plan, WORKLOAD_PIXELS, (const float(*)[3])j->w->q, &points),
            out);
    err =
        spi_nufft_slice(points, grid, j->w->images, (const double(*)[9])j->w->M, j->values);
    r->width = spi_nufft_width(plan);
    r->fine = spi_nufft_fine(plan);
    seconds[1] = t - start;
out:
    spi_points_free(points);
    free(grid);
    spi_nufft_free(plan);
    seconds[0] = job_clock(j) - start;
    return err;
}

static spi_err our_merge(struct job *j, double *seconds, struct result *r)
{
    double start = job_clock(j), t, ready;
    spi_nufft *plan = NULL;
    spi_points *points = NULL;
    float *grid = NULL;
    spi_err err;

    SPI_TRY(err = spi_nufft_new(j->n, 1, j->tol, &plan), out);
    spi_nufft_set_threads(plan, j->n_threads);
    SPI_TRY(err = spi_nufft_grid_new(plan, 2, &grid), out);
    ready = job_clock(j);
    SPI_TRY(err =
                spi_points_new(plan, WORKLOAD_PIXELS, (const float(*)[3])j->w->q, &points),
            out);
    SPI_TRY(err = spi_nufft_spread(points, grid, j->w->images, (const double(*)[9])j->w->M,
                                   (const float(*)[2])j->w->c),
            out);
    t = job_clock(j);
    SPI_TRY(err = spi_nufft_collect_both(plan, grid, j->n, j->sums[0], j->n, j->sums[1]),
            out);
    r->width = spi_nufft_width(plan);
    r->fine = spi_nufft_fine(plan);
    seconds[1] = job_clock(j) - t + ready - start;
out:
    spi_points_free(points);
    free(grid);
    spi_nufft_free(plan);
    seconds[0] = job_clock(j) - start;
    return err;
}

/* One slice of a model that is already prepared: the mean over a row of single calls. */
static spi_err our_slice1(struct job *j, double *seconds, struct result *r)
{
    spi_nufft *plan = NULL;
    spi_points *points = NULL;
    float *grid = NULL;
    spi_packed *kept = NULL;
    double start;
    spi_err err;

    SPI_TRY(err = spi_nufft_new(j->n, 1, j->tol, &plan), out);
    spi_nufft_set_threads(plan, j->n_threads);
    SPI_TRY(err = spi_nufft_grid_new(plan, 1, &grid), out);
    SPI_TRY(err = spi_nufft_prepare(plan, j->A, grid), out);
    SPI_TRY(err = spi_packed_new(plan, grid, &kept), out);
    SPI_TRY(err =
                spi_points_new(plan, WORKLOAD_PIXELS, (const float(*)[3])j->w->q, &points),
            out);
    start = job_clock(j);
    for (int i = ONE_SLICE_CALLS; i-- > 0;)
        SPI_TRY(err = spi_packed_slice(points, kept, 1,
                                       (const double(*)[9])j->w->M + i % j->w->images,
                                       j->values),
                out);
    seconds[0] = (job_clock(j) - start) / ONE_SLICE_CALLS;
    seconds[1] = 0;
    r->width = spi_nufft_width(plan);
    r->fine = spi_nufft_fine(plan);
out:
    spi_points_free(points);
    spi_packed_free(kept);
    free(grid);
    spi_nufft_free(plan);
    return err;
}

static spi_err general(struct job *j, int type, int64_t n, double *seconds,
                       struct result *r)
{
    struct spi_nu_spec spec = {
        .dim = 3, .modes = {j->m, j->m, j->m}, .tol = j->tol, .n_threads = j->n_threads};
    double start = job_clock(j);
    spi_nuplan_f32 *plan = NULL;
    spi_err err;

    SPI_TRY(err = spi_nuplan_new_f32(&spec, &plan), out);
    SPI_TRY(err = spi_nuplan_points_f32(plan, n, j->w->x[0], j->w->x[1], j->w->x[2]), out);
    err = type == 1 ? spi_nuplan_type1_f32(plan, +1, 1, j->w->c, j->F)
                    : spi_nuplan_type2_f32(plan, +1, 1, j->f, j->c);
    r->width = spi_nuplan_choice_f32(plan).width;
    r->fine = spi_nuplan_choice_f32(plan).fine[0];
out:
    spi_nuplan_free_f32(plan);
    *seconds = job_clock(j) - start;
    return err;
}

/* A transform of one point is the part that does not depend on the points. */
static spi_err our_type1(struct job *j, double *seconds, struct result *r)
{
    spi_err err = general(j, 1, 1, seconds + 1, r);

    return err ? err : general(j, 1, j->w->n, seconds, r);
}

static spi_err our_type2(struct job *j, double *seconds, struct result *r)
{
    spi_err err = general(j, 2, 1, seconds + 1, r);

    return err ? err : general(j, 2, j->w->n, seconds, r);
}

/* ---- errors: relative l2 at a sample ------------------------------------------------ */

static double points_error(const struct job *j, int m, const float complex *f, bool rounded,
                           int64_t n, const float *real, const float complex *complex_)
{
    double off = 0, all = 0;

    for (int i = 0; i < POINTS_CHECKED; i++) {
        int64_t at = n * i / POINTS_CHECKED + i;
        double x[3];

        workload_point(j->w, at, rounded, x);

        double complex ref = exact_value(m, f, x);
        double complex value = real ? (double)real[at] : (double complex)complex_[at];

        off += creal((value - ref) * conj(value - ref));
        all += creal(ref * conj(ref));
    }
    return sqrt(off / all);
}

/* What is at mode k of our merging and of a packed complex transform: data + i weight. */
static double complex merged(const struct job *j, const int k[3])
{
    int64_t n = j->n, at = ((k[2] + n / 2) * n + k[1] + n / 2) * n + k[0] + n / 2;

    return CMPLX((double)j->sums[0][at], (double)j->sums[1][at]);
}

static double complex mode(const struct job *j, int64_t m, const int k[3], int sign)
{
    int64_t c = m / 2;

    return (double complex)
        j->F[((c + sign * k[2]) * m + c + sign * k[1]) * m + c + sign * k[0]];
}

enum merged { OURS, PACKED, PLAIN };

/* The sums of cosines are half the values at k and at -k. */
static double modes_error(struct job *j, int m, enum merged what)
{
    double off = 0, all = 0;
    bool rounded = what != OURS;

    for (int back = 0; back < (what == PLAIN ? 1 : 2); back++)
        if (!j->have[rounded][back]) {
            exact_modes(j->w, rounded, back ? -1 : 1, (const int(*)[3])j->k,
                        j->exact[rounded][back]);
            j->have[rounded][back] = true;
        }
    for (int i = 0; i < SAMPLE; i++) {
        const double complex(*exact)[SAMPLE] = j->exact[rounded];
        double complex ref = exact[0][i], value;

        if (what == PLAIN) {
            value = mode(j, m, j->k[i], 1);
        } else {
            ref = (ref + exact[1][i]) / 2;
            value = what == OURS ? merged(j, j->k[i])
                                 : (mode(j, m, j->k[i], 1) + mode(j, m, j->k[i], -1)) / 2;
        }
        off += creal((value - ref) * conj(value - ref));
        all += creal(ref * conj(ref));
    }
    return sqrt(off / all);
}

static double slice_error(struct job *j)
{
    return points_error(j, j->n, j->f_A, false, j->w->n, j->values, NULL);
}

static double slice1_error(struct job *j)
{
    return points_error(j, j->n, j->f_A, false, WORKLOAD_PIXELS, j->values, NULL);
}

static double merge_error(struct job *j)
{
    return modes_error(j, j->n, OURS);
}

static double type1_error(struct job *j)
{
    return modes_error(j, j->m, PLAIN);
}

static double type2_error(struct job *j)
{
    return points_error(j, j->m, j->f, true, j->w->n, NULL, j->c);
}

/* ---- the cases ---------------------------------------------------------------------- */

static const struct op {
    const char *name;
    spi_err (*run)(struct job *j, double *seconds, struct result *r);
    double (*error)(struct job *j);
    int type, comp; /* comp: reals at a point of the grid */
    bool even;      /* transforms of the even A; of any f otherwise */
} ops[] = {
    {"slice", our_slice, slice_error, 2, 1, true},
    {"merge", our_merge, merge_error, 1, 2, true},
    {"slice1", our_slice1, slice1_error, 2, 1, true},
    {"type1", our_type1, type1_error, 1, 2, false},
    {"type2", our_type2, type2_error, 2, 2, false},
};
enum { N_OPS = sizeof ops / sizeof *ops };

static int64_t points_of(const struct op *op, const struct job *j)
{
    return op->run == our_slice1 ? WORKLOAD_PIXELS : j->w->n;
}

static bool by_bart(const struct job *j)
{
    return !strcmp(j->rival, "bart");
}

/* Of one image of a model FINUFFT's plan is given away: it could be kept. */
static bool rival(int build, const struct op *op, struct job *j, double *seconds)
{
    struct rival_job job = {.type = op->type,
                            .m = j->rival_m,
                            .n_threads = j->n_threads,
                            .cpu_time = j->cpu_time,
                            .tol = j->tol,
                            .n = points_of(op, j),
                            .x = j->w->x,
                            .c = op->type == 1 ? j->w->c : j->c,
                            .f = op->type == 1 ? j->F
                                 : op->even    ? j->f_even
                                               : j->f};
    double t[RIVAL_TIMES];
    bool ok;

    if (by_bart(j))
        return bart_run(&job, seconds);
    ok = finufft_run(build, &job, t);
    seconds[0] = t[op->run == our_slice1 ? RIVAL_KEPT_PLAN : RIVAL_ALL];
    seconds[1] = t[RIVAL_EXECUTE];
    return ok;
}

static double rival_error(const struct op *op, struct job *j)
{
    if (op->type == 1)
        return modes_error(j, j->rival_m, op->even ? PACKED : PLAIN);
    return points_error(j, j->rival_m, op->even ? j->f_even : j->f, true, points_of(op, j),
                        NULL, j->c);
}

struct options {
    const char *op;
    int m, threads, repeats;
    int64_t images;
    double tol, limit;
    bool cpu_time;
    const char *rival;
};

/* Until the threads that the other side may have left spinning are asleep (OpenMP: a few
 * milliseconds). */
static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

/* Ours and each build of the rival in turn, `repeats` times.  What else runs on the machine
 * only ever adds: the least time is kept. */
static spi_err measure(const struct options *o, const struct op *op, struct job *j,
                       struct result *our, struct result *their)
{
    bool bart = by_bart(j) && op->even && op->run != our_slice1;
    int builds = !strcmp(j->rival, "finufft") ? finufft_count() : bart;
    spi_err err = SPI_OK;

    *our = (struct result){.seconds = INFINITY, .fixed_s = INFINITY};
    *their = (struct result){.seconds = INFINITY, .build = -1};
    for (int i = 0; i < o->repeats; i++) {
        double seconds[2], wall, cpu;

        rest();
        wall = now_s(), cpu = cpu_s();
        SPI_TRY(err = op->run(j, seconds, our), out);
        if (seconds[0] < our->seconds)
            our->cpu_share = (cpu_s() - cpu) / (now_s() - wall) / j->n_threads;
        our->seconds = fmin(our->seconds, seconds[0]);
        our->fixed_s = fmin(our->fixed_s, seconds[1]);
        if (i == 0)
            our->error = op->error(j);
        for (int b = 0; b < builds; b++) {
            rest();
            wall = now_s(), cpu = cpu_s();
            if (!rival(b, op, j, seconds) || seconds[0] >= their->seconds)
                continue;
            their->cpu_share = (cpu_s() - cpu) / (now_s() - wall) / j->n_threads;
            their->seconds = seconds[0];
            their->execute_s = seconds[1];
            if (i == 0) /* of either build: they differ in their FFT only */
                their->error = rival_error(op, j);
            their->build = b;
        }
    }
out:
    return err;
}

static void print_machine(const struct machine *m)
{
    printf(
        "{\"op\": \"machine\", \"GHz\": %.2f, \"fma_per_ns\": %.1f, \"l1_B_per_ns\": %.0f, "
        "\"l2_B_per_ns\": %.0f, \"memory_B_per_ns\": %.0f}\n",
        m->ghz, m->fma_per_ns, m->l1_B_per_ns, m->l2_B_per_ns, m->memory_B_per_ns);
    fflush(stdout);
}

static void print_case(const struct op *op, const struct job *j, const struct machine *m,
                       const struct result *our, const struct result *their)
{
    double n = (double)points_of(op, j), rate = n / our->seconds;
    double ns = 1e9 * (our->seconds - our->fixed_s) * j->n_threads / n;
    double bound = op->type == 1 ? machine_spread_bound(m, our->width, op->comp)
                                 : machine_interp_bound(m, our->width, op->comp);

    printf("{\"op\": \"%s\", \"M\": %d, \"tol\": %g, \"threads\": %d, \"images\": %lld, "
           "\"points_per_s\": %.4g, \"error\": %.3g, \"width\": %d, \"fine\": %d, "
           "\"fft_share\": %.3f, \"ns_per_point\": %.3g, \"bound_ns_per_point\": %.3g, "
           "\"share_of_bound\": %.3f, \"cpu_share\": %.2f",
           op->name, j->m, j->tol, j->n_threads,
           (long long)(points_of(op, j) / WORKLOAD_PIXELS), rate, our->error, our->width,
           our->fine, our->fixed_s / our->seconds, ns, bound, bound / ns, our->cpu_share);
    if (their->build >= 0)
        printf(", \"rival\": \"%s\", \"rival_points_per_s\": %.4g, \"rival_error\": %.3g, "
               "\"rival_cpu_share\": %.2f, \"ratio\": %.3g",
               by_bart(j) ? "bart" : finufft_name(their->build), n / their->seconds,
               their->error, their->cpu_share, their->seconds / our->seconds);
    if (their->build >= 0 && op->run == our_slice1)
        printf(", \"ratio_execute\": %.3g", their->execute_s / our->seconds);
    puts("}");
    fflush(stdout);
}

static void job_clear(struct job *j)
{
    free(j->A);
    free(j->f);
    free(j->f_A);
    free(j->f_even);
    free(j->values);
    free(j->sums[0]);
    free(j->sums[1]);
    free(j->c);
    free(j->F);
    *j = (struct job){0};
}

/* The even modes as complex numbers, on our grid and on the rival's. */
static void even_copies(struct job *j)
{
    int64_t n = j->n, m = j->rival_m, at = 0;

    for (int64_t i = 0; i < n * n * n; i++)
        j->f_A[i] = j->A[i];
    for (int64_t z = n - m; z < n; z++)
        for (int64_t y = n - m; y < n; y++)
            for (int64_t x = n - m; x < n; x++)
                j->f_even[at++] = j->A[(z * n + y) * n + x];
}

static spi_err job_init(const struct options *o, const struct workload *w, int m,
                        struct job *j)
{
    int64_t n = m + m % 2;
    spi_err err;

    bool bart = !strcmp(o->rival, "bart");
    *j = (struct job){.w = w,
                      .m = m,
                      .n = (int)n,
                      .rival = o->rival,
                      .cpu_time = o->cpu_time,
                      .rival_m = bart ? (int)n : m};
    SPI_TRY(err = workload_even_modes(j->n, &j->A), out);
    SPI_TRY(err = workload_modes(m, &j->f), out);
    SPI_TRY(err = SPI_NEW(j->f_A, n * n * n, "bench"), out);
    SPI_TRY(err = SPI_NEW(j->f_even, n * n * n, "bench"), out);
    SPI_TRY(err = SPI_NEW(j->values, w->n, "bench"), out);
    SPI_TRY(err = SPI_NEW(j->c, w->n, "bench"), out);
    SPI_TRY(err = SPI_NEW(j->F, n * n * n, "bench"), out);
    for (int c = 0; c < 2; c++)
        SPI_TRY(err = SPI_NEW(j->sums[c], n * n * n, "bench"), out);
    even_copies(j);
    sample_modes(m, j->k);
out:
    if (err)
        job_clear(j);
    return err;
}

/* All cases at one number of images and modes; false if an error was too large. */
static spi_err cases(const struct options *o, const struct machine *machine, struct job *j,
                     bool *good)
{
    static const double tols[] = {1e-3, 1e-5};
    spi_err err = SPI_OK;

    for (int i = 0; i < N_OPS && !err; i++)
        for (int t = 0; t < 2 && !err; t++)
            for (int threads = 1; threads <= 2 && !err; threads++) {
                struct result our, their;

                if ((o->op && strcmp(o->op, ops[i].name)) || (o->tol > 0 && t) ||
                    (o->threads && threads > 1))
                    continue;
                j->tol = o->tol > 0 ? o->tol : tols[t];
                j->n_threads = o->threads ? o->threads : threads;
                err = measure(o, ops + i, j, &our, &their);
                if (err)
                    break;
                print_case(ops + i, j, machine, &our, &their);
                if (!(our.error <= o->limit * j->tol)) {
                    fprintf(stderr, "bench_nufft: %s: error %g, tolerance %g\n",
                            ops[i].name, our.error, j->tol);
                    *good = false;
                }
            }
    return err;
}

static spi_err all(const struct options *o, bool *good)
{
    static const int sizes[] = {65, 81, 151};
    static const int64_t numbers[] = {100, 1000};
    struct machine machine;
    spi_err err = machine_measure(&machine);

    if (!err)
        print_machine(&machine);
    for (int i = 0; i < 2 && !err; i++) {
        struct workload w;

        if (o->images && i)
            break;
        err = workload_init(o->images ? o->images : numbers[i], &w);
        for (int s = 0; s < 3 && !err; s++) {
            struct job j;

            if (o->m && s)
                break;
            SPI_TRY(err = job_init(o, &w, o->m ? o->m : sizes[s], &j), out);
            err = cases(o, &machine, &j, good);
            job_clear(&j);
        }
    out:
        workload_clear(&w);
    }
    return err;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = argv[i + 1];

        if (!strcmp(name, "--cpu-time")) {
            o->cpu_time = true;
            continue;
        }
        if (!value)
            return false;
        i++;
        if (!strcmp(name, "--op"))
            o->op = value;
        else if (!strcmp(name, "--modes"))
            o->m = atoi(value);
        else if (!strcmp(name, "--tol"))
            o->tol = atof(value);
        else if (!strcmp(name, "--images"))
            o->images = atoi(value);
        else if (!strcmp(name, "--threads"))
            o->threads = atoi(value);
        else if (!strcmp(name, "--repeats"))
            o->repeats = atoi(value);
        else if (!strcmp(name, "--rival"))
            o->rival = value;
        else if (!strcmp(name, "--limit"))
            o->limit = atof(value);
        else
            return false;
    }
    return o->repeats >= 1 && o->repeats <= REPEATS_MAX && o->images >= 0 && o->m >= 0 &&
           (!o->m || o->m >= SAMPLE_RUN + 2) && o->m <= 1000;
}

int main(int argc, char **argv)
{
    struct options o = {.repeats = 8, .limit = 2, .rival = "finufft"};
    bool good = true;

    if (!parse(argc, argv, &o)) {
        fputs("usage: bench_nufft [--op slice|merge|slice1|type1|type2] [--modes M] [--tol "
              "T]\n"
              "  [--images N] [--threads N] [--repeats N] "
              "[--rival finufft|bart|none]\n  [--cpu-time] [--limit X]\n",
              stderr);
        return 2;
    }
    /* keep what is freed: page faults of fresh memory would count against the side that
     * allocates a grid in every transform */
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1); /* never */
    if (all(&o, &good)) {
        fprintf(stderr, "bench_nufft: %s\n", spi_err_message());
        return 1;
    }
    return good ? 0 : 1;
}
