/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slices of the fast model against the sum over atoms, at random orientations on the curved
 * Ewald sphere.  The bound is the contract's (sim/model.h): 1e-4 in the relative l2 norm of
 * an image and in the rms of every shell of |q|. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "math/rot.h"
#include "sim/formfactor.h"
#include "sim/model.h"
#include "sim/radial.h"
#include "tap.h"

enum { SIDE = 20, N = SIDE * SIDE, SHELLS = 6 };

static const double bound = 1e-4;

static struct spi_structure structure(const char *name, int assembly)
{
    struct spi_structure_options opt = {
        .assembly = assembly, .waters = false, .hydrogens = true};
    struct spi_structure s;
    char path[512];

    snprintf(path, sizeof path, "%s/structures/%s", getenv("SPI_TEST_DATA"), name);
    if (spi_structure_read(path, &opt, &s))
        NOTE("%s", spi_err_message());
    return s;
}

/* A list of points to |q| = q_max on the Ewald sphere of wavelength lambda. */
static void sphere(double q_max, double lambda, double (*q)[3])
{
    for (int p = 0; p < N; p++) {
        double x = (p % SIDE - (SIDE - 1) / 2.0) / (SIDE / 2.0) * q_max / sqrt(2);
        double y = (p / SIDE - (SIDE - 1) / 2.0) / (SIDE / 2.0) * q_max / sqrt(2);
        double len2 = x * x + y * y, stretch = sqrt(1 - lambda * lambda * len2 / 4);

        q[p][0] = x * stretch; /* |q| stays sqrt(len2) */
        q[p][1] = y * stretch;
        q[p][2] = -lambda * len2 / 2;
    }
}

static double shell_error(double q_max, const double (*q)[3], const float *W,
                          const double *ref, double *l2)
{
    double num[SHELLS] = {0}, den[SHELLS] = {0}, worst = 0, a = 0, b = 0;

    for (int p = 0; p < N; p++) {
        double len = hypot(hypot(q[p][0], q[p][1]), q[p][2]), d = (double)W[p] - ref[p];
        int shell = (int)(len / q_max * SHELLS * 0.9999);

        num[shell] += d * d;
        den[shell] += ref[p] * ref[p];
        a += d * d;
        b += ref[p] * ref[p];
    }
    for (int k = 0; k < SHELLS; k++)
        if (den[k] > 0)
            worst = fmax(worst, sqrt(num[k] / den[k]));
    *l2 = sqrt(a / b);
    return worst;
}

static void one(const char *name, int assembly, bool use_b, double d_A, double lambda,
                int orientations)
{
    struct spi_structure s = structure(name, assembly);
    struct spi_model_options opt = {1 / d_A, use_b};
    struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, 0);
    struct spi_model *m = NULL;
    struct spi_model_points points = {0};
    double q[N][3], quat[4], ref[N], worst = 0, worst_l2 = 0;
    float F[N][2], W[N];

    sphere(1 / d_A, lambda, q);
    if (spi_model_new(&s, &opt, &m) ||
        spi_model_points_init(m, N, (const double(*)[3])q, &points)) {
        OK(false, "%s: %s", name, spi_err_message());
        return;
    }
    for (int k = 0; k < orientations; k++) {
        double l2;

        spi_rot_random(&rng, quat);
        spi_model_slice(m, &points, quat, F, W);
        spi_model_slice_ref(&s, use_b, N, (const double(*)[3])q, quat, ref);
        worst = fmax(worst, shell_error(1 / d_A, (const double(*)[3])q, W, ref, &l2));
        worst_l2 = fmax(worst_l2, l2);
    }
    OK(worst <= bound && worst_l2 <= bound,
       "%s to %g A%s, rank %d: shell error / bound = %.3f, l2 error / bound = %.3f", name,
       d_A, use_b ? " with B" : "", spi_model_rank(m), worst / bound, worst_l2 / bound);

    /* what a wrong convention would give: R instead of R^T, and a flat sphere */
    double back[4] = {quat[0], -quat[1], -quat[2], -quat[3]}, flat[N][3], l2;

    spi_model_slice(m, &points, back, F, W);
    OK(shell_error(1 / d_A, (const double(*)[3])q, W, ref, &l2) > 100 * bound,
       "the inverse rotation is noticed");
    spi_model_points_clear(&points);
    sphere(1 / d_A, 1e-6, flat);
    if (spi_model_points_init(m, N, (const double(*)[3])flat, &points) == SPI_OK) {
        spi_model_slice(m, &points, quat, F, W);
        OK(shell_error(1 / d_A, (const double(*)[3])q, W, ref, &l2) > bound,
           "a flat Ewald sphere is noticed");
    }
    spi_model_points_clear(&points);
    spi_model_free(m);
    spi_structure_clear(&s);
}

