/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/view_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "math/sphere.h"

enum { GROUP = 64 }; /* directions spread at once: their points share bricks of the grid */

/* kappa g of the pixels, rotated by no angle. */
static spi_err make_live(struct spi_view_sums *s, const struct spi_pixel_list *l)
{
    float(*value)[2] = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(value, l->n, "merge"), out);
    for (int64_t p = 0; p < l->n; p++)
        value[p][1] = l->kappa[p] * l->geometry[p];
    err = spi_ring_nodes_sum(&s->weight, (const float(*)[2])value, 1, s->live);
out:
    free(value);
    return err;
}

spi_err spi_view_sums_init(struct spi_view_sums *s, const struct spi_pixel_list *l,
                           double wavelength_A, double diameter_A, double cells)
{
    const struct spi_rings *w = &s->weight.rings;
    spi_err err;

    *s =
        (struct spi_view_sums){.nd = spi_sphere_count(cells / (2 * diameter_A * l->q_max))};
    SPI_TRY(err = spi_ring_nodes_init(&s->data, l, wavelength_A, diameter_A), fail);
    SPI_TRY(err = spi_ring_nodes_init(&s->weight, l, wavelength_A, 2 * diameter_A), fail);
    s->M = spi_ring_padded(w->m_max[w->R - 1] + 1);
    SPI_TRY(err = SPI_NEW(s->live, w->h_at[w->R], "summed images"), fail);
    SPI_TRY(err = SPI_NEW(s->num, s->nd * spi_view_sums_harmonics(s), "summed images"),
            fail);
    SPI_TRY(err = SPI_NEW(s->phasor, s->nd * s->M, "summed images"), fail);
    SPI_TRY(err = SPI_NEW(s->one, s->M, "summed images"), fail);
    SPI_TRY(err = SPI_NEW(s->count, s->nd, "summed images"), fail);
    SPI_TRY(err = make_live(s, l), fail);
    return SPI_OK;
fail:
    spi_view_sums_clear(s);
    return err;
}

void spi_view_sums_clear(struct spi_view_sums *s)
{
    spi_ring_nodes_clear(&s->data);
    spi_ring_nodes_clear(&s->weight);
    free(s->live);
    free(s->num);
    free(s->phasor);
    free(s->one);
    free(s->count);
    *s = (struct spi_view_sums){0};
}

int spi_view_sums_harmonics(const struct spi_view_sums *s)
{
    return s->data.rings.h_at[s->data.rings.R];
}

spi_err spi_view_sums_analyse(const struct spi_view_sums *s, const float (*value)[2],
                              float complex *h)
{
    return spi_ring_nodes_sum(&s->data, value, 0, h);
}

/* The nearest direction to the view of M = R^T, and the phasor about it that is left. */
static int32_t nearest_view(int64_t nd, const double quat[4], double *angle)
{
    enum { NEAR = 64 };
    double R[9], Rn[9], X[9], view[3], best = -2, radius = sqrt(4 * SPI_PI / (double)nd);
    int32_t near[NEAR], dir = 0;
    int found;

    spi_rot_matrix(quat, R);
    for (int c = 0; c < 3; c++)
        view[c] = R[6 + c]; /* M e_z: the third row of R */
    found = spi_sphere_near(nd, view, radius, NEAR, near);
    for (int i = 0; i < found && i < NEAR; i++) {
        double p[3], dot;

        spi_sphere_point(nd, near[i], p);
        dot = p[0] * view[0] + p[1] * view[1] + p[2] * view[2];
        if (dot > best) {
            best = dot;
            dir = near[i];
        }
    }
    spi_sphere_point(nd, dir, view);
    spi_rot_to_direction(view, Rn);
    spi_rot_mul(R, Rn, X); /* about Rz(-a) */
    *angle = atan2(X[1] - X[3], X[0] + X[4]);
    return dir;
}

void spi_view_sums_add(struct spi_view_sums *s, const float complex *h,
                       const double quat[4], float fluence)
{
    const struct spi_rings *g = &s->data.rings;
    double a;
    int32_t dir = nearest_view(s->nd, quat, &a);
    float complex *phasor = s->phasor + (int64_t)dir * s->M;
    float complex *num = s->num + (int64_t)dir * spi_view_sums_harmonics(s);

    for (int m = 0; m < s->M; m++) {
        s->one[m] = CMPLXF((float)cos(m * a), (float)-sin(m * a));
        phasor[m] += fluence * s->one[m];
    }
    spi_ring_add_rotated(g, g->R, s->one, h, num);
    s->count[dir]++;
}

