/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PDB format 3.3: fixed columns, counted from 1 as in the standard. */
#include "io/pdb.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atoms_guess.h"

struct pdb {
    struct spi_line_reader *l;
    const char *line;
    size_t length;
    size_t shift; /* columns behind a serial number that is too long stand this far right */
    struct spi_raw_structure *raw;
    /* models: MODEL and ENDMDL, or frames that end with END */
    bool named;     /* a MODEL line came, its atoms wait */
    bool ended;     /* END came, no atom since */
    int number;     /* of the model that begins */
    char first[16]; /* names of the file's first atom: where it stands again, a frame begins
                     */
    /* state of REMARK 350 */
    int biomolecule[64], n_biomolecules;
    int64_t group;  /* first generator of the chain list in force, -1: none yet */
    bool have_rows; /* the group has operators: the next chain list starts a new one */
    struct spi_raw_operator op;
    int row; /* next BIOMT row expected, 0..2 */
};

/* Columns first..last without blanks at the ends; "" beyond the end of the line. */
static void field(const struct pdb *p, size_t first, size_t last, char *out, size_t size)
{
    first += p->shift;
    last += p->shift;

    size_t end = last < p->length ? last : p->length;

    if (first > end)
        out[0] = 0;
    else
        spi_raw_trim(p->line + first - 1, end - first + 1, out, size);
}

static bool starts(const struct pdb *p, const char *word)
{
    return strncmp(p->line, word, strlen(word)) == 0;
}

static spi_err number(const struct pdb *p, const char *name, size_t first, size_t last,
                      double blank, double lo, double hi, double *out)
{
    char text[16];

    field(p, first, last, text, sizeof text);
    return spi_raw_number(p->l, name, text, blank, lo, hi, out);
}

/* ATOM, HETATM; a serial number of more than five digits reaches into column 6 or moves all
 * that follows. */
static bool is_atom(const struct pdb *p)
{
    return starts(p, "HETATM") ||
           (starts(p, "ATOM") && !isalpha((unsigned char)p->line[4]));
}

/* How far the columns from 13 on stand to the right: only behind a serial number that
 * reaches column 12, as far as brings the points of %8.3f to columns 35, 43 and 51. */
static size_t shift_of(const struct pdb *p)
{
    size_t at = 6;

    if (p->length < 54)
        return 0;
    at += strspn(p->line + at, " ");
    at += strspn(p->line + at, "0123456789");
    for (size_t s = 0; at >= 12 && s <= 4 && 51 + s <= p->length; s++)
        if (p->line[34 + s] == '.' && p->line[42 + s] == '.' && p->line[50 + s] == '.')
            return s;
    return 0;
}

/* Does this atom begin a model?  Programs write the frames of a run with nothing but END
 * between them; then the first atom comes again.  Parts of one structure that were joined
 * begin with another one. */
static spi_err model_of(struct pdb *p)
{
    char names[16];
    bool frame = false;
    spi_err err = SPI_OK;

    field(p, 13, 27, names, sizeof names);
    if (p->raw->current == 0)
        memcpy(p->first, names, sizeof names);
    else if (p->ended && !p->named)
        frame = strcmp(names, p->first) == 0;
    if (p->raw->current == 0 || p->named || frame)
        err = spi_raw_model(p->l, p->raw, p->named ? p->number : (int)p->raw->n_models + 1,
                            false);
    p->named = p->ended = false;
    return err;
}

static void model_line(struct pdb *p)
{
    char number[8];

    field(p, 7, 14, number, sizeof number);
    p->number = atoi(number);
    p->named = true;
}

/* Column 21 is blank in the standard.  Programs put the fourth letter of a residue's name
 * there (TIP3), or the first of a chain's (ALAAB: ALA of chain AB). */
