/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/run.h"

#include "mtip/resolution_level.h"

spi_err spi_run_make_replicas(struct spi_run *r, int n_replicas)
{
    struct spi_resolution_level level;
    struct spi_step step;
    spi_err err;

    (void)spi_plan_step(r->set, r->data->rings.diameter_A, r->q_max, SPI_STAGE_INIT, 0,
                        &step);
    SPI_TRY(err = spi_resolution_level_init(&level, &r->data->rings, r->set, r->like,
                                            step.q_match, step.q_merge, 1, true),
            out);
    for (int s = r->n_replicas; s < n_replicas; s++, r->n_replicas++)
        for (int h = 0; h < 2; h++)
            SPI_TRY(err = spi_replica_init(&r->replica[h][s], r->data, &r->half[h], &level,
                                           r->seed * 2 + (uint64_t)h, s),
                    out);
out:
    spi_resolution_level_clear(&level);
    return err;
}

/* During the initialisation all replicas run; afterwards the leading one of each half. */
bool spi_run_replica_runs(const struct spi_run *r, int which, int replica,
                          enum spi_stage stage)
{
    if (stage != SPI_STAGE_INIT)
        return replica == r->leading[which];
    return replica >= r->round * r->set->N_inits; /* of this round */
}

spi_err spi_run_init(struct spi_run *r, const struct spi_settings *set,
                     struct spi_data *data, struct spi_graph *graph,
                     const volatile int *stop, double q_max, uint64_t seed)
{
    spi_err err;

    *r = (struct spi_run){.set = set,
                          .data = data,
                          .graph = graph,
                          .stop = stop,
                          .q_max = q_max,
                          .seed = seed,
                          .stage = SPI_STAGE_INIT,
                          .n_diameters = 1,
                          .diameter_A = {data->rings.diameter_A}};
    r->like = spi_likelihood_named(set->score, data->kind);
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_half_set_init(&r->half[h], data, h, set->N_candidates), fail);
    SPI_TRY(err = spi_run_make_replicas(r, set->N_inits), fail);
    return SPI_OK;
fail:
    spi_run_clear(r);
    return err;
}

void spi_run_clear(struct spi_run *r)
{
    for (int h = 0; h < 2; h++) {
        for (int s = 0; s < SPI_REPLICAS_MAX; s++) /* one may be half made */
            spi_replica_clear(&r->replica[h][s]);
        spi_half_set_clear(&r->half[h]);
        spi_volume_clear(&r->density[h]);
    }
}

void spi_run_tell(const struct spi_run *r, const struct spi_event *e)
{
    if (r->on_event)
        r->on_event(e, r->event_user);
}
