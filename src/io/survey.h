/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Pixels that cannot be what the particle scattered.  Layer: io.  doc/formats.md, "Survey
 * of the pixels".
 *
 * A gap of a detector holds the largest number, -1 or NaN, a hot pixel the same count in
 * every image.  A sample of images from the whole file (which images: a fixed seed) shows
 * such pixels.  Masked is only what is wrong in every image of the sample; what is wrong in
 * some of them is an error that names image and pixel. */
#ifndef SPI_IO_SURVEY_H
#define SPI_IO_SURVEY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/images.h"

enum spi_survey_kind {
    SPI_SURVEY_INVALID, /* negative or no number in every image */
    SPI_SURVEY_FULL,    /* the largest value of its type, or of 15, 16, 31 or 32 bits */
    SPI_SURVEY_HOT,     /* in every image brighter than its ring, and by far than its
                         * neighbours */
    SPI_SURVEY_KINDS,
};

enum { SPI_SURVEY_LISTED = 64, SPI_SURVEY_LEAST_IMAGES = 8 };

struct spi_survey {
    int64_t n_images; /* looked at; less than SPI_SURVEY_LEAST_IMAGES: nothing is masked */
    int64_t n_pixels; /* of the detector */
    int64_t hidden;   /* by masks, before */
    int64_t n[SPI_SURVEY_KINDS]; /* pixels masked */
    int n_listed;
    struct spi_surveyed {
        int64_t pixel;
        enum spi_survey_kind kind;
        double mean;             /* in the sample; NAN: not a number */
    } listed[SPI_SURVEY_LISTED]; /* the first of them, kind by kind */
    int64_t n_dead, dead; /* pixels without a count where the ring has many, not masked; the
                           * first */
    double gain; /* the values are whole multiples of it; 0: they are not, or of 1 in a file
                  * of photons */
    double not_whole; /* share of values of photons that are no whole numbers */
    int64_t not_whole_image, not_whole_pixel; /* the first */
    double not_whole_value;
};

/** Look, and add what is found to the bad pixels of the detector of `im`.  The result
 * depends on the file and its mask alone.  SPI_EFORMAT: a pixel that is not masked is
 * negative or no number in some images; nothing is left.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_survey(struct spi_images *im, struct spi_survey *out);

/** What the values of `im` are: photons also where they are whole multiples of `gain` > 0. */
enum spi_image_kind spi_survey_images_kind(const struct spi_images *im, double gain);
/** "hold the largest number of their type": what pixels of a kind do; n: how many. */
const char *spi_survey_words(enum spi_survey_kind kind, int64_t n);
/** "panel 0, row 3, column 7" */
void spi_survey_where(const struct spi_images *im, int64_t pixel, char text[96]);
/** One object: counts, and the first `most` of the listed pixels. */
json_t *spi_survey_json(const struct spi_images *im, const struct spi_survey *s, int most);
/** Do masks hide so much that they more likely mark good pixels? */
bool spi_survey_mostly_hidden(const struct spi_survey *s);
/** SHA-256 of which pixels are bad: two runs that mask the same pixels have the same. */
void spi_images_mask_sha256(const struct spi_images *im, char hex[65]);

#endif
