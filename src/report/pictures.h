/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Pictures of images and results (PNG).  Layer: report.  Errors: those of plot/plot.h. */
#ifndef SPI_REPORT_PICTURES_H
#define SPI_REPORT_PICTURES_H

#include "report/report.h"

/** The mean of images [n_pixels], pixels of the detector in their places. */
SPI_MUSTUSE spi_err spi_picture_mean_image(const struct spi_detector *det,
                                           enum spi_image_kind kind, const float *mean,
                                           const char *path);
/** Why pixels are not used: reason[n_pixels], enum spi_pixel_reason (io/survey.h). */
SPI_MUSTUSE spi_err spi_picture_mask(const struct spi_detector *det, const uint8_t *reason,
                                     const char *path);
/** Mean intensity and its standard deviation on each ring of the images. */
SPI_MUSTUSE spi_err spi_picture_radial(const struct spi_data *d, const char *path);
/** The L-curve, its chosen point marked. */
SPI_MUSTUSE spi_err spi_picture_lcurve(const struct spi_merging_lcurve *c, const char *path,
                                       const char *title);
/** View directions: their density on the sphere. */
SPI_MUSTUSE spi_err spi_picture_coverage(const struct spi_coverage *c, int64_t n_images,
                                         const char *path);

SPI_MUSTUSE spi_report_fn spi_report_coverage_picture;
SPI_MUSTUSE spi_report_fn spi_report_fsc_picture;
/** Examples of the images that made the map, and of each reason why others did not. */
SPI_MUSTUSE spi_report_fn spi_report_images_picture;
SPI_MUSTUSE spi_report_fn spi_report_lcurve_picture;
SPI_MUSTUSE spi_report_fn spi_report_density_picture;

#endif
