/* The axes of symmetric particles turned at random. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blobs.h"
#include "fsc/symmetry_fit.h"
#include "math/symmetry.h"
#include "tap.h"

enum { UNIT = 12 }; /* points of an asymmetric unit */

/* Points of a particle whose standard frame is turned by `turn`; the centre is not 0. */
static double *particle(int n_ops, double (*ops)[9], const double turn[9])
{
    struct blobs b = blobs_random(7, UNIT, 40, 3);
    double *xyz = malloc(sizeof *xyz * 3 * UNIT * (size_t)n_ops);

    if (!xyz)
        exit(1);
    for (int i = 0; i < UNIT; i++)
        for (int k = 0; k < n_ops; k++) {
            double y[3], *out = xyz + 3 * (i * n_ops + k);

            spi_rot_apply(ops[k], b.c[i], y);
            spi_rot_apply(turn, y, out);
            out[2] += 25;
        }
    return xyz;
}

/* Largest distance of an element of the fitted group from the nearest of the true one. */
static double worst_element(int n, double (*ops)[9], const double U[9],
                            const double turn[9])
{
    double worst = 0;

    for (int k = 0; k < n; k++) {
        double A[9], B[9], best = 180;

        spi_rot_mul(U, ops[k], A);
        spi_rot_mul_nt(A, U, B);
        for (int j = 0; j < n; j++) {
            double C[9], E[9];

            spi_rot_mul(turn, ops[j], C);
            spi_rot_mul_nt(C, turn, E);
            best = fmin(best, degrees_between(B, E));
        }
        worst = fmax(worst, best);
    }
    return worst;
}

static void fits(const char *name, uint64_t seed)
{
    struct spi_pose turn = random_pose(seed, 0);
    double(*ops)[9], *xyz, U[9], cc, off;
    int n;

    if (spi_symmetry_parse(name, &ops, &n))
        return;
    xyz = particle(n, ops, turn.R);
    if (spi_symmetry_fit_points(name, n * UNIT, xyz, NULL, U, &cc) == SPI_OK) {
        off = worst_element(n, ops, U, turn.R);
        /* the search ends at 0.005 of a Shannon angle at q D = 10, 0.014 degrees, on each
         * of three axes; an element turns by up to twice that: 0.05 */
        OK(off < 0.06 && cc > 0.99,
           "%s: elements within %.3f degrees, self-correlation %.4f", name, off, cc);
    } else {
        OK(0, "%s: %s", name, spi_err_message());
    }
    free(xyz);
    free(ops);
}

int main(void)
{
    static const char *const names[] = {"C2", "C7", "D2", "D7", "T", "O", "I"};
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double(*ops)[9], *xyz, U[9], cc;
    int n;

    for (uint64_t i = 0; i < sizeof names / sizeof *names; i++)
        fits(names[i], 40 + i);
    if (spi_symmetry_parse("C7", &ops, &n))
        return 1;
    xyz = particle(n, ops, identity);
    OK(spi_symmetry_fit_points("D7", n * UNIT, xyz, NULL, U, &cc) == SPI_OK && cc < 0.8,
       "a C7 particle is not D7: self-correlation %.3f", cc);
    OK(spi_symmetry_fit_points("C1", n * UNIT, xyz, NULL, U, &cc) == SPI_OK && cc == 1,
       "C1 always fits");
    OK(spi_symmetry_fit_points("X7", n * UNIT, xyz, NULL, U, &cc) == SPI_EINVAL,
       "no such group");
    OK(spi_symmetry_fit_points("C2", 1, xyz, NULL, U, &cc) == SPI_EINVAL, "one point");
    xyz[4] = NAN;
    OK(spi_symmetry_fit_points("C2", n * UNIT, xyz, NULL, U, &cc) == SPI_EINVAL, "NaN");
    free(xyz);
    free(ops);
    return tap_done();
}
