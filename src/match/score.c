#include "match/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/lanes.h"

struct scratch {
    const struct spi_lanes *kernel;
    struct spi_angular angular;
    enum spi_score_form form;
    float *panel, *group, *C, *table, *work, *x;
};

/* groups: of images to be packed. */
static spi_err scratch_new(const struct spi_score_input *in, int groups, struct scratch *s)
{
    const struct spi_band *b = in->band;
    size_t Na = (size_t)in->views.Na, width = SPI_LANES;
    size_t work = 2 * Na * width, records = width * 2 * (size_t)(b->M + SPI_LANES);
    spi_err err;

    *s = (struct scratch){.kernel = spi_lanes_best(),
                          .form = in->kind == SPI_SCORE_POISSON ? SPI_FORM_DIFFERENCE
                                                                : SPI_FORM_RATIO};
    SPI_TRY(err = spi_angular_init(&s->angular, b->M, in->views.Na), out);
    SPI_TRY(err = SPI_NEW(s->panel, spi_panel_floats(b), "score"), out);
    SPI_TRY(err = SPI_NEW(s->group, groups * spi_group_floats(b), "score"), out);
    SPI_TRY(err = SPI_NEW(s->C, SPI_GROUP * spi_pairs_floats(b), "score"), out);
    SPI_TRY(err = SPI_NEW(s->table, Na * width, "score"), out);
    SPI_TRY(err = SPI_NEW(s->work, work > records ? work : records, "score"), out);
    SPI_TRY(err = SPI_NEW(s->x, Na * width, "score"), out);
out:
    return err;
}

static void scratch_free(struct scratch *s)
{
    spi_angular_clear(&s->angular);
    free(s->panel);
    free(s->group);
    free(s->C);
    free(s->table);
    free(s->work);
    free(s->x);
}

/* ---- every image against every direction -----------------------------------------------
 */

/* What becomes of image k against directions d0 ... d0+n-1: s->x [Na][lane]. */
typedef void use_fn(const struct spi_score_input *in, const struct scratch *s, int k,
                    int64_t d0, int n, struct spi_scores *out);

static void keep_rows(const struct spi_score_input *in, const struct scratch *s, int k,
                      int64_t d0, int n, struct spi_scores *out)
{
    const float *table[SPI_LANES];
    float *row[SPI_LANES], count[SPI_LANES];
    int64_t at = k * in->views.nd + d0;

    for (int t = 0; t < n; t++) {
        table[t] = in->table + (d0 + t) * in->views.Na;
        row[t] = out->LL + (at + t) * in->views.Na;
        count[t] = in->counts[k];
    }
    s->kernel->rows(s->form, in->views.Na, n, s->x, table, count, row, out->row_top + at);
}

static void keep_tops(const struct spi_score_input *in, const struct scratch *s, int k,
                      int64_t d0, int n, struct spi_scores *out)
{
    _Alignas(64) float top[SPI_LANES];

    s->kernel->top(s->form, in->views.Na, s->x, s->table, in->counts[k], top);
    memcpy(out->top + k * in->views.nd + d0, top, (size_t)n * sizeof *top);
}

/* SPI_LANES directions at a time stay in the second-level cache while all images pass. */
static void each_tile(const struct spi_score_input *in, struct scratch *s, use_fn *use,
                      struct spi_scores *out)
{
    const struct spi_band *b = in->band;
    int64_t nd = in->views.nd;

    for (int64_t d0 = 0; d0 < nd; d0 += SPI_LANES) {
        int n = nd - d0 < SPI_LANES ? (int)(nd - d0) : SPI_LANES;
        const float *record[SPI_LANES], *table[SPI_LANES];

        for (int t = 0; t < n; t++) {
            record[t] = in->templates + (d0 + t) * b->floats;
            table[t] = in->table + (d0 + t) * in->views.Na;
        }
        s->kernel->panel(b, n, record, s->panel);
        s->kernel->columns(n, in->views.Na, table, s->table);
        for (int k0 = 0; k0 < in->n_images; k0 += SPI_GROUP) {
            int images = in->n_images - k0 < SPI_GROUP ? in->n_images - k0 : SPI_GROUP;

            s->kernel->tile(b, s->panel, images,
                            s->group + k0 / SPI_GROUP * spi_group_floats(b), s->C);
            for (int i = 0; i < images; i++) {
                s->kernel->angular(&s->angular, s->C + i * spi_pairs_floats(b), s->work,
                                   s->x);
                use(in, s, k0 + i, d0, n, out);
            }
        }
    }
}

static void pack_images(const struct spi_score_input *in, float *group)
{
    for (int k0 = 0; k0 < in->n_images; k0 += SPI_GROUP) {
        const float *image[SPI_GROUP] = {0};

        for (int i = 0; i < SPI_GROUP && k0 + i < in->n_images; i++)
            image[i] = in->records + (int64_t)(k0 + i) * in->band->floats;
        spi_group_pack(in->band, image, group);
        group += spi_group_floats(in->band);
    }
}

static spi_err score_dense(const struct spi_score_input *in, use_fn *use,
                           struct spi_scores *out)
{
    struct scratch s;
    spi_err err;

