/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel phase: density from an autocorrelation. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "app/interrupt.h"
#include "app/print.h"
#include "app/progress.h"
#include "app/provenance.h"
#include "app/stage.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "fsc/align.h"
#include "io/file.h"
#include "io/mrc.h"
#include "phase/phase.h"

struct args {
    const char *out, *prtf, *initial, *recipe, *half;
    double diameter_A, q_min, q_max, beta, voxel_A;
    int starts;
    int64_t seed;
    bool json, list_methods;
    struct spi_settings_args settings;
};

/* Numbers whose absence means "as in the settings" are looked up with spi_call_given. */
static const struct spi_opt opts[] = {
    {'o', "output", SPI_OUT(args, out), 0, 0, "FILE", "the density, an MRC map",
     .required = true},
    {0, "prtf", SPI_OUT(args, prtf), 0, 0, "FILE",
     "also write a CSV table, by shell: how well the starts agree (phase retrieval "
     "transfer function), how well the density reproduces its intensity"},
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print the result as JSON"},
    {0, "list-methods", SPI_FLAG(args, list_methods), 0, 0, "",
     "print the steps that a recipe may use, and nothing else", .alone = true},
    SPI_HEADING("What is known"),
    {'d', "diameter", SPI_REAL(args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "half of the map's side"},
    {0, "q-min", SPI_REAL(args, q_min), 0, 10, "1/A", "lowest |q| that was measured",
     .absent = "1/diameter"},
    {0, "q-max", SPI_REAL(args, q_max), 0, 10, "1/A", "highest |q| that was measured",
     .absent = "1/(2 voxels)"},
    SPI_VOXEL_OPT(args, voxel_A),
    {0, "half", SPI_PATH(args, half), 0, 0, "MAP.mrc",
     "autocorrelation of the other half set, in any rotation: its intensities show the "
     "noise"},
    SPI_HEADING("How"),
    {0, "recipe", SPI_TEXT(args, recipe), 0, 0, "TEXT",
     "steps, such as \"6*(40 RAAR, 10 ER, 1 SW), 40 ER\"", .absent = "phasing.recipe"},
    {'n', "starts", SPI_INT(args, starts), 1, 1000, "", "independent random starts",
     .absent = "phasing.N_phase_starts"},
    {0, "beta", SPI_REAL(args, beta), 0, 1, "", "feedback of HIO and RAAR",
     .absent = "phasing.beta"},
    {'s', "seed", SPI_COUNT(args, seed), 0, 1e15, "", "of the random starts",
     .absent = "runtime.seed"},
    {0, "initial", SPI_PATH(args, initial), 0, 0, "MAP.mrc",
     "density from which the first start begins; voxels as in the autocorrelation"},
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};

static spi_err list_methods(void)
{
    for (const struct spi_phase_method_info *m = spi_phase_methods; m->name; m++)
        printf("%-6s %s\n       %s\n", m->name, m->formula, m->reference);
    return SPI_OK;
}

/* Before anything is read: the settings, and whether they and --recipe can be. */
static spi_err read_settings(const struct spi_call *call, struct spi_settings *s)
{
    const struct args *a = call->args;
    enum spi_phase_method *steps = NULL;
    spi_err err = spi_settings_from_args(&a->settings, s);
    int n;

    if (!err)
        err = spi_stage_check_settings(s);
    if (err || !a->recipe)
        return err;
    err = spi_phase_recipe_parse(a->recipe, &steps, &n);
    free(steps);
    return err == SPI_OK || err == SPI_ENOMEM ? err : SPI_EUSAGE;
}

/* Settings, changed by the options that were given.  `recipe` outlives the options. */
static spi_err make_options(const struct spi_call *call, const struct spi_settings *set,
                            const struct spi_volume *A, char recipe[SPI_TEXT_MAX],
                            struct spi_phase_options *o)
{
    const struct args *a = call->args;
    const struct spi_settings s = *set;
    spi_err err;

    spi_settings_recipe(&s, recipe);
    *o = (struct spi_phase_options){
        .diameter_A = s.diameter_A > 0 ? s.diameter_A : A->n * A->step / 2,
        .q_min = s.q_min_invA,
        .q_max = s.q_max_invA > 0 ? s.q_max_invA : 0.5 / A->step,
        .recipe = a->recipe ? a->recipe : recipe,
        .first_qD = s.first_qD,
        .slack = s.modulus_tolerance,
        .beta = spi_call_given(call, "beta") ? a->beta : s.beta,
        .positive = s.positivity,
        .sw_sigma_first = s.sw_sigma_first,
        .sw_sigma_last = s.sw_sigma_last,
        .sw_threshold = s.cutoff,
        .n_starts = spi_call_given(call, "starts") ? a->starts : s.N_phase_starts,
        .keep_within = s.keep_within,
        .keep_agreeing = s.keep_agreeing,
        .seed = (uint64_t)(spi_call_given(call, "seed") ? a->seed : s.seed),
    };
    if (spi_call_given(call, "diameter"))
        o->diameter_A = a->diameter_A;
    if (spi_call_given(call, "q-max")) {
        o->q_max = a->q_max;
        if (o->q_max > 0.5 / A->step * (1 + 1e-6)) /* voxel sizes are stored as floats */
            return spi_call_fail(call, "q-max", "%g 1/A; %s ends at %g 1/A, 1/(2 voxels)",
                                 o->q_max, call->operand[0], 0.5 / A->step);
    }
    if (spi_call_given(call, "q-min"))
        o->q_min = a->q_min;
    else if (o->q_min <= 0)
        o->q_min = 1 / o->diameter_A;
    err = spi_phase_check(A->n, A->step, o);
    return err == SPI_EINVAL ? SPI_EUSAGE : err;
}

/* spi_phase() start by start, so that one sees how far it is. */
static spi_err all_starts(const struct spi_volume *A, const struct spi_phase_options *o,
                          struct spi_phase_result *result)
{
    const volatile int *stop = spi_interrupt_catch();
    struct spi_volume *density = NULL;
    double *r = NULL;
    char best[64] = "";
    spi_err err;

    SPI_TRY(err = SPI_NEW(density, o->n_starts, "densities of the starts"), out);
    SPI_TRY(err = SPI_NEW(r, o->n_starts, "R-factors of the starts"), out);
    spi_progress_begin("phasing", o->n_starts, "starts");
    for (int i = 0; i < o->n_starts; i++) {
        double least = INFINITY;

        SPI_TRY(err = spi_phase_start(A, o, i, stop, &density[i], &r[i]), out);
        for (int k = 0; k <= i; k++)
            least = fmin(least, r[k]);
        snprintf(best, sizeof best, "best R %.4f", least);
        spi_progress_update(i + 1, best);
        spi_verbose("phase: start %d: R-factor %.5f", i + 1, r[i]);
    }
    spi_progress_end();
    err = spi_phase_combine(A, o, o->n_starts, density, r, result);
out:
    spi_progress_end();
    for (int i = 0; density && i < o->n_starts; i++)
        spi_volume_clear(&density[i]);
    free(density);
    free(r);
    return err;
}

/* A number of a table; nothing where there is none. */
static void cell(FILE *f, double value)
{
    if (isfinite(value))
        fprintf(f, ",%.6g", value);
    else
        fputc(',', f);
}

static spi_err write_prtf(const char *path, const struct spi_phase_result *r)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    spi_err err;

    if (!f)
        return spi_no_memory(path, 0);
    fputs("q_invA,resolution_A,prtf,reproduced\n", f);
    for (int i = 0; i < r->n_shells; i++) {
        fprintf(f, "%.9g,%.6g", r->shell_q[i], 1 / r->shell_q[i]);
        cell(f, r->prtf[i]);
        cell(f, r->reproduced[i]);
        fputc('\n', f);
    }
    if (fclose(f) != 0)
        err = spi_no_memory(path, 0);
    else
        err = spi_file_write_text(path, text, size);
    free(text);
    return err;
}

