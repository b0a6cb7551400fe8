/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/orient_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"

enum { CANDIDATES = 200, VOTERS = 300, ROUNDS = 5 };

/* Rotations within this angle count as right, EXPERIMENTS of the method: well above a
 * Shannon angle, far below a random orientation (median 130 degrees). */
static const double inlier_rad = 12 * SPI_PI / 180;

/* All in unit quaternions: they make an angle one dot product. */
struct problem {
    int64_t n;
    double (*est)[4], (*truth)[4]; /* [n], owned */
    int n_group;
    double (*group)[4]; /* [n_group], owned */
};

static void problem_clear(struct problem *p)
{
    free(p->est);
    free(p->truth);
    free(p->group);
}

static spi_err unit_quaternions(const char *what, int64_t n, const double *from,
                                double (**out)[4])
{
    *out = spi_alloc((size_t)n, sizeof **out, "orientations");
    if (!*out)
        return SPI_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        const double *q = from + 4 * i;
        double norm = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);

        if (!(norm > 0 && isfinite(norm)))
            return spi_fail(SPI_EINVAL,
                            "orientation error: %s %lld is (%g, %g, %g, %g); need a finite "
                            "quaternion that is not zero",
                            what, (long long)i, q[0], q[1], q[2], q[3]);
        for (int k = 0; k < 4; k++)
            (*out)[i][k] = q[k] / norm;
    }
    return SPI_OK;
}

static spi_err problem_init(int64_t n, const double *est, const double *truth,
                            const double *group, int n_group, struct problem *p)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    spi_err err;

    *p = (struct problem){.n = n, .n_group = n_group > 0 ? n_group : 1};
    if (n < 1)
        return spi_fail(SPI_EINVAL, "orientation error: %lld orientations; need at least 1",
                        (long long)n);
    if ((err = unit_quaternions("estimate", n, est, &p->est)) != SPI_OK ||
        (err = unit_quaternions("truth", n, truth, &p->truth)) != SPI_OK)
        return err;
    p->group = spi_alloc((size_t)p->n_group, sizeof *p->group, "point group");
    if (!p->group)
        return SPI_ENOMEM;
    for (int k = 0; k < p->n_group; k++)
        spi_rot_quat(n_group > 0 ? group + 9 * k : identity, p->group[k]);
    return SPI_OK;
}

/* cos(half the angle) between two rotations. */
static double half_cos(const double a[4], const double b[4])
{
    return fabs(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]);
}

/* acos(c) loses half the digits at c = 1; the sine of the half angle is from the vector
 * part of conj(a) b instead. */
static double angle_rad(const double a[4], const double b[4])
{
    double conj[4] = {a[0], -a[1], -a[2], -a[3]}, d[4];

    spi_quat_mul(conj, b, d);
    return 2 * atan2(sqrt(d[1] * d[1] + d[2] * d[2] + d[3] * d[3]), fabs(d[0]));
}

/* The element S for which truth S is nearest to `rotated` = est G, (F11); flip: Rz(pi)
 * truth S.  Returns the angle. */
static double nearest(const struct problem *p, int64_t i, const double rotated[4],
                      bool flip, double best[4])
{
    static const double half_turn[4] = {0, 0, 0, 1};
    double truth[4], c_best = -1;

    memcpy(truth, p->truth[i], sizeof truth);
    if (flip)
        spi_quat_mul(half_turn, p->truth[i], truth);
    for (int k = 0; k < p->n_group; k++) {
        double q[4], c;

        spi_quat_mul(truth, p->group[k], q);
        c = half_cos(rotated, q);
        if (c > c_best) {
            c_best = c;
            memcpy(best, q, sizeof q);
        }
    }
    return angle_rad(rotated, best);
}

/* A fixed pseudo-random sample of the images, the same in every call. */
static int sample(int64_t n, int want, uint64_t stream, int64_t *index)
{
    struct spi_rng rng = spi_rng_stream(0, SPI_RNG_BATCH, stream);

    if (n <= want) {
        for (int64_t i = 0; i < n; i++)
            index[i] = i;
        return (int)n;
    }
    for (int k = 0; k < want; k++)
        index[k] = (int64_t)(spi_rng_uniform(&rng) * (double)n);
    return want;
}

