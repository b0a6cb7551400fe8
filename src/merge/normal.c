/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/normal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "math/fft.h"

/* Without a corner: what counts as nothing (L12); doc/decisions/012. */
static const double rise = 0.03, fall = 0.003;

void spi_merge_grid(double diameter_A, double q_max, int *n, double *dx)
{
    *dx = 1 / (2.08 * q_max);
    *n = spi_fft_good_size((int)ceil(2.1 * diameter_A / *dx));
    if (*n < 8)
        *n = 8;
}

/* ---- the product -------------------------------------------------------------------- */

enum {
    SERIAL_BELOW = 48, /* voxels an axis: a product takes less than to start threads */
    CHUNKS = 16        /* of one pass over the cube */
};

/* A product by several threads. */
struct product {
    const struct spi_normal *N;
    struct spi_failure failure;
};

static void product_chunk(void *product, int rank, int64_t task)
{
    struct product *p = product;
    const struct spi_normal *N = p->N;
    int part = (int)(task / CHUNKS), i = (int)(task % CHUNKS);
    int planes = part == 1 ? 2 * N->u.n : N->u.n;
    int from = planes * i / CHUNKS, to = planes * (i + 1) / CHUNKS;
    spi_err err;

    (void)rank;
    if (part == 0)
        err = spi_convolve_planes(N->toeplitz, N->cube, from, to);
    else if (part == 1)
        err = spi_convolve_columns(N->toeplitz, from, to);
    else
        err = spi_convolve_back(N->toeplitz, N->cube, from, to);
    spi_failure_note(&p->failure, err);
}

spi_err spi_normal_product(const struct spi_normal *N, const double *x, double *y)
{
    static const int64_t first[] = {0, CHUNKS, 2 * CHUNKS, 3 * CHUNKS};
    struct product p = {.N = N};
    spi_err err;

    spi_even_vector_put_f64(&N->u, x, N->cube);
    if (N->threads > 1 && N->u.n >= SERIAL_BELOW) {
        spi_parallel_phases(N->threads, 3, first, product_chunk, &p);
        err = spi_failure_end(&p.failure);
    } else {
        err = spi_convolve_apply(N->toeplitz, N->cube, N->cube);
    }
    if (!err)
        spi_even_vector_get_f64(&N->u, N->cube, y);
    return err;
}

static spi_err apply_toeplitz(const void *normal, const double *x, double *y)
{
    return spi_normal_product(normal, x, y);
}

/* ---- the equations ------------------------------------------------------------------ */

spi_err spi_normal_new(struct spi_normal *N, int n, double dx, double support_A,
                       const double *b, const double *Q, double trace, bool f64)
{
    spi_err err;
    size_t count = (size_t)n * (size_t)n * (size_t)n;

    *N = (struct spi_normal){.trace = trace, .dx = dx};
    if (!(trace > 0) || isinf(trace))
        return spi_fail(SPI_EINVAL,
                        "merge: the weights add to %g; no image covers any of "
                        "reciprocal space",
                        trace);
    SPI_TRY(err = spi_even_vector_init(&N->u, n, support_A / dx), fail);
    SPI_TRY(err = SPI_NEW(N->rhs, N->u.count, "merge"), fail);
    SPI_TRY(err = SPI_NEW(N->cube, count, "merge"), fail);
    SPI_TRY(err = spi_convolve_new(n, f64, Q, &N->toeplitz), fail);
    spi_even_vector_get_f64(&N->u, b, N->rhs);
    N->op = (struct spi_operator){.n = N->u.count,
                                  .apply = apply_toeplitz,
                                  .self = N,
                                  .unit = f64 ? 0x1p-53 : 0x1p-24};
    return SPI_OK;
fail:
    spi_normal_clear(N);
    return err;
}

/* The values in double; the floats are freed. */
static spi_err in_double(size_t n, float **from, double **to)
{
    spi_err err = SPI_NEW(*to, n, "merge");

    for (size_t i = 0; i < n && !err; i++)
        (*to)[i] = (double)(*from)[i];
    free(*from);
    *from = NULL;
    return err;
}

spi_err spi_normal_collect(const spi_nufft *plan, const float *grid2, int n, double **b,
                           double **Q)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n;
    float *sums[2] = {NULL, NULL};
    spi_err err;

    *b = *Q = NULL;
    SPI_TRY(err = SPI_NEW(sums[0], count, "merge"), out);
    SPI_TRY(err = SPI_NEW(sums[1], 8 * count, "merge"), out);
    SPI_TRY(err = spi_nufft_collect_both(plan, grid2, n, sums[0], 2 * n, sums[1]), out);
    SPI_TRY(err = in_double(count, &sums[0], b), out);
    SPI_TRY(err = in_double(8 * count, &sums[1], Q), out);
out:
    free(sums[0]);
    free(sums[1]);
    return err;
}

spi_err spi_normal_init(struct spi_normal *N, int n, double support_A,
                        const spi_nufft *plan, const float *grid2, double trace)
{
    double *b, *Q, dx = spi_nufft_spacing(plan);
    spi_err err;

    *N = (struct spi_normal){0};
    SPI_TRY(err = spi_normal_collect(plan, grid2, n, &b, &Q), out);
    err = spi_normal_new(N, n, dx, support_A, b, Q, trace, false);
out:
    free(b);
    free(Q);
    return err;
}

