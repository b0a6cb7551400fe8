/* SPDX-License-Identifier: GPL-3.0-or-later */
/* raster.c, of plot/plot.h: images, slices and spheres as coloured pixels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "plot/canvas.h"
#include "plot/colour.h"
#include "plot/plot.h"
#include "plot/ticks.h"

enum {
    BOX = 960,
    PANEL = 560,
    THIN = 24,
    BAR_WIDTH = 16
}; /* BOX, PANEL, THIN: device pixels */

static const struct spi_text caption = {SPI_TEXT_LABEL, SPI_CENTRE, false, false, 0};
static const struct spi_text small = {SPI_TEXT_TICK, SPI_CENTRE, false, false, 0};

/* How values become colours. */
struct scale {
    struct spi_colour_map map;
    struct spi_axis axis;
    double lo, hi;   /* least and largest finite value */
    bool any, holes; /* some value is finite; some is not */
    bool log, flat;  /* flat: all values are equal */
};

static void scale_look(struct scale *s, size_t n, const float *z)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(z[i])) {
            s->holes = true;
            continue;
        }
        s->lo = s->any ? fmin(s->lo, (double)z[i]) : (double)z[i];
        s->hi = s->any ? fmax(s->hi, (double)z[i]) : (double)z[i];
        s->any = true;
    }
}

/* Linear from lo to hi, or `decades` below hi. */
static void scale_finish(struct scale *s, double decades)
{
    spi_colour_map_init(&s->map);
    s->flat = s->any && s->lo == s->hi;
    s->log = s->any && decades > 0 && s->hi > 0;
    if (s->log)
        s->axis = spi_axis_make(s->hi * pow(10, -fmin(decades, 60)), s->hi, true);
    else if (s->any &&
             decades > 0) /* nothing positive: all of it is at or below the floor */
        s->axis =
            (struct spi_axis){s->hi + 1 + fabs(s->hi), s->hi + 2 + 2 * fabs(s->hi), false};
    else
        s->axis = spi_axis_make(s->lo, s->hi, false);
}

static uint32_t scale_colour(const struct scale *s, double v)
{
    if (isnan(v))
        return SPI_COLOUR_NAN;
    if (s->log && !(v > s->axis.lo))
        return s->map.rgb[0];
    return spi_colour(&s->map, spi_axis_place(&s->axis, v));
}

/* A 2-D array to be shown on th x tw device pixels. */
struct raster {
    int rows, cols, th, tw;
    const float *z;
    bool smooth; /* interpolate where the picture is larger than the array */
};

static double value(const struct raster *r, int64_t y, int64_t x)
{
    float v = r->z[y * r->cols + x];

    return isfinite(v) ? (double)v : (double)NAN;
}

/* Mean of the finite values in the source pixels [y0, y1) x [x0, x1). */
static double block_mean(const struct raster *r, int64_t y0, int64_t y1, int64_t x0,
                         int64_t x1)
{
    double sum = 0, n = 0;

    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++) {
            double v = value(r, y, x);

            if (!isnan(v)) {
                sum += v;
                n++;
            }
        }
    return n > 0 ? sum / n : (double)NAN;
}

/* Bilinear at source coordinates; beside a hole the nearest value, so that holes keep their
 * size. */
static double bilinear(const struct raster *r, double y, double x)
{
    y = fmin(fmax(y, 0), r->rows - 1);
    x = fmin(fmax(x, 0), r->cols - 1);

    int64_t y0 = (int64_t)y, x0 = (int64_t)x;
    int64_t y1 = y0 + 1 < r->rows ? y0 + 1 : y0, x1 = x0 + 1 < r->cols ? x0 + 1 : x0;
    double fy = y - (double)y0, fx = x - (double)x0;
    double v = (1 - fy) * ((1 - fx) * value(r, y0, x0) + fx * value(r, y0, x1)) +
               fy * ((1 - fx) * value(r, y1, x0) + fx * value(r, y1, x1));

    return isnan(v) ? value(r, lrint(y), lrint(x)) : v;
}

static double sample(const struct raster *r, int ty, int tx)
{
    if (r->smooth && r->th >= r->rows && r->tw >= r->cols)
        return bilinear(r, (ty + 0.5) * r->rows / r->th - 0.5,
                        (tx + 0.5) * r->cols / r->tw - 0.5);

    int64_t y0 = (int64_t)ty * r->rows / r->th, y1 = (int64_t)(ty + 1) * r->rows / r->th;
    int64_t x0 = (int64_t)tx * r->cols / r->tw, x1 = (int64_t)(tx + 1) * r->cols / r->tw;

    return block_mean(r, y0, y1 > y0 ? y1 : y0 + 1, x0, x1 > x0 ? x1 : x0 + 1);
}

