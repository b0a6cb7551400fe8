/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rings: resampling against its formula, what it keeps, and what rotating the detector
 * does.
 */
#include <complex.h>
#include <stdlib.h>
#include <string.h>

#include "math/sphere.h"
#include "scene.h"
#include "tap.h"

static struct spi_rings g;
static struct spi_detector det;
static struct spi_ring_map map;

/* Keys's kernel, a = -1/2, as in the paper. */
static double keys(double x)
{
    x = fabs(x);
    if (x < 1)
        return 1.5 * x * x * x - 2.5 * x * x + 1;
    return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

/* Weight of sample j of ring r for pixel p, from the definition (R2): rings beyond the ends
 * are the end rings, angles go round. */
static double literal(int64_t p, int r, int j)
{
    const double *v = det.q + 3 * p;
    double rho = (sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) - g.q[0]) / g.dq, sum = 0;
    double turn = atan2(v[1], v[0]) / (2 * SPI_PI), radial = 0;

    for (int ring = -2; ring <= g.R + 1; ring++)
        if ((ring < 0 ? 0 : ring >= g.R ? g.R - 1 : ring) == r)
            radial += keys(rho - ring);
    if (radial != 0)
        for (int lap = -1; lap <= 1; lap++)
            sum += radial * keys((turn + lap) * g.n[r] - j);
    return sum;
}

static bool used(int64_t p)
{
    const double *v = det.q + 3 * p;
    double q = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);

    return !det.bad[p] && q >= g.q[0] && q <= g.q[g.R - 1];
}

static void random_image(struct spi_rng *rng, float *image)
{
    for (int p = 0; p < SCENE_PIXELS; p++)
        image[p] = (float)spi_rng_poisson(rng, 3);
}

/* K' = transpose of cubic interpolation, live weights likewise; counts are kept. */
static void check_resampling(struct spi_rng *rng)
{
    float image[SCENE_PIXELS], *s = spi_alloc((size_t)g.at[g.R], sizeof *s, "samples");
    double total = 0, kept = 0, worst = 0, worst_live = 0, worst_wrong = 0, n_live = 0;

    random_image(rng, image);
    spi_ring_resample(&map, &g, image, s);
    for (int r = 0; r < g.R; r++)
        for (int j = 0; j < g.n[r]; j++) {
            double k = 0, d = 0, k_abs = 0, other = 0;

            for (int64_t p = 0; p < SCENE_PIXELS; p++) {
                double w = used(p) ? literal(p, r, j) : 0;

                k += w * (double)image[p];
                k_abs += fabs(w) * (double)image[p];
                d += w * (double)det.geometry[p];
                other += w != 0 ? (double)image[p] : 0; /* nearest tap: a wrong rule */
            }
            /* n terms, each a rounded weight and product: gamma_{n + 2}, n <= 576 */
            double bound = gamma_f32(SCENE_PIXELS + 2) * k_abs + 1e-12;

            worst = fmax(worst, fabs((double)s[g.at[r] + j] - k) / bound);
            worst_live = fmax(worst_live, fabs((double)map.live[g.at[r] + j] - d));
            worst_wrong = fmax(worst_wrong, fabs((double)s[g.at[r] + j] - other) / bound);
            kept += (double)s[g.at[r] + j];
        }
    for (int64_t p = 0; p < SCENE_PIXELS; p++)
        if (used(p)) {
            total += (double)image[p];
            n_live += (double)det.geometry[p];
        }
    OK(worst <= 1, "resampling is the transpose of interpolation: error / bound = %.3f",
       worst);
    OK(worst_wrong > 1, "a wrong rule is noticed");
    /* as above; |w| of the taps of one pixel add to at most (1.25)^2 */
    double live_bound = gamma_f32(SCENE_PIXELS + 2) * SCENE_PIXELS;

    OK(worst_live <= live_bound, "live weights: error / bound = %.4f",
       worst_live / live_bound);
    OK(fabs(map.n_live - n_live) <= 1e-12 * n_live,
       "sum of live weights"); /* double sums */

    /* taps of a pixel add to 1 within 16 roundings, then sums as above, (1.25)^2 for |w| */
    double bound = gamma_f32(16 + SCENE_PIXELS) * 1.5625 * total;

    OK(fabs(kept - total) <= bound, "counts are kept: %.6f of %.0f", kept, total);
    OK(fabs(kept - total - 1) > bound, "one count more is noticed");
    free(s);
}

