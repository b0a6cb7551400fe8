/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Orientation errors with a known global rotation, group, Friedel flips and garbage. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blobs.h"
#include "fsc/orient_error.h"
#include "math/symmetry.h"
#include "tap.h"

enum { N = 600 };

/* Median length of a vector of three normal deviates (Maxwell): 1.538 sigma. */
static const double maxwell = 1.5382;

struct recipe {
    double sigma_deg;        /* of each component of the error's rotation vector */
    double garbage, flipped; /* fractions */
    int n_group;
    double (*group)[9];
};

/* est = Z E R_true S G^T, S any element of the group, Z the flip if there is one. */
static void make(const struct recipe *r, const double G[9], double *est, double *truth)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, 0);
    static const double half_turn[9] = {-1, 0, 0, 0, -1, 0, 0, 0, 1};

    for (int i = 0; i < N; i++) {
        double T[9], A[9], B[9], v[3];

        spi_rot_random(&rng, truth + 4 * i);
        spi_rot_matrix(truth + 4 * i, T);
        if (spi_rng_uniform(&rng) < r->garbage) {
            spi_rot_random(&rng, est + 4 * i);
            continue;
        }
        for (int k = 0; k < 3; k++)
            v[k] = r->sigma_deg * SPI_PI / 180 * spi_rng_normal(&rng);
        spi_rot_from_vector(v, A);
        spi_rot_mul(A, T, B);
        if (r->n_group) {
            spi_rot_mul(B, r->group[spi_rng_below(&rng, (uint32_t)r->n_group)], A);
            memcpy(B, A, sizeof B);
        }
        spi_rot_mul_nt(B, G, A);
        if (spi_rng_uniform(&rng) < r->flipped) {
            spi_rot_mul(half_turn, A, B);
            memcpy(A, B, sizeof A);
        }
        spi_rot_quat(A, est + 4 * i);
        for (int k = 0; k < 4; k++)
            est[4 * i + k] *= i % 2 ? -1.5 : 1; /* neither sign nor length may matter */
    }
}

static double run(const struct recipe *r, bool use_group, struct spi_orient_error *e)
{
    static double est[4 * N], truth[4 * N];
    double G[9], v[3] = {1.1, -0.4, 2.0}, best = 180;

    spi_rot_from_vector(v, G);
    make(r, G, est, truth);
    if (spi_orient_error_compute(N, est, truth, use_group ? &r->group[0][0] : NULL,
                                 use_group ? r->n_group : 0, e))
        return 180;
    /* G is known modulo the group: est ~ true S G^T, so any S' G^T will do: G S'^T */
    for (int k = 0; k < (r->n_group ? r->n_group : 1); k++) {
        double GS[9];

        memcpy(GS, G, sizeof GS);
        if (r->n_group)
            spi_rot_mul_nt(G, r->group[k], GS);
        best = fmin(best, degrees_between(e->G, GS));
    }
    return best;
}

static void asymmetric(void)
{
    struct spi_orient_error e;
    struct recipe r = {0};
    double off = run(&r, false, &e);

    /* quaternions from matrices: 1e-15 rad, and the sum of 600 of them */
    OK(off < 1e-10 && e.median_deg < 1e-10 && e.p90_deg < 1e-10, "exact: %.1e degrees",
       off);
    OK(e.inliers == 1, "all are inliers");
    spi_orient_error_clear(&e);

    r.sigma_deg = 1;
    off = run(&r, false, &e);
    /* G is a mean of N: error sigma sqrt(3/N), 5 of them; the median of N values has a
     * standard error of about 1.25 x 0.67 sigma / sqrt(N) = 2.2 % of it: 6 of these */
    OK(off < 5 * sqrt(3.0 / N), "errors of 1 degree: G is off by %.3f degrees", off);
    OK(fabs(e.median_deg / maxwell - 1) < 6 * 0.022, "median %.3f degrees", e.median_deg);
    OK(e.p90_deg > e.median_deg && fabs(e.median_flip_deg - e.median_deg) < 0.02,
       "90 %%: %.2f, with flips %.3f", e.p90_deg, e.median_flip_deg);
    spi_orient_error_clear(&e);

    r.garbage = 0.45;
    off = run(&r, false, &e);
    OK(off < 5 * sqrt(3.0 / (0.5 * N)), "45 %% garbage: G is off by %.3f degrees", off);
    OK(fabs(e.inliers - 0.55) < 6 * sqrt(0.25 / N), "inliers %.2f", e.inliers);
    OK(e.p90_deg > 60, "the garbage is seen: p90 %.0f degrees", e.p90_deg);
    spi_orient_error_clear(&e);

    r.garbage = 0;
    r.flipped = 0.6;
    off = run(&r, false, &e);
    OK(off < 5 * sqrt(3.0 / (0.35 * N)), "60 %% flips: G is off by %.3f degrees", off);
    OK(e.median_deg > 12, "flips are errors in the strict sense: %.0f degrees",
       e.median_deg);
    OK(fabs(e.median_flip_deg / maxwell - 1) < 6 * 0.022, "and none with the flip: %.3f",
       e.median_flip_deg);
    spi_orient_error_clear(&e);
}

static void symmetric(const char *name)
{
    struct spi_orient_error e, again;
    struct recipe r = {.sigma_deg = 1, .garbage = 0.4};
    double U[9], v[3] = {0.4, 0.9, -0.3}, off;

    NEED(!spi_symmetry_parse(name, &r.group, &r.n_group));
    spi_rot_from_vector(v, U);
    spi_symmetry_rotate(r.n_group, r.group, U);
    off = run(&r, true, &e);
    OK(off < 5 * sqrt(3.0 / (0.6 * N)), "%s: G modulo the group is off by %.3f degrees",
       name, off);
    OK(fabs(e.inliers - 0.6) < 6 * sqrt(0.25 / N) + 0.005 * r.n_group,
       "%s: inliers %.2f (garbage hits an element by chance)", name, e.inliers);
    if (run(&r, true, &again) < 180) {
        OK(memcmp(e.error_deg, again.error_deg, N * sizeof(double)) == 0,
           "%s: the same call gives the same bits", name);
        spi_orient_error_clear(&again);
    }
    spi_orient_error_clear(&e);
    run(&r, false, &e);
    OK(e.inliers < 0.5, "%s: without the group only %.2f are inliers", name, e.inliers);
    spi_orient_error_clear(&e);
    free(r.group);
}

static void bad(void)
{
    double good[8] = {1, 0, 0, 0, 0, 1, 0, 0}, zero[8] = {1, 0, 0, 0},
           nan[8] = {1, NAN, 0, 0};
    struct spi_orient_error e;

    OK(spi_orient_error_compute(0, good, good, NULL, 0, &e) == SPI_EINVAL,
       "none is refused");
    OK(spi_orient_error_compute(2, good, zero, NULL, 0, &e) == SPI_EINVAL &&
           strstr(spi_err_message(), "truth 1"),
       "a zero quaternion is named");
    OK(spi_orient_error_compute(2, nan, good, NULL, 0, &e) == SPI_EINVAL &&
           strstr(spi_err_message(), "estimate 0"),
       "NaN is named");
    OK(spi_orient_error_compute(1, good, good + 4, NULL, 0, &e) == SPI_OK &&
           e.median_deg < 1e-6 && e.p90_deg < 1e-6,
       "one image can always be matched");
    spi_orient_error_clear(&e);
}

int main(void)
{
    asymmetric();
    symmetric("D7");
    symmetric("I");
    bad();
    return tap_done();
}
