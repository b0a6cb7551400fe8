/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plot/canvas.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "plot/plot.h"

enum { TEXT_MAX = 256 };

static void use_font(struct spi_canvas *c, double size, bool bold)
{
    cairo_select_font_face(c->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c->cr, size);
}

spi_err spi_canvas_init(struct spi_canvas *c, double width, double height)
{
    cairo_font_options_t *font;

    *c = (struct spi_canvas){.width = width, .height = height};
    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24,
                                            (int)(width * SPI_CANVAS_SCALE + 0.5),
                                            (int)(height * SPI_CANVAS_SCALE + 0.5));
    c->cr = cairo_create(c->surface);
    if (cairo_status(c->cr) != CAIRO_STATUS_SUCCESS) {
        spi_canvas_clear(c);
        return spi_no_memory("picture", 4 * (size_t)(width * SPI_CANVAS_SCALE + 0.5) *
                                            (size_t)(height * SPI_CANVAS_SCALE + 0.5));
    }
    cairo_scale(c->cr, SPI_CANVAS_SCALE, SPI_CANVAS_SCALE);
    font = cairo_font_options_create();
    cairo_font_options_set_antialias(font, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(font, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(font, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(c->cr, font);
    cairo_font_options_destroy(font);
    spi_canvas_colour(c, SPI_WHITE, 1);
    cairo_paint(c->cr);
    use_font(c, SPI_TEXT_TICK, false);
    /* without an installed font cairo falls back to a user font of its own */
    c->ascii =
        cairo_scaled_font_get_type(cairo_get_scaled_font(c->cr)) == CAIRO_FONT_TYPE_USER;
    return SPI_OK;
}

void spi_canvas_clear(struct spi_canvas *c)
{
    if (c->cr)
        cairo_destroy(c->cr);
    if (c->surface)
        cairo_surface_destroy(c->surface);
    *c = (struct spi_canvas){0};
}

struct bytes {
    unsigned char *data;
    int64_t n, cap;
};

static cairo_status_t append(void *to, const unsigned char *data, unsigned length)
{
    struct bytes *b = to;
    void *p = b->data;

    if (b->n + length > b->cap &&
        spi_grow(&p, 1, b->n, b->n + length + (1 << 16), &b->cap, "picture") != SPI_OK)
        return CAIRO_STATUS_NO_MEMORY;
    b->data = p;
    memcpy(b->data + b->n, data, length);
    b->n += length;
    return CAIRO_STATUS_SUCCESS;
}

static void big_endian(uint32_t v, unsigned char to[4])
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* A tEXt chunk behind the header, which ends SPI_PNG_MARK_AT bytes into the file: the
 * picture says which program made it. */
static spi_err mark(struct bytes *png)
{
    enum { TEXT = sizeof SPI_PNG_MARK - 1, CHUNK = 4 + TEXT + 4, LENGTH = 4 };
    unsigned char chunk[CHUNK];
    void *p = png->data;
    spi_err err = spi_grow(&p, 1, png->n, png->n + CHUNK, &png->cap, "picture");

    if (err)
        return err;
    png->data = p;
    big_endian(TEXT - LENGTH, chunk); /* of the text alone, without its type */
    memcpy(chunk + LENGTH, SPI_PNG_MARK, TEXT);
    big_endian((uint32_t)crc32(crc32(0, NULL, 0), chunk + LENGTH, TEXT),
               chunk + LENGTH + TEXT);
    memmove(png->data + SPI_PNG_MARK_AT + CHUNK, png->data + SPI_PNG_MARK_AT,
            (size_t)(png->n - SPI_PNG_MARK_AT));
    memcpy(png->data + SPI_PNG_MARK_AT, chunk, CHUNK);
    png->n += CHUNK;
    return SPI_OK;
}

spi_err spi_canvas_write(struct spi_canvas *c, const char *path)
{
    struct bytes png = {0};
    cairo_status_t status = cairo_status(c->cr);
    spi_err err;

    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(c->surface, append, &png);
    if (status != CAIRO_STATUS_SUCCESS)
        err = spi_fail(status == CAIRO_STATUS_NO_MEMORY ? SPI_ENOMEM : SPI_EIO,
                       "%s: cannot make the picture: %s", path,
                       cairo_status_to_string(status));
    else
        err = mark(&png);
    if (!err)
        err = spi_file_write_text(path, (const char *)png.data, (size_t)png.n);
    free(png.data);
    return err;
}

void spi_canvas_colour(struct spi_canvas *c, uint32_t rgb, double alpha)
{
    cairo_set_source_rgba(c->cr, (rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0,
                          (rgb & 255) / 255.0, alpha);
}

void spi_canvas_line(struct spi_canvas *c, double x0, double y0, double x1, double y1,
                     double width)
{
    cairo_set_line_width(c->cr, width);
    cairo_move_to(c->cr, x0, y0);
    cairo_line_to(c->cr, x1, y1);
    cairo_stroke(c->cr);
}

/* Bytes of the UTF-8 character at s, 0 if it is none that can be shown. */
static int character(const unsigned char *s)
{
    int n = s[0] < 0x80                   ? 1
            : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
            : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                                          : 0;

    if (s[0] < 0x20 || s[0] == 0x7f)
        return 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
                   (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe)))
        return 0; /* overlong, surrogate, no character */
    return n;
}

/* Text that cairo accepts, at most TEXT_MAX - 1 bytes; with only cairo's strokes, in ASCII.
 */
static void clean(bool ascii, const char *from, char to[TEXT_MAX])
{
    static const struct {
        const char *from;
        char to;
    } letter[] = {{"\u00c5", 'A'}, {"\u00e5", 'a'}, {"\u2212", '-'}, {"\u00d7", 'x'},
                  {"\u00b7", '.'}, {"\u2013", '-'}, {"\u2014", '-'}};
    int n = 0;

    while (*from) {
        int bytes = character((const unsigned char *)from);

        if (n + (bytes ? bytes : 1) >= TEXT_MAX)
            break;
        if (bytes == 1 || (bytes > 1 && !ascii)) {
            memcpy(to + n, from, (size_t)bytes);
            n += bytes;
        } else {
            to[n] = '?';
            for (size_t i = 0; bytes && i < sizeof letter / sizeof *letter; i++)
                if (strncmp(from, letter[i].from, (size_t)bytes) == 0)
                    to[n] = letter[i].to;
            n++;
        }
        from += bytes ? bytes : 1;
    }
    to[n] = 0;
}

/* Draw (or only measure) from the current point; returns the width.  Raised parts: 0.72 of
 * the size, 0.38 of it above the line. */
static double run(struct spi_canvas *c, const struct spi_text *how, double size, char *text,
                  bool draw)
{
    char *up = how->raise ? strchr(text, '^') : NULL;
    cairo_text_extents_t e;
    double width;

    if (up)
        *up = 0;
    use_font(c, size, how->bold);
    cairo_text_extents(c->cr, text, &e);
    width = e.x_advance;
    if (draw)
        cairo_show_text(c->cr, text);
    if (up) {
        use_font(c, 0.72 * size, how->bold);
        cairo_text_extents(c->cr, up + 1, &e);
        width += e.x_advance;
        if (draw) {
            cairo_rel_move_to(c->cr, 0, -0.38 * size);
            cairo_show_text(c->cr, up + 1);
        }
        *up = '^';
    }
    return width;
}

/* Cut the text until it fits. */
static double shorten(struct spi_canvas *c, const struct spi_text *how, double size,
                      char text[TEXT_MAX], double width)
{
    size_t n = strlen(text);

    while (width > 1.0001 * how->max_width && n > 4) {
        n -= n > 60 ? n / 8 : 1;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--; /* not inside a character */
        if (n > TEXT_MAX - 4)
            continue;
        memcpy(text + n, "...", 4);
        width = run(c, how, size, text, false);
    }
    return width;
}

void spi_canvas_text(struct spi_canvas *c, double x, double y, const struct spi_text *how,
                     const char *text)
{
    char s[TEXT_MAX];
    double size = how->size, width;

    if (!text || !*text)
        return;
    clean(c->ascii, text, s);
    width = run(c, how, size, s, false);
    if (how->max_width > 0 && width > how->max_width) {
        size = size * how->max_width / width > 8 ? size * how->max_width / width : 8;
        width = shorten(c, how, size, s, run(c, how, size, s, false));
    }
    cairo_move_to(c->cr,
                  x - width * (how->align == SPI_CENTRE  ? 0.5
                               : how->align == SPI_RIGHT ? 1
                                                         : 0),
                  y);
    run(c, how, size, s, true);
    cairo_new_path(c->cr);
}

void spi_canvas_text_up(struct spi_canvas *c, double x, double y,
                        const struct spi_text *how, const char *text)
{
    cairo_save(c->cr);
    cairo_translate(c->cr, x, y);
    cairo_rotate(c->cr, -1.57079632679489661923);
    spi_canvas_text(c, 0, 0, how, text);
    cairo_restore(c->cr);
}

double spi_canvas_text_width(struct spi_canvas *c, const struct spi_text *how,
                             const char *text)
{
    char s[TEXT_MAX];

    if (!text || !*text)
        return 0;
    clean(c->ascii, text, s);
    return run(c, how, how->size, s, false);
}

void spi_canvas_note(struct spi_canvas *c, double x, double y, const char *text)
{
    struct spi_text how = {
        .size = SPI_TEXT_LABEL, .align = SPI_CENTRE, .max_width = c->width};
    double w = spi_canvas_text_width(c, &how, text);

    spi_canvas_colour(c, SPI_WHITE, 0.9);
    cairo_rectangle(c->cr, x - w / 2 - 10, y - 14, w + 20, 28);
    cairo_fill(c->cr);
    spi_canvas_colour(c, SPI_SOFT, 1);
    spi_canvas_text(c, x, y + 4.5, &how, text);
}

double spi_canvas_title(struct spi_canvas *c, const char *title, const char *note)
{
    struct spi_text big = {SPI_TEXT_TITLE, SPI_CENTRE, true, false, c->width - 24};
    struct spi_text small = {SPI_TEXT_TICK, SPI_CENTRE, false, false, c->width - 24};
    double y = 12;

    if (title && *title) {
        spi_canvas_colour(c, SPI_INK, 1);
        spi_canvas_text(c, c->width / 2, y + 16, &big, title);
        y += 24;
    }
    if (note && *note) {
        spi_canvas_colour(c, SPI_SOFT, 1);
        spi_canvas_text(c, c->width / 2, y + 12, &small, note);
        y += 19;
    }
    return y;
}
