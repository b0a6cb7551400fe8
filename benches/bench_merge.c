/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Merging as the program does it, from a file of images to the chosen solution.
 *   bench_merge [--op OP] [--modes M] [--tol T] [--images N] [--threads N] [--cpu-time]
 *               [--limit X]
 * One JSON line a case on standard output; what is not asked for runs through its list.
 *   merge          images -> normal equations: reading, spreading, FFTs
 *   lcurve         13 lambdas from one Krylov sequence; rival: one CG each (published)
 *   toeplitz-step  one product H* w H x; rival: through all pixels (published)
 * error: merge: relative l2 error of the right-hand side against double precision, of as
 * many images as can be had twice; the others: difference of the two solutions, or
 * products. Exit 1 if that of merge is above X times its tolerance. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "machine.h"
#include "math/rot.h"
#include "mtip/merging.h"

enum { SIDE = 128, CHECKED = 16, LAMBDAS = 13 };
static const double q_max = 1 / 12.0, wavelength = 4.77; /* half-angle 0.2 rad */

struct job {
    char dir[256], path[300];
    struct spi_graph *graph;
    struct spi_images *images;
    struct spi_pixel_list pixels;
    double (*quat)[4];
    float *fluence;
    int64_t n_images;
    double tol, diameter_A;
    int n_threads;
    bool cpu_time;
    double worst; /* error / tolerance */
};

/* ---- images ------------------------------------------------------------------------- */

static spi_err make_detector(struct spi_detector *d)
{
    spi_err err = spi_detector_init(d, 1, SIDE, SIDE);

    d->wavelength_A = wavelength;
    for (int64_t p = 0; p < d->n_pixels && !err; p++) {
        double half = (SIDE - 1) / 2.0, *q = d->q + 3 * p;
        double x = ((double)(p % SIDE) - half) / half,
               y = ((double)(p / SIDE) - half) / half;
        double r = sqrt(x * x + y * y), length = 0.999 * q_max * r / sqrt(2);
        double qz = -wavelength * length * length / 2;
        double across = sqrt(length * length - qz * qz);

        q[0] = across * x / r;
        q[1] = across * y / r;
        q[2] = qz;
    }
    return err;
}

/* Six Gaussian blobs in an asymmetric place each, 60 A across: W(q). */
static double intensity(const double q[3])
{
    static const double at[6][3] = {{-19, 4, 9}, {14, -15, 6},   {3, 20, -9},
                                    {11, 9, 18}, {-6, -10, -20}, {21, 6, -3}};
    double re = 0, im = 0, q2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];

    for (int i = 0; i < 6; i++) {
        double x = 2 * SPI_PI * (at[i][0] * q[0] + at[i][1] * q[1] + at[i][2] * q[2]);

        re += cos(x);
        im += sin(x);
    }
    return (re * re + im * im) * exp(-4 * SPI_PI * SPI_PI * 16 * q2);
}

/* Photons of it, some 10,000 an image. */
static spi_err make_images(struct job *j)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_detector det = {0};
    struct spi_images_writer *w = NULL;
    struct spi_images_spec spec = {.n_images = j->n_images,
                                   .kind = SPI_PHOTONS,
                                   .max_photons = 255,
                                   .detector = &det,
                                   .provenance_json = "{}"};
    float *image = NULL;
    spi_err err;

    SPI_TRY(err = make_detector(&det), out);
    SPI_TRY(err = SPI_NEW(image, det.n_pixels, "image"), out);
    SPI_TRY(err = SPI_NEW(j->quat, j->n_images, "orientations"), out);
    SPI_TRY(err = SPI_NEW(j->fluence, j->n_images, "fluences"), out);
    SPI_TRY(err = spi_images_create(j->path, &spec, &w), out);
    for (int64_t k = 0; k < j->n_images && !err; k++) {
        struct spi_image_truth t = {.quat = j->quat[k]};
        double R[9], q[3];

        spi_rot_random(&rng, j->quat[k]);
        spi_rot_matrix(j->quat[k], R);
        j->fluence[k] = 1;
        for (int64_t p = 0; p < det.n_pixels; p++) {
            spi_rot_apply_t(R, det.q + 3 * p, q);
            image[p] = (float)spi_rng_poisson(&rng, intensity(q));
        }
        err = spi_images_append(w, 1, image, &t);
    }
    if (err)
        spi_images_abandon(w);
    else
        err = spi_images_finish_take(w);
    SPI_TRY(err, out);
    SPI_TRY(err = spi_images_open(j->path, &j->images), out);
    err = spi_pixel_list_init(&j->pixels, spi_images_detector(j->images), 1e-4, q_max);
