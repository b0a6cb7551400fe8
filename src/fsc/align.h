/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Best rotation, translation and hand between two maps, and what remains to compare.
 * Layer: fsc.  doc/math.md (F1)-(F9). */
#ifndef SPI_FSC_ALIGN_H
#define SPI_FSC_ALIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "math/volume.h"

/** A rigid motion with optional inversion through the origin:
 *  moved(x) = map( s R^T (x - shift_A) ), s = -1 if inverted: applying it to `map`
 *  superposes it on the reference.  R is molecule(map) -> molecule(reference). */
struct spi_pose {
    double R[9];
    double shift_A[3];
    int64_t
        inverted; /* 0 or 1; as wide as its neighbours, for a checkpoint saves its bytes */
};

/** Intensity maps (centred, even, spacing dq): only a rotation, W_ref(q) ~ W(R^T q).
 *  Correlation of W with the mean of each shell removed (both maps), each shell to unit
 *  variance, weighted by its number of Shannon cells, over q_min..q_max, doc/math.md
 *  (F6)-(F9).  Global search: the rotation function to q D = 6, exhaustive; its best peaks
 *  refined at growing q.  `initial` non-NULL: local refinement from there only.
 *  diameter_A: the particle's diameter D (W is band-limited by it: angular cell 1/(2 D q)).
 *  cc: that correlation at the best rotation, over all shells.
 *  W may sit on the critical grid (n dx = 2 D): it is sampled through its autocorrelation,
 *  padded by two (fsc/spectrum.h states the error).
 *  SPI_EINVAL: odd side, not finite, no shell in q_min..q_max, a map without structure. */
SPI_MUSTUSE spi_err spi_align_intensities(const struct spi_volume *W_ref,
                                          const struct spi_volume *W, double diameter_A,
                                          double q_min, double q_max, const double *initial,
                                          double R[9], double *cc);

/** Two intensity maps shell by shell; all arrays [n], owned. */
struct spi_intensity_shells {
    int n;
    double *q;        /* 1/A, multiples of 1/(2D) */
    double *cc;       /* correlation, the shell's mean removed from both */
    double *contrast; /* (F14): standard deviation over the shell / its mean, of what both
                       * maps have in common; noise of either drops out */
};

/** The shells in q_min..q_max at a given rotation; clear `out`. */
SPI_MUSTUSE spi_err spi_intensity_compare(const struct spi_volume *W_ref,
                                          const struct spi_volume *W, double diameter_A,
                                          double q_min, double q_max, const double R[9],
                                          struct spi_intensity_shells *out);
/** Release what the struct owns. */
void spi_intensity_shells_clear(struct spi_intensity_shells *s);

/** Density maps (centred): rotation, translation and hand.  Global when `initial` is NULL,
 *  coarse to fine, ending below 0.2 degrees and 0.05 voxel.  Steps and sides may differ:
 * both are sampled in Fourier space.  Maps that are superposed already to rounding
 * (1e-6 of the correlation) are not moved at all.  Maps should stand at zero at the border
 * of their box (fsc/border.h).  q_max: highest spatial frequency used (1/A). cc:
 * correlation of the two maps low-passed to q_max, q = 0 left out. */
SPI_MUSTUSE spi_err spi_align_densities(const struct spi_volume *ref,
                                        const struct spi_volume *map, double diameter_A,
                                        double q_max, const struct spi_pose *initial,
                                        struct spi_pose *pose, double *cc);

/** Fill pose[*n], *n <= SPI_FINALISTS.  SPI_ENOMEM. */
enum { SPI_FINALISTS = 6 };
/** Fill pose[*n], *n <= SPI_FINALISTS.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_align_finalists(const struct spi_volume *ref,
                                        const struct spi_volume *map, double diameter_A,
                                        double q_max, struct spi_pose pose[SPI_FINALISTS],
                                        int *n);

/** moved = map superposed on the grid (n, step) of a reference, by Fourier-quality
 * interpolation: the trigonometric interpolant of the map, evaluated with error below 1e-4
 * of the map's rms; zero outside the map's box.  When the grid is really rotated, shifted
 * or coarser, frequencies beyond 1/(2 step) in length (the corners of Fourier space, which
 * a rotated grid cannot hold) are removed.  The identity on the same grid copies. */
SPI_MUSTUSE spi_err spi_pose_apply(const struct spi_volume *map,
                                   const struct spi_pose *pose, int n, double step,
                                   struct spi_volume *moved);

/** Fourier shell correlation of two maps on one grid, doc/math.md (F1). */
struct spi_fsc {
    int n_shells;  /* n/2: q = 0 is left out */
    double *q;     /* [n_shells] mid-shell |q|, 1/A, shell width 1/(n step), owned */
    double *fsc;   /* [n_shells], owned */
    double *count; /* [n_shells] Fourier voxels in the shell, owned */
};
/** Fill `out` (clear it).  SPI_EINVAL: the maps have different grids. */
SPI_MUSTUSE spi_err spi_fsc_compute(const struct spi_volume *a, const struct spi_volume *b,
                                    struct spi_fsc *out);
/** Release what the struct owns. */
void spi_fsc_clear(struct spi_fsc *f);
/** Resolution d = 1/q (A) where the curve first falls below `level` for good at least two
 *  shells in a row, linear interpolation between shells; 1/q of the last shell when it
 * never does (*reached_end = true); infinity when the first shell is already below. */
double spi_fsc_resolution_A(const struct spi_fsc *f, double level, double q_max,
                            bool *reached_end);

/** Two half maps: half2 is superposed on half1, then mean = (half1 + moved half2) / 2 on
 * the grid of half1, and their FSC. initial non-NULL: local refinement of that pose (the
 * last generation's); otherwise rotation non-NULL: that of the intensities, hand and shift
 * are searched; both NULL: global.  `mean` and `fsc` are made here (clear them); `moved2`,
 * unless NULL, is half2 as superposed on half1.  cc: as spi_align_densities. */
SPI_MUSTUSE spi_err spi_align_half_maps(const struct spi_volume *half1,
                                        const struct spi_volume *half2, double diameter_A,
                                        double q_max, const struct spi_pose *initial,
                                        const double *rotation, struct spi_pose *pose,
                                        double *cc, struct spi_volume *mean,
                                        struct spi_fsc *fsc, struct spi_volume *moved2);

#endif
