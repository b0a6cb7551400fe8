/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/fit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "math/rot.h"

enum { HALVINGS = 4, PARAMETERS = 6 };
enum { SERIAL_BELOW = 8000 }; /* points: they take less than threads to start */

/* Forward differences: a small part of a Shannon angle; float samples (1e-6) then give the
 * derivative to 1e-4. */
static const double difference = 0.02;

/* A shell's correlation counts as no better: its weight is 500 per point then. */
static const double rho_max = 0.999;

/* Subtract the mean (not from complex values) and divide by the norm.  Returns the norm. */
static double standardise(int parts, int64_t n, float *v, double *removed)
{
    double mean = 0, norm = 0;
    int64_t count = n * parts;

    if (parts == 1) {
#pragma omp simd reduction(+ : mean)
        for (int64_t i = 0; i < n; i++)
            mean += (double)v[i];
        mean /= (double)n;
    }
    *removed = mean;
#pragma omp simd reduction(+ : norm)
    for (int64_t i = 0; i < count; i++) {
        v[i] -= (float)mean;
        norm += (double)v[i] * (double)v[i];
    }
    norm = sqrt(norm);

    float scale = norm > 0 ? (float)(1 / norm) : 0;

    for (int64_t i = 0; i < count; i++)
        v[i] *= scale;
    return norm;
}

/* Complex values times exp(-2 pi i q.t), conjugated first if the hand is changed. */
static void shift(int64_t n, const float (*q)[3], const double t[3], bool inverted,
                  float *v)
{
    for (int64_t i = 0; i < n; i++) {
        double turns =
            t[0] * (double)q[i][0] + t[1] * (double)q[i][1] + t[2] * (double)q[i][2];
        /* whole turns off in double; turns stay far below 2^31 within a box */
        float phase = (float)(2 * SPI_PI * (turns - (double)(int)turns));
        float c = cosf(phase), s = -sinf(phase), re = v[2 * i];
        float im = inverted ? -v[2 * i + 1] : v[2 * i + 1];

        v[2 * i] = re * c - im * s;
        v[2 * i + 1] = re * s + im * c;
    }
}

/* Samples of `from` at some poses; an item is a shell of one of them. */
struct sampling {
    const struct spi_fit *fit;
    const struct spi_spectrum *from;
    int n_shells;
    const struct spi_pose *pose; /* [poses] */
    float *const *out;           /* [poses] */
    double *norm, *mean;         /* [poses][n_shells] */
};

static void sample_shell(void *ctx, int rank, int64_t item)
{
    const struct sampling *x = ctx;
    const struct spi_fit *fit = x->fit;
    const struct spi_shells *s = fit->shells;
    /* the largest first */
    int64_t number = item / x->n_shells, k = x->n_shells - 1 - item % x->n_shells;
    int64_t first = s->first[k], n = s->first[k + 1] - first;
    const float(*p)[3] = (const float(*)[3])s->p + first;
    const struct spi_pose *pose = &x->pose[number];
    float *out = x->out[number] + first * fit->parts;

    (void)rank;
    if (fit->kind == SPI_FIT_POWER) {
        float *raw = fit->raw + 2 * (number * s->first[s->n] + first);

        spi_spectrum_sample(x->from, pose->R, n, p, raw);
        for (int64_t i = 0; i < n; i++)
            out[i] = raw[2 * i] * raw[2 * i] + raw[2 * i + 1] * raw[2 * i + 1];
    } else {
        spi_spectrum_sample(x->from, pose->R, n, p, out);
    }
    if (fit->kind == SPI_FIT_COMPLEX)
        shift(n, p, pose->shift_A, pose->inverted, out);
    x->norm[number * x->n_shells + k] =
        standardise(fit->parts, n, out, &x->mean[number * x->n_shells + k]);
}

