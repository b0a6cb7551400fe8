#include "mtip/coverage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/rot.h"
#include "plot/plot.h"

enum { IMAGES_A_PATCH = 10, PATCHES_LEAST = 12, PATCHES_MOST = 3000 };

/* The images, and the group by which they may be turned. */
struct views {
    const struct spi_orientations *o;
    int64_t n; /* with an orientation */
    int n_group;
    const double (*group)[9];
};

static spi_err count(const struct spi_patches *p, const struct views *v, int64_t **n)
{
    const struct spi_orientations *o = v->o;
    spi_err err = SPI_NEW(*n, p->n, "coverage");

    for (int64_t k = 0; k < o->n && !err; k++) {
        double R[9], view[3];

        if (!spi_orientations_has(o, k))
            continue;
        spi_rot_matrix(o->quat + 4 * k, R); /* R^T z: the last row */
        spi_rot_apply(v->group[k % v->n_group], R + 6, view);
        (*n)[spi_patch_of(p, view)]++;
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
    c->expected = -expm1((double)v->n * log1p(-1 / (double)p.n));
    c->ratio = c->seen / c->expected;
out:
    free(n);
    spi_patches_clear(&p);
    return err;
}

spi_err spi_coverage_init(struct spi_coverage *c, const struct spi_orientations *o, int n,
                          const double (*group)[9], double cell)
{
    const struct views v = {o, spi_orientations_count(o), n, group};
    int64_t want = v.n / IMAGES_A_PATCH, *hits = NULL;
    spi_err err;

    *c = (struct spi_coverage){0};
    want = want < PATCHES_LEAST ? PATCHES_LEAST : want > PATCHES_MOST ? PATCHES_MOST : want;
    SPI_TRY(err = see(c, &v, cell), out);
    SPI_TRY(err = spi_patches_init(&c->patches, want), out);
    SPI_TRY(err = SPI_NEW(c->density, c->patches.n, "coverage"), out);
    SPI_TRY(err = count(&c->patches, &v, &hits), out);

    double even = (double)v.n / (double)c->patches.n, freedom = (double)c->patches.n - 1;

    for (int64_t i = 0; i < c->patches.n; i++) { /* (Q8) */
        double d = (double)hits[i] - even;

        c->density[i] = (float)((double)hits[i] / even);
        c->chi2 += d * d / even / freedom;
    }
    c->chi2_sigma = sqrt(2 / freedom);
out:
    free(hits);
    if (err)
        spi_coverage_clear(c);
    return err;
}

void spi_coverage_clear(struct spi_coverage *c)
{
    spi_patches_clear(&c->patches);
    free(c->density);
    *c = (struct spi_coverage){0};
}

spi_err spi_coverage_plot(const struct spi_coverage *c, int64_t n_images, const char *path)
{
    char note[200];

    snprintf(note, sizeof note,
             "%lld images in %lld equal patches: chi\u00b2 per degree of freedom %.2f "
             "(random and even: 1 \u00b1 %.2f); %.1f %% of the Shannon cells seen (%.1f %% "
             "expected)",
             (long long)n_images, (long long)c->patches.n, c->chi2, c->chi2_sigma,
             100 * c->seen, 100 * c->expected);
    return spi_plot_sphere(path, &c->patches, c->density, "View directions of the images",
                           note, "images / even spread");
}
