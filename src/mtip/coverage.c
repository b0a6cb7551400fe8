/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/coverage.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/rot.h"

enum { IMAGES_A_PATCH = 10, PATCHES_LEAST = 12, PATCHES_MOST = 3000 };

static const double cell_least = 0.035; /* rad; finer ones cost too much and tell no more */

/* The images, and the group by which they may be rotated. */
struct views {
    const struct spi_orientations *o;
    int n_group;
    const double (*group)[9];
    int64_t n_views; /* images times elements */
};

/* Every image as seen along all of the group's elements: these are one view of it. */
static spi_err count(const struct spi_patches *p, const struct views *v, int64_t **n)
{
    const struct spi_orientations *o = v->o;
    spi_err err = SPI_NEW(*n, p->n, "coverage");

    for (int64_t k = 0; k < o->n && !err; k++) {
        double R[9], view[3];

        if (o->half && o->half[k] == 0)
            continue;
        spi_rot_matrix(o->quat + 4 * k, R); /* R^T z: the last row */
        for (int g = 0; g < v->n_group; g++) {
            spi_rot_apply(v->group[g], R + 6, view);
            (*n)[spi_patch_of(p, view)]++;
        }
    }
    return err;
}

/* (Q7): patches of a Shannon cell that some image looks along. */
static spi_err see(struct spi_coverage *c, const struct views *v, double cell)
{
    struct spi_patches p;
    int64_t *n = NULL, seen = 0;
    spi_err err = spi_patches_init(&p, spi_sphere_count(cell));

    if (err)
        return err;
    SPI_TRY(err = count(&p, v, &n), out);
    for (int64_t i = 0; i < p.n; i++)
        seen += n[i] > 0;
    c->fine = p.n;
    c->seen = (double)seen / (double)p.n;
    c->expected = -expm1((double)v->n_views * log1p(-1 / (double)p.n));
    c->ratio = c->seen / c->expected;
out:
    free(n);
    spi_patches_clear(&p);
    return err;
}

spi_err spi_coverage_init(struct spi_coverage *c, const struct spi_orientations *o, int n,
                          const double (*group)[9], double cell)
{
    struct views v = {o, n, group, 0};
    int64_t want = o->n / IMAGES_A_PATCH, *hits = NULL;
    spi_err err;

    *c = (struct spi_coverage){0};
    for (int64_t k = 0; k < o->n; k++)
        v.n_views += !o->half || o->half[k] != 0 ? n : 0;
    want = want < PATCHES_LEAST ? PATCHES_LEAST : want > PATCHES_MOST ? PATCHES_MOST : want;
    SPI_TRY(err = see(c, &v, cell), out);
    SPI_TRY(err = spi_patches_init(&c->patches, want), out);
    SPI_TRY(err = SPI_NEW(c->density, c->patches.n, "coverage"), out);
    SPI_TRY(err = count(&c->patches, &v, &hits), out);

    double even = (double)v.n_views / (double)c->patches.n,
           freedom = (double)c->patches.n - 1;

    for (int64_t i = 0; i < c->patches.n; i++) { /* (Q8): an image counts in n patches */
        double d = (double)hits[i] - even;

        c->density[i] = (float)((double)hits[i] / even);
        c->chi2 += d * d / (n * even) / freedom;
    }
    c->chi2_sigma = sqrt(2 * n / freedom); /* 1/n of the counts are independent */
out:
    free(hits);
    if (err)
        spi_coverage_clear(c);
    return err;
}

/* ---- directions that are crossed ---------------------------------------------------- */

spi_err spi_coverage_crossed(const struct spi_orientations *o, int n,
                             const double (*group)[9], double diameter_A, double q,
                             double wavelength_A, double *covered)
{
    double cell = fmax(1 / (2 * diameter_A * q), cell_least), z = wavelength_A * q / 2;
    struct spi_patches p = {0};
    uint8_t *seen = NULL;
    double(*view)[3] = NULL;
    int64_t n_views = 0, crossed = 0;
    spi_err err;

    SPI_TRY(err = spi_patches_init(&p, spi_sphere_count(cell)), out);
    SPI_TRY(err = SPI_NEW(seen, p.n, "coverage"), out);
    SPI_TRY(err = SPI_NEW(view, p.n, "coverage"), out);
    for (int64_t k = 0; k < o->n; k++) {
        double R[9];

        if (o->half && o->half[k] == 0)
            continue;
        spi_rot_matrix(o->quat + 4 * k, R);
        for (int g = 0; g < n; g++) {
            double *to = view[n_views];
            int64_t i;

            spi_rot_apply(group[g], R + 6, to);
            i = spi_patch_of(&p, to);
            if (seen[i])
                continue;
            seen[i] = 1; /* one view stands for all of its cell */
            if (++n_views == p.n)
                break;
        }
        if (n_views == p.n)
            break;
    }
    for (int64_t i = 0; i < p.n; i++) {
        double u[3];

        spi_sphere_point(p.n, i, u);
        for (int64_t v = 0; v < n_views; v++) {
            double along = u[0] * view[v][0] + u[1] * view[v][1] + u[2] * view[v][2];

            if (fabs(fabs(along) - z) <= cell / 2) { /* W(q) = W(-q) */
                crossed++;
                break;
            }
        }
    }
    *covered = (double)crossed / (double)p.n;
out:
    spi_patches_clear(&p);
    free(seen);
    free(view);
    return err;
}

void spi_coverage_clear(struct spi_coverage *c)
{
    spi_patches_clear(&c->patches);
    free(c->density);
    *c = (struct spi_coverage){0};
}
