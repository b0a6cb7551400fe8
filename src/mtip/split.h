/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Which images take part, and in which half set.  Layer: mtip.  doc/math.md (E5), (E6);
 * doc/decisions/016.
 *
 * Images without signal and those whose pixels repeat an earlier image stay aside.  The
 * others are dealt to two half sets by a seeded draw, or in two
 * blocks of time.  Some of them are doubtful: they do not look like the others, and make no
 * model; the map of the others judges them in the end (doc/math.md (Q22)). */
#ifndef SPI_MTIP_SPLIT_H
#define SPI_MTIP_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** Why an image stays aside. */
enum spi_aside {
    SPI_ASIDE_NO,
    SPI_ASIDE_BLANK,
    SPI_ASIDE_COPY,
    /* doubtful until the end of a run: */
    SPI_ASIDE_ROUND,   /* no structure along its rings: a droplet, or background alone */
    SPI_ASIDE_DOUBLET, /* structure of something longer than the particle */
    SPI_ASIDE_OTHER,   /* it does not look like the others, and is doubtful until the end
                        * of a run; then: the map does not explain it */
    SPI_ASIDE_KINDS
};

/** How the images that take part are dealt: by a seeded draw, the earlier ones to half 1, or
 * all to half 1. */
enum spi_deal { SPI_DEAL_RANDOM, SPI_DEAL_BLOCKS, SPI_DEAL_ONE };

enum { SPI_SPLIT_PAIRS = 3 };

struct spi_split {
    int64_t n;                            /* images of the file */
    uint8_t *half;                        /* [n] 1 or 2; 0: stays aside; owned */
    uint8_t *aside;                       /* [n] enum spi_aside, owned; with a half set: the
                                           * image is doubtful */
    int64_t n_half[2];                    /* images of each half set, doubtful ones too */
    int64_t n_blank, n_copies;            /* that stay aside */
    int64_t n_round, n_doublets, n_other; /* that are doubtful */
    double signal_min;                    /* images with less signal are blank */
    int64_t pair[SPI_SPLIT_PAIRS + 1][2]; /* the first copies: the image, what it repeats */
};

/** How an image is recognised: 64 bits that equal pixels have in common.  +0 and -0 are
 *  equal. */
uint64_t spi_split_hash(int64_t n, const float *pixels);

/** (E5): the signal below which images are blank, from the n signals.  0: no population of
 *  images stands apart below the others; only images without any signal are blank.
 *  photons: signals are counts, and few counts say little. */
SPI_MUSTUSE spi_err spi_split_least(int64_t n, const double *signal, bool photons,
                                    double *least);

/** Fill `s` from the signal and the hash of each image (NULL: copies take part), and from
 * what it shows, [n] SPI_ASIDE_NO, _ROUND, _DOUBLET or _OTHER (NULL: not looked at).  least:
 *  below it images are blank, and so are images without any signal.  SPI_DEAL_RANDOM: stream
 *  (seed, SPI_RNG_HALVES, 0) (E6). */
SPI_MUSTUSE spi_err spi_split_init(struct spi_split *s, int64_t n, const double *signal,
                                   const uint64_t *hash, const uint8_t *shows, double least,
                                   enum spi_deal deal, uint64_t seed);
/** Whether image k makes the models of the loop. */
static inline bool spi_split_models(const struct spi_split *s, int64_t k)
{
    return s->aside[k] == SPI_ASIDE_NO;
}
/** Whether the map judges image k in the end. */
static inline bool spi_split_doubtful(const struct spi_split *s, int64_t k)
{
    return s->half[k] && s->aside[k] != SPI_ASIDE_NO;
}
/** Images that make the models of the loop. */
int64_t spi_split_count(const struct spi_split *s);

/** Release what the struct owns. */
void spi_split_clear(struct spi_split *s);

#endif
