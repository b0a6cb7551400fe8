/* The exponential of the posterior against libm in double; sums against their formulas. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/softmax.h"
#include "tap.h"

enum { N = 100000 };

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    float *x = calloc(N, sizeof *x), *e = calloc(N, sizeof *e), max;
    double worst = 0, sum, sum_x, want = 0, want_x = 0;
    int zeros = 1;

    for (int i = 0; i < N; i++)
        x[i] = -87 * (float)i / N;
    spi_exp_weights(N, x, 0, 1, 1, e);
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)e[i] / exp((double)x[i]) - 1));
    OK(worst < 4e-7, "exp over [-87, 0]: relative error %.2e < 4e-7 (softmax.h)", worst);
    e[9] *= 1 + 8e-7F;
    OK(fabs((double)e[9] / exp((double)x[9]) - 1) > 4e-7, "8e-7 more are noticed");
    for (int i = 0; i < N; i++)
        x[i] = -87.001F - 1e30F * (float)i;
    spi_exp_weights(N, x, 0, 1, 1, e);
    for (int i = 0; i < N; i++)
        zeros &= e[i] == 0;
    OK(zeros, "0 below exp(-87), down to -1e35");

    /* beta and scale: exact powers of two, so that the argument has no rounding of its own
     */
    float y[3] = {5, 4, -3}, w[3];

    spi_exp_weights(3, y, 5, 0.5F, 0.25F, w);
    OK(fabs((double)w[1] / (0.25 * exp(-0.5)) - 1) < 4e-7 && w[0] == 0.25F,
       "beta and scale");

    for (int i = 0; i < N; i++)
        x[i] = (float)(10 * spi_rng_normal(&rng) - 1000);
    max = spi_max(N, x);
    want = -INFINITY;
    for (int i = 0; i < N; i++)
        want = fmax(want, (double)x[i]);
    OK((double)max == want, "largest of %d", N);
    want = 0;
    spi_exp_sums(N, x, max, 0.25F, &sum, &sum_x);
    for (int i = 0; i < N; i++) {
        double d = (double)(x[i] - max), f = exp(0.25 * d);

        want += f;
        want_x += f * d;
    }
    /* terms of one sign: gamma_1024 of a float partial sum + 4e-7 + a product */
    double bound = gamma_f32(1024 + 2) + 4e-7;

    OK(fabs(sum / want - 1) <= bound, "sum: error / bound = %.4f",
       fabs(sum / want - 1) / bound);
    OK(fabs(sum_x / want_x - 1) <= bound, "weighted sum: error / bound = %.4f",
       fabs(sum_x / want_x - 1) / bound);
    spi_exp_sums(N, x, max, 0.2501F, &sum, &sum_x);
    OK(fabs(sum / want - 1) > bound, "another beta is noticed");
    free(x);
    free(e);
    return tap_done();
}