/* out = standardised samples of `from` (F9); norm, mean [poses][n_shells]. */
static void sample(struct spi_fit *fit, const struct spi_spectrum *from, int n_shells,
                   int poses, const struct spi_pose *pose, float *const *out, double *norm,
                   double *mean)
{
    struct sampling x = {fit, from, n_shells, pose, out, norm, mean};
    bool few = fit->shells->first[n_shells] * poses < SERIAL_BELOW;

    spi_parallel_for(few ? 1 : SPI_THREADS_MAX, (int64_t)poses * n_shells, sample_shell,
                     &x);
}

spi_err spi_fit_init(enum spi_fit_kind kind, const struct spi_spectrum *ref,
                     const struct spi_spectrum *map, const struct spi_shells *shells,
                     double diameter_A, struct spi_fit *fit)
{
    static const struct spi_pose identity = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    spi_err err;
    int64_t n = shells->first[shells->n];

    *fit = (struct spi_fit){.kind = kind,
                            .shells = shells,
                            .map = map,
                            .parts = kind == SPI_FIT_COMPLEX ? 2 : 1,
                            .cell_q = 1 / diameter_A};
    SPI_TRY(err = SPI_NEW(fit->ref, n * fit->parts, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->v, n * fit->parts, "alignment"), out);
    for (int k = 0; k < 3; k++)
        SPI_TRY(err = SPI_NEW(fit->moved[k], n * fit->parts, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->raw, n * 2 * 3, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->moved_norm, 3 * shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->moved_mean, 3 * shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->rho, shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->ref_norm, shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->v_norm, shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->ref_mean, shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->v_mean, shells->n, "alignment"), out);
    SPI_TRY(err = SPI_NEW(fit->weight, shells->n, "alignment"), out);
    sample(fit, ref, shells->n, 1, &identity, &fit->ref, fit->ref_norm, fit->ref_mean);
    spi_fit_unweigh(fit);
out:
    if (err)
        spi_fit_clear(fit);
    return err;
}

void spi_fit_clear(struct spi_fit *fit)
{
    free(fit->ref);
    free(fit->v);
    for (int k = 0; k < 3; k++)
        free(fit->moved[k]);
    free(fit->raw);
    free(fit->moved_norm);
    free(fit->moved_mean);
    free(fit->rho);
    free(fit->ref_norm);
    free(fit->v_norm);
    free(fit->ref_mean);
    free(fit->v_mean);
    free(fit->weight);
    *fit = (struct spi_fit){0};
}

/* Floats of samples, of raw ones, and doubles of each shell. */
size_t spi_fit_scratch_bytes(const struct spi_fit *fit)
{
    size_t n = (size_t)fit->shells->first[fit->shells->n], shells = (size_t)fit->shells->n;

    return 3 * shells * sizeof(double) + n * (size_t)(fit->parts + 2) * sizeof(float);
}

struct spi_fit spi_fit_with(const struct spi_fit *fit, void *scratch)
{
    struct spi_fit own = *fit;

    own.rho = scratch;
    own.v_norm = own.rho + fit->shells->n;
    own.v_mean = own.v_norm + fit->shells->n;
    own.v = (float *)(own.v_mean + fit->shells->n);
    own.raw = own.v + fit->shells->first[fit->shells->n] * fit->parts;
    return own;
}

spi_err spi_fit_check_pose(const char *where, const double R[9], const double *shift_A)
{
    double RtR[9], off = 0;
    bool finite = true;

    spi_rot_mul_tn(R, R, RtR);
    for (int k = 0; k < 9; k++) {
        finite = finite && isfinite(RtR[k]);
        off = fmax(off, fabs(RtR[k] - (k % 4 == 0)));
    }
    for (int k = 0; shift_A && k < 3; k++)
        finite = finite && isfinite(shift_A[k]);
    if (!finite || off > 1e-3)
        return spi_fail(SPI_EINVAL,
                        "%s: the pose is %s; need a rotation matrix and a finite shift",
                        where, finite ? "no rotation" : "not finite");
    return SPI_OK;
}

