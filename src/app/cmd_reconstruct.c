/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel reconstruct: the main job. */
#include <errno.h>
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
#include "app/rundir.h"
#include "app/stage.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/version.h"
#include "fsc/symmetry_fit.h"
#include "io/file.h"
#include "io/state.h"
#include "math/symmetry.h"
#include "mtip/finish.h"
#include "mtip/preview.h"

struct args {
    const char *out, *symmetry, *trace;
    int64_t seed;
    int workers;
    double diameter_A;
    bool resume, force, json;
    struct spi_opening_args opening;
    struct spi_settings_args settings;
};
static const double most_pixel =
    1.5;              /* of 1 / diameter: a pixel that sees speckles at all */
enum { WORK = 1000 }; /* parts of the planned work, for the bar */

static const struct args defaults = {.seed = 1};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT_DIR(args, out), 0, 0, "DIR",
     "directory of the run; it is made where it does not exist", .required = true,
     .writes = spi_rundir_writes},
    {'s', "seed", SPI_COUNT(args, seed), 0, 2147483647, "",
     "of all random numbers of the reconstruction", .absent = "runtime.seed"},
    {'d', "diameter", SPI_REAL(args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "estimated from the images"},
    {0, "symmetry", SPI_TEXT(args, symmetry), 0, 0, "GROUP",
     "point group of the particle: C2, C17, D7, T, O, I ...",
     .absent = "algorithm.symmetry"},
    {0, "resume", SPI_FLAG(args, resume), 0, 0, "",
     "continue an interrupted run of the same images and settings"},
    {0, "force", SPI_FLAG(args, force), 0, 0, "",
     "begin anew in a directory that holds a run; its results stay in DIR/previous until "
     "new ones stand"},
    {'j', "workers", SPI_INT(args, workers), 0, 1024, "",
     "workers; 0: one for each core that the process may use", .absent = "runtime.workers"},
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print the result as JSON"},
    {0, "trace", SPI_OUT(args, trace), 0, 0, "FILE.jsonl",
     "a line for each task: name, seconds, the arrays that it reads and writes "
     "(doc/formats.md); benches/cores.py computes from the lines what more cores would "
     "give"},
    SPI_OPENING_OPTS(args, opening),
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};

/* Everything that lives as long as the command. */
struct job {
    const struct spi_call *call;
    const struct args *args;
    const char *path;
    struct spi_settings set;
    struct spi_opening opening;
    struct spi_images *images; /* borrowed from it */
    struct spi_graph *graph;
    struct spi_preview preview;
    struct spi_data data;
    struct spi_contrast contrast;
    struct spi_run *run;
    struct spi_result result;
    const volatile int *stop;
    int lock;
    bool made_dir, begun; /* the directory is new; something is written into it */
    bool going_on;        /* from the state of an interrupted or ended run */
    double diameter_A, q_min, q_max;
    bool diameter_given;
    /* that the run has had: the first, then those that the initialisations showed */
    int32_t n_diameters;
    double had_A[SPI_DIAMETERS_MAX];
    char sha256[65], mask_sha256[65], *key, *provenance;
    double t0;
};

static void path_in(const struct job *j, const char *name, char path[SPI_PATH_MAX])
{
    spi_rundir_path(j->args->out, name, path);
}

/* ---- what the images allow ---------------------------------------------------------- */

