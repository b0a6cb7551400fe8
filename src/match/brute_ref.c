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

static double floored(const struct spi_brute *b, int64_t p, const double quat[4], int n,
                      double dx, const float *A)
{
    double sum = 0, count = 0, T = value(b->pixels, p, quat, n, dx, A);

    for (int64_t i = 0; i < b->pixels->n; i++)
        if (b->shell[i] == b->shell[p]) {
            sum += value(b->pixels, i, quat, n, dx, A);
            count++;
        }
    return fmax(T, sum > 0 ? 0.02 * sum / count : 1e-30);
}

void spi_brute_ref(const struct spi_brute *b, int n, double dx, const float *A,
                   const double quat[4], const float *image, double *score)
{
    const struct spi_pixel_list *l = b->pixels;
    double distance = 0, C = 0, B = 0, S = 0, logs = 0, N = 0;

    for (int64_t p = 0; p < l->n; p++) {
        double K = (double)image[l->pixel[p]], g = (double)l->geometry[p];
        double w = b->inv_var ? (double)b->inv_var[p] : 1;
        double T = value(l, p, quat, n, dx, A);

        distance += (K - g * T) * (K - g * T);
        C += K * T * w;
        B += g * T * T * w;
        if (b->kind == SPI_BRUTE_POISSON) {
            T = floored(b, p, quat, n, dx, A);
            S += g * T;
            N += K;
            logs += K * log(T);
        }
    }
    *score = b->kind == SPI_BRUTE_PUBLISHED  ? -distance / 2
             : b->kind == SPI_BRUTE_GAUSSIAN ? (C > 0 ? C * C / (2 * B) : 0)
                                             : logs - N * log(S);
}
