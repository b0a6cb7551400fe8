#include "app/print.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

spi_err spi_print_json_take(json_t *value)
{
    int failed;

    if (!value)
        return spi_fail(SPI_ENOMEM, "JSON: out of memory");
    failed = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) ||
             putchar('\n') == EOF;
    json_decref(value);
    return failed ? spi_fail(SPI_EIO, "standard output: %s", strerror(errno)) : SPI_OK;
}

json_t *spi_json_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}
