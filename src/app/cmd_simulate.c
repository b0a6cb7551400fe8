/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel simulate: images of randomly oriented particles from their structures. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cmd.h"
#include "app/interrupt.h"
#include "app/print.h"
#include "app/progress.h"
#include "app/provenance.h"
#include "app/simulate.h"
#include "app/structure.h"
#include "base/cores.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "io/hash.h"
#include "io/mask.h"
#include "math/rot.h"

static const struct spi_simulate_args defaults = {
    .images = 1000,
    .seed = 1,
    .detector = {128, 128},
    .panels = {1, 1},
    .energy_eV = 1600,
    .pixel_um = 100,
    .polarisation = true,
    .solid_angle = true,
    .hydrogens = true,
    .response = {.hot_counts = 1000},
};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(spi_simulate_args, out), 0, 0, "FILE",
     "file of the images (HDF5)", .required = true},
    {'n', "images", SPI_COUNT(spi_simulate_args, images), 1, 1e9, "", "number of images"},
    {'s', "seed", SPI_COUNT(spi_simulate_args, seed), 0, 9e15, "", "of all random numbers"},
    {0, "workers", SPI_INT(spi_simulate_args, workers), 0, 1024, "",
     "threads; 0: one for each core that the process may use"},
    {0, "json", SPI_FLAG(spi_simulate_args, json), 0, 0, "", "print what was made as JSON"},
    SPI_HEADING("Particles"),
    {0, "assembly", SPI_INT(spi_simulate_args, assembly), 0, 1000000, "",
     "biological assembly of that number; 0: the atoms as in the file"},
    SPI_MODELS_OPT(spi_simulate_args, models),
    {0, "proportions", SPI_TEXT(spi_simulate_args, proportions), 0, 0, "A:B:...",
     "shares of several structures among the images", .absent = "equal"},
    {0, "waters", SPI_FLAG(spi_simulate_args, waters), 0, 0, "",
     "keep the waters of the file"},
    {0, "hydrogens", SPI_FLAG(spi_simulate_args, hydrogens), 0, 0, "",
     "keep the hydrogens of the file"},
    {0, "b-factors", SPI_FLAG(spi_simulate_args, use_b), 0, 0, "",
     "blur atoms by the B factors of the file, which describe a crystal"},
    {0, "views", SPI_REAL(spi_simulate_args, views_deg), 1e-6, 180, "degrees",
     "view directions lie within this angle of one random direction, as for particles on a "
     "film",
     .absent = "all directions"},
    SPI_HEADING("Beam"),
    {0, "energy", SPI_REAL(spi_simulate_args, energy_eV), 10, 1e6, "eV",
     "energy of a photon"},
    {0, "photons", SPI_REAL(spi_simulate_args, photons), 1e-6, 1e12, "",
     "mean number of photons in the usable pixels of an image; Poisson noise",
     .absent = "noise-free |F|^2"},
    {0, "fluence", SPI_REAL(spi_simulate_args, fluence), 1e-6, 1e30, "photons/um^2",
     "incident fluence, instead of --photons; Poisson noise", .absent = "none"},
    {0, "fluence-spread", SPI_REAL(spi_simulate_args, spread), 0, 3, "",
     "standard deviation of the logarithm of the fluence from image to image"},
    {0, "focus", SPI_CHOICE(spi_simulate_args, focus), 0, 0, "gaussian",
     "particles lie anywhere in a Gaussian focus, up to three widths from its middle: most "
     "images are weak",
     .absent = "every particle sees the same light"},
    {0, "noise-free", SPI_FLAG(spi_simulate_args, noise_free), 0, 0, "",
     "with --photons or --fluence: expected counts instead of Poisson counts"},
    {0, "pure-noise", SPI_FLAG(spi_simulate_args, pure_noise), 0, 0, "",
     "a negative control: Poisson noise around the particle's mean ring profile"},
    SPI_HEADING("What experiments add"),
    {0, "background", SPI_TEXT(spi_simulate_args, background), 0, 0, "SHAPE:RATIO",
     "light of another source, RATIO times the photons of the particles: flat, gas (falls "
     "off from the beam), streak (gas and a streak through the beam), panels (another "
     "level "
     "on each quadrant), or FILE[:/DATASET] of the detector's shape",
     .absent = "none", .names_file = true},
    {0, "background-spread", SPI_REAL(spi_simulate_args, background_spread), 0, 3, "",
     "standard deviation of the logarithm of the background from image to image"},
    {0, "junk", SPI_TEXTS(spi_simulate_args, junk), 0, 0, "KIND:SHARE",
     "a share of all images shows something else: blank, sphere (a water droplet of 60 to "
     "200 A), doublet (two particles that touch), or the structure of a FILE; may be "
     "repeated",
     .names_file = true},
    {0, "centre-error", SPI_TEXT(spi_simulate_args, centre_error), 0, 0, "DX[:DY]",
     "the beam is so many columns and rows from where the file says", .absent = "none"},
    {0, "centre-drift", SPI_TEXT(spi_simulate_args, centre_drift), 0, 0, "DX[:DY]",
     "the beam moves by so many columns and rows over the file, evenly, about its place",
     .absent = "none"},
    {0, "distance-error", SPI_REAL(spi_simulate_args, distance_error), -0.5, 0.5, "",
     "the detector is so much farther than the file says, as a share of the distance"},
    {0, "panel-error", SPI_REAL(spi_simulate_args, panel_error), 0, 100, "pixels",
     "each of the --panels is somewhere else than the file says: standard deviation along "
     "rows and along columns"},
    {0, "dead-pixels", SPI_REAL(spi_simulate_args, response.dead), 0, 1, "SHARE",
     "pixels that count nothing"},
    {0, "hot-pixels", SPI_REAL(spi_simulate_args, response.hot), 0, 1, "SHARE",
     "pixels that count --hot-counts more in every image"},
    {0, "flickering-pixels", SPI_REAL(spi_simulate_args, response.flickering), 0, 1,
     "SHARE", "pixels that are hot in a tenth of the images"},
    {0, "hot-counts", SPI_REAL(spi_simulate_args, response.hot_counts), 0, 1e6, "photons",
     "mean of what hot and flickering pixels add"},
    {0, "gap", SPI_TEXTS(spi_simulate_args, gaps), 0, 0, "R0:R1,C0:C1[=VALUE]",
     "rows R0 to R1-1 of columns C0 to C1-1 hold VALUE (0, nan, -1 ...; without: 0) in "
     "every image, and no mask says so; may be repeated"},
    {0, "missing-panels", SPI_TEXT(spi_simulate_args, missing), 0, 0, "Q[,Q...]",
     "quadrants of the detector, 1 to 4 in reading order, that hold 0, and no mask says so",
     .absent = "none"},
    {0, "saturation", SPI_REAL(spi_simulate_args, response.saturation), 0, 1e9, "photons",
     "a pixel counts no more than this", .absent = "none"},
    {0, "gain", SPI_REAL(spi_simulate_args, response.gain), 0, 1e6, "ADU",
     "what the detector reads of a photon: the file holds ADU", .absent = "photons"},
    {0, "read-noise", SPI_REAL(spi_simulate_args, response.noise), 0, 100, "photons",
     "with --gain: standard deviation of the readout"},
    {0, "pedestal", SPI_REAL(spi_simulate_args, response.pedestal), -1e6, 1e6, "ADU",
     "with --gain: what the detector reads of no photon"},
    SPI_HEADING("Detector"),
    {'d', "detector", SPI_SIZE(spi_simulate_args, detector), 2, 16384, "",
     "pixels, rows x columns"},
    {0, "panels", SPI_SIZE(spi_simulate_args, panels), 1, 1024, "",
     "cut into so many panels, rows x columns, which the file holds one after another; "
     "masks, gaps and quadrants are those of the whole detector"},
    {'r', "resolution", SPI_REAL(spi_simulate_args, resolution_A), 0.1, 1e4, "A",
     "1/|q| at the outer edge of the pixels in the middle of the (shorter) side",
     .absent = "from the distance"},
    {0, "corner", SPI_FLAG(spi_simulate_args, corner), 0, 0, "",
     "--resolution is that of the corner of the detector"},
    {0, "pixel-size-um", SPI_REAL(spi_simulate_args, pixel_um), 1e-3, 1e6, "um",
     "side of a pixel"},
    {0, "distance-m", SPI_REAL(spi_simulate_args, distance_m), 1e-6, 1e4, "m",
     "particle to detector, instead of --resolution", .absent = "from the resolution"},
    {0, "beam-stop", SPI_REAL(spi_simulate_args, beam_stop_px), 0, 16384, "pixels",
     "radius of the beam stop", .absent = "none"},
    {0, "beam-stop-q", SPI_REAL(spi_simulate_args, beam_stop_invA), 0, 12, "1/A",
     "pixels below this |q| are masked", .absent = "none"},
    {0, "mask", SPI_PATH(spi_simulate_args, mask), 0, 0, "FILE[:/DATASET]",
     "HDF5 mask of the detector's shape; not 0: masked"},
    {0, "mask-rect", SPI_TEXTS(spi_simulate_args, rectangles), 0, 0, "R0:R1,C0:C1",
     "mask rows R0 to R1-1 of columns C0 to C1-1; may be repeated"},
    {0, "polarisation", SPI_FLAG(spi_simulate_args, polarisation), 0, 0, "",
     "apply the polarisation factor, horizontal"},
    {0, "solid-angle", SPI_FLAG(spi_simulate_args, solid_angle), 0, 0, "",
     "apply the solid angle of each pixel"},
    {0},
};

