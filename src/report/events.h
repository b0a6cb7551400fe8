/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Words of what happens in a run (mtip/event.h).  Layer: report. */
#ifndef SPI_REPORT_EVENTS_H
#define SPI_REPORT_EVENTS_H

#include <stddef.h>

#include "mtip/event.h"

/** One line of text of at most `size` bytes; true: it warns of something that the user
 * should look at. */
bool spi_event_words(const struct spi_event *e, char *text, size_t size);

#endif
