/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files of structures as programs really write them: no atom is lost and none is wrong
 * without a word, and no small file costs much. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/atoms.h"
#include "io_test.h"
#include "tap.h"

static char warning[4096]; /* what the last reading said on standard error */

static const char *case_path(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof path, "%s/../tests/cases/%s", getenv("SPI_TEST_DATA"), name);
    return path;
}

static spi_err read_file(const char *path, int assembly, int models,
                         struct spi_structure *s)
{
    const struct spi_structure_options o = {
        .assembly = assembly, .hydrogens = true, .models = models};
    const char *log = in_tmp("stderr.txt");
    int keep = dup(STDERR_FILENO);
    long n;
    spi_err err;

    spi_note("%s", "");
    if (!freopen(log, "w", stderr))
        exit(1);
    err = spi_structure_read(path, &o, s);
    fflush(stderr);
    dup2(keep, STDERR_FILENO);
    close(keep);
    n = slurp(log, warning, sizeof warning - 1);
    warning[n < 0 ? 0 : n] = 0;
    for (char *p = warning; *p; p++)
        if (*p == '\n')
            *p = p[1] ? '|' : 0;
    return err;
}

static spi_err read_text(const char *text, size_t n, int assembly, int models,
                         struct spi_structure *s)
{
    const char *path = in_tmp("text");

    if (!spill(path, text, n))
        exit(1);
    return read_file(path, assembly, models, s);
}

/* The elements in order, "C N O", of the atoms read; or the message. */
static const char *elements_of(const char *text, int models)
{
    static char out[1024];
    struct spi_structure s = {0};

    if (read_text(text, strlen(text), 0, models, &s))
        snprintf(out, sizeof out, "%s", spi_err_message());
    else {
        *out = 0;
        for (int64_t i = 0; i < s.n && i < 300; i++)
            snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " " : "",
                     spi_element_symbol(s.atom[i].element));
    }
    spi_structure_clear(&s);
    return out;
}

static void cases(void)
{
    static const struct {
        const char *file;
        int models;
        int64_t n;
        const char *says;
    } want[] = {
        {"serial6_half.pdb", 0, 40, ""},
        {"bom.pdb", 0, 40, ""},
        {"cr_only.pdb", 0, 40, ""},
        {"two_models_assembly.pdb1", 0, 20, "the first of 2 models is read"},
        {"two_models_assembly.pdb1", 2, 20, ""},
        {"two_models_assembly.pdb1", SPI_MODELS_ALL, 40, ""},
        {"ions14.pdb", 0, 5,
         "6 of 6 atoms name no element; guessed from their names: 1 O (OH2), 1 Na (SOD), 1 "
         "Cl (CLA), 1 K (POT), 1 Ca (CAL), 1 Cs (CES)"},
        {"md_names.pdb", 0, 13,
         "13 of 13 atoms name no element; guessed from their names: 2 H (HG1 HE2), 5 C (CA "
         "CD2 CD C210), 1 N (NE2), 1 Na (SOD), 1 Cl (CLA), 1 K (POT), 1 Ca (CAL), 1 Cs "
         "(CES)"},
    };
    struct spi_structure s;
    spi_err err;
    double t;

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        err = read_file(case_path(want[i].file), 0, want[i].models, &s);
        OK(!err && s.n == want[i].n &&
               (*want[i].says ? strstr(warning, want[i].says) != NULL : !*warning),
           "%s, models %d: %lld atoms; %s", want[i].file, want[i].models, (long long)s.n,
           *warning ? warning : "no word");
        spi_structure_clear(&s);
    }
    err = read_file(case_path("occ0.pdb"), 0, 0, &s);
    OK(err == SPI_EFORMAT && says("the occupancies of all 40 atoms are 0"), "%s",
       spi_err_message());
    err = read_file(case_path("two_models_assembly.pdb1"), 0, 3, &s);
    OK(err == SPI_EINVAL && says("no model 3; the file has 1, 2"), "%s", spi_err_message());
    t = spi_now_s();
    err = read_file(case_path("text.cif.gz"), 0, 0, &s);
    t = spi_now_s() - t;
    OK(err == SPI_EFORMAT && says("no atoms"), "text.cif.gz: %s", spi_err_message());
    /* 0.05 s; the quadratic reading took 20 s; the sanitizers and a busy machine slow down
     */
    OK(t < 5, "in %.2f s", t);
}

#define ATOM(serial, name, res, chain, x, rest) \
    "ATOM  " serial " " name " " res " " chain "   1    " x "   0.000   0.000" rest "\n"
