/* SPDX-License-Identifier: GPL-3.0-or-later */
/* merge_print.c, of app/merge_job.h: what the command prints. */
#include "app/merge_job.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "app/print.h"
#include "base/log.h"
#include "base/mem.h"

/* Root of the weighted misfit relative to that of A = 0. */
static double misfit(const struct spi_merge_job *j)
{
    return j->m.norm2 > 0 ? sqrt(fmax(0, 1 - j->report.drop / j->m.norm2)) : 0;
}

static json_t *seconds_of(const struct spi_merge_job *j, double total)
{
    const struct spi_merging *m = &j->m;
    double part[4] = {m->read_s, m->spread_s, m->collect_s, m->solve_s};
    double all = fmax(part[0] + part[1] + part[2] + part[3], 1e-9);

    return json_pack("{s:f, s:{s:f, s:f, s:f, s:f}, s:{s:f, s:f, s:f, s:f}}", "seconds",
                     total, "parts_s", "read", part[0], "spread", part[1], "collect",
                     part[2], "solve", part[3], "shares", "read", part[0] / all, "spread",
                     part[1] / all, "collect", part[2] / all, "solve", part[3] / all);
}

static spi_err report_json(const struct spi_merge_job *j, double seconds)
{
    json_t *times = seconds_of(j, seconds);
    json_t *o = json_pack("{s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:i, s:f, s:s, s:s, s:f}",
                          "autocorrelation", spi_json_name(j->args->out), "images",
                          (json_int_t)j->o.n, "images_merged", (json_int_t)j->m.n_merged,
                          "pixels", (json_int_t)j->list.n, "diameter_A", j->diameter_A,
                          "q_min_invA", j->q_min, "q_max_invA", j->q_max, "voxels", j->m.n,
                          "voxel_A", j->m.dx, "method", j->args->method, "precision",
                          j->args->precision, "nufft_tol", j->tol);
    json_t *survey = spi_survey_json(j->images, &j->opening.survey, SPI_SURVEY_LISTED);
    json_t *solved = json_pack(
        "{s:f, s:s, s:i, s:f, s:s, s:I, s:f, s:f, s:i, s:I}", "lambda", j->lambda,
        "lambda_from", spi_merge_job_lambda_from(j), "steps", j->report.n_iter, "residual",
        j->report.residual, "end", spi_cg_end_text(j->report.end), "products",
        (json_int_t)j->m.products, "misfit", misfit(j), "misfit_expected",
        j->m.norm2 > 0 ? sqrt(j->m.noise2 / j->m.norm2) : 0, "workers",
        spi_graph_workers(j->graph), "peak_rss_bytes", (json_int_t)spi_peak_rss_bytes());

    if (o && solved && times) {
        json_object_update(o, solved);
        json_object_update(o, times);
        json_object_set(o, "survey", survey);
    }
    json_decref(survey);
    json_decref(solved);
    json_decref(times);
    return spi_print_json_take(o);
}

spi_err spi_merge_job_report(const struct spi_merge_job *j, double seconds)
{
    const struct spi_merging *m = &j->m;

    if (j->args->json)
        return report_json(j, seconds);
    printf("images           %lld of %lld usable pixels, |q| %.5f to %.5f 1/A (%.2f A)\n",
           (long long)m->n_merged, (long long)j->list.n, j->q_min, j->q_max, 1 / j->q_max);
    printf("lambda           %.3g of the trace (%s)\n", j->lambda,
           spi_merge_job_lambda_from(j));
    printf("solution         %d steps, residual %.2e (%s)\n", j->report.n_iter,
           j->report.residual, spi_cg_end_text(j->report.end));
    printf("misfit           %.4f of the images' weighted norm\n", misfit(j));
    printf(
        "time             %.1f s: reading %.1f, spreading %.1f, FFT %.1f, solving %.1f\n",
        seconds, m->read_s, m->spread_s, m->collect_s, m->solve_s);
    printf("autocorrelation  %s: %d^3 voxels of %.4g A\n", j->args->out, m->n, m->dx);
    return SPI_OK;
}
