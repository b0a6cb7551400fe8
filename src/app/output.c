/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE /* fopencookie */
#include "app/output.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/text.h"

enum { OUT_BYTES = 4096, CHARACTER_MAX = 4 };

/* The one stdout of the process. */
static struct {
    char rest[CHARACTER_MAX]; /* the beginning of a character that the next bytes end */
    size_t n_rest;
    char out[OUT_BYTES];
    size_t n_out;
} filter;

static bool send(void)
{
    for (size_t at = 0; at < filter.n_out;) {
        ssize_t n = write(STDOUT_FILENO, filter.out + at, filter.n_out - at);

        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    filter.n_out = 0;
    return true;
}

static bool put(const char *text, size_t n)
{
    if (filter.n_out + n > OUT_BYTES && !send())
        return false;
    memcpy(filter.out + filter.n_out, text, n);
    filter.n_out += n;
    return true;
}

static bool put_escaped(char byte)
{
    char escape[SPI_ESCAPE_MAX];

    spi_text_escape(byte, escape);
    return put(escape, strlen(escape));
}

/* The kept bytes as far as they are whole characters. */
static bool pass_rest(void)
{
    while (filter.n_rest) {
        int n = spi_text_character(filter.rest, filter.n_rest);
        size_t used = n > 0 ? (size_t)n : 1;

        if (n < 0)
            return true;
        if (n > 0 || *filter.rest == '\n' || *filter.rest == '\t'
                ? !put(filter.rest, used)
                : !put_escaped(*filter.rest))
            return false;
        filter.n_rest -= used;
        memmove(filter.rest, filter.rest + used, filter.n_rest);
    }
    return true;
}

static ssize_t filter_write(void *unused, const char *text, size_t n)
{
    (void)unused;
    for (size_t i = 0; i < n; i++) {
        filter.rest[filter.n_rest++] = text[i];
        if (!pass_rest())
            return 0; /* as fopencookie asks for: an error, errno says which */
    }
    return send() ? (ssize_t)n : 0;
}

static int filter_close(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < filter.n_rest; i++)
        if (!put_escaped(filter.rest[i]))
            return -1;
    return send() ? close(STDOUT_FILENO) : -1;
}

void spi_output_guard(void)
{
    const cookie_io_functions_t io = {.write = filter_write, .close = filter_close};
    FILE *guarded = fopencookie(NULL, "w", io);

    if (!guarded ||
        setvbuf(guarded, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ) != 0)
        _exit(1);
    stdout = guarded; /* a variable in glibc */
}