static double length(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

static double lowest_q(const struct spi_detector *det)
{
    double least = INFINITY;

    for (int64_t p = 0; p < det->n_pixels; p++)
        if (!det->bad[p])
            least = fmin(least, length(det->q + 3 * p));
    return least;
}

/* What the first look at the images found. */
static void tell_preview(const struct job *j)
{
    const struct spi_preview *s = &j->preview;
    const struct spi_detector *det = spi_images_detector(j->images);
    int64_t p = s->left_out.first_zero, panel = (int64_t)det->ny * det->nx;

    spi_opening_tell_centre(j->path, &j->opening, s);
    if (s->left_out.zero > 0 && j->opening.survey.n_dead == 0) /* else they are named */
        spi_warn("%s: %lld pixels are zero in all of %lld images though others at the same "
                 "|q| are not (first: panel %lld, row %lld, column %lld): a gap or dead "
                 "pixels; mark them in 'mask'",
                 j->path, (long long)s->left_out.zero, (long long)s->n,
                 (long long)(p / panel), (long long)(p % panel / det->nx),
                 (long long)(p % det->nx));
    if (s->left_out.saturated > 0)
        spi_warn("%s: %lld pixels are full at %g; they took no part in the estimate of the "
                 "diameter; mark them in 'mask' if they matter",
                 j->path, (long long)s->left_out.saturated, s->left_out.limit);
    if ((double)s->left_out.images > 0.01 * (double)s->n) /* fewer are chance */
        spi_info(
            "%lld of %lld images seem to hold more than one particle; they took no part "
            "in the estimate of the diameter",
            (long long)s->left_out.images, (long long)s->n);
}

/* A wrong centre that nobody measured makes a diameter doubtful. */
static const char *unmeasured(const struct spi_preview *s)
{
    static char text[160];

    if (s->n < SPI_PREVIEW_CENTRE_LEAST)
        snprintf(text, sizeof text,
                 "; the beam's centre was not measured, which needs %d images: is that of "
                 "the file right?",
                 SPI_PREVIEW_CENTRE_LEAST);
    else
        snprintf(
            text, sizeof text,
            "; the mean image shows no centre within %d pixels of that of the file: is "
            "that right?",
            SPI_CENTRE_MOST_PX);
    return s->centre.known ? "" : text;
}

/* D from the images; the mean image is written before, unless the directory holds another
 * run: this one may still be refused. */
static spi_err look_at_images(struct job *j)
{
    static const double doubtful = 0.15;
    const struct spi_diameter_result *d = &j->preview.diameter;
    char why[SPI_MESSAGE_MAX];
    spi_err err =
        spi_preview_init(&j->preview, j->images, j->opening.survey.gain,
                         spi_rundir_holds_run(j->args->out) ? NULL : j->args->out,
                         strcmp(j->set.centre, "images") == 0, !(j->diameter_A > 0));

    snprintf(why, sizeof why, "%s", err ? spi_err_message() : "");
    tell_preview(j);
    if (err == SPI_EFORMAT && spi_centre_is_off(&j->preview.centre) &&
        !j->preview.moved.yes)
        return spi_fail(
            err, "%s: the beam's centre is off by %.1f pixels, which comes first%s; %s",
            j->path, hypot(j->preview.centre.shift_px[0], j->preview.centre.shift_px[1]),
            spi_images_centre_advice(j->opening.images), why);
    if (err)
        return spi_fail(err, "%s: %s", j->path, why);
    if (j->diameter_A > 0)
        return SPI_OK;
    j->diameter_A = d->diameter_A;
    spi_info("diameter estimated from %s: %.0f A (+- %.0f); --diameter overrides it",
             d->from_speckles ? "the width of speckles" : "the images", d->diameter_A,
             d->sigma_A);
    if (d->sigma_A > doubtful * d->diameter_A)
        spi_warn("the diameter of %.0f A is uncertain by %.0f A: if the run does not "
                 "converge, give it by --diameter%s",
                 d->diameter_A, d->sigma_A, unmeasured(&j->preview));
    return SPI_OK;
}

/* What needs no look at the images. */
static spi_err check_numbers(const struct job *j)
{
    const struct spi_detector *det = spi_images_detector(j->images);
    double corner = spi_detector_q_corner(det), D = j->diameter_A, pixel = INFINITY;

    if (spi_images_count(j->images) < SPI_IMAGES_LEAST)
        return spi_fail(SPI_EFORMAT, "%s: %lld images; a reconstruction needs at least %d",
                        j->path, (long long)spi_images_count(j->images), SPI_IMAGES_LEAST);
    if (j->set.q_max_invA > corner * (1 + 1e-6))
        return spi_fail(SPI_EUSAGE,
                        "%s: particle.q_max_invA is %g; the detector reaches %.4g 1/A",
                        j->path, j->set.q_max_invA, corner);
    for (int64_t p = 1; p < det->n_pixels; p++)
        if (p % det->nx > 0)
            pixel = fmin(pixel, hypot(det->q[3 * p] - det->q[3 * p - 3],
                                      det->q[3 * p + 1] - det->q[3 * p - 2]));
    if (D * pixel > most_pixel)
        return spi_fail(SPI_EUSAGE,
                        "%s: the diameter given is %g A; speckles of such a particle are "
                        "finer than a pixel (%.3g 1/A): need %.0f A at most; is it in "
                        "another unit?",
                        j->path, D, pixel, most_pixel / pixel);
    return SPI_OK;
}

/* |q| that are used with the diameter as it is now. */
static spi_err set_range(struct job *j)
{
    j->q_min = j->set.q_min_invA > 0
                   ? j->set.q_min_invA
                   : fmax(1 / j->diameter_A, lowest_q(spi_images_detector(j->images)));
    if (!(j->q_max > j->q_min))
        return spi_fail(j->diameter_given || j->set.q_max_invA > 0 || j->set.q_min_invA > 0
                            ? SPI_EUSAGE
                            : SPI_EFORMAT,
                        "%s: |q| from %g to %g 1/A leaves nothing to use", j->path,
                        j->q_min, j->q_max);
    if (j->q_max * j->diameter_A < SPI_SYMMETRY_QD_LEAST)
        return spi_fail(
            j->diameter_given || j->set.q_max_invA > 0 ? SPI_EUSAGE : SPI_EFORMAT,
            "%s: |q| up to %g 1/A of a particle of %g A shows no structure; need "
            "a product of %d: change %s",
            j->path, j->q_max, j->diameter_A, SPI_SYMMETRY_QD_LEAST,
            j->set.q_max_invA > 0 ? "particle.q_max_invA" : "the diameter");
    /* with a mask up to there no diameter helps */
    bool masked = j->q_min * j->diameter_A > 1 + 1e-9;

    return spi_stage_check_rings(
        j->path, j->diameter_A, j->q_min, j->q_max, j->set.ring_oversampling,
        j->set.q_max_invA > 0          ? "particle.q_max_invA"
        : j->set.q_min_invA > 0        ? "particle.q_min_invA"
        : j->diameter_given && !masked ? "the diameter that is given"
                                       : NULL);
}

static spi_err find_ranges(struct job *j)
{
    const struct spi_detector *det = spi_images_detector(j->images);
    spi_err err;

    j->diameter_A = j->args->diameter_A > 0 ? j->args->diameter_A : j->set.diameter_A;
    j->diameter_given = j->diameter_A > 0;
    if ((err = check_numbers(j)) != SPI_OK || (err = look_at_images(j)) != SPI_OK)
        return err;
    j->q_max = j->set.q_max_invA > 0 ? j->set.q_max_invA : spi_detector_q_edge(det);
    j->n_diameters = 1;
    j->had_A[0] = j->diameter_A;
    return set_range(j);
}

/* ---- provenance --------------------------------------------------------------------- */

/* Settings as text; NULL when out of memory. */
static char *settings_text(const struct spi_settings *set)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    spi_settings_dump(set, f);
    fclose(f);
    return text;
}

