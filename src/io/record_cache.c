/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/record_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"

struct spi_record_cache {
    char path[SPI_PATH_MAX]; /* for messages */
    int fd;                  /* -1: in memory */
    size_t record_bytes, bytes;
    void *map; /* all records; of a file from spi_record_cache_finish on */
};

static spi_err map(struct spi_record_cache *s, int protection, int flags)
{
    s->map = mmap(NULL, s->bytes, protection, flags, s->fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return spi_fail(SPI_EIO, "%s: cannot map %zu bytes: %s", s->path, s->bytes,
                        strerror(errno));
    }
    return SPI_OK;
}

static spi_err map_memory(struct spi_record_cache *s)
{
    spi_err err = map(s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);

    if (!err)
        (void)madvise(s->map, s->bytes, MADV_HUGEPAGE); /* slower without, no failure */
    return err;
}

static spi_err make_file(struct spi_record_cache *s)
{
    unlink(s->path); /* never the file of another process that has just made one here */
    s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return spi_fail(SPI_EIO, "%s: cannot create: %s", s->path, strerror(errno));
    unlink(s->path);
    if (ftruncate(s->fd, (off_t)s->bytes) != 0) /* what was never written reads as zeros */
        return spi_fail(SPI_EIO, "%s: cannot be %zu bytes long: %s", s->path, s->bytes,
                        strerror(errno));
    return SPI_OK;
}

spi_err spi_record_cache_create(const char *path, size_t record_bytes, int64_t count,
                                size_t memory_bytes, struct spi_record_cache **out)
{
    struct spi_record_cache *s = NULL;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(s, 1, "store"), fail);
    s->fd = -1;
    s->record_bytes = record_bytes;
    if (strlen(path) >= sizeof s->path) {
        err = spi_fail(SPI_EIO, "%s: the path is too long", path);
        goto fail;
    }
    strcpy(s->path, path);
    if (__builtin_mul_overflow(record_bytes, (size_t)count, &s->bytes)) {
        err = spi_fail(SPI_ENOMEM, "%s: %lld records of %zu bytes are too many", path,
                       (long long)count, record_bytes);
        goto fail;
    }
    SPI_TRY(err = s->bytes <= memory_bytes ? map_memory(s) : make_file(s), fail);
    *out = s;
    return SPI_OK;
fail:
    spi_record_cache_free(s);
    return err;
}

spi_err spi_record_cache_write(struct spi_record_cache *s, int64_t first, int64_t n,
                               const void *records)
{
    const char *p = records;
    size_t bytes = (size_t)n * s->record_bytes;
    off_t at = (off_t)((size_t)first * s->record_bytes);

    if (s->fd < 0) {
        memcpy((char *)s->map + at, p, bytes);
        return SPI_OK;
    }
    while (bytes) {
        ssize_t done = pwrite(s->fd, p, bytes, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return spi_fail(SPI_EIO, "%s: cannot write: %s", s->path,
                            done ? strerror(errno) : "no progress");
        p += done;
        at += done;
        bytes -= (size_t)done;
    }
    return SPI_OK;
}

spi_err spi_record_cache_finish(struct spi_record_cache *s)
{
    return s->map ? SPI_OK : map(s, PROT_READ, MAP_SHARED);
}

const void *spi_record_cache_record(const struct spi_record_cache *s, int64_t i)
{
    return (const char *)s->map + (size_t)i * s->record_bytes;
}

void spi_record_cache_free(struct spi_record_cache *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, s->bytes);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}
