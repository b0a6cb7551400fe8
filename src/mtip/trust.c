#include "mtip/trust.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "match/misfit.h"
#include "math/rot.h"
#include "math/sphere.h"
#include "mtip/sharp.h"
#include "ring/pixels.h"

enum { BLOCK = 50, BLOCKS = 40 }; /* images read at once; places in the file */
static const double half_explained = 0.5;
static const double cell_least = 0.035; /* rad; finer ones cost too much and tell no more */
static const double weight_power = 8; /* (Q12): half the weight at a correlation of 0.92 */

/* ---- images against their models ------------------------------------------------------
 */

struct inspection {
    struct spi_pixel_list pixels;
    struct spi_sharp model[2];
    spi_kept *kept[2];
    spi_points *points[2]; /* the pixels, for each model's plan */
    float *mean[2];        /* of the model on the pixel's ring */
    float *inv_var;        /* NULL for photons */
    float *images, *K, *T;
};

static spi_err ring_to_pixels(const struct inspection *b, const struct spi_rings *g, int R,
                              const float *ring, float **out)
{
    spi_err err = SPI_NEW(*out, b->pixels.n, "trust");

    if (!err)
        spi_pixels_from_rings(&b->pixels, g, R, ring, *out);
    return err;
}

static void inspection_clear(struct inspection *b)
{
    spi_pixel_list_clear(&b->pixels);
    for (int h = 0; h < 2; h++) {
        spi_points_free(b->points[h]);
        spi_kept_free(b->kept[h]);
        spi_sharp_clear(&b->model[h]);
        free(b->mean[h]);
    }
    free(b->inv_var);
    free(b->images);
    free(b->K);
    free(b->T);
}

static spi_err inspection_init(struct inspection *b, const struct spi_run *r,
                               const struct spi_volume *const A[2])
{
    const struct spi_data *d = r->data;
    const struct spi_rings *g = &d->rings;
    int R = spi_rings_upto(g, r->q_max);
    float *ring = NULL;
    spi_err err;

    *b = (struct inspection){0};
    SPI_TRY(err = SPI_NEW(ring, R, "trust"), out);
    SPI_TRY(err = spi_pixel_list_init(&b->pixels, d->det, g->q[0], g->q[R - 1]), out);
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = spi_sharp_init(&b->model[h], r, A[h]), out);
        SPI_TRY(err = spi_kept_new(b->model[h].plan, b->model[h].grid, &b->kept[h]), out);
        spi_sharp_drop_grid(&b->model[h], b->kept[h]);
        SPI_TRY(err = spi_points_new(b->model[h].plan, b->pixels.n,
                                     (const float(*)[3])b->pixels.q, &b->points[h]),
                out);
        for (int i = 0; i < R; i++)
            ring[i] = (float)b->model[h].ring_mean[i];
        SPI_TRY(err = ring_to_pixels(b, g, R, ring, &b->mean[h]), out);
    }
    spi_data_inv_var(d, SPI_SCORE_GAUSSIAN, R, ring);
    if (d->kind != SPI_PHOTONS)
        SPI_TRY(err = ring_to_pixels(b, g, R, ring, &b->inv_var), out);
    SPI_TRY(err = SPI_NEW(b->images, BLOCK * d->det->n_pixels, "trust"), out);
    SPI_TRY(err = SPI_NEW(b->K, b->pixels.n, "trust"), out);
    SPI_TRY(err = SPI_NEW(b->T, b->pixels.n, "trust"), out);
out:
    free(ring);
    return err;
}

static spi_err look(const struct spi_run *r, const struct spi_orientations *o, int64_t k,
                    const float *image, struct inspection *b, struct spi_misfit *all,
                    struct spi_trust *t)
{
    const struct spi_pixel_list *l = &b->pixels;
    int h = o->half[k] - 1;
    struct spi_misfit one = {0};
    double M[1][9];
    spi_err err;

    spi_pixel_turns(1, (const double(*)[4])(o->quat + 4 * k), M);
    err = spi_kept_slice(b->points[h], b->kept[h], 1, (const double(*)[9])M, b->T);
    if (err)
        return err;
    for (int64_t p = 0; p < l->n; p++)
        b->K[p] = (float)(r->data->scale * (double)image[l->pixel[p]]);
    spi_misfit_add(l->n, b->K, b->T, l->geometry, b->mean[h], b->inv_var, &one);
    if (spi_misfit_share(&one) - 2 * spi_misfit_sigma(&one) > half_explained)
        t->strangers += 1;
    t->images++;
    all->left += one.left;
    all->all += one.all;
    all->variance += one.variance;
    return SPI_OK;
}

