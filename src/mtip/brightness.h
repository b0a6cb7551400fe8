/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How bright particle and background are in each image.  Layer: mtip.  doc/math.md (Q24),
 * (Q25).
 *
 * Where all images are equally bright the even part of a background can stay in the model:
 * counts are fluence times the model, whoever scattered them.  Where the particle meets more
 * or less of the beam from shot to shot and the background does not follow, an image has
 * more of the background, or less, than its fluence times the model's; that much of it is
 * then taken out of the image. */
#ifndef SPI_MTIP_BRIGHTNESS_H
#define SPI_MTIP_BRIGHTNESS_H

#include "mtip/run.h"

/** r->data gets `even`, `glow` and `excess` (spi_data_take_even), from the background that
 * was given, or from what the models A of the two half sets, superposed by r->pose, show up
 * to q_max (1/A); nothing where there is no background, or where the images have the same of
 * it.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_brightness_find(struct spi_run *r,
                                        const struct spi_volume *const A[2], double q_max);

/** The same where the background was given (data->background), of whatever models there will
 * be; once; nothing where the excess is below `least` (rms).  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_brightness_given(struct spi_data *d, double q_max, double least);

/** Variances about 1 from image to image; INFINITY: not known. */
struct spi_brightness_spread {
    double fluence, glow;
};

struct spi_brightness {
    double fluence, glow;             /* of the particle; of the background */
    double sigma_fluence, sigma_glow; /* their standard deviations, nothing else known */
};

/** (Q24): counts of n rings of an image -> what multiplies the particle's rings W and the
 * background's b.  varies [n]: variance of a ring of the particle from image to image, over
 * its mean squared; variance: of fluence and glow about 1 from image to image, or
 * infinite. */
void spi_brightness_fit(int n, const double *counts, const double *W, const double *b,
                        const double *varies, const struct spi_brightness_spread *variance,
                        struct spi_brightness *out);

/** (Q25): variance about 1 of x [n_images] beyond what counting makes, of the images that
 * make the models; sigma [n_images]: of each x.  alike: all images count alike, for sigma
 * goes with x. */
double spi_brightness_variance(const struct spi_data *d, const float *x, const float *sigma,
                               bool alike);

#endif
