#include "app/print.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jansson escapes control characters below the blank.  DEL and those of U+0080 to U+009F,
 * which stand only in strings, are escaped here: a terminal may obey them. */
static int put_json(const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];
        bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;

        if ((c1 || c == 127 ? printf("\\u%04x", c1 ? next : c) : putchar(c)) < 0)
            return -1;
        p += c1;
    }
    return putchar('\n') == EOF;
}

spi_err spi_print_json_take(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    int failed;

    json_decref(value);
    if (!text)
        return spi_fail(SPI_ENOMEM, "JSON: out of memory");
    failed = put_json(text);
    free(text);
    return failed ? spi_fail(SPI_EIO, "standard output: %s", strerror(errno)) : SPI_OK;
}

json_t *spi_json_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}
