/* SPDX-License-Identifier: GPL-3.0-or-later */
/* merge_solve.c, of app/merge_job.h: the normal equations, their solution and its files. */
#include "app/merge_job.h"

#include <math.h>
#include <string.h>

#include "app/progress.h"
#include "io/mrc.h"
#include "report/pictures.h"
#include "report/tables.h"

static const double double_tol = 1e-9; /* of a transform in double precision */

static void on_images(int64_t done, int64_t total, void *user)
{
    (void)user;
    spi_progress_update(done, NULL);
    if (done >= total)
        spi_progress_begin("solving", 0, "steps");
}

static void on_step(int64_t products, void *user)
{
    (void)user;
    spi_progress_update(products, NULL);
}

spi_err spi_merge_job_spread(struct spi_merge_job *j)
{
    const struct spi_merge_args *a = j->args;
    bool f64 = strcmp(a->precision, "double") == 0;
    struct spi_merging_spec spec = {.graph = j->graph,
                                    .images = j->images,
                                    .pixels = &j->list,
                                    .quat = (const double(*)[4])j->o.quat,
                                    .fluence = j->o.fluence,
                                    .scale = 1,
                                    .diameter_A = j->diameter_A,
                                    .f64 = f64,
                                    .direct = strcmp(a->method, "direct") == 0,
                                    .corner_weight = j->set.flambda,
                                    .average = a->average,
                                    .prior = j->prior.data,
                                    .stop = j->stop,
                                    .progress = on_images,
                                    .stepped = on_step};
    spec.tol = j->tol = f64 ? fmin(j->set.nufft_tol, double_tol) : j->set.nufft_tol;
    spi_progress_begin("merging", j->o.n, "images");
    return spi_merging_init(&j->m, &spec);
}

static spi_err write_curve(const struct spi_merge_job *j)
{
    spi_err err = SPI_OK;

    if (j->args->csv)
        err = spi_table_lcurve(&j->curve, j->args->csv);
    if (j->args->png && !err)
        err = spi_picture_lcurve(&j->curve, j->args->png, "L-curve");
    return err;
}

spi_err spi_merge_job_solve(struct spi_merge_job *j)
{
    struct spi_cg_options opt = spi_merging_rules(&j->m, &j->set, j->set.N_cg);
    spi_err err;

    SPI_TRY(err = spi_volume_init(&j->A, j->m.n, j->m.dx), out);
    if (j->prior.data)
        memcpy(j->A.data, j->prior.data, spi_volume_count(&j->A) * sizeof(float));
    j->from_lcurve = !spi_call_given(j->call, "lambda");
    j->lambda = j->args->lambda;
    if (!j->from_lcurve) {
        err = spi_merging_solve(&j->m, j->lambda, &opt, j->A.data, &j->report);
        goto out;
    }
    SPI_TRY(err = spi_merging_solve_lcurve(&j->m, &j->set,
                                           strcmp(j->args->lcurve, "independent") == 0,
                                           &opt, j->A.data, &j->curve),
            out);
    j->lambda = j->curve.points[j->curve.choice.index].lambda;
    j->report = j->curve.report;
    err = write_curve(j);
out:
    spi_progress_end();
    return err;
}

const char *spi_merge_job_lambda_from(const struct spi_merge_job *j)
{
    return j->from_lcurve ? spi_lcurve_how_text(j->curve.choice.how) : "given";
}

spi_err spi_merge_job_write_maps(const struct spi_merge_job *j)
{
    struct spi_labels l;
    struct spi_volume W = {0};
    spi_err err;

    spi_labels_make(&l, j->call, 3, j->input,
                    "%lld images, D %.4g A, q %.5g..%.5g 1/A\n"
                    "lambda %.3g (%s), N_cg %d, nufft_tol %g",
                    (long long)j->o.n, j->diameter_A, j->q_min, j->q_max, j->lambda,
                    spi_merge_job_lambda_from(j), j->set.N_cg, j->tol);
    SPI_TRY(err = spi_mrc_write(j->args->out, &j->A, l.line), out);
    if (j->args->intensity) {
        SPI_TRY(err = spi_volume_fourier_even(&j->A, &W), out);
        snprintf(l.text[1], sizeof l.text[1],
                 "intensity; voxels in 1/A; measured in %.5g..%.5g 1/A", j->q_min,
                 j->q_max);
        err = spi_mrc_write(j->args->intensity, &W, l.line);
    }
out:
    spi_volume_clear(&W);
    return err;
}
