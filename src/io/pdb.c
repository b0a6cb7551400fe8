/* PDB format 3.3: fixed columns, counted from 1 as in the standard. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/atoms_raw.h"

struct pdb {
    struct spi_lines *l;
    const char *line;
    size_t length;
    struct spi_raw_structure *raw;
    bool model_over;
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

/* Columns 77-78, or else the atom name (old files have line numbers or nothing there). */
static spi_err element(struct pdb *p, struct spi_raw_atom *a, const char *resname)
{
    char symbol[4], name[8], columns[5] = "    ";

    field(p, 77, 78, symbol, sizeof symbol);
    a->atom.element = (uint8_t)spi_element_number(symbol);
    if (a->atom.element)
        return SPI_OK;

    field(p, 13, 16, name, sizeof name);
    memcpy(columns, p->line + 12, 4); /* the line has at least 54 columns */
    a->atom.element = (uint8_t)spi_raw_guess_element(columns, name, resname);
    p->raw->n_guessed++;
    if (a->atom.element)
        return SPI_OK;
    return spi_fail(
        SPI_EFORMAT,
        "%s:%lld: no known element in columns 77-78 ('%s') nor in the atom name '%s'",
        spi_lines_path(p->l), (long long)spi_lines_number(p->l), symbol, name);
}

static spi_err atom_line(struct pdb *p)
{
    if (p->length < 54)
        return spi_fail(
            SPI_EFORMAT, "%s:%lld: %.6s record of %zu columns; need 54 (x, y, z end there)",
            spi_lines_path(p->l), (long long)spi_lines_number(p->l), p->line, p->length);

    struct spi_raw_atom *a = spi_raw_add_atom(p->raw);
    double v[5];
    char resname[8];
    spi_err err;

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
    field(p, 18, 20, resname, sizeof resname);
    field(p, 22, 22, a->chain, sizeof a->chain);
    field(p, 23, 27, a->residue, sizeof a->residue);
    a->water = spi_raw_is_water(resname);
    err = element(p, a, resname);
out:
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
        struct spi_raw_generator *g = spi_raw_add_generator(p->raw);

        if (!g)
            return SPI_ENOMEM;
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
        err = spi_raw_add_chains(&p->raw->generator[i], list);
    }
    return err;
}

static spi_err biomt_line(struct pdb *p, const char *text)
{
    long long line = spi_lines_number(p->l);
    int row, serial;
    double r[4];

    if (sscanf(text, "BIOMT%1d %d %lf %lf %lf %lf", &row, &serial, &r[0], &r[1], &r[2],
               &r[3]) != 6)
        return spi_fail(SPI_EFORMAT,
                        "%s:%lld: broken BIOMT row; need a number and 4 values",
                        spi_lines_path(p->l), line);
    if (row != p->row + 1)
        return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT%d where BIOMT%d is needed",
                        spi_lines_path(p->l), line, row, p->row + 1);
    for (int j = 0; j < 4; j++)
        if (!(fabs(r[j]) <= SPI_COORDINATE_MAX))
            return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT value %g is not usable",
                            spi_lines_path(p->l), line, r[j]);
    memcpy(p->op.R + 3 * p->row, r, 3 * sizeof *r);
    p->op.t[p->row] = r[3];
    p->row = (p->row + 1) % 3;
    if (p->row)
        return SPI_OK;
    if (!spi_raw_is_rotation(p->op.R))
        return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT operator %d is not a rotation",
                        spi_lines_path(p->l), line, serial);

    spi_err err = p->group < 0 ? new_group(p) : SPI_OK;

    p->have_rows = true;
    for (int64_t i = p->group; !err && i < p->raw->n_generators; i++)
        err = spi_raw_add_operator(&p->raw->generator[i], &p->op);
    return err;
}

static spi_err remark_350(struct pdb *p)
{
    const char *text = p->line + 10, *colon = strchr(text, ':');

    text += strspn(text, " ");
    if (strncmp(text, "BIOMT", 5) == 0)
        return biomt_line(p, text);
    if (p->row)
        return spi_fail(SPI_EFORMAT, "%s:%lld: BIOMT%d is missing", spi_lines_path(p->l),
                        (long long)spi_lines_number(p->l), p->row + 1);
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

spi_err spi_pdb_read(struct spi_lines *l, struct spi_raw_structure *raw)
{
    /* BIOMT rows without BIOMOLECULE (home-made files) are assembly 1 of all chains */
    struct pdb p = {
        .l = l, .raw = raw, .biomolecule = {1}, .n_biomolecules = 1, .group = -1};
    spi_err err = SPI_OK;

    while (!err) {
        char *line;

        err = spi_lines_next(l, &line, &p.length);
        if (err || !line)
            break;
        p.line = line;
        if (starts(&p, "ATOM  ") || starts(&p, "HETATM")) {
            if (!p.model_over)
                err = atom_line(&p);
        } else if (starts(&p, "ENDMDL")) {
            p.model_over = true;
        } else if (starts(&p, "TITLE ")) {
            title_line(&p);
        } else if (starts(&p, "REMARK 350") && p.length > 10) {
            err = remark_350(&p);
        }
    }
    if (!err && p.row)
        err = spi_fail(SPI_EFORMAT, "%s:%lld: file ends inside a BIOMT operator",
                       spi_lines_path(l), (long long)spi_lines_number(l));
    return err;
}
