/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Every setting, once.  Layer: base.  This table makes the struct, the defaults, the
 * checks, `--set`, the dump in the run directory, `--help` and spinifel.toml(5).
 *
 * X(section, key, type, default, lowest, highest, unit, help)
 *   type: int, double, bool or text (then lowest/highest are unused and `unit` may hold the
 *   allowed words separated by '|').
 * Keys keep SpiniFEL's names where the meaning is the same. */
#ifndef SPI_BASE_SETTINGS_H
#define SPI_BASE_SETTINGS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

enum { SPI_TEXT_MAX = 256 };

/* clang-format off */
#define SPI_SETTINGS(X)                                                                          \
    X(particle, diameter_A, double, 0, 0, 1e5, "A", "largest diameter of the particle; 0: estimated from the images") \
    X(particle, q_max_invA, double, 0, 0, 10, "1/A", "highest |q| used; 0: the middle of the detector's edge") \
    X(particle, q_min_invA, double, 0, 0, 10, "1/A", "lowest |q| used; 0: 1/diameter or the beam stop, whichever is larger") \
    X(particle, centre, text, "images", 0, 0, "images|file", "where the beam meets the detector: as the images show it, where the file is clearly wrong (250 images or more, at most 10 pixels); always as the file says") \
    X(particle, background, text, "images", 0, 0, "images|none", "light that is not the particle's: taken out as the images show it; left in, unless --background gives it") \
    X(detector, geometry, text, "images", 0, 0, "images|file", "where the detector's panels are, and how far the detector: as the images show it beside the models of the half sets, where the file is clearly wrong; always as the file says") \
    X(detector, correct_drift, bool, false, 0, 1, "", "where the beam's centre moves over the file, each image is taken about the place where the beam was (--correct-drift)") \
    X(detector, trust_mask, bool, false, 0, 1, "", "masks say all: no pixel is masked because of its values, and no value is replaced (--trust-mask)") \
    X(detector, bad_values, text, "", 0, 0, "", "values that are no measurement, besides those found: -1,65535 (--bad-value)") \
    X(detector, gain, double, 0, 0, 1e9, "", "units of the file that one photon reads, of a detector with electronics (--gain); 0: estimated where the photon peaks are visible") \
    X(detector, pedestal, double, 0, -1e9, 1e9, "", "with a gain: units of the file that no photon reads (--pedestal)") \
    X(detector, read_noise, double, 0, 0, 100, "photons", "with a gain: standard deviation of a reading (--read-noise)") \
    X(algorithm, halves, text, "random", 0, 0, "random|blocks", "half sets of the images: drawn at random with the run's seed; the earlier and the later images") \
    X(algorithm, signal_min, double, -1, -1, 1e30, "", "images whose usable pixels up to q_max add to less, in the file's unit, are blank and stay aside; 0: those without any signal; -1: also a group far below the others") \
    X(algorithm, N_generations, int, 200, 1, 10000, "", "generations at most, random initialisations and frequency marching together; a run that begins anew with another diameter has as many again") \
    X(algorithm, N_inits, int, 1, 1, 64, "", "independent random initialisations of each half set in one round") \
    X(algorithm, N_inits_max, int, 6, 1, 64, "", "random initialisations of each half set at most: rounds go on until the halves agree") \
    X(algorithm, N_generations_init, int, 30, 1, 1000, "", "generations of a random initialisation") \
    X(algorithm, N_images_init, int, 400, 16, 1000000, "", "images of a random mini-batch in the random initialisations") \
    X(algorithm, N_images_heldout, int, 250, 8, 1000000, "", "images of each half set kept aside to score the random initialisations") \
    X(algorithm, N_diameters, int, 2, 0, 2, "", "where the diameter is estimated from the images: so often the run begins anew with the diameter that its random initialisations show, when that is another one and the half sets agree to converge.halves_cc_repeat") \
    X(algorithm, init_qD, double, 5, 2, 100, "", "resolution of the random initialisations: highest q times diameter") \
    X(algorithm, marching_ratio, double, 1.35, 1.05, 3, "", "step of q_max from one level of frequency marching to the next") \
    X(algorithm, perplexity_start, double, 0.03, 1e-6, 1, "", "first perplexity, as a fraction of all orientations") \
    X(algorithm, perplexity_end, double, 4, 1, 1e6, "", "last perplexity of the random initialisations, in orientations") \
    X(algorithm, ring_oversampling, double, 1.3, 1, 4, "", "rings per Shannon cell 1/(2D) of |q|") \
    X(algorithm, N_orientations, int, 0, 0, 100000000, "", "view directions x in-plane angles at most in the random initialisations; 0: one Shannon cell apart") \
    X(algorithm, N_candidates, int, 5, 1, 32, "", "distinct view directions kept for each image between levels") \
    X(algorithm, symmetry, text, "auto", 0, 0, "", "point group of the particle: C2, D7, T, O, I ...; C1: none; auto: found in the images") \
    X(algorithm, score, text, "auto", 0, 0, "auto|poisson|gaussian|euclid", "what compares an image with a model slice: likelihood of photons; of analogue data with the variance of each ring; distance at the best scale; auto: by what the file holds") \
    X(algorithm, N_refine, int, 1, 0, 20, "", "rounds of continuous refinement of all rotations before the last merge; 0: none") \
    X(algorithm, match_phased, bool, false, 0, 1, "", "match against the phased model, as published, instead of the merged one") \
    X(algorithm, rlambda_init, double, 1e-3, 0, 1e3, "", "Tikhonov weight in the random initialisations, relative to the trace") \
    X(algorithm, rlambda, double, 1e-2, 0, 1e3, "", "Tikhonov weight in frequency marching, relative to the trace") \
    X(algorithm, N_cg_init, int, 8, 1, 1000, "", "conjugate-gradient steps of a merge in the random initialisations") \
    X(algorithm, N_cg, int, 40, 1, 1000, "", "conjugate-gradient steps of a merge afterwards") \
    X(algorithm, flambda, double, 0.1, 0, 1e6, "", "weight of the last merge against intensity beyond q_max, relative to the trace") \
    X(algorithm, cg_tol, double, 1e-5, 0, 1, "", "conjugate gradients end when the residual has fallen to this fraction of the right-hand side") \
    X(algorithm, discrepancy, double, 0, 0, 100, "", "the last merge's conjugate gradients end when the misfit is down to this many times that expected of photons; 0: no such rule") \
    X(algorithm, N_lambda, int, 13, 3, 64, "", "points of the L-curve in the last merge") \
    X(algorithm, lambda_min, double, 1e-5, 0, 1e3, "", "smallest Tikhonov weight of the L-curve, relative to the trace") \
    X(algorithm, lambda_max, double, 3e-3, 0, 1e3, "", "largest Tikhonov weight of the L-curve, relative to the trace") \
    X(algorithm, nufft_tol, double, 1e-3, 1e-6, 0.1, "", "relative error asked of a nonuniform transform") \
    X(phasing, recipe, text, "6*(40 RAAR, 10 ER, 1 SW), 40 ER", 0, 0, "", "steps: ER, HIO, RAAR, SW (shrink-wrap); empty: made from nER, nHIO, N_phase_loops") \
    X(phasing, first_qD, double, 10, 4, 1e6, "", "above this q_max times diameter a start follows the recipe up to half of q_max first (a quarter, an eighth ...: until it is below), then up to twice as much each time") \
    X(phasing, modulus_tolerance, double, 0.3, 0, 100, "", "where two half sets correlate to c, how far an intensity may leave the measured one: times 1 - c, times the standard deviation of its shell") \
    X(phasing, N_phase_starts, int, 8, 1, 1000, "", "independent random starts of the last phasing") \
    X(phasing, N_phase_rounds, int, 3, 1, 64, "", "rounds of such starts at most, each with 1.5 times the cutoff of the one before, until the half maps agree (converge.phase_consistency_stop)") \
    X(phasing, beta, double, 0.9, 0, 1, "", "feedback of HIO and RAAR") \
    X(phasing, positivity, bool, true, 0, 1, "", "negative density is not allowed") \
    X(phasing, nER, int, 50, 0, 100000, "", "ER steps before and after HIO, when recipe is empty") \
    X(phasing, nHIO, int, 25, 0, 100000, "", "HIO steps, when recipe is empty") \
    X(phasing, N_phase_loops, int, 10, 1, 10000, "", "repeats of (nER, nHIO, nER, shrink-wrap), when recipe is empty") \
    X(phasing, sw_sigma_first, double, 2, 0.1, 20, "voxel", "first blur of shrink-wrap") \
    X(phasing, sw_sigma_last, double, 0.8, 0.1, 20, "voxel", "last blur of shrink-wrap") \
    X(phasing, cutoff, double, 0.15, 0, 1, "", "shrink-wrap threshold, of the 98th percentile in the support") \
    X(phasing, keep_within, double, 0.1, 0, 10, "", "starts averaged: R-factor at most this fraction above the best") \
    X(phasing, keep_agreeing, double, 0.88, -1, 1, "", "and correlation with the best start at least this, over what the half sets agree in") \
    X(converge, halves_cc, double, 0.5, 0, 1, "", "least correlation of the half sets' intensities (shell means removed) to call a random initialisation good") \
    X(converge, halves_cc_repeat, double, 0.8, 0, 1, "", "the same at which two random initialisations of each half set that find one model are enough, and at which a diameter that they show is taken") \
    X(converge, halves_cc_stop, double, 0.95, 0, 1, "", "the same at which no further rounds of random initialisations are made") \
    X(converge, patience, int, 1, 1, 100, "", "generations without better half-map agreement before the loop stops") \
    X(converge, halves_cc_gain_min, double, 0.003, 0, 1, "", "gain of the half sets' mean intensity correlation that counts as better") \
    X(converge, phase_consistency_min, double, 0.8, -1, 1, "", "least agreement of the half maps, as a share of what the agreement of their intensities allows") \
    X(converge, phase_consistency_stop, double, 0.93, -1, 1, "", "the same at which no further rounds of phasing are made, if at least half of the random initialisations agree") \
    X(converge, unexplained_variance_max, double, 0.25, 0, 1e6, "", "largest fraction of the images' structure that the map may leave unexplained") \
    X(converge, outlier_images_max, double, 0.35, 0, 1, "", "largest fraction of outlier images: those of whose structure the map leaves more than half unexplained; as long as there are no more they are left out") \
    X(converge, contrast_min, double, 0.001, -1, 1e6, "", "least contrast^2 of the images about their mean image: about 1 for a particle alone") \
    X(converge, resolution_elements_min, double, 4, 0, 100, "", "least resolution of the result, as the particle's diameter over it; at most three quarters of what the detector reaches") \
    X(converge, fourier_coverage_min, double, 0.6, 0, 1, "", "least fraction of the directions at the claimed resolution that slices of the images cross") \
    X(runtime, workers, int, 0, 0, 1024, "", "workers; 0: one for each core that the process may use (affinity, CPU limit of its control group)") \
    X(runtime, backend, text, "threads", 0, 0, "threads|starpu|serial|copies", "what runs the tasks: threads of this program, as many as asked for; the StarPU library, as many as it was built for; one task after another; the same, each on copies of the data it names, which finds a task that reaches for more. The results are the same") \
    X(runtime, block_images, int, 32, 1, 4096, "", "images of one matching task") \
    X(runtime, seed, int, 1, 0, 2147483647, "", "random numbers of the reconstruction (--seed)")
