/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One start: random density -> recipe, at each level of detail -> centred density. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "kernel/phase_step.h"
#include "math/fft.h"
#include "math/rot.h"
#include "phase/internal.h"

static const double ball_radius = 0.55;     /* of D: the particle and 10 % */
static const double first_threshold = 0.06; /* of the largest value, first shrink-wrap */
static const double percentile = 0.98;
static const double zero_part = 0.6; /* of the steps: |q| > q_max held at zero */
enum {
    LEAST_SUPPORT = 8, /* voxels; below, shrink-wrap is ignored */
    LEAST_HOLES = 4    /* the first level's end over q_min; below, there are no levels */
};

/* What the steps work on.  Voxels in centred order: it only multiplies F by signs, which
 * no modulus sees. */
struct work {
    int n;
    size_t voxels, modes;
    double step;
    float *x, *p, *y; /* iterate, P_M x, scratch */
    float *support;   /* 1 or 0 */
    size_t n_ball;    /* voxels of the first support */
    float complex *F;
    float *amp;      /* measured modes: (P1) */
    float *lo, *hi;  /* bounds of |F|, (P2); measured modes: (P16) */
    float *measured; /* how often a mode counts: 0, 1, or 2 when -k is not stored */
    double scale;    /* amplitudes are divided by it: the largest one is 1 */
};

static void work_clear(struct work *w)
{
    free(w->x);
    free(w->p);
    free(w->y);
    free(w->support);
    free(w->F);
    free(w->amp);
    free(w->lo);
    free(w->hi);
    free(w->measured);
    *w = (struct work){0};
}

static spi_err work_init(struct work *w, int n, double step)
{
    spi_err err;

    *w = (struct work){.n = n, .step = step, .modes = spi_phase_modes(n)};
    w->voxels = (size_t)n * (size_t)n * (size_t)n;
    SPI_TRY(err = SPI_NEW(w->x, w->voxels, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->p, w->voxels, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->y, w->voxels, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->support, w->voxels, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->F, w->modes, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->amp, w->modes, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->lo, w->modes, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->hi, w->modes, "phasing"), out);
    SPI_TRY(err = SPI_NEW(w->measured, w->modes, "phasing"), out);
out:
    if (err)
        work_clear(w);
    return err;
}

static bool in_range(double v, double lo, double hi)
{
    return v >= lo && v <= hi; /* false for NaN */
}

spi_err spi_phase_check(int n, double step, const struct spi_phase_options *o)
{
    if (n % 2 || n < 8 || !in_range(step, 1e-6, 1e6))
        return spi_fail(SPI_EINVAL,
                        "phasing: grid of %d voxels of %g A; needed an even side of "
                        "at least 8",
                        n, step);
    if (!in_range(o->diameter_A, 1e-6, n * step / 1.25))
        return spi_fail(SPI_EINVAL,
                        "phasing: diameter is %g A; needed at most %g A, the box "
                        "(%d voxels of %g A) over 1.25",
                        o->diameter_A, n * step / 1.25, n, step);
    if (!in_range(o->q_min, 0, 1e6) || !in_range(o->q_max, 1e-9, 1e6) ||
        o->q_max <= o->q_min)
        return spi_fail(SPI_EINVAL,
                        "phasing: measured shell is %g ... %g 1/A; needed "
                        "0 <= q_min < q_max",
                        o->q_min, o->q_max);
    if (!in_range(o->beta, 0, 1))
        return spi_fail(SPI_EINVAL, "phasing: beta is %g; needed 0 ... 1", o->beta);
    if (!in_range(o->slack, 0, 100))
        return spi_fail(SPI_EINVAL,
                        "phasing: the slack of the moduli is %g; needed 0 ... 100",
                        o->slack);
    for (int i = 0; i < o->n_halves; i++)
        if (!in_range(o->halves_q[i], i > 0 ? o->halves_q[i - 1] : 0, 1e6))
            return spi_fail(
                SPI_EINVAL,
                "phasing: point %d of the half sets' correlation is at |q| = %g "
                "1/A; needed rising |q|",
                i + 1, o->halves_q[i]);
    if (!in_range(o->first_qD, 0, 1e6) || (o->first_qD > 0 && o->first_qD < 4))
        return spi_fail(SPI_EINVAL,
                        "phasing: the first level ends at q D = %g; needed 4 or more, or 0 "
                        "for one level",
                        o->first_qD);
    if (!in_range(o->sw_sigma_first, 0, n) || !in_range(o->sw_sigma_last, 0, n) ||
        !in_range(o->sw_threshold, 0, 1))
        return spi_fail(SPI_EINVAL,
                        "phasing: shrink-wrap has sigma %g ... %g voxels, threshold "
                        "%g; needed sigma 0 ... %d and threshold 0 ... 1",
                        o->sw_sigma_first, o->sw_sigma_last, o->sw_threshold, n);
    return SPI_OK;
}

