/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/help.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings.h"

enum { WIDTH = 79, HELP_COLUMN = 30 };

/* Month and day of the texts, for the man pages' .Dd (mandoc asks for one). */
#define TEXTS_OF "November 22, 2026"

/* ------------------------------------------------------------------ shared */

/* How help calls the value of an option: "N", "NUMBER", "a|b", "FILE". */
static const char *value_name(const struct spi_opt *o)
{
    switch (o->kind) {
    case SPI_OPT_INT:
    case SPI_OPT_COUNT:
        return "N";
    case SPI_OPT_REAL:
        return "X";
    case SPI_OPT_SIZE:
        return "NxN";
    case SPI_OPT_REALS:
        return "X,X,...";
    case SPI_OPT_PATH:
    case SPI_OPT_OUT:
    case SPI_OPT_OUT_DIR:
        return *o->unit ? o->unit : "FILE";
    case SPI_OPT_TEXT:
    case SPI_OPT_TEXTS:
        return *o->unit ? o->unit : "TEXT";
    case SPI_OPT_CHOICE:
        return o->unit;
    default:
        return "";
    }
}

static bool is_number(const struct spi_opt *o)
{
    return o->kind == SPI_OPT_INT || o->kind == SPI_OPT_COUNT || o->kind == SPI_OPT_REAL ||
           o->kind == SPI_OPT_SIZE || o->kind == SPI_OPT_REALS;
}

void spi_opt_default_text(const struct spi_cmd *cmd, const struct spi_opt *o, char *out,
                          size_t size)
{
    const char *at = cmd->defaults ? (const char *)cmd->defaults + o->at : NULL;
    const char *text = NULL;

    *out = 0;
    if (o->absent) {
        snprintf(out, size, "%s", o->absent);
        return;
    }
    if (!at || o->required)
        return;
    switch (o->kind) {
    case SPI_OPT_FLAG:
        snprintf(out, size, "%s", *(const bool *)at ? "yes" : "");
        return;
    case SPI_OPT_INT:
        snprintf(out, size, "%d", *(const int *)at);
        break;
    case SPI_OPT_COUNT:
        snprintf(out, size, "%lld", (long long)*(const int64_t *)at);
        break;
    case SPI_OPT_REAL:
        snprintf(out, size, "%.10g", *(const double *)at);
        break;
    case SPI_OPT_SIZE:
        snprintf(out, size, "%dx%d", ((const int *)at)[0], ((const int *)at)[1]);
        break;
    case SPI_OPT_TEXT:
    case SPI_OPT_PATH:
    case SPI_OPT_OUT:
    case SPI_OPT_OUT_DIR:
    case SPI_OPT_CHOICE:
        text = *(const char *const *)at;
        snprintf(out, size, "%s", text ? text : "");
        return;
    default:
        return;
    }
    if (*o->unit) {
        size_t n = strlen(out);

        snprintf(out + n, size - n, " %s", o->unit);
    }
}

/* Range of a number as text: "0..1 A", or "" when everything is allowed. */
static void range_text(const struct spi_opt *o, char *out, size_t size)
{
    *out = 0;
    if (is_number(o) && o->lo < o->hi)
        snprintf(out, size, "%.10g..%.10g%s%s", o->lo, o->hi, *o->unit ? " " : "", o->unit);
    else if (is_number(o) && *o->unit)
        snprintf(out, size, "%s", o->unit);
}

static bool flag_on(const struct spi_cmd *cmd, const struct spi_opt *o)
{
    return o->kind == SPI_OPT_FLAG && cmd->defaults &&
           *(const bool *)((const char *)cmd->defaults + o->at);
}

static const char *const exit_texts[] = {
    "success",
    "failure; the message on standard error says where and why",
    "wrong use of the command line, or wrong settings",
    "ran to the end, but did not converge",
};

/* ------------------------------------------------------------------ help */

