/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rotations: round trips, conventions, small angles, Procrustes. */
#include <math.h>

#include "math/rot.h"
#include "tap.h"

/* A product of two 3x3 rotations loses a few units in the last place: 3 products and 2 sums
 * per element, entries at most 1; 64 u covers all chains used here. */
static const double tol = 64 * 0x1p-53;

static double largest_difference(const double A[9], const double B[9])
{
    double d = 0;

    for (int i = 0; i < 9; i++)
        d = fmax(d, fabs(A[i] - B[i]));
    return d;
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    double worst = 0, worst_mul = 0, worst_view = 0, worst_fit = 0;

    for (int i = 0; i < 1000; i++) {
        double p[4], q[4], pq[4], P[9], Q[9], PQ[9], R[9], back[4], N[9];

        spi_rot_random(&rng, p);
        spi_rot_random(&rng, q);
        spi_rot_matrix(p, P);
        spi_rot_matrix(q, Q);
        spi_rot_quat(P, back);
        spi_rot_matrix(back, R);
        worst = fmax(worst, largest_difference(P, R));
        spi_quat_mul(p, q, pq);
        spi_rot_matrix(pq, R);
        spi_rot_mul(P, Q, PQ);
        worst_mul = fmax(worst_mul, largest_difference(R, PQ));

        double n[3] = {P[2], P[5], P[8]}, z[3] = {0, 0, 1}, y[3];

        spi_rot_view(n, 0.3, R);
        spi_rot_apply(R, z, y);
        worst_view =
            fmax(worst_view, fabs(y[0] - n[0]) + fabs(y[1] - n[1]) + fabs(y[2] - n[2]));
        spi_rot_nearest(P, N);
        worst_fit = fmax(worst_fit, largest_difference(P, N));
    }
    OK(worst < tol, "matrix -> quaternion -> matrix: %.1f u", worst * 0x1p53);
    OK(worst_mul < tol, "R(p q) = R(p) R(q): %.1f u", worst_mul * 0x1p53);
    OK(worst_view < tol, "a view takes z to its direction: %.1f u", worst_view * 0x1p53);
    OK(worst_fit < 16 * tol, "nearest rotation of a rotation is itself: %.1f u",
       worst_fit * 0x1p53);

    double v[3] = {1e-7, 0, 0}, I[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, R[9];

    spi_rot_from_vector(v, R);
    OK(fabs(spi_rot_angle_between(I, R) / 1e-7 - 1) < 1e-8,
       "an angle of 1e-7 rad is measured");
    v[0] = 1e-4;
    spi_rot_from_vector(v, R);
    OK(largest_difference(I, R) > tol, "a turn of 1e-4 rad is noticed");
    return tap_done();
}