/* Paint the array with its upper left corner at (x, y). */
static spi_err paint(struct spi_canvas *c, double x, double y, const struct raster *r,
                     const struct scale *s)
{
    cairo_surface_t *picture = cairo_image_surface_create(CAIRO_FORMAT_RGB24, r->tw, r->th);
    unsigned char *to = cairo_image_surface_get_data(picture);
    double k = SPI_CANVAS_SCALE;

    if (!to) {
        cairo_surface_destroy(picture);
        return spi_no_memory("picture", 4 * (size_t)r->tw * (size_t)r->th);
    }
    cairo_surface_flush(picture);
    for (int ty = 0; ty < r->th; ty++)
        for (int tx = 0; tx < r->tw; tx++) {
            uint32_t rgb = scale_colour(s, sample(r, ty, tx));

            memcpy(to + (size_t)ty * (size_t)cairo_image_surface_get_stride(picture) +
                       4 * (size_t)tx,
                   &rgb, sizeof rgb);
        }
    cairo_surface_mark_dirty(picture);
    cairo_save(c->cr);
    cairo_translate(c->cr, x, y);
    cairo_scale(c->cr, 1 / k, 1 / k);
    cairo_set_source_surface(c->cr, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c->cr), CAIRO_FILTER_NEAREST);
    cairo_paint(c->cr);
    cairo_restore(c->cr);
    cairo_surface_destroy(picture);
    return SPI_OK;
}

static void outline(struct spi_canvas *c, double x, double y, double w, double h)
{
    spi_canvas_colour(c, SPI_INK, 1);
    cairo_set_line_width(c->cr, 1);
    cairo_rectangle(c->cr, x, y, w, h);
    cairo_stroke(c->cr);
}

static void bar_ticks(struct spi_canvas *c, const struct scale *s, double x, double y,
                      double h)
{
    struct spi_text how = {SPI_TEXT_TICK, SPI_LEFT, false, true, 0};
    struct spi_ticks t;

    spi_ticks_make(&s->axis, h < 200 ? 4 : 6, &t);
    for (int i = 0; i < t.n_minor && s->log; i++) {
        double at = y + h * (1 - spi_axis_place(&s->axis, t.minor[i]));

        spi_canvas_line(c, x, at, x + 2.5, at, 0.8);
    }
    for (int i = 0; i < t.n; i++) {
        double at = y + h * (1 - spi_axis_place(&s->axis, t.at[i]));

        spi_canvas_line(c, x, at, x + 4, at, 1);
        spi_canvas_text(c, x + 8, at + 4, &how, t.label[i]);
    }
    if (t.exponent) {
        char text[SPI_TICK_TEXT];

        snprintf(text, sizeof text, "\u00d710^%s%d", t.exponent < 0 ? "\u2212" : "",
                 t.exponent < 0 ? -t.exponent : t.exponent);
        spi_canvas_text(c, x - BAR_WIDTH, y - 8, &how, text);
    }
}

/* A colour bar of height h with its upper left corner at (x, y); the swatch for holes is
 * below it. */
static void colour_bar(struct spi_canvas *c, const struct scale *s, double x, double y,
                       double h, const char *unit)
{
    struct spi_text how = {SPI_TEXT_TICK, SPI_LEFT, false, false, 0};
    struct spi_text up = {SPI_TEXT_LABEL, SPI_CENTRE, false, false, h};
    double bar = s->holes ? h - 30 : h;
    int steps = (int)(SPI_CANVAS_SCALE * bar);

    if (s->any && !s->flat && s->axis.lo < s->hi) {
        for (int i = 0; i < steps; i++) {
            spi_canvas_colour(c, spi_colour(&s->map, 1 - (i + 0.5) / steps), 1);
            cairo_rectangle(c->cr, x, y + i * bar / steps, BAR_WIDTH, bar / steps + 0.5);
            cairo_fill(c->cr);
        }
        outline(c, x, y, BAR_WIDTH, bar);
        bar_ticks(c, s, x + BAR_WIDTH, y, bar);
        spi_canvas_text_up(c, x + BAR_WIDTH + 66, y + bar / 2, &up, unit);
    }
    if (s->holes) {
        spi_canvas_colour(c, SPI_COLOUR_NAN, 1);
        cairo_rectangle(c->cr, x, y + h - BAR_WIDTH, BAR_WIDTH, BAR_WIDTH);
        cairo_fill(c->cr);
        outline(c, x, y + h - BAR_WIDTH, BAR_WIDTH, BAR_WIDTH);
        spi_canvas_text(c, x + BAR_WIDTH + 8, y + h - 4, &how, "no value");
    }
}