/* A / max |A| into `out`; SPI_EINVAL if it is zero or not finite. */
static spi_err normalised(const struct spi_volume *A, struct spi_volume *out, double *max)
{
    size_t count = spi_volume_count(A);

    *max = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(A->data[i]))
            return spi_fail(SPI_EINVAL,
                            "phasing: autocorrelation is %g at voxel %zu; needed "
                            "finite values",
                            (double)A->data[i], i);
        *max = fmax(*max, fabs((double)A->data[i]));
    }
    if (*max == 0)
        return spi_fail(SPI_EINVAL,
                        "phasing: autocorrelation is zero everywhere; needed the "
                        "autocorrelation of a density");

    spi_err err = spi_volume_init(out, A->n, A->step);

    if (err)
        return err;
    for (size_t i = 0; i < count; i++)
        out->data[i] = (float)((double)A->data[i] / *max);
    return SPI_OK;
}

/* Sets measured (0, 1, 2) and, where it is not zero, amp = max(W, 0), not yet its root; W
 * in FFT order is Re F times the signs of the centred order.  Counts what was found. */
static void measure(struct work *w, const struct spi_phase_options *o, double *w_max,
                    double *sum2, double *count)
{
    double cell = 1 / (w->n * w->step), k_min = o->q_min / cell, k_max = o->q_max / cell;

    *w_max = *sum2 = *count = 0;
    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int x = 0; x < w->n / 2 && !r.nyquist; x++) {
            double k = sqrt(spi_phase_cells2(&r, x));
            double W = crealf(w->F[r.first + (size_t)x]);

            if (k < k_min || k > k_max)
                continue;
            W = (r.kz + r.ky + x) & 1 ? -W : W;
            W = W > 0 ? W : 0;
            w->measured[r.first + (size_t)x] = x ? 2 : 1;
            w->amp[r.first + (size_t)x] = (float)W;
            *w_max = fmax(*w_max, W);
            if (k > 0)
                *sum2 += (x ? 2 : 1) * W * W, *count += x ? 2 : 1;
        }
    }
}

/* (P7): bound of the modes in the hole, from the first measured cells (still W). */
static double hole_bound(const struct work *w, const struct spi_phase_options *o)
{
    double cell = 1 / (w->n * w->step), k_end = o->q_min / cell + 1.5, sum = 0, count = 0;
    double k_hole = o->q_min / cell;
    double Rg2 = 0.15 * o->diameter_A * o->diameter_A; /* solid ball: 3/5 (D/2)^2 */
    double x = 2 * SPI_PI * o->q_min;

    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int i = 0; i < w->n / 2; i++) {
            double k2 = spi_phase_cells2(&r, i);
            double m = (double)w->measured[r.first + (size_t)i];

            if (m > 0 && k2 >= k_hole * k_hole && k2 <= k_end * k_end)
                sum += m * (double)w->amp[r.first + (size_t)i], count += m;
        }
    }
    if (!(sum > 0))
        return FLT_MAX;
    return fmin(1e15, 2 * sqrt(sum / count) * exp(fmin(30, x * x * Rg2 / 6)));
}

/* Not a number counts as 0. */
double spi_phase_known(const struct spi_phase_options *o, double q)
{
    int i = 0;
    double t, c;

    if (o->n_halves == 0)
        return 1;
    while (i < o->n_halves && o->halves_q[i] < q)
        i++;
    if (i == 0 || i == o->n_halves) {
        c = o->halves_cc[i == 0 ? 0 : i - 1];
    } else {
        t = (q - o->halves_q[i - 1]) / (o->halves_q[i] - o->halves_q[i - 1]);
        c = o->halves_cc[i - 1] * (1 - t) + o->halves_cc[i] * t;
    }
    return fmin(1, fmax(0, c));
}