spi_err spi_trust_images(const struct spi_run *r, const struct spi_volume *const A[2],
                         const struct spi_orientations *o, struct spi_trust *t)
{
    int64_t n_pixels = r->data->det->n_pixels, blocks = (o->n + BLOCK - 1) / BLOCK;
    struct spi_misfit all = {0};
    struct inspection b;
    spi_err err;

    blocks = blocks < BLOCKS ? blocks : BLOCKS;
    SPI_TRY(err = inspection_init(&b, r, A), out);
    t->images = 0;
    t->strangers = 0;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t first = o->n * i / blocks, m = o->n - first < BLOCK ? o->n - first : BLOCK;

        SPI_TRY(err = spi_images_read(r->data->images, first, m, b.images), out);
        for (int64_t k = 0; k < m; k++)
            if (spi_orientations_has(o, first + k))
                SPI_TRY(err = look(r, o, first + k, b.images + k * n_pixels, &b, &all, t),
                        out);
    }
    t->unexplained = spi_misfit_share(&all);
    t->strangers /= fmax(1, (double)t->images);
out:
    inspection_clear(&b);
    return err;
}

/* ---- directions -----------------------------------------------------------------------
 */

spi_err spi_trust_covered(const struct spi_orientations *o, double diameter_A, double q_max,
                          double wavelength_A, double *covered)
{
    double cell = fmax(1 / (2 * diameter_A * q_max), cell_least),
           z = wavelength_A * q_max / 2;
    struct spi_patches p = {0};
    uint8_t *seen = NULL;
    double(*view)[3] = NULL;
    int64_t n_views = 0, crossed = 0;
    spi_err err;

    SPI_TRY(err = spi_patches_init(&p, spi_sphere_count(cell)), out);
    SPI_TRY(err = SPI_NEW(seen, p.n, "coverage"), out);
    SPI_TRY(err = SPI_NEW(view, p.n, "coverage"), out);
    for (int64_t k = 0; k < o->n; k++) {
        double R[9];
        int64_t i;

        if (!spi_orientations_has(o, k))
            continue;
        spi_rot_matrix(o->quat + 4 * k, R);
        i = spi_patch_of(&p, R + 6);
        if (seen[i])
            continue;
        seen[i] = 1; /* one view stands for all of its cell */
        for (int c = 0; c < 3; c++)
            view[n_views][c] = R[6 + c];
        n_views++;
    }
    for (int64_t i = 0; i < p.n; i++) {
        double u[3];

        spi_sphere_point(p.n, i, u);
        for (int64_t v = 0; v < n_views; v++) {
            double along = u[0] * view[v][0] + u[1] * view[v][1] + u[2] * view[v][2];

            if (fabs(fabs(along) - z) <= cell / 2) { /* W(q) = W(-q) */
                crossed++;
                break;
            }
        }
    }
    *covered = (double)crossed / (double)p.n;
out:
    spi_patches_clear(&p);
    free(seen);
    free(view);
    return err;
}

/* ---- phases ---------------------------------------------------------------------------
 */

spi_err spi_trust_agreement(const struct spi_run *r, const struct spi_volume half_A[2],
                            const double *initial, struct spi_agreement *a)
{
    double D = r->data->rings.diameter_A, q_min = r->data->rings.q[0], cc;
    struct spi_volume W[2] = {{0}, {0}};
    spi_err err;

    *a = (struct spi_agreement){.q_min = q_min, .q_max = r->q_max};
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_volume_fourier_even(&half_A[h], &W[h]), out);
    SPI_TRY(err =
                spi_align_intensities(&W[0], &W[1], D, q_min, r->q_max, initial, a->R, &cc),
            out);
    SPI_TRY(err = spi_intensity_correlation(&W[0], &W[1], D, q_min, r->q_max, a->R, &a->n,
                                            &a->q, &a->cc),
            out);
out:
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&W[h]);
    return err;
}

void spi_agreement_clear(struct spi_agreement *a)
{
    free(a->q);
    free(a->cc);
    *a = (struct spi_agreement){0};
}

double spi_agreement_at(const struct spi_agreement *a, const double *curve, double q)
{
    int n = a->n, i = 0;
    double t;

    if (n == 0 || !(q >= a->q_min && q <= a->q_max))
        return (double)NAN;
    while (i < n && a->q[i] < q)
        i++;
    if (i == 0 || i == n)
        return curve[i == 0 ? 0 : n - 1];
    t = (q - a->q[i - 1]) / (a->q[i] - a->q[i - 1]);
    return curve[i - 1] * (1 - t) + curve[i] * t;
}