/* Words of `text`, wrapped at WIDTH with `indent` blanks; starts at `column`. */
static int wrap(FILE *to, const char *text, int indent, int column)
{
    for (const char *p = text; *p;) {
        p += strspn(p, " ");
        int len = (int)strcspn(p, " ");

        if (column > indent && column + 1 + len > WIDTH) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", len, p);
        column += len;
        p += len;
    }
    return column;
}

/* Paragraphs; an empty line separates them. */
static void paragraphs(FILE *to, const char *text)
{
    while (*text) {
        char one[4096];
        const char *end = strstr(text, "\n\n");
        size_t len = end ? (size_t)(end - text) : strlen(text);

        snprintf(one, sizeof one, "%.*s", (int)len, text);
        for (char *p = one; *p; p++)
            if (*p == '\n')
                *p = ' ';
        wrap(to, one, 0, 0);
        fputs("\n\n", to);
        text += len + (end ? 2 : 0);
    }
}

static void help_option(const struct spi_cmd *cmd, const struct spi_opt *o, FILE *to)
{
    char head[160], range[96], standard[160], tail[300] = "";
    char letter[4] = "  ";

    if (o->kind == SPI_OPT_HEADING) {
        fprintf(to, "\n%s:\n", o->help);
        return;
    }
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c", o->letter);
    snprintf(head, sizeof head, "  %s%s --%s%s %s", letter, o->letter ? "," : " ",
             flag_on(cmd, o) ? "[no-]" : "", o->name, value_name(o));
    spi_opt_default_text(cmd, o, standard, sizeof standard);
    range_text(o, range, sizeof range);
    if (*range)
        snprintf(tail, sizeof tail, ", %s", range);
    if (o->required)
        strncat(tail, " (needed)", sizeof tail - strlen(tail) - 1);
    else if (*standard) {
        size_t n = strlen(tail);

        snprintf(tail + n, sizeof tail - n, " [%s]", standard);
    }

    int column = fprintf(to, "%s", head);

    if (column >= HELP_COLUMN)
        column = fprintf(to, "\n") - 1;
    fprintf(to, "%*s", HELP_COLUMN - column, "");

    char text[1024];

    snprintf(text, sizeof text, "%s%s", o->help, tail);
    wrap(to, text, HELP_COLUMN, HELP_COLUMN);
    fputc('\n', to);
}

/* A command line, continued by a backslash where it is too wide, so that it can be copied.
 */
static void example_line(FILE *to, const char *line)
{
    int column = fprintf(to, "  ");

    for (const char *p = line; *p;) {
        int len = (int)strcspn(p, " ");

        if (column > 2 && column + 3 + len > WIDTH)
            column = fprintf(to, " \\\n      ") - 3;
        else if (column > 2)
            column += fprintf(to, " ");
        column += fprintf(to, "%.*s", len, p);
        p += len;
        p += strspn(p, " ");
    }
    fputc('\n', to);
}

static void synopsis(const struct spi_cmd *cmd, FILE *to)
{
    if (*cmd->operands)
        fprintf(to, " %s", cmd->operands);
    for (const struct spi_opt *o = cmd->opts; o && o->kind; o++)
        if (o->required)
            fprintf(to, " --%s %s", o->name, value_name(o));
}

void spi_help_cmd(const struct spi_program *p, const struct spi_cmd *cmd, FILE *to)
{
    char *line = NULL;
    size_t size;
    FILE *words = open_memstream(&line, &size);

    fputs("usage: ", to);
    if (words) {
        fprintf(words, "%s %s", p->name, cmd->name);
        synopsis(cmd, words);
        fputs(" [options]", words);
        fclose(words);
        wrap(to, line, 7, 7);
        free(line);
    }
    fputs("\n\n", to);
    paragraphs(to, cmd->about);
    if (cmd->opts && cmd->opts->kind != SPI_OPT_HEADING)
        fputs("Options:\n", to);
    for (const struct spi_opt *o = cmd->opts; o && o->kind; o++)
        help_option(cmd, o, to);
    fputs(cmd->opts ? "\nFor every command:\n" : "Options:\n", to);

    const struct spi_cmd none = {.name = ""};

    for (const struct spi_opt *o = spi_common_opts; o->kind; o++)
        help_option(&none, o, to);
    if (cmd->examples[0].line)
        fputs("\nExamples:\n", to);
    for (int i = 0; i < SPI_EXAMPLES_MAX && cmd->examples[i].line; i++) {
        fprintf(to, "  # %s\n", cmd->examples[i].says);
        example_line(to, cmd->examples[i].line);
    }
    fputs("\nExit status:\n", to);
    for (int i = 0; i < (cmd->may_not_converge ? 4 : 3); i++)
        fprintf(to, "  %d  %s\n", i, exit_texts[i]);
}

