/* Taps of the 16 points of a patch, one point a lane; included by each variant. */
#ifndef SPI_KERNEL_INTERP_LANES_H
#define SPI_KERNEL_INTERP_LANES_H

#include "kernel/clones.h"
#include "kernel/interp.h"

/* The compiler makes of these what the instruction set has. */
typedef float v16 __attribute__((vector_size(64), may_alias));
typedef int32_t v16i __attribute__((vector_size(64), may_alias));

struct lanes {
    v16 tap[3][SPI_TAPS_MAX]; /* x, y, z; [tap][point] */
    v16i first[3];            /* first tap, relative to the centre's cell */
};

SPI_INLINE void lanes_of(const int W, const struct spi_taps *t, const struct spi_patch *p,
                         struct lanes *l)
{
    const int K = (W + 1) / 2 + 1; /* terms for degree w + 1, (w + 3) / 2 rounded down */
    const v16 *d = (const v16 *)(const void *)p->d;

    for (int a = 0; a < 3; a++) {
        const float *M = p->M + 3 * a;
        v16 v = d[0] * M[0] + (d[1] * M[1] + (d[2] * M[2] + (p->f[a] - 0.5F * (float)W)));
        v16i i = __builtin_convertvector(v, v16i);

        i -= v > __builtin_convertvector(i, v16); /* ceil */
        l->first[a] = i;

        v16 z = 2 * (__builtin_convertvector(i, v16) - v) - 1, z2 = z * z;

        for (int c = 0; c < W / 2; c++) {
            v16 e = t->even[c][K - 1] + (v16){0}, o = t->odd[c][K - 1] + (v16){0};

            for (int k = K - 2; k >= 0; k--) {
                e = e * z2 + t->even[c][k];
                o = o * z2 + t->odd[c][k];
            }
            o *= z;
            l->tap[a][c] = e + o;
            l->tap[a][W - 1 - c] = e - o;
        }
        if (W % 2) {
            v16 e = t->even[W / 2][K - 1] + (v16){0};

            for (int k = K - 2; k >= 0; k--)
                e = e * z2 + t->even[W / 2][k];
            l->tap[a][W / 2] = e;
        }
    }
}

/* Which copy, slot and shift hold a row that begins at cell x. */
SPI_INLINE int slot_of(const struct spi_slots *b, const int S, const int step, int x,
                       int *shift)
{
    int s = x / S, r = x % S, p = r / step;

    *shift = r % step;
    return (s * b->copies + p) * 2 * S;
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

#define SLOT_CELLS(W) ((W) <= 6 ? 8 : 16)
#define SLOT_STEP(W)  ((W) <= 5 ? 4 : (W) == 6 ? 3 : 8)

#endif
