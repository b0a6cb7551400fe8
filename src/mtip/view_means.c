/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/view_means.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "math/sphere.h"
#include "mtip/reference.h"

enum { BLOCK = 64 }; /* views at once */

/* The views of one half set, beside its model. */
struct look {
    const struct spi_rings *g;
    struct spi_reference model;
    spi_points *points;
    int R;
    int64_t n;
    double (*dir)[3]; /* [n] */
    double *mean;     /* [n][R] */
    struct spi_failure failure;
};

static void block(void *ctx, int rank, int64_t item)
{
    struct look *l = ctx;
    int64_t first = item * BLOCK, n = l->n - first < BLOCK ? l->n - first : BLOCK;

    (void)rank;
    spi_failure_note(&l->failure,
                     spi_ring_means_of_views(l->g, l->R, l->points, l->model.grid, (int)n,
                                             (const double(*)[3])l->dir + first,
                                             l->mean + first * l->R));
}

/* Rows for the views of half set h, from `first` on: each view once. */
static spi_err rows_of(const struct spi_run *r, int h, int64_t first,
                       struct spi_view_means *m, struct look *l)
{
    const struct spi_half_set *half = &r->half[h];
    int32_t *row = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(row, half->best_nd, "brightness"), out);
    SPI_TRY(err = SPI_NEW(l->dir, half->n_images, "brightness"), out);
    for (int64_t i = 0; i < half->n_images; i++) {
        int32_t dir = half->best[i].dir;

        if (!spi_split_models(&r->data->split, half->image[i]))
            continue;
        if (row[dir] == 0) {
            spi_sphere_point(half->best_nd, dir, l->dir[l->n++]);
            row[dir] = (int32_t)l->n;
        }
        m->row[half->image[i]] = (int32_t)(first + row[dir] - 1);
    }
out:
    free(row);
    return err;
}

static spi_err of_half(const struct spi_run *r, const struct spi_volume *A, int h,
                       int64_t *n, struct spi_view_means *m)
{
    const struct spi_data *d = r->data;
    struct look l = {.g = &d->rings, .R = m->R};
    spi_err err;

    SPI_TRY(err = rows_of(r, h, *n, m, &l), out);
    SPI_TRY(err = spi_reference_init(&l.model, d, d->rings.q[m->R - 1], r->set->nufft_tol,
                                     A),
            out);
    SPI_TRY(err = spi_ring_points(l.g, l.R, l.model.plan, &l.points), out);
    l.mean = m->mean + *n * m->R;
    spi_parallel_for(SPI_THREADS_MAX, (l.n + BLOCK - 1) / BLOCK, block, &l);
    SPI_TRY(err = spi_failure_end(&l.failure), out);
    *n += l.n;
out:
    spi_points_free(l.points);
    spi_reference_clear(&l.model);
    free(l.dir);
    return err;
}

spi_err spi_view_means_find(const struct spi_run *r, const struct spi_volume *const A[2],
                            int R, struct spi_view_means *m)
{
    int64_t rows = 0, n = 0;
    spi_err err;

    *m = (struct spi_view_means){.R = R};
    for (int h = 0; h < 2; h++)
        rows += r->half[h].best_nd < r->half[h].n_images ? r->half[h].best_nd
                                                         : r->half[h].n_images;
    SPI_TRY(err = SPI_NEW(m->row, r->data->n_images, "brightness"), out);
    SPI_TRY(err = SPI_NEW(m->mean, rows * R, "brightness"), out);
    for (int64_t k = 0; k < r->data->n_images; k++)
        m->row[k] = -1;
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = of_half(r, A[h], h, &n, m), out);
out:
    if (err)
        spi_view_means_clear(m);
    return err;
}

void spi_view_means_clear(struct spi_view_means *m)
{
    free(m->row);
    free(m->mean);
    *m = (struct spi_view_means){0};
}

const double *spi_view_means_of(const struct spi_view_means *m, int64_t k)
{
    return m->row && m->row[k] >= 0 ? m->mean + (int64_t)m->row[k] * m->R : NULL;
}
