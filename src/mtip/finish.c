#include "mtip/finish.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "merge/pixels.h"
#include "mtip/orientations.h"

enum { SLOTS = 2, BLOCK = 256, CG_STEPS = 100, STEPS = 6 };

/* What merging a set of images pixel by pixel needs. */
struct final_merge {
    struct spi_run *r;
    struct spi_pixel_list pixels;
    spi_nufft *plan2;
    int n;
    double dx;
    int64_t n_images;        /* all of the file, or a half */
    const int64_t *image;    /* [n_images] file index, NULL: the index itself */
    const double (*quat)[4]; /* by file index */
    const float *fluence;    /* by file index */
    float *slot[SLOTS];
    double weight[SLOTS], norm2[SLOTS];
};

struct block_args {
    struct final_merge *m;
    int slot;
    int64_t first, n;
};

/* Blocks are read by file index; images of the other half are passed over. */
static spi_err task_merge_block(void *const *data, const void *arg,
                                const volatile int *stop)
{
    const struct block_args *a = arg;
    struct final_merge *m = a->m;
    const struct spi_data *d = m->r->data;
    int64_t n_pixels = d->det->n_pixels, kept = 0;
    float *pixels = NULL, *phi = NULL;
    double(*quat)[4] = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "merge"), out);
    SPI_TRY(err = SPI_NEW(phi, a->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(quat, a->n, "merge"), out);
    SPI_TRY(err = spi_images_read(d->images, a->first, a->n, pixels), out);
    for (int64_t i = 0; i < a->n; i++) {
        int64_t k = a->first + i;
        float *to = pixels + kept * n_pixels;

        if (m->fluence[k] <= 0)
            continue;
        for (int64_t p = 0; p < n_pixels; p++)
            to[p] = (float)d->scale * pixels[i * n_pixels + p];
        memcpy(quat[kept], m->quat[k], sizeof *quat);
        phi[kept++] = m->fluence[k];
    }
    err = spi_pixels_merge(&m->pixels, kept, n_pixels, pixels, (const double(*)[4])quat,
                           phi, m->plan2, m->slot[a->slot], &m->weight[a->slot],
                           &m->norm2[a->slot]);
out:
    free(pixels);
    free(phi);
    free(quat);
    return err;
}

static void merge_clear(struct final_merge *m)
{
    spi_pixel_list_clear(&m->pixels);
    spi_nufft_free(m->plan2);
    for (int s = 0; s < SLOTS; s++)
        free(m->slot[s]);
}

/* Spread all images with fluence > 0 (a set is chosen by zeroing the fluence of the rest).
 */
static spi_err merge_set(struct spi_run *r, const double (*quat)[4], const float *fluence,
                         struct final_merge *m)
{
    const struct spi_data *d = r->data;
    struct spi_region *region[SLOTS] = {NULL};
    spi_err err, late;

    *m = (struct final_merge){.r = r, .quat = quat, .fluence = fluence};
    spi_merge_grid(d->rings.diameter_A, r->q_max, &m->n, &m->dx);
    SPI_TRY(err = spi_pixel_list_init(&m->pixels, d->det, d->rings.q[0], r->q_max), out);
    SPI_TRY(err = spi_nufft_new(2 * m->n, m->dx, r->set->nufft_tol, &m->plan2), out);
    for (int s = 0; s < SLOTS; s++) {
        SPI_TRY(err = spi_nufft_grid_new(m->plan2, 2, &m->slot[s]), out);
        SPI_TRY(err = spi_region_new(r->graph, m->slot + s, sizeof m->slot[s], &region[s]),
                out);
    }
    for (int64_t first = 0, b = 0; first < d->n_images; first += BLOCK, b++) {
        struct block_args a = {m, (int)(b % SLOTS), first,
                               d->n_images - first < BLOCK ? d->n_images - first : BLOCK};
        struct spi_access access = {region[b % SLOTS], SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(r->graph, "merge", task_merge_block, &a, sizeof a, 1,
                                       &access),
                out);
    }
out:
    late = spi_graph_wait(r->graph);
    for (int s = 0; s < SLOTS; s++)
        spi_region_free(r->graph, region[s]);
    err = err ? err : late;
    if (err)
        return err;

    size_t side = (size_t)spi_nufft_side(m->plan2), count = 2 * side * side * side;

    for (int s = 1; s < SLOTS; s++) {
        for (size_t i = 0; i < count; i++)
            m->slot[0][i] += m->slot[s][i];
        m->weight[0] += m->weight[s];
        m->norm2[0] += m->norm2[s];
    }
    return SPI_OK;
}

