/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where images come from: a table of formats.  Layer: io; only images.c, info.c and the files
 * of formats know it.
 *
 * A new format is one file with one row, and its name in spi_source_formats[] (images.c).
 * What a format keeps of an open file is its own (`self`); what all formats have it fills
 * into a struct spi_source once.  Several threads may call the functions of a row: a format
 * locks what it must, as those of HDF5 do its one lock (h5_source.h).  What is checked of
 * positions, values and masks is checked by images.c, for all formats. */
#ifndef SPI_IO_SOURCE_H
#define SPI_IO_SOURCE_H

#include "io/images.h"
#include "io/peek.h"

struct spi_text {
    char *name, *value; /* owned */
};

/** What is known of a set of images once it is open. */
struct spi_source {
    const char *path; /* borrowed */
    int64_t n;        /* images */
    enum spi_image_kind kind;
    struct spi_detector det; /* owned; q in 1/A, wavelength_A 0 if the file does not say */
    bool has_mask;           /* the file has one: det.bad */
    char type_on_disk[32];   /* of a pixel: "uint8" ... */
    struct spi_text *text;   /* [n_texts] spi_images_attribute, owned */
    int n_texts;
    struct spi_h5_sources others; /* files in which values lie besides this one, owned */
};
/** Release what the struct owns. */
void spi_source_clear(struct spi_source *s);

struct spi_source_format {
    const char *name, *says;
    /** What corrects the beam's centre in such a file; "": nothing can. */
    const char *centre_advice;
    bool (*probe)(const struct spi_peek *p);
    /** Fill `s` (its path is set, all else is 0).  The open file of p may be taken over.
     * After an error only `s` is to be cleared. */
    spi_err (*open)(struct spi_peek *p, struct spi_source *s, void **self);
    /** Images first ... first+n-1 as floats, not yet checked: all pixels, what the file
     *  holds. */
    spi_err (*read)(void *self, int64_t first, int64_t n, float *out);
    /** NULL: such files hold none. */
    spi_err (*truth)(void *self, struct spi_image_truth *out);
    void (*close)(void *self);
};

/** The table; NULL ends it.  The first row whose probe says yes opens a file. */
extern const struct spi_source_format *const spi_source_formats[];
/** That row; NULL: not a file of images. */
const struct spi_source_format *spi_source_format_of(const struct spi_peek *p);

extern const struct spi_source_format spi_source_spinifel, spi_source_cmtip, spi_source_cxi;

#endif