/* ---- checks that the table cannot make ---------------------------------------------- */

static spi_err check(const struct spi_call *call)
{
    const struct spi_simulate_args *a = call->args;
    bool photons = spi_call_given(call, "photons"),
         fluence = spi_call_given(call, "fluence");
    bool distance = spi_call_given(call, "distance-m");

    if (call->n_operands > SPI_STRUCTURES_MAX)
        return spi_fail(SPI_EUSAGE, "simulate: %d structures; at most %d", call->n_operands,
                        SPI_STRUCTURES_MAX);
    if (photons && fluence)
        return spi_call_fail(call, "fluence", "either this or --photons");
    if (a->noise_free && !photons && !fluence)
        return spi_call_fail(call, "noise-free", "needs --photons or --fluence");
    if (a->pure_noise && !photons && !fluence)
        return spi_call_fail(call, "pure-noise", "needs --photons or --fluence");
    if (a->pure_noise && a->noise_free)
        return spi_call_fail(call, "pure-noise", "not with --noise-free");
    if (spi_call_given(call, "resolution") == distance)
        return spi_call_fail(call, "resolution", "give either this or --distance-m");
    if (a->corner && distance)
        return spi_call_fail(call, "corner", "needs --resolution");
    return SPI_OK;
}

/* "2:1" (or "2,1"): one number per structure. */
static spi_err read_proportions(struct spi_simulate_job *j)
{
    const char *text = j->args->proportions;
    double sum = 0;
    char *end;

    for (int i = 0; i < j->n; i++) {
        j->proportion[i] = 1;
        if (!j->args->proportions)
            continue;
        j->proportion[i] = strtod(text, &end);
        if (end == text || !(j->proportion[i] >= 0 && isfinite(j->proportion[i])) ||
            (i < j->n - 1 ? *end != ':' && *end != ',' : *end != 0))
            return spi_call_fail(j->call, "proportions",
                                 "'%s': need %d numbers, 0 or more, such as 2:1",
                                 j->args->proportions, j->n);
        sum += j->proportion[i];
        text = end + 1;
    }
    if (j->args->proportions && !(sum > 0))
        return spi_call_fail(j->call, "proportions", "'%s': all are 0",
                             j->args->proportions);
    return SPI_OK;
}

