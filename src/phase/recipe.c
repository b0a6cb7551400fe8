/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The method table and the words that a recipe is made of. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "phase/phase.h"

enum { MAX_STEPS = 100000, MAX_DEPTH = 4 };

const struct spi_phase_method_info spi_phase_methods[] = {
    [SPI_PHASE_ER] = {"ER", "Fienup, Appl. Opt. 21 (1982) 2758: error reduction",
                      "x <- P_S P_M x"},
    [SPI_PHASE_HIO] = {"HIO", "Fienup, Appl. Opt. 21 (1982) 2758: hybrid input-output",
                       "x <- P_M x where P_M x is allowed, else x - beta P_M x"},
    [SPI_PHASE_RAAR] = {"RAAR",
                        "Luke, Inverse Problems 21 (2005) 37: relaxed averaged "
                        "alternating reflections",
                        "x <- beta/2 (R_S R_M x + x) + (1 - beta) P_M x, R = 2P - 1"},
    [SPI_PHASE_SHRINKWRAP] = {"SW",
                              "Marchesini et al., Phys. Rev. B 68 (2003) 140101: "
                              "shrink-wrap",
                              "S <- {blur(x, sigma) > threshold}"},
    {0},
};

struct parser {
    const char *text, *at;
    enum spi_phase_method *step;
    int64_t n, room;
};

static void skip_space(struct parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static spi_err complain(const struct parser *p, const char *needed)
{
    return spi_fail(SPI_EINVAL,
                    "phasing recipe \"%.80s\": at character %d \"%.12s\"; needed %s",
                    p->text, (int)(p->at - p->text) + 1, p->at, needed);
}

static spi_err too_long(const struct parser *p)
{
    return spi_fail(SPI_EINVAL, "phasing recipe \"%.80s\": more than %d steps", p->text,
                    MAX_STEPS);
}

/* A whole number 1 ... MAX_STEPS. */
static spi_err number(struct parser *p, int64_t *out)
{
    int64_t v = 0;

    skip_space(p);
    if (!isdigit((unsigned char)*p->at))
        return complain(p, "a whole number");
    for (const char *c = p->at; isdigit((unsigned char)*c); c++) {
        v = 10 * v + (*c - '0');
        if (v > MAX_STEPS)
            return complain(p, "a number up to 100000");
    }
    if (v == 0)
        return complain(p, "a number of at least 1");
    while (isdigit((unsigned char)*p->at))
        p->at++;
    *out = v;
    return SPI_OK;
}

static spi_err make_room(struct parser *p, int64_t need)
{
    void *step = p->step;
    spi_err err = spi_grow(&step, sizeof *p->step, p->n, need, &p->room, "recipe");

    p->step = step;
    return err;
}

static spi_err word(struct parser *p, int64_t times)
{
    size_t len = strspn(p->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    int m = 0;

    while (spi_phase_methods[m].name &&
           (strlen(spi_phase_methods[m].name) != len ||
            strncasecmp(spi_phase_methods[m].name, p->at, len)))
        m++;
    if (!spi_phase_methods[m].name)
        return complain(p, "one of ER, HIO, RAAR, SW");
    if (p->n + times > MAX_STEPS)
        return too_long(p);

    spi_err err = make_room(p, p->n + times);

    if (err)
        return err;
    for (int64_t i = 0; i < times; i++)
        p->step[p->n++] = (enum spi_phase_method)m;
    p->at += len;
    return SPI_OK;
}

static spi_err list(struct parser *p, int depth);

/* Behind "N*": the steps of one round are there after list(); repeat them. */
static spi_err bracket(struct parser *p, int64_t times, int depth)
{
    int64_t first = p->n, len;
    spi_err err;

    p->at++;
    skip_space(p);
    if (*p->at != '(')
        return complain(p, "\"(\" after \"*\"");
    if (depth == MAX_DEPTH)
        return complain(p, "brackets at most 4 deep");
    p->at++;
    if ((err = list(p, depth + 1)))
        return err;
    if (*p->at != ')')
        return complain(p, "\",\" or \")\"");
    p->at++;
    len = p->n - first;
    if (first + len * times > MAX_STEPS)
        return too_long(p);
    if ((err = make_room(p, first + len * times)))
        return err;
    for (; p->n < first + len * times; p->n++)
        p->step[p->n] = p->step[p->n - len];
    return SPI_OK;
}

static spi_err list(struct parser *p, int depth)
{
    for (;;) {
        int64_t times = 0;
        spi_err err = number(p, &times);

        if (err)
            return err;
        skip_space(p);
        err = *p->at == '*' ? bracket(p, times, depth) : word(p, times);
        if (err)
            return err;
        skip_space(p);
        if (*p->at != ',')
            return SPI_OK;
        p->at++;
    }
}

spi_err spi_phase_recipe_parse(const char *text, enum spi_phase_method **out, int *n)
{
    struct parser p = {.text = text ? text : "", .at = text ? text : ""};
    spi_err err = list(&p, 0);

    if (!err && *p.at)
        err = complain(&p, "\",\" or the end");
    if (err) {
        free(p.step);
        p.step = NULL;
        p.n = 0;
    }
    *out = p.step;
    *n = (int)p.n;
    return err;
}
