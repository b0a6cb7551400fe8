#include "merge/views.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/clones.h"
#include "math/rot.h"
#include "math/sphere.h"

enum {
    PAIRS_AT_ONCE = 64,
    GROUP = 32 /* directions spread at once: their points share bricks of the grid */
};

struct scratch {
    float *turn;                /* [Na][2 M] cos, -sin of 2 pi m a / Na */
    float *P, *Phat;            /* [PAIRS_AT_ONCE][Na], [PAIRS_AT_ONCE][2 M] */
    float *H, *Hhat;            /* [Na], [2 M] */
    float complex *num, *den;   /* [harmonics] */
    float *num_s, *den_s;       /* [samples] */
    float (*base)[3];           /* [samples] positions of the untilted detector */
    float (*one)[2];            /* [samples] values of one direction */
    float (*pos)[3], (*val)[2]; /* [GROUP][samples] */
    int M, waiting;             /* directions in pos and val */
};

static void scratch_free(struct scratch *s)
{
    free(s->turn);
    free(s->P);
    free(s->Phat);
    free(s->H);
    free(s->Hhat);
    free(s->num);
    free(s->den);
    free(s->num_s);
    free(s->den_s);
    free(s->base);
    free(s->one);
    free(s->pos);
    free(s->val);
}

static spi_err scratch_new(const struct spi_view_spec *sp, double scale, struct scratch *s)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const struct spi_rings *g = sp->rings;
    spi_err err;
    int Na = sp->views.Na;
    size_t samples = (size_t)g->at[sp->R], harmonics = (size_t)g->h_at[sp->R];

    *s = (struct scratch){.M = g->m_max[sp->R - 1] + 1};

    size_t two_M = 2 * (size_t)s->M;

    SPI_TRY(err = SPI_NEW(s->turn, (size_t)Na * two_M, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->P, (size_t)PAIRS_AT_ONCE * (size_t)Na, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->Phat, PAIRS_AT_ONCE * two_M, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->H, Na, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->Hhat, two_M, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->num, harmonics, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->den, harmonics, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->num_s, samples, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->den_s, samples, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->base, samples, "merge"), fail);
    spi_ring_positions(g, sp->R, identity, scale, s->base);
    SPI_TRY(err = SPI_NEW(s->one, samples, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->pos, GROUP * samples, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->val, GROUP * samples, "merge"), fail);
    for (int a = 0; a < Na; a++)
        for (int m = 0; m < s->M; m++) {
            double x = 2 * SPI_PI * ((long)m * a % Na) / Na;

            s->turn[(size_t)a * two_M + 2 * (size_t)m] = (float)cos(x);
            s->turn[(size_t)a * two_M + 2 * (size_t)m + 1] = (float)-sin(x);
        }
    return SPI_OK;
fail:
    scratch_free(s);
    return err;
}

/* acc_m += p_m c_m for the harmonics of one ring. */
SPI_CLONES static void add_turned(int n, const float *restrict p, const float *restrict c,
                                  float *restrict acc)
{
#pragma omp simd
    for (int m = 0; m < n; m++) {
        acc[2 * m] += p[2 * m] * c[2 * m] - p[2 * m + 1] * c[2 * m + 1];
        acc[2 * m + 1] += p[2 * m] * c[2 * m + 1] + p[2 * m + 1] * c[2 * m];
    }
}

/* num += sum over the pairs of Phat c (V1), H += phi P, in batches. */
static void add_pairs(const struct spi_view_spec *sp, int64_t n,
                      const struct spi_view_pair *pair, struct scratch *s)
{
    const struct spi_rings *g = sp->rings;
    int Na = sp->views.Na, two_M = 2 * s->M;

    for (int64_t p0 = 0; p0 < n; p0 += PAIRS_AT_ONCE) {
        int np = n - p0 < PAIRS_AT_ONCE ? (int)(n - p0) : PAIRS_AT_ONCE;

        memset(s->P, 0, (size_t)np * (size_t)Na * sizeof *s->P);
        for (int i = 0; i < np; i++) {
            const struct spi_view_pair *p = pair + p0 + i;
            float phi = sp->fluence[p->image];

            for (int e = 0; e < p->count; e++) {
                s->P[i * Na + p->angle[e]] += p->weight[e];
                s->H[p->angle[e]] += phi * p->weight[e];
            }
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, np, two_M, Na, 1, s->P, Na,
                    s->turn, two_M, 0, s->Phat, two_M);
        for (int i = 0; i < np; i++) {
            const float complex *c = sp->harmonics(sp->images, pair[p0 + i].image);

            for (int r = 0; r < sp->R; r++)
                add_turned(g->m_max[r] + 1, s->Phat + i * two_M,
                           (const float *)(c + g->h_at[r]), (float *)(s->num + g->h_at[r]));
        }
    }
}

