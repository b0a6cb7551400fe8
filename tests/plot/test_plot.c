/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures are read back and looked at: sizes, places, colours, odd data, errors. */
#include "plot/plot.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "picture.h"
#include "plot/colour.h"
#include "tap.h"

enum { N = 50, WIDTH = 1440, HEIGHT = 940 };

static char path[512];

static bool draw(const struct spi_plot *p, struct picture *out)
{
    return spi_plot_curves(test_path("plot.png", path), p) == SPI_OK &&
           picture_read(path, out);
}

/* Where a flat curve at height y is drawn, in pixels from the top; -1: nowhere. */
static double height_of(double y, bool log)
{
    double x[N], v[N];
    struct spi_curve c = {NULL, N, x, v, false};
    struct spi_plot p = {
        .curves = &c, .n_curves = 1, .log_y = log, .y_min = 0.001, .y_max = 1};
    struct picture got;
    struct found f;

    for (int i = 0; i < N; i++) {
        x[i] = i;
        v[i] = y;
    }
    if (!draw(&p, &got))
        return -1;
    f = picture_find(&got, spi_palette(0), picture_all(&got));
    picture_clear(&got);
    return f.n > WIDTH / 2 ? f.y : -1; /* most of the width at the least */
}

static void test_places(void)
{
    double a = height_of(0.251, false), b = height_of(0.501, false),
           c = height_of(0.751, false);

    OK(a > b && b > c && c > 0, "higher values are drawn higher: %.1f, %.1f, %.1f", a, b,
       c);
    OK(fabs(a - 2 * b + c) <= 2,
       "equal steps on a linear axis"); /* a pixel of rounding each */
    a = height_of(0.004, true), b = height_of(0.04, true), c = height_of(0.4, true);
    OK(a > b && b > c && c > 0 && fabs(a - 2 * b + c) <= 2,
       "decades on a logarithmic axis");
    a = height_of(0.004, false), b = height_of(0.04, false), c = height_of(0.4, false);
    OK(fabs(a - 2 * b + c) > 2, "but not on a linear one");
    OK(height_of(2, false) == -1, "a curve outside the axis is not drawn");
}

static void test_curves(void)
{
    double x[N], y[N], lines[2] = {0.5, 0.143};
    struct spi_curve c[2] = {{"first", N, x, y, false}, {"second", N, x, x, true}};
    struct spi_plot p = {.title = "Title",
                         .x_label = "q (1/\u00c5)",
                         .y_label = "y",
                         .note = "note",
                         .curves = c,
                         .h_lines = lines,
                         .x_is_q = true};
    struct picture none, one, two, again, lined;

    for (int i = 0; i < N; i++) {
        x[i] = 0.002 * i;
        y[i] = 0.05 + 0.04 * sin(i);
    }
    p.y_max = 1;
    OK(draw(&p, &none) && none.w == WIDTH && none.h == HEIGHT, "no curve: %d x %d pixels",
       none.w, none.h);
    p.n_curves = 1;
    OK(draw(&p, &one) && draw(&p, &again) && picture_difference(&one, &again) == 0,
       "one curve, twice the same");
    p.n_curves = 2;
    OK(draw(&p, &two), "two curves");
    p.n_h_lines = 2;
    OK(draw(&p, &lined), "with lines");

    int blue = picture_find(&one, spi_palette(0), picture_all(&one)).n;
    int red = picture_find(&two, spi_palette(1), picture_all(&two)).n;

    OK(picture_find(&none, spi_palette(0), picture_all(&none)).n == 0 && blue > 500,
       "the curve has %d pixels of its colour", blue);
    OK(picture_find(&one, spi_palette(1), picture_all(&one)).n == 0 && red > 500,
       "the markers have %d", red);
    OK(picture_difference(&two, &lined) > WIDTH / 2, "dashed lines change %d pixels",
       picture_difference(&two, &lined));
    for (int i = 10; i < 40; i++)
        y[i] = (double)NAN;
    picture_clear(&again);
    p.n_curves = 1;
    p.n_h_lines = 0;
    OK(draw(&p, &again) &&
           picture_find(&again, spi_palette(0), picture_all(&again)).n < 0.7 * blue,
       "NaN breaks the line");
    picture_clear(&none);
    picture_clear(&one);
    picture_clear(&two);
    picture_clear(&again);
    picture_clear(&lined);
}

