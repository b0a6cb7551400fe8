/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel match: orientations of images, given a model. */
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
#include "fsc/orient_order.h"
#include "io/file.h"
#include "io/hash.h"
#include "math/rot.h"
#include "mtip/background.h"
#include "mtip/given.h"

static const double image_bytes = 1e9; /* of pixels in memory at once, of brute force */

struct args {
    const char *out, *model, *method, *score, *truth, *background;
    double diameter_A, q_max, q_min, finer, voxel_A;
    int workers;
    bool json, refine;
    struct spi_opening_args opening;
    struct spi_settings_args settings;
};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(args, out), 0, 0, "FILE", "the orientations (HDF5)",
     .required = true},
    {'m', "model", SPI_PATH(args, model), 0, 0, "AUTOCORRELATION.mrc",
     "autocorrelation of the model", .required = true},
    {0, "true", SPI_PATH(args, truth), 0, 0, "FILE.h5|truth",
     "true orientations in the frame of the model (truth: those in IMAGES.h5), for the "
     "error of the orientations that are found"},
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print the result as JSON"},
    {0, "workers", SPI_INT(args, workers), 0, 1024, "",
     "workers; 0: one for each core that the process may use", .absent = "runtime.workers"},
    SPI_HEADING("How"),
    {0, "method", SPI_CHOICE(args, method), 0, 0, "levels|rings|brute",
     "on rings, all in-plane angles at once, from coarse to fine or exhaustively; or pixel "
     "by pixel, as published",
     .absent = "levels"},
    {0, "score", SPI_CHOICE(args, score), 0, 0, spi_likelihood_names,
     "likelihood of photons; of analogue data with the variance of each ring; squared "
     "distance at the best scale; squared distance as it is (brute only)",
     .absent =
         "algorithm.score; auto is poisson of photons, gaussian of other values, as in "
         "reconstruct"},
    {0, "finer", SPI_REAL(args, finer), 0.1, 16, "",
     "orientations per Shannon cell 1/(2 diameter q_max)"},
    {0, "refine", SPI_FLAG(args, refine), 0, 0, "",
     "refine the best orientation of each image continuously, by its pixels"},
    SPI_HEADING("What is known"),
    {'d', "diameter", SPI_REAL(args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle",
     .absent = "particle.diameter_A, or side of the map / 2.1"},
    {0, "q-max", SPI_REAL(args, q_max), 0, 10, "1/A", "highest |q| compared",
     .absent = "the highest of images and model"},
    SPI_VOXEL_OPT(args, voxel_A),
    {0, "q-min", SPI_REAL(args, q_min), 0, 10, "1/A", "lowest |q| compared",
     .absent = "1/diameter or the beam stop"},
    {0, "background", SPI_PATH(args, background), 0, 0, "FILE[:/DATASET]",
     "light that is not the particle's, as in reconstruct: images without a particle, "
     "whose "
     "mean counts, or an array of the detector's shape",
     .absent = "none"},
    SPI_OPENING_OPTS(args, opening),
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};
static const struct args defaults = {.finer = 1};

struct job {
    const struct spi_call *call;
    const struct args *args;
    const char *path, *method;
    struct spi_settings set;
    struct spi_volume A;
    struct spi_opening opening;
    struct spi_images *images; /* borrowed from it */
    struct spi_graph *graph;
    struct spi_moved_centre moved;
    const struct spi_likelihood *like;
    double diameter_A, q_min, q_max;
    struct spi_data data;
    struct spi_given given;
    struct spi_orientations o, truth; /* truth.n = 0: not asked for */
    double *error;                    /* [n_errors] rad, ascending */
    int64_t n_errors;                 /* images with both orientations */
    float *background;                /* [n_pixels] of an image, owned; NULL: none given */
    double background_ratio;          /* (Q20) */
    struct spi_input input[4];        /* images, model, mask, background */
};

