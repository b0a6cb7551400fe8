/* SPDX-License-Identifier: GPL-3.0-or-later */
/* curves.c, of plot/plot.h: columns of numbers as curves. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plot/canvas.h"
#include "plot/colour.h"
#include "plot/plot.h"
#include "plot/ticks.h"

enum { WIDTH = 720, HEIGHT = 470, LEGEND_MAX = 16, NAME_WIDTH = 240, SEGMENT_SAMPLES = 8 };

static const struct spi_text tick_left = {SPI_TEXT_TICK, SPI_RIGHT, false, true, 0};
static const struct spi_text tick_mid = {SPI_TEXT_TICK, SPI_CENTRE, false, true, 0};
static const struct spi_text entry = {SPI_TEXT_TICK, SPI_LEFT, false, false, NAME_WIDTH};
static const struct spi_text power = {SPI_TEXT_TICK, SPI_RIGHT, false, true, 0};

struct box {
    double x, y, w, h;
};

struct frame {
    const struct spi_plot *p;
    struct spi_canvas c;
    struct spi_axis x, y;
    struct spi_ticks tx, ty, td;     /* td: resolution, on top */
    double left, right, top, bottom; /* the area of the curves */
    struct box legend;
    int n_named, n_listed; /* curves with a name, those with a line in the legend */
    bool empty;            /* no point to draw */
};

static double place_x(const struct frame *f, double v)
{
    return f->left + (f->right - f->left) * spi_axis_place(&f->x, v);
}

static double place_y(const struct frame *f, double v)
{
    return f->bottom - (f->bottom - f->top) * spi_axis_place(&f->y, v);
}

static bool drawable(const struct spi_plot *p, const struct spi_curve *c, int i)
{
    return spi_axis_shows(p->log_x, c->x[i]) && spi_axis_shows(p->log_y, c->y[i]);
}

static spi_err check(const char *path, const struct spi_plot *p)
{
    if (p->n_curves < 0 || p->n_h_lines < 0)
        return spi_fail(SPI_EINVAL, "%s: %d curves and %d lines; need 0 or more", path,
                        p->n_curves, p->n_h_lines);
    for (int k = 0; k < p->n_curves; k++)
        if (p->curves[k].n < 0 ||
            (p->curves[k].n > 0 && (!p->curves[k].x || !p->curves[k].y)))
            return spi_fail(SPI_EINVAL, "%s: curve %d has %d points%s", path, k,
                            p->curves[k].n,
                            p->curves[k].n < 0 ? "; need 0 or more" : " but no numbers");
    if (p->y_min != p->y_max &&
        (!spi_axis_shows(p->log_y, p->y_min) || !spi_axis_shows(p->log_y, p->y_max)))
        return spi_fail(SPI_EINVAL, "%s: the y axis from %g to %g cannot be drawn%s", path,
                        p->y_min, p->y_max, p->log_y ? " (logarithmic)" : "");
    return SPI_OK;
}

struct range {
    double lo, hi;
};

static void extend(struct range *r, double v)
{
    r->lo = fmin(r->lo, v);
    r->hi = fmax(r->hi, v);
}

static struct spi_axis automatic(struct range r, bool log, bool any, double pad)
{
    if (!any)
        r = log ? (struct range){0.1, 10} : (struct range){0, 1};

    bool from_zero = !log && r.lo >= 0 && r.lo < 0.3 * r.hi;
    struct spi_axis a = spi_axis_make(from_zero ? 0 : r.lo, r.hi, log);
    struct spi_axis wide = spi_axis_pad(a, pad);

    return (struct spi_axis){from_zero ? 0 : wide.lo, wide.hi, log};
}

static void find_axes(struct frame *f)
{
    const struct spi_plot *p = f->p;
    struct range x = {HUGE_VAL, -HUGE_VAL}, y = x;

    for (int k = 0; k < p->n_curves; k++)
        for (int i = 0; i < p->curves[k].n; i++)
            if (drawable(p, &p->curves[k], i)) {
                extend(&x, p->curves[k].x[i]);
                extend(&y, p->curves[k].y[i]);
            }
    f->empty = !(x.lo <= x.hi);
    for (int i = 0; i < p->n_h_lines; i++)
        if (spi_axis_shows(p->log_y, p->h_lines[i]))
            extend(&y, p->h_lines[i]);
    f->x = automatic(x, p->log_x, !f->empty, 0.02);
    if (p->y_min == p->y_max)
        f->y = automatic(y, p->log_y, y.lo <= y.hi, 0.05);
    else
        f->y = spi_axis_make(p->y_min, p->y_max, p->log_y);
    spi_ticks_make(&f->x, 7, &f->tx);
    spi_ticks_make(&f->y, 6, &f->ty);
}

