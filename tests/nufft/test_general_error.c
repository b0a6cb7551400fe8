/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The general transform against the direct sums: every tolerance in both precisions, types
 * 1 and 2, two and three dimensions, odd, even, prime and single modes, both orders and
 * signs, six sets of points.
 *
 * Bound: general.h's promise, doc/math.md (U8): the root mean square of the aliases over
 * positions and modes is at most 1.1 tol; 2 allows for one draw of few values.  At one
 * position the aliases may all be in phase, which is up to 2.5 times as much on an axis,
 * and not quite sqrt 3 times that on three: 4 tol for the sets whose points agree.  16 u is
 * for taps, sums and FFT: about 10 roundings that add up as squares, times the division by
 * the window's transform, at most 3 in the mean over the modes. */
#include "general_test.h"
#include "tap.h"

static const struct {
    int dim, modes[3];
} sizes[] = {{3, {16, 13, 9}}, {3, {7, 11, 20}}, {3, {1, 30, 5}},
             {3, {2, 3, 40}},  {3, {1, 1, 1}},   {2, {37, 48, 0}},
             {2, {64, 1, 0}},  {2, {3, 101, 0}}, {2, {1, 2, 0}}};

/* Error relative to the result or to what random values would give. */
static double error(const struct problem *p, int type, const double complex *got,
                    const double complex *ref)
{
    int64_t n = type == 1 ? p->n_modes : p->n;
    double typical =
        sqrt((double)n) * (type == 1 ? norm(p->n, p->c) : norm(p->n_modes, p->f));

    return relative(n, got, ref) * fmin(1, norm(n, ref) / typical);
}

/* Largest error, in units of the promise, over the tolerances. */
static double sweep(struct problem *p, enum points set, int type, int s, bool single,
                    const double complex *ref, double complex *got)
{
    double worst = 0, factor = set == RANDOM || set == SPHERE ? 1 : 2;

    for (int digits = 1; digits <= (single ? 6 : 13); digits++) {
        p->spec.tol = pow(10, -digits);

        spi_err err = single ? transform32(p, type, s, type == 1 ? p->c : p->f, got)
                             : transform64(p, type, s, type == 1 ? p->c : p->f, got);
        double r = err ? HUGE_VAL : error(p, type, got, ref);

        if (err)
            NOTE("%s", spi_err_message());
        r /= promise(factor * p->spec.tol, single);
        if (r > 1)
            NOTE("tol 1e-%d: %.2f of the promise", digits, r);
        worst = fmax(worst, r);
    }
    return worst;
}

static void one(int size, enum points set)
{
    struct spi_nu_spec spec = {
        .dim = sizes[size].dim, .tol = 1e-3, .n_threads = 1 + size % 2};

    memcpy(spec.modes, sizes[size].modes, sizeof spec.modes);
    spec.fft_order = (size + (int)set) % 2;
    struct problem p = problem_new(&spec, 150, set, 7);
    int64_t most = p.n > p.n_modes ? p.n : p.n_modes;
    double complex *ref = malloc((size_t)most * sizeof *ref);
    double complex *got = malloc((size_t)most * sizeof *got);

    for (int type = 1; type <= 2; type++) {
        int s = (size + (int)set + type) % 2 ? 1 : -1;

        if (type == 1)
            spi_nu_type1_ref(&p.spec, s, p.n, p.x[0], p.x[1], p.x[2], p.c, ref);
        else
            spi_nu_type2_ref(&p.spec, s, p.n, p.x[0], p.x[1], p.x[2], p.f, ref);

        double single = sweep(&p, set, type, s, true, ref, got);
        double both = sweep(&p, set, type, s, false, ref, got);

        OK(single <= 1 && both <= 1,
           "type %d %+d, %d x %d x %d modes, %s: single %.2f, double %.2f of the promise",
           type, s, spec.modes[0], spec.modes[1], spec.dim == 3 ? spec.modes[2] : 1,
           point_names[set], single, both);
    }
    problem_free(&p);
    free(ref);
    free(got);
}

/* The test can fail: the wrong sign, the wrong order, one value. */
static void control(void)
{
    struct spi_nu_spec spec = {.dim = 2, .modes = {8, 9}, .tol = 1e-6, .n_threads = 1};
    struct problem p = problem_new(&spec, 20, RANDOM, 3);
    double complex ref[72], got[72];

    spi_nu_type1_ref(&spec, 1, p.n, p.x[0], p.x[1], NULL, p.c, ref);
    OK(!transform64(&p, 1, 1, p.c, got) && relative(72, got, ref) <= promise(1e-6, false),
       "right");
    got[5] *= 1 + 1e-3;
    OK(relative(72, got, ref) > promise(1e-6, false), "a wrong value is noticed");
    OK(!transform64(&p, 1, -1, p.c, got) && relative(72, got, ref) > 0.1,
       "a wrong sign too");
    p.spec.fft_order = true;
    OK(!transform64(&p, 1, 1, p.c, got) && relative(72, got, ref) > 0.1,
       "a wrong order too");
    problem_free(&p);
}

/* No point at all: type 1 gives zeros. */
static void none(void)
{
    struct spi_nu_spec spec = {.dim = 3, .modes = {3, 4, 5}, .tol = 1e-3, .n_threads = 2};
    struct problem p = problem_new(&spec, 0, RANDOM, 3);
    double complex f[60];

    memset(f, 1, sizeof f);
    OK(!transform64(&p, 1, 1, NULL, f) && norm(60, f) == 0, "no point: zeros");
    memset(f, 1, sizeof f);
    OK(!transform32(&p, 1, 1, NULL, f) && norm(60, f) == 0, "no point, single: zeros");
    OK(!transform64(&p, 2, 1, f, NULL), "no point: nothing to interpolate");
    problem_free(&p);
}

int main(void)
{
    for (int size = 0; size < (int)(sizeof sizes / sizeof *sizes); size++)
        for (int set = 0; set < POINT_SETS; set++)
            one(size, (enum points)set);
    none();
    control();
    return tap_done();
}
