/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Of mtip/merging.h: many lambdas, and the choice of one. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "mtip/merging_parts.h"

struct one_lambda {
    const struct spi_normal *N;
    double lambda;
    const struct spi_cg_options *opt;
};

/* v: solution, report.  CG of its own for one lambda, with a product of its own. */
static spi_err task_lambda(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct one_lambda *a = arg;
    struct spi_normal own;
    spi_err err = spi_normal_share(a->N, &own);

    (void)stop;
    if (err)
        return err;
    err = spi_normal_cg(&own, a->lambda, a->opt, v[0].data, v[1].data);
    spi_normal_unshare(&own);
    return err;
}

static spi_err submit_lambdas(struct spi_merging *m, int n, const double *lambdas,
                              const struct spi_cg_options *opt, struct spi_array *x,
                              struct spi_array *report)
{
    spi_err err = SPI_OK, late;

    for (int i = 0; i < n && !err; i++) {
        struct one_lambda a = {&m->normal, lambdas[i], opt};
        struct spi_access access[2] = {{x, i, SPI_READ_WRITE}, {report, i, SPI_WRITE}};

        err =
            spi_graph_submit(m->spec.graph, "solve", task_lambda, &a, sizeof a, 2, access);
    }
    late = spi_graph_wait(m->spec.graph);
    return err ? err : late;
}

/* The published scheme.  The direct product is made of tasks itself: one after another. */
static spi_err solve_independent(struct spi_merging *m, int n, const double *lambdas,
                                 const struct spi_cg_options *opt, double *x,
                                 struct spi_cg_report *report)
{
    struct spi_array_shape solutions = {SPI_ARRAY_OF(double, "solutions"), .rows = n,
                                        .columns = m->normal.u.count, .parts = n},
                           reports = {SPI_ARRAY_OF(struct spi_cg_report, "reports"),
                                      .rows = n, .columns = 1, .parts = n};
    struct spi_array *xs = NULL, *rs = NULL;
    spi_err err = SPI_OK;

    for (int i = 0; i < n && !err && m->spec.direct; i++)
        err = spi_normal_cg(&m->normal, lambdas[i], opt, x + i * m->normal.u.count,
                            report + i);
    if (m->spec.direct)
        return err;
    SPI_TRY(err = spi_array_wrap(m->spec.graph, &solutions, x, &xs), out);
    SPI_TRY(err = spi_array_wrap(m->spec.graph, &reports, report, &rs), out);
    err = submit_lambdas(m, n, lambdas, opt, xs, rs);
out:
    spi_array_free(m->spec.graph, xs);
    spi_array_free(m->spec.graph, rs);
    for (int i = 0; i < n && !err; i++)
        m->products += report[i].n_iter;
    return err;
}

spi_err spi_merging_solve_lcurve(struct spi_merging *m, const struct spi_settings *set,
                                 bool independent, const struct spi_cg_options *opt,
                                 float *A, struct spi_merging_lcurve *curve)
{
    int n = set->N_lambda;
    double lo = set->lambda_min, hi = set->lambda_max, t0 = spi_now_s();
    double *lambdas = NULL, *x = NULL;
    struct spi_cg_report *report = NULL;
    spi_err err;

    *curve = (struct spi_merging_lcurve){.n = n};
    if (!(lo > 0 && hi > lo))
        return spi_fail(SPI_EINVAL,
                        "algorithm.lambda_min is %g, lambda_max %g; need 0 < min < max", lo,
                        hi);
    SPI_TRY(err = SPI_NEW(lambdas, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(report, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(curve->points, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(x, n * m->normal.u.count, "L-curve"), out);
    for (int i = 0; i < n; i++)
        lambdas[i] = lo * pow(hi / lo, (double)i / (n - 1));
    SPI_TRY(err = independent ? solve_independent(m, n, lambdas, opt, x, report)
                              : spi_normal_krylov(&m->normal, n, lambdas, opt, x, report),
            out);
    err = spi_normal_choose(&m->normal, n, lambdas, m->norm2, x, report, A, curve->points,
                            &curve->choice, &curve->report);
out:
    m->solve_s += spi_now_s() - t0;
    free(x);
    free(report);
    free(lambdas);
    return err;
}

void spi_merging_lcurve_clear(struct spi_merging_lcurve *c)
{
    free(c->points);
    *c = (struct spi_merging_lcurve){0};
}
