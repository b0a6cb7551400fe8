/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/settings_file.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum { LINE_MAX_BYTES = 4096, SECTIONS_MAX = 64 };

/* One file being read.  inih finds sections and keys and notices broken lines; the value
 * travels beside it, since inih cuts values at " ;" and lines at 200 characters, and both
 * may stand in a TOML string. */
struct source {
    const char *path;
    FILE *in;
    int line;
    char text[LINE_MAX_BYTES]; /* the line without comment and outer blanks */
    const char *value;         /* of "key = value", in `text`; NULL: no such line */
    struct spi_settings s;     /* copied out when all went well */
    int *row_line;             /* [rows of the table] where each key was set; 0: not yet */
    struct {
        char name[64];
        int line;
    } section[SECTIONS_MAX];
    int n_sections;
    char former[SPI_MESSAGE_MAX]; /* "OLD is now NEW, ...": the former names that it uses */
    int n_former;
    spi_err err; /* the first one */
};

static spi_err fail_line(struct source *f, const char *what)
{
    f->err = spi_fail(SPI_EFORMAT, "%s:%d: %s", f->path, f->line, what);
    return f->err;
}

static char *skip_blanks(char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static void cut_trailing_blanks(char *text)
{
    size_t n = strlen(text);

    while (n && isspace((unsigned char)text[n - 1]))
        text[--n] = 0;
}

/* Cut at a '#' outside of strings. */
static void cut_comment(char *text)
{
    char quote = 0;

    for (char *p = text; *p; p++) {
        if (quote == '"' && *p == '\\' && p[1])
            p++;
        else if (quote && *p == quote)
            quote = 0;
        else if (!quote && (*p == '"' || *p == '\''))
            quote = *p;
        else if (!quote && *p == '#') {
            *p = 0;
            break;
        }
    }
    cut_trailing_blanks(text);
}

/* The next line as it stands into f->text; false at the end of the file and on errors. */
static bool next_line(struct source *f)
{
    int n = 0, c;

    f->line++;
    while ((c = getc(f->in)) != EOF && c != '\n' && c != '\r') {
        if (c == 0 || (c < ' ' && c != '\t') || c == 127) {
            fail_line(f, "holds a control character; not a settings file");
            return false;
        }
        if (n == LINE_MAX_BYTES - 1) {
            fail_line(f, "line is too long; at most 4095 characters");
            return false;
        }
        f->text[n++] = (char)c;
    }
    if (c == '\r' && (c = getc(f->in)) != '\n') { /* CR alone ends a line as CR LF does */
        ungetc(c, f->in);
        c = '\n';
    }
    if (ferror(f->in)) {
        f->err = spi_fail(SPI_EIO, "%s: cannot read: %s", f->path, strerror(errno));
        return false;
    }
    f->text[n] = 0;
    return c != EOF || n > 0;
}

static spi_err check_section(struct source *f)
{
    char where[LINE_MAX_BYTES], name[LINE_MAX_BYTES];
    size_t len = strlen(f->text);

    if (f->text[len - 1] != ']')
        return fail_line(f, "need [section] alone on its line");
    snprintf(name, sizeof name, "%.*s", (int)len - 2, f->text + 1);
    snprintf(where, sizeof where, "%s:%d", f->path, f->line);
    f->err = spi_settings_check_section(where, name);
    if (f->err)
        return f->err;
    for (int i = 0; i < f->n_sections; i++)
        if (strcmp(f->section[i].name, name) == 0)
            return f->err = spi_fail(SPI_EFORMAT,
                                     "%s: section [%s] stands twice; first in line %d",
                                     where, name, f->section[i].line);
    if (f->n_sections < SECTIONS_MAX) {
        snprintf(f->section[f->n_sections].name, sizeof f->section->name, "%.63s", name);
        f->section[f->n_sections++].line = f->line;
    }
    return SPI_OK;
}

/* Split "key = value": f->value is the value, the line for inih keeps only "key =". */
static spi_err check_key(struct source *f, char *line, int size)
{
    size_t key = strcspn(f->text, "=:");

    if (f->text[key] != '=' || key == 0)
        return fail_line(f, "need [section], key = value or # comment");
    if (key + 4 > (size_t)size)
        return fail_line(f, "the key is too long");
    f->value = skip_blanks(f->text + key + 1);
    snprintf(line, (size_t)size, "%.*s=", (int)key, f->text);
    return SPI_OK;
}

/* inih's fgets: hands over lines of INI, cleaned of what only TOML knows. */
static char *give_line(char *line, int size, void *user)
{
    struct source *f = user;

    f->value = NULL;
    if (f->err || !next_line(f))
        return NULL;

    char *from = f->text;

    if (f->line == 1 && strncmp(from, "\xef\xbb\xbf", 3) == 0)
        from += 3;
    from =
        skip_blanks(from); /* inih takes an indented line as the rest of the one before */
    memmove(f->text, from, strlen(from) + 1);
    cut_comment(f->text);
    if (!*f->text)
        return strcpy(line, "\n");
    if (*f->text != '[')
        return check_key(f, line, size) ? NULL : line;
    if (check_section(f))
        return NULL;
    if (strlen(f->text) + 2 > (size_t)size) {
        fail_line(f, "the section's name is too long");
        return NULL;
    }
    return strcpy(line, f->text);
}

/* ------------------------------------------------------------------ values */

static int hex_digits(const char *p, int n, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)p[i]))
            return 0;
        *code = *code * 16 + (unsigned)(isdigit((unsigned char)p[i])
                                            ? p[i] - '0'
                                            : tolower((unsigned char)p[i]) - 'a' + 10);
    }
    return n;
}

