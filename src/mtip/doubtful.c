/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/doubtful.h"

#include "mtip/pass.h"

spi_err spi_doubtful_match(struct spi_run *r)
{
    static const enum spi_stage stages[] = {SPI_STAGE_MARCHING, SPI_STAGE_REFINEMENT};
    double D = r->data->rings.diameter_A;
    struct spi_replica *lead[2] = {&r->replica[0][r->leading[0]],
                                   &r->replica[1][r->leading[1]]};
    const float beta[2] = {lead[0]->beta, lead[1]->beta};
    const double score[2] = {lead[0]->score, lead[1]->score};
    struct spi_step step;
    spi_err err = SPI_OK;

    if (r->data->split.n_round + r->data->split.n_doublets + r->data->split.n_other == 0)
        return SPI_OK;
    for (int s = 0; s < 2; s++) /* refinement has any number of steps: one */
        for (int i = 0; !err && (s == 0 || i == 0) &&
                        spi_plan_step(r->set, D, r->q_max, stages[s], i, &step);
             i++)
            err = spi_pass_only_match(r, &step, SPI_PASS_DOUBTFUL);
    for (int h = 0; h < 2; h++) {
        lead[h]->beta = beta[h];
        lead[h]->score = score[h];
    }
    return err;
}