/* Resolution of the last shell before the curve first falls below `level`; shells without a
 * value say nothing; 0: the first value is below, or there is none. */
static double curve_end_A(const struct spi_phase_result *r, const double *curve,
                          double level)
{
    double d = 0;

    for (int i = 0; i < r->n_shells && !(curve[i] < level); i++)
        if (isfinite(curve[i]))
            d = 1 / r->shell_q[i];
    return d;
}

/* Mean of a curve over the shells that have a value, each by its size. */
static double curve_mean(const struct spi_phase_result *r, const double *curve)
{
    double sum = 0, weight = 0;

    for (int i = 0; i < r->n_shells; i++)
        if (isfinite(curve[i])) {
            double w = r->shell_q[i] * r->shell_q[i];

            sum += w * curve[i], weight += w;
        }
    return weight > 0 ? sum / weight : (double)NAN;
}

/* What is said of the starts is not the resolution of the map: the text says so. */
static void print_agreement(const struct spi_phase_result *r, double starts_A, double own_A,
                            double own_cc)
{
    if (r->n_kept == 1)
        printf("agreement   none to tell: one start is much better than the others, or "
               "alone\n");
    else if (starts_A > 0)
        printf("agreement   the averaged starts agree to %.2f A (PRTF above 1/e)\n",
               starts_A);
    else
        printf("agreement   the averaged starts do not agree (PRTF below 1/e)\n");
    if (isfinite(own_cc))
        printf("intensity   the density's correlates to %.3f with what it was phased from "
               "(mean over shells)\n",
               own_cc);
    if (own_A > 0)
        printf("            above 0.5 to %.2f A\n", own_A);
    printf("            None of these is the map's resolution: starts can agree in a wrong "
           "support.\n            Phase two half sets, and compare their maps.\n");
}

