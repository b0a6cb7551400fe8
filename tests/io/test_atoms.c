/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The structure reader: counts known from an independent count of the files' lines, the two
 * formats against each other, assemblies, alternates, guessed elements, and messages. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/log.h"
#include "io/atoms.h"
#include "tap.h"

static char path_buffer[4][512];

static const char *data(const char *name)
{
    static int turn;
    char *p = path_buffer[turn++ % 4];

    snprintf(p, 512, "%s/structures/%s", getenv("SPI_TEST_DATA"), name);
    return p;
}

static const char *scratch(const char *name)
{
    static char p[512];

    snprintf(p, sizeof p, "%s/%s", getenv("SPI_TEST_TMP"), name);
    return p;
}

static const char *write_text(const char *name, const char *text, size_t n)
{
    const char *path = scratch(name);
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(text, 1, n, f) != n || fclose(f) != 0)
        NOTE("cannot write %s", path);
    return path;
}

static struct spi_structure read_or_note(const char *path, int assembly, bool waters)
{
    struct spi_structure_options opt = {
        .assembly = assembly, .waters = waters, .hydrogens = true};
    struct spi_structure s;

    if (spi_structure_read(path, &opt, &s))
        NOTE("%s", spi_err_message());
    return s;
}

static void counts(void)
{
    static const struct {
        const char *file;
        int assembly;
        bool waters;
        long long n, skipped;
    } want[] = {
        {"1aki.pdb", 0, false, 1001, 78},
        {"1aki.pdb", 0, true, 1079, 0},
        {"1aki.cif.gz", 0, false, 1001, 78},
        {"1aki.cif.gz", 1, true, 1079, 0},
        {"1I3Q.pdb.gz", 0, false, 28161, 0},
        {"1OEL.pdb.gz", 0, false, 26929, 149},
        {"1OEL.pdb.gz", 1, false, 2 * 26929, 149},
        {"1EI7.pdb.gz", 1, false, 34 * 2470, 334},
        {"1f2n.pdb.gz", 1, false, 60 * (4528 + 3), 199}, /* 3 calcium ions */
        {"2cex_a.pdb.gz", 1, false, 2362, 0},
        {"caffeine.pdb", 0, false, 14, 0},
        {"SAXS_10atoms_mod.pdb", 0, false, 10, 0},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct spi_structure s =
            read_or_note(data(want[i].file), want[i].assembly, want[i].waters);

        OK(s.n == want[i].n && s.n_waters_skipped == want[i].skipped,
           "%s assembly %d: %lld atoms", want[i].file, want[i].assembly, (long long)s.n);
        spi_structure_clear(&s);
    }
}

static int64_t differences(const struct spi_structure *a, const struct spi_structure *b)
{
    int64_t n = a->n == b->n ? 0 : 1000000;

    for (int64_t i = 0; !n && i < a->n; i++) {
        const struct spi_atom *p = &a->atom[i], *q = &b->atom[i];

        n += p->x != q->x || p->y != q->y || p->z != q->z || p->element != q->element ||
             memcmp(&p->occupancy, &q->occupancy, sizeof(float)) != 0 ||
             memcmp(&p->b_A2, &q->b_A2, sizeof(float)) != 0;
    }
    return n;
}

static void two_formats(void)
{
    struct spi_structure a = read_or_note(data("1aki.pdb"), 0, true);
    struct spi_structure b = read_or_note(data("1aki.cif.gz"), 0, true);

    OK(a.n > 0 && differences(&a, &b) == 0, "1aki: PDB and mmCIF give the same atoms");
    OK(strncmp(a.title, "THE STRUCTURE OF THE ORTHORHOMBIC FORM OF HEN EGG-WHITE", 55) == 0,
       "title '%s'", a.title);
    OK(a.n > 0 && fabs(a.atom[0].x - 35.365) < 1e-12 && a.atom[0].element == 7 &&
           (double)a.atom[0].b_A2 > 22.27 && (double)a.atom[0].b_A2 < 22.29,
       "first atom as written in the file");
    if (b.n > 7)
        b.atom[7].y += 0.001; /* the last digit of the format */
    OK(differences(&a, &b) == 1, "one changed coordinate is seen");
    spi_structure_clear(&a);
    spi_structure_clear(&b);
}

