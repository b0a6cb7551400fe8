/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"

static int level = SPI_LOG_NORMAL;
static void (*hook)(void);

void spi_log_set_level(int new_level)
{
    level = new_level;
}

int spi_log_level(void)
{
    return level;
}

void spi_log_set_hook(void (*before_line)(void))
{
    hook = before_line;
}

__attribute__((format(printf, 2, 0))) static void line(const char *prefix, const char *fmt,
                                                       va_list ap)
{
    char raw[SPI_MESSAGE_RAW], text[SPI_MESSAGE_MAX];

    vsnprintf(raw, sizeof raw, fmt, ap);
    spi_text_shorten(raw, sizeof text);
    spi_text_printable(raw, text, sizeof text); /* it may hold names from files */
    if (hook)
        hook();
    fprintf(stderr, "%s%s\n", prefix, text); /* one call: lines of threads do not mix */
}

void spi_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line("spinifel: warning: ", fmt, ap);
    va_end(ap);
}

void spi_info(const char *fmt, ...)
{
    va_list ap;

    if (level < SPI_LOG_NORMAL)
        return;
    va_start(ap, fmt);
    line("", fmt, ap);
    va_end(ap);
}

void spi_verbose(const char *fmt, ...)
{
    va_list ap;

    if (level < SPI_LOG_VERBOSE)
        return;
    va_start(ap, fmt);
    line("", fmt, ap);
    va_end(ap);
}

double spi_now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
