/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Deterministic mutations of small PDB and mmCIF files: the reader returns SPI_OK with
 * usable atoms or an error with a message; the sanitizer build turns any misstep into a
 * failure. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "io/atoms.h"
#include "tap.h"

static const char pdb[] =
    "HEADER    TEST\n"
    "TITLE     A SMALL FILE\n"
    "TITLE    2 OF TWO LINES\n"
    "REMARK 350 BIOMOLECULE: 1, 2\n"
    "REMARK 350 APPLY THE FOLLOWING TO CHAINS: A, B,\n"
    "REMARK 350                    AND CHAINS: C\n"
    "REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000\n"
    "REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000\n"
    "REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000\n"
    "REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        5.00000\n"
    "REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000\n"
    "REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        0.00000\n"
    "MODEL        1\n"
    "ATOM      1  N   SER A   1       1.000   0.000   0.000  1.00  0.00           N\n"
    "ATOM      2  CB ASER A   1       2.000   0.000   0.000  0.40  0.00           C\n"
    "ATOM      3  CB BSER A   1       3.000   0.000   0.000  0.60  0.00           C\n"
    "HETATM    4 FE   HEM C   2       4.000   0.000   0.000  0.40 10.00\n"
    "HETATM    5  O   HOH C   3       4.000   0.000   0.000  0.40 10.00           O\n"
    "ENDMDL\nEND\n";

static const char cif[] =
    "data_TEST\n_struct.title 'A small file'\n"
    "_pdbx_struct_assembly_gen.assembly_id 1\n"
    "_pdbx_struct_assembly_gen.oper_expression '(1,2)(1-2)'\n"
    "_pdbx_struct_assembly_gen.asym_id_list\n;A,\nB\n;\n"
    "loop_\n_pdbx_struct_oper_list.id\n_pdbx_struct_oper_list.matrix[1][1]\n"
    "_pdbx_struct_oper_list.matrix[1][2]\n_pdbx_struct_oper_list.matrix[1][3]\n"
    "_pdbx_struct_oper_list.matrix[2][1]\n_pdbx_struct_oper_list.matrix[2][2]\n"
    "_pdbx_struct_oper_list.matrix[2][3]\n_pdbx_struct_oper_list.matrix[3][1]\n"
    "_pdbx_struct_oper_list.matrix[3][2]\n_pdbx_struct_oper_list.matrix[3][3]\n"
    "_pdbx_struct_oper_list.vector[1]\n_pdbx_struct_oper_list.vector[2]\n"
    "_pdbx_struct_oper_list.vector[3]\n"
    "1 1 0 0 0 1 0 0 0 1 0 0 0\n2 0 -1 0 1 0 0 0 0 1 10 0 0\n"
    "loop_\n_atom_site.type_symbol\n_atom_site.label_atom_id\n_atom_site.label_alt_id\n"
    "_atom_site.label_comp_id\n_atom_site.label_asym_id\n_atom_site.Cartn_x\n"
    "_atom_site.Cartn_y\n_atom_site.Cartn_z\n_atom_site.occupancy\n"
    "_atom_site.B_iso_or_equiv\n_atom_site.auth_seq_id\n"
    "N N . SER A 1 2 3 1.0 20 1\nC CB A SER A 2 2 3 0.4 20 1\nC CB B SER A 2 2 4 0.6 20 1\n"
    "? \"C5'\" . DA B 2 2 4 0.6 20 2\nO O ? HOH C 7 2 4 0.6 20 2\n#\n";

/* One or two edits: change, delete, insert, repeat, or cut the rest. */
static size_t mutate(struct spi_rng *r, const char *from, size_t n, char *to, size_t room)
{
    static const char pieces[] = "-+.eE?'\";#_ \t\r\n(),0123456789ANX\x80\xff";
    uint32_t edits = 1 + spi_rng_below(r, 2);

    memcpy(to, from, n);
    for (uint32_t e = 0; e < edits && n > 40; e++) {
        size_t at = spi_rng_below(r, (uint32_t)n - 20), len = 1 + spi_rng_below(r, 19);

        switch (spi_rng_below(r, 6)) {
        case 0:
            to[at] = pieces[spi_rng_below(r, sizeof pieces)];
            break;
        case 1:
            to[at] = (char)spi_rng_below(r, 256);
            break;
        case 2:
            memmove(to + at, to + at + len, n - at - len);
            n -= len;
            break;
        case 3:
        case 4:
            if (n + len > room)
                break;
            memmove(to + at + len, to + at, n - at);
            for (size_t i = 0; i < len; i++)
                to[at + i] = pieces[spi_rng_below(r, sizeof pieces)];
            n += len;
            break;
        default:
            n = at;
        }
    }
    return n;
}

static bool usable(const struct spi_structure *s)
{
    for (int64_t i = 0; i < s->n; i++) {
        const struct spi_atom *a = &s->atom[i];

        if (!isfinite(a->x + a->y + a->z) || !isfinite(a->occupancy + a->b_A2) ||
            a->element < 1 || a->element > 98)
            return false;
    }
    return s->n > 0;
}

static void fuzz(const char *name, const char *text, size_t n, int rounds)
{
    char path[512], changed[8192];
    int ok = 0, failed = 0, wrong = 0;

    snprintf(path, sizeof path, "%s/fuzz_%s", getenv("SPI_TEST_TMP"), name);
    for (int k = 0; k < rounds; k++) {
        struct spi_rng r = spi_rng_stream(2024, SPI_RNG_TEST, (uint64_t)k);
        size_t m = k ? mutate(&r, text, n, changed, sizeof changed) : n;
        FILE *f = fopen(path, "wb");
        struct spi_structure_options opt = {
            .assembly = k % 2, .waters = k % 4 / 2, .hydrogens = true, .models = k % 3 - 1};
        struct spi_structure s;

        if (!f || fwrite(k ? changed : text, 1, m, f) != m || fclose(f) != 0)
            wrong++;
        spi_note("%s", "");
        if (spi_structure_read(path, &opt, &s) == SPI_OK) {
            ok++;
            wrong += !usable(&s);
        } else {
            failed++;
            wrong += !strstr(spi_err_message(), path);
        }
        spi_structure_clear(&s);
    }
    OK(wrong == 0, "%s: %d read, %d refused with a message that names the file", name, ok,
       failed);
    /* the test would be empty if mutations never, or always, broke the file */
    OK(ok > rounds / 30 && failed > rounds / 30, "%s: both happen", name);
}

int main(void)
{
    /* thousands of warnings about missing element columns say nothing here */
    if (!freopen("/dev/null", "w", stderr))
        NOTE("stderr stays open");
    fuzz("pdb", pdb, sizeof pdb - 1, 1500);
    fuzz("cif", cif, sizeof cif - 1, 1500);
    return tap_done();
}
