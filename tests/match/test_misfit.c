/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a model leaves unexplained: nothing of its own images, all where the images hold no
 * structure, twice all of an unrelated image; in photons, in photons of another unit and in
 * noise-free intensities alike; a pixel that neither light nor noise makes changes nothing
 * and is named. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "match/misfit.h"
#include "math/rot.h"
#include "tap.h"

enum { SIDE = 128, N = SIDE * SIDE, WAVES = 48, SHELLS_MOST = 64 };
static const double phi = 1.3, D = 100, lambda = 1, edge = 0.1;

static struct spi_detector det;
static struct spi_pixel_list list;
static struct spi_misfit_pairs pairs;
static float T[N], other[N], mean[N], K[N], inv_var[N], work[3 * N];

/* A flat detector with |q| = edge in the middle of its sides, in the middle of two panels.
 */
static spi_err make_detector(void)
{
    spi_err err = spi_detector_init(&det, 2, SIDE / 2, SIDE);

    for (int p = 0; p < N && !err; p++) {
        double *q = det.q + 3 * p;

        q[0] = (p % SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[1] = (p / SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[2] = -lambda * (q[0] * q[0] + q[1] * q[1]) / 2;
        det.geometry[p] = 0.5F + 0.5F * (float)p / N;
    }
    det.wavelength_A = lambda;
    return err;
}

static double length(const float q[3])
{
    return sqrt((double)q[0] * (double)q[0] + (double)q[1] * (double)q[1] +
                (double)q[2] * (double)q[2]);
}

/* Speckles of a particle of diameter D: |sum of waves|^2 is exponential; times the mean. */
static void speckle(uint64_t number, float *to)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, number);
    double at[WAVES][2], phase[WAVES];

    for (int w = 0; w < WAVES; w++) {
        at[w][0] = D * (spi_rng_uniform(&rng) - 0.5);
        at[w][1] = D * (spi_rng_uniform(&rng) - 0.5);
        phase[w] = 2 * SPI_PI * spi_rng_uniform(&rng);
    }
    for (int64_t i = 0; i < list.n; i++) {
        double re = 0, im = 0;

        for (int w = 0; w < WAVES; w++) {
            double x =
                2 * SPI_PI *
                    (at[w][0] * (double)list.q[i][0] + at[w][1] * (double)list.q[i][1]) +
                phase[w];

            re += cos(x);
            im += sin(x);
        }
        to[i] = (float)((re * re + im * im) / WAVES * (double)mean[i]);
    }
}

static spi_err scene(void)
{
    spi_err err;

    SPI_TRY(err = make_detector(), out);
    SPI_TRY(err = spi_pixel_list_init(&list, &det, 0.01, edge), out);
    SPI_TRY(err = spi_misfit_pairs_init(&pairs, &list, &det, 0.01, edge, D), out);
    for (int64_t i = 0; i < list.n; i++) {
        mean[i] = (float)(3 * exp(-40 * length(list.q[i])));
        inv_var[i] = 1 / (mean[i] * mean[i]);
    }
    speckle(1, T);
    speckle(2, other);
out:
    return err;
}

static struct spi_misfit measure(bool analogue, struct spi_outliers *o)
{
    struct spi_misfit one[SHELLS_MOST];

    spi_misfit_image(&pairs, &list,
                     spi_likelihood_of(analogue ? SPI_INTENSITIES : SPI_PHOTONS), K, T,
                     mean, inv_var, 7, work, one, o);
    return spi_misfit_sum(pairs.n_shells, one);
}

static void expose(const float *W, uint64_t image, double gain)
{
    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, image);

    for (int64_t p = 0; p < list.n; p++)
        K[p] = (float)(gain * spi_rng_poisson(&rng, phi * (double)list.geometry[p] *
                                                        (double)W[p]));
}

static struct spi_misfit photons_of(const float *W, uint64_t image)
{
    struct spi_outliers o = {0};

    expose(W, image, 1);
    return measure(false, &o);
}

