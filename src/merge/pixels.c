#include "merge/pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"

enum { GROUP = 8 }; /* images at once: their points share bricks of the grid */

spi_err spi_pixel_list_init(struct spi_pixel_list *l, const struct spi_detector *det,
                            double q_min, double q_max)
{
    spi_err err;

    *l = (struct spi_pixel_list){0};
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
    err = spi_fail(SPI_EINVAL, "no usable pixel lies between |q| = %g and %g 1/A", q_min, q_max);
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

/* u = scale R^T q of all pixels. */
static void positions(const struct spi_pixel_list *l, const double quat[4], double scale,
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

spi_err spi_pixels_merge(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                         const float *images, const double (*quat)[4], const float *fluence,
                         const spi_nufft *plan, float *grid2, double *weight, double *norm2)
{
    float (*u)[3] = NULL, (*val)[2] = NULL;
    double sum = 0, sum2 = 0, scale = spi_nufft_scale(plan);
    spi_err err;

    SPI_TRY(err = SPI_NEW(u, GROUP * l->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(val, GROUP * l->n, "merge"), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t m = n - k0 < GROUP ? n - k0 : GROUP;

        for (int64_t i = 0; i < m; i++) {
            const float *image = images + (k0 + i) * n_pixels;
            float phi = fluence ? fluence[k0 + i] : 1;

            positions(l, quat[k0 + i], scale, u + i * l->n);
            for (int64_t p = 0; p < l->n; p++) {
                float K = image[l->pixel[p]], w = l->kappa[p] * phi * l->geometry[p];
                float (*v)[2] = val + i * l->n;

                v[p][0] = w > 0 ? l->kappa[p] * K : 0;
                v[p][1] = w > 0 ? w : 0;
                sum += (double)v[p][1];
                sum2 += w > 0 ? (double)(l->kappa[p] * K) * (double)K /
                                    (double)(phi * l->geometry[p]) : 0;
            }
        }
        SPI_TRY(err = spi_nufft_spread(plan, grid2, m * l->n, (const float(*)[3])u,
                                       (const float(*)[2])val), out);
    }
    *weight += sum;
    *norm2 += sum2;
out:
    free(u);
    free(val);
    return err;
}

spi_err spi_pixels_slice(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                         const double (*quat)[4], const float *fluence, const spi_nufft *plan,
                         const float *grid, float *out)
{
    float (*u)[3] = NULL, *value = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(u, l->n, "slice"), out);
    SPI_TRY(err = SPI_NEW(value, l->n, "slice"), out);
    memset(out, 0, (size_t)(n * n_pixels) * sizeof *out);
    for (int64_t k = 0; k < n; k++) {
        float phi = fluence ? fluence[k] : 1;

        positions(l, quat[k], spi_nufft_scale(plan), u);
        SPI_TRY(err = spi_nufft_slice(plan, grid, l->n, (const float(*)[3])u, value), out);
        for (int64_t p = 0; p < l->n; p++)
            out[k * n_pixels + l->pixel[p]] = phi * l->geometry[p] * value[p];
    }
out:
    free(u);
    free(value);
    return err;
}
