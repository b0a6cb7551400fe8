/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The kernels of matching, SPI_LANES pairs at once, and of the way back to averaged images.
 * Layer: kernel.  doc/math.md (R6) to (R9), (M1), (M2), (M5), (M8) to (M10).
 *
 * Written once with vectors of 16, 8 or 4 floats and compiled for AVX-512, AVX2 + FMA and
 * whatever the compiler makes otherwise; arrays are the same for all and 64-byte aligned.
 * The results of two variants differ by rounding only (fused products). */
#ifndef SPI_KERNEL_LANES_H
#define SPI_KERNEL_LANES_H

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/angular.h"
#include "kernel/correlate.h"

/** How a correlation x becomes a score: x - count * table (M1), or x^2 / (2 table) where
 * both are positive, else 0 (M2). */
enum spi_score_form { SPI_FORM_DIFFERENCE, SPI_FORM_RATIO };

/** Over the angles of each lane: w, w (LL - top), w S. */
struct spi_weight_sums {
    float w[SPI_LANES], wx[SPI_LANES], wS[SPI_LANES];
};

struct spi_lanes {
    const char *name;
    bool (*available)(void);
    int fma_lanes; /* floats of a vector */

    /** n <= SPI_LANES templates, interleaved: panel[m][r][re, im][lane]; lanes from n on
     * repeat the last. */
    void (*panel)(const struct spi_band *b, int n, const float *const *record,
                  float *panel);
    /** A panel against the first n of a group of images (spi_group_pack): C of image i is
     * at C + i * spi_pairs_floats(); C has room for SPI_GROUP images. */
    void (*tile)(const struct spi_band *b, const float *panel, int n, const float *group,
                 float *C);
    /** n <= SPI_LANES pairs, one in a lane: image[i] with record[i].  work: SPI_LANES *
     * 32 ceil(M / 16) floats. */
    void (*pairs)(const struct spi_band *b, int n, const float *const *image,
                  const float *const *record, float *work, float *C);
    /** (R7) of every lane: out [Na][SPI_LANES]; work: 2 Na SPI_LANES floats. */
    void (*angular)(const struct spi_angular *t, const float *C, float *work, float *out);
    /** rows[n][width] -> out [width][SPI_LANES]; lanes from n on repeat the last. */
    void (*columns)(int n, int width, const float *const *row, float *out);
    /** Scores of one image: x, table [Na][SPI_LANES]; top: the largest of each lane. */
    void (*top)(enum spi_score_form form, int Na, const float *x, const float *table,
                float count, float top[SPI_LANES]);
    /** Scores of n pairs as rows of Na: x [Na][SPI_LANES]; table, out: row of pair i. */
    void (*rows)(enum spi_score_form form, int Na, int n, const float *x,
                 const float *const *table, const float *count, float *const *out,
                 float *top);
    /** Sums over n values x_i <= max of e_i, e_i d_i, e_i d_i^2; d_i = x_i - max, e_i =
     * exp(beta d_i) of relative error below 3e-6 + 2^-22 beta |d_i|, and no more than 2e-38
     * below exp(-87.3); e (or NULL) takes the e_i.  Floats are sums of 1,024 terms. */
    void (*exponentials)(int64_t n, const float *x, float max, float beta, float *e,
                         double sum[3]);
    /** Weights w = exp(beta (LL - top)) of the scores of one image as for `top`, which gave
     * top: q [Na][SPI_LANES] = 65535 w to the nearest integer, and their sums over the
     * angles (M8).  S [Na][SPI_LANES]. */
    void (*weights)(enum spi_score_form form, int Na, const float *x, const float *table,
                    float count, const float top[SPI_LANES], float beta, const float *S,
                    uint16_t *q, struct spi_weight_sums *sums);
    /** The transpose of `angular` (M9): harmonic m < M of lane i of scale[i] q is out[m *
     * stride + i], its imaginary part SPI_LANES on.  M may exceed that of t.  work: as for
     * `angular`. */
    void (*spectrum)(const struct spi_angular *t, int M, const uint16_t *q,
                     const float scale[SPI_LANES], float *work, float *out, long stride);
    /** The transpose of `tile` (M10): n images rotated by P, [re, im][lane] of harmonic m
     * and image i at P + m * stride + 2 SPI_LANES i, are added to sum (spi_sums_floats),
     * and behind the rings of each harmonic sum_i phi_i P.  image[i]: its harmonics in the
     * order of m, then r, [re, im]. */
    void (*gather)(const struct spi_band *b, int n, const float *P, long stride,
                   const float *const *image, const float *phi, float *sum);
    /** Rate of fused multiply-adds on registers: 12 n_lanes n of them.  What the machine
     * can do at most, for benches. */
    float (*peak)(long n);
};

/** Floats of the sums of SPI_LANES directions, [m][r >= first[m], then phi][re, im][lane].
 */
static inline long spi_sums_floats(const struct spi_band *b)
{
    return spi_panel_floats(b) + 2L * SPI_LANES * b->M;
}

/** The literal twins, of one lane, in double: LL [Na]; S and q with SPI_LANES from angle to
 *  angle; w [Na]; out [M]; P [m][n]; sum [m][r >= first[m], then phi]. */
struct spi_weight_sums_ref {
    double w, wx, wS;
};
/** Weights and their sums. */
void spi_weights_ref(int Na, const double *LL, double beta, const float *S, double *w,
                     struct spi_weight_sums_ref *sums);
/** Harmonics of weights. */
void spi_spectrum_ref(int M, int Na, const uint16_t *q, double scale, double complex *out);
/** Sum of n images, each times its harmonics of weights. */
void spi_gather_ref(const struct spi_band *b, int n, const double complex *P,
                    const float *const *image, const float *phi, double complex *sum);

/** All variants, the fastest first; the last is always available. */
extern const struct spi_lanes spi_lanes_variants[];
extern const int spi_lanes_count;
/** The first that is available. */
const struct spi_lanes *spi_lanes_best(void);

#endif
