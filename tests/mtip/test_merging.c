/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Merging as tasks: the same bits on any engine; Toeplitz and direct, one Krylov sequence
 * and independent solutions agree; degenerate images give a clear result or a clear error.
 */
#include "mtip/merging.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "scene.h"
#include "tap.h"

enum { IMAGES = 40, COUNT = 40 * 40 * 40 };

static char dir[2048], path[4096];
static double quat[IMAGES][4];
static float fluence[IMAGES];
static struct spi_images *images;
static struct spi_pixel_list pixels;
static struct spi_settings set;

static spi_err make_images(struct spi_rng *rng)
{
    struct spi_detector det;
    struct spi_images_writer *w;
    spi_err err = scene_detector(&det);
    struct spi_images_spec spec = {.n_images = IMAGES,
                                   .kind = SPI_PHOTONS,
                                   .max_photons = 65535,
                                   .detector = &det,
                                   .provenance_json = "{}"};

    if (err || (err = spi_images_create(path, &spec, &w)))
        return err;
    for (int k = 0; k < IMAGES && !err; k++) {
        float image[SCENE_PIXELS];
        double R[9], M[9];
        struct spi_image_truth t = {.quat = quat[k]};

        spi_rot_random(rng, quat[k]);
        fluence[k] = (float)(0.5 + spi_rng_uniform(rng));
        spi_rot_matrix(quat[k], R);
        for (int c = 0; c < 9; c++)
            M[c] = R[c % 3 * 3 + c / 3];
        scene_image(&det, M, 400 * (double)fluence[k], image);
        for (int p = 0; p < SCENE_PIXELS; p++)
            image[p] = (float)spi_rng_poisson(rng, (double)image[p]);
        err = spi_images_append(w, 1, image, &t);
    }
    spi_detector_clear(&det);
    return err ? err : spi_images_finish_take(w);
}

/* One merge: lambda > 0, or the L-curve. */
struct outcome {
    float A[COUNT];
    int n;
    double lambda, weight, norm2, noise2;
    int64_t products;
    struct spi_cg_report report;
    struct spi_lcurve_point point[64];
};

struct how {
    bool serial, f64, direct, independent;
    int workers, steps;
    double lambda, corner;
    const float *phi, *prior;
};

static spi_err merge(const struct how *h, struct outcome *o)
{
    struct spi_merging_spec spec = {.images = images,
                                    .pixels = &pixels,
                                    .quat = (const double(*)[4])quat,
                                    .fluence = h->phi ? h->phi : fluence,
                                    .scale = 1,
                                    .diameter_A = scene_D,
                                    .tol = h->f64 ? 1e-10 : 1e-4,
                                    .f64 = h->f64,
                                    .direct = h->direct,
                                    .corner_weight = h->corner,
                                    .prior = h->prior};
    struct spi_merging m = {0};
    struct spi_merging_lcurve curve = {0};
    struct spi_cg_options opt;
    spi_err err;

    memset(o, 0, sizeof *o);
    SPI_TRY(err = spi_graph_new(h->serial ? "serial" : "threads", h->workers, NULL,
                                &spec.graph),
            out);
    SPI_TRY(err = spi_merging_init(&m, &spec), out);
    o->n = m.n;
    o->weight = m.weight;
    o->norm2 = m.norm2;
    o->noise2 = m.noise2;
    opt = spi_merging_rules(&m, &set, h->steps ? h->steps : 100);
    if (h->lambda > 0)
        err = spi_merging_solve(&m, h->lambda, &opt, o->A, &o->report);
    else
        err = spi_merging_solve_lcurve(&m, &set, h->independent, &opt, o->A, &curve);
    if (!err && curve.points) {
        o->report = curve.report;
        o->lambda = curve.points[curve.choice.index].lambda;
        memcpy(o->point, curve.points, (size_t)curve.n * sizeof *o->point);
    }
    o->products = m.products;
out:
    spi_merging_lcurve_clear(&curve);
    spi_merging_clear(&m);
    spi_graph_free(spec.graph);
    return err;
}

static double distance(const struct outcome *a, const struct outcome *b)
{
    double diff = 0, norm = 0;

    for (int i = 0; i < a->n * a->n * a->n; i++) {
        diff += ((double)a->A[i] - (double)b->A[i]) * ((double)a->A[i] - (double)b->A[i]);
        norm += (double)a->A[i] * (double)a->A[i];
    }
    return sqrt(diff / norm);
}

static bool all_finite(const struct outcome *o)
{
    for (int i = 0; i < o->n * o->n * o->n; i++)
        if (!isfinite(o->A[i]))
            return false;
    return isfinite(o->report.residual) && isfinite(o->report.drop);
}

static struct outcome a, b, c;