void spi_normal_clear(struct spi_normal *N)
{
    spi_even_vector_clear(&N->u);
    spi_convolve_free(N->toeplitz);
    free(N->rhs);
    free(N->x0);
    free(N->cube);
    *N = (struct spi_normal){0};
}

spi_err spi_normal_share(const struct spi_normal *N, struct spi_normal *out)
{
    size_t n = (size_t)N->u.n;
    spi_err err;

    *out = *N;
    out->op.apply = apply_toeplitz;
    out->op.self = out;
    out->threads = 1;
    out->toeplitz = NULL;
    SPI_TRY(err = SPI_NEW(out->cube, n * n * n, "merge"), fail);
    SPI_TRY(err = spi_convolve_share(N->toeplitz, &out->toeplitz), fail);
    return SPI_OK;
fail:
    spi_normal_unshare(out);
    return err;
}

void spi_normal_unshare(struct spi_normal *N)
{
    spi_convolve_free(N->toeplitz);
    free(N->cube);
    *N = (struct spi_normal){0};
}

void spi_normal_damp_corners(struct spi_normal *N, double weight, double q_max)
{
    spi_convolve_add_beyond(N->toeplitz, q_max * 2 * N->u.n * N->dx, weight * N->trace);
}

static double dot(int64_t n, const double *x, const double *y)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

spi_err spi_normal_prior(struct spi_normal *N, const float *A0)
{
    double *Ax = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(N->x0, N->u.count, "prior"), out);
    SPI_TRY(err = SPI_NEW(Ax, N->u.count, "prior"), out);
    spi_even_vector_get(&N->u, A0, N->x0);
    SPI_TRY(err = N->op.apply(N->op.self, N->x0, Ax), out);
    N->drop0 = 2 * dot(N->u.count, N->rhs, N->x0) - dot(N->u.count, N->x0, Ax);
    for (int64_t i = 0; i < N->u.count; i++)
        N->rhs[i] -= Ax[i];
out:
    free(Ax);
    return err;
}

/* A = E (x0 + d) */
static void finish(const struct spi_normal *N, double *d, float *A)
{
    for (int64_t i = 0; N->x0 && i < N->u.count; i++)
        d[i] += N->x0[i];
    spi_even_vector_put(&N->u, d, A);
}

/* What a prior explains counts towards the drop that is enough. */
static struct spi_cg_options less_prior(const struct spi_normal *N,
                                        const struct spi_cg_options *opt)
{
    struct spi_cg_options o = *opt;

    if (o.enough > 0)
        o.enough = fmax(o.enough - N->drop0, 1e-300);
    return o;
}

spi_err spi_normal_cg(const struct spi_normal *N, double lambda,
                      const struct spi_cg_options *opt, double *d,
                      struct spi_cg_report *report)
{
    struct spi_cg_options o = less_prior(N, opt);

    return spi_cg(&N->op, lambda * N->trace, N->rhs, &o, d, report);
}

spi_err spi_normal_solve(const struct spi_normal *N, double lambda,
                         const struct spi_cg_options *opt, float *A,
                         struct spi_cg_report *report)
{
    double *d = NULL;
    spi_err err = SPI_NEW(d, N->u.count, "merge");

    if (err)
        return err;
    spi_even_vector_get(&N->u, A, d);
    for (int64_t i = 0; N->x0 && i < N->u.count; i++)
        d[i] -= N->x0[i];
    err = spi_normal_cg(N, lambda, opt, d, report);
    report->drop += N->drop0;
    finish(N, d, A);
    free(d);
    return err;
}

spi_err spi_normal_krylov(const struct spi_normal *N, int n_lambda, const double *lambdas,
                          const struct spi_cg_options *opt, double *x,
                          struct spi_cg_report *report)
{
    struct spi_cg_options o = less_prior(N, opt);
    double *shift = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(shift, n_lambda, "L-curve"), out);
    for (int i = 0; i < n_lambda; i++)
        shift[i] = lambdas[i] * N->trace;
    err = spi_cg_shifts(&N->op, n_lambda, shift, N->rhs, &o, x, report);
out:
    free(shift);
    return err;
}

spi_err spi_normal_choose(const struct spi_normal *N, int n_lambda, const double *lambdas,
                          double data_norm2, const double *x,
                          const struct spi_cg_report *report, float *A,
                          struct spi_lcurve_point *points, struct spi_lcurve_choice *choice,
                          struct spi_cg_report *chosen)
{
    int64_t n = N->u.count;
    double *d;
    spi_err err = SPI_NEW(d, n, "L-curve");

    if (err)
        return err;
    for (int i = 0; i < n_lambda; i++)
        points[i] = (struct spi_lcurve_point){
            .lambda = lambdas[i],
            .norm = report[i].norm_x,
            .residual = sqrt(fmax(0, data_norm2 - N->drop0 - report[i].drop))};
    err = spi_lcurve_choose(n_lambda, points, rise, fall, choice);
    for (int i = 0; i < n_lambda && !err; i++)
        if (lambdas[i] == points[choice->index].lambda) {
            memcpy(d, x + i * n, (size_t)n * sizeof *d);
            finish(N, d, A);
            *chosen = report[i];
            chosen->drop += N->drop0;
        }
    free(d);
    return err;
}