static void residue_and_chain(const struct pdb *p, struct spi_raw_atom *a)
{
    char three[8];

    field(p, 18, 20, three, sizeof three);
    field(p, 18, 21, a->resname, sizeof a->resname);
    field(p, 22, 22, a->chain, sizeof a->chain);
    if (strcmp(three, a->resname) != 0 && spi_raw_is_known(three) &&
        !spi_raw_is_known(a->resname)) {
        memcpy(a->resname, three, sizeof three);
        field(p, 21, 22, a->chain, sizeof a->chain);
    }
}

static spi_err atom_line(struct pdb *p)
{
    spi_err err;

    p->shift = shift_of(p);
    SPI_TRY(err = model_of(p), out);
    if (!p->raw->take)
        goto out;
    if (p->length < 54 + p->shift)
        return spi_fail(SPI_EFORMAT,
                        "%s:%lld: %.6s record of %zu columns; need 54 (x, y, z end there)",
                        spi_line_reader_path(p->l), (long long)spi_line_reader_number(p->l),
                        p->line, p->length);

    struct spi_raw_atom *a = spi_raw_add_atom(p->raw);
    double v[5];
    char name[8];

    if (!a)
        return SPI_ENOMEM;
    for (int i = 0; i < 3; i++) {
        static const char *const axis[3] = {"x", "y", "z"};
        size_t at = 31 + 8 * (size_t)i;

        SPI_TRY(err = number(p, axis[i], at, at + 7, NAN, -SPI_COORDINATE_MAX,
                             SPI_COORDINATE_MAX, &v[i]),
                out);
    }
    SPI_TRY(err = number(p, "occupancy", 55, 60, 1, 0, 10, &v[3]), out);
    SPI_TRY(err = number(p, "B factor", 61, 66, 0, -1e5, 1e5, &v[4]), out);
    a->atom.x = v[0];
    a->atom.y = v[1];
    a->atom.z = v[2];
    a->atom.occupancy = (float)v[3];
    a->atom.b_A2 = (float)v[4];
    field(p, 17, 17, a->altloc, sizeof a->altloc);
    residue_and_chain(p, a);
    field(p, 23, 27, a->residue, sizeof a->residue);
    field(p, 77, 78, a->symbol, sizeof a->symbol);
    field(p, 13, 16, name, sizeof name);
    memcpy(a->name, p->line + 12 + p->shift, 4); /* the line has at least 54 columns */
    a->model = p->raw->current;
    a->line = spi_line_reader_number(p->l);
    a->water = spi_raw_is_water(a->resname, name);
    a->atom.element = (uint8_t)spi_raw_element(a->symbol);
out:
    p->shift = 0;
    return err;
}

static void title_line(struct pdb *p)
{
    char part[72];
    size_t have = strlen(p->raw->title);

    field(p, 11, 80, part, sizeof part);
    snprintf(p->raw->title + have, SPI_TITLE - have, "%s%s", have ? " " : "", part);
}

/* One generator per assembly number of "BIOMOLECULE: 1, 2". */
static spi_err new_group(struct pdb *p)
{
    p->group = p->raw->n_generators;
    p->have_rows = false;
    for (int i = 0; i < p->n_biomolecules; i++) {
        struct spi_raw_generator *g;
        spi_err err = spi_raw_add_generator(p->l, p->raw, &g);

        if (err)
            return err;
        g->assembly = p->biomolecule[i];
        g->all_chains = true;
    }
    return SPI_OK;
}

static void biomolecule_line(struct pdb *p, const char *list)
{
    int n = 0, value, used;

    while (n < 64 && sscanf(list, " %9d%n", &value, &used) == 1) {
        p->biomolecule[n++] = value;
        list += used;
        list += strspn(list, " ,");
    }
    p->n_biomolecules = n;
    p->group = -1;
}

static spi_err chains_line(struct pdb *p, const char *list, bool first)
{
    spi_err err = SPI_OK;

    if (p->group < 0 || (first && p->have_rows))
        err = new_group(p);
    for (int64_t i = p->group; !err && i < p->raw->n_generators; i++) {
        p->raw->generator[i].all_chains = false;
        err = spi_raw_add_chains(p->l, p->raw, &p->raw->generator[i], list);
    }
    return err;
}

