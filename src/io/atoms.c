/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/atoms.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/atoms_raw.h"

enum { ATOMS_MAX = 100000000 };

static const char symbols[][3] = {
    "?",  "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg",
    "Al", "Si", "P",  "S",  "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn",
    "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr",
    "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb",
    "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th",
    "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf"};

enum { ELEMENTS = sizeof symbols / sizeof *symbols - 1 };

const char *spi_element_symbol(int z)
{
    return symbols[z >= 1 && z <= ELEMENTS ? z : 0];
}

static bool same_word(const char *a, const char *b)
{
    while (*a && toupper((unsigned char)*a) == toupper((unsigned char)*b))
        a++, b++;
    return *a == *b;
}

int spi_raw_element(const char *symbol)
{
    char bare[4];
    size_t n = strcspn(symbol, "0123456789+-");

    spi_raw_trim(symbol, n < 4 ? n : 0, bare, sizeof bare);
    return spi_element_number(bare);
}

int spi_element_number(const char *symbol)
{
    if (same_word(symbol, "D")) /* deuterium scatters X-rays as hydrogen */
        return 1;
    for (int z = 1; z <= ELEMENTS; z++)
        if (same_word(symbol, symbols[z]))
            return z;
    return 0;
}

/* ---- what both readers use ---------------------------------------------------------- */

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
    raw->take = raw->models_wanted == SPI_MODELS_ALL ? true
                : raw->models_wanted == 0            ? at == 0
                                                     : number == raw->models_wanted;
    if (raw->take && raw->taken && !again && raw->models_wanted > 0)
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

static void raw_clear(struct spi_raw_structure *raw)
{
    for (int64_t i = 0; i < raw->n_generators; i++) {
        free(raw->generator[i].chain);
        free(raw->generator[i].op);
    }
    free(raw->generator);
    free(raw->model);
    free(raw->atom);
}

/* ---- alternate locations ------------------------------------------------------------ */

static int same_residue(const struct spi_raw_atom *a, const struct spi_raw_atom *b)
{
    int c = a->model != b->model ? (a->model > b->model) - (a->model < b->model)
                                 : strcmp(a->chain, b->chain);

    return c ? c : strcmp(a->residue, b->residue);
}

static int by_residue(const void *pa, const void *pb)
{
    const struct spi_raw_atom *a = *(struct spi_raw_atom *const *)pa;
    const struct spi_raw_atom *b = *(struct spi_raw_atom *const *)pb;
    int c = same_residue(a, b);

    return c ? c : strcmp(a->altloc, b->altloc);
}

static int by_atom(const void *pa, const void *pb)
{
    const struct spi_raw_atom *a = *(struct spi_raw_atom *const *)pa;
    const struct spi_raw_atom *b = *(struct spi_raw_atom *const *)pb;
    int c = strcmp(a->name, b->name);

    return c ? c : strcmp(a->altloc, b->altloc);
}

/* Of n atoms of one residue, sorted by letter: the first of the letter of highest mean
 * occupancy; the first letter wins a tie. */
static const struct spi_raw_atom *best_letter(struct spi_raw_atom **a, int64_t n)
{
    int64_t best = 0;
    double best_occupancy = -1;

    for (int64_t i = 0, j; i < n; i = j) {
        double sum = 0;

        for (j = i; j < n && strcmp(a[j]->altloc, a[i]->altloc) == 0; j++)
            sum += (double)a[j]->atom.occupancy;
        if (sum / (double)(j - i) > best_occupancy + 1e-6) { /* two digits in files */
            best_occupancy = sum / (double)(j - i);
            best = i;
        }
    }
    return a[best];
}

/* Of n alternates of one atom, sorted by letter: that of the residue's letter; if there is
 * none, and the residue is the same, that of highest occupancy.  NULL: none. */
