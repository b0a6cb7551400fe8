/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Progress: one line that is redrawn on a terminal, plain lines of log elsewhere.
 * Layer: app.
 *
 *     spi_progress_begin("matching", 3000, "images");
 *     spi_progress_generation(7, 80);                  // optional
 *     spi_progress_update(512, "q_max 0.04 1/A");       // often, from any thread
 *     spi_progress_end();
 *
 *     matching  gen 7/80 [======>             ]  17 %  410 images/s  6 s  q_max 0.04 1/A
 *
 * On a terminal (standard error) the line is redrawn at most 10 times a second, fits its
 * width, uses block characters if the locale is UTF-8, and a line of base/log.h goes above
 * it.  Elsewhere a line is logged at the end of a stage that took more than a second, and
 * every 30 s in long ones.  --quiet: nothing.
 *
 * There is one terminal, so there is one bar: the state is that of the process. */
#ifndef SPI_APP_PROGRESS_H
#define SPI_APP_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

/** Begin a stage of `total` units (0: unknown, no percentage) named `unit`, e.g. "images"
 *  ("": only the share matters, no rate).  Ends the stage before. */
void spi_progress_begin(const char *stage, int64_t total, const char *unit);
/** The stage goes on where `done` units are done already: they do not count in the rate. */
void spi_progress_from(int64_t done);
/** Generation shown beside the stage until changed; of = 0: the number alone; number < 0:
 *  none. */
void spi_progress_generation(int number, int of);
/** `done` of `total` are done; `text` (may be NULL) is shown after the bar. */
void spi_progress_update(int64_t done, const char *text);
/** End the stage: the bar disappears.  Without a stage: nothing happens. */
void spi_progress_end(void);

/** What the bar shows; the part that can be tested without a terminal. */
struct spi_progress_view {
    const char *stage, *unit, *text;
    int generation, generations; /* generation < 0: none */
    int64_t from, done, total;   /* from: done when the stage began */
    double elapsed_s;
    int width; /* of the terminal, columns */
    int utf8;
};
/** The line, at most view->width - 1 columns wide, without an end of line. */
void spi_progress_line(const struct spi_progress_view *view, char *out, size_t size);

#endif
