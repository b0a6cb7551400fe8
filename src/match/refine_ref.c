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
    struct spi_likelihood_terms sums = {0};

    for (int64_t p = 0; p < l->n; p++) {
        double q[3] = {(double)l->q[p][0], (double)l->q[p][1], (double)l->q[p][2]}, at[3];
        double T;

        spi_rot_apply(M, q, at);
        spi_nufft_slice_ref(n, dx, A, 1, (const double(*)[3])at, &T);
        if (r->signal)
            T = (double)r->signal[p] * T + (double)r->rest[p];
        spi_likelihood_add(r->like, (double)K[p], fmax(T, (double)r->least[p]),
                           (double)l->geometry[p], r->inv_var ? (double)r->inv_var[p] : 1,
                           &sums);
    }
    *score = spi_likelihood_value(r->like, &sums);
    *fluence = r->like->fluence(sums.fit, sums.norm, sums.N);
}
