/* The state of a run as named arrays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/state.h"
#include "mtip/mtip.h"

enum { NAME = 32, ITEMS_MAX = 16 + 2 * (8 + 4 * SPI_CHAINS_MAX) };

/* The scalars of struct spi_run, in one record. */
struct head {
    int32_t generation, stage, step, n_chains, round, leading[2], waiting, have_pose,
        converged;
    double best_cc, halves_cc;
    struct spi_pose pose;
    struct spi_symmetry_found found;
};

struct half_head {
    int64_t candidate_nd, best_nd;
    double candidate_cell;
};

struct chain_head {
    int32_t n, has_scale;
    float beta;
    double step, score, residual, axes[9];
    char symmetry[16];
};

struct list {
    int n;
    struct spi_state_item item[ITEMS_MAX];
    char name[ITEMS_MAX][NAME];
};

static void add(struct list *l, size_t bytes, const void *data, const char *what, int h,
                int s)
{
    snprintf(l->name[l->n], NAME, "%s.%d.%d", what, h, s);
    l->item[l->n] = (struct spi_state_item){l->name[l->n], bytes, data};
    l->n++;
}

spi_err spi_run_save(const struct spi_run *r, const char *path, const char *key)
{
    struct head head = {.generation = r->generation,
                        .stage = r->stage,
                        .step = r->step,
                        .n_chains = r->n_chains,
                        .round = r->round,
                        .leading = {r->leading[0], r->leading[1]},
                        .waiting = r->waiting,
                        .have_pose = r->have_pose,
                        .converged = r->converged,
                        .best_cc = r->best_cc,
                        .halves_cc = r->halves_cc,
                        .pose = r->pose,
                        .found = r->found};
    struct half_head half[2];
    struct chain_head(*chain)[SPI_CHAINS_MAX] = NULL;
    struct list *l = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(l, 1, "checkpoint"), out);
    SPI_TRY(err = SPI_NEW(chain, 2, "checkpoint"), out);
    add(l, sizeof head, &head, "run", 0, 0);
    for (int h = 0; h < 2; h++) {
        const struct spi_half *f = &r->half[h];
        size_t n = (size_t)f->n_images;

        half[h] = (struct half_head){f->candidate_nd, f->best_nd, f->candidate_cell};
        add(l, sizeof half[h], &half[h], "half", h, 0);
        add(l, n * (size_t)f->keep * sizeof *f->candidate, f->candidate, "candidate", h, 0);
        add(l, n * sizeof *f->fluence, f->fluence, "fluence", h, 0);
        add(l, n * sizeof *f->best, f->best, "best", h, 0);
        for (int s = 0; s < r->n_chains; s++) {
            const struct spi_chain *c = &r->chain[h][s];

            chain[h][s] = (struct chain_head){.n = c->A.n,
                                              .has_scale = c->ring_scale != NULL,
                                              .beta = c->beta,
                                              .step = c->A.step,
                                              .score = c->score,
                                              .residual = c->residual};
            memcpy(chain[h][s].axes, c->axes, sizeof c->axes);
            memcpy(chain[h][s].symmetry, c->symmetry, sizeof c->symmetry);
            add(l, sizeof chain[h][s], &chain[h][s], "chain", h, s);
            if (!c->ring_scale) /* a fresh random start is made again */
                add(l, spi_volume_count(&c->A) * sizeof *c->A.data, c->A.data, "A", h, s);
        }
    }
    err = spi_state_write(path, key, l->n, l->item);
out:
    free(chain);
    free(l);
    return err;
}

static spi_err get(const struct spi_state *st, size_t bytes, void *to, const char *what,
                   int h, int s)
{
    char name[NAME];

    snprintf(name, sizeof name, "%s.%d.%d", what, h, s);
    return spi_state_get(st, name, bytes, to);
}

