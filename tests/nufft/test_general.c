/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Properties of the general transform, its independence of threads, and its messages. */
#include "general_test.h"
#include "math/fft.h"
#include "tap.h"

static const double u64 = 0x1p-53;

/* Two transforms of the same plan differ by rounding only: 16 u each (general.h). */
static double rounding(double norms)
{
    return 2 * 16 * u64 * norms;
}

static double complex dot(int64_t n, const double complex *a, const double complex *b)
{
    double complex sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += conj(a[i]) * b[i];
    return sum;
}

static struct problem usual(int dim, double tol)
{
    struct spi_nu_spec spec = {
        .dim = dim, .modes = {14, 9, 11}, .tol = tol, .n_threads = 2};

    return problem_new(&spec, 400, RANDOM, 11);
}

/* <A f, c> = <f, A* c>, A type 2 with s, A* type 1 with -s: exact but for rounding at every
 * tolerance, because each step of one is the transpose of a step of the other. */
static void adjoint(int dim, double tol)
{
    struct problem p = usual(dim, tol);
    double complex *Af = malloc((size_t)p.n * sizeof *Af);
    double complex *Ac = malloc((size_t)p.n_modes * sizeof *Ac);

    OK(!transform64(&p, 2, 1, p.f, Af) && !transform64(&p, 1, -1, p.c, Ac), "%d-D", dim);

    double complex gap = dot(p.n, Af, p.c) - dot(p.n_modes, p.f, Ac);
    double bound = rounding(norm(p.n, Af) * norm(p.n, p.c) +
                            norm(p.n_modes, p.f) * norm(p.n_modes, Ac));

    OK(cabs(gap) <= bound, "%d-D, tol %g: adjoint to %.3f of the bound", dim, tol,
       cabs(gap) / bound);
    Ac[3] += 4 * bound / cabs(p.f[3]);
    OK(cabs(dot(p.n, Af, p.c) - dot(p.n_modes, p.f, Ac)) > bound,
       "a wrong adjoint is noticed");
    problem_free(&p);
    free(Af);
    free(Ac);
}

/* A (a f + b g) = a A f + b A g. */
static void linear(void)
{
    struct problem p = usual(3, 1e-3);
    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, 0);
    double complex a = CMPLX(0.3, -2), *g = malloc((size_t)p.n_modes * sizeof *g);
    double complex *Af = malloc((size_t)p.n * sizeof *Af),
                   *Ag = malloc((size_t)p.n * sizeof *Ag);
    double complex *Ah = malloc((size_t)p.n * sizeof *Ah);

    for (int64_t k = 0; k < p.n_modes; k++)
        g[k] = random_value(&rng);
    OK(!transform64(&p, 2, 1, p.f, Af) && !transform64(&p, 2, 1, g, Ag), "two transforms");
    for (int64_t k = 0; k < p.n_modes; k++)
        g[k] = p.f[k] + a * g[k];
    OK(!transform64(&p, 2, 1, g, Ah), "and of their sum");

    double bound = rounding(norm(p.n, Ah) + norm(p.n, Af) + cabs(a) * norm(p.n, Ag));

    for (int64_t j = 0; j < p.n; j++)
        Ah[j] -= Af[j] + a * Ag[j];
    OK(norm(p.n, Ah) <= bound, "linear to %.3f of the bound", norm(p.n, Ah) / bound);
    Ah[0] += 2 * bound;
    OK(norm(p.n, Ah) > bound, "a sum that differs is noticed");
    problem_free(&p);
    free(g);
    free(Af);
    free(Ag);
    free(Ah);
}

/* Points moved by t turn each mode by exp(i s k.t); both sides hold the promise, so they
 * differ by at most twice that. */
static void shift(void)
{
    struct problem p = usual(3, 1e-8);
    const double t[3] = {0.7, -2.9, 11.3};
    int64_t at = 0, n = p.n_modes;
    double complex *f = malloc((size_t)n * sizeof *f), *g = malloc((size_t)n * sizeof *g);

    OK(!transform64(&p, 1, -1, p.c, f), "before");
    for (int d = 0; d < 3; d++)
        for (int64_t j = 0; j < p.n; j++)
            p.x[d][j] += t[d];
    OK(!transform64(&p, 1, -1, p.c, g), "after");

    double unmoved = relative(n, g, f);

    for (int z = 0; z < 11; z++)
        for (int y = 0; y < 9; y++)
            for (int x = 0; x < 14; x++)
                f[at++] *=
                    cexp(CMPLX(0, -((x - 7) * t[0] + (y - 4) * t[1] + (z - 5) * t[2])));

    double r = relative(n, g, f) / (2 * promise(1e-8, false));

    OK(r <= 1, "moved points turn the modes: %.3f of the bound", r);
    OK(unmoved > 0.1, "without the turn they differ");
    problem_free(&p);
    free(f);
    free(g);
}

/* Parseval: at the points of a regular grid of g^dim points, g >= modes, the waves are
 * orthogonal and sum |c|^2 = g^dim sum |f|^2.  Relative errors of one transform, twice for
 * the square. */
