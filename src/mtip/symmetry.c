/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The particle's point group: given, or seen in both half sets.  doc/math.md section 7. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fsc/symmetry_fit.h"
#include "mtip/run.h"

/* The particle of a replica up to q_max: where the axes of `group` are or, if that is NULL,
 * which group it has, given that the half sets agree to `agreement`. */
struct search {
    const struct spi_replica *c;
    const char *group;
    double q_max, agreement;
    struct found {
        double axes[9];
        struct spi_symmetry_found symmetry;
    } found;
    struct spi_array *model, *result;
};

struct search_args {
    const char *group; /* static, or of the settings */
    int n;
    double step, D, q_max, agreement;
};

/* v: model, found. */
static spi_err task_search(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct search_args *a = arg;
    const struct spi_volume A = {a->n, a->step, v[0].data};
    struct spi_volume W = {0};
    struct found *found = v[1].data;
    double score;
    spi_err err;

    (void)stop;
    SPI_TRY(err = spi_volume_fourier_even(&A, &W), out);
    err = a->group ? spi_symmetry_fit_intensity(a->group, &W, a->D, a->q_max, -1,
                                                found->axes, &score)
                   : spi_symmetry_find(&W, a->D, a->q_max, a->agreement, &found->symmetry);
out:
    spi_volume_clear(&W);
    return err;
}

static spi_err submit_search(struct spi_graph *g, struct search *s)
{
    const struct spi_volume *A = &s->c->A;
    struct search_args a = {.group = s->group,
                            .n = A->n,
                            .step = A->step,
                            .D = s->c->data->rings.diameter_A,
                            .q_max = s->q_max,
                            .agreement = s->agreement};
    struct spi_array_shape model = {SPI_ARRAY_OF(float, "model"),
                                    .rows = (int64_t)spi_volume_count(A), .columns = 1},
                           one = {SPI_ARRAY_OF(struct found, "symmetry"), .rows = 1,
                                  .columns = 1};
    spi_err err;

    SPI_TRY(err = spi_array_wrap(g, &model, A->data, &s->model), out);
    SPI_TRY(err = spi_array_wrap(g, &one, &s->found, &s->result), out);

    struct spi_access access[2] = {{s->model, 0, SPI_READ}, {s->result, 0, SPI_READ_WRITE}};

    err = spi_graph_submit(g, "symmetry", task_search, &a, sizeof a, 2, access);
out:
    return err;
}

/* All at once. */
static spi_err search_all(struct spi_graph *g, int n, struct search *s)
{
    spi_err err = SPI_OK, late;

    for (int i = 0; i < n && !err; i++)
        err = submit_search(g, &s[i]);
    late = spi_graph_wait(g);
    for (int i = 0; i < n; i++) {
        spi_array_free(g, s[i].model);
        spi_array_free(g, s[i].result);
    }
    return err ? err : late;
}

/* Impose the given group on the models that have found their shape without it. */
spi_err spi_run_impose(struct spi_run *r, const struct spi_step *step)
{
    struct search *s = NULL;
    struct spi_replica *replica[2 * SPI_REPLICAS_MAX];
    int n = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(s, 2 * (size_t)r->n_replicas, "symmetry"), out);
    for (int i = 0; i < r->n_replicas; i++)
        for (int h = 0; h < 2; h++)
            if (spi_run_replica_runs(r, h, i, SPI_STAGE_INIT)) {
                replica[n] = &r->replica[h][i];
                s[n] = (struct search){
                    .c = replica[n], .group = r->set->symmetry, .q_max = step->q_match};
                n++;
            }
    SPI_TRY(err = search_all(r->graph, n, s), out);
    for (int i = 0; i < n && !err; i++)
        err = spi_replica_symmetry(replica[i], r->set->symmetry, s[i].found.axes);
out:
    free(s);
    return err;
}

/* Copies rotated by the group's elements are as alike as the half sets are, (Y7). */
static bool safe(const struct spi_symmetry_found *f, double agreement)
{
    return 1 - f->score <= 1.5 * (1 - agreement) + 0.02;
}

spi_err spi_run_find_symmetry(struct spi_run *r, const struct spi_step *step)
{
    struct search s[2] = {0};
    const struct spi_symmetry_found *found[2] = {&s[0].found.symmetry,
                                                 &s[1].found.symmetry};
    bool use;
    spi_err err;

    for (int h = 0; h < 2; h++)
        s[h] = (struct search){.c = &r->replica[h][r->leading[h]],
                               .q_max = step->q_merge,
                               .agreement = r->halves_cc};
    SPI_TRY(err = search_all(r->graph, 2, s), out);
    if (strcmp(found[0]->group, found[1]->group) != 0 || strcmp(found[0]->group, "C1") == 0)
        goto out;
    r->found = *found[0];
    r->found.score = fmin(found[0]->score, found[1]->score);
    use = safe(&r->found, r->halves_cc);
    for (int h = 0; h < 2 && use && !err; h++)
        err = spi_replica_symmetry(&r->replica[h][r->leading[h]], found[h]->group,
                                   found[h]->axes);
    spi_run_tell(
        r, &(struct spi_event){SPI_EVENT_SYMMETRY, .u.symmetry = {&r->found, .used = use}});
out:
    return err;
}