/* ---- choices ------------------------------------------------------------------------ */

static spi_err choose_score(struct job *j)
{
    const char *score = j->args->score ? j->args->score : j->set.score;
    double gain = j->opening.survey.gain;

    j->method = j->args->method ? j->args->method : "levels";
    j->like = spi_likelihood_named(score, spi_survey_images_kind(j->images, gain));
    if (!j->like->rings && strcmp(j->method, "brute") != 0)
        return spi_call_fail(j->call, "score", "%s needs --method brute", j->like->name);
    if (j->args->refine && !j->like->rings)
        return spi_call_fail(j->call, "refine", "there is none for --score %s",
                             j->like->name);
    return SPI_OK;
}

static spi_err choose_ranges(struct job *j, double reach)
{
    const struct args *a = j->args;
    const struct spi_detector *det = spi_images_detector(j->images);
    double D = spi_call_given(j->call, "diameter") ? a->diameter_A : j->set.diameter_A;
    double q = spi_call_given(j->call, "q-max") ? a->q_max : j->set.q_max_invA;
    double q0 = spi_call_given(j->call, "q-min") ? a->q_min : j->set.q_min_invA;

    j->diameter_A = D > 0 ? D : j->A.n * j->A.step / 2.1;
    j->q_max = q > 0 ? q : fmin(spi_detector_q_edge(det), reach * (1 + 1e-6));
    j->q_min = q0 > 0 ? q0 : fmax(1 / j->diameter_A, spi_stage_lowest_q(det));
    if (!(j->q_max < 0.5 / j->A.step))
        return spi_call_fail(j->call, "q-max", "%g 1/A; %s ends at %g 1/A", j->q_max,
                             a->model, 0.5 / j->A.step);
    if (!(j->q_max > j->q_min))
        return spi_fail(D > 0 || q > 0 || q0 > 0 ? SPI_EUSAGE : SPI_EFORMAT,
                        "%s: |q| from %g to %g 1/A leaves nothing to match", j->path,
                        j->q_min, j->q_max);
    return spi_stage_check_rings(j->path, j->diameter_A, j->q_min, j->q_max,
                                 j->set.ring_oversampling,
                                 spi_call_given(j->call, "q-max")   ? "--q-max"
                                 : spi_call_given(j->call, "q-min") ? "--q-min"
                                 : q > 0                            ? "particle.q_max_invA"
                                 : q0 > 0                           ? "particle.q_min_invA"
                                 : D > 0 ? "the diameter that is given"
                                         : NULL);
}

/* ---- the command -------------------------------------------------------------------- */

static void on_progress(int64_t done, int64_t total, void *user)
{
    (void)total;
    (void)user;
    spi_progress_update(done, NULL);
}

/* The images on their rings; the scratch file lies beside the output. */
static spi_err read_images(struct job *j)
{
    char beside[SPI_PATH_MAX], scratch[SPI_PATH_MAX];
    struct spi_data_spec spec = {.images = j->images,
                                 .gain = j->opening.survey.gain,
                                 .diameter_A = j->diameter_A,
                                 .q_min = j->q_min,
                                 .q_max = j->q_max,
                                 .set = &j->set,
                                 .background = j->background,
                                 .one_set = true,
                                 .scratch = scratch,
                                 .progress = on_progress};
    spi_err err;

    snprintf(beside, sizeof beside, "%.*s.rings", SPI_PATH_MAX - 8, j->args->out);
    SPI_TRY(err = spi_tmp_path(beside, scratch), out);
    spi_progress_begin("reading", spi_images_count(j->images), "images");
    err = spi_data_init(&j->data, j->graph, &spec);
    spi_progress_end();
out:
    return err;
}

