/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conjugate gradients: against dense solutions, the Chebyshev bound, every shift, bad
 * input. */
#include "solve/cg.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dense.h"
#include "tap.h"

enum { N = 60, SHIFTS = 6 };

static const double u = 0x1p-24;

/* The bound (L7) on the gap between true and recursive residual after k steps; c = 1, and
 * one more product for a warm start. */
static double gap_bound(int k, double norm_a, double largest_x)
{
    return (2 * u + 13 * 0x1p-53) * (k + 1) * norm_a * largest_x;
}

static void spectrum(struct dense *d, double lowest, double highest, struct spi_rng *rng)
{
    double e[N];

    for (int i = 0; i < N; i++)
        e[i] = lowest * pow(highest / lowest, i / (N - 1.0));
    dense_spectrum(d, N, e, rng);
}

static void random_vector(struct spi_rng *rng, double *b, double *bd)
{
    for (int i = 0; i < N; i++) {
        b[i] = spi_rng_normal(rng);
        bd[i] = (double)b[i];
    }
}

static double distance(const double *x, const double *y)
{
    double d[N];

    for (int i = 0; i < N; i++)
        d[i] = (double)x[i] - y[i];
    return norm_d(N, d);
}

/* |x - x*| <= |r| / lowest, and |r| is the recursive residual plus the gap (L7). */
static void test_plain(struct dense *d)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 1);
    struct spi_operator A = dense_operator(&d);
    struct spi_cg_options opt = {200, 1e-5, 0, NULL};
    struct spi_cg_report rep, warm;
    double b[N], x[N] = {0}, y[N];
    double bd[N], want[N], r[N];

    spectrum(d, 0.01, 1, &rng);
    random_vector(&rng, b, bd);
    dense_solve(d, 0.02, bd, want);
    OK(spi_cg(&A, 0.02, b, &opt, x, &rep) == SPI_OK && rep.end == SPI_CG_CONVERGED,
       "plain CG converges in %d steps", rep.n_iter);

    double gap = gap_bound(rep.n_iter, 1.02, norm_d(N, want));
    double bound = (opt.tol * rep.norm_b + gap) / 0.03;

    OK(distance(x, want) <= bound, "its error is %.3f of the bound",
       distance(x, want) / bound);
    memcpy(y, x, sizeof y);
    y[7] += (2 * bound);
    OK(distance(y, want) > bound, "a wrong solution is noticed");

    dense_residual(d, 0.02, b, x, r);
    OK(fabs(norm_d(N, r) - rep.residual * rep.norm_b) <= gap,
       "true residual: gap is %.1e of (L7)",
       fabs(norm_d(N, r) - rep.residual * rep.norm_b) / gap);
    dense_residual(d, 0, b, x, r);
    OK(fabs(norm_d(N, r) - rep.data_residual * rep.norm_b) <= gap, "|b - A x| is reported");

    double xb = 0, xAx = 0;

    for (int i = 0; i < N; i++) {
        xb += bd[i] * (double)x[i];
        xAx += (bd[i] - r[i]) * (double)x[i];
    }
    OK(fabs(rep.drop - (2 * xb - xAx)) <= gap * rep.norm_x, "the drop of the misfit (L8)");
    OK(fabs(rep.drop - (2 * xb + xAx)) > gap * rep.norm_x, "a wrong drop is noticed");

    memcpy(y, x, sizeof y);
    for (int i = 0; i < N; i++)
        y[i] += (1e-4 * spi_rng_normal(&rng));
    OK(spi_cg(&A, 0.02, b, &opt, y, &warm) == SPI_OK && warm.end == SPI_CG_CONVERGED &&
           warm.n_iter < rep.n_iter && distance(y, want) <= bound,
       "a warm start ends at the same place in %d steps", warm.n_iter);
    memcpy(y, x, sizeof y);
    opt.tol = 1.001 * rep.residual + gap / rep.norm_b;
    OK(spi_cg(&A, 0.02, b, &opt, y, &warm) == SPI_OK && warm.n_iter == 0 &&
           memcmp(x, y, sizeof y) == 0,
       "from the solution no step is made");

    /* the recursive residual vanishes, the true one stays: it is the gap itself */
    opt = (struct spi_cg_options){200, 1e-12, 0, NULL};
    memset(y, 0, sizeof y);
    OK(spi_cg(&A, 0.02, b, &opt, y, &rep) == SPI_OK && rep.residual <= 1e-12,
       "pressed beyond float: %d steps", rep.n_iter);
    dense_residual(d, 0.02, b, y, r);
    gap = gap_bound(rep.n_iter, 1.02, norm_d(N, want));
    OK(norm_d(N, r) <= gap, "attainable accuracy: %.3f of (L7)", norm_d(N, r) / gap);
}

