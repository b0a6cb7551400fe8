/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The axes of symmetric particles rotated at random. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blobs.h"
#include "fsc/symmetry_fit.h"
#include "math/symmetry.h"
#include "tap.h"

enum { UNIT = 12 }; /* points of an asymmetric unit */

static const double diameter_A = 100;

/* A particle whose standard frame is rotated by `turn`; the centre is not 0. */
static spi_err particle(int n_ops, double (*ops)[9], const double turn[9],
                        struct spi_volume *map)
{
    enum { SIDE = 72 };
    struct blobs unit = blobs_random(7, UNIT, 40, 3), *all = calloc(1, sizeof *all);
    spi_err err;

    if (!all)
        exit(1);
    all->sigma = 1.8;
    for (int i = 0; i < UNIT; i++)
        for (int k = 0; k < n_ops && all->n < BLOBS_MAX; k++, all->n++) {
            double y[3], *out = all->c[all->n];

            spi_rot_apply(ops[k], unit.c[i], y);
            spi_rot_apply(turn, y, out);
            out[2] += 5;
            all->a[all->n] = 1;
        }
    err = blobs_density(all, SIDE, 1.8, map);
    free(all);
    return err;
}

static spi_err fit(const char *group, const struct spi_volume *map, double U[9], double *cc)
{
    return spi_symmetry_fit_map(group, map, diameter_A, 1 / (3 * map->step), U, cc);
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
    struct spi_volume map = {0};
    double(*ops)[9], U[9], cc, off;
    int n;

    NEED(!spi_symmetry_parse(name, &ops, &n));
    if (!particle(n, ops, turn.R, &map) && !fit(name, &map, U, &cc)) {
        off = worst_element(n, ops, U, turn.R);
        /* the search ends at 0.005 of a Shannon angle at q D = 10, 0.014 degrees, on each
         * of three axes; an element turns by up to twice that: 0.05 */
        OK(off < 0.06 && cc > 0.99,
           "%s: elements within %.3f degrees, self-correlation %.4f", name, off, cc);
    } else {
        OK(0, "%s: %s", name, spi_err_message());
    }
    spi_volume_clear(&map);
    free(ops);
}

int main(void)
{
    static const char *const names[] = {"C2", "C7", "D2", "D7", "T", "O", "I"};
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct spi_volume map = {0};
    double(*ops)[9], U[9], cc;
    int n;

    for (uint64_t i = 0; i < sizeof names / sizeof *names; i++)
        fits(names[i], 40 + i);
    if (spi_symmetry_parse("C7", &ops, &n) || particle(n, ops, identity, &map))
        return 1;
    OK(fit("D7", &map, U, &cc) == SPI_OK && cc < 0.8,
       "a C7 particle is not D7: self-correlation %.3f", cc);
    OK(fit("C1", &map, U, &cc) == SPI_OK && cc == 1, "C1 always fits");
    OK(fit("X7", &map, U, &cc) == SPI_EINVAL, "no such group");
    map.data[4] = NAN;
    OK(fit("C2", &map, U, &cc) == SPI_EINVAL, "NaN");
    spi_volume_clear(&map);
    free(ops);
    return tap_done();
}
