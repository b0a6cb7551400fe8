/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files for the tests of the commands.  compare_samples STRUCTURE DIR writes
 *
 *     moved.mrc   the structure rotated by 40 degrees, shifted by (1, -2, 3) A, inverted
 *     noise.mrc   a map of random numbers
 *     ac.mrc      the autocorrelation of the structure's density
 *     true.h5     random orientations
 *     found.h5    the same in the frame of the rotated map, each wrong by exactly 1 degree
 *     few.h5      the first ten of them
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/atoms.h"
#include "io/mrc.h"
#include "io/orient.h"
#include "math/rot.h"
#include "sim/density.h"

enum { N = 32, IMAGES = 300 };
static const double STEP = 3, DEGREE = SPI_PI / 180;

static spi_err write_map(const char *dir, const char *name, const struct spi_volume *v)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return spi_mrc_write(path, v, NULL);
}

/* x -> -(R x) + shift for each atom. */
static spi_err moved_map(const struct spi_structure *s, const double R[9], const char *dir)
{
    static const double shift[3] = {1, -2, 3};
    struct spi_volume v = {0};
    struct spi_structure m = *s;
    spi_err err;

    SPI_TRY(err = SPI_NEW(m.atom, m.n, "atoms"), out);
    memcpy(m.atom, s->atom, (size_t)m.n * sizeof *m.atom);
    for (int64_t i = 0; i < m.n; i++) {
        const double x[3] = {m.atom[i].x, m.atom[i].y, m.atom[i].z};
        double y[3];

        spi_rot_apply(R, x, y);
        m.atom[i].x = shift[0] - y[0];
        m.atom[i].y = shift[1] - y[1];
        m.atom[i].z = shift[2] - y[2];
    }
    SPI_TRY(err = spi_density_from_structure(&m, N, STEP, 0, &v), out);
    err = write_map(dir, "moved.mrc", &v);
out:
    spi_volume_clear(&v);
    free(m.atom);
    return err;
}

static spi_err noise_map(const char *dir)
{
    struct spi_rng r = spi_rng_stream(11, SPI_RNG_TEST, 0);
    struct spi_volume v;
    spi_err err = spi_volume_init(&v, N, STEP);

    for (size_t i = 0; err == SPI_OK && i < spi_volume_count(&v); i++)
        v.data[i] = (float)spi_rng_normal(&r);
    if (err == SPI_OK)
        err = write_map(dir, "noise.mrc", &v);
    spi_volume_clear(&v);
    return err;
}

/* A(x) = sum_y rho(y) rho(y + x), on coarser voxels: the box must hold twice the particle.
 */
static spi_err autocorrelation_map(const struct spi_structure *s, const char *dir)
{
    struct spi_volume rho = {0}, A = {0};
    double step = 0;
    spi_err err;

    SPI_TRY(err = spi_structure_diameter_A(s, &step), out);
    step *= 2.1 / N;
    SPI_TRY(err = spi_density_from_structure(s, N, step, 0, &rho), out);
    SPI_TRY(err = spi_volume_init(&A, N, step), out);
    for (int d = 0; d < N * N * N; d++) {
        const int dz = d / (N * N) - N / 2, dy = d / N % N - N / 2, dx = d % N - N / 2;
        double sum = 0;

        for (int z = 0; z < N; z++)
            for (int y = 0; y < N; y++) {
                const float *row = rho.data + spi_volume_index(&rho, z, y, 0);
                const float *to = rho.data + spi_volume_index(&rho, (z + dz + N) % N,
                                                              (y + dy + N) % N, 0);

                for (int x = 0; x < N; x++)
                    sum += (double)(row[x] * to[(x + dx + N) % N]);
            }
        A.data[d] = (float)sum;
    }
    err = write_map(dir, "ac.mrc", &A);
out:
    spi_volume_clear(&rho);
    spi_volume_clear(&A);
    return err;
}

static spi_err write_orientations(const char *dir, const char *name, int64_t n,
                                  double *quat)
{
    struct spi_orientations o = {.n = n, .quat = quat};
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return spi_orientations_write(path, &o, "{}");
}

/* q_lab = R_true x_truth and x_map = R x_truth, so R_found = R_true R^T, then an error of
 * one degree about a random axis. */
static spi_err orientations(const double R[9], const char *dir)
{
    struct spi_rng r = spi_rng_stream(11, SPI_RNG_TEST, 1);
    static double truth[IMAGES][4], found[IMAGES][4];
    spi_err err;

    for (int i = 0; i < IMAGES; i++) {
        double T[9], TR[9], axis[4], E[9], F[9], v[3];

        spi_rot_random(&r, truth[i]);
        spi_rot_matrix(truth[i], T);
        spi_rot_mul_nt(T, R, TR);
        for (int k = 0; k < 3; k++)
            axis[k] = spi_rng_normal(&r);
        for (int k = 0; k < 3; k++)
            v[k] = DEGREE * axis[k] /
                   sqrt(axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]);
        spi_rot_from_vector(v, E);
        spi_rot_mul(E, TR, F);
        spi_rot_quat(F, found[i]);
    }
    SPI_TRY(err = write_orientations(dir, "true.h5", IMAGES, truth[0]), out);
    SPI_TRY(err = write_orientations(dir, "found.h5", IMAGES, found[0]), out);
    err = write_orientations(dir, "few.h5", 10, found[0]);
out:
    return err;
}

int main(int argc, char *argv[])
{
    const struct spi_structure_options o = {.hydrogens = true};
    const double turn[3] = {0.3 * 40 * DEGREE, -0.5 * 40 * DEGREE,
                            sqrt(1 - 0.34) * 40 * DEGREE};
    struct spi_structure s = {0};
    double R[9];
    spi_err err;

    if (argc != 3)
        return 2;
    spi_rot_from_vector(turn, R);
    SPI_TRY(err = spi_structure_read(argv[1], &o, &s), out);
    spi_structure_centre(&s);
    SPI_TRY(err = moved_map(&s, R, argv[2]), out);
    SPI_TRY(err = noise_map(argv[2]), out);
    SPI_TRY(err = autocorrelation_map(&s, argv[2]), out);
    err = orientations(R, argv[2]);
out:
    spi_structure_clear(&s);
    if (err)
        fprintf(stderr, "compare_samples: %s\n", spi_err_message());
    return err != SPI_OK;
}
