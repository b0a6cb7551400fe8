/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel reconstruct: the main job. */
#include <stdio.h>
#include <stdlib.h>

#include "app/interrupt.h"
#include "app/reconstruct.h"
#include "app/rundir.h"
#include "app/stage.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/file.h"
#include "math/symmetry.h"

static const struct spi_reconstruct_args defaults = {.seed = 1};

static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT_DIR(spi_reconstruct_args, out), 0, 0, "DIR",
     "directory of the run; it is made where it does not exist", .required = true,
     .writes = spi_rundir_writes},
    {'s', "seed", SPI_COUNT(spi_reconstruct_args, seed), 0, 2147483647, "",
     "of all random numbers of the reconstruction", .absent = "runtime.seed"},
    {'d', "diameter", SPI_REAL(spi_reconstruct_args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "estimated from the images"},
    {0, "symmetry", SPI_TEXT(spi_reconstruct_args, symmetry), 0, 0, "GROUP",
     "point group of the particle: C2, C17, D7, T, O, I ...",
     .absent = "algorithm.symmetry"},
    {0, "background", SPI_PATH(spi_reconstruct_args, background), 0, 0, "FILE[:/DATASET]",
     "light that is not the particle's: images without a particle, whose mean counts, or "
     "an "
     "array of the detector's shape",
     .absent = "found in the images"},
    {0, "resume", SPI_FLAG(spi_reconstruct_args, resume), 0, 0, "",
     "continue an interrupted run of the same images and settings"},
    {0, "correct-drift", SPI_FLAG(spi_reconstruct_args, correct_drift), 0, 0, "",
     "where the beam's centre moves over the file, take each image about the place where "
     "the "
     "beam was"},
    {0, "force", SPI_FLAG(spi_reconstruct_args, force), 0, 0, "",
     "begin anew in a directory that holds a run; its results stay in DIR/previous until "
     "new ones stand"},
    {'j', "workers", SPI_INT(spi_reconstruct_args, workers), 0, 1024, "",
     "workers; 0: one for each core that the process may use", .absent = "runtime.workers"},
    {0, "json", SPI_FLAG(spi_reconstruct_args, json), 0, 0, "", "print the result as JSON"},
    {0, "trace", SPI_OUT(spi_reconstruct_args, trace), 0, 0, "FILE.jsonl",
     "a line for each task: name, seconds, the arrays that it reads and writes, how long "
     "it "
     "would last on more threads (doc/formats.md); benches/cores.py computes from the "
     "lines "
     "what more cores would give"},
    SPI_OPENING_OPTS(spi_reconstruct_args, opening),
    SPI_SETTINGS_OPTS(spi_reconstruct_args, settings),
    {0},
};

static void job_clear(struct spi_reconstruct *j)
{
    spi_result_clear(&j->result);
    spi_reconstruct_run_free(j);
    spi_contrast_clear(&j->contrast);
    spi_data_clear(&j->data);
    spi_preview_clear(&j->preview);
    spi_graph_free(j->graph);
    spi_opening_clear(&j->opening);
    spi_dir_unlock(j->lock);
    free(j->background);
    free(j->key);
    free(j->provenance);
}

static spi_err run(const struct spi_call *call)
{
    const struct spi_reconstruct_args *a = call->args;
    struct spi_reconstruct j = {
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
    if (a->correct_drift)
        j.set.correct_drift = true;
    SPI_TRY(err = spi_stage_check_settings(&j.set), out);
    spi_symmetry_normalise(j.set.symmetry);
    SPI_TRY(err = spi_rundir_check_settings(call, a->out, a->settings.file), out);
    if (a->resume && a->force) {
        err =
            spi_call_fail(call, "force", "begins anew, --resume goes on; give one of them");
        goto out;
    }
    j.stop = spi_interrupt_catch();
    SPI_TRY(err = spi_reconstruct_prepare(&j), out);
    SPI_TRY(err = spi_reconstruct_begin(&j), out);
    err = spi_reconstruct_loop(&j);
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
        late = late ? late : spi_reconstruct_print(&j, err == SPI_OK);
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
        "centre that the images show (particle.centre) and writes it to "
        "orientations.h5, from where merge and slice take it. A centre is measured from "
        "250 images or more, by the mean image and by the two sides of single images; a "
        "centre that is wrong by more than 10 pixels is named and not corrected. A centre "
        "that moves over the images of the file is named as well.\n\n"
        "Light that is not the particle's is taken out of the intensities before phases "
        "are sought: as --background gives it, or as the images show it "
        "(particle.background). Give a file of images without a particle (misses) where "
        "there is one; without, the run tells the background from the particle by what "
        "stays while the particles turn, and by how the intensities are "
        "distributed.\n\n"
        "Writes into DIR: density.mrc (mean of the aligned half maps), half1.mrc, "
        "half2.mrc, intensity.mrc, autocorrelation.mrc, orientations.h5, metrics.jsonl "
        "(one line a generation), fsc.csv, lcurve.csv, settings.toml, run.json and "
        "pictures. After each generation state.bin holds all that --resume needs.\n\n"
        "A result is valid up to a resolution. The command prints this resolution and "
        "what limits it: the edge of the detector, the images (and what more images are "
        "expected to bring), the phases, or a background that the images still contain. "
        "Where the edge is not the limit, the command names what took resolution away, "
        "with numbers: images that are left out, masked pixels, a background, a beam "
        "centre that the file has wrong or that moves. "
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
