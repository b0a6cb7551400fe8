/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/cmd.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "io/settings_file.h"

const struct spi_opt spi_common_opts[] = {
    {'q', "quiet", SPI_FLAG(spi_common_args, quiet), 0, 0, "", "say nothing but warnings"},
    {'v', "verbose", SPI_FLAG(spi_common_args, verbose), 0, 0, "", "say more"},
    {'h', "help", SPI_FLAG(spi_common_args, help), 0, 0, "", "show this help"},
    {0},
};

/* An option met on the command line: its row, where it writes, how it was spelt. */
struct met {
    const struct spi_opt *opt;
    void *to;
    bool *given; /* NULL: an option of every command */
    bool negated;
};

static spi_err bad(const struct spi_call *call, const struct spi_opt *opt, const char *fmt,
                   ...) __attribute__((format(printf, 3, 4)));

static spi_err bad(const struct spi_call *call, const struct spi_opt *opt, const char *fmt,
                   ...)
{
    char text[SPI_MESSAGE_RAW];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return spi_fail(SPI_EUSAGE, "%s: --%s: %s", call->cmd->name, opt->name, text);
}

static const char *with_space(const char *unit)
{
    return *unit ? " " : "";
}

static spi_err check_range(const struct spi_call *call, const struct spi_opt *opt,
                           const char *text, double v)
{
    if (opt->lo < opt->hi && (v < opt->lo || v > opt->hi))
        return bad(call, opt, "%s is outside %.10g..%.10g%s%s%s", text, opt->lo, opt->hi,
                   with_space(opt->unit), opt->unit,
                   strcmp(opt->unit, "eV") == 0 && 1e3 * v >= opt->lo && 1e3 * v <= opt->hi
                       ? "; is it in keV? then multiply by 1000"
                       : "");
    return SPI_OK;
}

static spi_err parse_real(const struct spi_call *call, const struct spi_opt *opt,
                          const char *text, double *to)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end || !isfinite(v))
        return bad(call, opt, "'%s' is not a number", text);
    *to = v;
    return check_range(call, opt, text, v);
}

/* Whole numbers; "1e5" too, as long as a double holds it exactly. */
static spi_err parse_count(const struct spi_call *call, const struct spi_opt *opt,
                           const char *text, int64_t *to)
{
    char *end;

    errno = 0;
    long long whole = strtoll(text, &end, 10);

    if (end == text || *end || errno) {
        double v = strtod(text, &end);

        if (end == text || *end || v != floor(v) || !(fabs(v) <= 0x1p53))
            return bad(call, opt, "'%s' is not a whole number", text);
        whole = (long long)v;
    }
    *to = whole;
    return check_range(call, opt, text, (double)whole);
}

static spi_err parse_int(const struct spi_call *call, const struct spi_opt *opt,
                         const char *text, int *to)
{
    int64_t v;
    spi_err err = parse_count(call, opt, text, &v);

    if (err == SPI_OK && (v < INT32_MIN || v > INT32_MAX))
        err = bad(call, opt, "%s does not fit in 32 bits", text);
    if (err == SPI_OK)
        *to = (int)v;
    return err;
}

/* "128x96" or "128". */
static spi_err parse_size(const struct spi_call *call, const struct spi_opt *opt,
                          const char *text, int to[2])
{
    char *end;

    for (int i = 0; i < 2; i++) {
        if (*text < '0' || *text > '9')
            return bad(call, opt, "need a size such as 128x128");
        errno = 0;
        long v = strtol(text, &end, 10);

        if (errno || v > INT32_MAX || (*end && !(i == 0 && (*end == 'x' || *end == 'X'))))
            return bad(call, opt, "'%s' is not a size such as 128x128", text);
        to[i] = (int)v;
        if (i == 0 && !*end) {
            to[1] = to[0];
            break;
        }
        text = end + 1;
    }
    for (int i = 0; i < 2; i++) {
        char side[16];

        snprintf(side, sizeof side, "%d", to[i]);
        spi_err err = check_range(call, opt, side, to[i]);

        if (err)
            return err;
    }
    return SPI_OK;
}