/* What options ask for, and cannot be, is a wrong command line. */
static spi_err of_options(spi_err err)
{
    return err == SPI_EINVAL ? SPI_EUSAGE : err;
}

/* ---- detector ----------------------------------------------------------------------- */

static spi_err make_detector(struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    int ny = a->detector[0], nx = a->detector[1];
    spi_err err = SPI_NEW(j->mask, (size_t)ny * (size_t)nx, "mask");

    if (!err && a->mask)
        err = spi_mask_read(a->mask, 1, ny, nx, j->mask);
    for (int i = 0; !err && i < a->rectangles.n; i++)
        if (spi_mask_rectangle(a->rectangles.item[i], ny, nx, j->mask)) {
            char text[SPI_MESSAGE_MAX];

            snprintf(text, sizeof text, "%s", spi_err_message());
            err = spi_call_fail(j->call, "mask-rect", "%s", text);
        }
    if (err)
        return err;
    if (a->energy_eV < 100 && !(a->resolution_A > 0))
        spi_warn(
            "--energy is %g eV, as of ultraviolet light: is it in keV? then multiply by "
            "1000",
            a->energy_eV);
    j->geometry = (struct spi_detector_options){.ny = ny,
                                                .nx = nx,
                                                .energy_eV = a->energy_eV,
                                                .resolution_A = a->resolution_A,
                                                .corner = a->corner,
                                                .pixel_size_m = a->pixel_um * 1e-6,
                                                .distance_m = a->distance_m,
                                                .no_polarisation = !a->polarisation,
                                                .no_solid_angle = !a->solid_angle,
                                                .beam_stop_px = a->beam_stop_px,
                                                .beam_stop_invA = a->beam_stop_invA,
                                                .panels = {a->panels[0], a->panels[1]},
                                                .mask = j->mask};
    SPI_TRY(err = of_options(spi_detector_make(&j->geometry, &j->told)), out);
    SPI_TRY(err = spi_experiment_centre(j->call, a, j->geometry.centre_px), out);
    SPI_TRY(err = spi_experiment_panels(j), out);
    j->geometry.panel_px = (const double(*)[2])j->panel_px;
    j->geometry.stretch = 1 + a->distance_error;
    err = of_options(spi_detector_make(&j->geometry, &j->detector));
    /* the mask of the file is that of the detector */
    if (!err)
        memcpy(j->told.bad, j->detector.bad, (size_t)j->told.n_pixels);
    if (!err)
        err = spi_experiment_drift(j);
out:
    return err;
}