out:
    free(image);
    spi_detector_clear(&det);
    return err;
}

/* ---- merging ------------------------------------------------------------------------ */

struct side {
    struct spi_merging m;
    double seconds;
};

static double job_clock(const struct job *j)
{
    return clock_s(j->cpu_time, j->n_threads);
}

static spi_err side_init(const struct job *j, bool direct, bool f64, const float *fluence,
                         struct side *s)
{
    struct spi_merging_spec spec = {.graph = j->graph,
                                    .images = j->images,
                                    .pixels = &j->pixels,
                                    .quat = (const double(*)[4])j->quat,
                                    .fluence = fluence,
                                    .scale = 1,
                                    .diameter_A = j->diameter_A,
                                    .tol = f64 ? 1e-10 : j->tol,
                                    .f64 = f64,
                                    .direct = direct,
                                    .corner_weight = 0.1};
    double t0;
    spi_err err;

    *s = (struct side){0};
    t0 = job_clock(j);
    err = spi_merging_init(&s->m, &spec);
    s->seconds = job_clock(j) - t0;
    return err;
}

static void side_clear(struct side *s)
{
    spi_merging_clear(&s->m);
}

static double relative(int64_t n, const double *x, const double *y)
{
    double diff = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        diff += (x[i] - y[i]) * (x[i] - y[i]);
        norm += y[i] * y[i];
    }
    return sqrt(diff / norm);
}

/* Right-hand sides of the first images in both precisions. */
static spi_err merge_error(const struct job *j, double *error)
{
    struct side single = {0}, twice = {0};
    float *few = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(few, j->n_images, "fluences"), out);
    for (int64_t k = 0; k < j->n_images && k < CHECKED; k++)
        few[k] = 1;
    SPI_TRY(err = side_init(j, false, false, few, &single), out);
    SPI_TRY(err = side_init(j, true, true, few, &twice), out);
    *error = relative(single.m.normal.u.count, single.m.normal.rhs, twice.m.normal.rhs);
out:
    side_clear(&single);
    side_clear(&twice);
    free(few);
    return err;
}

static void print_head(const struct job *j, const char *op, int n)
{
    printf("{\"op\": \"%s\", \"M\": %d, \"tol\": %g, \"images\": %lld, \"threads\": %d, "
           "\"clock\": \"%s\", ",
           op, n, j->tol, (long long)j->n_images, j->n_threads,
           j->cpu_time ? "cpu/threads" : "wall");
}

static spi_err bench_merge(struct job *j)
{
    struct side s;
    double error = 0, points = (double)(j->n_images * j->pixels.n), parts;
    spi_err err = side_init(j, false, false, j->fluence, &s);

    if (!err)
        err = merge_error(j, &error);
    if (!err) {
        const struct spi_merging *m = &s.m;

        parts = s.seconds / (m->read_s + m->spread_s + m->collect_s);
        print_head(j, "merge", m->n);
        printf(
            "\"points_per_s\": %.4g, \"error\": %.3g, \"seconds\": %.4g, \"read_s\": %.4g, "
            "\"spread_s\": %.4g, \"fft_s\": %.4g, \"spread_points_per_s\": %.4g, "
            "\"peak_rss_MB\": %.0f}\n",
            points / s.seconds, error, s.seconds, parts * m->read_s, parts * m->spread_s,
            parts * m->collect_s, points / (parts * m->spread_s),
            (double)spi_peak_rss_bytes() / 1e6);
        j->worst = fmax(j->worst, error / j->tol);
    }
    side_clear(&s);
    return err;
}