static spi_err report(const struct args *a, const struct spi_phase_result *r)
{
    double best = INFINITY, worst = 0;
    double starts_A = r->n_kept > 1 ? curve_end_A(r, r->prtf, exp(-1)) : 0;
    double own_A = curve_end_A(r, r->reproduced, 0.5);
    double own_cc = curve_mean(r, r->reproduced);

    for (int i = 0; i < r->n_starts; i++) {
        best = fmin(best, r->r_factor[i]);
        worst = fmax(worst, r->r_factor[i]);
    }
    if (!a->json) {
        printf("starts      %d, of which %d are averaged\n", r->n_starts, r->n_kept);
        printf("R-factor    %.4f best, %.4f worst\n", best, worst);
        print_agreement(r, starts_A, own_A, own_cc);
        printf("density     %s\n", a->out);
        return SPI_OK;
    }

    json_t *r_factors = json_array();

    for (int i = 0; i < r->n_starts; i++)
        json_array_append_new(r_factors, spi_json_number(r->r_factor[i]));
    return spi_print_json_take(
        json_pack("{s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "density",
                  spi_json_name(a->out), "n_starts", r->n_starts, "n_kept", r->n_kept,
                  "r_factor_best", spi_json_number(best), "r_factor", r_factors,
                  "starts_agree_to_A", starts_A > 0 ? json_real(starts_A) : json_null(),
                  "intensity_agrees_to_A", own_A > 0 ? json_real(own_A) : json_null(),
                  "intensity_cc", spi_json_number(own_cc)));
}

/* How the intensities of the two half sets correlate, at the rotation that superposes one
 * on the other.  Clear `shells`. */
static spi_err noise_from(const char *path, double voxel_A, const struct spi_volume *A,
                          struct spi_phase_options *o, struct spi_intensity_shells *shells)
{
    struct spi_volume B = {0}, W[2] = {{0}, {0}};
    double R[9], cc, q_max = fmin(o->q_max, 0.5 / A->step);
    spi_err err;

    SPI_TRY(err = spi_stage_autocorrelation(path, voxel_A, &B), out);
    SPI_TRY(err = spi_volume_fourier_even(A, &W[0]), out);
    SPI_TRY(err = spi_volume_fourier_even(&B, &W[1]), out);
    SPI_TRY(err = spi_align_intensities(&W[0], &W[1], o->diameter_A, o->q_min, q_max, NULL,
                                        R, &cc),
            out);
    SPI_TRY(err = spi_intensity_compare(&W[0], &W[1], o->diameter_A, o->q_min, q_max, R,
                                        shells),
            out);
    o->n_halves = shells->n;
    o->halves_q = shells->q;
    o->halves_cc = shells->cc;
    spi_verbose("phase: %s: the intensities of the half sets correlate to %.3f", path, cc);
out:
    spi_volume_clear(&B);
    spi_volume_clear(&W[0]);
    spi_volume_clear(&W[1]);
    return err;
}

