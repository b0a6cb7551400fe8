/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A level of frequency marching: how fine everything is at one resolution.  Layer: mtip. */
#ifndef SPI_MTIP_RESOLUTION_LEVEL_H
#define SPI_MTIP_RESOLUTION_LEVEL_H

#include "base/settings.h"
#include "likelihood/likelihood.h"
#include "merge/normal.h"
#include "nufft/nufft.h"
#include "ring/ring.h"

struct spi_resolution_level {
    int R_merge;            /* rings merged; 0: nothing is, and n ... points2 are unset */
    struct spi_band band;   /* rings matched (the first R_match) */
    struct spi_views views; /* directions x in-plane angles */
    const struct spi_likelihood *like;
    int n;               /* voxels per axis of A */
    double dx;           /* A */
    double support_A;    /* A is zero beyond */
    double q_max;        /* 1/A, of the last ring merged */
    spi_nufft *plan2;    /* 2 n modes, owned */
    spi_points *points2; /* ring samples merged, for plan2, owned */
    double nufft_tol;
    double lambda; /* Tikhonov weight relative to the trace */
    int n_cg;      /* steps at most, and when they may end earlier */
    double cg_tol;
};

/** Matching on the rings up to q_match, merging up to q_merge (0: no merge); directions one Shannon cell
 * of q_match apart, divided by `oversampling`. */
SPI_MUSTUSE spi_err spi_resolution_level_init(struct spi_resolution_level *l,
                                              const struct spi_rings *g,
                                              const struct spi_settings *set,
                                              const struct spi_likelihood *like,
                                              double q_match, double q_merge,
                                              double oversampling, bool init);
/** Release what the struct owns. */
void spi_resolution_level_clear(struct spi_resolution_level *l);

#endif
