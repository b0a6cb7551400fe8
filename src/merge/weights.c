/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const double darkest = 1e-3; /* of the mean: a shell without photons stays finite */

static double length(const float q[3])
{
    return sqrt((double)q[0] * (double)q[0] + (double)q[1] * (double)q[1] +
                (double)q[2] * (double)q[2]);
}

/* (V13): W of a shell = sum of counts / sum of phi g over its pixels. */
static spi_err weigh_poisson(struct spi_pixel_list *l, double diameter_A,
                             const double *counts, double fluence)
{
    int n = (int)ceil(2 * diameter_A * l->q_max) + 1;
    double *K = NULL, *g = NULL, all_K = 0, all_g = 0, least = INFINITY;
    spi_err err;

    SPI_TRY(err = SPI_NEW(K, n, "pixel weights"), out);
    SPI_TRY(err = SPI_NEW(g, n, "pixel weights"), out);
    for (int64_t p = 0; p < l->n; p++) {
        int s = (int)(2 * diameter_A * length(l->q[p]));

        s = s < n ? s : n - 1;
        K[s] += counts[p];
        g[s] += fluence * (double)l->geometry[p];
        all_K += counts[p];
        all_g += fluence * (double)l->geometry[p];
    }
    if (!(all_K > 0 && all_g > 0)) {
        err =
            spi_fail(SPI_EINVAL, "merge: the images hold no photons to make weights from");
        goto out;
    }
    for (int s = 0; s < n; s++)
        if (g[s] > 0) {
            K[s] = fmax(K[s] / g[s], darkest * all_K / all_g);
            least = fmin(least, K[s]);
        }
    for (int64_t p = 0; p < l->n; p++) {
        int s = (int)(2 * diameter_A * length(l->q[p]));

        l->kappa[p] = (float)(least / K[s < n ? s : n - 1]);
    }
out:
    free(K);
    free(g);
    return err;
}

spi_err spi_pixel_list_weigh(struct spi_pixel_list *l, enum spi_pixel_weights how,
                             double diameter_A, const double *counts, double fluence)
{
    if (how == SPI_WEIGHTS_POISSON)
        return weigh_poisson(l, diameter_A, counts, fluence);
    for (int64_t p = 0; p < l->n; p++)
        l->kappa[p] = how == SPI_WEIGHTS_NONE ? 1 : (float)(length(l->q[p]) / l->q_max);
    return SPI_OK;
}

spi_err spi_pixel_list_scale(struct spi_pixel_list *l, const float *weight)
{
    int64_t kept = 0;

    for (int64_t p = 0; p < l->n; p++) {
        float w = weight[l->pixel[p]];

        if (!(w > 0))
            continue;
        l->pixel[kept] = l->pixel[p];
        memcpy(l->q[kept], l->q[p], sizeof l->q[p]);
        l->kappa[kept] = w * l->kappa[p];
        l->geometry[kept++] = l->geometry[p];
    }
    l->n = kept;
    return kept > 0
               ? SPI_OK
               : spi_fail(SPI_EINVAL,
                          "merge: all usable pixels have weight 0; need one that is not");
}
