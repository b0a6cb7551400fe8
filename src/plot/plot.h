/** \file
 * Pictures (PNG, written atomically).  Layer: plot. */
#ifndef SPI_PLOT_PLOT_H
#define SPI_PLOT_PLOT_H

#include <stdbool.h>

#include "math/volume.h"

struct spi_curve {
    const char *name;
    int n;
    const double *x, *y; /* borrowed; NaN breaks the line */
    bool points;         /* markers instead of a line */
};

struct spi_plot {
    const char *title, *x_label, *y_label, *note; /* note: a small line under the title */
    bool log_x, log_y;
    const struct spi_curve *curves;
    int n_curves;
    const double *h_lines; /* dashed horizontal lines, with their value as label */
    int n_h_lines;
    bool x_is_q;         /* second axis on top: resolution 1/x in A */
    double y_min, y_max; /* equal: automatic */
};
SPI_MUSTUSE spi_err spi_plot_curves(const char *path, const struct spi_plot *p);

/** Three central slices (xy, xz, yz) side by side with a scale bar in A. */
SPI_MUSTUSE spi_err spi_plot_slices(const char *path, const struct spi_volume *v,
                                    const char *title, const char *unit);
/** A picture of a 2-D array [rows][cols] with a perceptual colour scale; logarithmic
 *  over `decades` below the largest value when decades > 0.  NaN pixels are grey. */
SPI_MUSTUSE spi_err spi_plot_image(const char *path, int rows, int cols, const float *z,
                                   double decades, const char *title);

#endif
