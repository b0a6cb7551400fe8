/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Phasing: autocorrelation -> density.  Layer: phase.  doc/math.md (P1)-(P16).
 *
 * A(x) even real, centred, n^3, voxel dx (A).  W = FT A; amplitude = sqrt(max(W, 0)) inside
 * the measured shell q_min <= |q| <= q_max, free up to a bound (P7) below q_min.  Beyond
 * q_max the iterate is zero at first and free in the last part of the recipe, the density
 * that is returned is zero there.  It is real (and, before the cut at q_max, positive where
 * asked), on the same grid, with the centre of mass at the voxel n/2.
 * Nothing depends on the scale of A: density = scale x what A / scale^2 gives. */
#ifndef SPI_PHASE_PHASE_H
#define SPI_PHASE_PHASE_H

#include <stdbool.h>
#include <stdint.h>

#include "math/volume.h"

/** One step of a recipe. */
enum spi_phase_method { SPI_PHASE_ER, SPI_PHASE_HIO, SPI_PHASE_RAAR, SPI_PHASE_SHRINKWRAP };

/** Row of the method table; `spinifel phase --list-methods` prints it. */
struct spi_phase_method_info {
    const char *name;      /* "ER" */
    const char *reference; /* "Fienup 1982" */
    const char *formula;   /* one line */
};
extern const struct spi_phase_method_info spi_phase_methods[]; /* by enum; ends with {0} */

struct spi_phase_options {
    double diameter_A;   /* first support: ball of radius 0.55 D */
    double q_min, q_max; /* 1/A, measured shell */
    const char *recipe;  /* e.g. "6*(40 RAAR, 10 ER, 1 SW), 40 ER" */
    double first_qD;     /* (P14): above this q_max D the recipe runs up to half of q_max
                          * first (a quarter, an eighth ...: until it is below), then up to
                          * twice as much each time; 0: up to q_max at once */
    double slack;        /* (P16): of the modulus, in units of what noise makes of W */
    int n_halves;        /* points of the next two; 0: W is taken as exact */
    const double *halves_q,
        *halves_cc; /* 1/A, rising: correlation of the intensities of two
                     * half sets, the shells' means removed; borrowed */
    double beta;    /* HIO and RAAR feedback, 0 ... 1 */
    bool positive;
    double sw_sigma_first,
        sw_sigma_last;   /* voxels, falls geometrically over the SW steps */
    double sw_threshold; /* of the 98th percentile of the smoothed density in the support */
    int n_starts;        /* independent random starts */
    double keep_within;  /* average starts with R-factor <= best * (1 + keep_within) */
    double keep_agreeing; /* and with a correlation with the best of at least this, (P17) */
    uint64_t seed;
    const struct spi_volume
        *initial;     /* NULL: random; else start 0 begins from this density */
    bool zero_beyond; /* |q| > q_max stays zero to the end; false: free in the last 40 %
                       * of the steps, (P2): far better phases near q_max */
};

struct spi_phase_result {
    struct spi_volume density; /* mean of the kept starts after alignment, owned */
    double *r_factor;          /* [n_starts], owned; sum ||F| - amp| / sum amp (P8) */
    int n_starts, n_kept;
    int n_shells;
    double *prtf;       /* [n_shells], owned: phase retrieval transfer function (P13);
                   * 1 when only one start is kept; NaN: no mode in the shell */
    double *reproduced; /* [n_shells], owned: correlation of the density's intensity with
                      * that of A, (P15); NaN: fewer than three modes, or no measured one */
    double *shell_q;    /* [n_shells], owned: mid-shell |q|, 1/A */
};

/** Parse a recipe: comma-separated "N METHOD" and "N*( ... )", nested at most 4 deep, at
 * most 100,000 steps.  out[*n] steps, owned by the caller (free).  SPI_EINVAL names the
 * place. */
SPI_MUSTUSE spi_err spi_phase_recipe_parse(const char *text, enum spi_phase_method **out,
                                           int *n);

/** SPI_EINVAL unless the options make sense for a grid of n voxels of `step`. */
SPI_MUSTUSE spi_err spi_phase_check(int n, double step,
                                    const struct spi_phase_options *opt);

/** Run it.  `stop` may be NULL; when *stop becomes nonzero the call returns SPI_ECANCEL.
 *  SPI_EINVAL: an option out of range, a grid too small (n dx < 1.25 D), A zero or not
 *  finite, no positive W between q_min and q_max. */
SPI_MUSTUSE spi_err spi_phase(const struct spi_volume *A,
                              const struct spi_phase_options *opt, const volatile int *stop,
                              struct spi_phase_result *out);
/** Release what the struct owns. */
void spi_phase_result_clear(struct spi_phase_result *r);

/** One start only, the unit that runs as a task: density and R-factor of start `index`.
 *  spi_phase = all starts + spi_phase_combine. */
SPI_MUSTUSE spi_err spi_phase_start(const struct spi_volume *A,
                                    const struct spi_phase_options *opt, int index,
                                    const volatile int *stop, struct spi_volume *density,
                                    double *r_factor);
/** Each good start superposed on the best by a translation (any, sub-voxel) and, if that
 *  fits better, the inversion, (P11)-(P12), and their average: only modes 0 < |q| <= q_max
 *  are compared and kept; PRTF. */
SPI_MUSTUSE spi_err spi_phase_combine(const struct spi_volume *A,
                                      const struct spi_phase_options *opt, int n_starts,
                                      struct spi_volume *density, const double *r_factor,
                                      struct spi_phase_result *out);

#endif