/* What there is to say when there is nothing to see; "" otherwise. */
static void reason(const struct scale *s, double decades, size_t n, char *text)
{
    if (!s->any)
        snprintf(text, n, "no finite value");
    else if (s->flat)
        snprintf(text, n, "all values are %.6g", s->lo);
    else if (decades > 0 && !s->log)
        snprintf(text, n, "no positive value (the largest is %.6g)", s->hi);
    else
        text[0] = 0;
}

static spi_err check_image(const char *path, int rows, int cols, const float *z,
                           double decades)
{
    if (rows < 1 || cols < 1 || !z)
        return spi_fail(SPI_EINVAL, "%s: the image has %d x %d pixels; need at least 1 x 1",
                        path, rows, cols);
    if (isnan(decades) || isinf(decades))
        return spi_fail(SPI_EINVAL, "%s: a scale of %g decades; need a finite number", path,
                        decades);
    return SPI_OK;
}

/* Device pixels of one axis of the picture of an image: whole pixels of the image where
 * they fit into the box. */
static int shown(int n, int longest)
{
    double k = longest <= BOX ? BOX / longest : (double)BOX / longest;
    int t = (int)(n * k + 0.5);

    return t < THIN ? THIN : t;
}

spi_err spi_plot_image(const char *path, int rows, int cols, const float *z, double decades,
                       const char *title)
{
    const double k = SPI_CANVAS_SCALE, side = 30, bar_space = 96;
    struct scale s = {0};
    struct spi_canvas c;
    char note[80], size[120];
    spi_err err = check_image(path, rows, cols, z, decades);

    if (err)
        return err;

    int longest = rows > cols ? rows : cols;
    struct raster r = {rows, cols, shown(rows, longest), shown(cols, longest), z, false};

    scale_look(&s, (size_t)rows * (size_t)cols, z);
    scale_finish(&s, decades);
    reason(&s, decades, sizeof note, note);

    double w = r.tw / k, h = r.th / k, frame = fmax(h, 160),
           top = title && *title ? 48 : 24;
    double wide = fmax(w + 2 * side + bar_space, 420), x = (wide - w - bar_space) / 2;

    if ((err = spi_canvas_init(&c, wide, top + frame + 40)) != SPI_OK)
        return err;
    spi_canvas_title(&c, title, NULL);
    SPI_TRY(err = paint(&c, x, top + (frame - h) / 2, &r, &s), out);
    outline(&c, x, top + (frame - h) / 2, w, h);
    colour_bar(&c, &s, x + w + 16, top, frame, NULL);
    snprintf(size, sizeof size, "%d \u00d7 %d pixels", cols, rows);
    if (s.any)
        snprintf(size + strlen(size), sizeof size - strlen(size), ", %.4g to %.4g", s.lo,
                 s.hi);
    spi_canvas_colour(&c, SPI_SOFT, 1);
    spi_canvas_text(&c, x + w / 2, top + frame + 22, &small, size);
    if (note[0])
        spi_canvas_note(&c, x + w / 2, top + frame / 2, note);
    err = spi_canvas_write(&c, path);
out:
    spi_canvas_clear(&c);
    return err;
}

/* Slice `which` (0: xy, 1: xz, 2: yz) through the centre, the second axis upwards. */
static void cut(const struct spi_volume *v, int which, float *z)
{
    int n = v->n, h = n / 2;

    for (int up = 0; up < n; up++)
        for (int right = 0; right < n; right++) {
            size_t i = which == 0   ? spi_volume_index(v, h, up, right)
                       : which == 1 ? spi_volume_index(v, up, h, right)
                                    : spi_volume_index(v, up, right, h);

            z[(size_t)(n - 1 - up) * (size_t)n + (size_t)right] = v->data[i];
        }
}

