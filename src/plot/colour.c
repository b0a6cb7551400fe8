/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plot/colour.h"

#include <math.h>

static uint32_t byte_of(double linear)
{
    double c = fmin(fmax(linear, 0), 1);

    c = c <= 0.0031308 ? 12.92 * c : 1.055 * pow(c, 1 / 2.4) - 0.055; /* sRGB */
    return (uint32_t)lrint(255 * c);
}

/* OKLab lightness, chroma and hue (radians) -> sRGB. */
static uint32_t from_lch(double L, double C, double h)
{
    double a = C * cos(h), b = C * sin(h);
    double l = pow(L + 0.3963377774 * a + 0.2158037573 * b, 3);
    double m = pow(L - 0.1055613458 * a - 0.0638541728 * b, 3);
    double s = pow(L - 0.0894841775 * a - 1.2914855480 * b, 3);

    return byte_of(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s) << 16 |
           byte_of(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s) << 8 |
           byte_of(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

/* Hue from violet (312 degrees) over blue and green to yellow (104).  The chroma is as
 * large as sRGB allows on the way; least at the blue-green, t = 0.45. */
void spi_colour_map_init(struct spi_colour_map *map)
{
    const double degree = 3.14159265358979323846 / 180;

    for (int i = 0; i < SPI_COLOURS; i++) {
        double t = i / (SPI_COLOURS - 1.0), d = t - 0.45;
        double chroma = 0.097 + (d < 0 ? 0.12 : 0.28) * d * d;

        map->rgb[i] = from_lch(0.25 + 0.68 * t, chroma, (312 - 208 * t) * degree);
    }
}

uint32_t spi_colour(const struct spi_colour_map *m, double t)
{
    if (isnan(t))
        return SPI_COLOUR_NAN;
    return m->rgb[lrint((SPI_COLOURS - 1) * fmin(fmax(t, 0), 1))];
}

uint32_t spi_palette(int i)
{
    static const uint32_t rgb[SPI_PALETTE] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                              0x56b4e9, 0xe69f00, 0x000000};

    return rgb[i % SPI_PALETTE];
}