spi_err spi_trust_faithful(const struct spi_run *r, const struct spi_volume *A,
                           const struct spi_volume *density, const struct spi_agreement *a,
                           double **out)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct spi_volume B = {0}, W = {0}, V = {0};
    double *q = NULL;
    int n = 0;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = spi_volume_fourier_even(A, &W), out);
    SPI_TRY(err = spi_volume_autocorrelate(density, &B), out);
    SPI_TRY(err = spi_volume_fourier_even(&B, &V), out);
    SPI_TRY(err = spi_intensity_correlation(&W, &V, r->data->rings.diameter_A, a->q_min,
                                            a->q_max, identity, &n, &q, out),
            out);
    assert(n == a->n);
out:
    free(q);
    spi_volume_clear(&B);
    spi_volume_clear(&W);
    spi_volume_clear(&V);
    return err;
}

double spi_trust_phased(const struct spi_agreement *a, const struct spi_fsc *f,
                        const double *const own[2])
{
    double found = 0, allowed = 0;

    for (int i = 0; i < f->n_shells; i++) {
        double q = f->q[i], c = spi_agreement_at(a, a->cc, q), least = f->fsc[i], w;

        if (!(c > 0))
            continue;
        for (int h = 0; h < 2; h++)
            least = fmin(least, spi_agreement_at(a, own[h], q));
        w = pow(c, weight_power);
        found += w * least;
        allowed += w * sqrt(c);
    }
    return allowed > 0 ? found / allowed : (double)NAN;
}

/* ---- the verdict ----------------------------------------------------------------------
 */

struct words {
    char text[SPI_MESSAGE_MAX];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(w->text + w->n, sizeof w->text - w->n, fmt, ap);
    va_end(ap);
    w->n += n > 0 ? (size_t)n : 0;
    if (w->n >= sizeof w->text) /* cut */
        w->n = sizeof w->text - 1;
}

spi_err spi_trust_verdict(const struct spi_trust *t, const struct spi_settings *set,
                          double q_max)
{
    struct words why = {.n = 0};

    if (!(t->final_cc >= set->final_cc))
        say(&why,
            "; up to %.1f A the intensities of the two half sets agree to %.2f only "
            "(need %.2f), their maps to %.1f A (FSC 0.5): too few images or photons "
            "for that, or no particle (particle.q_max_invA = %.4f asks for less)",
            1 / q_max, t->final_cc, set->final_cc, t->resolution05_A,
            1 / t->resolution05_A);
    if (!(t->resolution_A <= t->start_A))
        say(&why,
            "; the phased half maps agree to %.1f A only (FSC 0.143), which is coarser "
            "than the starts (%.1f A)",
            t->resolution_A, t->start_A);
    if (!(t->phased >= set->phased_least))
        say(&why,
            "; where the intensities of the half sets agree, their phased maps agree, with "
            "each other and with these intensities, to %.2f of what that allows (need "
            "%.2f), in the best of %d round%s of starts: the phases are wrong or "
            "unfinished, which says nothing against orientations and intensities "
            "(--resume with a larger phasing.N_phase_starts than %d, another "
            "phasing.cutoff than %g or another phasing.recipe phases again)",
            fmax(t->phased, 0), set->phased_least, t->phase_rounds,
            t->phase_rounds == 1 ? "" : "s", set->N_phase_starts, set->cutoff);
    if (!(t->covered >= set->covered_least))
        say(&why,
            "; the images cross only %.0f %% of the directions (need %.0f %%): they show "
            "the particle from too few sides",
            100 * t->covered, 100 * set->covered_least);
    if (!(t->evenness >= set->evenness_least))
        say(&why,
            "; the images gather in %.0f %% of the directions from which as many at random "
            "would be seen (need %.0f %%): so do mixtures of particles, and particles that "
            "do not lie at random",
            100 * t->evenness, 100 * set->evenness_least);
    if (!(t->unexplained <= set->unexplained_most))
        say(&why,
            "; the map leaves %.0f %% of the structure in the images unexplained (at most "
            "%.0f %%; %.0f %% of the images are strangers): they are not all of this one "
            "particle, or not in these orientations",
            100 * t->unexplained, 100 * set->unexplained_most, 100 * t->strangers);
    return why.n > 0 ? spi_fail(SPI_ENOCONV, "not converged: %s", why.text + 2) : SPI_OK;
}
