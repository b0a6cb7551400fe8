/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reconstruct_open.c, of app/reconstruct.h: the directory, the state and the images before the run begins. */
#include "app/reconstruct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/progress.h"
#include "app/rundir.h"
#include "app/stage.h"
#include "base/log.h"
#include "io/hash.h"
#include "io/state.h"

/* Images that take no part. */
static void tell_aside(const struct spi_reconstruct *j)
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
    if (s->n_round > 0)
        spi_info("%lld of %lld images have no structure along their rings, as droplets and "
                 "empty shots; they make no model, and the map judges them in the end",
                 (long long)s->n_round, (long long)s->n);
    if (s->n_other > 0)
        spi_info("%lld of %lld images do not look like the others; they make no model, and "
                 "the map judges them in the end",
                 (long long)s->n_other, (long long)s->n);
    if (s->n_doublets > 0)
        spi_info(
            "%lld of %lld images show something longer than the particle, as two "
            "particles at once; they make no model, and the map judges them in the end",
            (long long)s->n_doublets, (long long)s->n);
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
static spi_err refuse_diameter(const struct spi_reconstruct *j, const char *path,
                               const double *had_A, int32_t n)
{
    return spi_fail(
        SPI_EUSAGE,
        "%s: the run began with a diameter of %.4g A and goes on with the %.4g A that "
        "its random initialisations showed, not with the %.4g A that are given; leave "
        "out the diameter, or begin anew with --force or in another directory",
        path, had_A[0], had_A[n - 1], j->diameter_A);
}

/* The state has another key: settings are a matter of the command line, images are not. */
static spi_err refuse_key(const struct spi_reconstruct *j, const char *path)
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
static spi_err check_state(struct spi_reconstruct *j)
{
    char path[SPI_PATH_MAX];
    spi_err err;

    spi_reconstruct_path(j, "state.bin", path);
    err = spi_run_saved_diameters(path, j->key, j->diameter_A, &j->n_diameters, j->had_A);
    if (err == SPI_EINVAL)
        return refuse_key(j, path);
    SPI_TRY(err, out);
    if (j->n_diameters > 1 && j->diameter_given)
        return refuse_diameter(j, path, j->had_A, j->n_diameters);
    j->diameter_A = j->had_A[j->n_diameters - 1];
    err = spi_reconstruct_set_range(j);
out:
    return err;
}

static void on_ingest(int64_t done, int64_t total, void *user)
{
    (void)user;
    (void)total;
    spi_progress_update(done, NULL);
}

/* The images on the rings of this diameter. */
spi_err spi_reconstruct_read_images(struct spi_reconstruct *j)
{
    char scratch[SPI_PATH_MAX];
    struct spi_data_spec spec = {.images = j->images,
                                 .gain = j->preview.gain,
                                 .diameter_A = j->diameter_A,
                                 .q_min = j->q_min,
                                 .q_max = j->q_max,
                                 .set = &j->set,
                                 .background = j->background,
                                 .scratch = scratch,
                                 .progress = on_ingest};
    spi_err err;

    spi_reconstruct_path(j, "rings.bin", scratch);
    spi_info("%lld images, diameter %.0f A, |q| %.4f to %.4f 1/A (%.1f A), %d worker%s",
             (long long)spi_images_count(j->images), j->diameter_A, j->q_min, j->q_max,
             1 / j->q_max, spi_graph_workers(j->graph),
             spi_graph_workers(j->graph) == 1 ? "" : "s");
    spi_progress_begin("reading", spi_images_count(j->images), "images");
    err = spi_data_init(&j->data, j->graph, &spec);
    spi_progress_end();
    return err;
}

spi_err spi_reconstruct_prepare(struct spi_reconstruct *j)
{
    spi_err err;

    SPI_TRY(err =
                spi_opening_init(j->call, j->path, &j->args->opening, &j->set, &j->opening),
            out);
    j->images = j->opening.images;
    SPI_TRY(err = spi_rundir_open(j->call, j->args->out, j->args->resume, j->args->force,
                                  &j->lock, &j->going_on, &j->made_dir),
            out);
    SPI_TRY(err = spi_images_sha256(j->images, j->sha256), out);
    spi_images_mask_sha256(j->images, j->mask_sha256);
    if (j->args->background) {
        SPI_TRY(err = spi_background_read(j->args->background, j->images, &j->background),
                out);
        spi_bytes_sha256((size_t)spi_images_detector(j->images)->n_pixels *
                             sizeof *j->background,
                         j->background, j->background_sha256);
    }
    SPI_TRY(err = spi_reconstruct_find_ranges(j), out);
    SPI_TRY(err = spi_reconstruct_key(j), out);
    if (j->going_on)
        SPI_TRY(err = check_state(j), out);
    SPI_TRY(err = spi_reconstruct_provenance(j), out);
    SPI_TRY(err = spi_stage_graph(&j->set, j->stop, &j->graph), out);
    if (j->args->trace)
        SPI_TRY(err = spi_graph_trace(j->graph, j->args->trace), out);
    err = spi_reconstruct_read_images(j);
    if (!err)
        tell_aside(j);
out:
    return err;
}
