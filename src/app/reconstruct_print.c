/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reconstruct_print.c, of app/reconstruct.h: what the command prints of a result. */
#include "app/reconstruct.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/print.h"
#include "app/provenance.h"
#include "base/log.h"
#include "base/mem.h"

static spi_err print_json(const struct spi_reconstruct *j, bool valid, bool finished)
{
    json_t *o = json_pack("{s:b, s:i, s:o, s:f, s:f, s:o}", "converged", valid,
                          "generations", j->run ? j->run->generation : 0, "halves_cc",
                          spi_json_number(j->run ? j->run->halves_cc : (double)NAN),
                          "diameter_A", j->diameter_A, "seconds", spi_now_s() - j->t0,
                          "output", spi_json_name(j->args->out));

    if (o)
        spi_reconstruct_add_validation(o, j, finished);
    return spi_print_json_take(o);
}

spi_err spi_reconstruct_print(const struct spi_reconstruct *j, bool valid)
{
    const struct spi_result *r = &j->result;
    const struct spi_validation *v = &r->validation;
    bool finished =
        r->density.n > 0; /* the loop ended; perhaps the result fails its validation */
    char limit[SPI_MESSAGE_MAX];

    if (j->args->json)
        return print_json(j, valid, finished);
    if (!valid)
        return SPI_OK;
    spi_validation_limit(v, limit, sizeof limit);
    printf("the map is valid to %.1f A, after %d generations, %.0f s\n",
           v->resolution.claimed_A, j->run->generation, spi_now_s() - j->t0);
    printf("limited by %s\n", limit);
    printf("half maps agree to %.1f A (FSC 0.143), %.1f A (FSC 0.5), their intensities to "
           "%.1f A\n",
           r->resolution_A, r->resolution05_A, v->resolution.intensities_A);
    printf(
        "phases    the half maps agree to %.2f of what their intensities allow, after %d "
        "round%s of phasing\n",
        v->phase_consistency, v->phase_rounds, v->phase_rounds == 1 ? "" : "s");
    printf(
        "views     the images see %.0f %% of the directions that as many uniformly random "
        "images see; chi2 %.2f (1 +- %.2f)\n",
        100 * r->coverage.ratio, r->coverage.chi2, r->coverage.chi2_sigma);
    printf("images    the map leaves %.1f %% of their structure unexplained; their "
           "slices cross %.0f %% of the directions\n",
           fmax(100 * v->unexplained_variance, 0), 100 * v->coverage);
    if (r->n_round + r->n_doublets + r->n_outliers > 0)
        printf("left out  %lld images without structure along their rings, %lld doublets, "
               "%lld that the map does not explain\n",
               (long long)r->n_round, (long long)r->n_doublets, (long long)r->n_outliers);
    if (r->background.ratio > 0)
        printf(
            "backgr.   %.3g times the photons of the particle between %.3g and %.3g A%s; "
            "taken out of the intensities\n",
            r->background.ratio, 1 / j->data.rings.q[0], 1 / j->run->q_max,
            r->background.told ? ", as given" : "");
    if (strcmp(j->result.symmetry.group, "C1") != 0)
        printf("symmetry  %s\n", j->result.symmetry.group);
    printf(
        "maps      %s/density.mrc half1.mrc half2.mrc intensity.mrc autocorrelation.mrc\n",
        j->args->out);
    printf("pictures  %s/density.png fsc.png images.png lcurve.png coverage.png "
           "mean_image.png radial.png\n",
           j->args->out);
    return SPI_OK;
}
