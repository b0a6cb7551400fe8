/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Several starts -> one density: alignment, mean, PRTF. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"
#include "math/rot.h"
#include "phase/internal.h"

/* The sum C(t) = sum_k Re c_k exp(2 pi i k.t / n) over all modes, its gradient, Hessian. */
struct peak {
    double C, g[3], H[3][3];
};

static void evaluate(int n, const float complex *c, const double t[3], struct peak *out)
{
    double turn = 2 * SPI_PI / n;

    *out = (struct peak){0};
    for (int row = 0; row < n * n; row++) {
        struct spi_phase_row r = spi_phase_row_at(n, row);
        double complex e = spi_phase_unit(turn * (r.kz * t[0] + r.ky * t[1]));
        double complex step = spi_phase_unit(turn * t[2]);
        double s0 = 0, s1 = 0, s2 = 0, d0 = 0, d1 = 0;

        for (int x = 0; x < n / 2; x++, e *= step) {
            double complex v = (x ? 2 : 1) * (double complex)c[r.first + (size_t)x] * e;
            double re = creal(v), im = cimag(v);

            s0 += re, s1 += re * x, s2 += re * x * x;
            d0 += im, d1 += im * x;
        }
        out->C += s0;
        out->g[0] -= turn * r.kz * d0;
        out->g[1] -= turn * r.ky * d0;
        out->g[2] -= turn * d1;
        out->H[0][0] -= turn * turn * r.kz * r.kz * s0;
        out->H[0][1] -= turn * turn * r.kz * r.ky * s0;
        out->H[1][1] -= turn * turn * r.ky * r.ky * s0;
        out->H[0][2] -= turn * turn * r.kz * s1;
        out->H[1][2] -= turn * turn * r.ky * s1;
        out->H[2][2] -= turn * turn * s2;
    }
    out->H[1][0] = out->H[0][1];
    out->H[2][0] = out->H[0][2];
    out->H[2][1] = out->H[1][2];
}

/* d = -H^-1 g by Cramer's rule, where H is negative definite; else a step up g. */
static void newton_step(const struct peak *p, double d[3])
{
    const double(*H)[3] = p->H;
    double m01 = H[0][0] * H[1][1] - H[0][1] * H[1][0];
    double c0 = H[1][1] * H[2][2] - H[1][2] * H[2][1];
    double c1 = H[1][2] * H[2][0] - H[1][0] * H[2][2];
    double c2 = H[1][0] * H[2][1] - H[1][1] * H[2][0];
    double det = H[0][0] * c0 + H[0][1] * c1 + H[0][2] * c2, len;

    if (H[0][0] < 0 && m01 > 0 && det < 0) {
        for (int u = 0; u < 3; u++) {
            double M[3][3];

            memcpy(M, H, sizeof M);
            for (int v = 0; v < 3; v++)
                M[v][u] = -p->g[v];
            d[u] = (M[0][0] * (M[1][1] * M[2][2] - M[1][2] * M[2][1]) +
                    M[0][1] * (M[1][2] * M[2][0] - M[1][0] * M[2][2]) +
                    M[0][2] * (M[1][0] * M[2][1] - M[1][1] * M[2][0])) /
                   det;
        }
        len = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    } else {
        memcpy(d, p->g, sizeof p->g);
        len = 1e300;
    }
    if (len > 0.5) { /* half a voxel at most: the peak is near */
        double g = len < 1e300 ? len : sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);

        for (int u = 0; u < 3 && g > 0; u++)
            d[u] *= 0.5 / g;
    }
}

/* The translation t (voxels) that maximises C, (P11): the best voxel, then Newton steps
 * that are halved until C rises. */
static spi_err best_shift(int n, const float complex *c, float complex *half, float *map,
                          double t[3], double *C)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n, best = 0;
    struct peak here, there;
    spi_err err;

    memcpy(half, c, spi_phase_modes(n) * sizeof *half);
    if ((err = spi_fft3_c2r(n, half, map)))
        return err;
    for (size_t i = 1; i < count; i++)
        if (map[i] > map[best])
            best = i;
    t[0] = spi_phase_freq((int)(best / (size_t)n / (size_t)n), n);
    t[1] = spi_phase_freq((int)(best / (size_t)n % (size_t)n), n);
    t[2] = spi_phase_freq((int)(best % (size_t)n), n);
    evaluate(n, c, t, &here);
    for (int i = 0; i < 12; i++) {
        double d[3], trial[3], size;

        newton_step(&here, d);
        for (int h = 0;; h++) {
            size = fabs(d[0]) + fabs(d[1]) + fabs(d[2]);
            for (int u = 0; u < 3; u++)
                trial[u] = t[u] + d[u];
            evaluate(n, c, trial, &there);
            if (there.C >= here.C || size < 1e-4 || h == 8)
                break;
            for (int u = 0; u < 3; u++)
                d[u] /= 2;
        }
        if (there.C < here.C)
            break;
        memcpy(t, trial, sizeof trial);
        here = there;
        if (size < 1e-4) /* voxels; far below any resolution */
            break;
    }
    *C = here.C;
    return SPI_OK;
}