/* Standard deviation of W in shells of one cell, in [.][0]. */
static void shell_deviation(const struct work *w, double (*sum)[3])
{
    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int x = 0; x <= w->n / 2; x++) {
            size_t i = r.first + (size_t)x;
            double m = (double)w->measured[i], W = (double)w->amp[i] * (double)w->amp[i];
            double *s = sum[(int)sqrt(spi_phase_cells2(&r, x))];

            s[0] += m, s[1] += m * W, s[2] += m * W * W;
        }
    }
    for (int k = 0; k < w->n; k++) {
        double *s = sum[k];

        s[0] = s[0] > 0 ? sqrt(fmax(0, s[2] / s[0] - s[1] / s[0] * s[1] / s[0])) : 0;
    }
}

/* (P16): the interval of each measured modulus, from the noise that the halves show. */
static spi_err allow_noise(struct work *w, const struct spi_phase_options *o)
{
    double(*sum)[3] = NULL, cell = 1 / (w->n * w->step);
    spi_err err;

    if (o->n_halves == 0 || o->slack == 0)
        return SPI_OK;
    if ((err = SPI_NEW(sum, w->n, "phasing"))) /* sqrt(3) n / 2 < n shells */
        return err;
    shell_deviation(w, sum);
    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int x = 0; x <= w->n / 2; x++) {
            size_t i = r.first + (size_t)x;
            double k = sqrt(spi_phase_cells2(&r, x)), W, width;

            if (!(w->measured[i] > 0))
                continue;
            W = (double)w->amp[i] * (double)w->amp[i];
            width = o->slack * (1 - spi_phase_known(o, k * cell)) * sum[(int)k][0];
            w->lo[i] = (float)sqrt(fmax(0, W - width));
            w->hi[i] = (float)sqrt(W + width);
        }
    }
    free(sum);
    return SPI_OK;
}

/* Amplitudes from A: (P1), (P2), (P7), (P16). */
static spi_err load(struct work *w, const struct spi_volume *A,
                    const struct spi_phase_options *o)
{
    struct spi_volume unit = {0};
    double a_max, w_max, sum2, count, norm2 = 0, k_min = o->q_min * w->n * w->step;
    spi_err err;

    SPI_TRY(err = normalised(A, &unit, &a_max), out);
    for (size_t i = 0; i < w->voxels; i++)
        norm2 += (double)unit.data[i] * (double)unit.data[i];
    SPI_TRY(err = spi_fft3_r2c(w->n, unit.data, w->F), out);
    measure(w, o, &w_max, &sum2, &count);
    /* The FFT leaves rounding of some 1e-7 |A| in each mode: 1e-5 |A| is no signal. */
    if (!(sum2 > 1e-10 * norm2 * count)) {
        err = spi_fail(SPI_EINVAL,
                       "phasing: no positive intensity between q = %g and %g 1/A "
                       "(%.0f grid points); needed the autocorrelation of a density",
                       o->q_min, o->q_max, count);
        goto out;
    }

    float bound = (float)hole_bound(w, o) / (float)sqrt(w_max);

    w->scale = sqrt(a_max * w_max);
    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int x = 0; x <= w->n / 2; x++) {
            size_t i = r.first + (size_t)x;

            if (w->measured[i] > 0)
                w->lo[i] = w->hi[i] = w->amp[i] = sqrtf(w->amp[i] / (float)w_max);
            else if (sqrt(spi_phase_cells2(&r, x)) < k_min && !r.nyquist && 2 * x < w->n)
                w->hi[i] = bound;
        }
    }
    err = allow_noise(w, o);
out:
    spi_volume_clear(&unit);
    return err;
}

/* Let |q| > q_max go: the last part of the recipe. */
static void release_beyond(struct work *w, double q_max)
{
    double k_max = q_max * w->n * w->step;

    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int x = 0; x <= w->n / 2; x++)
            if (w->measured[r.first + (size_t)x] == 0 &&
                spi_phase_cells2(&r, x) > k_max * k_max)
                w->hi[r.first + (size_t)x] = FLT_MAX;
    }
}

