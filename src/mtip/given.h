/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Orientations of images, given a model: generations of the loop that merge nothing.  Layer:
 * mtip.  doc/math.md (M7).
 *
 * Where a background is known (struct spi_data_spec), images hold it beside the particle, and
 * the model is of the particle alone: what of the background is the same in all directions is
 * added to the model, the rest is taken out of the images, and so is what an image has of it
 * that does not follow its fluence (mtip/brightness.h).
 *
 * All images that hold signal are one half set, and the model is that of its replica
 * (mtip/replica.h).  The images climb in resolution step by step (mtip/plan.h), or meet all
 * orientations at full resolution at once; pixel by pixel they are compared as published. */
#ifndef SPI_MTIP_GIVEN_H
#define SPI_MTIP_GIVEN_H

#include "io/orient.h"
#include "mtip/data.h"

struct spi_given_spec {
    struct spi_data *data; /* one set (struct spi_data_spec); borrowed, as what follows */
    const struct spi_volume *A; /* the model, of any scale */
    const struct spi_settings *set;
    const struct spi_likelihood *like;
    double q_max; /* of the data's rings */
    double finer; /* directions per Shannon cell and axis */
    struct spi_graph *graph;
    void (*progress)(int64_t done, int64_t total, void *user); /* images; may be NULL */
    void *user;
};

struct spi_given {
    struct spi_given_spec spec;
    struct spi_volume A;    /* the model whose mean image is that of the data, background
                             * and all, owned */
    struct spi_views views; /* directions x angles of the last search */
};

/** Images and model get a common scale; where a background is known, the data get what each
 * image has of it.  SPI_EINVAL: the model does not reach q_max, is not
 * positive on any ring, or there are too many orientations; SPI_EFORMAT: a background that
 * leaves nothing of the images. */
SPI_MUSTUSE spi_err spi_given_init(struct spi_given *m, const struct spi_given_spec *spec);
/** Release what the struct owns. */
void spi_given_clear(struct spi_given *m);

/** Orientations by generations: step by step, or exhaustive.  o: quat, score, margin,
 * entropy, fluence (mean 1) of all images that take part.  The result does not depend on the
 * number of workers.  SPI_EINVAL: the likelihood does not work on rings. */
SPI_MUSTUSE spi_err spi_given_match(const struct spi_given *m, bool exhaustive,
                                    struct spi_orientations *o);
/** given_brute.c: the same pixel by pixel, without entropy; memory for images: about `bytes`,
 * then the model images are made again for the next images. */
SPI_MUSTUSE spi_err spi_given_brute(const struct spi_given *m, double bytes,
                                    struct spi_orientations *o);
/** Refine the orientations that any of these found, pixel by pixel (match/refine.h), and the
 * brightness of a background with them: rotation, score and fluence are replaced.  Only for a likelihood that works on rings. */
SPI_MUSTUSE spi_err spi_given_refine(const struct spi_given *m, struct spi_orientations *o);
/** After the last of these, once: where a background is known, the fluences become those of
 * the particle alone (Q20).  The counts of the background over those of the particle; 0:
 * none is known. */
double spi_given_fluences(const struct spi_given *m, struct spi_orientations *o);

/** given_brightness.c: (Q24) again, with the model at the orientation of each image: what the
 * data have for it is replaced.  Nothing where the background follows the fluences. */
SPI_MUSTUSE spi_err spi_given_brightness(const struct spi_given *m,
                                         const struct spi_orientations *o);

/** Room for the orientations of all images, none known; the entropy only if asked for. */
SPI_MUSTUSE spi_err spi_given_none(const struct spi_given *m, bool entropy,
                                   struct spi_orientations *o);

#endif
