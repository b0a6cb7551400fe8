#include "io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"

struct spi_store {
    char path[SPI_PATH_MAX]; /* for messages */
    int fd;
    size_t record_bytes, bytes;
    void *map; /* whole file */
};

spi_err spi_store_create(const char *path, size_t record_bytes, int64_t count,
                         struct spi_store **out)
{
    struct spi_store *s = NULL;
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
    unlink(path); /* never the file of another process that has just made one here */
    s->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        err = spi_fail(SPI_EIO, "%s: cannot create: %s", path, strerror(errno));
        goto fail;
    }
    unlink(path);
    if (ftruncate(s->fd, (off_t)s->bytes) !=
        0) { /* reading what was never written gives zeros */
        err = spi_fail(SPI_EIO, "%s: cannot be %zu bytes long: %s", path, s->bytes,
                       strerror(errno));
        goto fail;
    }
    *out = s;
    return SPI_OK;
fail:
    spi_store_free(s);
    return err;
}

spi_err spi_store_write(struct spi_store *s, int64_t first, int64_t n, const void *records)
{
    const char *p = records;
    size_t bytes = (size_t)n * s->record_bytes;
    off_t at = (off_t)((size_t)first * s->record_bytes);

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

spi_err spi_store_finish(struct spi_store *s)
{
    s->map = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return spi_fail(SPI_EIO, "%s: cannot map: %s", s->path, strerror(errno));
    }
    return SPI_OK;
}

const void *spi_store_record(const struct spi_store *s, int64_t i)
{
    return (const char *)s->map + (size_t)i * s->record_bytes;
}

void spi_store_free(struct spi_store *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, s->bytes);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}
