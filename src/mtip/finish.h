/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The end of a run merges every pixel of every image at its best orientation, takes the
 * regularisation from the L-curve and phases the density from many starts.  Layer: mtip. */
#ifndef SPI_MTIP_FINISH_H
#define SPI_MTIP_FINISH_H

#include "io/orient.h"
#include "mtip/background.h"
#include "mtip/coverage.h"
#include "mtip/geometry.h"
#include "mtip/inspect.h"
#include "mtip/merging.h"
#include "mtip/phasing.h"
#include "mtip/run.h"
#include "mtip/validation.h"

struct spi_result {
    struct spi_volume half_A[2]; /* autocorrelations of the half sets, owned */
    struct spi_volume A, W;      /* mean of the half sets, frame of half 1; its intensity,
                                  * owned */
    struct spi_volume half[2];   /* densities; half 2 superposed on half 1, owned */
    struct spi_volume density;   /* their mean, owned */
    struct spi_fsc fsc;          /* of the halves */
    double resolution_A, resolution05_A; /* of the half maps, FSC 0.143 and 0.5 */
    struct spi_agreement agreement;      /* of the halves' intensities, owned */
    double *own[2]; /* [agreement.shells.n] of spi_agreement_faithful, owned */
    struct spi_phase_result phase[2];
    double phase_cutoff;                  /* of shrink-wrap, in the round that was taken */
    struct spi_merging_lcurve lcurve;     /* of half 1 */
    struct spi_orientations orientations; /* frame of `density`, order of the file */
    struct spi_symmetry_found symmetry;   /* given, used, or seen in W at the end */
    struct spi_coverage coverage;         /* of the view directions, modulo that group */
    struct spi_inspection inspection;     /* of all images, owned */
    struct spi_geometry geometry;         /* where the detector is, owned */
    int64_t n_round, n_doublets;          /* images that stay aside: (J19) */
    int64_t n_outliers;               /* and because the map does not explain them (Q22) */
    struct spi_background background; /* that was taken out, owned */
    struct spi_validation validation;
};

enum { SPI_FINISH_STEPS = 6 }; /* the total that `progress` is told */

/** Everything from the orientations of the run; `contrast` of its images.  `progress` (may
 * be NULL) is told what is being done: (done, total, words, user). */
typedef void spi_on_finish(int done, int total, const char *what, void *user);
/** Do all of it; `out` is made here: clear it.  SPI_ECANCEL, or what a stage returns. */
SPI_MUSTUSE spi_err spi_finish(struct spi_run *r, const struct spi_contrast *contrast,
                               spi_on_finish *progress, void *user, struct spi_result *out);
/** Release what the struct owns. */
void spi_result_clear(struct spi_result *r);

#endif
