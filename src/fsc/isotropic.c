/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/isotropic.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

enum { LEAST_VOXELS = 16, BISECTIONS = 60 };
static const double tenth_part = 0.1;
static const double sharp =
    0.1; /* (F19): noise over common where the two ways weigh alike */
/* (F20): how far one shell of a particle alone may be off, of the particle's standard
 * deviation there; near the origin few modes are in a shell. */
static const double own_error = 0.05, own_error_near = 0.3, near_qD = 2;
static const double window_cells = 2; /* (F20): width of the smoothing, in shells */

/* ---- one shell ---------------------------------------------------------------------- */

static double below(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

double spi_isotropic_cdf(double x, double s, double sigma)
{
    double tail = below(x / sigma - sigma / s);

    if (!(tail > 0))
        return below(x / sigma);
    return below(x / sigma) - exp(fmin(600, sigma * sigma / (2 * s * s) - x / s)) * tail;
}

double spi_isotropic_level(double mean, double tenth, double common, double noise)
{
    double wilson = mean - common, x = noise / common, t = x * x / (x * x + sharp * sharp);
    double lo = fmin(tenth, wilson) - 3 * (common + noise), hi = mean - 1e-3 * common;

    if (!(common > 0))
        return mean;
    noise = fmax(noise, 1e-3 * common);
    for (int i = 0; i < BISECTIONS; i++) {
        double b = (lo + hi) / 2;

        /* the share below the tenth percentile falls as the level rises */
        if (spi_isotropic_cdf(tenth - b, mean - b, noise) > tenth_part)
            lo = b;
        else
            hi = b;
    }
    return (1 - t) * lo + t * wilson;
}

struct shell {
    int64_t n;
    double sum[2], sum2[2], cross; /* of the two maps */
    double *value;                 /* [n] mean of the maps */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Level of a shell and its standard error, before smoothing. */
static void look_at(struct shell *s, double D, double q, double *mean, double *level,
                    double *sigma)
{
    double n = (double)s->n, m1 = s->sum[0] / n, m2 = s->sum[1] / n;
    double v1 = s->sum2[0] / n - m1 * m1, v2 = s->sum2[1] / n - m2 * m2,
           cov = s->cross / n - m1 * m2;
    double common = sqrt(fmax(cov, 0)), noise = sqrt(fmax(0, (v1 + v2 - 2 * cov) / 4));
    /* a grid of 1/(n step) < 1/D: a Friedel pair and its neighbours say the same */
    double cells = fmax(1, n / 4), error_cov = 2 * noise * noise / sqrt(cells), error;

    qsort(s->value, (size_t)s->n, sizeof *s->value, by_value);
    *mean = (m1 + m2) / 2;
    *level = spi_isotropic_level(*mean, s->value[(int64_t)(tenth_part * n)], common, noise);
    /* of a root: error_cov / (2 common), but never more than that of the root of nothing */
    error = fmin(error_cov / (2 * fmax(common, 1e-300)), sqrt(error_cov));
    *sigma = hypot(error, (q * D < near_qD ? own_error_near : own_error) * common) +
             1e-6 * fabs(*mean);
}

/* ---- all of them -------------------------------------------------------------------- */

/* Shell of each voxel, -1: none. */
static int shell_of(const struct spi_isotropic *out, double cell, double q_min, double q)
{
    int k = (int)floor((q - q_min) / cell);

    return q < q_min || k >= out->n ? -1 : k;
}

static void each_voxel(const struct spi_volume *W1, const struct spi_volume *W2,
                       const struct spi_isotropic *out, double cell, double q_min,
                       bool keep, struct shell *shell)
{
    int n = W1->n;
    int64_t i = 0;

    for (int z = 0; z < n; z++)
        for (int y = 0; y < n; y++)
            for (int x = 0; x < n; x++, i++) {
                double a = z - n / 2, b = y - n / 2, c = x - n / 2;
                int k = shell_of(out, cell, q_min, W1->step * sqrt(a * a + b * b + c * c));
                double w1 = (double)W1->data[i], w2 = (double)W2->data[i];
                struct shell *s = shell + k;

                if (k < 0)
                    continue;
                if (keep) {
                    s->sum[0] += w1, s->sum2[0] += w1 * w1;
                    s->sum[1] += w2, s->sum2[1] += w2 * w2;
                    s->cross += w1 * w2;
                    s->value[s->n] = (w1 + w2) / 2;
                }
                s->n++;
            }
}

/* (F20): straight lines through neighbouring shells, weighted by their errors. */
static void smooth(int n, double *level, double *sigma, double *to, double *to_sigma)
{
    for (int i = 0; i < n; i++) {
        double s0 = 0, s1 = 0, s2 = 0, t0 = 0, t1 = 0, det;

        for (int j = 0; j < n; j++) {
            double d = (j - i) / window_cells,
                   w = exp(-0.5 * d * d) / (sigma[j] * sigma[j]);

            s0 += w, s1 += w * d, s2 += w * d * d;
            t0 += w * level[j], t1 += w * level[j] * d;
        }
        det = s0 * s2 - s1 * s1;
        to[i] = det > 1e-9 * s0 * s2 ? (s2 * t0 - s1 * t1) / det : t0 / s0;
        to_sigma[i] = sqrt(det > 1e-9 * s0 * s2 ? s2 / det : 1 / s0);
    }
}

static spi_err find_levels(struct spi_isotropic *out, struct shell *shell, double D)
{
    double *level = NULL, *sigma = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(level, out->n, "background"), out);
    SPI_TRY(err = SPI_NEW(sigma, out->n, "background"), out);
    for (int k = 0; k < out->n; k++)
        look_at(&shell[k], D, out->q[k], &out->mean[k], &level[k], &sigma[k]);
    smooth(out->n, level, sigma, out->level, out->sigma);
    for (int k = 0; k < out->n; k++)
        out->level[k] = fmin(out->level[k], out->mean[k]);
out:
    free(level);
    free(sigma);
    return err;
}

spi_err spi_isotropic_find(const struct spi_volume *W1, const struct spi_volume *W2,
                           double diameter_A, double q_min, double q_max,
                           struct spi_isotropic *out)
{
    double cell = 1 / (2 * diameter_A);
    struct shell *shell = NULL;
    spi_err err;

    *out = (struct spi_isotropic){.n = (int)floor((q_max - q_min) / cell + 1e-9)};
    if (W1->n != W2->n || out->n < 1) {
        out->n = 0;
        return spi_fail(SPI_EINVAL, "background: %d shells between %g and %g 1/A", out->n,
                        q_min, q_max);
    }
    SPI_TRY(err = SPI_NEW(shell, out->n, "background"), out);
    SPI_TRY(err = SPI_NEW(out->q, out->n, "background"), out);
    SPI_TRY(err = SPI_NEW(out->mean, out->n, "background"), out);
    SPI_TRY(err = SPI_NEW(out->level, out->n, "background"), out);
    SPI_TRY(err = SPI_NEW(out->sigma, out->n, "background"), out);
    each_voxel(W1, W2, out, cell, q_min, false, shell);
    for (int k = 0; k < out->n; k++) {
        out->q[k] = q_min + (k + 0.5) * cell;
        if (shell[k].n < LEAST_VOXELS) {
            err = spi_fail(SPI_EINVAL, "background: %lld voxels at |q| = %g 1/A; needed %d",
                           (long long)shell[k].n, out->q[k], LEAST_VOXELS);
            goto out;
        }
        SPI_TRY(err = SPI_NEW(shell[k].value, shell[k].n, "background"), out);
        shell[k].n = 0;
    }
    each_voxel(W1, W2, out, cell, q_min, true, shell);
    err = find_levels(out, shell, diameter_A);
out:
    for (int k = 0; k < out->n && shell; k++)
        free(shell[k].value);
    free(shell);
    if (err)
        spi_isotropic_clear(out);
    return err;
}

spi_err spi_isotropic_remove(const struct spi_volume *A, double diameter_A, double q_min,
                             double q_max, struct spi_volume *out)
{
    struct spi_volume W = {0};
    struct spi_isotropic s = {0};
    int n = A->n;
    int64_t i = 0;
    spi_err err;

    *out = (struct spi_volume){0};
    SPI_TRY(err = spi_volume_fourier_even(A, &W), out);
    SPI_TRY(err = spi_isotropic_find(&W, &W, diameter_A, q_min, q_max, &s), out);
    for (int z = -n / 2; z < n / 2; z++)
        for (int y = -n / 2; y < n / 2; y++)
            for (int x = -n / 2; x < n / 2; x++, i++) {
                double q = W.step * sqrt((double)z * z + (double)y * y + (double)x * x);

                if (q <= q_max)
                    W.data[i] -= (float)fmax(0, spi_isotropic_at(&s, s.level, q));
            }
    err = spi_volume_fourier_even_inverse(&W, out);
out:
    spi_isotropic_clear(&s);
    spi_volume_clear(&W);
    return err;
}

void spi_isotropic_clear(struct spi_isotropic *s)
{
    free(s->q);
    free(s->mean);
    free(s->level);
    free(s->sigma);
    *s = (struct spi_isotropic){0};
}

double spi_isotropic_at(const struct spi_isotropic *s, const double *curve, double q)
{
    int i = 0;
    double t;

    while (i < s->n && s->q[i] < q)
        i++;
    if (i == 0 || i == s->n)
        return s->n ? curve[i == 0 ? 0 : s->n - 1] : 0;
    t = (q - s->q[i - 1]) / (s->q[i] - s->q[i - 1]);
    return curve[i - 1] * (1 - t) + curve[i] * t;
}
