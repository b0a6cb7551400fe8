/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the commands share that read structures.  Layer: app. */
#ifndef SPI_APP_STRUCTURE_H
#define SPI_APP_STRUCTURE_H

#include "app/cmd.h"

/** Row of the option --models, for a struct that has a `const char *` named `member`. */
#define SPI_MODELS_OPT(T, member)                                                          \
    {                                                                                      \
        0, "models", SPI_TEXT(T, member), 0, 0, "all|N",                                   \
            "models of a structure: all, as of an assembly that is written as models, or " \
            "that of number N",                                                            \
            .absent = "the first"                                                          \
    }

/** Its value for spi_structure_options.models; text NULL: not given.  SPI_EUSAGE. */
SPI_MUSTUSE spi_err spi_models_from_text(const struct spi_call *call, const char *text,
                                         int *models);

#endif