/* What two runs must share to be the same run.  The number of workers, the engine and the
 * limit of generations change no result; N_refine, phasing and the validation change
 * only what comes after the loop: a run may be resumed with others. */
static spi_err make_key(struct job *j)
{
    struct spi_settings same = j->set, usual;
    const double none[2] = {0, 0},
                 *moved = j->preview.moved.yes ? j->preview.moved.shift_invA : none;
    char *text;
    size_t len;
    FILE *f = open_memstream(&j->key, &len);

    spi_settings_default(&usual);
    same.workers = usual.workers;
    same.N_generations = usual.N_generations;
    same.N_refine = usual.N_refine;
    same.unexplained_variance_max = usual.unexplained_variance_max;
    same.outlier_images_max = usual.outlier_images_max;
    same.contrast_min = usual.contrast_min;
    same.resolution_elements_min = usual.resolution_elements_min;
    same.fourier_coverage_min = usual.fourier_coverage_min;
    same.phase_consistency_min = usual.phase_consistency_min;
    same.phase_consistency_stop = usual.phase_consistency_stop;
    if (!same.match_phased)
        spi_settings_copy_section(&same, &usual, "phasing");
    memcpy(same.backend, usual.backend, sizeof same.backend);
    text = settings_text(&same);
    if (f) {
        fprintf(f,
                "images = %s\nmask = %s\ncentre_moved_invA = %.17g %.17g\n"
                "diameter_A = %.17g\nq_min_invA = %.17g\nq_max_invA = %.17g\n%s",
                j->sha256, j->mask_sha256, moved[0], moved[1], j->diameter_A, j->q_min,
                j->q_max, text ? text : "");
        fclose(f);
    }
    free(text);
    return f && text ? SPI_OK : spi_no_memory("reconstruct", 0);
}

/* NAN: there is none, or it was given. */
static double symmetry_score(const struct job *j)
{
    bool found =
        strcmp(j->result.symmetry.group, "C1") != 0 && j->result.symmetry.score > 0;

    return found ? j->result.symmetry.score : (double)NAN;
}

static const char *const limit_name[] = {[SPI_LIMIT_EDGE] = "edge",
                                         [SPI_LIMIT_IMAGES] = "images",
                                         [SPI_LIMIT_PHASES] = "phases",
                                         [SPI_LIMIT_BACKGROUND] = "background"};

/* What the result is worth; null where there is none. */
static void add_validation(json_t *o, const struct job *j, bool finished)
{
    const struct spi_result *r = &j->result;
    const struct spi_validation *v = &r->validation;
    const struct {
        const char *name;
        double value;
    } number[] = {
        {"claimed_A", v->resolution.claimed_A},
        {"intensities_A", v->resolution.intensities_A},
        {"maps_A", v->resolution.maps_A},
        {"background_A", v->resolution.background_A},
        {"edge_A", v->resolution.edge_A},
        {"twice_the_images_A", v->outlook.known ? v->outlook.twice_A : (double)NAN},
        {"four_times_the_images_A",
         v->outlook.known ? v->outlook.four_times_A : (double)NAN},
        {"resolution_A", r->resolution_A},
        {"resolution05_A", r->resolution05_A},
        {"view_coverage", r->coverage.ratio},
        {"view_chi2", r->coverage.chi2},
        {"fourier_coverage", v->coverage},
        {"unexplained_variance", v->unexplained_variance},
        {"outlier_images", v->outlier_images},
        {"contrast2", j->contrast.all},
        {"isotropic", v->isotropic},
        {"phase_consistency", v->phase_consistency}};

    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        json_object_set_new(o, number[i].name,
                            spi_json_number(finished ? number[i].value : (double)NAN));
    json_object_set_new(
        o, "limit", finished ? json_string(limit_name[v->resolution.limit]) : json_null());
    json_object_set_new(o, "phase_rounds",
                        finished ? json_integer(v->phase_rounds) : json_null());
    json_object_set_new(o, "symmetry",
                        finished ? json_string(r->symmetry.group) : json_null());
    json_object_set_new(o, "symmetry_score", spi_json_number(symmetry_score(j)));
}

