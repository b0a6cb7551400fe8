/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM ((size_t)8 << 20)

/* For tests of what follows a failure: the allocation of this number fails, counted from 1
 * in the order of the calls.  0: none does. */
static long failing_allocation(void)
{
    const char *text = getenv("SPI_FAIL_ALLOC");
    long n = text ? strtol(text, NULL, 10) : 0;

    return n > 0 ? n : 0;
}

static bool must_fail(void)
{
    static atomic_long count;
    static atomic_long wanted = -1; /* the environment is read once */
    long n = atomic_load(&wanted);

    if (n < 0)
        atomic_store(&wanted, n = failing_allocation());
    return n > 0 && atomic_fetch_add(&count, 1) + 1 == n;
}

spi_err spi_no_memory(const char *what, size_t bytes)
{
    size_t left = spi_address_space_left(), there = spi_memory_bytes();
    char asked[64] = "", found[160] = "";

    if (bytes >= 1000000)
        snprintf(asked, sizeof asked, ": %.0f MB are asked for", (double)bytes / 1e6);
    else if (bytes > 0)
        snprintf(asked, sizeof asked, ": %zu bytes are asked for", bytes);
    if (left < there || (left != SIZE_MAX && there == 0))
        snprintf(found, sizeof found,
                 ", the limit on the address space (ulimit -v) leaves %.0f MB; raise it",
                 (double)left / 1e6);
    else if (there > 0)
        snprintf(found, sizeof found,
                 ", %.0f MB are free; end other programs, or ask for less (fewer workers, "
                 "lower q_max)",
                 (double)there / 1e6);
    return spi_fail(SPI_ENOMEM, "%s: out of memory%s%s", what, asked, found);
}

/* *allocated: the size after rounding up. */
static void *reserve(size_t n, size_t size, const char *what, size_t *allocated)
{
    size_t bytes;
    void *p;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - HUGE_PAGE) {
        spi_note("%s: %zu x %zu bytes overflow size_t", what, n, size);
        return NULL;
    }
    size_t align = bytes >= HUGE_FROM ? HUGE_PAGE : 64;

    bytes = bytes ? (bytes + align - 1) / align * align : align;
    p = must_fail() ? NULL : aligned_alloc(align, bytes);
    if (!p) {
        (void)!spi_no_memory(what, bytes);
        return NULL;
    }
    /* grids are read and written all over the place: 2 MB pages spare most of the misses in
     * the address translation.  Only advice: where the system has none, nothing changes. */
    if (align == HUGE_PAGE)
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    *allocated = bytes;
    return p;
}

void *spi_alloc(size_t n, size_t size, const char *what)
{
    size_t bytes;
    void *p = reserve(n, size, what, &bytes);

    return p ? memset(p, 0, bytes) : NULL;
}

void *spi_alloc_unset(size_t n, size_t size, const char *what)
{
    size_t bytes;

    return reserve(n, size, what, &bytes);
}

char *spi_text_copy(const char *text, const char *what)
{
    size_t n = strlen(text) + 1;
    char *copy = spi_alloc_unset(n, 1, what);

    return copy ? memcpy(copy, text, n) : NULL;
}

spi_err spi_grow(void **p, size_t size, int64_t have, int64_t need, int64_t *cap,
                 const char *what)
{
    if (need <= *cap)
        return SPI_OK;

    int64_t want = *cap + *cap / 2 > need ? *cap + *cap / 2 : need;
    void *q = spi_alloc((size_t)want, size, what);

    if (!q)
        return SPI_ENOMEM;
    if (have)
        memcpy(q, *p, (size_t)have * size);
    free(*p);
    *p = q;
    *cap = want;
    return SPI_OK;
}

/* The first number behind `word` ("": at the beginning) in a small text file; 0: none. */
static size_t number_in(const char *path, const char *word)
{
    FILE *f = fopen(path, "re");
    char text[4096] = "";
    const char *at;
    size_t n;

    if (!f)
        return 0;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    at = strstr(text, word);
    return at ? (size_t)strtoull(at + strlen(word), NULL, 10) : 0;
}

size_t spi_memory_bytes(void)
{
    size_t have = 1024 * number_in("/proc/meminfo", "MemAvailable:");
    size_t most = number_in("/sys/fs/cgroup/memory.max", ""); /* "max": no limit */

    return most > 0 && most < have ? most : have;
}

size_t spi_address_space_left(void)
{
    struct rlimit limit;
    size_t used;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    used = 1024 * number_in("/proc/self/status", "VmSize:");
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

int64_t spi_peak_rss_bytes(void)
{
    struct rusage u;

    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}

void spi_keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_ARENA_MAX, 1); /* the others hold nothing that is larger than 64 MiB */
#endif
}