static void assembly_geometry(void)
{
    struct spi_structure one = read_or_note(data("1OEL.pdb.gz"), 0, false);
    struct spi_structure two = read_or_note(data("1OEL.pdb.gz"), 1, false);
    double worst = 0;

    /* BIOMT operator 2 of 1OEL is diag(1, -1, -1) */
    for (int64_t i = 0; i < one.n && two.n == 2 * one.n; i++) {
        const struct spi_atom *a = &one.atom[i], *b = &two.atom[one.n + i];

        worst = fmax(worst, fabs(a->x - b->x) + fabs(a->y + b->y) + fabs(a->z + b->z));
    }
    OK(two.n == 2 * one.n && worst == 0, "second copy of 1OEL is (x, -y, -z)");
    spi_structure_clear(&one);
    spi_structure_clear(&two);
}

static void elements(void)
{
    static const int known[] = {1, 6, 8, 20, 26, 98};
    static const char *const names[] = {"H", "c", "O", "CA", "fe", "Cf"};
    int bad = 0;

    for (int i = 0; i < 6; i++)
        bad += spi_element_number(names[i]) != known[i];
    OK(bad == 0 && spi_element_number("D") == 1 && spi_element_number("") == 0 &&
           spi_element_number("Qx") == 0 && strcmp(spi_element_symbol(26), "Fe") == 0 &&
           strcmp(spi_element_symbol(0), "?") == 0 &&
           strcmp(spi_element_symbol(99), "?") == 0,
       "symbols and numbers");

    struct spi_structure s = read_or_note(data("4ake_ilmode_head.pdb"), 0, false);
    int count[99] = {0};

    for (int64_t i = 0; i < s.n; i++)
        count[s.atom[i].element]++;
    /* from the first letters of the atom names in the file */
    OK(s.n_elements_guessed == s.n && count[6] == 190 && count[7] == 53 && count[8] == 51 &&
           count[16] == 3 && s.n == 297,
       "no element column: %d C, %d N, %d O, %d S", count[6], count[7], count[8],
       count[16]);
    spi_structure_clear(&s);

    static const char text[] =
        "HETATM    1 CA    CA A   1       0.000   0.000   0.000  1.00  0.00\n"
        "ATOM      2  CA  ALA A   2       1.000   0.000   0.000  1.00  0.00\n"
        "ATOM      3 HG11 VAL A   3       1.000   0.000   0.000  1.00  0.00\n"
        "ATOM      4 1HB  ALA A   4       1.000   0.000   0.000  1.00  0.00\n"
        "HETATM    5 FE   HEM A   5       1.000   0.000   0.000  1.00  0.00\n"
        "HETATM    6 HO5' GLC A   6       1.000   0.000   0.000  1.00  0.00\n"
        "HETATM    7 SE   MSE A   7       1.000   0.000   0.000  1.00  0.00      1ABC "
        "123\n";
    static const int z[7] = {20, 6, 1, 1, 26, 1, 34};

    s = read_or_note(write_text("guess.pdb", text, sizeof text - 1), 0, false);
    bad = s.n != 7;
    for (int64_t i = 0; i < s.n && i < 7; i++)
        bad += s.atom[i].element != z[i];
    OK(bad == 0, "elements from the columns of the atom name");
    OK(s.n_hydrogens == 3, "hydrogens are counted");
    spi_structure_clear(&s);
}

static void alternates(void)
{
    static const char text[] =
        "ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00  0.00           N\n"
        "ATOM      2  CB ASER A   1       2.000   0.000   0.000  0.40  0.00           C\n"
        "ATOM      3  CB BSER A   1       3.000   0.000   0.000  0.60  0.00           C\n"
        "ATOM      4  OG ASER A   1       4.000   0.000   0.000  0.40  0.00           O\n"
        "ATOM      5  OG BSER A   1       5.000   0.000   0.000  0.60  0.00           O\n"
        "ATOM      6  CB AALA A   2       6.000   0.000   0.000  0.50  0.00           C\n"
        "ATOM      7  CB BALA A   2       7.000   0.000   0.000  0.50  0.00           C\n"
        "ATOM      8  HB  ALA A   3       8.000   0.000   0.000  0.50  0.00           H\n";
    static const char model[] =
        "MODEL        1\r\n"
        "ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00  0.00           N\r\n"
        "ENDMDL\r\nMODEL        2\r\n"
        "ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00  0.00           N\r\n"
        "ENDMDL\r\n";
    struct spi_structure_options no_h = {
        .assembly = 0, .waters = false, .hydrogens = false};
    struct spi_structure s;
    const char *path = write_text("alternates.pdb", text, sizeof text - 1);
    spi_err err = spi_structure_read(path, &no_h, &s);

    OK(!err && s.n == 4 && s.n_altloc_skipped == 3 && s.n_hydrogens == 1 &&
           s.atom[0].x == 1 && s.atom[1].x == 3 && s.atom[2].x == 5 && s.atom[3].x == 6,
       "highest occupancy, then the first letter; hydrogens dropped when not wanted");
    spi_structure_clear(&s);
    s = read_or_note(path, 0, false);
    OK(s.n == 5, "hydrogens kept when wanted");
    spi_structure_clear(&s);
    s = read_or_note(write_text("model.pdb", model, sizeof model - 1), 0, false);
    OK(s.n == 1, "only the first MODEL; CRLF");
    spi_structure_clear(&s);
}

