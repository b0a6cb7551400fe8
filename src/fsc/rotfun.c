/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/rotfun.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"
#include "math/rot.h"

enum { DEGREE_MAX = 64 };

void spi_rot_euler(double alpha, double beta, double gamma, double R[9])
{
    double n[3] = {sin(beta) * cos(alpha), sin(beta) * sin(alpha), cos(beta)};
    double A[9], B[9] = {cos(gamma), -sin(gamma), 0, sin(gamma), cos(gamma), 0, 0, 0, 1};
    double ca = cos(alpha), sa = sin(alpha);

    /* written out, so that beta = 0 keeps alpha (spi_rot_to_direction would not) */
    A[0] = ca * n[2], A[1] = -sa, A[2] = n[0];
    A[3] = sa * n[2], A[4] = ca, A[5] = n[1];
    A[6] = -sin(beta), A[7] = 0, A[8] = n[2];
    spi_rot_mul(A, B, R);
}

/* Nodes and weights of Gauss and Legendre on (-1, 1), Newton's iteration from Tricomi's
 * guess. */
static void gauss_legendre(int n, double *x, double *w)
{
    for (int i = 0; i < n; i++) {
        double z = cos(SPI_PI * (i + 0.75) / (n + 0.5)), slope = 1;

        for (int it = 0; it < 20; it++) {
            double p0 = 1, p1 = z, step;

            for (int l = 2; l <= n; l++) {
                double p2 = ((2 * l - 1) * z * p1 - (l - 1) * p0) / l;

                p0 = p1;
                p1 = p2;
            }
            slope = n * (z * p1 - p0) / (z * z - 1);
            step = p1 / slope;
            z -= step;
            if (fabs(step) < 1e-15)
                break;
        }
        x[i] = z;
        w[i] = 2 / ((1 - z * z) * slope * slope);
    }
}

/* Normalised P_lm(x), l = m, m+2 or m+1 ... even ones only go to out[l/2]; Condon and
 * Shortley's sign included: Y_lm = P_lm(cos theta) exp(i m phi). */
static void legendre_even(int m, int degree, double x, double *out)
{
    double s = sqrt(1 - x * x), p0, p1 = 0, pm = sqrt(1 / (4 * SPI_PI));

    for (int k = 1; k <= m; k++)
        pm *= -s * sqrt((2.0 * k + 1) / (2.0 * k));
    p0 = pm;
    for (int l = m; l <= degree; l++) {
        double a, b, p2;

        if (l % 2 == 0)
            out[l / 2] = p0;
        a = sqrt((4.0 * (l + 1) * (l + 1) - 1) /
                 ((double)(l + 1) * (l + 1) - (double)m * m));
        b = l > m ? sqrt(((double)l * l - (double)m * m) / (4.0 * l * l - 1)) : 0;
        p2 = a * (x * p0 - b * p1);
        p1 = p0;
        p0 = p2;
    }
}

/* What the analysis of one spectrum needs: a grid of directions over half the sphere. */
struct sphere {
    int degree;  /* L, even */
    int n_theta; /* nodes with cos theta > 0 */
    int n_phi;
    double *x, *w;     /* [2 n_theta] Gauss-Legendre, owned */
    double *legendre;  /* [n_theta][L + 1 m][L/2 + 1], owned */
    float (*q)[3];     /* [n_theta][n_phi] points of one shell, owned */
    float *value;      /* [n_theta][n_phi][2], owned */
    float *row;        /* [n_theta][n_phi], owned */
    float complex *ft; /* [n_theta][n_phi / 2 + 1], owned */
};

static void sphere_clear(struct sphere *s)
{
    free(s->x);
    free(s->w);
    free(s->legendre);
    free(s->q);
    free(s->value);
    free(s->row);
    free(s->ft);
}

