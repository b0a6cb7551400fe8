/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Correlation, the angular transform and the scores against their twins, every variant.
 *
 * Bounds: a correlation is a sum of 2 k products (gamma_{2k}); the angular transform of p
 * passes is within (p + 1) 9 u of the sum of absolute values (angular.h); a score adds one
 * rounding of each of its operations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/lanes.h"
#include "tap.h"

enum { M = 23, RINGS = 17, RECORDS = SPI_LANES, IMAGES = SPI_GROUP };

static struct spi_band band;
static float *images, *templates; /* [..][band.floats] */

static void fill(struct spi_rng *rng, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)spi_rng_normal(rng);
}

static float *some(size_t n)
{
    return spi_alloc(n, sizeof(float), "test");
}

/* Random records; a harmonic that a ring does not have is 0. */
static float *records(struct spi_rng *rng, int n)
{
    float *x = some((size_t)(n * band.floats));

    fill(rng, (int64_t)n * band.floats, x);
    for (int i = 0; i < n; i++)
        for (int m = 0; m < (M + 15) / 16 * 16; m++)
            for (int r = band.first[m / 16 * 16]; r < RINGS; r++)
                if (m >= M || r < band.first[m]) {
                    float *at = x + i * band.floats + spi_band_at(&band, r, m);

                    at[0] = at[SPI_LANES] = 0;
                }
    return x;
}

static void make_band(void)
{
    int blocks = (M + SPI_LANES - 1) / SPI_LANES;

    band = (struct spi_band){.R = RINGS, .M = M};
    band.first = spi_alloc(M, sizeof *band.first, "first");
    band.off = spi_alloc((size_t)blocks + 1, sizeof *band.off, "off");
    for (int m = 0; m < M; m++) /* as on rings: higher harmonics on fewer rings */
        band.first[m] = m * (RINGS - 1) / M;
    for (int k = 0; k < blocks; k++)
        band.off[k + 1] = band.off[k] + 2 * SPI_LANES * (RINGS - band.first[SPI_LANES * k]);
    band.floats = band.off[blocks];
}

/* Largest error / bound of C [M][2][lane] in one lane; sign -1: of the other conjugate. */
static double worst_of(const float *C, int lane, const float *c, const float *L, int sign)
{
    double re[M], im[M], mag[M], worst = 0;

    spi_correlate_ref(&band, c, L, re, im, mag);
    for (int m = 0; m < M; m++) {
        double bound = gamma_f32(2 * (RINGS - band.first[m])) * mag[m];
        const float *at = C + 2 * SPI_LANES * m + lane;

        worst = fmax(worst, fabs((double)at[0] - re[m]) / bound);
        worst = fmax(worst, fabs((double)at[SPI_LANES] - sign * im[m]) / bound);
    }
    return worst;
}

static void check_correlate(const struct spi_lanes *v)
{
    static const int counts[] = {IMAGES, 5, 1};
    long stride = spi_pairs_floats(&band);
    float *panel = some((size_t)spi_panel_floats(&band)),
          *group = some((size_t)spi_group_floats(&band)),
          *C = some(IMAGES * (size_t)stride), *P = some((size_t)stride),
          *work = some(SPI_LANES * 2 * (M + SPI_LANES));
    const float *image[SPI_LANES] = {0}, *record[SPI_LANES];
    double worst = 0, pairs = 0, other = 0;
    int same = 1;

    for (int n = 0; n < 3; n++) {
        int directions = n == 1 ? 11 : SPI_LANES;

        for (int i = 0; i < IMAGES; i++)
            image[i] = i < counts[n] ? images + i * band.floats : NULL;
        for (int i = 0; i < directions; i++)
            record[i] = templates + i * band.floats;
        v->panel(&band, directions, record, panel);
        spi_group_pack(&band, image, group);
        v->tile(&band, panel, counts[n], group, C);
        for (int i = 0; i < counts[n]; i++)
            for (int d = 0; d < directions; d++) {
                worst = fmax(worst, worst_of(C + i * stride, d, image[i], record[d], 1));
                other = fmax(other, worst_of(C + i * stride, d, image[i], record[d], -1));
            }
    }
    /* pairs: runs of one image of any length, and a rest */
    v->tile(&band, panel, 1, group, C);
    for (int n = SPI_LANES; n >= 1; n -= 6) {
        for (int i = 0; i < n; i++)
            image[i] = images + (i < 9 ? 0 : i) * band.floats;
        v->pairs(&band, n, image, record, work, P);
        for (int i = 0; i < n; i++)
            pairs = fmax(pairs, worst_of(P, i, image[i], record[i], 1));
        for (int m = 0; m < 2 * M; m++) /* against image 0 of the tile */
            same &= memcmp(P + SPI_LANES * m, C + SPI_LANES * m, n < 9 ? 4 * n : 36) == 0;
    }
    OK(worst <= 1, "%s: tile: error / bound = %.3f", v->name, worst);
    OK(pairs <= 1, "%s: pairs: error / bound = %.3f", v->name, pairs);
    OK(same, "%s: a pair has the same bits in a tile and on its own", v->name);
    OK(other > 1, "the other conjugate is noticed");
    free(panel), free(group), free(C), free(P), free(work);
}

