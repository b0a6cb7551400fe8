/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Maps and orientations of a result.  Layer: report.  doc/formats.md, "Files of a run
 * directory". */
#ifndef SPI_REPORT_MAPS_H
#define SPI_REPORT_MAPS_H

#include "report/report.h"

SPI_MUSTUSE spi_report_fn spi_report_half1;
SPI_MUSTUSE spi_report_fn spi_report_half2;
SPI_MUSTUSE spi_report_fn spi_report_autocorrelation;
SPI_MUSTUSE spi_report_fn spi_report_intensity;
SPI_MUSTUSE spi_report_fn spi_report_density;
SPI_MUSTUSE spi_report_fn spi_report_orientations;

#endif
