#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void *spi_alloc(size_t n, size_t size, const char *what)
{
    size_t bytes;
    void *p;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 63) {
        spi_note("%s: %zu x %zu bytes overflow size_t", what, n, size);
        return NULL;
    }
    bytes = bytes ? (bytes + 63) / 64 * 64 : 64;
    p = aligned_alloc(64, bytes);
    if (!p) {
        spi_note("%s: cannot allocate %zu bytes", what, bytes);
        return NULL;
    }
    return memset(p, 0, bytes);
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
#endif
}
