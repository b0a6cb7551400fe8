/* SPDX-License-Identifier: GPL-3.0-or-later */
/* merge_open.c, of app/merge_job.h: the images, their orientations and the range of |q|. */
#include "app/merge_job.h"

#include <string.h>

#include "app/stage.h"
#include "merge/normal.h"

enum { SIDE_MAX = 512 }; /* a plan of twice as many modes is needed */

static spi_err find_ranges(struct spi_merge_job *j)
{
    const struct spi_merge_args *a = j->args;
    double corner = spi_detector_q_corner(j->det), dx;
    int n;

    j->diameter_A = spi_call_given(j->call, "diameter") ? a->diameter_A : j->set.diameter_A;
    if (!(j->diameter_A > 0))
        return spi_call_fail(j->call, "diameter",
                             "is needed: the largest diameter of the particle");
    j->q_max = spi_call_given(j->call, "q-max") ? a->q_max : j->set.q_max_invA;
    if (!(j->q_max > 0))
        j->q_max = spi_detector_q_edge(j->det);
    j->q_min = spi_call_given(j->call, "q-min") ? a->q_min : j->set.q_min_invA;
    if (!spi_call_given(j->call, "q-min") && !(j->q_min > 0))
        j->q_min = 1 / j->diameter_A;
    if (j->q_max > corner * (1 + 1e-9))
        return spi_call_fail(j->call, "q-max", "%g 1/A; the detector of %s ends at %g 1/A",
                             j->q_max, j->path, corner);
    if (!(j->q_max > j->q_min))
        return spi_fail(SPI_EUSAGE, "%s: |q| from %g to %g 1/A leaves nothing to merge",
                        j->path, j->q_min, j->q_max);
    /* the grid of spi_merge_grid, asked before its numbers can overflow */
    if (2.1 * 2.08 * j->diameter_A * j->q_max > SIDE_MAX)
        return spi_fail(SPI_EUSAGE,
                        "%s: diameter %g A to |q| = %g 1/A needs %.0f voxels an axis; at "
                        "most %d are possible",
                        j->path, j->diameter_A, j->q_max,
                        2.1 * 2.08 * j->diameter_A * j->q_max, SIDE_MAX);
    spi_merge_grid(j->diameter_A, j->q_max, &n, &dx);
    if (n > SIDE_MAX)
        return spi_fail(SPI_EUSAGE, "%s: a grid of %d voxels an axis; at most %d", j->path,
                        n, SIDE_MAX);
    return SPI_OK;
}

spi_err spi_merge_job_open(struct spi_merge_job *j)
{
    const struct spi_merge_args *a = j->args;
    bool truth = strcmp(a->orientations, "truth") == 0;
    spi_err err;

    SPI_TRY(err = spi_settings_from_args(&a->settings, &j->set), out);
    SPI_TRY(err = spi_stage_check_settings(&j->set), out);
    SPI_TRY(err = spi_opening_init(j->call, j->path, &a->opening, &j->set, &j->opening),
            out);
    j->images = j->opening.images;
    j->det = spi_images_detector(j->images);
    SPI_TRY(err = spi_stage_orientations(a->orientations, j->path, j->images,
                                         spi_images_count(j->images), &j->o),
            out);
    SPI_TRY(err = spi_opening_take_geometry(j->path, j->images, &j->set, a->orientations,
                                            &j->o),
            out);
    SPI_TRY(err = find_ranges(j), out);
    SPI_TRY(err = spi_pixel_list_init(&j->list, j->det, j->q_min, j->q_max), out);
    j->input[0] =
        (struct spi_input){.role = "images", .path = j->path, .images = j->images};
    j->input[1] =
        (struct spi_input){.role = "orient", .path = truth ? j->path : a->orientations};
    j->input[2] = (struct spi_input){.role = "mask",
                                     .path = a->opening.mask ? a->opening.mask : j->path};
    spi_images_mask_sha256(j->images, j->input[2].sha256);
    err = spi_inputs_hash(2, j->input);
out:
    return err;
}
