/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/speckle.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"
#include "math/rot.h"

enum { RINGS_LEAST = 6, SAMPLES_LEAST = 24 };
static const double mask_least = 0.2; /* of the pairs of a full ring */

struct spi_speckle {
    bool photons;
    int64_t n_pixels, n_images;
    int n_rings;
    double dq;
    int *n, *at, *at_h; /* [n_rings] samples; [n_rings + 1] offsets of samples, harmonics */
    int32_t *sample;    /* [n_pixels] -1: none */
    float *geometry;    /* [samples] sum of the geometry factors */
    double *power;      /* [harmonics] sum over images of |harmonic|^2 */
    float *row;         /* [samples] scratch */
    float complex *half;
};

spi_err spi_speckle_new(const struct spi_detector *det, enum spi_image_kind kind,
                        const int32_t *ring, int n_rings, double dq, spi_speckle **out)
{
    spi_speckle *s = NULL;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(s, 1, "speckles"), out);
    s->photons = kind == SPI_PHOTONS;
    s->n_pixels = det->n_pixels;
    s->n_rings = n_rings;
    s->dq = dq;
    SPI_TRY(err = SPI_NEW(s->n, n_rings, "speckles"), out);
    SPI_TRY(err = SPI_NEW(s->at, n_rings + 1, "speckles"), out);
    SPI_TRY(err = SPI_NEW(s->at_h, n_rings + 1, "speckles"), out);
    for (int i = 0; i < n_rings; i++) { /* samples about a pixel apart */
        s->n[i] = spi_fft_good_size((int)ceil(2 * SPI_PI * (i + 0.5)));
        if (s->n[i] < SAMPLES_LEAST)
            s->n[i] = SAMPLES_LEAST;
        s->at[i + 1] = s->at[i] + s->n[i];
        s->at_h[i + 1] = s->at_h[i] + s->n[i] / 2 + 1;
    }
    SPI_TRY(err = SPI_NEW(s->sample, det->n_pixels, "speckles"), out);
    SPI_TRY(err = SPI_NEW(s->geometry, s->at[n_rings], "speckles"), out);
    SPI_TRY(err = SPI_NEW(s->power, s->at_h[n_rings], "speckles"), out);
    SPI_TRY(err = SPI_NEW(s->row, s->at[n_rings], "speckles"), out);
    SPI_TRY(err = SPI_NEW(s->half, s->n[n_rings - 1] / 2 + 1, "speckles"), out);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        double turn = atan2(det->q[3 * p + 1], det->q[3 * p]) / (2 * SPI_PI);
        int r = ring[p], j;

        s->sample[p] = -1;
        if (r < 0 || r >= n_rings)
            continue;
        j = (int)((turn - floor(turn)) * s->n[r]) % s->n[r];
        s->sample[p] = s->at[r] + j;
        s->geometry[s->at[r] + j] += det->geometry[p];
    }
out:
    if (err)
        spi_speckle_free(s);
    else
        *out = s;
    return err;
}

void spi_speckle_free(spi_speckle *s)
{
    if (!s)
        return;
    free(s->n);
    free(s->at);
    free(s->at_h);
    free(s->sample);
    free(s->geometry);
    free(s->power);
    free(s->row);
    free(s->half);
    free(s);
}

spi_err spi_speckle_add(spi_speckle *s, const float *image)
{
    memset(s->row, 0, (size_t)s->at[s->n_rings] * sizeof *s->row);
    for (int64_t p = 0; p < s->n_pixels; p++)
        if (s->sample[p] >= 0)
            s->row[s->sample[p]] += image[p];
    for (int i = 0; i < s->n_rings; i++) {
        spi_err err = spi_fft1_r2c(s->n[i], 1, s->row + s->at[i], s->half);

        if (err)
            return err;
        for (int m = 0; m <= s->n[i] / 2; m++) {
            double re = (double)crealf(s->half[m]), im = (double)cimagf(s->half[m]);

            s->power[s->at_h[i] + m] += re * re + im * im;
        }
    }
    s->n_images++;
    return SPI_OK;
}

/* pairs[d], d = 0 ... n/2: sum_j a_j a_(j+d) from its power spectrum. */
static void correlation(int n, const double *power, double *pairs)
{
    for (int d = 0; d <= n / 2; d++) {
        double sum = power[0] + (n % 2 ? 0 : power[n / 2] * (d % 2 ? -1 : 1));

        for (int m = 1; m < (n + 1) / 2; m++)
            sum += 2 * power[m] * cos(2 * SPI_PI * ((int64_t)m * d % n) / n);
        pairs[d] = sum / n;
    }
}

