/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Opening images for a command: masks, the survey of their pixels, and what is to be said
 * about both.  Layer: app. */
#ifndef SPI_APP_OPENING_H
#define SPI_APP_OPENING_H

#include <jansson.h>

#include "app/cmd.h"
#include "base/settings.h"
#include "io/images.h"
#include "io/orient.h"
#include "io/survey.h"
#include "mtip/preview.h"

/** What these options set; a member of a command's struct of arguments. */
struct spi_opening_args {
    const char *mask;
    bool invert_mask, follow_external, trust_mask;
    struct spi_texts bad_values;
    double gain, pedestal, read_noise;
};

/** Rows of a command's table of options. */
#define SPI_OPENING_OPTS(T, m)                                                             \
    SPI_HEADING("Images"),                                                                 \
        {0,                                                                                \
         "mask",                                                                           \
         SPI_PATH(T, m.mask),                                                              \
         0,                                                                                \
         0,                                                                                \
         "FILE[:/DATASET]",                                                                \
         "HDF5 mask that hides more pixels (0 = good), of the detector's shape"},          \
        {0,                                                                                \
         "invert-mask",                                                                    \
         SPI_FLAG(T, m.invert_mask),                                                       \
         0,                                                                                \
         0,                                                                                \
         "",                                                                               \
         "the mask of --mask, or without it that of the images' file, marks good pixels"}, \
        {0,                                                                                \
         "trust-mask",                                                                     \
         SPI_FLAG(T, m.trust_mask),                                                        \
         0,                                                                                \
         0,                                                                                \
         "",                                                                               \
         "look for no faults of the detector: the masks say all"},                         \
        {0,                                                                                \
         "bad-value",                                                                      \
         SPI_TEXTS(T, m.bad_values),                                                       \
         0,                                                                                \
         0,                                                                                \
         "VALUE",                                                                          \
         "a value that is no measurement, besides those found; may be repeated"},          \
        {0,                                                                                \
         "gain",                                                                           \
         SPI_REAL(T, m.gain),                                                              \
         1e-9,                                                                             \
         1e9,                                                                              \
         "",                                                                               \
         "units of the file (ADU) that one photon reads",                                  \
         .absent = "found where the photon peaks are visible"},                            \
        {0,                                                                                \
         "pedestal",                                                                       \
         SPI_REAL(T, m.pedestal),                                                          \
         -1e9,                                                                             \
         1e9,                                                                              \
         "",                                                                               \
         "with --gain: units that no photon reads"},                                       \
        {0,                                                                                \
         "read-noise",                                                                     \
         SPI_REAL(T, m.read_noise),                                                        \
         0,                                                                                \
         100,                                                                              \
         "photons",                                                                        \
         "with --gain: standard deviation of a reading"},                                  \
    {                                                                                      \
        0, "follow-external", SPI_FLAG(T, m.follow_external), 0, 0, "",                    \
            "read datasets whose values are raw bytes of other files"                      \
    }

/** Images that are open, and what was found out about their pixels. */
struct spi_opening {
    struct spi_images *images; /* owned */
    struct spi_survey survey;
};

/** Open, mask, survey, and say what is masked and why.  What the options say of the detector
 * goes to the settings `set` first.  SPI_EIO, SPI_EFORMAT; SPI_EUSAGE: options that
 * contradict each other. */
SPI_MUSTUSE spi_err spi_opening_init(const struct spi_call *call, const char *path,
                                     const struct spi_opening_args *args,
                                     struct spi_settings *set, struct spi_opening *o);

/** Say that the measured centre of the beam is not that of the file, if it is not. */
void spi_opening_tell_centre(const char *path, const struct spi_opening *o,
                             const struct spi_preview *p);
/** Measure the centre as reconstruct does, and move that of the images where the file is
 *  clearly wrong and the settings allow it.  SPI_EIO, SPI_EFORMAT, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_opening_find_centre(const char *path, struct spi_opening *o,
                                            const struct spi_settings *set,
                                            struct spi_moved_centre *moved);
/** Move the centre and the panels of the images to where they were when these orientations
 * were found, unless the settings say those of the file, or the pixels have other positions
 * than then.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_opening_take_geometry(const char *path, struct spi_images *images,
                                              const struct spi_settings *set,
                                              const char *orientations_path,
                                              const struct spi_orientations *orientations);
/** Release what the struct owns. */
void spi_opening_clear(struct spi_opening *o);

#endif