/* clang-format on */

typedef char spi_text[SPI_TEXT_MAX];

/* `text` is the table's word for a string; spi_text is its C type. */
#define SPI_TYPE_int    int
#define SPI_TYPE_double double
#define SPI_TYPE_bool   bool
#define SPI_TYPE_text   spi_text

/* One flat struct; a key stands once in the table, whatever its section. */
struct spi_settings {
#define X(section, key, type, dflt, lo, hi, unit, help) SPI_TYPE_##type key;
    SPI_SETTINGS(X)
#undef X
};

enum spi_setting_type { SPI_SET_int, SPI_SET_double, SPI_SET_bool, SPI_SET_text };

/** One row of the table, as data. */
struct spi_setting {
    const char *section, *key;
    enum spi_setting_type type;
    double lo, hi;
    const char *unit, *help;
    size_t offset; /* in struct spi_settings */
};
extern const struct spi_setting spi_setting_table[]; /* ends with a NULL key */

/** Set every setting to the default of the table. */
void spi_settings_default(struct spi_settings *s);
/** One section of `from`, nothing else. */
void spi_settings_copy_section(struct spi_settings *to, const struct spi_settings *from,
                               const char *section);

/** Row of a setting; section NULL: the key alone is enough.  A former name
 *  (base/settings_renamed.h) finds the row as well.  NULL: there is none. */
