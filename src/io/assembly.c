/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/assembly.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ATOMS_MAX = 100000000 };

/* Chains of the file by name, and how many atoms each has. */
struct chains {
    char (*name)[SPI_NAME]; /* [n], sorted, owned */
    int64_t n;
    int64_t *atoms; /* [n], owned */
    int *of;        /* [raw->n] the chain of each atom, -1: it is left out; owned */
    bool *in;       /* [n] of the generator in hand, owned */
};

static void chains_clear(struct chains *c)
{
    free(c->name);
    free(c->atoms);
    free(c->of);
    free(c->in);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int64_t find_chain(const struct chains *c, const char *name)
{
    const char(*at)[SPI_NAME] =
        c->n ? bsearch(name, c->name, (size_t)c->n, SPI_NAME, by_name) : NULL;

    return at ? at - (const char(*)[SPI_NAME])c->name : -1;
}

static spi_err chains_init(const struct spi_raw_structure *raw, struct chains *c)
{
    int64_t n = 0, kept = 0;
    spi_err err;

    *c = (struct chains){0};
    SPI_TRY(err = SPI_NEW(c->of, raw->n, "chains"), out);
    /* neighbours are mostly of one chain */
    for (int64_t i = 0; i < raw->n; i++)
        n += i == 0 || strcmp(raw->atom[i].chain, raw->atom[i - 1].chain) != 0;
    SPI_TRY(err = SPI_NEW(c->name, n, "chains"), out);
    SPI_TRY(err = SPI_NEW(c->atoms, n, "chains"), out);
    SPI_TRY(err = SPI_NEW(c->in, n, "chains"), out);
    n = 0;
    for (int64_t i = 0; i < raw->n; i++)
        if (i == 0 || strcmp(raw->atom[i].chain, raw->atom[i - 1].chain) != 0)
            memcpy(c->name[n++], raw->atom[i].chain, SPI_NAME);
    qsort(c->name, (size_t)n, SPI_NAME, by_name);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || strcmp(c->name[i], c->name[kept - 1]) != 0)
            memmove(c->name[kept++], c->name[i], SPI_NAME);
    c->n = kept;
    for (int64_t i = 0; i < raw->n; i++) {
        bool same = i > 0 && c->of[i - 1] >= 0 &&
                    strcmp(c->name[c->of[i - 1]], raw->atom[i].chain) == 0;

        c->of[i] = !raw->atom[i].atom.element ? -1
                   : same                     ? c->of[i - 1]
                                              : (int)find_chain(c, raw->atom[i].chain);
        if (c->of[i] >= 0)
            c->atoms[c->of[i]]++;
    }
out:
    return err;
}

/* Mark the chains of a generator; the value is the number of atoms that they have. */
static int64_t mark_chains(struct chains *c, const struct spi_raw_generator *g)
{
    int64_t n = 0;

    for (int64_t k = 0; k < c->n; k++)
        c->in[k] = g->all_chains;
    for (int64_t i = 0; !g->all_chains && i < g->n_chains; i++) {
        int64_t k = find_chain(c, g->chain[i]);

        if (k >= 0)
            c->in[k] = true;
    }
    for (int64_t k = 0; k < c->n; k++)
        n += c->in[k] ? c->atoms[k] : 0;
    return n;
}

/* Copies made by one generator, whose chains are marked. */
static int64_t generate(const struct spi_raw_structure *raw, const struct chains *c,
                        const struct spi_raw_generator *g, struct spi_atom *to)
{
    const struct spi_atom *first = to;

    for (int64_t k = 0; k < g->n_ops; k++)
        for (int64_t i = 0; i < raw->n; i++) {
            const double *R = g->op[k].R, *t = g->op[k].t;
            struct spi_atom a = raw->atom[i].atom;
            double x = a.x, y = a.y, z = a.z;

            if (c->of[i] < 0 || !c->in[c->of[i]])
                continue;
            a.x = R[0] * x + R[1] * y + R[2] * z + t[0];
            a.y = R[3] * x + R[4] * y + R[5] * z + t[1];
            a.z = R[6] * x + R[7] * y + R[8] * z + t[2];
            *to++ = a;
        }
    return to - first;
}

static spi_err no_assembly(const char *path, const struct spi_raw_structure *raw,
                           int wanted)
{
    struct spi_raw_numbers list = {0};

    for (int64_t i = 0; i < raw->n_generators; i++)
        if (raw->generator[i].assembly > 0 &&
            (i == 0 || raw->generator[i].assembly != raw->generator[i - 1].assembly))
            spi_raw_add_number(&list, raw->generator[i].assembly);
    return spi_fail(SPI_EINVAL, "%s: no biological assembly %d; the file has %s", path,
                    wanted, list.used ? list.text : "none");
}

/* Before any of it is done: is the assembly of a size that can be?  An atom takes its
 * place, and two more while distances are sorted. */
static spi_err check_size(const char *path, int64_t n, int64_t of)
{
    double need = 3.0 * (double)n * sizeof(struct spi_atom);
    double have = (double)spi_memory_bytes();

    if (n == 0)
        return spi_fail(SPI_EFORMAT, "%s: no atoms are left (of %lld read)", path,
                        (long long)of);
    if (n > ATOMS_MAX)
        return spi_fail(SPI_EFORMAT, "%s: %lld atoms; at most %d are supported", path,
                        (long long)n, ATOMS_MAX);
    if (have > 0 && need > have)
        return spi_fail(SPI_ENOMEM,
                        "%s: %lld atoms take %.1f GB of memory; %.1f GB are free", path,
                        (long long)n, need / 1e9, have / 1e9);
    return SPI_OK;
}

spi_err spi_raw_assemble(const char *path, const struct spi_raw_structure *raw,
                         int assembly, struct spi_atom **atom, int64_t *n_atoms)
{
    static const struct spi_raw_operator identity = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    struct spi_raw_operator one = identity;
    struct spi_raw_generator as_is = {.all_chains = true, .op = &one, .n_ops = 1};
    const struct spi_raw_generator *g = assembly ? raw->generator : &as_is;
    int64_t n_generators = assembly ? raw->n_generators : 1, n = 0;
    bool found = assembly == 0;
    struct chains c;
    spi_err err = chains_init(raw, &c);

    for (int64_t i = 0; !err && i < n_generators; i++)
        if (g[i].assembly == assembly) {
            found = found || g[i].n_ops > 0;
            n += mark_chains(&c, &g[i]) * g[i].n_ops;
            n = n < 2LL * ATOMS_MAX ? n : 2LL * ATOMS_MAX;
        }
    SPI_TRY(err, out);
    if (!found) {
        err = no_assembly(path, raw, assembly);
        goto out;
    }
    SPI_TRY(err = check_size(path, n, raw->n), out);
    SPI_TRY(err = SPI_NEW(*atom, n, "atoms"), out);
    for (int64_t i = 0; i < n_generators; i++)
        if (g[i].assembly == assembly && mark_chains(&c, &g[i]) > 0)
            *n_atoms += generate(raw, &c, &g[i], *atom + *n_atoms);
out:
    chains_clear(&c);
    return err;
}