static int utf8(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 63));
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63));
    out[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* One escape of a basic string at p (after the backslash): characters used, 0 if unknown.
 */
static int unescape(const char *p, char out[4], int *n_out)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    const char *known = *p ? strchr(from, *p) : NULL;
    unsigned code;

    if (known) {
        out[0] = to[known - from];
        *n_out = 1;
        return 1;
    }

    int digits = *p == 'u' ? 4 : *p == 'U' ? 8 : 0;

    if (!digits || !hex_digits(p + 1, digits, &code) || code == 0 || code > 0x10ffff ||
        (code >= 0xd800 && code < 0xe000))
        return 0;
    *n_out = utf8(code, out);
    return 1 + digits;
}

/* Contents of a string in quotes. */
static spi_err read_string(const char *where, const char *raw, char *out)
{
    char quote = *raw;
    const char *p = raw + 1;

    if (p[0] == quote && p[1] == quote)
        return spi_fail(SPI_EFORMAT, "%s: strings over several lines are not read", where);
    while (*p && *p != quote) {
        int n = 1, used = 1;

        if (quote == '"' && *p == '\\') {
            used = 1 + unescape(p + 1, out, &n);
            if (used == 1)
                return spi_fail(SPI_EFORMAT, "%s: unknown escape '\\%c' in a string", where,
                                p[1] ? p[1] : ' ');
        } else
            *out = *p;
        out += n;
        p += used;
    }
    *out = 0;
    if (!*p)
        return spi_fail(SPI_EFORMAT, "%s: the string has no closing quote: %s", where, raw);
    if (p[1])
        return spi_fail(SPI_EFORMAT, "%s: '%s' stands after the closing quote", where,
                        p + 1);
    return SPI_OK;
}

/* A TOML number without its underscores, for strtod; false: not a number. */
static bool plain_number(const char *raw, char out[64])
{
    int n = 0, digits = 0;

    for (const char *p = raw; *p; p++) {
        bool digit = isdigit((unsigned char)*p);

        if (*p == '_' && digits && p > raw && isdigit((unsigned char)p[-1]) &&
            isdigit((unsigned char)p[1]))
            continue;
        if ((!digit && !strchr("+-.eE", *p)) || n == 63)
            return false;
        digits += digit;
        out[n++] = *p;
    }
    out[n] = 0;
    return digits > 0;
}

/* Give `row` the value that stands as `raw`; `in_file`: texts need their quotes. */
static spi_err set_value(const char *where, const struct spi_setting *row, const char *raw,
                         bool in_file, struct spi_settings *s)
{
    char text[LINE_MAX_BYTES], number[64];
    bool is_string = *raw == '"' || *raw == '\'';
    const char *value = raw;

    if (in_file && !*raw)
        return spi_fail(SPI_EFORMAT, "%s: %s.%s has no value", where, row->section,
                        row->key);
    if (in_file && (*raw == '[' || *raw == '{'))
        return spi_fail(SPI_EFORMAT, "%s: %s.%s is a list or table; need one value", where,
                        row->section, row->key);
    if (strlen(raw) >= sizeof text)
        return spi_fail(SPI_EINVAL, "%s: the value has %zu characters; at most %d", where,
                        strlen(raw), LINE_MAX_BYTES - 1);
    if (is_string) {
        spi_err err = read_string(where, raw, text);

        if (err)
            return err;
        value = text;
    }
    if (in_file && is_string != (row->type == SPI_SET_text))
        return spi_fail(SPI_EINVAL, "%s: %s.%s is %s; need %s", where, row->section,
                        row->key, raw,
                        is_string ? "a value without quotes" : "a text in quotes");
    if (in_file && row->type == SPI_SET_bool && strcmp(raw, "true") != 0 &&
        strcmp(raw, "false") != 0)
        return spi_fail(SPI_EINVAL, "%s: %s.%s is %s; need true or false", where,
                        row->section, row->key, raw);
    if (row->type == SPI_SET_int || row->type == SPI_SET_double) {
        if (!plain_number(value, number))
            return spi_fail(SPI_EINVAL, "%s: %s.%s is '%s'; need a number", where,
                            row->section, row->key, value);
        value = number;
    }
    return spi_settings_set(s, where, row->section, row->key, value);
}

