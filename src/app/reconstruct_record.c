/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reconstruct_record.c, of app/reconstruct.h: run.json, settings.toml, metrics.jsonl and the key of state.bin. */
#include "app/reconstruct.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/print.h"
#include "app/provenance.h"
#include "app/rundir.h"
#include "base/mem.h"
#include "base/version.h"
#include "io/file.h"
#include "report/run_files.h"

/* ---- the run ---------------------------------------------------------------------------- */

void spi_reconstruct_path(const struct spi_reconstruct *j, const char *name,
                          char path[SPI_PATH_MAX])
{
    spi_rundir_path(j->args->out, name, path);
}

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
spi_err spi_reconstruct_key(struct spi_reconstruct *j)
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
                "images = %s\nmask = %s\nbackground = %s\ncentre_moved_invA = %.17g %.17g\n"
                "diameter_A = %.17g\nq_min_invA = %.17g\nq_max_invA = %.17g\n%s",
                j->sha256, j->mask_sha256, j->background_sha256, moved[0], moved[1],
                j->diameter_A, j->q_min, j->q_max, text ? text : "");
        fclose(f);
    }
    free(text);
    return f && text ? SPI_OK : spi_no_memory("reconstruct", 0);
}

/* ---- its result ------------------------------------------------------------------------- */

/* NAN: there is none, or it was given. */
static double symmetry_score(const struct spi_reconstruct *j)
{
    bool found =
        strcmp(j->result.symmetry.group, "C1") != 0 && j->result.symmetry.score > 0;

    return found ? j->result.symmetry.score : (double)NAN;
}

static const char *const limit_name[] = {[SPI_LIMIT_EDGE] = "edge",
                                         [SPI_LIMIT_IMAGES] = "images",
                                         [SPI_LIMIT_PHASES] = "phases",
                                         [SPI_LIMIT_BACKGROUND] = "background"};

/* Shares of the pixels up to q_max that are masked, and that the program masked itself. */
static void find_masked(const struct spi_reconstruct *j, struct spi_conditions *c)
{
    const struct spi_detector *det = spi_images_detector(j->images);
    const uint8_t *reason = j->opening.survey.reason;
    double all = 0, masked = 0, found = 0;

    for (int64_t p = 0; p < det->n_pixels; p++) {
        const double *q = det->q + 3 * p;

        if (!(sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) <= j->q_max))
            continue;
        all += 1;
        masked += det->bad[p] != 0;
        found += det->bad[p] && reason && reason[p] > SPI_REASON_MASK;
    }
    c->masked = all > 0 ? masked / all : 0;
    c->masked_found = all > 0 ? found / all : 0;
}

void spi_reconstruct_find_conditions(struct spi_reconstruct *j)
{
    const struct spi_split *s = &j->data.split;
    const struct spi_moved_centre *moved = &j->preview.moved;
    const struct spi_geometry *g = &j->result.geometry;
    double seen_px = j->preview.centre.known ? j->preview.centre.drift_px : 0;
    struct spi_conditions *c = &j->result.validation.conditions;

    *c = (struct spi_conditions){
        .images = s->n,
        .blank = s->n_blank,
        .repeated = s->n_copies,
        .round = j->result.n_round,
        .doublets = j->result.n_doublets,
        .unexplained = j->result.n_outliers,
        .background_ratio = j->result.background.ratio,
        .moved_px = moved->yes ? hypot(moved->shift_px[0], moved->shift_px[1]) : 0,
        .panels_px = spi_geometry_far_px(g),
        .drift_px = g->drift_px_of ? g->drift_left_px : fmax(seen_px, g->drift_px)};
    find_masked(j, c);
}

/* What takes resolution away. */
static json_t *limits_json(const struct spi_validation *v)
{
    struct spi_loss loss[SPI_LOSSES_MAX];
    json_t *list = json_array();
    int n = spi_validation_losses(v, loss);

    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "what", loss[i].what, "value",
                                              spi_json_number(loss[i].value)));
    return list;
}

/* What the result is worth; null where there is none. */
void spi_reconstruct_add_validation(json_t *o, const struct spi_reconstruct *j,
                                    bool finished)
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
        {"background_ratio", r->background.ratio},
        {"background_share", r->background.share},
        {"phase_consistency", v->phase_consistency}};

    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        json_object_set_new(o, number[i].name,
                            spi_json_number(finished ? number[i].value : (double)NAN));
    json_object_set_new(
        o, "limit", finished ? json_string(limit_name[v->resolution.limit]) : json_null());
    json_object_set_new(o, "limits", finished ? limits_json(v) : json_null());
    json_object_set_new(o, "images_left_out",
                        json_integer(r->n_round + r->n_doublets + r->n_outliers));
    json_object_set_new(o, "phase_rounds",
                        finished ? json_integer(v->phase_rounds) : json_null());
    json_object_set_new(o, "symmetry",
                        finished ? json_string(r->symmetry.group) : json_null());
    json_object_set_new(o, "symmetry_score", spi_json_number(symmetry_score(j)));
}

/* ---- files ------------------------------------------------------------------------------ */