static spi_err load_chain(const struct spi_state *st, struct spi_run *r, int h, int s)
{
    struct spi_chain *c = &r->chain[h][s];
    struct chain_head head;
    spi_err err = get(st, sizeof head, &head, "chain", h, s);

    if (err)
        return err;
    c->data = r->data;
    c->half = &r->half[h];
    c->seed = r->seed * 2 + (uint64_t)h;
    c->index = s;
    c->beta = head.beta;
    c->score = head.score;
    c->residual = head.residual;
    head.symmetry[sizeof head.symmetry - 1] = 0;
    SPI_TRY(err = spi_chain_symmetry(c, head.symmetry, head.axes), out);
    if (head.has_scale) { /* as spi_run_init made it */
        return c->ring_scale ? SPI_OK
                             : spi_fail(SPI_EFORMAT, "the state has an unknown start");
    }
    free(c->ring_scale);
    c->ring_scale = NULL;
    spi_volume_clear(&c->A);
    SPI_TRY(err = spi_volume_init(&c->A, head.n, head.step), out);
    err = get(st, spi_volume_count(&c->A) * sizeof *c->A.data, c->A.data, "A", h, s);
out:
    return err;
}

static spi_err load_half(const struct spi_state *st, struct spi_half *f, int h)
{
    struct half_head head;
    size_t n = (size_t)f->n_images;
    spi_err err;

    SPI_TRY(err = get(st, sizeof head, &head, "half", h, 0), out);
    f->candidate_nd = head.candidate_nd;
    f->best_nd = head.best_nd;
    f->candidate_cell = head.candidate_cell;
    SPI_TRY(err = get(st, n * (size_t)f->keep * sizeof *f->candidate, f->candidate,
                      "candidate", h, 0),
            out);
    SPI_TRY(err = get(st, n * sizeof *f->fluence, f->fluence, "fluence", h, 0), out);
    err = get(st, n * sizeof *f->best, f->best, "best", h, 0);
out:
    return err;
}

spi_err spi_run_load(struct spi_run *r, const char *path, const char *key)
{
    struct spi_state *st;
    struct head head;
    spi_err err = spi_state_read(path, key, &st);

    if (err)
        return err;
    SPI_TRY(err = get(st, sizeof head, &head, "run", 0, 0), out);
    if (head.n_chains < 1 || head.n_chains > SPI_CHAINS_MAX) {
        err = spi_fail(SPI_EFORMAT, "%s: %d starts; need 1..%d", path, head.n_chains,
                       SPI_CHAINS_MAX);
        goto out;
    }
    for (int h = 0; h < 2; h++)
        if (head.leading[h] < 0 || head.leading[h] >= head.n_chains) {
            err = spi_fail(SPI_EFORMAT, "%s: start %d leads half %d; there are %d", path,
                           head.leading[h], h + 1, head.n_chains);
            goto out;
        }
    if (head.stage < SPI_STAGE_START || head.stage > SPI_STAGE_DONE) {
        err = spi_fail(SPI_EFORMAT, "%s: stage %d; need %d..%d", path, head.stage,
                       SPI_STAGE_START, SPI_STAGE_DONE);
        goto out;
    }
    SPI_TRY(err = spi_run_make_chains(r, head.n_chains), out);
    r->generation = head.generation, r->stage = head.stage, r->step = head.step;
    r->round = head.round, r->waiting = head.waiting, r->have_pose = head.have_pose;
    r->converged = head.converged, r->best_cc = head.best_cc, r->halves_cc = head.halves_cc;
    r->pose = head.pose;
    r->found = head.found;
    r->found.group[sizeof r->found.group - 1] = 0;
    for (int h = 0; h < 2; h++) {
        r->leading[h] = head.leading[h];
        SPI_TRY(err = load_half(st, &r->half[h], h), out);
        for (int s = 0; s < head.n_chains; s++)
            SPI_TRY(err = load_chain(st, r, h, s), out);
    }
out:
    spi_state_free(st);
    return err;
}
