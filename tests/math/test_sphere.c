/* SPDX-License-Identifier: GPL-3.0-or-later */
/* View directions: how evenly they lie, and finding neighbours against looking at all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "math/rot.h"
#include "math/sphere.h"
#include "tap.h"

enum { MAX = 2000 };

static double cosine(const double *a, const double *b)
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void check_even(int64_t n)
{
    double sum[3] = {0}, length = 0, nearest = -1, farthest = 1;
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, 0);

    for (int64_t i = 0; i < n; i++) {
        double p[3], best = -1;

        spi_sphere_point(n, i, p);
        length = fmax(length, fabs(cosine(p, p) - 1));
        for (int c = 0; c < 3; c++)
            sum[c] += p[c] / (double)n;
        for (int64_t j = 0; j < n; j++) {
            double q[3];

            spi_sphere_point(n, j, q);
            best = j != i ? fmax(best, cosine(p, q)) : best;
        }
        nearest = fmax(nearest, best);
    }
    for (int i = 0; i < 300; i++) { /* holes: random directions, and the poles */
        double quat[4], R[9], z[3], best = -1;

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, R);
        for (int c = 0; c < 3; c++)
            z[c] = i < 2 ? (c == 2) * (i ? 1 : -1) : R[3 * c + 2];
        for (int64_t j = 0; j < n; j++) {
            double q[3];

            spi_sphere_point(n, j, q);
            best = fmax(best, cosine(z, q));
        }
        farthest = fmin(farthest, best);
    }
    double cell = sqrt(4 * SPI_PI / (double)n);

    OK(length < 8 * 0x1p-52, "%lld unit vectors", (long long)n); /* a few roundings */
    /* z is exact midpoints: its mean is 0; x, y: the golden angle's discrepancy, below 2 /
     * n^(3/4) */
    OK(fabs(sum[2]) < 1e-12 && hypot(sum[0], sum[1]) < 2 / pow((double)n, 0.75),
       "no direction "
       "is preferred: %.1e",
       hypot(sum[0], sum[1]));
    /* known of the golden spiral: neighbours not below 0.8 cells but at the poles (0.6),
     * holes at most 1 cell: the local searches rely on 1.25 */
    OK(acos(nearest) > 0.6 * cell, "closest neighbours: %.2f cells", acos(nearest) / cell);
    OK(acos(farthest) < 1.0 * cell, "largest hole: %.2f cells", acos(farthest) / cell);
    OK(acos(farthest) > 0.3 * cell, "a grid twice as fine would be noticed");
}

static void check_near(int64_t n)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    static const double radius[] = {0, 0.05, 0.3, 1, 2.5, 3.2};
    int32_t index[MAX];
    int same = 1, cut = 1, total = 0;

    for (int t = 0; t < 60; t++) {
        double quat[4], R[9], dir[3], q[3];
        int found, expect = 0;

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, R);
        for (int c = 0; c < 3; c++)
            dir[c] = t < 6 ? (c == 2) : t < 12 ? -(c == 2) : R[3 * c + 2];
        found = spi_sphere_near(n, dir, radius[t % 6], MAX, index);
        for (int64_t i = 0; i < n; i++) {
            spi_sphere_point(n, i, q);
            if (cosine(q, dir) >= cos(radius[t % 6]) || radius[t % 6] > SPI_PI) {
                if (radius[t % 6] > SPI_PI)
                    continue;
                same &= expect < found && index[expect] == i;
                expect++;
            }
        }
        same &= radius[t % 6] > SPI_PI || expect == found;
        total += expect;
        memset(index, 0xff, sizeof index);
        cut &= spi_sphere_near(n, dir, radius[t % 6], 3, index) == found && index[3] == -1;
    }
    OK(same && total > 100, "neighbours as by looking at all %lld (%d found)", (long long)n,
       total);
    OK(cut, "never more than asked are written");
}

/* A grid too large to look at all: of caps a few cells wide the points of their band. */
static void check_near_fine(int64_t n)
{
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, 0);
    double radius = 3 * sqrt(4 * SPI_PI / (double)n);
    int same = 1, total = 0;

    for (int t = 0; t < 40; t++) {
        int32_t index[MAX];
        double dir[3], q[3];
        int found, expect = 0;

        spi_sphere_point(n, t < 20 ? (int64_t)t : (int64_t)spi_rng_below(&rng, (uint32_t)n),
                         dir);
        found = spi_sphere_near(n, dir, radius, MAX, index);
        for (int64_t i = 0; i < n; i++) {
            if (fabs(1 - (2 * (double)i + 1) / (double)n - dir[2]) > radius)
                continue;
            spi_sphere_point(n, i, q);
            if (cosine(q, dir) < cos(radius))
                continue;
            same &= expect < found && index[expect] == i;
            expect++;
        }
        same &= expect == found;
        total += found;
    }
    OK(same && total > 20 * 40, "neighbours on a grid of %lld (%d found)", (long long)n,
       total);
}

