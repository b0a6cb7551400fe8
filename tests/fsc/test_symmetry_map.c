/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Averages over point groups, and which group an intensity has: synthetic particles with
 * and without one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blobs.h"
#include "fsc/symmetry_map.h"
#include "math/symmetry.h"
#include "tap.h"

enum { N = 44 };
static const double D = 80, radius = 36, sigma = 3;

/* `unit` random blobs, copied by the group, everything rotated at random. */
static struct blobs particle(const char *group, int unit, uint64_t seed)
{
    struct blobs one = blobs_random(seed, unit, radius, sigma), all = {.sigma = sigma};
    struct spi_pose turn = random_pose(seed, 0);
    double(*ops)[9];
    int n;

    turn.inverted = false;
    if (spi_symmetry_parse(group, &ops, &n))
        exit(1);
    for (int i = 0; i < unit; i++)
        for (int k = 0; k < n; k++) {
            spi_rot_apply(ops[k], one.c[i], all.c[all.n]);
            all.a[all.n++] = one.a[i];
        }
    free(ops);
    return blobs_move(&all, &turn);
}

static struct spi_symmetry_found finds(const char *what, const struct blobs *b, double qD,
                                       double noise, const char *group)
{
    struct spi_volume W = {0};
    struct spi_symmetry_found f = {0};

    /* the box is 1 / dq = 2.2 D: W is band-limited by D */
    if (blobs_intensity(b, N, 1 / (2.2 * D), &W)) {
        OK(0, "%s: %s", what, spi_err_message());
        return f;
    }
    if (noise > 0)
        add_noise(&W, noise * rms(&W), 5);
    if (spi_symmetry_find(&W, D, qD / D, 0.98, &f) == SPI_OK)
        OK(strcmp(f.group, group) == 0,
           "%s to q D = %g: %s, score %.3f, between %.3f, level %.3f", what, qD, f.group,
           f.score, f.between, f.level);
    else
        OK(0, "%s: %s", what, spi_err_message());
    spi_volume_clear(&W);
    return f;
}

static void found(const char *group, int unit, double qD)
{
    struct blobs b = particle(group, unit, 3);

    finds(group, &b, qD, 0, group);
}

/* A heavy ring of 60 small blobs and two on its axis: to q D = 6 a body of revolution. */
static void revolution(void)
{
    struct blobs b = {.n = 62, .sigma = sigma};

    for (int i = 0; i < 60; i++) {
        b.c[i][0] = 30 * cos(2 * SPI_PI * i / 60);
        b.c[i][1] = 30 * sin(2 * SPI_PI * i / 60);
        b.a[i] = 1;
    }
    b.c[60][2] = 20, b.c[61][2] = -11;
    b.a[60] = 10, b.a[61] = 7;

    struct spi_symmetry_found f = finds("a body of revolution", &b, 6, 0, "C1");

    OK(f.between >= f.level, "is named as one: %.3f", f.between);
}

/* The average of an asymmetric map is that of its blobs copied by the group. */
static void average(void)
{
    struct blobs one = blobs_random(4, 5, 25, 4), all = {.sigma = 4};
    struct spi_volume v = {0}, want = {0};
    double(*ops)[9], diff = 0, norm = 0, before = 0;
    int n;

    if (spi_symmetry_parse("D3", &ops, &n))
        exit(1);
    for (int i = 0; i < one.n; i++)
        for (int k = 0; k < n; k++) {
            spi_rot_apply(ops[k], one.c[i], all.c[all.n]);
            all.a[all.n++] = one.a[i] / n;
        }
    if (blobs_density(&one, 48, 2, &v) || blobs_density(&all, 48, 2, &want))
        exit(1);
    for (size_t i = 0; i < spi_volume_count(&v); i++) {
        before += pow((double)v.data[i] - (double)want.data[i], 2);
        norm += (double)want.data[i] * (double)want.data[i];
    }
    if (spi_symmetry_average(&v, n, (const double(*)[9])ops))
        OK(0, "%s", spi_err_message());
    for (size_t i = 0; i < spi_volume_count(&v); i++)
        diff += pow((double)v.data[i] - (double)want.data[i], 2);
    /* spi_pose_apply is good to 1e-4 of the map's rms; frequencies beyond 1/(2 step) are
     * exp(-2 pi^2 4^2 / 4^2) = 3e-9 */
    OK(sqrt(diff / norm) < 1e-3, "average over D3: error %.1e", sqrt(diff / norm));
    OK(sqrt(before / norm) > 0.1, "before it was another map: %.2f", sqrt(before / norm));
    spi_volume_clear(&v);
    spi_volume_clear(&want);
    free(ops);
}

int main(void)
{
    struct blobs none = particle("C1", 60, 9), near = particle("D7", 6, 3);

    average();
    found("C4", 10, 5);
    found("D7", 6, 5);
    found("C11", 8, 9);
    found("T", 6, 5);
    finds("D7 with 5 % noise", &near, 5, 0.05, "D7");
    finds("no group", &none, 6, 0, "C1");
    revolution();
    /* a third of the mass elsewhere: no group any more */
    for (int i = 0; i < near.n; i += 3)
        near.c[i][0] += 15;
    finds("D7 with a third of it moved", &near, 5, 0, "C1");
    return tap_done();
}
