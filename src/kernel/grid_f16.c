/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/grid_f16.h"

#include <string.h>

#include "kernel/f16.h"

#define LANE_BYTES 16
typedef float vf __attribute__((vector_size(LANE_BYTES), may_alias));
typedef int32_t vi __attribute__((vector_size(LANE_BYTES), may_alias));

SPI_CLONES static void fill_row(int nx, float scale, const float *restrict from,
                                ptrdiff_t row, uint16_t *restrict to)
{
    for (int x = 0; x < nx; x++)
        for (int i = 0; i < SPI_GRID_F16_LANES; i++)
            to[x * SPI_GRID_F16_LANES + i] = spi_f16_of(from[i * row + x] * scale);
}

void spi_grid_f16_fill(const struct spi_grid_f16 *h, int nz, int nk, int nx,
                       const struct spi_rows_in *g)
{
    for (int z = 0; z < nz; z++)
        for (int k = 0; k < nk; k++)
            fill_row(nx, h->scale, g->at + z * g->plane + k * SPI_GRID_F16_STEP * g->row,
                     g->row,
                     h->data + ((ptrdiff_t)z * h->plane + (ptrdiff_t)k * h->row) *
                                   SPI_GRID_F16_LANES);
}

/* ---- the plain variant -------------------------------------------------------------- */

#define lo(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define hi(a, b)  __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define lo2(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define hi2(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)

typedef int32_t pick;

SPI_INLINE int32_t pick_of(int32_t shift)
{
    return shift;
}

SPI_INLINE void cells(const uint16_t *from, int32_t shift, vf v[4])
{
    typedef uint16_t h4 __attribute__((vector_size(8)));

    for (int x = 0; x < 4; x++) {
        h4 h;

        memcpy(&h, from + shift + x * SPI_GRID_F16_LANES, sizeof h);

        vi bits = __builtin_convertvector(h, vi);

        bits = (bits & 0x7fff) << 13 | (bits & 0x8000) << 16;
        memcpy(&v[x], &bits, sizeof bits);
        v[x] *= 0x1p112F;
    }
}

SPI_INLINE vf each_x(const float *tap, int r)
{
    return tap[r] + (vf){0};
}

SPI_INLINE vf all_y(const float *tap)
{
    return *(const vf *)(const void *)tap;
}

SPI_INLINE void add_quads(const vf r[4], float *out)
{
    memcpy(out, r, 4 * sizeof *r);
}

#include "kernel/grid_f16_body.h"

static void interp_plain(const struct spi_taps *t, const struct spi_grid_f16 *h, int n,
                         const float *const u[3], float *out)
{
    BY_NARROW_WIDTH(interp, t, h, n, u, out)
}

static void gradient_plain(const struct spi_taps *t, const struct spi_grid_f16 *h, int n,
                           const float *const u[3], float *const out[4])
{
    BY_NARROW_WIDTH(gradient, t, h, n, u, out)
}

/* ---- the table ---------------------------------------------------------------------- */

static bool always(void)
{
    return true;
}

#ifdef SPI_X86_VARIANTS
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw");
}
#endif

const struct spi_grid_f16_variant spi_grid_f16_variants[] = {
#ifdef SPI_X86_VARIANTS
    {"avx512", has_avx512, spi_grid_f16_interp_avx512, spi_grid_f16_gradient_avx512},
    {"avx2", has_avx2, spi_grid_f16_interp_avx2, spi_grid_f16_gradient_avx2},
#endif
    {"plain", always, interp_plain, gradient_plain},
    {0},
};

const struct spi_grid_f16_variant *spi_grid_f16_best(void)
{
    const struct spi_grid_f16_variant *v = spi_grid_f16_variants;

    while (!v->available())
        v++;
    return (v + 1)->name ? v : NULL;
}
