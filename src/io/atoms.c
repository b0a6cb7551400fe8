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

int spi_element_number(const char *symbol)
{
    if (same_word(symbol, "D")) /* deuterium scatters X-rays as hydrogen */
        return 1;
    for (int z = 1; z <= ELEMENTS; z++)
        if (same_word(symbol, symbols[z]))
            return z;
    return 0;
}

/* ---- what both readers use ---- */

static bool in_list(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

bool spi_raw_is_water(const char *resname)
{
    static const char *const names[] = {"HOH", "WAT", "DOD", NULL};

    return in_list(resname, names);
}

static bool is_polymer(const char *resname)
{
    static const char *const names[] = {
        "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
        "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
        "ASX", "GLX", "HOH", "WAT", "DOD", "A",   "C",   "G",   "U",   "I",
        "DA",  "DC",  "DG",  "DT",  "DU",  "DI",  NULL};

    return in_list(resname, names);
}

static int one_letter(const char *name)
{
    char symbol[2] = {0};

    while (*name && !isalpha((unsigned char)*name))
        name++;
    symbol[0] = *name;
    return spi_element_number(symbol);
}

int spi_raw_guess_element(const char *columns, const char *name, const char *resname)
{
    static const char *const ions[] = {"CL", "BR", "FE", "ZN", "MG", "MN", "SE", NULL};
    char two[3] = {0};
    int z = 0;

    if (is_polymer(resname)) /* "CA" is the alpha carbon, "HG" a hydrogen */
        return one_letter(name);
    for (int i = 0; i < 2 && isalpha((unsigned char)name[i]); i++)
        two[i] = (char)toupper((unsigned char)name[i]);
    if (columns) {
        /* a two-letter symbol begins in column 13; but so do hydrogens of four letters */
        bool full_h = toupper((unsigned char)columns[0]) == 'H' && columns[3] != ' ';

        if (isalpha((unsigned char)columns[0]) && two[1] && !full_h)
            z = spi_element_number(two);
    } else if (same_word(name, resname) || in_list(two, ions)) {
        z = spi_element_number(two);
    }
    return z ? z : one_letter(name);
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

spi_err spi_raw_number(const struct spi_lines *l, const char *name, const char *text,
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
                        spi_lines_path(l), (long long)spi_lines_number(l), name, text);
    if (!(*out >= lo && *out <= hi))
        return spi_fail(SPI_EFORMAT, "%s:%lld: %s is %.40s; need %g..%g", spi_lines_path(l),
                        (long long)spi_lines_number(l), name, text, lo, hi);
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

struct spi_raw_generator *spi_raw_add_generator(struct spi_raw_structure *raw)
{
    void *p = raw->generator;
    spi_err err = spi_grow(&p, sizeof *raw->generator, raw->n_generators,
                           raw->n_generators + 1, &raw->generator_cap, "assemblies");

    raw->generator = p;
    return err ? NULL : &raw->generator[raw->n_generators++];
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

spi_err spi_raw_add_chains(struct spi_raw_generator *g, const char *list)
{
    spi_err err = SPI_OK;

    while (!err && *(list += strspn(list, ", \t\n"))) {
        size_t n = strcspn(list, ", \t\n");
        void *p = g->chain;

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
    free(raw->atom);
}

/* ---- alternate locations ---- */

static int same_residue(const struct spi_raw_atom *a, const struct spi_raw_atom *b)
{
    int c = strcmp(a->chain, b->chain);

    return c ? c : strcmp(a->residue, b->residue);
}

static int by_residue(const void *pa, const void *pb)
{
    const struct spi_raw_atom *a = *(struct spi_raw_atom *const *)pa;
    const struct spi_raw_atom *b = *(struct spi_raw_atom *const *)pb;
    int c = same_residue(a, b);

    return c ? c : strcmp(a->altloc, b->altloc);
}

/* Of the n atoms of one residue, sorted by letter: unmark (element 0) all but the letter of
 * highest mean occupancy; the first letter wins a tie. */
static int64_t keep_best(struct spi_raw_atom **a, int64_t n)
{
    int64_t best = 0, dropped = 0;
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
    for (int64_t i = 0; i < n; i++)
        if (strcmp(a[i]->altloc, a[best]->altloc) != 0) {
            a[i]->atom.element = 0;
            dropped++;
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

/* ---- assembly ---- */

static bool has_chain(const struct spi_raw_generator *g, const char *chain)
{
    if (g->all_chains)
        return true;
    for (int64_t i = 0; i < g->n_chains; i++)
        if (strcmp(g->chain[i], chain) == 0)
            return true;
    return false;
}

/* Copies made by one generator: written to `to` unless NULL; the value is their number. */
static int64_t generate(const struct spi_raw_structure *raw,
                        const struct spi_raw_generator *g, struct spi_atom *to)
{
    int64_t n = 0;

    for (int64_t i = 0; i < raw->n; i++)
        n += raw->atom[i].atom.element && has_chain(g, raw->atom[i].chain);
    if (!to)
        return n * g->n_ops;
    for (int64_t k = 0; k < g->n_ops; k++)
        for (int64_t i = 0; i < raw->n; i++) {
            const double *R = g->op[k].R, *t = g->op[k].t;
            struct spi_atom a = raw->atom[i].atom;
            double x = a.x, y = a.y, z = a.z;

            if (!a.element || !has_chain(g, raw->atom[i].chain))
                continue;
            a.x = R[0] * x + R[1] * y + R[2] * z + t[0];
            a.y = R[3] * x + R[4] * y + R[5] * z + t[1];
            a.z = R[6] * x + R[7] * y + R[8] * z + t[2];
            *to++ = a;
        }
    return n * g->n_ops;
}

static spi_err no_assembly(const char *path, const struct spi_raw_structure *raw,
                           int wanted)
{
    char list[200] = "";
    size_t used = 0;

    for (int64_t i = 0; i < raw->n_generators && used < sizeof list - 16; i++)
        if (raw->generator[i].assembly > 0 &&
            (i == 0 || raw->generator[i].assembly != raw->generator[i - 1].assembly))
            used += (size_t)snprintf(list + used, sizeof list - used, " %d",
                                     raw->generator[i].assembly);
    return spi_fail(SPI_EFORMAT, "%s: no biological assembly %d; the file has%s", path,
                    wanted, used ? list : " none");
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

    for (int64_t i = 0; i < n_generators; i++)
        if (g[i].assembly == assembly) {
            found = found || g[i].n_ops > 0;
            n += generate(raw, &g[i], NULL);
        }
    if (!found)
        return no_assembly(path, raw, assembly);
    if (n == 0)
        return spi_fail(SPI_EFORMAT, "%s: no atoms are left (of %lld read)", path,
                        (long long)raw->n);
    if (n > ATOMS_MAX)
        return spi_fail(SPI_EFORMAT, "%s: %lld atoms; at most %d are supported", path,
                        (long long)n, ATOMS_MAX);

    spi_err err = SPI_NEW(out->atom, n, "atoms");

    for (int64_t i = 0; !err && i < n_generators; i++)
        if (g[i].assembly == assembly)
            out->n += generate(raw, &g[i], out->atom + out->n);
    return err;
}

/* ---- the reader ---- */

/* mmCIF begins with data_NAME after comments; everything else is tried as PDB. */
static spi_err is_cif(struct spi_lines *l, bool *cif)
{
    char *line;
    size_t length;
    spi_err err;

    *cif = false;
    do {
        err = spi_lines_next(l, &line, &length);
        if (err || !line)
            return err;
    } while (line[strspn(line, " \t")] == 0 || *line == '#');
    *cif = strncasecmp(line + strspn(line, " \t"), "data_", 5) == 0;
    spi_lines_again(l);
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

spi_err spi_structure_read(const char *path, const struct spi_structure_options *opt,
                           struct spi_structure *out)
{
    struct spi_raw_structure raw = {0};
    struct spi_lines *l = NULL;
    bool cif;
    spi_err err;

    memset(out, 0, sizeof *out);
    SPI_TRY(err = spi_lines_open(path, &l), out);
    SPI_TRY(err = is_cif(l, &cif), out);
    SPI_TRY(err = cif ? spi_cif_read(l, opt->assembly, &raw) : spi_pdb_read(l, &raw), out);
    if (raw.n == 0) {
        err =
            spi_fail(SPI_EFORMAT, "%s: no atoms; need %s", path,
                     cif ? "a loop_ of _atom_site" : "PDB (ATOM or HETATM lines) or mmCIF");
        goto out;
    }
    if (raw.n_guessed > 0)
        spi_warn("%s: %lld of %lld atoms name no element; derived from the atom names",
                 path, (long long)raw.n_guessed, (long long)raw.n);
    memcpy(out->title, raw.title, sizeof out->title);
    out->n_elements_guessed = raw.n_guessed;
    SPI_TRY(err = choose_alternates(&raw, &out->n_altloc_skipped), out);
    drop_unwanted(&raw, opt, out);
    err = expand(path, &raw, opt->assembly, out);
out:
    if (err)
        spi_structure_clear(out);
    raw_clear(&raw);
    spi_lines_close(l);
    return err;
}

void spi_structure_clear(struct spi_structure *s)
{
    free(s->atom);
    memset(s, 0, sizeof *s);
}

/* ---- geometry ---- */

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

double spi_structure_diameter_A(const struct spi_structure *s)
{
    struct far_atom *a = spi_alloc((size_t)s->n, sizeof *a, "diameter");
    double lo[3] = {INFINITY, INFINITY, INFINITY},
           hi[3] = {-INFINITY, -INFINITY, -INFINITY};

    if (!a)
        return NAN;
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

    double d = largest_pair(a, s->n);

    free(a);
    return d;
}

void spi_structure_centre(struct spi_structure *s)
{
    double sum[3] = {0}, weight = 0, plain = 0;

    for (int64_t i = 0; i < s->n; i++)
        weight += (double)s->atom[i].occupancy * s->atom[i].element;
    for (int64_t i = 0; i < s->n; i++) {
        /* all occupancies zero: the plain centre, so that nothing divides by zero */
        double w = weight > 0 ? (double)s->atom[i].occupancy * s->atom[i].element : 1;

        sum[0] += w * s->atom[i].x;
        sum[1] += w * s->atom[i].y;
        sum[2] += w * s->atom[i].z;
        plain += w;
    }
    for (int64_t i = 0; i < s->n; i++) {
        s->atom[i].x -= sum[0] / plain;
        s->atom[i].y -= sum[1] / plain;
        s->atom[i].z -= sum[2] / plain;
    }
}
