/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Standard output that a terminal may see.  Layer: app. */
#ifndef SPI_APP_OUTPUT_H
#define SPI_APP_OUTPUT_H

/** From here on what is printed on stdout passes a filter: control characters but line feed
 * and tab, and bytes that are no UTF-8, come out escaped (base/text.h), for names, labels
 * and values of files may hold what a terminal would obey.  Once, before anything is
 * printed.  Without memory nothing can be printed safely: the process ends with exit
 * code 1. */
void spi_output_guard(void);

#endif
