/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/sphere.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

static const double pi = 3.14159265358979323846;

/* 2^64 of a turn of the golden angle, pi (3 - sqrt 5): azimuths as
 * integers, which wrap by themselves. */
static const uint64_t golden_turn = 0x61C8864680B583EB;

void spi_sphere_point(int64_t n, int64_t i, double dir[3])
{
    double z = 1 - (2 * (double)i + 1) / (double)n, s = sqrt(fmax(0, 1 - z * z));
    double phi = (double)(int64_t)((uint64_t)i * golden_turn) * (pi * 0x1p-63);

    dir[0] = s * cos(phi);
    dir[1] = s * sin(phi);
    dir[2] = z;
}

int64_t spi_sphere_count(double cell)
{
    double n = ceil(4 * pi / (cell * cell));

    return n < 12 ? 12 : (int64_t)n;
}

/* Azimuths of a cap that holds no pole: from `low` on, `width` of them. */
static void azimuths(const double dir[3], double theta, double radius, uint64_t *low,
                     uint64_t *width)
{
    static const double hair = 1e-5; /* rounding of azimuths up to 2^31 points */
    double half = asin(fmin(1, sin(radius) / sin(theta))) + hair;
    double from = (atan2(dir[1], dir[0]) - half) / (2 * pi);

    *low = (uint64_t)(fmin(from - floor(from), 1 - 0x1p-53) * 0x1p64);
    *width = half < pi ? (uint64_t)(half / pi * 0x1p64) : UINT64_MAX;
}

int spi_sphere_near(int64_t n, const double dir[3], double radius, int max, int32_t *index)
{
    double theta = acos(fmax(-1, fmin(1, dir[2])));
    bool north = theta - radius <= 0, south = theta + radius >= pi;
    double z_hi = north ? 1 : cos(theta - radius), z_lo = south ? -1 : cos(theta + radius);
    int64_t first = (int64_t)floor((1 - z_hi) * (double)n / 2 - 0.5) - 1;
    int64_t last = (int64_t)ceil((1 - z_lo) * (double)n / 2 - 0.5) + 1;
    uint64_t low = 0, width = UINT64_MAX;
    double least = cos(radius);
    int found = 0;

    if (!north && !south)
        azimuths(dir, theta, radius, &low, &width);
    for (int64_t i = first < 0 ? 0 : first; i <= last && i < n; i++) {
        double p[3];

        if ((uint64_t)i * golden_turn - low > width)
            continue;
        spi_sphere_point(n, i, p);
        if (p[0] * dir[0] + p[1] * dir[1] + p[2] * dir[2] < least)
            continue;
        if (found < max)
            index[found] = (int32_t)i;
        found++;
    }
    return found;
}

struct place {
    int band;
    double azimuth;
    int32_t point;
};

static int by_place(const void *a, const void *b)
{
    const struct place *p = a, *q = b;

    if (p->band != q->band)
        return p->band < q->band ? -1 : 1;
    if (p->azimuth != q->azimuth) /* to and fro */
        return (p->azimuth < q->azimuth) == (p->band % 2 == 0) ? -1 : 1;
    return p->point < q->point ? -1 : p->point > q->point;
}

spi_err spi_sphere_order(int64_t n, double height, int32_t *order)
{
    struct place *place;
    spi_err err = SPI_NEW(place, n, "directions");

    if (err)
        return err;
    for (int32_t i = 0; i < n; i++) {
        double p[3];

        spi_sphere_point(n, i, p);
        place[i] = (struct place){(int)(acos(p[2]) / height), atan2(p[1], p[0]), i};
    }
    qsort(place, (size_t)n, sizeof *place, by_place);
    for (int32_t i = 0; i < n; i++)
        order[i] = place[i].point;
    free(place);
    return SPI_OK;
}

/* Bands of equal height in the polar angle hold n_i ~ sin(theta) patches; then the borders
 * move a little, so that every patch has the area 4 pi / n exactly. */
spi_err spi_patches_init(struct spi_patches *p, int64_t n)
{
    double count = fmax(1, (double)n);
    spi_err err;

    *p = (struct spi_patches){.bands = (int)fmax(1, round(sqrt(pi * count) / 2))};
    SPI_TRY(err = SPI_NEW(p->z, p->bands + 1, "patches"), fail);
    SPI_TRY(err = SPI_NEW(p->first, p->bands + 1, "patches"), fail);
    for (int i = 0; i < p->bands; i++) {
        double area = cos(pi * i / p->bands) - cos(pi * (i + 1) / p->bands);

        p->first[i + 1] = p->first[i] + (int64_t)fmax(1, round(count * area / 2));
    }
    p->n = p->first[p->bands];
    for (int i = 0; i <= p->bands; i++)
        p->z[i] = 1 - 2 * (double)p->first[i] / (double)p->n;
    return SPI_OK;
fail:
    spi_patches_clear(p);
    return err;
}

void spi_patches_clear(struct spi_patches *p)
{
    free(p->z);
    free(p->first);
    *p = (struct spi_patches){0};
}

int64_t spi_patch_of(const struct spi_patches *p, const double dir[3])
{
    double turns = atan2(dir[1], dir[0]) / (2 * pi);
    int band = 0;

    for (int lo = 0, hi = p->bands - 1;
         lo <= hi;) { /* the last band with z[band] >= dir_z */
        int mid = (lo + hi) / 2;

        if (p->z[mid] >= dir[2] || mid == 0) {
            band = mid;
            lo = mid + 1;
        } else {
            hi = mid - 1;
        }
    }

    int64_t m = p->first[band + 1] - p->first[band];
    int64_t at = (int64_t)((turns < 0 ? turns + 1 : turns) * (double)m);

    return p->first[band] + (at < m ? at : m - 1);
}
