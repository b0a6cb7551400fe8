/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/rot.h"

#include <math.h>
#include <string.h>

void spi_rot_matrix(const double q[4], double R[9])
{
    double w = q[0], x = q[1], y = q[2], z = q[3];

    R[0] = w * w + x * x - y * y - z * z;
    R[1] = 2 * (x * y - w * z);
    R[2] = 2 * (x * z + w * y);
    R[3] = 2 * (x * y + w * z);
    R[4] = w * w - x * x + y * y - z * z;
    R[5] = 2 * (y * z - w * x);
    R[6] = 2 * (x * z - w * y);
    R[7] = 2 * (y * z + w * x);
    R[8] = w * w - x * x - y * y + z * z;
}

void spi_rot_quat(const double R[9], double q[4])
{
    /* the largest of the four squares is taken, so that nothing is divided by ~0 */
    double s[4] = {1 + R[0] + R[4] + R[8], 1 + R[0] - R[4] - R[8], 1 - R[0] + R[4] - R[8],
                   1 - R[0] - R[4] + R[8]};
    int big = 0;

    for (int i = 1; i < 4; i++)
        if (s[i] > s[big])
            big = i;

    double h = 0.5 / sqrt(s[big]);

    switch (big) {
    case 0:
        q[0] = s[0], q[1] = R[7] - R[5], q[2] = R[2] - R[6], q[3] = R[3] - R[1];
        break;
    case 1:
        q[0] = R[7] - R[5], q[1] = s[1], q[2] = R[1] + R[3], q[3] = R[2] + R[6];
        break;
    case 2:
        q[0] = R[2] - R[6], q[1] = R[1] + R[3], q[2] = s[2], q[3] = R[5] + R[7];
        break;
    default:
        q[0] = R[3] - R[1], q[1] = R[2] + R[6], q[2] = R[5] + R[7], q[3] = s[3];
    }

    double norm = 0;

    if (q[0] < 0)
        h = -h;
    for (int i = 0; i < 4; i++) {
        q[i] *= h;
        norm += q[i] * q[i];
    }
    for (int i = 0; i < 4; i++)
        q[i] /= sqrt(norm);
}

void spi_rot_mul(const double A[9], const double B[9], double C[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            C[3 * i + j] =
                A[3 * i] * B[j] + A[3 * i + 1] * B[3 + j] + A[3 * i + 2] * B[6 + j];
}

void spi_rot_mul_tn(const double A[9], const double B[9], double C[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            C[3 * i + j] = A[i] * B[j] + A[3 + i] * B[3 + j] + A[6 + i] * B[6 + j];
}

void spi_rot_mul_nt(const double A[9], const double B[9], double C[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            C[3 * i + j] = A[3 * i] * B[3 * j] + A[3 * i + 1] * B[3 * j + 1] +
                           A[3 * i + 2] * B[3 * j + 2];
}

void spi_rot_apply(const double A[9], const double x[3], double y[3])
{
    for (int i = 0; i < 3; i++)
        y[i] = A[3 * i] * x[0] + A[3 * i + 1] * x[1] + A[3 * i + 2] * x[2];
}

void spi_rot_apply_t(const double A[9], const double x[3], double y[3])
{
    for (int i = 0; i < 3; i++)
        y[i] = A[i] * x[0] + A[3 + i] * x[1] + A[6 + i] * x[2];
}

void spi_quat_mul(const double p[4], const double q[4], double pq[4])
{
    pq[0] = p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3];
    pq[1] = p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2];
    pq[2] = p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1];
    pq[3] = p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0];
}

double spi_rot_angle_between(const double A[9], const double B[9])
{
    double C[9];

    spi_rot_mul_tn(A, B, C);

    double s = hypot(hypot(C[7] - C[5], C[2] - C[6]), C[3] - C[1]);

    return atan2(s, C[0] + C[4] + C[8] - 1);
}

void spi_rot_from_vector(const double v[3], double R[9])
{
    double angle = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    double s = angle > 0 ? sin(angle / 2) / angle : 0.5;
    double q[4] = {cos(angle / 2), s * v[0], s * v[1], s * v[2]};

    spi_rot_matrix(q, R);
}

/* Largest eigenvector of the symmetric 4 x 4 matrix N by Jacobi rotations. */
static void top_eigenvector(double N[4][4], double v[4])
{
    double V[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};

    for (int sweep = 0; sweep < 50; sweep++)
        for (int p = 0; p < 3; p++)
            for (int q = p + 1; q < 4; q++) {
                if (N[p][q] == 0)
                    continue;

                double theta = (N[q][q] - N[p][p]) / (2 * N[p][q]);
                double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;

                for (int k = 0; k < 4; k++) {
                    double a = N[k][p], b = N[k][q];

                    N[k][p] = c * a - s * b;
                    N[k][q] = s * a + c * b;
                }
                for (int k = 0; k < 4; k++) {
                    double a = N[p][k], b = N[q][k], d = V[k][p], e = V[k][q];

                    N[p][k] = c * a - s * b;
                    N[q][k] = s * a + c * b;
                    V[k][p] = c * d - s * e;
                    V[k][q] = s * d + c * e;
                }
            }

    int best = 0;

    for (int i = 1; i < 4; i++)
        if (N[i][i] > N[best][best])
            best = i;
    for (int i = 0; i < 4; i++)
        v[i] = V[i][best];
}

void spi_rot_nearest(const double A[9], double R[9])
{
    /* Horn 1987: the quaternion that maximises trace(R^T A) is the top eigenvector */
    double N[4][4] = {
        {A[0] + A[4] + A[8], A[7] - A[5], A[2] - A[6], A[3] - A[1]},
        {A[7] - A[5], A[0] - A[4] - A[8], A[1] + A[3], A[2] + A[6]},
        {A[2] - A[6], A[1] + A[3], A[4] - A[0] - A[8], A[5] + A[7]},
        {A[3] - A[1], A[2] + A[6], A[5] + A[7], A[8] - A[0] - A[4]},
    };
    double q[4];

    top_eigenvector(N, q);
    spi_rot_matrix(q, R);
}

void spi_rot_random(struct spi_rng *rng, double quat[4])
{
    double u = spi_rng_uniform(rng), a = 2 * SPI_PI * spi_rng_uniform(rng);
    double b = 2 * SPI_PI * spi_rng_uniform(rng), r1 = sqrt(1 - u), r2 = sqrt(u);

    quat[0] = r2 * cos(b);
    quat[1] = r1 * sin(a);
    quat[2] = r1 * cos(a);
    quat[3] = r2 * sin(b);
}

void spi_rot_to_direction(const double n[3], double R[9])
{
    double s = hypot(n[0], n[1]), c = n[2];
    double cp = s > 0 ? n[0] / s : 1, sp = s > 0 ? n[1] / s : 0;
    double out[9] = {cp * c, -sp, cp * s, sp * c, cp, sp * s, -s, 0, c};

    memcpy(R, out, sizeof out);
}

void spi_rot_view(const double n[3], double a, double R[9])
{
    double Rn[9], Rz[9] = {cos(a), -sin(a), 0, sin(a), cos(a), 0, 0, 0, 1};

    spi_rot_to_direction(n, Rn);
    spi_rot_mul(Rn, Rz, R);
}
