/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel slice: model images from an autocorrelation. */
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
#include "slice/slice_pixels.h"

struct args {
    const char *out, *orientations, *geometry;
    double q_max, voxel_A;
    bool json;
    struct spi_settings_args settings;
};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(args, out), 0, 0, "FILE", "file of the images (HDF5)",
     .required = true},
    {0, "orientations", SPI_PATH(args, orientations), 0, 0, "FILE.h5|truth",
     "orientations, one image each; \"truth\": those of the --geometry file",
     .required = true},
    {'g', "geometry", SPI_PATH(args, geometry), 0, 0, "IMAGES.h5",
     "images whose detector is used", .required = true},
    {0, "q-max", SPI_REAL(args, q_max), 0, 10, "1/A", "pixels beyond are marked as bad",
     .absent = "1/(2.08 voxels)"},
    SPI_VOXEL_OPT(args, voxel_A),
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print what was made as JSON"},
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};

struct job {
    const struct spi_call *call;
    const struct args *args;
    struct spi_settings set;
    struct spi_volume A;
    struct spi_images *images;
    struct spi_detector det; /* borrows all but `bad` from the images */
    struct spi_orientations o;
    struct spi_pixel_list list;
    spi_nufft *plan;
    float *grid;
    spi_packed *kept; /* of the grid */
    double q_max;
    int64_t n_negative; /* model values below zero, written as 0 */
    double sum;
    struct spi_input input[3];
    char *provenance;
};

static spi_err choose_q_max(struct job *j, double reach)
{
    const struct args *a = j->args;

    j->q_max = reach * (1 + 1e-6); /* voxel sizes are stored as floats */
    if (spi_call_given(j->call, "q-max")) {
        if (!(a->q_max < 0.5 / j->A.step))
            return spi_call_fail(j->call, "q-max", "%g 1/A; %s ends at %g 1/A", a->q_max,
                                 j->call->operand[0], 0.5 / j->A.step);
        j->q_max = a->q_max;
    }
    return SPI_OK;
}

/* The detector of the images; pixels that the model does not reach are bad. */
static spi_err make_detector(struct job *j)
{
    const struct spi_detector *d = spi_images_detector(j->images);
    spi_err err;

    j->det = *d;
    j->det.bad = NULL;
    SPI_TRY(err = SPI_NEW(j->det.bad, d->n_pixels, "mask"), out);
    memset(j->det.bad, 1, (size_t)d->n_pixels);
    SPI_TRY(err = spi_pixel_list_init(&j->list, d, 0, j->q_max), out);
    for (int64_t p = 0; p < j->list.n; p++)
        j->det.bad[j->list.pixel[p]] = 0;
out:
    return err;
}

static spi_err prepare(struct job *j)
{
    const struct args *a = j->args;
    double reach;
    json_t *numbers = NULL;
    spi_err err;

    SPI_TRY(err = spi_settings_from_args(&a->settings, &j->set), out);
    SPI_TRY(err = spi_stage_check_settings(&j->set), out);
    SPI_TRY(err = spi_stage_model(j->call->operand[0], j->args->voxel_A, &j->A, &reach),
            out);
    SPI_TRY(err = spi_images_open(a->geometry, &j->images), out);
    SPI_TRY(err = choose_q_max(j, reach), out);
    SPI_TRY(err = spi_stage_orientations(
                a->orientations, a->geometry, j->images,
                strcmp(a->orientations, "truth") == 0 ? spi_images_count(j->images) : 0,
                &j->o),
            out);
    SPI_TRY(err = spi_opening_take_geometry(a->geometry, j->images, &j->set,
                                            a->orientations, &j->o),
            out);
    SPI_TRY(err = make_detector(j), out);
    SPI_TRY(err = spi_stage_prepare(&j->A, j->set.nufft_tol, &j->plan, &j->grid), out);
    SPI_TRY(err = spi_packed_new(j->plan, j->grid, &j->kept), out);
    if (!spi_packed_reads_grid(j->kept)) {
        free(j->grid);
        j->grid = NULL;
    }
    j->input[0] = (struct spi_input){.role = "model", .path = j->call->operand[0]};
    j->input[1] = (struct spi_input){.role = "geometry", .path = a->geometry};
    j->input[2] = (struct spi_input){
        .role = "orient",
        .path = strcmp(a->orientations, "truth") == 0 ? a->geometry : a->orientations};
    SPI_TRY(err = spi_inputs_hash(3, j->input), out);
    numbers = json_pack("{s:f, s:f, s:i}", "q_max_invA", j->q_max, "voxel_A", j->A.step,
                        "voxels", j->A.n);
    err = spi_provenance(j->call, 3, j->input, &j->set, numbers, &j->provenance);
out:
    json_decref(numbers);
    return err;
}

/* Images first ... first+n-1.  Intensities are not negative; a merged model may be, a
 * little.  An image without an orientation is empty. */
