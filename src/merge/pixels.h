/** \file
 * Images at given orientations -> the least squares of merging, pixel by pixel.  Layer: merge.
 * doc/math.md section 2.
 *
 *     b_kp = K_kp / (phi_k g_p),  w_kp = kappa_p phi_k g_p,  kappa_p = |q_p| / q_max      (V6)
 *
 * g_p: geometry factor of the pixel (solid angle x polarisation).  Bad pixels, and those outside
 * q_min <= |q| <= q_max, have weight zero. */
#ifndef SPI_MERGE_PIXELS_H
#define SPI_MERGE_PIXELS_H

#include "io/images.h"
#include "nufft/nufft.h"

/** The pixels that take part, once per data set. */
struct spi_pixel_list {
    int64_t n;
    int32_t *pixel;      /* [n], owned */
    float (*q)[3];       /* [n] 1/A, laboratory, owned */
    float *kappa, *geometry; /* [n], owned */
};
/** SPI_EINVAL when no usable pixel lies between q_min and q_max. */
SPI_MUSTUSE spi_err spi_pixel_list_init(struct spi_pixel_list *l, const struct spi_detector *det,
                                        double q_min, double q_max);
void spi_pixel_list_clear(struct spi_pixel_list *l);

/** Spread n images into a two-component fine grid: components kappa K and w.
 *  images: [n][n_pixels] counts; quat: [n][4] molecule -> laboratory; fluence: [n] or NULL (1).
 *  *weight += sum of w, *norm2 += sum of w b^2. */
SPI_MUSTUSE spi_err spi_pixels_merge(const struct spi_pixel_list *l, int64_t n,
                                     int64_t n_pixels, const float *images,
                                     const double (*quat)[4], const float *fluence,
                                     const spi_nufft *plan, float *grid2, double *weight,
                                     double *norm2);

/** The model images themselves: out[n][n_pixels] = phi_k g_p W(R_k^T q_p), 0 at pixels that do not
 *  take part.  grid: prepared fine grid of A. */
SPI_MUSTUSE spi_err spi_pixels_slice(const struct spi_pixel_list *l, int64_t n,
                                     int64_t n_pixels, const double (*quat)[4],
                                     const float *fluence, const spi_nufft *plan,
                                     const float *grid, float *out);

#endif
