/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/finish.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fsc/symmetry_map.h"
#include "math/symmetry.h"
#include "mtip/brightness.h"
#include "mtip/doubtful.h"
#include "mtip/orientations.h"

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
static const double cut_width = 1.2; /* (C6): q_stop / q_pass */

static const double outlier_named = 1.5; /* e^-18 of the pixels, the tail of many images */

static const double few_left_out = 0.01; /* of the images: that proves nothing */

enum { CG_STEPS = 100, STEPS = SPI_FINISH_STEPS };

/* The half sets merged side by side, each image read once, and solved for the lambda that
 * the L-curve of each chooses.  fluence[h][images of the file]: 0 takes no part.
 * beside: counts taken from each image. */
static spi_err merge_sets(struct spi_run *r, const double (*quat)[4],
                          const float *const fluence[2], struct spi_beside beside,
                          struct spi_merging_lcurve curve[2], struct spi_volume A[2])
{
    const struct spi_data *d = r->data;
    struct spi_pixel_list pixels = {0};
    struct spi_merging_spec spec = {.graph = r->graph,
                                    .images = d->images,
                                    .pixels = &pixels,
                                    .quat = quat,
                                    .scale = d->scale,
                                    .beside = beside,
                                    .diameter_A = d->rings.diameter_A,
                                    .tol = r->set->nufft_tol,
                                    .corner_weight = r->set->flambda,
                                    .stop = r->stop};
    struct spi_merging m[2] = {{.n = 0}, {.n = 0}};
    struct spi_cg_options opt[2];
    spi_err err;

    SPI_TRY(err = spi_pixel_list_init(&pixels, d->det, d->rings.q[0], r->q_max), out);
    SPI_TRY(err = spi_merging_init_sets(m, &spec, 2, fluence), out);
    for (int h = 0; h < 2; h++) {
        opt[h] = spi_merging_rules(&m[h], r->set, CG_STEPS);
        SPI_TRY(err = spi_volume_init(&A[h], m[h].n, m[h].dx), out);
    }
    err = spi_merging_solve_lcurves(m, 2, r->set, false, opt,
                                    (float *const[2]){A[0].data, A[1].data}, curve);
out:
    for (int h = 0; h < 2; h++)
        spi_merging_clear(&m[h]);
    spi_pixel_list_clear(&pixels);
    return err;
}

/* The densities, in rounds of starts. */
static spi_err phase(struct spi_run *r, struct spi_result *res)
{
    struct spi_phasing p;
    spi_err err = spi_phasing_run(r, res->half_A, &res->agreement, &p);

    if (err)
        return err;
    for (int h = 0; h < 2; h++)
        res->phase[h] = p.half[h];
    res->half[1] = p.moved2;
    res->density = p.density;
    res->fsc = p.fsc;
    for (int h = 0; h < 2; h++)
        res->own[h] = p.own[h];
    res->resolution_A =
        spi_curve_end_A(p.fsc.n_shells, p.fsc.q, p.fsc.fsc, 0.143, 0, r->q_max);
    res->resolution05_A =
        spi_curve_end_A(p.fsc.n_shells, p.fsc.q, p.fsc.fsc, 0.5, 0, r->q_max);
    res->phase_cutoff = p.cutoff;
    res->validation.phase_consistency = p.phase_consistency;
    res->validation.phase_rounds = p.rounds;
    return spi_volume_copy(&res->phase[0].density, &res->half[0]);
}

/* ---- all of it ---------------------------------------------------------------------- */

/* Over the point group of a half set, in its frame. */
static spi_err average(const struct spi_run *r, int h, struct spi_volume *A)
{
    const struct spi_replica *c = &r->replica[h][r->leading[h]];

    return spi_symmetry_average(A, c->n_group, (const double(*)[9])c->group);
}

/* Every `every`-th image of each half set, merged; averages over the point group. */
static spi_err merge_halves(struct spi_run *r, const struct spi_orientations *o, int every,
                            struct spi_beside beside, struct spi_merging_lcurve curve[2],
                            struct spi_volume A[2])
{
    float *fluence[2] = {NULL, NULL};
    spi_err err;