#define CIF_ATOMS                                                                   \
    "loop_\n_atom_site.type_symbol\n_atom_site.label_asym_id\n_atom_site.Cartn_x\n" \
    "_atom_site.Cartn_y\n_atom_site.Cartn_z\n_atom_site.label_atom_id\n"            \
    "C A 1.0 2.0 3.0 'C\"1'''\nN B 4 5 6 \"O5'\"\n#\n"
#define CIF_SHIFT(id, x) "'" id "' 1 0 0 0 1 0 0 0 1\n" x " 0 0\n"
#define CIF_OPERATORS                                                                \
    "loop_\n_pdbx_struct_oper_list.id\n_pdbx_struct_oper_list.matrix[1][1]\n"        \
    "_pdbx_struct_oper_list.matrix[1][2]\n_pdbx_struct_oper_list.matrix[1][3]\n"     \
    "_pdbx_struct_oper_list.matrix[2][1]\n_pdbx_struct_oper_list.matrix[2][2]\n"     \
    "_pdbx_struct_oper_list.matrix[2][3]\n_pdbx_struct_oper_list.matrix[3][1]\n"     \
    "_pdbx_struct_oper_list.matrix[3][2]\n_pdbx_struct_oper_list.matrix[3][3]\n"     \
    "_pdbx_struct_oper_list.vector[1]\n_pdbx_struct_oper_list.vector[2]\n"           \
    "_pdbx_struct_oper_list.vector[3]\n" CIF_SHIFT("1", "100") CIF_SHIFT("2", "200") \
        CIF_SHIFT("3", "10") CIF_SHIFT("4", "20")                                    \
            CIF_SHIFT("5", "30") "P 0 -1 0 1 0 0 0 0 1 1000 0 0\n"
#define CIF_GEN(expression)                                      \
    "_pdbx_struct_assembly_gen.assembly_id 1\n"                  \
    "_pdbx_struct_assembly_gen.oper_expression " expression "\n" \
    "_pdbx_struct_assembly_gen.asym_id_list\n;A,\nC\n;\n"

static void cif_expressions(void)
{
    static const struct {
        const char *expression;
        int n;
        double x[6];
    } want[] = {
        {"'(1,2)(3-5)'", 6, {111, 211, 121, 221, 131, 231}},
        {"\n;(1, 2)\n(3-5)\n;", 6, {111, 211, 121, 221, 131, 231}},
        {"1,2", 2, {101, 201}},
        {"3-5", 3, {11, 21, 31}},
        {"(P)(1)", 1, {1000 - 2}}, /* P (x + 100): x' = -y + 1000, the right factor first */
        {"(1)(P)", 1, {1100 - 2}},
    };

    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        char text[4096];
        int n = snprintf(text, sizeof text,
                         "# x\ndata_TEST\n" CIF_ATOMS CIF_OPERATORS
                         "_pdbx_struct_assembly_gen.assembly_id 1\n"
                         "_pdbx_struct_assembly_gen.oper_expression %s\n"
                         "_pdbx_struct_assembly_gen.asym_id_list\n;A,\nC\n;\n",
                         want[k].expression);
        struct spi_structure s =
            read_or_note(write_text("expression.cif", text, (size_t)n), 1, false);
        bool good = s.n == want[k].n;

        for (int i = 0; good && i < want[k].n; i++)
            good = fabs(s.atom[i].x - want[k].x[i]) < 1e-9; /* sums of small integers */
        OK(good, "operator expression %zu: %lld copies of chain A", k, (long long)s.n);
        spi_structure_clear(&s);
    }
}

