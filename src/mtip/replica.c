/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/replica.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "math/symmetry.h"

/* ---- half sets ---------------------------------------------------------------------- */

spi_err spi_half_set_init(struct spi_half_set *h, const struct spi_data *d, int which,
                          int keep)
{
    int64_t n = 0;
    spi_err err;

    *h = (struct spi_half_set){.n_images = d->split.n_half[which], .keep = keep};
    SPI_TRY(err = SPI_NEW(h->image, h->n_images, "half set"), fail);
    SPI_TRY(err = SPI_NEW(h->candidate, h->n_images * keep, "half set"), fail);
    SPI_TRY(err = SPI_NEW(h->fluence, h->n_images, "half set"), fail);
    SPI_TRY(err = SPI_NEW(h->best, h->n_images, "half set"), fail);
    for (int64_t k = 0; k < d->n_images; k++)
        if (d->split.half[k] == which + 1)
            h->image[n++] = k;
    return SPI_OK;
fail:
    spi_half_set_clear(h);
    return err;
}

void spi_half_set_clear(struct spi_half_set *h)
{
    free(h->image);
    free(h->candidate);
    free(h->fluence);
    free(h->best);
    *h = (struct spi_half_set){0};
}

/* ---- the random initialisation ------------------------------------------------------ */

/* A dozen Gaussian blobs, sigma 0.1 D, centres within 0.35 D. */
static void random_blobs(struct spi_volume *rho, double D, struct spi_rng *rng)
{
    enum { BLOBS = 12 };
    int n = rho->n;
    double sigma = 0.1 * D / rho->step;

    for (int b = 0; b < BLOBS; b++) {
        double c[3], r2;

        do {
            r2 = 0;
            for (int i = 0; i < 3; i++) {
                c[i] = 2 * spi_rng_uniform(rng) - 1;
                r2 += c[i] * c[i];
            }
        } while (r2 > 1);
        for (int i = 0; i < 3; i++)
            c[i] = c[i] * 0.35 * D / rho->step + n / 2;
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    double d2 = (x - c[0]) * (x - c[0]) + (y - c[1]) * (y - c[1]) +
                                (z - c[2]) * (z - c[2]);

                    rho->data[spi_volume_index(rho, z, y, x)] +=
                        (float)exp(-d2 / (2 * sigma * sigma));
                }
    }
}

/* Factor of each ring that gives the model the data's ring means. */
static spi_err scale_rings(struct spi_replica *c, const struct spi_resolution_level *l)
{
    double *mean = NULL;
    float *fine = NULL;
    spi_nufft *plan = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(c->ring_scale, l->R_merge, "random model"), out);
    SPI_TRY(err = SPI_NEW(mean, l->R_merge, "random model"), out);
    SPI_TRY(err = spi_nufft_new(c->A.n, c->A.step, l->nufft_tol, &plan), out);
    SPI_TRY(err = spi_nufft_grid_new(plan, 1, &fine), out);
    SPI_TRY(err = spi_nufft_prepare(plan, c->A.data, fine), out);
    SPI_TRY(err = spi_ring_means_of_model(&c->data->rings, l->R_merge, plan, fine,
                                          SPI_MEAN_DIRECTIONS, mean),
            out);
    for (int r = 0; r < l->R_merge; r++)
        c->ring_scale[r] = mean[r] > 0 ? (float)(c->data->ring_mean[r] / mean[r]) : 0;
out:
    spi_nufft_free(plan);
    free(mean);
    free(fine);
    return err;
}

spi_err spi_replica_init(struct spi_replica *c, const struct spi_data *d,
                         struct spi_half_set *half,
                         const struct spi_resolution_level *level, uint64_t seed, int index)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_INIT_MODEL, (uint64_t)index);
    struct spi_volume rho = {0};
    spi_err err;

    *c = (struct spi_replica){.data = d, .half = half, .seed = seed, .index = index};
    SPI_TRY(err = spi_volume_init(&rho, level->n, level->dx), fail);
    random_blobs(&rho, d->rings.diameter_A, &rng);
    SPI_TRY(err = spi_volume_autocorrelate(&rho, &c->A), fail);
    SPI_TRY(err = scale_rings(c, level), fail);
    SPI_TRY(err = spi_replica_symmetry(c, "C1", NULL), fail);
    spi_volume_clear(&rho);
    return SPI_OK;
fail:
    spi_volume_clear(&rho);
    spi_replica_clear(c);
    return err;
}

spi_err spi_replica_given(struct spi_replica *c, const struct spi_data *d,
                          struct spi_half_set *half, const struct spi_volume *A)
{
    spi_err err;

    *c = (struct spi_replica){.data = d, .half = half, .beta = 1};
    SPI_TRY(err = spi_volume_copy(A, &c->A), fail);
    SPI_TRY(err = spi_replica_symmetry(c, "C1", NULL), fail);
    return SPI_OK;
fail:
    spi_replica_clear(c);
    return err;
}

spi_err spi_replica_symmetry(struct spi_replica *c, const char *group, const double axes[9])
{
    static const double standard[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double(*ops)[9];
    int n;
    spi_err err = spi_symmetry_parse(group, &ops, &n);

    if (err)
        return err;
    memcpy(c->axes, axes ? axes : standard, sizeof c->axes);
    spi_symmetry_rotate(n, ops, c->axes);
    snprintf(c->symmetry, sizeof c->symmetry, "%s", group);
    free(c->group);
    c->group = ops;
    c->n_group = n;
    return SPI_OK;
}

void spi_replica_clear(struct spi_replica *c)
{
    spi_replica_settle(c, false);
    spi_volume_clear(&c->A);
    free(c->ring_scale);
    free(c->group);
    *c = (struct spi_replica){0};
}
