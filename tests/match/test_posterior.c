/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Posterior weights against their definition in double; perplexity; refinement; candidates.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "match/posterior.h"
#include "math/rot.h"
#include "math/sphere.h"
#include "tap.h"

enum { IMAGES = 6, ND = 200, NA = 24 };

static const struct spi_views views = {
    .nd = ND, .Na = NA, .cell = 0.25}; /* sqrt(4 pi / 200) */

/* The largest of each row, as scoring makes it. */
static void row_tops(int64_t pairs, struct spi_scores *s)
{
    free(s->row_top);
    s->row_top = spi_alloc((size_t)pairs, sizeof *s->row_top, "tops");
    for (int64_t i = 0; i < pairs; i++) {
        s->row_top[i] = -INFINITY;
        for (int a = 0; a < NA; a++)
            s->row_top[i] = fmaxf(s->row_top[i], s->LL[i * NA + a]);
    }
}

/* Log-likelihoods with a peak of height `sharp` at a random orientation, and noise. */
static void make(struct spi_rng *rng, double sharp, struct spi_scores *s)
{
    *s = (struct spi_scores){.n_images = IMAGES, .Na = NA};
    s->first = spi_alloc(IMAGES + 1, sizeof *s->first, "first");
    s->LL = spi_alloc(IMAGES * ND * NA, sizeof *s->LL, "LL");
    for (int k = 0; k < IMAGES; k++) {
        double n0[3], n[3], a0 = 2 * SPI_PI * spi_rng_uniform(rng);

        s->first[k + 1] = (k + 1) * ND;
        spi_sphere_point(ND, spi_rng_below(rng, ND), n0);
        for (int d = 0; d < ND; d++) {
            spi_sphere_point(ND, d, n);
            for (int a = 0; a < NA; a++)
                s->LL[(k * ND + d) * NA + a] =
                    (float)(-5000 +
                            sharp * (n[0] * n0[0] + n[1] * n0[1] + n[2] * n0[2] +
                                     cos(2 * SPI_PI * a / NA - a0)) +
                            spi_rng_normal(rng));
        }
    }
    row_tops(IMAGES * ND, s);
}

static double entropy(const struct spi_scores *s, int k, double beta)
{
    const float *LL = s->LL + s->first[k] * NA;
    int64_t n = (s->first[k + 1] - s->first[k]) * NA;
    double top = -INFINITY, Z = 0, H = 0;

    for (int64_t i = 0; i < n; i++)
        top = fmax(top, (double)LL[i]);
    for (int64_t i = 0; i < n; i++)
        Z += exp(beta * ((double)LL[i] - top));
    for (int64_t i = 0; i < n; i++) {
        double P = exp(beta * ((double)LL[i] - top)) / Z;

        H -= P > 0 ? P * log(P) : 0;
    }
    return H;
}

static double mean_entropy(const struct spi_scores *s, double beta)
{
    double sum = 0;

    for (int k = 0; k < s->n_images; k++)
        sum += entropy(s, k, beta) / s->n_images;
    return sum;
}

static void check_beta(struct spi_rng *rng)
{
    struct spi_scores s;
    static const double asked[] = {4, 30, 500};
    static const float guess[] = {0, 1, 1e-3F, 0.2F};

    make(rng, 300, &s);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) {
            double beta = (double)spi_posterior_beta(&s, asked[i], guess[j]);
            /* the search ends with log beta known to 0.01; entropy falls with beta.  The
             * sums of float weights are good to gamma_1026 + 5e-6 (tests/kernel),
             * the entropy to three times that and beta |sum_x / sum| of it */
            double slack = 4 * (gamma_f32(1026) + 5e-6) * (1 + log(asked[i]));
            double soft = mean_entropy(&s, beta * exp(-0.01)) + slack;
            double sharp = mean_entropy(&s, beta * exp(0.01)) - slack;

            OK(soft >= log(asked[i]) && sharp <= log(asked[i]),
               "perplexity %g from guess %g: beta %.4g gives %.2f", asked[i],
               (double)guess[j], beta, exp(mean_entropy(&s, beta)));
            OK(mean_entropy(&s, beta * 1.2) + slack < log(asked[i]),
               "another beta is noticed");
        }
    OK(spi_posterior_beta(&s, 1e-3, 0) <= 1, "an impossible perplexity ends");
    OK(spi_posterior_beta(&s, ND * NA * 0.999, 0) < 1e-2F, "nearly uniform");
    spi_scores_clear(&s);
    make(rng, 1, &s);
    OK(spi_posterior_beta(&s, 2, 0) == 1, "beta = 1 where even that is softer than asked");
    spi_scores_clear(&s);
}