/* Margins from what stands in them. */
static void lay_out(struct frame *f)
{
    const struct spi_plot *p = f->p;
    double widest = 0;

    f->top = spi_canvas_title(&f->c, p->title, p->note) + 8 + (f->ty.exponent ? 14 : 0);
    if (p->x_is_q) {
        spi_ticks_resolution(&f->x, 0.065, &f->td);
        f->top += f->td.n ? 38 : 0;
    }
    for (int i = 0; i < f->ty.n; i++)
        widest = fmax(widest, spi_canvas_text_width(&f->c, &tick_left, f->ty.label[i]));
    f->left = fmin(14 + widest + 10 + (p->y_label && *p->y_label ? 24 : 0), 0.4 * WIDTH);
    f->right = WIDTH - 28;
    f->bottom = HEIGHT - 34 - (p->x_label && *p->x_label ? 22 : 0);
}

static void grid(struct frame *f)
{
    struct spi_canvas *c = &f->c;

    spi_canvas_colour(c, SPI_FAINT, 1);
    for (int i = 0; i < f->tx.n; i++)
        spi_canvas_line(c, place_x(f, f->tx.at[i]), f->top, place_x(f, f->tx.at[i]),
                        f->bottom, 0.8);
    for (int i = 0; i < f->ty.n; i++)
        spi_canvas_line(c, f->left, place_y(f, f->ty.at[i]), f->right,
                        place_y(f, f->ty.at[i]), 0.8);
}

/* Its right end is at x. */
static void exponent(struct frame *f, const struct spi_ticks *t, double x, double y)
{
    char text[SPI_TICK_TEXT];

    if (!t->exponent)
        return;
    snprintf(text, sizeof text, "\u00d710^%s%d", t->exponent < 0 ? "\u2212" : "",
             t->exponent < 0 ? -t->exponent : t->exponent);
    spi_canvas_text(&f->c, x, y, &power, text);
}

static void x_axis(struct frame *f)
{
    struct spi_canvas *c = &f->c;
    struct spi_text label = {SPI_TEXT_LABEL, SPI_CENTRE, false, false, f->right - f->left};
    double last = -HUGE_VAL;

    for (int i = 0; i < f->tx.n_minor; i++) {
        double x = place_x(f, f->tx.minor[i]);

        spi_canvas_line(c, x, f->bottom, x, f->bottom + 2.5, 0.8);
    }
    for (int i = 0; i < f->tx.n; i++) {
        double x = place_x(f, f->tx.at[i]);
        double w = spi_canvas_text_width(c, &tick_mid, f->tx.label[i]);

        spi_canvas_line(c, x, f->bottom, x, f->bottom + 5, 1);
        if (x - w / 2 < last + 6)
            continue;
        last = x + w / 2;
        spi_canvas_text(c, x, f->bottom + 18, &tick_mid, f->tx.label[i]);
    }
    exponent(f, &f->tx, f->right, f->bottom + 36);
    spi_canvas_text(c, (f->left + f->right) / 2, f->bottom + 40, &label, f->p->x_label);
}

static void y_axis(struct frame *f)
{
    struct spi_canvas *c = &f->c;
    struct spi_text label = {SPI_TEXT_LABEL, SPI_CENTRE, false, false, f->bottom - f->top};

    for (int i = 0; i < f->ty.n_minor; i++) {
        double y = place_y(f, f->ty.minor[i]);

        spi_canvas_line(c, f->left - 2.5, y, f->left, y, 0.8);
    }
    for (int i = 0; i < f->ty.n; i++) {
        double y = place_y(f, f->ty.at[i]);

        spi_canvas_line(c, f->left - 5, y, f->left, y, 1);
        spi_canvas_text(c, f->left - 9, y + 4, &tick_left, f->ty.label[i]);
    }
    exponent(f, &f->ty, fmax(f->left - 9, 40), f->top - 10);
    spi_canvas_text_up(c, 24, (f->top + f->bottom) / 2, &label, f->p->y_label);
}

static void resolution_axis(struct frame *f)
{
    struct spi_canvas *c = &f->c;
    struct spi_text label = {SPI_TEXT_TICK, SPI_CENTRE, false, false, 0};

    if (f->td.n) /* again: the legend may have taken some of the width */
        spi_ticks_resolution(&f->x, 44 / (f->right - f->left), &f->td);
    for (int i = 0; i < f->td.n; i++) {
        double x = place_x(f, f->td.at[i]);

        spi_canvas_line(c, x, f->top - 5, x, f->top, 1);
        spi_canvas_text(c, x, f->top - 9, &tick_mid, f->td.label[i]);
    }
    if (f->td.n)
        spi_canvas_text(c, (f->left + f->right) / 2, f->top - 26, &label,
                        "resolution (\u00c5)");
}