/* A bar of a round length, about a quarter of the panel, with its length above it. */
static void scale_bar(struct spi_canvas *c, const struct spi_volume *v, double x, double y,
                      double width)
{
    struct spi_text how = {SPI_TEXT_LABEL, SPI_CENTRE, true, false, 0};
    double whole = v->n * v->step, length, w;
    char text[SPI_TICK_TEXT];

    if (!(whole > 1 / SPI_PLOT_HUGE && whole < SPI_PLOT_HUGE))
        return;
    length = spi_round_below(0.35 * whole);
    w = width * length / whole;
    snprintf(text, sizeof text, "%.4g \u00c5", length);
    for (int pass = 0; pass < 2; pass++) { /* a dark rim, readable on every colour */
        double rim = pass == 0 ? 1 : 0;

        spi_canvas_colour(c, pass == 0 ? SPI_INK : SPI_WHITE, pass == 0 ? 0.6 : 1);
        cairo_rectangle(c->cr, x + 14 - rim, y - 16 - rim, w + 2 * rim, 4 + 2 * rim);
        cairo_fill(c->cr);
        spi_canvas_text(c, x + 14 + w / 2 + rim, y - 23 + rim, &how, text);
    }
}

static spi_err panel(struct spi_canvas *c, const struct spi_volume *v,
                     const struct scale *s, int which, const float *z, double x, double y)
{
    static const char *const name[] = {"x \u2192, y \u2191", "x \u2192, z \u2191",
                                       "y \u2192, z \u2191"};
    static const char *const plain[] = {"x right, y up", "x right, z up", "y right, z up"};
    struct raster r = {v->n, v->n, PANEL, PANEL, z, true};
    struct scale own = {0};
    double side = (double)PANEL / SPI_CANVAS_SCALE;
    char range[80];
    spi_err err = paint(c, x, y, &r, s);

    if (err)
        return err;
    outline(c, x, y, side, side);
    spi_canvas_text(c, x + side / 2, y - 9, &caption,
                    c->ascii ? plain[which] : name[which]);
    scale_look(&own, (size_t)v->n * (size_t)v->n, z);
    if (own.any)
        snprintf(range, sizeof range, "min %.4g, max %.4g", own.lo, own.hi);
    else
        snprintf(range, sizeof range, "no finite value");
    spi_canvas_colour(c, SPI_SOFT, 1);
    spi_canvas_text(c, x + side / 2, y + side + 18, &small, range);
    scale_bar(c, v, x, y + side, side);
    return SPI_OK;
}

spi_err spi_plot_slices(const char *path, const struct spi_volume *v, const char *title,
                        const char *unit)
{
    const double side = (double)PANEL / SPI_CANVAS_SCALE, margin = 24, gap = 18;
    struct scale s = {0};
    struct spi_canvas c = {0};
    float *z = NULL;
    char note[80];
    spi_err err;

    if (v->n < 1 || !v->data)
        return spi_fail(SPI_EINVAL,
                        "%s: the volume has a side of %d voxels; need at least 1", path,
                        v->n);

    size_t count = (size_t)v->n * (size_t)v->n;
    double top = title && *title ? 66 : 40;

    SPI_TRY(err = SPI_NEW(z, 3 * count, "picture of slices"), out);
    for (int i = 0; i < 3; i++)
        cut(v, i, z + (size_t)i * count);
    scale_look(&s, 3 * count, z);
    scale_finish(&s, 0);
    SPI_TRY(err =
                spi_canvas_init(&c, 2 * margin + 3 * side + 2 * gap + 110, top + side + 36),
            out);
    spi_canvas_title(&c, title, NULL);
    for (int i = 0; i < 3; i++) {
        double x = margin + i * (side + gap);

        spi_canvas_colour(&c, SPI_INK, 1);
        SPI_TRY(err = panel(&c, v, &s, i, z + (size_t)i * count, x, top), out);
    }
    colour_bar(&c, &s, margin + 3 * side + 2 * gap + 16, top, side, unit);
    reason(&s, 0, sizeof note, note);
    if (note[0])
        spi_canvas_note(&c, margin + 1.5 * side + gap, top + side / 2, note);
    err = spi_canvas_write(&c, path);
out:
    spi_canvas_clear(&c);
    free(z);
    return err;
}

/* ---- the sphere --------------------------------------------------------------------- */

/* Mollweide: with 2 t + sin 2t = pi sin(latitude), x = 2 sqrt 2 / pi longitude cos t,
 * y = sqrt 2 sin t.  Here x and y are divided by 2 sqrt 2 and sqrt 2: both in -1 ... 1. */
static bool mollweide_inverse(double x, double y, double dir[3])
{
    double t = asin(fmax(-1, fmin(1, y))), c = cos(t), longitude = SPI_PI * x / c;

    if (!(x * x + y * y < 1) || !(fabs(longitude) <= SPI_PI))
        return false;
    dir[2] = (2 * t + sin(2 * t)) / SPI_PI;
    dir[0] = sqrt(fmax(0, 1 - dir[2] * dir[2])) * cos(longitude);
    dir[1] = sqrt(fmax(0, 1 - dir[2] * dir[2])) * sin(longitude);
    return true;
}