static const struct spi_raw_atom *best_alternate(struct spi_raw_atom **a, int64_t n,
                                                 const struct spi_raw_atom *residue)
{
    const struct spi_raw_atom *best = NULL;

    for (int64_t i = 0; i < n; i++)
        if (strcmp(a[i]->altloc, residue->altloc) == 0)
            return a[i];
    for (int64_t i = 0; i < n; i++)
        if (strcmp(a[i]->resname, residue->resname) == 0 &&
            (!best || a[i]->atom.occupancy > best->atom.occupancy))
            best = a[i];
    return best;
}

/* Of the n atoms of one residue, sorted by letter: unmark (element 0) what is not chosen.
 */
static int64_t keep_best(struct spi_raw_atom **a, int64_t n)
{
    const struct spi_raw_atom *residue = best_letter(a, n);
    int64_t dropped = 0;

    qsort(a, (size_t)n, sizeof *a, by_atom);
    for (int64_t i = 0, j; i < n; i = j) {
        const struct spi_raw_atom *best;

        for (j = i; j < n && strcmp(a[j]->name, a[i]->name) == 0; j++)
            ;
        best = best_alternate(a + i, j - i, residue);
        for (int64_t k = i; k < j; k++)
            if (!best || strcmp(a[k]->altloc, best->altloc) != 0) {
                a[k]->atom.element = 0;
                dropped++;
            }
    }
    return dropped;
}

static spi_err choose_alternates(struct spi_raw_structure *raw, int64_t *dropped)
{
    struct spi_raw_atom **a;
    int64_t n = 0;
    spi_err err = SPI_NEW(a, raw->n, "alternates");

    if (err)
        return err;
    for (int64_t i = 0; i < raw->n; i++)
        if (raw->atom[i].altloc[0])
            a[n++] = &raw->atom[i];
    qsort(a, (size_t)n, sizeof *a, by_residue);
    *dropped = 0;
    for (int64_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && same_residue(a[i], a[j]) == 0; j++)
            ;
        *dropped += keep_best(a + i, j - i);
    }
    free(a);
    return SPI_OK;
}

/* ---- assembly ----------------------------------------------------------------------- */

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

/* "1, 2, 5": the numbers of a list of n, as far as they fit. */
struct names {
    char text[200];
    size_t used;
};

static void add_number(struct names *to, int number)
{
    if (to->used < sizeof to->text - 24)
        to->used += (size_t)snprintf(to->text + to->used, sizeof to->text - to->used,
                                     "%s%d", to->used ? ", " : "", number);
    else if (to->used < sizeof to->text - 8)
        to->used += (size_t)snprintf(to->text + to->used, sizeof to->text - to->used,
                                     " ...%*s", 8, "");
}

static spi_err no_assembly(const char *path, const struct spi_raw_structure *raw,
                           int wanted)
{
    struct names list = {0};

    for (int64_t i = 0; i < raw->n_generators; i++)
        if (raw->generator[i].assembly > 0 &&
            (i == 0 || raw->generator[i].assembly != raw->generator[i - 1].assembly))
            add_number(&list, raw->generator[i].assembly);
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

static spi_err expand(const char *path, const struct spi_raw_structure *raw, int assembly,
                      struct spi_structure *out)
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
    SPI_TRY(err = SPI_NEW(out->atom, n, "atoms"), out);
    for (int64_t i = 0; i < n_generators; i++)
        if (g[i].assembly == assembly && mark_chains(&c, &g[i]) > 0)
            out->n += generate(raw, &c, &g[i], out->atom + out->n);
out:
    chains_clear(&c);
    return err;
}

/* ---- the reader --------------------------------------------------------------------- */

/* mmCIF begins with data_NAME after comments; everything else is tried as PDB. */
static spi_err is_cif(struct spi_line_reader *l, bool *cif)
{
    char *line;
    size_t length;
    spi_err err;

    *cif = false;
    do {
        err = spi_line_reader_next(l, &line, &length);
        if (err || !line)
            return err;
    } while (line[strspn(line, " \t")] == 0 || *line == '#');
    *cif = strncasecmp(line + strspn(line, " \t"), "data_", 5) == 0;
    spi_line_reader_again(l);
    return SPI_OK;
}