#define ATOM \
    "ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00  0.00           N\n"

static void messages(void)
{
    static const struct {
        const char *text, *says;
        int assembly;
    } bad[] = {
        {"", "no atoms; need PDB", 0},
        {"hello\nworld\n", "no atoms; need PDB", 0},
        {ATOM "ATOM      2  N   SER A\n", ".txt:2: ATOM   record of 22 columns; need 54",
         0},
        {"\n\nATOM      1  N   SER A   1         nan   0.000   0.000  1.00  0.00           "
         "N\n",
         ".txt:3: x is nan; need", 0},
        {"ATOM      1  N   SER A   1       1.0x0   0.000   0.000  1.00  0.00           N\n",
         ".txt:1: x is '1.0x0'; need a number", 0},
        {"ATOM      1  N   SER A   1       1.000           0.000  1.00  0.00           N\n",
         ".txt:1: y is ''; need a number", 0},
        {"ATOM      1  N   SER A   1       1.000   0.000   0.000 -1.00  0.00           N\n",
         ".txt:1: occupancy is -1.00; need 0..10", 0},
        {"ATOM      1  ??  XXX A   1       1.000   0.000   0.000  1.00  0.00            \n",
         ".txt:1: no known element", 0},
        {ATOM, "no biological assembly 1; the file has none", 1},
        {"REMARK 350 BIOMOLECULE: 2\nREMARK 350   BIOMT1   1  1 0 0 0\n"
         "REMARK 350   BIOMT2   1  0 1 0 0\nREMARK 350   BIOMT3   1  0 0 1 0\n" ATOM,
         "no biological assembly 1; the file has 2", 1},
        {"REMARK 350   BIOMT1   1  1 0 0 0\nREMARK 350   BIOMT3   1  0 1 0 0\n" ATOM,
         ".txt:2: BIOMT3 where BIOMT2 is needed", 1},
        {"REMARK 350   BIOMT1   1  1 0 0\n" ATOM, ".txt:1: broken BIOMT row", 1},
        {"REMARK 350   BIOMT1   1  2 0 0 0\nREMARK 350   BIOMT2   1  0 1 0 0\n"
         "REMARK 350   BIOMT3   1  0 0 1 0\n" ATOM,
         ".txt:3: BIOMT operator 1 is not a rotation", 1},
        {"data_x\nloop_\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n1 2\n",
         ".txt:5: Cartn_z is ''; need a number", 0},
        {"data_x\nloop_\n_cell.a\n_cell.b\n1 2 3\n", "ends inside a row: 1 values of 2", 0},
        {"data_x\n_struct.title 'abc\n", ".txt:2: a quoted value does not end", 0},
        {"data_x\n_struct.title\n;abc\n",
         ".txt:3: the text field that begins here never ends", 0},
        {"data_x\n_struct.title\n_cell.a 1\n", "no value for _struct.title", 0},
        {"data_x\n5\n", ".txt:2: value without a name: 5", 0},
        {"data_x\nloop_\n1\n", "loop_ without names", 0},
        {"data_x\n_cell.a 1\n", "no atoms; need a loop_ of _atom_site", 0},
        {"data_x\n" CIF_ATOMS CIF_GEN("1"), "needs operator '1'", 1},
        {"data_x\n" CIF_ATOMS CIF_OPERATORS CIF_GEN("'(1'"), "broken operator expression",
         1},
        {"data_x\n" CIF_ATOMS CIF_OPERATORS CIF_GEN("?"), "empty operator expression", 1},
        {"data_x\n" CIF_ATOMS CIF_OPERATORS CIF_GEN("1"),
         "no biological assembly 7; the file has 1", 7},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spi_structure_options opt = {
            .assembly = bad[i].assembly, .waters = false, .hydrogens = true};
        struct spi_structure s;
        const char *path = write_text("bad.txt", bad[i].text, strlen(bad[i].text));
        spi_err err = spi_structure_read(path, &opt, &s);

        OK(err == (strstr(bad[i].says, "no biological assembly") ? SPI_EINVAL
                                                                 : SPI_EFORMAT) &&
               s.atom == NULL && strstr(spi_err_message(), bad[i].says),
           "says '%s'", bad[i].says);
        if (!strstr(spi_err_message(), bad[i].says))
            NOTE("it said: %s", spi_err_message());
        spi_structure_clear(&s);
    }
}

