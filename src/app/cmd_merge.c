/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel merge: images at known orientations -> autocorrelation. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "app/interrupt.h"
#include "app/opening.h"
#include "app/print.h"
#include "app/progress.h"
#include "app/provenance.h"
#include "app/stage.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/mask.h"
#include "io/mrc.h"
#include "merge/weights.h"
#include "mtip/merging.h"

enum { SIDE_MAX = 512 };               /* a plan of twice as many modes is needed */
static const double double_tol = 1e-9; /* of a transform in double precision */

struct args {
    const char *out, *orientations, *csv, *png, *intensity, *method, *precision, *lcurve,
        *pixel_weights, *weights, *prior;
    double diameter_A, q_max, q_min, lambda, average, voxel_A;
    int workers;
    bool json;
    struct spi_opening_args opening;
    struct spi_settings_args settings;
};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(args, out), 0, 0, "FILE", "the autocorrelation, an MRC map",
     .required = true},
    {0, "orientations", SPI_PATH(args, orientations), 0, 0, "FILE.h5|truth",
     "orientations of the images; \"truth\": those that the image file holds",
     .required = true},
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print the result as JSON"},
    {'j', "workers", SPI_INT(args, workers), 0, 1024, "",
     "workers; 0: one for each core that the process may use", .absent = "runtime.workers"},
    SPI_HEADING("What is known"),
    {'d', "diameter", SPI_REAL(args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "particle.diameter_A"},
    {0, "q-max", SPI_REAL(args, q_max), 0, 10, "1/A", "highest |q| merged",
     .absent = "the middle of the detector's edge"},
    {0, "q-min", SPI_REAL(args, q_min), 0, 10, "1/A", "lowest |q| merged",
     .absent = "1/diameter"},
    {0, "pixel-weights", SPI_CHOICE(args, pixel_weights), 0, 0, "q|poisson|none",
     "|q|, which compensates the density of slices near q = 0; 1/variance of photons, "
     "from the mean image; 1"},
    {0, "weights", SPI_PATH(args, weights), 0, 0, "FILE[:/DATASET]",
     "HDF5 weights of the detector's shape, which multiply --pixel-weights; 0: masked"},
    SPI_HEADING("Regularisation"),
    {0, "lambda", SPI_REAL(args, lambda), 0, 1e3, "",
     "Tikhonov weight, relative to the trace, instead of the L-curve"},
    {0, "lcurve", SPI_CHOICE(args, lcurve), 0, 0, "krylov|independent",
     "how the algorithm.N_lambda weights are solved: all from one Krylov sequence; each by "
     "its own solution, as published"},
    {0, "prior", SPI_PATH(args, prior), 0, 0, "FILE.mrc",
     "autocorrelation that the Tikhonov term subtracts, instead of 0"},
    SPI_VOXEL_OPT(args, voxel_A),
    SPI_HEADING("How"),
    {0, "method", SPI_CHOICE(args, method), 0, 0, "toeplitz|direct",
     "a step of the solution is one convolution; or a sum over all pixels, as published"},
    {0, "precision", SPI_CHOICE(args, precision), 0, 0, "single|double",
     "single: transforms in float; double: in double, to 1e-9 at best"},
    {0, "average", SPI_REAL(args, average), 0, 4, "cells",
     "first sum the images of each view direction, at directions this many Shannon cells "
     "1/(2 diameter q_max) apart; 0: merge every pixel of every image"},
    SPI_HEADING("Also write"),
    {0, "lcurve-csv", SPI_OUT(args, csv), 0, 0, "FILE.csv", "the L-curve as a table"},
    {0, "lcurve-png", SPI_OUT(args, png), 0, 0, "FILE.png", "the L-curve as a picture"},
    {0, "intensity", SPI_OUT(args, intensity), 0, 0, "FILE.mrc",
     "the intensity, the Fourier transform of the autocorrelation"},
    SPI_OPENING_OPTS(args, opening),
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};
static const struct args defaults = {
    .method = "toeplitz", .precision = "single", .lcurve = "krylov", .pixel_weights = "q"};

