/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/clones.h"

/* Floats at any float's address (l) and aligned (a). */
typedef float l4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float l8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float l16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float v16 __attribute__((vector_size(64), may_alias));

/* Each try is shorter than a turn of the scheduler, the best of many counts.
 * A box of 12 x 12 rows fits the first cache, for one component and for two. */
enum { BOX = 12, ROW = 16, POINTS = 256, ROUNDS = 40, TRIES = 31 };

static volatile float sink;

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double now_s(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_CHILDREN, &u);
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID) +
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

double clock_s(bool cpu_time, int n_threads)
{
    return cpu_time ? cpu_s() / n_threads : now_s();
}

static double clock_ghz(void)
{
    enum { CLOCK_STEPS = 1000000 };
    double best = INFINITY;

    for (int t = 0; t < TRIES; t++) {
        double start = now_s();
        uint64_t x = 0;

        for (int i = 0; i < CLOCK_STEPS; i++) {
            x += (uint64_t)i; /* one cycle after the other */
            __asm__ volatile("" : "+r"(x));
        }
        best = fmin(best, now_s() - start);
    }
    return CLOCK_STEPS * 1e-9 / best;
}

/* Independent chains: enough to hide the latency of two units, few enough for 16 registers.
 */
SPI_CLONES static float fma_chains(int64_t n)
{
    v16 a0 = {1}, a1 = {2}, a2 = {3}, a3 = {4}, a4 = {5}, a5 = {6}, a6 = {7}, a7 = {8};
    v16 k = a0 * 0.999F, c = a1 * 1e-3F;

    for (int64_t i = 0; i < n; i++) {
        a0 = a0 * k + c;
        a1 = a1 * k + c;
        a2 = a2 * k + c;
        a3 = a3 * k + c;
        a4 = a4 * k + c;
        a5 = a5 * k + c;
        a6 = a6 * k + c;
        a7 = a7 * k + c;
    }
    a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7;
    return a0[0] + a0[15];
}

SPI_CLONES static float fma_chains_narrow(int64_t n)
{
    l8 a0 = {1}, a1 = {2}, a2 = {3}, a3 = {4}, a4 = {5}, a5 = {6}, a6 = {7}, a7 = {8},
       a8 = {9};
    l8 a9 = {10}, k = a0 * 0.999F, c = a1 * 1e-3F;

    for (int64_t i = 0; i < n; i++) {
        a0 = a0 * k + c;
        a1 = a1 * k + c;
        a2 = a2 * k + c;
        a3 = a3 * k + c;
        a4 = a4 * k + c;
        a5 = a5 * k + c;
        a6 = a6 * k + c;
        a7 = a7 * k + c;
        a8 = a8 * k + c;
        a9 = a9 * k + c;
    }
    a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9;
    return a0[0] + a0[7];
}

static double fma_rate(void)
{
    enum { N = 100000 };
    double wide = INFINITY, narrow = INFINITY;

    for (int t = 0; t < TRIES; t++) {
        double start = now_s();

        sink = fma_chains(N);
        wide = fmin(wide, now_s() - start);
        start = now_s();
        sink = fma_chains_narrow(N);
        narrow = fmin(narrow, now_s() - start);
    }
    return fmax(16 * 8 * 1e-9 * N / wide, 8 * 10 * 1e-9 * N / narrow);
}

SPI_CLONES static float read_all(const float *p, size_t n)
{
    v16 a0 = {0}, a1 = a0, a2 = a0, a3 = a0;
    const v16 *v = (const v16 *)(const void *)p;

    for (size_t i = 0; i + 4 <= n / 16; i += 4) {
        a0 += v[i];
        a1 += v[i + 1];
        a2 += v[i + 2];
        a3 += v[i + 3];
    }
    a0 += a1 + a2 + a3;
    return a0[0] + a0[15];
}

static double read_rate(const float *p, size_t bytes, int rounds)
{
    double best = INFINITY;

    for (int t = 0; t < TRIES; t++) {
        double start = now_s();

        for (int r = 0; r < rounds; r++)
            sink = read_all(p, bytes / sizeof *p);
        best = fmin(best, now_s() - start);
    }
    return (double)bytes * rounds * 1e-9 / best;
}

/* The rows of POINTS points read, or added to, with vectors of one type: W is a constant
 * where these are inlined, so that the sums stay in registers. */