static void axes(struct frame *f)
{
    struct spi_canvas *c = &f->c;

    spi_canvas_colour(c, SPI_INK, 1);
    x_axis(f);
    y_axis(f);
    resolution_axis(f);
    cairo_set_line_width(c->cr, 1);
    cairo_rectangle(c->cr, f->left, f->top, f->right - f->left, f->bottom - f->top);
    cairo_stroke(c->cr);
}

static void h_lines(struct frame *f)
{
    static const double dash[] = {6, 4};
    struct spi_canvas *c = &f->c;
    struct spi_text label = {SPI_TEXT_TICK, SPI_RIGHT, false, false, 0};

    for (int i = 0; i < f->p->n_h_lines; i++) {
        double v = f->p->h_lines[i], y;
        char text[SPI_TICK_TEXT];

        if (!spi_axis_shows(f->p->log_y, v) || v < f->y.lo || v > f->y.hi)
            continue;
        y = place_y(f, v);
        snprintf(text, sizeof text, "%.4g", v);
        spi_canvas_colour(c, SPI_SOFT, 1);
        cairo_set_dash(c->cr, dash, 2, 0);
        spi_canvas_line(c, f->left, y, f->right, y, 1.2);
        cairo_set_dash(c->cr, NULL, 0, 0);
        spi_canvas_text(c, f->right - 6, y - 5 < f->top + 10 ? y + 14 : y - 5, &label,
                        text);
    }
}

/* The style of curve k: its colour, and dashes from the eighth on. */
static void use_style(struct spi_canvas *c, int k)
{
    static const double dash[][4] = {{7, 3, 7, 3}, {2, 3, 2, 3}, {8, 3, 2, 3}};
    int turn = k / SPI_PALETTE;

    spi_canvas_colour(c, spi_palette(k), 1);
    cairo_set_line_width(c->cr, 2);
    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(c->cr, turn ? dash[(turn - 1) % 3] : NULL, turn ? 4 : 0, 0);
}

static void dot(struct spi_canvas *c, double x, double y, double radius)
{
    cairo_new_path(c->cr);
    cairo_arc(c->cr, x, y, radius, 0, 6.28318530717958647692);
    cairo_fill(c->cr);
}

