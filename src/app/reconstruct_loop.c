/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reconstruct_loop.c, of app/reconstruct.h: the run, from its first generation to its files. */
#include "app/reconstruct.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/progress.h"
#include "app/rundir.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "report/events.h"
#include "report/pictures.h"
#include "report/run_files.h"

enum { WORK = 1000 }; /* parts of the planned work, for the bar */

static void on_event(const struct spi_event *e, void *user)
{
    char text[SPI_MESSAGE_MAX];

    (void)user;
    if (spi_event_words(e, text, sizeof text))
        spi_warn("%s", text);
    else
        spi_info("%s", text);
}

static spi_err new_run(struct spi_reconstruct *j)
{
    spi_err err = SPI_NEW(j->run, 1, "run");

    if (!err)
        err = spi_run_init(j->run, &j->set, &j->data, j->graph, j->stop, j->q_max,
                           (uint64_t)j->set.seed);
    if (err)
        return err;
    j->run->contrast = &j->contrast;
    j->run->on_event = on_event;
    j->run->look_at_diameter = true;
    j->run->diameters_most = j->diameter_given ? 0 : j->set.N_diameters;
    j->run->n_diameters = j->n_diameters;
    memcpy(j->run->diameter_A, j->had_A, sizeof j->had_A);
    return SPI_OK;
}

static spi_err measure_contrast(struct spi_reconstruct *j)
{
    spi_err err = spi_contrast_measure(&j->data, j->q_max, &j->contrast);

    if (!err)
        err = spi_contrast_check(&j->contrast, j->set.contrast_min);
    return err ? err : spi_hits_check(&j->data.along, j->contrast.all);
}

/* All images that take part, and which pixels. */
static spi_err picture_images(const struct spi_reconstruct *j)
{
    char path[SPI_PATH_MAX];
    spi_err err;

    spi_reconstruct_path(j, "mean_image.png", path);
    SPI_TRY(err =
                spi_picture_mean_image(j->data.det, j->data.kind, j->data.mean_image, path),
            out);
    spi_reconstruct_path(j, "radial.png", path);
    SPI_TRY(err = spi_picture_radial(&j->data, path), out);
    spi_reconstruct_path(j, "mask.h5", path);
    SPI_TRY(err = spi_survey_write(j->images, &j->opening.survey, path), out);
    spi_reconstruct_path(j, "mask.png", path);
    err = spi_picture_mask(j->data.det, j->opening.survey.reason, path);
out:
    return err;
}

/* Nothing is written into the directory before the state has been accepted. */
spi_err spi_reconstruct_begin(struct spi_reconstruct *j)
{
    char path[SPI_PATH_MAX];
    spi_err err;

    SPI_TRY(err = new_run(j), out);
    spi_reconstruct_path(j, "state.bin", path);
    if (j->going_on) {
        SPI_TRY(err = spi_run_load(j->run, path, j->key), out);
        spi_info("going on after generation %d", j->run->generation);
    } else if (j->args->resume) {
        spi_info("%s: nothing to resume; a new run begins", path);
    }
    j->begun = true;
    SPI_TRY(err = spi_rundir_begin(j->args->out, j->going_on), out);
    SPI_TRY(err = spi_reconstruct_write_settings(j), out);
    SPI_TRY(err = picture_images(j), out);
    SPI_TRY(err = spi_reconstruct_cut_metrics(j, j->run->generation), out);
    err = measure_contrast(j);
out:
    return err;
}

/* Of WORK units, after a step of a stage. */
static int64_t work_done(const struct spi_reconstruct *j, enum spi_stage stage, int step)
{
    return (int64_t)(WORK * spi_plan_done(&j->set, j->diameter_A, j->q_max, stage, step));
}

static spi_err on_generation(struct spi_run *run, const struct spi_generation_report *g,
                             void *user)
{
    struct spi_reconstruct *j = user;
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
    spi_reconstruct_path(j, "state.bin", path);
    SPI_TRY(err = spi_reconstruct_append_metrics(j, g), out);
    if (!(run->refined_A > 0)) /* else the state is that of the run that begins anew */
        SPI_TRY(err = spi_run_save(run, path, j->key), out);
    if (*j->stop)
        err = spi_fail(SPI_ECANCEL, "stopped after generation %d", g->generation);
out:
    return err;
}

static void on_finish(int done, int total, const char *what, void *user)
{
    (void)user;
    (void)total;
    spi_progress_update(done, what);
}

/* A result that fails its validation goes to a folder of its own, so that nobody takes it
 * for a valid one. */
static spi_err write_result(struct spi_reconstruct *j)
{
    char apart[SPI_PATH_MAX], why[SPI_MESSAGE_MAX];
    spi_err refused = spi_validation_check(&j->result.validation, &j->set), err;
    const struct spi_report report = {.result = &j->result,
                                      .images = j->data.images,
                                      .seed = j->run->seed,
                                      .n_images = j->run->half[0].n_images +
                                                  j->run->half[1].n_images,
                                      .diameter_A = j->data.rings.diameter_A,
                                      .provenance = j->provenance};

    j->result.orientations.moved = j->preview.moved;
    if (!refused) {
        err = spi_run_files_write(&report, j->args->out);
        if (!err)
            spi_rundir_settle(j->args->out);
        return err;
    }
    snprintf(why, sizeof why, "%s", spi_err_message());
    spi_reconstruct_path(j, "failed_validation", apart);
    SPI_TRY(err = spi_dir_make_own(apart), out);
    SPI_TRY(err = spi_run_files_write(&report, apart), out);
    err = spi_fail(refused, "%s; see %s/", why, apart);
out:
    return err;
}

void spi_reconstruct_run_free(struct spi_reconstruct *j)
{
    if (j->run)
        spi_run_clear(j->run);
    free(j->run);
    j->run = NULL;
}

/* Rings and models are those of a diameter: with another one all of them are made anew. */
static spi_err begin_anew(struct spi_reconstruct *j)
{
    int generation = j->run->generation;
    char path[SPI_PATH_MAX];
    spi_err err;

    spi_warn("the random initialisations show a particle of %.0f A, not of %.0f A: the run "
             "begins anew with %.0f A (--diameter gives another diameter)",
             j->run->refined_A, j->diameter_A, j->run->refined_A);
    j->diameter_A = j->run->refined_A;
    j->had_A[j->n_diameters++] = j->diameter_A;
    spi_reconstruct_run_free(j);
    spi_contrast_clear(&j->contrast);
    spi_data_clear(&j->data);
    SPI_TRY(err = spi_reconstruct_set_range(j), out);
    SPI_TRY(err = spi_reconstruct_read_images(j), out);
    SPI_TRY(err = new_run(j), out);
    j->run->generation = j->run->begun_at = generation;
    SPI_TRY(err = spi_reconstruct_provenance(j), out);
    SPI_TRY(err = spi_reconstruct_write_run_json(j), out);
    SPI_TRY(err = picture_images(j), out);
    SPI_TRY(err = measure_contrast(j), out);
    spi_reconstruct_path(j, "state.bin", path);
    err = spi_run_save(j->run, path, j->key);
out:
    return err;
}

spi_err spi_reconstruct_loop(struct spi_reconstruct *j)
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
    spi_reconstruct_find_conditions(j);
    SPI_TRY(err = spi_reconstruct_provenance(j), out);
    SPI_TRY(err = spi_reconstruct_write_run_json(j), out);
    err = write_result(j);
out:
    return err;
}