/* Both axes linear and logarithmic, with lines and a resolution axis: always a picture. */
static bool survives(int n, const double *x, const double *y)
{
    struct spi_curve c[2] = {{"a", n, x, y, false}, {"b", n, x, y, true}};
    double lines[] = {0.5, (double)NAN, -1, 1e300};

    for (int k = 0; k < 8; k++) {
        struct spi_plot p = {.title = "t",
                             .curves = c,
                             .n_curves = 2,
                             .h_lines = lines,
                             .n_h_lines = k & 4 ? 4 : 0,
                             .log_x = k & 1,
                             .log_y = k & 2,
                             .x_is_q = true};
        struct picture got;

        if (!draw(&p, &got))
            return false;
        picture_clear(&got);
    }
    return true;
}

static void test_odd_curves(void)
{
    const double bad[3] = {(double)NAN, HUGE_VAL, -HUGE_VAL}, one[1] = {3}, zero[3] = {0};
    const double equal[3] = {7, 7, 7}, wide[3] = {-1e308, 1e-308, 1e308},
                 big[3] = {1e99, 1, 1e-99};
    const double close[3] = {1e9, 1e9 + 1e-6, 1e9}, neg[3] = {-3, -2, -1};

    OK(survives(0, NULL, NULL), "no points");
    OK(survives(3, bad, bad), "no finite point");
    OK(survives(1, one, one), "one point");
    OK(survives(3, equal, equal) && survives(3, zero, zero), "all equal");
    OK(survives(3, wide, wide) && survives(3, big, big), "hundreds of decades");
    OK(survives(3, close, close), "equal but for rounding");
    OK(survives(3, neg, neg), "all negative, also on logarithmic axes");
    OK(survives(3, neg, big), "mixed");

    struct spi_curve c = {"\xff\xfe broken \xc3", 1, one, one, false}, many[100];
    static char text[5000];
    struct spi_plot p = {.curves = &c, .n_curves = 1};
    struct picture got = {0};

    OK(draw(&p, &got) && picture_find(&got, spi_palette(0), picture_all(&got)).n > 20,
       "a lone point is marked; a name that is not UTF-8 does no harm");
    picture_clear(&got);
    memset(text, 'W', sizeof text - 1);
    for (int i = 0; i < 100; i++)
        many[i] = (struct spi_curve){text, 3, equal, neg, false};
    p = (struct spi_plot){.title = text,
                          .x_label = text,
                          .y_label = text,
                          .note = text,
                          .curves = many,
                          .n_curves = 100};
    OK(draw(&p, &got), "a hundred curves and endless names");
    picture_clear(&got);
}

/* A bright cube of 3 x 3 x 3 voxels. */
static void bright_cube(struct spi_volume *v, int z, int y, int x)
{
    for (int i = 0; i < 27; i++)
        v->data[spi_volume_index(v, z + i / 9 - 1, y + i / 3 % 3 - 1, x + i % 3 - 1)] = 1;
}

