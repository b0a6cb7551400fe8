#include "match/score.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/angular.h"
#include "kernel/clones.h"
#include "kernel/correlate.h"

enum { TILE_DIRS = 64, TILE_PAIRS = 256 };

struct scratch {
    float *cos_table, *sin_table, *C, *E, *O, *packed, *out;
};

static spi_err scratch_new(const struct spi_score_input *in, size_t pairs,
                           struct scratch *s)
{
    spi_err err;
    size_t M = (size_t)in->band->M, Na = (size_t)in->views.Na, h = Na / 2 + 1;

    *s = (struct scratch){0};
    SPI_TRY(err = SPI_NEW(s->cos_table, M * h, "score"), out);
    SPI_TRY(err = SPI_NEW(s->sin_table, M * h, "score"), out);
    SPI_TRY(err = SPI_NEW(s->C, 2 * M * pairs, "score"), out);
    SPI_TRY(err = SPI_NEW(s->E, pairs * h, "score"), out);
    SPI_TRY(err = SPI_NEW(s->O, pairs * h, "score"), out);
    SPI_TRY(err = SPI_NEW(s->out, pairs * Na, "score"), out);
    SPI_TRY(err = SPI_NEW(s->packed, 2 * (size_t)in->n_images * (size_t)in->band->floats,
                          "score"),
            out);
    spi_angular_tables(in->band->M, in->views.Na, s->cos_table, s->sin_table);
out:
    return err;
}

static void scratch_free(struct scratch *s)
{
    free(s->cos_table);
    free(s->sin_table);
    free(s->C);
    free(s->E);
    free(s->O);
    free(s->out);
    free(s->packed);
}

/* For each m a matrix of 2 n rows: (cr | ci) gives Re C, (-ci | cr) gives Im C when
 * multiplied with the template's (Lr | Li). */
static void pack_images(const struct spi_score_input *in, float *packed)
{
    const int *off = in->band->off;
    int n = in->n_images;

    for (int m = 0; m < in->band->M; m++) {
        int two_k = off[m + 1] - off[m], k = two_k / 2;
        float *A = packed + (size_t)2 * (size_t)n * (size_t)off[m];

        for (int i = 0; i < n; i++) {
            const float *c = in->records + (size_t)i * (size_t)in->band->floats + off[m];
            float *re = A + (size_t)i * (size_t)two_k, *im = re + (size_t)n * (size_t)two_k;

            for (int r = 0; r < k; r++) {
                re[r] = im[k + r] = c[r];
                re[k + r] = c[k + r];
                im[r] = -c[k + r];
            }
        }
    }
}

static void poisson_scores(int Na, float count, const float *table, float *LL)
{
    for (int a = 0; a < Na; a++)
        LL[a] -= count * table[a];
}

static void gaussian_scores(int Na, const float *table, float *LL)
{
    for (int a = 0; a < Na; a++)
        LL[a] = LL[a] > 0 && table[a] > 0 ? LL[a] * LL[a] / (2 * table[a]) : 0;
}

static void finish(const struct spi_score_input *in, int image, const float *table,
                   float *LL)
{
    if (in->kind == SPI_SCORE_POISSON)
        poisson_scores(in->views.Na, in->counts[image], table, LL);
    else
        gaussian_scores(in->views.Na, table, LL);
}

spi_err spi_score_all(const struct spi_score_input *in, struct spi_scores *out)
{
    const struct spi_band *b = in->band;
    int n = in->n_images, Na = in->views.Na;
    int64_t nd = in->views.nd;
    struct scratch s = {0};
    spi_err err;

    *out = (struct spi_scores){.n_images = n, .Na = Na};
    SPI_TRY(err = scratch_new(in, (size_t)n * TILE_DIRS, &s), fail);
    SPI_TRY(err = SPI_NEW(out->first, n + 1, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->LL, (size_t)n * (size_t)nd * (size_t)Na, "scores"), fail);
    pack_images(in, s.packed);
    for (int k = 0; k <= n; k++)
        out->first[k] = k * nd;
    for (int64_t d0 = 0; d0 < nd; d0 += TILE_DIRS) {
        int nt = nd - d0 < TILE_DIRS ? (int)(nd - d0) : TILE_DIRS;
        size_t pairs = (size_t)n * (size_t)nt;

        for (int m = 0; m < b->M; m++) {
            int two_k = b->off[m + 1] - b->off[m];

            /* C[m][part][image][direction]; re of all m first would need two calls */
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, nt, two_k, 1,
                        s.packed + (size_t)2 * (size_t)n * (size_t)b->off[m], two_k,
                        in->templates + d0 * b->floats + b->off[m], b->floats, 0,
                        s.C + (size_t)m * pairs, nt);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, nt, two_k, 1,
                        s.packed + (size_t)2 * (size_t)n * (size_t)b->off[m] +
                            (size_t)n * (size_t)two_k,
                        two_k, in->templates + d0 * b->floats + b->off[m], b->floats, 0,
                        s.C + (size_t)(b->M + m) * pairs, nt);
        }
        spi_angular(b->M, Na, s.cos_table, s.sin_table, (int64_t)pairs, s.C,
                    s.C + (size_t)b->M * pairs, s.E, s.O, s.out);
        for (int k = 0; k < n; k++)
            for (int t = 0; t < nt; t++) {
                float *LL = out->LL + (k * nd + d0 + t) * Na;

                memcpy(LL, s.out + ((size_t)k * (size_t)nt + (size_t)t) * (size_t)Na,
                       (size_t)Na * sizeof *LL);
                finish(in, k, in->table + (d0 + t) * Na, LL);
            }
    }
    scratch_free(&s);
    return SPI_OK;