static spi_err make_provenance(struct job *j)
{
    char *settings = settings_text(&j->set);
    json_t *o =
        settings
            ? json_pack("{s:s, s:s, s:s, s:o, s:s, s:i, s:f, s:f, s:f, s:s}", "program",
                        "spinifel", "version", SPI_VERSION, "revision", SPI_REVISION,
                        "images", spi_json_name(j->path), "images_sha256", j->sha256,
                        "seed", j->set.seed, "diameter_A", j->diameter_A, "q_min_invA",
                        j->q_min, "q_max_invA", j->q_max, "settings", settings)
            : NULL;

    if (o && j->data.split.n > 0) {
        json_object_set_new(o, "images_used",
                            json_pack("[I, I]", (json_int_t)j->data.split.n_half[0],
                                      (json_int_t)j->data.split.n_half[1]));
        json_object_set_new(o, "images_blank", json_integer(j->data.split.n_blank));
        json_object_set_new(o, "images_repeated", json_integer(j->data.split.n_copies));
    }
    if (o) {
        json_object_set_new(o, "mask_sha256", json_string(j->mask_sha256));
        json_object_set_new(
            o, "survey", spi_survey_json(j->images, &j->opening.survey, SPI_SURVEY_LISTED));
    }
    if (o && j->n_diameters > 1) {
        json_t *had = json_array();

        for (int i = 0; i < j->n_diameters; i++)
            json_array_append_new(had, json_real(j->had_A[i]));
        json_object_set_new(o, "diameters_A", had);
    }
    if (o && j->preview.moved.yes)
        json_object_set_new(o, "centre_shift_px",
                            json_pack("[f, f]", j->preview.moved.shift_px[0],
                                      j->preview.moved.shift_px[1]));
    if (o && j->args->opening.mask)
        json_object_set_new(o, "mask", spi_json_name(j->args->opening.mask));
    if (o && *j->result.symmetry.group) {
        add_validation(o, j, true);
        json_object_set_new(o, "phase_cutoff", json_real(j->result.phase_cutoff));
    }
    free(j->provenance);
    j->provenance = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    free(settings);
    return j->provenance ? SPI_OK : spi_no_memory("reconstruct", 0);
}

static spi_err write_run_json(const struct job *j)
{
    char path[SPI_PATH_MAX];

    path_in(j, "run.json", path);
    return spi_file_write_text(path, j->provenance, strlen(j->provenance));
}

static spi_err write_settings(const struct job *j)
{
    char path[SPI_PATH_MAX], *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("reconstruct", 0);
    fprintf(f, "# spinifel %s (%s)\n", /* spi_rundir_check_settings looks for it */
            SPI_VERSION, SPI_REVISION);
    spi_settings_dump(&j->set, f);
    fclose(f);
    path_in(j, "settings.toml", path);
    err = spi_file_write_text(path, text, len);
    free(text);
    return err ? err : write_run_json(j);
}

/* ---- generations -------------------------------------------------------------------- */

static json_t *report_json(const struct spi_generation_report *g)
{
    return json_pack(
        "{s:i, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:f, "
        "s:f, s:f, s:f, s:I}",
        "generation", g->generation, "stage", spi_stage_name(g->stage), "step", g->step,
        "q_max", spi_json_number(g->q_max_invA), "resolution_A",
        spi_json_number(g->resolution_A), "resolution05_A",
        spi_json_number(g->resolution05_A), "mean_fsc", spi_json_number(g->mean_fsc),
        "halves_cc", spi_json_number(g->halves_cc), "mean_cc", spi_json_number(g->mean_cc),
        "score", spi_json_number(g->score), "perplexity", spi_json_number(g->perplexity),
        "beta", spi_json_number(g->beta), "slice_s", g->slice_s, "match_s", g->match_s,
        "merge_s", g->merge_s, "phase_s", g->phase_s, "wall_s", g->wall_s, "images_per_s",
        g->images_per_s, "peak_rss_bytes", (json_int_t)g->peak_rss_bytes);
}

/* metrics.jsonl cut back to the lines of the first n generations. */
static spi_err cut_metrics(const struct job *j, int n)
{
    char path[SPI_PATH_MAX], *text = NULL, line[4096];
    size_t len;
    FILE *in, *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("metrics.jsonl", 0);
    path_in(j, "metrics.jsonl", path);
    in = n > 0 ? fopen(path, "r") : NULL;
    for (int i = 0; in && i < n && fgets(line, sizeof line, in); i++)
        fputs(line, f);
    if (in)
        fclose(in);
    fclose(f);
    err = spi_file_write_text(path, text, len);
    free(text);
    return err;
}

