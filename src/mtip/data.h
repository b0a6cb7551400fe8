/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The images as the loop sees them: harmonics on rings.  Layer: mtip.
 *
 * Made once ("ingest") and kept in memory while there is plenty, otherwise in a mapped
 * scratch file (io/record_cache.h), so that memory does not grow with the number of images.
 * Records are in half precision, for reading them is most of the work on them (R10).
 * Intensities that are not photons are scaled so that an image has
 * SPI_TYPICAL_COUNTS on the rings on average: nothing depends on absolute scale. */
#ifndef SPI_MTIP_DATA_H
#define SPI_MTIP_DATA_H

#include "base/settings.h"
#include "io/images.h"
#include "io/record_cache.h"
#include "likelihood/likelihood.h"
#include "match/hits.h"
#include "mtip/beside.h"
#include "mtip/split.h"
#include "ring/ring.h"
#include "task/graph.h"

struct spi_data {
    int64_t n_images;
    enum spi_image_kind kind;
    struct spi_images *images;      /* borrowed */
    const struct spi_detector *det; /* borrowed */
    struct spi_rings rings;
    struct spi_ring_map map;
    struct spi_record_cache
        *records;              /* records: a scale, rings.h_at[R] complex numbers in f16 */
    struct spi_split split;    /* who takes part; means and variances below are of these */
    double structure;          /* of images of the particle, (J19) */
    struct spi_hits_sum along; /* structure along rings of all images, (J22) */
    double scale;              /* image value -> counts */
    double *ring_mean;         /* [R], owned: mean counts per live weight */
    double *ring_var;          /* [R], owned: variance of a ring sample's intensity
                              * about the ring mean, over angles and images */
    float *mean_image;         /* [n_pixels], owned: mean of the images, counts */
    float *background; /* [n_pixels], owned: counts of an image that are not the particle's,
                        * as they were given; NULL: nothing is known */
    float
        *uneven; /* [n_pixels], owned: of the background what differs from its mean on each
                    * ring, taken out of all that the loop sees; NULL: nothing */
    float complex *uneven_h; /* [rings.h_at[R]], owned: its harmonics */
    float *part_mean[2];     /* [n_pixels], owned: mean images of two parts of the images,
                              * which showed it; NULL: none did */
    double part_images[2];   /* how many images these are */
    float *even;           /* [n_pixels], owned: of the background what is the same on each
                              * ring, in a mean image; NULL: it goes with the model */
    float complex *even_h; /* [rings.h_at[R]], owned: its harmonics */
    bool even_settled;     /* `even` was given: nothing changes it until views are known */
    float *glow, *excess;  /* [n_images], owned: of (Q24), how many times `even` an image
                              * has, and how much more that is than its fluence */
};

/** Counts to which the mean image is scaled where values are no photons. */
enum { SPI_TYPICAL_COUNTS = 100000 };
enum { SPI_IMAGES_LEAST = 64 }; /* a reconstruction needs so many */

/** Called with (done, total) images while ingesting; may be NULL. */
typedef void spi_on_ingest(int64_t done, int64_t total, void *user);

struct spi_data_spec {
    struct spi_images *images; /* borrowed, as long as the data live */
    double
        gain; /* values are whole multiples of it, each a photon; 0: what the file says */
    double diameter_A, q_min, q_max; /* fix the rings */
    const struct spi_settings *set;  /* ring_oversampling, halves, signal_min, seed */
    const float
        *background;     /* [n_pixels] of an image, in the file's unit; NULL: not known */
    bool one_set;        /* no half sets: all images with signal, copies too, are half 1 */
    const char *scratch; /* path of the scratch file, which loses its name at once */
    spi_on_ingest *progress; /* may be NULL */
    void *user;
};

/** SPI_EFORMAT: all images are zero, or too few take part: a reconstruction needs
 * SPI_IMAGES_LEAST, one set an image. */
SPI_MUSTUSE spi_err spi_data_init(struct spi_data *d, struct spi_graph *g,
                                  const struct spi_data_spec *spec);
/** Release what the struct owns. */
void spi_data_clear(struct spi_data *d);

/** (Q24): from now on image k has excess[k] times `even` beside its model; even [n_pixels],
 * glow and excess [n_images] become the data's, also on failure.  NULL: nothing. */
SPI_MUSTUSE spi_err spi_data_take_even(struct spi_data *d, float *even, float *glow,
                                       float *excess);
/** The detector's pixels have been placed anew: what of the mean image is not the same
 * around the beam is looked for again.  Harmonics stay as they are.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_data_uneven_again(struct spi_data *d);
/** What images hold beside the models of the loop. */
struct spi_beside spi_data_beside(const struct spi_data *d);

/** Bytes of a record. */
size_t spi_data_record_bytes(const struct spi_data *d);
/** h [rings.h_at[R]] = ring-major harmonics of an image, of the first R rings. */
void spi_data_record(const struct spi_data *d, int64_t image, int R, float complex *h);
/** Prefetch the first 256 bytes of the record of an image; the hardware prefetcher fetches
 * the rest. */
void spi_data_ahead(const struct spi_data *d, int64_t image);
/** 1 / sigma_r^2 of the first R rings, of which a weighted likelihood reads them. */
void spi_data_inv_var(const struct spi_data *d, const struct spi_likelihood *like, int R,
                      float *inv_var);

#endif