#define PLAIN "  1.00  0.00           "

static void serials(void)
{
    static const struct {
        const char *what, *text;
    } good[] = {
        {"no overflow", ATOM("99999", " CA ", "ALA", "A", "   2.000", PLAIN "C")},
        {"stars", ATOM("*****", " CA ", "ALA", "A", "   2.000", PLAIN "C")},
        {"hybrid-36", ATOM("A0000", " CA ", "ALA", "A", "   2.000", PLAIN "C")},
        {"six digits moved left", "ATOM 100000  CA  ALA A   1       2.000   0.000   0.000  "
                                  "1.00  0.00           C\n"},
        {"six digits, all moved right",
         ATOM("100000", " CA ", "ALA", "A", "   2.000", PLAIN "C")},
        {"seven digits, all moved right",
         ATOM("1000000", " CA ", "ALA", "A", "   2.000", PLAIN "C")},
        {"six digits up to the name", "HETATM100000 CA  ALA A   1       2.000   0.000   "
                                      "0.000  1.00  0.00           C\n"},
        {"no serial", ATOM("     ", " CA ", "ALA", "A", "   2.000", PLAIN "C")},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct spi_structure s = {0};
        spi_err err = read_text(good[i].text, strlen(good[i].text), 0, 0, &s);

        OK(!err && s.n == 1 && fabs(s.atom[0].x - 2) < 1e-12 && s.atom[0].element == 6 &&
               s.n_elements_guessed == 0,
           "%s: %s", good[i].what, err ? spi_err_message() : "read");
        spi_structure_clear(&s);
    }
}

/* 2,000 atoms (over two chunks of the reader) with every end of line, with and without
 * marks. */
static void ends_of_lines(void)
{
    static const char *const end[] = {"\n", "\r\n", "\r"};
    enum { ATOMS = 2000 };
    size_t room = ATOMS * 100;
    char *text = malloc(room);

    for (int k = 0; k < 3; k++)
        for (int mark = 0; mark < 3; mark++) {
            struct spi_structure s = {0};
            size_t n = 0;
            bool right;
            spi_err err;

            for (int i = 0; i < ATOMS; i++)
                n += (size_t)snprintf(
                    text + n, room - n,
                    "%sATOM  %5d  CA  ALA A%4d    %8.3f   0.000   0.000  1.00  0.00        "
                    "   "
                    "C%s",
                    (mark == 1 && i == 0) || (mark == 2 && i == 1000) ? "\xef\xbb\xbf" : "",
                    i, i, (double)i, end[k]);
            err = read_text(text, n, 0, 0, &s);
            right = !err && s.n == ATOMS;
            for (int i = 0; right && i < ATOMS; i++)
                right = fabs(s.atom[i].x - i) < 1e-9;
            OK(right, "lines end in %s, %s: %lld atoms",
               k == 0   ? "LF"
               : k == 1 ? "CR LF"
                        : "CR",
               mark == 0   ? "no mark"
               : mark == 1 ? "a byte-order mark"
                           : "a mark where two files were joined",
               (long long)s.n);
            spi_structure_clear(&s);
        }
    free(text);

    static const char cif[] = "\xef\xbb\xbf"
                              "data_x\rloop_\r_atom_site.type_symbol\r_atom_site.Cartn_x\r"
                              "_atom_site.Cartn_y\r_atom_site.Cartn_z\rC 1 2 3\rN 4 5 6\r";

    OK(strcmp(elements_of(cif, 0), "C N") == 0, "mmCIF with a mark and CR: %s",
       elements_of(cif, 0));

    static const char wide[] = "\xff\xfe"
                               "A\0T\0O\0M\0\n\0";
    struct spi_structure s;

    OK(read_text(wide, sizeof wide - 1, 0, 0, &s) == SPI_EFORMAT && says("UTF-16"), "%s",
       spi_err_message());
}

#define A1 \
    "ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00  0.00           N\n"
#define A2 \
    "ATOM      2  CA  SER A   1       2.000   0.000   0.000  1.00  0.00           C\n"
#define A3 \
    "ATOM      1  O   HOX B   7       3.000   0.000   0.000  1.00  0.00           O\n"