static void check_angular(const struct spi_lanes *v, struct spi_rng *rng, int harmonics,
                          int Na)
{
    struct spi_angular t;
    float *C = some(2 * SPI_LANES * (size_t)harmonics), *work = some(2 * (size_t)Na * 16),
          *out = some((size_t)Na * 16);
    double *ref = spi_alloc((size_t)Na, 8, "ref"), worst = 0, wrong = 0;

    fill(rng, 2 * SPI_LANES * harmonics, C);
    if (spi_angular_init(&t, harmonics, Na))
        OK(0, "%s", spi_err_message());
    v->angular(&t, C, work, out);
    for (int i = 0; i < SPI_LANES; i++) {
        float re[512], im[512];
        double mag;

        for (int m = 0; m < harmonics; m++)
            re[m] = C[2 * SPI_LANES * m + i], im[m] = C[2 * SPI_LANES * m + SPI_LANES + i];
        spi_angular_ref(harmonics, Na, re, im, ref, &mag);
        for (int a = 0; a < Na; a++) {
            double bound = (t.n_passes + 1) * 9 * 0x1p-24 * mag;

            worst = fmax(worst, fabs((double)out[a * SPI_LANES + i] - ref[a]) / bound);
            wrong = fmax(wrong,
                         fabs((double)out[a * SPI_LANES + i] - ref[(Na - a) % Na]) / bound);
        }
    }
    OK(worst <= 1, "%s: %d harmonics, %d angles: error / bound = %.3f", v->name, harmonics,
       Na, worst);
    OK(wrong > 1 || harmonics == 1, "the other sense of turning is noticed");
    spi_angular_clear(&t);
    free(C), free(work), free(out), free(ref);
}

static void check_scores(const struct spi_lanes *v, struct spi_rng *rng,
                         enum spi_score_form form, int Na, int n)
{
    float *x = some((size_t)Na * 16), *columns = some((size_t)Na * 16),
          *table = some((size_t)Na * 16), *LL = some((size_t)Na * 16 + 1);
    const float *tab[SPI_LANES];
    float *row[SPI_LANES], count[SPI_LANES], top[SPI_LANES];
    _Alignas(64) float best[SPI_LANES];
    double worst = 0, tops = 0, wrong = 0;

    fill(rng, (int64_t)Na * 16, x);
    fill(rng, (int64_t)Na * 16, table);
    LL[n * Na] = 77;
    for (int i = 0; i < n; i++)
        tab[i] = table + i * Na, row[i] = LL + i * Na, count[i] = 3.25F;
    v->columns(n, Na, tab, columns);
    v->rows(form, Na, n, x, tab, count, row, top);
    v->top(form, Na, x, columns, 3.25F, best);
    for (int i = 0; i < n; i++) {
        double most = -INFINITY;

        for (int a = 0; a < Na; a++) {
            double X = (double)x[a * SPI_LANES + i], t = (double)table[i * Na + a];
            double want = form == SPI_FORM_DIFFERENCE ? X - 3.25 * t
                          : X > 0 && t > 0            ? X * X / (2 * t)
                                                      : 0;
            double mag = form == SPI_FORM_DIFFERENCE ? fabs(X) + fabs(3.25 * t) : want;
            double gap = fabs((double)LL[i * Na + a] - want);

            worst = fmax(worst, gap - 3 * 0x1p-24 * mag); /* at most three roundings */
            wrong = fmax(wrong, fabs((double)LL[(i * Na + a + 1) % (n * Na)] - want));
            most = fmax(most, (double)LL[i * Na + a]);
        }
        tops = fmax(tops, fabs(most - (double)top[i]) + fabs(most - (double)best[i]));
    }
    OK(worst <= 0 && LL[n * Na] == 77, "%s: %d rows of %d scores, form %d", v->name, n, Na,
       (int)form);
    OK(tops == 0, "the largest, in rows and in columns");
    OK(wrong > 0.1, "a value in another place is noticed");
    free(x), free(columns), free(table), free(LL);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_angular none;

    make_band();
    images = records(&rng, SPI_LANES);
    templates = records(&rng, RECORDS);
    for (int i = 0; i < spi_lanes_count; i++) {
        const struct spi_lanes *v = spi_lanes_variants + i;

        if (!v->available()) {
            NOTE("%s: not available here", v->name);
            continue;
        }
        check_correlate(v);
        check_angular(v, &rng, M, 2 * M + 2); /* 24 = 4 3 2 */
        check_angular(v, &rng, M, 50);        /* 5 5 */
        check_angular(v, &rng, 60, 120);      /* 5 4 3, no harmonic to spare */
        check_angular(v, &rng, 1, 4);
        check_angular(v, &rng, 260, 1024);
        check_scores(v, &rng, SPI_FORM_DIFFERENCE, 54, SPI_LANES);
        check_scores(v, &rng, SPI_FORM_DIFFERENCE, 50, 3);
        check_scores(v, &rng, SPI_FORM_RATIO, 72, 16);
        check_scores(v, &rng, SPI_FORM_RATIO, 36, 7);
    }
    OK(spi_lanes_best()->available(), "%s is used here", spi_lanes_best()->name);
    OK(spi_angular_count(2 * 23) == 48 && spi_angular_count(49) == 50 &&
           spi_angular_count(1) == 4,
       "good numbers of angles");
    OK(spi_angular_init(&none, 3, 14) == SPI_EINVAL, "%s", spi_err_message());
    OK(spi_angular_init(&none, 9, 16) == SPI_EINVAL, "%s", spi_err_message());
    OK(spi_angular_init(&none, 1, 15) == SPI_EINVAL, "%s", spi_err_message());
    free(images), free(templates), free(band.first), free(band.off);
    return tap_done();
}