double spi_fit_score(struct spi_fit *fit, int n_shells, const struct spi_pose *pose)
{
    const struct spi_shells *s = fit->shells;
    double sum = 0, total = 0;

    sample(fit, fit->map, n_shells, 1, pose, &fit->v, fit->v_norm, fit->v_mean);
    for (int k = 0; k < n_shells; k++) {
        double rho = 0;

#pragma omp simd reduction(+ : rho)
        for (int64_t i = s->first[k] * fit->parts; i < s->first[k + 1] * fit->parts; i++)
            rho += (double)fit->ref[i] * (double)fit->v[i];
        fit->rho[k] = rho;
        sum += fit->weight[k] * rho;
        total += fit->weight[k];
    }
    return total > 0 ? sum / total : 0;
}

double spi_fit_plain(const struct spi_fit *fit, int n_shells)
{
    double ab = 0, aa = 0, bb = 0;

    for (int k = 0; k < n_shells; k++) {
        /* the points of a shell stand for a volume q^2 dq */
        double q2 = fit->shells->q[k] * fit->shells->q[k];
        double n = (double)(fit->shells->first[k + 1] - fit->shells->first[k]);
        double a = fit->ref_norm[k], b = fit->v_norm[k];

        ab += q2 / n * a * b * fit->rho[k];
        aa += q2 / n * a * a;
        bb += q2 / n * b * b;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static void rotate(const double d[3], const double R[9], double out[9])
{
    double dR[9];

    spi_rot_from_vector(d, dR);
    spi_rot_mul(dR, R, out);
}

/* Normal equations of (F9): H d = g, H = sum w rho J^T J, g = sum w J^T (ref - rho v). */
static void normal_equations(const struct spi_fit *fit, int n_shells, double q_top,
                             double H[6][6], double g[6])
{
    const struct spi_shells *s = fit->shells;
    int np = fit->kind == SPI_FIT_COMPLEX ? 6 : 3, parts = fit->parts;

    memset(H, 0, PARAMETERS * sizeof *H);
    memset(g, 0, PARAMETERS * sizeof *g);
    for (int k = 0; k < n_shells; k++) {
        /* a shell without signal must not make the steps short, nor one of the wrong sign
         * the matrix indefinite */
        double rho = fit->rho[k], curve = fit->weight[k] * fmax(rho, 0.02);
        double h[6][6] = {{0}}, b[6] = {0};

        for (int64_t i = s->first[k] * parts; i < s->first[k + 1] * parts; i++) {
            double J[6], r = (double)fit->ref[i] - rho * (double)fit->v[i];

            for (int a = 0; a < 3; a++)
                J[a] = (double)(fit->moved[a][i] - fit->v[i]) * (1 / difference);
            if (np == 6) {
                /* d/dt of (a + ib) exp(-2 pi i q.t), per 1/(2 pi q_top) */
                double other = i % 2 ? -(double)fit->v[i - 1] : (double)fit->v[i + 1];

                for (int a = 0; a < 3; a++)
                    J[3 + a] = (double)s->p[i / 2][a] / q_top * other;
            }
            for (int a = 0; a < np; a++) {
                b[a] += J[a] * r;
                for (int c = 0; c <= a; c++)
                    h[a][c] += J[a] * J[c];
            }
        }
        for (int a = 0; a < np; a++) {
            g[a] += fit->weight[k] * b[a];
            for (int c = 0; c <= a; c++)
                H[a][c] += curve * h[a][c];
        }
    }
}

/* Solve the lower triangle of H by Cholesky with a small ridge; false if it is not
 * positive. */
static bool solve(int n, double H[6][6], const double g[6], double d[6])
{
    double trace = 0;

    for (int a = 0; a < n; a++)
        trace += H[a][a];
    for (int a = 0; a < n; a++) {
        H[a][a] += 1e-6 * trace;
        for (int c = 0; c <= a; c++) {
            double v = H[a][c];

            for (int k = 0; k < c; k++)
                v -= H[a][k] * H[c][k];
            if (c < a)
                H[a][c] = v / H[c][c];
            else if (v > 0)
                H[a][a] = sqrt(v);
            else
                return false;
        }
    }
    for (int a = 0; a < n; a++) {
        d[a] = g[a];
        for (int k = 0; k < a; k++)
            d[a] -= H[a][k] * d[k];
        d[a] /= H[a][a];
    }
    for (int a = n - 1; a >= 0; a--) {
        for (int k = a + 1; k < n; k++)
            d[a] -= H[k][a] * d[k];
        d[a] /= H[a][a];
    }
    return true;
}

static double length(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

/* Shorten a step to at most `limit`. */
static void limit_step(double limit, double d[3])
{
    double len = length(d), f = len > limit ? limit / len : 1;

    for (int a = 0; a < 3; a++)
        d[a] *= f;
}

/* pose moved by f times the step d: turns in Shannon angles, shifts in 1/(2 pi q). */
static struct spi_pose step(const struct spi_pose *pose, const double d[6], double f,
                            double angle, double q_top)
{
    struct spi_pose out = *pose;
    double v[3];

    for (int a = 0; a < 3; a++) {
        v[a] = f * d[a] * angle;
        out.shift_A[a] += f * d[3 + a] / (2 * SPI_PI * q_top);
    }
    rotate(v, pose->R, out.R);
    return out;
}

double spi_fit_refine(struct spi_fit *fit, int n_shells, int steps, double tol,
                      struct spi_pose *pose)
{
    double q_top = fit->shells->q[n_shells - 1], angle = fit->cell_q / (2 * q_top);
    double score = spi_fit_score(fit, n_shells, pose);
    int np = fit->kind == SPI_FIT_COMPLEX ? 6 : 3;
    double R[9];

    for (int it = 0; it < steps; it++) {
        double H[6][6], g[6], d[6] = {0}, f = 1, best = score;
        struct spi_pose next, moved[3];

        for (int a = 0; a < 3; a++) {
            double v[3] = {0, 0, 0};

            moved[a] = *pose;
            v[a] = difference * angle;
            rotate(v, pose->R, moved[a].R);
        }
        sample(fit, fit->map, n_shells, 3, moved, fit->moved, fit->moved_norm,
               fit->moved_mean);
        normal_equations(fit, n_shells, q_top, H, g);
        if (!solve(np, H, g, d))
            break;
        limit_step(0.7, d);
        limit_step(1.5, d + 3);
        for (int half = 0; half < HALVINGS; half++, f /= 2) {
            next = step(pose, d, f, angle, q_top);
            best = spi_fit_score(fit, n_shells, &next);
            if (best > score)
                break;
        }
        if (!(best > score)) /* at the top, to rounding */
            break;
        score = best;
        *pose = next;
        if (f * length(d) < tol && f * length(d + 3) < tol)
            break;
    }
    memcpy(R, pose->R, sizeof R);
    spi_rot_nearest(R, pose->R); /* roundings of many products */
    return spi_fit_score(fit, n_shells, pose);
}

void spi_fit_weigh(struct spi_fit *fit, int n_shells, const struct spi_pose *pose)
{
    spi_fit_score(fit, n_shells, pose);
    for (int k = 0; k < n_shells; k++) {
        double n = (double)(fit->shells->first[k + 1] - fit->shells->first[k]);
        double rho = fmin(fmax(fit->rho[k], 0), rho_max);

        fit->weight[k] = n * rho / (1 - rho * rho);
    }
}

void spi_fit_unweigh(struct spi_fit *fit)
{
    for (int k = 0; k < fit->shells->n; k++)
        fit->weight[k] = (double)(fit->shells->first[k + 1] - fit->shells->first[k]);
}
