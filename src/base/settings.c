/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/settings.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/settings_renamed.h"
#include "base/text.h"

const struct spi_setting spi_setting_table[] = {
#define X(section, key, type, dflt, lo, hi, unit, help) \
    {#section, #key, SPI_SET_##type, lo,                \
     hi,       unit, help,           offsetof(struct spi_settings, key)},
    SPI_SETTINGS(X)
#undef X
        {0},
};

void spi_settings_default(struct spi_settings *s)
{
    *s = (struct spi_settings){
#define X(section, key, type, dflt, lo, hi, unit, help) .key = dflt,
        SPI_SETTINGS(X)
#undef X
    };
}

void spi_settings_copy_section(struct spi_settings *to, const struct spi_settings *from,
                               const char *section)
{
    static const size_t size[] = {[SPI_SET_int] = sizeof(int),
                                  [SPI_SET_double] = sizeof(double),
                                  [SPI_SET_bool] = sizeof(bool),
                                  [SPI_SET_text] = sizeof(spi_text)};

    for (const struct spi_setting *row = spi_setting_table; row->key; row++)
        if (strcmp(row->section, section) == 0)
            memcpy((char *)to + row->offset, (const char *)from + row->offset,
                   size[row->type]);
}

static const struct {
    const char *section, *old, *key;
} renamed[] = {
#define X(section, old, key) {#section, #old, #key},
    SPI_SETTINGS_RENAMED(X)
#undef X
};

/* The row that has this name now. */
static const struct spi_setting *find_now(const char *section, const char *key)
{
    for (const struct spi_setting *row = spi_setting_table; row->key; row++)
        if (strcmp(row->key, key) == 0 && (!section || strcmp(row->section, section) == 0))
            return row;
    return NULL;
}

const struct spi_setting *spi_setting_find(const char *section, const char *key)
{
    const struct spi_setting *row = find_now(section, key);

    for (size_t i = 0; !row && i < sizeof renamed / sizeof *renamed; i++)
        if (strcmp(renamed[i].old, key) == 0 &&
            (!section || strcmp(renamed[i].section, section) == 0))
            row = find_now(renamed[i].section, renamed[i].key);
    return row;
}

void spi_setting_hint(const char *where, const struct spi_setting *row, const char *key)
{
    if (strcmp(row->key, key) != 0)
        spi_info("%s: %s.%s is the former name of %s.%s and still works", where,
                 row->section, key, row->section, row->key);
}

spi_err spi_settings_check_section(const char *where, const char *section)
{
    const char *near = NULL;
    int best = 1 << 30;

    for (const struct spi_setting *row = spi_setting_table; row->key; row++) {
        int d = spi_text_near(row->section, section);

        if (strcmp(row->section, section) == 0)
            return SPI_OK;
        if (d >= 0 && d < best)
            best = d, near = row->section;
    }
    if (!near)
        return spi_fail(SPI_EINVAL,
                        "%s: unknown section [%s]; 'spinifel settings' lists all", where,
                        section);
    return spi_fail(SPI_EINVAL, "%s: unknown section [%s]; the nearest is [%s]", where,
                    section, near);
}

/* How far `name` of section `in` is from the key that was given; of equally near names one
 * of the same section is nearer.  Negative: not near. */
static int distance(const char *in, const char *name, const char *section, const char *key)
{
    int d = spi_text_near(name, key);

    return d < 0 ? d : 2 * d + (section && strcmp(in, section) != 0);
}

/* The message names the setting with the nearest name; former names count as well. */
static spi_err unknown(const char *where, const char *section, const char *key)
{
    const struct spi_setting *near = NULL;
    int best = 1 << 30, d;

    for (const struct spi_setting *row = spi_setting_table; row->key; row++) {
        d = distance(row->section, row->key, section, key);
        if (d >= 0 && d < best)
            best = d, near = row;
    }
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++) {
        d = distance(renamed[i].section, renamed[i].old, section, key);
        if (d >= 0 && d < best)
            best = d, near = find_now(renamed[i].section, renamed[i].key);
    }
    if (!near)
        return spi_fail(SPI_EINVAL,
                        "%s: unknown setting '%s%s%s'; 'spinifel settings' lists all",
                        where, section ? section : "", section ? "." : "", key);
    return spi_fail(SPI_EINVAL, "%s: unknown setting '%s%s%s'; the nearest is '%s.%s'",
                    where, section ? section : "", section ? "." : "", key, near->section,
                    near->key);
}

