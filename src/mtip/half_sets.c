/* SPDX-License-Identifier: GPL-3.0-or-later */
/* half_sets.c, of mtip/run.h: the two half sets beside each other: phasing, superposition,
 * agreement. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fsc/isotropic.h"
#include "mtip/background.h"
#include "mtip/run.h"
#include "phase/phase.h"

/* Phasing inside the loop is for the report (unless match_phased): one start.  During the
 * initialisation the frame drifts and maps are uninformative: the rotation between the
 * halves is searched anew and maps are phased only every LOOK_EVERY generations. */
enum { LOOP_STARTS = 1, LOOK_EVERY = 5 };

static bool looks(const struct spi_run *r, const struct spi_step *step)
{
    return step->stage != SPI_STAGE_INIT || r->generation % LOOK_EVERY == 0;
}

void spi_run_phase_options(const struct spi_run *r, double q_max, int n_starts,
                           uint64_t seed, char recipe[SPI_TEXT_MAX],
                           struct spi_phase_options *o)
{
    const struct spi_settings *s = r->set;

    spi_settings_recipe(s, recipe);
    *o = (struct spi_phase_options){.diameter_A = r->data->rings.diameter_A,
                                    .q_min = r->data->rings.q[0],
                                    .q_max = q_max,
                                    .recipe = recipe,
                                    .first_qD = s->first_qD,
                                    .slack = s->modulus_tolerance,
                                    .beta = s->beta,
                                    .positive = s->positivity,
                                    .sw_sigma_first = s->sw_sigma_first,
                                    .sw_sigma_last = s->sw_sigma_last,
                                    .sw_threshold = s->cutoff,
                                    .n_starts = n_starts,
                                    .keep_within = s->keep_within,
                                    .keep_agreeing = s->keep_agreeing,
                                    .seed = seed};
}

struct phase_args {
    const struct spi_phase_options *opt;
    int n; /* voxels per axis of the model and of its density, step apart */
    double step;
    bool phased;     /* the model becomes that of the density */
    bool background; /* the model is phased without the level of its own */
};

/* The published loop: the next slices are those of the phased density. */
static spi_err phased_model(const struct spi_volume *density, float *A)
{
    struct spi_volume phased = {0};
    spi_err err = spi_volume_autocorrelate(density, &phased);

    if (!err)
        memcpy(A, phased.data, spi_volume_count(&phased) * sizeof *A);
    spi_volume_clear(&phased);
    return err;
}

/* v: model, density. */
static spi_err task_phase(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct phase_args *a = arg;
    const struct spi_volume A = {a->n, a->step, v[0].data};
    struct spi_phase_result result = {0};
    struct spi_volume alone = {0};
    spi_err err = SPI_OK;

    if (a->background)
        SPI_TRY(err = spi_isotropic_remove(&A, a->opt->diameter_A, a->opt->q_min,
                                           a->opt->q_max, &alone),
                out);
    err = spi_phase(alone.data ? &alone : &A, a->opt, stop, &result);
    if (!err) {
        memcpy(v[1].data, result.density.data, (size_t)v[1].n * sizeof(float));
        if (a->phased)
            err = phased_model(&result.density, v[0].data);
    }
out:
    spi_volume_clear(&alone);
    spi_phase_result_clear(&result);
    return err;
}

/* What phasing one half set needs. */
struct phased_half {
    struct spi_phase_options opt;
    char recipe[SPI_TEXT_MAX];
    struct spi_array *model, *density;
};

static spi_err submit_phase(struct spi_run *r, int h, struct phased_half *p)
{
    struct spi_volume *A = &r->replica[h][r->leading[h]].A, *rho = &r->density[h];
    bool phased = r->set->match_phased && r->stage != SPI_STAGE_INIT;
    struct phase_args a = {&p->opt, A->n, A->step, phased, false};
    struct spi_array_shape shape = {SPI_ARRAY_OF(float, "model"),
                                    .rows = (int64_t)spi_volume_count(A), .columns = 1};
    spi_err err;

    spi_run_phase_options(r, 1 / (2.08 * A->step), LOOP_STARTS,
                          r->seed * 2 + (uint64_t)h + 1000003 * (uint64_t)r->generation,
                          p->recipe, &p->opt);
    a.background = !phased && spi_background_shows(r, p->opt.q_max);
    SPI_TRY(err = spi_volume_init(rho, A->n, A->step), out);
    SPI_TRY(err = spi_array_wrap(r->graph, &shape, A->data, &p->model), out);
    shape.name = "density";
    SPI_TRY(err = spi_array_wrap(r->graph, &shape, rho->data, &p->density), out);

    struct spi_access access[2] = {{p->model, 0, phased ? SPI_READ_WRITE : SPI_READ},
                                   {p->density, 0, SPI_WRITE}};

    err = spi_graph_submit(r->graph, "phase", task_phase, &a, sizeof a, 2, access);
out:
    return err;
}

