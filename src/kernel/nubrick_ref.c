/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nubrick_ref.c, of kernel/nubrick.h: the formulas in double. */
#include <math.h>
#include <string.h>

#include "kernel/nubrick.h"

/* Weights of one axis, and its first node. */
static int axis(const struct spi_kaiser *win, double v, double *t)
{
    double s = v - win->w % 2 / 2.0;
    int i0 = (int)floor(s) + 1;

    for (int a = 0; a < win->w; a++)
        t[a] = spi_kaiser_value(win, i0 - s + a - win->w / 2.0);
    return i0;
}

struct patch {
    int64_t i[3];
    double t[3][SPI_KAISER_W_MAX];
};

static struct patch patch(const struct spi_kaiser *win, int depth, const double *v)
{
    struct patch p;

    p.t[2][0] = 1;
    p.i[2] = 0;
    for (int d = 0; d < (depth == 1 ? 2 : 3); d++)
        p.i[d] = axis(win, v[d], p.t[d]);
    return p;
}

void spi_nu_spread_ref(const struct spi_kaiser *win, const struct spi_nu_brick *shape,
                       int64_t n, const struct spi_nu_point_f64 *points,
                       const double complex *c, double complex *brick, double *mag)
{
    for (int64_t j = 0; j < n; j++) {
        struct patch p = patch(win, shape->depth, points[j].v);

        for (int z = 0; z < shape->depth; z++)
            for (int y = 0; y < win->w; y++)
                for (int x = 0; x < win->w; x++) {
                    double k = p.t[0][x] * p.t[1][y] * p.t[2][z];
                    int64_t at =
                        ((p.i[2] + z) * shape->rows + p.i[1] + y) * shape->row + p.i[0] + x;

                    brick[at] += k * c[points[j].index];
                    if (mag)
                        mag[at] += k * cabs(c[points[j].index]);
                }
    }
}

void spi_nu_interp_ref(const struct spi_kaiser *win, const struct spi_nu_brick *shape,
                       int64_t n, const struct spi_nu_point_f64 *points,
                       const double complex *brick, double complex *c, double *mag)
{
    for (int64_t j = 0; j < n; j++) {
        struct patch p = patch(win, shape->depth, points[j].v);
        double complex sum = 0;
        double abs = 0;

        for (int z = 0; z < shape->depth; z++)
            for (int y = 0; y < win->w; y++)
                for (int x = 0; x < win->w; x++) {
                    double k = p.t[0][x] * p.t[1][y] * p.t[2][z];
                    double complex g =
                        brick[((p.i[2] + z) * shape->rows + p.i[1] + y) * shape->row +
                              p.i[0] + x];

                    sum += k * g;
                    abs += k * cabs(g);
                }
        c[points[j].index] = sum;
        if (mag)
            mag[points[j].index] = abs;
    }
}