static void curve(struct frame *f, int k)
{
    const struct spi_curve *q = &f->p->curves[k];
    struct spi_canvas *c = &f->c;
    bool down = false;

    use_style(c, k);
    cairo_new_path(c->cr);
    for (int i = 0; i < q->n && !q->points; i++) {
        bool here = drawable(f->p, q, i);

        if (here && down)
            cairo_line_to(c->cr, place_x(f, q->x[i]), place_y(f, q->y[i]));
        else if (here)
            cairo_move_to(c->cr, place_x(f, q->x[i]), place_y(f, q->y[i]));
        down = here;
    }
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

/* Markers, whole also on the frame; and a point between two gaps, which no line shows. */
static void markers(struct frame *f, int k)
{
    const struct spi_curve *q = &f->p->curves[k];

    use_style(&f->c, k);
    for (int i = 0; i < q->n; i++) {
        bool alone = (i == 0 || !drawable(f->p, q, i - 1)) &&
                     (i + 1 == q->n || !drawable(f->p, q, i + 1));

        if (drawable(f->p, q, i) && (q->points || alone) && q->y[i] >= f->y.lo &&
            q->y[i] <= f->y.hi)
            dot(&f->c, place_x(f, q->x[i]), place_y(f, q->y[i]), 3.4);
    }
    cairo_set_dash(f->c.cr, NULL, 0, 0);
}

/* How much of a curve lies in a box: places on the lines between its points. */
static int curve_in_box(const struct frame *f, const struct spi_curve *q,
                        const struct box *b)
{
    int n = 0, stride = 1 + q->n / 2000;

    for (int i = 0; i < q->n; i += stride) {
        int j = i + stride < q->n ? i + stride : i;

        if (!drawable(f->p, q, i) || !drawable(f->p, q, j))
            continue;

        double x = place_x(f, q->x[i]), y = place_y(f, q->y[i]);
        double dx = place_x(f, q->x[j]) - x, dy = place_y(f, q->y[j]) - y;

        for (int s = 0; s < SEGMENT_SAMPLES;
             s++, x += dx / SEGMENT_SAMPLES, y += dy / SEGMENT_SAMPLES)
            n += x >= b->x - 4 && x <= b->x + b->w + 4 && y >= b->y - 4 &&
                 y <= b->y + b->h + 4;
    }
    return n;
}

static int covered(const struct frame *f, const struct box *b)
{
    int n = 0;

    for (int k = 0; k < f->p->n_curves; k++)
        n += curve_in_box(f, &f->p->curves[k], b);
    for (int i = 0; i < f->p->n_h_lines; i++) {
        double y = place_y(f, f->p->h_lines[i]);

        n += y > b->y - 4 && y < b->y + b->h + 20; /* with its label */
    }
    return n;
}

static bool named(const struct spi_curve *c)
{
    return c->name && *c->name;
}

/* In the corner where it hides nothing, upper right first; else beside the curves. */
static void place_legend(struct frame *f)
{
    struct box *b = &f->legend;
    double widest = 0;

    for (int k = 0; k < f->p->n_curves; k++)
        if (named(&f->p->curves[k])) {
            f->n_named++;
            widest =
                fmax(widest, spi_canvas_text_width(&f->c, &entry, f->p->curves[k].name));
        }
    if (f->n_named == 0 || f->empty)
        return;
    f->n_listed = f->n_named > LEGEND_MAX ? LEGEND_MAX - 1 : f->n_named;
    b->w = 52 + fmin(fmax(widest, f->n_named > f->n_listed ? 70 : 0), NAME_WIDTH);
    b->h = 10 + 18 * (f->n_listed + (f->n_named > f->n_listed));
    for (int i = 0; i < 4; i++) {
        b->x = i % 2 ? f->left + 10 : f->right - 10 - b->w;
        b->y = i / 2 ? f->bottom - 10 - b->h : f->top + 10;
        if (covered(f, b) == 0)
            return;
    }
    b->x = WIDTH - 10 - b->w;
    b->y = f->top;
    f->right = b->x - 10;
}

static void legend_entry(struct frame *f, int k, double x, double y)
{
    struct spi_canvas *c = &f->c;

    use_style(c, k);
    if (f->p->curves[k].points)
        dot(c, x + 21, y, 3.4);
    else
        spi_canvas_line(c, x + 8, y, x + 34, y, 2);
    cairo_set_dash(c->cr, NULL, 0, 0);
    spi_canvas_colour(c, SPI_INK, 1);
    spi_canvas_text(c, x + 42, y + 4, &entry, f->p->curves[k].name);
}

static void legend(struct frame *f)
{
    const struct box *b = &f->legend;
    struct spi_canvas *c = &f->c;
    char text[SPI_TICK_TEXT];
    int row = 0;

    if (f->n_listed == 0)
        return;
    if (b->x < f->right) {
        spi_canvas_colour(c, SPI_WHITE, 0.9);
        cairo_rectangle(c->cr, b->x, b->y, b->w, b->h);
        cairo_fill_preserve(c->cr);
        spi_canvas_colour(c, SPI_FAINT, 1);
        cairo_set_line_width(c->cr, 1);
        cairo_stroke(c->cr);
    }
    for (int k = 0; k < f->p->n_curves && row < f->n_listed; k++)
        if (named(&f->p->curves[k]))
            legend_entry(f, k, b->x, b->y + 14 + 18 * row++);
    if (f->n_named > f->n_listed) {
        snprintf(text, sizeof text, "and %d more", f->n_named - f->n_listed);
        spi_canvas_text(c, b->x + 42, b->y + 18 + 18 * row, &entry, text);
    }
}

spi_err spi_plot_curves(const char *path, const struct spi_plot *p)
{
    struct frame f = {.p = p};
    spi_err err = check(path, p);

    if (err)
        return err;
    if ((err = spi_canvas_init(&f.c, WIDTH, HEIGHT)) != SPI_OK)
        return err;
    find_axes(&f);
    lay_out(&f);
    place_legend(&f);
    grid(&f);
    cairo_save(f.c.cr);
    cairo_rectangle(f.c.cr, f.left - 1, f.top - 1, f.right - f.left + 2,
                    f.bottom - f.top + 2);
    cairo_clip(f.c.cr);
    h_lines(&f);
    for (int k = 0; k < p->n_curves; k++)
        curve(&f, k);
    cairo_restore(f.c.cr);
    axes(&f);
    for (int k = 0; k < p->n_curves; k++)
        markers(&f, k);
    if (f.empty)
        spi_canvas_note(&f.c, (f.left + f.right) / 2, (f.top + f.bottom) / 2,
                        "no finite point to draw");
    else
        legend(&f);
    err = spi_canvas_write(&f.c, path);
    spi_canvas_clear(&f.c);
    return err;
}