/* Two carbon atoms a apart on x: W = (2 f cos(pi q a))^2 for q along x. */
static void two_atoms(void)
{
    struct spi_atom atoms[2] = {{1, 5, 7, 1, 0, 6}, {4, 5, 7, 1, 0, 6}};
    struct spi_structure s = {.n = 2, .atom = atoms};
    double q[1][3] = {{0.2, 0, 0}}, quat[4] = {1, 0, 0, 0}, W;
    double want = pow(2 * spi_formfactor(6, 0.2) * cos(SPI_PI * 0.2 * 3), 2);

    spi_model_slice_ref(&s, false, 1, (const double(*)[3])q, quat, &W);
    OK(fabs(W / want - 1) < 1e-13, "two atoms by hand"); /* tens of roundings of 1e-16 */

    /* rotated by +90 degrees about z the molecule lies along laboratory y */
    double rotated[4] = {sqrt(0.5), 0, 0, sqrt(0.5)}, y[1][3] = {{0, 0.2, 0}};

    spi_model_slice_ref(&s, false, 1, (const double(*)[3])y, rotated, &W);
    OK(fabs(W / want - 1) < 1e-13, "q_mol = R(quat)^T q_lab");
    atoms[0].b_A2 = atoms[1].b_A2 = 20;
    spi_model_slice_ref(&s, true, 1, (const double(*)[3])q, quat, &W);
    OK(fabs(W / (want * exp(-20 * 0.04 / 2)) - 1) < 1e-13, "W falls by exp(-B q^2 / 2)");
}

static void largest(void)
{
    struct spi_structure s = structure("2cex_a.pdb.gz", 0);
    struct spi_model_options opt = {0.1, false};
    struct spi_rng rng = spi_rng_stream(8, SPI_RNG_TEST, 0);
    struct spi_model *m = NULL;
    struct spi_model_points points = {0};
    double q[N][3], quat[4], bound_W = 0, seen = 0, q_min = INFINITY;
    float F[N][2], W[N];

    sphere(0.1, 2, q);
    for (int p = 0; p < N; p++)
        q_min = fmin(q_min, hypot(hypot(q[p][0], q[p][1]), q[p][2]));
    if (spi_model_new(&s, &opt, &m) ||
        spi_model_points_init(m, N, (const double(*)[3])q, &points) ||
        spi_model_largest(m, q_min, 0.1, &bound_W))
        NOTE("%s", spi_err_message());
    for (int k = 0; k < 300; k++) {
        spi_rot_random(&rng, quat);
        spi_model_slice(m, &points, quat, F, W);
        for (int p = 0; p < N; p++)
            seen = fmax(seen, (double)W[p]);
    }
    /* 2.83 is the bound's factor, and the next node inwards may be brighter still */
    OK(seen <= bound_W && bound_W < 8 * seen, "largest W: bound %.3g, seen %.3g", bound_W,
       seen);
    spi_model_points_clear(&points);
    spi_model_free(m);
    spi_structure_clear(&s);
}

static void refused(void)
{
    struct spi_structure none = {0}, s = structure("caffeine.pdb", 0);
    struct spi_model_options opt = {0.5, false}, wild = {13, false};
    struct spi_model *m = NULL;
    struct spi_model_points points;
    double far[1][3] = {{0, 0, 0.6}};

    OK(spi_model_new(&none, &opt, &m) == SPI_EINVAL && !m, "no atoms: %s",
       spi_err_message());
    OK(spi_model_new(&s, &wild, &m) == SPI_EINVAL && !m, "%s", spi_err_message());
    OK(spi_model_new(&s, &opt, &m) == SPI_OK &&
           spi_model_points_init(m, 1, (const double(*)[3])far, &points) == SPI_EINVAL,
       "%s", spi_err_message());
    spi_model_free(m);
    for (int64_t i = 0; i < s.n; i++)
        s.atom[i].x *= 1e4;
    OK(spi_model_new(&s, &opt, &m) == SPI_EINVAL && !m, "%s", spi_err_message());
    spi_structure_clear(&s);
}

int main(void)
{
    two_atoms();
    one("caffeine.pdb", 0, false, 0.8, 1, 5);
    one("1aki.pdb", 0, false, 3, 2, 5);
    one("1aki.pdb", 0, true, 2, 2, 5);
    one("1I3Q.pdb.gz", 0, false, 10, 7.75, 1);
    largest();
    refused();
    return tap_done();
}
