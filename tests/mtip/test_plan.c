/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The schedule of a run for many sizes of particle and detector. */
#include <math.h>
#include <stdio.h>

#include "mtip/plan.h"
#include "tap.h"

static int bad_order, bad_end, bad_model, bad_length, longest;

/* Walks through random initialisations and frequency marching of one case. */
static void walk(const struct spi_settings *set, double D, double q_max)
{
    double q0 = spi_plan_init_q(set, D, q_max), q = 0, model;
    struct spi_step s, last = {0};
    int n = 0;

    bad_order += q0 > q_max || q0 < fmin(q_max, set->init_qD / D) * (1 - 1e-12);
    while (spi_plan_step(set, D, q_max, SPI_STAGE_INIT, n, &s)) {
        bad_order += s.q_match != q0 || s.q_merge != q0 || s.batch != set->N_images_init;
        n++;
    }
    bad_length += n != set->N_generations_init;
    model = q0; /* what the last merge holds */
    for (n = 0; spi_plan_step(set, D, q_max, SPI_STAGE_MARCHING, n, &s); n++) {
        bad_order += s.q_match < q || s.q_merge < s.q_match || s.q_merge < last.q_merge;
        bad_model += s.q_match > model; /* would slice where the model knows nothing */
        bad_order += n > 2 && !s.local;
        q = s.q_match;
        model = s.q_merge;
        last = s;
    }
    longest = n > longest ? n : longest;
    bad_end += q != q_max || model != q_max || n < 3;
    bad_end += !spi_plan_step(set, D, q_max, SPI_STAGE_REFINEMENT, 1000, &s) ||
               s.q_match != q_max || s.q_merge != q_max || !s.local || s.oversampling != 2;
}

/* A model that is given: rings by factors of at most 1.4 to the last, then finer directions;
 * candidates of all steps but the last. */
static int given_steps(const struct spi_settings *set, double D, double q_max, double finer)
{
    struct spi_step s, last = {0};
    int n = 0, wrong = 0;

    for (; spi_plan_given(set, D, q_max, finer, false, n, &s); n++) {
        struct spi_step next;
        bool more = spi_plan_given(set, D, q_max, finer, false, n + 1, &next);

        wrong += s.q_merge != 0 || s.local != (n > 0) || s.keep != more || s.best_of < 1 ||
                 s.perplexity != 1;
        if (n == 0) {
            wrong += fabs(s.q_match / fmin(q_max, set->init_qD / D) - 1) > 1e-12;
            wrong += s.oversampling != fmin(finer, 1);
        } else {
            /* a step has more rings or finer directions, and reaches the best direction:
             * 0.7 of a cell of the one before */
            wrong +=
                s.q_match < last.q_match || s.q_match > 1.4 * last.q_match * (1 + 1e-9);
            wrong += s.oversampling < last.oversampling ||
                     s.oversampling > 2 * last.oversampling;
            wrong += s.q_match == last.q_match && s.oversampling == last.oversampling;
            wrong += s.search_radius < 0.7;
        }
        last = s;
    }
    wrong += last.q_match != q_max || last.oversampling != finer;
    return wrong ? -wrong : n;
}

static void check_given(void)
{
    struct spi_settings set;
    struct spi_step s;
    double D = 150, q_max = 1 / 12.0;

    spi_settings_default(&set);
    OK(given_steps(&set, D, q_max, 1) == 4, "12 A, 150 A: %d steps",
       given_steps(&set, D, q_max, 1));
    OK(given_steps(&set, D, q_max, 3) == 6, "three times finer: %d steps",
       given_steps(&set, D, q_max, 3));
    OK(given_steps(&set, D, q_max, 0.5) == 4, "coarser directions: as many steps");
    OK(given_steps(&set, D, 3 / D, 1) == 1, "fewer rings than the first level: one step");
    OK(given_steps(&set, D, 3 / D, 2) == 2, "finer directions of those: two");
    OK(spi_plan_given(&set, D, q_max, 3, true, 0, &s) && s.q_match == q_max && !s.keep &&
           s.oversampling == 3 && !s.local &&
           !spi_plan_given(&set, D, q_max, 3, true, 1, &s),
       "exhaustive: one step");
}

/* A given group is imposed on the random initialisations once, and where its fold shows
 * nowhere earlier. */