static spi_err append_metrics(const struct job *j, const struct spi_generation_report *g)
{
    char path[SPI_PATH_MAX], *line;
    json_t *o = report_json(g);
    FILE *f;
    int bad;

    path_in(j, "metrics.jsonl", path);
    line = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(8))
             : NULL;
    json_decref(o);
    if (!line)
        return spi_no_memory("metrics.jsonl", 0);
    f = fopen(path, "a");
    bad = !f || fprintf(f, "%s\n", line) < 0;
    bad = (f && fclose(f) != 0) || bad;
    free(line);
    return bad ? spi_fail(SPI_EIO, "%s: cannot write: %s", path, strerror(errno)) : SPI_OK;
}

/* Of WORK units, after a step of a stage. */
static int64_t work_done(const struct job *j, enum spi_stage stage, int step)
{
    return (int64_t)(WORK * spi_plan_done(&j->set, j->diameter_A, j->q_max, stage, step));
}

static spi_err on_generation(struct spi_run *run, const struct spi_generation_report *g,
                             void *user)
{
    struct job *j = user;
    char path[SPI_PATH_MAX], resolution[32] = "-";
    spi_err err;

    if (isfinite(g->resolution_A))
        snprintf(resolution, sizeof resolution, "%.1f A", g->resolution_A);
    spi_progress_generation(g->generation, 0);
    spi_progress_update(work_done(j, g->stage, g->step), spi_stage_name(g->stage));
    spi_info(
        "generation %3d  %-6s  to %5.1f A  half maps %-7s  intensity cc %.3f  score %.5f  "
        "%6.0f images/s  %.1f s",
        g->generation, spi_stage_name(g->stage), 1 / g->q_max_invA, resolution, g->mean_cc,
        g->score, g->images_per_s, g->wall_s);
    path_in(j, "state.bin", path);
    SPI_TRY(err = append_metrics(j, g), out);
    if (!(run->refined_A > 0)) /* else the state is that of the run that begins anew */
        SPI_TRY(err = spi_run_save(run, path, j->key), out);
    if (*j->stop)
        err = spi_fail(SPI_ECANCEL, "stopped after generation %d", g->generation);
out:
    return err;
}

static void on_ingest(int64_t done, int64_t total, void *user)
{
    (void)user;
    (void)total;
    spi_progress_update(done, NULL);
}

static void on_finish(int done, int total, const char *what, void *user)
{
    (void)user;
    (void)total;
    spi_progress_update(done, what);
}

/* ---- the job ------------------------------------------------------------------------ */

/* Images that take no part. */
static void tell_aside(const struct job *j)
{
    const struct spi_split *s = &j->data.split;
    char first[128] = "";
    size_t at = 0;

    if (s->n_blank > 0 && s->signal_min > 0)
        snprintf(first, sizeof first, " (less than %.4g on the usable pixels)",
                 s->signal_min);
    if (s->n_blank > 0)
        spi_warn("%lld of %lld images hold no signal%s; they are left out and get no "
                 "orientation",
                 (long long)s->n_blank, (long long)s->n, first);
    for (int i = 0; i < SPI_SPLIT_PAIRS && i < s->n_copies; i++)
        at += (size_t)snprintf(first + at, sizeof first - at, "%s%lld repeats %lld",
                               i ? ", " : "", (long long)s->pair[i][0],
                               (long long)s->pair[i][1]);
    if (s->n_copies > 0)
        spi_warn(
            "%lld of %lld images repeat another image pixel by pixel (image %s%s); each "
            "counts once",
            (long long)s->n_copies, (long long)s->n, first,
            s->n_copies > SPI_SPLIT_PAIRS ? " ..." : "");
}

/* A run that began anew with the diameter that its random initialisations showed has no
 * other diameter. */
static spi_err refuse_diameter(const struct job *j, const char *path, const double *had_A,
                               int32_t n)
{
    return spi_fail(
        SPI_EUSAGE,
        "%s: the run began with a diameter of %.4g A and goes on with the %.4g A that "
        "its random initialisations showed, not with the %.4g A that are given; leave "
        "out the diameter, or begin anew with --force or in another directory",
        path, had_A[0], had_A[n - 1], j->diameter_A);
}

/* The state has another key: settings are a matter of the command line, images are not. */
static spi_err refuse_key(const struct job *j, const char *path)
{
    static const char diameter[] = "\ndiameter_A = ";
    struct spi_state_about s;
    char why[SPI_MESSAGE_MAX];
    const char *mine = strstr(j->key, "\ncentre_moved"), *its;
    double had_A[SPI_DIAMETERS_MAX];
    int32_t n = 0;
    spi_err err = SPI_EFORMAT;

    snprintf(why, sizeof why, "%s", spi_err_message());
    if (spi_state_about(path, &s) == SPI_OK) {
        if (mine && strncmp(s.key, j->key, (size_t)(mine - j->key)) == 0)
            err = SPI_EUSAGE;
        its = strstr(s.key, diameter);
        if (!its || !j->diameter_given ||
            spi_run_saved_diameters(path, s.key, strtod(its + strlen(diameter), NULL), &n,
                                    had_A))
            n = 0;
        spi_state_about_clear(&s);
    }
    return n > 1 && err == SPI_EUSAGE ? refuse_diameter(j, path, had_A, n)
                                      : spi_fail(err, "%s", why);
}