#define ROWS_OF(type)                                                                   \
    SPI_INLINE float read_##type(const int W, int row, const float *box, const int *at) \
    {                                                                                   \
        type k = (type){0} + box[0], all = {0};                                         \
                                                                                        \
        for (int j = 0; j < POINTS; j++) {                                              \
            type part[MACHINE_W_MAX] = {{0}};                                           \
                                                                                        \
            for (int a = 0; a < W; a++)                                                 \
                for (int b = 0; b < W; b++)                                             \
                    part[b] += k * *(const type *)(const void *)(box + at[j] +          \
                                                                 (a * BOX + b) * row);  \
            for (int b = 0; b < W; b++)                                                 \
                all += part[b];                                                         \
        }                                                                               \
        return all[0];                                                                  \
    }                                                                                   \
    SPI_INLINE float add_##type(const int W, int row, float *box, const int *at)        \
    {                                                                                   \
        type k = (type){0} + box[0];                                                    \
                                                                                        \
        for (int j = 0; j < POINTS; j++) {                                              \
            type value = k * (float)j;                                                  \
                                                                                        \
            for (int a = 0; a < W; a++)                                                 \
                for (int b = 0; b < W; b++)                                             \
                    *(type *)(void *)(box + at[j] + (a * BOX + b) * row) += k * value;  \
        }                                                                               \
        return 0;                                                                       \
    }
ROWS_OF(l4)
ROWS_OF(l8)
ROWS_OF(l16)

#define BY_WIDTH(call)                \
    switch (w) {                      \
    case 2:                           \
        return call(2, row, box, at); \
    case 3:                           \
        return call(3, row, box, at); \
    case 4:                           \
        return call(4, row, box, at); \
    case 5:                           \
        return call(5, row, box, at); \
    case 6:                           \
        return call(6, row, box, at); \
    case 7:                           \
        return call(7, row, box, at); \
    default:                          \
        return call(8, row, box, at); \
    }

SPI_CLONES static float read_rows(int w, int comp, const float *box, const int *at)
{
    int row = ROW * comp;

    if (w * comp <= 4)
        BY_WIDTH(read_l4)
    if (w * comp <= 8)
        BY_WIDTH(read_l8)
    BY_WIDTH(read_l16)
}

SPI_CLONES static float add_rows(int w, int comp, float *box, const int *at)
{
    int row = ROW * comp;

    if (w * comp <= 4)
        BY_WIDTH(add_l4)
    if (w * comp <= 8)
        BY_WIDTH(add_l8)
    BY_WIDTH(add_l16)
}

/* ns a point; rows begin at multiples of `align` floats. */
static double rows_ns(bool add, int w, int comp, int align, float *box)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)w);
    double best = INFINITY;
    int at[POINTS];

    for (int j = 0; j < POINTS; j++) {
        int z = (int)spi_rng_below(&rng, (uint32_t)(BOX - w + 1));
        int y = (int)spi_rng_below(&rng, (uint32_t)(BOX - w + 1));
        int x = (int)spi_rng_below(&rng, 8) * comp / align * align;

        at[j] = (z * BOX + y) * ROW * comp + x;
    }
    for (int t = 0; t < TRIES; t++) {
        double start = now_s();

        for (int r = 0; r < ROUNDS; r++)
            sink = add ? add_rows(w, comp, box, at) : read_rows(w, comp, box, at);
        best = fmin(best, now_s() - start);
    }
    return 1e9 * best / (ROUNDS * POINTS);
}

static int row_vector(int w, int comp)
{
    return w * comp <= 4 ? 4 : w * comp <= 8 ? 8 : 16;
}

spi_err machine_measure(struct machine *m)
{
    enum { L1 = 16 << 10, L2 = 384 << 10, MEMORY = 64 << 20 };
    float *block = NULL;
    spi_err err = SPI_NEW(block, MEMORY / sizeof *block, "machine");

    if (err)
        return err;
    *m = (struct machine){.ghz = clock_ghz(), .fma_per_ns = fma_rate()};
    m->l1_B_per_ns = read_rate(block, L1, 100);
    m->l2_B_per_ns = read_rate(block, L2, 10);
    m->memory_B_per_ns = read_rate(block, MEMORY, 1);
    for (int comp = 1; comp <= 2; comp++)
        for (int w = 2; w <= MACHINE_W_MAX; w++) {
            m->load_ns[comp - 1][w] = rows_ns(false, w, comp, 1, block);
            m->add_ns[comp - 1][w] = rows_ns(true, w, comp, row_vector(w, comp), block);
            m->loose_ns[comp - 1][w] = rows_ns(true, w, comp, comp, block);
        }
    free(block);
    return SPI_OK;
}

static double fma_bound(const struct machine *m, int w, int comp)
{
    return w * w * w * comp / m->fma_per_ns;
}

double machine_interp_bound(const struct machine *m, int w, int comp)
{
    return fmax(m->load_ns[comp - 1][w], fma_bound(m, w, comp));
}

double machine_spread_bound(const struct machine *m, int w, int comp)
{
    return fmax(m->add_ns[comp - 1][w], fma_bound(m, w, comp));
}
