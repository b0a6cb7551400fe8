/* spinifel merge: images at known orientations -> autocorrelation. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "app/interrupt.h"
#include "app/print.h"
#include "app/progress.h"
#include "app/provenance.h"
#include "app/stage.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/mrc.h"
#include "merge/normal.h"
#include "merge/pixels.h"

enum { SIDE_MAX = 512 }; /* a plan of twice as many modes is needed */

struct args {
    const char *out, *orientations, *lcurve, *intensity;
    double diameter_A, q_max, q_min, lambda;
    bool l_curve, json;
    struct spi_settings_args settings;
};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_PATH(args, out), 0, 0, "FILE", "the autocorrelation, an MRC map",
     .required = true},
    {0, "orientations", SPI_PATH(args, orientations), 0, 0, "FILE.h5|truth",
     "one for each image; \"truth\": those that the image file holds", .required = true},
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print the result as JSON"},
    SPI_HEADING("What is known"),
    {'d', "diameter", SPI_REAL(args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "particle.diameter_A"},
    {0, "q-max", SPI_REAL(args, q_max), 0, 10, "1/A", "highest |q| merged",
     .absent = "the middle of the detector's edge"},
    {0, "q-min", SPI_REAL(args, q_min), 0, 10, "1/A", "lowest |q| merged",
     .absent = "1/diameter"},
    SPI_HEADING("Regularisation"),
    {0, "lambda", SPI_REAL(args, lambda), 0, 1e3, "",
     "Tikhonov weight, relative to the trace, instead of the L-curve"},
    {0, "l-curve", SPI_FLAG(args, l_curve), 0, 0, "",
     "choose lambda from the L-curve (algorithm.N_lambda weights)"},
    SPI_HEADING("Also write"),
    {0, "lcurve", SPI_PATH(args, lcurve), 0, 0, "FILE.csv", "the L-curve as a table"},
    {0, "intensity", SPI_PATH(args, intensity), 0, 0, "FILE.mrc",
     "the intensity, the Fourier transform of the autocorrelation"},
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};
static const struct args defaults = {.l_curve = true};

struct job {
    const struct spi_call *call;
    const struct args *args;
    const char *path;
    struct spi_settings set;
    struct spi_images *images;
    const struct spi_detector *det; /* borrowed */
    struct spi_orientations o;
    struct spi_pixel_list list;
    double diameter_A, q_min, q_max, dx;
    int n;
    spi_nufft *plan; /* 2 n modes */
    float *grid2;
    double weight, norm2; /* sums of w, w b^2 */
    struct spi_volume A;
    bool from_lcurve;
    double lambda;
    struct spi_lcurve_point *points; /* [N_lambda] */
    struct spi_lcurve_choice choice;
    struct spi_cg_report report; /* of the chosen solution */
    const volatile int *stop;
    struct spi_input input[2];
};

static spi_err check(const struct spi_call *call)
{
    const struct args *a = call->args;
    bool lambda = spi_call_given(call, "lambda");

    if (lambda && spi_call_given(call, "l-curve") && a->l_curve)
        return spi_call_fail(call, "lambda", "either this or --l-curve");
    if (!lambda && !a->l_curve)
        return spi_call_fail(call, "lambda", "is needed with --no-l-curve");
    if (lambda && a->lcurve)
        return spi_call_fail(call, "lcurve", "there is no L-curve with --lambda");
    return SPI_OK;
}

/* ---- what the images allow ----------------------------------------------------------- */

static spi_err find_ranges(struct job *j)
{
    const struct args *a = j->args;
    double corner = spi_detector_q_corner(j->det);

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
        return spi_fail(SPI_EINVAL, "%s: |q| from %g to %g 1/A leaves nothing to merge",
                        j->path, j->q_min, j->q_max);
    /* the grid of spi_merge_grid, asked before its numbers can overflow */
    if (2.1 * 2.08 * j->diameter_A * j->q_max > SIDE_MAX)
        return spi_fail(SPI_EINVAL,
                        "%s: diameter %g A to |q| = %g 1/A needs %.0f voxels an axis; at "
                        "most %d are possible",
                        j->path, j->diameter_A, j->q_max,
                        2.1 * 2.08 * j->diameter_A * j->q_max, SIDE_MAX);
    spi_merge_grid(j->diameter_A, j->q_max, &j->n, &j->dx);
    if (j->n > SIDE_MAX)
        return spi_fail(SPI_EINVAL, "%s: a grid of %d voxels an axis; at most %d", j->path,
                        j->n, SIDE_MAX);
    return SPI_OK;
}

