/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "slice/templates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/lanes.h"
#include "math/rot.h"
#include "math/sphere.h"

static const float floor_of_mean = 0.02F;

enum { GROUP = 2 * SPI_LANES }; /* sliced at once: their points share bricks of the grid */

struct slices {
    const spi_points *points;
    spi_points *own;       /* if no points were given */
    double (*rotation)[9]; /* [GROUP] */
    float *T;              /* of GROUP directions */
};

static spi_err slices_new(const struct spi_rings *g, int R, const spi_nufft *plan,
                          const spi_points *points, struct slices *s)
{
    spi_err err;

    *s = (struct slices){.points = points};
    if (!points) {
        SPI_TRY(err = spi_ring_points(g, R, plan, &s->own), out);
        s->points = s->own;
    }
    SPI_TRY(err = SPI_NEW(s->rotation, GROUP, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->T, GROUP * (size_t)g->at[R], "templates"), out);
out:
    return err;
}

static void slices_free(struct slices *s)
{
    spi_points_free(s->own);
    free(s->rotation);
    free(s->T);
}

/* Of SPI_LANES directions, each a lane: harmonics of their live sums and what comes of
 * them; of one direction: what is analysed, and its harmonics. */
struct scratch {
    const struct spi_lanes *kernel;
    struct spi_angular angular;
    float *C, *work, *x; /* spi_lanes.angular */
    float *f;
    float complex *h;
    float *inv_n; /* 1 / n_r */
    double sbar[SPI_LANES];
};

static spi_err scratch_new(const struct spi_template_spec *sp, struct scratch *s)
{
    const struct spi_rings *g = sp->rings;
    int R = sp->band->R;
    size_t Na = (size_t)sp->views.Na;
    spi_err err;

    *s = (struct scratch){.kernel = spi_lanes_best()};
    SPI_TRY(err = spi_angular_init(&s->angular, sp->band->M, sp->views.Na), out);
    SPI_TRY(err = SPI_NEW(s->C, spi_pairs_floats(sp->band), "templates"), out);
    SPI_TRY(err = SPI_NEW(s->work, 2 * Na * SPI_LANES, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->x, Na * SPI_LANES, "templates"), out);
    SPI_TRY(err = SPI_NEW(s->f, g->at[R], "templates"), out);
    SPI_TRY(err = SPI_NEW(s->h, g->h_at[R], "templates"), out);
    SPI_TRY(err = SPI_NEW(s->inv_n, R, "templates"), out);
    for (int r = 0; r < R; r++)
        s->inv_n[r] = 1.0F / (float)g->n[r];
out:
    return err;
}

static void scratch_free(struct scratch *s)
{
    spi_angular_clear(&s->angular);
    free(s->C);
    free(s->work);
    free(s->x);
    free(s->f);
    free(s->h);
    free(s->inv_n);
}

