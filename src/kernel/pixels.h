/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One pass over the pixels of an image.  Layer: kernel. */
#ifndef SPI_KERNEL_PIXELS_H
#define SPI_KERNEL_PIXELS_H

#include <stdbool.h>
#include <stdint.h>

/** Bad pixels become 0.  Returns whether all others are finite and 0 or more. */
bool spi_pixels_clean(int64_t n, const uint8_t *bad, float *image);
/** Sum of the pixels that count (counted[p] is not 0), in an order that is the same
 * everywhere. */
double spi_pixels_sum(int64_t n, const uint8_t *counted, const float *image);
/** image *= scale; sum += sign image, where sign is 1 or -1. */
void spi_pixels_add(int64_t n, float scale, double sign, float *image, double *sum);

#endif
