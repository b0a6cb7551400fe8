/* SPDX-License-Identifier: GPL-3.0-or-later */
/* merge_weigh.c, of app/merge_job.h: what the images, other files and options say of weights and of the prior. */
#include "app/merge_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/progress.h"
#include "app/stage.h"
#include "base/mem.h"
#include "io/mask.h"
#include "merge/weights.h"

/* What is done with a block of images. */
typedef spi_err block_fn(struct spi_merge_job *j, int64_t first, int64_t n,
                         const float *pixels);

static spi_err each_block(struct spi_merge_job *j, const char *stage, block_fn *fn)
{
    int64_t block = spi_stage_block(j->det), total = j->o.n;
    float *pixels = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(pixels, block * j->det->n_pixels, "images"), out);
    spi_progress_begin(stage, total, "images");
    for (int64_t k = 0; k < total; k += block) {
        int64_t n = total - k < block ? total - k : block;

        if (*j->stop)
            SPI_TRY(err = spi_fail(SPI_ECANCEL, "merge: stopped; %s was not written",
                                   j->args->out),
                    out);
        SPI_TRY(err = spi_images_read(j->images, k, n, pixels), out);
        SPI_TRY(err = fn(j, k, n, pixels), out);
        spi_progress_update(k + n, NULL);
    }
out:
    spi_progress_end();
    free(pixels);
    return err;
}

static spi_err count_block(struct spi_merge_job *j, int64_t first, int64_t n,
                           const float *pixels)
{
    for (int64_t k = 0; k < n; k++) {
        double sum = 0;

        if (!spi_orientations_has(&j->o, first + k))
            continue;
        for (int64_t p = 0; p < j->list.n; p++) {
            double K = (double)pixels[k * j->det->n_pixels + j->list.pixel[p]];

            sum += K;
            j->counts[p] += K;
        }
        j->o.fluence[first + k] = (float)sum;
    }
    return SPI_OK;
}

/* One pass over the images: counts of each pixel, and of each image relative to the mean,
 * which is its fluence where no file gives it. */
static spi_err survey(struct spi_merge_job *j)
{
    float *known = j->o.fluence;
    double sum = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(j->o.fluence, j->o.n, "fluences"), out);
    SPI_TRY(err = SPI_NEW(j->counts, j->list.n, "counts"), out);
    SPI_TRY(err = each_block(j, "counting", count_block), out);
    for (int64_t k = 0; k < j->o.n; k++)
        sum += (double)j->o.fluence[k];
    if (!(sum > 0)) {
        err =
            spi_fail(SPI_EFORMAT, "%s: the images are all zero between |q| = %g and %g 1/A",
                     j->path, j->q_min, j->q_max);
        goto out;
    }
    for (int64_t k = 0; k < j->o.n; k++)
        j->o.fluence[k] =
            (float)((double)j->o.fluence[k] * (double)spi_orientations_count(&j->o) / sum);
out:
    if (known) {
        free(j->o.fluence);
        j->o.fluence = known;
    }
    return err;
}

static spi_err own_weights(struct spi_merge_job *j)
{
    float *weight;
    spi_err err = SPI_NEW(weight, j->det->n_pixels, "weights");

    if (!err)
        err = spi_weights_read(j->args->weights, j->det->panels, j->det->ny, j->det->nx,
                               weight);
    if (!err)
        err = spi_pixel_list_scale(&j->list, weight);
    free(weight);
    return err;
}

spi_err spi_merge_job_weigh(struct spi_merge_job *j)
{
    const char *word = j->args->pixel_weights;
    enum spi_pixel_weights how = strcmp(word, "poisson") == 0 ? SPI_WEIGHTS_POISSON
                                 : strcmp(word, "none") == 0  ? SPI_WEIGHTS_NONE
                                                              : SPI_WEIGHTS_Q;
    double fluence = 0;
    spi_err err;

    if (!j->o.fluence || how == SPI_WEIGHTS_POISSON)
        SPI_TRY(err = survey(j), out);
    for (int64_t k = 0; k < j->o.n; k++) {
        if (!spi_orientations_has(&j->o, k))
            j->o.fluence[k] = 0;
        fluence += (double)j->o.fluence[k];
    }
    SPI_TRY(err = spi_pixel_list_weigh(&j->list, how, j->diameter_A, j->counts, fluence),
            out);
    if (j->args->weights)
        err = own_weights(j);
out:
    return err;
}

/* The prior on the grid of the merge: the same voxels, the rest cut off or zero. */
spi_err spi_merge_job_read_prior(struct spi_merge_job *j)
{
    struct spi_volume from = {0};
    double dx;
    int n, h;
    spi_err err;

    spi_merge_grid(j->diameter_A, j->q_max, &n, &dx);
    SPI_TRY(err = spi_stage_autocorrelation(j->args->prior, j->args->voxel_A, &from), out);
    if (fabs(from.step / dx - 1) > 1e-3) {
        err =
            spi_fail(SPI_EFORMAT,
                     "%s: voxels of %.5g A; the merge needs %.5g (--q-max %.6g would suit)",
                     j->args->prior, from.step, dx, 1 / (2.08 * from.step));
        goto out;
    }
    SPI_TRY(err = spi_volume_init(&j->prior, n, dx), out);
    h = (n < from.n ? n : from.n) / 2;
    for (int z = -h; z < h; z++)
        for (int y = -h; y < h; y++)
            memcpy(j->prior.data +
                       spi_volume_index(&j->prior, z + n / 2, y + n / 2, n / 2 - h),
                   from.data + spi_volume_index(&from, z + from.n / 2, y + from.n / 2,
                                                from.n / 2 - h),
                   2 * (size_t)h * sizeof(float));
out:
    spi_volume_clear(&from);
    return err;
}