static void first_support(struct work *w, double diameter_A)
{
    double radius = ball_radius * diameter_A / w->step;
    size_t i = 0;

    for (int z = 0; z < w->n; z++)
        for (int y = 0; y < w->n; y++)
            for (int x = 0; x < w->n; x++, i++) {
                double a = z - w->n / 2, b = y - w->n / 2, c = x - w->n / 2;

                w->support[i] = a * a + b * b + c * c <= radius * radius;
                w->n_ball += w->support[i] > 0;
            }
}

/* Random density in the ball, or the caller's with its amplitudes brought to scale. */
static spi_err first_density(struct work *w, const struct spi_phase_options *o, int index)
{
    const struct spi_volume *v = index == 0 ? o->initial : NULL;
    struct spi_rng rng = spi_rng_stream(o->seed, SPI_RNG_PHASE_START, (uint64_t)index);
    double max = 0, sum = 0, want = 0;

    if (!v) {
        for (size_t i = 0; i < w->voxels; i++)
            w->x[i] = w->support[i] > 0 ? (float)spi_rng_uniform(&rng) : 0;
        return SPI_OK;
    }
    if (v->n != w->n || fabs(v->step / w->step - 1) > 1e-3)
        return spi_fail(SPI_EINVAL,
                        "phasing: initial density has %d voxels of %g A; needed %d "
                        "of %g A",
                        v->n, v->step, w->n, w->step);
    for (size_t i = 0; i < w->voxels; i++) {
        if (!isfinite(v->data[i]))
            return spi_fail(SPI_EINVAL,
                            "phasing: initial density is %g at voxel %zu; needed "
                            "finite values",
                            (double)v->data[i], i);
        max = fmax(max, fabs((double)v->data[i]));
    }
    if (max == 0)
        return spi_fail(SPI_EINVAL, "phasing: initial density is zero everywhere");
    for (size_t i = 0; i < w->voxels; i++)
        w->x[i] = (float)((double)v->data[i] / max);

    spi_err err = spi_fft3_r2c(w->n, w->x, w->F);

    if (err)
        return err;
    for (size_t i = 0; i < w->modes; i++)
        if (w->measured[i] > 0) {
            sum += (double)(w->measured[i] * cabsf(w->F[i]));
            want += (double)(w->measured[i] * w->amp[i]);
        }
    if (!(sum > 1e-6 * sqrt((double)w->voxels))) /* rounding of the FFT of values <= 1 */
        return spi_fail(SPI_EINVAL,
                        "phasing: initial density has nothing between q = %g and "
                        "%g 1/A",
                        o->q_min, o->q_max);
    for (size_t i = 0; i < w->voxels; i++)
        w->x[i] *= (float)(want / sum);
    return SPI_OK;
}

/* ---- steps -------------------------------------------------------------------------- */

enum {
    AT_ONCE = 16,      /* steps of one loop */
    SERIAL_BELOW = 40, /* voxels an axis: a phase takes less than threads to meet */
};

/* Some steps as one loop.  Phase 0, planes of the iterate: x -> F over y and x.  Then for
 * each step two phases: faces of one y: F over z, clamped, and back; planes: F -> p = P_M x
 * (P2), the update of x, and x -> F for the step that follows. */
struct steps {
    struct work *w;
    const struct spi_phase_options *o;
    const enum spi_phase_method *method; /* [n] */
    int n;
    struct spi_rooms scratch;
    struct spi_failure failure;
};

static void update(const struct work *w, const struct spi_phase_options *o,
                   enum spi_phase_method m, size_t from, size_t count)
{
    const float *support = w->support + from, *p = w->p + from;
    float *x = w->x + from;

    if (m == SPI_PHASE_HIO)
        spi_phase_hio(count, support, o->positive, (float)o->beta, p, x);
    else if (m == SPI_PHASE_RAAR)
        spi_phase_raar(count, support, o->positive, (float)o->beta, p, x);
    else
        spi_phase_er(count, support, o->positive, p, x);
}

