/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/cg.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { LANES = 8 };

/* Eight partial sums in a fixed order: vectorised, and the same bits everywhere. */
static double dot(int64_t n, const double *x, const double *y)
{
    double s[LANES] = {0};
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++)
            s[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        s[0] += x[i] * y[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* y += a x */
static void axpy(int64_t n, double a, const double *x, double *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* p = z r + b p */
static void direction(int64_t n, double z, const double *r, double b, double *p)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        p[i] = z * r[i] + b * p[i];
}

static spi_err check(const struct spi_operator *A, const struct spi_cg_options *opt,
                     int n_shifts, const double *shifts, double bb)
{
    if (A->n < 1)
        return spi_fail(SPI_EINVAL, "cg: the operator has %lld unknowns; need at least 1",
                        (long long)A->n);
    if (opt->n_iter < 0)
        return spi_fail(SPI_EINVAL, "cg: %d iterations; need 0 or more", opt->n_iter);
    if (!(opt->tol >= 0) || isinf(opt->tol))
        return spi_fail(SPI_EINVAL, "cg: tolerance is %g; need a finite number >= 0",
                        opt->tol);
    if (isnan(opt->enough))
        return spi_fail(SPI_EINVAL, "cg: the drop to stop at is not a number");
    if (n_shifts < 1)
        return spi_fail(SPI_EINVAL, "cg: %d shifts; need at least 1", n_shifts);
    for (int k = 0; k < n_shifts; k++)
        if (!(fabs(shifts[k]) < (double)FLT_MAX))
            return spi_fail(SPI_EINVAL, "cg: shift %d is %g; need a number within +-%g", k,
                            shifts[k], (double)FLT_MAX);
    if (!isfinite(bb))
        return spi_fail(SPI_EINVAL, "cg: the right-hand side is not finite");
    return SPI_OK;
}

/* q = (A + shift) p and the curvature pq = p.q.  *positive is false when the sign of pq is
 * unknown: q carries relative errors of A->unit, hence pq one of unit |p| |q|. */
static spi_err product(const struct spi_operator *A, double shift, const double *p,
                       double *q, double *pq, bool *positive)
{
    spi_err err = A->apply(A->self, p, q);

    if (err)
        return err;
    axpy(A->n, shift, p, q);

    double qq = dot(A->n, q, q), pp = dot(A->n, p, p);

    *pq = dot(A->n, p, q);
    if (!isfinite(qq) || !isfinite(*pq))
        return spi_fail(SPI_EINVAL, "cg: the operator gave a value that is not finite");
    *positive = *pq > A->unit * sqrt(pp) * sqrt(qq);
    return SPI_OK;
}

/* (L8) of the solution x whose residual is zeta r. */
static double drop(int64_t n, double shift, const double *b, const double *x, double zeta,
                   const double *r)
{
    return dot(n, b, x) + shift * dot(n, x, x) + zeta * dot(n, x, r);
}

/* The rule of discrepancy (L13): is the misfit small enough? */
static bool fits(const struct spi_cg_options *opt, int64_t n, double shift, const double *b,
                 const double *x, const double *r)
{
    return opt->enough > 0 && drop(n, shift, b, x, 1, r) >= opt->enough;
}

/* Norms of the solution x whose residual is zeta r. */
static void measure(int64_t n, const double *b, double bb, const double *x, double zeta,
                    const double *r, struct spi_cg_report *rep)
{
    double xx = dot(n, x, x), xr = zeta * dot(n, x, r);
    double rr = zeta * zeta * dot(n, r, r), nb = sqrt(bb);
    double dd =
        rr + 2 * rep->shift * xr + rep->shift * rep->shift * xx; /* |r + shift x|^2 */

    rep->norm_b = nb;
    rep->norm_x = sqrt(xx);
    rep->residual = nb > 0 ? sqrt(rr) / nb : 0;
    rep->data_residual = nb > 0 ? sqrt(fmax(dd, 0)) / nb : 0;
    rep->drop = drop(n, rep->shift, b, x, zeta, r);
}

/* r = b - (A + shift) x.  The product is not made for x = 0. */
static spi_err start_residual(const struct spi_operator *A, double shift, const double *b,
                              const double *x, double *r)
{
    int64_t n = A->n;
    double xx = dot(n, x, x), unused;
    bool any;

    if (!isfinite(xx))
        return spi_fail(SPI_EINVAL, "cg: the start is not finite");
    memcpy(r, b, (size_t)n * sizeof *r);
    if (xx == 0)
        return SPI_OK;

    spi_err err = product(A, shift, x, r, &unused, &any);

    for (int64_t i = 0; !err && i < n; i++)
        r[i] = b[i] - r[i];
    return err;
}

/* Does x + alpha p stay in the range of float, in which solutions are kept? */
static bool step_fits(int64_t n, double alpha, const double *p, const double *x)
{
    return alpha < (double)FLT_MAX &&
           alpha * sqrt(dot(n, p, p)) + sqrt(dot(n, x, x)) < (double)FLT_MAX / 2;
}

struct krylov {
    double *r, *p, *q; /* residual, direction, product */
};

/* Steps (L1)-(L3) until one of the four ends; r and p are set. */
static spi_err iterate(const struct spi_operator *A, const struct spi_cg_options *opt,
                       const double *b, double goal, const struct krylov *v, double *x,
                       struct spi_cg_report *rep)
{
    int64_t n = A->n;
    double rr = dot(n, v->r, v->r), pq, rr_new;
    bool positive;

    for (;; rep->n_iter++) {
        if (rr <= goal || rr == 0) {
            rep->end = SPI_CG_CONVERGED;
            return SPI_OK;
        }
        if (fits(opt, n, rep->shift, b, x, v->r)) {
            rep->end = SPI_CG_DISCREPANCY;
            return SPI_OK;
        }
        if (rep->n_iter >= opt->n_iter)
            return SPI_OK;
        if (opt->stop && *opt->stop) {
            rep->end = SPI_CG_STOPPED;
            return SPI_OK;
        }

        spi_err err = product(A, rep->shift, v->p, v->q, &pq, &positive);

        if (err)
            return err;
        if (!positive || !step_fits(n, rr / pq, v->p, x)) {
            rep->end = SPI_CG_CURVATURE;
            return SPI_OK;
        }
        axpy(n, rr / pq, v->p, x);     /* (L1) */
        axpy(n, -rr / pq, v->q, v->r); /* (L2) */
        rr_new = dot(n, v->r, v->r);
        direction(n, 1, v->r, rr_new / rr, v->p); /* (L3) */
        rr = rr_new;
    }
}

spi_err spi_cg(const struct spi_operator *A, double shift, const double *b,
               const struct spi_cg_options *opt, double *x, struct spi_cg_report *report)
{
    int64_t n = A->n;
    struct krylov v = {0};
    double bb = n > 0 ? dot(n, b, b) : 0;
    spi_err err;

    *report = (struct spi_cg_report){.end = SPI_CG_ITERATIONS, .shift = shift};
    if ((err = check(A, opt, 1, &shift, bb)) != SPI_OK)
        return err;
    if (bb == 0)
        memset(x, 0, (size_t)n * sizeof *x);
    SPI_TRY(err = SPI_NEW(v.r, n, "cg"), out);
    SPI_TRY(err = SPI_NEW(v.p, n, "cg"), out);
    SPI_TRY(err = SPI_NEW(v.q, n, "cg"), out);
    SPI_TRY(err = start_residual(A, shift, b, x, v.r), out);
    memcpy(v.p, v.r, (size_t)n * sizeof *v.p);
    SPI_TRY(err = iterate(A, opt, b, opt->tol * opt->tol * bb, &v, x, report), out);
    measure(n, b, bb, x, 1, v.r, report);
    if (report->end == SPI_CG_STOPPED)
        err = spi_fail(SPI_ECANCEL, "cg: stopped on request after %d of %d steps",
                       report->n_iter, opt->n_iter);
out:
    free(v.q);
    free(v.p);
    free(v.r);
    return err;
}

/* One shift on the common sequence: its residual is zeta times the seed's; rho is the last
 * ratio of zetas. */
struct shift {
    bool done;
    double shift, zeta, rho, alpha, beta;
    double *x, *p;
};

struct multishift {
    int64_t n;
    int n_shifts, seed; /* seed: the smallest shift still running, -1: none */
    const double *b;
    double bb, rr;
    double *r, *q, *p; /* p [n_shifts][n] */
    struct shift *s;
    struct spi_cg_report *report;
};

static spi_err multishift_init(const struct spi_operator *A, int n_shifts,
                               const double *shifts, const double *b, double bb, double *x,
                               struct spi_cg_report *report, struct multishift *m)
{
    spi_err err;
    size_t n = (size_t)A->n, count;

    *m = (struct multishift){
        .n = A->n, .n_shifts = n_shifts, .b = b, .bb = bb, .rr = bb, .report = report};
    if (__builtin_mul_overflow(n, (size_t)n_shifts, &count))
        return spi_fail(SPI_EINVAL, "cg: %d shifts of %zu unknowns are too many", n_shifts,
                        n);
    SPI_TRY(err = SPI_NEW(m->r, n, "multi-shift cg"), out);
    SPI_TRY(err = SPI_NEW(m->q, n, "multi-shift cg"), out);
    SPI_TRY(err = SPI_NEW(m->p, count, "multi-shift cg"), out);
    SPI_TRY(err = SPI_NEW(m->s, n_shifts, "multi-shift cg"), out);
    memset(x, 0, count * sizeof *x);
    memcpy(m->r, b, n * sizeof *b);
    for (int k = 0; k < n_shifts; k++) {
        m->s[k] = (struct shift){.shift = shifts[k],
                                 .zeta = 1,
                                 .rho = 1,
                                 .alpha = 1,
                                 .x = x + (size_t)k * n,
                                 .p = m->p + (size_t)k * n};
        memcpy(m->s[k].p, b, n * sizeof *b);
        report[k] = (struct spi_cg_report){.end = SPI_CG_ITERATIONS, .shift = shifts[k]};
    }
out:
    return err;
}

static void multishift_clear(struct multishift *m)
{
    free(m->s);
    free(m->p);
    free(m->q);
    free(m->r);
}

static void freeze(struct multishift *m, int k, enum spi_cg_end end)
{
    struct shift *s = &m->s[k];

    s->done = true;
    m->report[k].end = end;
    measure(m->n, m->b, m->bb, s->x, s->zeta, m->r, &m->report[k]);
}

static void freeze_all(struct multishift *m, enum spi_cg_end end)
{
    for (int k = 0; k < m->n_shifts; k++)
        if (!m->s[k].done)
            freeze(m, k, end);
}

/* The running shift that is smallest becomes the seed: the common residual and the ratios
 * of the others are rewritten in its terms. */
static void choose_seed(struct multishift *m)
{
    m->seed = -1;
    for (int k = 0; k < m->n_shifts; k++)
        if (!m->s[k].done && (m->seed < 0 || m->s[k].shift < m->s[m->seed].shift))
            m->seed = k;
    if (m->seed < 0)
        return;

    double zeta = m->s[m->seed].zeta, rho = m->s[m->seed].rho;

    if (zeta == 1 && rho == 1)
        return;
    for (int64_t i = 0; i < m->n; i++)
        m->r[i] *= zeta;
    m->rr = dot(m->n, m->r, m->r);
    for (int k = 0; k < m->n_shifts; k++) {
        m->s[k].zeta /= zeta;
        m->s[k].rho /= rho;
    }
}

/* One step of all running shifts with the seed's step length alpha. */
static void advance(struct multishift *m, double alpha)
{
    struct shift seed = m->s[m->seed];
    double rr_new, beta;

    for (int k = 0; k < m->n_shifts; k++) {
        struct shift *s = &m->s[k];

        if (s->done)
            continue;
        s->rho = 1 / (1 + alpha * (s->shift - seed.shift) +
                      alpha * seed.beta / seed.alpha * (1 - s->rho)); /* (L4) */
        s->zeta *= s->rho;
        s->alpha = alpha * s->rho; /* (L5) */
        axpy(m->n, s->alpha, s->p, s->x);
        m->report[k].n_iter++;
    }
    axpy(m->n, -alpha, m->q, m->r);
    rr_new = dot(m->n, m->r, m->r);
    beta = rr_new / m->rr;
    m->rr = rr_new;
    for (int k = 0; k < m->n_shifts; k++) {
        struct shift *s = &m->s[k];

        if (s->done)
            continue;
        s->beta = beta * s->rho * s->rho; /* (L6) */
        direction(m->n, s->zeta, m->r, s->beta, s->p);
    }
}

static void freeze_converged(struct multishift *m, double goal)
{
    for (int k = 0; k < m->n_shifts; k++) {
        double rr = m->s[k].zeta * m->s[k].zeta * m->rr;

        if (!m->s[k].done && (rr <= goal || rr == 0))
            freeze(m, k, SPI_CG_CONVERGED);
    }
}

static spi_err run_shifts(const struct spi_operator *A, const struct spi_cg_options *opt,
                          struct multishift *m)
{
    double goal = opt->tol * opt->tol * m->bb, pq;
    bool positive;

    freeze_converged(m, goal);
    choose_seed(m);
    for (int it = 0; m->seed >= 0 && it < opt->n_iter; it++) {
        const struct shift *seed = &m->s[m->seed];

        if (opt->stop && *opt->stop) {
            freeze_all(m, SPI_CG_STOPPED);
            return spi_fail(SPI_ECANCEL, "cg: stopped on request after %d of %d steps", it,
                            opt->n_iter);
        }

        spi_err err = product(A, seed->shift, seed->p, m->q, &pq, &positive);

        if (err)
            return err;
        if (positive && step_fits(m->n, m->rr / pq, seed->p, seed->x)) {
            advance(m, m->rr / pq);
            freeze_converged(m, goal);
            if (!m->s[m->seed].done && fits(opt, m->n, seed->shift, m->b, seed->x, m->r))
                freeze_all(m, SPI_CG_DISCREPANCY);
        } else
            freeze(m, m->seed, SPI_CG_CURVATURE);
        choose_seed(m);
    }
    freeze_all(m, SPI_CG_ITERATIONS);
    return SPI_OK;
}

spi_err spi_cg_shifts(const struct spi_operator *A, int n_shifts, const double *shifts,
                      const double *b, const struct spi_cg_options *opt, double *x,
                      struct spi_cg_report *report)
{
    struct multishift m = {0};
    double bb = A->n > 0 ? dot(A->n, b, b) : 0;
    spi_err err;

    SPI_TRY(err = check(A, opt, n_shifts, shifts, bb), out);
    SPI_TRY(err = multishift_init(A, n_shifts, shifts, b, bb, x, report, &m), out);
    err = run_shifts(A, opt, &m);
out:
    multishift_clear(&m);
    return err;
}

const char *spi_cg_end_text(enum spi_cg_end end)
{
    static const char *const text[] = {[SPI_CG_CONVERGED] = "converged",
                                       [SPI_CG_DISCREPANCY] = "discrepancy",
                                       [SPI_CG_ITERATIONS] = "steps",
                                       [SPI_CG_CURVATURE] = "curvature",
                                       [SPI_CG_STOPPED] = "stopped"};

    return text[end];
}
