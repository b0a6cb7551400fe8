/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the methods of matching share (app/matching.h).  Layer: app. */
#ifndef SPI_APP_MATCHING_PARTS_H
#define SPI_APP_MATCHING_PARTS_H

#include "app/matching.h"

/** Room for n images; the entropy only if asked for. */
SPI_MUSTUSE spi_err spi_matching_results_new(int64_t n, bool entropy,
                                             struct spi_orientations *o);
/** Images without signal lose their orientation, the mean fluence of the others becomes 1.
 */
SPI_MUSTUSE spi_err spi_matching_results_finish(const struct spi_matching *m,
                                                struct spi_orientations *o);

/** Tasks between two waits: after each the progress is told. */
enum { SPI_MATCHING_TASKS = 64 };

#endif