static spi_err set_text(char *to, const char *where, const struct spi_setting *row,
                        const char *value)
{
    size_t len = strlen(value);

    if (len >= SPI_TEXT_MAX)
        return spi_fail(SPI_EINVAL, "%s: %s.%s has %zu characters; at most %d", where,
                        row->section, row->key, len, SPI_TEXT_MAX - 1);
    if (*row->unit && !spi_word_in_list(value, row->unit))
        return spi_fail(SPI_EINVAL, "%s: %s.%s is '%s'; need one of %s", where,
                        row->section, row->key, value, row->unit);
    memcpy(to, value, len + 1);
    return SPI_OK;
}

static spi_err set_bool(bool *to, const char *where, const struct spi_setting *row,
                        const char *value)
{
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;

    if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
        return spi_fail(SPI_EINVAL, "%s: %s.%s is '%s'; need true or false", where,
                        row->section, row->key, value);
    *to = yes;
    return SPI_OK;
}

spi_err spi_settings_set(struct spi_settings *s, const char *where, const char *section,
                         const char *key, const char *value)
{
    const struct spi_setting *row = spi_setting_find(section, key);

    if (!row)
        return unknown(where, section, key);
    spi_setting_hint(where, row, key);

    void *to = (char *)s + row->offset;

    if (row->type == SPI_SET_text)
        return set_text(to, where, row, value);
    if (row->type == SPI_SET_bool)
        return set_bool(to, where, row, value);

    char *end;
    double v = strtod(value, &end);

    if (end == value || *end || !isfinite(v))
        return spi_fail(SPI_EINVAL, "%s: %s.%s is '%s'; need a number", where, row->section,
                        row->key, value);
    if (v < row->lo || v > row->hi)
        return spi_fail(SPI_EINVAL, "%s: %s.%s is %s; need %g..%g%s%s", where, row->section,
                        row->key, value, row->lo, row->hi, *row->unit ? " " : "",
                        row->unit);
    if (row->type == SPI_SET_double)
        *(double *)to = v;
    else if (v != floor(v))
        return spi_fail(SPI_EINVAL, "%s: %s.%s is %s; need a whole number", where,
                        row->section, row->key, value);
    else
        *(int *)to = (int)v;
    return SPI_OK;
}

/* Shortest text that gives the same double back. */
static void number_text(double v, char *out, size_t size)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            return;
    }
}

/* A TOML basic string; control characters, quotes and backslashes are escaped. */
static void quoted_text(const char *text, char *out, size_t size)
{
    size_t n = 0;

    if (size < 3)
        return;
    out[n++] = '"';
    for (const char *p = text; *p && n + 8 < size; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = *p;
        } else if (c < ' ' || c == 127)
            n += (size_t)snprintf(out + n, size - n, "\\u%04X", (unsigned)c);
        else
            out[n++] = *p;
    }
    out[n++] = '"';
    out[n] = 0;
}

void spi_settings_value(const struct spi_settings *s, const struct spi_setting *row,
                        char *out, size_t size)
{
    const void *at = (const char *)s + row->offset;

    switch (row->type) {
    case SPI_SET_int:
        snprintf(out, size, "%d", *(const int *)at);
        break;
    case SPI_SET_double:
        number_text(*(const double *)at, out, size);
        break;
    case SPI_SET_bool:
        snprintf(out, size, "%s", *(const bool *)at ? "true" : "false");
        break;
    case SPI_SET_text:
        quoted_text(at, out, size);
    }
}

void spi_settings_dump(const struct spi_settings *s, FILE *to)
{
    const char *section = "";

    for (const struct spi_setting *row = spi_setting_table; row->key; row++) {
        char value[SPI_VALUE_MAX];

        if (strcmp(section, row->section) != 0)
            fprintf(to, "%s[%s]\n", *section ? "\n" : "", row->section);
        section = row->section;
        spi_settings_value(s, row, value, sizeof value);
        fprintf(to, "%s = %s  # %s%s%s%s\n", row->key, value, row->help,
                *row->unit ? " [" : "", row->unit, *row->unit ? "]" : "");
    }
}

void spi_settings_recipe(const struct spi_settings *s, char out[SPI_TEXT_MAX])
{
    if (*s->recipe)
        snprintf(out, SPI_TEXT_MAX, "%s", s->recipe);
    else
        snprintf(out, SPI_TEXT_MAX, "%d*(%d ER, %d HIO, %d ER, 1 SW)", s->N_phase_loops,
                 s->nER, s->nHIO, s->nER);
}