static spi_err step_face(const struct work *w, int y, void *scratch)
{
    size_t h = (size_t)w->n / 2 + 1;
    spi_err err;

    SPI_TRY(err = spi_fft3_across(w->n, true, y, w->F, scratch), out);
    for (size_t z = 0; z < (size_t)w->n; z++) {
        size_t at = (z * (size_t)w->n + (size_t)y) * h;

        spi_phase_clamp(h, 1.0f / (float)w->voxels, w->lo + at, w->hi + at, w->F + at);
    }
    err = spi_fft3_across(w->n, false, y, w->F, scratch);
out:
    return err;
}

/* After `done` steps of the loop, the last of them not yet applied to x. */
static spi_err step_plane(const struct steps *s, int done, size_t z, void *scratch)
{
    const struct work *w = s->w;
    size_t n = (size_t)w->n, face = n * n, half = n * (n / 2 + 1);
    spi_err err = SPI_OK;

    if (done > 0) {
        SPI_TRY(err = spi_fft3_plane_c2r(w->n, w->F + z * half, w->p + z * face, scratch),
                out);
        update(w, s->o, s->method[done - 1], z * face, face);
    }
    if (done < s->n)
        err = spi_fft3_plane_r2c(w->n, w->x + z * face, w->F + z * half, scratch);
out:
    return err;
}

static void step_item(void *ctx, int rank, int64_t item)
{
    struct steps *s = ctx;
    int phase = (int)(item / s->w->n), i = (int)(item % s->w->n);
    void *scratch = spi_rooms_of(&s->scratch, rank);

    if (!scratch)
        spi_failure_note(&s->failure, SPI_ENOMEM);
    else if (phase % 2)
        spi_failure_note(&s->failure, step_face(s->w, i, scratch));
    else
        spi_failure_note(&s->failure, step_plane(s, phase / 2, (size_t)i, scratch));
}

/* At most AT_ONCE. */
static spi_err iterate(struct work *w, const struct spi_phase_options *o, int n,
                       const enum spi_phase_method *method)
{
    struct steps s = {.w = w, .o = o, .method = method, .n = n};
    int threads = w->n < SERIAL_BELOW ? 1 : SPI_THREADS_MAX;
    int64_t first[2 * AT_ONCE + 2];
    spi_err err = spi_rooms_init(&s.scratch, threads, spi_fft3_scratch_bytes(w->n), "fft");

    if (err)
        return err;
    for (int i = 0; i <= 2 * n + 1; i++)
        first[i] = (int64_t)i * w->n;
    spi_parallel_phases(threads, 2 * n + 1, first, step_item, &s);
    spi_rooms_clear(&s.scratch);
    return spi_failure_end(&s.failure);
}

/* p = x blurred by a Gaussian of sigma voxels. */
static spi_err blur(struct work *w, double sigma)
{
    double c = 2 * SPI_PI * SPI_PI * sigma * sigma / ((double)w->n * w->n);
    spi_err err = spi_fft3_r2c(w->n, w->x, w->F);

    if (err)
        return err;
    for (int row = 0; row < w->n * w->n; row++) {
        struct spi_phase_row r = spi_phase_row_at(w->n, row);

        for (int x = 0; x <= w->n / 2; x++)
            w->F[r.first + (size_t)x] *=
                (float)(exp(-c * spi_phase_cells2(&r, x)) / (double)w->voxels);
    }
    return spi_fft3_c2r(w->n, w->F, w->p);
}

/* The k-th smallest of a[n], Hoare's selection; a is permuted. */
static float select_kth(float *a, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;

    while (lo < hi) {
        float pivot = a[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;

        for (;;) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i >= j)
                break;
            float t = a[i];
            a[i++] = a[j], a[j--] = t;
        }
        /* a[lo..j] <= pivot <= a[j+1..hi], and j < hi */
        if (k <= j)
            hi = j;
        else
            lo = j + 1;
    }
    return a[lo];
}

static float threshold(struct work *w, const struct spi_phase_options *o, bool first)
{
    size_t n = 0;
    float max = 0;

    for (size_t i = 0; i < w->voxels; i++) {
        if (w->p[i] > max)
            max = w->p[i];
        if (w->support[i] > 0)
            w->y[n++] = w->p[i];
    }
    if (first || n == 0)
        return (float)first_threshold * max;
    return (float)o->sw_threshold *
           select_kth(w->y, n, (size_t)(percentile * (double)(n - 1)));
}