static spi_err biomt_line(struct pdb *p, const char *text)
{
    long long line = spi_line_reader_number(p->l);
    int row, serial;
    double r[4];

    if (sscanf(text, "BIOMT%1d %d %lf %lf %lf %lf", &row, &serial, &r[0], &r[1], &r[2],
               &r[3]) != 6)
        return spi_fail(SPI_EFORMAT,
                        "%s:%lld: broken BIOMT row; need a number and 4 values",
                        spi_line_reader_path(p->l), line);
    if (row != p->row + 1)
        return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT%d where BIOMT%d is needed",
                        spi_line_reader_path(p->l), line, row, p->row + 1);
    for (int j = 0; j < 4; j++)
        if (!(fabs(r[j]) <= SPI_COORDINATE_MAX))
            return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT value %g is not usable",
                            spi_line_reader_path(p->l), line, r[j]);
    memcpy(p->op.R + 3 * p->row, r, 3 * sizeof *r);
    p->op.t[p->row] = r[3];
    p->row = (p->row + 1) % 3;
    if (p->row)
        return SPI_OK;
    if (!spi_raw_is_rotation(p->op.R))
        return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT operator %d is not a rotation",
                        spi_line_reader_path(p->l), line, serial);

    spi_err err = p->group < 0 ? new_group(p) : SPI_OK;

    p->have_rows = true;
    for (int64_t i = p->group; !err && i < p->raw->n_generators; i++) {
        struct spi_raw_generator *g = &p->raw->generator[i];

        if (g->n_ops == SPI_OPERATORS_MAX)
            return spi_fail(SPI_EFORMAT, "%s:%lld: assembly %d has more than %d operators",
                            spi_line_reader_path(p->l), line, g->assembly,
                            SPI_OPERATORS_MAX);
        err = spi_raw_add_operator(g, &p->op);
    }
    return err;
}

static spi_err remark_350(struct pdb *p)
{
    const char *text = p->line + 10, *colon = strchr(text, ':');

    text += strspn(text, " ");
    if (strncmp(text, "BIOMT", 5) == 0)
        return biomt_line(p, text);
    if (p->row)
        return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT%d is missing",
                        spi_line_reader_path(p->l), (long long)spi_line_reader_number(p->l),
                        p->row + 1);
    if (!colon)
        return SPI_OK;
    if (strncmp(text, "BIOMOLECULE:", 12) == 0)
        biomolecule_line(p, colon + 1);
    else if (strncmp(text, "APPLY THE FOLLOWING TO CHAINS:", 30) == 0)
        return chains_line(p, colon + 1, true);
    else if (strncmp(text, "AND CHAINS:", 11) == 0)
        return chains_line(p, colon + 1, false);
    return SPI_OK;
}

spi_err spi_pdb_read(struct spi_line_reader *l, struct spi_raw_structure *raw)
{
    /* BIOMT rows without BIOMOLECULE (home-made files) are assembly 1 of all chains */
    struct pdb p = {
        .l = l, .raw = raw, .biomolecule = {1}, .n_biomolecules = 1, .group = -1};
    spi_err err = SPI_OK;

    raw->columns = true;
    while (!err) {
        char *line;

        err = spi_line_reader_next(l, &line, &p.length);
        if (err || !line)
            break;
        p.line = line;
        if (is_atom(&p)) {
            err = atom_line(&p);
        } else if (starts(&p, "MODEL ")) {
            model_line(&p);
        } else if (starts(&p, "ENDMDL") ||
                   (starts(&p, "END") && (p.length == 3 || p.line[3] == ' '))) {
            p.ended = true;
        } else if (starts(&p, "TITLE ")) {
            title_line(&p);
        } else if (starts(&p, "REMARK 350") && p.length > 10) {
            err = remark_350(&p);
        }
    }
    if (!err && p.row)
        err = spi_fail(SPI_EFORMAT, "%s:%lld: file ends inside a BIOMT operator",
                       spi_line_reader_path(l), (long long)spi_line_reader_number(l));
    return err;
}
