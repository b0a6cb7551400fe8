/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The files of a run's directory: the one list that writes, moves and removes them and with
 * which documents and tests are compared.  Layer: report.
 *
 * A new result: a function of type spi_report_fn, a row in run_files.c, a row in
 * doc/formats.d/run.md. */
#ifndef SPI_REPORT_RUN_FILES_H
#define SPI_REPORT_RUN_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "report/report.h"

/** When a file is written, and what becomes of it when another run begins in the directory.
 */
enum spi_run_file_kind {
    SPI_FILE_RESULT,   /* at the end, all in one go; --resume and --force move it to
                        * previous/ */
    SPI_FILE_PROGRESS, /* of the images, and after each generation; --resume keeps it,
                        * --force moves it */
    SPI_FILE_ORIGIN,   /* says which run the other files belong to; both move it, last */
    SPI_FILE_PRIVATE   /* of the process that runs; it is nobody's result and never moves */
};

/** How files of other programs are told from those of this one: the bytes from `at` on. */
struct spi_run_file_mark {
    size_t at, n;
    const char *bytes; /* [n], NULL: any file of this name is taken for ours */
    bool grows;        /* a full disk may have cut them short */
};

struct spi_run_file {
    const char *name; /* NULL ends the list */
    enum spi_run_file_kind kind;
    spi_report_fn *write; /* of results; the others are written as the run goes on */
    struct spi_run_file_mark mark;
};

/** Each kind in the order in which its files are written and moved.  density.mrc is the
 * last of the results: who finds it finds all of them. */
extern const struct spi_run_file spi_run_files[];

/** The next file of a kind; NULL as `after`: the first.  NULL: there is none. */
const struct spi_run_file *spi_run_file_next(enum spi_run_file_kind kind,
                                             const struct spi_run_file *after);

/** How settings.toml begins. */
#define SPI_SETTINGS_HEAD "# spinifel "

/** All results of r into `dir`. */
SPI_MUSTUSE spi_err spi_run_files_write(const struct spi_report *r, const char *dir);

#endif