static void mollweide(double latitude, double longitude, double *x, double *y)
{
    double t = latitude;

    for (int i = 0; i < 50 && fabs(cos(t)) > 1e-6; i++) /* Newton; exact at the poles */
        t -= (2 * t + sin(2 * t) - SPI_PI * sin(latitude)) / (2 + 2 * cos(2 * t));
    *x = longitude / SPI_PI * cos(t);
    *y = sin(t);
}

/* Meridians and parallels, 30 degrees apart; white is drawn over all outside. */
static void graticule(struct spi_canvas *c, double x, double y, double w, double h)
{
    enum { STEPS = 72 };

    spi_canvas_colour(c, SPI_WHITE, 1);
    cairo_rectangle(c->cr, x - 1, y - 1, w + 2, h + 2);
    cairo_save(c->cr);
    cairo_translate(c->cr, x + w / 2, y + h / 2);
    cairo_scale(c->cr, w / 2, h / 2);
    cairo_new_sub_path(c->cr);
    cairo_arc_negative(c->cr, 0, 0, 1, 2 * SPI_PI, 0);
    cairo_restore(c->cr);
    cairo_fill(c->cr);
    spi_canvas_colour(c, SPI_WHITE, 0.35);
    cairo_set_line_width(c->cr, 0.7);
    for (int k = -5; k <= 5; k++)
        for (int way = 0; way < 2; way++) {
            if (way == 0 && abs(k) > 2)
                continue;
            for (int i = 0; i <= STEPS; i++) {
                double s = 2.0 * i / STEPS - 1, px, py;

                if (way == 0)
                    mollweide(k * SPI_PI / 6, SPI_PI * s, &px, &py);
                else
                    mollweide(SPI_PI / 2 * s, k * SPI_PI / 6, &px, &py);
                cairo_line_to(c->cr, x + w * (1 + px) / 2, y + h * (1 - py) / 2);
            }
            cairo_stroke(c->cr);
        }
    spi_canvas_colour(c, SPI_INK, 1);
    cairo_set_line_width(c->cr, 1);
    cairo_save(c->cr);
    cairo_translate(c->cr, x + w / 2, y + h / 2);
    cairo_scale(c->cr, w / 2, h / 2);
    cairo_arc(c->cr, 0, 0, 1, 0, 2 * SPI_PI);
    cairo_restore(c->cr);
    cairo_stroke(c->cr);
}

spi_err spi_plot_sphere(const char *path, const struct spi_patches *patches, const float *v,
                        const char *title, const char *note, const char *unit)
{
    enum { WIDE = 1200, HIGH = WIDE / 2 };
    const double w = (double)WIDE / SPI_CANVAS_SCALE, h = (double)HIGH / SPI_CANVAS_SCALE;
    const double x = 30, y = 84;
    struct scale s = {0};
    struct spi_canvas c = {0};
    float *z = NULL;
    char why[80];
    spi_err err;

    SPI_TRY(err = SPI_NEW(z, WIDE * HIGH, "picture of a sphere"), out);
    for (int row = 0; row < HIGH; row++)
        for (int col = 0; col < WIDE; col++) {
            double dir[3];
            bool in = mollweide_inverse((2 * col + 1.0) / WIDE - 1,
                                        1 - (2 * row + 1.0) / HIGH, dir);

            z[row * WIDE + col] = in ? v[spi_patch_of(patches, dir)] : 0;
        }
    scale_look(&s, (size_t)patches->n, v);
    s.lo = s.any ? fmin(0, s.lo) : 0;
    scale_finish(&s, 0);
    SPI_TRY(err = spi_canvas_init(&c, x + w + 130, y + h + 44), out);
    spi_canvas_title(&c, title, note);

    struct raster r = {HIGH, WIDE, HIGH, WIDE, z, false};

    SPI_TRY(err = paint(&c, x, y, &r, &s), out);
    graticule(&c, x, y, w, h);
    colour_bar(&c, &s, x + w + 16, y, h, unit);
    spi_canvas_colour(&c, SPI_SOFT, 1);
    spi_canvas_text(&c, x + w / 2, y - 8, &small, "+z");
    spi_canvas_text(
        &c, x + w / 2, y + h + 20, &small,
        "Mollweide's projection: equal areas; +x in the middle, +y to the right");
    reason(&s, 0, sizeof why, why);
    if (why[0])
        spi_canvas_note(&c, x + w / 2, y + h / 2, why);
    err = spi_canvas_write(&c, path);
out:
    spi_canvas_clear(&c);
    free(z);
    return err;
}
