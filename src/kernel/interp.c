/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/interp.h"

#include <string.h>

#define LANE_BYTES 16
#include "kernel/interp_lanes.h"

void spi_taps_init(struct spi_taps *t, int w, double beta)
{
    memset(t, 0, sizeof *t);
    spi_kaiser_init(&t->window, w, beta);
    t->w = w;
    t->terms = (w + 1) / 2 + 1;
    for (int c = 0; c < (w + 1) / 2; c++)
        for (int k = 0; k < t->terms; k++) {
            int p = 2 * k;

            if (p <= t->window.degree)
                t->even[c][k] = (float)t->window.coef[p][c];
            if (p + 1 <= t->window.degree)
                t->odd[c][k] = (float)t->window.coef[p + 1][c];
        }
}

void spi_slots_layout(int w, int nx, int ny, struct spi_slots *s)
{
    s->cells = SLOT_CELLS(w);
    s->step = SLOT_STEP(w);
    s->copies = (s->cells + s->step - 1) / s->step;
    s->n = (nx - w) / s->cells + 1;
    s->copy = (ptrdiff_t)(s->n + 1) * 2 * s->cells;
    s->row = s->copies * s->copy;
    s->plane = ny * s->row;
}

size_t spi_slots_floats(const struct spi_slots *s, int nz)
{
    return (size_t)(nz * s->plane) + 2 * (size_t)s->cells; /* the zeros behind the last */
}

void spi_columns_layout(int w, struct spi_columns *c)
{
    c->lanes = COLUMN_LANES(w);
    c->step = COLUMN_STEP(w);
}

SPI_INLINE void interp(const int W, const struct spi_taps *t, const struct spi_patch *p,
                       const struct spi_rows_in *g, float *out)
{
    struct lanes l;

    lanes_of(W, t, p, &l);
    for (int j = 0; j < p->n; j++) {
        const float *at =
            g->at + l.first[2][j] * g->plane + l.first[1][j] * g->row + l.first[0][j];
        float sum[SPI_TAPS_MAX] = {0}, total = 0;

        for (int a = 0; a < W; a++)
            for (int b = 0; b < W; b++) {
                float k = l.tap[2][a][j] * l.tap[1][b][j];
                const float *row = at + a * g->plane + b * g->row;

                for (int c = 0; c < W; c++)
                    sum[c] += k * row[c];
            }
        for (int c = 0; c < W; c++)
            total += sum[c] * l.tap[0][c][j];
        out[j] = total;
    }
}

SPI_INLINE void interp_columns(const int W, const struct spi_taps *t,
                               const struct spi_patch *p, const struct spi_columns *b,
                               const int cell[3], float *out)
{
    _Alignas(64) int32_t at[SPI_PATCH_MAX], shift[SPI_PATCH_MAX];
    struct lanes l;

    lanes_of(W, t, p, &l);
    columns_of(W, &l, b, cell, at, shift);
    for (int j = 0; j < p->n; j++) {
        const float *from = b->data + at[j] + shift[j];
        float total = 0;

        for (int c = 0; c < W; c++) {
            float sum[SPI_TAPS_MAX] = {0}, part = 0;

            for (int a = 0; a < W; a++)
                for (int i = 0; i < W; i++)
                    sum[i] += l.tap[2][a][j] * from[a * b->plane + c * COLUMN_LANES(W) + i];
            for (int i = 0; i < W; i++)
                part += sum[i] * l.tap[1][i][j];
            total += part * l.tap[0][c][j];
        }
        out[j] = total;
    }
}

/* Rows of W cells times two components, `add`, at the rows a, b of a point. */
SPI_INLINE void add_rows(const int W, const struct lanes *l, int j,
                         const float (*restrict val)[2], float *at, ptrdiff_t row,
                         ptrdiff_t plane)
{
    float add[2 * SPI_TAPS_MAX];

    for (int c = 0; c < W; c++) {
        add[2 * c] = l->tap[0][c][j] * val[j][0];
        add[2 * c + 1] = l->tap[0][c][j] * val[j][1];
    }
    for (int a = 0; a < W; a++)
        for (int b = 0; b < W; b++) {
            float k = l->tap[2][a][j] * l->tap[1][b][j];
            float *restrict to = at + a * plane + b * row;

            for (int c = 0; c < 2 * W; c++)
                to[c] += k * add[c];
        }
}

SPI_INLINE void spread(const int W, const struct spi_taps *t, const struct spi_patch *p,
                       const float (*val)[2], const struct spi_rows *g)
{
    struct lanes l;

    lanes_of(W, t, p, &l);
    for (int j = 0; j < p->n; j++)
        add_rows(W, &l, j, val,
                 g->at + l.first[2][j] * g->plane + l.first[1][j] * g->row +
                     2 * l.first[0][j],
                 g->row, g->plane);
}

