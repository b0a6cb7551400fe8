/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ticks and colours: pure functions, and intervals no axis should ever see. */
#include "plot/ticks.h"

#include <math.h>
#include <string.h>

#include "plot/colour.h"
#include "tap.h"

static void test_known(void)
{
    struct spi_ticks t;
    struct spi_axis a = spi_axis_make(0, 1, false);

    spi_ticks_make(&a, 6, &t);
    OK(t.n == 6 && strcmp(t.label[0], "0.0") == 0 && strcmp(t.label[5], "1.0") == 0,
       "0 to 1 in steps of 0.2");
    a = spi_axis_make(-12, 7, false);
    spi_ticks_make(&a, 5, &t);
    OK(t.n == 4 && strcmp(t.label[0], "\u221210") == 0 && strcmp(t.label[2], "0") == 0,
       "-12 to 7 in steps of 5, zero has no sign");
    a = spi_axis_make(0, 3e6, false);
    spi_ticks_make(&a, 6, &t);
    OK(t.exponent == 6 && strcmp(t.label[1], "0.5") == 0, "millions are written as x 10^6");
    a = spi_axis_make(1e-6, 1e3, true);
    spi_ticks_make(&a, 5, &t);
    OK(t.n == 5 && strcmp(t.label[0], "10^\u22126") == 0 && strcmp(t.label[4], "10^2") == 0,
       "nine decades in steps of two");
    a = spi_axis_make(1, 20, true);
    spi_ticks_make(&a, 5, &t);
    OK(t.n == 5 && strcmp(t.label[2], "5") == 0 && strcmp(t.label[4], "20") == 0,
       "1, 2, 5, 10, 20");
    a = spi_axis_make(1.01, 1.04, true);
    spi_ticks_make(&a, 5, &t);
    OK(t.n >= 3, "a narrow logarithmic axis has %d ticks", t.n);
    a = spi_axis_make(0, 1 / 12.0, false);
    spi_ticks_resolution(&a, 0.05, &t);
    OK(t.n > 4 && strcmp(t.label[0], "12") == 0 && strcmp(t.label[1], "15") == 0,
       "resolution from 12 A on");
    a = spi_axis_make(0, 1, false);
    OK(spi_axis_place(&a, 0.25) == 0.25 && spi_axis_place(&a, 1e99) == 1000,
       "places are linear, and bounded");
    a = spi_axis_make(1, 100, true);
    OK(fabs(spi_axis_place(&a, 10) - 0.5) < 4e-16,
       "the middle of 1 and 100 is 10"); /* 2 ulp */
    OK(spi_round_below(7.3) == 5 && spi_round_below(0.2) == 0.2 &&
           spi_round_below(199) == 100,
       "round numbers below");
}

/* Every interval gives 1 to SPI_TICKS_MAX ticks inside it, rising, with short labels. */
static bool sane(double lo, double hi, bool log)
{
    struct spi_axis a = spi_axis_make(lo, hi, log);
    struct spi_ticks t, r;
    double slack = 1e-6 * (a.hi - a.lo);

    spi_ticks_make(&a, 6, &t);
    spi_ticks_resolution(&a, 0.05, &r);
    if (!(a.lo < a.hi) || t.n < 1 || t.n > SPI_TICKS_MAX || r.n > SPI_TICKS_MAX ||
        t.n_minor > SPI_MINOR_MAX)
        return false;
    for (int i = 0; i < t.n; i++)
        if (!(t.at[i] >= a.lo - slack && t.at[i] <= a.hi + slack) ||
            (i && t.at[i] <= t.at[i - 1]) || strlen(t.label[i]) > 20 ||
            strstr(t.label[i], "nan") || strstr(t.label[i], "inf"))
            return false;
    return true;
}

static void test_hostile(void)
{
    static const double v[] = {0,      1,       -1,       1e100,  -1e100,
                               1e-100, -1e-100, 1e-310,   3.3e-7, 12345,
                               1e10,   -1e10,   1e10 + 1, 0.1,    1 - 1e-12};
    enum { N = sizeof v / sizeof *v };
    int bad = 0;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            if (!sane(v[i], v[j], false)) {
                NOTE("linear %g to %g", v[i], v[j]);
                bad++;
            }
            if (spi_axis_shows(true, v[i]) && spi_axis_shows(true, v[j]) &&
                !sane(v[i], v[j], true)) {
                NOTE("logarithmic %g to %g", v[i], v[j]);
                bad++;
            }
        }
    OK(bad == 0, "sane ticks for all pairs of %d odd numbers", N);
    OK(!spi_axis_shows(false, (double)NAN) && !spi_axis_shows(false, HUGE_VAL) &&
           !spi_axis_shows(true, 0) && !spi_axis_shows(true, -1) &&
           spi_axis_shows(false, -1),
       "NaN, infinity, and zero on a logarithmic axis are not drawn");
}

/* CIE lightness of an sRGB colour, 0 to 100. */
static double lightness(uint32_t rgb)
{
    const double weight[3] = {0.2126, 0.7152, 0.0722};
    double y = 0;

    for (int k = 0; k < 3; k++) {
        double c = (rgb >> (16 - 8 * k) & 255) / 255.0;

        y += weight[k] * (c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
    }
    return 116 * (y > 0.008856 ? cbrt(y) : 7.787 * y + 16 / 116.0) - 16;
}

static void test_colours(void)
{
    struct spi_colour_map m;
    int falls = 0;

    spi_colour_map_init(&m);
    for (int i = 8; i < SPI_COLOURS; i++) /* over 8 steps the rounding to bytes is small */
        falls += lightness(m.rgb[i]) <= lightness(m.rgb[i - 8]);
    OK(falls == 0, "lightness rises from %.0f to %.0f", lightness(m.rgb[0]),
       lightness(m.rgb[SPI_COLOURS - 1]));
    OK(lightness(m.rgb[0]) < 20 && lightness(m.rgb[SPI_COLOURS - 1]) > 85,
       "from dark to light");
    OK(lightness(0xff0000) < lightness(0x00ff00) &&
           lightness(0x00ff00) > lightness(0x0000ff),
       "a rainbow would fail");
    OK(spi_colour(&m, (double)NAN) == SPI_COLOUR_NAN && spi_colour(&m, -5) == m.rgb[0] &&
           spi_colour(&m, HUGE_VAL) == m.rgb[SPI_COLOURS - 1],
       "NaN is grey, the rest is clamped");

    int same = 0;

    for (int i = 0; i < SPI_COLOURS; i++)
        same += m.rgb[i] == SPI_COLOUR_NAN;
    for (int i = 0; i < SPI_PALETTE; i++)
        for (int j = 0; j < i; j++)
            same += spi_palette(i) == spi_palette(j);
    OK(same == 0, "the grey is not in the scale; no curve colour comes twice");
}

int main(void)
{
    test_known();
    test_hostile();
    test_colours();
    return tap_done();
}
