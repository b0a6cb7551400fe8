/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/lanes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/clones.h"

#define INLINE static inline __attribute__((always_inline))

#ifdef SPI_KERNEL_X86
#include <immintrin.h>

#define LANES                16
#define IMAGES               12
#define SIDE                 4
#define NAME(x)              x##_avx512
#define MAX(a, b)            (vec) _mm512_max_ps((__m512)(a), (__m512)(b))
#define ABOVE_FLOOR(t)       (vec) _mm512_reduce_ps((__m512)(t), _MM_FROUND_TO_NEG_INF)
#define SCALE_BY_POWER(p, t) (vec) _mm512_scalef_ps((__m512)(p), (__m512)(t))
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#include "kernel/lanes_body.h"
#pragma GCC pop_options

#define LANES     8
#define IMAGES    6
#define SIDE      2
#define NAME(x)   x##_avx2
#define MAX(a, b) (vec) _mm256_max_ps((__m256)(a), (__m256)(b))
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#include "kernel/lanes_body.h"
#pragma GCC pop_options

static bool available_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

static bool available_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}
#endif

#define LANES   4
#define IMAGES  4
#define SIDE    1
#define NAME(x) x##_plain
#include "kernel/lanes_body.h"

static bool available_plain(void)
{
    return true;
}

const struct spi_lanes spi_lanes_variants[] = {
#define ROW(isa, n)                                                                       \
    {                                                                                     \
        .name = #isa, .available = available_##isa, .fma_lanes = (n),                     \
        .panel = panel_##isa, .tile = tile_##isa, .pairs = pairs_##isa,                   \
        .angular = angular_##isa, .columns = columns_##isa, .top = top_##isa,             \
        .rows = rows_##isa, .exponentials = exponentials_##isa, .weights = weights_##isa, \
        .spectrum = spectrum_##isa, .gather = gather_##isa, .peak = peak_##isa            \
    }
#ifdef SPI_KERNEL_X86
    ROW(avx512, 16),
    ROW(avx2, 8),
#endif
    ROW(plain, 4),
};
const int spi_lanes_count = sizeof spi_lanes_variants / sizeof *spi_lanes_variants;

const struct spi_lanes *spi_lanes_best(void)
{
    const struct spi_lanes *v = spi_lanes_variants;

    while (!v->available())
        v++;
    return v;
}
