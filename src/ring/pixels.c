#include "ring/pixels.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/rot.h"
#include "math/sphere.h"

enum { GROUP = 8 }; /* images at once: their points share bricks of the grid */

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
        l->pixel[l->n] = (int32_t)p;
        l->kappa[l->n] = (float)(q / q_max);
        l->geometry[l->n++] = det->geometry[p];
    }
    if (l->n > 0)
        return SPI_OK;
    err = spi_fail(SPI_EINVAL, "no usable pixel lies between |q| = %g and %g 1/A", q_min,
                   q_max);
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

void spi_pixel_positions(const struct spi_pixel_list *l, const double quat[4], double scale,
                         float (*u)[3])
{
    double R[9];
    float m[9];

    spi_rot_matrix(quat, R);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            m[3 * i + j] = (float)(scale * R[3 * j + i]);
    for (int64_t p = 0; p < l->n; p++) {
        float x = l->q[p][0], y = l->q[p][1], z = l->q[p][2];

        u[p][0] = m[0] * x + m[1] * y + m[2] * z;
        u[p][1] = m[3] * x + m[4] * y + m[5] * z;
        u[p][2] = m[6] * x + m[7] * y + m[8] * z;
    }
}

spi_err spi_pixel_values(const struct spi_pixel_list *l, int64_t n, const double (*quat)[4],
                         const spi_nufft *plan, const float *grid, float *W)
{
    float(*u)[3] = NULL;
    double scale = spi_nufft_scale(plan);
    spi_err err;

    SPI_TRY(err = SPI_NEW(u, GROUP * l->n, "slice"), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t m = n - k0 < GROUP ? n - k0 : GROUP;

        for (int64_t i = 0; i < m; i++)
            spi_pixel_positions(l, quat[k0 + i], scale, u + i * l->n);
        SPI_TRY(err = spi_nufft_slice(plan, grid, m * l->n, (const float(*)[3])u,
                                      W + k0 * l->n),
                out);
    }
out:
    free(u);
    return err;
}

void spi_pixels_from_rings(const struct spi_pixel_list *l, const struct spi_rings *g, int R,
                           const float *ring, float *out)
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