void spi_help_program(const struct spi_program *p, FILE *to)
{
    fprintf(to, "usage: %s COMMAND [operands] [options]\n\n", p->name);
    paragraphs(to, p->about);
    fputs("Commands:\n", to);
    for (const struct spi_cmd *const *c = p->cmds; *c; c++)
        fprintf(to, "  %-12s %s\n", (*c)->name, (*c)->brief);
    fprintf(
        to,
        "\n'%s help COMMAND' or '%s COMMAND --help' explains one command, with examples.\n",
        p->name, p->name);
}

/* ------------------------------------------------------------------ man pages */

/* Text for mdoc: backslashes are escaped, no line begins with a control character, and long
 * lines are broken at blanks (mandoc -Tlint asks for it). */
static void mdoc_text(FILE *to, const char *text)
{
    bool start = true;
    int column = 0;

    for (; *text; text++, column++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", to);
        start = *text == '\n' || (*text == ' ' && column > 60);
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to); /* a minus, so that examples can be copied */
        else
            fputc(start ? '\n' : *text, to);
        if (start)
            column = 0;
    }
}

/* The whole text on one line, for the arguments of .Dl. */
static void mdoc_line(FILE *to, const char *text)
{
    for (; *text; text++)
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text, to);
    fputc('\n', to);
}

/* An argument of a macro, in quotes. */
static void mdoc_argument(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++)
        if (*text == '"')
            fputs("\\(dq", to);
        else if (*text == '\\')
            fputs("\\e", to);
        else
            fputc(*text, to);
    fputc('"', to);
}

/* One sentence a line, paragraphs by .Pp. */
static void mdoc_paragraphs(FILE *to, const char *text)
{
    char part[4096];

    while (*text) {
        const char *stop = strstr(text, ". "), *empty = strstr(text, "\n\n");
        bool paragraph = empty && (!stop || empty < stop);
        size_t len = paragraph ? (size_t)(empty - text)
                     : stop    ? (size_t)(stop + 1 - text)
                               : strlen(text);

        snprintf(part, sizeof part, "%.*s", (int)len, text);
        mdoc_text(to, part);
        fputs(paragraph ? "\n.Pp\n" : "\n", to);
        text += len;
        text += strspn(text, " \n");
    }
}

static void mdoc_upper(FILE *to, const char *text)
{
    for (; *text; text++)
        fputc(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text, to);
}

static void mdoc_head(FILE *to, const char *page, int section, const char *brief)
{
    fprintf(to, ".\\\" Made from the tables of the program; do not edit.\n.Dd %s\n.Dt ",
            TEXTS_OF);
    mdoc_upper(to, page);
    fprintf(to, " %d\n.Os\n.Sh NAME\n.Nm %s\n.Nd ", section, page);
    mdoc_text(to, brief);
    fputc('\n', to);
}