    for (int h = 0; h < 2; h++) {
        int64_t seen = 0;

        SPI_TRY(err = SPI_NEW(fluence[h], o->n, "merge"), out);
        for (int64_t k = 0; k < o->n; k++)
            fluence[h][k] = o->half[k] == h + 1 && !o->aside[k] && seen++ % every == 0
                                ? o->fluence[k]
                                : 0;
    }
    SPI_TRY(err = merge_sets(r, (const double(*)[4])o->quat,
                             (const float *const[2]){fluence[0], fluence[1]}, beside, curve,
                             A),
            out);
    for (int h = 0; h < 2 && !err; h++)
        err = average(r, h, &A[h]);
out:
    free(fluence[0]);
    free(fluence[1]);
    return err;
}

/* Name the pixels whose values are neither of the particle nor noise. */
static void warn_outliers(const struct spi_run *r, const struct spi_outliers *o)
{
    const struct spi_detector *det = r->data->det;
    const struct spi_outlier *w = o->worst;
    int64_t panel = (int64_t)det->ny * det->nx, at;

    if (o->kept == 0 || w->times < outlier_named)
        return;
    at = w->pixel % panel;
    spi_run_tell(r, &(struct spi_event){
                        SPI_EVENT_OUTLIERS,
                        .u.outliers = {.n = o->n,
                                       .images = o->images,
                                       .value = (double)w->value / r->data->scale,
                                       .expected = (double)w->expected / r->data->scale,
                                       .panel = w->pixel / panel,
                                       .row = at / det->nx,
                                       .column = at % det->nx,
                                       .image = w->image}});
}

/* The half sets merged at the orientations of now, in place of what was merged before. */
static spi_err merge_anew(struct spi_run *r, struct spi_beside beside,
                          struct spi_result *res)
{
    struct spi_merging_lcurve curve[2] = {{0}, {0}};
    spi_err err;

    for (int h = 0; h < 2; h++)
        spi_volume_clear(&res->half_A[h]);
    err = merge_halves(r, &res->orientations, 1, beside, curve, res->half_A);
    spi_merging_lcurve_clear(&res->lcurve);
    res->lcurve = curve[0];
    spi_merging_lcurve_clear(&curve[1]);
    return err;
}

/* Both halves merged at their orientations, after `rounds` of refining these: first against
 * the models of the loop (again: against what is merged already), then against what was
 * merged. */
static spi_err refine_and_merge(struct spi_run *r, bool again, spi_on_finish *progress,
                                void *user, struct spi_result *res)
{
    struct spi_orientations *o = &res->orientations;
    int rounds = r->set->N_refine;
    const struct spi_volume *model[2] = {
        again ? &res->half_A[0] : &r->replica[0][r->leading[0]].A,
        again ? &res->half_A[1] : &r->replica[1][r->leading[1]].A};
    spi_err err = SPI_OK;

    for (int i = 0; i < (rounds > 0 ? rounds : 1) && !err; i++) {
        if (progress)
            progress(0, STEPS, "refining the orientations", user);
        if (rounds > 0)
            SPI_TRY(err = spi_run_refine(r, model, o), out);
        if (progress)
            progress(1, STEPS, "merging the half sets", user);
        err = merge_anew(r, spi_data_beside(r->data), res);
        for (int h = 0; h < 2; h++)
            model[h] = &res->half_A[h];
    }
    if (err)
        return err;
    if (progress)
        progress(2, STEPS, "looking at the images again", user);
    spi_inspection_clear(&res->inspection);
    err = spi_inspect_images(r, model, o, &res->inspection);
out:
    return err;
}

/* What the inspection says of the images: outliers of the models, which join the doubtful
 * ones unless they are too many; doubtful ones that show the particle, which are so no more.
 * Returns how many changed. */
