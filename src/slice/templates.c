#include "slice/templates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/angular.h"
#include "math/rot.h"
#include "math/sphere.h"

static const float floor_of_mean = 0.02F;

enum { GROUP = 32 }; /* directions sliced at once: their points share bricks of the grid */

struct scratch {
    const spi_points *points;
    spi_points *own;    /* if no points were given */
    double (*turn)[9];  /* [GROUP] */
    float *T, *f, *acc; /* T: of GROUP directions */
    float complex *h;
};

static spi_err scratch_new(const struct spi_rings *g, int R, int Na, const spi_nufft *plan,
                           const spi_points *points, struct scratch *s)
{
    spi_err err;
    size_t n = (size_t)g->at[R];

    *s = (struct scratch){.points = points};
    if (!points) {
        SPI_TRY(err = spi_ring_points(g, R, plan, &s->own), out);
        s->points = s->own;
    }
    SPI_TRY(err = SPI_NEW(s->turn, GROUP, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->T, GROUP * n, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->f, n, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->acc, 2 * (size_t)Na, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->h, g->h_at[R], "templates"), out);
out:
    return err;
}

static void scratch_free(struct scratch *s)
{
    spi_points_free(s->own);
    free(s->turn);
    free(s->T);
    free(s->f);
    free(s->acc);
    free(s->h);
}

/* Scale, floor at 2 % of the ring's mean; Sbar = sum over rings of live weight x mean. */
static double condition(const struct spi_template_spec *sp, float *T)
{
    const struct spi_rings *g = sp->rings;
    double sbar = 0;

    for (int r = 0; r < sp->band->R; r++) {
        float *t = T + g->at[r], scale = sp->ring_scale ? sp->ring_scale[r] : 1;
        double sum = 0;

        for (int j = 0; j < g->n[r]; j++)
            sum += (double)(t[j] *= scale);

        float mean = (float)(sum / g->n[r]);
        float least = mean > 0 ? floor_of_mean * mean : 1e-30F;

        sum = 0;
        for (int j = 0; j < g->n[r]; j++) {
            t[j] = t[j] > least ? t[j] : least;
            sum += (double)t[j];
        }
        sbar += sum / g->n[r] * (double)crealf(sp->map->live_h[g->h_at[r]]);
    }
    return sbar > 0 ? sbar : 1e-30;
}

/* table[a] = sum_rj d_rj f(phi_j + a): harmonics C_m = sum_r conj(d_rm) f_rm / n_r. */
static spi_err live_sum(const struct spi_template_spec *sp, struct scratch *s, float *table)
{
    const struct spi_rings *g = sp->rings;
    int M = sp->band->M;
    float *re = s->acc, *im = s->acc + sp->views.Na;
    spi_err err = spi_ring_analyse(g, sp->band->R, s->f, s->h);

    if (err)
        return err;
    memset(s->acc, 0, 2 * (size_t)sp->views.Na * sizeof *s->acc);
    for (int r = 0; r < sp->band->R; r++)
        for (int m = 0; m <= g->m_max[r]; m++) {
            float complex c = conjf(sp->map->live_h[g->h_at[r] + m]) *
                              s->h[g->h_at[r] + m] / (float)g->n[r];

            re[m] += crealf(c);
            im[m] += cimagf(c);
        }
    spi_angular_one(M, sp->views.Na, re, im, table);
    return SPI_OK;
}

static spi_err one(const struct spi_template_spec *sp, const float *inv_n, const float *T,
                   double sbar, struct scratch *s, float *record, float *table, float *S)
{
    const struct spi_rings *g = sp->rings;
    int R = sp->band->R, n = g->at[R];
    float inv = (float)(1 / sbar);
    spi_err err;

    memcpy(s->f, T, (size_t)n * sizeof *s->f);
    SPI_TRY(err = live_sum(sp, s, S), out);
    if (sp->kind == SPI_SCORE_POISSON) {
        for (int a = 0; a < sp->views.Na; a++)
            table[a] = logf(fmaxf(S[a] * inv, 1e-6F));
        for (int i = 0; i < n; i++)
            s->f[i] = logf(T[i] * inv);
    } else {
        for (int r = 0; r < R; r++)
            for (int i = g->at[r]; i < g->at[r + 1]; i++)
                s->f[i] = T[i] * T[i] * sp->inv_var[r];
        SPI_TRY(err = live_sum(sp, s, table), out);
        for (int r = 0; r < R; r++)
            for (int i = g->at[r]; i < g->at[r + 1]; i++)
                s->f[i] = T[i] * sp->inv_var[r];
    }
    SPI_TRY(err = spi_ring_analyse(g, R, s->f, s->h), out);
    spi_band_pack(sp->band, g, s->h, inv_n, record);
out:
    return err;
}

spi_err spi_templates_make(const struct spi_template_spec *sp, const spi_nufft *plan,
                           const float *grid, const int32_t *dir_list, int64_t first,
                           int64_t n, float *record, float *table, float *S)
{
    const struct spi_rings *g = sp->rings;
    int R = sp->band->R;
    struct scratch s;
    float *inv_n = NULL;
    spi_err err;

    SPI_TRY(err = scratch_new(g, R, sp->views.Na, plan, sp->points, &s), out);
    SPI_TRY(err = SPI_NEW(inv_n, R, "templates"), out);
    for (int r = 0; r < R; r++)
        inv_n[r] = 1.0F / (float)g->n[r];
    for (int64_t i0 = 0; i0 < n; i0 += GROUP) {
        int m = n - i0 < GROUP ? (int)(n - i0) : GROUP;
        int64_t points = g->at[R];

        for (int i = 0; i < m; i++) {
            double dir[3];
            int64_t d = first + i0 + i;

            spi_sphere_point(sp->views.nd, dir_list ? dir_list[d] : d, dir);
            spi_rot_to_direction(dir, s.turn[i]);
        }
        SPI_TRY(err = spi_nufft_slice(s.points, grid, m, (const double(*)[9])s.turn, s.T),
                out);
        for (int i = 0; i < m; i++) {
            float *T = s.T + i * points;
            double sbar = condition(sp, T);
            int64_t at = i0 + i;

            SPI_TRY(err = one(sp, inv_n, T, sbar, &s, record + at * sp->band->floats,
                              table + at * sp->views.Na, S + at * sp->views.Na),
                    out);
        }
    }
out:
    free(inv_n);
    scratch_free(&s);
    return err;
}

spi_err spi_ring_means_of_model(const struct spi_rings *g, int R, const spi_nufft *plan,
                                const float *grid, int n_dir, double *mean)
{
    struct scratch s;
    spi_err err = scratch_new(g, R, 1, plan, NULL, &s);

    memset(mean, 0, (size_t)R * sizeof *mean);
    for (int i = 0; i < n_dir && !err; i++) {
        double dir[3];

        spi_sphere_point(n_dir, i, dir);
        spi_rot_to_direction(dir, s.turn[0]);
        if ((err = spi_nufft_slice(s.points, grid, 1, (const double(*)[9])s.turn, s.T)))
            break;
        for (int r = 0; r < R; r++)
            for (int j = g->at[r]; j < g->at[r + 1]; j++)
                mean[r] += (double)s.T[j] / g->n[r] / n_dir;
    }
    scratch_free(&s);
    return err;
}