static void unreadable(void)
{
    struct spi_structure_options opt = {.assembly = 0, .waters = false, .hydrogens = true};
    struct spi_structure s;
    static unsigned char whole[1 << 20], cut[1 << 20];
    FILE *f = fopen(data("2cex_a.pdb.gz"), "rb");
    size_t n = f ? fread(whole, 1, sizeof whole, f) : 0;

    if (f)
        fclose(f);
    OK(spi_structure_read(data("missing.pdb"), &opt, &s) == SPI_EIO &&
           strstr(spi_err_message(), "missing.pdb: cannot be opened: No such file"),
       "missing file");
    OK(spi_structure_read(getenv("SPI_TEST_DATA"), &opt, &s) == SPI_EIO, "a directory: %s",
       spi_err_message());
    write_text("cut.pdb.gz", (const char *)whole, n / 2);
    OK(spi_structure_read(scratch("cut.pdb.gz"), &opt, &s) == SPI_EIO &&
           strstr(spi_err_message(), "truncated"),
       "truncated gzip: %s", spi_err_message());
    memcpy(cut, whole, n);
    cut[n / 2] ^= 0x5a;
    write_text("cut.pdb.gz", (const char *)cut, n);
    OK(spi_structure_read(scratch("cut.pdb.gz"), &opt, &s) != SPI_OK, "damaged gzip: %s",
       spi_err_message());
    write_text("cut.pdb.gz",
               "\x7f"
               "ELF\0\0\1\0ATOM\n",
               13);
    OK(spi_structure_read(scratch("cut.pdb.gz"), &opt, &s) == SPI_EFORMAT &&
           strstr(spi_err_message(), ":1: NUL byte; not a text file"),
       "binary file");
    static const char nul[] =
        "ATOM      1  CA  ALA A   1       1.000   0.000   0.000  1.00  0.00           C\n"
        "TER       2      ALA \0   1\n"
        "ATOM      3  CA  ALA A   2       2.000   0.000   0.000  1.00  0.00           C\n";

    write_text("nul.pdb", nul, sizeof nul - 1);
    OK(spi_structure_read(scratch("nul.pdb"), &opt, &s) == SPI_OK && s.n == 2,
       "a chain without a name, written as NUL, is a blank");
    spi_structure_clear(&s);
}

static void geometry(void)
{
    struct spi_structure s = read_or_note(data("1aki.pdb"), 0, false);
    double best = 0, sum[3] = {0}, weight = 0;

    for (int64_t i = 0; i < s.n; i++)
        for (int64_t j = 0; j < i; j++)
            best = fmax(best, sqrt(pow(s.atom[i].x - s.atom[j].x, 2) +
                                   pow(s.atom[i].y - s.atom[j].y, 2) +
                                   pow(s.atom[i].z - s.atom[j].z, 2)));

    double d = 0;

    NEED(spi_structure_diameter_A(&s, &d) == SPI_OK);
    OK(fabs(d - best) < 1e-12 * 1e3 && best > 40, "diameter %g A, all pairs %g", d,
       best); /* rounding of x - centre at |x| < 1e3 */
    spi_structure_centre(&s);
    for (int64_t i = 0; i < s.n; i++) {
        double w = (double)s.atom[i].occupancy * s.atom[i].element;

        sum[0] += w * s.atom[i].x;
        sum[1] += w * s.atom[i].y;
        sum[2] += w * s.atom[i].z;
        weight += w;
    }
    OK(hypot(hypot(sum[0], sum[1]), sum[2]) / weight <
           1e-11, /* 1000 roundings of 1e-14 A */
       "centred");
    NEED(spi_structure_diameter_A(&s, &d) == SPI_OK);
    OK(fabs(d - best) < 1e-9, "the diameter does not move");
    spi_structure_clear(&s);

    s = read_or_note(data("1f2n.pdb.gz"), 1, false);
    double t = spi_now_s();

    NEED(spi_structure_diameter_A(&s, &d) == SPI_OK);
    NOTE("diameter of 271,860 atoms: %g A in %.2f s", d, spi_now_s() - t);
    OK(d > 250 && d < 350, "virus diameter");
    spi_structure_clear(&s);
}

int main(void)
{
    counts();
    two_formats();
    assembly_geometry();
    elements();
    alternates();
    cif_expressions();
    messages();
    unreadable();
    geometry();
    return tap_done();
}