/* Energy norm of the error after k steps. */
static double energy_error(const struct dense *d, const double *x, const double *want)
{
    double e[N], s = 0;

    for (int i = 0; i < N; i++)
        e[i] = (double)x[i] - want[i];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            s += e[i] * d->a[i][j] * e[j];
    return sqrt(fmax(s, 0));
}

/* The twin that is too slow: steepest descent, double. */
static void steepest_descent(const struct dense *d, const double *b, int steps, double *x)
{
    double y[N] = {0}, r[N], q[N];

    for (int k = 0; k < steps; k++) {
        double rr = 0, rq = 0;

        for (int i = 0; i < N; i++) {
            r[i] = b[i];
            for (int j = 0; j < N; j++)
                r[i] -= d->a[i][j] * y[j];
            rr += r[i] * r[i];
        }
        for (int i = 0; i < N; i++) {
            q[i] = 0;
            for (int j = 0; j < N; j++)
                q[i] += d->a[i][j] * r[j];
            rq += r[i] * q[i];
        }
        for (int i = 0; i < N; i++)
            y[i] += rr / rq * r[i];
    }
    for (int i = 0; i < N; i++)
        x[i] = y[i];
}

/* |e_k|_A <= 2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^k |e_0|_A, plus what float adds:
 * |e|_A <= |r| / sqrt(lowest) for the gap (L7). */
static void test_chebyshev(struct dense *d)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 2);
    struct spi_operator A = dense_operator(&d);
    double worst = 0, lowest = 0.01, bd[N], want[N];
    double f = (sqrt(1 / lowest) - 1) / (sqrt(1 / lowest) + 1);
    double b[N], zero[N] = {0}, x[N];

    spectrum(d, lowest, 1, &rng);
    random_vector(&rng, b, bd);
    dense_solve(d, 0, bd, want);

    double e0 = energy_error(d, zero, want);

    for (int k = 0; k <= 50; k++) {
        struct spi_cg_options opt = {k, 0, 0, NULL};
        struct spi_cg_report rep;
        double bound = 2 * pow(f, k) * e0 + gap_bound(k, 1, norm_d(N, want)) / sqrt(lowest);

        memset(x, 0, sizeof x);
        if (spi_cg(&A, 0, b, &opt, x, &rep) != SPI_OK || rep.n_iter != k)
            worst = HUGE_VAL;
        worst = fmax(worst, energy_error(d, x, want) / bound);
    }
    OK(worst <= 1, "Chebyshev bound over 50 steps: worst ratio %.3f", worst);
    steepest_descent(d, bd, 30, x);
    OK(energy_error(d, x, want) > 2 * pow(f, 30) * e0, "steepest descent breaks the bound");
}

static const double shift[SHIFTS] = {1e-1, 1e-4, 1, 1e-2, 1e-3, 1e-4};

/* Worst of (gap between true and reported residual) / (L7), over the shifts.  (L7) holds
 * for one system; the other shifts step along directions of their own, which are rounded
 * too (3 u a step, once more through A + s): twice the bound. */
static double worst_gap(const struct dense *d, const double *b, double x[SHIFTS][N],
                        const struct spi_cg_report *rep)
{
    double worst = 0, bd[N], want[N], r[N];

    for (int i = 0; i < N; i++)
        bd[i] = (double)b[i];
    for (int k = 0; k < SHIFTS; k++) {
        dense_solve(d, shift[k], bd, want);
        dense_residual(d, shift[k], b, x[k], r);

        double gap = 2 * gap_bound(rep[k].n_iter, 1 + shift[k], norm_d(N, want));

        worst = fmax(worst, fabs(norm_d(N, r) - rep[k].residual * rep[k].norm_b) / gap);
    }
    return worst;
}