static void check_engines(void)
{
    struct how h = {.lambda = 1e-3, .corner = 0.1};

    h.serial = true;
    OK(merge(&h, &a) == SPI_OK && a.n * a.n * a.n <= COUNT, "serial: %d^3 voxels", a.n);
    h.serial = false;
    for (h.workers = 1; h.workers <= 2; h.workers++)
        OK(merge(&h, &b) == SPI_OK && memcmp(a.A, b.A, sizeof a.A) == 0 &&
               a.norm2 == b.norm2,
           "%d workers: the same bits", h.workers);
    h.workers = 2;
    h.lambda = 1.01e-3;
    OK(merge(&h, &b) == SPI_OK && memcmp(a.A, b.A, sizeof a.A) != 0,
       "another lambda: other bits");
}

/* Both products are exact up to the transforms' error: with condition number below
 * (1 + lambda) / lambda the solutions differ by at most a few thousand times 1e-10, plus
 * twice CG's tolerance; 1e-5 is what is asked of them. */
static void check_ways(void)
{
    struct how h = {.lambda = 1e-2, .corner = 0.1, .f64 = true, .workers = 2};
    struct spi_settings kept = set;

    set.cg_tol = 1e-9;
    OK(merge(&h, &a) == SPI_OK && a.report.end == SPI_CG_CONVERGED,
       "Toeplitz, double: %d steps", a.report.n_iter);
    h.direct = true;
    OK(merge(&h, &b) == SPI_OK && b.report.end == SPI_CG_CONVERGED &&
           distance(&a, &b) <= 1e-5,
       "direct, double: differs by %.1e", distance(&a, &b));
    set = kept;
    h.f64 = false;
    OK(merge(&h, &b) == SPI_OK && distance(&a, &b) > 1e-6, "direct, single: by %.1e",
       distance(&a, &b));
    /* tolerance 1e-4 each way, errors of the solution up to 1/lambda times larger */
    OK(distance(&a, &b) <= 1e-2, "but no more than its tolerance allows");
    h.direct = false;
    OK(merge(&h, &b) == SPI_OK && distance(&a, &b) <= 1e-2, "Toeplitz, single: by %.1e",
       distance(&a, &b));
    h.corner = 0;
    OK(merge(&h, &b) == SPI_OK && distance(&a, &b) > 1e-2,
       "without the corner term: by %.1e", distance(&a, &b));
}

static void check_curve(void)
{
    struct how h = {.corner = 0.1, .workers = 2};
    double worst = 0;

    OK(merge(&h, &a) == SPI_OK, "L-curve: lambda %g, %d products", a.lambda,
       (int)a.products);
    h.independent = true;
    OK(merge(&h, &b) == SPI_OK && b.lambda == a.lambda,
       "independently: lambda %g, %d products", b.lambda, (int)b.products);
    for (int i = 0; i < set.N_lambda; i++)
        worst = fmax(worst, fabs(a.point[i].residual / b.point[i].residual - 1));
    /* the same minimisers to 1e-5 of the right-hand side: the misfit differs by less */
    OK(worst < 1e-4 && distance(&a, &b) < 1e-3, "the same curve to %.0e, solutions to %.0e",
       worst, distance(&a, &b));
    OK(a.products * 4 < b.products, "13 lambdas for the products of one");
    h.independent = false;
    h.direct = true;
    h.steps = 12;
    OK(merge(&h, &c) == SPI_OK, "L-curve, direct: lambda %g", c.lambda);
    h.independent = true;
    h.serial = true;
    OK(merge(&h, &b) == SPI_OK && b.lambda == c.lambda, "independently, direct");
}

static void check_rules(void)
{
    struct how h = {.lambda = 1e-4, .workers = 2};
    struct spi_settings kept = set;

    if (merge(&h, &a))
        OK(0, "%s", spi_err_message());
    double left = sqrt((a.norm2 - a.report.drop) / a.noise2);

    /* the fit takes up some of the noise: below 1, but not far below */
    OK(left < 1.1 && left > 0.5, "misfit / expected of photons = %.3f", left);
    set.discrepancy = 1.05 * left;
    OK(merge(&h, &b) == SPI_OK && b.report.end == SPI_CG_DISCREPANCY &&
           b.report.n_iter < a.report.n_iter &&
           b.norm2 - b.report.drop <= 1.1026 * left * left * b.noise2,
       "ends by discrepancy after %d of %d steps", b.report.n_iter, a.report.n_iter);
    set = kept;
    set.cg_tol = 0.1;
    OK(merge(&h, &b) == SPI_OK && b.report.end == SPI_CG_CONVERGED &&
           b.report.residual <= 0.1 && b.report.residual > 1e-3,
       "or by cg_tol after %d", b.report.n_iter);
    set = kept;
}