static void mdoc_option(const struct spi_cmd *cmd, const struct spi_opt *o, FILE *to)
{
    char range[96], standard[160], sentence[1024];

    snprintf(sentence, sizeof sentence, "%s", o->help);
    sentence[0] = (char)toupper((unsigned char)sentence[0]);
    if (o->kind == SPI_OPT_HEADING) {
        fputs(".El\n.Ss ", to);
        mdoc_text(to, o->help);
        fputs("\n.Bl -tag -width Ds\n", to);
        return;
    }
    fputs(".It", to);
    if (o->letter)
        fprintf(to, " Fl %c ,", o->letter);
    fprintf(to, " Fl \\-%s%s", flag_on(cmd, o) ? "[no-]" : "", o->name);
    if (*value_name(o)) {
        fputs(" Ar ", to);
        mdoc_argument(to, value_name(o));
    }
    fputc('\n', to);
    mdoc_text(to, sentence);
    range_text(o, range, sizeof range);
    if (*range) {
        fputs(", ", to);
        mdoc_text(to, range);
    }
    fputs(".\n", to);
    spi_opt_default_text(cmd, o, standard, sizeof standard);
    if (o->required)
        fputs("Needed.\n", to);
    else if (*standard) {
        fputs("Default: ", to);
        mdoc_text(to, standard);
        fputs(".\n", to);
    }
}

static void mdoc_options(const struct spi_cmd *cmd, FILE *to)
{
    const struct spi_cmd none = {.name = ""};
    const struct spi_opt *o = cmd->opts;

    fputs(".Sh OPTIONS\n", to);
    if (o && o->kind == SPI_OPT_HEADING) {
        fputs(".Ss ", to);
        mdoc_text(to, o++->help);
        fputc('\n', to);
    }
    if (o && o->kind)
        fputs(".Bl -tag -width Ds\n", to);
    for (; o && o->kind; o++)
        mdoc_option(cmd, o, to);
    if (cmd->opts && cmd->opts->kind)
        fputs(".El\n.Ss For every command\n", to);
    fputs(".Bl -tag -width Ds\n", to);
    for (o = spi_common_opts; o->kind; o++)
        mdoc_option(&none, o, to);
    fputs(".El\n", to);
}

static void mdoc_exit_status(bool may_not_converge, FILE *to)
{
    fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds -compact\n", to);
    for (int i = 0; i < (may_not_converge ? 4 : 3); i++) {
        fprintf(to, ".It %d\n", i);
        mdoc_text(to, exit_texts[i]);
        fputc('\n', to);
    }
    fputs(".El\n", to);
}

static void man_cmd(const struct spi_program *p, const struct spi_cmd *cmd, FILE *to)
{
    char page[64];

    snprintf(page, sizeof page, "%s-%s", p->name, cmd->name);
    mdoc_head(to, page, 1, cmd->brief);
    fprintf(to, ".Sh SYNOPSIS\n.Nm %s %s\n", p->name, cmd->name);
    if (*cmd->operands) {
        fputs(".Ar ", to);
        mdoc_argument(to, cmd->operands);
        fputc('\n', to);
    }
    for (const struct spi_opt *o = cmd->opts; o && o->kind; o++)
        if (o->required)
            fprintf(to, ".Fl \\-%s Ar %s\n", o->name, value_name(o));
    fputs(".Op Ar options\n.Sh DESCRIPTION\n", to);
    mdoc_paragraphs(to, cmd->about);
    mdoc_options(cmd, to);
    mdoc_exit_status(cmd->may_not_converge, to);
    if (cmd->examples[0].line)
        fputs(".Sh EXAMPLES\n", to);
    for (int i = 0; i < SPI_EXAMPLES_MAX && cmd->examples[i].line; i++) {
        if (i)
            fputs(".Pp\n", to);
        mdoc_text(to, cmd->examples[i].says);
        fputs(":\n.Dl ", to);
        mdoc_line(to, cmd->examples[i].line);
    }
    fprintf(to, ".Sh SEE ALSO\n.Xr %s 1 ,\n.Xr %s.toml 5\n", p->name, p->name);
}

