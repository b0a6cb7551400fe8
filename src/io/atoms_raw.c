/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/atoms_raw.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int spi_raw_element(const char *symbol)
{
    char bare[4];
    size_t n = strcspn(symbol, "0123456789+-");

    spi_raw_trim(symbol, n < 4 ? n : 0, bare, sizeof bare);
    return spi_element_number(bare);
}

void spi_raw_trim(const char *from, size_t n, char *to, size_t size)
{
    while (n > 0 && isspace((unsigned char)*from))
        from++, n--;
    while (n > 0 && isspace((unsigned char)from[n - 1]))
        n--;
    n = n < size - 1 ? n : size - 1;
    memcpy(to, from, n);
    to[n] = 0;
}

spi_err spi_raw_number(const struct spi_line_reader *l, const char *name, const char *text,
                       double blank, double lo, double hi, double *out)
{
    char *end;

    if (!*text && isfinite(blank)) {
        *out = blank;
        return SPI_OK;
    }
    *out = strtod(text, &end);
    if (end == text || *end)
        return spi_fail(SPI_EFORMAT, "%s:%lld: %s is '%.40s'; need a number",
                        spi_line_reader_path(l), (long long)spi_line_reader_number(l), name,
                        text);
    if (!(*out >= lo && *out <= hi))
        return spi_fail(SPI_EFORMAT, "%s:%lld: %s is %.40s; need %g..%g",
                        spi_line_reader_path(l), (long long)spi_line_reader_number(l), name,
                        text, lo, hi);
    return SPI_OK;
}

bool spi_raw_is_rotation(const double R[9])
{
    double worst = 0;

    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double dot = 0;

            for (int k = 0; k < 3; k++)
                dot += R[3 * i + k] * R[3 * j + k];
            worst = fmax(worst, fabs(dot - (i == j)));
        }

    double det = R[0] * (R[4] * R[8] - R[5] * R[7]) - R[1] * (R[3] * R[8] - R[5] * R[6]) +
                 R[2] * (R[3] * R[7] - R[4] * R[6]);

    return worst < 0.01 && det > 0;
}

struct spi_raw_atom *spi_raw_add_atom(struct spi_raw_structure *raw)
{
    void *p = raw->atom;
    spi_err err = spi_grow(&p, sizeof *raw->atom, raw->n,
                           raw->n + 1 < 4096 ? 4096 : raw->n + 1, &raw->cap, "atoms");

    raw->atom = p;
    return err ? NULL : &raw->atom[raw->n++];
}

spi_err spi_raw_add_generator(const struct spi_line_reader *l,
                              struct spi_raw_structure *raw, struct spi_raw_generator **out)
{
    void *p = raw->generator;

    if (raw->n_generators == SPI_GENERATORS_MAX)
        return spi_fail(SPI_EFORMAT, "%s:%lld: more than %d parts of assemblies",
                        spi_line_reader_path(l), (long long)spi_line_reader_number(l),
                        SPI_GENERATORS_MAX);

    spi_err err = spi_grow(&p, sizeof *raw->generator, raw->n_generators,
                           raw->n_generators + 1, &raw->generator_cap, "assemblies");

    raw->generator = p;
    if (!err)
        *out = &raw->generator[raw->n_generators++];
    return err;
}

/* Model `number` of mmCIF goes on or begins: its place in the list. */
static spi_err seek_model(const struct spi_line_reader *l,
                          const struct spi_raw_structure *raw, int number, int64_t *at)
{
    enum { LOOKED_THROUGH = 10000 };

    for (*at = 0; *at < raw->n_models && raw->model[*at] != number; ++*at)
        ;
    if (*at == LOOKED_THROUGH)
        return spi_fail(SPI_EFORMAT, "%s:%lld: more than %d models",
                        spi_line_reader_path(l), (long long)spi_line_reader_number(l),
                        LOOKED_THROUGH);
    return SPI_OK;
}

spi_err spi_raw_model(const struct spi_line_reader *l, struct spi_raw_structure *raw,
                      int number, bool again)
{
    int64_t at = raw->n_models;
    spi_err err = SPI_OK;

    if (again && raw->current > 0 && raw->model[raw->current - 1] == number)
        return SPI_OK;
    if (again)
        err = seek_model(l, raw, number, &at);
    if (!err && at == raw->n_models) {
        void *p = raw->model;

        err = spi_grow(&p, sizeof *raw->model, at, at + 1, &raw->model_cap, "models");
        raw->model = p;
        if (!err)
            raw->model[raw->n_models++] = number;
    }
    if (err)
        return err;
    raw->current = (int)at + 1;
    raw->take = raw->all_models          ? true
                : raw->model_wanted == 0 ? at == 0
                                         : number == raw->model_wanted;
    if (raw->take && raw->taken && !again && raw->model_wanted > 0)
        raw->take = false; /* two models of one number */
    raw->taken = raw->taken || raw->take;
    return SPI_OK;
}

spi_err spi_raw_add_operator(struct spi_raw_generator *g, const struct spi_raw_operator *op)
{
    void *p = g->op;
    spi_err err =
        spi_grow(&p, sizeof *g->op, g->n_ops, g->n_ops + 1, &g->op_cap, "operators");

    g->op = p;
    if (!err)
        g->op[g->n_ops++] = *op;
    return err;
}

spi_err spi_raw_add_chains(const struct spi_line_reader *l, struct spi_raw_structure *raw,
                           struct spi_raw_generator *g, const char *list)
{
    spi_err err = SPI_OK;

    while (!err && *(list += strspn(list, ", \t\n"))) {
        size_t n = strcspn(list, ", \t\n");
        void *p = g->chain;

        if (raw->n_chains++ == SPI_CHAINS_MAX)
            return spi_fail(SPI_EFORMAT, "%s:%lld: more than %d chains of assemblies",
                            spi_line_reader_path(l), (long long)spi_line_reader_number(l),
                            SPI_CHAINS_MAX);

        err = spi_grow(&p, SPI_NAME, g->n_chains, g->n_chains + 1, &g->chain_cap, "chains");
        g->chain = p;
        if (err)
            break;

        char *to = g->chain[g->n_chains++];

        spi_raw_trim(list, n, to, SPI_NAME);
        if (strcmp(to, "NULL") == 0) /* how REMARK 350 writes a blank chain */
            to[0] = 0;
        list += n;
    }
    return err;
}

void spi_raw_add_number(struct spi_raw_numbers *to, int number)
{
    if (to->used < sizeof to->text - 24)
        to->used += (size_t)snprintf(to->text + to->used, sizeof to->text - to->used,
                                     "%s%d", to->used ? ", " : "", number);
    else if (to->used < sizeof to->text - 8)
        to->used += (size_t)snprintf(to->text + to->used, sizeof to->text - to->used,
                                     " ...%*s", 8, "");
}

void spi_raw_clear(struct spi_raw_structure *raw)
{
    for (int64_t i = 0; i < raw->n_generators; i++) {
        free(raw->generator[i].chain);
        free(raw->generator[i].op);
    }
    free(raw->generator);
    free(raw->model);
    free(raw->atom);
}