static void check_group(const char *group, double qD)
{
    struct spi_settings set;
    struct spi_step s;
    double D = 190, q_max = 1 / 12.0, q = 0;
    int laid = 0, wrong = 0;

    spi_settings_default(&set);
    snprintf(set.symmetry, sizeof set.symmetry, "%s", group);
    for (int i = 0; spi_plan_step(&set, D, q_max, SPI_STAGE_INIT, i, &s); i++) {
        laid += s.impose_group;
        wrong += s.q_match > (i ? q : s.q_match); /* beyond what the model knows */
        wrong += s.impose_group && i != set.N_generations_init / 3;
        q = s.q_merge;
    }
    OK(laid == spi_plan_symmetry_given(&set) && wrong == 0, "%s: laid %d times", group,
       laid);
    OK(fabs(q * D - qD) < 1e-9 && q == spi_plan_init_q(&set, D, q_max),
       "%s: the starts end at q D = %.2f", group, q * D);
}

static void check_perplexity(const struct spi_settings *set)
{
    struct spi_step s;
    double n = 1e5, last = INFINITY, first = 0;
    int falls = 1, low = 0;

    for (int i = 0; spi_plan_step(set, 100, 0.1, SPI_STAGE_INIT, i, &s); i++) {
        double p = spi_plan_perplexity(set, &s, n);

        first = i == 0 ? p : first;
        falls &= p <= last;
        low += p <= set->perplexity_end * (1 + 1e-12);
        last = p;
    }
    OK(fabs(first / (set->perplexity_start * n) - 1) < 1e-12, "first perplexity: %g",
       first);
    OK(falls && fabs(last / set->perplexity_end - 1) < 1e-12, "it falls to %g", last);
    /* reached after 80 % of the generations, kept for the rest */
    OK(low == set->N_generations_init - (int)ceil(0.8 * set->N_generations_init),
       "and stays there for %d generations", low);
    (void)spi_plan_step(set, 100, 0.1, SPI_STAGE_INIT, 0, &s);
    OK(spi_plan_perplexity(set, &s, 10) == set->perplexity_end,
       "few orientations: never below");
    (void)spi_plan_step(set, 100, 0.1, SPI_STAGE_INIT, 12, &s);
    /* geometric: half way in the cooling is the mean of the logarithms */
    OK(fabs(spi_plan_perplexity(set, &s, n) / sqrt(first * last) - 1) < 1e-12,
       "half way: %g", spi_plan_perplexity(set, &s, n));
}

/* The share of work never falls and ends at 1, most of it at high resolution. */
static void check_done(const struct spi_settings *set)
{
    double D = 150, q_max = 1 / 12.0, last = 0, starts = 0;
    struct spi_step s;
    int falls = 0;

    for (int stage = SPI_STAGE_INIT; stage <= SPI_STAGE_REFINEMENT; stage++)
        for (int i = 0;
             i < 100 && spi_plan_step(set, D, q_max, (enum spi_stage)stage, i, &s); i++) {
            double done = spi_plan_done(set, D, q_max, (enum spi_stage)stage, i);

            falls += done < last || done <= 0 || done > 1;
            starts = stage == SPI_STAGE_INIT ? done : starts;
            last = done;
        }
    OK(falls == 0 && last == 1, "the share of work done rises to %g", last);
    OK(starts < 0.3, "the starts are %.2f of it", starts);
}

int main(void)
{
    struct spi_settings set;
    int cases = 0;

    spi_settings_default(&set);
    for (double ratio = 1.05; ratio <= 3; ratio += 0.3)
        for (double qD = 2; qD < 120; qD *= 1.013, cases++) {
            set.marching_ratio = ratio;
            walk(&set, 140, qD / 140);
        }
    OK(bad_order == 0, "%d cases: |q| never falls, merging goes ahead of matching", cases);
    OK(bad_model == 0, "nobody matches beyond the model (%d did)", bad_model);
    OK(bad_end == 0, "frequency marching and final refinement end at q_max");
    OK(bad_length == 0 && longest < 100, "longest frequency marching: %d generations",
       longest);
    spi_settings_default(&set);
    check_perplexity(&set);
    check_done(&set);
    OK(spi_stage_name(SPI_STAGE_MARCHING)[0] == 'm' &&
           spi_stage_name(SPI_STAGE_DONE)[0] == 'd',
       "names");

    struct spi_step s;

    set.init_qD = 5; /* the control: a start at 5 with q_max 8 % above it would be beyond */
    OK(spi_plan_init_q(&set, 140, 5.4 / 140) == 5.4 / 140 &&
           spi_plan_init_q(&set, 140, 6 / 140.0) == 5 / 140.0 &&
           spi_plan_step(&set, 140, 5.4 / 140, SPI_STAGE_MARCHING, 0, &s) &&
           s.q_match > 5 / 140.0,
       "a q_max just above the starts is where they start");
    check_group("auto", 5);
    check_group("C1", 5);
    check_group("D7", 5);
    check_group("C17", 0.7 * 17);
    check_group("I", 5);
    check_given();
    return tap_done();
}