/* Scale, floor at 2 % of the ring's mean; Sbar = sum over rings of live weight x mean. */
static double condition(const struct spi_template_spec *sp, float *T)
{
    const struct spi_rings *g = sp->rings;
    double sbar = 0;

    for (int r = 0; r < sp->band->R; r++) {
        float *t = T + g->at[r], scale = sp->ring_scale ? sp->ring_scale[r] : 1,
              add = sp->ring_add ? sp->ring_add[r] : 0;
        double sum = 0;

        for (int j = 0; j < g->n[r]; j++)
            sum += (double)(t[j] = t[j] * scale + add);

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

static float inv_var(const struct spi_template_spec *sp, int r)
{
    return sp->inv_var ? sp->inv_var[r] : 1;
}

/* Harmonics of sum_rj d_rj f(phi_j + a): C_m = sum_r conj(d_rm) f_rm / n_r. */
static spi_err add_live_sum(const struct spi_template_spec *sp, struct scratch *s, int lane)
{
    const struct spi_rings *g = sp->rings;
    spi_err err = spi_ring_analyse(g, sp->band->R, s->f, s->h);

    if (err)
        return err;
    for (int r = 0; r < sp->band->R; r++)
        for (int m = 0; m <= g->m_max[r]; m++) {
            float complex c =
                conjf(sp->map->live_h[g->h_at[r] + m]) * s->h[g->h_at[r] + m] * s->inv_n[r];
            float *C = s->C + 2L * SPI_LANES * m + lane;

            C[0] += crealf(c);
            C[SPI_LANES] += cimagf(c);
        }
    return SPI_OK;
}

/* out[direction][a] = sum_rj d_rj h(T(phi_j + a)) of n <= SPI_LANES directions; h NULL: of T
 * itself. */
static spi_err live_sums(const struct spi_template_spec *sp, int n, const float *T,
                         void (*h)(int, const float *, float, float *), struct scratch *s,
                         float *out)
{
    const struct spi_rings *g = sp->rings;
    int points = g->at[sp->band->R], Na = sp->views.Na;
    spi_err err;

    memset(s->C, 0, (size_t)spi_pairs_floats(sp->band) * sizeof *s->C);
    for (int i = 0; i < n; i++, T += points) {
        if (!h)
            memcpy(s->f, T, (size_t)points * sizeof *T);
        for (int r = 0; r < sp->band->R && h; r++)
            h(g->n[r], T + g->at[r], inv_var(sp, r), s->f + g->at[r]);
        if ((err = add_live_sum(sp, s, i)))
            return err;
    }
    s->kernel->angular(&s->angular, s->C, s->work, s->x);
    for (int i = 0; i < n; i++)
        for (int a = 0; a < Na; a++)
            out[i * Na + a] = s->x[a * SPI_LANES + i];
    return SPI_OK;
}

/* n <= SPI_LANES directions. */
static spi_err make(const struct spi_template_spec *sp, int n, float *T, struct scratch *s,
                    float *record, float *table, float *S)
{
    const struct spi_likelihood *like = sp->like;
    const struct spi_rings *g = sp->rings;
    int points = g->at[sp->band->R], Na = sp->views.Na;
    spi_err err;

    for (int i = 0; i < n; i++)
        s->sbar[i] = condition(sp, T + (ptrdiff_t)i * points);
    SPI_TRY(err = live_sums(sp, n, T, NULL, s, S), out);
    if (like->ring_h)
        SPI_TRY(err = live_sums(sp, n, T, like->ring_h, s, table), out);
    for (int i = 0; i < n; i++, T += points) {
        float inv = (float)(1 / s->sbar[i]);

        like->ring_table(Na, (like->ring_h ? table : S) + i * Na, inv, table + i * Na);
        for (int r = 0; r < sp->band->R; r++)
            like->ring_f(g->n[r], T + g->at[r], inv_var(sp, r), inv, s->f + g->at[r]);
        SPI_TRY(err = spi_ring_analyse(g, sp->band->R, s->f, s->h), out);
        spi_band_pack(sp->band, g, s->h, s->inv_n,
                      record + (ptrdiff_t)i * sp->band->floats);
    }
out:
    return err;
}

spi_err spi_templates_make(const struct spi_template_spec *sp, const spi_nufft *plan,
                           const float *grid, const int32_t *dir_list, int64_t first,
                           int64_t n, float *record, float *table, float *S)
{
    const struct spi_rings *g = sp->rings;
    int R = sp->band->R;
    struct slices slices;
    struct scratch s = {0};
    spi_err err;

    SPI_TRY(err = slices_new(g, R, plan, sp->points, &slices), out);
    SPI_TRY(err = scratch_new(sp, &s), out);
    for (int64_t i0 = 0; i0 < n; i0 += GROUP) {
        int m = n - i0 < GROUP ? (int)(n - i0) : GROUP;

        for (int i = 0; i < m; i++) {
            double dir[3];
            int64_t d = first + i0 + i;

            spi_sphere_point(sp->views.nd, dir_list ? dir_list[d] : d, dir);
            spi_rot_to_direction(dir, slices.rotation[i]);
        }
        SPI_TRY(err = spi_nufft_slice(slices.points, grid, m,
                                      (const double(*)[9])slices.rotation, slices.T),
                out);
        for (int i = 0; i < m; i += SPI_LANES) {
            int64_t at = i0 + i;

            SPI_TRY(err = make(sp, m - i < SPI_LANES ? m - i : SPI_LANES,
                               slices.T + (ptrdiff_t)i * g->at[R], &s,
                               record + at * sp->band->floats, table + at * sp->views.Na,
                               S + at * sp->views.Na),
                    out);
        }
    }
out:
    scratch_free(&s);
    slices_free(&slices);
    return err;
}

spi_err spi_ring_means_of_views(const struct spi_rings *g, int R, const spi_points *points,
                                const float *grid, int n, const double (*dir)[3],
                                double *mean)
{
    struct slices s;
    spi_err err = slices_new(g, R, NULL, points, &s);

    for (int i0 = 0; i0 < n && !err; i0 += GROUP) {
        int m = n - i0 < GROUP ? n - i0 : GROUP;

        for (int i = 0; i < m; i++)
            spi_rot_to_direction(dir[i0 + i], s.rotation[i]);
        err = spi_nufft_slice(s.points, grid, m, (const double(*)[9])s.rotation, s.T);
        for (int i = 0; i < m && !err; i++)
            for (int r = 0; r < R; r++) {
                const float *t = s.T + (ptrdiff_t)i * g->at[R];
                double sum = 0;

                for (int j = g->at[r]; j < g->at[r + 1]; j++)
                    sum += (double)t[j];
                mean[(ptrdiff_t)(i0 + i) * R + r] = sum / g->n[r];
            }
    }
    slices_free(&s);
    return err;
}

spi_err spi_ring_means_of_model(const struct spi_rings *g, int R, const spi_nufft *plan,
                                const float *grid, int n_dir, double *mean)
{
    spi_points *points = NULL;
    double(*dir)[3] = NULL, *of_view = NULL;
    spi_err err;

    memset(mean, 0, (size_t)R * sizeof *mean);
    SPI_TRY(err = SPI_NEW(dir, n_dir, "templates"), out);
    SPI_TRY(err = SPI_NEW(of_view, (int64_t)n_dir * R, "templates"), out);
    for (int i = 0; i < n_dir; i++)
        spi_sphere_point(n_dir, i, dir[i]);
    SPI_TRY(err = spi_ring_points(g, R, plan, &points), out);
    SPI_TRY(err = spi_ring_means_of_views(g, R, points, grid, n_dir,
                                          (const double(*)[3])dir, of_view),
            out);
    for (int i = 0; i < n_dir; i++)
        for (int r = 0; r < R; r++)
            mean[r] += of_view[i * R + r] / n_dir;
out:
    spi_points_free(points);
    free(dir);
    free(of_view);
    return err;
}
