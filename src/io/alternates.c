/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/alternates.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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

spi_err spi_raw_choose_alternates(struct spi_raw_structure *raw, int64_t *dropped)
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