static void photons(void)
{
    struct spi_misfit own = photons_of(T, 0), flat = photons_of(mean, 1),
                      wrong = photons_of(other, 2);

    OK(pairs.n > 1.9 * (double)list.n && pairs.n < 2 * list.n && pairs.n_shells == 18,
       "%lld pairs of %lld pixels in %d shells", (long long)pairs.n, (long long)list.n,
       pairs.n_shells);
    OK(fabs(spi_misfit_share(&own)) <
           5 * spi_misfit_sigma(&own) + 1e-3, /* phi of N photons */
       "its own image: %.4f +- %.4f", spi_misfit_share(&own), spi_misfit_sigma(&own));
    OK(fabs(own.image2 / own.model2 - 1) < 5 * spi_misfit_sigma(&own) + 0.02 &&
           fabs(own.cross / own.model2 - 1) < 0.1, /* a linear estimate of the same */
       "its structure: %.3f of the model's", own.image2 / own.model2);
    OK(fabs(spi_misfit_share(&flat) - 1) < 5 * spi_misfit_sigma(&flat) &&
           fabs(flat.image2 / flat.model2) < 5 * spi_misfit_sigma(&flat),
       "plain rings: %.4f, structure %.4f", spi_misfit_share(&flat),
       flat.image2 / flat.model2);
    /* some 300 speckles of either: their powers differ by 2 / sqrt(300), and correlate */
    OK(fabs(spi_misfit_share(&wrong) - 2) < 0.6, "an unrelated image: %.4f",
       spi_misfit_share(&wrong));
    /* contrast of fully developed speckle, of neighbours that nearly see the same */
    OK(fabs(own.image2 / own.even2 - 0.9) < 0.25, "contrast of the image: %.3f",
       own.image2 / own.even2);
}

/* The scatter over images is what spi_misfit_sigma says. */
static void scatter(void)
{
    enum { IMAGES = 100 };
    double sum = 0, sum2 = 0, sigma = 0, sd;

    for (int k = 0; k < IMAGES; k++) {
        struct spi_misfit m = photons_of(T, 100 + (uint64_t)k);
        double share = spi_misfit_share(&m);

        sum += share / IMAGES;
        sum2 += share * share / IMAGES;
        sigma += spi_misfit_sigma(&m) / IMAGES;
    }
    sd = sqrt(sum2 - sum * sum);
    /* a standard deviation from 100 images: 7 %; sums of neighbours share pixels */
    OK(fabs(sd / sigma - 1) < 0.3, "scatter %.5f, %.5f expected", sd, sigma);
    OK(fabs(sum) < 5 * sigma / sqrt(IMAGES) + 1e-3, "mean of 100 images: %.5f", sum);
}

/* The same photons in another unit, whose noise nobody knows. */
static void units(void)
{
    struct spi_outliers o = {0};
    struct spi_misfit adu, exact;

    expose(T, 5, 37.5);
    adu = measure(true, &o);
    OK(fabs(spi_misfit_share(&adu)) <
           5 * spi_misfit_sigma(&adu) + 0.02, /* weights differ */
       "37.5 a photon: %.4f +- %.4f", spi_misfit_share(&adu), spi_misfit_sigma(&adu));
    for (int64_t p = 0; p < list.n; p++)
        K[p] = (float)(phi * (double)list.geometry[p] * (double)T[p]);
    exact = measure(true, &o);
    OK(fabs(spi_misfit_share(&exact)) < 1e-6, /* squares of float roundings, few thousand */
       "noise-free: %.1e", spi_misfit_share(&exact));
}

static void outliers(void)
{
    struct spi_outliers none = {0}, o = {0}, both = {0};
    struct spi_misfit clean, hit;
    int64_t at = 0;

    while (length(list.q[at]) < 0.9 * edge)
        at++;
    expose(T, 6, 1);
    clean = measure(false, &none);
    K[at] += 500;
    hit = measure(false, &o);
    OK(none.n == 0 && o.n == 1 && o.images == 1 && o.kept == 1 && o.worst[0].image == 7 &&
           o.worst[0].pixel == list.pixel[at] && o.worst[0].value >= 500,
       "500 counts in one pixel are named: image %lld, pixel %d, %g where %.3f is expected",
       (long long)o.worst[0].image, (int)o.worst[0].pixel, (double)o.worst[0].value,
       (double)o.worst[0].expected);
    OK(fabs(spi_misfit_share(&hit) - spi_misfit_share(&clean)) < spi_misfit_sigma(&clean),
       "and change nothing: %.4f, %.4f without", spi_misfit_share(&hit),
       spi_misfit_share(&clean));
    for (int i = 0; i < 2 * SPI_OUTLIERS; i++) {
        struct spi_outliers one = {.n = 1, .images = 1, .kept = 1};

        one.worst[0].times = i * 7 % 16 + 1;
        spi_outliers_add(&one, &both);
    }
    OK(both.n == 16 && both.images == 16 && both.kept == SPI_OUTLIERS &&
           both.worst[0].times == 16 && both.worst[SPI_OUTLIERS - 1].times == 9,
       "the worst are kept, worst first");
}

static void nothing(void)
{
    struct spi_outliers o = {0};
    struct spi_misfit m;

    memset(K, 0, sizeof K);
    m = measure(false, &o);
    OK(isnan(spi_misfit_share(&m)) && isnan(spi_misfit_sigma(&m)) && o.n == 0,
       "an empty image says nothing");
}

int main(void)
{
    if (scene()) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    photons();
    scatter();
    units();
    outliers();
    nothing();
    spi_misfit_pairs_clear(&pairs);
    spi_pixel_list_clear(&list);
    spi_detector_clear(&det);
    return tap_done();
}
