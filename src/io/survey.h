/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Faults of a detector, found in its images.  Layer: io.  doc/math.md (X1) to (X9),
 * doc/formats.md "Survey of the pixels".
 *
 * A sample of images from the whole file (which images: a fixed seed) shows pixels that
 * cannot be what the particle scattered: they are masked, each with its reason.  Values that
 * are no measurement in some images only are replaced when images are read (io/repair.h). */
#ifndef SPI_IO_SURVEY_H
#define SPI_IO_SURVEY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/images.h"
#include "io/repair.h"

/** Why a pixel is not used: the codes of `reason` in mask.h5. */
enum spi_pixel_reason {
    SPI_REASON_USED,
    SPI_REASON_MASK,     /* a mask hides it */
    SPI_REASON_INVALID,  /* no measurement in many images: negative, no number, bad value */
    SPI_REASON_FULL,     /* the largest value of its type, or of 15, 16, 31 or 32 bits */
    SPI_REASON_CONSTANT, /* one value in all images */
    SPI_REASON_DEAD,     /* 0 where others at its |q| see light: a gap, a shadow */
    SPI_REASON_DARK,     /* less than half of what its neighbours hold */
    SPI_REASON_HOT,      /* more than its neighbours by far */
    SPI_REASON_FLICKERING, /* the same in some images */
    SPI_REASON_NOISY,      /* varies more than its neighbours by far */
    SPI_REASON_BORDER,     /* a line beside a gap, or at an edge, collects more or less */
    SPI_REASON_SATURATED,  /* at the largest value of the detector in many images */
    SPI_REASONS,
};

enum { SPI_SURVEY_LISTED = 64, SPI_SURVEY_LEAST_IMAGES = 8 };

/** What somebody knows of the detector. */
struct spi_survey_options {
    bool trust; /* masks say all: nothing is found, masked or replaced */
    int n_bad;
    double bad[SPI_BAD_VALUES]; /* values that are no measurement */
    bool has_electronics;       /* `electronics` is given: nothing is estimated */
    struct spi_electronics electronics;
};

struct spi_survey {
    int64_t n_images; /* looked at; less than SPI_SURVEY_LEAST_IMAGES: nothing is masked */
    int64_t n_pixels; /* of the detector */
    int64_t n[SPI_REASONS]; /* pixels, by reason */
    int n_listed;
    struct spi_surveyed {
        int64_t pixel;
        enum spi_pixel_reason reason;
        double mean;             /* in the sample, as in the file; NAN: not a number */
    } listed[SPI_SURVEY_LISTED]; /* the first of each reason, then others */
    uint8_t *reason;             /* [n_pixels], owned: enum spi_pixel_reason */
    int64_t replaced;        /* values in the sample that are no measurement, of pixels that
                               * are used */
    int64_t replaced_images; /* images of the sample that hold them */
    int64_t lacking_images;  /* ... with too many: they stay aside */
    bool analogue;           /* values below 0 are measurements */
    struct spi_electronics electronics; /* gain 0: none; `found`: estimated */
    bool found_electronics;
    double saturation; /* largest value that the detector counts, as in the file; 0: none */
    double gain; /* the values are whole multiples of it; 0: they are not, or of 1 in a file
                  * of photons */
    double not_whole; /* share of values of photons that are no whole numbers */
    int64_t not_whole_image, not_whole_pixel; /* the first */
    double not_whole_value;
};

/** Look, add what is found to the bad pixels of the detector of `im`, and have `im` repair
 * images when they are read.  opt: NULL: nothing is known.  The result depends on the file,
 * its mask and `opt` alone.  SPI_EFORMAT: nothing is left; with opt->trust also a pixel that
 * is negative or no number.  SPI_EIO, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_survey(struct spi_images *im, const struct spi_survey_options *opt,
                               struct spi_survey *out);
/** Release what the struct owns. */
void spi_survey_clear(struct spi_survey *s);

/** What the values of `im` are: photons also where they are whole multiples of `gain` > 0. */
enum spi_image_kind spi_survey_images_kind(const struct spi_images *im, double gain);
/** "dead", "hot" ...: the name of a reason in files. */
const char *spi_reason_name(enum spi_pixel_reason reason);
/** "panel 0, row 3, column 7" */
void spi_survey_where(const struct spi_images *im, int64_t pixel, char text[96]);
/** One object: counts, and the first `most` of the listed pixels. */
json_t *spi_survey_json(const struct spi_images *im, const struct spi_survey *s, int most);
/** Pixels that the survey has masked. */
int64_t spi_survey_masked(const struct spi_survey *s);
/** "21 dead, 3 hot, 1 flickering": the reasons of the pixels that it has masked. */
void spi_survey_counts(const struct spi_survey *s, char text[256]);
/** Do masks hide so much that they more likely mark good pixels? */
bool spi_survey_mostly_hidden(const struct spi_survey *s);
/** mask.h5: `mask` (0 = used) and `reason` of each pixel.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_survey_write(const struct spi_images *im,
                                     const struct spi_survey *s, const char *path);
/** SHA-256 of which pixels are bad: two runs that mask the same pixels have the same. */
void spi_images_mask_sha256(const struct spi_images *im, char hex[65]);

#endif