spi_err spi_half_sets_phase(struct spi_run *r, const struct spi_step *step)
{
    struct phased_half half[2] = {{.model = NULL}};
    spi_err err = SPI_OK, late;

    for (int h = 0; h < 2; h++)
        spi_volume_clear(&r->density[h]);
    for (int h = 0; h < 2 && looks(r, step) && !err; h++)
        err = submit_phase(r, h, &half[h]);
    late = spi_graph_wait(r->graph);
    for (int h = 0; h < 2; h++) {
        spi_array_free(r->graph, half[h].model);
        spi_array_free(r->graph, half[h].density);
    }
    return err ? err : late;
}

static double mean_fsc(const struct spi_fsc *f, double q_max)
{
    double sum = 0, count = 0;

    for (int i = 1; i < f->n_shells && f->q[i] <= q_max; i++) {
        sum += f->fsc[i];
        count += 1;
    }
    return count > 0 ? sum / count : 0;
}

/* The maps of the halves, if they were phased. */
static spi_err compare_maps(struct spi_run *r, const double rotation[9],
                            struct spi_generation_report *report)
{
    struct spi_volume mean = {0};
    struct spi_fsc fsc = {0};
    double cc;
    bool end;
    spi_err err;

    report->resolution_A = report->resolution05_A = INFINITY;
    report->mean_fsc = NAN;
    if (!r->density[0].data)
        return SPI_OK;
    SPI_TRY(err = spi_align_half_maps(&r->density[0], &r->density[1],
                                      r->data->rings.diameter_A, report->q_max_invA, NULL,
                                      rotation, &r->pose, &cc, &mean, &fsc, NULL),
            out);
    report->resolution_A = spi_fsc_resolution_A(&fsc, 0.143, report->q_max_invA, &end);
    report->resolution05_A = spi_fsc_resolution_A(&fsc, 0.5, report->q_max_invA, &end);
    report->mean_fsc = mean_fsc(&fsc, r->q_max);
out:
    spi_volume_clear(&mean);
    spi_fsc_clear(&fsc);
    return err;
}

spi_err spi_half_sets_compare(struct spi_run *r, const struct spi_step *step,
                              struct spi_generation_report *report)
{
    double rotation[9], D = r->data->rings.diameter_A;
    bool search = !r->have_pose || (step->stage == SPI_STAGE_INIT && looks(r, step));
    spi_err err;

    report->score = 0;
    for (int h = 0; h < 2; h++)
        report->score += r->replica[h][r->leading[h]].score / 2;
    report->beta = (double)r->replica[0][r->leading[0]].beta;
    SPI_TRY(err = spi_half_sets_agree(
                &r->replica[0][r->leading[0]], &r->replica[1][r->leading[1]], D,
                r->data->rings.q[0],
                fmin(report->q_max_invA, spi_plan_init_q(r->set, D, r->q_max)), r->q_max,
                search ? NULL : r->pose.R, rotation, &report->halves_cc, &report->mean_cc),
            out);
    SPI_TRY(err = compare_maps(r, rotation, report), out);
    r->last_cc = report->halves_cc;
    r->have_pose = 1;
    /* where the next search begins must not depend on the luck of a phasing start */
    memcpy(r->pose.R, rotation, sizeof rotation);
out:
    report->phase_s = spi_graph_seconds(r->graph, "phase");
    return err;
}

spi_err spi_half_sets_agree(const struct spi_replica *a, const struct spi_replica *b,
                            double diameter_A, double q_min, double q_max, double q_end,
                            const double *initial, double R[9], double *cc, double *mean_cc)
{
    struct spi_volume Wa = {0}, Wb = {0};
    struct spi_intensity_shells shells = {0};
    double top = fmin(q_end, 1 / (2.08 * a->A.step));
    spi_err err;

    SPI_TRY(err = spi_volume_fourier_even(&a->A, &Wa), out);
    SPI_TRY(err = spi_volume_fourier_even(&b->A, &Wb), out);
    SPI_TRY(err = spi_align_intensities(&Wa, &Wb, diameter_A, q_min, q_max, initial, R, cc),
            out);
    SPI_TRY(err = spi_intensity_compare(&Wa, &Wb, diameter_A, q_min, top, R, &shells), out);
    *mean_cc = 0;
    for (int i = 0; i < shells.n; i++) /* shells beyond the model's count as nothing */
        *mean_cc += shells.cc[i] / fmax(shells.n, (q_end - q_min) * 2 * diameter_A);
out:
    spi_intensity_shells_clear(&shells);
    spi_volume_clear(&Wa);
    spi_volume_clear(&Wb);
    return err;
}
