/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A sheet to draw on: a cairo image at twice the resolution, text, PNG.  Layer: plot.
 *
 * Coordinates are logical pixels, y down; the file has SPI_CANVAS_SCALE times as many. Text
 * is UTF-8; bytes that are not are shown as '?'.  Without any font installed cairo draws
 * ASCII with built-in strokes; then other characters are replaced. */
#ifndef SPI_PLOT_CANVAS_H
#define SPI_PLOT_CANVAS_H

#include <cairo.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { SPI_CANVAS_SCALE = 2 };

/** Colours of the furniture. */
enum {
    SPI_INK = 0x202020,
    SPI_SOFT = 0x606060,
    SPI_FAINT = 0xe6e6e6,
    SPI_WHITE = 0xffffff
};

/** Sizes of text. */
#define SPI_TEXT_TITLE 16.0
#define SPI_TEXT_LABEL 13.0
#define SPI_TEXT_TICK  11.5

enum spi_align { SPI_LEFT, SPI_CENTRE, SPI_RIGHT };

struct spi_canvas {
    double width, height;
    cairo_surface_t *surface; /* owned */
    cairo_t *cr;              /* owned */
    bool ascii;               /* no font: only cairo's built-in strokes */
};

/** A white sheet.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_canvas_init(struct spi_canvas *c, double width, double height);
/** Release what the struct owns. */
void spi_canvas_clear(struct spi_canvas *c);

/** Write the sheet as PNG, atomically.  SPI_EIO, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_canvas_write(struct spi_canvas *c, const char *path);

/** Set the colour (0xRRGGBB) and the opacity of what is drawn next. */
void spi_canvas_colour(struct spi_canvas *c, uint32_t rgb, double alpha);
/** Draw a line of this width. */
void spi_canvas_line(struct spi_canvas *c, double x0, double y0, double x1, double y1,
                     double width);

/** Text with its base line at y.  NULL and "" draw nothing.  What follows '^' up to a space
 *  is raised when `raise` is true. */
struct spi_text {
    double size;
    enum spi_align align;
    bool bold, raise;
    double max_width; /* 0: any; else made smaller, down to 8, and then cut with "..." */
};
/** Draw text at (x, y). */
void spi_canvas_text(struct spi_canvas *c, double x, double y, const struct spi_text *how,
                     const char *text);
/** The same, rotated to read upwards. */
void spi_canvas_text_up(struct spi_canvas *c, double x, double y,
                        const struct spi_text *how, const char *text);
/** The width that spi_canvas_text takes for this text. */
double spi_canvas_text_width(struct spi_canvas *c, const struct spi_text *how,
                             const char *text);

/** A note in a white box in the middle of (x, y): why there is nothing to see. */
void spi_canvas_note(struct spi_canvas *c, double x, double y, const char *text);

/** Title and the small line under it, in the middle of the sheet; returns the y below. */
double spi_canvas_title(struct spi_canvas *c, const char *title, const char *note);

#endif