static void models(void)
{
    static const struct {
        const char *what, *text;
        int models;
        const char *gives, *says;
    } want[] = {
        {"frames that end with END", A1 A2 "END\n" A1 A2 "END\n", 0, "N C",
         "first of 2 models"},
        {"all of them", A1 A2 "END\n" A1 A2 "END\n", SPI_MODELS_ALL, "N C N C", ""},
        {"joined files are one structure", A1 A2 "END\n" A3 "END\n", 0, "N C O", ""},
        {"ENDMDL without MODEL", A1 "ENDMDL\n" A1 "ENDMDL\n", 0, "N", "first of 2 models"},
        {"numbers of the file",
         "MODEL        0\n" A1 "ENDMDL\nMODEL        5\n" A2 "ENDMDL\n", 5, "C", ""},
        {"the first of two with one number",
         "MODEL        5\n" A1 "ENDMDL\nMODEL        5\n" A2 "ENDMDL\n", 5, "N", ""},
        {"an empty model", "MODEL        1\nENDMDL\nMODEL        2\n" A2 "ENDMDL\n", 0, "C",
         ""},
        {"END and remarks behind", A1 "END\nREMARK x\n", 0, "N", ""},
        {"mmCIF, the models mixed",
         "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
         "_atom_site.Cartn_z\n_atom_site.pdbx_PDB_model_num\n"
         "C 1 1 1 3\nN 1 1 1 4\nO 1 1 1 3\nS 1 1 1 4\n",
         0, "C O", "first of 2 models"},
        {"mmCIF, model 4",
         "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
         "_atom_site.Cartn_z\n_atom_site.pdbx_PDB_model_num\n"
         "C 1 1 1 3\nN 1 1 1 4\nO 1 1 1 3\nS 1 1 1 4\n",
         4, "N S", ""},
        {"mmCIF, another block",
         "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n"
         "_atom_site.Cartn_z\nC 1 1 1\ndata_y\n_cell.a 1\n",
         0, "C", ":8: another data block begins here"},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const char *got = elements_of(want[i].text, want[i].models);

        OK(strcmp(got, want[i].gives) == 0 &&
               (*want[i].says ? strstr(warning, want[i].says) != NULL : !*warning),
           "%s: %s; %s", want[i].what, got, *warning ? warning : "no word");
    }

    /* alternates of one model are not those of another */
    static const char alternates[] =
        "MODEL        1\n"
        "ATOM      1  CB ASER A   1       2.000   0.000   0.000  0.40  0.00           C\n"
        "ENDMDL\nMODEL        2\n"
        "ATOM      1  CB BSER A   1       3.000   0.000   0.000  0.60  0.00           C\n"
        "ENDMDL\n";

    OK(strcmp(elements_of(alternates, SPI_MODELS_ALL), "C C") == 0,
       "alternates belong to their model");

    static const char insertions[] =
        "ATOM      1  CB ASER A   1       2.000   0.000   0.000  0.40  0.00           C\n"
        "ATOM      2  OG BSER A   1A      3.000   0.000   0.000  0.60  0.00           O\n";

    OK(strcmp(elements_of(insertions, 0), "C O") == 0,
       "residues 1 and 1A are two: neither is the other's alternate");
}

#define BARE "  1.00  0.00\n"
#define NAMED(name, res) \
    "ATOM      1 " name " " res "A   1       2.000   0.000   0.000" BARE
#define CIF_HEAD                                                                         \
    "data_x\nloop_\n_atom_site.type_symbol\n_atom_site.label_atom_id\n_atom_site.label_" \
    "comp_id"                                                                            \
    "\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n"