/* The averaged image of one direction: s->one. */
static spi_err one_direction(const struct spi_view_spec *sp, int64_t n,
                             const struct spi_view_pair *pair, struct scratch *s,
                             double *weight_sum)
{
    const struct spi_rings *g = sp->rings;
    int R = sp->R, Na = sp->views.Na, two_M = 2 * s->M;
    spi_err err;

    memset(s->num, 0, (size_t)g->h_at[R] * sizeof *s->num);
    memset(s->den, 0, (size_t)g->h_at[R] * sizeof *s->den);
    memset(s->H, 0, (size_t)Na * sizeof *s->H);
    add_pairs(sp, n, pair, s);
    cblas_sgemv(CblasRowMajor, CblasTrans, Na, two_M, 1, s->turn, two_M, s->H, 1, 0,
                s->Hhat, 1);
    for (int r = 0; r < R; r++)
        add_turned(g->m_max[r] + 1, s->Hhat, (const float *)(sp->map->live_h + g->h_at[r]),
                   (float *)(s->den + g->h_at[r]));
    SPI_TRY(err = spi_ring_synthesise(g, R, s->num, s->num_s), out);
    SPI_TRY(err = spi_ring_synthesise(g, R, s->den, s->den_s), out);
    for (int r = 0; r < R; r++) {
        float kappa = (float)(g->q[r] / g->q[R - 1]);

        for (int j = g->at[r]; j < g->at[r + 1]; j++) {
            bool measured = s->den_s[j] > 0; /* the edge of a mask rings below zero */

            s->one[j][0] = measured ? kappa * s->num_s[j] : 0;
            s->one[j][1] = measured ? kappa * s->den_s[j] : 0;
            *weight_sum += (double)s->one[j][1];
        }
    }
out:
    return err;
}

static spi_err flush(const struct spi_view_spec *sp, const spi_nufft *plan, float *grid2,
                     struct scratch *s)
{
    int64_t points = (int64_t)s->waiting * sp->rings->at[sp->R];

    s->waiting = 0;
    return spi_nufft_spread(plan, grid2, points, (const float(*)[3])s->pos,
                            (const float(*)[2])s->val);
}

/* Put s->one at R_n q and, with a point group, at all S R_n q (Y4). */
static spi_err place(const struct spi_view_spec *sp, int32_t direction,
                     const spi_nufft *plan, float *grid2, struct scratch *s)
{
    int64_t samples = sp->rings->at[sp->R];
    int n_group = sp->n_group > 1 ? sp->n_group : 1;
    double dir[3], Rn[9], SRn[9];
    spi_err err = SPI_OK;

    spi_sphere_point(sp->views.nd, direction, dir);
    spi_rot_to_direction(dir, Rn);
    for (int i = 0; i < n_group && !err; i++) {
        if (n_group > 1)
            spi_rot_mul(sp->group[i], Rn, SRn);
        memcpy(s->val + s->waiting * samples, s->one, (size_t)samples * sizeof *s->one);
        spi_ring_turn(n_group > 1 ? SRn : Rn, samples, (const float(*)[3])s->base,
                      s->pos + s->waiting * samples);
        if (++s->waiting == GROUP)
            err = flush(sp, plan, grid2, s);
    }
    return err;
}

spi_err spi_views_merge(const struct spi_view_spec *sp, int64_t n,
                        const struct spi_view_pair *pair, const spi_nufft *plan,
                        float *grid2, double *weight_sum)
{
    struct scratch s;
    double sum = 0;
    spi_err err = scratch_new(sp, spi_nufft_scale(plan), &s);

    if (err)
        return err;
    for (int64_t from = 0, to; from < n && !err; from = to) {
        for (to = from + 1; to < n && pair[to].dir == pair[from].dir; to++)
            ;
        err = one_direction(sp, to - from, pair + from, &s, &sum);
        if (!err)
            err = place(sp, pair[from].dir, plan, grid2, &s);
    }
    if (!err && s.waiting > 0)
        err = flush(sp, plan, grid2, &s);
    if (weight_sum)
        *weight_sum += sum * (sp->n_group > 1 ? sp->n_group : 1);
    scratch_free(&s);
    return err;
}
