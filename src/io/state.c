/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE /* memmem */
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
static const char older[] = "another version of spinifel";

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
static void program_text(int64_t n, const char *text, char name[SPI_STATE_PROGRAM_MAX])
{
    snprintf(name, SPI_STATE_PROGRAM_MAX, "%.*s", (int)(n < 60 ? n : 60), text);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
}

static spi_err other_version(const struct spi_state *s, int64_t n, const char *text)
{
    char name[SPI_STATE_PROGRAM_MAX];

    program_text(n, text, name);
    return spi_fail(SPI_EFORMAT,
                    "%s: was written by %s, and this is %s; resume with that "
                    "version, or begin anew with --force or in another directory",
                    s->path, name, program);
}

/* ---- keys --------------------------------------------------------------------------- */

/* The whole line is the name where it has no value. */
bool spi_state_key_next(const char **at, const char *end, struct spi_state_key_line *l)
{
    while (*at < end) {
        const char *from = *at, *to = memchr(from, '\n', (size_t)(end - from)), *p;

        to = to ? to : end;
        *at = to < end ? to + 1 : end;
        if (from == to)
            continue;
        if (*from == '[') {
            l->section = from + 1;
            l->n_section = (int)(to - from) - 2;
            continue;
        }
        p = memmem(from, (size_t)(to - from), " = ", 3);
        l->name = from;
        l->n_name = (int)((p ? p : to) - from);
        l->value = p ? p + 3 : to;
        p = memmem(l->value, (size_t)(to - l->value), "  # ", 4);
        l->n_value = (int)((p ? p : to) - l->value);
        return true;
    }
    return false;
}

/* "NAME is A there and B here" of each line that differs. */
static void differences(const char *there, size_t n, const char *here, char *text,
                        size_t size)
{
    const char *ends[2] = {there + n, here + strlen(here)};
    struct spi_state_key_line a = {0}, b = {0};
    size_t at = 0;

    *text = 0;
    while (spi_state_key_next(&there, ends[0], &a) &&
           spi_state_key_next(&here, ends[1], &b)) {
        bool same_name = a.n_name == b.n_name && !memcmp(a.name, b.name, (size_t)a.n_name);

        if (!same_name || at + 1 >= size)
            return;
        if (a.n_value != b.n_value || memcmp(a.value, b.value, (size_t)a.n_value) != 0)
            at += (size_t)snprintf(
                text + at, size - at, "%s%.*s%s%.*s is %.*s there and %.*s here",
                at ? ", " : ": ", a.n_section, a.section ? a.section : "",
                a.section ? "." : "", a.n_name, a.name, a.n_value, a.value, b.n_value,
                b.value);
    }
}

/* What needs no key: is it a state, whole, and of which program?  *at: behind the program's
 * text; n = -1: of an earlier form, which names no program that is known here. */
static spi_err check_form(const struct spi_state *s, size_t *at, int64_t *n,
                          const char **text)
{
    *at = sizeof magic;
    *n = -1;
    if (memcmp(s->data, magic, KIND) != 0)
        return spi_fail(SPI_EFORMAT, "%s: is not a state of a run", s->path);
    if (!whole(s))
        return spi_state_damaged(s->path, "the checksum is wrong");
    if (memcmp(s->data, magic, sizeof magic) != 0)
        return SPI_OK;
    *n = text_at(s, at, text);
    return *n < 0 ? spi_state_damaged(s->path, "it names no version") : SPI_OK;
}

static spi_err check(struct spi_state *s, const char *key)
{
    const char *text;
    size_t at;
    int64_t n;
    spi_err err = check_form(s, &at, &n, &text);

    if (err)
        return err;
    if (n < 0)
        return other_version(s, sizeof older - 1, older);
    if (!is_text(n, text, program))
        return other_version(s, n, text);
    n = text_at(s, &at, &text);
    if (!is_text(n, text, key)) {
        char which[SPI_MESSAGE_MAX / 2];

        differences(text, n < 0 ? 0 : (size_t)n, key, which, sizeof which);
        return spi_fail(
            SPI_EINVAL,
            "%s: belongs to a run of other images, settings or seed%s; give the same ones, "
            "or begin anew with --force or in another directory",
            s->path, which);
    }
    s->items_at = at;
    return SPI_OK;
}

bool spi_state_is(const void *head, size_t n)
{
    return n >= KIND && memcmp(head, magic, KIND) == 0;
}

spi_err spi_state_about(const char *path, struct spi_state_about *out)
{
    struct spi_state s = {0};
    const char *text = NULL;
    size_t at;
    int64_t n;
    spi_err err;

    *out = (struct spi_state_about){.generation = -1};
    snprintf(s.path, sizeof s.path, "%s", path);
    SPI_TRY(err = load(path, &s), out);
    SPI_TRY(err = check_form(&s, &at, &n, &text), out);
    program_text(n < 0 ? (int64_t)sizeof older - 1 : n, n < 0 ? older : text, out->program);
    out->ours = is_text(n, text, program);
    if (!out->ours)
        goto out;
    n = text_at(&s, &at, &text);
    if (n < 0) {
        err = spi_state_damaged(path, "it has no key");
        goto out;
    }
    SPI_TRY(err = SPI_NEW(out->key, n + 1, "state"), out);
    memcpy(out->key, text, (size_t)n);
    s.items_at = at;
    err = spi_state_get(&s, SPI_STATE_GENERATION, sizeof out->generation, &out->generation);
out:
    free(s.data);
    if (err)
        spi_state_about_clear(out);
    return err;
}

void spi_state_about_clear(struct spi_state_about *a)
{
    free(a->key);
    *a = (struct spi_state_about){0};
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
