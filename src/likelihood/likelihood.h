/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What compares an image with a model: a table of likelihoods.  Layer: likelihood.
 * doc/math.md section 4, (B1)...(B4), (Q3), (Q4), (Q9).
 *
 * Of pixels (or ring samples) p with values K_p, model T_p, geometry factor (or live
 * weight) g_p and inverse variance v_p every row makes
 *
 *     fit = sum_p K_p f(T_p),  norm = sum_p g_p h(T_p),  N = sum_p K_p,  K2 = sum_p K_p^2
 *     LL  = pair(fit, table(norm), N, K2)                                              (B4)
 *
 *                  f(T)     h(T)     table(B)   pair(x, t, N, K2)
 *     poisson      log T    T        log B      x - N t                      (M1), (B3)
 *     gaussian     T v      T^2 v    B          x^2 / (2 t) if x > 0         (M2), (B2)
 *     euclid       as gaussian, with the same v everywhere
 *     published    g T      g T^2    B          x - (t + K2) / 2             (B1)
 *
 * A row says so twice: in double, term by term, which only references use, and in the forms
 * that are fast.  The tests of slice and match walk the table and hold the second to the
 * first.
 *
 * A new likelihood is one file with one row, and its name in rows.h.  A run may ask for it
 * when the choices of `algorithm.score` (base/settings.h) name it. */
#ifndef SPI_LIKELIHOOD_LIKELIHOOD_H
#define SPI_LIKELIHOOD_LIKELIHOOD_H

#include <stdbool.h>

#include "io/images.h"
#include "kernel/lanes.h"
#include "kernel/refine.h"

/** Kinds of images that `auto` takes a likelihood for, as bits. */
enum { SPI_FOR_PHOTONS = 1 << SPI_PHOTONS, SPI_FOR_INTENSITIES = 1 << SPI_INTENSITIES };

struct spi_likelihood {
    const char *name;
    int automatic; /* for these kinds of images `auto` means this row; it tells their noise */
    bool weighted; /* v is read */
    bool rings;    /* matches on rings and refines; else pixel by pixel only */

    /** v of R rings, from mean and variance of the samples of each; NULL: not weighted. */
    void (*inv_var)(int R, const double *mean, const double *variance, float *v);

    /* ---- (B4), term by term ---- */
    double (*f)(double T, double g, double v);
    double (*h)(double T, double g, double v);
    double (*table)(double norm);
    double (*pair)(double x, double table, double N, double K2); /* of brute force, too */
    double (*fluence)(double fit, double norm, double N);

    /* ---- on rings: n samples of a ring of inverse variance v; all T > 0 ---- */
    /** out = f(T), or f(inv_unit T) where LL does not depend on the unit of T. */
    void (*ring_f)(int n, const float *T, float v, float inv_unit, float *out);
    /** out = h(T); NULL: h is T, and norm the expected counts. */
    void (*ring_h)(int n, const float *T, float v, float *out);
    /** norm [Na] -> table [Na] in the unit of ring_f; may be the same array. */
    void (*ring_table)(int Na, const float *norm, float inv_unit, float *table);
    enum spi_score_form form; /* `pair` of SPI_LANES pairs */

    /* ---- brute force: all pixels of one orientation ---- */
    bool positive; /* T is floored before */
    /** T -> f(T), or f(T / S) where LL does not depend on the unit of T, S = sum g T; returns
     * the table in that unit.  v NULL: 1. */
    double (*pixels)(int64_t n, const float *g, const float *v, double S, float *T);

    /* ---- refinement ---- */
    spi_sums_fn *sums; /* (Q3) */
    /** k and c of (Q4). */
    void (*slopes)(double phi, double *k, double *c);

    /* ---- misfit (Q9) ---- */
    /** w [n]: the fluence of an image is sum w K / sum w M, M: what the model has at the
     * pixels; v is read where the row is weighted. */
    void (*fluence_weights)(int n, const double *M, const double *v, double *w);
    /** out [n] = 1 / variance of the pixels' values; expected: their means; v as above. */
    void (*precisions)(int n, const double *expected, const double *v, double *out);
};

/** The table; NULL ends it. */
extern const struct spi_likelihood *const spi_likelihoods[];
/** "poisson|gaussian|...": their names, as the choices of an option. */
extern const char spi_likelihood_names[];

/** The row that `auto` means for images of a kind (doc/decisions/004); it tells their noise.
 */
const struct spi_likelihood *spi_likelihood_of(enum spi_image_kind images);
/** The row of a name, or of auto; NULL: there is none. */
const struct spi_likelihood *spi_likelihood_named(const char *name,
                                                  enum spi_image_kind images);

/** Sums of (B4), term by term; what becomes of them. */
struct spi_likelihood_terms {
    double fit, norm, N, K2;
};
/** Add a pixel of K counts where the model has T; g, v as above. */
void spi_likelihood_add(const struct spi_likelihood *like, double K, double T, double g,
                        double v, struct spi_likelihood_terms *sums);
/** LL of the sums (B4). */
double spi_likelihood_value(const struct spi_likelihood *like,
                            const struct spi_likelihood_terms *sums);

#endif
