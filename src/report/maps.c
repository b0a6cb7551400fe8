/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/maps.h"

#include <stdio.h>

#include "base/version.h"
#include "io/mrc.h"

static spi_err write_map(const struct spi_report *r, const char *path,
                         const struct spi_volume *v, const char *what)
{
    char label[3][81];
    const char *labels[4] = {label[0], label[1], label[2], NULL};

    snprintf(label[0], sizeof label[0], "SpiniFEL %s (%s): %s", SPI_VERSION, SPI_REVISION,
             what);
    snprintf(label[1], sizeof label[1], "seed %llu, %lld images, diameter %.1f A",
             (unsigned long long)r->seed, (long long)r->n_images, r->diameter_A);
    snprintf(label[2], sizeof label[2],
             "settings and input hashes: settings.toml, run.json");
    return spi_mrc_write(path, v, labels);
}

spi_err spi_report_half1(const struct spi_report *r, const char *path)
{
    return write_map(r, path, &r->result->half[0], "density, half set 1");
}

spi_err spi_report_half2(const struct spi_report *r, const char *path)
{
    return write_map(r, path, &r->result->half[1],
                     "density, half set 2 superposed on half 1");
}

spi_err spi_report_autocorrelation(const struct spi_report *r, const char *path)
{
    return write_map(r, path, &r->result->A, "autocorrelation of all images");
}

spi_err spi_report_intensity(const struct spi_report *r, const char *path)
{
    return write_map(r, path, &r->result->W, "intensity; voxel in 1/A, not A");
}

spi_err spi_report_density(const struct spi_report *r, const char *path)
{
    return write_map(r, path, &r->result->density,
                     "electron density, mean of the half sets");
}

spi_err spi_report_orientations(const struct spi_report *r, const char *path)
{
    return spi_orientations_write(path, &r->result->orientations, r->provenance);
}