/* Where the images show the beam's centre, from where the file says. */
static json_t *centre_json(const struct spi_centre *c)
{
    static const char *const by[] = {[SPI_CENTRE_BY_MEAN] = "mean image",
                                     [SPI_CENTRE_BY_PAIRS] = "single images",
                                     [SPI_CENTRE_BY_BOTH] = "mean image and single images"};
    json_t *blocks = json_array();

    for (int b = 0; b < c->n_blocks; b++)
        json_array_append_new(blocks,
                              json_pack("[f, f]", c->block_px[b][0], c->block_px[b][1]));
    return json_pack("{s:[f, f], s:[f, f], s:s, s:f, s:o}", "shift_px", c->shift_px[0],
                     c->shift_px[1], "sigma_px", c->sigma_px[0], c->sigma_px[1], "by",
                     by[c->by], "drift_px", c->drift_px, "blocks_px", blocks);
}

/* Where the detector is beside the model of the run, from where the file says. */
static json_t *geometry_json(const struct spi_geometry *g)
{
    json_t *panels = json_array(), *blocks = json_array();

    for (int b = 0; b < g->drift.n; b++) {
        double px[2] = {0, 0};
        int64_t k = (int64_t)g->drift.image[b];

        for (int c = 0; c < 2; c++)
            px[c] = g->drift.px[b][c] + (g->drift_px_of ? g->drift_px_of[k][c] : 0);
        json_array_append_new(blocks,
                              json_pack("[f, f, f]", g->drift.image[b], px[0], px[1]));
    }
    for (int p = 0; p < g->places.panels; p++)
        json_array_append_new(
            panels, json_pack("[f, f]", g->places.shift_invA[p][0] / g->places.pixel_invA,
                              g->places.shift_invA[p][1] / g->places.pixel_invA));
    return json_pack(
        "{s:I, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:b, s:o}", "images",
        (json_int_t)g->images, "rounds", g->rounds, "distance_found", g->first.stretch,
        "distance_sigma", g->first.stretch_sigma, "panels_found_px", g->first.far_px,
        "panels_sigma_px", g->first.sigma_px, "gain", g->first.gain, "distance_used",
        g->places.stretch, "panels_used_px", panels, "drift_found_px", g->drift_px,
        "drift_left_px", g->drift_left_px, "drift_sigma_px", g->drift.sigma_px,
        "drift_corrected", g->drift_px_of != NULL, "drift_blocks", blocks);
}

spi_err spi_reconstruct_provenance(struct spi_reconstruct *j)
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
        json_object_set_new(o, "images_doubtful",
                            json_integer(j->data.split.n_round + j->data.split.n_doublets +
                                         j->data.split.n_other));
        json_object_set_new(o, "images_round", json_integer(j->result.n_round));
        json_object_set_new(o, "images_doublets", json_integer(j->result.n_doublets));
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
    if (o && j->preview.centre.known)
        json_object_set_new(o, "centre", centre_json(&j->preview.centre));
    if (o && j->preview.moved.yes)
        json_object_set_new(o, "centre_shift_px",
                            json_pack("[f, f]", j->preview.moved.shift_px[0],
                                      j->preview.moved.shift_px[1]));
    if (o && j->result.geometry.images > 0)
        json_object_set_new(o, "geometry", geometry_json(&j->result.geometry));
    if (o && j->background) {
        json_object_set_new(o, "background", spi_json_name(j->args->background));
        json_object_set_new(o, "background_sha256", json_string(j->background_sha256));
    }
    if (o && j->args->opening.mask)
        json_object_set_new(o, "mask", spi_json_name(j->args->opening.mask));
    if (o && *j->result.symmetry.group) {
        spi_reconstruct_add_validation(o, j, true);
        json_object_set_new(o, "phase_cutoff", json_real(j->result.phase_cutoff));
    }
    free(j->provenance);
    j->provenance = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    free(settings);
    return j->provenance ? SPI_OK : spi_no_memory("reconstruct", 0);
}

spi_err spi_reconstruct_write_run_json(const struct spi_reconstruct *j)
{
    char path[SPI_PATH_MAX];

    spi_reconstruct_path(j, "run.json", path);
    return spi_file_write_text(path, j->provenance, strlen(j->provenance));
}

spi_err spi_reconstruct_write_settings(const struct spi_reconstruct *j)
{
    char path[SPI_PATH_MAX], *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("reconstruct", 0);
    fprintf(f, SPI_SETTINGS_HEAD "%s (%s)\n", SPI_VERSION, SPI_REVISION);
    spi_settings_dump(&j->set, f);
    fclose(f);
    spi_reconstruct_path(j, "settings.toml", path);
    err = spi_file_write_text(path, text, len);
    free(text);
    return err ? err : spi_reconstruct_write_run_json(j);
}

/* ---- generations ------------------------------------------------------------------------ */

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
spi_err spi_reconstruct_cut_metrics(const struct spi_reconstruct *j, int n)
{
    char path[SPI_PATH_MAX], *text = NULL, line[4096];
    size_t len;
    FILE *in, *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("metrics.jsonl", 0);
    spi_reconstruct_path(j, "metrics.jsonl", path);
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

spi_err spi_reconstruct_append_metrics(const struct spi_reconstruct *j,
                                       const struct spi_generation_report *g)
{
    char path[SPI_PATH_MAX], *line;
    json_t *o = report_json(g);
    FILE *f;
    int bad;

    spi_reconstruct_path(j, "metrics.jsonl", path);
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
