/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every variant of interpolation and spreading that this machine has, at every width,
 * against the literal twins.
 *
 * Bound.  A product of three taps (at most 1 each) and a value; its taps are wrong by at
 * most te, so it is wrong by 3 te (1 + te)^2 |value|; and a float sum of n products of four
 * factors, gamma_{n + 4}.  te: the polynomials' own error, measured in double over 1,000
 * fractions; their Horner evaluation in float, gamma_{2 terms + 3} of the sum of absolute
 * coefficients; and a coordinate of |t| <= 16 made by three products and three sums and
 * floored (7 roundings of 16), times the steepest slope of a window, below 1.6. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/interp.h"
#include "tap.h"

enum { SIDE = 48, PITCH = 64, COUNT = SIDE * SIDE * PITCH, MID = SIDE / 2, PATCHES = 12 };

static double tap_error(const struct spi_taps *t)
{
    double worst = 0, most = 0, allowed = 0.2 * spi_kaiser_estimate(t->w, 1.8);

    for (int c = 0; c < t->w; c++) {
        double sum = 0;

        for (int p = 0; p <= t->window.degree; p++)
            sum += fabs(t->window.coef[p][c]);
        most = fmax(most, sum);
        for (int i = 0; i <= 1000; i++) {
            double f = i / 1000.0, z = 2 * f - 1, v = 0;

            for (int p = t->window.degree; p >= 0; p--)
                v = v * z + t->window.coef[p][c];
            worst = fmax(worst, fabs(v - spi_kaiser_value(&t->window, f + c - t->w / 2.0)));
        }
    }
    OK(worst <= allowed, "w = %d: error of a polynomial / fifth of the window's = %.2f",
       t->w, worst / allowed);
    return worst + gamma_f32(2 * t->terms + 3) * most + 7 * 16 * 0x1p-24 * 1.6;
}

/* n points within 7 of a centre, some exactly on grid points. */
static void make_patch(struct spi_rng *rng, int n, float d[3][SPI_PATCH_MAX],
                       struct spi_patch *p)
{
    static const float turn[9] = {0, 0, 1, 1, 0, 0, 0, 1, 0};

    memset(d, 0, 3 * SPI_PATCH_MAX * sizeof d[0][0]);
    *p = (struct spi_patch){.d = d[0], .n = n};
    memcpy(p->M, turn, sizeof turn);
    for (int a = 0; a < 3; a++) {
        p->f[a] = n % 4 ? (float)spi_rng_uniform(rng) : 0;
        for (int j = 0; j < n; j++) {
            d[a][j] = (float)(14 * spi_rng_uniform(rng) - 7);
            if (n % 4 == 0 && j % 2)
                d[a][j] = roundf(d[a][j]);
        }
    }
    for (int i = 0; i < 9 && n % 3; i++)
        p->M[i] = (float)(0.3 * (2 * spi_rng_uniform(rng) - 1)) + 0.7F * turn[i];
}

struct scene {
    struct spi_taps t;
    double te;
    float *grid, *out;
    double *ref, *mag;
};

/* From the grid, or from columns of a box of 40^3 cells that begins at cell 3. */
static void check_interp(const struct spi_interp_variant *v, struct scene *s,
                         bool from_columns, struct spi_rng *rng)
{
    enum { CELLS = 40, FROM = 3 };
    static _Alignas(64) float d[3][SPI_PATCH_MAX];
    const char *what = from_columns ? "columns" : "interpolation";
    int w3 = s->t.w * s->t.w * s->t.w, beyond = 0;
    int cell[3] = {MID - FROM, MID - FROM, MID - FROM};
    double worst = 0, wrong = 0;
    struct spi_columns box = {0};
    struct spi_rows_in rows = {s->grid + (MID * SIDE + MID) * PITCH + MID, PITCH,
                               SIDE * PITCH};

    for (int k = 0; k < COUNT; k++)
        s->grid[k] = (float)(2 * spi_rng_uniform(rng) - 1); /* |value| < 1 */
    if (from_columns) {
        struct spi_rows_in from = {s->grid + (FROM * SIDE + FROM) * PITCH + FROM, PITCH,
                                   SIDE * PITCH};
        int n_columns;

        spi_columns_layout(s->t.w, &box);
        n_columns = (CELLS - s->t.w) / box.step + 1;
        box.row = CELLS * box.lanes;
        box.plane = box.row * n_columns;
        box.data = spi_alloc((size_t)(box.plane * CELLS), sizeof *box.data, "box");
        NEED(box.data);
        spi_columns_fill(&box, CELLS, n_columns, CELLS, &from);
    }
    for (int i = 0; i < PATCHES; i++) {
        struct spi_patch p;
        float out[SPI_PATCH_MAX + 1];
        double ref[SPI_PATCH_MAX], mag[SPI_PATCH_MAX];

        make_patch(rng, i < 4 ? 16 - 4 * i : i + 1, d, &p);
        for (int j = 0; j <= SPI_PATCH_MAX; j++)
            out[j] = 99;
        if (from_columns)
            v->interp_columns(&s->t, &p, &box, cell, out);
        else
            v->interp(&s->t, &p, &rows, out);
        spi_interp_ref(&s->t, &p, &rows, ref, mag);
        for (int j = 0; j < p.n; j++) {
            double bound = gamma_f32(w3 + 4) * mag[j] + 3 * s->te * w3;

            worst = fmax(worst, fabs((double)out[j] - ref[j]) / bound);
            wrong = fmax(wrong, fabs((double)out[j] + 3 * bound - ref[j]) / bound);
        }
        for (int j = p.n; j <= SPI_PATCH_MAX; j++)
            beyond |= out[j] != 99;
    }
    OK(worst <= 1, "%s, w = %d: %s: error / bound = %.3f", v->name, s->t.w, what, worst);
    OK(wrong > 1, "%s, w = %d: %s: a wrong value is noticed", v->name, s->t.w, what);
    OK(!beyond, "%s, w = %d: %s: nothing is written beyond the points", v->name, s->t.w,
       what);
    free(box.data);
}