/* ---- spreading ---------------------------------------------------------------------- */

/* Directions on their way to the grid, on the nodes of one band. */
struct batch {
    const struct spi_rings *g;
    const spi_nufft *plan;
    int component;          /* 0: w b, 1: w */
    spi_points *points;     /* nodes, not rotated */
    float complex *rotated; /* [harmonics] */
    float *samples;         /* [nodes] */
    float (*value)[2];      /* [GROUP][nodes] */
    double (*view)[9];      /* [GROUP] detector -> object */
    int waiting;
};

static void batch_clear(struct batch *b)
{
    spi_points_free(b->points);
    free(b->rotated);
    free(b->samples);
    free(b->value);
    free(b->view);
}

static spi_err batch_init(struct batch *b, const struct spi_rings *g, int component,
                          const spi_nufft *plan)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    int64_t nodes = g->at[g->R];
    float(*q)[3] = NULL;
    spi_err err;

    *b = (struct batch){.g = g, .plan = plan, .component = component};
    SPI_TRY(err = SPI_NEW(q, nodes, "merge"), out);
    spi_ring_positions(g, g->R, identity, 1, q);
    SPI_TRY(err = spi_points_new(plan, nodes, (const float(*)[3])q, &b->points), out);
    SPI_TRY(err = SPI_NEW(b->rotated, g->h_at[g->R], "merge"), out);
    SPI_TRY(err = SPI_NEW(b->samples, nodes, "merge"), out);
    SPI_TRY(err = SPI_NEW(b->value, GROUP * nodes, "merge"), out);
    err = SPI_NEW(b->view, GROUP, "merge");
out:
    free(q);
    return err;
}

static spi_err flush(struct batch *b, float *grid2)
{
    int n = b->waiting;

    b->waiting = 0;
    return spi_nufft_spread(b->points, grid2, n, (const double(*)[9])b->view,
                            (const float(*)[2])b->value);
}

static spi_err append(struct batch *b, const double Rn[9], const float complex *h,
                      float *grid2)
{
    int64_t nodes = b->g->at[b->g->R];
    float(*to)[2] = b->value + b->waiting * nodes;
    spi_err err = spi_ring_synthesise(b->g, b->g->R, h, b->samples);

    if (err)
        return err;
    for (int64_t j = 0; j < nodes; j++)
        to[j][b->component] = b->samples[j]; /* the other stays 0 */
    memcpy(b->view[b->waiting], Rn, sizeof b->view[0]);
    return ++b->waiting == GROUP ? flush(b, grid2) : SPI_OK;
}

static spi_err spread_direction(const struct spi_view_sums *s, int64_t d,
                                struct batch *data, struct batch *weight, float *grid2)
{
    const struct spi_rings *g = weight->g;
    double n[3], Rn[9];
    spi_err err;

    spi_sphere_point(s->nd, d, n);
    spi_rot_to_direction(n, Rn);
    SPI_TRY(err = append(data, Rn, s->num + d * spi_view_sums_harmonics(s), grid2), out);
    memset(weight->rotated, 0, (size_t)g->h_at[g->R] * sizeof *weight->rotated);
    spi_ring_add_rotated(g, g->R, s->phasor + d * s->M, s->live, weight->rotated);
    err = append(weight, Rn, weight->rotated, grid2);
out:
    return err;
}

spi_err spi_view_sums_spread(const struct spi_view_sums *s, int64_t first, int64_t n,
                             const spi_nufft *plan, float *grid2)
{
    struct batch data = {0}, weight = {0};
    spi_err err;

    SPI_TRY(err = batch_init(&data, &s->data.rings, 0, plan), out);
    SPI_TRY(err = batch_init(&weight, &s->weight.rings, 1, plan), out);
    for (int64_t d = first; d < first + n; d++)
        if (s->count[d])
            SPI_TRY(err = spread_direction(s, d, &data, &weight, grid2), out);
    SPI_TRY(err = flush(&data, grid2), out);
    err = flush(&weight, grid2);
out:
    batch_clear(&data);
    batch_clear(&weight);
    return err;
}
