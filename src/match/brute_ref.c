/* SPDX-License-Identifier: GPL-3.0-or-later */
/* brute_ref.c, of match/brute.h: the scores pixel by pixel in double. */
#include <math.h>

#include "match/brute.h"
#include "math/rot.h"

/* T of one pixel. */
static double value(const struct spi_pixel_list *l, int64_t p, const double quat[4], int n,
                    double dx, const float *A)
{
    double R[9], lab[3] = {(double)l->q[p][0], (double)l->q[p][1], (double)l->q[p][2]};
    double q[1][3], T;

    spi_rot_matrix(quat, R);
    spi_rot_apply_t(R, lab, q[0]);
    spi_nufft_slice_ref(n, dx, A, 1, (const double(*)[3])q, &T);
    return T;
}

/* 2 % of the mean of T over the shell of pixel p. */
static double least(const struct spi_brute *b, int64_t p, const double *T)
{
    double sum = 0, count = 0;

    for (int64_t i = 0; i < b->pixels->n; i++)
        if (b->shell[i] == b->shell[p]) {
            sum += T[i];
            count++;
        }
    return sum > 0 ? 0.02 * sum / count : 1e-30;
}

void spi_brute_ref(const struct spi_brute *b, int n, double dx, const float *A,
                   const double quat[4], const float *image, double *T, double *score)
{
    const struct spi_pixel_list *l = b->pixels;
    struct spi_likelihood_terms sums = {0};

    for (int64_t p = 0; p < l->n; p++)
        T[p] = value(l, p, quat, n, dx, A);
    for (int64_t p = 0; p < l->n; p++)
        spi_likelihood_add(b->like, (double)image[l->pixel[p]],
                           b->like->positive ? fmax(T[p], least(b, p, T)) : T[p],
                           (double)l->geometry[p], b->inv_var ? (double)b->inv_var[p] : 1,
                           &sums);
    *score = spi_likelihood_value(b->like, &sums);
}
