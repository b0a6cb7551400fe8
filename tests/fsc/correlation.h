/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pearson correlation of two maps on one grid. */
#ifndef SPI_TESTS_CORRELATION_H
#define SPI_TESTS_CORRELATION_H

#include <math.h>

#include "math/volume.h"

static inline double map_correlation(const struct spi_volume *a, const struct spi_volume *b)
{
    size_t count = spi_volume_count(a);
    double ma = 0, mb = 0, ab = 0, aa = 0, bb = 0;

    if (a->n != b->n)
        return 0;
    for (size_t i = 0; i < count; i++) {
        ma += (double)a->data[i];
        mb += (double)b->data[i];
    }
    ma /= (double)count;
    mb /= (double)count;
    for (size_t i = 0; i < count; i++) {
        double x = (double)a->data[i] - ma, y = (double)b->data[i] - mb;

        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

#endif
