/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"

enum { DIRECTIONS = 4096 };

static spi_err mean_of_shell(const struct spi_model *m, double q, double (*points)[3],
                             float (*F)[2], float *W, double *mean)
{
    static const double identity[4] = {1, 0, 0, 0};
    struct spi_model_points list;
    double golden = SPI_PI * (3 - sqrt(5));

    for (int i = 0; i < DIRECTIONS; i++) {
        double z = 1 - (2 * i + 1.0) / DIRECTIONS, r = sqrt(1 - z * z);

        points[i][0] = q * r * cos(golden * i);
        points[i][1] = q * r * sin(golden * i);
        points[i][2] = q * z;
    }

    spi_err err = spi_model_points_init(m, DIRECTIONS, (const double(*)[3])points, &list);

    if (err)
        return err;
    spi_model_slice(m, &list, identity, F, W);
    spi_model_points_clear(&list);
    *mean = 0;
    for (int i = 0; i < DIRECTIONS; i++)
        *mean += (double)W[i] / DIRECTIONS;
    return SPI_OK;
}

spi_err spi_profile_init(const struct spi_model *m, double q_max, struct spi_profile *out)
{
    double(*points)[3] = NULL;
    float(*F)[2] = NULL, *W = NULL;
    double extent = fmax(spi_model_half_extent_A(m), 2);
    spi_err err;

    /* W holds no period shorter than 1 / (2 sqrt(3) extent) */
    memset(out, 0, sizeof *out);
    out->n = (int)ceil(q_max * 20 * 2 * sqrt(3) * extent) + 1;
    out->n = out->n < 4 ? 4 : out->n;
    out->step = q_max / (out->n - 1);
    SPI_TRY(err = SPI_NEW(out->W, out->n, "profile"), end);
    SPI_TRY(err = SPI_NEW(points, DIRECTIONS, "profile"), end);
    SPI_TRY(err = SPI_NEW(F, DIRECTIONS, "profile"), end);
    SPI_TRY(err = SPI_NEW(W, DIRECTIONS, "profile"), end);
    for (int i = 0; !err && i < out->n; i++)
        err = mean_of_shell(m, i * out->step, points, F, W, &out->W[i]);
end:
    free(points);
    free(F);
    free(W);
    if (err)
        spi_profile_clear(out);
    return err;
}

void spi_profile_clear(struct spi_profile *p)
{
    free(p->W);
    memset(p, 0, sizeof *p);
}

double spi_profile_value(const struct spi_profile *p, double q)
{
    double u = q / p->step;
    int i = (int)floor(u) - 1;

    i = i < 0 ? 0 : i > p->n - 4 ? p->n - 4 : i;

    /* Lagrange's polynomial through the four points around u */
    double t = u - i;
    const double *W = p->W + i;
    double v = -W[0] * (t - 1) * (t - 2) * (t - 3) / 6 + W[1] * t * (t - 2) * (t - 3) / 2 -
               W[2] * t * (t - 1) * (t - 3) / 2 + W[3] * t * (t - 1) * (t - 2) / 6;

    return v > 0 ? v : 0;
}
