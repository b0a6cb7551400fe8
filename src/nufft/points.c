/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nufft/points.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct member {
    float q[3];
    int32_t at;
};

static void swap(struct member *a, struct member *b)
{
    struct member t = *a;

    *a = *b;
    *b = t;
}

/* Along an axis, then the others: only equal points are equal, so that a partition does not
 * depend on the order the points come in. */
static inline bool before(const struct member *a, const struct member *b, int axis)
{
    if (a->q[axis] != b->q[axis])
        return a->q[axis] < b->q[axis];
    for (int c = 1; c < 3; c++) {
        int k = (axis + c) % 3;

        if (a->q[k] != b->q[k])
            return a->q[k] < b->q[k];
    }
    return false;
}

/* Partition so that the k smallest along an axis come first (Hoare's selection). */
static void select_smallest(struct member *m, int64_t n, int64_t k, int axis)
{
    int64_t lo = 0, hi = n - 1;

    while (lo < hi) {
        struct member pivot = m[(lo + hi) / 2];
        int64_t i = lo, j = hi;

        while (i <= j) {
            while (before(&m[i], &pivot, axis))
                i++;
            while (before(&pivot, &m[j], axis))
                j--;
            if (i <= j)
                swap(&m[i++], &m[j--]);
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
}

/* Bounding box of n points: centre, and the distance of the farthest from it. */
static double box(const struct member *m, int64_t n, double scale, double centre[3],
                  int *widest)
{
    float lo[3], hi[3], most = 0;
    double r2 = 0;

    memcpy(lo, m[0].q, sizeof lo);
    memcpy(hi, m[0].q, sizeof hi);
    for (int64_t i = 1; i < n; i++)
        for (int a = 0; a < 3; a++) {
            float q = m[i].q[a];

            lo[a] = q < lo[a] ? q : lo[a];
            hi[a] = q > hi[a] ? q : hi[a];
        }
    *widest = 0;
    for (int a = 0; a < 3; a++) {
        centre[a] = scale * ((double)lo[a] + (double)hi[a]) / 2;
        if (hi[a] - lo[a] > most)
            most = hi[a] - lo[a], *widest = a;
    }
    for (int64_t i = 0; i < n && n <= SPI_PATCH_MAX; i++) {
        double s = 0;

        for (int a = 0; a < 3; a++) {
            double d = scale * (double)m[i].q[a] - centre[a];

            s += d * d;
        }
        r2 = s > r2 ? s : r2;
    }
    return sqrt(r2);
}

/* By place: insertion, for the few of a patch. */
static void sort_few(struct member *m, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        struct member t = m[i];
        int64_t j = i;

        for (; j > 0 && m[j - 1].at > t.at; j--)
            m[j] = m[j - 1];
        m[j] = t;
    }
}

/* Halve along the widest axis, at a multiple of 16 points, until a part fits a patch. */
static void group(struct spi_points *p, struct member *m, int64_t first, int64_t n,
                  double scale)
{
    struct patch *to = p->patch + p->n_patches;
    int widest;
    double radius = box(m + first, n, scale, to->centre, &widest);

    if (n <= SPI_PATCH_MAX && (radius <= RADIUS_MAX - 1 || n == 1)) {
        sort_few(m + first, n);
        to->first = (int32_t)first;
        to->n = (int32_t)n;
        p->radius = fmax(p->radius, radius);
        p->n_patches++;
        return;
    }

    int64_t half = n <= SPI_PATCH_MAX
                       ? n / 2
                       : (n / 2 + SPI_PATCH_MAX - 1) / SPI_PATCH_MAX * SPI_PATCH_MAX;

    select_smallest(m + first, n, half, widest);
    group(p, m, first, half, scale);
    group(p, m, first + half, n - half, scale);
}

static spi_err fill(struct spi_points *p, const struct member *m)
{
    double scale = spi_nufft_scale(p->plan);
    spi_err err;

    SPI_TRY(err = SPI_NEW(p->d, p->n_patches, "points"), out);
    for (int a = 0; a < 3; a++)
        SPI_TRY(err = SPI_NEW(p->centre[a], p->n_patches, "points"), out);
    for (int a = 0; a < 3; a++) {
        SPI_TRY(err = SPI_NEW(p->u[a], p->n, "points"), out);
        for (int64_t i = 0; i < p->n; i++)
            p->u[a][i] = (float)(scale * (double)m[i].q[a]);
    }
    for (int i = 0; i < p->n_patches; i++) {
        const struct patch *patch = &p->patch[i];

        for (int a = 0; a < 3; a++) {
            p->centre[a][i] = (float)patch->centre[a];
            for (int j = 0; j < patch->n; j++)
                p->d[i][a][j] =
                    (float)(scale * (double)m[patch->first + j].q[a] - patch->centre[a]);
        }
    }
out:
    return err;
}

static spi_err members_of(int64_t n, const float (*q)[3], struct member **m)
{
    spi_err err = SPI_NEW(*m, n, "points");

    for (int64_t i = 0; i < n && !err; i++) {
        if (!isfinite(q[i][0]) || !isfinite(q[i][1]) || !isfinite(q[i][2]))
            return spi_fail(SPI_EINVAL, "nufft: point %lld is not finite", (long long)i);
        memcpy((*m)[i].q, q[i], sizeof q[i]);
        (*m)[i].at = (int32_t)i;
    }
    return err;
}

spi_err spi_points_order(int64_t n, const float (*q)[3], int32_t *order)
{
    struct member *m = NULL;
    struct spi_points p = {0};
    spi_err err;

    SPI_TRY(err = members_of(n, q, &m), out);
    SPI_TRY(err = SPI_NEW(p.patch, n, "points"), out);
    if (n > 0)
        group(&p, m, 0, n, 0);
    for (int64_t i = 0; i < n; i++)
        order[i] = m[i].at;
out:
    free(p.patch);
    free(m);
    return err;
}

spi_err spi_points_new(const spi_nufft *plan, int64_t n, const float (*q)[3],
                       spi_points **out)
{
    struct member *m = NULL;
    spi_points *p = NULL;
    bool in_order = true;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(p, 1, "points"), out);
    p->plan = plan;
    p->n = n;
    SPI_TRY(err = members_of(n, q, &m), out);
    SPI_TRY(err = SPI_NEW(p->order, n, "points"), out);
    SPI_TRY(err = SPI_NEW(p->patch, n, "points"), out);
    if (n > 0)
        group(p, m, 0, n, spi_nufft_scale(plan));
    for (int64_t i = 0; i < n; i++) {
        p->order[i] = m[i].at;
        in_order = in_order && m[i].at == i;
    }
    if (in_order) {
        free(p->order);
        p->order = NULL;
    }
    SPI_TRY(err = fill(p, m), out);
    *out = p;
    p = NULL;
out:
    spi_points_free(p);
    free(m);
    return err;
}

void spi_points_free(spi_points *p)
{
    if (!p)
        return;
    free(p->patch);
    free(p->d);
    for (int a = 0; a < 3; a++) {
        free(p->centre[a]);
        free(p->u[a]);
    }
    free(p->order);
    free(p);
}
