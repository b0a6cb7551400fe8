/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel merge: images at known orientations -> autocorrelation. */
#include <stdlib.h>
#include <string.h>

#include "app/interrupt.h"
#include "app/merge_job.h"
#include "app/progress.h"
#include "app/stage.h"
#include "base/log.h"

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(spi_merge_args, out), 0, 0, "FILE",
     "the autocorrelation, an MRC map", .required = true},
    {0, "orientations", SPI_PATH(spi_merge_args, orientations), 0, 0, "FILE.h5|truth",
     "orientations of the images; \"truth\": those that the image file holds",
     .required = true},
    {0, "json", SPI_FLAG(spi_merge_args, json), 0, 0, "", "print the result as JSON"},
    {'j', "workers", SPI_INT(spi_merge_args, workers), 0, 1024, "",
     "workers; 0: one for each core that the process may use", .absent = "runtime.workers"},
    SPI_HEADING("What is known"),
    {'d', "diameter", SPI_REAL(spi_merge_args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "particle.diameter_A"},
    {0, "q-max", SPI_REAL(spi_merge_args, q_max), 0, 10, "1/A", "highest |q| merged",
     .absent = "the middle of the detector's edge"},
    {0, "q-min", SPI_REAL(spi_merge_args, q_min), 0, 10, "1/A", "lowest |q| merged",
     .absent = "1/diameter"},
    {0, "pixel-weights", SPI_CHOICE(spi_merge_args, pixel_weights), 0, 0, "q|poisson|none",
     "|q|, which compensates the density of slices near q = 0; 1/variance of photons, "
     "from the mean image; 1"},
    {0, "weights", SPI_PATH(spi_merge_args, weights), 0, 0, "FILE[:/DATASET]",
     "HDF5 weights of the detector's shape, which multiply --pixel-weights; 0: masked"},
    SPI_HEADING("Regularisation"),
    {0, "lambda", SPI_REAL(spi_merge_args, lambda), 0, 1e3, "",
     "Tikhonov weight, relative to the trace, instead of the L-curve"},
    {0, "lcurve", SPI_CHOICE(spi_merge_args, lcurve), 0, 0, "krylov|independent",
     "how the algorithm.N_lambda weights are solved: all from one Krylov sequence; each by "
     "its own solution, as published"},
    {0, "prior", SPI_PATH(spi_merge_args, prior), 0, 0, "FILE.mrc",
     "autocorrelation that the Tikhonov term subtracts, instead of 0"},
    SPI_VOXEL_OPT(spi_merge_args, voxel_A),
    SPI_HEADING("How"),
    {0, "method", SPI_CHOICE(spi_merge_args, method), 0, 0, "toeplitz|direct",
     "a step of the solution is one convolution; or a sum over all pixels, as published"},
    {0, "precision", SPI_CHOICE(spi_merge_args, precision), 0, 0, "single|double",
     "single: transforms in float; double: in double, to 1e-9 at best"},
    {0, "average", SPI_REAL(spi_merge_args, average), 0, 4, "cells",
     "first sum the images of each view direction, at directions this many Shannon cells "
     "1/(2 diameter q_max) apart; 0: merge every pixel of every image"},
    SPI_HEADING("Also write"),
    {0, "lcurve-csv", SPI_OUT(spi_merge_args, csv), 0, 0, "FILE.csv",
     "the L-curve as a table"},
    {0, "lcurve-png", SPI_OUT(spi_merge_args, png), 0, 0, "FILE.png",
     "the L-curve as a picture"},
    {0, "intensity", SPI_OUT(spi_merge_args, intensity), 0, 0, "FILE.mrc",
     "the intensity, the Fourier transform of the autocorrelation"},
    SPI_OPENING_OPTS(spi_merge_args, opening),
    SPI_SETTINGS_OPTS(spi_merge_args, settings),
    {0},
};
static const struct spi_merge_args defaults = {
    .method = "toeplitz", .precision = "single", .lcurve = "krylov", .pixel_weights = "q"};

static spi_err check(const struct spi_call *call)
{
    const struct spi_merge_args *a = call->args;
    bool lambda = spi_call_given(call, "lambda");

    if (lambda && spi_call_given(call, "lcurve"))
        return spi_call_fail(call, "lambda", "either this or --lcurve");
    if (a->average > 0 &&
        (strcmp(a->method, "direct") == 0 || strcmp(a->precision, "double") == 0))
        return spi_call_fail(call, "average",
                             "is for --method toeplitz and --precision single");
    if (lambda && (a->csv || a->png))
        return spi_call_fail(call, a->csv ? "lcurve-csv" : "lcurve-png",
                             "there is no L-curve with --lambda");
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    const struct spi_merge_args *a = call->args;
    struct spi_merge_job j = {.call = call, .args = a, .path = call->operand[0]};
    double t0 = spi_now_s();
    spi_err err;

    SPI_TRY(err = check(call), out);
    j.stop = spi_interrupt_catch();
    SPI_TRY(err = spi_merge_job_open(&j), out);
    SPI_TRY(err = spi_merge_job_weigh(&j), out);
    if (a->prior)
        SPI_TRY(err = spi_merge_job_read_prior(&j), out);
    if (spi_call_given(call, "workers"))
        j.set.workers = a->workers;
    SPI_TRY(err = spi_stage_graph(&j.set, j.stop, &j.graph), out);
    SPI_TRY(err = spi_merge_job_spread(&j), out);
    SPI_TRY(err = spi_merge_job_solve(&j), out);
    SPI_TRY(err = spi_merge_job_write_maps(&j), out);
    err = spi_merge_job_report(&j, spi_now_s() - t0);
out:
    spi_progress_end();
    if (err == SPI_ECANCEL)
        err = spi_fail(SPI_ECANCEL, "merge: stopped; %s was not written", a->out);
    spi_merging_lcurve_clear(&j.curve);
    spi_volume_clear(&j.A);
    spi_volume_clear(&j.prior);
    spi_merging_clear(&j.m);
    spi_graph_free(j.graph);
    free(j.counts);
    spi_pixel_list_clear(&j.list);
    spi_orientations_clear(&j.o);
    spi_opening_clear(&j.opening);
    return err;
}

const struct spi_cmd spi_cmd_merge = {
    .name = "merge",
    .operands = "IMAGES.h5",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "autocorrelation from images and their orientations",
    .about =
        "Finds the autocorrelation whose Fourier transform at the pixels of all images, "
        "rotated by their orientations, fits the measured intensities best: weighted "
        "least squares with a Tikhonov term, solved by conjugate gradients. The "
        "autocorrelation is zero beyond the diameter of the particle. The weight of the "
        "Tikhonov term comes from the L-curve, or from --lambda. Conjugate gradients end "
        "by algorithm.cg_tol, algorithm.discrepancy or algorithm.N_cg.\n\n"
        "Images without an orientation (four NaN) are left out. The fluence of each "
        "image comes from the file of orientations; without it, from the image's counts "
        "relative to the mean.\n\n"
        "Writes an MRC map in the units of the images. What no option gives comes from "
        "the settings.",
    .examples = {{"spinifel merge images.h5 --orientations run1/orientations.h5 --diameter "
                  "140 -o autocorrelation.mrc --lcurve-csv lcurve.csv",
                  "at orientations that were found"},
                 {"spinifel merge images.h5 --orientations truth -d 140 --lambda 0.01 -o "
                  "best.mrc",
                  "simulated images at their true orientations"}},
    .opts = opts,
    .defaults = &defaults,
    .size = sizeof(struct spi_merge_args),
    .run = run,
};
