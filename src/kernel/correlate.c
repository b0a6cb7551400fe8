/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/correlate.h"

static long harmonics(const struct spi_band *b)
{
    long n = 0;

    for (int m = 0; m < b->M; m++)
        n += b->R - b->first[m];
    return n;
}

long spi_panel_floats(const struct spi_band *b)
{
    return 2 * SPI_LANES * harmonics(b);
}

long spi_group_floats(const struct spi_band *b)
{
    return 2 * SPI_GROUP * harmonics(b);
}

void spi_group_pack(const struct spi_band *b, const float *const image[SPI_GROUP],
                    float *group)
{
    for (int m = 0; m < b->M; m++)
        for (int r = b->first[m], at = spi_band_at(b, r, m); r < b->R;
             r++, at += 2 * SPI_LANES)
            for (int i = 0; i < SPI_GROUP; i++, group += 2) {
                group[0] = image[i] ? image[i][at] : 0;
                group[1] = image[i] ? image[i][at + SPI_LANES] : 0;
            }
}
