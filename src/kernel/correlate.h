/** \file
 * Correlation of one image with one template over the rings, harmonic by harmonic.
 * Layer: kernel.  doc/math.md (R6).
 *
 *     C_m = sum_r conj(c_rm) L_rm
 *
 * Records are harmonic-major: for m = 0 ... M-1 the k_m = (off[m+1] - off[m]) / 2 rings that
 * have it, real parts then imaginary parts. */
#ifndef SPI_KERNEL_CORRELATE_H
#define SPI_KERNEL_CORRELATE_H

/** re[m * stride], im[m * stride] for m < M. */
void spi_correlate(int M, const int *off, const float *c, const float *L, long stride,
                   float *re, float *im);

#endif
