/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Density of atoms on a grid against the sums as they are written in doc/math.md (D1). */
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "math/rot.h"
#include "sim/density.h"
#include "sim/formfactor.h"
#include "tap.h"

enum { N = 16, ATOMS = 700, VOXELS = 40 }; /* more atoms of one kind than a block holds */
static const double STEP = 2.3;

static struct spi_atom atom[ATOMS];
static struct spi_structure s = {.n = ATOMS, .atom = atom};

static void random_atoms(void)
{
    static const uint8_t element[] = {6, 6, 6, 6, 6, 6, 6, 6, 7, 8, 16, 26};
    struct spi_rng r = spi_rng_stream(3, SPI_RNG_TEST, 0);
    double edge = N * STEP / 2;

    for (int i = 0; i < ATOMS; i++)
        atom[i] = (struct spi_atom){
            .x = edge * (2 * spi_rng_uniform(&r) - 1),
            .y = edge * (2 * spi_rng_uniform(&r) - 1),
            .z = edge * (2 * spi_rng_uniform(&r) - 1),
            .occupancy = (float)spi_rng_uniform(&r),
            .b_A2 = (float)(40 * spi_rng_uniform(&r)),
            .element = element[spi_rng_below(&r, sizeof element)],
        };
}

/* F(q), and the sum of |terms| for the bound. */
static double complex structure_factor(const double q[3], double *size)
{
    double q2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];
    double complex F = 0;

    *size = 0;
    for (int i = 0; i < ATOMS; i++) {
        double f = (double)atom[i].occupancy * spi_formfactor(atom[i].element, sqrt(q2)) *
                   exp(-(double)atom[i].b_A2 * q2 / 4);

        F += f * cexp(-2 * SPI_PI * (double complex)I *
                      (q[0] * atom[i].x + q[1] * atom[i].y + q[2] * atom[i].z));
        *size += fabs(f);
    }
    return F;
}

/* Largest |rho - sum| over some voxels in units of its bound.
 *
 * Each of the 2 m + 8 roundings of a part of F is at most u = 2^-24 times a partial sum,
 * and no partial sum exceeds S = sum |f|; the FFT adds 6 roundings in each of log2(n^3)
 * passes. If they are independent with mean zero (Higham and Mary, SIAM J. Sci. Comput. 41
 * (2019) A2815) the error of a voxel has a spread below u (dq^3) sqrt(sum_q (2 (2m + 8) + 6
 * log2 n^3) S(q)^2); six of them are exceeded by chance in 120 voxels with 120 * 2 exp(-18)
 * = 4e-6. */
static double worst_ratio(const struct spi_volume *v, double q_max)
{
    const double dq = 1 / (N * STEP), u = 0x1p-24;
    double complex *rho = calloc(VOXELS, sizeof *rho);
    double bound = 0, worst = 0;
    int at[VOXELS][3];
    struct spi_rng r = spi_rng_stream(3, SPI_RNG_TEST, 1);

    for (int i = 0; i < VOXELS; i++)
        for (int k = 0; k < 3; k++)
            at[i][k] = (int)spi_rng_below(&r, N);
    for (int kz = -N / 2 + 1; kz < N / 2; kz++)
        for (int ky = -N / 2 + 1; ky < N / 2; ky++)
            for (int kx = -N / 2 + 1; kx < N / 2; kx++) {
                const double q[3] = {kx * dq, ky * dq, kz * dq};
                double size;

                if (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] > q_max * q_max)
                    continue;

                double complex F = structure_factor(q, &size) * pow(dq, 3);

                bound += size * size * (2 * (2 * ATOMS + 8) + 6 * log2(N * N * N));
                for (int i = 0; i < VOXELS; i++)
                    rho[i] += F * cexp(2 * SPI_PI * (double complex)I *
                                       (kx * (at[i][2] - N / 2) + ky * (at[i][1] - N / 2) +
                                        kz * (at[i][0] - N / 2)) /
                                       N);
            }
    bound = 6 * u * pow(dq, 3) * sqrt(bound);
    for (int i = 0; i < VOXELS; i++) {
        size_t k = spi_volume_index(v, at[i][0], at[i][1], at[i][2]);

        worst = fmax(worst, fabs((double)v->data[k] - creal(rho[i])) / bound);
    }
    free(rho);
    return worst;
}

static void against_the_sums(double q_max, double limit)
{
    struct spi_volume v;
    spi_err err = spi_density_from_structure(&s, N, STEP, q_max, &v);
    double ratio = err ? HUGE_VAL : worst_ratio(&v, limit);

    OK(ratio <= 1, "q_max %g: %.4f of the bound", q_max, ratio);
    if (err == SPI_OK) {
        double sum = 0, electrons = 0, cell = STEP * STEP * STEP;

        for (size_t i = 0; i < spi_volume_count(&v); i++)
            sum += (double)v.data[i];
        for (int i = 0; i < ATOMS; i++)
            electrons += (double)atom[i].occupancy * spi_formfactor(atom[i].element, 0);
        OK(fabs(sum * cell / electrons - 1) < gamma_f32(2 * ATOMS),
           "%.1f electrons of %.1f", sum * cell, electrons);
        atom[0].x -= copysign(STEP, atom[0].x);
        OK(worst_ratio(&v, limit) > 1,
           "one atom of 700 moved by a voxel is noticed: %.1f of the bound",
           worst_ratio(&v, limit));
        random_atoms();
    }
    spi_volume_clear(&v);
}

int main(void)
{
    struct spi_volume v;

    random_atoms();
    against_the_sums(0, 0.5 / STEP);
    against_the_sums(0.12, 0.12);
    against_the_sums(99, 0.5 / STEP);

    OK(spi_density_from_structure(&s, 15, STEP, 0, &v) == SPI_EINVAL, "%s",
       spi_err_message());
    OK(spi_density_from_structure(&s, N, NAN, 0, &v) == SPI_EINVAL, "%s",
       spi_err_message());
    atom[5].y = N * STEP;
    OK(spi_density_from_structure(&s, N, STEP, 0, &v) == SPI_EINVAL &&
           strstr(spi_err_message(), "atom 6 "),
       "%s", spi_err_message());
    return tap_done();
}
