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
    float *turn;              /* [Na][2 M] cos, -sin of 2 pi m a / Na */
    float *P, *Phat;          /* [PAIRS_AT_ONCE][Na], [PAIRS_AT_ONCE][2 M] */
    float *H, *Hhat;          /* [Na], [2 M] */
    float complex *num, *den; /* [harmonics] */
    float *num_s, *den_s;     /* [samples] */
    spi_points *points;       /* samples of the untilted detector */
    double (*view)[9];        /* [GROUP] detector -> object */
    float (*val)[2];          /* [GROUP][samples] */
    int M, waiting;           /* directions in view and val */
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
    spi_points_free(s->points);
    free(s->view);
    free(s->val);
}

static spi_err scratch_new(const struct spi_view_spec *sp, const spi_nufft *plan,
                           struct scratch *s)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const struct spi_rings *g = sp->rings;
    float(*q)[3] = NULL;
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
    SPI_TRY(err = SPI_NEW(q, samples, "merge"), fail);
    spi_ring_positions(g, sp->R, identity, 1, q);
    SPI_TRY(err = spi_points_new(plan, (int64_t)samples, (const float(*)[3])q, &s->points),
            fail);
    SPI_TRY(err = SPI_NEW(s->view, GROUP, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->val, GROUP * samples, "merge"), fail);
    for (int a = 0; a < Na; a++)
        for (int m = 0; m < s->M; m++) {
            double x = 2 * SPI_PI * ((long)m * a % Na) / Na;

            s->turn[(size_t)a * two_M + 2 * (size_t)m] = (float)cos(x);
            s->turn[(size_t)a * two_M + 2 * (size_t)m + 1] = (float)-sin(x);
        }
    free(q);
    return SPI_OK;
fail:
    free(q);
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

static spi_err one_direction(const struct spi_view_spec *sp, int64_t n,
                             const struct spi_view_pair *pair, struct scratch *s,
                             double *weight_sum)
{
    const struct spi_rings *g = sp->rings;
    int R = sp->R, Na = sp->views.Na, two_M = 2 * s->M;
    float(*val)[2] = s->val + (int64_t)s->waiting * g->at[R];
    double dir[3];
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

            val[j][0] = measured ? kappa * s->num_s[j] : 0;
            val[j][1] = measured ? kappa * s->den_s[j] : 0;
            *weight_sum += (double)val[j][1];
        }
    }
    spi_sphere_point(sp->views.nd, pair->dir, dir);
    spi_rot_to_direction(dir, s->view[s->waiting++]);
out:
    return err;
}

spi_err spi_views_merge(const struct spi_view_spec *sp, int64_t n,
                        const struct spi_view_pair *pair, const spi_nufft *plan,
                        float *grid2, double *weight_sum)
{
    struct scratch s;
    double sum = 0;
    spi_err err = scratch_new(sp, plan, &s);

    if (err)
        return err;
    for (int64_t from = 0, to; from < n && !err; from = to) {
        for (to = from + 1; to < n && pair[to].dir == pair[from].dir; to++)
            ;
        err = one_direction(sp, to - from, pair + from, &s, &sum);
        if (!err && (s.waiting == GROUP || to == n)) {
            err = spi_nufft_spread(s.points, grid2, s.waiting, (const double(*)[9])s.view,
                                   (const float(*)[2])s.val);
            s.waiting = 0;
        }
    }
    if (weight_sum)
        *weight_sum += sum;
    scratch_free(&s);
    return err;
}
