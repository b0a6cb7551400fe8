/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Images and model slices on rings.  Layer: ring.  doc/math.md section 3.
 *
 * Rotating the detector about the beam maps it onto itself, and |q| and q_z are constant on
 * a ring, also on a curved Ewald sphere.  With M = R_n Rz(a) (detector -> object),
 *
 *     image(r, phi) = T_n(r, phi + a),   T_n(r, phi) = W(R_n q(r, phi))               (R1)
 *     q(r, phi) = (qp cos phi, qp sin phi, qz),  qz = -lambda q^2 / 2,  qp^2 = q^2 - qz^2
 *
 * so that one correlation over phi compares an image with all in-plane angles.
 *
 * Ring r has n[r] samples at angles 2 pi j / n[r] and keeps harmonics 0 ... m_max[r]: W is
 * band-limited by the diameter D, so harmonics beyond 2 pi qp D + 2 vanish.
 * Harmonics are stored ring by ring ("ring-major"): harmonic m of ring r is element
 * h_at[r] + m, h_at[r] a multiple of 8 (64 bytes), and between the rings there are zeros;
 * the first R rings are a prefix of the record. */
#ifndef SPI_RING_RING_H
#define SPI_RING_RING_H

#include <complex.h>
#include <stdint.h>

#include "io/images.h"
#include "kernel/correlate.h"
#include "nufft/nufft.h"

enum { SPI_RING_ALIGN = 8 };
/** n harmonics and the zeros behind them. */
static inline int spi_ring_padded(int n)
{
    return (n + SPI_RING_ALIGN - 1) / SPI_RING_ALIGN * SPI_RING_ALIGN;
}

struct spi_rings {
    double diameter_A, wavelength_A, dq; /* dq <= 1 / (2 D oversampling), 1/A */
    int R;                               /* rings */
    double *q, *qp, *qz;                 /* [R] 1/A, owned */
    int *n, *m_max;                      /* [R] samples; highest harmonic kept, owned */
    int *at, *h_at; /* [R + 1] offsets of samples and harmonics, owned */
};

enum { SPI_RINGS_LEAST = 4 };
/** How many rings spi_rings_init makes. */
double spi_rings_count(double diameter_A, double q_min, double q_max, double oversampling);
/** Rings from q_min to q_max, both included.  SPI_EINVAL: fewer than 4 rings, more than
 * 4,096. */
SPI_MUSTUSE spi_err spi_rings_init(struct spi_rings *g, double diameter_A,
                                   double wavelength_A, double q_min, double q_max,
                                   double oversampling);
/** Release what the struct owns. */
void spi_rings_clear(struct spi_rings *g);
/** Number of rings with |q| <= q (at least 1, at most g->R). */
int spi_rings_upto(const struct spi_rings *g, double q);

/** Pixels -> rings: the transpose of cubic (Keys 1981, a = -1/2) interpolation from the
 * rings to the pixel, 4 x 4 taps (R2).  Counts are kept: the taps of a pixel add to 1. */
struct spi_ring_map {
    int64_t n_used;  /* pixels that are good and lie between the first and last ring */
    int32_t *pixel;  /* [n_used], owned */
    int32_t *sample; /* [n_used][16], owned */
    float *weight;   /* [n_used][16], owned */
    float *live;     /* [samples] d = transpose applied to the geometry factor, owned */
    float complex *live_h; /* [harmonics] of d, owned */
    double n_live;         /* sum of d */
};

/** Map the usable pixels of a detector.  SPI_EINVAL: none lies between the first and the
 *  last ring. */
SPI_MUSTUSE spi_err spi_ring_map_init(struct spi_ring_map *map, const struct spi_rings *g,
                                      const struct spi_detector *det);
/** Release what the struct owns. */
void spi_ring_map_clear(struct spi_ring_map *map);

/** samples[g->at[R]] = K' (R2) of one image; also the image's counts on the rings. */
void spi_ring_resample(const struct spi_ring_map *map, const struct spi_rings *g,
                       const float *image, float *samples);
/** Harmonics h_m = sum_j s_j exp(-i m phi_j) of the first R rings (R3). */
SPI_MUSTUSE spi_err spi_ring_analyse(const struct spi_rings *g, int R, float *samples,
                                     float complex *h);
/** Counts of an image on the first R rings, of which h are the harmonics; at least 0. */
float spi_ring_counts(const struct spi_rings *g, int R, const float complex *h);
/** The inverse: s_j = (1/n) sum_m h_m exp(i m phi_j) of the first R rings (R4). */
SPI_MUSTUSE spi_err spi_ring_synthesise(const struct spi_rings *g, int R,
                                        const float complex *h, float *samples);

/** to += h rotated: to_rm += phasor_m h_rm of the first R rings.  The phasor of a rotation by
 *  a is exp(-i m a), for m < spi_ring_padded(m_max[R - 1] + 1) (anything finite beyond
 *  m_max). */
void spi_ring_add_rotated(const struct spi_rings *g, int R, const float complex *phasor,
                          const float complex *h, float complex *to);

/** scale times the positions of the samples of the first R rings rotated by M (detector ->
 * object); pos: [g->at[R]][3], 1/A for scale 1. */
void spi_ring_positions(const struct spi_rings *g, int R, const double M[9], double scale,
                        float (*pos)[3]);
/** The samples of the first R rings as points of a plan, for any number of transforms. */
SPI_MUSTUSE spi_err spi_ring_points(const struct spi_rings *g, int R, const spi_nufft *plan,
                                    spi_points **out);

/** The first R rings, re-ordered for correlation: see kernel/correlate.h. */
SPI_MUSTUSE spi_err spi_band_init(struct spi_band *b, const struct spi_rings *g, int R);
/** Release what the struct owns. */
void spi_band_clear(struct spi_band *b);
/** record [b->floats] = harmonics (ring-major), ring r multiplied by scale[r] (NULL: 1). */
void spi_band_pack(const struct spi_band *b, const struct spi_rings *g,
                   const float complex *h, const float *scale, float *record);

/** The discrete orientations of a level: nd directions x Na in-plane angles. */
struct spi_views {
    int64_t nd;
    int Na;      /* >= 2 M, as spi_angular_count: angle a is 2 pi a / Na */
    double cell; /* rad between neighbours */
};
/** One Shannon cell 1/(2 D q_max) apart, divided by `finer`. */
struct spi_views spi_views_for(const struct spi_rings *g, const struct spi_band *b,
                               double finer);

#endif