static void test_shifts(struct dense *d)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 3);
    struct spi_operator A = dense_operator(&d);
    struct spi_cg_options opt = {150, 1e-4, 0, NULL};
    struct spi_cg_report rep[SHIFTS], one;
    static double x[SHIFTS][N], y[SHIFTS][N];
    double b[N], z[N] = {0};
    double bd[N], want[N], worst = 0;
    int most = 0;

    spectrum(d, 1e-3, 1, &rng);
    random_vector(&rng, b, bd);
    OK(spi_cg_shifts(&A, SHIFTS, shift, b, &opt, x[0], rep) == SPI_OK,
       "all shifts are solved");
    for (int k = 0; k < SHIFTS; k++) {
        double lowest = 1e-3 + shift[k];

        dense_solve(d, shift[k], bd, want);
        worst =
            fmax(worst, distance(x[k], want) /
                            ((opt.tol * rep[k].norm_b +
                              2 * gap_bound(rep[k].n_iter, 1 + shift[k], norm_d(N, want))) /
                             lowest));
        if (rep[k].end != SPI_CG_CONVERGED || rep[k].residual > opt.tol)
            worst = HUGE_VAL;
        most = rep[k].n_iter > most ? rep[k].n_iter : most;
        NOTE("shift %g: %d steps, residual %.2e, |x| %.3g", shift[k], rep[k].n_iter,
             rep[k].residual, rep[k].norm_x);
    }
    OK(worst <= 1, "errors of all shifts: worst ratio to the bound %.3f", worst);
    OK(d->calls == most, "one product a step serves all %d shifts", SHIFTS);
    OK(rep[2].n_iter < rep[0].n_iter && rep[0].n_iter < rep[1].n_iter,
       "larger shifts are frozen earlier");
    OK(worst_gap(d, b, x, rep) <= 1, "true residuals: worst gap is %.1e of the bound",
       worst_gap(d, b, x, rep));
    OK(memcmp(x[1], x[5], sizeof x[1]) == 0, "a shift given twice has one solution");
    OK(spi_cg(&A, shift[1], b, &opt, z, &one) == SPI_OK && one.n_iter == rep[1].n_iter &&
           memcmp(z, x[1], sizeof z) == 0,
       "the seed is plain CG bit by bit");
    OK(spi_cg_shifts(&A, SHIFTS, shift, b, &opt, y[0], rep) == SPI_OK &&
           memcmp(x, y, sizeof x) == 0,
       "a second run gives the same bits");

    opt.tol = 1e-12;
    opt.n_iter = 400;
    OK(spi_cg_shifts(&A, SHIFTS, shift, b, &opt, y[0], rep) == SPI_OK &&
           rep[1].residual <= 1e-12,
       "pressed beyond float: %d steps", rep[1].n_iter);
    OK(worst_gap(d, b, y, rep) <= 1, "attainable accuracy of all shifts: %.3f of the bound",
       worst_gap(d, b, y, rep));

    /* unconverged: the reported residuals are still those of the iterates */
    opt = (struct spi_cg_options){12, 0, 0, NULL};
    OK(spi_cg_shifts(&A, SHIFTS, shift, b, &opt, x[0], rep) == SPI_OK &&
           rep[1].end == SPI_CG_ITERATIONS && rep[1].n_iter == 12,
       "12 steps are not enough for the smallest shift, and it says so");
    OK(worst_gap(d, b, x, rep) <= 1, "true residuals after 12 steps: worst gap %.1e",
       worst_gap(d, b, x, rep));
    for (int i = 0; i < N; i++)
        x[3][i] *= 1.01;
    OK(worst_gap(d, b, x, rep) > 1, "a solution wrong by 1 %% is noticed");
}

