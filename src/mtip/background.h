/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the images hold beside the particle, at the end of a run.  Layer: mtip.
 * doc/math.md (Q18)...(Q20), doc/decisions/025.
 *
 * In the loop the model of a half set holds the part of the background that is the same in
 * all directions: the counts of an image are then those of the model, whoever scattered
 * them.  Before the phases are sought the background is taken out: as it was given, or as
 * the intensities of the half sets show it. */
#ifndef SPI_MTIP_BACKGROUND_H
#define SPI_MTIP_BACKGROUND_H

#include "fsc/isotropic.h"
#include "io/orient.h"
#include "mtip/agreement.h"
#include "mtip/contrast.h"
#include "mtip/resolution.h"

struct spi_background {
    float *pixel; /* [n_pixels] counts of it in a mean image, owned; NULL: none */
    float *even;  /* [n_pixels] of these what is even on rings, where images differ in it
                   * (data->glow), owned; NULL: they do not */
    bool told;    /* it was given */
    double ratio; /* counts of it over those of the particle, up to q_max */
    double
        share; /* of the intensity, in the shell where that is largest (from q D = 2.5) */
    double share_q; /* 1/A, where */
    double removed; /* (Q20): the ratio by which fluences have been corrected */
};

/** What is known before the intensities are looked at: the background that was given, or
 * what the mean image shows beyond its rings. */
SPI_MUSTUSE spi_err spi_background_begin(const struct spi_run *r, struct spi_background *b);
/** out [n_pixels], owned by the caller (free): the background of an image of `im`, in the unit
 * of the file.  `name` is a file of images without a particle, on the same detector: their
 * mean, with their rings' means where their mask hides a pixel; or "FILE:/DATASET", an
 * array of the detector's shape.  SPI_EIO, SPI_EFORMAT. */
SPI_MUSTUSE spi_err spi_background_read(const char *name, const struct spi_images *im,
                                        float **out);

/** Whether the images show a background in their shells up to q_max (Q19): then models are
 * phased without the level of their own (spi_isotropic_remove). */
bool spi_background_shows(const struct spi_run *r, double q_max);

/** What images hold beside a model of the particle alone. */
struct spi_beside spi_background_beside(const struct spi_run *r,
                                        const struct spi_background *b);
/** (F19) of the models A of two half sets, the second rotated onto the first by R. */
SPI_MUSTUSE spi_err spi_background_levels(const struct spi_run *r,
                                          const struct spi_volume *const A[2],
                                          const double R[9], double q_min, double q_max,
                                          struct spi_isotropic *level);

/** Release what the struct owns. */
void spi_background_clear(struct spi_background *b);

/** (Q18), (Q19): what the intensities of the half sets, rotated onto each other by a->R, have in
 * all directions alike.  It is added to b->pixel where it is there for certain (c: of the
 * images), or where a round before found some (again); *found says so. */
SPI_MUSTUSE spi_err spi_background_look(const struct spi_run *r,
                                        const struct spi_volume half_A[2],
                                        const struct spi_agreement *a,
                                        const struct spi_contrast *c, bool again,
                                        struct spi_background *b, bool *found);
/** (Q20): fluences of the particle alone, from those of particle and background, of pixels up
 * to q_max; they are that already where images differ in it. */
void spi_background_fluences(const struct spi_data *d, double q_max,
                             struct spi_background *b, struct spi_orientations *o);

#endif
