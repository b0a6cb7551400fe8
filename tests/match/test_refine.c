/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Continuous refinement by every row of the table of likelihoods: its value against direct
 * sums, its gradient against differences of these, and whether it climbs to the truth. */
#include "match/refine.h"
#include "slice/slice_pixels.h"
#include "stage_test.h"
#include "tap.h"

/* As in test_brute.c: n voxels of dx hold the autocorrelation, q_max dx = 0.36 < 1/2. */
enum { N = 24, SIDE = 25, NP = SIDE * SIDE, IMAGES = 40 };
static const double tol = 1e-4, dx = 6, diameter = 62, q_min = 0.012, q_max = 0.06,
                    wavelength = 7.75, counts = 5e4;

struct scene {
    struct spi_detector det;
    struct spi_rings rings;
    spi_nufft *plan;
    float *grid, A[N * N * N], images[IMAGES][NP], inv_var[64];
    double quat[IMAGES][4], mean[64];
    float share[64];
    const float *signal; /* NULL, or share: the model is filtered (Q27) */
};

static spi_err scene_init(struct scene *s)
{
    struct spi_pixel_list l = {0};
    double sum = 0, centre = 0;
    spi_packed *kept = NULL;
    spi_err err;

    random_quats(21, IMAGES, s->quat);
    blob_autocorrelation(N, dx, 4, 1, s->A);
    SPI_TRY(err = curved_detector(&s->det, SIDE, q_max, wavelength), out);
    SPI_TRY(err = spi_rings_init(&s->rings, diameter, wavelength, q_min, q_max, 1.3), out);
    SPI_TRY(err = spi_pixel_list_init(&l, &s->det, q_min, q_max), out);
    SPI_TRY(err = spi_nufft_new(N, dx, tol, &s->plan), out);
    SPI_TRY(err = spi_nufft_grid_new(s->plan, 1, &s->grid), out);
    SPI_TRY(err = spi_nufft_prepare(s->plan, s->A, s->grid), out);
    SPI_TRY(err = spi_packed_new(s->plan, s->grid, &kept), out);
    SPI_TRY(err = spi_slice_pixels(&l, IMAGES, NP, (const double(*)[4])s->quat, NULL,
                                   s->plan, kept, s->images[0]),
            out);
    for (int p = 0; p < NP; p++)
        sum += (double)s->images[0][p];
    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++)
            s->images[k][p] *= (float)(counts / sum);
    for (int i = 0; i < N * N * N; i++)
        centre += (double)s->A[i];
    for (int r = 0; r < s->rings.R;
         r++) { /* floors: 1e-7 of what is at q = 0, hardly any */
        s->mean[r] = 1e-6 * centre;
        s->inv_var[r] = (float)(s->rings.q[r] * s->rings.q[r] / q_max / q_max);
        s->share[r] = 1 - 0.8F * (float)r / (float)s->rings.R;
    }
out:
    spi_packed_free(kept);
    spi_pixel_list_clear(&l);
    return err;
}

static void scene_clear(struct scene *s)
{
    free(s->grid);
    spi_nufft_free(s->plan);
    spi_rings_clear(&s->rings);
    spi_detector_clear(&s->det);
}

static spi_err set_init(const struct scene *s, const struct spi_likelihood *like,
                        struct spi_refine_set *set)
{
    return spi_refine_set_init(set, &s->det, &s->rings, s->rings.R, s->mean, s->signal,
                               like, s->inv_var, s->plan, s->grid);
}

static void pack(const struct spi_refine_set *set, const float *image, float *K)
{
    for (int64_t p = 0; p < set->pixels.n; p++)
        K[p] = image[set->pixels.pixel[p]];
}

/* M = R(quat)^T rotated by w in the object. */
static void rotated(const double quat[4], const double w[3], double M[9])
{
    double R[9], E[9];

    spi_rot_matrix(quat, R);
    spi_rot_from_vector(w, E);
    spi_rot_mul_nt(E, R, M);
}

/* ---- against direct sums ------------------------------------------------------------ */

/* The transform's error of relative size e changes the gaussian form by less than 4 e of
 * itself, and the poisson form by e per count where T is about its mean; pixels of T above
 * a tenth of the mean hold all but a few counts, so 10 e. */
static void against_twin(const struct scene *s, const struct spi_likelihood *like)
{
    struct spi_refine_set set;
    struct spi_refine_point at;
    double w[3] = {0.03, -0.02, 0.01}, M[9], score, fluence, e = transform_bound(tol, N);
    float K[NP];
    spi_err err = set_init(s, like, &set);

    if (err) {
        OK(0, "%s", spi_err_message());
        return;
    }
    pack(&set, s->images[3], K);
    rotated(s->quat[3], w, M);
    spi_refine_at(&set.r, K, M, &at);
    spi_refine_ref(&set.r, N, dx, s->A, K, M, &score, &fluence);

    double bound = like->form == SPI_FORM_DIFFERENCE ? 10 * e * counts : 4 * e * score;

    OK(fabs(at.score - score) <= bound, "%s: score, error / bound = %.3f", like->name,
       fabs(at.score - score) / bound);
    OK(fabs(at.fluence / fluence - 1) <= 4 * e, "fluence, error / bound = %.3f",
       fabs(at.fluence / fluence - 1) / (4 * e));
    rotated(s->quat[4], w, M);
    spi_refine_ref(&set.r, N, dx, s->A, K, M, &score, &fluence);
    OK(fabs(at.score - score) > bound, "another orientation is told apart");
    spi_refine_set_clear(&set);
}