static void check_harmonics(struct spi_rng *rng)
{
    size_t nh = (size_t)g.h_at[g.R], ns = (size_t)g.at[g.R];
    float complex *h = spi_alloc(nh, sizeof *h, "h"), *back = spi_alloc(nh, sizeof *h, "h");
    float *s = spi_alloc(ns, sizeof *s, "s");
    double worst = 0, scale = 0, worst_dft = 0;

    for (int r = 0; r < g.R; r++)
        for (int m = 0; m <= g.m_max[r]; m++) {
            float re = (float)spi_rng_normal(rng), im = (float)spi_rng_normal(rng);

            h[g.h_at[r] + m] = m ? re + im * I : re;
            scale = fmax(scale, (double)cabsf(h[g.h_at[r] + m]));
        }
    if (spi_ring_synthesise(&g, g.R, h, s) || spi_ring_analyse(&g, g.R, s, back))
        OK(0, "%s", spi_err_message());
    for (size_t i = 0; i < nh; i++)
        worst = fmax(worst, (double)cabsf(back[i] - h[i]));
    for (int m = 0; m <= g.m_max[5]; m++) { /* (R3) by its sum */
        double complex sum = 0;

        for (int j = 0; j < g.n[5]; j++)
            sum += (double)s[g.at[5] + j] * cexp(CMPLX(0, -2 * SPI_PI * m * j / g.n[5]));
        worst_dft = fmax(worst_dft, cabs(sum - (double complex)back[g.h_at[5] + m]));
    }
    /* two transforms of n <= 128: relative l2 error 2 * 4 log2(n) u each (Higham,
     * section 24.1); |h|_2 <= sqrt(2 m) max |h| per ring */
    int last = g.R - 1;
    double bound = 2 * 2 * 4 * log2(g.n[last]) * 0x1p-24 * sqrt(2.0 * g.n[last]) * scale;

    OK(worst <= bound, "synthesis and analysis: error / bound = %.3f", worst / bound);
    OK(worst_dft <= bound, "analysis is the sum (R3): error / bound = %.3f",
       worst_dft / bound);
    OK((double)cabsf(back[g.h_at[5] + 1] - h[g.h_at[5] + 2]) > bound,
       "another harmonic is noticed");
    free(h);
    free(back);
    free(s);
}

/* Turning the image by a multiplies harmonic m by exp(-i m a): exactly so where the
 * detector's pixels and the ring's samples map onto themselves. */
static void check_rotating(struct spi_rng *rng)
{
    struct spi_ring_map open;
    float image[SCENE_PIXELS], rotated[2][SCENE_PIXELS];
    size_t ns = (size_t)g.at[g.R], nh = (size_t)g.h_at[g.R];
    float *s = spi_alloc(ns, sizeof *s, "s");
    float complex *h = spi_alloc(3 * nh, sizeof *h, "h");
    double worst[2] = {0}, wrong = 0, total = 0;

    memset(det.bad, 0, SCENE_PIXELS);
    random_image(rng, image);
    for (int y = 0; y < SCENE_SIDE; y++)
        for (int x = 0; x < SCENE_SIDE; x++) {
            int last = SCENE_SIDE - 1;

            /* (x, y) -> (-y, x) is a quarter turn, (-x, -y) half a turn */
            rotated[0][x * SCENE_SIDE + last - y] = image[y * SCENE_SIDE + x];
            rotated[1][(last - y) * SCENE_SIDE + last - x] = image[y * SCENE_SIDE + x];
            total += (double)image[y * SCENE_SIDE + x];
        }
    OK(spi_ring_map_init(&open, &g, &det) == SPI_OK, "map without a mask");
    for (int i = 0; i < 3; i++) {
        spi_ring_resample(&open, &g, i ? rotated[i - 1] : image, s);
        if (spi_ring_analyse(&g, g.R, s, h + (size_t)i * nh))
            OK(0, "%s", spi_err_message());
    }
    for (int i = 0; i < 2; i++)
        for (int r = 0; r < g.R; r++) {
            if (g.n[r] % (i ? 2 : 4))
                continue;
            for (int m = 0; m <= g.m_max[r]; m++) {
                double complex f = cexp(CMPLX(0, -SPI_PI * m * (i ? 1 : 0.5)));
                size_t at = (size_t)(g.h_at[r] + m);
                double complex b = (double complex)h[(size_t)(i + 1) * nh + at];

                worst[i] = fmax(worst[i], cabs(b - f * (double complex)h[at]));
                wrong = fmax(wrong, cabs(b - conj(f) * (double complex)h[at]));
            }
        }
    /* the samples agree to gamma of their sums, in any order; a harmonic adds at most all
     * of them */
    double bound = gamma_f32(2 * SCENE_PIXELS) * 1.5625 * total;

    OK(worst[0] <= bound, "quarter turn: error / bound = %.3f", worst[0] / bound);
    OK(worst[1] <= bound, "half turn: error / bound = %.3f", worst[1] / bound);
    OK(wrong > bound, "rotating the other way is noticed");
    spi_ring_map_clear(&open);
    free(s);
    free(h);
}

