/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interpolation from halves, value and slopes, in every variant that this machine has and
 * at every width, against the literal twin.
 *
 * The grid holds integers below 2048 in absolute value: times a power of two they are
 * halves exactly, so the bound is that of floats (kernel/refine.h): taps by Horner's rule,
 * three of them and a value multiplied, w^3 of these added, gamma_{w^3 + 9 degree + 8} of
 * the sum of absolute values.  The factor 1 / scale, a power of two, rounds nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "f16_test.h"
#include "kernel/f16.h"
#include "kernel/grid_f16.h"
#include "kernel/refine.h"
#include "tap.h"

enum { SIDE = 48, COUNT = SIDE * SIDE * SIDE, MID = SIDE / 2, MARGIN = 4 };
/* Points within REACH of the centre: their taps, and on y their columns, lie in the grid.
 */
enum { REACH = MID - MARGIN - SPI_GRID_F16_LANES };

/* Columns of the whole grid, u = 0 at its middle. */
static bool make_columns(const float *grid, float largest, struct spi_grid_f16 *h)
{
    int nk = (SIDE - SPI_GRID_F16_LANES) / SPI_GRID_F16_STEP + 1;
    struct spi_rows_in from = {grid, SIDE, SIDE * SIDE};

    *h = (struct spi_grid_f16){.low = {MID, MID, MID}, .row = SIDE, .plane = nk * SIDE};
    h->scale = spi_f16_scale(largest);
    h->data = spi_alloc((size_t)(SIDE * h->plane * SPI_GRID_F16_LANES), sizeof *h->data,
                        "halves");
    if (h->data)
        spi_grid_f16_fill(h, SIDE, nk, SIDE, &from);
    return h->data != NULL;
}

struct scene {
    struct spi_taps taps;
    struct spi_grid_f16 halves;
    float *grid, u[3][SPI_POINTS];
    double ref[4][SPI_POINTS], mag[4][SPI_POINTS];
};

static double bound_of(const struct scene *s, int c, int j)
{
    int w = s->taps.w;

    return gamma_f32(w * w * w + 9 * s->taps.window.degree + 8) * s->mag[c][j];
}

static void check_variant(const struct spi_grid_f16_variant *v, const struct scene *s,
                          int n)
{
    const float *const u[3] = {s->u[0], s->u[1], s->u[2]};
    float values[SPI_POINTS + 1], slopes[4][SPI_POINTS + 1];
    float *const out[4] = {slopes[0], slopes[1], slopes[2], slopes[3]};
    double worst = 0, other = 0, value = 0, wrong = 0;
    bool beyond = false;

    for (int j = 0; j <= SPI_POINTS; j++)
        values[j] = slopes[0][j] = slopes[1][j] = slopes[2][j] = slopes[3][j] = 99;
    v->interp(&s->taps, &s->halves, n, u, values);
    v->gradient(&s->taps, &s->halves, n, u, out);
    for (int j = 0; j < n; j++) {
        value = fmax(value, fabs((double)values[j] - s->ref[0][j]) / bound_of(s, 0, j));
        wrong = fmax(wrong,
                     fabs((double)values[j] - s->ref[0][(j + 1) % n]) / bound_of(s, 0, j));
        for (int c = 0; c < 4; c++) {
            double bound = bound_of(s, c, j);

            worst = fmax(worst, fabs((double)slopes[c][j] - s->ref[c][j]) / bound);
            other =
                fmax(other, fabs((double)slopes[c][j] - s->ref[(c + 1) % 4][j]) / bound);
        }
    }
    for (int j = n; j <= SPI_POINTS; j++)
        for (int c = 0; c < 4; c++)
            beyond = beyond || values[j] != 99 || slopes[c][j] != 99;
    OK(value <= 1, "%s, w = %d, %d points: value, error / bound = %.3f", v->name, s->taps.w,
       n, value);
    OK(n < 2 || wrong > 1, "another point is told apart");
    OK(worst <= 1, "%s, w = %d, %d points: value and slopes, error / bound = %.3f", v->name,
       s->taps.w, n, worst);
    OK(other > 1, "slopes along other axes are told apart");
    OK(!beyond, "nothing is written beyond the points");
}