static spi_err parse_choice(const struct spi_call *call, const struct spi_opt *opt,
                            const char *text, const char **to)
{
    if (!spi_word_in_list(text, opt->unit))
        return bad(call, opt, "'%s' is none of %s", text, opt->unit);
    *to = text;
    return SPI_OK;
}

static spi_err parse_text(const struct spi_call *call, const struct spi_opt *opt,
                          const char *text, const char **to)
{
    if (opt->kind != SPI_OPT_TEXT && !*text)
        return bad(call, opt, "the name of the file is empty");
    *to = text;
    return SPI_OK;
}

static spi_err append_text(const char *text, struct spi_texts *to)
{
    int64_t cap = to->n;
    void *item = to->item;
    spi_err err = spi_grow(&item, sizeof *to->item, to->n, to->n + 1, &cap, "command line");

    if (err)
        return err;
    to->item = item;
    to->item[to->n++] = text;
    return SPI_OK;
}

static spi_err parse_reals(const struct spi_call *call, const struct spi_opt *opt,
                           const char *text, struct spi_reals *to)
{
    struct spi_reals list = {0};
    char word[64];
    spi_err err = SPI_OK;

    for (int n = 1 + (int)strlen(text); err == SPI_OK; text++) {
        size_t len = strcspn(text, ",");

        if (len == 0 || len >= sizeof word)
            err = bad(call, opt, "need numbers separated by commas, such as 0.7,0.3");
        else if (list.n == 0)
            err = SPI_NEW(list.x, n, "list of numbers");
        if (err)
            break;
        memcpy(word, text, len);
        word[len] = 0;
        err = parse_real(call, opt, word, &list.x[list.n++]);
        text += len;
        if (!*text)
            break;
    }
    if (err) {
        free(list.x);
        return err;
    }
    free(to->x);
    *to = list;
    return SPI_OK;
}

static spi_err store(const struct spi_call *call, const struct met *m, const char *text)
{
    switch (m->opt->kind) {
    case SPI_OPT_FLAG:
        *(bool *)m->to = !m->negated;
        return SPI_OK;
    case SPI_OPT_INT:
        return parse_int(call, m->opt, text, m->to);
    case SPI_OPT_COUNT:
        return parse_count(call, m->opt, text, m->to);
    case SPI_OPT_REAL:
        return parse_real(call, m->opt, text, m->to);
    case SPI_OPT_TEXT:
    case SPI_OPT_PATH:
    case SPI_OPT_OUT:
    case SPI_OPT_OUT_DIR:
        return parse_text(call, m->opt, text, m->to);
    case SPI_OPT_CHOICE:
        return parse_choice(call, m->opt, text, m->to);
    case SPI_OPT_SIZE:
        return parse_size(call, m->opt, text, m->to);
    case SPI_OPT_TEXTS:
        return append_text(text, m->to);
    case SPI_OPT_REALS:
        return parse_reals(call, m->opt, text, m->to);
    case SPI_OPT_END:
    case SPI_OPT_HEADING:
        break;
    }
    assert(!"kind of option");
    return SPI_EINVAL;
}

/* Row of an option by name (len characters) or, when len is 0, by letter. */
static const struct spi_opt *find(const struct spi_opt *opts, const char *name, size_t len,
                                  char letter)
{
    for (const struct spi_opt *o = opts; o && o->kind != SPI_OPT_END; o++) {
        if (o->kind == SPI_OPT_HEADING)
            continue;
        if (len ? strlen(o->name) == len && memcmp(o->name, name, len) == 0
                : o->letter == letter)
            return o;
    }
    return NULL;
}

static bool look_up(const struct spi_call *call, const char *name, size_t len, char letter,
                    struct met *m)
{
    *m = (struct met){.opt = find(call->cmd->opts, name, len, letter)};
    if (m->opt) {
        m->to = (char *)call->args + m->opt->at;
        m->given = &call->given[m->opt - call->cmd->opts];
        return true;
    }
    m->opt = find(spi_common_opts, name, len, letter);
    if (m->opt)
        m->to = (char *)(uintptr_t)&call->common + m->opt->at;
    return m->opt != NULL;
}

