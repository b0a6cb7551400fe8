/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

static _Thread_local char message[SPI_MESSAGE_MAX];

const char *spi_err_text(spi_err err)
{
    static const char *const text[] = {
#define X(name, txt) [name] = txt,
        SPI_ERR_LIST(X)
#undef X
    };

    if ((unsigned)err >= sizeof text / sizeof *text)
        return "unknown error";
    return text[err];
}

/* Names and values of files may stand in a message: what a terminal would obey is escaped.
 */
static void store(const char *fmt, va_list ap)
{
    char raw[SPI_MESSAGE_RAW];

    vsnprintf(raw, sizeof raw, fmt, ap);
    spi_text_shorten(raw, sizeof message);
    spi_text_printable(raw, message, sizeof message);
}

spi_err spi_fail(spi_err err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    store(fmt, ap);
    va_end(ap);
    return err;
}

void spi_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    store(fmt, ap);
    va_end(ap);
}

const char *spi_err_message(void)
{
    return message;
}