/* At (x, y, z) = (24, 20, 16) of 32: right of the middle and up; and one high above. */
static void test_slices(void)
{
    struct spi_volume v;
    struct spi_colour_map m;
    struct picture got = {0};
    const int left = 48, side = 560, step = 596; /* pixels: margin, panel, panel and gap */
    struct found f;

    spi_colour_map_init(&m);
    NEED(spi_volume_init(&v, 32, 2.5) == SPI_OK);
    bright_cube(&v, 16, 20, 24);
    bright_cube(&v, 28, 16, 16); /* seen in xz and yz, far up */
    OK(spi_plot_slices(test_path("slices.png", path), &v, "Density", "e/\u00c5^3") ==
               SPI_OK &&
           picture_read(path, &got) && got.w == 2068,
       "slices: %d x %d pixels", got.w, got.h);

    int top = (got.h - side) - 72, bottom = top + side; /* 36 logical pixels stand below */
    uint32_t bright = m.rgb[SPI_COLOURS - 1];

    f = picture_find(&got, bright, (struct patch){left, left + side, top, bottom});
    OK(f.n > 0 && fabs(f.x - left - side * 24.5 / 32) < 2 &&
           fabs(bottom - f.y - side * 20.5 / 32) < 2,
       "xy: x to the right, y up");
    for (int k = 1; k < 3; k++) {
        int x0 = left + k * step;

        f = picture_find(&got, bright, (struct patch){x0, x0 + side, top, bottom});
        OK(f.n > 0 && fabs(f.x - x0 - side * 16.5 / 32) < 2 &&
               fabs(bottom - f.y - side * 28.5 / 32) < 2,
           "%cz: z up", "xy"[k - 1]);
    }
    OK(picture_find(&got, SPI_COLOUR_NAN, picture_all(&got)).n < side,
       "no grey without NaN, but at the rims of letters");
    picture_clear(&got);

    for (int i = 0; i < 32; i++)
        v.data[spi_volume_index(&v, 16, 16, i)] = i % 2 ? (float)NAN : (float)INFINITY;
    OK(spi_plot_slices(path, &v, NULL, NULL) == SPI_OK && picture_read(path, &got) &&
           picture_find(&got, SPI_COLOUR_NAN, picture_all(&got)).n > side * side / 32,
       "voxels that are not finite are grey");
    picture_clear(&got);
    for (size_t i = 0; i < spi_volume_count(&v); i++)
        v.data[i] = (float)NAN;
    OK(spi_plot_slices(path, &v, "nothing", NULL) == SPI_OK, "NaN everywhere");
    for (size_t i = 0; i < spi_volume_count(&v); i++)
        v.data[i] = -3e38f;
    v.step = -1;
    OK(spi_plot_slices(path, &v, "flat", NULL) == SPI_OK, "all equal, no voxel size");
    v.data[spi_volume_index(&v, 16, 0, 0)] = 3e38f;
    v.step = (double)NAN;
    OK(spi_plot_slices(path, &v, "range", NULL) == SPI_OK, "the whole range of float");
    spi_volume_clear(&v);
    OK(spi_plot_slices(path, &v, "none", NULL) == SPI_EINVAL, "empty: %s",
       spi_err_message());
    OK(spi_volume_init(&v, 2, 1) == SPI_OK &&
           spi_plot_slices(path, &v, "small", NULL) == SPI_OK,
       "2 voxels a side");
    spi_volume_clear(&v);
}

static bool image(int rows, int cols, const float *z, double decades, struct picture *got)
{
    picture_clear(got);
    return spi_plot_image(test_path("image.png", path), rows, cols, z, decades, "Image") ==
               SPI_OK &&
           picture_read(path, got);
}

static void test_image(void)
{
    static float z[1500 * 1500];
    struct spi_colour_map m;
    struct picture got = {0};
    const float four[4] = {1, 10, 100, (float)NAN},
                none[4] = {(float)NAN, (float)NAN, (float)INFINITY, (float)NAN};
    const float neg[4] = {-4, -3, -2, -1}, zero[4] = {0};
    int pixels = 480 * 480; /* of each of four, 2 x 2 on 960 x 960 */

    spi_colour_map_init(&m);
    OK(image(2, 2, four, 2, &got), "four pixels: %d x %d", got.w, got.h);

    struct found dark = picture_find(&got, m.rgb[0], picture_all(&got));
    struct found mid = picture_find(&got, spi_colour(&m, 0.5), picture_all(&got));
    struct found grey = picture_find(&got, SPI_COLOUR_NAN, picture_all(&got));

    OK(dark.n > 0.95 * pixels && mid.n > 0.95 * pixels && grey.n > 0.95 * pixels,
       "1, 10 and NaN fill a quarter each: 10 is in the middle of two decades");
    OK(dark.x < mid.x && fabs(dark.y - mid.y) < 8 && grey.y > mid.y + 400,
       "row 0 is on top"); /* 8: the outline, the colour bar */
    OK(image(2, 2, four, 0, &got) &&
           picture_find(&got, spi_colour(&m, 0.5), picture_all(&got)).n < 0.05 * pixels,
       "not so on a linear scale");
    OK(image(2, 2, none, 0, &got) && image(2, 2, none, 3, &got), "no finite pixel");
    OK(image(2, 2, neg, 3, &got) && image(2, 2, zero, 3, &got) &&
           image(2, 2, zero, 0, &got),
       "nothing positive on a logarithmic scale, all equal");
    OK(image(1, 1, four, 0, &got) && image(1, 1, four, 300, &got), "one pixel");
    for (int i = 0; i < 1500 * 1500; i++)
        z[i] = (float)(i % 1500);
    OK(image(1500, 1500, z, 0, &got) && got.w < 1300, "large images are averaged: %d x %d",
       got.w, got.h);
    OK(image(1, 1500 * 1500, z, 2, &got) && image(1500 * 1500, 1, z, 2, &got),
       "very thin ones");
    picture_clear(&got);

    OK(spi_plot_image(path, 0, 4, z, 0, "x") == SPI_EINVAL, "no rows: %s",
       spi_err_message());
    OK(spi_plot_image(path, 4, -1, z, 0, "x") == SPI_EINVAL, "columns: %s",
       spi_err_message());
    OK(spi_plot_image(path, 4, 4, z, (double)NAN, "x") == SPI_EINVAL, "decades: %s",
       spi_err_message());
}