/* (P9).  The support never grows beyond the volume of the first ball, and a threshold that
 * leaves next to nothing is ignored. */
static spi_err shrink_wrap(struct work *w, const struct spi_phase_options *o, double sigma,
                           bool first)
{
    spi_err err = blur(w, sigma);
    size_t n = 0;

    if (err)
        return err;

    float t = threshold(w, o, first);

    if (!(t > 0))
        return SPI_OK;
    for (size_t i = 0; i < w->voxels; i++)
        n += w->p[i] > t;
    if (n > w->n_ball) {
        memcpy(w->y, w->p, w->voxels * sizeof *w->y);
        t = select_kth(w->y, w->voxels, w->voxels - w->n_ball);
    } else if (n < LEAST_SUPPORT) {
        return SPI_OK;
    }
    for (size_t i = 0; i < w->voxels; i++)
        w->support[i] = w->p[i] > t;
    return SPI_OK;
}

static spi_err run_recipe(struct work *w, const struct spi_phase_options *o,
                          const enum spi_phase_method *step, int n, bool first,
                          const volatile int *stop)
{
    int n_wraps = 0, n_iterations, release, wraps = 0, iterations = 0;

    for (int i = 0; i < n; i++)
        n_wraps += step[i] == SPI_PHASE_SHRINKWRAP;
    n_iterations = n - n_wraps;
    release = o->zero_beyond ? -1 : (int)(zero_part * n_iterations);
    for (int i = 0, at_once = 1; i < n; i += at_once) {
        spi_err err;

        at_once = 1;
        if (stop && *stop)
            return spi_fail(SPI_ECANCEL, "phasing: stopped at step %d of %d", i, n);
        if (step[i] == SPI_PHASE_SHRINKWRAP) {
            double u = n_wraps > 1 ? (double)wraps / (n_wraps - 1) : 0;
            double sigma = o->sw_sigma_first * pow(o->sw_sigma_last / o->sw_sigma_first, u);

            err = shrink_wrap(w, o, isfinite(sigma) ? sigma : 0, first && wraps == 0);
            wraps++;
        } else {
            if (iterations == release)
                release_beyond(w, o->q_max);
            while (at_once < AT_ONCE && i + at_once < n &&
                   step[i + at_once] != SPI_PHASE_SHRINKWRAP &&
                   iterations + at_once != release)
                at_once++;
            iterations += at_once;
            err = iterate(w, o, at_once, step + i);
        }
        if (err)
            return err;
    }
    return SPI_OK;
}

/* Centre of mass of the positive part, in voxels (z, y, x) from n/2; the box is periodic,
 * so the mean angle comes first.  False when there is no mass. */
static bool centre_of_mass(const struct work *w, double c[3])
{
    const int n = w->n;
    double sum[3][2] = {{0}}, mass = 0, shift[3] = {0}, turn = 2 * SPI_PI / n;

    for (int pass = 0; pass < 2; pass++) {
        double moment[3] = {0};
        size_t i = 0;

        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++, i++) {
                    int at[3] = {z, y, x};
                    double m = w->x[i] > 0 ? (double)w->x[i] : 0;

                    if (m == 0)
                        continue;
                    for (int a = 0; a < 3; a++)
                        if (pass == 0) {
                            sum[a][0] += m * cos(turn * at[a]);
                            sum[a][1] += m * sin(turn * at[a]);
                        } else {
                            moment[a] += m * remainder(at[a] - shift[a], n);
                        }
                    mass += pass == 0 ? m : 0;
                }
        if (!(mass > 0))
            return false;
        for (int a = 0; a < 3; a++)
            shift[a] = pass == 0 ? atan2(sum[a][1], sum[a][0]) / turn
                                 : shift[a] + moment[a] / mass;
    }
    for (int a = 0; a < 3; a++)
        c[a] = remainder(shift[a] - n / 2, n);
    return true;
}

