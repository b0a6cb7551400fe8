#include "io/state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/version.h"
#include "io/file.h"

/* The first characters name the kind of file, the digits behind them the form. */
static const char magic[16] = "spinifel-state2",
                  program[] = "spinifel " SPI_VERSION " (" SPI_REVISION ")";
enum { KIND = 14 };

struct spi_state {
    char *data; /* the whole file, owned */
    size_t bytes, items_at;
    char path[SPI_PATH_MAX];
};

struct out {
    FILE *f;
    uLong crc;
    int failed;
};

static void put(struct out *o, const void *data, size_t bytes)
{
    const unsigned char *p = data;

    for (size_t done = 0; done < bytes;) { /* crc32 takes unsigned int lengths */
        size_t n = bytes - done < (1u << 30) ? bytes - done : 1u << 30;

        o->crc = crc32(o->crc, p + done, (uInt)n);
        done += n;
    }
    if (bytes && fwrite(data, 1, bytes, o->f) != bytes)
        o->failed = 1;
}

static void put_text(struct out *o, const char *text)
{
    uint64_t n = strlen(text);

    put(o, &n, sizeof n);
    put(o, text, n);
}

spi_err spi_state_write(const char *path, const char *key, int n,
                        const struct spi_state_item *item)
{
    char tmp[SPI_PATH_MAX];
    struct out o = {.crc = crc32(0, NULL, 0)};
    int fd;
    spi_err err = spi_file_create(path, tmp, &fd);

    if (err)
        return err;
    if ((err = spi_file_stream_take(tmp, fd, &o.f)) != SPI_OK)
        return err;
    put(&o, magic, sizeof magic);
    put_text(&o, program);
    put_text(&o, key);
    for (int i = 0; i < n; i++) {
        uint64_t bytes = item[i].bytes;

        put_text(&o, item[i].name);
        put(&o, &bytes, sizeof bytes);
        put(&o, item[i].data, item[i].bytes);
    }

    uint64_t crc = o.crc;

    put(&o, &crc, sizeof crc);
    if (fclose(o.f) != 0 || o.failed) {
        err = spi_fail(SPI_EIO, "%s: cannot write: %s", tmp, strerror(errno));
        remove(tmp);
        return err;
    }
    return spi_file_commit(tmp, path);
}

static spi_err load(const char *path, struct spi_state *s)
{
    spi_err err = spi_file_check(path);
    FILE *f;
    long bytes = -1;

    if (err)
        return err;
    f = fopen(path, "rb");
    if (!f)
        return spi_fail(SPI_EIO, "%s: cannot open: %s", path, strerror(errno));
    if (fseek(f, 0, SEEK_END) == 0)
        bytes = ftell(f);
    if (bytes < (long)(sizeof magic + 16)) {
        err = spi_fail(SPI_EFORMAT, "%s: %ld bytes; is not a state of a run", path, bytes);
        goto out;
    }
    rewind(f);
    SPI_TRY(err = SPI_NEW(s->data, bytes, "state"), out);
    s->bytes = (size_t)bytes;
    if (fread(s->data, 1, s->bytes, f) != s->bytes)
        err = spi_fail(SPI_EIO, "%s: cannot read: %s", path, strerror(errno));
out:
    fclose(f);
    return err;
}

/* A text at *at: its length or -1 if it runs over the end. */
static int64_t text_at(const struct spi_state *s, size_t *at, const char **text)
{
    uint64_t n;

    if (*at + sizeof n > s->bytes)
        return -1;
    memcpy(&n, s->data + *at, sizeof n);
    *at += sizeof n;
    if (n > s->bytes - *at)
        return -1;
    *text = s->data + *at;
    *at += n;
    return (int64_t)n;
}

static bool whole(const struct spi_state *s)
{
    uint64_t stored;
    uLong crc = crc32(0, NULL, 0);
    size_t body = s->bytes - sizeof stored;

    for (size_t done = 0; done < body;) {
        size_t n = body - done < (1u << 30) ? body - done : 1u << 30;

        crc = crc32(crc, (unsigned char *)s->data + done, (uInt)n);
        done += n;
    }
    memcpy(&stored, s->data + body, sizeof stored);
    return stored == crc;
}

static bool is_text(int64_t n, const char *text, const char *want)
{
    return n >= 0 && (size_t)n == strlen(want) && memcmp(text, want, (size_t)n) == 0;
}

/* n characters of a file, as far as they can be printed. */
static spi_err other_version(const struct spi_state *s, int64_t n, const char *text)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)(n < 60 ? n : 60), text);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    return spi_fail(SPI_EFORMAT,
                    "%s: was written by %s, and this is %s; resume with that "
                    "version, or begin anew with --force or in another directory",
                    s->path, name, program);
}

static spi_err check(struct spi_state *s, const char *key)
{
    static const char older[] = "another version of spinifel";
    const char *text;
    size_t at = sizeof magic;
    int64_t n;

    if (memcmp(s->data, magic, KIND) != 0)
        return spi_fail(SPI_EFORMAT, "%s: is not a state of a run", s->path);
    if (!whole(s))
        return spi_state_damaged(s->path, "the checksum is wrong");
    if (memcmp(s->data, magic, sizeof magic) != 0)
        return other_version(s, sizeof older - 1, older);
    n = text_at(s, &at, &text);
    if (n < 0)
        return spi_state_damaged(s->path, "it names no version");
    if (!is_text(n, text, program))
        return other_version(s, n, text);
    n = text_at(s, &at, &text);
    if (!is_text(n, text, key))
        return spi_fail(
            SPI_EFORMAT,
            "%s: belongs to a run of other images, settings or seed; give the same ones, "
            "or begin anew with --force or in another directory",
            s->path);
    s->items_at = at;
    return SPI_OK;
}

spi_err spi_state_damaged(const char *path, const char *what)
{
    return spi_fail(SPI_EFORMAT,
                    "%s: damaged: %s; begin anew with --force or in another directory",
                    path, what);
}

spi_err spi_state_read(const char *path, const char *key, struct spi_state **out)
{
    spi_err err;

    SPI_TRY(err = SPI_NEW(*out, 1, "state"), fail);
    snprintf((*out)->path, sizeof(*out)->path, "%s", path);
    SPI_TRY(err = load(path, *out), fail);
    SPI_TRY(err = check(*out, key), fail);
    return SPI_OK;
fail:
    spi_state_free(*out);
    *out = NULL;
    return err;
}

spi_err spi_state_get(const struct spi_state *s, const char *name, size_t bytes, void *to)
{
    size_t at = s->items_at, end = s->bytes - sizeof(uint64_t), len = strlen(name);

    while (at < end) {
        const char *text;
        int64_t n = text_at(s, &at, &text);
        uint64_t size;

        if (n < 0 || at + sizeof size > end)
            break;
        memcpy(&size, s->data + at, sizeof size);
        at += sizeof size;
        if (size > end - at)
            break;
        if ((size_t)n == len && memcmp(text, name, len) == 0) {
            if (size != bytes) {
                char what[128];

                snprintf(what, sizeof what, "'%s' has %llu bytes, not %zu", name,
                         (unsigned long long)size, bytes);
                return spi_state_damaged(s->path, what);
            }
            memcpy(to, s->data + at, bytes);
            return SPI_OK;
        }
        at += size;
    }
    char what[128];

    snprintf(what, sizeof what, "'%s' is missing", name);
    return spi_state_damaged(s->path, what);
}

void spi_state_free(struct spi_state *s)
{
    if (!s)
        return;
    free(s->data);
    free(s);
}
