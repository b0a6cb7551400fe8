/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Point groups: order, closure, inverses, orthogonality, the standard frame, bad names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/rot.h"
#include "math/symmetry.h"
#include "tap.h"

/* An element is a product of at most 64 generators made orthogonal each time: 64 x 8 u. */
static const double tol = 512 * 0x1p-53;

static double orthogonality(const double R[9])
{
    double RtR[9], worst = 0, det;

    spi_rot_mul_tn(R, R, RtR);
    for (int k = 0; k < 9; k++)
        worst = fmax(worst, fabs(RtR[k] - (k % 4 == 0)));
    det = R[0] * (R[4] * R[8] - R[5] * R[7]) - R[1] * (R[3] * R[8] - R[5] * R[6]) +
          R[2] * (R[3] * R[7] - R[4] * R[6]);
    return fmax(worst, fabs(det - 1));
}

static double distance_to_group(int n, double (*ops)[9], const double R[9])
{
    double best = 10;

    for (int i = 0; i < n; i++)
        best = fmin(best, spi_rot_angle_between(ops[i], R));
    return best;
}

/* How many of the images of a direction lie in the asymmetric unit: always one. */
static void unit(const char *name, uint64_t seed)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 0);
    double(*ops)[9];
    int n, bad = 0, inside = 0;

    if (spi_symmetry_parse(name, &ops, &n)) {
        OK(0, "%s: %s", name, spi_err_message());
        return;
    }
    for (int i = 0; i < 500; i++) {
        double quat[4], R[9], dir[3], S[3];
        int count = 0;

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, R);
        for (int k = 0; k < 3; k++)
            dir[k] = R[3 * k];
        for (int k = 0; k < n; k++) {
            spi_rot_apply(ops[k], dir, S);
            count += spi_symmetry_in_unit(n, ops, S);
        }
        bad += count != 1;
        inside += spi_symmetry_in_unit(n, ops, dir);
    }
    OK(bad == 0, "%s: one image of each direction is in the asymmetric unit", name);
    /* 500 draws with p = 1/n: 5 standard deviations */
    OK(fabs(inside - 500.0 / n) <= 5 * sqrt(500.0 / n), "%s: %d of 500 lie in it", name,
       inside);
    OK(n == 1 || inside < 500, "%s: not all do", name);
    free(ops);
}

static void group(const char *name, int order)
{
    double(*ops)[9], worst = 0, closed = 0, apart = 10;
    int n;

    if (spi_symmetry_parse(name, &ops, &n)) {
        OK(0, "%s: %s", name, spi_err_message());
        return;
    }
    for (int i = 0; i < n; i++) {
        worst = fmax(worst, orthogonality(ops[i]));
        for (int k = 0; k < n; k++) {
            double R[9];

            spi_rot_mul_tn(ops[i], ops[k], R); /* A^-1 B: closure and inverses at once */
            closed = fmax(closed, distance_to_group(n, ops, R));
            if (i != k)
                apart = fmin(apart, spi_rot_angle_between(ops[i], ops[k]));
        }
    }
    OK(n == order, "%s has %d elements", name, n);
    OK(worst < tol, "%s: rotations to %.1f u", name, worst * 0x1p53);
    OK(closed < tol, "%s: closed to %.1f u", name, closed * 0x1p53);
    OK(apart > 0.09, "%s: elements differ by %.3f rad at least (2 pi / 64 = 0.098)", name,
       apart);
    free(ops);
}

/* Is the rotation by 2 pi / fold about an axis in the group? */
static int has(const char *name, double x, double y, double z, int fold)
{
    double(*ops)[9], R[9], s = 2 * SPI_PI / fold / sqrt(x * x + y * y + z * z);
    double v[3] = {s * x, s * y, s * z}, d;
    int n;

    if (spi_symmetry_parse(name, &ops, &n))
        return 0;
    spi_rot_from_vector(v, R);
    d = distance_to_group(n, ops, R);
    free(ops);
    return d < tol;
}

static void frames(void)
{
    const double phi = (1 + sqrt(5)) / 2;

    OK(has("C7", 0, 0, 1, 7) && !has("C7", 1, 0, 0, 2), "C7: sevenfold z only");
    OK(has("D7", 0, 0, 1, 7) && has("D7", 1, 0, 0, 2), "D7: sevenfold z, twofold x");
    OK(has("T", 0, 0, 1, 2) && has("T", 1, 1, 1, 3) && !has("T", 0, 0, 1, 4), "T: axes");
    OK(has("O", 1, 0, 0, 4) && has("o", 1, 1, 1, 3) && has("O", 1, 1, 0, 2), "O: axes");
    OK(has("I", 1, 0, 0, 2) && has("I", 1, 1, 1, 3) && has("I", 0, 1, phi, 5), "I: axes");
    OK(!has("I", 0, phi, 1, 5), "the other setting of I is told apart");
}

static void rotated(void)
{
    double(*ops)[9], U[9], v[3] = {0.3, -0.7, 0.2}, axis[3] = {0, 0, 1}, u[3], R[9];
    int n;

    NEED(!spi_symmetry_parse("C5", &ops, &n));
    spi_rot_from_vector(v, U);
    spi_rot_apply(U, axis, u);
    for (int k = 0; k < 3; k++)
        u[k] *= 2 * SPI_PI / 5;
    spi_rot_from_vector(u, R);
    OK(distance_to_group(n, ops, R) > 0.1,
       "before the turn the fivefold axis is elsewhere");
    spi_symmetry_rotate(n, ops, U);
    OK(distance_to_group(n, ops, R) < tol, "a rotated group has its axis along U z");
    free(ops);
}

int main(void)
{
    static const char *const bad[] = {"",   "C",  "C0",  "C65", "D",
                                      "Q3", "T3", "C7x", "-C2", "II"};
    double(*ops)[9];
    int n;

    static const char *const form[][2] = {{"c2", "C2"}, {"C02", "C2"},    {"d07", "D7"},
                                          {"t", "T"},   {"auto", "auto"}, {"c0", "c0"}};

    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        char name[16];

        snprintf(name, sizeof name, "%s", form[i][0]);
        spi_symmetry_normalise(name);
        OK(strcmp(name, form[i][1]) == 0, "%s is %s", form[i][0], name);
    }
    group("C1", 1);
    group("c2", 2);
    group("C64", 64);
    group("D2", 4);
    group("D7", 14);
    group("D64", 128);
    group("T", 12);
    group("O", 24);
    group("I", 60);
    frames();
    rotated();
    unit("C1", 1);
    unit("C17", 2);
    unit("D7", 3);
    unit("T", 4);
    unit("O", 5);
    unit("I", 6);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        OK(spi_symmetry_parse(bad[i], &ops, &n) == SPI_EINVAL && !ops &&
               strstr(spi_err_message(), "no point group"),
           "'%s' is refused", bad[i]);
    return tap_done();
}