static void elements(void)
{
    static const struct {
        const char *what, *text, *gives;
    } want[] = {
        {"columns of PDB: heme",
         NAMED("FE  ", "HEM ") NAMED(" NA ", "HEM ") NAMED(" CHA", "HEM "), "Fe N C"},
        {"the same, names to the left",
         NAMED("FE  ", "HEM ") NAMED("NA  ", "HEM ") NAMED("CHA ", "HEM ")
             NAMED("N   ", "ALA "),
         "Fe N C N"},
        {"names to the left: HE NE CD CE HG PO",
         NAMED("HE  ", "XYZ ") NAMED("NE  ", "XYZ ") NAMED("CD  ", "XYZ ")
             NAMED("CE  ", "XYZ ") NAMED("HG  ", "XYZ ") NAMED("PO  ", "XYZ ")
                 NAMED("CA  ", "ALA "),
         "H N C C H P C"},
        {"columns of PDB: mercury and cadmium of ligands",
         NAMED("HG  ", "MBO ") NAMED("CD  ", "CDX ") NAMED(" C1 ", "MBO "), "Hg Cd C"},
        {"ions",
         NAMED("CA  ", " CA ") NAMED("NA+ ", "NA+ ") NAMED("CL  ", "CL- ")
             NAMED("ZN  ", "ZN2 ") NAMED(" K  ", "  K ") NAMED(" CD ", " CD ")
                 NAMED("SOD ", "ION "),
         "Ca Na Cl Zn K Cd Na"},
        {"chloride is not an alpha carbon's neighbour",
         NAMED("CL1 ", "LIG ") NAMED("BR  ", "LIG "), "Cl Br"},
        {"phosphates of ATP",
         NAMED(" PA ", "ATP ") NAMED(" PB ", "ATP ") NAMED(" PG ", "ATP "), "P P P"},
        {"ends of chains and nucleotides",
         NAMED("CA  ", "NALA") NAMED("CA  ", "CHIE") NAMED("P   ", "DA5 "), "C C P"},
        {"symbols that carry a charge",
         CIF_HEAD "CA2+ CA ALA 1 1 1\nO1- OD2 ASP 1 1 1\nFe3+ FE HEM 1 1 1\n", "Ca O Fe"},
        {"mmCIF without symbols",
         CIF_HEAD "? SOD SOD 1 1 1\n? CAL CAL 1 1 1\n. CD HSD 1 1 1\n? CL1 LIG 1 1 1\n? CA "
                  "CA 1 1 1\n",
         "Na Ca C Cl Ca"},
        {"unknown symbols", CIF_HEAD "Qq CA ALA 1 1 1\n", "C"},
        {"nothing known", NAMED(" ?? ", "XXX "), NULL},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const char *got = elements_of(want[i].text, 0);

        if (want[i].gives)
            OK(strcmp(got, want[i].gives) == 0, "%s: %s", want[i].what, got);
        else
            OK(strstr(got, "text:1: no known element in columns 77-78"), "%s", got);
    }
}

#define ALTERNATE(name, letter, res, x, occupancy, element)                                \
    "ATOM      1  " name letter res " A   1    " x "   0.000   0.000  " occupancy "  0.00" \
    "           " element "\n"

/* Letters that name different parts of a residue lose no atom; two residues in one place
 * are not mixed. */
static void alternates(void)
{
    static const struct {
        const char *what, *text, *gives;
    } want[] = {
        {"C and D of another atom than A and B",
         ALTERNATE("CB ", "A", "LYS", "   1.000", "0.70", "C")
             ALTERNATE("CB ", "B", "LYS", "   2.000", "0.30", "C")
                 ALTERNATE("NZ ", "C", "LYS", "   3.000", "0.40", "N")
                     ALTERNATE("NZ ", "D", "LYS", "   4.000", "0.60", "N"),
         "1 4"},
        {"an atom that only the other letter has",
         ALTERNATE("CB ", "A", "LYS", "   1.000", "0.60", "C")
             ALTERNATE("CB ", "B", "LYS", "   2.000", "0.40", "C")
                 ALTERNATE("NZ ", "B", "LYS", "   3.000", "0.40", "N"),
         "1 3"},
        {"serine or proline",
         ALTERNATE("CB ", "A", "SER", "   1.000", "0.60", "C")
             ALTERNATE("OG ", "A", "SER", "   2.000", "0.60", "O")
                 ALTERNATE("CB ", "B", "PRO", "   3.000", "0.40", "C")
                     ALTERNATE("CG ", "B", "PRO", "   4.000", "0.40", "C"),
         "1 2"},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct spi_structure s = {0};
        char got[200] = "";

        if (read_text(want[i].text, strlen(want[i].text), 0, 0, &s) == SPI_OK)
            for (int64_t k = 0; k < s.n; k++)
                snprintf(got + strlen(got), sizeof got - strlen(got), "%s%g", k ? " " : "",
                         s.atom[k].x);
        OK(strcmp(got, want[i].gives) == 0, "%s: x = %s", want[i].what, got);
        spi_structure_clear(&s);
    }
}

