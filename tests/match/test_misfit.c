/* What a model leaves unexplained: nothing of its own images, all of plain rings, twice all
 * of an unrelated image; sums add up. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "match/misfit.h"
#include "tap.h"

enum { N = 20000 };
static float T[N], other[N], g[N], mean[N], K[N], inv_var[N];
static const double phi = 1.3;

/* Speckles: exponential about a mean that falls with the pixel's number. */
static void scene(void)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, 0);

    for (int p = 0; p < N; p++) {
        mean[p] = (float)(3 * exp(-4.0 * p / N));
        T[p] = (float)(-log(1 - spi_rng_uniform(&rng)) * (double)mean[p]);
        other[p] = (float)(-log(1 - spi_rng_uniform(&rng)) * (double)mean[p]);
        g[p] = (float)(0.5 + 0.5 * spi_rng_uniform(&rng));
        inv_var[p] = 1 / (mean[p] * mean[p]);
    }
}

static struct spi_misfit photons_of(const float *W, uint64_t image)
{
    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, image);
    struct spi_misfit m = {0};

    for (int p = 0; p < N; p++)
        K[p] = (float)spi_rng_poisson(&rng, phi * (double)g[p] * (double)W[p]);
    spi_misfit_add(N, K, T, g, mean, NULL, &m);
    return m;
}

static void photons(void)
{
    struct spi_misfit own = photons_of(T, 0), flat = photons_of(mean, 1),
                      wrong = photons_of(other, 2), sum = {0}, again;
    double sigma = spi_misfit_sigma(&own);

    OK(fabs(spi_misfit_share(&own)) < 5 * sigma, "its own image: %.4f +- %.4f",
       spi_misfit_share(&own), sigma);
    /* the sampling of N speckles of variance 1 (fourth central moment 9) adds 3 / sqrt(N)
     */
    OK(fabs(spi_misfit_share(&flat) - 1) < 5 * (spi_misfit_sigma(&flat) + 3 / sqrt(N)),
       "plain rings: %.4f", spi_misfit_share(&flat));
    OK(fabs(spi_misfit_share(&wrong) - 2) < 5 * (spi_misfit_sigma(&wrong) + 6 / sqrt(N)),
       "an unrelated image: %.4f", spi_misfit_share(&wrong));

    spi_misfit_add(N, K, T, g, mean, NULL, &sum);
    spi_misfit_add(N, K, T, g, mean, NULL, &sum);
    again = wrong;
    OK(fabs(sum.left - 2 * again.left) <= 1e-12 * fabs(sum.left) &&
           fabs(sum.variance - 2 * again.variance) <= 1e-12 * sum.variance,
       "images add up");
}

/* The scatter over images is what spi_misfit_sigma says. */
static void scatter(void)
{
    enum { IMAGES = 200 };
    double sum = 0, sum2 = 0, sigma = 0, sd;

    for (int k = 0; k < IMAGES; k++) {
        struct spi_misfit m = photons_of(T, 100 + (uint64_t)k);
        double share = spi_misfit_share(&m);

        sum += share / IMAGES;
        sum2 += share * share / IMAGES;
        sigma += spi_misfit_sigma(&m) / IMAGES;
    }
    sd = sqrt(sum2 - sum * sum);
    /* a standard deviation from 200 images: 5 %; the fitted fluence takes little */
    OK(fabs(sd / sigma - 1) < 0.25, "scatter %.5f, %.5f expected", sd, sigma);
    OK(fabs(sum) < 5 * sigma / sqrt(IMAGES), "mean of 200 images: %.5f", sum);
}

static void intensities(void)
{
    struct spi_misfit own = {0}, flat = {0};

    for (int p = 0; p < N; p++)
        K[p] = (float)(phi * (double)g[p] * (double)T[p]);
    spi_misfit_add(N, K, T, g, mean, inv_var, &own);
    OK(fabs(spi_misfit_share(&own)) < 1e-12, /* squares of float roundings */
       "intensities of the model: %.1e", spi_misfit_share(&own));
    for (int p = 0; p < N; p++)
        K[p] = (float)(phi * (double)g[p] * (double)mean[p]);
    spi_misfit_add(N, K, T, g, mean, inv_var, &flat);
    /* least squares takes phi down to C / B = 1/2 of it for speckles of variance 1: left
     * = sum (1 - T / 2)^2 = 1/2, all = 1/4 of sum (T - 1)^2 */
    OK(fabs(spi_misfit_share(&flat) - 2) < 0.2, "rings: %.3f", spi_misfit_share(&flat));
}

static void nothing(void)
{
    struct spi_misfit m = {0};

    memset(K, 0, sizeof K);
    spi_misfit_add(N, K, T, g, mean, NULL, &m);
    OK(spi_misfit_share(&m) == 0 && spi_misfit_sigma(&m) == 0,
       "an empty image says nothing");
}

int main(void)
{
    scene();
    photons();
    scatter();
    intensities();
    nothing();
    return tap_done();
}