static void make_lambdas(const struct spi_settings *s, double *lambda)
{
    for (int i = 0; i < s->N_lambda; i++)
        lambda[i] = s->lambda_min *
                    pow(s->lambda_max / s->lambda_min, (double)i / (s->N_lambda - 1));
}

/* lambda > 0: solve for it; 0: the L-curve chooses. */
static spi_err solve_set(struct spi_run *r, struct final_merge *m, double lambda,
                         struct spi_lcurve_point *points, struct spi_lcurve_choice *choice,
                         double *chosen, struct spi_volume *A)
{
    const struct spi_settings *set = r->set;
    struct spi_normal N = {0};
    struct spi_cg_report report;
    double lambdas[64];
    spi_err err;

    SPI_TRY(err = spi_volume_init(A, m->n, m->dx), out);
    SPI_TRY(err = spi_normal_init(&N, m->n, r->data->rings.diameter_A, m->plan2, m->slot[0],
                                  m->weight[0]),
            out);
    if (lambda > 0) {
        err = spi_normal_solve(&N, lambda, CG_STEPS, r->stop, A->data, &report);
        goto out;
    }
    make_lambdas(set, lambdas);
    SPI_TRY(err = spi_normal_lcurve(&N, set->N_lambda, lambdas, CG_STEPS, m->norm2[0],
                                    r->stop, A->data, points, choice),
            out);
    *chosen = points[choice->index].lambda;
out:
    spi_normal_clear(&N);
    return err;
}

/* ---- phasing
 * ------------------------------------------------------------------------------- */

static void phase_options(const struct spi_run *r, int half, char recipe[SPI_TEXT_MAX],
                          struct spi_phase_options *o)
{
    const struct spi_settings *s = r->set;

    spi_settings_recipe(s, recipe);
    *o = (struct spi_phase_options){.diameter_A = r->data->rings.diameter_A,
                                    .q_min = r->data->rings.q[0],
                                    .q_max = r->q_max,
                                    .recipe = recipe,
                                    .beta = s->beta,
                                    .positive = s->positivity,
                                    .sw_sigma_first = s->sw_sigma_first,
                                    .sw_sigma_last = s->sw_sigma_last,
                                    .sw_threshold = s->cutoff,
                                    .n_starts = s->N_phase_starts,
                                    .keep_within = s->keep_within,
                                    .seed = r->seed * 2 + (uint64_t)half};
}

struct start_args {
    const struct spi_volume *A;
    const struct spi_phase_options *opt;
    int index;
    struct spi_volume *density;
    double *r_factor;
};

static spi_err task_start(void *const *data, const void *arg, const volatile int *stop)
{
    const struct start_args *a = arg;

    (void)data;
    return spi_phase_start(a->A, a->opt, a->index, stop, a->density, a->r_factor);
}

static spi_err phase_both(struct spi_run *r, struct spi_result *res)
{
    int n = r->set->N_phase_starts;
    struct spi_phase_options opt[2];
    struct spi_volume *density = NULL;
    struct spi_region **region = NULL;
    char recipe[2][SPI_TEXT_MAX];
    double *r_factor = NULL;
    spi_err err, late;

    SPI_TRY(err = SPI_NEW(density, 2 * n, "phasing"), out);
    SPI_TRY(err = SPI_NEW(region, 2 * n, "phasing"), out);
    SPI_TRY(err = SPI_NEW(r_factor, 2 * n, "phasing"), out);
    for (int i = 0; i < 2 * n; i++) {
        int h = i / n;
        struct start_args a = {&res->half_A[h], &opt[h], i % n, density + i, r_factor + i};

        phase_options(r, h, recipe[h], &opt[h]);
        SPI_TRY(err = spi_region_new(r->graph, density + i, sizeof *density, &region[i]),
                wait);

        struct spi_access access = {region[i], SPI_WRITE};

        SPI_TRY(
            err = spi_graph_submit(r->graph, "phase", task_start, &a, sizeof a, 1, &access),
            wait);
    }
wait:
    late = spi_graph_wait(r->graph);
    err = err ? err : late;
    for (int h = 0; h < 2 && !err; h++)
        err = spi_phase_combine(&res->half_A[h], &opt[h], n, density + h * n,
                                r_factor + h * n, &res->phase[h]);
out:
    for (int i = 0; i < 2 * n && region; i++)
        spi_region_free(r->graph, region[i]);
    for (int i = 0; i < 2 * n && density; i++)
        spi_volume_clear(density + i);
    free(density);
    free(region);
    free(r_factor);
    return err;
}