fail:
    scratch_free(&s);
    spi_scores_clear(out);
    return err;
}

/* Pairs of the block in the order of their direction: templates are read once. */
struct pair_key {
    int32_t dir, image;
    int64_t pair;
};

static int by_direction(const void *a, const void *b)
{
    const struct pair_key *x = a, *y = b;

    if (x->dir != y->dir)
        return x->dir < y->dir ? -1 : 1;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

static spi_err sort_pairs(int n, const int64_t *first, const int32_t *dir,
                          struct pair_key **out)
{
    int64_t pairs = first[n];
    spi_err err = SPI_NEW(*out, pairs, "scores");

    if (err)
        return err;
    for (int k = 0; k < n; k++)
        for (int64_t i = first[k]; i < first[k + 1]; i++)
            (*out)[i] = (struct pair_key){.dir = dir[i], .image = k, .pair = i};
    qsort(*out, (size_t)pairs, sizeof **out, by_direction);
    return SPI_OK;
}

spi_err spi_score_some(const struct spi_score_input *in, const int64_t *first,
                       const int32_t *dir, const int32_t *row, struct spi_scores *out)
{
    const struct spi_band *b = in->band;
    int n = in->n_images, Na = in->views.Na;
    int64_t pairs = first[n];
    struct scratch s = {0};
    struct pair_key *key = NULL;
    spi_err err;

    *out = (struct spi_scores){.n_images = n, .Na = Na};
    SPI_TRY(err = scratch_new(in, TILE_PAIRS, &s), fail);
    SPI_TRY(err = SPI_NEW(out->first, n + 1, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->dir, pairs, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->LL, (size_t)pairs * (size_t)Na, "scores"), fail);
    memcpy(out->first, first, (size_t)(n + 1) * sizeof *first);
    memcpy(out->dir, dir, (size_t)pairs * sizeof *dir);
    SPI_TRY(err = sort_pairs(n, first, dir, &key), fail);
    for (int64_t p0 = 0; p0 < pairs; p0 += TILE_PAIRS) {
        int np = pairs - p0 < TILE_PAIRS ? (int)(pairs - p0) : TILE_PAIRS;

        for (int i = 0; i < np; i++) {
            const struct pair_key *k = key + p0 + i;
            int64_t at = row ? row[k->dir] : k->dir;

            spi_correlate(b->M, b->off, in->records + (int64_t)k->image * b->floats,
                          in->templates + at * b->floats, np, s.C + i,
                          s.C + (int64_t)b->M * np + i);
        }
        spi_angular(b->M, Na, s.cos_table, s.sin_table, np, s.C, s.C + (int64_t)b->M * np,
                    s.E, s.O, s.out);
        for (int i = 0; i < np; i++) {
            const struct pair_key *k = key + p0 + i;
            float *LL = out->LL + k->pair * Na;

            memcpy(LL, s.out + (int64_t)i * Na, (size_t)Na * sizeof *LL);
            finish(in, k->image, in->table + (row ? row[k->dir] : k->dir) * (int64_t)Na,
                   LL);
        }
    }
    free(key);
    scratch_free(&s);
    return SPI_OK;
fail:
    free(key);
    scratch_free(&s);
    spi_scores_clear(out);
    return err;
}

void spi_scores_clear(struct spi_scores *s)
{
    free(s->first);
    free(s->dir);
    free(s->LL);
    *s = (struct spi_scores){0};
}
