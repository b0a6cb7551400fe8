/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel plot: columns of a table as curves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "base/mem.h"
#include "io/line_reader.h"
#include "plot/plot.h"

enum { COLUMNS_MAX = 64 };

struct args {
    const char *out, *x, *title, *x_label, *y_label;
    struct spi_texts y;
    bool log_x, log_y, points;
};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(args, out), 0, 0, "FILE.png", "the picture", .required = true},
    {'x', "x", SPI_TEXT(args, x), 0, 0, "COLUMN", "column of the horizontal axis",
     .absent = "the first column"},
    {'y', "y", SPI_TEXTS(args, y), 0, 0, "COLUMN",
     "column of a curve; may be given many times", .absent = "all other columns"},
    {0, "log-x", SPI_FLAG(args, log_x), 0, 0, "", "logarithmic horizontal axis"},
    {0, "log-y", SPI_FLAG(args, log_y), 0, 0, "", "logarithmic vertical axis"},
    {0, "points", SPI_FLAG(args, points), 0, 0, "", "markers instead of lines"},
    {0, "title", SPI_TEXT(args, title), 0, 0, "TEXT", "title of the picture"},
    {0, "x-label", SPI_TEXT(args, x_label), 0, 0, "TEXT", "label of the horizontal axis",
     .absent = "the column's name"},
    {0, "y-label", SPI_TEXT(args, y_label), 0, 0, "TEXT", "label of the vertical axis"},
    {0},
};

/* Columns of numbers; NaN where a field is empty or no number. */
struct table {
    int columns;
    int64_t rows, capacity[COLUMNS_MAX];
    char *name[COLUMNS_MAX];
    double *value[COLUMNS_MAX];
};

static void table_clear(struct table *t)
{
    for (int c = 0; c < t->columns; c++) {
        free(t->name[c]);
        free(t->value[c]);
    }
}

/* The next field of a line, cut out; NULL at the end. */
static char *field(char **at)
{
    char *start = *at, *comma = start ? strchr(start, ',') : NULL;

    if (comma)
        *comma = 0;
    *at = comma ? comma + 1 : NULL;
    return start;
}

static spi_err read_names(struct table *t, const struct spi_line_reader *l, char *line)
{
    for (char *at = line, *name = field(&at); name; name = field(&at)) {
        if (t->columns == COLUMNS_MAX)
            return spi_fail(SPI_EFORMAT, "%s:%lld: more than %d columns",
                            spi_line_reader_path(l), (long long)spi_line_reader_number(l),
                            COLUMNS_MAX);
        t->name[t->columns] = spi_text_copy(name, spi_line_reader_path(l));
        if (!t->name[t->columns])
            return SPI_ENOMEM;
        t->columns++;
    }
    return SPI_OK;
}

static spi_err read_row(struct table *t, const struct spi_line_reader *l, char *line)
{
    char *at = line;

    for (int c = 0; c < t->columns; c++) {
        char *text = field(&at), *end = text;
        spi_err err = spi_grow((void **)&t->value[c], sizeof *t->value[c], t->rows,
                               t->rows + 1, &t->capacity[c], spi_line_reader_path(l));

        if (err)
            return err;
        t->value[c][t->rows] = text ? strtod(text, &end) : (double)NAN;
        if (end == text)
            t->value[c][t->rows] = (double)NAN;
    }
    if (at)
        return spi_fail(SPI_EFORMAT, "%s:%lld: more than %d fields",
                        spi_line_reader_path(l), (long long)spi_line_reader_number(l),
                        t->columns);
    t->rows++;
    return SPI_OK;
}

static spi_err read_table(const char *path, struct table *t)
{
    struct spi_line_reader *l = NULL;
    char *line;
    size_t length;
    spi_err err;

    SPI_TRY(err = spi_line_reader_open(path, &l), out);
    for (;;) {
        SPI_TRY(err = spi_line_reader_next(l, &line, &length), out);
        if (!line)
            break;
        if (length == 0 || line[0] == '#')
            continue;
        SPI_TRY(err = t->columns ? read_row(t, l, line) : read_names(t, l, line), out);
    }
    if (t->columns < 2 || t->rows < 1)
        err = spi_fail(SPI_EFORMAT,
                       "%s: %d columns, %lld rows; need a line of names, then 1 row of 2 "
                       "columns or more",
                       path, t->columns, (long long)t->rows);
out:
    spi_line_reader_close(l);
    return err;
}

static spi_err find_column(const struct spi_call *call, const struct table *t,
                           const char *option, const char *name, int *column)
{
    for (int c = 0; c < t->columns; c++)
        if (strcmp(t->name[c], name) == 0) {
            *column = c;
            return SPI_OK;
        }
    return spi_call_fail(call, option, "'%s' is not a column of %s; the first is '%s'",
                         name, call->operand[0], t->name[0]);
}

static spi_err draw(const struct spi_call *call, const struct table *t)
{
    const struct args *a = call->args;
    struct spi_curve curve[COLUMNS_MAX];
    int x = 0, n = 0, c;
    spi_err err = a->x ? find_column(call, t, "x", a->x, &x) : SPI_OK;

    for (int i = 0; i < (a->y.n ? a->y.n : t->columns) && n < COLUMNS_MAX && !err; i++) {
        c = i;
        if (a->y.n)
            err = find_column(call, t, "y", a->y.item[i], &c);
        else if (c == x)
            continue;
        curve[n++] = (struct spi_curve){.name = t->name[c],
                                        .n = (int)t->rows,
                                        .x = t->value[x],
                                        .y = t->value[c],
                                        .points = a->points};
    }
    if (err)
        return err;

    struct spi_plot p = {.title = a->title,
                         .x_label = a->x_label ? a->x_label : t->name[x],
                         .y_label = a->y_label,
                         .log_x = a->log_x,
                         .log_y = a->log_y,
                         .curves = curve,
                         .n_curves = n};

    return spi_plot_curves(a->out, &p);
}

static spi_err run(const struct spi_call *call)
{
    struct table t = {0};
    spi_err err = read_table(call->operand[0], &t);

    if (!err)
        err = draw(call, &t);
    table_clear(&t);
    return err;
}

const struct spi_cmd spi_cmd_plot = {
    .name = "plot",
    .operands = "TABLE.csv",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "draw columns of a table",
    .about = "Draws columns of a table of numbers (a line of names, then one line a row, "
             "fields separated by commas) as curves over another column. Fields that are "
             "empty or not numbers leave a gap.",
    .examples = {{"spinifel plot run1/fsc.csv -o fsc.png -x q_invA -y fsc", "one curve"},
                 {"spinifel plot photons.csv -o photons.png --log-x --log-y",
                  "all columns over the first"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
