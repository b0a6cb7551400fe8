/* SPDX-License-Identifier: GPL-3.0-or-later */
/* interp_complex_ref.c, of kernel/interp_complex.h: the formula in double. */
#include <math.h>
#include <stddef.h>

#include "kernel/interp_complex.h"

void spi_interp_complex_ref(const struct spi_window *win,
                            const struct spi_half_space_grid *grid, const double M[9],
                            int64_t n, const double (*q)[3], const float *factor,
                            double (*F)[2], double *mag)
{
    int w = win->w, C = grid->comp;

    for (int64_t j = 0; j < n; j++) {
        double u[3], sign;
        int i0[3];

        for (int k = 0; k < 3; k++)
            u[k] = M[3 * k] * q[j][0] + M[3 * k + 1] * q[j][1] + M[3 * k + 2] * q[j][2];
        sign = u[0] < 0 ? -1 : 1;
        for (int k = 0; k < 3; k++) {
            u[k] *= sign;
            i0[k] = (int)floor(u[k]) - w / 2 + 1;
        }
        mag[j] = 0;
        for (int z = i0[2]; z < i0[2] + w; z++)
            for (int y = i0[1]; y < i0[1] + w; y++)
                for (int x = i0[0]; x < i0[0] + w; x++) {
                    size_t at = ((size_t)(z + grid->c0) * (size_t)grid->n +
                                 (size_t)(y + grid->c0)) *
                                    (size_t)grid->nx +
                                (size_t)(x + grid->x0);
                    double phi = spi_window_value(win, x - u[0]) *
                                 spi_window_value(win, y - u[1]) *
                                 spi_window_value(win, z - u[2]);

                    for (int c = 0; c < C; c++) {
                        const float *G = grid->data + 2 * (at * (size_t)C + (size_t)c);
                        double f = (double)factor[j * C + c] * phi;

                        F[j][0] += f * (double)G[0];
                        F[j][1] += sign * f * (double)G[1];
                        mag[j] += fabs(f) * (fabs((double)G[0]) + fabs((double)G[1]));
                    }
                }
    }
}