/* ------------------------------------------------------------------ files */

static void add_former(struct source *f, const struct spi_setting *row, const char *key)
{
    size_t n = strlen(f->former);

    snprintf(f->former + n, sizeof f->former - n, "%s%s is now %s", n ? ", " : "", key,
             row->key);
    f->n_former++;
}

/* inih's handler: one key.  Nonzero: go on. */
static int take_key(void *user, const char *section, const char *key, const char *value)
{
    struct source *f = user;
    char where[LINE_MAX_BYTES];

    (void)value; /* f->value, see above */
    if (f->err || !f->value)
        return 0;
    snprintf(where, sizeof where, "%s:%d", f->path, f->line);
    if (!*section) {
        f->err =
            spi_fail(SPI_EFORMAT, "%s: '%s' stands before the first [section]", where, key);
        return 0;
    }

    const struct spi_setting *row = spi_setting_find(section, key);

    if (!row) {
        f->err = spi_settings_set(&f->s, where, section, key, ""); /* names the nearest */
        return 0;
    }

    if (strcmp(row->key, key) != 0)
        add_former(f, row, key);

    int *seen = &f->row_line[row - spi_setting_table];

    if (*seen)
        f->err = spi_fail(SPI_EFORMAT, "%s: %s.%s stands twice; first in line %d", where,
                          section, key, *seen);
    else
        f->err = set_value(where, row, f->value, true, &f->s);
    *seen = f->line;
    return f->err == SPI_OK;
}

spi_err spi_settings_read(const char *path, struct spi_settings *s)
{
    struct source *f = NULL;
    int rows = 0, broken;
    spi_err err;

    while (spi_setting_table[rows].key)
        rows++;
    SPI_TRY(err = SPI_NEW(f, 1, path), out);
    SPI_TRY(err = SPI_NEW(f->row_line, rows, path), out);
    f->path = path;
    f->s = *s;
    f->in = fopen(path, "r");
    if (!f->in) {
        err = spi_fail(SPI_EIO, "%s: cannot open: %s", path, strerror(errno));
        goto out;
    }
    broken = ini_parse_stream(give_line, f, take_key, f);
    err = f->err;
    if (err == SPI_OK && broken == -2)
        err = spi_no_memory(path, 0);
    else if (err == SPI_OK && broken)
        err = spi_fail(SPI_EFORMAT, "%s:%d: need [section], key = value or # comment", path,
                       broken);
    if (err != SPI_OK)
        goto out;
    *s = f->s;
    if (f->n_former)
        spi_info("%s: %d setting%s a former name, which still works: %s", path, f->n_former,
                 f->n_former == 1 ? " has" : "s have", f->former);
out:
    if (f) {
        if (f->in)
            fclose(f->in);
        free(f->row_line);
    }
    free(f);
    return err;
}

spi_err spi_settings_apply(const char *where, const char *assignment,
                           struct spi_settings *s)
{
    const char *equals = strchr(assignment, '='), *dot = strchr(assignment, '.');
    const char *section = NULL, *name = assignment;
    char section_text[64], key[64];

    if (!equals || equals == assignment)
        return spi_fail(SPI_EINVAL, "%s: '%s' is not section.key=value", where, assignment);
    if (dot && dot < equals) {
        snprintf(section_text, sizeof section_text, "%.*s", (int)(dot - assignment),
                 assignment);
        section = section_text;
        name = dot + 1;
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - name), name);

    const struct spi_setting *row = spi_setting_find(section, key);

    if (!row)
        return spi_settings_set(s, where, section, key, equals + 1);
    spi_setting_hint(where, row, key);
    return set_value(where, row, equals + 1, false, s);
}
