/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/atoms_guess.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static bool in_list(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* ---- residues ----------------------------------------------------------------------- */

bool spi_raw_is_water(const char *resname, const char *name)
{
    static const char *const sure[] = {"HOH",  "WAT",  "DOD",  "TIP2", "TIP3",
                                       "TIP4", "TIP5", "TP3M", "SPCE", NULL};
    /* of three letters, which ligands of the PDB may have too */
    static const char *const maybe[] = {"SOL", "SPC", "TIP", "T3P", "T4P", NULL};
    static const char *const atoms[] = {"OW", "OH2", "HW", "MW", NULL};

    if (in_list(resname, sure))
        return true;
    for (int i = 0; in_list(resname, maybe) && atoms[i]; i++)
        if (strncmp(name, atoms[i], strlen(atoms[i])) == 0)
            return true;
    return false;
}

static bool is_amino_acid(const char *resname)
{
    static const char *const names[] = {
        "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS",
        "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "ASX", "GLX",
        /* other protonations, bonds and ends, as simulation programs call them */
        "HSD", "HSE", "HSP", "HID", "HIE", "HIP", "HISA", "HISB", "HISD", "HISE", "HISH",
        "HIS1", "HIS2", "CYX", "CYM", "CYS1", "CYS2", "CYSH", "ASH", "ASPH", "ASPP", "GLH",
        "GLUH", "GLUP", "LYN", "LSN", "LYSH", "ARN", "ARGN", "TYM", "ACE", "NME", "NMA",
        "NHE",
        /* frequent modifications */
        "TPO", "SEP", "PTR", "HYP", "NLE", "ORN", "AIB", "PCA", "MLY", "M3L", NULL};

    return in_list(resname, names);
}

/* A, DA, RA, DA5, A3 ... */
static bool is_nucleotide(const char *resname)
{
    static const char *const names[] = {"ADE", "GUA", "CYT", "THY", "URA", NULL};
    const char *p = resname;

    if (in_list(resname, names))
        return true;
    p += (*p == 'D' || *p == 'R') && p[1];
    if (!*p || !strchr("ACGTUI", *p))
        return false;
    p++;
    return !*p || (!p[1] && strchr("35N", *p));
}

/* Residues whose atoms have symbols of one letter: "CA" is the alpha carbon, "HG" a
 * hydrogen. */
static bool is_polymer(const char *resname)
{
    size_t n = strlen(resname);

    return is_amino_acid(resname) || is_nucleotide(resname) ||
           spi_raw_is_water(resname, "OW") ||
           (n == 4 && (*resname == 'N' || *resname == 'C') && is_amino_acid(resname + 1));
}

bool spi_raw_is_known(const char *resname)
{
    return is_polymer(resname) || spi_raw_is_water(resname, "OW");
}

/* ---- ions --------------------------------------------------------------------------- */

/* Up to the charge or number at the end: "NA+", "ZN2", "CL-". */
static void bare_name(const char *name, char out[8])
{
    size_t n = strlen(name);

    while (n > 1 && !isalpha((unsigned char)name[n - 1]))
        n--;
    spi_raw_trim(name, n, out, 8);
}

/* An atom that is all of its residue. */
static int ion(const char *name, const char *resname)
{
    static const struct {
        const char *name, *symbol;
    } simulated[] = {{"SOD", "Na"}, {"POT", "K"},  {"CES", "Cs"}, {"CLA", "Cl"},
                     {"CAL", "Ca"}, {"LIT", "Li"}, {"RUB", "Rb"}, {"BAR", "Ba"},
                     {"CAD", "Cd"}, {"CIO", "Cs"}};
    static const char *const any[] = {"ION", "IONS", NULL};
    char a[8], b[8];

    bare_name(name, a);
    bare_name(resname, b);
    if (strcmp(a, b) != 0 && !in_list(b, any))
        return 0;
    for (size_t i = 0; i < sizeof simulated / sizeof *simulated; i++)
        if (strcmp(a, simulated[i].name) == 0)
            return spi_element_number(simulated[i].symbol);
    return spi_element_number(a);
}

/* ---- names -------------------------------------------------------------------------- */

static int one_letter(const char *name)
{
    char symbol[2] = {0};

    while (*name && !isalpha((unsigned char)*name))
        name++;
    symbol[0] = *name;
    return spi_element_number(symbol);
}

/* In PDB a symbol begins in column 14, if it has two letters in column 13; but programs of
 * simulation begin all names in column 13.  One atom that does so with a symbol of one
 * letter gives such a file away.  Names of four letters fill all columns anyway. */
static bool begins_left(const struct spi_raw_atom *a)
{
    unsigned char second = (unsigned char)a->name[1];

    return strchr("CNOSPH", a->name[0]) && a->name[3] == ' ' &&
           (!isalpha(second) || is_polymer(a->resname));
}

/* two: the first two letters, z2: their element.  aligned: the columns tell symbols of two
 * letters. */
static int of_two_letters(const char *two, int z2, const struct spi_raw_atom *a,
                          bool columns, bool aligned)
{
    /* two letters of which nobody means the first */
    static const char *const sure[] = {"BR", "CL", "CU", "FE", "SE", "SI", NULL};
    /* in a molecule more often a hydrogen, carbon, nitrogen, phosphorus ... */
    static const char *const rare[] = {"HE", "NE", "PO", "CE", "CM", "CF", "BK",
                                       "NP", "NB", "ND", "PA", "PM", "PR", "PU",
                                       "SC", "SM", "FR", "HO", "HF", "KR", NULL};

    if (in_list(two, sure))
        return !columns || !aligned || a->name[0] != ' ' ? z2 : 0;
    if (in_list(two, rare))
        return 0;
    return columns && aligned && a->name[0] != ' ' && a->name[3] == ' ' ? z2 : 0;
}

static int guess(const struct spi_raw_atom *a, bool columns, bool aligned)
{
    char name[8], two[3] = {0};
    int z, z2;

    spi_raw_trim(a->name, strlen(a->name), name, sizeof name);
    for (char *p = name; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    z = ion(name, a->resname);
    if (z)
        return z;
    z = one_letter(name);
    if (is_polymer(a->resname) || !isalpha((unsigned char)name[0]) ||
        !isalpha((unsigned char)name[1]))
        return z;
    memcpy(two, name, 2);
    z2 = spi_element_number(two);
    if (z && z2)
        z2 = of_two_letters(two, z2, a, columns, aligned);
    return z2 ? z2 : z;
}

/* ---- what was guessed, in one line -------------------------------------------------- */

enum { ELEMENTS_MAX = 100, EXAMPLES = 6 };

struct tally {
    int64_t n;
    char name[EXAMPLES][8];
    int n_names; /* EXAMPLES + 1: there are more */
};

static void count(struct tally *t, const char *from)
{
    char name[8];
    int k = 0;

    spi_raw_trim(from, strlen(from), name, sizeof name);
    t->n++;
    while (k < t->n_names && k < EXAMPLES && strcmp(t->name[k], name) != 0)
        k++;
    if (k == EXAMPLES)
        t->n_names = EXAMPLES + 1;
    else if (k == t->n_names)
        memcpy(t->name[t->n_names++], name, sizeof name);
}

static void tell(const char *path, int64_t n, int64_t of, const struct tally *tally)
{
    char list[1500] = "";
    size_t used = 0;

    for (int z = 1; z < ELEMENTS_MAX && used < sizeof list - 100; z++) {
        const struct tally *t = &tally[z];

        if (t->n == 0)
            continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%lld %s (",
                                 used ? ", " : "", (long long)t->n, spi_element_symbol(z));
        for (int k = 0; k < t->n_names; k++)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", k ? " " : "",
                                     k < EXAMPLES ? t->name[k] : "...");
        used += (size_t)snprintf(list + used, sizeof list - used, ")");
    }
    spi_warn("%s: %lld of %lld atoms name no element; guessed from their names: %s", path,
             (long long)n, (long long)of, list);
}

spi_err spi_raw_guess_elements(const char *path, struct spi_raw_structure *raw,
                               int64_t *n_guessed)
{
    struct tally tally[ELEMENTS_MAX] = {0};
    bool aligned = true;
    int64_t n = 0;

    for (int64_t i = 0; raw->columns && i < raw->n; i++)
        aligned = aligned && (raw->atom[i].atom.element || !begins_left(&raw->atom[i]));
    for (int64_t i = 0; i < raw->n; i++) {
        struct spi_raw_atom *a = &raw->atom[i];

        if (a->atom.element)
            continue;
        a->atom.element = (uint8_t)guess(a, raw->columns, aligned);
        if (!a->atom.element)
            return spi_fail(SPI_EFORMAT,
                            "%s:%lld: no known element in %s ('%s') nor in the atom name "
                            "'%s'",
                            path, (long long)a->line,
                            raw->columns ? "columns 77-78" : "type_symbol", a->symbol,
                            a->name);
        count(&tally[a->atom.element], a->name);
        n++;
    }
    *n_guessed = n;
    if (n > 0)
        tell(path, n, raw->n, tally);
    return SPI_OK;
}