static void check_band(struct spi_rng *rng)
{
    struct spi_band b;
    int R = g.R - 3, errors = 0, count = 0, filled = 0;
    float complex *h = spi_alloc((size_t)g.h_at[g.R], sizeof *h, "h");
    float scale[64], *record;

    for (int i = 0; i < g.h_at[g.R]; i++)
        h[i] = (float)spi_rng_normal(rng) + (float)spi_rng_normal(rng) * I;
    for (int r = 0; r < g.R; r++)
        scale[r] = (float)(r + 1);
    if (spi_band_init(&b, &g, R))
        OK(0, "%s", spi_err_message());
    record = spi_alloc((size_t)b.floats, sizeof *record, "record");
    spi_band_pack(&b, &g, h, scale, record);
    for (int m = 0; m < b.M; m++) {
        int first = 0;

        while (g.m_max[first] < m)
            first++;
        errors += b.first[m] != first;
        for (int r = first; r < R; r++, count++) {
            float complex v = h[g.h_at[r] + m] * scale[r];
            int at = spi_band_at(&b, r, m);

            errors += record[at] != crealf(v) || record[at + SPI_LANES] != cimagf(v);
        }
    }
    for (int i = 0; i < b.floats; i++)
        filled += record[i] != 0;
    OK(errors == 0 && filled == 2 * count, "band of %d rings: %d harmonics in their places",
       R, count);
    for (int r = 0; r < R; r++)
        count -= g.m_max[r] + 1;
    OK(count == 0, "each harmonic of the first %d rings once", R);
    OK(record[spi_band_at(&b, 7, 0)] != crealf(h[g.h_at[6]] * scale[6]),
       "a wrong place is noticed");
    free(record);
    free(h);

    struct spi_views v = spi_views_for(&g, &b, 1), w = spi_views_for(&g, &b, 2);

    OK(v.Na % 2 == 0 && v.Na >= 2 * b.M && w.Na >= 2 * v.Na - 2, "in-plane angles: %d, %d",
       v.Na, w.Na);
    OK(v.nd == spi_sphere_count(1 / (2 * scene_D * g.q[R - 1])), "directions: %lld",
       (long long)v.nd);
    spi_band_clear(&b);
}

/* (R1): the same point of reciprocal space by either side, on the curved sphere. */
static void check_turn_of_view(struct spi_rng *rng)
{
    double worst = 0, wrong = 0;

    for (int i = 0; i < 200; i++) {
        double dir[3], M[9], Rn[9], a = 2 * SPI_PI * spi_rng_uniform(rng);
        double phi = 2 * SPI_PI * spi_rng_uniform(rng), left[3], right[3], other[3];
        int r = (int)spi_rng_below(rng, (uint32_t)g.R);
        double p[3] = {g.qp[r] * cos(phi), g.qp[r] * sin(phi), g.qz[r]};
        double p1[3] = {g.qp[r] * cos(phi + a), g.qp[r] * sin(phi + a), g.qz[r]};
        double p2[3] = {g.qp[r] * cos(phi - a), g.qp[r] * sin(phi - a), g.qz[r]};

        spi_sphere_point(200, i, dir);
        spi_rot_view(dir, a, M);
        spi_rot_to_direction(dir, Rn);
        spi_rot_apply(M, p, left);
        spi_rot_apply(Rn, p1, right);
        spi_rot_apply(Rn, p2, other);
        for (int c = 0; c < 3; c++) {
            worst = fmax(worst, fabs(left[c] - right[c]));
            wrong = fmax(wrong, fabs(left[c] - other[c]));
        }
        worst = fmax(worst, fabs(scene_W(left) - scene_W(right)));
    }
    /* three products of rotations in double, |q| <= 0.14, dW/dq < 200: 200 * 64 u */
    OK(worst < 200 * 64 * 0x1p-53, "(R1) on the curved sphere: %.1e", worst);
    OK(wrong > 0.01, "the other sense of turning is noticed");
}

static void check_bad_input(void)
{
    struct spi_rings bad;
    struct spi_ring_map none;

    OK(spi_rings_init(&bad, 40, 2, 0.1, 0.11, 1) == SPI_EINVAL, "%s", spi_err_message());
    OK(spi_rings_init(&bad, 1e9, 2, 0.1, 0.2, 1) == SPI_EINVAL, "%s", spi_err_message());
    OK(spi_rings_init(&bad, 40, 12, 0.02, 0.15, 1.3) == SPI_EINVAL, "%s",
       spi_err_message());
    OK(spi_rings_init(&bad, 40, NAN, 0.02, 0.15, 1.3) == SPI_EINVAL, "%s",
       spi_err_message());
    memset(det.bad, 1, SCENE_PIXELS);
    OK(spi_ring_map_init(&none, &g, &det) == SPI_EINVAL, "%s", spi_err_message());
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    int grows = 1;

    if (scene_detector(&det) || scene_rings(&g) || spi_ring_map_init(&map, &g, &det)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    for (int r = 1; r < g.R; r++)
        grows &=
            g.m_max[r] >= g.m_max[r - 1] && g.n[r] >= g.n[r - 1] && g.n[r] > 2 * g.m_max[r];
    OK(grows &&
           fabs(g.q[g.R - 1] - scene_q_max) < 1e-15, /* rounding of q_min + (R - 1) dq */
       "%d rings, harmonics and samples grow", g.R);
    OK(spi_rings_upto(&g, 0) == 1 && spi_rings_upto(&g, 9) == g.R &&
           spi_rings_upto(&g, g.q[4]) == 5,
       "rings up to a |q|");
    check_resampling(&rng);
    check_harmonics(&rng);
    check_band(&rng);
    check_turn_of_view(&rng);
    check_rotating(&rng);
    check_bad_input();
    spi_ring_map_clear(&map);
    spi_rings_clear(&g);
    spi_detector_clear(&det);
    return tap_done();
}