static spi_err slice_block(struct job *j, int64_t first, int64_t n, float *pixels)
{
    int64_t count = n * j->det.n_pixels;
    double *quat = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(quat, 4 * n, "orientations"), out);
    memcpy(quat, j->o.quat + 4 * first, 4 * (size_t)n * sizeof *quat);
    for (int64_t k = 0; k < n; k++)
        if (!spi_orientations_has(&j->o, first + k))
            memcpy(quat + 4 * k, (const double[4]){1, 0, 0, 0}, 4 * sizeof *quat);
    SPI_TRY(err = spi_slice_pixels(&j->list, n, j->det.n_pixels, (const double(*)[4])quat,
                                   j->o.fluence ? j->o.fluence + first : NULL, j->plan,
                                   j->kept, pixels),
            out);
    for (int64_t k = 0; k < n; k++)
        if (!spi_orientations_has(&j->o, first + k))
            memset(pixels + k * j->det.n_pixels, 0,
                   (size_t)j->det.n_pixels * sizeof *pixels);
    for (int64_t i = 0; i < count; i++) {
        if (pixels[i] < 0) {
            pixels[i] = 0;
            j->n_negative++;
        }
        j->sum += (double)pixels[i];
    }
out:
    free(quat);
    return err;
}

static spi_err write_block(struct job *j, struct spi_images_writer *w, int64_t first,
                           int64_t n, const float *pixels)
{
    struct spi_image_truth truth = {.quat = j->o.quat + 4 * first};
    spi_err err = SPI_OK;

    if (j->o.fluence) {
        SPI_TRY(err = SPI_NEW(truth.fluence, n, "fluences"), out);
        for (int64_t k = 0; k < n; k++)
            truth.fluence[k] = (double)j->o.fluence[first + k];
    }
    err = spi_images_append(w, n, pixels, &truth);
out:
    free(truth.fluence);
    return err;
}

static spi_err make_images(struct job *j)
{
    const volatile int *stop = spi_interrupt_catch();
    struct spi_images_spec spec = {.n_images = j->o.n,
                                   .kind = SPI_INTENSITIES,
                                   .detector = &j->det,
                                   .provenance_json = j->provenance};
    struct spi_images_writer *w = NULL;
    int64_t block = spi_stage_block(&j->det);
    float *pixels = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(pixels, block * j->det.n_pixels, "images"), out);
    SPI_TRY(err = spi_images_create(j->args->out, &spec, &w), out);
    spi_progress_begin("slicing", j->o.n, "images");
    for (int64_t k = 0; k < j->o.n; k += block) {
        int64_t n = j->o.n - k < block ? j->o.n - k : block;

        if (*stop)
            SPI_TRY(err = spi_fail(SPI_ECANCEL, "slice: stopped; %s was not written",
                                   j->args->out),
                    out);
        SPI_TRY(err = slice_block(j, k, n, pixels), out);
        SPI_TRY(err = write_block(j, w, k, n, pixels), out);
        spi_progress_update(k + n, NULL);
    }
    err = spi_images_finish_take(w);
    w = NULL;
out:
    spi_progress_end();
    spi_images_abandon(w);
    free(pixels);
    return err;
}

static spi_err report(const struct job *j, double seconds)
{
    double used = (double)(j->o.n * j->list.n), negative = (double)j->n_negative / used;

    if (negative > 0.01)
        spi_warn("%s: %.1f %% of the model's intensities were negative; written as 0",
                 j->args->out, 100 * negative);
    if (j->args->json)
        return spi_print_json_take(
            json_pack("{s:o, s:I, s:I, s:f, s:f, s:f, s:f}", "file",
                      spi_json_name(j->args->out), "images", (json_int_t)j->o.n, "pixels",
                      (json_int_t)j->list.n, "q_max_invA", j->q_max, "mean_sum",
                      j->sum / (double)j->o.n, "negative", negative, "seconds", seconds));
    printf("images      %lld of %lld usable pixels, |q| up to %.5f 1/A (%.2f A)\n",
           (long long)j->o.n, (long long)j->list.n, j->q_max, 1 / j->q_max);
    printf("mean sum    %.6g\n", j->sum / (double)j->o.n);
    printf("file        %s\n", j->args->out);
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    struct job j = {.call = call, .args = call->args};
    double t0 = spi_now_s();
    spi_err err;

    SPI_TRY(err = prepare(&j), out);
    SPI_TRY(err = make_images(&j), out);
    err = report(&j, spi_now_s() - t0);
out:
    free(j.provenance);
    spi_packed_free(j.kept);
    free(j.grid);
    spi_nufft_free(j.plan);
    spi_pixel_list_clear(&j.list);
    spi_orientations_clear(&j.o);
    free(j.det.bad);
    spi_images_close(j.images);
    spi_volume_clear(&j.A);
    return err;
}

const struct spi_cmd spi_cmd_slice = {
    .name = "slice",
    .operands = "AUTOCORRELATION.mrc",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "model images from an autocorrelation",
    .about =
        "Computes the images that the detector of --geometry would record of a particle "
        "with this autocorrelation, one noise-free image for each orientation: the "
        "Fourier transform of the map at the exact, curved positions of the pixels, "
        "times the geometry factor of each pixel, times the fluence of the orientation "
        "if the file has fluences.\n\n"
        "Writes a file of images, with the orientations as their truth. Pixels beyond "
        "--q-max, where the images of a merged map do not determine it, are marked as "
        "bad; negative intensities become 0.",
    .examples = {{"spinifel slice run1/autocorrelation.mrc --orientations "
                  "run1/orientations.h5 --geometry images.h5 -o model.h5",
                  "what the model says of each image"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