/* Before the images are read: is the state of this run, and whole?  The run goes on with
 * the diameter that it had. */
static spi_err check_state(struct job *j)
{
    char path[SPI_PATH_MAX];
    spi_err err;

    path_in(j, "state.bin", path);
    err = spi_run_saved_diameters(path, j->key, j->diameter_A, &j->n_diameters, j->had_A);
    if (err == SPI_EINVAL)
        return refuse_key(j, path);
    SPI_TRY(err, out);
    if (j->n_diameters > 1 && j->diameter_given)
        return refuse_diameter(j, path, j->had_A, j->n_diameters);
    j->diameter_A = j->had_A[j->n_diameters - 1];
    err = set_range(j);
out:
    return err;
}

/* The images on the rings of this diameter. */
static spi_err read_images(struct job *j)
{
    spi_err err;

    spi_info("%lld images, diameter %.0f A, |q| %.4f to %.4f 1/A (%.1f A), %d worker%s",
             (long long)spi_images_count(j->images), j->diameter_A, j->q_min, j->q_max,
             1 / j->q_max, spi_graph_workers(j->graph),
             spi_graph_workers(j->graph) == 1 ? "" : "s");
    spi_progress_begin("reading", spi_images_count(j->images), "images");
    err = spi_data_init(&j->data, j->graph, j->images, j->preview.gain, j->diameter_A,
                        j->q_min, j->q_max, &j->set, j->args->out, on_ingest, j);
    spi_progress_end();
    return err;
}

static spi_err prepare(struct job *j)
{
    spi_err err;

    SPI_TRY(err = spi_opening_init(j->path, &j->args->opening, &j->opening), out);
    j->images = j->opening.images;
    SPI_TRY(err = spi_rundir_open(j->call, j->args->out, j->args->resume, j->args->force,
                                  &j->lock, &j->going_on, &j->made_dir),
            out);
    SPI_TRY(err = spi_images_sha256(j->images, j->sha256), out);
    spi_images_mask_sha256(j->images, j->mask_sha256);
    SPI_TRY(err = find_ranges(j), out);
    SPI_TRY(err = make_key(j), out);
    if (j->going_on)
        SPI_TRY(err = check_state(j), out);
    SPI_TRY(err = make_provenance(j), out);
    SPI_TRY(err = spi_stage_graph(&j->set, j->stop, &j->graph), out);
    if (j->args->trace)
        SPI_TRY(err = spi_graph_trace(j->graph, j->args->trace), out);
    err = read_images(j);
    if (!err)
        tell_aside(j);
out:
    return err;
}

static spi_err new_run(struct job *j)
{
    spi_err err = SPI_NEW(j->run, 1, "run");

    if (!err)
        err = spi_run_init(j->run, &j->set, &j->data, j->graph, j->stop, j->q_max,
                           (uint64_t)j->set.seed);
    if (err)
        return err;
    j->run->look_at_diameter = true;
    j->run->diameters_most = j->diameter_given ? 0 : j->set.N_diameters;
    j->run->n_diameters = j->n_diameters;
    memcpy(j->run->diameter_A, j->had_A, sizeof j->had_A);
    return SPI_OK;
}

static spi_err measure_contrast(struct job *j)
{
    spi_err err = spi_contrast_measure(&j->data, j->q_max, &j->contrast);

    return err ? err : spi_contrast_check(&j->contrast, j->set.contrast_min);
}

/* Nothing is written into the directory before the state has been accepted. */
static spi_err begin(struct job *j)
{
    char path[SPI_PATH_MAX];
    spi_err err;

    SPI_TRY(err = new_run(j), out);
    path_in(j, "state.bin", path);
    if (j->going_on) {
        SPI_TRY(err = spi_run_load(j->run, path, j->key), out);
        spi_info("going on after generation %d", j->run->generation);
    } else if (j->args->resume) {
        spi_info("%s: nothing to resume; a new run begins", path);
    }
    j->begun = true;
    SPI_TRY(err = spi_rundir_begin(j->args->out, j->going_on), out);
    SPI_TRY(err = write_settings(j), out);
    SPI_TRY(err = spi_data_pictures(&j->data, j->args->out), out);
    SPI_TRY(err = cut_metrics(j, j->run->generation), out);
    err = measure_contrast(j);
out:
    return err;
}

/* A result that fails its validation goes to a folder of its own, so that nobody takes it
 * for a valid one. */
static spi_err write_result(struct job *j)
{
    char apart[SPI_PATH_MAX], why[SPI_MESSAGE_MAX];
    spi_err refused = spi_validation_check(&j->result.validation, &j->set), err;

    j->result.orientations.moved = j->preview.moved;
    if (!refused) {
        err = spi_result_write(j->run, &j->result, j->args->out, j->provenance);
        if (!err)
            spi_rundir_settle(j->args->out);
        return err;
    }
    snprintf(why, sizeof why, "%s", spi_err_message());
    path_in(j, "failed_validation", apart);
    SPI_TRY(err = spi_dir_make_own(apart), out);
    SPI_TRY(err = spi_result_write(j->run, &j->result, apart, j->provenance), out);
    err = spi_fail(refused, "%s; see %s/", why, apart);
out:
    return err;
}

