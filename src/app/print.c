/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/print.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Jansson escapes control characters below the blank.  Others that spi_text_character
 * refuses stand only in strings, and are escaped here: a terminal may obey them. */
static int put_json(const char *text)
{
    for (const char *p = text; *p; p++) {
        const unsigned char *u = (const unsigned char *)p;
        int bytes = *u < 0x80 ? 1 : *u < 0xe0 ? 2 : *u < 0xf0 ? 3 : 4;
        bool shown = *p == '\n' || spi_text_character(p, strlen(p)) > 0;
        unsigned code = bytes == 1 ? *u
                        : bytes == 2
                            ? (*u & 0x1fU) << 6 | (u[1] & 0x3fU)
                            : (*u & 0xfU) << 12 | (u[1] & 0x3fU) << 6 | (u[2] & 0x3fU);

        if (shown || bytes == 4) { /* what is refused of valid UTF-8 has three at most */
            if (fwrite(p, 1, (size_t)bytes, stdout) != (size_t)bytes)
                return -1;
        } else if (printf("\\u%04x", code) < 0)
            return -1;
        p += bytes - 1;
    }
    return putchar('\n') == EOF;
}

spi_err spi_print_json_take(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    int failed;

    json_decref(value);
    if (!text)
        return spi_no_memory("JSON", 0);
    failed = put_json(text);
    free(text);
    return failed ? spi_fail(SPI_EIO, "standard output: %s", strerror(errno)) : SPI_OK;
}

json_t *spi_json_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}
