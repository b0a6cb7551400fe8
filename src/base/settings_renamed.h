/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Settings that had another name once.  Layer: base.  The old names still work, in files
 * and with --set; a line of log says the new one.
 *
 * X(section, old key, key): both in the same section of base/settings.h. */
#ifndef SPI_BASE_SETTINGS_RENAMED_H
#define SPI_BASE_SETTINGS_RENAMED_H

#define SPI_SETTINGS_RENAMED(X)                             \
    X(algorithm, signal_least, signal_min)                  \
    X(algorithm, N_starts, N_inits)                         \
    X(algorithm, N_starts_max, N_inits_max)                 \
    X(algorithm, N_generations_start, N_generations_init)   \
    X(algorithm, N_images_start, N_images_init)             \
    X(algorithm, start_qD, init_qD)                         \
    X(algorithm, march_ratio, marching_ratio)               \
    X(algorithm, rlambda_start, rlambda_init)               \
    X(algorithm, N_cg_start, N_cg_init)                     \
    X(phasing, modulus_slack, modulus_tolerance)            \
    X(converge, halves_sure, halves_cc_stop)                \
    X(converge, least_gain, halves_cc_gain_min)             \
    X(converge, phased_least, phase_consistency_min)        \
    X(converge, phased_sure, phase_consistency_stop)        \
    X(converge, unexplained_most, unexplained_variance_max) \
    X(converge, strangers_most, outlier_images_max)         \
    X(converge, contrast_least, contrast_min)               \
    X(converge, reach_least, resolution_elements_min)       \
    X(converge, covered_least, fourier_coverage_min)

#endif