static spi_err read_background(struct job *j)
{
    const char *path = j->args->background;
    spi_err err;

    if (!path)
        return SPI_OK;
    err = spi_background_read(path, j->images, &j->background);
    j->input[3] = (struct spi_input){.role = "background", .path = path};
    if (!err)
        spi_bytes_sha256((size_t)spi_images_detector(j->images)->n_pixels *
                             sizeof *j->background,
                         j->background, j->input[3].sha256);
    return err;
}

static spi_err prepare(struct job *j)
{
    double reach;
    spi_err err;

    SPI_TRY(err = spi_settings_from_args(&j->args->settings, &j->set), out);
    SPI_TRY(err = spi_stage_check_settings(&j->set), out);
    SPI_TRY(err = spi_stage_model(j->args->model, j->args->voxel_A, &j->A, &reach), out);
    SPI_TRY(err =
                spi_opening_init(j->call, j->path, &j->args->opening, &j->set, &j->opening),
            out);
    j->images = j->opening.images;
    SPI_TRY(err = choose_score(j), out);
    SPI_TRY(err = spi_opening_find_centre(j->path, &j->opening, &j->set, &j->moved), out);
    if (j->args->truth)
        SPI_TRY(err = spi_stage_orientations(j->args->truth, j->path, j->images,
                                             spi_images_count(j->images), &j->truth),
                out);
    SPI_TRY(err = choose_ranges(j, reach), out);
    SPI_TRY(err = read_background(j), out);
    j->input[0] =
        (struct spi_input){.role = "images", .path = j->path, .images = j->images};
    j->input[1] = (struct spi_input){.role = "model", .path = j->args->model};
    j->input[2] = (struct spi_input){
        .role = "mask", .path = j->args->opening.mask ? j->args->opening.mask : j->path};
    spi_images_mask_sha256(j->images, j->input[2].sha256);
    SPI_TRY(err = spi_inputs_hash(2, j->input), out);
    if (spi_call_given(j->call, "workers"))
        j->set.workers = j->args->workers;
    SPI_TRY(err = spi_stage_graph(&j->set, spi_interrupt_catch(), &j->graph), out);
    SPI_TRY(err = read_images(j), out);
    err = spi_given_init(&j->given, &(struct spi_given_spec){.data = &j->data,
                                                             .A = &j->A,
                                                             .set = &j->set,
                                                             .like = j->like,
                                                             .q_max = j->q_max,
                                                             .finer = j->args->finer,
                                                             .graph = j->graph,
                                                             .progress = on_progress});
out:
    return err;
}

