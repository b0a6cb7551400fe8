/** \file
 * Best rotation, translation and hand between two maps, and what remains to compare.
 * Layer: fsc.  doc/math.md section 6. */
#ifndef SPI_FSC_ALIGN_H
#define SPI_FSC_ALIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "math/volume.h"

/** A rigid motion with optional inversion through the origin:
 *  moved(x) = map( s R^T (x - shift_A) ), s = -1 if inverted: applying it to `map` lays it
 *  upon the reference.  R is molecule(map) -> molecule(reference). */
struct spi_pose {
    double R[9];
    double shift_A[3];
    bool inverted;
};

/** Intensity maps (centred, even, spacing dq): only a rotation.  Correlation of W with the
 *  mean of each shell removed (both maps), shells weighted equally, over q_min..q_max;
 *  `initial` non-NULL: local refinement from there only (no global search).
 *  band_A: the particle's diameter D (W is band-limited by it: angular cell 1/(2 D q)).
 *  cc: the correlation at the best rotation. */
SPI_MUSTUSE spi_err spi_align_intensities(const struct spi_volume *W_ref,
                                          const struct spi_volume *W, double diameter_A,
                                          double q_min, double q_max, const double *initial,
                                          double R[9], double *cc);

/** Density maps (centred): rotation, translation and hand.  Global when `initial` is NULL,
 *  coarse to fine, ending below 0.2 degrees and 0.05 voxel.  Steps may differ: `map` is
 *  resampled.  q_max: highest spatial frequency used (1/A). */
SPI_MUSTUSE spi_err spi_align_densities(const struct spi_volume *ref,
                                        const struct spi_volume *map, double diameter_A,
                                        double q_max, const struct spi_pose *initial,
                                        struct spi_pose *pose, double *cc);

/** moved = map laid upon the grid (n, step) of a reference, by Fourier-quality
 * interpolation (stated error below 1e-3 of the map's rms for maps that are zero near the
 * faces). */
SPI_MUSTUSE spi_err spi_pose_apply(const struct spi_volume *map,
                                   const struct spi_pose *pose, int n, double step,
                                   struct spi_volume *moved);

/** Fourier shell correlation of two maps on one grid, doc/math.md (F1). */
struct spi_fsc {
    int n_shells;
    double *q;     /* [n_shells] mid-shell |q|, 1/A, shell width 1/(n step), owned */
    double *fsc;   /* [n_shells], owned */
    double *count; /* [n_shells] Fourier voxels in the shell, owned */
};
SPI_MUSTUSE spi_err spi_fsc_compute(const struct spi_volume *a, const struct spi_volume *b,
                                    struct spi_fsc *out);
void spi_fsc_clear(struct spi_fsc *f);
/** Resolution d = 1/q (A) where the curve first falls below `level` for good at least two
 *  shells in a row, linear interpolation between shells; 1/q of the last shell when it
 * never does (*reached_end = true); infinity when the first shell is already below. */
double spi_fsc_resolution_A(const struct spi_fsc *f, double level, double q_max,
                            bool *reached_end);
/** Pearson correlation of two maps on one grid. */
double spi_map_correlation(const struct spi_volume *a, const struct spi_volume *b);

#endif
