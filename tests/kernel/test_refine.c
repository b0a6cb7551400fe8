/* Interpolation with gradient, and the sums of a likelihood, against their literal twins.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/interp.h"
#include "kernel/refine.h"
#include "tap.h"

enum { SIDE = 34 };

static void one_width(double tol)
{
    struct spi_window win;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    size_t points = (size_t)SIDE * SIDE * SIDE;
    float *grid = calloc(points, sizeof *grid);
    static float u[3][SPI_POINTS], out[4][SPI_POINTS], same[SPI_POINTS];
    static double ref[4][SPI_POINTS], mag[4][SPI_POINTS];
    float pos[SPI_POINTS][3];
    double worst = 0, other = 0, apart = 0;

    spi_window_init(&win, tol);
    for (size_t i = 0; i < points; i++)
        grid[i] = (float)spi_rng_normal(&rng);
    for (int j = 0; j < SPI_POINTS; j++)
        for (int c = 0; c < 3; c++)
            u[c][j] = pos[j][c] =
                j == 0
                    ? 0 /* on a grid point */
                    : (float)((spi_rng_uniform(&rng) - 0.5) * (SIDE - 2 * SPI_GRID_MARGIN));
    spi_interp_grad(&win, SIDE, grid, SPI_POINTS, (const float(*)[SPI_POINTS])u, out);
    spi_interp_grad_ref(&win, SIDE, grid, SPI_POINTS, (const float(*)[SPI_POINTS])u, ref,
                        mag);
    spi_interp1(&win, SIDE, grid, SPI_POINTS, (const float(*)[3])pos, same);

    double gamma = gamma_f32(win.w * win.w * win.w + 9 * win.degree + 8);

    for (int j = 0; j < SPI_POINTS; j++)
        for (int c = 0; c < 4; c++) {
            double bound = gamma * mag[c][j];

            worst = fmax(worst, fabs((double)out[c][j] - ref[c][j]) / bound);
            other = fmax(other, fabs((double)out[c][j] - ref[(c + 1) % 4][j]) / bound);
            if (c == 0)
                apart = fmax(apart, fabs((double)(out[0][j] - same[j])) / (2 * bound));
        }
    OK(worst <= 1, "w = %d: value and slopes, error / bound = %.3f", win.w, worst);
    OK(other > 1, "slopes along other axes are told apart");
    OK(apart <= 1, "the value is that of spi_interp1, difference / bound = %.3f", apart);
    free(grid);
}

/* The fields of struct spi_likelihood_sums, in order. */
enum { FIELDS = 2 + 3 + 3 + 6 };

static void check_sums(bool poisson, int n)
{
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, (uint64_t)n);
    static float K[SPI_POINTS], g[SPI_POINTS], least[SPI_POINTS], v[SPI_POINTS],
        u[3][SPI_POINTS], W[4][SPI_POINTS];
    struct spi_likelihood_sums sums = {0}, ref = {0}, mag = {0};
    double got[FIELDS], want[FIELDS], size[FIELDS], worst = 0, nearest = INFINITY;
    double gamma = gamma_f32(SPI_POINTS + 16);
    int floored = 0;

    for (int j = 0; j < n; j++) {
        K[j] = (float)spi_rng_poisson(&rng, 1.5);
        g[j] = 0.5F + (float)spi_rng_uniform(&rng);
        v[j] = 0.1F + (float)spi_rng_uniform(&rng);
        W[0][j] = (float)exp(6 * spi_rng_normal(&rng)) - 0.3F;
        least[j] = 0.05F;
        floored += W[0][j] <= least[j];
        for (int c = 0; c < 3; c++) {
            u[c][j] = (float)(20 * spi_rng_normal(&rng));
            W[1 + c][j] = (float)spi_rng_normal(&rng);
        }
    }
    spi_likelihood_sums(n, K, g, least, poisson ? NULL : v, (const float(*)[SPI_POINTS])u,
                        (const float(*)[SPI_POINTS])W, &sums);
    spi_likelihood_sums_ref(n, K, g, least, poisson ? NULL : v,
                            (const float(*)[SPI_POINTS])u, (const float(*)[SPI_POINTS])W,
                            &ref, &mag);
    memcpy(got, &sums, sizeof got);
    memcpy(want, &ref, sizeof want);
    memcpy(size, &mag, sizeof size);
    for (int i = 0; i < FIELDS; i++) {
        double bound = (gamma + (i == 0 ? 0x1p-22 : 0)) * size[i];

        worst = fmax(worst, fabs(got[i] - want[i]) / bound);
        nearest = fmin(nearest, fabs(got[i] - want[(i + 1) % FIELDS]) / bound);
    }
    OK(worst <= 1, "%s, %d points (%d below the floor): error / bound = %.3f",
       poisson ? "poisson" : "gaussian", n, floored, worst);
    OK(nearest > 1, "another sum is told apart, %.1f bounds away at least", nearest);
}

int main(void)
{
    one_width(1e-3);
    one_width(1e-5);
    one_width(1e-6);
    for (int poisson = 0; poisson < 2; poisson++) {
        check_sums(poisson, SPI_POINTS);
        check_sums(poisson, 77); /* not a whole number of vectors */
    }
    return tap_done();
}
