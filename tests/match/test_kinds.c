/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kinds of images without a model: one particle seen from all sides is one kind, another one
 * is a second kind; few photons and few images claim nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "match/kinds.h"
#include "math/rot.h"
#include "tap.h"

enum { SIDE = 32, N = SIDE * SIDE, POINTS = 30, GOOD = 320, OTHERS = 80 };
static const double D = 100, edge = 0.08, lambda = 1;

static struct spi_detector det;
static struct spi_hits hits;
static struct spi_kind_shells shells;
static void *work;

static spi_err make_detector(void)
{
    spi_err err = spi_detector_init(&det, 1, SIDE, SIDE);

    if (err)
        return err;
    det.wavelength_A = lambda;
    for (int p = 0; p < N; p++) {
        double *q = det.q + 3 * p;

        q[0] = (p % SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[1] = (p / SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[2] = -lambda * (q[0] * q[0] + q[1] * q[1]) / 2;
        det.geometry[p] = (float)(1 - 20 * q[0] * q[0]);
        det.bad[p] = hypot(q[0], q[1]) < 0.004 || (p % SIDE < 7 && p / SIDE > 24);
    }
    return SPI_OK;
}

enum shape { BALL, SMALL };

/* Points of a particle, the same in all its images. */
static void particle(enum shape shape, double at[POINTS][3])
{
    struct spi_rng rng = spi_rng_stream(11, SPI_RNG_TEST, (uint64_t)shape);

    for (int i = 0; i < POINTS; i++) {
        double r = cbrt(spi_rng_uniform(&rng)) * (shape == SMALL ? 0.6 : 1), all = 0;

        for (int k = 0; k < 3; k++) {
            at[i][k] = spi_rng_normal(&rng);
            all += at[i][k] * at[i][k];
        }
        for (int k = 0; k < 3; k++)
            at[i][k] *= D / 2 * r / sqrt(all);
    }
}

/* Image k of a particle: from a random side, photons on average, drawn counts. */
static void make(enum shape shape, uint64_t k, double photons, float *K)
{
    struct spi_rng rng = spi_rng_stream(12 + shape, SPI_RNG_TEST, k);
    double at[POINTS][3], a[3], b[3], c[3], T[N], all = 0, ab = 0, aa = 0, bb = 0;

    particle(shape, at);
    for (int i = 0; i < 3; i++) {
        a[i] = spi_rng_normal(&rng);
        b[i] = spi_rng_normal(&rng);
        aa += a[i] * a[i];
        ab += a[i] * b[i];
    }
    for (int i = 0; i < 3; i++)
        b[i] -= ab / aa * a[i], bb += b[i] * b[i];
    for (int i = 0; i < 3; i++)
        a[i] /= sqrt(aa), b[i] /= sqrt(bb);
    for (int i = 0; i < 3; i++)
        c[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
    for (int p = 0; p < N; p++) {
        const double *q = det.q + 3 * (int64_t)p;
        double re = 0, im = 0;

        for (int w = 0; w < POINTS; w++) {
            double phase = 0;

            for (int i = 0; i < 3; i++)
                phase += 2 * SPI_PI * at[w][i] * (q[0] * a[i] + q[1] * b[i] + q[2] * c[i]);
            re += cos(phase), im += sin(phase);
        }
        T[p] = (re * re + im * im) * exp(-(q[0] * q[0] + q[1] * q[1]) / 0.0008) *
               (double)det.geometry[p];
        all += det.bad[p] ? 0 : T[p];
    }
    for (int p = 0; p < N; p++)
        K[p] = det.bad[p] ? 0 : (float)spi_rng_poisson(&rng, T[p] * photons / all);
}

/* ---- one image ------------------------------------------------------------------------ */

static double size_of(int p)
{
    const double *q = det.q + 3 * (int64_t)p;

    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* The mean of an image on the ring at q: linear between rings one pixel wide. */
static double ring_at(const float *K, double width, double q)
{
    double mean[2 * SIDE] = {0}, weight[2 * SIDE] = {0}, middle[2 * SIDE] = {0},
                    n[2 * SIDE] = {0};
    int lo;

    for (int p = 0; p < N; p++) {
        double s = size_of(p);
        int r = (int)(s / width);

        if (det.bad[p])
            continue;
        middle[r] += s;
        n[r]++;
        if (s < 1 / D || s > edge)
            continue;
        mean[r] += (double)K[p];
        weight[r] += (double)det.geometry[p];
    }
    for (int r = 0; r < 2 * SIDE; r++) {
        middle[r] /= fmax(n[r], 1);
        mean[r] /= fmax(weight[r], 1e-300);
    }
    lo = (int)(q / width);
    if (middle[lo] > q)
        lo--;
    return mean[lo] +
           (mean[lo + 1] - mean[lo]) * (q - middle[lo]) / (middle[lo + 1] - middle[lo]);
}

/* (J23) in plain loops; size: what rounding is measured by. */
static void twin(const float *K, double numbers[SPI_KIND_NUMBERS],
                 double size[SPI_KIND_NUMBERS])
{
    static double E[N];
    double width = edge / (SIDE / 2);

    memset(numbers, 0, SPI_KIND_NUMBERS * sizeof *numbers);
    memset(size, 0, SPI_KIND_NUMBERS * sizeof *size);
    for (int p = 0; p < N; p++)
        if (!det.bad[p] && size_of(p) >= 1 / D && size_of(p) <= edge)
            E[p] = (double)det.geometry[p] * ring_at(K, width, size_of(p));
    for (int p = 0; p < N; p++) {
        double qD = size_of(p) * D;
        int b = (int)((qD - 1) / 5 * SPI_KIND_SHELLS);
        const int next[2] = {p % SIDE + 1 < SIDE ? p + 1 : -1,
                             p / SIDE + 1 < SIDE ? p + SIDE : -1};

        if (det.bad[p] || qD < 1 || qD >= 6)
            continue;
        numbers[b] += (double)K[p];
        size[b] += (double)K[p];
        for (int k = 0; k < 2 && qD >= 1.5; k++)
            if (next[k] >= 0 && !det.bad[next[k]] && size_of(next[k]) <= edge &&
                size_of(next[k]) >= 1 / D) {
                double both = ((double)K[p] - E[p]) * ((double)K[next[k]] - E[next[k]]);

                numbers[SPI_KIND_SHELLS + b] += both;
                size[SPI_KIND_SHELLS + b] +=
                    fabs(both) + (double)(K[p] + 1) * (double)(K[next[k]] + 1);
            }
    }
}

static void one_image(void)
{
    static float K[N];
    double worst = 0, right[SPI_KIND_NUMBERS], size[SPI_KIND_NUMBERS];
    float numbers[SPI_KIND_NUMBERS];
    int of_any = 0;

    for (uint64_t k = 0; k < 3; k++) {
        make(k == 1 ? SMALL : BALL, k, k == 2 ? 50 : 5000, K);
        spi_kinds_image(&shells, &hits, K, work, numbers);
        twin(K, right, size);
        for (int b = 0; b < SPI_KIND_NUMBERS; b++) {
            of_any += fabs(right[b]) > 0;
            worst = fmax(worst, fabs((double)numbers[b] - right[b]) / (size[b] + 1e-300));
        }
    }
    /* E and the differences are rounded to floats: a few u of counts each */
    OK(worst < gamma_f32(16) && of_any > SPI_KIND_NUMBERS,
       "numbers of an image as in plain loops: %.1e apart", worst);
    memset(K, 0, sizeof K);
    spi_kinds_image(&shells, &hits, K, work, numbers);
    for (int b = 0; b < SPI_KIND_NUMBERS; b++)
        right[b] = (double)numbers[b];
    OK(memcmp(right, (double[SPI_KIND_NUMBERS]){0}, sizeof right) == 0,
       "an empty image has none");
}

/* ---- many images ---------------------------------------------------------------------- */

typedef float numbers_of_image[SPI_KIND_NUMBERS];

static void make_all(enum shape shape, int n, double photons, numbers_of_image *out)
{
    static float K[N];

    for (int k = 0; k < n; k++) {
        struct spi_rng rng = spi_rng_stream(20 + shape, SPI_RNG_TEST, (uint64_t)k);

        make(shape, (uint64_t)k, photons * exp(0.5 * spi_rng_normal(&rng)), K);
        spi_kinds_image(&shells, &hits, K, work, out[k]);
    }
}

/* n of the one, then m of the other: how many of each have p < 1/2; NAN: -1. */
static void judge(const numbers_of_image *a, int n, const numbers_of_image *b, int m,
                  int out[2], struct spi_kinds *kinds)
{
    static numbers_of_image all[2 * GOOD];
    static float p[2 * GOOD], again[2 * GOOD];
    struct spi_kinds second;

    memcpy(all, a, (size_t)n * sizeof *all);
    memcpy(all + n, b, (size_t)m * sizeof *all);
    out[0] = out[1] = -1;
    NEED(!spi_kinds_find(&shells, n + m, all[0], 1, p, kinds));
    NEED(!spi_kinds_find(&shells, n + m, all[0], 1, again, &second));
    NEED(memcmp(p, again, (size_t)(n + m) * sizeof *p) == 0);
    out[0] = out[1] = 0;
    for (int k = 0; k < n + m; k++)
        out[k >= n] += isfinite((double)p[k]) ? (double)p[k] < 0.5 : -2 * GOOD;
}

static void many_images(double photons, bool enough)
{
    static numbers_of_image ball[GOOD], small[GOOD];
    struct spi_kinds kinds;
    int found[2];

    make_all(BALL, GOOD, photons, ball);
    make_all(SMALL, GOOD, photons, small);
    judge(ball, GOOD, NULL, 0, found, &kinds);
    OK(kinds.n == 1 && found[0] == 0, "%g photons, one particle: %d kinds, %d of %d lost",
       photons, kinds.n, found[0], GOOD);
    judge(small, GOOD, NULL, 0, found, &kinds);
    OK(kinds.n == 1 && found[0] == 0, "%g photons, the other: %d kinds, %d of %d lost",
       photons, kinds.n, found[0], GOOD);
    judge(ball, GOOD, small, OTHERS, found, &kinds);
    if (enough)
        OK(kinds.n > 1 && found[1] >= 0.95 * OTHERS && found[0] >= 0 &&
               found[0] <= 0.01 * GOOD,
           "%g photons, a fifth of another: %d kinds, %d of %d found, %d of %d lost",
           photons, kinds.n, found[1], OTHERS, found[0], GOOD);
    else
        OK(found[0] >= 0 && found[0] <= 0.01 * GOOD,
           "%g photons, a fifth of another: %d of %d lost", photons, found[0], GOOD);
    judge(small, GOOD, ball, OTHERS, found, &kinds);
    if (enough)
        OK(kinds.n > 1 && found[1] >= 0.95 * OTHERS && found[0] >= 0 &&
               found[0] <= 0.01 * GOOD,
           "the other way round: %d of %d found, %d of %d lost", found[1], OTHERS, found[0],
           GOOD);
    judge(ball, GOOD, small, GOOD, found, &kinds);
    OK(kinds.n == 1 && found[0] == 0 && found[1] == 0,
       "%g photons, as many of both: nothing is claimed (%d, %d)", photons, found[0],
       found[1]);
    judge(ball, GOOD, small, 4, found, &kinds);
    OK(kinds.n == 1 && found[0] == 0 && found[1] == 0,
       "%g photons, four odd images are no kind (%d, %d)", photons, found[0], found[1]);
    judge(ball, 10, small, 2, found, &kinds);
    OK(kinds.n == 1 && found[0] == 0 && found[1] == 0,
       "%g photons, a dozen images: %d kinds", photons, kinds.n);
}

static void empty_images(void)
{
    static numbers_of_image some[GOOD];
    static float p[GOOD];
    struct spi_kinds kinds;
    int nans = 0;

    NEED(!spi_kinds_find(&shells, GOOD, some[0], 1, p, &kinds));
    for (int k = 0; k < GOOD; k++)
        nans += isnan((double)p[k]);
    OK(nans == GOOD && kinds.n == 1, "all empty: %d of %d have no kind", nans, GOOD);
    make_all(BALL, GOOD, 3000, some);
    for (int k = 0; k < GOOD; k += 5)
        memset(some[k], 0, sizeof some[k]);
    some[GOOD / 2][SPI_KIND_SHELLS] = NAN; /* GOOD / 2 is a multiple of 5 */
    NEED(!spi_kinds_find(&shells, GOOD, some[0], 1, p, &kinds));
    nans = 0;
    for (int k = 0; k < GOOD; k++)
        nans += k % 5 == 0 ? isnan((double)p[k]) : !((double)p[k] >= 0.5);
    OK(nans == GOOD / 5,
       "a fifth empty or no numbers: they have no kind, the others are one");
    NEED(!spi_kinds_find(&shells, 0, some[0], 1, p, &kinds));
    OK(kinds.n == 1, "no image at all");
}

int main(void)
{
    bool made = !make_detector() && !spi_hits_init(&hits, &det, D, edge) &&
                !spi_kind_shells_init(&shells, &hits, &det, D);

    OK(made, "a detector");
    work = made ? spi_alloc(spi_hits_work_bytes(&hits), 1, "kinds") : NULL;
    if (work) {
        one_image();
        many_images(5000, true);
        many_images(100, false);
        empty_images();
    }
    free(work);
    spi_kind_shells_clear(&shells);
    spi_hits_clear(&hits);
    spi_detector_clear(&det);
    return tap_done();
}
