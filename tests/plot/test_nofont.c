/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine without a single font: pictures have their text all the same. */
#include "picture.h"
#include "plot/canvas.h"
#include "plot/plot.h"
#include "tap.h"

/* Pixels of the ink in the strip of the title. */
static int ink(const char *title)
{
    const double v[2] = {1, 2};
    struct spi_curve c = {NULL, 2, v, v, false};
    struct spi_plot p = {
        .title = title, .x_label = "q (1/\u00c5)", .curves = &c, .n_curves = 1};
    struct picture got;
    char path[512];
    int n = 0;

    if (spi_plot_curves(test_path("nofont.png", path), &p) != SPI_OK ||
        !picture_read(path, &got))
        return -1;
    for (int i = 0; i < 3 * got.w * 60; i += 3) /* 60 rows from the top: the title */
        n += got.rgb[i] < 128;
    picture_clear(&got);
    return n;
}

int main(void)
{
    static const char conf[] = "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM "
                               "\"fonts.dtd\"><fontconfig></fontconfig>\n";
    struct spi_canvas c;
    char path[512];
    FILE *f = fopen(test_path("no-fonts.conf", path), "w");

    if (!f || fputs(conf, f) < 0 || fclose(f) != 0)
        return 1;
    setenv("FONTCONFIG_FILE", path, 1); /* before fontconfig looks */
    OK(spi_canvas_init(&c, 10, 10) == SPI_OK && c.ascii, "there is no font");
    spi_canvas_clear(&c);
    OK(ink(" ") == 0, "no title, no ink");
    OK(ink("Title") > 100, "a title of %d dark pixels", ink("Title"));
    OK(ink("\u00c5") > 0 && ink("\u00c5") == ink("A"), "an angstrom sign becomes an A");
    return tap_done();
}
