/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/phasing.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

static const double tighter = 1.5; /* (Q13) */

double spi_phasing_cutoff(const struct spi_settings *set, int round)
{
    return fmin(1, set->cutoff * pow(tighter, round));
}

void spi_phasing_clear(struct spi_phasing *p)
{
    for (int h = 0; h < 2; h++) {
        spi_phase_result_clear(&p->half[h]);
        free(p->own[h]);
        p->own[h] = NULL;
    }
    spi_volume_clear(&p->moved2);
    spi_volume_clear(&p->density);
    spi_fsc_clear(&p->fsc);
}

/* ---- the starts of a round ---------------------------------------------------------- */

struct start_args {
    const struct spi_volume *A;
    const struct spi_phase_options *opt;
    int index;
    struct spi_volume *density;
    double *r_factor;
};

static spi_err task_start(void *const *data, const void *arg, const volatile int *stop)
{
    const struct start_args *a = arg;

    (void)data;
    return spi_phase_start(a->A, a->opt, a->index, stop, a->density, a->r_factor);
}

/* No two rounds have a start in common. */
static spi_err phase_both(struct spi_run *r, const struct spi_volume half_A[2],
                          const struct spi_agreement *a, int round, struct spi_phasing *p)
{
    int n = r->set->N_phase_starts;
    struct spi_phase_options opt[2];
    struct spi_volume *density = NULL;
    struct spi_region **region = NULL;
    char recipe[2][SPI_TEXT_MAX];
    double *r_factor = NULL;
    spi_err err, late;

    SPI_TRY(err = SPI_NEW(density, 2 * n, "phasing"), out);
    SPI_TRY(err = SPI_NEW(region, 2 * n, "phasing"), out);
    SPI_TRY(err = SPI_NEW(r_factor, 2 * n, "phasing"), out);
    for (int h = 0; h < 2; h++) {
        spi_run_phase_options(r, r->q_max, n, r->seed * 2 + (uint64_t)h, recipe[h],
                              &opt[h]);
        opt[h].sw_threshold = p->cutoff;
        opt[h].n_halves = a->shells.n;
        opt[h].halves_q = a->shells.q;
        opt[h].halves_cc = a->shells.cc;
    }
    for (int i = 0; i < 2 * n; i++) {
        int h = i / n;
        struct start_args start = {&half_A[h], &opt[h], round * n + i % n, density + i,
                                   r_factor + i};

        SPI_TRY(err = spi_region_new(r->graph, density + i, sizeof *density, &region[i]),
                wait);

        struct spi_access access = {region[i], SPI_WRITE};

        SPI_TRY(err = spi_graph_submit(r->graph, "phase", task_start, &start, sizeof start,
                                       1, &access),
                wait);
    }
wait:
    late = spi_graph_wait(r->graph);
    err = err ? err : late;
    for (int h = 0; h < 2 && !err; h++)
        err = spi_phase_combine(&half_A[h], &opt[h], n, density + h * n, r_factor + h * n,
                                &p->half[h]);
out:
    for (int i = 0; i < 2 * n && region; i++)
        spi_region_free(r->graph, region[i]);
    for (int i = 0; i < 2 * n && density; i++)
        spi_volume_clear(density + i);
    free(density);
    free(region);
    free(r_factor);
    return err;
}

/* ---- rounds ------------------------------------------------------------------------- */

static spi_err one_round(struct spi_run *r, const struct spi_volume half_A[2],
                         const struct spi_agreement *a, int round, struct spi_phasing *p)
{
    double cc;
    spi_err err;

    *p = (struct spi_phasing){.cutoff = spi_phasing_cutoff(r->set, round)};
    SPI_TRY(err = phase_both(r, half_A, a, round, p), out);
    SPI_TRY(err = spi_align_half_maps(&p->half[0].density, &p->half[1].density,
                                      r->data->rings.diameter_A, r->q_max, NULL, a->R,
                                      &p->pose, &cc, &p->density, &p->fsc, &p->moved2),
            out);
    for (int h = 0; h < 2; h++)
        SPI_TRY(
            err = spi_agreement_faithful(r, &half_A[h], &p->half[h].density, a, &p->own[h]),
            out);
    p->phase_consistency = spi_agreement_phase_consistency(
        a, &p->fsc, (const double *const *)p->own, r->q_max);
out:
    if (err)
        spi_phasing_clear(p);
    return err;
}

/* Whether at least half of the starts of either half set found one density. */
static bool settled(const struct spi_phasing *p)
{
    for (int h = 0; h < 2; h++)
        if (2 * p->half[h].n_kept < p->half[h].n_starts)
            return false;
    return true;
}

/* (Q13) */
static bool good(const struct spi_phasing *p, const struct spi_settings *set)
{
    return p->phase_consistency >=
               fmax(set->phase_consistency_min, set->phase_consistency_stop) &&
           settled(p);
}

spi_err spi_phasing_run(struct spi_run *r, const struct spi_volume half_A[2],
                        const struct spi_agreement *a, struct spi_phasing *out)
{
    const struct spi_settings *set = r->set;
    int rounds = 0;
    spi_err err = SPI_OK;

    *out = (struct spi_phasing){.phase_consistency = (double)NAN};
    while (rounds < set->N_phase_rounds && !good(out, set)) {
        struct spi_phasing next;

        SPI_TRY(err = one_round(r, half_A, a, rounds, &next), out);
        rounds++;
        spi_info(
            "phasing, round %d: shrink-wrap at %.3f, %d and %d of %d starts agree, half "
            "maps agree to %.3f of what the intensities allow (need %.2f; no more rounds "
            "from %.2f)",
            rounds, next.cutoff, next.half[0].n_kept, next.half[1].n_kept,
            set->N_phase_starts, next.phase_consistency, set->phase_consistency_min,
            set->phase_consistency_stop);
        if (rounds == 1 || good(&next, set) ||
            next.phase_consistency > out->phase_consistency ||
            isnan(out->phase_consistency)) {
            struct spi_phasing worse = *out;

            *out = next;
            next = worse;
        }
        spi_phasing_clear(&next);
    }
    out->rounds = rounds;
out:
    if (err)
        spi_phasing_clear(out);
    return err;
}