/* One negative eigenvalue, -0.02: shifts above it have solutions, those below have none. */
static void test_curvature(struct dense *d)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 4);
    struct spi_operator A = dense_operator(&d);
    struct spi_cg_options opt = {150, 1e-4, 0, NULL};
    const double s[3] = {0.5, 1e-3, 0.05};
    struct spi_cg_report rep[3];
    static double x[3][N];
    double b[N], y[N] = {0};
    double e[N], bd[N], r[N], sum = 0;

    for (int i = 0; i < N; i++)
        e[i] = i ? 0.01 + (i - 1.0) / N : -0.02;
    dense_spectrum(d, N, e, &rng);
    random_vector(&rng, b, bd);
    OK(spi_cg(&A, 0, b, &opt, y, rep) == SPI_OK && rep[0].end == SPI_CG_CURVATURE,
       "negative curvature is reported after %d steps", rep[0].n_iter);
    for (int i = 0; i < N; i++)
        sum += fabs((double)y[i]);
    OK(isfinite(sum) && rep[0].n_iter > 0 && isfinite(rep[0].residual),
       "the last good iterate is kept");
    dense_residual(d, 0, b, y, r);
    OK(fabs(norm_d(N, r) - rep[0].residual * rep[0].norm_b) <=
           gap_bound(rep[0].n_iter, 1, rep[0].norm_x),
       "and its residual is right");

    OK(spi_cg_shifts(&A, 3, s, b, &opt, x[0], rep) == SPI_OK, "shifts on either side");
    OK(rep[1].end == SPI_CG_CURVATURE, "the shift below is given up after %d steps",
       rep[1].n_iter);
    OK(rep[0].end == SPI_CG_CONVERGED && rep[2].end == SPI_CG_CONVERGED,
       "the others converge with a new seed");
    for (int k = 0; k < 3; k += 2) {
        double want[N], gap;

        dense_solve(d, s[k], bd, want);
        dense_residual(d, s[k], b, x[k], r);
        gap = 2 * gap_bound(rep[k].n_iter, 1 + s[k], norm_d(N, want)) * (k + 1);
        OK(norm_d(N, r) <= opt.tol * rep[k].norm_b + gap, "shift %g: true residual %.2e",
           s[k], norm_d(N, r) / rep[k].norm_b);
    }
}

static spi_err apply_nan(const void *self, const double *x, double *y)
{
    (void)self, (void)x;
    for (int i = 0; i < N; i++)
        y[i] = (double)NAN;
    return SPI_OK;
}

static spi_err apply_zero(const void *self, const double *x, double *y)
{
    (void)self, (void)x;
    memset(y, 0, N * sizeof *y);
    return SPI_OK;
}

static spi_err apply_tiny(const void *self, const double *x, double *y)
{
    (void)self;
    for (int i = 0; i < N; i++)
        y[i] = 1e-40 * x[i];
    return SPI_OK;
}

static spi_err apply_fails(const void *self, const double *x, double *y)
{
    (void)self, (void)x, (void)y;
    return spi_fail(SPI_EIO, "operator: no");
}

static bool all_finite(int n, const double *x)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* Both solvers on one operator and right-hand side; false if they disagree or give NaN. */
static bool both(const struct spi_operator *A, const double *b,
                 const struct spi_cg_options *opt, spi_err want, enum spi_cg_end end)
{
    const double s[2] = {0, 0};
    struct spi_cg_report rep[3];
    static double x[3][N];

    memset(x, 0, sizeof x);

    spi_err one = spi_cg(A, 0, b, opt, x[0], &rep[0]);
    spi_err two = spi_cg_shifts(A, 2, s, b, opt, x[1], rep + 1);
    bool ok = one == want && two == want && all_finite(3 * N, x[0]);

    for (int k = 0; k < 3 && want == SPI_OK; k++)
        ok = ok && rep[k].end == end && isfinite(rep[k].residual) &&
             isfinite(rep[k].drop) && isfinite(rep[k].norm_x) &&
             isfinite(rep[k].data_residual);
    return ok;
}

