/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rounds of phasing starts: one where the half maps agree, more where they do not, the best
 * of them in the end, each with a tighter support; what is wrong does not pass. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../fsc/blobs.h"
#include "base/log.h"
#include "mtip/phasing.h"
#include "tap.h"

enum { SIDE = 32 };
static const double D = 60, q_max = 0.1;
static const double step = 1 / (2.08 * 0.1); /* (V5) */
static double lowest_q = 0.02;

/* A run whose intensities are known without error in both half sets. */
struct scene {
    struct spi_settings set;
    struct spi_data data;
    struct spi_run run;
    struct spi_volume rho, A[2];
    struct spi_agreement agreement;
};

static spi_err scene_init(struct scene *s)
{
    struct blobs b = blobs_random(3, 60, 0.42 * D, 2.5);
    spi_err err;

    memset(s, 0, sizeof *s);
    spi_settings_default(&s->set);
    s->set.N_phase_starts = 1;
    s->data.rings.diameter_A = D;
    s->data.rings.q = &lowest_q;
    s->run.set = &s->set;
    s->run.data = &s->data;
    s->run.q_max = q_max;
    s->run.seed = 1;
    SPI_TRY(err = spi_graph_new("serial", 1, NULL, &s->run.graph), out);
    SPI_TRY(err = blobs_density(&b, SIDE, step, &s->rho), out);
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_volume_autocorrelate(&s->rho, &s->A[h]), out);
    SPI_TRY(err = spi_agreement_init(&s->run, s->A, NULL, &s->agreement), out);
out:
    return err;
}

static void scene_clear(struct scene *s)
{
    spi_agreement_clear(&s->agreement);
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&s->A[h]);
    spi_volume_clear(&s->rho);
    spi_graph_free(s->run.graph);
}

/* Phased with the settings of the scene; density may be NULL. */
static struct spi_phasing outcome(struct scene *s, double *truth)
{
    struct spi_phasing p = {0};
    struct spi_pose pose;
    spi_err err = spi_phasing_run(&s->run, s->A, &s->agreement, &p);

    if (!err && truth)
        err = spi_align_densities(&s->rho, &p.density, D, q_max, NULL, &pose, truth);
    OK(!err, "phasing runs%s%s", err ? ": " : "", err ? spi_err_message() : "");
    spi_phasing_clear(&p); /* the numbers stay */
    return p;
}

static void recipe(struct scene *s, const char *text, double cutoff)
{
    snprintf(s->set.recipe, sizeof s->set.recipe, "%s", text);
    s->set.cutoff = cutoff;
}

static void cutoffs(void)
{
    struct spi_settings set;

    spi_settings_default(&set);
    set.cutoff = 0.2;
    OK(spi_phasing_cutoff(&set, 0) == 0.2 &&
           fabs(spi_phasing_cutoff(&set, 2) - 0.45) < 1e-15 && /* one ulp is 6e-17 */
           spi_phasing_cutoff(&set, 9) == 1,
       "the support is 1.5 times as tight in each round, at most at 1");
}

/* The verdict against the truth, which it does not know. */
static void verdicts(struct scene *s)
{
    struct spi_settings usual;
    struct spi_phasing p;
    double truth;

    spi_settings_default(&usual);
    s->set.N_phase_rounds = 2;
    recipe(s, usual.recipe, usual.cutoff);
    p = outcome(s, &truth);
    OK(p.rounds == 1 && p.phase_consistency > 0.95 && p.cutoff == usual.cutoff &&
           truth > 0.95,
       "the usual recipe: one round, agreement %.3f, truth %.3f", p.phase_consistency,
       truth);
    recipe(s, "20 RAAR, 10 ER", usual.cutoff);
    p = outcome(s, &truth);
    OK(p.rounds == 2 && p.phase_consistency < usual.phase_consistency_min && truth < 0.8,
       "unfinished phases: all rounds, agreement %.3f, truth %.3f", p.phase_consistency,
       truth);
    /* the support is too small: both halves come to the same wrong map */
    s->set.N_phase_rounds = 1;
    recipe(s, usual.recipe, 0.6);
    p = outcome(s, &truth);
    OK(p.phase_consistency < usual.phase_consistency_min && truth < 0.8,
       "a wrong map in which the halves agree: agreement %.3f, truth %.3f",
       p.phase_consistency, truth);
}

/* Of k rounds the best is taken: it rises with k.  A limit between two of these ends the
 * rounds at the first that reaches it. */
static void rounds(struct scene *s)
{
    enum { ROUNDS = 4 };
    struct spi_phasing p, best[ROUNDS];
    int first = 0;

    recipe(s, "40 RAAR, 10 ER", 0.1);
    s->set.keep_agreeing = -1;         /* unfinished starts agree little */
    s->set.phase_consistency_stop = 1; /* no round reaches it */
    for (int k = 0; k < ROUNDS; k++) {
        s->set.N_phase_rounds = k + 1;
        best[k] = outcome(s, NULL);
        OK(best[k].rounds == k + 1 &&
               (k == 0 || best[k].phase_consistency >= best[k - 1].phase_consistency),
           "%d rounds: %.3f, from the one at %.3f", k + 1, best[k].phase_consistency,
           best[k].cutoff);
    }
    OK(best[ROUNDS - 1].phase_consistency > best[0].phase_consistency,
       "another start is another map");
    while (!(best[first].phase_consistency > best[0].phase_consistency))
        first++;
    s->set.phase_consistency_stop =
        (best[0].phase_consistency + best[first].phase_consistency) / 2;
    s->set.phase_consistency_min = 0;
    p = outcome(s, NULL);
    OK(p.rounds == first + 1 && p.phase_consistency == best[first].phase_consistency &&
           p.cutoff == spi_phasing_cutoff(&s->set, first),
       "the first that is good enough is taken: round %d", p.rounds);
}

int main(void)
{
    struct scene s;
    spi_err err = scene_init(&s);

    spi_log_set_level(SPI_LOG_QUIET);
    OK(!err, "scene%s%s", err ? ": " : "", err ? spi_err_message() : "");
    if (!err) {
        cutoffs();
        verdicts(&s);
        rounds(&s);
    }
    scene_clear(&s);
    return tap_done();
}