void spi_phase_ramp(int n, const double t[3], double k_max, double scale, float complex *F)
{
    double turn = -2 * SPI_PI / n;

    for (int row = 0; row < n * n; row++) {
        struct spi_phase_row r = spi_phase_row_at(n, row);
        double complex f = scale * spi_phase_unit(turn * (r.kz * t[0] + r.ky * t[1]));
        double complex step = spi_phase_unit(turn * t[2]);

        for (int x = 0; x <= n / 2; x++, f *= step) {
            size_t i = r.first + (size_t)x;
            bool keep = !r.nyquist && 2 * x < n && spi_phase_cells2(&r, x) <= k_max * k_max;

            F[i] = keep ? F[i] * (float complex)f : 0;
        }
    }
}

/* d = P_S P_M x, its R-factor, then cut at q_max, centred and in the scale of A. */
static spi_err finish(struct work *w, const struct spi_phase_options *o,
                      struct spi_volume *density, double *r_factor)
{
    double sums[2] = {0}, c[3] = {0}, cubes = 0;
    const enum spi_phase_method er = SPI_PHASE_ER;
    spi_err err = iterate(w, o, 1, &er);

    if (err)
        return err;
    for (size_t i = 0; i < w->voxels; i++)
        cubes += pow((double)w->x[i], 3);
    for (size_t i = 0; cubes < 0 && i < w->voxels; i++)
        w->x[i] = -w->x[i]; /* without positivity the sign is open: the heavy side is up */
    if ((err = spi_fft3_r2c(w->n, w->x, w->F)))
        return err;
    spi_phase_misfit(w->modes, w->measured, w->amp, w->F, sums);
    *r_factor = sums[0] / sums[1];
    if (!centre_of_mass(w, c))
        memset(c, 0, sizeof c);
    for (int a = 0; a < 3; a++)
        c[a] = -c[a];
    spi_phase_ramp(w->n, c, o->q_max * w->n * w->step, w->scale / (double)w->voxels, w->F);
    if ((err = spi_volume_init(density, w->n, w->step)))
        return err;
    return spi_fft3_c2r(w->n, w->F, density->data);
}

/* Highest |q| that there is, on a grid of this step. */
static double reach(double step, const struct spi_phase_options *o)
{
    return fmin(o->q_max, 0.5 / step);
}

int spi_phase_levels(double step, const struct spi_phase_options *o)
{
    double ratio = o->first_qD > 0 ? reach(step, o) * o->diameter_A / o->first_qD : 1;
    int n = ratio > 1 ? 1 + (int)ceil(log2(ratio)) : 1;

    /* a level that has next to nothing between the hole and its end says nothing */
    while (n > 1 && ldexp(reach(step, o), 1 - n) < LEAST_HOLES * o->q_min)
        n--;
    return n;
}

double spi_phase_level_q(double step, const struct spi_phase_options *o, int level)
{
    int above = spi_phase_levels(step, o) - 1 - level;

    return above > 0 ? ldexp(reach(step, o), -above) : o->q_max;
}

/* Side of a level's grid: the box and, nearly, the modes per voxel of the last one. */
static int level_side(int n, double share)
{
    int side = spi_fft_good_size((int)fmax(8, ceil(n * share)));

    return side < n ? side : n;
}

/* F of n voxels a side -> G of m <= n, or of m > n with zeros in between: the modes that
 * both grids have, but for the Nyquist planes, times `scale`. */
static void crop(int n, const float complex *F, int m, float scale, float complex *G)
{
    int least = n < m ? n : m;

    memset(G, 0, spi_phase_modes(m) * sizeof *G);
    for (int row = 0; row < m * m; row++) {
        struct spi_phase_row r = spi_phase_row_at(m, row);
        int z = r.kz < 0 ? r.kz + n : r.kz, y = r.ky < 0 ? r.ky + n : r.ky;

        if (2 * abs(r.kz) >= least || 2 * abs(r.ky) >= least)
            continue;
        for (int x = 0; 2 * x < least; x++)
            G[r.first + (size_t)x] =
                scale *
                F[((size_t)z * (size_t)n + (size_t)y) * (size_t)(n / 2 + 1) + (size_t)x];
    }
}

