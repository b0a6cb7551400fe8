/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/inits.h"

#include <math.h>

#include "mtip/pass.h"

/* Random initialisations of each half set before more are called useless: of half sets that
 * differ, and of half sets that agree to converge.halves_cc_repeat. */
enum { INITS_LEAST = 3, INITS_LEAST_REPEAT = 2 };
static const double repeated_cc = 0.9, repeated_slack = 0.05;

void spi_inits_lead(struct spi_run *r)
{
    for (int h = 0; h < 2; h++)
        for (int s = 0; s < r->n_replicas; s++)
            if (r->replica[h][s].score > r->replica[h][r->leading[h]].score)
                r->leading[h] = s;
}

spi_err spi_inits_select(struct spi_run *r, const struct spi_step *step)
{
    double q0 = spi_plan_init_q(r->set, r->data->rings.diameter_A, r->q_max), R[9], mean_cc;
    spi_err err;

    SPI_TRY(err = spi_pass_only_match(r, step, SPI_PASS_HELDOUT), out);
    spi_inits_lead(r);
    SPI_TRY(err = spi_half_sets_agree(&r->replica[0][r->leading[0]],
                                      &r->replica[1][r->leading[1]],
                                      r->data->rings.diameter_A, r->data->rings.q[0], q0,
                                      q0, NULL, R, &r->halves_cc, &mean_cc),
            out);
    for (int i = 0; i < 9; i++)
        r->pose.R[i] = R[i];
    r->have_pose = 1;
    spi_run_tell(
        r, &(struct spi_event){SPI_EVENT_INITS_SCORED,
                               .u.inits = {.score = {r->replica[0][r->leading[0]].score,
                                                     r->replica[1][r->leading[1]].score},
                                           .cc = r->halves_cc,
                                           .need = r->set->halves_cc,
                                           .stop = r->set->halves_cc_stop}});
out:
    return err;
}

/* The two best replicas of a half set. */
static void find_best_two(const struct spi_run *r, int h, int best[2])
{
    best[0] = r->leading[h];
    best[1] = -1;
    for (int s = 0; s < r->n_replicas; s++)
        if (s != best[0] &&
            (best[1] < 0 || r->replica[h][s].score > r->replica[h][best[1]].score))
            best[1] = s;
}

spi_err spi_inits_repeat(const struct spi_run *r, bool *repeat)
{
    double D = r->data->rings.diameter_A, q0 = spi_plan_init_q(r->set, D, r->q_max),
           least = 1, R[9], mean_cc;
    bool alike = r->halves_cc >= r->set->halves_cc_repeat;
    double need = alike ? fmin(repeated_cc, r->halves_cc - repeated_slack) : repeated_cc;

    *repeat = false;
    if (r->n_replicas < (alike ? INITS_LEAST_REPEAT : INITS_LEAST))
        return SPI_OK;
    for (int h = 0; h < 2; h++) {
        int best[2];
        double cc;
        spi_err err;

        find_best_two(r, h, best);
        err = spi_half_sets_agree(&r->replica[h][best[0]], &r->replica[h][best[1]], D,
                                  r->data->rings.q[0], q0, q0, NULL, R, &cc, &mean_cc);
        if (err)
            return err;
        least = fmin(least, cc);
    }
    *repeat = least >= need;
    spi_run_tell(
        r, &(struct spi_event){SPI_EVENT_INITS_REPEAT, .u.repeat = {least, need, *repeat}});
    return SPI_OK;
}
