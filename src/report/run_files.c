/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/run_files.h"

#include <stdio.h>

#include "io/file.h"
#include "plot/plot.h"
#include "report/maps.h"
#include "report/pictures.h"
#include "report/tables.h"

/* clang-format off */
#define TEXT(text)     {0, sizeof text - 1, text, false}
#define TEXT_CUT(text) {0, sizeof text - 1, text, true}
#define PICTURE        {SPI_PNG_MARK_AT + 4, sizeof SPI_PNG_MARK - 1, SPI_PNG_MARK, false}
#define NONE           {0, 0, NULL, false}

/* tools/run_files.sh reads the first two columns. */
const struct spi_run_file spi_run_files[] = {
    {"half1.mrc",           SPI_FILE_RESULT,   spi_report_half1,            NONE},
    {"half2.mrc",           SPI_FILE_RESULT,   spi_report_half2,            NONE},
    {"autocorrelation.mrc", SPI_FILE_RESULT,   spi_report_autocorrelation,  NONE},
    {"intensity.mrc",       SPI_FILE_RESULT,   spi_report_intensity,        NONE},
    {"orientations.h5",     SPI_FILE_RESULT,   spi_report_orientations,     NONE},
    {"coverage.png",        SPI_FILE_RESULT,   spi_report_coverage_picture, NONE},
    {"fsc.csv",             SPI_FILE_RESULT,   spi_report_fsc_table,        NONE},
    {"images.csv",          SPI_FILE_RESULT,   spi_report_images_table,     NONE},
    {"images.png",          SPI_FILE_RESULT,   spi_report_images_picture,   NONE},
    {"fsc.png",             SPI_FILE_RESULT,   spi_report_fsc_picture,      NONE},
    {"lcurve.png",          SPI_FILE_RESULT,   spi_report_lcurve_picture,   NONE},
    {"lcurve.csv",          SPI_FILE_RESULT,   spi_report_lcurve_table,     NONE},
    {"density.png",         SPI_FILE_RESULT,   spi_report_density_picture,  NONE},
    {"density.mrc",         SPI_FILE_RESULT,   spi_report_density,          NONE},
    {"state.bin",           SPI_FILE_PROGRESS, NULL, NONE},
    {"metrics.jsonl",       SPI_FILE_PROGRESS, NULL, TEXT_CUT("{\"generation\":")},
    {"mean_image.png",      SPI_FILE_PROGRESS, NULL, PICTURE},
    {"radial.png",          SPI_FILE_PROGRESS, NULL, PICTURE},
    {"mask.h5",             SPI_FILE_PROGRESS, NULL, NONE},
    {"mask.png",            SPI_FILE_PROGRESS, NULL, PICTURE},
    {"settings.toml",       SPI_FILE_ORIGIN,   NULL, TEXT(SPI_SETTINGS_HEAD)},
    {"run.json",            SPI_FILE_ORIGIN,   NULL, TEXT("{\n \"program\": \"spinifel\",")},
    {"rings.bin",           SPI_FILE_PRIVATE,  NULL, NONE},
    {".lock",               SPI_FILE_PRIVATE,  NULL, NONE},
    {NULL,                  SPI_FILE_PRIVATE,  NULL, NONE},
};
/* clang-format on */

const struct spi_run_file *spi_run_file_next(enum spi_run_file_kind kind,
                                             const struct spi_run_file *after)
{
    const struct spi_run_file *f = after ? after + 1 : spi_run_files;

    while (f->name && f->kind != kind)
        f++;
    return f->name ? f : NULL;
}

spi_err spi_run_files_write(const struct spi_report *r, const char *dir)
{
    char path[SPI_PATH_MAX];
    spi_err err = SPI_OK;

    for (const struct spi_run_file *f = spi_run_file_next(SPI_FILE_RESULT, NULL); f && !err;
         f = spi_run_file_next(SPI_FILE_RESULT, f)) {
        snprintf(path, sizeof path, "%s/%s", dir, f->name);
        err = f->write(r, path);
    }
    return err;
}
