/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/extent.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fsc/isotropic.h"
#include "math/sphere.h"
#include "mtip/background.h"
#include "phase/phase.h"

/* (J11) */
enum { DIRECTIONS = 500, PHASE_STARTS = 2, FINE = 96 };
static const double level = 0.2;
static const double calibration = 1.05;
static const double alike = 0.1;    /* the half sets' extents, of their mean */
static const double plausible = 2;  /* the estimate is not further off than this */
static const double differs = 0.15; /* three standard errors of both diameters */

/* Widest of the places p[n][3] along directions spread evenly. */
static double widest(int64_t n, const float (*p)[3])
{
    double most = 0;

    for (int k = 0; k < DIRECTIONS; k++) {
        double u[3], low = INFINITY, high = -INFINITY;

        spi_sphere_point(DIRECTIONS, k, u);
        for (int64_t i = 0; i < n; i++) {
            double x =
                (double)p[i][0] * u[0] + (double)p[i][1] * u[1] + (double)p[i][2] * u[2];

            low = fmin(low, x);
            high = fmax(high, x);
        }
        most = fmax(most, high - low);
    }
    return most;
}

/* The places above t at the border of what is above it: none inside is the farthest. */
static int64_t border(const struct spi_volume *v, float t, float (*p)[3])
{
    const ptrdiff_t n = v->n, stride[3] = {1, n, n * n};
    int64_t count = 0;

    for (ptrdiff_t i = 0; i < n * n * n; i++) {
        const ptrdiff_t x[3] = {i % n, i / n % n, i / n / n};
        bool inside = true;

        if (!(v->data[i] > t))
            continue;
        for (int k = 0; k < 3 && inside; k++)
            inside = x[k] > 0 && x[k] < n - 1 && v->data[i - stride[k]] > t &&
                     v->data[i + stride[k]] > t;
        if (inside)
            continue;
        for (int k = 0; k < 3; k++)
            p[count][k] = (float)((double)x[k] * v->step);
        count++;
    }
    return count;
}

spi_err spi_density_extent(const struct spi_volume *rho, double *extent_A)
{
    static const struct spi_pose still = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    int n = rho->n < FINE ? FINE : rho->n;
    struct spi_volume fine = {0};
    float(*p)[3] = NULL, most = 0;
    int64_t count;
    spi_err err;

    *extent_A = 0;
    SPI_TRY(err = spi_pose_apply(rho, &still, n, rho->n * rho->step / n, &fine), out);
    SPI_TRY(err = SPI_NEW(p, (int64_t)spi_volume_count(&fine), "extent"), out);
    for (size_t i = 0; i < spi_volume_count(&fine); i++)
        most = fmaxf(most, fine.data[i]);
    count = border(&fine, (float)level * most, p);
    *extent_A = count > 0 ? widest(count, (const float(*)[3])p) : 0;
out:
    spi_volume_clear(&fine);
    free(p);
    return err;
}

/* One half set: its model and how wide its density is. */
struct measured {
    struct spi_phase_options opt;
    char recipe[SPI_TEXT_MAX];
    struct spi_array *model, *extent;
};

struct extent_args {
    const struct spi_phase_options *opt;
    int n;
    double step;
    bool background; /* the model is phased without the level of its own */
};

/* v: model, extent. */
static spi_err task_extent(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct extent_args *a = arg;
    const struct spi_volume A = {a->n, a->step, v[0].data};
    struct spi_phase_result result = {0};
    struct spi_volume alone = {0};
    spi_err err = SPI_OK;

    if (a->background)
        SPI_TRY(err = spi_isotropic_remove(&A, a->opt->diameter_A, a->opt->q_min,
                                           a->opt->q_max, &alone),
                out);
    err = spi_phase(alone.data ? &alone : &A, a->opt, stop, &result);
    if (!err)
        err = spi_density_extent(&result.density, v[1].data);
out:
    spi_volume_clear(&alone);
    spi_phase_result_clear(&result);
    return err;
}

static spi_err submit_extent(struct spi_run *r, int h, double *extent, struct measured *m)
{
    struct spi_volume *A = &r->replica[h][r->leading[h]].A;
    struct extent_args a = {&m->opt, A->n, A->step, false};
    struct spi_array_shape model = {SPI_ARRAY_OF(float, "model"),
                                    .rows = (int64_t)spi_volume_count(A), .columns = 1},
                           one = {SPI_ARRAY_OF(double, "extent"), .rows = 1, .columns = 1};
    spi_err err;

    spi_run_phase_options(r, 1 / (2.08 * A->step), PHASE_STARTS, r->seed * 2 + (uint64_t)h,
                          m->recipe, &m->opt);
    a.background = spi_background_shows(r, m->opt.q_max);
    SPI_TRY(err = spi_array_wrap(r->graph, &model, A->data, &m->model), out);
    SPI_TRY(err = spi_array_wrap(r->graph, &one, extent, &m->extent), out);

    struct spi_access access[2] = {{m->model, 0, SPI_READ}, {m->extent, 0, SPI_WRITE}};

    err = spi_graph_submit(r->graph, "phase", task_extent, &a, sizeof a, 2, access);
out:
    return err;
}

static spi_err measure(struct spi_run *r, double extent[2])
{
    struct measured half[2] = {{.model = NULL}};
    spi_err err = SPI_OK, late;

    for (int h = 0; h < 2 && !err; h++)
        err = submit_extent(r, h, &extent[h], &half[h]);
    late = spi_graph_wait(r->graph);
    for (int h = 0; h < 2; h++) {
        spi_array_free(r->graph, half[h].model);
        spi_array_free(r->graph, half[h].extent);
    }
    return err ? err : late;
}

spi_err spi_run_look_at_diameter(struct spi_run *r)
{
    double extent[2] = {0, 0}, D = r->data->rings.diameter_A, shown;
    struct spi_event event;
    spi_err err = measure(r, extent);

    r->refined_A = 0;
    if (err)
        return err;
    shown = calibration * (extent[0] + extent[1]) / 2;
    event = (struct spi_event){SPI_EVENT_EXTENT,
                               .u.extent = {{extent[0], extent[1]}, shown, D}};
    spi_run_tell(r, &event);
    if (!(fabs(extent[0] - extent[1]) <= alike * shown) || fabs(shown / D - 1) <= differs)
        return SPI_OK;
    event.kind = SPI_EVENT_DIAMETER_KEPT;
    if (!(shown >= D / plausible && shown <= D * plausible)) {
        event.kind = SPI_EVENT_DIAMETER_IMPLAUSIBLE;
    } else if (r->n_diameters <= r->diameters_most &&
               r->halves_cc >= r->set->halves_cc_repeat) {
        r->refined_A = shown;
        return SPI_OK;
    }
    spi_run_tell(r, &event);
    return SPI_OK;
}