static void drop_unwanted(struct spi_raw_structure *raw,
                          const struct spi_structure_options *opt,
                          struct spi_structure *out)
{
    for (int64_t i = 0; i < raw->n; i++) {
        struct spi_raw_atom *a = &raw->atom[i];

        if (!a->atom.element)
            continue;
        if (a->water && !opt->waters) {
            a->atom.element = 0;
            out->n_waters_skipped++;
        } else if (a->atom.element == 1) {
            out->n_hydrogens++;
            a->atom.element = opt->hydrogens;
        }
    }
}

/* Atoms of the models that are wanted must be there; left-out models are told of. */
static spi_err check_models(const char *path, bool cif, const struct spi_raw_structure *raw)
{
    struct names list = {0};

    if (raw->n_models == 0)
        return spi_fail(SPI_EFORMAT, "%s: no atoms; need %s", path,
                        cif ? "a loop_ of _atom_site"
                            : "PDB (ATOM or HETATM lines) or mmCIF");
    if (raw->n == 0) {
        for (int64_t i = 0; i < raw->n_models; i++)
            add_number(&list, raw->model[i]);
        return spi_fail(SPI_EINVAL, "%s: no model %d; the file has %s", path,
                        raw->models_wanted, list.text);
    }
    if (raw->n_models > 1 && raw->models_wanted == 0)
        spi_warn("%s: the first of %lld models is read; an assembly that is written as "
                 "models needs --models all",
                 path, (long long)raw->n_models);
    return SPI_OK;
}

static spi_err check_occupancies(const char *path, struct spi_structure *s)
{
    for (int64_t i = 0; i < s->n; i++)
        s->n_unoccupied += !(s->atom[i].occupancy > 0);
    if (s->n_unoccupied == s->n)
        return spi_fail(
            SPI_EFORMAT,
            "%s: the occupancies of all %lld atoms are 0, so that none scatters; "
            "write 1.00 into them (columns 55-60 of PDB), or leave them blank",
            path, (long long)s->n);
    if (s->n_unoccupied > 0)
        spi_warn("%s: %lld of %lld atoms have occupancy 0 and do not scatter", path,
                 (long long)s->n_unoccupied, (long long)s->n);
    return SPI_OK;
}

spi_err spi_structure_read(const char *path, const struct spi_structure_options *opt,
                           struct spi_structure *out)
{
    struct spi_raw_structure raw = {0};
    struct spi_line_reader *l = NULL;
    bool cif;
    spi_err err;

    memset(out, 0, sizeof *out);
    raw.models_wanted = opt->models;
    SPI_TRY(err = spi_line_reader_open(path, &l), out);
    SPI_TRY(err = is_cif(l, &cif), out);
    SPI_TRY(err = cif ? spi_cif_read(l, opt->assembly, &raw) : spi_pdb_read(l, &raw), out);
    SPI_TRY(err = check_models(path, cif, &raw), out);
    SPI_TRY(err = spi_raw_guess_elements(path, &raw, &out->n_elements_guessed), out);
    memcpy(out->title, raw.title, sizeof out->title);
    out->n_models = raw.n_models;
    SPI_TRY(err = choose_alternates(&raw, &out->n_altloc_skipped), out);
    drop_unwanted(&raw, opt, out);
    SPI_TRY(err = expand(path, &raw, opt->assembly, out), out);
    err = check_occupancies(path, out);
out:
    if (err)
        spi_structure_clear(out);
    raw_clear(&raw);
    spi_line_reader_close(l);
    return err;
}

void spi_structure_clear(struct spi_structure *s)
{
    free(s->atom);
    memset(s, 0, sizeof *s);
}