static void one_width(int w)
{
    static const int sizes[] = {SPI_POINTS, 77, 16, 1};
    static struct scene s;
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)w);
    struct spi_rows_in rows = {.row = SIDE, .plane = SIDE * SIDE};

    s.grid = spi_alloc(COUNT, sizeof *s.grid, "grid");
    NEED(s.grid);
    spi_taps_init(&s.taps, w, 2.2 * w); /* about what plans choose */
    for (int i = 0; i < COUNT; i++)
        s.grid[i] = floorf((float)(4095 * spi_rng_uniform(&rng))) - 2047;
    for (int c = 0; c < 3; c++)
        for (int j = 0; j < SPI_POINTS; j++) {
            s.u[c][j] = (float)((2 * spi_rng_uniform(&rng) - 1) * REACH);
            if (j % 5 == 0) /* on a grid point */
                s.u[c][j] = rintf(s.u[c][j]);
        }
    rows.at = s.grid + (MID * SIDE + MID) * SIDE + MID;
    spi_interp_grad_ref(&s.taps, &rows, SPI_POINTS, (const float(*)[SPI_POINTS])s.u, s.ref,
                        s.mag);
    if (make_columns(s.grid, 2047, &s.halves))
        for (const struct spi_grid_f16_variant *v = spi_grid_f16_variants; v->name; v++) {
            if (!v->available()) {
                NOTE("%s: not available here", v->name);
                continue;
            }
            for (int i = 0; i < 4; i++)
                check_variant(v, &s, sizes[i]);
        }
    free(s.halves.data);
    free(s.grid);
}

/* Values of many sizes: wrong by at most half a unit of 11 bits, or of the least exponent:
 * there it is rounded twice, before as a subnormal float, to 2^-37. */
static void check_rounding(float size)
{
    struct spi_rng rng = spi_rng_stream(6, SPI_RNG_TEST, 0);
    float *grid = spi_alloc(COUNT, sizeof *grid, "grid"), largest = 0;
    struct spi_grid_f16 h;
    double worst = 0, sharp = 0;

    for (int i = 0; i < COUNT && grid; i++) {
        double e = -40 * spi_rng_uniform(&rng);

        grid[i] = i % 97 ? size * (float)(spi_rng_normal(&rng) * exp2(e)) : 0;
        largest = fmaxf(largest, fabsf(grid[i]));
    }
    if (!grid || !make_columns(grid, largest, &h)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int z = 0; z < SIDE; z++)
        for (int k = 0; k < h.plane / h.row; k++)
            for (int x = 0; x < SIDE; x++)
                for (int i = 0; i < SPI_GRID_F16_LANES; i++) {
                    double want =
                        (double)h.scale * (double)grid[(z * SIDE + 5 * k + i) * SIDE + x];
                    double got = value_of(
                        h.data[(z * h.plane + k * h.row + x) * SPI_GRID_F16_LANES + i]);
                    double bound = fmax(0x1p-11 * fabs(want), 0x1p-25 + 0x1p-38);

                    worst = fmax(worst, fabs(got - want) / bound);
                    sharp = fmax(sharp, fabs(got * (1 + 0x1p-10) - want) / bound);
                }
    OK(largest * h.scale >= 16384 && largest * h.scale <= 32768,
       "largest %.3g: scaled to %.0f", (double)largest, (double)(largest * h.scale));
    OK(worst <= 1, "rounding / half a unit = %.4f", worst);
    OK(sharp > 1, "a unit more is noticed");
    free(h.data);
    free(grid);
}

int main(void)
{
    for (int w = 2; w <= SPI_GRID_F16_W_MAX; w++)
        one_width(w);
    check_rounding(1);
    check_rounding(3e-20F);
    check_rounding(7e30F);
    OK(spi_f16_scale(0) == 1, "nothing needs no scale");
    return tap_done();
}