static void parseval(void)
{
    enum { G = 15 };
    struct spi_nu_spec spec = {.dim = 3, .modes = {14, 9, 11}, .tol = 1e-9, .n_threads = 1};
    struct problem p = problem_new(&spec, G * G * G, RANDOM, 2);
    double complex *c = malloc((size_t)p.n * sizeof *c);

    for (int64_t j = 0; j < p.n; j++) {
        p.x[0][j] = two_pi * (double)(j % G) / G;
        p.x[1][j] = two_pi * (double)(j / G % G) / G;
        p.x[2][j] = two_pi * (double)(j / G / G) / G;
    }
    OK(!transform64(&p, 2, 1, p.f, c), "a regular grid");

    double ratio = norm(p.n, c) / (sqrt(G * G * G) * norm(p.n_modes, p.f));
    double bound = 2 * promise(1e-9, false);

    OK(fabs(ratio - 1) <= bound, "Parseval to %.3f of the bound", fabs(ratio - 1) / bound);
    p.x[0][0] += 0.1; /* no longer a regular grid */
    OK(!transform64(&p, 2, 1, p.f, c) &&
           fabs(norm(p.n, c) / (sqrt(G * G * G) * norm(p.n_modes, p.f)) - 1) > bound,
       "a point out of place is noticed");
    problem_free(&p);
    free(c);
}

/* Same bits with any number of threads, also when one brick holds most points. */
static void threads(int dim)
{
    enum { N = 150000 };
    struct spi_nu_spec spec = {
        .dim = dim, .modes = {45, 21, 33}, .tol = 1e-4, .n_threads = 1};
    struct problem p = problem_new(&spec, N, RANDOM, 9);
    double complex *f[4], *c[4];
    bool same = true;

    for (int64_t j = 0; j < 2 * N / 3; j++)
        for (int d = 0; d < 3; d++)
            p.x[d][j] *= 1e-4;
    for (int i = 0; i < 4; i++) {
        p.spec.n_threads = (int[]){1, 2, 3, 8}[i];
        f[i] = malloc((size_t)p.n_modes * sizeof *f[i]);
        c[i] = malloc((size_t)p.n * sizeof *c[i]);
        OK(!transform64(&p, 1, 1, p.c, f[i]) && !transform64(&p, 2, 1, p.f, c[i]),
           "%d threads", p.spec.n_threads);
        same &= !memcmp(f[i], f[0], (size_t)p.n_modes * sizeof *f[i]);
        same &= !memcmp(c[i], c[0], (size_t)p.n * sizeof *c[i]);
    }
    OK(same, "%d-D: the same bits with 1, 2, 3 and 8 threads", dim);

    /* a different order of summing would show: reversed points give other bits */
    for (int64_t j = 0; j < N / 2; j++) {
        double complex t = p.c[j];

        p.c[j] = p.c[N - 1 - j];
        p.c[N - 1 - j] = t;
        for (int d = 0; d < 3; d++) {
            double v = p.x[d][j];

            p.x[d][j] = p.x[d][N - 1 - j];
            p.x[d][N - 1 - j] = v;
        }
    }
    OK(!transform64(&p, 1, 1, p.c, f[1]) &&
           memcmp(f[1], f[0], (size_t)p.n_modes * sizeof *f[0]) &&
           relative(p.n_modes, f[1], f[0]) < 1e-13 /* N sums of u, as a random walk */,
       "another order of the points: other bits, the same sums");
    problem_free(&p);
    for (int i = 0; i < 4; i++) {
        free(f[i]);
        free(c[i]);
    }
}

/* Several transforms at once = one by one; a plan takes new points; order of modes. */
static void reuse(void)
{
    struct problem p = usual(2, 1e-6);
    spi_nuplan_f64 *plan;
    int64_t n = p.n, m = p.n_modes;
    double complex *c = malloc((size_t)(3 * n) * sizeof *c),
                   *f = malloc((size_t)(3 * m) * sizeof *f);
    double complex *one = malloc((size_t)m * sizeof *one);
    bool same = true;

    for (int64_t j = 0; j < 3 * n; j++)
        c[j] = p.c[j % n] * (double)(1 + j / n);
    OK(!spi_nuplan_new_f64(&p.spec, &plan), "a plan");
    OK(!spi_nuplan_points_f64(plan, 7, p.x[1], p.x[1], NULL), "some points");
    OK(!spi_nuplan_points_f64(plan, n, p.x[0], p.x[1], NULL), "other points");
    OK(!spi_nuplan_type1_f64(plan, 1, 3, c, f), "three transforms");
    for (int i = 0; i < 3; i++) {
        OK(!spi_nuplan_type1_f64(plan, 1, 1, c + i * n, one), "one transform");
        same &= !memcmp(one, f + i * m, (size_t)m * sizeof *one);
    }
    OK(same, "three at once are three times one");
    OK(!transform64(&p, 1, 1, c, one) && !memcmp(one, f, (size_t)m * sizeof *one),
       "and a fresh plan gives the same");
    OK(!spi_nuplan_type2_f64(plan, -1, 3, f, c), "back");
    OK(!transform64(&p, 2, -1, f + 2 * m, p.c) &&
           !memcmp(p.c, c + 2 * n, (size_t)n * sizeof *c),
       "three of type 2 likewise");
    for (int64_t j = 0; j < n; j++)
        c[j] = 0;
    OK(!spi_nuplan_type1_f64(plan, 1, 1, c, one) && norm(m, one) == 0, "zeros give zeros");

    struct spi_nu_choice choice = spi_nuplan_choice_f64(plan);

    OK(choice.width >= 7 && choice.fine[0] >= 14 && choice.fine[2] == 1,
       "w %d, fine grid %d x %d", choice.width, choice.fine[0], choice.fine[1]);
    spi_nuplan_free_f64(plan);
    problem_free(&p);
    free(c);
    free(f);
    free(one);
}

