/** \file
 * Correlation of one image with one template over the rings, harmonic by harmonic.
 * Layer: kernel.  doc/math.md (R6).
 *
 *     C_m = sum_r conj(c_rm) L_rm
 *
 * Records are harmonic-major: for m = 0 ... M-1 the k_m = (off[m+1] - off[m]) / 2 rings
 * that have it, real parts then imaginary parts. */
#ifndef SPI_KERNEL_CORRELATE_H
#define SPI_KERNEL_CORRELATE_H

/** re[m * stride], im[m * stride] for m < M. */
void spi_correlate(int M, const int *off, const float *c, const float *L, long stride,
                   float *re, float *im);

/** The formula in double: re[m], im[m], and mag[m], a sum of absolute values.  A sum of 2 k
 *  products in any order: |error| <= gamma_{2k} mag. */
void spi_correlate_ref(int M, const int *off, const float *c, const float *L, double *re,
                       double *im, double *mag);

#endif
