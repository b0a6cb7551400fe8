/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every variant of spreading and interpolation, at every width, against the formulas with
 * the exact window.
 *
 * Bound.  A tap is a polynomial in z: its error against phi is at most e (measured below on
 * a dense set, with half as much again), Horner's rule adds gamma_{2 degree + 2} S, S the
 * largest sum of |coefficients| of a tap, and the fraction, rounded to u, 4 u (|dphi/dz| <
 * 4 on every window).  With taps of at most 1 a product of three is then wrong by at most
 * 3 d (1 + d)^2 <= 3.1 d, d the sum of those, and adding w^3 products to the value adds
 * gamma_{w^2 + 2 w + 3} mag (w products in a row of vectors, w^2 rows, a fold).  For
 * spreading, a node meets one addition a point: gamma_{n + 3}. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/nubrick.h"
#include "tap.h"

enum { N = 40, SIDE = 8, LENGTH = SIDE + SPI_KAISER_W_MAX + 1 };
enum { NODES = LENGTH * LENGTH * LENGTH };

static struct spi_nu_point_f32 p32[N];
static struct spi_nu_point_f64 p64[N];
static double complex c[N], brick[NODES + SPI_NU_SLACK], c_ref[N], brick_ref[NODES];
static double mag_c[N], mag_brick[NODES], sum_c[N], sum_brick[NODES];
static float complex c32[N], brick32[NODES + SPI_NU_SLACK];
static double complex c64[N], brick64[NODES + SPI_NU_SLACK];

static double gamma_of(double k, double u)
{
    return k * u / (1 - k * u);
}

/* volatile: gcc 12 at -O2 skips the rounding of (double)(float) in complex numbers */
static double float_normal(struct spi_rng *rng)
{
    volatile float v = (float)spi_rng_normal(rng);

    return (double)v;
}

static void make_data(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 3);

    for (int j = 0; j < N; j++) {
        for (int d = 0; d < 3; d++) {
            /* the first point at the brick's corner, the second just below its end */
            double v = j == 0 ? 0 : j == 1 ? SIDE - 0x1p-26 : SIDE * spi_rng_uniform(&rng);

            p32[j].v[d] = (int32_t)(v * (1 << SPI_NU_FRACTION));
            p64[j].v[d] = p32[j].v[d] * 0x1p-26;
        }
        p32[j].index = p64[j].index = (uint32_t)(N - 1 - j);
        c[j] = CMPLX(float_normal(&rng), float_normal(&rng));
    }
    for (int i = 0; i < NODES; i++)
        brick[i] = CMPLX(float_normal(&rng), float_normal(&rng));
}

/* d of the bound above. */
static double tap_error(const struct spi_kaiser *win, double u)
{
    double e = 0, largest = 0;

    for (int a = 0; a < win->w; a++) {
        double sum = 0;

        for (int p = 0; p <= win->degree; p++)
            sum += fabs(win->coef[p][a]);
        largest = fmax(largest, sum);
        for (int i = 1; i <= 2000; i++) {
            double f = i / 2000.0, z = 2 * f - 1, v = 0;

            for (int p = win->degree; p >= 0; p--)
                v = v * z + win->coef[p][a];
            e = fmax(e, fabs(v - spi_kaiser_value(win, f + a - win->w / 2.0)));
        }
    }
    return 1.5 * e + gamma_of(2 * win->degree + 2, u) * largest + 4 * u;
}

/* Sums of absolute values without the window, by a window of ones: for the term in d. */
static void plain_sums(const struct spi_kaiser *win, const struct spi_nu_brick *shape)
{
    memset(sum_c, 0, sizeof sum_c);
    memset(sum_brick, 0, sizeof sum_brick);
    for (int j = 0; j < N; j++) {
        int64_t i[3];

        for (int d = 0; d < 3; d++)
            i[d] = d == 2 && shape->depth == 1
                       ? 0
                       : (int64_t)floor(p64[j].v[d] - win->w % 2 * 0.5) + 1;
        for (int z = 0; z < shape->depth; z++)
            for (int y = 0; y < win->w; y++)
                for (int x = 0; x < win->w; x++) {
                    int64_t at = ((i[2] + z) * LENGTH + i[1] + y) * LENGTH + i[0] + x;

                    sum_c[p64[j].index] += cabs(brick[at]);
                    sum_brick[at] += cabs(c[p64[j].index]);
                }
    }
}

