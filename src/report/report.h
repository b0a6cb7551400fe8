/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of a result are made from.  Layer: report. */
#ifndef SPI_REPORT_REPORT_H
#define SPI_REPORT_REPORT_H

#include "mtip/finish.h"

struct spi_report {
    const struct spi_result *result; /* borrowed, as the next and `provenance` */
    struct spi_images *images;
    uint64_t seed;
    int64_t n_images; /* of both half sets */
    double diameter_A;
    const char *provenance; /* JSON: what run.json says */
};

/** Writes one file of a result.  SPI_EIO, SPI_ENOMEM. */
typedef spi_err spi_report_fn(const struct spi_report *r, const char *path);

#endif
