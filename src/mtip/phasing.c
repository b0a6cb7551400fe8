/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/phasing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"

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
    const struct spi_phase_options *opt;
    int index;
    int n; /* voxels per axis of model and density, step apart */
    double step;
};

/* v: model, density, R-factor. */
static spi_err task_start(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct start_args *a = arg;
    const struct spi_volume A = {a->n, a->step, v[0].data};
    struct spi_volume density = {0};
    spi_err err = spi_phase_start(&A, a->opt, a->index, stop, &density, v[2].data);

    if (!err)
        memcpy(v[1].data, density.data, (size_t)v[1].n * sizeof(float));
    spi_volume_clear(&density);
    return err;
}

/* The starts of one half set: n densities. */
struct starts {
    struct spi_phase_options opt;
    char recipe[SPI_TEXT_MAX];
    struct spi_volume *density; /* [n] */
    double *r_factor;           /* [n] */
    struct spi_array *model, *densities, *r_factors;
};

static void starts_clear(struct spi_graph *g, int n, struct starts *s)
{
    spi_array_free(g, s->model);
    spi_array_free(g, s->densities);
    spi_array_free(g, s->r_factors);
    for (int i = 0; i < n && s->density; i++)
        spi_volume_clear(&s->density[i]);
    free(s->density);
    free(s->r_factor);
}

/* No two rounds have a start in common. */
static spi_err submit_starts(struct spi_graph *g, const struct spi_volume *A, int n,
                             int round, struct starts *s)
{
    int64_t count = (int64_t)spi_volume_count(A);
    struct spi_array_shape model = {SPI_ARRAY_OF(float, "model"), .rows = count,
                                    .columns = 1};
    struct spi_array_shape densities = {SPI_ARRAY_OF(float, "densities"), .rows = n,
                                        .columns = count, .parts = n, .unset = true};
    struct spi_array_shape r_factors = {SPI_ARRAY_OF(double, "R-factors"), .rows = n,
                                        .columns = 1, .parts = n};
    spi_err err;

    SPI_TRY(err = SPI_NEW(s->density, n, "phasing"), out);
    SPI_TRY(err = SPI_NEW(s->r_factor, n, "phasing"), out);
    SPI_TRY(err = spi_array_wrap(g, &model, A->data, &s->model), out);
    SPI_TRY(err = spi_array_new(g, &densities, &s->densities), out);
    SPI_TRY(err = spi_array_wrap(g, &r_factors, s->r_factor, &s->r_factors), out);
    for (int i = 0; i < n && !err; i++) {
        struct start_args a = {&s->opt, round * n + i, A->n, A->step};
        struct spi_access access[3] = {{s->model, 0, SPI_READ},
                                       {s->densities, i, SPI_WRITE},
                                       {s->r_factors, i, SPI_WRITE}};

        err = spi_graph_submit(g, "phase", task_start, &a, sizeof a, 3, access);
    }
out:
    return err;
}

/* Densities of the tasks -> s->density. */
static spi_err take_densities(struct spi_graph *g, const struct spi_volume *A, int n,
                              struct starts *s)
{
    spi_err err = SPI_OK;

    for (int i = 0; i < n && !err; i++) {
        err = spi_volume_init(&s->density[i], A->n, A->step);
        if (!err)
            memcpy(s->density[i].data, spi_array_data(s->densities, i, NULL),
                   spi_volume_count(A) * sizeof(float));
    }
    spi_array_free(g, s->densities);
    spi_array_free(g, s->model);
    spi_array_free(g, s->r_factors);
    s->densities = s->model = s->r_factors = NULL;
    return err;
}

/* What is done for both half sets at once, an item each. */
struct halves {
    struct spi_run *r;
    const struct spi_volume *A; /* [2] */
    const struct spi_agreement *a;
    struct starts *starts; /* [2] */
    int n;                 /* of each */
    struct spi_phasing *p;
    struct spi_failure failure;
};

static void combine(void *ctx, int rank, int64_t h)
{
    struct halves *x = ctx;
    struct starts *s = &x->starts[h];

    (void)rank;
    spi_failure_note(&x->failure, spi_phase_combine(&x->A[h], &s->opt, x->n, s->density,
                                                    s->r_factor, &x->p->half[h]));
}

static void compare(void *ctx, int rank, int64_t h)
{
    struct halves *x = ctx;

    (void)rank;
    spi_failure_note(&x->failure,
                     spi_agreement_faithful(x->r, &x->A[h], &x->p->half[h].density, x->a,
                                            &x->p->own[h]));
}

static spi_err phase_both(struct spi_run *r, const struct spi_volume half_A[2],
                          const struct spi_agreement *a, int round, struct spi_phasing *p)
{
    int n = r->set->N_phase_starts;
    struct starts half[2] = {{.model = NULL}};
    struct halves both = {.A = half_A, .starts = half, .n = n, .p = p};
    spi_err err = SPI_OK, late;

    for (int h = 0; h < 2 && !err; h++) {
        struct starts *s = &half[h];

        spi_run_phase_options(r, r->q_max, n, r->seed * 2 + (uint64_t)h, s->recipe,
                              &s->opt);
        s->opt.sw_threshold = p->cutoff;
        s->opt.n_halves = a->shells.n;
        s->opt.halves_q = a->shells.q;
        s->opt.halves_cc = a->shells.cc;
        err = submit_starts(r->graph, &half_A[h], n, round, s);
    }
    late = spi_graph_wait(r->graph);
    err = err ? err : late;
    for (int h = 0; h < 2 && !err; h++)
        err = take_densities(r->graph, &half_A[h], n, &half[h]);
    if (!err) {
        spi_parallel_for(2, 2, combine, &both);
        err = spi_failure_end(&both.failure);
    }
    for (int h = 0; h < 2; h++)
        starts_clear(r->graph, n, &half[h]);
    return err;
}

/* ---- rounds ------------------------------------------------------------------------- */

static spi_err one_round(struct spi_run *r, const struct spi_volume half_A[2],
                         const struct spi_agreement *a, int round, struct spi_phasing *p)
{
    struct halves both = {.r = r, .A = half_A, .a = a, .p = p};
    double cc;
    spi_err err;

    *p = (struct spi_phasing){.cutoff = spi_phasing_cutoff(r->set, round)};
    SPI_TRY(err = phase_both(r, half_A, a, round, p), out);
    SPI_TRY(err = spi_align_half_maps(&p->half[0].density, &p->half[1].density,
                                      r->data->rings.diameter_A, r->q_max, NULL, a->R,
                                      &p->pose, &cc, &p->density, &p->fsc, &p->moved2),
            out);
    spi_parallel_for(2, 2, compare, &both);
    SPI_TRY(err = spi_failure_end(&both.failure), out);
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
        spi_run_tell(r,
                     &(struct spi_event){
                         SPI_EVENT_PHASING,
                         .u.phasing = {.round = rounds,
                                       .n_kept = {next.half[0].n_kept, next.half[1].n_kept},
                                       .n_starts = set->N_phase_starts,
                                       .cutoff = next.cutoff,
                                       .consistency = next.phase_consistency,
                                       .need = set->phase_consistency_min,
                                       .stop = set->phase_consistency_stop}});
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