/* The command after `last` in alphabetic order, NULL after the last one. */
static const char *next_name(const struct spi_program *p, const char *last)
{
    const char *next = NULL;

    for (const struct spi_cmd *const *c = p->cmds; *c; c++)
        if (strcmp((*c)->name, last) > 0 && (!next || strcmp((*c)->name, next) < 0))
            next = (*c)->name;
    return next;
}

static void man_program(const struct spi_program *p, FILE *to)
{
    mdoc_head(to, p->name, 1, p->brief);
    fputs(".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar operands\n.Op Ar options\n.Sh "
          "DESCRIPTION\n",
          to);
    mdoc_paragraphs(to, p->about);
    fputs(".Sh COMMANDS\n.Bl -tag -width reconstruct\n", to);
    for (const struct spi_cmd *const *c = p->cmds; *c; c++) {
        fprintf(to, ".It Cm %s\n", (*c)->name);
        mdoc_text(to, (*c)->brief);
        fputs(".\n", to);
    }
    fputs(".El\n", to);
    mdoc_exit_status(true, to);
    fputs(".Sh SEE ALSO\n", to);
    for (const char *last = ""; (last = next_name(p, last)) != NULL;)
        fprintf(to, ".Xr %s-%s 1 ,\n", p->name, last);
    fprintf(to, ".Xr %s.toml 5\n", p->name);
}

static void mdoc_setting(const struct spi_settings *s, const struct spi_setting *row,
                         FILE *to)
{
    static const char *const types[] = {"integer", "number", "boolean", "text"};
    char value[SPI_VALUE_MAX];

    spi_settings_value(s, row, value, sizeof value);
    fprintf(to, ".It Va %s\n", row->key);
    mdoc_text(to, row->help);
    fputs(".\n", to);
    if (row->type == SPI_SET_text && *row->unit) {
        fputs("One of ", to);
        mdoc_text(to, row->unit);
    } else {
        fprintf(to, "%c%s", types[row->type][0] - 'a' + 'A', types[row->type] + 1);
        if (row->type == SPI_SET_int || row->type == SPI_SET_double) {
            char range[96];

            snprintf(range, sizeof range, ", %.10g..%.10g%s%s", row->lo, row->hi,
                     *row->unit ? " " : "", row->unit);
            mdoc_text(to, range);
        }
    }
    fputs("; default ", to);
    mdoc_text(to, value);
    fputs(".\n", to);
}

static void man_settings(const struct spi_program *p, FILE *to)
{
    char page[64];
    const char *section = "";
    struct spi_settings s;

    spi_settings_default(&s);
    snprintf(page, sizeof page, "%s.toml", p->name);
    mdoc_head(to, page, 5, "settings of a reconstruction");
    fputs(".Sh DESCRIPTION\n", to);
    mdoc_paragraphs(
        to,
        "Settings are kept in a flat TOML file, given by --settings FILE; one of them is "
        "changed by --set SECTION.KEY=VALUE. A line is empty, a [section], a key = "
        "value, or a comment that begins with #; a comment may also follow a value. "
        "Texts stand in quotes; numbers may be written 1000, 1_000 or 1e3; booleans are "
        "true and false.\n\n"
        "What the file does not name keeps its default. An unknown section or key, one "
        "that stands twice, a wrong type and a value out of range are errors, reported "
        "with file and line. Each run writes all its settings to settings.toml in its "
        "directory.");
    fputs(".Sh SETTINGS\n", to);
    for (const struct spi_setting *row = spi_setting_table; row->key; row++) {
        if (strcmp(section, row->section) != 0) {
            fprintf(to, "%s.Ss Section %s\n.Bl -tag -width Ds\n", *section ? ".El\n" : "",
                    row->section);
            section = row->section;
        }
        mdoc_setting(&s, row, to);
    }
    fputs(".El\n"
          ".Sh EXAMPLES\n"
          ".Bd -literal -offset indent\n"
          "[algorithm]\n"
          "N_generations = 40   # at most\n"
          "rlambda = 1e\\-2\n\n"
          "[runtime]\n"
          "backend = \"serial\"\n"
          ".Ed\n",
          to);
    fprintf(to, ".Sh SEE ALSO\n.Xr %s 1 ,\n.Xr %s-reconstruct 1\n", p->name, p->name);
}

