/* SPDX-License-Identifier: GPL-3.0-or-later */
/* refine_ref.c, of match/refine.h: the likelihood and its derivatives in double. */
#include <math.h>

#include "match/refine.h"
#include "math/rot.h"
#include "nufft/nufft.h"

void spi_refine_ref(const struct spi_refine *r, int n, double dx, const float *A,
                    const float *K, const double M[9], double *score, double *fluence)
{
    const struct spi_pixel_list *l = r->pixels;
    double fit = 0, model = 0, N = 0;

    for (int64_t p = 0; p < l->n; p++) {
        double q[3] = {(double)l->q[p][0], (double)l->q[p][1], (double)l->q[p][2]}, at[3];
        double k = (double)K[p], g = (double)l->geometry[p], T;

        spi_rot_apply(M, q, at);
        spi_nufft_slice_ref(n, dx, A, 1, (const double(*)[3])at, &T);
        T = fmax(T, (double)r->least[p]);
        N += k;
        if (r->inv_var) {
            fit += k * T * (double)r->inv_var[p];
            model += g * T * T * (double)r->inv_var[p];
        } else {
            fit += k * log(T);
            model += g * T;
        }
    }
    if (!r->inv_var) {
        *score = fit - N * log(model);
        *fluence = N / model;
    } else {
        *score = fit > 0 ? fit * fit / (2 * model) : 0;
        *fluence = fit > 0 ? fit / model : 0;
    }
}