static double worst(int64_t n, const double complex *got, const double complex *want,
                    const double *mag, const double *sum, double g, double d)
{
    double r = 0;

    for (int64_t i = 0; i < n; i++) {
        double bound = g * mag[i] + 3.1 * d * sum[i];

        if (bound > 0 || got[i] != want[i])
            r = fmax(r, cabs(got[i] - want[i]) / bound);
    }
    return r;
}

static void one(int w, int depth, bool single)
{
    struct spi_kaiser win;
    struct spi_nu_brick shape = {LENGTH, LENGTH, depth == 1 ? 1 : w};
    static struct spi_nu_taps_f32 t32;
    static struct spi_nu_taps_f64 t64;
    double u = single ? 0x1p-24 : 0x1p-53, rs = 0, ri = 0;

    spi_kaiser_init(&win, w, 2.3 * w);
    if (single)
        spi_nu_taps_f32(&win, &t32);
    spi_nu_taps_f64(&win, &t64);

    double d = tap_error(&win, u), gi = gamma_of(w * w + 2 * w + 3, u),
           gs = gamma_of(N + 3, u);

    memset(brick_ref, 0, sizeof brick_ref);
    memset(mag_brick, 0, sizeof mag_brick);
    spi_nu_spread_ref(&win, &shape, N, p64, c, brick_ref, mag_brick);
    spi_nu_interp_ref(&win, &shape, N, p64, brick, c_ref, mag_c);
    plain_sums(&win, &shape);
    for (const struct spi_nu_kernels *const *k = spi_nu_kernels; *k; k++) {
        if (!(*k)->available())
            continue;
        memset(brick64, 0, sizeof brick64);
        if (single) {
            memset(brick32, 0, sizeof brick32);
            for (int j = 0; j < N; j++)
                c32[j] = (float complex)c[j];
            (*k)->spread_f32[w](&t32, &shape, N, p32, c32, brick32);
            for (int i = 0; i < NODES; i++)
                brick64[i] = brick32[i];
            for (int i = 0; i < NODES; i++)
                brick32[i] = (float complex)brick[i];
            (*k)->interp_f32[w](&t32, &shape, N, p32, brick32, c32);
            for (int j = 0; j < N; j++)
                c64[j] = c32[j];
        } else {
            (*k)->spread_f64[w](&t64, &shape, N, p64, c, brick64);
            (*k)->interp_f64[w](&t64, &shape, N, p64, brick, c64);
        }
        rs = fmax(rs, worst(NODES, brick64, brick_ref, mag_brick, sum_brick, gs, d));
        ri = fmax(ri, worst(N, c64, c_ref, mag_c, sum_c, gi, d));
    }
    OK(rs <= 1 && ri <= 1, "w %d, %s, %d-D: spread %.3f, interp %.3f of their bounds", w,
       single ? "single" : "double", depth == 1 ? 2 : 3, rs, ri);

    /* the test can fail: one value wrong by four of its bounds */
    c64[7] += 4 * (gi * mag_c[7] + 3.1 * d * sum_c[7]);
    if (worst(N, c64, c_ref, mag_c, sum_c, gi, d) <= 1)
        OK(0, "a wrong value is noticed");
}

int main(void)
{
    make_data();
    for (const struct spi_nu_kernels *const *k = spi_nu_kernels; *k; k++)
        NOTE("%s: %s", (*k)->name, (*k)->available() ? "tested" : "not available here");
    for (int depth = 1; depth <= 2; depth++) {
        for (int w = SPI_KAISER_W_MIN; w <= SPI_NU_W_MAX_F32; w++)
            one(w, depth, true);
        for (int w = SPI_KAISER_W_MIN; w <= SPI_KAISER_W_MAX; w++)
            one(w, depth, false);
    }
    return tap_done();
}
