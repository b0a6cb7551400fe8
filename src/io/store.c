#include "io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct header {
    char magic[16];
    uint64_t record_bytes, count;
    uint64_t key[4];
};

struct spi_store {
    char path[PATH_MAX], tmp[PATH_MAX];
    int fd;
    size_t record_bytes;
    int64_t count;
    bool finished;
    void *map; /* whole file */
    size_t bytes;
};

static struct header make_header(size_t record_bytes, int64_t count, const char *key)
{
    struct header h = {.magic = "spinifel-store1", .record_bytes = record_bytes,
                       .count = (uint64_t)count};

    /* four FNV-1a sums with different offsets: a key is compared, never read back */
    for (int i = 0; i < 4; i++) {
        h.key[i] = 0xcbf29ce484222325u + 0x9e3779b97f4a7c15u * (uint64_t)i;
        for (const char *p = key; *p; p++)
            h.key[i] = (h.key[i] ^ (unsigned char)*p) * 0x100000001b3u;
    }
    return h;
}

static spi_err write_all(const struct spi_store *s, const void *data, size_t bytes, off_t at)
{
    const char *p = data;

    while (bytes) {
        ssize_t done = pwrite(s->fd, p, bytes, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return spi_fail(SPI_EIO, "%s: cannot write: %s", s->tmp,
                            done ? strerror(errno) : "no progress");
        p += done;
        at += done;
        bytes -= (size_t)done;
    }
    return SPI_OK;
}

static spi_err store_new(const char *path, size_t record_bytes, int64_t count,
                         struct spi_store **out)
{
    spi_err err = SPI_NEW(*out, 1, "store");

    if (err)
        return err;
    (*out)->fd = -1;
    (*out)->record_bytes = record_bytes;
    (*out)->count = count;
    if (snprintf((*out)->path, sizeof (*out)->path, "%s", path) >= PATH_MAX - 8)
        return spi_fail(SPI_EIO, "%s: the path is too long", path);
    memcpy((*out)->tmp, (*out)->path, strlen(path) + 1);
    memcpy((*out)->tmp + strlen(path), ".tmp", 5);
    if (__builtin_mul_overflow(record_bytes, (size_t)count, &(*out)->bytes))
        return spi_fail(SPI_ENOMEM, "%s: %lld records of %zu bytes are too many", path,
                        (long long)count, record_bytes);
    (*out)->bytes += sizeof(struct header);
    return SPI_OK;
}

spi_err spi_store_create(const char *path, size_t record_bytes, int64_t count, const char *key,
                         struct spi_store **out)
{
    struct header h = make_header(record_bytes, count, key);
    spi_err err;

    SPI_TRY(err = store_new(path, record_bytes, count, out), fail);
    (*out)->fd = open((*out)->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if ((*out)->fd < 0) {
        err = spi_fail(SPI_EIO, "%s: cannot create: %s", (*out)->tmp, strerror(errno));
        goto fail;
    }
    SPI_TRY(err = write_all(*out, &h, sizeof h, 0), fail);
    return SPI_OK;
fail:
    spi_store_free(*out);
    *out = NULL;
    return err;
}

spi_err spi_store_write(struct spi_store *s, int64_t first, int64_t n, const void *records)
{
    return write_all(s, records, (size_t)n * s->record_bytes,
                     (off_t)(sizeof(struct header) + (size_t)first * s->record_bytes));
}

static spi_err map(struct spi_store *s)
{
    s->map = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return spi_fail(SPI_EIO, "%s: cannot map: %s", s->path, strerror(errno));
    }
    return SPI_OK;
}

spi_err spi_store_finish(struct spi_store *s)
{
    if (rename(s->tmp, s->path) != 0)
        return spi_fail(SPI_EIO, "%s: cannot rename to %s: %s", s->tmp, s->path,
                        strerror(errno));
    s->finished = true;
    return map(s);
}

spi_err spi_store_open(const char *path, size_t record_bytes, int64_t count, const char *key,
                       struct spi_store **out)
{
    struct header want = make_header(record_bytes, count, key), found;
    struct stat st;
    spi_err err;

    SPI_TRY(err = store_new(path, record_bytes, count, out), fail);
    (*out)->finished = true;
    (*out)->fd = open(path, O_RDONLY | O_CLOEXEC);
    if ((*out)->fd < 0) {
        err = spi_fail(SPI_EIO, "%s: cannot open: %s", path, strerror(errno));
        goto fail;
    }
    if (fstat((*out)->fd, &st) != 0 || (uint64_t)st.st_size != (*out)->bytes ||
        pread((*out)->fd, &found, sizeof found, 0) != (ssize_t)sizeof found ||
        memcmp(&found, &want, sizeof want) != 0) {
        err = spi_fail(SPI_EFORMAT, "%s: not the store of these images and settings", path);
        goto fail;
    }
    SPI_TRY(err = map(*out), fail);
    return SPI_OK;
fail:
    spi_store_free(*out);
    *out = NULL;
    return err;
}

const void *spi_store_record(const struct spi_store *s, int64_t i)
{
    return (const char *)s->map + sizeof(struct header) + (size_t)i * s->record_bytes;
}

void spi_store_free(struct spi_store *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, s->bytes);
    if (s->fd >= 0)
        close(s->fd);
    if (!s->finished && s->tmp[0])
        unlink(s->tmp);
    free(s);
}
