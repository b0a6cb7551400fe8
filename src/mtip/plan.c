/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES_FIRST_MARCH = 800 };
static const double least_step =
    1.1; /* a last step smaller than this is not worth a level */

/* An n-fold axis changes the intensity from q D = 0.4 n on (fsc/symmetry_fit.c); the
 * azimuth about it is found when that is more than a few per cent: doc/decisions/010. */
static const double qD_of_fold = 0.7;

bool spi_plan_symmetry_given(const struct spi_settings *s)
{
    return strcmp(s->symmetry, "auto") != 0 && strcmp(s->symmetry, "C1") != 0;
}

static double reach(double q, double q_max)
{
    return q_max / q < least_step ? q_max : q;
}

/* While the starts do not know their axes yet. */
static double free_q(const struct spi_settings *s, double diameter_A, double q_max)
{
    return reach(s->init_qD / diameter_A, q_max);
}

double spi_plan_init_q(const struct spi_settings *s, double diameter_A, double q_max)
{
    /* the fold of Cn and Dn stands in the name */
    double fold = spi_plan_symmetry_given(s) ? strtod(s->symmetry + 1, NULL) : 1;

    return reach(fmax(s->init_qD, qD_of_fold * fold) / diameter_A, q_max);
}

const char *spi_stage_name(enum spi_stage stage)
{
    static const char *const name[] = {"init", "marching", "refinement", "done"};

    return name[stage];
}

/* From the step on before which a given point group is imposed on the models (`lay`), at a
 * resolution that shows it. */
static bool start_step(const struct spi_settings *s, double q_free, double q0, int i,
                       struct spi_step *step)
{
    int lay = spi_plan_symmetry_given(s) ? s->N_generations_init / 3 : 0;

    *step = (struct spi_step){.stage = SPI_STAGE_INIT,
                              .q_match = i <= lay ? q_free : q0,
                              .q_merge = i < lay ? q_free : q0,
                              .impose_group = spi_plan_symmetry_given(s) && i == lay,
                              .oversampling = 1,
                              .cooling = fmin(1, i / (0.8 * s->N_generations_init)),
                              .batch = s->N_images_init};
    return i < s->N_generations_init;
}

/* q of level k of frequency marching: q0, a little more, then by marching_ratio; the last
 * is q_max. */
static double level_q(const struct spi_settings *s, double q0, double q_max, int k)
{
    double q = k == 0 ? q0 : q0 * 1.09 * pow(s->marching_ratio, k - 1);

    return q_max / q < least_step ? q_max : q;
}

static bool marching_step(const struct spi_settings *s, double q0, double q_max, int i,
                          struct spi_step *step)
{
    int level =
        i < 2 ? i : i - 1; /* the second level is matched twice: a batch, then all */
    double q = level_q(s, q0, q_max, level);
    bool batch = i < 2;

    if (i > 2 && level_q(s, q0, q_max, level - 1) >= q_max)
        return false;
    *step = (struct spi_step){.stage = SPI_STAGE_MARCHING,
                              .q_match = q,
                              .q_merge = i == 1 ? q : level_q(s, q0, q_max, level + 1),
                              .oversampling = 1,
                              .perplexity = i == 0   ? 8
                                            : i == 1 ? 4
                                                     : 5,
                              .local = i > 2,
                              .search_radius = 1.25,
                              .best_of = i == 3 ? s->N_candidates : 3,
                              .batch = batch ? IMAGES_FIRST_MARCH : 0,
                              .keep = !batch};
    return true;
}

double spi_plan_perplexity(const struct spi_settings *s, const struct spi_step *step,
                           double n)
{
    double first = fmax(s->perplexity_start * n, s->perplexity_end);

    if (step->stage != SPI_STAGE_INIT)
        return step->perplexity;
    return first * pow(s->perplexity_end / first, step->cooling);
}

bool spi_plan_step(const struct spi_settings *s, double diameter_A, double q_max,
                   enum spi_stage stage, int i, struct spi_step *step)
{
    double q0 = spi_plan_init_q(s, diameter_A, q_max);

    if (stage == SPI_STAGE_INIT)
        return start_step(s, free_q(s, diameter_A, q_max), q0, i, step);
    if (stage == SPI_STAGE_MARCHING)
        return marching_step(s, q0, q_max, i, step);
    *step = (struct spi_step){.stage = SPI_STAGE_REFINEMENT,
                              .q_match = q_max,
                              .q_merge = q_max,
                              .oversampling = 2,
                              .perplexity = 2,
                              .local = true,
                              .search_radius = i == 0 ? 0.8 : 1.25,
                              .best_of = 1,
                              .keep = true};
    return stage == SPI_STAGE_REFINEMENT;
}

/* Levels of a model that is given: by equal factors of at most this; a level with more rings
 * looks so many cells of the one before around each candidate, one with the same rings less
 * far (doc/math.md, (M7)). */
static const double given_ratio = 1.4, given_reach = 1.2, given_reach_same = 0.8;

bool spi_plan_given(const struct spi_settings *s, double diameter_A, double q_max,
                    double finer, bool exhaustive, int i, struct spi_step *step)
{
    double q0 = fmin(s->init_qD / diameter_A, q_max);
    int levels = exhaustive ? 0 : (int)ceil(log(q_max / q0) / log(given_ratio) - 1e-9);
    int halvings = exhaustive || !(finer > 1) ? 0 : (int)ceil(log2(finer) - 1e-9);

    *step = (struct spi_step){
        .stage = SPI_STAGE_MARCHING,
        .q_match = i < levels ? q_max * pow(q0 / q_max, 1 - (double)i / levels) : q_max,
        .oversampling = exhaustive    ? finer
                        : i <= levels ? fmin(finer, 1)
                                      : fmin(finer, ldexp(1, i - levels)),
        .perplexity = 1,
        .local = i > 0,
        .search_radius = i <= levels ? given_reach : given_reach_same,
        .best_of = i == 1 ? s->N_candidates : 3,
        .keep = i < levels + halvings};
    return i <= levels + halvings;
}

double spi_plan_done(const struct spi_settings *s, double diameter_A, double q_max,
                     enum spi_stage stage, int i)
{
    enum { REFINEMENTS = 2 };
    double done = 0, total = 0;

    for (int at = SPI_STAGE_INIT; at <= SPI_STAGE_REFINEMENT; at++) {
        struct spi_step step;

        for (int k = 0; spi_plan_step(s, diameter_A, q_max, (enum spi_stage)at, k, &step);
             k++) {
            if (at == SPI_STAGE_REFINEMENT && k == REFINEMENTS)
                break;
            total += pow(step.q_merge * diameter_A, 4);
            if (at < (int)stage || (at == (int)stage && k <= i))
                done = total;
        }
    }
    return done / total;
}