/* One bright patch: at +z, in the middle (+x), at the right (+y). */
static void test_sphere(void)
{
    static const double dir[3][3] = {{0.02, 0.01, 0.9998}, {1, 0, 0}, {0, 1, 0}};
    struct spi_patches p;
    struct spi_colour_map m;
    struct picture got = {0};
    struct found f[3] = {{0}};
    float v[400] = {0};
    int drawn = 0;

    spi_colour_map_init(&m);
    if (spi_patches_init(&p, 300)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int i = 0; i < 3; i++) {
        memset(v, 0, sizeof v);
        v[spi_patch_of(&p, dir[i])] = 3;
        picture_clear(&got);
        drawn += spi_plot_sphere(test_path("sphere.png", path), &p, v, "Sphere", "note",
                                 "images") == SPI_OK &&
                 picture_read(path, &got);
        f[i] = picture_find(&got, m.rgb[SPI_COLOURS - 1], picture_all(&got));
    }
    OK(drawn == 3, "spheres: %d x %d", got.w, got.h);
    /* the ellipse covers pi/4 of 1200 x 600 pixels; lines and edges take a part */
    OK(f[1].n > 0.7 * 1200 * 600 * 0.785 / (double)p.n &&
           f[1].n < 1.1 * 1200 * 600 * 0.785 / (double)p.n,
       "a patch has its share of the area: %d pixels", (int)f[1].n);
    OK(f[0].y < f[1].y - 200 && fabs(f[1].x - 660) < 60 && f[2].x > f[1].x + 200,
       "+z above, +x in the middle, +y to the right");
    memset(v, 0, sizeof v);
    OK(spi_plot_sphere(path, &p, v, "none", NULL, NULL) == SPI_OK, "all zero");
    OK(spi_plot_sphere("/nonexistent-folder/a.png", &p, v, NULL, NULL, NULL) == SPI_EIO,
       "folder: %s", spi_err_message());
    picture_clear(&got);
    spi_patches_clear(&p);
}

static void test_errors(void)
{
    const double v[2] = {1, 2};
    struct spi_curve c = {"a", 2, v, v, false};
    struct spi_plot p = {.curves = &c, .n_curves = 1};
    const char *none = "/nonexistent-folder/a.png";
    float z = 1;

    OK(spi_plot_curves(none, &p) == SPI_EIO && strstr(spi_err_message(), none),
       "folder: %s", spi_err_message());
    OK(spi_plot_image(none, 1, 1, &z, 0, NULL) == SPI_EIO, "image: %s", spi_err_message());
    test_path("a-folder.png", path);
    mkdir(path, 0777);
    OK(spi_plot_curves(path, &p) == SPI_EIO, "a folder in the way: %s", spi_err_message());
    rmdir(path);
    test_path(".a-folder.png.spinifel-tmp", path);
    OK(access(path, F_OK) != 0, "nothing is left behind");
    test_path("plot.png", path);
    p.y_min = -1;
    OK(spi_plot_curves(path, &p) == SPI_OK, "an axis from -1 to 0 (control)");
    p.log_y = true;
    OK(spi_plot_curves(path, &p) == SPI_EINVAL, "axis: %s", spi_err_message());
    p.y_min = (double)NAN;
    OK(spi_plot_curves(path, &p) == SPI_EINVAL, "axis: %s", spi_err_message());
    p.y_min = p.y_max;
    c.x = NULL;
    OK(spi_plot_curves(path, &p) == SPI_EINVAL, "numbers: %s", spi_err_message());
    c.n = -2;
    OK(spi_plot_curves(path, &p) == SPI_EINVAL, "points: %s", spi_err_message());
    p.n_curves = -1;
    OK(spi_plot_curves(path, &p) == SPI_EINVAL, "curves: %s", spi_err_message());
}

int main(void)
{
    test_places();
    test_curves();
    test_odd_curves();
    test_slices();
    test_image();
    test_sphere();
    test_errors();
    return tap_done();
}
