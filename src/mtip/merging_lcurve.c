/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Of mtip/merging.h: many lambdas, and the choice of one. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "mtip/merging_parts.h"

/* The equations of one set on the way to a curve. */
struct solving {
    struct spi_merging *m;
    const struct spi_cg_options *opt;
    int n;           /* lambdas */
    double *lambdas; /* [n], owned, as the next two */
    double *x;       /* [n][unknowns] solutions */
    struct spi_cg_report *report;
    struct spi_array *solutions, *reports; /* of x and report: a part each, or all in one */
};

/* Argument of the tasks. */
struct some_lambdas {
    const struct spi_normal *N;
    const double *lambdas;
    const struct spi_cg_options *opt;
    int n;
};

/* v: solution, report.  CG of its own for one lambda, with a product of its own. */
static spi_err task_lambda(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct some_lambdas *a = arg;
    struct spi_normal own;
    spi_err err = spi_normal_share(a->N, &own);

    (void)stop;
    if (err)
        return err;
    err = spi_normal_cg(&own, *a->lambdas, a->opt, v[0].data, v[1].data);
    spi_normal_unshare(&own);
    return err;
}

/* v: solutions, reports.  One Krylov sequence for all lambdas. */
static spi_err task_krylov(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct some_lambdas *a = arg;
    struct spi_normal own;
    spi_err err = spi_normal_share(a->N, &own);

    (void)stop;
    if (err)
        return err;
    own.threads = SPI_THREADS_MAX;
    err = spi_normal_krylov(&own, a->n, a->lambdas, a->opt, v[0].data, v[1].data);
    spi_normal_unshare(&own);
    return err;
}

/* One task a lambda, or one for all. */
static spi_err submit(struct solving *s, bool independent)
{
    struct spi_graph *g = s->m->spec.graph;
    int parts = independent ? s->n : 0;
    struct spi_array_shape solutions = {SPI_ARRAY_OF(double, "solutions"), .rows = s->n,
                                        .columns = s->m->normal.u.count, .parts = parts},
                           reports = {SPI_ARRAY_OF(struct spi_cg_report, "reports"),
                                      .rows = s->n, .columns = 1, .parts = parts};
    spi_err err;

    SPI_TRY(err = spi_array_wrap(g, &solutions, s->x, &s->solutions), out);
    SPI_TRY(err = spi_array_wrap(g, &reports, s->report, &s->reports), out);
    for (int i = 0; i < (independent ? s->n : 1) && !err; i++) {
        struct some_lambdas a = {&s->m->normal, s->lambdas + i, s->opt, s->n};
        struct spi_access access[2] = {{s->solutions, i, SPI_READ_WRITE},
                                       {s->reports, i, SPI_WRITE}};

        err = spi_graph_submit(g, "solve", independent ? task_lambda : task_krylov, &a,
                               sizeof a, 2, access);
    }
out:
    return err;
}

/* The published scheme with the direct product, which is made of tasks itself, or one
 * sequence whose products the caller counts: one set. */
static spi_err solve_here(struct solving *s, bool independent)
{
    struct spi_normal *N = &s->m->normal;
    spi_err err = SPI_OK;

    if (!independent)
        return spi_normal_krylov(N, s->n, s->lambdas, s->opt, s->x, s->report);
    for (int i = 0; i < s->n && !err; i++)
        err = spi_normal_cg(N, s->lambdas[i], s->opt, s->x + i * N->u.count, s->report + i);
    return err;
}

static spi_err solving_init(struct solving *s, struct spi_merging *m,
                            const struct spi_settings *set,
                            const struct spi_cg_options *opt)
{
    double lo = set->lambda_min, hi = set->lambda_max;
    int n = set->N_lambda;
    spi_err err;

    *s = (struct solving){.m = m, .opt = opt, .n = n};
    SPI_TRY(err = SPI_NEW(s->lambdas, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(s->report, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(s->x, n * m->normal.u.count, "L-curve"), out);
    for (int i = 0; i < n; i++)
        s->lambdas[i] = lo * pow(hi / lo, (double)i / (n - 1));
out:
    return err;
}

/* From here on the caller may look at x and report. */
static void take_back(struct solving *s, struct spi_graph *g)
{
    spi_array_free(g, s->solutions);
    spi_array_free(g, s->reports);
    s->solutions = s->reports = NULL;
}

static void solving_clear(struct solving *s)
{
    free(s->lambdas);
    free(s->report);
    free(s->x);
}

/* Of CGs of their own, or of the sequence that all share. */
static int64_t products(const struct solving *s, bool independent)
{
    int64_t sum = 0, most = 0;

    for (int i = 0; i < s->n; i++) {
        sum += s->report[i].n_iter;
        most = s->report[i].n_iter > most ? s->report[i].n_iter : most;
    }
    return independent ? sum : most;
}

static spi_err choose(struct solving *s, float *A, struct spi_merging_lcurve *curve)
{
    spi_err err = SPI_NEW(curve->points, s->n, "L-curve");

    return err ? err
               : spi_normal_choose(&s->m->normal, s->n, s->lambdas, s->m->norm2, s->x,
                                   s->report, A, curve->points, &curve->choice,
                                   &curve->report);
}

spi_err spi_merging_solve_lcurves(struct spi_merging *m, int n_sets,
                                  const struct spi_settings *set, bool independent,
                                  const struct spi_cg_options *opt, float *const *A,
                                  struct spi_merging_lcurve *curve)
{
    bool here = m->spec.direct || (n_sets == 1 && !independent);
    double t0 = spi_now_s();
    struct solving s[SPI_MERGING_SETS_MAX] = {{.m = NULL}};
    spi_err err = SPI_OK, late;

    for (int i = 0; i < n_sets; i++)
        curve[i] = (struct spi_merging_lcurve){.n = set->N_lambda};
    if (!(set->lambda_min > 0 && set->lambda_max > set->lambda_min))
        return spi_fail(SPI_EINVAL,
                        "algorithm.lambda_min is %g, lambda_max %g; need 0 < min < max",
                        set->lambda_min, set->lambda_max);
    for (int i = 0; i < n_sets && !err; i++) {
        err = solving_init(&s[i], &m[i], set, opt + i);
        if (!err)
            err = here ? solve_here(&s[i], independent) : submit(&s[i], independent);
    }
    late = spi_graph_wait(m->spec.graph);
    for (int i = 0; i < n_sets; i++)
        take_back(&s[i], m->spec.graph);
    SPI_TRY(err = err ? err : late, out);
    for (int i = 0; i < n_sets; i++) {
        if (!here)
            m[i].products += products(&s[i], independent);
        SPI_TRY(err = choose(&s[i], A[i], &curve[i]), out);
        m[i].solve_s += spi_now_s() - t0;
    }
out:
    for (int i = 0; i < n_sets; i++)
        solving_clear(&s[i]);
    return err;
}

spi_err spi_merging_solve_lcurve(struct spi_merging *m, const struct spi_settings *set,
                                 bool independent, const struct spi_cg_options *opt,
                                 float *A, struct spi_merging_lcurve *curve)
{
    return spi_merging_solve_lcurves(m, 1, set, independent, opt, &A, curve);
}

void spi_merging_lcurve_clear(struct spi_merging_lcurve *c)
{
    free(c->points);
    *c = (struct spi_merging_lcurve){0};
}
