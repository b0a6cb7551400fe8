/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/mtip.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "mtip/brightness.h"
#include "mtip/extent.h"
#include "mtip/inits.h"
#include "mtip/pass.h"

/* ---- one generation ----------------------------------------------------------------- */

/* slice, match and merge are tasks of every replica that runs, which overlap; phasing is
 * one task a half set. */
static spi_err one_generation(struct spi_run *r, const struct spi_step *step,
                              struct spi_generation_report *report)
{
    struct spi_pass p;
    spi_err err;

    SPI_TRY(err = spi_pass_begin(&p, r, step, SPI_PASS_MODELS), out);
    SPI_TRY(err = spi_pass_slice(&p), out); /* A -> templates of all view directions */
    SPI_TRY(err = spi_pass_match(&p), out); /* images x templates -> posterior */
    err = spi_pass_merge(&p);               /* posterior, images -> A */
out:
    if ((err = spi_pass_end(&p, err, report)))
        return err;
    if (step->stage == SPI_STAGE_INIT)
        spi_inits_lead(r);
    return spi_half_sets_phase(r, step); /* A -> density */
}

/* Brightness of particle and background, from the models that the last generation left. */
static spi_err look_at_brightness(struct spi_run *r, const struct spi_step *step)
{
    double D = r->data->rings.diameter_A, q = spi_plan_init_q(r->set, D, r->q_max);
    struct spi_step last;

    if (step->stage == SPI_STAGE_INIT && !r->data->background)
        return SPI_OK;
    if (step->stage == SPI_STAGE_REFINEMENT || r->data->background)
        q = r->q_max;
    else if (r->step > 0 &&
             spi_plan_step(r->set, D, r->q_max, step->stage, r->step - 1, &last))
        q = last.q_merge;
    return spi_brightness_find(
        r,
        (const struct spi_volume *const[2]){&r->replica[0][r->leading[0]].A,
                                            &r->replica[1][r->leading[1]].A},
        q);
}

/* ---- from stage to stage ------------------------------------------------------------ */

static spi_err after_init(struct spi_run *r, const struct spi_step *step)
{
    bool last =
        r->n_replicas + r->set->N_inits >
        (r->set->N_inits_max < SPI_REPLICAS_MAX ? r->set->N_inits_max : SPI_REPLICAS_MAX);
    spi_err err = spi_inits_select(r, step);

    if (!err && !last && r->halves_cc < r->set->halves_cc_stop)
        err = spi_inits_repeat(r, &last);
    if (err)
        return err;

    r->step = 0;
    if (r->halves_cc >= (last ? r->set->halves_cc : r->set->halves_cc_stop)) {
        r->stage = SPI_STAGE_MARCHING;
        if (r->look_at_diameter &&
            ((err = spi_run_look_at_diameter(r)) || r->refined_A > 0))
            return err;
        return strcmp(r->set->symmetry, "auto") == 0 ? spi_run_find_symmetry(r, step)
                                                     : SPI_OK;
    }
    if (last) {
        r->stage = SPI_STAGE_DONE;
        return SPI_OK;
    }
    r->round++;
    return spi_run_make_replicas(r, r->n_replicas + r->set->N_inits);
}

/* Polishing ends when the intensities of the halves no longer agree better: unlike the FSC
 * of the phased maps their agreement does not depend on the luck of a phasing start. */
static void after_refinement(struct spi_run *r, const struct spi_generation_report *report)
{
    bool better = report->mean_cc > r->best_cc + r->set->halves_cc_gain_min;

    r->waiting = better ? 0 : r->waiting + 1;
    r->best_cc = fmax(r->best_cc, report->mean_cc);
    if (r->waiting >= r->set->patience) {
        r->converged = 1;
        r->stage = SPI_STAGE_DONE;
    }
}

static spi_err advance(struct spi_run *r, const struct spi_step *step,
                       const struct spi_generation_report *report)
{
    struct spi_step next;
    double D = r->data->rings.diameter_A;

    r->step++;
    if (step->stage == SPI_STAGE_REFINEMENT) {
        after_refinement(r, report);
    } else if (!spi_plan_step(r->set, D, r->q_max, step->stage, r->step, &next)) {
        if (step->stage == SPI_STAGE_INIT)
            return after_init(r, step);
        r->stage = SPI_STAGE_REFINEMENT;
        r->step = 0;
        r->best_cc = report->mean_cc;
    }
    return SPI_OK;
}

/* ---- the loop ----------------------------------------------------------------------- */

static spi_err not_converged(const struct spi_run *r)
{
    if (r->stage == SPI_STAGE_INIT)
        return spi_fail(
            SPI_ENOCONV,
            "not converged: algorithm.N_generations = %d ended the run before the random "
            "initialisations were compared; no map is presented; --resume with a larger "
            "one goes on",
            r->set->N_generations);
    if (r->halves_cc < r->set->halves_cc)
        return spi_fail(SPI_ENOCONV,
                        "not converged: after %d generations and %d random "
                        "initialisations the two half sets agree to %.3f (need %.3f); no "
                        "map is presented",
                        r->generation, 2 * r->n_replicas, r->halves_cc, r->set->halves_cc);
    return spi_fail(
        SPI_ENOCONV,
        "not converged: the half sets still improve after %d generations; no map is "
        "presented; --resume with a larger algorithm.N_generations goes on",
        r->generation);
}

spi_err spi_mtip_run(struct spi_run *r, spi_on_generation *on_generation, void *user)
{
    double D = r->data->rings.diameter_A;
    spi_err err = SPI_OK;

    while (r->stage != SPI_STAGE_DONE &&
           r->generation - r->begun_at < r->set->N_generations) {
        struct spi_generation_report report = {.generation = r->generation + 1,
                                               .stage = (enum spi_stage)r->stage,
                                               .step = r->step};
        struct spi_step step;
        double t0 = spi_now_s();

        (void)spi_plan_step(r->set, D, r->q_max, (enum spi_stage)r->stage, r->step, &step);
        if (step.impose_group)
            SPI_TRY(err = spi_run_impose(r, &step), out);
        SPI_TRY(err = look_at_brightness(r, &step), out);
        SPI_TRY(err = one_generation(r, &step, &report), out);
        SPI_TRY(err = spi_half_sets_compare(r, &step, &report), out);
        r->generation++;
        SPI_TRY(err = advance(r, &step, &report), out);
        report.wall_s = spi_now_s() - t0;
        report.peak_rss_bytes = spi_peak_rss_bytes();
        SPI_TRY(err = on_generation(r, &report, user), out);
        if (r->refined_A > 0)
            return SPI_OK;
    }
    if (!r->converged)
        err = not_converged(r);
out:
    return err;
}