SPI_INLINE void spread_slots(const int W, const struct spi_taps *t,
                             const struct spi_patch *p, const float (*val)[2],
                             const struct spi_slots *b, const int cell[3])
{
    struct lanes l;
    _Alignas(64) int32_t at[SPI_PATCH_MAX], shift[SPI_PATCH_MAX];

    lanes_of(W, t, p, &l);
    slots_of(W, &l, b, cell, at, shift);
    for (int j = 0; j < p->n; j++)
        add_rows(W, &l, j, val, b->data + at[j] + 2 * shift[j], b->row, b->plane);
}

static void interp_plain(const struct spi_taps *t, const struct spi_patch *p,
                         const struct spi_rows_in *g, float *out)
{
    BY_WIDTH(interp, t, p, g, out)
}

static void columns_plain(const struct spi_taps *t, const struct spi_patch *p,
                          const struct spi_columns *b, const int cell[3], float *out)
{
    BY_WIDTH(interp_columns, t, p, b, cell, out)
}

static void spread_plain(const struct spi_taps *t, const struct spi_patch *p,
                         const float (*val)[2], const struct spi_rows *g)
{
    BY_WIDTH(spread, t, p, val, g)
}

static void slots_plain(const struct spi_taps *t, const struct spi_patch *p,
                        const float (*val)[2], const struct spi_slots *b, const int cell[3])
{
    BY_WIDTH(spread_slots, t, p, val, b, cell)
}

static bool always(void)
{
    return true;
}

const struct spi_interp_variant *spi_interp_best(void)
{
    const struct spi_interp_variant *v = spi_interp_variants;

    while (!v->available())
        v++;
    return v;
}

#ifdef SPI_X86_VARIANTS
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("fma");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

const struct spi_interp_variant spi_interp_variants[] = {
#ifdef SPI_X86_VARIANTS
    {"avx512", has_avx512, spi_interp_avx512, spi_interp_columns_avx512, spi_spread_avx512,
     spi_spread_slots_avx512},
    {"avx2", has_avx2, spi_interp_avx2, spi_interp_columns_avx2, spi_spread_avx2,
     spi_spread_slots_avx2},
#endif
    {"plain", always, interp_plain, columns_plain, spread_plain, slots_plain},
    {0},
};

SPI_INLINE void fill_row(const int L, int nx, const float *restrict from, ptrdiff_t row,
                         float *restrict to)
{
    for (int x = 0; x < nx; x++)
        for (int i = 0; i < L; i++)
            to[x * L + i] = from[i * row + x];
}

SPI_CLONES void spi_columns_fill(const struct spi_columns *c, int nz, int nk, int nx,
                                 const struct spi_rows_in *g)
{
    for (int z = 0; z < nz; z++)
        for (int k = 0; k < nk; k++) {
            const float *from = g->at + z * g->plane + k * c->step * g->row;
            float *to = c->data + z * c->plane + k * c->row;

            if (c->lanes == 4)
                fill_row(4, nx, from, g->row, to);
            else
                fill_row(8, nx, from, g->row, to);
        }
}

/* Floats from...to - 1 of a row; what is read before and behind a copy is zero. */
SPI_INLINE void add_copies(const int copies, const int step, const float *restrict first,
                           ptrdiff_t copy, int from, int to, float *restrict row)
{
    for (int i = from; i < to; i++) {
        float sum = first[i];

        for (int p = 1; p < copies; p++)
            sum += first[p * (copy - 2 * step) + i];
        row[i] += sum;
    }
}

SPI_CLONES void spi_slots_add(const struct spi_slots *b, int nz, int ny, int x0, int x1,
                              const struct spi_rows *g)
{
    size_t row_bytes = (size_t)b->row * sizeof *b->data;

    for (int z = 0; z < nz; z++)
        for (int y = 0; y < ny; y++) {
            float *from = b->data + z * b->plane + y * b->row;
            float *to = g->at + z * g->plane + y * g->row;
            const float *first = from + 2 * b->cells;

            if (b->step == 1)
                add_copies(4, 1, first, b->copy, 2 * x0, 2 * x1, to);
            else if (b->step == 3)
                add_copies(3, 3, first, b->copy, 2 * x0, 2 * x1, to);
            else
                add_copies(2, b->step, first, b->copy, 2 * x0, 2 * x1, to);
            memset(from, 0, row_bytes);
        }
}