static spi_err unknown_option(const struct spi_call *call, const char *name, size_t len)
{
    const struct spi_opt *tables[] = {call->cmd->opts, spi_common_opts};
    const char *near = NULL;
    char word[64];
    int best = 1 << 30;

    snprintf(word, sizeof word, "%.*s", (int)(len < 63 ? len : 63), name);
    for (int t = 0; t < 2; t++)
        for (const struct spi_opt *o = tables[t]; o && o->kind != SPI_OPT_END; o++) {
            int d = o->kind == SPI_OPT_HEADING ? -1 : spi_text_near(o->name, word);

            if (d >= 0 && d < best)
                best = d, near = o->name;
        }
    if (!near)
        return spi_fail(SPI_EUSAGE, "%s: unknown option '--%s'", call->cmd->name, word);
    return spi_fail(SPI_EUSAGE, "%s: unknown option '--%s'; the nearest is '--%s'",
                    call->cmd->name, word, near);
}

/* Store the value of `m`: `text` if it stands in the same word, else the next word. */
static spi_err take(const struct spi_call *call, const struct met *m, const char *text,
                    const char *next, int *used)
{
    if (m->opt->kind != SPI_OPT_FLAG && !text) {
        if (!next)
            return bad(call, m->opt, "needs a value");
        if (next[0] == '-' && next[1] == '-')
            return bad(call, m->opt,
                       "needs a value; '%s' looks like an option (write --%s=%s)", next,
                       m->opt->name, next);
        text = next;
        ++*used;
    }

    spi_err err = store(call, m, text);

    if (err == SPI_OK && m->given)
        *m->given = true;
    return err;
}

/* "--name", "--name=value", "--no-flag". */
static spi_err long_option(const struct spi_call *call, const char *word, const char *next,
                           int *used)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    struct met m;

    if (!len)
        return spi_fail(SPI_EUSAGE, "%s: '%s' is not an option", call->cmd->name, word);
    if (!look_up(call, name, len, 0, &m)) {
        if (len <= 3 || strncmp(name, "no-", 3) != 0 ||
            !look_up(call, name + 3, len - 3, 0, &m) || m.opt->kind != SPI_OPT_FLAG ||
            !m.given)
            return unknown_option(call, name, len);
        m.negated = true;
    }
    if (m.opt->kind == SPI_OPT_FLAG && equals)
        return bad(call, m.opt, "is a switch and takes no value; found '%s'", equals + 1);
    return take(call, &m, equals ? equals + 1 : NULL, next, used);
}

/* "-o", "-ofile", "-qv". */
static spi_err short_options(const struct spi_call *call, const char *word,
                             const char *next, int *used)
{
    for (const char *p = word + 1; *p; p++) {
        struct met m;

        if (!look_up(call, "", 0, *p, &m))
            return spi_fail(SPI_EUSAGE, "%s: unknown option '-%c'", call->cmd->name, *p);
        if (m.opt->kind != SPI_OPT_FLAG)
            return take(call, &m, p[1] ? p + 1 : NULL, next, used);

        spi_err err = take(call, &m, NULL, NULL, used);

        if (err)
            return err;
    }
    return SPI_OK;
}

static spi_err check_complete(const struct spi_call *call)
{
    const struct spi_cmd *cmd = call->cmd;
    int n = call->n_operands;

    for (const struct spi_opt *o = cmd->opts; o && o->kind != SPI_OPT_END; o++)
        if (o->alone && *(const bool *)((const char *)call->args + o->at))
            return SPI_OK;
    for (const struct spi_opt *o = cmd->opts; o && o->kind != SPI_OPT_END; o++)
        if (o->required && !call->given[o - cmd->opts])
            return bad(call, o, "is needed (%s)", o->help);
    if (n < cmd->min_operands)
        return spi_fail(
            SPI_EUSAGE, "%s: %s: found %d of these, need %s%d", cmd->name, cmd->operands, n,
            cmd->max_operands == cmd->min_operands ? "" : "at least ", cmd->min_operands);
    if (cmd->max_operands >= 0 && n > cmd->max_operands)
        return spi_fail(SPI_EUSAGE, "%s: '%s' is one operand too many; need %s", cmd->name,
                        call->operand[cmd->max_operands],
                        *cmd->operands ? cmd->operands : "none");
    if (call->common.quiet && call->common.verbose)
        return spi_fail(SPI_EUSAGE, "%s: --quiet and --verbose exclude each other",
                        cmd->name);
    return SPI_OK;
}