struct job {
    const struct spi_call *call;
    const struct args *args;
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

static spi_err check(const struct spi_call *call)
{
    const struct args *a = call->args;
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

/* ---- what the images allow ---------------------------------------------------------- */

static spi_err find_ranges(struct job *j)
{
    const struct args *a = j->args;
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

static spi_err prepare(struct job *j)
{
    const struct args *a = j->args;
    bool truth = strcmp(a->orientations, "truth") == 0;
    spi_err err;

    SPI_TRY(err = spi_settings_from_args(&a->settings, &j->set), out);
    SPI_TRY(err = spi_stage_check_settings(&j->set), out);
    SPI_TRY(err = spi_opening_init(j->path, &a->opening, &j->opening), out);
    j->images = j->opening.images;
    j->det = spi_images_detector(j->images);
    SPI_TRY(err = spi_stage_orientations(a->orientations, j->path, j->images,
                                         spi_images_count(j->images), &j->o),
            out);
    spi_opening_take_centre(j->path, j->images, &j->set, a->orientations, &j->o);
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

/* ---- images ------------------------------------------------------------------------- */

/* What is done with a block of images. */
typedef spi_err block_fn(struct job *j, int64_t first, int64_t n, const float *pixels);

static spi_err each_block(struct job *j, const char *stage, block_fn *fn)
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

static spi_err count_block(struct job *j, int64_t first, int64_t n, const float *pixels)
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
static spi_err survey(struct job *j)
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

static spi_err own_weights(struct job *j)
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

static spi_err weigh(struct job *j)
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
static spi_err read_prior(struct job *j)
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

static void on_images(int64_t done, int64_t total, void *user)
{
    (void)user;
    spi_progress_update(done, NULL);
    if (done >= total)
        spi_progress_begin("solving", 0, "steps");
}

static void on_step(int64_t products, void *user)
{
    (void)user;
    spi_progress_update(products, NULL);
}

static spi_err spread(struct job *j)
{
    const struct args *a = j->args;
    bool f64 = strcmp(a->precision, "double") == 0;
    struct spi_merging_spec spec = {.graph = j->graph,
                                    .images = j->images,
                                    .pixels = &j->list,
                                    .quat = (const double(*)[4])j->o.quat,
                                    .fluence = j->o.fluence,
                                    .scale = 1,
                                    .diameter_A = j->diameter_A,
                                    .f64 = f64,
                                    .direct = strcmp(a->method, "direct") == 0,
                                    .corner_weight = j->set.flambda,
                                    .average = a->average,
                                    .prior = j->prior.data,
                                    .stop = j->stop,
                                    .progress = on_images,
                                    .stepped = on_step};
    spec.tol = j->tol = f64 ? fmin(j->set.nufft_tol, double_tol) : j->set.nufft_tol;
    spi_progress_begin("merging", j->o.n, "images");
    return spi_merging_init(&j->m, &spec);
}

/* ---- solution ----------------------------------------------------------------------- */

static spi_err write_curve(const struct job *j)
{
    const struct spi_merging_lcurve *c = &j->curve;
    char *text = NULL;
    spi_err err = SPI_OK;

    if (j->args->csv) {
        SPI_TRY(err = spi_lcurve_csv(c->n, c->points, &c->choice, &text), out);
        SPI_TRY(err = spi_file_write_text(j->args->csv, text, strlen(text)), out);
    }
    if (j->args->png)
        err = spi_merging_lcurve_plot(c, j->args->png, "L-curve");
out:
    free(text);
    return err;
}

static spi_err solve(struct job *j)
{
    struct spi_cg_options opt = spi_merging_rules(&j->m, &j->set, j->set.N_cg);
    spi_err err;

    SPI_TRY(err = spi_volume_init(&j->A, j->m.n, j->m.dx), out);
    if (j->prior.data)
        memcpy(j->A.data, j->prior.data, spi_volume_count(&j->A) * sizeof(float));
    j->from_lcurve = !spi_call_given(j->call, "lambda");
    j->lambda = j->args->lambda;
    if (!j->from_lcurve) {
        err = spi_merging_solve(&j->m, j->lambda, &opt, j->A.data, &j->report);
        goto out;
    }
    SPI_TRY(err = spi_merging_solve_lcurve(&j->m, &j->set,
                                           strcmp(j->args->lcurve, "independent") == 0,
                                           &opt, j->A.data, &j->curve),
            out);
    j->lambda = j->curve.points[j->curve.choice.index].lambda;
    j->report = j->curve.report;
    err = write_curve(j);
out:
    spi_progress_end();
    return err;
}

/* ---- results ------------------------------------------------------------------------ */

static const char *lambda_from(const struct job *j)
{
    return j->from_lcurve ? spi_lcurve_how_text(j->curve.choice.how) : "given";
}

static spi_err write_maps(const struct job *j)
{
    struct spi_labels l;
    struct spi_volume W = {0};
    spi_err err;

    spi_labels_make(&l, j->call, 3, j->input,
                    "%lld images, D %.4g A, q %.5g..%.5g 1/A\n"
                    "lambda %.3g (%s), N_cg %d, nufft_tol %g",
                    (long long)j->o.n, j->diameter_A, j->q_min, j->q_max, j->lambda,
                    lambda_from(j), j->set.N_cg, j->tol);
    SPI_TRY(err = spi_mrc_write(j->args->out, &j->A, l.line), out);
    if (j->args->intensity) {
        SPI_TRY(err = spi_volume_fourier_even(&j->A, &W), out);
        snprintf(l.text[1], sizeof l.text[1],
                 "intensity; voxels in 1/A; measured in %.5g..%.5g 1/A", j->q_min,
                 j->q_max);
        err = spi_mrc_write(j->args->intensity, &W, l.line);
    }
out:
    spi_volume_clear(&W);
    return err;
}

/* Root of the weighted misfit relative to that of A = 0. */
static double misfit(const struct job *j)
{
    return j->m.norm2 > 0 ? sqrt(fmax(0, 1 - j->report.drop / j->m.norm2)) : 0;
}

static json_t *seconds_of(const struct job *j, double total)
{
    const struct spi_merging *m = &j->m;
    double part[4] = {m->read_s, m->spread_s, m->collect_s, m->solve_s};
    double all = fmax(part[0] + part[1] + part[2] + part[3], 1e-9);

    return json_pack("{s:f, s:{s:f, s:f, s:f, s:f}, s:{s:f, s:f, s:f, s:f}}", "seconds",
                     total, "parts_s", "read", part[0], "spread", part[1], "collect",
                     part[2], "solve", part[3], "shares", "read", part[0] / all, "spread",
                     part[1] / all, "collect", part[2] / all, "solve", part[3] / all);
}

static spi_err report_json(const struct job *j, double seconds)
{
    json_t *times = seconds_of(j, seconds);
    json_t *o = json_pack("{s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:i, s:f, s:s, s:s, s:f}",
                          "autocorrelation", spi_json_name(j->args->out), "images",
                          (json_int_t)j->o.n, "images_merged", (json_int_t)j->m.n_merged,
                          "pixels", (json_int_t)j->list.n, "diameter_A", j->diameter_A,
                          "q_min_invA", j->q_min, "q_max_invA", j->q_max, "voxels", j->m.n,
                          "voxel_A", j->m.dx, "method", j->args->method, "precision",
                          j->args->precision, "nufft_tol", j->tol);
    json_t *survey = spi_survey_json(j->images, &j->opening.survey, SPI_SURVEY_LISTED);
    json_t *solved = json_pack(
        "{s:f, s:s, s:i, s:f, s:s, s:I, s:f, s:f, s:i, s:I}", "lambda", j->lambda,
        "lambda_from", lambda_from(j), "steps", j->report.n_iter, "residual",
        j->report.residual, "end", spi_cg_end_text(j->report.end), "products",
        (json_int_t)j->m.products, "misfit", misfit(j), "misfit_expected",
        j->m.norm2 > 0 ? sqrt(j->m.noise2 / j->m.norm2) : 0, "workers",
        spi_graph_workers(j->graph), "peak_rss_bytes", (json_int_t)spi_peak_rss_bytes());

    if (o && solved && times) {
        json_object_update(o, solved);
        json_object_update(o, times);
        json_object_set(o, "survey", survey);
    }
    json_decref(survey);
    json_decref(solved);
    json_decref(times);
    return spi_print_json_take(o);
}

static spi_err report(const struct job *j, double seconds)
{
    const struct spi_merging *m = &j->m;

    if (j->args->json)
        return report_json(j, seconds);
    printf("images           %lld of %lld usable pixels, |q| %.5f to %.5f 1/A (%.2f A)\n",
           (long long)m->n_merged, (long long)j->list.n, j->q_min, j->q_max, 1 / j->q_max);
    printf("lambda           %.3g of the trace (%s)\n", j->lambda, lambda_from(j));
    printf("solution         %d steps, residual %.2e (%s)\n", j->report.n_iter,
           j->report.residual, spi_cg_end_text(j->report.end));
    printf("misfit           %.4f of the images' weighted norm\n", misfit(j));
    printf(
        "time             %.1f s: reading %.1f, spreading %.1f, FFT %.1f, solving %.1f\n",
        seconds, m->read_s, m->spread_s, m->collect_s, m->solve_s);
    printf("autocorrelation  %s: %d^3 voxels of %.4g A\n", j->args->out, m->n, m->dx);
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;
    struct job j = {.call = call, .args = a, .path = call->operand[0]};
    double t0 = spi_now_s();
    spi_err err;

    SPI_TRY(err = check(call), out);
    j.stop = spi_interrupt_catch();
    SPI_TRY(err = prepare(&j), out);
    SPI_TRY(err = weigh(&j), out);
    if (a->prior)
        SPI_TRY(err = read_prior(&j), out);
    if (spi_call_given(call, "workers"))
        j.set.workers = a->workers;
    SPI_TRY(err = spi_stage_graph(&j.set, j.stop, &j.graph), out);
    SPI_TRY(err = spread(&j), out);
    SPI_TRY(err = solve(&j), out);
    SPI_TRY(err = write_maps(&j), out);
    err = report(&j, spi_now_s() - t0);
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
    .size = sizeof(struct args),
    .run = run,
};
