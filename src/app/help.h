/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Everything that is made from the option tables: help, man pages, shell completion.
 * Layer: app. */
#ifndef SPI_APP_HELP_H
#define SPI_APP_HELP_H

#include <stdio.h>

#include "app/cmd.h"

/** `spinifel --help`: what the program is and its commands. */
void spi_help_program(const struct spi_program *p, FILE *to);
/** `spinifel SUB --help`. */
void spi_help_cmd(const struct spi_program *p, const struct spi_cmd *cmd, FILE *to);
/** The default of an option as text ("" if it has none): "[3 A]" without the brackets. */
void spi_opt_default_text(const struct spi_cmd *cmd, const struct spi_opt *opt, char *out,
                          size_t size);

/** Man pages in mdoc: `page` is "spinifel" (the program), a command's name, or
 *  "spinifel.toml" (section 5).  SPI_EUSAGE: no such page. */
SPI_MUSTUSE spi_err spi_man_page(const struct spi_program *p, const char *page, FILE *to);

/** Completion for bash. */
void spi_completion_bash(const struct spi_program *p, FILE *to);

#endif
