/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/atoms.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/alternates.h"
#include "io/assembly.h"
#include "io/atoms_guess.h"
#include "io/atoms_raw.h"
#include "io/cif.h"
#include "io/kind.h"
#include "io/line_reader.h"
#include "io/pdb.h"

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
    struct spi_raw_numbers list = {0};

    if (raw->n_models == 0)
        return spi_fail(SPI_EFORMAT, "%s: no atoms; need %s", path,
                        cif ? "a loop_ of _atom_site"
                            : "PDB (ATOM or HETATM lines) or mmCIF");
    if (raw->n == 0) {
        for (int64_t i = 0; i < raw->n_models; i++)
            spi_raw_add_number(&list, raw->model[i]);
        return spi_fail(SPI_EINVAL, "%s: no model %d; the file has %s", path,
                        raw->model_wanted, list.text);
    }
    if (raw->n_models > 1 && !raw->all_models && raw->model_wanted == 0)
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
    raw.all_models = opt->models == SPI_MODELS_ALL;
    raw.model_wanted = raw.all_models ? 0 : opt->models;
    SPI_TRY(err = spi_line_reader_open(path, &l), out);
    SPI_TRY(err = is_cif(l, &cif), out);
    SPI_TRY(err = cif ? spi_cif_read(l, opt->assembly, &raw) : spi_pdb_read(l, &raw), out);
    SPI_TRY(err = check_models(path, cif, &raw), out);
    SPI_TRY(err = spi_raw_guess_elements(path, &raw, &out->n_elements_guessed), out);
    memcpy(out->title, raw.title, sizeof out->title);
    out->n_models = raw.n_models;
    SPI_TRY(err = spi_raw_choose_alternates(&raw, &out->n_altloc_skipped), out);
    drop_unwanted(&raw, opt, out);
    SPI_TRY(err = spi_raw_assemble(path, &raw, opt->assembly, &out->atom, &out->n), out);
    err = check_occupancies(path, out);
out:
    if (err)
        spi_structure_clear(out);
    spi_raw_clear(&raw);
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
    struct spi_line_reader *l = NULL;
    size_t length;
    char *line;
    bool yes = spi_kind_is_structure_name(path);

    if (!yes && spi_line_reader_open(path, &l) == SPI_OK &&
        spi_line_reader_next(l, &line, &length) == SPI_OK && line)
        yes = spi_kind_is_structure_line(line);
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