/* The gradient against central differences of the direct sums.  Its error g moves the
 * maximum by g / F: less than a hundredth of a cell, the shortest step that is made.  h =
 * 1e-4 rad against |score| 1e-16 / h = 1e-7 and third derivatives h^2 / cell^2 = 1e-5 of
 * the slope: both far below. */
static void gradient(const struct scene *s, const struct spi_likelihood *like)
{
    struct spi_refine_set set;
    double worst = 0, swapped = 0, h = 1e-4, w0[3] = {0.03, -0.02, 0.01};
    float K[NP];
    spi_err err = set_init(s, like, &set);

    for (int k = 0; k < 3 && !err; k++) {
        struct spi_refine_point at;
        double R[9], M[9], start[4];

        pack(&set, s->images[k], K);
        rotated(s->quat[k], w0, M);
        spi_refine_at(&set.r, K, M, &at);
        for (int i = 0; i < 9; i++)
            R[i] = M[i % 3 * 3 + i / 3];
        spi_rot_quat(R, start);
        for (int c = 0; c < 3; c++) {
            static const int diagonal[3] = {0, 3, 5};
            double w[3] = {0}, up, down, phi, shift;

            w[c] = h;
            rotated(start, w, M);
            spi_refine_ref(&set.r, N, dx, s->A, K, M, &up, &phi);
            w[c] = -h;
            rotated(start, w, M);
            spi_refine_ref(&set.r, N, dx, s->A, K, M, &down, &phi);
            shift = 1 / at.fisher[diagonal[c]] / set.r.cell;
            worst = fmax(worst, fabs(at.gradient[c] - (up - down) / (2 * h)) * shift);
            swapped = fmax(swapped,
                           fabs(at.gradient[(c + 1) % 3] - (up - down) / (2 * h)) * shift);
        }
    }
    OK(!err && worst <= 0.01, "%s: gradient moves the maximum by %.5f cells; need 0.01",
       like->name, worst);
    OK(swapped > 0.01, "another axis is noticed");
    spi_refine_set_clear(&set);
}

/* ---- the climb ---------------------------------------------------------------------- */

static double angle(const double p[4], const double q[4])
{
    double P[9], Q[9];

    spi_rot_matrix(p, P);
    spi_rot_matrix(q, Q);
    return spi_rot_angle_between(P, Q);
}

/* A quaternion about `cells` cells away from the truth. */
static void disturb(const struct spi_refine_set *set, struct spi_rng *rng, double cells,
                    const double quat[4], double out[4])
{
    double v[3], length = 0, M[9], R[9];

    for (int c = 0; c < 3; c++) {
        v[c] = spi_rng_normal(rng);
        length += v[c] * v[c];
    }
    for (int c = 0; c < 3; c++)
        v[c] *= cells * set->r.cell / sqrt(length);
    rotated(quat, v, M);
    for (int i = 0; i < 9; i++)
        R[i] = M[i % 3 * 3 + i / 3];
    spi_rot_quat(R, out);
}

/* From half a cell away to the truth.  The climb ends with a step below 0.1 cells; what is
 * left after it is of second order, some 0.1^2, and steps below 0.01 are not made: 0.03.
 * The score is the larger one of start and end, also from far away. */
static void climbs(const struct scene *s, const struct spi_likelihood *like)
{
    struct spi_refine_set set;
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 0);
    double worst = 0, evaluations = 0;
    int fell = 0;
    float K[NP];
    spi_err err = set_init(s, like, &set);

    for (int k = 0; k < IMAGES && !err; k++) {
        struct spi_refined best;
        double start[4];

        disturb(&set, &rng, 0.5, s->quat[k], start);
        err = spi_refine_image(&set.r, s->images[k], start, &best);
        worst = fmax(worst, angle(best.quat, s->quat[k]) / set.r.cell);
        evaluations += (double)best.evaluations / IMAGES;
    }
    OK(!err && worst <= 0.03, "%s: from 0.5 to %.4f cells in %.1f evaluations", like->name,
       worst, evaluations);
    for (int k = 0; k < IMAGES && !err; k++) {
        struct spi_refined best;
        struct spi_refine_point at;
        const double none[3] = {0};
        double M[9];
        const double *far = s->quat[(k + 1) % IMAGES];

        pack(&set, s->images[k], K);
        rotated(far, none, M);
        spi_refine_at(&set.r, K, M, &at);
        err = spi_refine_image(&set.r, s->images[k], far, &best);
        fell += best.score < at.score;
    }
    OK(!err && fell == 0, "never worse than the start, also from far away");
    spi_refine_set_clear(&set);
}

static void dark(const struct scene *s)
{
    struct spi_refine_set set;
    struct spi_refined best;
    float none[NP] = {0};
    spi_err err = set_init(s, spi_likelihood_of(SPI_PHOTONS), &set);

    err = err ? err : spi_refine_image(&set.r, none, s->quat[0], &best);
    OK(!err && angle(best.quat, s->quat[0]) < 1e-7 && best.fluence == 0,
       "an image without a count stays where it is"); /* 1e-7: root of a rounding */
    spi_refine_set_clear(&set);
}

int main(void)
{
    static struct scene s;

    if (scene_init(&s)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    for (int i = 0; spi_likelihoods[i]; i++) {
        const struct spi_likelihood *like = spi_likelihoods[i];

        if (!like->rings)
            continue;
        against_twin(&s, like);
        gradient(&s, like);
        climbs(&s, like);
        s.signal = s.share;
        against_twin(&s, like);
        gradient(&s, like);
        s.signal = NULL;
    }
    dark(&s);
    scene_clear(&s);
    return tap_done();
}