struct spectra {
    int n;
    double k_max;
    const double *known; /* [n], over |k|: (P17) */
    float complex *ref, *map, *cross, *half;
    float *real;
};

/* cross = a conj(b or its inversion) / sqrt(|a| |b|) where 0 < |k| <= k_max, (P11). */
static void make_cross(const struct spectra *s, bool invert)
{
    const int n = s->n;

    for (int row = 0; row < n * n; row++) {
        struct spi_phase_row r = spi_phase_row_at(n, row);

        for (int x = 0; x <= n / 2; x++) {
            size_t i = r.first + (size_t)x;
            double k2 = spi_phase_cells2(&r, x);
            float complex b = invert ? s->map[i] : conjf(s->map[i]);
            float w = sqrtf(cabsf(s->ref[i])) * sqrtf(cabsf(b));

            bool use = !r.nyquist && 2 * x < n && k2 > 0 && k2 <= s->k_max * s->k_max;

            s->cross[i] = use && w > 0 ? s->ref[i] * b / w : 0;
        }
    }
}

/* (P17) */
static double correlation(const struct spectra *s)
{
    double ab = 0, aa = 0, bb = 0;

    for (int row = 0; row < s->n * s->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(s->n, row);

        for (int x = 0; x < s->n / 2; x++) {
            double complex a = s->ref[r.first + (size_t)x], b = s->map[r.first + (size_t)x];
            double k2 = spi_phase_cells2(&r, x), w;

            if (r.nyquist || !(k2 > 0) || k2 > s->k_max * s->k_max)
                continue;
            w = (x ? 2 : 1) * s->known[(int)sqrt(k2)];
            ab += w * creal(a * conj(b));
            aa += w * creal(a * conj(a));
            bb += w * creal(b * conj(b));
        }
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static void spectra_clear(struct spectra *s)
{
    free(s->ref);
    free(s->map);
    free(s->cross);
    free(s->half);
    free(s->real);
}

/* F of v divided by max |v|: the products of amplitudes must stay in range. */
static spi_err spectrum(const struct spi_volume *v, float *real, float complex *F,
                        double *max)
{
    size_t count = spi_volume_count(v);

    *max = 0;
    for (size_t i = 0; i < count; i++)
        *max = fmax(*max, fabs((double)v->data[i]));
    for (size_t i = 0; i < count; i++)
        real[i] = *max > 0 ? (float)((double)v->data[i] / *max) : 0;
    return spi_fft3_r2c(v->n, real, F);
}

/* s->ref is set; s->map becomes the spectrum of `map` superposed on it, cut at k_max, in
 * units of *max per voxel. */
static spi_err lay_upon(struct spectra *s, const struct spi_volume *map, double *max,
                        bool *inverted, double *cc)
{
    double t[2][3], C[2];
    spi_err err = spectrum(map, s->real, s->map, max);

    for (int hand = 0; hand < 2 && !err; hand++) {
        make_cross(s, hand);
        err = best_shift(s->n, s->cross, s->half, s->real, t[hand], &C[hand]);
    }
    if (err)
        return err;
    *inverted = C[1] > C[0];
    if (*inverted)
        for (size_t i = 0; i < spi_phase_modes(s->n); i++)
            s->map[i] = conjf(s->map[i]);
    spi_phase_ramp(s->n, t[*inverted], s->k_max, 1, s->map);
    *cc = correlation(s);
    return SPI_OK;
}

static spi_err spectra_init(struct spectra *s, const struct spi_volume *ref, double q_max)
{
    size_t modes = spi_phase_modes(ref->n);
    double max;
    spi_err err;

    *s = (struct spectra){.n = ref->n, .k_max = q_max * ref->n * ref->step};
    SPI_TRY(err = SPI_NEW(s->ref, modes, "alignment"), out);
    SPI_TRY(err = SPI_NEW(s->map, modes, "alignment"), out);
    SPI_TRY(err = SPI_NEW(s->cross, modes, "alignment"), out);
    SPI_TRY(err = SPI_NEW(s->half, modes, "alignment"), out);
    SPI_TRY(err = SPI_NEW(s->real, spi_volume_count(ref), "alignment"), out);
    SPI_TRY(err = spectrum(ref, s->real, s->ref, &max), out);
out:
    return err;
}

static spi_err same_grid(const struct spi_volume *a, const struct spi_volume *b)
{
    if (a->n == b->n && a->n % 2 == 0 && fabs(a->step / b->step - 1) < 1e-3)
        return SPI_OK;
    return spi_fail(SPI_EINVAL,
                    "phasing: a density has %d voxels of %g A, another %d of %g A; "
                    "needed one even grid",
                    a->n, a->step, b->n, b->step);
}

/* Shell s holds s <= |k| < s + 1 (the last also |k| = k_max); (P13). */
static void transfer(int n, double k_max, int n_kept, const float complex *phases,
                     struct spi_phase_result *out)
{
    double *count = out->shell_q; /* borrowed until the q are written */

    for (int row = 0; row < n * n; row++) {
        struct spi_phase_row r = spi_phase_row_at(n, row);

        for (int x = 0; x < n / 2 && !r.nyquist; x++) {
            double k = sqrt(spi_phase_cells2(&r, x)), w = x ? 2 : 1;
            int shell = (int)k < out->n_shells ? (int)k : out->n_shells - 1;

            if (k > k_max)
                continue;
            out->prtf[shell] += w * (double)cabsf(phases[r.first + (size_t)x]) / n_kept;
            count[shell] += w;
        }
    }
    for (int i = 0; i < out->n_shells; i++)
        out->prtf[i] /= count[i];
    for (int i = 0; i < out->n_shells; i++)
        out->shell_q[i] = (i + 0.5) / (n * out->density.step);
}

/* (P15): correlation, shell by shell, of W (FT of A, whose centre is the voxel n/2) with
 * the intensity of the density, F. */
static spi_err reproduced(const struct spi_volume *A, double q_min, double k_max,
                          const float complex *F, struct spi_phase_result *out)
{
    const int n = A->n;
    double(*sum)[6] = NULL, k_min = q_min * n * A->step, unit;
    float complex *W = NULL;
    float *real = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(sum, out->n_shells, "phasing"), out);
    SPI_TRY(err = SPI_NEW(W, spi_phase_modes(n), "phasing"), out);
    SPI_TRY(err = SPI_NEW(real, spi_volume_count(A), "phasing"), out);
    SPI_TRY(err = spectrum(A, real, W, &unit), out);
    for (int row = 0; row < n * n; row++) {
        struct spi_phase_row r = spi_phase_row_at(n, row);

        for (int x = 0; x < n / 2 && !r.nyquist; x++) {
            double k = sqrt(spi_phase_cells2(&r, x)), c = x ? 2 : 1;
            double w = (double)crealf(W[r.first + (size_t)x]);
            double v = (double)cabsf(F[r.first + (size_t)x]);
            int i = (int)k < out->n_shells ? (int)k : out->n_shells - 1;

            if (k < k_min || k > k_max)
                continue;
            w = (r.kz + r.ky + x) & 1 ? -w : w;
            v *= v;
            sum[i][0] += c, sum[i][1] += c * w, sum[i][2] += c * v;
            sum[i][3] += c * w * w, sum[i][4] += c * v * v, sum[i][5] += c * w * v;
        }
    }
    for (int i = 0; i < out->n_shells; i++) {
        const double *s = sum[i];
        double ww = s[3] - s[1] * s[1] / s[0], vv = s[4] - s[2] * s[2] / s[0];

        /* + and - of a mode count as two and are one */
        out->reproduced[i] = s[0] >= 6 && ww > 0 && vv > 0
                                 ? (s[5] - s[1] * s[2] / s[0]) / sqrt(ww * vv)
                                 : (double)NAN;
    }
out:
    free(sum);
    free(W);
    free(real);
    return err;
}

static int best_start(int n, const double *r_factor)
{
    int best = -1;

    for (int i = 0; i < n; i++)
        if (isfinite(r_factor[i]) && (best < 0 || r_factor[i] < r_factor[best]))
            best = i;
    return best;
}

static spi_err result_init(struct spi_phase_result *r, const struct spi_volume *like,
                           double q_max, int n_starts, const double *r_factor)
{
    spi_err err;
    double shells = ceil(fmin(q_max * like->n * like->step, 0.87 * like->n));

    *r = (struct spi_phase_result){.n_starts = n_starts, .n_shells = (int)fmax(1, shells)};
    SPI_TRY(err = spi_volume_init(&r->density, like->n, like->step), out);
    SPI_TRY(err = SPI_NEW(r->r_factor, n_starts, "phasing"), out);
    SPI_TRY(err = SPI_NEW(r->prtf, r->n_shells, "phasing"), out);
    SPI_TRY(err = SPI_NEW(r->reproduced, r->n_shells, "phasing"), out);
    SPI_TRY(err = SPI_NEW(r->shell_q, r->n_shells, "phasing"), out);
    memcpy(r->r_factor, r_factor, (size_t)n_starts * sizeof *r_factor);
out:
    return err;
}

spi_err spi_phase_combine(const struct spi_volume *A, const struct spi_phase_options *opt,
                          int n_starts, struct spi_volume *density, const double *r_factor,
                          struct spi_phase_result *out)
{
    int best = best_start(n_starts, r_factor);
    size_t modes = spi_phase_modes(A->n);
    float complex *sum = NULL, *phases = NULL;
    struct spectra s = {0};
    double largest = 0, *known = NULL;
    spi_err err;

    *out = (struct spi_phase_result){0};
    if (best < 0)
        return spi_fail(SPI_EINVAL, "phasing: none of %d starts has an R-factor", n_starts);
    SPI_TRY(err = spi_phase_check(A->n, A->step, opt), out);
    SPI_TRY(err = result_init(out, A, opt->q_max, n_starts, r_factor), out);
    SPI_TRY(err = same_grid(A, &density[best]), out);
    SPI_TRY(err = spectra_init(&s, &density[best], opt->q_max), out);
    SPI_TRY(err = SPI_NEW(known, A->n, "phasing"), out); /* sqrt(3) n / 2 < n shells */
    for (int k = 0; k < A->n; k++)
        known[k] = spi_phase_known(opt, (k + 0.5) / (A->n * A->step));
    s.known = known;
    SPI_TRY(err = SPI_NEW(sum, modes, "phasing"), out);
    SPI_TRY(err = SPI_NEW(phases, modes, "phasing"), out);
    for (int i = 0; i < n_starts; i++) {
        bool inverted;
        double max, cc;

        if (!(r_factor[i] <= r_factor[best] * (1 + opt->keep_within)))
            continue;
        SPI_TRY(err = same_grid(A, &density[i]), out);
        SPI_TRY(err = lay_upon(&s, &density[i], &max, &inverted, &cc), out);
        if (i != best && !(cc >= opt->keep_agreeing))
            continue;
        if (largest == 0)
            largest = max;
        for (size_t m = 0; m < modes; m++) {
            float size = cabsf(s.map[m]);

            sum[m] += s.map[m] * (largest > 0 ? (float)(max / largest) : 0);
            phases[m] += size > 0 ? s.map[m] / size : 0;
        }
        out->n_kept++;
    }
    transfer(s.n, s.k_max, out->n_kept, phases, out);
    SPI_TRY(err = reproduced(A, opt->q_min, s.k_max, sum, out), out);
    for (size_t m = 0; m < modes; m++)
        sum[m] *= (float)(largest / ((double)spi_volume_count(A) * out->n_kept));
    SPI_TRY(err = spi_fft3_c2r(s.n, sum, out->density.data), out);
out:
    free(known);
    free(phases);
    free(sum);
    spectra_clear(&s);
    if (err)
        spi_phase_result_clear(out);
    return err;
}

void spi_phase_result_clear(struct spi_phase_result *r)
{
    spi_volume_clear(&r->density);
    free(r->r_factor);
    free(r->prtf);
    free(r->reproduced);
    free(r->shell_q);
    *r = (struct spi_phase_result){0};
}

spi_err spi_phase(const struct spi_volume *A, const struct spi_phase_options *opt,
                  const volatile int *stop, struct spi_phase_result *out)
{
    struct spi_volume *density = NULL;
    double *r_factor = NULL;
    spi_err err;

    *out = (struct spi_phase_result){0};
    if (opt->n_starts < 1 || opt->n_starts > 100000)
        return spi_fail(SPI_EINVAL, "phasing: %d starts; needed 1 ... 100000",
                        opt->n_starts);
    SPI_TRY(err = SPI_NEW(density, opt->n_starts, "phasing"), out);
    SPI_TRY(err = SPI_NEW(r_factor, opt->n_starts, "phasing"), out);
    for (int i = 0; i < opt->n_starts; i++)
        SPI_TRY(err = spi_phase_start(A, opt, i, stop, &density[i], &r_factor[i]), out);
    err = spi_phase_combine(A, opt, opt->n_starts, density, r_factor, out);
out:
    for (int i = 0; density && i < opt->n_starts; i++)
        spi_volume_clear(&density[i]);
    free(density);
    free(r_factor);
    return err;
}