static spi_err prepare(struct job *j)
{
    const struct args *a = j->args;
    bool truth = strcmp(a->orientations, "truth") == 0;
    spi_err err;

    SPI_TRY(err = spi_settings_from_args(&a->settings, &j->set), out);
    SPI_TRY(err = spi_images_open(j->path, &j->images), out);
    j->det = spi_images_detector(j->images);
    SPI_TRY(err = find_ranges(j), out);
    SPI_TRY(err = spi_stage_orientations(a->orientations, j->path, j->images,
                                         spi_images_count(j->images), &j->o),
            out);
    SPI_TRY(err = spi_pixel_list_init(&j->list, j->det, j->q_min, j->q_max), out);
    j->input[0] = (struct spi_input){.role = "images", .path = j->path};
    j->input[1] =
        (struct spi_input){.role = "orient", .path = truth ? j->path : a->orientations};
    err = spi_inputs_hash(2, j->input);
out:
    return err;
}

/* ---- images -------------------------------------------------------------------------- */

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

        for (int64_t p = 0; p < j->list.n; p++)
            sum += (double)pixels[k * j->det->n_pixels + j->list.pixel[p]];
        j->o.fluence[first + k] = (float)sum;
    }
    return SPI_OK;
}

/* Fluences that no file gives: counts of each image relative to the mean. */
static spi_err estimate_fluence(struct job *j)
{
    double sum = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(j->o.fluence, j->o.n, "fluences"), out);
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
        j->o.fluence[k] = (float)((double)j->o.fluence[k] * (double)j->o.n / sum);
out:
    return err;
}

static spi_err merge_block(struct job *j, int64_t first, int64_t n, const float *pixels)
{
    return spi_pixels_merge(&j->list, n, j->det->n_pixels, pixels,
                            (const double(*)[4])j->o.quat + first, j->o.fluence + first,
                            j->plan, j->grid2, &j->weight, &j->norm2);
}

/* ---- solution ------------------------------------------------------------------------ */