/* The grid against the twin's; `total` = sum of |val| of one component. */
static void compare(const char *what, const struct spi_interp_variant *v, struct scene *s,
                    int n, double total)
{
    double worst = 0, bound = 0;
    int at = 0;

    for (int i = 0; i < COUNT; i++) {
        for (int c = 0; c < 2; c++) {
            double b = (gamma_f32(n + 4) + 3 * s->te) * total;
            double e = fabs((double)s->grid[2 * i + c] - s->ref[2 * i + c]);

            if (e / b >= worst)
                worst = e / b, bound = b, at = 2 * i + c;
        }
    }
    OK(worst <= 1, "%s, w = %d: %s: error / bound = %.3f", v->name, s->t.w, what, worst);
    s->grid[at] += (float)(3 * bound);
    OK(fabs((double)s->grid[at] - s->ref[at]) > bound,
       "%s, w = %d: %s: a wrong sum is noticed", v->name, s->t.w, what);
}

static void make_values(struct spi_rng *rng, float val[SPI_PATCH_MAX][2], double *total)
{
    for (int j = 0; j < SPI_PATCH_MAX; j++) {
        val[j][0] = (float)(2 * spi_rng_uniform(rng) - 1);
        val[j][1] = (float)spi_rng_uniform(rng);
        *total += 1;
    }
}

static void check_spread(const struct spi_interp_variant *v, struct scene *s,
                         struct spi_rng *rng)
{
    static _Alignas(64) float d[3][SPI_PATCH_MAX];
    ptrdiff_t mid = 2 * ((MID * SIDE + MID) * PITCH + MID);
    struct spi_rows rows = {s->grid + mid, 2 * PITCH, 2 * SIDE * PITCH};
    double total = 0;
    int n = 0;

    memset(s->grid, 0, 2 * COUNT * sizeof *s->grid);
    memset(s->ref, 0, 2 * COUNT * sizeof *s->ref);
    for (int i = 0; i < PATCHES; i++) {
        struct spi_patch p;
        float val[SPI_PATCH_MAX][2];

        make_patch(rng, i < 4 ? 16 - 4 * i : i + 1, d, &p);
        make_values(rng, val, &total);
        v->spread(&s->t, &p, (const float(*)[2])val, &rows);
        spi_spread_ref(&s->t, &p, (const float(*)[2])val, s->ref + mid, 2 * PITCH,
                       2 * SIDE * PITCH);
        n += p.n;
    }
    compare("spreading", v, s, n, total);
}

/* Into a box of 40^3 cells that begins at cell 3 of the grid; added twice, the second time
 * nothing. */
static void check_slots(const struct spi_interp_variant *v, struct scene *s,
                        struct spi_rng *rng)
{
    enum { ROWS = 40, FROM = 3 };
    static _Alignas(64) float d[3][SPI_PATCH_MAX];
    ptrdiff_t mid = 2 * ((MID * SIDE + MID) * PITCH + MID);
    struct spi_rows rows = {s->grid + 2 * ((FROM * SIDE + FROM) * PITCH + FROM), 2 * PITCH,
                            2 * SIDE * PITCH};
    struct spi_slots box;
    double total = 0;
    int n = 0, cell[3] = {MID - FROM, MID - FROM, MID - FROM};

    spi_slots_layout(s->t.w, ROWS, ROWS, &box);
    box.data = spi_alloc(spi_slots_floats(&box, ROWS), sizeof *box.data, "box");
    NEED(box.data);
    memset(s->grid, 0, 2 * COUNT * sizeof *s->grid);
    memset(s->ref, 0, 2 * COUNT * sizeof *s->ref);
    for (int i = 0; i < PATCHES; i++) {
        struct spi_patch p;
        float val[SPI_PATCH_MAX][2];

        make_patch(rng, i < 4 ? 16 - 4 * i : i + 1, d, &p);
        make_values(rng, val, &total);
        v->spread_slots(&s->t, &p, (const float(*)[2])val, &box, cell);
        spi_spread_ref(&s->t, &p, (const float(*)[2])val, s->ref + mid, 2 * PITCH,
                       2 * SIDE * PITCH);
        n += p.n;
    }
    for (int i = 0; i < 2; i++)
        spi_slots_add(&box, ROWS, ROWS, 0, ROWS, &rows);
    compare("boxes", v, s, n, total);
    free(box.data);
}

int main(void)
{
    struct scene s = {.grid = spi_alloc(2 * COUNT, sizeof *s.grid, "grid"),
                      .ref = spi_alloc(2 * COUNT, sizeof *s.ref, "grid")};

    if (!s.grid || !s.ref)
        return 1;
    for (int w = 2; w <= SPI_TAPS_MAX; w++) {
        spi_taps_init(&s.t, w, 0.97 * 3.14159 * w * (1 - 0.5 / 1.8)); /* sigma = 1.8 */
        s.te = tap_error(&s.t);
        for (const struct spi_interp_variant *v = spi_interp_variants; v->name; v++) {
            struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)w);

            if (!v->available()) {
                NOTE("%s: not available here", v->name);
                continue;
            }
            check_interp(v, &s, false, &rng);
            check_interp(v, &s, true, &rng);
            check_spread(v, &s, &rng);
            check_slots(v, &s, &rng);
        }
    }
    OK(strcmp(spi_interp_best()->name, "") != 0, "best here: %s", spi_interp_best()->name);
    free(s.grid);
    free(s.ref);
    return tap_done();
}