static int64_t judge(const struct spi_run *r, struct spi_result *res)
{
    struct spi_orientations *o = &res->orientations;
    const uint8_t *outlier = res->inspection.outlier;
    int64_t out = 0, other = 0, back = 0, all = 0;
    bool leave;

    for (int64_t k = 0; k < o->n; k++) {
        all += o->half[k] && (!o->aside[k] || o->aside[k] == SPI_ASIDE_OTHER);
        out += o->half[k] && !o->aside[k] && outlier[k];
        other += o->aside[k] == SPI_ASIDE_OTHER && outlier[k];
    }
    /* where the half sets differ the model may be what is wrong */
    leave = r->last_cc >= r->set->halves_cc_repeat &&
            (double)(out + other) <= r->set->outlier_images_max * (double)all;
    for (int64_t k = 0; k < o->n; k++)
        if (o->half[k] && o->aside[k] && !outlier[k]) {
            o->aside[k] = SPI_ASIDE_NO;
            back++;
        } else if (o->half[k] && !o->aside[k] && outlier[k] && leave) {
            o->aside[k] = SPI_ASIDE_OTHER;
        }
    return back + (leave ? out : 0);
}

/* (Q22): what images outliers have spoilt, and what doubtful ones bring, is done once more. */
static spi_err judge_images(struct spi_run *r, spi_on_finish *progress, void *user,
                            struct spi_result *res)
{
    enum { ROUNDS = 3 };
    struct spi_orientations *o = &res->orientations;
    double outliers, images = 0;
    int64_t of[SPI_ASIDE_KINDS] = {0};
    spi_err err = SPI_OK;

    for (int i = 0; i < ROUNDS && judge(r, res) > 0 && !err; i++) {
        spi_orientations_normalise(o);
        err = refine_and_merge(r, true, progress, user, res);
    }
    outliers = res->inspection.outlier_images * (double)res->inspection.images;
    for (int64_t k = 0; k < o->n; k++) {
        of[o->aside[k]]++;
        if (o->aside[k] == SPI_ASIDE_COPY)
            o->particle[k] = NAN;
        images += o->half[k] && (!o->aside[k] || o->aside[k] == SPI_ASIDE_OTHER);
        if (o->half[k] && o->aside[k])
            spi_orientations_none(o, k);
    }
    res->n_round = of[SPI_ASIDE_ROUND];
    res->n_doublets = of[SPI_ASIDE_DOUBLET];
    res->n_outliers = of[SPI_ASIDE_OTHER];
    res->inspection.outlier_images =
        images > 0 ? ((double)res->n_outliers + outliers) / images : 0;
    if (res->n_outliers > 0)
        spi_run_tell(r,
                     &(struct spi_event){SPI_EVENT_OUTLIER_IMAGES,
                                         .u.outlier_images = {.n = res->n_outliers,
                                                              .images = (int64_t)images}});
    return err;
}

/* (Q30): of a distance so much is not found, as measured. */
static const double short_by = 0.15;

/* (Q30): where the images show that the detector is elsewhere than the file says, half sets
 * and orientations once more, until it is where the images show it. */
static spi_err place_detector(struct spi_run *r, spi_on_finish *progress, void *user,
                              struct spi_result *res)
{
    enum { ROUNDS = 5 };
    struct spi_geometry *g = &res->geometry;
    bool better = strcmp(r->set->geometry, "file") != 0;
    spi_err err = SPI_OK;

