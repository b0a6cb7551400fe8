/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ring/pixel_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "math/sphere.h"

/* The pixels patch by patch, as the transforms want them. */
static spi_err sort_pixels(struct spi_pixel_list *l)
{
    int32_t *order = NULL, *pixel = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(order, l->n, "pixels"), out);
    SPI_TRY(err = SPI_NEW(pixel, l->n, "pixels"), out);
    SPI_TRY(err = spi_points_order(l->n, (const float(*)[3])l->q, order), out);
    for (int64_t i = 0; i < l->n; i++)
        pixel[i] = l->pixel[order[i]];
    memcpy(l->pixel, pixel, (size_t)l->n * sizeof *pixel);
out:
    free(order);
    free(pixel);
    return err;
}

spi_err spi_pixel_list_init(struct spi_pixel_list *l, const struct spi_detector *det,
                            double q_min, double q_max)
{
    spi_err err;

    *l = (struct spi_pixel_list){.q_max = q_max};
    SPI_TRY(err = SPI_NEW(l->pixel, det->n_pixels, "pixels"), fail);
    SPI_TRY(err = SPI_NEW(l->q, det->n_pixels, "pixels"), fail);
    SPI_TRY(err = SPI_NEW(l->kappa, det->n_pixels, "pixels"), fail);
    SPI_TRY(err = SPI_NEW(l->geometry, det->n_pixels, "pixels"), fail);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        const double *v = det->q + 3 * p;
        double q = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);

        if (det->bad[p] || q < q_min || q > q_max || !(det->geometry[p] > 0))
            continue;
        for (int c = 0; c < 3; c++)
            l->q[l->n][c] = (float)v[c];
        l->pixel[l->n++] = (int32_t)p;
    }
    if (l->n == 0) {
        err = spi_fail(SPI_EINVAL, "no usable pixel lies between |q| = %g and %g 1/A",
                       q_min, q_max);
        goto fail;
    }
    SPI_TRY(err = sort_pixels(l), fail);
    for (int64_t i = 0; i < l->n; i++) {
        const double *v = det->q + 3 * (int64_t)l->pixel[i];

        for (int c = 0; c < 3; c++)
            l->q[i][c] = (float)v[c];
        l->kappa[i] = (float)(sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) / q_max);
        l->geometry[i] = det->geometry[l->pixel[i]];
    }
    return SPI_OK;
fail:
    spi_pixel_list_clear(l);
    return err;
}

void spi_pixel_list_clear(struct spi_pixel_list *l)
{
    free(l->pixel);
    free(l->q);
    free(l->kappa);
    free(l->geometry);
    *l = (struct spi_pixel_list){0};
}

spi_err spi_pixel_list_of(const struct spi_pixel_list *l, const struct spi_images *images,
                          int64_t first, int64_t n, struct spi_pixel_list *own,
                          const struct spi_pixel_list **out)
{
    const struct spi_detector *det = spi_images_detector(images);
    double at[2];
    spi_err err;

    *own = *l;
    own->q = NULL;
    *out = l;
    if (!spi_images_drift(images, first, n, at))
        return SPI_OK;
    if ((err = SPI_NEW(own->q, l->n, "pixels")) != SPI_OK)
        return err;
    for (int64_t i = 0; i < l->n; i++) {
        double t[2], was[3], is[3];
        bool flat = spi_detector_flat(det, l->pixel[i], t);

        spi_flat_q(det->wavelength_A, t, was);
        t[0] -= at[0];
        t[1] -= at[1];
        spi_flat_q(det->wavelength_A, t, is);
        for (int c = 0; c < 3; c++)
            own->q[i][c] =
                (float)(det->q[3 * (int64_t)l->pixel[i] + c] + (flat ? is[c] - was[c] : 0));
    }
    *out = own;
    return SPI_OK;
}

void spi_pixel_list_of_clear(struct spi_pixel_list *own)
{
    free(own->q);
    own->q = NULL;
}

void spi_pixel_rotations(int64_t n, const double (*quat)[4], double (*M)[9])
{
    for (int64_t k = 0; k < n; k++) {
        double R[9];

        spi_rot_matrix(quat[k], R);
        for (int i = 0; i < 9; i++)
            M[k][i] = R[i % 3 * 3 + i / 3];
    }
}

spi_err spi_pixel_list_values(const struct spi_pixel_list *l, int64_t n,
                              const double (*quat)[4], const spi_nufft *plan,
                              const float *grid, float *W)
{
    spi_points *points = NULL;
    double(*M)[9] = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(M, n, "slice"), out);
    spi_pixel_rotations(n, quat, M);
    SPI_TRY(err = spi_points_new(plan, l->n, (const float(*)[3])l->q, &points), out);
    err = spi_nufft_slice(points, grid, n, (const double(*)[9])M, W);
out:
    spi_points_free(points);
    free(M);
    return err;
}

void spi_pixel_list_from_rings(const struct spi_pixel_list *l, const struct spi_rings *g,
                               int R, const float *ring, float *out)
{
    for (int64_t p = 0; p < l->n; p++) {
        double q = (double)l->kappa[p] * l->q_max;
        double rho = fmin(fmax((q - g->q[0]) / g->dq, 0), R - 1);
        int r = rho < R - 1 ? (int)rho : R - 2;

        out[p] =
            (float)((1 - (rho - r)) * (double)ring[r] + (rho - r) * (double)ring[r + 1]);
    }
}

void spi_view_quat(const struct spi_views *v, int64_t dir, double angle, double quat[4])
{
    double n[3], M[9], R[9];

    spi_sphere_point(v->nd, dir, n);
    spi_rot_view(n, angle, M);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            R[3 * i + j] = M[3 * j + i];
    spi_rot_quat(R, quat);
}
