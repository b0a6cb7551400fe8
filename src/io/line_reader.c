/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/line_reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/h5_kind.h"

enum {
    CHUNK = 1 << 16,
    LINE_MAX_BYTES = 1 << 24,
    /* text of structures and tables shrinks by a factor of 3 to 20; up to FREE_BYTES nobody
     * is harmed by more */
    UNPACKED_MOST = 100,
    FREE_BYTES = 1 << 24
};

struct spi_line_reader {
    char *path;
    gzFile gz;
    char *chunk; /* [CHUNK], bytes used .. filled wait */
    size_t used, filled;
    char *line;
    int64_t length, capacity, number, unpacked;
    bool again, end, blanked, after_cr;
};

spi_err spi_line_reader_open(const char *path, struct spi_line_reader **out)
{
    struct spi_line_reader *l = NULL;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(l, 1, "lines"), fail);
    SPI_TRY(err = SPI_NEW(l->path, strlen(path) + 1, "lines"), fail);
    memcpy(l->path, path, strlen(path));
    SPI_TRY(err = SPI_NEW(l->chunk, CHUNK, "lines"), fail);
    errno = 0;
    l->gz = gzopen(path, "rb");
    if (!l->gz) {
        err = spi_fail(SPI_EIO, "%s: cannot be opened: %s", path,
                       errno ? strerror(errno) : "out of memory");
        goto fail;
    }
    *out = l;
    return SPI_OK;
fail:
    spi_line_reader_close(l);
    return err;
}

void spi_line_reader_close(struct spi_line_reader *l)
{
    if (!l)
        return;
    if (l->gz)
        gzclose(l->gz);
    free(l->path);
    free(l->chunk);
    free(l->line);
    free(l);
}

/* zlib reports a truncated gzip stream only after its good bytes were handed out. */
static spi_err refill(struct spi_line_reader *l)
{
    int got = gzread(l->gz, l->chunk, CHUNK), code = Z_OK;
    const char *text = gzerror(l->gz, &code);

    l->used = 0;
    l->filled = got > 0 ? (size_t)got : 0;
    l->unpacked += (int64_t)l->filled;

    z_off_t packed = gzoffset(l->gz); /* -1: a pipe */

    if (got > 0 && !gzdirect(l->gz) && l->unpacked > FREE_BYTES && packed >= 0 &&
        l->unpacked / UNPACKED_MOST > packed)
        return spi_fail(
            SPI_EFORMAT,
            "%s:%lld: the gzip file unpacks to more than %d times its size; not "
            "a structure or a table",
            l->path, (long long)l->number + 1, UNPACKED_MOST);
    if (got > 0)
        return SPI_OK;
    l->end = true;
    if (got == 0 && (code == Z_OK || code == Z_STREAM_END))
        return SPI_OK;
    if (code == Z_BUF_ERROR)
        return spi_fail(SPI_EIO, "%s:%lld: the gzip file is truncated here", l->path,
                        (long long)l->number + 1);
    return spi_fail(SPI_EIO, "%s:%lld: cannot be read: %s", l->path,
                    (long long)l->number + 1, code == Z_ERRNO ? strerror(errno) : text);
}

static spi_err append(struct spi_line_reader *l, const char *from, size_t n)
{
    int64_t need = l->length + (int64_t)n;
    void *p = l->line;

    if (need > LINE_MAX_BYTES)
        return spi_fail(SPI_EFORMAT, "%s:%lld: line longer than %d bytes; not a text file",
                        l->path, (long long)l->number + 1, LINE_MAX_BYTES);

    spi_err err = spi_grow(&p, 1, l->length, need + 1, &l->capacity, "line");

    l->line = p;
    if (err)
        return err;
    memcpy(l->line + l->length, from, n);
    l->length = need;
    l->line[need] = 0;
    return SPI_OK;
}

/* Gather bytes up to the next end of line: LF, CR, or CR LF, whose LF is skipped with the
 * next line.  *any is false at the end of the file. */
static spi_err gather(struct spi_line_reader *l, bool *any)
{
    spi_err err = append(l, "", 0);

    *any = false;
    while (!err) {
        if (l->used == l->filled) {
            err = l->end ? SPI_OK : refill(l);
            if (err || l->filled == 0)
                return err;
        }

        bool skip = l->after_cr && l->chunk[l->used] == '\n';

        l->used += skip;
        l->after_cr = false;
        if (skip)
            continue;

        const char *from = l->chunk + l->used;
        size_t n = l->filled - l->used;
        const char *lf = memchr(from, '\n', n), *cr;

        n = lf ? (size_t)(lf - from) : n;
        cr = memchr(from, '\r', n);
        n = cr ? (size_t)(cr - from) : n;
        *any = true;
        err = append(l, from, n);
        l->used += n + (lf || cr);
        l->after_cr = cr != NULL;
        if (lf || cr)
            return err;
    }
    return err;
}

/* A byte-order mark says UTF-8 and is no text; joined files have one in the middle. */
static spi_err drop_mark(struct spi_line_reader *l)
{
    if (l->length >= 3 && memcmp(l->line, "\xef\xbb\xbf", 3) == 0) {
        l->length -= 3;
        memmove(l->line, l->line + 3, (size_t)l->length + 1);
    }
    if (l->number == 1 && l->length >= 2 &&
        (memcmp(l->line, "\xff\xfe", 2) == 0 || memcmp(l->line, "\xfe\xff", 2) == 0))
        return spi_fail(SPI_EFORMAT, "%s: is text in UTF-16; save it as UTF-8", l->path);
    return SPI_OK;
}

/* Some programs write a chain that has no name as a NUL byte: in a line that is text
 * otherwise it is a blank.  Other control characters, or as many NULs as text: no text. */
static spi_err blank_nuls(struct spi_line_reader *l)
{
    int64_t nuls = 0, controls = 0;
    char hint[SPI_HINT_MAX];

    for (int64_t i = 0; i < l->length; i++) {
        unsigned char c = (unsigned char)l->line[i];

        nuls += c == 0;
        controls += c != 0 && c < ' ' && c != '\t' && c != '\f';
    }
    if (nuls == 0)
        return SPI_OK;
    if (controls > 0 || 4 * nuls > l->length)
        return spi_fail(SPI_EFORMAT, "%s:%lld: NUL byte; not a text file%s", l->path,
                        (long long)l->number, spi_h5_kind_hint(l->path, hint));
    for (int64_t i = 0; i < l->length; i++)
        if (l->line[i] == 0)
            l->line[i] = ' ';
    if (!l->blanked)
        spi_warn("%s:%lld: a NUL byte is read as a blank", l->path, (long long)l->number);
    l->blanked = true;
    return SPI_OK;
}

spi_err spi_line_reader_next(struct spi_line_reader *l, char **line, size_t *length)
{
    bool any = true;

    *line = NULL;
    *length = 0;
    if (!l->again) {
        l->length = 0;

        spi_err err = gather(l, &any);

        if (err || !any)
            return err;
        l->number++;
        err = drop_mark(l);
        if (!err)
            err = blank_nuls(l);
        if (err)
            return err;
    }
    l->again = false;
    *line = l->line;
    *length = (size_t)l->length;
    return SPI_OK;
}

void spi_line_reader_again(struct spi_line_reader *l)
{
    l->again = true;
}

int64_t spi_line_reader_number(const struct spi_line_reader *l)
{
    return l->number;
}

const char *spi_line_reader_path(const struct spi_line_reader *l)
{
    return l->path;
}