static void run_free(struct job *j)
{
    if (j->run)
        spi_run_clear(j->run);
    free(j->run);
    j->run = NULL;
}

/* Rings and models are those of a diameter: with another one all of them are made anew. */
static spi_err begin_anew(struct job *j)
{
    int generation = j->run->generation;
    char path[SPI_PATH_MAX];
    spi_err err;

    spi_warn("the random initialisations show a particle of %.0f A, not of %.0f A: the run "
             "begins anew with %.0f A (--diameter gives another diameter)",
             j->run->refined_A, j->diameter_A, j->run->refined_A);
    j->diameter_A = j->run->refined_A;
    j->had_A[j->n_diameters++] = j->diameter_A;
    run_free(j);
    spi_contrast_clear(&j->contrast);
    spi_data_clear(&j->data);
    SPI_TRY(err = set_range(j), out);
    SPI_TRY(err = read_images(j), out);
    SPI_TRY(err = new_run(j), out);
    j->run->generation = j->run->begun_at = generation;
    SPI_TRY(err = make_provenance(j), out);
    SPI_TRY(err = write_run_json(j), out);
    SPI_TRY(err = spi_data_pictures(&j->data, j->args->out), out);
    SPI_TRY(err = measure_contrast(j), out);
    path_in(j, "state.bin", path);
    err = spi_run_save(j->run, path, j->key);
out:
    return err;
}

static spi_err run_loop(struct job *j)
{
    spi_err err;

    do {
        if (j->run->refined_A > 0 && (err = begin_anew(j)))
            return err;
        spi_progress_begin("reconstructing", WORK, "");
        if (j->run->generation > 0)
            spi_progress_from(
                work_done(j, (enum spi_stage)j->run->stage, j->run->step - 1));
        err = spi_mtip_run(j->run, on_generation, j);
        spi_progress_end();
    } while (!err && j->run->refined_A > 0);
    if (err)
        return err;
    spi_progress_begin("finishing", SPI_FINISH_STEPS, "steps");
    err = spi_finish(j->run, &j->contrast, on_finish, j, &j->result);
    spi_progress_end();
    SPI_TRY(err, out);
    SPI_TRY(err = make_provenance(j), out);
    SPI_TRY(err = write_run_json(j), out);
    err = write_result(j);
out:
    return err;
}

static spi_err print_json(const struct job *j, bool valid, bool finished)
{
    json_t *o = json_pack("{s:b, s:i, s:o, s:f, s:f, s:o}", "converged", valid,
                          "generations", j->run ? j->run->generation : 0, "halves_cc",
                          spi_json_number(j->run ? j->run->halves_cc : (double)NAN),
                          "diameter_A", j->diameter_A, "seconds", spi_now_s() - j->t0,
                          "output", spi_json_name(j->args->out));

    if (o)
        add_validation(o, j, finished);
    return spi_print_json_take(o);
}

static spi_err print_result(const struct job *j, bool valid)
{
    const struct spi_result *r = &j->result;
    const struct spi_validation *v = &r->validation;
    bool finished =
        r->density.n > 0; /* the loop ended; perhaps the result fails its validation */
    char limit[SPI_MESSAGE_MAX];

    if (j->args->json)
        return print_json(j, valid, finished);
    if (!valid)
        return SPI_OK;
    spi_validation_limit(v, limit, sizeof limit);
    printf("the map is valid to %.1f A, after %d generations, %.0f s\n",
           v->resolution.claimed_A, j->run->generation, spi_now_s() - j->t0);
    printf("limited by %s\n", limit);
    printf("half maps agree to %.1f A (FSC 0.143), %.1f A (FSC 0.5), their intensities to "
           "%.1f A\n",
           r->resolution_A, r->resolution05_A, v->resolution.intensities_A);
    printf(
        "phases    the half maps agree to %.2f of what their intensities allow, after %d "
        "round%s of phasing\n",
        v->phase_consistency, v->phase_rounds, v->phase_rounds == 1 ? "" : "s");
    printf(
        "views     the images see %.0f %% of the directions that as many uniformly random "
        "images see; chi2 %.2f (1 +- %.2f)\n",
        100 * r->coverage.ratio, r->coverage.chi2, r->coverage.chi2_sigma);
    printf("images    the map leaves %.1f %% of their structure unexplained; their "
           "slices cross %.0f %% of the directions\n",
           fmax(100 * v->unexplained_variance, 0), 100 * v->coverage);
    if (strcmp(j->result.symmetry.group, "C1") != 0)
        printf("symmetry  %s\n", j->result.symmetry.group);
    printf(
        "maps      %s/density.mrc half1.mrc half2.mrc intensity.mrc autocorrelation.mrc\n",
        j->args->out);
    printf("pictures  %s/density.png fsc.png lcurve.png coverage.png mean_image.png "
           "radial.png\n",
           j->args->out);
    return SPI_OK;
}