static spi_err read_initial(const char *path, double voxel_A, const struct spi_volume *A,
                            struct spi_volume *initial)
{
    spi_err err = spi_mrc_read_voxel(path, voxel_A, initial, NULL);

    if (err)
        return err;
    if (initial->n != A->n || fabs(initial->step / A->step - 1) > 1e-3)
        return spi_fail(
            SPI_EINVAL,
            "%s: %d^3 voxels of %g A; need those of the autocorrelation, %d^3 of "
            "%g A",
            path, initial->n, initial->step, A->n, A->step);
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;
    struct spi_volume A = {0}, initial = {0};
    struct spi_phase_result result = {0};
    struct spi_intensity_shells shells = {0};
    struct spi_phase_options o;
    struct spi_settings set;
    char recipe[SPI_TEXT_MAX], label[81], recipe_label[81];
    spi_err err;

    if (a->list_methods)
        return list_methods();
    SPI_TRY(err = read_settings(call, &set), out);
    SPI_TRY(err = spi_stage_autocorrelation(call->operand[0], a->voxel_A, &A), out);
    SPI_TRY(err = make_options(call, &set, &A, recipe, &o), out);
    if (a->initial) {
        SPI_TRY(err = read_initial(a->initial, a->voxel_A, &A, &initial), out);
        o.initial = &initial;
    }
    if (a->half)
        SPI_TRY(err = noise_from(a->half, a->voxel_A, &A, &o, &shells), out);
    spi_verbose("phase: %s: diameter %.1f A, |q| %.5f..%.5f 1/A, %s", call->operand[0],
                o.diameter_A, o.q_min, o.q_max, o.recipe);
    SPI_TRY(err = all_starts(&A, &o, &result), out);
    snprintf(label, sizeof label, "spinifel %s phase, seed %llu, D %.1f A, q %.4f..%.4f",
             SPI_VERSION, (unsigned long long)o.seed, o.diameter_A, o.q_min, o.q_max);
    snprintf(recipe_label, sizeof recipe_label, "%s", o.recipe);
    SPI_TRY(err = spi_mrc_write(a->out, &result.density,
                                (const char *const[]){label, recipe_label, NULL}),
            out);
    if (a->prtf)
        SPI_TRY(err = write_prtf(a->prtf, &result), out);
    err = report(a, &result);
out:
    spi_volume_clear(&A);
    spi_volume_clear(&initial);
    spi_intensity_shells_clear(&shells);
    spi_phase_result_clear(&result);
    return err;
}

const struct spi_cmd spi_cmd_phase = {
    .name = "phase",
    .operands = "AUTOCORRELATION.mrc",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "density from an autocorrelation",
    .about =
        "Retrieves the phases of the intensities that belong to an autocorrelation and "
        "writes the density. Several independent starts from random densities follow one "
        "recipe of steps (error reduction, HIO, RAAR, shrink-wrap); the starts with good "
        "R-factors are aligned and averaged. Where q_max times the diameter is above "
        "phasing.first_qD, each start follows the recipe up to half of q_max first (a "
        "quarter, an eighth ...), which finds the phases of large particles. With --half "
        "the intensities may differ from the measured intensities within the tolerance "
        "phasing.modulus_tolerance.\n\n"
        "Writes one MRC map on the grid of the autocorrelation, centred. With --prtf it "
        "also writes a table: how well the starts agree at each resolution, and how well "
        "the density reproduces the intensities from which it was phased. Neither figure "
        "is the resolution of the density: starts can agree in a wrong support. "
        "Intensities cannot tell the hand of the map. What no option gives comes from "
        "the settings.",
    .examples =
        {{"spinifel phase run1/autocorrelation.mrc -o density.mrc --diameter 140",
          "the particle is at most 140 A long"},
         {"spinifel phase ac.mrc -o d.mrc --recipe \"10*(50 ER, 25 HIO, 50 ER, 1 SW)\"",
          "another recipe"},
         {"spinifel phase half1_ac.mrc -o half1.mrc -d 140 --half half2_ac.mrc",
          "intensities that are known to be noisy"},
         {"spinifel phase --list-methods", "what a recipe may say"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
