/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw,
 * SC'11, 2011).  Layer: base.
 *
 * A stream is (seed, purpose, index): the numbers of image k do not depend on
 * which worker draws them, nor on how many images were drawn before. */
#ifndef SPI_BASE_RNG_H
#define SPI_BASE_RNG_H

#include <stdint.h>

/** What a stream is for; streams of different purpose never overlap. */
enum spi_rng_purpose {
    SPI_RNG_ORIENTATION = 1,
    SPI_RNG_FLUENCE,
    SPI_RNG_PHOTONS,
    SPI_RNG_LABEL,
    SPI_RNG_INIT_MODEL,
    SPI_RNG_BATCH,
    SPI_RNG_PHASE_START,
    SPI_RNG_TEST,
    SPI_RNG_HALVES,
    SPI_RNG_SAMPLE, /* images that are looked at first */
    SPI_RNG_CLASS,  /* what a simulated image shows */
    SPI_RNG_JUNK,   /* ... and how, where it is no particle */
    SPI_RNG_BACKGROUND,
    SPI_RNG_FAULTS, /* of a simulated detector */
    SPI_RNG_READOUT,
    SPI_RNG_KINDS,  /* starts of what tells kinds of images apart */
    SPI_RNG_PANELS, /* places of a simulated detector's panels */
};

struct spi_rng {
    uint32_t key[2], counter[4], out[4];
    int used;        /* numbers of `out` already given */
    int have_normal; /* a second normal deviate waits */
    double normal;
};

/** Start of the stream (seed, purpose, index).  `seed` uses all 64 bits,
 *  `index` the lowest 48, `purpose` 16. */
struct spi_rng spi_rng_stream(uint64_t seed, enum spi_rng_purpose purpose, uint64_t index);

/** Draw the next 32 random bits. */
uint32_t spi_rng_u32(struct spi_rng *r);
/** Uniform in (0, 1): 53 bits, never 0 nor 1. */
double spi_rng_uniform(struct spi_rng *r);
/** Uniform integer in [0, n), n >= 1, without bias. */
uint32_t spi_rng_below(struct spi_rng *r, uint32_t n);
/** Standard normal (Box and Muller). */
double spi_rng_normal(struct spi_rng *r);
/** Poisson deviate of mean lambda >= 0: inversion below 10, else Hormann's
 *  transformed rejection PTRS (Insurance: Math. Econ. 12 (1993) 39). */
int64_t spi_rng_poisson(struct spi_rng *r, double lambda);

/** The bare generator: out = Philox4x32-10(counter, key). */
void spi_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
