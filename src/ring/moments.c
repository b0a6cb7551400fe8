/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ring/moments.h"

#include <math.h>

/* The least live weight of a sample that tells an intensity; INFINITY: none of the ring. */
static double least_live(const struct spi_ring_map *map, const struct spi_rings *g, int r)
{
    double live = (double)crealf(map->live_h[g->h_at[r]]) / g->n[r];

    return live > 0 ? 0.2 * live : (double)INFINITY;
}

void spi_ring_moments_add_one(const struct spi_ring_map *map, const struct spi_rings *g,
                              int r, double sign, const float *samples, double *sum,
                              double *sum2)
{
    double least = least_live(map, g, r);

    for (int i = g->at[r]; i < g->at[r + 1]; i++) {
        if ((double)map->live[i] < least)
            continue;

        double v = (double)samples[i] / (double)map->live[i];

        sum[r] += sign * v;
        sum2[r] += sign * v * v;
    }
}

void spi_ring_moments(const struct spi_ring_map *map, const struct spi_rings *g, int R,
                      double n, double scale, const double *sum, const double *sum2,
                      double *mean, double *variance)
{
    for (int r = 0; r < R; r++) {
        double least = least_live(map, g, r), used = 0;

        for (int i = g->at[r]; i < g->at[r + 1]; i++)
            used += (double)map->live[i] >= least;
        used = used > 0 ? used * n : 1;
        mean[r] = scale * (sum[r] / used);
        variance[r] = fmax(scale * scale * sum2[r] / used - mean[r] * mean[r], 0);
    }
}
