/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Taps of the 16 points of a patch, one point a lane; included by each variant.  Layer:
 * kernel. */
#ifndef SPI_KERNEL_INTERP_LANES_H
#define SPI_KERNEL_INTERP_LANES_H

#include "kernel/clones.h"
#include "kernel/interp.h"

/* LANE_BYTES, defined before this file is included: a vector of the instruction set. */
typedef float vf __attribute__((vector_size(LANE_BYTES), may_alias));
typedef int32_t vi __attribute__((vector_size(LANE_BYTES), may_alias));

struct lanes {
    _Alignas(64) float tap[3][SPI_TAPS_MAX][SPI_PATCH_MAX]; /* x, y, z; [tap][point] */
    _Alignas(64) int32_t first[3][SPI_PATCH_MAX]; /* first tap, from the centre's cell */
};

#define VF(p) (*(vf *)(void *)(p))
#define VI(p) (*(vi *)(void *)(p))

/** Taps of one axis of the points of one vector. */
SPI_INLINE void axis_of(const int W, const struct spi_taps *t, vf v, int32_t *first,
                        float (*tap)[SPI_PATCH_MAX])
{
    const int K = (W + 1) / 2 + 1; /* terms for degree w + 1 */
    vi i = __builtin_convertvector(v, vi);

    i -= v > __builtin_convertvector(i, vf); /* ceil */
    VI(first) = i;

    vf z = 2 * (__builtin_convertvector(i, vf) - v) - 1, z2 = z * z;

    for (int c = 0; c < (W + 1) / 2; c++) {
        vf e = t->even[c][K - 1] + (vf){0}, o = t->odd[c][K - 1] + (vf){0};

        for (int k = K - 2; k >= 0; k--) {
            e = e * z2 + t->even[c][k];
            o = o * z2 + t->odd[c][k];
        }
        if (c == W - 1 - c) { /* the middle tap of an odd number is even */
            VF(tap[c]) = e;
            continue;
        }
        VF(tap[c]) = e + o * z;
        VF(tap[W - 1 - c]) = e - o * z;
    }
}

/** Taps of all three axes of a patch. */
SPI_INLINE void lanes_of(const int W, const struct spi_taps *t, const struct spi_patch *p,
                         struct lanes *l)
{
    const int V = LANE_BYTES / 4;

    for (int h = 0; h < SPI_PATCH_MAX; h += V) {
        vf x = *(const vf *)(const void *)(p->d + h);
        vf y = *(const vf *)(const void *)(p->d + SPI_PATCH_MAX + h);
        vf z = *(const vf *)(const void *)(p->d + 2 * SPI_PATCH_MAX + h);

        for (int a = 0; a < 3; a++) {
            const float *M = p->M + 3 * a;
            vf v = x * M[0] + (y * M[1] + (z * M[2] + (p->f[a] - 0.5F * (float)W)));

            axis_of(W, t, v, l->first[a] + h, (float(*)[SPI_PATCH_MAX])(l->tap[a][0] + h));
        }
    }
}

/* Slot layout by width (interp.h: spi_slots). */
#define SLOT_CELLS(W) ((W) <= 4 ? 4 : (W) <= 6 ? 8 : 16)
#define SLOT_STEP(W)  ((W) <= 4 ? 1 : (W) == 5 ? 4 : (W) == 6 ? 3 : 8)

/** at[j]: the slot that holds the first row of point j; shift[j]: its cell in the slot. */
SPI_INLINE void slots_of(const int W, const struct lanes *l, const struct spi_slots *b,
                         const int cell[3], int32_t at[SPI_PATCH_MAX],
                         int32_t shift[SPI_PATCH_MAX])
{
    const int V = LANE_BYTES / 4, S = SLOT_CELLS(W), step = SLOT_STEP(W);
    const int times = step == 3 ? 11 : 1;
    const int by = step == 1 ? 0 : step == 3 ? 5 : step == 4 ? 2 : 3;
    const int log2 = S == 4 ? 2 : S == 8 ? 3 : 4;
    int32_t plane = (int32_t)b->plane, row = (int32_t)b->row, copy = (int32_t)b->copy;

    for (int h = 0; h < SPI_PATCH_MAX; h += V) {
        vi x = *(const vi *)(const void *)(l->first[0] + h) + cell[0];
        vi y = *(const vi *)(const void *)(l->first[1] + h) + cell[1];
        vi z = *(const vi *)(const void *)(l->first[2] + h) + cell[2];
        vi r = x & (S - 1), p = r * times >> by; /* r / step */

        VI(shift + h) = r - p * step;
        VI(at + h) = z * plane + y * row + p * copy + ((x >> log2) + 1) * (2 * S);
    }
}

/* Column layout by width (interp.h: spi_columns). */
#define COLUMN_LANES(W) ((W) <= 4 ? 4 : 8)
#define COLUMN_STEP(W)  (COLUMN_LANES(W) + 1 - (W))

/** at[j]: the first column of point j; shift[j]: its first tap's place in the column. */
SPI_INLINE void columns_of(const int W, const struct lanes *l, const struct spi_columns *b,
                           const int cell[3], int32_t at[SPI_PATCH_MAX],
                           int32_t shift[SPI_PATCH_MAX])
{
    const int V = LANE_BYTES / 4, step = COLUMN_STEP(W);
    const int times = step == 3 ? 171 : 1, by = step == 3 ? 9 : step == 4 ? 2 : step - 1;
    int32_t plane = (int32_t)b->plane, row = (int32_t)b->row;
    int32_t base = cell[2] * plane + cell[0] * COLUMN_LANES(W);

    for (int h = 0; h < SPI_PATCH_MAX; h += V) {
        vi x = *(const vi *)(const void *)(l->first[0] + h);
        vi y = *(const vi *)(const void *)(l->first[1] + h) + cell[1];
        vi z = *(const vi *)(const void *)(l->first[2] + h);
        vi k = y * times >> by; /* y / step, y < 512 */

        VI(shift + h) = y - k * step;
        VI(at + h) = z * plane + k * row + x * COLUMN_LANES(W) + base;
    }
}

/* call(W, ...) with W a constant */
#define BY_WIDTH(call, ...)   \
    switch (t->w) {           \
    case 2:                   \
        call(2, __VA_ARGS__); \
        break;                \
    case 3:                   \
        call(3, __VA_ARGS__); \
        break;                \
    case 4:                   \
        call(4, __VA_ARGS__); \
        break;                \
    case 5:                   \
        call(5, __VA_ARGS__); \
        break;                \
    case 6:                   \
        call(6, __VA_ARGS__); \
        break;                \
    case 7:                   \
        call(7, __VA_ARGS__); \
        break;                \
    default:                  \
        call(8, __VA_ARGS__); \
        break;                \
    }

#endif