/* Chains of two letters begin in column 21. */
static void long_chains(void)
{
    static const char text[] =
        "REMARK 350 BIOMOLECULE: 1\nREMARK 350 APPLY THE FOLLOWING TO CHAINS: AB\n"
        "REMARK 350   BIOMT1   1  1 0 0 0\nREMARK 350   BIOMT2   1  0 1 0 0\n"
        "REMARK 350   BIOMT3   1  0 0 1 0\n"
        "ATOM      1  CA  ALAAB   1       1.000   0.000   0.000  1.00  0.00           C\n"
        "ATOM      2  CA  ALABB   1       2.000   0.000   0.000  1.00  0.00           C\n"
        "HETATM    3  O   HOHAB   2       3.000   0.000   0.000  1.00  0.00           O\n";
    struct spi_structure s = {0};
    spi_err err = read_text(text, sizeof text - 1, 1, 0, &s);

    OK(!err && s.n == 1 && s.atom[0].x == 1 && s.n_waters_skipped == 1,
       "chains AB and BB are two: %s", err ? spi_err_message() : "");
    spi_structure_clear(&s);
}

static void occupancies(void)
{
    static const char some[] =
        "ATOM      1  N   SER A   1       1.000   0.000   0.000  0.00  0.00           N\n"
        "ATOM      2  CA  SER A   1       2.000   0.000   0.000                       C\n"
        "ATOM      3  C   SER A   1       3.000   0.000   0.000\n";

    OK(strcmp(elements_of(some, 0), "N C C") == 0 &&
           strstr(warning, "1 of 3 atoms have occupancy 0 and do not scatter"),
       "some are 0, some are missing: %s", warning);
}

static void numbers(void)
{
    static const char *const bad[][2] = {
        {"     nan", "x is nan"},
        {"    1e30", "x is 1e30"},
        {"     inf", "x is inf"},
        {"********", "x is '********'; need a number"},
        {"   1,000", "x is '1,000'; need a number"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];

        snprintf(
            text, sizeof text,
            "ATOM      1  N   SER A   1    %s   0.000   0.000  1.00  0.00           N\n",
            bad[i][0]);
        OK(strstr(elements_of(text, 0), bad[i][1]), "%s", elements_of(text, 0));
    }
}

/* A file of `rows` rows of one text after a head and before a tail. */
static size_t fill(char *out, size_t room, const char *head, int rows, const char *row,
                   const char *tail)
{
    size_t n = (size_t)snprintf(out, room, "%s", head), m = strlen(row);

    for (int i = 0; i < rows && n + m < room; i++, n += m)
        memcpy(out + n, row, m);
    return n + (size_t)snprintf(out + n, room - n, "%s", tail);
}

#define OPER                                                                     \
    "loop_\n_pdbx_struct_oper_list.id\n_pdbx_struct_oper_list.matrix[1][1]\n"    \
    "_pdbx_struct_oper_list.matrix[1][2]\n_pdbx_struct_oper_list.matrix[1][3]\n" \
    "_pdbx_struct_oper_list.matrix[2][1]\n_pdbx_struct_oper_list.matrix[2][2]\n" \
    "_pdbx_struct_oper_list.matrix[2][3]\n_pdbx_struct_oper_list.matrix[3][1]\n" \
    "_pdbx_struct_oper_list.matrix[3][2]\n_pdbx_struct_oper_list.matrix[3][3]\n" \
    "_pdbx_struct_oper_list.vector[1]\n_pdbx_struct_oper_list.vector[2]\n"       \
    "_pdbx_struct_oper_list.vector[3]\n1 1 0 0 0 1 0 0 0 1 0 0 0\n"              \
    "2 1 0 0 0 1 0 0 0 1 9 0 0\n"
#define ATOMS                                                                       \
    "loop_\n_atom_site.type_symbol\n_atom_site.label_asym_id\n_atom_site.Cartn_x\n" \
    "_atom_site.Cartn_y\n_atom_site.Cartn_z\nC A 1.0 2.0 3.0\n"
#define TENS "1,1,1,1,1,1,1,1,1,1"

