/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What happens in a run beside its generations.  Layer: mtip.
 *
 * The loop says what happened and with which numbers (spi_run_tell); report/events.c makes
 * words of it. */
#ifndef SPI_MTIP_EVENT_H
#define SPI_MTIP_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "fsc/symmetry_map.h"

enum spi_event_kind {
    SPI_EVENT_INITS_SCORED,         /* u.inits */
    SPI_EVENT_INITS_REPEAT,         /* u.repeat */
    SPI_EVENT_EXTENT,               /* u.extent: of the densities */
    SPI_EVENT_DIAMETER_IMPLAUSIBLE, /* u.extent: too far from the diameter to be one */
    SPI_EVENT_DIAMETER_KEPT,        /* u.extent: another diameter, which is not taken */
    SPI_EVENT_SYMMETRY,             /* u.symmetry */
    SPI_EVENT_PHASING,              /* u.phasing: a round of starts */
    SPI_EVENT_OUTLIERS,             /* u.outliers: pixel values that nothing explains */
    SPI_EVENT_BACKGROUND,           /* u.background: what was taken out */
    SPI_EVENT_GEOMETRY,      /* u.geometry: the detector is not where the file says */
    SPI_EVENT_DRIFT,         /* u.drift: the beam's centre moves over the file */
    SPI_EVENT_OUTLIER_IMAGES /* u.outlier_images: left out, for nothing explains them */
};

struct spi_event {
    enum spi_event_kind kind;
    union {
        struct {
            double score[2]; /* best held-out score of each half set */
            double cc, need,
                stop; /* agreement of the half sets; converge.halves_cc, _stop */
        } inits;
        struct {
            double cc, need; /* least agreement of the two best of a half set */
            bool repeat;
        } repeat;
        struct {
            double half_A[2]; /* extent of each density */
            double shown_A;   /* the diameter that they show */
            double assumed_A; /* that of the run */
        } extent;
        struct {
            const struct spi_symmetry_found *found; /* borrowed */
            bool at_end; /* seen in the result, too late to be used */
            bool used;
        } symmetry;
        struct {
            int round, n_kept[2], n_starts;
            double cutoff, consistency, need, stop;
        } phasing;
        struct {
            int64_t n, images;      /* values; images that hold them */
            double value, expected; /* of the worst, in the unit of the file ... */
            int64_t panel, row, column, image; /* ... and where it is */
        } outliers;
        struct {
            bool told, found; /* it was given; the intensities show some (more) */
            double ratio;     /* counts of the background over those of the particle, ... */
            double q_min, q_max; /* ... in this range, 1/A */
            double share, q;     /* largest share of a shell's intensity, found; 1/A */
        } background;
        struct {
            int64_t images; /* that showed it */
            int panels;
            double far_px, sigma_px; /* the farthest panel; 0: all are in their places */
            double stretch, stretch_sigma; /* the detector is farther by this share of its
                                            * distance; 0: it is not */
        } geometry;
        struct {
            int64_t images; /* that showed it */
            double range_px, left_px, sigma_px;
            bool corrected;
        } drift;
        struct {
            int64_t n, images; /* left out, of so many */
        } outlier_images;
    } u;
};

/** `e` lives as long as the call. */
typedef void spi_on_event(const struct spi_event *e, void *user);

#endif