static void check_prior(void)
{
    struct how h = {.lambda = 1e-3, .workers = 2};

    if (merge(&h, &a))
        OK(0, "%s", spi_err_message());
    h.prior = a.A;
    h.lambda = 1e6;
    OK(merge(&h, &b) == SPI_OK &&
           distance(&a, &b) < 1e-5, /* data weigh 1e-6 of the prior */
       "a heavy prior: the prior, to %.1e", distance(&a, &b));
    OK(fabs(b.report.drop / a.report.drop - 1) < 1e-4, "and its misfit");
    h.prior = NULL;
    OK(merge(&h, &b) == SPI_OK && distance(&a, &b) > 0.9, "without it: zero");
}

static void check_degenerate(void)
{
    static float phi[IMAGES];
    struct how h = {.phi = phi, .workers = 2};
    double kept[IMAGES][4];

    memset(phi, 0, sizeof phi);
    for (int w = 0; w < 2; w++) {
        h.f64 = w;
        OK(merge(&h, &a) == SPI_EINVAL && strstr(spi_err_message(), "no image covers"),
           "all fluences zero: %s", spi_err_message());
    }
    h.f64 = false;
    phi[3] = 1;
    OK(merge(&h, &a) == SPI_OK && all_finite(&a), "one image: lambda %g", a.lambda);
    h.direct = true;
    h.steps = 10;
    OK(merge(&h, &a) == SPI_OK && all_finite(&a), "one image, direct");
    h = (struct how){.workers = 2};
    memcpy(kept, quat, sizeof kept);
    for (int k = 1; k < IMAGES; k++)
        memcpy(quat[k], quat[0], sizeof quat[k]);
    OK(merge(&h, &a) == SPI_OK && all_finite(&a), "most of space empty: lambda %g",
       a.lambda);
    memcpy(quat, kept, sizeof kept);
    a.A[5] = NAN;
    OK(!all_finite(&a), "NaN is noticed");
}

/* Odd and even images as two sets at once, each image read once: the bits of each alone
 * (all images are one block here, and so one partial sum). */
static void check_sets(void)
{
    static float phi[2][IMAGES];
    static struct outcome alone[2];
    struct spi_merging_spec spec = {.images = images,
                                    .pixels = &pixels,
                                    .quat = (const double(*)[4])quat,
                                    .scale = 1,
                                    .diameter_A = scene_D,
                                    .tol = 1e-4};
    struct spi_merging m[2] = {{.n = 0}, {.n = 0}};
    float *A = NULL;
    spi_err err;

    for (int k = 0; k < IMAGES; k++)
        phi[k % 2][k] = fluence[k];
    for (int h = 0; h < 2; h++) {
        struct how how = {.workers = 2, .lambda = 1e-3, .phi = phi[h]};

        NEED(merge(&how, &alone[h]) == SPI_OK);
    }
    SPI_TRY(err = spi_graph_new("threads", 2, NULL, &spec.graph), out);
    SPI_TRY(err =
                spi_merging_init_sets(m, &spec, 2, (const float *const[2]){phi[0], phi[1]}),
            out);
    for (int h = 0; h < 2; h++) {
        struct spi_cg_options opt = spi_merging_rules(&m[h], &set, 100);
        struct spi_cg_report report;
        int64_t count = (int64_t)m[h].n * m[h].n * m[h].n;

        free(A);
        SPI_TRY(err = SPI_NEW(A, count, "A"), out);
        SPI_TRY(err = spi_merging_solve(&m[h], 1e-3, &opt, A, &report), out);
        OK(m[h].n == alone[h].n && m[h].weight == alone[h].weight &&
               memcmp(A, alone[h].A, (size_t)count * sizeof *A) == 0,
           "set %d of two at once: the bits of that set alone", h + 1);
    }
    OK(memcmp(alone[0].A, alone[1].A, sizeof alone[0].A) != 0, "control: the sets differ");
out:
    OK(!err, "both sets are merged%s%s", err ? ": " : "", err ? spi_err_message() : "");
    spec.average = 1;
    for (int h = 0; h < 2; h++)
        spi_merging_clear(&m[h]);
    OK(spi_merging_init_sets(m, &spec, 2, (const float *const[2]){phi[0], phi[1]}) ==
           SPI_EINVAL,
       "two summed sets: %s", spi_err_message());
    free(A);
    spi_graph_free(spec.graph);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(9, SPI_RNG_TEST, 0);
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(dir, sizeof dir, "%s/test_merging.%d", tmp ? tmp : "/tmp", (int)getpid());
    snprintf(path, sizeof path, "%s/images.h5", dir);
    spi_settings_default(&set);
    set.N_lambda = 13;
    if (mkdir(dir, 0777) || make_images(&rng) || spi_images_open(path, &images) ||
        spi_pixel_list_init(&pixels, spi_images_detector(images), 0.02, scene_q_max)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    check_engines();
    check_ways();
    check_curve();
    check_rules();
    check_prior();
    check_degenerate();
    check_sets();
    spi_pixel_list_clear(&pixels);
    spi_images_close(images);
    unlink(path);
    rmdir(dir);
    return tap_done();
}
