/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where a file comes from: program, command line, settings, fingerprints of the inputs.
 * Layer: app. */
#ifndef SPI_APP_PROVENANCE_H
#define SPI_APP_PROVENANCE_H

#include <jansson.h>

#include "app/cmd.h"
#include "io/images.h"

/** An input file of a command and what it was for ("images", "model" ...). */
struct spi_input {
    const char *role, *path;
    const struct spi_images *images; /* NULL: the bytes of the file alone; else what these
                                      * open images are read from (spi_images_sha256) */
    char sha256[65];                 /* filled by spi_inputs_hash */
};

/** Fingerprints of all inputs.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_inputs_hash(int n, struct spi_input *input);

/** One JSON object: program, version, revision, command, options as given, inputs, settings
 *  (NULL: none) and `numbers` (what the command worked out; NULL: nothing; borrowed).
 *  *text: free(). */
SPI_MUSTUSE spi_err spi_provenance(const struct spi_call *call, int n,
                                   const struct spi_input *input,
                                   const struct spi_settings *set, json_t *numbers,
                                   char **text);

enum { SPI_LABELS_MAX = 10 };
/** Labels of a map: program and command, the lines of `fmt`, then one line per input with
 * its fingerprint. */
struct spi_labels {
    char text[SPI_LABELS_MAX][81];
    const char *line[SPI_LABELS_MAX + 1]; /* for spi_mrc_write */
};
/** Fill `l`: n inputs; `fmt` makes the lines between, separated by newlines. */
__attribute__((format(printf, 5, 6))) void
spi_labels_make(struct spi_labels *l, const struct spi_call *call, int n,
                const struct spi_input *input, const char *fmt, ...);

/** A file name as JSON; bytes that are no UTF-8 are escaped as in base/text.h. */
json_t *spi_json_name(const char *text);

#endif