static spi_err call_init(const struct spi_cmd *cmd, int argc, struct spi_call *call)
{
    int n_opts = 0;
    char *args;
    spi_err err;

    *call = (struct spi_call){.cmd = cmd};
    while (cmd->opts && cmd->opts[n_opts].kind != SPI_OPT_END)
        n_opts++;
    SPI_TRY(err = SPI_NEW(args, cmd->size, "options"), out);
    call->args = args;
    SPI_TRY(err = SPI_NEW(call->given, n_opts, "options"), out);
    SPI_TRY(err = SPI_NEW(call->operand, argc, "operands"), out);
    if (cmd->defaults)
        memcpy(call->args, cmd->defaults, cmd->size);
out:
    return err;
}

spi_err spi_call_parse(const struct spi_cmd *cmd, int argc, char *const argv[],
                       struct spi_call *call)
{
    bool operands_only = false;
    spi_err err = call_init(cmd, argc, call);

    for (int i = 0; i < argc && err == SPI_OK; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;

        if (operands_only || word[0] != '-' || !word[1])
            call->operand[call->n_operands++] = word;
        else if (strcmp(word, "--") == 0)
            operands_only = true;
        else if (word[1] == '-')
            err = long_option(call, word, next, &i);
        else
            err = short_options(call, word, next, &i);
    }
    if (err == SPI_OK && !call->common.help)
        err = check_complete(call);
    return err;
}

void spi_call_clear(struct spi_call *call)
{
    for (const struct spi_opt *o = call->cmd->opts; call->args && o && o->kind; o++) {
        void *at = (char *)call->args + o->at;

        if (o->kind == SPI_OPT_TEXTS)
            free(((struct spi_texts *)at)->item);
        else if (o->kind == SPI_OPT_REALS)
            free(((struct spi_reals *)at)->x);
    }
    free(call->args);
    free(call->given);
    free(call->operand);
    *call = (struct spi_call){.cmd = call->cmd};
}

bool spi_call_given(const struct spi_call *call, const char *name)
{
    const struct spi_opt *o = find(call->cmd->opts, name, strlen(name), 0);

    assert(o);
    return o && call->given[o - call->cmd->opts];
}

spi_err spi_call_fail(const struct spi_call *call, const char *option, const char *fmt, ...)
{
    char text[SPI_MESSAGE_RAW];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return spi_fail(SPI_EUSAGE, "%s: %s%s: %s", call->cmd->name, *option == '-' ? "" : "--",
                    option, text);
}

const struct spi_cmd *spi_cmd_find(const struct spi_program *program, const char *name)
{
    for (const struct spi_cmd *const *c = program->cmds; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

spi_err spi_cmd_unknown(const struct spi_program *program, const char *name)
{
    const char *near = NULL;
    int best = 1 << 30;

    for (const struct spi_cmd *const *c = program->cmds; *c; c++) {
        int d = spi_text_near((*c)->name, name);

        if (d >= 0 && d < best)
            best = d, near = (*c)->name;
    }
    if (!near)
        return spi_fail(SPI_EUSAGE, "unknown subcommand '%s'", name);
    return spi_fail(SPI_EUSAGE, "unknown subcommand '%s'; the nearest is '%s'", name, near);
}

int spi_exit_code(spi_err err)
{
    switch (err) {
    case SPI_OK:
        return 0;
    case SPI_EUSAGE:
        return 2;
    case SPI_ENOCONV:
        return 3;
    default:
        return 1;
    }
}

spi_err spi_settings_from_args(const struct spi_settings_args *args,
                               struct spi_settings *out)
{
    spi_err err = SPI_OK;

    spi_settings_default(out);
    if (args->file)
        err = spi_settings_read(args->file, out);
    if (err == SPI_EFORMAT || err == SPI_EINVAL) /* a mistake in it is one of the user's */
        err = SPI_EUSAGE;
    for (int i = 0; i < args->set.n && err == SPI_OK; i++)
        if (spi_settings_apply("--set", args->set.item[i], out) != SPI_OK)
            err = SPI_EUSAGE;
    return err;
}