/* Largest angle between two of 16 that follow each other, cells. */
static double widest(int64_t n, const int32_t *order)
{
    enum { RUN = 16 };
    double cell = sqrt(4 * SPI_PI / (double)n), least = 1;

    for (int64_t i = 0; i < n; i += RUN)
        for (int64_t j = i; j < n && j < i + RUN; j++)
            for (int64_t k = i; k < j; k++) {
                double a[3], b[3];

                spi_sphere_point(n, order[j], a);
                spi_sphere_point(n, order[k], b);
                least = fmin(least, cosine(a, b));
            }
    return acos(least) / cell;
}

/* Bands 4 cells high: 16 points in a row fill 4 x 4 cells; where they are the end of one
 * band and the beginning of the next, or turn about the pole, they are within 8 x 8. */
static void check_order(int64_t n)
{
    int32_t *order = calloc((size_t)n, sizeof *order),
            *grid = calloc((size_t)n, sizeof *grid);
    double wide;
    int once = 1;

    if (spi_sphere_order(n, 4 * sqrt(4 * SPI_PI / (double)n), order))
        OK(0, "%s", spi_err_message());
    for (int64_t i = 0; i < n; i++)
        grid[order[i]]++;
    for (int64_t i = 0; i < n; i++) {
        once &= grid[i] == 1;
        grid[i] = (int32_t)i;
    }
    wide = widest(n, order);
    OK(once, "the order of %lld has each once", (long long)n);
    OK(wide < 8 * sqrt(2), "16 in a row lie within %.1f cells", wide);
    OK(widest(n, grid) > 8 * sqrt(2), "the order of the grid would be noticed");
    free(order), free(grid);
}

/* Random directions fall into patches evenly: with e = 40 in each on average, chi2 per
 * degree of freedom is 1 +- sqrt(2 / n); five of these, fixed seed. */
static void check_patches(int64_t ask)
{
    enum { MEAN = 40, MOST = 3000 };
    struct spi_patches p;
    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, 0);
    static int64_t n[MOST];
    double chi2 = 0, tilted = 0;
    int inside = 1;

    if (spi_patches_init(&p, ask) || p.n > MOST) {
        OK(0, "%s", spi_err_message());
        return;
    }
    memset(n, 0, sizeof n);
    for (int64_t i = 0; i < p.n * MEAN; i++) {
        double quat[4], R[9];
        int64_t at;

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, R);
        at = spi_patch_of(&p, R);
        inside &= at >= 0 && at < p.n;
        n[inside ? at : 0]++;
    }
    for (int64_t i = 0; i < p.n; i++) {
        double d = (double)n[i] - MEAN, t = d + 0.5 * MEAN * (i < p.n / 2 ? 1 : -1);

        chi2 += d * d / MEAN / (double)(p.n - 1);
        tilted += t * t / MEAN / (double)(p.n - 1);
    }

    double five = 5 * sqrt(2 / ((double)p.n - 1));

    OK(inside && p.n >= ask * 0.9 && p.n <= ask * 1.1 + 1, "%lld patches for %lld",
       (long long)p.n, (long long)ask);
    OK(fabs(chi2 - 1) < five, "random directions: chi2 %.3f, needed 1 +- %.3f", chi2, five);
    OK(fabs(tilted - 1) > five, "uneven ones are noticed");

    const double up[3] = {0, 0, 1}, down[3] = {0, 0, -1}, back[3] = {-1, -0.0, 0};
    const double side[3] = {1, -1e-300, 0};

    OK(spi_patch_of(&p, up) < p.first[1] &&
           spi_patch_of(&p, down) >= p.first[p.bands - 1] && spi_patch_of(&p, back) < p.n &&
           spi_patch_of(&p, side) < p.n,
       "poles and the cut");
    spi_patches_clear(&p);
}

int main(void)
{
    check_order(1146);
    check_order(20000);
    check_even(300);
    check_even(1226);
    check_near(500);
    check_near(12);
    check_near_fine(3000000);
    OK(spi_sphere_count(10) == 12 && spi_sphere_count(0.1) == 1257, "4 pi / cell^2 points");
    check_patches(12);
    check_patches(300);
    check_patches(2500);
    return tap_done();
}
