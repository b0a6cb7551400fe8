/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/direct.h"

#include <stdlib.h>

#include "base/mem.h"
#include "math/rot.h"
#include "nufft/general.h"

enum { GROUP = 64 }; /* images at once: their points share bricks of the grid */

spi_err spi_direct_add(const struct spi_pixel_list *l, int64_t n, const double (*quat)[4],
                       const float *fluence, const spi_nufft *plan, const float *prepared,
                       float *grid2)
{
    spi_points *points = NULL;
    double M[GROUP][9];
    float(*val)[2] = NULL, *W = NULL;
    spi_err err;

    SPI_TRY(err = spi_points_new(plan, l->n, (const float(*)[3])l->q, &points), out);
    SPI_TRY(err = SPI_NEW(val, GROUP * l->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(W, GROUP * l->n, "merge"), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t images = n - k0 < GROUP ? n - k0 : GROUP;

        spi_pixel_rotations(images, quat + k0, M);
        SPI_TRY(err = spi_nufft_slice(points, prepared, images, (const double(*)[9])M, W),
                out);
        for (int64_t i = 0, j = 0; i < images; i++)
            for (int64_t p = 0; p < l->n; p++, j++)
                val[j][0] =
                    l->kappa[p] * (fluence ? fluence[k0 + i] : 1) * l->geometry[p] * W[j];
        SPI_TRY(err = spi_nufft_spread(points, grid2, images, (const double(*)[9])M,
                                       (const float(*)[2])val),
                out);
    }
out:
    free(W);
    free(val);
    spi_points_free(points);
    return err;
}

/* ---- double ------------------------------------------------------------------------- */

struct points {
    int64_t n;
    double *x, *y, *z;
    double complex *c;     /* [n] */
    double complex *modes; /* [m^3] */
    spi_nuplan_f64 *plan;
};

static void points_free(struct points *p)
{
    spi_nuplan_free_f64(p->plan);
    free(p->x);
    free(p->y);
    free(p->z);
    free(p->c);
    free(p->modes);
}

/* (V7) of n images in radians on the grid of the modes: 2 pi dx R^T q. */
static spi_err points_new(const struct spi_pixel_list *l, int64_t n,
                          const double (*quat)[4], const struct spi_modes *modes,
                          struct points *p)
{
    size_t m = (size_t)modes->m;
    struct spi_nu_spec spec = {.dim = 3,
                               .modes = {modes->m, modes->m, modes->m},
                               .tol = modes->tol,
                               .n_threads = 1};
    spi_err err;

    *p = (struct points){.n = n * l->n};
    SPI_TRY(err = SPI_NEW(p->x, p->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(p->y, p->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(p->z, p->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(p->c, p->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(p->modes, m * m * m, "merge"), out);
    for (int64_t k = 0, j = 0; k < n; k++) {
        double R[9];

        spi_rot_matrix(quat[k], R);
        for (int64_t i = 0; i < l->n; i++, j++) {
            double q[3] = {(double)l->q[i][0], (double)l->q[i][1], (double)l->q[i][2]},
                   o[3];

            spi_rot_apply_t(R, q, o);
            p->x[j] = 2 * SPI_PI * modes->dx * o[0];
            p->y[j] = 2 * SPI_PI * modes->dx * o[1];
            p->z[j] = 2 * SPI_PI * modes->dx * o[2];
        }
    }
    SPI_TRY(err = spi_nuplan_new_f64(&spec, &p->plan), out);
    err = spi_nuplan_points_f64(p->plan, p->n, p->x, p->y, p->z);
out:
    if (err)
        points_free(p);
    return err;
}

static spi_err add_type1(struct points *p, const struct spi_modes *modes,
                         double complex *sum)
{
    size_t m = (size_t)modes->m;
    spi_err err = spi_nuplan_type1_f64(p->plan, 1, 1, p->c, p->modes);

    for (size_t i = 0; !err && i < m * m * m; i++)
        sum[i] += p->modes[i];
    return err;
}

static double weight_of(const struct spi_pixel_list *l, int64_t i, const float *fluence,
                        int64_t k)
{
    return (double)l->kappa[i] * (fluence ? (double)fluence[k] : 1) *
           (double)l->geometry[i];
}

spi_err spi_direct_merge_f64(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                             const float *images, const double (*quat)[4],
                             const float *fluence, const struct spi_modes *modes,
                             double complex *sum, double *weight, double *norm2)
{
    struct points p;
    spi_err err = points_new(l, n, quat, modes, &p);

    if (err)
        return err;
    for (int64_t k = 0, j = 0; k < n; k++)
        for (int64_t i = 0; i < l->n; i++, j++) {
            double w = weight_of(l, i, fluence, k), kappa = (double)l->kappa[i];
            double K = (double)images[k * n_pixels + l->pixel[i]];

            if (!(w > 0))
                continue;
            p.c[j] = CMPLX(kappa * K, w);
            *weight += w;
            *norm2 += kappa * kappa * K * K / w;
        }
    err = add_type1(&p, modes, sum);
    points_free(&p);
    return err;
}

spi_err spi_direct_add_f64(const struct spi_pixel_list *l, int64_t n,
                           const double (*quat)[4], const float *fluence,
                           const struct spi_modes *modes, const double complex *A,
                           double complex *sum)
{
    struct points p;
    spi_err err = points_new(l, n, quat, modes, &p);

    if (err)
        return err;
    SPI_TRY(err = spi_nuplan_type2_f64(p.plan, 1, 1, A, p.c), out);
    for (int64_t k = 0, j = 0; k < n; k++)
        for (int64_t i = 0; i < l->n; i++, j++)
            p.c[j] = weight_of(l, i, fluence, k) * creal(p.c[j]);
    err = add_type1(&p, modes, sum);
out:
    points_free(&p);
    return err;
}