    while (better && g->rounds < ROUNDS) {
        SPI_TRY(err = spi_geometry_look(
                    r,
                    (const struct spi_volume *const[2]){&res->half_A[0], &res->half_A[1]},
                    &res->orientations, res->inspection.outlier, g, &better),
                out);
        if (!better)
            break;
        if (g->rounds++ == 0)
            spi_images_positions_sha256(r->data->images, g->places.positions_sha256);
        if (g->places.panels)
            SPI_TRY(err = spi_images_place_panels(r->data->images, &g->places), out);
        SPI_TRY(err = spi_data_uneven_again(r->data), out);
        SPI_TRY(err = merge_anew(r, spi_data_beside(r->data), res), out);
        SPI_TRY(err = refine_and_merge(r, true, progress, user, res), out);
    }
    SPI_TRY(err = spi_geometry_tell(g, &res->orientations), out);
    if (g->places.panels > 0)
        spi_run_tell(r,
                     &(struct spi_event){
                         SPI_EVENT_GEOMETRY,
                         .u.geometry = {
                             .images = g->images,
                             .panels = g->panels,
                             .far_px = spi_geometry_far_px(g),
                             .sigma_px = hypot(g->first.sigma_px, g->last.far_px),
                             .stretch = g->places.stretch,
                             .stretch_sigma = hypot(g->first.stretch_sigma +
                                                        short_by * fabs(g->places.stretch),
                                                    g->last.stretch)}});
    if (g->drift_px > 0)
        spi_run_tell(r,
                     &(struct spi_event){SPI_EVENT_DRIFT,
                                         .u.drift = {.images = g->images,
                                                     .range_px = g->drift_px,
                                                     .left_px = g->drift_left_px,
                                                     .sigma_px = g->drift.sigma_px,
                                                     .corrected = g->drift_px_of != NULL}});
out:
    return err;
}

/* The half sets merged without the background, as it was given or as their intensities show
 * it: twice, for what a merge is regularised by takes a part of a large background along. */
static spi_err take_background_out(struct spi_run *r, const struct spi_contrast *contrast,
                                   spi_on_finish *progress, void *user,
                                   struct spi_result *res)
{
    enum { ROUNDS = 2 };
    struct spi_background *b = &res->background;
    struct spi_orientations *o = &res->orientations;
    bool found = false;
    spi_err err;

    SPI_TRY(err = spi_background_begin(r, b), out);
    for (int i = 0; i < ROUNDS; i++) {
        if (!b->told || i > 0)
            SPI_TRY(err = spi_background_look(r, res->half_A, &res->agreement, contrast,
                                              found, b, &found),
                    out);
        if (!found && !(b->told && i == 0))
            break;
        if (progress)
            progress(3, STEPS, "taking the background out", user);
        spi_background_fluences(r->data, r->q_max, b, o);
        SPI_TRY(err = merge_anew(r, spi_background_beside(r, b), res), out);
        spi_agreement_clear(&res->agreement);
        SPI_TRY(err = spi_agreement_init(r, res->half_A, r->pose.R, &res->agreement), out);
    }
    if (found || b->told)
        spi_run_tell(r, &(struct spi_event){SPI_EVENT_BACKGROUND,
                                            .u.background = {.told = b->told,
                                                             .found = found,
                                                             .ratio = b->ratio,
                                                             .q_min = r->data->rings.q[0],
                                                             .q_max = r->q_max,
                                                             .share = b->share,
                                                             .q = b->share_q}});
out:
    return err;
}

/* A: the mean of the half sets, half 2 rotated onto half 1 (an autocorrelation has neither
 * place nor hand): by the rotation of the intensities, which is right also when the phases
 * are not. */
static spi_err join_halves(const struct spi_run *r, struct spi_result *res)
{
    const struct spi_volume *one = &res->half_A[0];
    struct spi_pose rotation = {.inverted = false};
    struct spi_volume two = {0};
    spi_err err;

    memcpy(rotation.R, res->agreement.R, sizeof rotation.R);
    SPI_TRY(err = spi_pose_apply(&res->half_A[1], &rotation, one->n, one->step, &two), out);
    SPI_TRY(err = spi_volume_copy(one, &res->A), out);
    for (int64_t i = 0; i < (int64_t)one->n * one->n * one->n; i++)
        res->A.data[i] = (one->data[i] + two.data[i]) / 2;
    err = average(r, 0, &res->A);
out:
    spi_volume_clear(&two);
    return err;
}