/* ---- structures --------------------------------------------------------------------- */

static spi_err describe(struct spi_simulate_job *j, const char *path,
                        const struct spi_structure *s)
{
    char sha256[65];
    double diameter = 0;
    spi_err err = spi_file_sha256(path, sha256);

    err = err ? err : spi_structure_diameter_A(s, &diameter);
    if (err)
        return err;

    json_t *o = json_pack("{s:o, s:s, s:I, s:f, s:I, s:I}", "file", spi_json_name(path),
                          "sha256", sha256, "atoms", (json_int_t)s->n, "diameter_A",
                          diameter, "waters_dropped", (json_int_t)s->n_waters_skipped,
                          "alternates_dropped", (json_int_t)s->n_altloc_skipped);

    if (!o || json_array_append_new(j->inputs, o) != 0)
        return spi_no_memory("simulate", 0);
    return SPI_OK;
}

static spi_err add_structure(struct spi_simulate_job *j, int i, const char *path)
{
    const struct spi_simulate_args *a = j->args;
    struct spi_structure_options opt = {
        .assembly = a->assembly, .waters = a->waters, .hydrogens = a->hydrogens};
    struct spi_model_options model = {spi_detector_q_corner(&j->detector), a->use_b};
    struct spi_structure s = {0};
    double t = spi_now_s();
    spi_err err;

    for (int p = 0; p < j->n_drift; p++)
        model.q_max_invA = fmax(model.q_max_invA, spi_detector_q_corner(&j->drift[p]));
    SPI_TRY(err = spi_models_from_text(j->call, a->models, &opt.models), out);
    SPI_TRY(err = of_options(spi_structure_read(path, &opt, &s)), out);
    SPI_TRY(err = describe(j, path, &s), out);
    SPI_TRY(err = spi_model_new(&s, &model, &j->model[i]), out);
    spi_verbose(
        "%s: %lld atoms, transform of %.1f MB in %.2f s (%d radial functions, misfit "
        "%.1e)",
        path, (long long)s.n, (double)spi_model_bytes(j->model[i]) / 1e6, spi_now_s() - t,
        spi_model_rank(j->model[i]), spi_model_misfit(j->model[i]));
out:
    spi_structure_clear(&s);
    return err;
}