static spi_err compare_halves(struct spi_run *r, struct spi_result *res)
{
    struct spi_volume half2 = {0};
    double cc;
    spi_err err = spi_half_maps(&res->phase[0].density, &res->phase[1].density,
                                r->data->rings.diameter_A, r->q_max, NULL, r->pose.R,
                                &res->pose, &cc, &res->density, &res->fsc, &half2);

    if (err)
        return err;
    res->half[1] = half2;
    res->resolution_A = spi_fsc_resolution_A(&res->fsc, 0.143, r->q_max, &res->reached_end);
    res->resolution05_A =
        spi_fsc_resolution_A(&res->fsc, 0.5, r->q_max, &res->reached_end05);
    return spi_volume_copy(&res->phase[0].density, &res->half[0]);
}

/* ---- all of it
 * --------------------------------------------------------------------------- */

static spi_err finish_half(struct spi_run *r, int h, const struct spi_orientations *o,
                           struct spi_result *res)
{
    struct final_merge m = {0};
    struct spi_lcurve_point points[64];
    struct spi_lcurve_choice choice;
    float *fluence = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(fluence, o->n, "merge"), out);
    for (int64_t k = 0; k < o->n; k++)
        fluence[k] = o->half[k] == h + 1 ? o->fluence[k] : 0;
    SPI_TRY(err = merge_set(r, (const double(*)[4])o->quat, fluence, &m), out);
    SPI_TRY(err = solve_set(r, &m, 0, h ? points : res->lcurve, h ? &choice : &res->choice,
                            &res->lambda[h], &res->half_A[h]),
            out);
out:
    merge_clear(&m);
    free(fluence);
    return err;
}

/* Both halves merged at their orientations, after `rounds` of refining these: first against
 * the models of the loop, then against what was merged. */
static spi_err merge_halves(struct spi_run *r, struct spi_orientations *o,
                            spi_on_finish *progress, void *user, struct spi_result *res)
{
    int rounds = r->set->N_refine;
    const struct spi_volume *model[2] = {&r->chain[0][r->leading[0]].A,
                                         &r->chain[1][r->leading[1]].A};
    spi_err err = SPI_OK;

    for (int i = 0; i < (rounds > 0 ? rounds : 1) && !err; i++) {
        if (progress)
            progress(0, STEPS, "refining the orientations", user);
        if (rounds > 0)
            SPI_TRY(err = spi_run_refine(r, model, o), out);
        for (int h = 0; h < 2; h++) {
            if (progress)
                progress(1 + h, STEPS, h ? "merging half 2" : "merging half 1", user);
            spi_volume_clear(&res->half_A[h]);
            SPI_TRY(err = finish_half(r, h, o, res), out);
            model[h] = &res->half_A[h];
        }
    }
out:
    return err;
}

spi_err spi_finish(struct spi_run *r, spi_on_finish *progress, void *user,
                   struct spi_result *res)
{
    struct spi_orientations *o = &res->orientations;
    struct final_merge m = {0};
    double lambda;
    spi_err err;

    *res = (struct spi_result){.n_lambda = r->set->N_lambda};
    SPI_TRY(err = SPI_NEW(res->lcurve, res->n_lambda, "L-curve"), out);
    SPI_TRY(err = spi_run_orientations(r, o), out);
    SPI_TRY(err = merge_halves(r, o, progress, user, res), out);
    if (progress)
        progress(3, STEPS, "phasing", user);
    SPI_TRY(err = phase_both(r, res), out);
    if (progress)
        progress(4, STEPS, "comparing the halves", user);
    SPI_TRY(err = compare_halves(r, res), out);
    spi_orientations_common_frame(res->pose.R, o);
    SPI_TRY(err = spi_coverage_init(&res->coverage, o,
                                    1 / (2 * r->data->rings.diameter_A * r->q_max)),
            out);
    if (progress)
        progress(5, STEPS, "merging all images", user);
    SPI_TRY(err = merge_set(r, (const double(*)[4])o->quat, o->fluence, &m), out);
    lambda = sqrt(res->lambda[0] * res->lambda[1]);
    SPI_TRY(err = solve_set(r, &m, lambda, NULL, NULL, NULL, &res->A), out);
    SPI_TRY(err = spi_volume_fourier_even(&res->A, &res->W), out);
    if (progress)
        progress(STEPS, STEPS, "done", user);
out:
    merge_clear(&m);
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
    }
    spi_volume_clear(&r->A);
    spi_volume_clear(&r->W);
    spi_volume_clear(&r->density);
    spi_fsc_clear(&r->fsc);
    spi_orientations_clear(&r->orientations);
    spi_coverage_clear(&r->coverage);
    free(r->lcurve);
    *r = (struct spi_result){0};
}