/* The point group that was given or used, else the one that the final intensity shows. */
static spi_err name_symmetry(const struct spi_run *r, struct spi_result *res)
{
    /* shows folds to 18; more where all turns are alike up to there (a disk, a tube) */
    static const double qD = 7.5, smooth_qD = 10;
    const struct spi_replica *c = &r->replica[0][r->leading[0]];
    struct spi_symmetry_found *f = &res->symmetry;
    double D = r->data->rings.diameter_A;
    spi_err err;

    *f = r->found;
    snprintf(f->group, sizeof f->group, "%s", c->symmetry);
    memcpy(f->axes, c->axes, sizeof f->axes);
    if (c->n_group > 1 || strcmp(r->set->symmetry, "auto") != 0)
        return SPI_OK;
    err = spi_symmetry_find(&res->W, D, fmin(r->q_max, qD / D), r->halves_cc, f);
    if (!err && strcmp(f->group, "C1") == 0 && f->between >= f->level)
        err = spi_symmetry_find(&res->W, D, fmin(r->q_max, smooth_qD / D), r->halves_cc, f);
    if (!err && strcmp(f->group, "C1") != 0)
        spi_run_tell(
            r, &(struct spi_event){SPI_EVENT_SYMMETRY, .u.symmetry = {f, .at_end = true}});
    return err;
}

/* The intensities of half of each half set beside those of all: what more would bring. */
static spi_err look_ahead(struct spi_run *r, struct spi_result *res)
{
    const struct spi_orientations *o = &res->orientations;
    const struct spi_agreement *a = &res->agreement;
    double D = r->data->rings.diameter_A;
    struct spi_volume A[2] = {{0}, {0}}, W[2] = {{0}, {0}};
    struct spi_intensity_shells fewer = {0};
    struct spi_merging_lcurve curve[2] = {{0}, {0}};
    spi_err err;

    SPI_TRY(err =
                merge_halves(r, o, 2, spi_background_beside(r, &res->background), curve, A),
            out);
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_volume_fourier_even(&A[h], &W[h]), out);
    /* o is in the common frame: nothing is left to turn */
    SPI_TRY(
        err = spi_intensity_compare(&W[0], &W[1], D, a->q_min, a->q_max, identity, &fewer),
        out);
    err = spi_outlook_find(&a->shells, &fewer, D, a->q_max, &res->validation.outlook);
out:
    for (int h = 0; h < 2; h++) {
        spi_volume_clear(&A[h]);
        spi_volume_clear(&W[h]);
    }
    spi_intensity_shells_clear(&fewer);
    for (int h = 0; h < 2; h++)
        spi_merging_lcurve_clear(&curve[h]);
    return err;
}

/* Beyond the resolution to which the result stands density.mrc holds nothing: the last
 * shells of a map that is cut sharply would ring. */
static spi_err cut_density(const struct spi_run *r, struct spi_result *res)
{
    const struct spi_resolution *v = &res->validation.resolution;
    double q = 1 / v->claimed_A;

    if (v->limit == SPI_LIMIT_EDGE || !(q * r->data->rings.diameter_A > 1))
        return SPI_OK;
    return spi_volume_cut(&res->density, q, cut_width * q);
}

/* Coverage of the view directions, modulo the point group, and what else the verdict asks.
 */
static spi_err validate(const struct spi_run *r, const struct spi_contrast *contrast,
                        struct spi_result *res)
{
    const struct spi_rings *g = &r->data->rings;
    double(*group)[9] = NULL, D = g->diameter_A, q;
    const struct spi_inspection *in = &res->inspection;
    struct spi_validation *v = &res->validation;
    int n;
    spi_err err;