static bool says(spi_err err, const char *text)
{
    return err == SPI_EINVAL && strstr(spi_err_message(), text);
}

static void bad_specification(void)
{
    const struct spi_nu_spec good = {
        .dim = 3, .modes = {4, 5, 6}, .tol = 1e-5, .n_threads = 1};
    struct spi_nu_spec s;
    spi_nuplan_f32 *p32;
    spi_nuplan_f64 *p64;

#define BAD(field, value, plan, create, text)                              \
    s = good;                                                              \
    s.field = value;                                                       \
    OK(says(create(&s, &plan), text) && !plan, #field " = " #value ": %s", \
       spi_err_message())
    BAD(dim, 1, p32, spi_nuplan_new_f32, "1 dimensions; need 2 or 3");
    BAD(dim, 4, p64, spi_nuplan_new_f64, "4 dimensions");
    BAD(modes[1], 0, p32, spi_nuplan_new_f32, "0 modes on axis y");
    BAD(modes[2], (1 << 20) + 1, p64, spi_nuplan_new_f64, "modes on axis z");
    BAD(tol, 1e-7, p32, spi_nuplan_new_f32, "tolerance 1e-07; need 1e-06..0.1");
    BAD(tol, 1e-14, p64, spi_nuplan_new_f64, "need 1e-13");
    BAD(tol, 0.5, p64, spi_nuplan_new_f64, "tolerance 0.5");
    BAD(tol, (double)NAN, p64, spi_nuplan_new_f64, "tolerance nan");
    BAD(n_threads, 0, p64, spi_nuplan_new_f64, "0 threads");
    BAD(n_threads, 257, p32, spi_nuplan_new_f32, "257 threads");
#undef BAD
    s = good;
    OK(!spi_nuplan_new_f32(&s, &p32) && p32,
       "the specification they were made from is good");
    spi_nuplan_free_f32(p32);
}

static void bad_points(void)
{
    enum { N = 1000 };
    struct spi_nu_spec spec = {.dim = 3, .modes = {4, 5, 6}, .tol = 1e-5, .n_threads = 2};
    spi_nuplan_f32 *plan;
    static float x[N], y[N], z[N];
    float complex f[120], c[N] = {1};

    OK(!spi_nuplan_new_f32(&spec, &plan), "a plan");
    OK(!spi_nuplan_points_f32(plan, N, x, y, z), "N times the origin");
    OK(says(spi_nuplan_type1_f32(plan, 0, 1, c, f), "sign is 0; need 1 or -1"), "%s",
       spi_err_message());
    y[777] = NAN;
    z[900] = INFINITY;
    OK(says(spi_nuplan_points_f32(plan, N, x, y, z), "point 777 is (0, nan, 0)"), "%s",
       spi_err_message());
    OK(!spi_nuplan_type1_f32(plan, 1, 1, c, f) && f[0] == 0, "the plan then has no points");
    y[777] = 0;
    OK(says(spi_nuplan_points_f32(plan, N, x, y, z), "point 900 is (0, 0, inf)"), "%s",
       spi_err_message());
    OK(says(spi_nuplan_points_f32(plan, -1, x, y, z), "-1 points"), "%s",
       spi_err_message());
    z[900] = 3e38F; /* finite: folded to something within the period */
    OK(!spi_nuplan_points_f32(plan, N, x, y, z) &&
           !spi_nuplan_type1_f32(plan, 1, 1, c, f) &&
           cabsf(f[0] - 1) < 1e-4F /* 2 tol and a margin: a single value 1 at the origin */,
       "a huge coordinate is not an error");
    spi_nuplan_free_f32(plan);
    spi_nuplan_free_f32(NULL);
    spi_nuplan_free_f64(NULL);
}

int main(void)
{
    adjoint(2, 1e-1);
    adjoint(3, 1e-3);
    adjoint(3, 1e-11);
    linear();
    shift();
    parseval();
    threads(2);
    threads(3);
    reuse();
    bad_specification();
    bad_points();
    spi_fft_cleanup();
    return tap_done();
}
