/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pixel weights: density compensation, inverse variance, weights of a file. */
#include <string.h>

#include "base/mem.h"
#include "merge/weights.h"
#include "stage_test.h"
#include "tap.h"

enum { SIDE = 21, NP = SIDE * SIDE };
static const double D = 70, q_min = 0.012, q_max = 0.06;

static double length(const struct spi_pixel_list *l, int64_t p)
{
    return sqrt((double)l->q[p][0] * (double)l->q[p][0] +
                (double)l->q[p][1] * (double)l->q[p][1] +
                (double)l->q[p][2] * (double)l->q[p][2]);
}

static void check_kinds(struct spi_pixel_list *l)
{
    float *kappa = spi_alloc((size_t)l->n, 4, "kappa");
    double *counts = spi_alloc((size_t)l->n, 8, "counts"), worst = 0, slack;
    bool ones = true;

    memcpy(kappa, l->kappa, (size_t)l->n * sizeof *kappa);
    OK(spi_pixel_list_weigh(l, SPI_WEIGHTS_NONE, D, NULL, 0) == SPI_OK, "none");
    for (int64_t p = 0; p < l->n; p++)
        ones = ones && l->kappa[p] == 1;
    OK(ones, "all alike");
    OK(spi_pixel_list_weigh(l, SPI_WEIGHTS_Q, D, NULL, 0) == SPI_OK, "|q|");
    for (int64_t p = 0; p < l->n; p++) /* two roundings of |q| */
        worst = fmax(worst, fabs((double)l->kappa[p] / (double)kappa[p] - 1));
    OK(worst <= gamma_f32(4), "the list's own: %.1e", worst);

    /* W = exp(-q / q_max) in 5 exposures: weights exp(q / q_max) but for a constant, within
     * the change over a shell 1/(2D) = 0.12 q_max thick */
    for (int64_t p = 0; p < l->n; p++)
        counts[p] = 5 * (double)l->geometry[p] * exp(-length(l, p) / q_max);
    OK(spi_pixel_list_weigh(l, SPI_WEIGHTS_POISSON, D, counts, 5) == SPI_OK, "1/variance");
    slack = 1 / (2 * D * q_max);
    worst = 0;
    for (int64_t p = 0; p < l->n; p++)
        worst = fmax(worst, fabs(log((double)l->kappa[p] / (double)l->kappa[0]) -
                                 (length(l, p) - length(l, 0)) / q_max));
    OK(worst <= 2 * slack, "inverse intensity: off by %.3f of the bound",
       worst / (2 * slack));
    memset(counts, 0, (size_t)l->n * sizeof *counts);
    OK(spi_pixel_list_weigh(l, SPI_WEIGHTS_POISSON, D, counts, 5) == SPI_EINVAL, "%s",
       spi_err_message());
    counts[7] = 1;
    OK(spi_pixel_list_weigh(l, SPI_WEIGHTS_POISSON, D, counts, 5) == SPI_OK, "one photon");
    worst = 0;
    ones = true;
    for (int64_t p = 0; p < l->n; p++) {
        ones = ones && isfinite(l->kappa[p]) && l->kappa[p] > 0;
        worst = fmax(worst, (double)l->kappa[p]);
    }
    OK(ones && worst == 1, "shells without photons: finite, at most 1");
    if (spi_pixel_list_weigh(l, SPI_WEIGHTS_Q, D, NULL, 0))
        OK(0, "%s", spi_err_message());
    free(kappa);
    free(counts);
}

static void check_scale(struct spi_pixel_list *l)
{
    static float weight[NP];
    int64_t n = l->n, hidden = l->pixel[5];
    float kappa = l->kappa[9], q0 = l->q[9][0];
    int32_t pixel = l->pixel[9];

    for (int p = 0; p < NP; p++)
        weight[p] = p == hidden ? 0 : 0.25F;
    OK(spi_pixel_list_scale(l, weight) == SPI_OK && l->n == n - 1, "one pixel is hidden");
    OK(l->kappa[8] == 0.25F * kappa && l->pixel[8] == pixel && l->q[8][0] == q0,
       "the others weigh a quarter");
    memset(weight, 0, sizeof weight);
    OK(spi_pixel_list_scale(l, weight) == SPI_EINVAL, "%s", spi_err_message());
}

int main(void)
{
    struct spi_detector det;
    struct spi_pixel_list l;

    if (curved_detector(&det, SIDE, q_max, 7.75) ||
        spi_pixel_list_init(&l, &det, q_min, q_max)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    check_kinds(&l);
    check_scale(&l);
    spi_pixel_list_clear(&l);
    spi_detector_clear(&det);
    return tap_done();
}