static void check_weights(struct spi_rng *rng)
{
    struct spi_scores s;
    struct spi_posterior p;
    double perplexity = 30, worst = 0, worst_sum = 0, worst_model = 0, lost = 0,
           doubled = 0, worst_entropy = 0, other = 0;
    float *S = spi_alloc(ND * NA, sizeof *S, "S"), beta;
    int ordered = 1, extra = 0;

    make(rng, 100, &s);
    for (int i = 0; i < ND * NA; i++)
        S[i] = 1 + (float)spi_rng_uniform(rng);
    beta = spi_posterior_beta(&s, perplexity, 0);
    OK(spi_posterior_make(&s, &views, beta, perplexity, S, NULL, &p) == SPI_OK, "made");
    for (int k = 0; k < IMAGES; k++) {
        const float *LL = s.LL + k * ND * NA;
        double top = -INFINITY, Z = 0, kept = 0, sum = 0, model = 0, dense[ND * NA] = {0};
        double least = 1e-3 / perplexity;

        for (int i = 0; i < ND * NA; i++)
            top = fmax(top, (double)LL[i]);
        for (int i = 0; i < ND * NA; i++)
            Z += exp((double)beta * ((double)LL[i] - top));
        for (int i = 0; i < ND * NA; i++) {
            double P = exp((double)beta * ((double)LL[i] - top)) / Z;

            kept += P >= least ? P : 0;
        }
        for (int64_t i = 0; i < p.n_pairs; i++) {
            const struct spi_posterior_pair *pair = p.pair + i;

            ordered &= i == 0 || pair[-1].image < pair->image ||
                       (pair[-1].image == pair->image && pair[-1].dir < pair->dir);
            for (int64_t e = pair->first; pair->image == k && e < pair->first + pair->count;
                 e++) {
                dense[pair->dir * NA + p.angle[e]] += (double)p.weight[e];
                sum += (double)p.weight[e];
                model += (double)p.weight[e] * (double)S[pair->dir * NA + p.angle[e]];
            }
        }
        for (int i = 0; i < ND * NA; i++) {
            double P = exp((double)beta * ((double)LL[i] - top)) / Z;
            /* exp 4e-7 and the sums 6.2e-5; beta (LL - max): float, |.| < 20: 3 u 20 */
            double bound = 2 * (gamma_f32(1026) + 4e-7) + 60 * 0x1p-24;

            if (fabs(P / least - 1) < bound) /* on the threshold: kept or not */
                continue;
            if (P < least) {
                extra += dense[i] != 0;
                lost += P;
            } else {
                worst = fmax(worst, fabs(dense[i] / (P / kept) - 1) / bound);
                doubled = fmax(doubled, fabs(2 * dense[i] / (P / kept) - 1) / bound);
            }
        }
        /* each weight is rounded once after the division: u of their sum */
        worst_sum = fmax(worst_sum, fabs(sum - 1) / 0x1p-23);
        /* as in check_beta: the sums, and beta |sum_x / sum| < 20 of them */
        double H = entropy(&s, k, (double)beta), got = (double)p.best[k].entropy;
        double slack = 22 * (gamma_f32(1026) + 4e-7);

        worst_entropy = fmax(worst_entropy, fabs(got - H) / slack);
        other =
            fmax(other, fabs(got - entropy(&s, (k + 1) % IMAGES, (double)beta)) / slack);
        worst_model = fmax(worst_model, fabs((double)p.model_sum[k] / model - 1) / 0x1p-23);
    }
    OK(worst <= 1 && extra == 0, "weights of (M4): error / bound = %.3f", worst);
    OK(doubled > 1, "twice the weight is noticed");
    OK(worst_sum <= 1, "they add to 1: error / bound = %.3f", worst_sum);
    OK(worst_model <= 1, "expected counts: error / bound = %.3f", worst_model);
    OK(worst_entropy <= 1, "entropy: error / bound = %.3f", worst_entropy);
    OK(other > 1, "that of another image is told apart");
    OK(ordered, "%lld pairs in the order image, direction", (long long)p.n_pairs);
    OK(lost / IMAGES < ND * NA * 1e-3 / perplexity, "%.1e dropped", lost / IMAGES);
    spi_posterior_clear(&p);

    /* all orientations alike: nothing is above the threshold, nothing is divided by zero */
    memset(s.LL, 0, IMAGES * ND * NA * sizeof *s.LL);
    row_tops(IMAGES * ND, &s);
    OK(spi_posterior_make(&s, &views, 1, 1, NULL, NULL, &p) == SPI_OK && p.n_entries == 0,
       "an image that says nothing has no weight");
    spi_posterior_clear(&p);
    spi_scores_clear(&s);
    free(S);
}

