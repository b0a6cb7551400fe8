/* SPDX-License-Identifier: GPL-3.0-or-later */
/* interp_ref.c, of kernel/interp.h: the formulas in double. */
#include <math.h>
#include <stddef.h>

#include "kernel/interp.h"

/* u relative to the centre's cell, and the first tap, of point j */
static void place(const struct spi_taps *t, const struct spi_patch *p, int j, double u[3],
                  int first[3])
{
    for (int a = 0; a < 3; a++) {
        u[a] = (double)p->f[a];
        for (int b = 0; b < 3; b++)
            u[a] += (double)p->M[3 * a + b] * (double)p->d[b * SPI_PATCH_MAX + j];
        first[a] = (int)ceil(u[a] - t->w / 2.0);
    }
}

/* Calls body(offset, weight) for the w^3 taps; x advances by `comp` floats. */
#define FOR_TAPS(t, comp, row, plane, body)                                            \
    for (int a_ = 0; a_ < (t)->w; a_++)                                                \
        for (int b_ = 0; b_ < (t)->w; b_++)                                            \
            for (int c_ = 0; c_ < (t)->w; c_++) {                                      \
                ptrdiff_t at = (first[2] + a_) * (plane) + (first[1] + b_) * (row) +   \
                               (first[0] + c_) * (comp);                               \
                double weight = spi_kaiser_value(&(t)->window, first[2] + a_ - u[2]) * \
                                spi_kaiser_value(&(t)->window, first[1] + b_ - u[1]) * \
                                spi_kaiser_value(&(t)->window, first[0] + c_ - u[0]);  \
                body                                                                   \
            }

void spi_interp_ref(const struct spi_taps *t, const struct spi_patch *p,
                    const struct spi_rows_in *g, double *out, double *mag)
{
    for (int j = 0; j < p->n; j++) {
        double u[3], sum = 0, abs_sum = 0;
        int first[3];

        place(t, p, j, u, first);
        FOR_TAPS(t, 1, g->row, g->plane, {
            double v = weight * (double)g->at[at];

            sum += v;
            abs_sum += fabs(v);
        })
        out[j] = sum;
        if (mag)
            mag[j] = abs_sum;
    }
}

void spi_spread_ref(const struct spi_taps *t, const struct spi_patch *p,
                    const float (*val)[2], double *to, ptrdiff_t row, ptrdiff_t plane)
{
    for (int j = 0; j < p->n; j++) {
        double u[3];
        int first[3];

        place(t, p, j, u, first);
        FOR_TAPS(t, 2, row, plane, {
            to[at] += weight * (double)val[j][0];
            to[at + 1] += weight * (double)val[j][1];
        })
    }
}
