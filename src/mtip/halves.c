#include <math.h>

#include "base/log.h"
#include "mtip/mtip.h"
#include "phase/phase.h"

/* Phasing inside the loop is for the report only (unless match_phased): one short start. */
static const char loop_recipe[] = "3*(20 RAAR, 5 ER, 1 SW), 20 ER";

static struct spi_phase_options loop_options(const struct spi_run *r, int h)
{
    const struct spi_settings *s = r->set;
    const struct spi_chain *c = &r->chain[h][r->leading[h]];

    return (struct spi_phase_options){
        .diameter_A = r->data->rings.diameter_A, .q_min = r->data->rings.q[0],
        .q_max = 0.5 / c->A.step / 1.04, .recipe = loop_recipe, .beta = s->beta,
        .positive = s->positivity, .sw_sigma_first = s->sw_sigma_first,
        .sw_sigma_last = s->sw_sigma_last, .sw_threshold = s->cutoff, .n_starts = 1,
        .keep_within = s->keep_within,
        .seed = r->seed * 2 + (uint64_t)h + 1000003 * (uint64_t)r->generation};
}

struct phase_args {
    struct spi_run *r;
    int half;
};

static spi_err task_phase(void *const *data, const void *arg, const volatile int *stop)
{
    const struct phase_args *a = arg;
    struct spi_run *r = a->r;
    struct spi_phase_options opt = loop_options(r, a->half);
    double r_factor;

    (void)data;
    spi_volume_clear(&r->density[a->half]);
    return spi_phase_start(&r->chain[a->half][r->leading[a->half]].A, &opt, 0, stop,
                           &r->density[a->half], &r_factor);
}

spi_err spi_halves_phase(struct spi_run *r)
{
    struct spi_region *region[2] = {NULL, NULL};
    spi_err err, late;

    for (int h = 0; h < 2; h++) {
        struct phase_args a = {r, h};

        SPI_TRY(err = spi_region_new(r->graph, &r->density[h], sizeof r->density[h], &region[h]),
                out);

        struct spi_access access = {region[h], SPI_WRITE};

        SPI_TRY(err = spi_graph_submit(r->graph, "phase", task_phase, &a, sizeof a, 1, &access),
                out);
    }
out:
    late = spi_graph_wait(r->graph);
    for (int h = 0; h < 2; h++)
        spi_region_free(r->graph, region[h]);
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

spi_err spi_halves_compare(struct spi_run *r, const struct spi_step *step,
                           struct spi_generation_report *report)
{
    struct spi_volume mean = {0};
    struct spi_fsc fsc = {0};
    double cc, D = r->data->rings.diameter_A;
    bool end;
    spi_err err;

    report->score = 0;
    for (int h = 0; h < 2; h++)
        report->score += r->chain[h][r->leading[h]].score / 2;
    report->beta = (double)r->chain[0][r->leading[0]].beta;
    err = spi_half_maps(&r->density[0], &r->density[1], D, report->q_max_invA,
                        NULL, step->stage == SPI_STAGE_START ? NULL : r->pose.R, &r->pose, &cc,
                        &mean, &fsc, NULL);
    if (!err) {
        report->resolution_A = spi_fsc_resolution_A(&fsc, 0.143, report->q_max_invA, &end);
        report->resolution05_A = spi_fsc_resolution_A(&fsc, 0.5, report->q_max_invA, &end);
        report->mean_fsc = mean_fsc(&fsc, r->q_max);
        r->have_pose = 1;
    }
    report->phase_s = spi_graph_seconds(r->graph, "phase");
    spi_volume_clear(&mean);
    spi_fsc_clear(&fsc);
    return err;
}

spi_err spi_halves_agree(const struct spi_chain *a, const struct spi_chain *b,
                         double diameter_A, double q_min, double q_max, double R[9], double *cc)
{
    struct spi_volume Wa = {0}, Wb = {0};
    spi_err err;

    SPI_TRY(err = spi_volume_fourier_even(&a->A, &Wa), out);
    SPI_TRY(err = spi_volume_fourier_even(&b->A, &Wb), out);
    err = spi_align_intensities(&Wa, &Wb, diameter_A, q_min, q_max, NULL, R, cc);
out:
    spi_volume_clear(&Wa);
    spi_volume_clear(&Wb);
    return err;
}