    SPI_TRY(err = scratch_new(in, (in->n_images + SPI_GROUP - 1) / SPI_GROUP, &s), out);
    pack_images(in, s.group);
    each_tile(in, &s, use, out);
out:
    scratch_free(&s);
    return err;
}

spi_err spi_score_all(const struct spi_score_input *in, struct spi_scores *out)
{
    int64_t n = in->n_images, nd = in->views.nd;
    spi_err err;

    *out = (struct spi_scores){.n_images = in->n_images, .Na = in->views.Na};
    SPI_TRY(err = SPI_NEW(out->first, n + 1, "scores"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(out->LL, n * nd * in->views.Na, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->row_top, n * nd, "scores"), fail);
    for (int k = 0; k <= n; k++)
        out->first[k] = k * nd;
    SPI_TRY(err = score_dense(in, keep_rows, out), fail);
    return SPI_OK;
fail:
    spi_scores_clear(out);
    return err;
}

/* ---- some pairs ------------------------------------------------------------------------
 */

/* SPI_LANES pairs at a time, in the order given: an image stays in the first-level cache
 * while its directions pass, and images of neighbouring directions share templates. */
static void each_pair(const struct spi_score_input *in, struct scratch *s,
                      const int32_t *row, struct spi_scores *out)
{
    int64_t pairs = out->first[out->n_images];
    int64_t Na = in->views.Na, floats = in->band->floats;
    int k = 0;

    for (int64_t p = 0; p < pairs; p += SPI_LANES) {
        int n = pairs - p < SPI_LANES ? (int)(pairs - p) : SPI_LANES;
        const float *image[SPI_LANES], *record[SPI_LANES], *table[SPI_LANES];
        float *LL[SPI_LANES], count[SPI_LANES];

        for (int i = 0; i < n; i++) {
            int32_t d = out->dir[p + i];
            int64_t at = row ? row[d] : d;

            while (out->first[k + 1] <= p + i)
                k++;
            image[i] = in->records + k * floats;
            count[i] = in->counts[k];
            record[i] = in->templates + at * floats;
            table[i] = in->table + at * Na;
            LL[i] = out->LL + (p + i) * Na;
        }
        s->kernel->pairs(in->band, n, image, record, s->work, s->C);
        s->kernel->angular(&s->angular, s->C, s->work, s->x);
        s->kernel->rows(s->form, (int)Na, n, s->x, table, count, LL, out->row_top + p);
    }
}

spi_err spi_score_some(const struct spi_score_input *in, const int64_t *first,
                       const int32_t *dir, const int32_t *row, struct spi_scores *out)
{
    int n = in->n_images;
    int64_t pairs = first[n];
    struct scratch s = {0};
    spi_err err;

    *out = (struct spi_scores){.n_images = n, .Na = in->views.Na};
    SPI_TRY(err = scratch_new(in, 0, &s), fail);
    SPI_TRY(err = SPI_NEW(out->first, n + 1, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->dir, pairs, "scores"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(out->LL, pairs * in->views.Na, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->row_top, pairs, "scores"), fail);
    memcpy(out->first, first, (size_t)(n + 1) * sizeof *first);
    memcpy(out->dir, dir, (size_t)pairs * sizeof *dir);
    each_pair(in, &s, row, out);
    scratch_free(&s);
    return SPI_OK;
fail:
    scratch_free(&s);
    spi_scores_clear(out);
    return err;
}

/* ---- all, of which some are kept -------------------------------------------------------
 */

/* Directions of image k at most `drop` below its best; dir may be NULL. */
static int64_t near_top(int64_t nd, const float *top, double drop, int32_t *dir)
{
    int64_t n = 0;
    float best = top[0];

    for (int64_t d = 1; d < nd; d++)
        best = top[d] > best ? top[d] : best;
    for (int64_t d = 0; d < nd; d++)
        if ((double)top[d] >= (double)best - drop) {
            if (dir)
                dir[n] = (int32_t)d;
            n++;
        }
    return n;
}

spi_err spi_score_peaks(const struct spi_score_input *in, double drop,
                        struct spi_scores *out)
{
    int n = in->n_images;
    int64_t nd = in->views.nd, *first = NULL;
    int32_t *dir = NULL;
    struct spi_scores tops = {.nd = nd};
    spi_err err;

    *out = (struct spi_scores){0};
    SPI_TRY(err = SPI_NEW(tops.top, n * nd, "scores"), out);
    SPI_TRY(err = score_dense(in, keep_tops, &tops), out);
    SPI_TRY(err = SPI_NEW(first, n + 1, "scores"), out);
    for (int k = 0; k < n; k++)
        first[k + 1] = first[k] + near_top(nd, tops.top + k * nd, drop, NULL);
    SPI_TRY(err = SPI_NEW(dir, first[n], "scores"), out);
    for (int k = 0; k < n; k++)
        near_top(nd, tops.top + k * nd, drop, dir + first[k]);
    SPI_TRY(err = spi_score_some(in, first, dir, NULL, out), out);
    out->nd = nd;
    out->top = tops.top;
    tops.top = NULL;
out:
    free(tops.top);
    free(first);
    free(dir);
    return err;
}

void spi_scores_clear(struct spi_scores *s)
{
    free(s->first);
    free(s->dir);
    free(s->LL);
    free(s->row_top);
    free(s->top);
    *s = (struct spi_scores){0};
}