static spi_err make_simulator(struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    struct spi_simulate_options opt = {.n_images = a->images,
                                       .seed = (uint64_t)a->seed,
                                       .workers = a->workers > 0 ? a->workers : spi_cores(),
                                       .photons = a->photons,
                                       .fluence_ph_um2 = a->fluence,
                                       .noise_free = a->noise_free,
                                       .fluence_spread = a->spread,
                                       .pure_noise = a->pure_noise,
                                       .view_cone_rad = a->views_deg * SPI_PI / 180,
                                       .proportion = j->proportion};

    spi_experiment_options(j, &opt);
    return of_options(
        spi_simulator_new(&j->detector, j->n + j->n_others, j->model, &opt, &j->simulator));
}

/* ---- provenance and result ---------------------------------------------------------- */

static json_t *settings(const struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    json_t *proportion = json_array(), *rectangles = json_array();

    for (int i = 0; i < j->n; i++)
        json_array_append_new(proportion, json_real(j->proportion[i]));
    for (int i = 0; i < a->rectangles.n; i++)
        json_array_append_new(rectangles, spi_json_name(a->rectangles.item[i]));
    return json_pack(
        "{s:I, s:I, s:[i,i], s:f, s:f, s:b, s:f, s:f, s:f, s:f, s:o?, s:o, "
        "s:b, s:b, s:i, s:s, s:b, s:b, s:b, s:o, s:f, s:f, s:f, s:b, s:b, "
        "s:f, s:o}",
        "images", (json_int_t)a->images, "seed", (json_int_t)a->seed, "detector",
        a->detector[0], a->detector[1], "energy_eV", a->energy_eV, "resolution_A",
        a->resolution_A, "corner", a->corner, "pixel_size_um", a->pixel_um, "distance_m",
        j->detector.distance_m, "beam_stop_px", a->beam_stop_px, "beam_stop_invA",
        a->beam_stop_invA, "mask", a->mask ? spi_json_name(a->mask) : NULL, "mask_rect",
        rectangles, "polarisation", a->polarisation, "solid_angle", a->solid_angle,
        "assembly", a->assembly, "models", a->models ? a->models : "first", "waters",
        a->waters, "hydrogens", a->hydrogens, "b_factors", a->use_b, "proportions",
        proportion, "photons", a->photons, "fluence_ph_um2", a->fluence, "fluence_spread",
        a->spread, "noise_free", a->noise_free, "pure_noise", a->pure_noise, "views_deg",
        a->views_deg, "experiment", spi_experiment_json(j));
}

static spi_err make_provenance(struct spi_simulate_job *j)
{
    char host[256] = "";

    gethostname(host, sizeof host - 1);

    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:O, s:o, s:f}", "program", "spinifel",
                  "command", "simulate", "version", SPI_VERSION, "revision", SPI_REVISION,
                  "host", spi_json_name(host), "seed", (json_int_t)j->args->seed, "inputs",
                  j->inputs, "settings", settings(j), "photons_per_electron2",
                  spi_simulator_scale(j->simulator));

    j->provenance = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    return j->provenance ? SPI_OK : spi_no_memory("simulate", 0);
}

static spi_err progress(void *ctx, int64_t done)
{
    const struct spi_simulate_job *j = ctx;

    spi_progress_update(done, NULL);
    if (*j->stop)
        return spi_fail(SPI_ECANCEL,
                        "simulate: stopped after %lld of %lld images; %s was not "
                        "written",
                        (long long)done, (long long)j->args->images, j->args->out);
    return SPI_OK;
}