bool spi_structure_is(const char *path)
{
    static const char *const end[] = {".pdb", ".ent", ".cif", ".mmcif", NULL};
    static const char *const start[] = {"HEADER", "TITLE ", "REMARK", "CRYST1", "ATOM  ",
                                        "HETATM", "MODEL ", "data_",  NULL};
    struct spi_line_reader *l = NULL;
    size_t n = strlen(path), length;
    char *line;
    bool yes = false;

    if (n > 3 && strcasecmp(path + n - 3, ".gz") == 0)
        n -= 3;
    while (n > 0 && isdigit((unsigned char)path[n - 1])) /* .pdb1: an assembly */
        n--;
    for (int i = 0; end[i]; i++) {
        size_t m = strlen(end[i]);

        if (n > m && strncasecmp(path + n - m, end[i], m) == 0)
            return true;
    }
    if (spi_line_reader_open(path, &l) == SPI_OK &&
        spi_line_reader_next(l, &line, &length) == SPI_OK && line)
        for (int i = 0; start[i]; i++)
            yes = yes || strncmp(line, start[i], strlen(start[i])) == 0;
    spi_line_reader_close(l);
    return yes;
}

/* ---- geometry ----------------------------------------------------------------------- */

struct far_atom {
    double r, x, y, z;
};

static int by_radius_down(const void *pa, const void *pb)
{
    double a = ((const struct far_atom *)pa)->r, b = ((const struct far_atom *)pb)->r;

    return (a < b) - (a > b);
}

/* Largest pair distance of atoms sorted by falling distance r from a common point: a pair
 * cannot beat `best` when r_i + r_j <= best, so that few pairs are looked at. */
static double largest_pair(const struct far_atom *a, int64_t n)
{
    double best = 0;

    for (int64_t i = 1; i < n && a[0].r + a[i].r > best; i++)
        for (int64_t j = 0; j < i && a[i].r + a[j].r > best; j++) {
            double dx = a[i].x - a[j].x, dy = a[i].y - a[j].y, dz = a[i].z - a[j].z;
            double d2 = dx * dx + dy * dy + dz * dz;

            if (d2 > best * best)
                best = sqrt(d2);
        }
    return best;
}

spi_err spi_structure_diameter_A(const struct spi_structure *s, double *diameter)
{
    struct far_atom *a;
    spi_err err = SPI_NEW(a, s->n, "diameter");
    double lo[3] = {INFINITY, INFINITY, INFINITY},
           hi[3] = {-INFINITY, -INFINITY, -INFINITY};

    if (err)
        return err;
    for (int64_t i = 0; i < s->n; i++) {
        double x[3] = {s->atom[i].x, s->atom[i].y, s->atom[i].z};

        for (int k = 0; k < 3; k++) {
            lo[k] = fmin(lo[k], x[k]);
            hi[k] = fmax(hi[k], x[k]);
        }
    }
    for (int64_t i = 0; i < s->n; i++) {
        a[i].x = s->atom[i].x - (lo[0] + hi[0]) / 2;
        a[i].y = s->atom[i].y - (lo[1] + hi[1]) / 2;
        a[i].z = s->atom[i].z - (lo[2] + hi[2]) / 2;
        a[i].r = sqrt(a[i].x * a[i].x + a[i].y * a[i].y + a[i].z * a[i].z);
    }
    qsort(a, (size_t)s->n, sizeof *a, by_radius_down);
    *diameter = largest_pair(a, s->n);
    free(a);
    return SPI_OK;
}

void spi_structure_centre(struct spi_structure *s)
{
    double sum[3] = {0}, weight = 0;

    for (int64_t i = 0; i < s->n; i++) {
        double w = (double)s->atom[i].occupancy * s->atom[i].element;

        sum[0] += w * s->atom[i].x;
        sum[1] += w * s->atom[i].y;
        sum[2] += w * s->atom[i].z;
        weight += w;
    }
    for (int64_t i = 0; i < s->n; i++) {
        s->atom[i].x -= sum[0] / weight;
        s->atom[i].y -= sum[1] / weight;
        s->atom[i].z -= sum[2] / weight;
    }
}