/* One ring's pairs over those of an image without speckles, and the number of pairs. */
static spi_err ring_curve(const spi_speckle *s, int i, double *value, double *pairs)
{
    int n = s->n[i], quarter = n / 4;
    double *mask = NULL, *power = NULL, base = 0, used = 0;
    float *row = NULL;
    float complex *half = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(mask, n / 2 + 1, "speckles"), out);
    SPI_TRY(err = SPI_NEW(power, n / 2 + 1, "speckles"), out);
    SPI_TRY(err = SPI_NEW(row, n, "speckles"), out);
    SPI_TRY(err = SPI_NEW(half, n / 2 + 1, "speckles"), out);
    memcpy(row, s->geometry + s->at[i], (size_t)n * sizeof *row);
    SPI_TRY(err = spi_fft1_r2c(n, 1, row, half), out);
    for (int m = 0; m <= n / 2; m++)
        power[m] = pow((double)crealf(half[m]), 2) + pow((double)cimagf(half[m]), 2);
    correlation(n, power, mask);
    correlation(n, s->power + s->at_h[i], pairs);
    for (int d = 1; d <= n / 2; d++)
        value[d] = mask[d] > mask_least * mask[0] ? pairs[d] / mask[d] : (double)NAN;
    /* two thirds to four thirds of a right angle: far from 0 and from the Friedel mate */
    for (int d = 2 * quarter / 3; d <= 4 * quarter / 3; d++)
        if (isfinite(value[d]))
            base += value[d], used += 1;
    for (int d = 1; d <= n / 2; d++)
        value[d] = used > 0 && base > 0 ? value[d] * used / base - 1 : (double)NAN;
out:
    free(mask);
    free(power);
    free(row);
    free(half);
    return err;
}

/* Sums over rings of weight^i value^j, for the mean of a bin and its variance. */
struct bin {
    double w, wx, w2, w2x, w2xx;
    double k, k_weight;
};

static void add_ring(const spi_speckle *s, int i, const double *value, double weight, int n,
                     struct bin *bin, double *sum, double *count)
{
    double q = (i + 0.5) * s->dq;

    memset(sum, 0, (size_t)n * sizeof *sum);
    memset(count, 0, (size_t)n * sizeof *count);
    for (int d = 1; d <= s->n[i] / 3; d++) {
        double far = 2 * q * sin(SPI_PI * d / s->n[i]);
        int b = (int)(far / s->dq - 0.5);

        if (far < s->dq / 2 || b >= n || !isfinite(value[d]))
            continue;
        sum[b] += value[d];
        count[b] += 1;
        bin[b].k += weight * far;
        bin[b].k_weight += weight;
    }
    for (int b = 0; b < n; b++)
        if (count[b] > 0) {
            double x = sum[b] / count[b];

            bin[b].w += weight;
            bin[b].wx += weight * x;
            bin[b].w2 += weight * weight;
            bin[b].w2x += weight * weight * x;
            bin[b].w2xx += weight * weight * x * x;
        }
}

spi_err spi_speckle_curve(const spi_speckle *s, double q_low, int n, double *k,
                          double *value, double *variance)
{
    double *sum = NULL, *count = NULL, *ring_value = NULL, *pairs = NULL;
    struct bin *bin = NULL;
    int rings = 0, longest = s->n[s->n_rings - 1] / 2 + 1;
    /* rings within half a speckle of each other say the same */
    double alike = fmax(1, q_low / (5 * s->dq));
    spi_err err;

    SPI_TRY(err = SPI_NEW(sum, n, "speckles"), out);
    SPI_TRY(err = SPI_NEW(count, n, "speckles"), out);
    SPI_TRY(err = SPI_NEW(bin, n, "speckles"), out);
    SPI_TRY(err = SPI_NEW(ring_value, longest, "speckles"), out);
    SPI_TRY(err = SPI_NEW(pairs, longest, "speckles"), out);
    for (int i = (int)(q_low / s->dq) + 1; i < s->n_rings; i++) {
        double shot, weight;

        SPI_TRY(err = ring_curve(s, i, ring_value, pairs), out);
        if (!(pairs[s->n[i] / 4] > 0))
            continue;
        /* shot noise, and that of as many speckles as the ring has samples */
        shot = s->photons ? 1 / pairs[s->n[i] / 4] : 0;
        weight = 1 / (shot + 1 / ((double)s->n_images * s->n[i]));
        add_ring(s, i, ring_value, weight, n, bin, sum, count);
        rings++;
    }
    if (rings < RINGS_LEAST)
        err = spi_fail(SPI_EINVAL, "diameter: %d rings beyond |q| = %g 1/A; needed %d",
                       rings, q_low, RINGS_LEAST);
    for (int b = 0; b < n && !err; b++) {
        const struct bin *x = &bin[b];

        k[b] = x->k_weight > 0 ? x->k / x->k_weight : (b + 1) * s->dq;
        value[b] = x->w > 0 ? x->wx / x->w : 0;
        variance[b] = x->w > 0 ? alike *
                                     fmax(0, x->w2xx - 2 * value[b] * x->w2x +
                                                 value[b] * value[b] * x->w2) /
                                     (x->w * x->w)
                               : (double)INFINITY;
    }
out:
    free(sum);
    free(count);
    free(bin);
    free(ring_value);
    free(pairs);
    return err;
}