    SPI_TRY(err = spi_resolution_find(&res->agreement, &res->fsc,
                                      (const double *const *)res->own, contrast, D,
                                      &v->resolution),
            out);
    q = fmin(r->q_max, 1 / v->resolution.claimed_A);
    q = fmax(q, g->q[0]);
    v->diameter_A = D;
    /* where a background begins the result ends, and nothing is said of phases beyond */
    if (v->resolution.background_A > 1 / r->q_max)
        v->phase_consistency = spi_agreement_phase_consistency(
            &res->agreement, &res->fsc, (const double *const *)res->own,
            1 / v->resolution.background_A);
    v->unexplained_variance = in->unexplained_variance;
    v->unexplained_shells = in->unexplained_shells;
    v->outlier_images = in->outlier_images;
    v->left_out = res->n_outliers;
    if (r->data->uneven) /* what is left of it is structure of all images */
        v->left_out_least = few_left_out * (double)spi_split_count(&r->data->split);
    v->isotropic =
        spi_isotropic_share(&res->agreement, contrast, D, r->q_max, &v->isotropic_q);
    SPI_TRY(err = spi_symmetry_parse(res->symmetry.group, &group, &n), out);
    spi_symmetry_rotate(n, group, res->symmetry.axes);
    SPI_TRY(err = spi_coverage_init(&res->coverage, &res->orientations, n,
                                    (const double(*)[9])group, 1 / (2 * D * r->q_max)),
            out);
    err = spi_coverage_crossed(&res->orientations, n, (const double(*)[9])group, D, q,
                               g->wavelength_A, &v->coverage);
out:
    free(group);
    return err;
}

spi_err spi_finish(struct spi_run *r, const struct spi_contrast *contrast,
                   spi_on_finish *progress, void *user, struct spi_result *res)
{
    struct spi_orientations *o = &res->orientations;
    spi_err err;

    *res = (struct spi_result){0};
    /* of the models as they are now, which a run that was resumed has, too */
    SPI_TRY(err = spi_brightness_find(
                r,
                (const struct spi_volume *const[2]){&r->replica[0][r->leading[0]].A,
                                                    &r->replica[1][r->leading[1]].A},
                r->q_max),
            out);
    SPI_TRY(err = spi_doubtful_match(r), out);
    SPI_TRY(err = spi_run_orientations(r, o), out);
    SPI_TRY(err = refine_and_merge(r, false, progress, user, res), out);
    SPI_TRY(err = place_detector(r, progress, user, res), out);
    SPI_TRY(err = judge_images(r, progress, user, res), out);
    warn_outliers(r, &res->inspection.outliers);
    if (progress)
        progress(3, STEPS, "comparing the halves", user);
    SPI_TRY(err = spi_agreement_init(r, res->half_A, r->pose.R, &res->agreement), out);
    SPI_TRY(err = take_background_out(r, contrast, progress, user, res), out);
    spi_orientations_common_frame(res->agreement.R, o);
    if (progress)
        progress(4, STEPS, "phasing", user);
    SPI_TRY(err = phase(r, res), out);
    if (progress)
        progress(5, STEPS, "joining the halves", user);
    SPI_TRY(err = join_halves(r, res), out);
    SPI_TRY(err = spi_volume_fourier_even(&res->A, &res->W), out);
    SPI_TRY(err = name_symmetry(r, res), out);
    SPI_TRY(err = validate(r, contrast, res), out);
    if (res->validation.resolution.limit != SPI_LIMIT_EDGE)
        SPI_TRY(err = look_ahead(r, res), out);
    SPI_TRY(err = cut_density(r, res), out);
    if (progress)
        progress(STEPS, STEPS, "done", user);
out:
    if (err)
        spi_result_clear(res);
    return err;
}

void spi_result_clear(struct spi_result *r)
{
    for (int h = 0; h < 2; h++) {
        spi_volume_clear(&r->half_A[h]);
        spi_volume_clear(&r->half[h]);
        spi_phase_result_clear(&r->phase[h]);
        free(r->own[h]);
    }
    spi_volume_clear(&r->A);
    spi_volume_clear(&r->W);
    spi_volume_clear(&r->density);
    spi_fsc_clear(&r->fsc);
    spi_agreement_clear(&r->agreement);
    spi_inspection_clear(&r->inspection);
    spi_background_clear(&r->background);
    spi_geometry_clear(&r->geometry);
    spi_orientations_clear(&r->orientations);
    spi_coverage_clear(&r->coverage);
    spi_merging_lcurve_clear(&r->lcurve);
    *r = (struct spi_result){0};
}
