/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sums moved to rings (V15): the same as over the pixels, for every wave within the band,
 * with masks of any shape; rotated harmonics are the sums over rotated pixels. */
#include "ring/nodes.h"

#include <complex.h>
#include <string.h>

#include "scene.h"
#include "tap.h"

enum { WAVES = 200 };

static struct spi_pixel_list list;

/* sum_p s_p exp(2 pi i q_p.x), the detector rotated about the beam by `angle`. */
static double complex over_pixels(const float (*value)[2], double angle, const double x[3])
{
    double complex sum = 0;

    for (int64_t p = 0; p < list.n; p++) {
        const float *q = list.q[p];
        double u = cos(angle) * (double)q[0] - sin(angle) * (double)q[1];
        double v = sin(angle) * (double)q[0] + cos(angle) * (double)q[1];

        sum += (double)value[p][1] *
               cexp(CMPLX(0, 2 * SPI_PI * (u * x[0] + v * x[1] + (double)q[2] * x[2])));
    }
    return sum;
}

static double complex over_nodes(const struct spi_rings *g, const float *samples,
                                 const float (*q)[3], const double x[3])
{
    double complex sum = 0;

    for (int j = 0; j < g->at[g->R]; j++)
        sum += (double)samples[j] *
               cexp(CMPLX(0, 2 * SPI_PI *
                                 ((double)q[j][0] * x[0] + (double)q[j][1] * x[1] +
                                  (double)q[j][2] * x[2])));
    return sum;
}

/* Largest difference for waves of |x| = share of the band, relative to the sum of |s|. */
static double worst(const struct spi_ring_nodes *t, const float (*value)[2], double band,
                    double share, double angle, double back)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const struct spi_rings *g = &t->rings;
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 1);
    float complex *h = spi_alloc((size_t)g->h_at[g->R], sizeof *h, "h");
    float complex *rotated = spi_alloc((size_t)g->h_at[g->R], sizeof *h, "h"),
                  phasor[512] = {0};
    float *samples = spi_alloc((size_t)g->at[g->R], sizeof *samples, "s");
    float(*q)[3] = spi_alloc((size_t)g->at[g->R], sizeof *q, "q");
    double all = 0, most = 0;

    for (int m = 0; m <= g->m_max[g->R - 1]; m++)
        phasor[m] = CMPLXF((float)cos(m * back), (float)-sin(m * back));
    spi_ring_positions(g, g->R, identity, 1, q);
    if (spi_ring_nodes_sum(t, value, 1, h))
        OK(0, "%s", spi_err_message());
    spi_ring_add_rotated(g, g->R, phasor, h, rotated);
    if (spi_ring_synthesise(g, g->R, rotated, samples))
        OK(0, "%s", spi_err_message());
    for (int64_t p = 0; p < list.n; p++)
        all += fabs((double)value[p][1]);
    for (int i = 0; i < WAVES; i++) {
        double z = 2 * spi_rng_uniform(&rng) - 1, a = 2 * SPI_PI * spi_rng_uniform(&rng);
        double s = sqrt(1 - z * z) * share * band;
        double x[3] = {s * cos(a), s * sin(a), z * share * band};

        most = fmax(most, cabs(over_nodes(g, samples, (const float(*)[3])q, x) -
                               over_pixels(value, angle, x)) /
                              all);
    }
    free(h), free(rotated), free(samples), free(q);
    return most;
}

static void check(const char *what, double band, const float (*value)[2])
{
    struct spi_ring_nodes t;

    if (spi_ring_nodes_init(&t, &list, scene_wavelength, band)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    /* doc/math.md (V15): the error of the taps, in each of two dimensions, is 9e-6 at x = 0
     * and 4e-6 at half the band (two rings from the last), 4e-4 at its end; there harmonics
     * beyond 2 pi q |x| + 4 are cut, J_m <= 3e-2 for a few m of many: 5e-3.  Sums in float
     * 1e-6.  A sum over pixels is no more than that of moduli */
    static const double share[3] = {0, 0.5, 1}, bound[3] = {3e-5, 3e-5, 5e-3};

    for (int i = 0; i < 3; i++) {
        double e = worst(&t, value, band, share[i], 0.7, 0.7);

        OK(e <= bound[i], "%s, |x| = %.1f of the band: error / bound = %.3f", what,
           share[i], e / bound[i]);
    }
    OK(worst(&t, value, band, 0.5, 0.7, -0.7) > bound[1], "%s: the other sense of turning",
       what);
    OK(worst(&t, value, band, 4, 0.7, 0.7) > bound[2], "%s: beyond the band it is not so",
       what); /* at twice the band the nodes still sample it */
    spi_ring_nodes_clear(&t);
}

int main(void)
{
    struct spi_detector det;
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 0);

    if (scene_detector(&det) || spi_pixel_list_init(&list, &det, 0.02, scene_q_max)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }

    float(*one)[2] = spi_alloc((size_t)list.n, sizeof *one, "v");
    float(*any)[2] = spi_alloc((size_t)list.n, sizeof *any, "v");

    for (int64_t p = 0; p < list.n; p++) {
        one[p][1] = 1;
        any[p][1] = (float)spi_rng_normal(&rng);
        any[p][0] = one[p][0] = 7; /* the other component is not looked at */
    }
    check("all pixels alike", scene_D, (const float(*)[2])one);
    check("any values", scene_D, (const float(*)[2])any);
    check("twice the band", 2 * scene_D, (const float(*)[2])any);
    free(one), free(any);
    spi_pixel_list_clear(&list);
    spi_detector_clear(&det);
    return tap_done();
}
