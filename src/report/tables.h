/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Tables of a result, as CSV.  Layer: report.  doc/formats.md, "Files of a run directory".
 */
#ifndef SPI_REPORT_TABLES_H
#define SPI_REPORT_TABLES_H

#include "report/report.h"

/** fsc.csv: the half maps and their intensities, a line each shell. */
SPI_MUSTUSE spi_report_fn spi_report_fsc_table;
/** images.csv: structure in the images and in the model, a line each shell of the detector.
 */
SPI_MUSTUSE spi_report_fn spi_report_images_table;
/** lcurve.csv: spi_table_lcurve of half 1. */
SPI_MUSTUSE spi_report_fn spi_report_lcurve_table;

/** A line each lambda.  SPI_EIO, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_table_lcurve(const struct spi_merging_lcurve *c, const char *path);

#endif