/* What `from` is on a grid of m voxels in the same box: its Fourier series. */
static spi_err regrid(const struct spi_volume *from, int m, struct spi_volume *to)
{
    const int n = from->n;
    float complex *F = NULL, *G = NULL;
    spi_err err;

    *to = (struct spi_volume){0};
    SPI_TRY(err = SPI_NEW(F, spi_phase_modes(n), "phasing"), out);
    SPI_TRY(err = SPI_NEW(G, spi_phase_modes(m), "phasing"), out);
    SPI_TRY(err = spi_volume_init(to, m, from->step * n / m), out);
    SPI_TRY(err = spi_fft3_r2c(n, from->data, F), out);
    crop(n, F, m, 1 / ((float)n * (float)n * (float)n), G);
    err = spi_fft3_c2r(m, G, to->data);
out:
    free(F);
    free(G);
    if (err)
        spi_volume_clear(to);
    return err;
}

/* The autocorrelation whose intensities are those of A, on a coarser grid. */
static spi_err coarser(const struct spi_volume *A, int m, struct spi_volume *out)
{
    double share = (double)A->n / m;
    spi_err err = regrid(A, m, out);

    for (size_t i = 0; !err && i < spi_volume_count(out); i++)
        out->data[i] *= (float)(share * share * share);
    return err;
}

/* Iterate and support of a coarser level, on the grid of w. */
static spi_err carry(const struct work *from, struct work *w)
{
    struct spi_volume x = {.n = from->n, .step = from->step, .data = from->x}, fine;
    double share = (double)from->n / w->n, volume = share * share * share;
    spi_err err = regrid(&x, w->n, &fine);
    size_t i = 0;

    if (err)
        return err;
    for (size_t v = 0; v < w->voxels; v++)
        w->x[v] = fine.data[v] * (float)(volume * from->scale / w->scale);
    for (int z = 0; z < w->n; z++)
        for (int y = 0; y < w->n; y++)
            for (int k = 0; k < w->n; k++, i++) {
                int at[3] = {z, y, k};
                size_t j = 0;

                for (int a = 0; a < 3; a++) {
                    int c = from->n / 2 + (int)lround((at[a] - w->n / 2) * share);

                    j = j * (size_t)from->n + (size_t)(c % from->n);
                }
                w->support[i] = from->support[j];
            }
    spi_volume_clear(&fine);
    return SPI_OK;
}

/* One level: all of the recipe up to q_max of `o`, from what the level before found, if
 * there was one. */
static spi_err run_level(const struct spi_volume *A, const struct spi_phase_options *o,
                         const enum spi_phase_method *step, int n, int index,
                         const volatile int *stop, const struct work *before,
                         struct work *w)
{
    spi_err err;

    SPI_TRY(err = work_init(w, A->n, A->step), out);
    SPI_TRY(err = load(w, A, o), out);
    first_support(w, o->diameter_A);
    SPI_TRY(err = before ? carry(before, w) : first_density(w, o, index), out);
    err = run_recipe(w, o, step, n, !before, stop);
out:
    return err;
}

spi_err spi_phase_start(const struct spi_volume *A, const struct spi_phase_options *opt,
                        int index, const volatile int *stop, struct spi_volume *density,
                        double *r_factor)
{
    int levels, n = 0;
    enum spi_phase_method *step = NULL;
    struct work before = {0}, w = {0};
    spi_err err;

    *density = (struct spi_volume){0};
    *r_factor = NAN;
    SPI_TRY(err = spi_phase_check(A->n, A->step, opt), out);
    SPI_TRY(err = spi_phase_recipe_parse(opt->recipe, &step, &n), out);
    levels = spi_phase_levels(A->step, opt);
    for (int l = opt->initial && index == 0 ? levels - 1 : 0; l < levels; l++) {
        struct spi_phase_options o = *opt;
        struct spi_volume coarse = {0};
        int side;

        o.q_max = spi_phase_level_q(A->step, opt, l);
        side = level_side(A->n, o.q_max / reach(A->step, opt));
        if (side < A->n)
            SPI_TRY(err = coarser(A, side, &coarse), out);
        err = run_level(coarse.data ? &coarse : A, &o, step, n, index, stop,
                        before.x ? &before : NULL, &w);
        spi_volume_clear(&coarse);
        if (err || l + 1 == levels)
            break;
        work_clear(&before);
        before = w;
        w = (struct work){0};
    }
    if (!err)
        err = finish(&w, opt, density, r_factor);
out:
    if (err)
        spi_volume_clear(density);
    work_clear(&before);
    work_clear(&w);
    free(step);
    return err;
}
