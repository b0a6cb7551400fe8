/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by nugrid.c for each precision: REAL, COORD, UNIT, SPI(name). */

SPI_CLONES bool SPI(spi_nu_locate)(const struct spi_nu_axis *axis, int n,
                                   const REAL *restrict x, COORD *restrict v,
                                   uint32_t *restrict brick)
{
    /* two parts of 2 pi: the first has 31 bits, so that turns * high is exact for 2^22
     * turns */
    const double high = 0x1.921fb544p+2, low = 0x1.0b4611a626331p-32;
    const double per_radian = 0.15915494309189535, size = axis->n,
                 scale = size * per_radian;
    const int shift = axis->shift, stride = (int)axis->stride;
    int bad = 0;

    for (int i = 0; i < n; i++) {
        double turns = floor((double)x[i] * per_radian);
        double u = (((double)x[i] - turns * high) - turns * low) * scale;

        bad |= !(fabs((double)x[i]) <= DBL_MAX);
        u = u < 0 ? u + size : u; /* rounding at the ends */
        u = u >= size ? u - size : u;
        u = u >= 0 && u < size ? u : 0; /* huge x */
        int b = (int)u >> shift;

        v[i] = (COORD)((u - (b << shift)) * UNIT);
        brick[i] += (uint32_t)(b * stride);
    }
    return !bad;
}

SPI_CLONES void SPI(spi_nu_add)(int n, const REAL complex *from, REAL complex *to)
{
    const REAL *restrict a = (const REAL *)from;
    REAL *restrict b = (REAL *)to;

    for (int i = 0; i < 2 * n; i++)
        b[i] += a[i];
}

SPI_CLONES void SPI(spi_nu_scale)(int n, REAL factor, const REAL *restrict d,
                                  const REAL complex *from, REAL complex *to)
{
    const REAL *restrict a = (const REAL *)from;
    REAL *restrict b = (REAL *)to;

    for (int i = 0; i < n; i++) {
        REAL f = factor * d[i];

        b[2 * i] = f * a[2 * i];
        b[2 * i + 1] = f * a[2 * i + 1];
    }
}

#undef REAL
#undef COORD
#undef UNIT
#undef SPI