/* Small files that ask for much: refused in one line, before the work. */
static void limits(void)
{
    enum { ROOM = 24 << 20 };
    char *text = malloc(ROOM);
    struct spi_structure s;
    int64_t before = spi_peak_rss_bytes();
    double t = spi_now_s();
    size_t n;
    spi_err err;

    n = fill(text, ROOM,
             "data_x\n" ATOMS OPER "_pdbx_struct_assembly_gen.assembly_id "
             "1\n_pdbx_struct_assembly_gen.asym_id_list A\n"
             "_pdbx_struct_assembly_gen.oper_expression ",
             9, "(" TENS ")", "\n");
    err = read_text(text, n, 1, 0, &s);
    OK(err == SPI_EFORMAT && says("assembly 1 has more than 10000 operators"),
       "ten to the ninth products: %s", spi_err_message());
    n = fill(text, ROOM,
             "data_x\n" ATOMS OPER "loop_\n_pdbx_struct_assembly_gen.assembly_id\n"
             "_pdbx_struct_assembly_gen.oper_expression\n_pdbx_struct_assembly_gen.asym_id_"
             "list\n",
             1000, "1 (" TENS ")(" TENS ") A\n", "");
    err = read_text(text, n, 1, 0, &s);
    OK(err == SPI_EFORMAT && says("assembly 1 has more than 10000 operators"),
       "1,000 parts of 100 operators: %s", spi_err_message());
    n = fill(text, ROOM,
             "data_x\n" ATOMS OPER "loop_\n_pdbx_struct_assembly_gen.assembly_id\n"
             "_pdbx_struct_assembly_gen.oper_expression\n_pdbx_struct_assembly_gen.asym_id_"
             "list\n",
             100000, "1 1 A\n", "");
    err = read_text(text, n, 0, 0, &s);
    OK(err == SPI_EFORMAT && says("more than 10000 parts of assemblies"), "%s",
       spi_err_message());
    n = fill(text, ROOM, "REMARK 350 BIOMOLECULE: 1\n", 20000,
             "REMARK 350   BIOMT1   1  1 0 0 0\nREMARK 350   BIOMT2   1  0 1 0 0\n"
             "REMARK 350   BIOMT3   1  0 0 1 0\n",
             A1);
    err = read_text(text, n, 1, 0, &s);
    OK(err == SPI_EFORMAT && says("assembly 1 has more than 10000 operators"), "%s",
       spi_err_message());
    n = fill(text, ROOM, "data_x\n" ATOMS "_x.y\n;", 6 << 20, "ab\n", ";\n");
    err = read_text(text, n, 0, 0, &s);
    OK(err == SPI_EFORMAT &&
           says("the text field that begins here is longer than 16777216"),
       "%s", spi_err_message());
    n = fill(text, ROOM, "data_x\n" ATOMS OPER OPER, 0, "", "");
    err = read_text(text, n, 1, 0, &s);
    OK(err == SPI_EFORMAT && says("operator '1' stands twice"), "%s", spi_err_message());

    /* 24 MB in 24 kB */
    gzFile gz = gzopen(in_tmp("bomb.pdb.gz"), "wb9");

    memset(text, '\n', ROOM);
    gzwrite(gz, text, ROOM);
    gzclose(gz);
    free(text);
    err = read_file(in_tmp("bomb.pdb.gz"), 0, 0, &s);
    OK(err == SPI_EFORMAT && says("unpacks to more than 100 times its size"), "%s",
       spi_err_message());
    t = spi_now_s() - t;
    OK(t < 60, "all of that in %.1f s",
       t); /* 1 s; in the sanitizers on a busy machine more */
#ifndef __SANITIZE_ADDRESS__
    /* the text itself, a line or a field of 16 MB, its copy while it grows */
    OK(spi_peak_rss_bytes() - before < 150000000LL, "and in %.0f MB",
       (double)(spi_peak_rss_bytes() - before) / 1e6);
#else
    (void)before;
#endif

    /* what is right is still read: 100 operators in two factors */
    static char good[4096];

    n = fill(good, sizeof good,
             "data_x\n" ATOMS OPER "_pdbx_struct_assembly_gen.assembly_id "
             "1\n_pdbx_struct_assembly_gen.asym_id_list A\n"
             "_pdbx_struct_assembly_gen.oper_expression ",
             2, "(" TENS ")", "\n");
    err = read_text(good, n, 1, 0, &s);
    OK(!err && s.n == 100, "100 copies: %lld", (long long)s.n);
    spi_structure_clear(&s);
}

static void kinds(void)
{
    spill(in_tmp("a.pdb1"), A1, strlen(A1));
    spill(in_tmp("noname"), "\xef\xbb\xbf" A1, strlen(A1) + 3);
    spill(in_tmp("other"), "nothing\n", 8);
    OK(spi_structure_is(in_tmp("a.pdb1")) && spi_structure_is("x/y.CIF.gz") &&
           spi_structure_is(in_tmp("noname")) && !spi_structure_is(in_tmp("other")) &&
           !spi_structure_is("map.mrc"),
       "structures by name and by content");
}

int main(void)
{
    make_tmp("atom_files");
    cases();
    serials();
    ends_of_lines();
    models();
    elements();
    alternates();
    long_chains();
    occupancies();
    numbers();
    limits();
    kinds();
    return tap_done();
}