static spi_err bench_lcurve(struct job *j)
{
    struct spi_settings set;
    struct spi_cg_options opt = {.n_iter = 30, .tol = 1e-12};
    struct spi_merging_lcurve curve[2] = {0};
    struct spi_cg_report report;
    struct side s;
    float *A[3] = {NULL};
    double t[4], error = 0, norm = 0;
    spi_err err;

    spi_settings_default(&set);
    set.N_lambda = LAMBDAS;
    SPI_TRY(err = side_init(j, false, false, j->fluence, &s), out);

    size_t count = (size_t)s.m.n * (size_t)s.m.n * (size_t)s.m.n;

    for (int i = 0; i < 3; i++)
        SPI_TRY(err = SPI_NEW(A[i], count, "A"), out);
    t[0] = job_clock(j);
    SPI_TRY(err = spi_merging_solve(&s.m, set.lambda_min, &opt, A[0], &report), out);
    t[1] = job_clock(j);
    SPI_TRY(err = spi_merging_solve_lcurve(&s.m, &set, false, &opt, A[1], &curve[0]), out);
    t[2] = job_clock(j);
    SPI_TRY(err = spi_merging_solve_lcurve(&s.m, &set, true, &opt, A[2], &curve[1]), out);
    t[3] = job_clock(j);
    for (size_t i = 0; i < count; i++) {
        error += pow((double)A[1][i] - (double)A[2][i], 2);
        norm += pow((double)A[2][i], 2);
    }
    print_head(j, "lcurve", s.m.n);
    printf(
        "\"lambdas\": %d, \"steps\": %d, \"error\": %.3g, \"same_lambda\": %s, "
        "\"one_solve_s\": %.4g, \"seconds\": %.4g, \"times_one_solve\": %.3f, \"rival\": "
        "\"independent\", \"rival_s\": %.4g, \"ratio\": %.2f}\n",
        LAMBDAS, opt.n_iter, sqrt(error / norm),
        curve[0].choice.index == curve[1].choice.index ? "true" : "false", t[1] - t[0],
        t[2] - t[1], (t[2] - t[1]) / (t[1] - t[0]), t[3] - t[2],
        (t[3] - t[2]) / (t[2] - t[1]));
out:
    spi_merging_lcurve_clear(&curve[0]);
    spi_merging_lcurve_clear(&curve[1]);
    for (int i = 0; i < 3; i++)
        free(A[i]);
    side_clear(&s);
    return err;
}

/* Least of three products of a side; y is the last. */
static spi_err time_product(const struct job *j, const struct side *s, const double *x,
                            double *y, double *seconds)
{
    *seconds = INFINITY;
    for (int i = 0; i < 3; i++) {
        double t0 = job_clock(j);
        spi_err err = s->m.normal.op.apply(s->m.normal.op.self, x, y);

        if (err)
            return err;
        *seconds = fmin(*seconds, job_clock(j) - t0);
    }
    return SPI_OK;
}

static spi_err bench_step(struct job *j)
{
    struct side toeplitz = {0}, direct = {0};
    double *y[2] = {NULL}, seconds[2];
    spi_err err;

    SPI_TRY(err = side_init(j, false, false, j->fluence, &toeplitz), out);
    SPI_TRY(err = side_init(j, true, false, j->fluence, &direct), out);

    int64_t n = toeplitz.m.normal.u.count;

    for (int i = 0; i < 2; i++)
        SPI_TRY(err = SPI_NEW(y[i], n, "product"), out);
    SPI_TRY(err = time_product(j, &toeplitz, toeplitz.m.normal.rhs, y[0], &seconds[0]),
            out);
    SPI_TRY(err = time_product(j, &direct, toeplitz.m.normal.rhs, y[1], &seconds[1]), out);
    print_head(j, "toeplitz-step", toeplitz.m.n);
    printf("\"unknowns\": %lld, \"error\": %.3g, \"seconds\": %.4g, \"rival\": \"direct\", "
           "\"rival_s\": %.4g, \"rival_points_per_s\": %.4g, \"ratio\": %.1f}\n",
           (long long)n, relative(n, y[0], y[1]), seconds[0], seconds[1],
           (double)(j->n_images * j->pixels.n) / seconds[1], seconds[1] / seconds[0]);
out:
    free(y[0]);
    free(y[1]);
    side_clear(&toeplitz);
    side_clear(&direct);
    return err;
}