static spi_err sphere_init(int degree, struct sphere *s)
{
    spi_err err;
    int half = degree / 2 + 1;
    size_t points;

    *s = (struct sphere){.degree = degree,
                         .n_theta = degree / 2 + 2,
                         .n_phi = spi_fft_good_size(2 * degree + 4)};
    points = (size_t)s->n_theta * (size_t)s->n_phi;
    SPI_TRY(err = SPI_NEW(s->x, 2 * s->n_theta, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(s->w, 2 * s->n_theta, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(s->legendre, s->n_theta * (degree + 1) * half, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(s->q, points, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(s->value, 2 * points, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(s->row, points, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(s->ft, s->n_theta * (s->n_phi / 2 + 1), "harmonics"), out);
    gauss_legendre(2 * s->n_theta, s->x, s->w);
    for (int t = 0; t < s->n_theta; t++)
        for (int m = 0; m <= degree; m++)
            legendre_even(m, degree, s->x[t], s->legendre + (t * (degree + 1) + m) * half);
out:
    return err;
}

/* a_lm of one shell for even l <= degree and m >= 0: coef[L + 1 m][L/2 + 1]; unit norm, l =
 * 0 left out: the shell mean.  (F7) */
static spi_err analyse(const struct spi_spectrum *f, struct sphere *s, double q, int degree,
                       double complex *coef)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    int half = s->degree / 2 + 1, n_ft = s->n_phi / 2 + 1;
    int64_t points = (int64_t)s->n_theta * s->n_phi;
    double norm = 0;
    spi_err err;

    for (int t = 0; t < s->n_theta; t++)
        for (int k = 0; k < s->n_phi; k++) {
            float *p = s->q[t * s->n_phi + k];
            double r = q * sqrt(1 - s->x[t] * s->x[t]), phi = 2 * SPI_PI * k / s->n_phi;

            p[0] = (float)(r * cos(phi));
            p[1] = (float)(r * sin(phi));
            p[2] = (float)(q * s->x[t]);
        }
    spi_spectrum_sample(f, identity, points, (const float(*)[3])s->q, s->value);
    for (int64_t i = 0; i < points; i++)
        s->row[i] = f->parts == 1 ? s->value[i]
                                  : s->value[2 * i] * s->value[2 * i] +
                                        s->value[2 * i + 1] * s->value[2 * i + 1];
    SPI_TRY(err = spi_fft1_r2c(s->n_phi, s->n_theta, s->row, s->ft), out);
    memset(coef, 0, (size_t)((s->degree + 1) * half) * sizeof *coef);
    for (int t = 0; t < s->n_theta; t++)
        for (int m = 0; m <= degree; m++) {
            /* twice: the other half of the sphere, equal by Friedel for even l */
            double complex v =
                2 * s->w[t] * 2 * SPI_PI / s->n_phi * (double complex)s->ft[t * n_ft + m];
            const double *P = s->legendre + (t * (s->degree + 1) + m) * half;

            for (int l = (m + 1) / 2; l <= degree / 2; l++)
                coef[m * half + l] += v * P[l];
        }
    coef[0] = 0;
    for (int m = 0; m <= degree; m++)
        for (int l = 0; l < half; l++) {
            double complex a = coef[m * half + l];

            norm += (m > 0 ? 2 : 1) * (creal(a) * creal(a) + cimag(a) * cimag(a));
        }
    norm = norm > 0 ? 1 / sqrt(norm) : 0;
    for (int i = 0; i < (s->degree + 1) * half; i++)
        coef[i] *= norm;
out:
    return err;
}

/* T[m >= 0][m' + L][l/2] += weight conj(a_lm) b_lm'. */
static void add_products(int degree, double weight, const double complex *a,
                         const double complex *b, double complex *T)
{
    int half = degree / 2 + 1;

    for (int m = 0; m <= degree; m++)
        for (int mp = -degree; mp <= degree; mp++) {
            int am = abs(mp);
            double complex *t =
                T + ((size_t)m * (size_t)(2 * degree + 1) + (size_t)(mp + degree)) *
                        (size_t)half;

            for (int l = ((m > am ? m : am) + 1) / 2; l < half; l++) {
                double complex v = b[am * half + l];

                if (mp < 0)
                    v = am % 2 ? -conj(v) : conj(v);
                t[l] += weight * conj(a[m * half + l]) * v;
            }
        }
}

static spi_err products(const struct spi_spectrum *ref, const struct spi_spectrum *map,
                        double diameter_A, double q_min, double q_max, int degree,
                        double complex *T)
{
    spi_err err;
    struct sphere s = {0};
    size_t n_coef = (size_t)(degree + 1) * (size_t)(degree / 2 + 1);
    double complex *a = NULL, *b = NULL;
    double cell = 1 / (2 * diameter_A), total = 0;
    int lo = (int)fmax(ceil(q_min / cell - 1e-6), 1), hi = (int)floor(q_max / cell + 1e-6);

    lo = lo < hi ? lo : (hi > 1 ? hi : 1);
    for (int k = lo; k <= hi || k == lo; k++)
        total += (double)k * k;
    SPI_TRY(err = sphere_init(degree, &s), out);
    SPI_TRY(err = SPI_NEW(a, n_coef, "harmonics"), out);
    SPI_TRY(err = SPI_NEW(b, n_coef, "harmonics"), out);
    for (int k = lo; k <= hi || k == lo; k++) {
        double q = fmin(k * cell, q_max);
        int own = 2 * (int)ceil(SPI_PI * q * diameter_A) + 2; /* the shell's band limit */

        own = own < degree ? own : degree;
        SPI_TRY(err = analyse(ref, &s, q, own, a), out);
        SPI_TRY(err = analyse(map, &s, q, own, b), out);
        add_products(degree, (double)k * k / total, a, b, T);
    }
out:
    free(b);
    free(a);
    sphere_clear(&s);
    return err;
}

/* sum over even l of d^l_mm'(beta) T_l, by the recurrence in l (F8). */
static double complex wigner_sum(int degree, int m, int mp, double beta,
                                 const double complex *T)
{
    int am = abs(mp), l0 = m > am ? m : am, up, sign = 1;
    double c = cos(beta / 2), s = sin(beta / 2), x = cos(beta), d0 = 0, d1;
    double complex sum = 0;

    /* d^l0: the column m = l0, or m' = +-l0 by the symmetries of d */
    if (m >= am) {
        up = m + mp;
        sign = (m - mp) % 2 ? -1 : 1;
    } else if (mp > 0) {
        up = mp + m;
    } else {
        up = am - m;
        sign = (am + m) % 2 ? -1 : 1;
    }
    d1 = sign * exp(0.5 * (lgamma(2 * l0 + 1) - lgamma(up + 1) - lgamma(2 * l0 - up + 1)) +
                    up * log(c) + (2 * l0 - up) * log(s));
    for (int l = l0; l <= degree; l++) {
        double n1 = l + 1, M = (double)m * m, P = (double)mp * mp, root, next;

        if (l % 2 == 0)
            sum += d1 * T[l / 2];
        root = sqrt((n1 * n1 - M) * (n1 * n1 - P));
        next = n1 * (2 * l + 1) / root * (x - (l > 0 ? m * mp / (l * n1) : 0)) * d1;
        if (l > l0)
            next -= sqrt(((double)l * l - M) * ((double)l * l - P)) * n1 / (l * root) * d0;
        d0 = d1;
        d1 = next;
    }
    return sum;
}

/* One plane of constant beta by a 2-D transform over m and m'. */
static spi_err plane(int degree, double beta, const double complex *T, int n,
                     float complex *work, float *out)
{
    int half = degree / 2 + 1;
    spi_err err;

    memset(work, 0, (size_t)n * (size_t)n * sizeof *work);
    for (int m = 0; m <= degree; m++)
        for (int mp = -degree; mp <= degree; mp++) {
            const double complex *t =
                T + ((size_t)m * (size_t)(2 * degree + 1) + (size_t)(mp + degree)) *
                        (size_t)half;
            double complex g = wigner_sum(degree, m, mp, beta, t);

            /* C is real: the half m < 0 is the conjugate */
            work[(size_t)m * (size_t)n + (size_t)((mp + n) % n)] =
                (float complex)(m > 0 ? 2 * g : g);
        }
    err = spi_fft2_c2c(n, -1, work);
    if (err)
        return err;
    for (int i = 0; i < n * n; i++)
        out[i] = crealf(work[i]);
    return SPI_OK;
}

spi_err spi_rotfun_init(const struct spi_spectrum *ref, const struct spi_spectrum *map,
                        double diameter_A, double q_min, double q_max, struct spi_rotfun *f)
{
    spi_err err;
    int degree = 2 * (int)ceil(SPI_PI * q_max * diameter_A) + 2;
    size_t n_plane;
    double complex *T = NULL;
    float complex *work = NULL;

    degree = degree < DEGREE_MAX ? degree : DEGREE_MAX;
    *f = (struct spi_rotfun){.n = spi_fft_good_size(3 * degree)};
    f->n_beta = f->n / 2;
    n_plane = (size_t)f->n * (size_t)f->n;
    SPI_TRY(err =
                SPI_NEW(T, (degree + 1) * (2 * degree + 1) * (degree / 2 + 1), "harmonics"),
            out);
    SPI_TRY(err = SPI_NEW(work, n_plane, "rotation function"), out);
    SPI_TRY(err = SPI_NEW(f->c, n_plane * (size_t)f->n_beta, "rotation function"), out);
    SPI_TRY(err = products(ref, map, diameter_A, q_min, q_max, degree, T), out);
    for (int j = 0; j < f->n_beta; j++)
        SPI_TRY(err = plane(degree, SPI_PI * (j + 0.5) / f->n_beta, T, f->n, work,
                            f->c + n_plane * (size_t)j),
                out);
out:
    free(work);
    free(T);
    if (err)
        spi_rotfun_clear(f);
    return err;
}

void spi_rotfun_clear(struct spi_rotfun *f)
{
    free(f->c);
    *f = (struct spi_rotfun){0};
}

struct peak {
    float c;
    int at; /* index in the grid */
};

static int by_height(const void *a, const void *b)
{
    const struct peak *x = a, *y = b;

    if (x->c != y->c)
        return x->c < y->c ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Is value (b, i, k) at least as high as its neighbours? */
static int is_maximum(const struct spi_rotfun *f, int b, int i, int k)
{
    int n = f->n;
    float c = f->c[((size_t)b * (size_t)n + (size_t)i) * (size_t)n + (size_t)k];

    for (int db = -1; db <= 1; db++) {
        if (b + db < 0 || b + db >= f->n_beta)
            continue;
        for (int di = -1; di <= 1; di++)
            for (int dk = -1; dk <= 1; dk++) {
                size_t at = ((size_t)(b + db) * (size_t)n + (size_t)((i + di + n) % n)) *
                                (size_t)n +
                            (size_t)((k + dk + n) % n);

                if (f->c[at] > c)
                    return 0;
            }
    }
    return 1;
}

spi_err spi_rotfun_peaks(const struct spi_rotfun *f, double apart, int want, double (*R)[9],
                         int *found)
{
    spi_err err = SPI_OK;
    int n = f->n, n_peaks = 0;
    int64_t cap = 0;
    struct peak *peak = NULL;

    *found = 0;
    for (int b = 0; b < f->n_beta; b++)
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++) {
                if (!is_maximum(f, b, i, k))
                    continue;
                SPI_TRY(err = spi_grow((void **)&peak, sizeof *peak, n_peaks, n_peaks + 1,
                                       &cap, "peaks"),
                        out);
                peak[n_peaks].at = (b * n + i) * n + k;
                peak[n_peaks].c = f->c[peak[n_peaks].at];
                n_peaks++;
            }
    if (peak)
        qsort(peak, (size_t)n_peaks, sizeof *peak, by_height);
    for (int p = 0; p < n_peaks && *found < want; p++) {
        int at = peak[p].at, k = at % n, i = at / n % n, b = at / n / n;
        double *r = R[*found];
        int taken = 0;

        spi_rot_euler(2 * SPI_PI * i / n, SPI_PI * (b + 0.5) / f->n_beta,
                      2 * SPI_PI * k / n, r);
        for (int j = 0; j < *found && !taken; j++)
            taken = spi_rot_angle_between(R[j], r) < apart;
        *found += !taken;
    }
out:
    free(peak);
    return err;
}