static void test_hostile(struct dense *d)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 5);
    struct spi_operator A = dense_operator(&d), nan_op = {N, apply_nan, NULL, 0x1p-24},
                        zero_op = {N, apply_zero, NULL, 0x1p-24},
                        tiny_op = {N, apply_tiny, NULL, 0x1p-24},
                        fail_op = {N, apply_fails, NULL, 0x1p-24},
                        empty = {0, apply_zero, NULL, 0x1p-24};
    struct spi_cg_options opt = {50, 1e-4, 0, NULL}, bad_tol = {50, (double)NAN, 0, NULL},
                          bad_iter = {-1, 1e-4, 0, NULL}, none = {0, 1e-4, 0, NULL};
    struct spi_cg_report rep[2];
    double b[N], zero[N] = {0}, x[2 * N] = {0}, inf_b[N] = {(double)INFINITY};
    double bd[N];

    spectrum(d, 1e-2, 1, &rng);
    random_vector(&rng, b, bd);
    OK(both(&A, b, &opt, SPI_OK, SPI_CG_CONVERGED), "a plain case passes (control)");
    OK(both(&A, zero, &opt, SPI_OK, SPI_CG_CONVERGED), "b = 0 gives x = 0, no NaN");
    x[3] = 1;
    OK(spi_cg(&A, 0, zero, &opt, x, rep) == SPI_OK && x[3] == 0, "also from a warm start");
    OK(both(&A, b, &none, SPI_OK, SPI_CG_ITERATIONS), "no iterations allowed");
    OK(both(&zero_op, b, &opt, SPI_OK, SPI_CG_CURVATURE), "the zero operator");
    OK(both(&tiny_op, b, &opt, SPI_OK, SPI_CG_CURVATURE), "a solution beyond float");
    OK(both(&nan_op, b, &opt, SPI_EINVAL, 0), "NaN product: %s", spi_err_message());
    OK(both(&fail_op, b, &opt, SPI_EIO, 0), "failing product: %s", spi_err_message());
    OK(both(&A, inf_b, &opt, SPI_EINVAL, 0), "infinite b: %s", spi_err_message());
    OK(both(&empty, b, &opt, SPI_EINVAL, 0), "no unknowns: %s", spi_err_message());
    OK(both(&A, b, &bad_tol, SPI_EINVAL, 0), "tolerance: %s", spi_err_message());
    OK(both(&A, b, &bad_iter, SPI_EINVAL, 0), "iterations: %s", spi_err_message());

    const double s[2] = {0, (double)NAN};

    OK(spi_cg_shifts(&A, 2, s, b, &opt, x, rep) == SPI_EINVAL, "shift: %s",
       spi_err_message());
    OK(spi_cg_shifts(&A, 0, s, b, &opt, x, rep) == SPI_EINVAL, "shifts: %s",
       spi_err_message());
    x[0] = (double)NAN;
    OK(spi_cg(&A, 0, b, &opt, x, rep) == SPI_EINVAL, "start: %s", spi_err_message());

    /* the flag is set in the fifth product: five steps are in x */
    opt = (struct spi_cg_options){50, 0, 0, &d->stop};
    d->calls = d->stop = 0;
    d->stop_at = 5;
    memset(x, 0, sizeof x);
    OK(spi_cg(&A, 0, b, &opt, x, rep) == SPI_ECANCEL && rep->end == SPI_CG_STOPPED &&
           rep->n_iter == 5 && rep->residual < 1 && all_finite(N, x),
       "stopped: %s", spi_err_message());
    d->calls = d->stop = 0;
    OK(spi_cg_shifts(&A, 2, (const double[]){0, 1}, b, &opt, x, rep) == SPI_ECANCEL &&
           rep[0].n_iter == 5 && rep[1].end == SPI_CG_STOPPED && all_finite(2 * N, x),
       "stopped with shifts: %s", spi_err_message());
}

/* CG ends at the first step whose misfit is small enough, in both solvers (L13). */
static void test_discrepancy(struct dense *d)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 6);
    struct spi_operator A = dense_operator(&d);
    struct spi_cg_options opt = {100, 1e-6, 0, NULL};
    const double shifts[2] = {1, 1e-2};
    struct spi_cg_report all, rep, two[2];
    static double x[N], y[2][N];
    double b[N], bd[N];

    spectrum(d, 1e-3, 1, &rng);
    random_vector(&rng, b, bd);
    OK(spi_cg(&A, 1e-2, b, &opt, x, &all) == SPI_OK && all.end == SPI_CG_CONVERGED,
       "to the end: %d steps, drop %.6f", all.n_iter, all.drop);
    opt.enough = 0.95 * all.drop;
    memset(x, 0, sizeof x);
    OK(spi_cg(&A, 1e-2, b, &opt, x, &rep) == SPI_OK && rep.end == SPI_CG_DISCREPANCY &&
           rep.drop >= opt.enough && rep.n_iter < all.n_iter,
       "95 %% of it: %d steps", rep.n_iter);
    OK(spi_cg_shifts(&A, 2, shifts, b, &opt, y[0], two) == SPI_OK &&
           two[1].end == SPI_CG_DISCREPANCY && two[1].n_iter == rep.n_iter &&
           memcmp(x, y[1], sizeof x) == 0,
       "the same with shifts");
    opt.n_iter = rep.n_iter - 1;
    memset(x, 0, sizeof x);
    OK(spi_cg(&A, 1e-2, b, &opt, x, &rep) == SPI_OK && rep.end == SPI_CG_ITERATIONS &&
           rep.drop < opt.enough,
       "one step before it was not enough");
}

int main(void)
{
    struct dense *d = calloc(1, sizeof *d);

    if (!d)
        return 1;
    d->n = N;
    test_plain(d);
    test_chebyshev(d);
    test_shifts(d);
    test_curvature(d);
    test_hostile(d);
    test_discrepancy(d);
    free(d);
    return tap_done();
}