/* ---- command line ------------------------------------------------------------------- */

static const struct {
    const char *name;
    spi_err (*run)(struct job *j);
} ops[] = {{"merge", bench_merge}, {"lcurve", bench_lcurve}, {"toeplitz-step", bench_step}};

struct options {
    const char *op;
    double modes, tol, images, threads, limit;
    bool cpu_time;
};

static int usage(void)
{
    fprintf(stderr,
            "bench_merge: options: --op --modes --tol --images --threads --cpu-time "
            "--limit\n");
    return 2;
}

static int parse(int argc, char **argv, struct options *o)
{
    struct {
        const char *name;
        double *value;
    } row[] = {{"--modes", &o->modes},
               {"--tol", &o->tol},
               {"--images", &o->images},
               {"--threads", &o->threads},
               {"--limit", &o->limit}};

    for (int i = 1; i < argc; i++) {
        bool known = false;

        if (strcmp(argv[i], "--cpu-time") == 0) {
            o->cpu_time = true;
            continue;
        }
        if (i + 1 >= argc)
            return usage();
        if (strcmp(argv[i], "--op") == 0)
            o->op = argv[i + 1], known = true;
        for (size_t r = 0; r < sizeof row / sizeof *row; r++)
            if (strcmp(argv[i], row[r].name) == 0)
                *row[r].value = atof(argv[i + 1]), known = *row[r].value > 0;
        if (!known)
            return usage();
        i++;
    }
    return 0;
}

static spi_err run_case(struct job *j, const struct options *o)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!o->op || strcmp(o->op, ops[i].name) == 0) {
            spi_err err = ops[i].run(j);

            fflush(stdout);
            if (err)
                return err;
        }
    return SPI_OK;
}

static spi_err run_images(struct job *j, const struct options *o)
{
    static const double modes[] = {65, 81, 151}, tols[] = {1e-3, 1e-5};
    spi_err err = make_images(j);

    for (int m = 0; m < 3; m++)
        for (int t = 0; t < 2; t++)
            for (int n = 1; n <= 2 && !err; n++) {
                double M = o->modes > 0 ? o->modes : modes[m];

                if ((o->modes > 0 && m) || (o->tol > 0 && t) ||
                    (o->threads > 0 && n != (int)o->threads && !(o->threads > 2 && n == 1)))
                    continue;
                j->tol = o->tol > 0 ? o->tol : tols[t];
                j->n_threads = o->threads > 0 ? (int)o->threads : n;
                /* (V5): n >= 4.368 D q_max */
                j->diameter_A = 0.999 * M / (2.1 * 2.08 * q_max);
                err = spi_graph_new(j->n_threads == 1 ? "serial" : "threads", j->n_threads,
                                    NULL, &j->graph);
                if (!err)
                    err = run_case(j, o);
                spi_graph_free(j->graph);
            }
    spi_images_close(j->images);
    spi_pixel_list_clear(&j->pixels);
    free(j->quat);
    free(j->fluence);
    unlink(j->path);
    return err;
}

int main(int argc, char **argv)
{
    static const double images[] = {100, 1000};
    struct options o = {0};
    const char *tmp = getenv("TMPDIR");
    double worst = 0;
    spi_err err = SPI_OK;

    if (parse(argc, argv, &o))
        return 2;
    for (int i = 0; i < (o.images > 0 ? 1 : 2) && !err; i++) {
        struct job j = {.n_images = (int64_t)(o.images > 0 ? o.images : images[i]),
                        .cpu_time = o.cpu_time};

        snprintf(j.dir, sizeof j.dir, "%s/bench_merge.XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(j.dir)) {
            perror(j.dir);
            return 1;
        }
        snprintf(j.path, sizeof j.path, "%s/images.h5", j.dir);
        err = run_images(&j, &o);
        rmdir(j.dir);
        worst = fmax(worst, j.worst);
    }
    if (err)
        fprintf(stderr, "bench_merge: %s\n", spi_err_message());
    if (o.limit > 0 && worst > o.limit)
        fprintf(stderr, "bench_merge: error is %.2f times the tolerance\n", worst);
    return err || (o.limit > 0 && worst > o.limit);
}
