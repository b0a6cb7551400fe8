/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Results on standard output.  Layer: app. */
#ifndef SPI_APP_PRINT_H
#define SPI_APP_PRINT_H

#include <jansson.h>

#include "base/error.h"

/** Print a JSON value on lines of its own; `value` is released (NULL: SPI_ENOMEM). */
SPI_MUSTUSE spi_err spi_print_json_take(json_t *value);

/** A finite number as JSON, null otherwise (JSON knows no NaN and no infinity). */
json_t *spi_json_number(double v);

#endif