static spi_err report(const struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    bool photons = spi_simulator_kind(j->simulator) == SPI_PHOTONS;
    double edge, corner, seconds = spi_now_s() - j->t0, rate = (double)a->images / seconds;
    double sum = spi_simulator_mean_sum(j->simulator);

    spi_detector_resolution(&j->detector, &edge, &corner);
    if (a->json)
        return spi_print_json_take(json_pack(
            "{s:o, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:O, s:f, s:f}", "file",
            spi_json_name(a->out), "images", (json_int_t)a->images, "kind",
            photons ? "photons" : "intensities", "mean_sum", sum, "resolution_edge_A", edge,
            "resolution_corner_A", corner, "wavelength_A", j->detector.wavelength_A,
            "distance_m", j->detector.distance_m, "structures", j->inputs, "seconds",
            seconds, "images_per_s", rate));
    for (int i = 0; i < j->n; i++) {
        const json_t *s = json_array_get(j->inputs, (size_t)i);

        printf("structure   %s, %lld atoms, diameter %.1f A\n", j->call->operand[i],
               (long long)json_integer_value(json_object_get(s, "atoms")),
               json_real_value(json_object_get(s, "diameter_A")));
    }
    printf("detector    %d x %d, %.2f A at the edge, %.2f A in the corner\n",
           a->detector[0], a->detector[1], edge, corner);
    printf("images      %lld, %s, mean sum %.6g%s\n", (long long)a->images,
           photons                ? "photons"
           : a->response.gain > 0 ? "ADU"
                                  : "noise-free",
           sum, !photons && a->response.gain > 0 ? " photons" : "");
    printf("time        %.1f s, %.0f images/s\n", seconds, rate);
    printf("file        %s\n", a->out);
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    struct spi_simulate_job j = {.call = call, .args = call->args, .n = call->n_operands};
    spi_err err;

    j.t0 = spi_now_s();
    SPI_TRY(err = check(call), out);
    SPI_TRY(err = read_proportions(&j), out);
    SPI_TRY(err = spi_experiment_check(&j), out);
    SPI_TRY(err = make_detector(&j), out);
    j.inputs = json_array();
    for (int i = 0; i < j.n; i++)
        SPI_TRY(err = add_structure(&j, i, call->operand[i]), out);
    for (int i = 0; i < j.n_others; i++)
        SPI_TRY(err = add_structure(&j, j.n + i, j.other[i]), out);
    SPI_TRY(err = spi_experiment_make(&j), out);
    SPI_TRY(err = make_simulator(&j), out);
    SPI_TRY(err = make_provenance(&j), out);
    j.stop = spi_interrupt_catch();
    spi_progress_begin("simulating", j.args->images, "images");
    err = spi_simulator_write(j.simulator, j.args->out, j.provenance, progress, &j);
    spi_progress_end();
    if (!err)
        err = report(&j);
out:
    spi_simulator_free(j.simulator);
    for (int i = 0; i < SPI_STRUCTURES_MAX; i++)
        spi_model_free(j.model[i]);
    spi_experiment_clear(&j);
    spi_detector_clear(&j.detector);
    spi_detector_clear(&j.told);
    json_decref(j.inputs);
    free(j.mask);
    free(j.provenance);
    return err;
}

const struct spi_cmd spi_cmd_simulate = {
    .name = "simulate",
    .operands = "STRUCTURE...",
    .min_operands = 1,
    .max_operands = -1,
    .brief = "images of randomly oriented particles from their structures",
    .about =
        "Reads structures (PDB or mmCIF, plain or gzip) and writes images of single "
        "particles in random orientations, as a detector behind the beam would record "
        "them: curved Ewald sphere, polarisation, solid angle, beam stop and mask. The "
        "file also holds the true orientations, labels and fluences.\n\n"
        "Without --photons and --fluence the images are noise-free: |F|^2 in electrons^2 "
        "times polarisation and solid angle. Each image depends on the seed and its own "
        "number only, not on the workers. Atoms do not move unless --b-factors is given; "
        "the form factors are those of Waasmaier and Kirfel (1995) without dispersion; "
        "the particle is in vacuum.",
    .examples =
        {{"spinifel simulate 1I3Q.pdb -o images.h5 -n 5000 --resolution 12 --photons 10000",
          "10,000 photons an image, 12 A in the middle of the detector's edge"},
         {"spinifel simulate 1OEL.pdb -o groel.h5 --assembly 1 --resolution 12",
          "the biological assembly, noise-free"},
         {"spinifel simulate a.pdb b.cif.gz -o two.h5 --proportions 2:1 --resolution 8",
          "two structures"}},
    .opts = opts,
    .defaults = &defaults,
    .size = sizeof(struct spi_simulate_args),
    .run = run,
};
