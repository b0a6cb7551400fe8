#include "merge/normal.h"

#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"

void spi_merge_grid(double diameter_A, double q_max, int *n, double *dx)
{
    *dx = 1 / (2.08 * q_max);
    *n = spi_fft_good_size((int)ceil(2.1 * diameter_A / *dx));
    if (*n < 8)
        *n = 8;
}

/* Qhat = FFT of Q in FFT order; Q is even, so its transform is real. */
static spi_err make_symbol(struct spi_normal *N, const spi_nufft *plan, const float *grid2)
{
    int n2 = 2 * N->n;
    size_t count = (size_t)n2 * (size_t)n2 * (size_t)n2;
    float *Q = NULL;
    float complex *half = (float complex *)N->half;
    spi_err err;

    SPI_TRY(err = SPI_NEW(Q, count, "merge kernel"), out);
    SPI_TRY(err = spi_nufft_collect(plan, grid2, 1, n2, Q), out);
    spi_volume_roll(n2, Q, N->pad);
    SPI_TRY(err = spi_fft3_r2c(n2, N->pad, half), out);
    count = (size_t)n2 * (size_t)n2 * (size_t)(N->n + 1);
    for (size_t i = 0; i < count; i++)
        N->symbol[i] = crealf(half[i]);
out:
    free(Q);
    return err;
}

spi_err spi_normal_init(struct spi_normal *N, int n, double support_A,
                        const spi_nufft *plan, const float *grid2, double trace)
{
    spi_err err;
    size_t count = (size_t)n * (size_t)n * (size_t)n;
    size_t half = (size_t)(2 * n) * (size_t)(2 * n) * (size_t)(n + 1);

    *N = (struct spi_normal){.n = n,
                             .trace = trace,
                             .dx = spi_nufft_spacing(plan)};
    if (!(trace > 0))
        return spi_fail(SPI_EINVAL,
                        "merge: the weights add to %g; no image covers any of "
                        "reciprocal space",
                        trace);
    SPI_TRY(err = SPI_NEW(N->rhs, count, "merge"), fail);
    SPI_TRY(err = SPI_NEW(N->support, count, "merge"), fail);
    SPI_TRY(err = SPI_NEW(N->symbol, half, "merge"), fail);
    SPI_TRY(err = SPI_NEW(N->pad, 8 * count, "merge"), fail);
    SPI_TRY(err = SPI_NEW(N->half, 2 * half, "merge"), fail);
    SPI_TRY(err = make_symbol(N, plan, grid2), fail);
    SPI_TRY(err = spi_nufft_collect(plan, grid2, 0, n, N->rhs), fail);

    double r2 = support_A * support_A / (N->dx * N->dx);
    size_t i = 0;

    for (int z = -n / 2; z < n / 2; z++)
        for (int y = -n / 2; y < n / 2; y++)
            for (int x = -n / 2; x < n / 2; x++, i++) {
                bool edge = z == -n / 2 || y == -n / 2 || x == -n / 2;

                N->support[i] = !edge && x * x + y * y + z * z <= r2;
                N->rhs[i] *= N->support[i];
            }
    return SPI_OK;
fail:
    spi_normal_clear(N);
    return err;
}

void spi_normal_clear(struct spi_normal *N)
{
    free(N->rhs);
    free(N->support);
    free(N->symbol);
    free(N->pad);
    free(N->half);
    *N = (struct spi_normal){0};
}

spi_err spi_normal_apply(const void *normal, const float *x, float *y)
{
    const struct spi_normal *N = normal;
    size_t n = (size_t)N->n, n2 = 2 * n, half = n2 * n2 * (n + 1);
    float complex *f = (float complex *)N->half;
    float scale = 1.0F / ((float)n2 * (float)n2 * (float)n2);
    spi_err err;

    /* x in the low corner of the doubled grid: a shift of the origin does not change Q * x
     */
    memset(N->pad, 0, n2 * n2 * n2 * sizeof *N->pad);
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < n; j++) {
            const float *from = x + (k * n + j) * n, *s = N->support + (k * n + j) * n;
            float *to = N->pad + (k * n2 + j) * n2;

            for (size_t i = 0; i < n; i++)
                to[i] = from[i] * s[i];
        }
    if ((err = spi_fft3_r2c(N->n * 2, N->pad, f)))
        return err;
    for (size_t i = 0; i < half; i++)
        f[i] *= scale * N->symbol[i];
    if ((err = spi_fft3_c2r(N->n * 2, f, N->pad)))
        return err;
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < n; j++) {
            const float *from = N->pad + (k * n2 + j) * n2,
                        *s = N->support + (k * n + j) * n;
            float *to = y + (k * n + j) * n;

            for (size_t i = 0; i < n; i++)
                to[i] = from[i] * s[i];
        }
    return SPI_OK;
}

spi_err spi_normal_solve(const struct spi_normal *N, double lambda, int n_iter,
                         const volatile int *stop, float *A, struct spi_cg_report *report)
{
    int64_t n = (int64_t)N->n * N->n * N->n;
    struct spi_operator op = {.n = n, .apply = spi_normal_apply, .self = N};
    struct spi_cg_options opt = {.n_iter = n_iter, .tol = 1e-5, .stop = stop};

    for (int64_t i = 0; i < n; i++)
        A[i] *= N->support[i];
    return spi_cg(&op, lambda * N->trace, N->rhs, &opt, A, report);
}

spi_err spi_normal_lcurve(const struct spi_normal *N, int n_lambda, const double *lambdas,
                          int n_iter, double data_norm2, const volatile int *stop, float *A,
                          struct spi_lcurve_point *points, struct spi_lcurve_choice *choice)
{
    int64_t n = (int64_t)N->n * N->n * N->n;
    struct spi_operator op = {.n = n, .apply = spi_normal_apply, .self = N};
    struct spi_cg_options opt = {.n_iter = n_iter, .tol = 1e-5, .stop = stop};
    struct spi_cg_report *report = NULL;
    double *shift = NULL;
    float *x = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(report, n_lambda, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(shift, n_lambda, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(x, (size_t)n_lambda * (size_t)n, "L-curve"), out);
    for (int i = 0; i < n_lambda; i++)
        shift[i] = lambdas[i] * N->trace;
    SPI_TRY(err = spi_cg_shifts(&op, n_lambda, shift, N->rhs, &opt, x, report), out);
    for (int i = 0; i < n_lambda; i++)
        points[i] = (struct spi_lcurve_point){
            .lambda = lambdas[i],
            .norm = report[i].norm_x,
            .residual = sqrt(fmax(0, data_norm2 - report[i].drop))};
    SPI_TRY(err = spi_lcurve_choose(n_lambda, points, 0.03, choice), out);
    for (int i = 0; i < n_lambda; i++)
        if (lambdas[i] == points[choice->index].lambda)
            memcpy(A, x + i * n, (size_t)n * sizeof *A);
out:
    free(x);
    free(shift);
    free(report);
    return err;
}