/* Sum of the inlier weights (F12) of the voters when the global rotation is G. */
static double inlier_score(const struct problem *p, int n_voters, const int64_t *voter,
                           const double G[4])
{
    double sum = 0;

    for (int k = 0; k < n_voters; k++) {
        double rotated[4], q[4], a;

        spi_quat_mul(p->est[voter[k]], G, rotated);
        a = nearest(p, voter[k], rotated, false, q) / inlier_rad;
        sum += exp(-a * a);
    }
    return sum;
}

/* Every image proposes G = est^-1 truth (F10); the best by the voters. */
static void ransac(const struct problem *p, double G[4])
{
    int64_t candidate[CANDIDATES], voter[VOTERS];
    int n_cand = sample(p->n, CANDIDATES, 0, candidate),
        n_voter = sample(p->n, VOTERS, 1, voter);
    double best = -1;

    for (int c = 0; c < n_cand; c++) {
        const double *e = p->est[candidate[c]];
        double inverse[4] = {e[0], -e[1], -e[2], -e[3]}, g[4], s;

        spi_quat_mul(inverse, p->truth[candidate[c]], g);
        s = inlier_score(p, n_voter, voter, g);
        if (s > best) {
            best = s;
            memcpy(G, g, sizeof g);
        }
    }
}

/* One Procrustes round: the rotation nearest to sum of w R_est^T R_true S, (F13). */
static void procrustes(const struct problem *p, double G[4])
{
    double M[9] = {0}, R[9];

    for (int64_t i = 0; i < p->n; i++) {
        double rotated[4], q[4], E[9], T[9], P[9], a, w;

        spi_quat_mul(p->est[i], G, rotated);
        a = nearest(p, i, rotated, false, q) / inlier_rad;
        w = exp(-a * a);
        spi_rot_matrix(p->est[i], E);
        spi_rot_matrix(q, T);
        spi_rot_mul_tn(E, T, P);
        for (int k = 0; k < 9; k++)
            M[k] += w * P[k];
    }
    spi_rot_nearest(M, R);
    spi_rot_quat(R, G);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Quantile f of n sorted values, linear between neighbours. */
static double quantile(int64_t n, const double *sorted, double f)
{
    double at = f * (double)(n - 1);
    int64_t i = (int64_t)at;

    if (i >= n - 1)
        return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

static spi_err summarise(const struct problem *p, const double G[4],
                         struct spi_orient_error *out)
{
    size_t bytes = (size_t)p->n * sizeof(double);
    double *sorted, *flipped;
    int64_t inliers = 0;
    spi_err err = SPI_NEW(sorted, 2 * p->n, "orientation errors");

    if (err || (err = SPI_NEW(out->error_deg, p->n, "orientation errors")) != SPI_OK) {
        free(sorted);
        return err;
    }
    flipped = sorted + p->n;
    for (int64_t i = 0; i < p->n; i++) {
        double rotated[4], q[4], a;

        spi_quat_mul(p->est[i], G, rotated);
        a = nearest(p, i, rotated, false, q);
        inliers += a < inlier_rad;
        out->error_deg[i] = a * 180 / SPI_PI;
        flipped[i] = fmin(a, nearest(p, i, rotated, true, q)) * 180 / SPI_PI;
    }
    memcpy(sorted, out->error_deg, bytes);
    qsort(sorted, (size_t)p->n, sizeof *sorted, by_value);
    qsort(flipped, (size_t)p->n, sizeof *flipped, by_value);
    out->median_deg = quantile(p->n, sorted, 0.5);
    out->p90_deg = quantile(p->n, sorted, 0.9);
    out->median_flip_deg = quantile(p->n, flipped, 0.5);
    out->inliers = (double)inliers / (double)p->n;
    spi_rot_matrix(G, out->G);
    free(sorted);
    return SPI_OK;
}

spi_err spi_orient_error_compute(int64_t n, const double *est, const double *truth,
                                 const double *group, int n_group,
                                 struct spi_orient_error *out)
{
    struct problem p;
    double G[4] = {1, 0, 0, 0};
    spi_err err;

    *out = (struct spi_orient_error){0};
    SPI_TRY(err = problem_init(n, est, truth, group, n_group, &p), out);
    ransac(&p, G);
    for (int round = 0; round < ROUNDS; round++)
        procrustes(&p, G);
    err = summarise(&p, G, out);
out:
    problem_clear(&p);
    return err;
}

void spi_orient_error_clear(struct spi_orient_error *e)
{
    free(e->error_deg);
    *e = (struct spi_orient_error){0};
}