spi_err spi_man_page(const struct spi_program *p, const char *page, FILE *to)
{
    const struct spi_cmd *cmd = spi_cmd_find(p, page);

    if (strcmp(page, p->name) == 0)
        man_program(p, to);
    else if (cmd)
        man_cmd(p, cmd, to);
    else if (strncmp(page, p->name, strlen(p->name)) == 0 &&
             strcmp(page + strlen(p->name), ".toml") == 0)
        man_settings(p, to);
    else
        return spi_fail(SPI_EUSAGE, "--man: no page '%s'", page);
    return SPI_OK;
}

/* ------------------------------------------------------------------ completion */

static void completion_values(const struct spi_opt *o, FILE *to)
{
    fprintf(to, "    --%s", o->name);
    if (o->letter)
        fprintf(to, "|-%c", o->letter);
    fputs(") ", to);
    if (o->kind == SPI_OPT_CHOICE) {
        fputs("COMPREPLY=($(compgen -W '", to);
        for (const char *c = o->unit; *c; c++)
            fputc(*c == '|' ? ' ' : *c, to);
        fputs("' -- \"$cur\")); return;;\n", to);
    } else if (o->kind == SPI_OPT_PATH || o->kind == SPI_OPT_OUT ||
               o->kind == SPI_OPT_OUT_DIR)
        fputs("COMPREPLY=($(compgen -f -- \"$cur\")); return;;\n", to);
    else if (o->kind == SPI_OPT_TEXTS && strcmp(o->name, "set") == 0)
        fputs("compopt -o nospace; COMPREPLY=($(compgen -W \"$settings\" -- \"$cur\")); "
              "return;;\n",
              to);
    else
        fputs("return;;\n", to);
}

static void completion_cmd(const struct spi_cmd *cmd, FILE *to)
{
    fprintf(to, "  %s)\n    case $prev in\n", cmd->name);
    for (const struct spi_opt *o = cmd->opts; o && o->kind; o++)
        if (o->kind != SPI_OPT_HEADING && o->kind != SPI_OPT_FLAG)
            completion_values(o, to);
    fputs("    esac\n    words='", to);
    for (const struct spi_opt *o = cmd->opts; o && o->kind; o++)
        if (o->kind != SPI_OPT_HEADING)
            fprintf(to, "--%s%s ", flag_on(cmd, o) ? "no-" : "", o->name);
    for (const struct spi_opt *o = spi_common_opts; o->kind; o++)
        fprintf(to, "--%s ", o->name);
    fputs("';;\n", to);
}

void spi_completion_bash(const struct spi_program *p, FILE *to)
{
    fprintf(to, "# bash completion of %s, made from its option tables\n_%s() {\n", p->name,
            p->name);
    fputs("  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
          "  local commands='",
          to);
    for (const struct spi_cmd *const *c = p->cmds; *c; c++)
        fprintf(to, "%s ", (*c)->name);
    fputs("'\n  local settings='", to);
    for (const struct spi_setting *row = spi_setting_table; row->key; row++)
        fprintf(to, "%s.%s= ", row->section, row->key);
    fputs("'\n"
          "  if ((COMP_CWORD == 1)); then\n"
          "    COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")); return\n"
          "  fi\n"
          "  case ${COMP_WORDS[1]} in\n",
          to);
    for (const struct spi_cmd *const *c = p->cmds; *c; c++)
        completion_cmd(*c, to);
    fputs("  esac\n"
          "  [[ ${COMP_WORDS[1]} == help ]] && words=$commands\n"
          "  if [[ $cur == -* || ${COMP_WORDS[1]} == help ]]; then\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "  else\n"
          "    COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "  fi\n}\n",
          to);
    fprintf(to, "complete -o filenames -F _%s %s\n", p->name, p->name);
}