static spi_err solve_lcurve(struct job *j, const struct spi_normal *N)
{
    int n = j->set.N_lambda;
    double *lambdas = NULL, lo = j->set.lambda_min, hi = j->set.lambda_max;
    spi_err err;

    if (!(lo > 0 && hi > lo))
        return spi_fail(SPI_EINVAL,
                        "algorithm.lambda_min is %g, lambda_max %g; need 0 < min < max", lo,
                        hi);
    SPI_TRY(err = SPI_NEW(lambdas, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(j->points, n, "L-curve"), out);
    for (int i = 0; i < n; i++)
        lambdas[i] = lo * pow(hi / lo, (double)i / (n - 1));
    SPI_TRY(err = spi_normal_lcurve(N, n, lambdas, j->set.N_cg, j->norm2, j->stop,
                                    j->A.data, j->points, &j->choice),
            out);
    j->lambda = j->points[j->choice.index].lambda;
    if (j->args->lcurve) {
        char *text = NULL;

        SPI_TRY(err = spi_lcurve_csv(n, j->points, &j->choice, &text), out);
        err = spi_file_write_text(j->args->lcurve, text, strlen(text));
        free(text);
    }
out:
    free(lambdas);
    return err;
}

static spi_err solve(struct job *j)
{
    struct spi_normal N = {0};
    spi_err err;

    spi_progress_begin("solving", 0, "steps");
    SPI_TRY(err = spi_normal_init(&N, j->n, j->diameter_A, j->plan, j->grid2, j->weight),
            out);
    free(j->grid2); /* large, and no longer needed */
    j->grid2 = NULL;
    SPI_TRY(err = spi_volume_init(&j->A, j->n, j->dx), out);
    j->from_lcurve = !spi_call_given(j->call, "lambda");
    j->lambda = j->args->lambda;
    if (j->from_lcurve)
        SPI_TRY(err = solve_lcurve(j, &N), out);
    else
        SPI_TRY(err = spi_normal_solve(&N, j->lambda, j->set.N_cg, j->stop, j->A.data,
                                       &j->report),
                out);
out:
    spi_normal_clear(&N);
    spi_progress_end();
    return err;
}

/* ---- results ------------------------------------------------------------------------- */

static spi_err write_maps(const struct job *j)
{
    struct spi_labels l;
    struct spi_volume W = {0};
    spi_err err;

    spi_labels_make(&l, j->call, 2, j->input,
                    "%lld images, D %.4g A, q %.5g..%.5g 1/A\n"
                    "lambda %.3g (%s), N_cg %d, nufft_tol %g",
                    (long long)j->o.n, j->diameter_A, j->q_min, j->q_max, j->lambda,
                    j->from_lcurve ? spi_lcurve_how_text(j->choice.how) : "given",
                    j->set.N_cg, j->set.nufft_tol);
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
    if (!(j->norm2 > 0))
        return 0;
    if (j->from_lcurve)
        return j->points[j->choice.index].residual / sqrt(j->norm2);
    return sqrt(fmax(0, 1 - j->report.drop / j->norm2));
}

static spi_err report(const struct job *j, double seconds)
{
    const char *how = j->from_lcurve ? spi_lcurve_how_text(j->choice.how) : "given";

    if (j->args->json)
        return spi_print_json_take(json_pack(
            "{s:o, s:I, s:I, s:f, s:f, s:f, s:i, s:f, s:f, s:s, s:f, s:f}",
            "autocorrelation", spi_json_name(j->args->out), "images", (json_int_t)j->o.n,
            "pixels", (json_int_t)j->list.n, "diameter_A", j->diameter_A, "q_min_invA",
            j->q_min, "q_max_invA", j->q_max, "voxels", j->n, "voxel_A", j->dx, "lambda",
            j->lambda, "lambda_from", how, "misfit", misfit(j), "seconds", seconds));
    printf("images           %lld of %lld usable pixels, |q| %.5f to %.5f 1/A (%.2f A)\n",
           (long long)j->o.n, (long long)j->list.n, j->q_min, j->q_max, 1 / j->q_max);
    printf("lambda           %.3g of the trace (%s)\n", j->lambda, how);
    printf("misfit           %.4f of the images' weighted norm\n", misfit(j));
    printf("autocorrelation  %s: %d^3 voxels of %.4g A\n", j->args->out, j->n, j->dx);
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    struct job j = {.call = call, .args = call->args, .path = call->operand[0]};
    double t0 = spi_now_s();
    spi_err err;

    SPI_TRY(err = check(call), out);
    j.stop = spi_interrupt_catch();
    SPI_TRY(err = prepare(&j), out);
    if (!j.o.fluence)
        SPI_TRY(err = estimate_fluence(&j), out);
    SPI_TRY(err = spi_nufft_new(2 * j.n, j.dx, j.set.nufft_tol, &j.plan), out);
    SPI_TRY(err = spi_nufft_grid_new(j.plan, 2, &j.grid2), out);
    SPI_TRY(err = each_block(&j, "merging", merge_block), out);
    SPI_TRY(err = solve(&j), out);
    SPI_TRY(err = write_maps(&j), out);
    err = report(&j, spi_now_s() - t0);
out:
    free(j.points);
    spi_volume_clear(&j.A);
    free(j.grid2);
    spi_nufft_free(j.plan);
    spi_pixel_list_clear(&j.list);
    spi_orientations_clear(&j.o);
    spi_images_close(j.images);
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
        "turned by their orientations, agrees best with what was measured: weighted "
        "least squares with a Tikhonov term, solved by conjugate gradients. It is "
        "zero beyond the diameter of the particle. The weight of the Tikhonov term "
        "comes from the L-curve, or from --lambda.\n\n"
        "The fluence of each image comes from the file of orientations; without it, "
        "from the image's counts relative to the mean.\n\n"
        "Writes an MRC map in the units of the images; what no option says comes from "
        "the settings.",
    .examples = {{"spinifel merge images.h5 --orientations run1/orientations.h5 --diameter "
                  "140 -o autocorrelation.mrc --lcurve lcurve.csv",
                  "at orientations that were found"},
                 {"spinifel merge images.h5 --orientations truth -d 140 --lambda 0.01 -o "
                  "best.mrc",
                  "simulated images at their true orientations"}},
    .opts = opts,
    .defaults = &defaults,
    .size = sizeof(struct args),
    .run = run,
};