static spi_err match(struct job *j)
{
    const struct spi_given *m = &j->given;
    int64_t n = j->data.n_images;
    spi_err err;

    spi_verbose(
        "match: %lld images, diameter %.1f A, |q| %.5f..%.5f 1/A, %lld directions x "
        "%d angles",
        (long long)n, j->diameter_A, j->q_min, j->q_max, (long long)m->views.nd,
        m->views.Na);
    spi_progress_begin("matching", n, "images");
    if (strcmp(j->method, "brute") == 0)
        err = spi_given_brute(m, image_bytes, &j->o);
    else
        err = spi_given_match(m, strcmp(j->method, "rings") == 0, &j->o);
    spi_progress_end();
    if (!err && j->args->refine) {
        spi_progress_begin("refining", n, "images");
        err = spi_given_refine(m, &j->o);
        spi_progress_end();
    }
    if (!err)
        j->background_ratio = spi_given_fluences(m, &j->o);
    return err;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* True orientations that do not agree: would they, in another convention? */
static spi_err tell_order(const struct job *j)
{
    const double right = 12 * SPI_PI / 180; /* as of spi_orient_error_compute */
    struct spi_orient_order other;
    int64_t inliers = 0;
    spi_err err;

    for (int64_t k = 0; k < j->truth.n; k++)
        inliers += j->error[k] < right;
    err = spi_orient_order_find(j->truth.n, j->o.quat, j->truth.quat, NULL, 0,
                                (double)inliers / (double)j->truth.n, &other);
    if (!err && other.words && other.of_truth)
        spi_warn("%s: the true quaternions seem to be %s: then the median error is %.2f "
                 "degrees; need (w, x, y, z) of molecule -> laboratory",
                 strcmp(j->args->truth, "truth") == 0 ? j->path : j->args->truth,
                 other.words, other.median_deg);
    return err;
}

static spi_err find_errors(struct job *j)
{
    spi_err err = SPI_NEW(j->error, j->truth.n, "errors");

    for (int64_t k = 0; k < j->truth.n && !err; k++) {
        double P[9], Q[9];

        if (!spi_orientations_has(&j->o, k) || !spi_orientations_has(&j->truth, k))
            continue;
        spi_rot_matrix(j->o.quat + 4 * k, P);
        spi_rot_matrix(j->truth.quat + 4 * k, Q);
        j->error[j->n_errors++] = spi_rot_angle_between(P, Q);
    }
    if (!err)
        err = tell_order(j);
    if (!err)
        qsort(j->error, (size_t)j->n_errors, sizeof *j->error, by_value);
    return err;
}

/* The error that a part of the images stays below, degrees. */
static double error_deg(const struct job *j, double part)
{
    return j->n_errors > 0
               ? j->error[(int64_t)(part * (double)(j->n_errors - 1))] * 180 / SPI_PI
               : (double)NAN;
}

static json_t *numbers_of(const struct job *j)
{
    json_t *o = json_pack("{s:s, s:s, s:f, s:f, s:f, s:I, s:i, s:f}", "method", j->method,
                          "score", j->like->name, "diameter_A", j->diameter_A, "q_min_invA",
                          j->q_min, "q_max_invA", j->q_max, "directions",
                          (json_int_t)j->given.views.nd, "angles", j->given.views.Na,
                          "cell_deg", j->given.views.cell * 180 / SPI_PI);

    if (o && j->background)
        json_object_set_new(o, "background_ratio", spi_json_number(j->background_ratio));
    return o;
}

static spi_err write_result(struct job *j)
{
    json_t *numbers = numbers_of(j);
    char *provenance = NULL;
    spi_err err;

    json_object_set_new(numbers, "survey",
                        spi_survey_json(j->images, &j->opening.survey, SPI_SURVEY_LISTED));
    err = spi_provenance(j->call, j->background ? 4 : 3, j->input, &j->set, numbers,
                         &provenance);
    j->o.moved = j->moved;
    if (!err)
        err = spi_orientations_write(j->args->out, &j->o, provenance);
    json_decref(numbers);
    free(provenance);
    return err;
}

static spi_err report(const struct job *j, double seconds)
{
    int64_t blank = j->o.n - spi_orientations_count(&j->o);
    double score = 0, margin = 0, n = (double)j->o.n, with = fmax(1, n - (double)blank);

    for (int64_t k = 0; k < j->o.n; k++)
        if (spi_orientations_has(&j->o, k)) {
            score += (double)j->o.score[k] / with;
            margin += (double)j->o.margin[k] / with;
        }
    if (j->args->json) {
        json_t *o = numbers_of(j);
        json_t *more =
            json_pack("{s:o, s:I, s:I, s:f, s:f, s:f, s:f}", "orientations",
                      spi_json_name(j->args->out), "images", (json_int_t)j->o.n, "blank",
                      (json_int_t)blank, "mean_score", score, "mean_margin", margin,
                      "seconds", seconds, "images_per_s", n / seconds);

        if (o && more)
            json_object_update(o, more);
        json_decref(more);
        if (j->truth.n > 0) {
            more = json_pack("{s:o, s:o}", "error_deg_median",
                             spi_json_number(error_deg(j, 0.5)), "error_deg_p90",
                             spi_json_number(error_deg(j, 0.9)));
            json_object_update(o, more);
            json_decref(more);
        }
        return spi_print_json_take(o);
    }
    printf("images        %lld, |q| %.5f to %.5f 1/A (%.2f A)\n", (long long)j->o.n,
           j->q_min, j->q_max, 1 / j->q_max);
    if (blank > 0)
        printf("blank         %lld images hold no signal and get no orientation\n",
               (long long)blank);
    printf("orientations  %lld directions x %d angles, %.2f degrees apart\n",
           (long long)j->given.views.nd, j->given.views.Na,
           j->given.views.cell * 180 / SPI_PI);
    printf("score         %s, mean %.6g, %.4g above the next direction\n", j->like->name,
           score, margin);
    if (j->background)
        printf("background    %.3g times the counts of the particle, as given\n",
               j->background_ratio);
    if (j->truth.n > 0)
        printf("error         median %.3f, 90 %% below %.3f degrees\n", error_deg(j, 0.5),
               error_deg(j, 0.9));
    printf("time          %.1f s, %.0f images/s (%s)\n", seconds, n / seconds, j->method);
    printf("file          %s\n", j->args->out);
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    struct job j = {.call = call, .args = call->args, .path = call->operand[0]};
    double t0 = spi_now_s();
    spi_err err;

    SPI_TRY(err = prepare(&j), out);
    SPI_TRY(err = match(&j), out);
    if (j.truth.n > 0)
        SPI_TRY(err = find_errors(&j), out);
    SPI_TRY(err = write_result(&j), out);
    err = report(&j, spi_now_s() - t0);
out:
    spi_orientations_clear(&j.o);
    spi_orientations_clear(&j.truth);
    free(j.error);
    free(j.background);
    spi_given_clear(&j.given);
    spi_data_clear(&j.data);
    spi_graph_free(j.graph);
    spi_opening_clear(&j.opening);
    spi_volume_clear(&j.A);
    return err;
}

const struct spi_cmd spi_cmd_match = {
    .name = "match",
    .operands = "IMAGES.h5",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "orientations of images, given a model",
    .about =
        "Compares every image with model images of all orientations, one Shannon cell "
        "apart at --q-max (or finer), and writes the best orientation of each image: "
        "quaternion, score, margin (score above the best of the other directions), and "
        "the fluence of the image.\n\n"
        "On rings one correlation compares all in-plane angles, and the angle is refined "
        "between the steps. The method \"levels\" compares all directions at low "
        "resolution (algorithm.init_qD) and then, step by step with more rings, only the "
        "neighbours of the best ones (algorithm.N_candidates); its margins are above these "
        "neighbours. The method \"rings\" "
        "compares all directions at full resolution. The method \"brute\" compares pixel "
        "by pixel with model images of all orientations, as published; it is slower by "
        "orders of magnitude and serves as a reference. After any of these methods "
        "--refine maximises the likelihood of the pixels over all three angles.\n\n"
        "The images are read as reconstruct reads them: values that are whole multiples of "
        "one number are photons, and images without signal (algorithm.signal_min) get no "
        "orientation. Images that repeat another image get one. Where the images take more "
        "than a third of the free memory, a scratch file beside the output holds them.\n\n"
        "Images and model need no common scale: their means are made equal first. The "
        "model "
        "is of the particle alone. Where the images hold other light, give it "
        "(--background): they are then compared with the model and that light together, "
        "and the fluences are those of the particle. Where "
        "the file is clearly wrong about the beam's centre, the command uses the centre "
        "that the images show, as reconstruct does (particle.centre), and writes it "
        "to the orientations, from where merge and slice take it.",
    .examples = {{"spinifel match images.h5 --model run1/autocorrelation.mrc -o "
                  "orientations.h5",
                  "at the full resolution of images and model"},
                 {"spinifel match images.h5 -m a.mrc -o o.h5 --method brute --q-max 0.03",
                  "pixel by pixel, to 33 A"}},
    .opts = opts,
    .defaults = &defaults,
    .size = sizeof(struct args),
    .run = run,
};