const struct spi_setting *spi_setting_find(const char *section, const char *key);
/** SPI_EINVAL, naming the nearest, if no setting is in this section. */
SPI_MUSTUSE spi_err spi_settings_check_section(const char *where, const char *section);

/** A line of log that names the new key when `key` is a former name of this setting. */
void spi_setting_hint(const char *where, const struct spi_setting *row, const char *key);

/** Set one value from text: "section", "key" (section NULL: key alone is enough).
 *  `where` begins every message ("run.toml:12" or "--set").  Unknown key: the message names
 *  the nearest.  SPI_EINVAL. */
SPI_MUSTUSE spi_err spi_settings_set(struct spi_settings *s, const char *where,
                                     const char *section, const char *key,
                                     const char *value);

/** The recipe in force: `recipe`, or if it is empty SpiniFEL's
 *  "N_phase_loops*(nER ER, nHIO HIO, nER ER, 1 SW)". */
void spi_settings_recipe(const struct spi_settings *s, char out[SPI_TEXT_MAX]);

/** Long enough for the text of any value: each byte of a text may need an escape of six
 *  characters. */
enum { SPI_VALUE_MAX = 6 * SPI_TEXT_MAX + 3 };

/** All settings as TOML with units and help as comments. */
void spi_settings_dump(const struct spi_settings *s, FILE *to);
/** Value of one setting as TOML: 0.01, true, "auto".  size >= SPI_VALUE_MAX never cuts. */
void spi_settings_value(const struct spi_settings *s, const struct spi_setting *row,
                        char *out, size_t size);

#endif
