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

enum { SPI_MATCHING_TASKS = 64 };

/** At most n tasks are in flight; task i adds to partial i mod n, which no other task has.
 */
struct spi_matching_partials {
    struct spi_graph *g;
    int n;
    char place[SPI_MATCHING_TASKS];
    struct spi_region *region[SPI_MATCHING_TASKS];
};

/** Make two regions a worker, SPI_MATCHING_TASKS at most. */
SPI_MUSTUSE spi_err spi_matching_partials_init(struct spi_matching_partials *s,
                                               struct spi_graph *g);
/** Waits for the tasks. */
void spi_matching_partials_clear(struct spi_matching_partials *s);

#endif
