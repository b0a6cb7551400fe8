/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Images that do not show one whole particle.  Layer: sim.  doc/math.md (S17)-(S19). */
#ifndef SPI_SIM_JUNK_H
#define SPI_SIM_JUNK_H

#include "base/rng.h"
#include "io/images.h"

/** Share of all images that show something else, by what they show. */
struct spi_junk_shares {
    double blank, sphere, doublet, other; /* other: another structure */
};
/** What image k shows: class, from the stream (seed, SPI_RNG_CLASS, k). */
enum spi_image_class spi_junk_class(const struct spi_junk_shares *shares, uint64_t seed,
                                    int64_t k);

/** Diameters of spheres, A. */
#define SPI_SPHERE_LEAST_A 60.0
#define SPI_SPHERE_MOST_A  200.0
/** Uniform in the logarithm of the diameter. */
double spi_sphere_diameter_A(struct spi_rng *r);
/** W [n_pixels] of a water droplet, electrons^2 (S17). */
void spi_sphere_intensity(const struct spi_detector *det, double diameter_A, float *W);
/** W of a droplet at the lowest |q| that counts, from above. */
double spi_sphere_largest(double diameter_A, double q_min);

/** F += G exp(2 pi i q.d): the second of two particles that are d (A) apart (S18). */
void spi_doublet_add(const struct spi_detector *det, const double d[3], const float (*G)[2],
                     float (*F)[2]);

#endif
