/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Pictures (PNG, written atomically, two pixels for each logical one).  Layer: plot.
 *
 * Text is UTF-8.  Data without a single finite value, or all equal, still give a picture,
 * which says so; numbers beyond 1e100 count as not finite.  Errors of all functions:
 * SPI_EINVAL (stated below), SPI_EIO (the file cannot be written), SPI_ENOMEM. */
#ifndef SPI_PLOT_PLOT_H
#define SPI_PLOT_PLOT_H

#include <stdbool.h>

#include "math/sphere.h"
#include "math/volume.h"

/** Every picture says that this program made it: these bytes (type, name and text of a
 * chunk) follow its header, behind their length. */
#define SPI_PNG_MARK "tEXtSoftware\0spinifel"
enum { SPI_PNG_MARK_AT = 33 };

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
/** 720 x 470 logical pixels.  On logarithmic axes points that are not positive are left out
 *  like NaN.  The legend lists the curves that have a name.  SPI_EINVAL: a negative count,
 *  points without numbers, y_min or y_max not finite or (log_y) not positive. */
SPI_MUSTUSE spi_err spi_plot_curves(const char *path, const struct spi_plot *p);

/** Three central slices (xy, xz, yz; the second axis upwards) side by side on one colour
 *  scale from the least to the largest value in them, with a scale bar in A (step <= 0:
 * none). `unit` of the values may be NULL.  Voxels that are not finite are grey.
 * SPI_EINVAL: no voxels. */
SPI_MUSTUSE spi_err spi_plot_slices(const char *path, const struct spi_volume *v,
                                    const char *title, const char *unit);
/** A picture of a 2-D array [rows][cols], row 0 on top, with a perceptual colour scale;
 *  logarithmic over `decades` below the largest value when decades > 0 (smaller values have
 *  the darkest colour).  Pixels that are not finite are grey.  Arrays of more than 960
 * pixels a side are shown as means over blocks.  SPI_EINVAL: no pixels, decades not finite.
 */
SPI_MUSTUSE spi_err spi_plot_image(const char *path, int rows, int cols, const float *z,
                                   double decades, const char *title);

/** Values on patches of the sphere (value: [patches->n]) in Mollweide's projection, which
 *  keeps areas: +z above, +x in the middle.  The colour scale begins at 0.  `unit` names
 * the values; `note`: a small line under the title. */
SPI_MUSTUSE spi_err spi_plot_sphere(const char *path, const struct spi_patches *patches,
                                    const float *value, const char *title, const char *note,
                                    const char *unit);

#endif
