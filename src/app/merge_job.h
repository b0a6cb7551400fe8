/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of `spinifel merge` share.  Layer: app; only cmd_merge.c and merge_*.c. */
#ifndef SPI_APP_MERGE_JOB_H
#define SPI_APP_MERGE_JOB_H

#include "app/cmd.h"
#include "app/opening.h"
#include "app/provenance.h"
#include "mtip/merging.h"

struct spi_merge_args {
    const char *out, *orientations, *csv, *png, *intensity, *method, *precision, *lcurve,
        *pixel_weights, *weights, *prior;
    double diameter_A, q_max, q_min, lambda, average, voxel_A;
    int workers;
    bool json;
    struct spi_opening_args opening;
    struct spi_settings_args settings;
};

struct spi_merge_job {
    const struct spi_call *call;
    const struct spi_merge_args *args;
    const char *path;
    struct spi_settings set;
    struct spi_opening opening;
    struct spi_images *images; /* borrowed from it */
    struct spi_graph *graph;
    const struct spi_detector *det; /* borrowed */
    struct spi_orientations o;
    struct spi_pixel_list list;
    double diameter_A, q_min, q_max, tol;
    double *counts;          /* [list.n] of all images, for Poisson weights */
    struct spi_volume prior; /* on the grid of the merge */
    struct spi_merging m;
    struct spi_volume A;
    bool from_lcurve;
    double lambda;
    struct spi_merging_lcurve curve;
    struct spi_cg_report report; /* of the chosen solution */
    const volatile int *stop;
    struct spi_input input[3]; /* images, orientations, mask */
};

/** Settings, images, orientations, diameter and |q|.  SPI_EUSAGE: what was given does not
 * fit the images. */
SPI_MUSTUSE spi_err spi_merge_job_open(struct spi_merge_job *j);
/** The weight of each pixel, and the fluence of each image where no file gives it. */
SPI_MUSTUSE spi_err spi_merge_job_weigh(struct spi_merge_job *j);
/** The prior on the grid of the merge: the same voxels, the rest cut off or zero. */
SPI_MUSTUSE spi_err spi_merge_job_read_prior(struct spi_merge_job *j);

/** The normal equations of all images. */
SPI_MUSTUSE spi_err spi_merge_job_spread(struct spi_merge_job *j);
/** Their solution, and the L-curve as table and picture. */
SPI_MUSTUSE spi_err spi_merge_job_solve(struct spi_merge_job *j);
/** Where the Tikhonov weight comes from, as a word. */
const char *spi_merge_job_lambda_from(const struct spi_merge_job *j);
/** The autocorrelation and, where asked for, the intensity. */
SPI_MUSTUSE spi_err spi_merge_job_write_maps(const struct spi_merge_job *j);

/** The result as text or, with --json, as JSON. */
SPI_MUSTUSE spi_err spi_merge_job_report(const struct spi_merge_job *j, double seconds);

#endif