static void job_clear(struct job *j)
{
    spi_result_clear(&j->result);
    run_free(j);
    spi_contrast_clear(&j->contrast);
    spi_data_clear(&j->data);
    spi_preview_clear(&j->preview);
    spi_graph_free(j->graph);
    spi_opening_clear(&j->opening);
    spi_dir_unlock(j->lock);
    free(j->key);
    free(j->provenance);
}

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;
    struct job j = {
        .call = call, .args = a, .path = call->operand[0], .lock = -1, .t0 = spi_now_s()};
    spi_err err, late;

    SPI_TRY(err = spi_settings_from_args(&a->settings, &j.set), out);
    if (spi_call_given(call, "seed"))
        j.set.seed = (int)a->seed;
    if (a->symmetry && spi_settings_set(&j.set, "--symmetry", "algorithm", "symmetry",
                                        a->symmetry) != SPI_OK) {
        err = SPI_EUSAGE; /* the message says why */
        goto out;
    }
    if (spi_call_given(call, "workers"))
        j.set.workers = a->workers;
    SPI_TRY(err = spi_stage_check_settings(&j.set), out);
    spi_symmetry_normalise(j.set.symmetry);
    SPI_TRY(err = spi_rundir_check_settings(call, a->out, a->settings.file), out);
    if (a->resume && a->force) {
        err =
            spi_call_fail(call, "force", "begins anew, --resume goes on; give one of them");
        goto out;
    }
    j.stop = spi_interrupt_catch();
    SPI_TRY(err = prepare(&j), out);
    SPI_TRY(err = begin(&j), out);
    err = run_loop(&j);
out:
    if (err == SPI_ECANCEL) {
        char name[2][2 * SPI_PATH_MAX];

        spi_info(
            "to go on: spinifel reconstruct %s%s -o %s%s --resume (with the same "
            "options)",
            *j.path == '-' ? "./" : "", spi_text_quoted(j.path, name[0], sizeof name[0]),
            *a->out == '-' ? "./" : "", spi_text_quoted(a->out, name[1], sizeof name[1]));
    }
    if (err == SPI_OK || err == SPI_ENOCONV) {
        late = spi_graph_trace_end(j.graph);
        late = late ? late : print_result(&j, err == SPI_OK);
        err = err ? err : late;
    }
    if (err && j.made_dir && !j.begun)
        spi_rundir_abandon(a->out, err != SPI_EUSAGE);
    job_clear(&j);
    return err;
}

const struct spi_cmd spi_cmd_reconstruct = {
    .name = "reconstruct",
    .operands = "IMAGES.h5",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "from images of randomly oriented particles to a 3-D density",
    .about =
        "Finds the orientation of every image and the electron density of the particle, "
        "from random orientations. Two half sets of the images are reconstructed "
        "independently; the run ends when the intensities of the half sets no longer "
        "agree better. Images without signal and images that repeat another image are "
        "left out; the other images are divided into the half sets with the seed "
        "(algorithm.halves).\n\n"
        "The run begins with the diameter that is estimated from the images. Where the "
        "random initialisations show another diameter, the run begins anew with that "
        "diameter (algorithm.N_diameters); a diameter that --diameter gives is kept. "
        "Where the file is clearly wrong about the beam's centre, the run uses the "
        "centre that the mean image shows (particle.centre) and writes it to "
        "orientations.h5, from where merge and slice take it. A centre is measured from "
        "250 images or more; a centre that is wrong by more than 10 pixels is not "
        "found.\n\n"
        "Writes into DIR: density.mrc (mean of the aligned half maps), half1.mrc, "
        "half2.mrc, intensity.mrc, autocorrelation.mrc, orientations.h5, metrics.jsonl "
        "(one line a generation), fsc.csv, lcurve.csv, settings.toml, run.json and "
        "pictures. After each generation state.bin holds all that --resume needs.\n\n"
        "A result is valid up to a resolution. The command prints this resolution and "
        "what limits it: the edge of the detector, the images (and what more images are "
        "expected to bring), the phases, or a background that the images still contain. "
        "density.mrc is cut at this resolution.\n\n"
        "Where a result fails its validation, the command exits with code 3, names each "
        "failure with its figure, and writes the result into DIR/failed_validation: the "
        "images show no particle or several ones, they still contain a background, their "
        "views cover too few directions, or the phases are inconsistent. Where the half "
        "sets never agree, the command exits with code 3 too and writes no map. --resume "
        "of a run that has ended repeats only its last part, so other settings of "
        "phasing take seconds to try.",
    .examples = {{"spinifel reconstruct images.h5 -o run1/ --seed 7", "the whole job"},
                 {"spinifel reconstruct images.h5 -o run1/ --seed 7 --resume",
                  "go on after Ctrl-C or a crash"},
                 {"spinifel reconstruct images.h5 -o run1/ --seed 7 --resume --set "
                  "phasing.N_phase_starts=32",
                  "phase again, with more phasing starts"},
                 {"spinifel reconstruct images.h5 -o run2/ --set algorithm.N_inits=4",
                  "more random initialisations"}},
    .may_not_converge = true,
    .opts = opts,
    .defaults = &defaults,
    .size = sizeof defaults,
    .run = run,
};