/* A parabola about a known angle: the vertex is found to rounding, also across angle 0. */
static void check_best(void)
{
    static const double at[] = {7.3, 0.2, NA - 0.4};
    double worst = 0, shifted = 0, margin = 0;

    for (int t = 0; t < 3; t++) {
        int64_t first[2] = {0, ND};
        struct spi_scores s = {.n_images = 1,
                               .Na = NA,
                               .first = first,
                               .LL = spi_alloc(ND * NA, sizeof *s.LL, "LL")};
        struct spi_posterior p;

        for (int d = 0; d < ND; d++)
            for (int a = 0; a < NA; a++) {
                double gap = remainder(a - at[t], NA);

                s.LL[d * NA + a] =
                    (float)(-(d == 50 ? 1 : 2) * gap * gap - (d == 50 ? 0 : 3));
            }
        row_tops(ND, &s);
        if (spi_posterior_make(&s, &views, 1, 4, NULL, NULL, &p))
            OK(0, "%s", spi_err_message());
        double found = (double)p.best[0].angle, cell = 2 * SPI_PI / NA;

        worst = fmax(worst, fabs(remainder(found - cell * at[t], 2 * SPI_PI)));
        shifted = fmax(shifted, fabs(remainder(found - cell * round(at[t]), 2 * SPI_PI)));
        margin = (double)p.best[0].margin;
        OK(p.best[0].dir == 50, "best direction");
        spi_posterior_clear(&p);
        free(s.LL);
        free(s.row_top);
    }
    /* LL near the vertex is below 4, rounded to 4 u; the vertex divides a sum of four of
     * them by a curvature of 2; the angle itself is rounded to 2 pi u */
    double bound = 2 * SPI_PI / NA * 8 * 0x1p-24 * 4 + 2 * SPI_PI * 0x1p-24;

    OK(worst <= bound, "vertex of a known parabola: error / bound = %.3f", worst / bound);
    OK(shifted > bound, "the nearest grid angle is noticed");
    /* next best: -3 - 2 gap^2 at the nearest angle, against -gap^2, gap = 0.4 */
    OK(fabs(margin - (3 + 0.16)) < 1e-5, "margin %.4f to a direction two cells off",
       margin);
}

static void check_candidates(struct spi_rng *rng)
{
    enum { KEEP = 5 };
    struct spi_scores s;
    int32_t dirs[IMAGES * KEEP], wide[IMAGES * 32];
    double closest = 10, unfiltered = 10, apart = 1.5 * views.cell;
    int greedy = 1;

    make(rng, 100, &s);
    OK(spi_best_directions(&s, &views, KEEP, dirs) == SPI_OK, "candidates");
    for (int k = 0; k < IMAGES; k++) {
        bool taken[ND] = {false};
        int second = -1;

        for (int c = 0; c < KEEP; c++) { /* the definition, without sorting */
            int best = -1;
            float top = -INFINITY;

            for (int d = 0; d < ND; d++) {
                bool far = !taken[d];
                float most = -INFINITY;
                double x[3], y[3];

                spi_sphere_point(ND, d, x);
                for (int b = 0; b < c && far; b++) {
                    spi_sphere_point(ND, dirs[k * KEEP + b], y);
                    far = x[0] * y[0] + x[1] * y[1] + x[2] * y[2] < cos(apart);
                }
                for (int a = 0; a < NA; a++)
                    most = fmaxf(most, s.LL[(k * ND + d) * NA + a]);
                if (c == 1 && d != dirs[k * KEEP] && most > (second < 0 ? -INFINITY : top))
                    second = d;
                if (far && most > top)
                    best = d, top = most;
            }
            greedy &= best == dirs[k * KEEP + c];
            taken[best] = true;
            for (int b = 0; b < c; b++) {
                double x[3], y[3];

                spi_sphere_point(ND, dirs[k * KEEP + b], x);
                spi_sphere_point(ND, dirs[k * KEEP + c], y);
                closest = fmin(closest, acos(x[0] * y[0] + x[1] * y[1] + x[2] * y[2]));
            }
        }
        for (int d = 0; d < ND; d++) { /* neighbours do exist closer than that */
            double x[3], y[3];

            spi_sphere_point(ND, d, x);
            spi_sphere_point(ND, dirs[k * KEEP], y);
            if (d != dirs[k * KEEP])
                unfiltered =
                    fmin(unfiltered, acos(x[0] * y[0] + x[1] * y[1] + x[2] * y[2]));
        }
    }
    OK(greedy, "best first, by the definition");
    OK(closest >= apart, "candidates are %.2f cells apart", closest / views.cell);
    OK(unfiltered < apart, "neighbours would be noticed");
    struct spi_views coarse = views;

    coarse.cell = 1;
    OK(spi_best_directions(&s, &coarse, 32, wide) == SPI_OK && wide[0] == dirs[0] &&
           wide[31] == -1,
       "fewer directions than asked: -1");
    spi_scores_clear(&s);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    check_beta(&rng);
    check_weights(&rng);
    check_best();
    check_candidates(&rng);
    return tap_done();
}
