/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The detector's own pixels: which take part, and where they lie in the object.  Layer:
 * ring. doc/math.md section 8.
 *
 * An image rotated by quat (R: molecule -> laboratory) samples W at
 *     q_kp = R(quat_k)^T q_p                                                         (V7).
 * Bad pixels, those outside q_min <= |q| <= q_max and those of no geometry factor are left
 * out. */
#ifndef SPI_RING_PIXEL_LIST_H
#define SPI_RING_PIXEL_LIST_H

#include "io/images.h"
#include "nufft/nufft.h"
#include "ring/ring.h"

/** The pixels that take part, once per data set, in the order of spi_points_order. */
struct spi_pixel_list {
    int64_t n;
    int32_t *pixel;  /* [n] index in an image, owned */
    float (*q)[3];   /* [n] 1/A, laboratory, owned */
    float *kappa;    /* [n] |q| / q_max, owned */
    float *geometry; /* [n] solid angle x polarisation, owned */
    double q_max;    /* 1/A */
};

/** SPI_EINVAL when no usable pixel lies between q_min and q_max. */
SPI_MUSTUSE spi_err spi_pixel_list_init(struct spi_pixel_list *l,
                                        const struct spi_detector *det, double q_min,
                                        double q_max);
/** Release what the struct owns. */
void spi_pixel_list_clear(struct spi_pixel_list *l);

/** The list for n images from `first` on, where their beam drifts (spi_images_drift): q alone
 * is new and owned by *own, the rest borrowed; *out: own, or l itself where no beam does.
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_pixel_list_of(const struct spi_pixel_list *l,
                                      const struct spi_images *images, int64_t first,
                                      int64_t n, struct spi_pixel_list *own,
                                      const struct spi_pixel_list **out);
/** Release what `own` owns. */
void spi_pixel_list_of_clear(struct spi_pixel_list *own);

/** M[n] = R(quat)^T, detector -> object. */
void spi_pixel_rotations(int64_t n, const double (*quat)[4], double (*M)[9]);

/** W(R_k^T q_p) of n orientations at all pixels: W[n][l->n].  grid: prepared fine grid. */
SPI_MUSTUSE spi_err spi_pixel_list_values(const struct spi_pixel_list *l, int64_t n,
                                          const double (*quat)[4], const spi_nufft *plan,
                                          const float *grid, float *W);

/** A quantity of the first R rings (R >= 2) at the pixels, linear in |q|. */
void spi_pixel_list_from_rings(const struct spi_pixel_list *l, const struct spi_rings *g,
                               int R, const float *ring, float *out);

/** The quaternion (molecule -> laboratory) of direction `dir` and in-plane angle `angle`
 * (rad) of a grid of view directions: R = (R_n Rz(angle))^T, see (R1). */
void spi_view_quat(const struct spi_views *v, int64_t dir, double angle, double quat[4]);

#endif
