/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/structure.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/atoms.h"

spi_err spi_models_from_text(const struct spi_call *call, const char *text, int *models)
{
    char *end;
    long n;

    *models = 0;
    if (!text)
        return SPI_OK;
    *models = SPI_MODELS_ALL;
    if (strcmp(text, "all") == 0)
        return SPI_OK;
    errno = 0;
    n = strtol(text, &end, 10);
    if (end == text || *end || errno || n < 1 || n > INT_MAX)
        return spi_call_fail(call, "models", "'%s'; need 'all' or a number from 1", text);
    *models = (int)n;
    return SPI_OK;
}
