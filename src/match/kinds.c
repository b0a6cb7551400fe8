/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/kinds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/sort.h"
#include "match/hits_split.h"

/* (J23) */
static const double from = 1, to = 6;                  /* q D of the shells */
static const double light_least = 16, along_least = 4; /* of the median image in a group */
static const double round_off = 0.1;                   /* E0 of the root of c */
static const double blur = 0.1;                        /* differences that say little */
static const double axis_least = 0.1,
                    outlier_width = 3; /* of axes; of the outliers' sigma */
static const double prior_images = 10, prior_part = 0.05, prior_noise = 0.1;
/* what kinds have in common: at most, and for each image; few images look further apart than
 * they are */
static const double together = 0.005, together_each = 4.5e-6;
static const double minority_least = 0.03, majority_least = 0.55; /* shares */
enum {
    SHELLS = SPI_KIND_SHELLS,
    NUMBERS = SPI_KIND_NUMBERS,
    AXES = 6,
    PARTS = 8,
    SAMPLE = 4000,
    BLOCK = 128,
    STARTS = 8,
    FIRST_ROUNDS = 12,
    FIRST_IMAGES = 1500,
    ROUNDS = 60,
    MINORITY_IMAGES = 30,
    AXIS_IMAGES = 75
};

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* ---- one image ----------------------------------------------------------------------- */

static int shell_of(double qD)
{
    return qD < from || qD >= to ? -1 : (int)((qD - from) / (to - from) * SHELLS);
}

spi_err spi_kind_shells_init(struct spi_kind_shells *s, const struct spi_hits *h,
                             const struct spi_detector *det, double D)
{
    spi_err err;

    *s = (struct spi_kind_shells){0};
    if ((err = SPI_NEW(s->shell, h->n + 1, "kinds")))
        return err;
    for (int64_t i = 0; i < h->n; i++) {
        int b = shell_of(length(det->q + 3 * (int64_t)h->pixel[i]) * D);

        s->shell[i] = (int8_t)b;
        if (b >= 0)
            s->light[b] += (double)h->geometry[i];
        if (b >= s->n)
            s->n = b + 1;
    }
    for (int64_t k = 0; k < h->n_pairs; k++) {
        int32_t a = h->pair[k][0], b = h->pair[k][1];

        if (s->shell[a] >= 0)
            s->pairs[s->shell[a]] += (double)h->geometry[a] * (double)h->geometry[b];
    }
    return SPI_OK;
}

void spi_kind_shells_clear(struct spi_kind_shells *s)
{
    free(s->shell);
    *s = (struct spi_kind_shells){0};
}

void spi_kinds_image(const struct spi_kind_shells *s, const struct spi_hits *h,
                     const float *K, void *memory, float numbers[SPI_KIND_NUMBERS])
{
    const struct spi_hits_work w = spi_hits_parts(h, memory);
    double sum[1 + NUMBERS] = {0}, *counts = sum + 1, *both = counts + SHELLS;

    if (spi_hits_split(h, K, &w)) {
        for (int64_t i = 0; i < h->n; i++)
            counts[s->shell[i]] += (double)K[h->pixel[i]]; /* [-1]: of no shell */
        for (int64_t k = 0; k < h->n_pairs; k++) {
            int32_t a = h->pair[k][0], b = h->pair[k][1];

            if (s->shell[a] >= 0)
                both[s->shell[a]] += (double)w.rest[a] * (double)w.rest[b];
        }
    }
    for (int b = 0; b < NUMBERS; b++)
        numbers[b] = (float)counts[b];
}

/* ---- numbers of a kind: differences that noise alone makes have a known size ----------- */

/* Shells are taken together in groups; axes: those along which images differ most. */
struct space {
    const struct spi_kind_shells *shells;
    int light[SHELLS], along[SHELLS]; /* the group of a shell, -1: none */
    int n_light, n_along;
    double part[SHELLS], typical[SHELLS]; /* share of a group's light; c of a group */
    double mean[NUMBERS], axis[AXES][NUMBERS];
    int d; /* axes */
};

/* An image: where it is, and the covariance that noise alone gives it. */
struct place {
    double x[AXES], noise[AXES][AXES], counts;
};

static double root_of(double c)
{
    return copysign(sqrt(fabs(c) + round_off) - sqrt(round_off), c);
}

/* 0 where a number is none, too. */
static double counts_of(const struct space *s, const float *numbers)
{
    double sum = 0;

    for (int b = 0; b < s->shells->n; b++)
        sum += fmax(0, (double)numbers[b]);
    for (int b = 0; b < NUMBERS; b++)
        sum = isfinite(numbers[b]) ? sum : 0;
    return sum;
}

/* sum E E' of a shell, from its mean. */
static double even_of(const struct spi_kind_shells *s, const float *numbers, int b)
{
    double mean = s->light[b] > 0 ? fmax(0, (double)numbers[b]) / s->light[b] : 0;

    return mean * mean * s->pairs[b];
}

static void groups_of(const struct space *s, const float *numbers, double light[SHELLS],
                      double both[SHELLS], double even[SHELLS])
{
    for (int g = 0; g < SHELLS; g++)
        light[g] = both[g] = even[g] = 0;
    for (int b = 0; b < s->shells->n; b++) {
        if (s->light[b] >= 0)
            light[s->light[b]] += fmax(0, (double)numbers[b]);
        if (s->along[b] >= 0) {
            both[s->along[b]] += (double)numbers[SHELLS + b];
            even[s->along[b]] += even_of(s->shells, numbers, b);
        }
    }
}

/* y and the variance that noise gives it; the value is the counts. */
static double values_of(const struct space *s, const float *numbers, double y[NUMBERS],
                        double variance[NUMBERS])
{
    double light[SHELLS], both[SHELLS], even[SHELLS], all = 0;

    groups_of(s, numbers, light, both, even);
    for (int g = 0; g < s->n_light; g++)
        all += light[g];
    for (int g = 0; g < s->n_light; g++) {
        double expected = all * s->part[g] + 0.375;

        y[g] = 2 * sqrt((light[g] + 0.375) / expected);
        variance[g] = 1 / expected;
    }
    for (int g = 0; g < s->n_along; g++) {
        /* an image too weak to have a contrast says nothing of it */
        double e = even[g] + 0.01, v = 1 / e;

        y[s->n_light + g] = root_of(both[g] / e);
        variance[s->n_light + g] = v / (4 * (s->typical[g] + round_off));
    }
    return all;
}

static void place_of(const struct space *s, const float *numbers, struct place *at)
{
    double y[NUMBERS], variance[NUMBERS], all[AXES] = {0};
    int m = s->n_light + s->n_along;

    at->counts = values_of(s, numbers, y, variance);
    for (int a = 0; a < s->d; a++) {
        at->x[a] = 0;
        for (int i = 0; i < m; i++)
            at->x[a] += s->axis[a][i] * (y[i] - s->mean[i]);
        for (int i = 0; i < s->n_light; i++)
            all[a] += s->axis[a][i];
    }
    for (int a = 0; a < s->d; a++)
        for (int b = 0; b < s->d; b++) {
            double sum = 0;

            for (int i = 0; i < m; i++)
                sum += s->axis[a][i] * s->axis[b][i] * variance[i];
            /* groups share the counts of the image */
            at->noise[a][b] = sum - all[a] * all[b] / (at->counts + 1);
        }
}

/* Shells next to each other until the typical image has `least`; the value is how many. */
static int group(int n, const double *typical, double least, int *of)
{
    double sum = 0;
    int groups = 0, first = 0;

    for (int b = 0; b < n; b++) {
        of[b] = -1;
        sum += typical[b];
        if (!(sum >= least))
            continue;
        while (first <= b)
            of[first++] = groups;
        groups++;
        sum = 0;
    }
    return groups;
}

/* Eigenvectors of the symmetric A [m][m], rows of V, by Jacobi rotations; A becomes
 * diagonal. */
static void eigen(int m, double A[NUMBERS][NUMBERS], double V[NUMBERS][NUMBERS])
{
    enum { SWEEPS = 30 };

    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++)
            V[i][j] = i == j;
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (int p = 0; p < m; p++)
            for (int q = p + 1; q < m; q++) {
                double angle, c, s;

                if (fabs(A[p][q]) < 1e-14 * sqrt(fabs(A[p][p] * A[q][q])) + 1e-300)
                    continue;
                angle = 0.5 * atan2(2 * A[p][q], A[q][q] - A[p][p]);
                c = cos(angle);
                s = sin(angle);
                for (int k = 0; k < m; k++) {
                    double x = A[k][p], y = A[k][q];

                    A[k][p] = c * x - s * y;
                    A[k][q] = s * x + c * y;
                }
                for (int k = 0; k < m; k++) {
                    double x = A[p][k], y = A[q][k], u = V[p][k], v = V[q][k];

                    A[p][k] = c * x - s * y;
                    A[q][k] = s * x + c * y;
                    V[p][k] = c * u - s * v;
                    V[q][k] = s * u + c * v;
                }
            }
}

/* Groups, and what is typical of each: of m images, their numbers at row[]. */
static void make_groups(struct space *s, int64_t m, const float *numbers,
                        const int64_t *row, double *room)
{
    double light[SHELLS], even[SHELLS], sum[SHELLS] = {0}, all = 0;

    for (int b = 0; b < s->shells->n; b++) {
        for (int64_t k = 0; k < m; k++)
            room[k] = (double)numbers[row[k] * NUMBERS + b];
        light[b] = spi_median(m, room);
        for (int64_t k = 0; k < m; k++)
            room[k] = even_of(s->shells, numbers + row[k] * NUMBERS, b);
        even[b] = spi_median(m, room);
    }
    s->n_light = group(s->shells->n, light, light_least, s->light);
    s->n_along = group(s->shells->n, even, along_least, s->along);
    for (int64_t k = 0; k < m; k++) {
        double l[SHELLS], b[SHELLS], e[SHELLS];

        groups_of(s, numbers + row[k] * NUMBERS, l, b, e);
        for (int g = 0; g < s->n_light; g++)
            sum[g] += l[g], all += l[g];
    }
    for (int g = 0; g < s->n_light; g++)
        s->part[g] = sum[g] / all;
    for (int g = 0; g < s->n_along; g++) {
        for (int64_t k = 0; k < m; k++) {
            double l[SHELLS], b[SHELLS], e[SHELLS];

            groups_of(s, numbers + row[k] * NUMBERS, l, b, e);
            room[k] = e[g] > 0 ? b[g] / e[g] : 0;
        }
        s->typical[g] = fmax(0, spi_median(m, room));
    }
}

/* Weighted means of y and of its variance by noise: bright images say most. */
static double means_of(struct space *s, int64_t m, const float *numbers, const int64_t *row,
                       double typical, double noise[NUMBERS])
{
    int M = s->n_light + s->n_along;
    double weight = 0;

    for (int64_t k = 0; k < m; k++) {
        double y[NUMBERS], v[NUMBERS], all = values_of(s, numbers + row[k] * NUMBERS, y, v),
                                       w = all / (all + typical);

        weight += w;
        for (int i = 0; i < M; i++) {
            s->mean[i] += w * y[i];
            noise[i] += w * v[i];
        }
    }
    for (int i = 0; i < M; i++) {
        s->mean[i] /= weight;
        noise[i] /= weight;
    }
    return weight;
}

/* Axes along which images differ more than by noise: eigenvectors of their covariance less
 * that of noise, in a scale where noise and `blur` together are 1. */
static void make_axes(struct space *s, int64_t m, const float *numbers, const int64_t *row,
                      double *room)
{
    double C[NUMBERS][NUMBERS] = {{0}}, V[NUMBERS][NUMBERS], y[NUMBERS], v[NUMBERS],
           noise[NUMBERS] = {0}, scale[NUMBERS], weight, typical, least = 0;
    int M = s->n_light + s->n_along;

    for (int64_t k = 0; k < m; k++)
        room[k] = values_of(s, numbers + row[k] * NUMBERS, y, v);
    typical = spi_median(m, room);
    weight = means_of(s, m, numbers, row, typical, noise);
    for (int i = 0; i < M; i++) {
        scale[i] = sqrt(noise[i] + blur * blur);
        C[i][i] = -noise[i] / (scale[i] * scale[i]);
        least = fmax(least, -C[i][i]);
    }
    for (int64_t k = 0; k < m; k++) {
        double all = values_of(s, numbers + row[k] * NUMBERS, y, v),
               w = all / (all + typical) / weight;

        for (int i = 0; i < M; i++)
            y[i] = (y[i] - s->mean[i]) / scale[i];
        for (int i = 0; i < M; i++)
            for (int j = 0; j < M; j++)
                C[i][j] += w * y[i] * y[j];
    }
    /* what the largest eigenvalue of noise alone may be */
    least = fmax(axis_least, least * (2 * sqrt(M / (double)m) + M / (double)m));
    eigen(M, C, V);
    for (s->d = 0; s->d < AXES && s->d < M && s->d * AXIS_IMAGES < m; s->d++) {
        int best = 0;

        for (int i = 1; i < M; i++)
            best = C[i][i] > C[best][best] ? i : best;
        if (!(C[best][best] > least))
            break;
        for (int i = 0; i < M; i++)
            s->axis[s->d][i] = V[best][i] / scale[i];
        C[best][best] = -1; /* taken */
    }
}

/* ---- mixture ------------------------------------------------------------------------- */

struct gauss {
    double weight, at[AXES], S[AXES][AXES];
};

/* The last one is that of outliers. */
struct mixture {
    int d, n;   /* axes, parts in use */
    double fit; /* mean logarithm of the density */
    struct gauss part[PARTS + 1];
};

/* Lower triangle of the Cholesky factor of S + N; the value is the logarithm of its
 * determinant. */
static double factor(int d, const double S[AXES][AXES], const double N[AXES][AXES],
                     double L[AXES][AXES])
{
    double log_det = 0;

    for (int i = 0; i < d; i++)
        for (int j = 0; j <= i; j++) {
            double sum = S[i][j] + N[i][j];

            for (int k = 0; k < j; k++)
                sum -= L[i][k] * L[j][k];
            if (i == j) {
                L[i][i] = sqrt(fmax(sum, 1e-12));
                log_det += log(L[i][i]);
            } else {
                L[i][j] = sum / L[j][j];
            }
        }
    return log_det;
}

static void solve(int d, const double L[AXES][AXES], const double *b, double *x)
{
    for (int i = 0; i < d; i++) {
        x[i] = b[i];
        for (int k = 0; k < i; k++)
            x[i] -= L[i][k] * x[k];
        x[i] /= L[i][i];
    }
}

/* Logarithm of the density of an image; r: the share of each part. */
static double density(const struct mixture *m, const struct place *p, double r[PARTS + 1],
                      double L[PARTS + 1][AXES][AXES], double z[PARTS + 1][AXES])
{
    double top = -INFINITY, sum = 0;

    for (int k = 0; k <= PARTS; k++) {
        const struct gauss *g = &m->part[k];
        double off[AXES];

        if (!(g->weight > 0)) {
            r[k] = -INFINITY;
            continue;
        }
        r[k] = log(g->weight) - factor(m->d, g->S, p->noise, L[k]);
        for (int a = 0; a < m->d; a++)
            off[a] = p->x[a] - g->at[a];
        solve(m->d, (const double(*)[AXES])L[k], off, z[k]);
        for (int a = 0; a < m->d; a++)
            r[k] -= z[k][a] * z[k][a] / 2;
        top = fmax(top, r[k]);
    }
    for (int k = 0; k <= PARTS; k++)
        sum += r[k] = exp(r[k] - top);
    for (int k = 0; k <= PARTS; k++)
        r[k] /= sum;
    return top + log(sum);
}

/* Sums over a block of images. */
struct sums {
    double fit, overlap[PARTS][PARTS];
    struct gauss part[PARTS + 1];
};

struct pass {
    const struct mixture *m;
    const struct place *place;
    int64_t n;
    struct sums *sums; /* [blocks] */
};

static void add_image(const struct mixture *m, const struct place *p, struct sums *s)
{
    double r[PARTS + 1], L[PARTS + 1][AXES][AXES], z[PARTS + 1][AXES];
    int d = m->d;

    s->fit += density(m, p, r, L, z);
    for (int j = 0; j < PARTS; j++)
        for (int k = 0; k < PARTS; k++)
            s->overlap[j][k] += r[j] * r[k];
    for (int k = 0; k <= PARTS; k++) {
        struct gauss *sum = &s->part[k];
        double A[AXES][AXES], off[AXES];

        sum->weight += r[k];
        if (k == PARTS || r[k] < 1e-9)
            continue;
        for (int a = 0; a < d; a++) /* A[a] = L^-1 of the column a of S */
            solve(d, (const double(*)[AXES])L[k], m->part[k].S[a], A[a]);
        for (int a = 0; a < d; a++) {
            off[a] = 0;
            for (int i = 0; i < d; i++)
                off[a] += A[a][i] * z[k][i];
            sum->at[a] += r[k] * off[a];
        }
        for (int a = 0; a < d; a++)
            for (int b = 0; b < d; b++) {
                double left = m->part[k].S[a][b];

                for (int i = 0; i < d; i++)
                    left -= A[a][i] * A[b][i];
                sum->S[a][b] += r[k] * (off[a] * off[b] + left);
            }
    }
}

static void pass_item(void *ctx, int rank, int64_t item)
{
    const struct pass *p = ctx;

    (void)rank;
    p->sums[item] = (struct sums){0};
    for (int64_t k = item * BLOCK; k < p->n && k < (item + 1) * BLOCK; k++)
        add_image(p->m, &p->place[k], &p->sums[item]);
}

/* Sums of all images, in the order of the blocks, in the first block's. */
static const struct sums *add_all(const struct pass *p)
{
    int64_t blocks = (p->n + BLOCK - 1) / BLOCK;

    spi_parallel_for(SPI_THREADS_MAX, blocks, pass_item, (void *)(uintptr_t)p);
    for (int64_t b = 1; b < blocks; b++) {
        const double *one = (const double *)(const void *)&p->sums[b];
        double *all = (double *)(void *)p->sums;

        for (size_t i = 0; i < sizeof(struct sums) / sizeof(double); i++)
            all[i] += one[i];
    }
    return p->sums;
}

static void improve(struct mixture *m, const struct sums *s, int64_t n,
                    const double prior[AXES][AXES])
{
    for (int k = 0; k <= PARTS; k++) {
        struct gauss *g = &m->part[k];
        const struct gauss *sum = &s->part[k];
        double step[AXES];

        g->weight = sum->weight > 1e-6 ? sum->weight / (double)n : 0;
        if (k == PARTS)
            g->weight = fmax(g->weight, 1e-4);
        if (k == PARTS || !(g->weight > 0))
            continue;
        for (int a = 0; a < m->d; a++)
            step[a] = sum->at[a] / sum->weight;
        for (int a = 0; a < m->d; a++) {
            g->at[a] += step[a];
            for (int b = 0; b < m->d; b++)
                g->S[a][b] = (sum->S[a][b] - sum->weight * step[a] * step[b] +
                              prior_images * prior[a][b]) /
                             (sum->weight + prior_images);
        }
    }
}

/* The sums are those of the mixture that stays. */
static void iterate(const struct pass *pass, struct mixture *m, int rounds,
                    const double prior[AXES][AXES], struct sums *all)
{
    for (int round = 0;; round++) {
        double before = round > 0 ? m->fit : (double)-INFINITY;

        *all = *add_all(pass);
        m->fit = all->fit / (double)pass->n;
        if (m->fit - before < 1e-5 || round >= rounds)
            return;
        improve(m, all, pass->n, prior);
    }
}

/* Places far from each other, drawn. */
static void start(struct mixture *m, int64_t n, const struct place *place,
                  const double spread[AXES], struct spi_rng *rng, double *room)
{
    for (int k = 0; k < PARTS; k++) {
        double sum = 0, mean = 0, left;
        int64_t chosen = n - 1;

        for (int64_t i = 0; i < n && k > 0; i++) {
            double least = INFINITY;

            for (int j = 0; j < k; j++) {
                double far = 0;

                for (int a = 0; a < m->d; a++)
                    far += pow(place[i].x[a] - m->part[j].at[a], 2) /
                           (spread[a] + place[i].noise[a][a]);
                least = fmin(least, far);
            }
            room[i] = least;
            mean += least / (double)n;
        }
        for (int64_t i = 0; i < n; i++) /* outliers are no likelier than others */
            sum += room[i] = k > 0 ? fmin(room[i], 4 * mean) : 1;
        left = spi_rng_uniform(rng) * sum;
        for (int64_t i = 0; i < n; i++)
            if ((left -= room[i]) < 0) {
                chosen = i;
                break;
            }
        m->part[k] = (struct gauss){.weight = 0.98 / PARTS};
        for (int a = 0; a < m->d; a++) {
            m->part[k].at[a] = place[chosen].x[a];
            m->part[k].S[a][a] = spread[a] / 10;
        }
    }
    m->part[PARTS] = (struct gauss){.weight = 0.02};
    for (int a = 0; a < m->d; a++)
        m->part[PARTS].S[a][a] = outlier_width * outlier_width * spread[a];
}

/* The mixture of several starts that fits best, and its sums. */
static spi_err fit(int d, int64_t n, const struct place *place, uint64_t seed,
                   struct mixture *best, struct sums *all)
{
    struct mixture m = {.d = d};
    double spread[AXES] = {0}, prior[AXES][AXES] = {{0}}, *room = NULL;
    /* the first places are spread over the file, as all are */
    struct pass pass = {.m = &m, .place = place, .n = n < FIRST_IMAGES ? n : FIRST_IMAGES};
    spi_err err;

    SPI_TRY(err = SPI_NEW(room, n, "kinds"), out);
    SPI_TRY(err = SPI_NEW(pass.sums, (n + BLOCK - 1) / BLOCK, "kinds"), out);
    for (int a = 0; a < d; a++) {
        double noise;

        for (int64_t k = 0; k < n; k++)
            spread[a] += place[k].x[a] * place[k].x[a] / (double)n;
        for (int64_t k = 0; k < n; k++)
            room[k] = place[k].noise[a][a];
        noise = spi_median(n, room);
        spread[a] = fmax(spread[a] - noise, 0.1 * spread[a]);
        prior[a][a] = prior_part * spread[a] + prior_noise * noise;
    }
    for (uint64_t k = 0; k < STARTS; k++) {
        struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_KINDS, k);

        start(&m, pass.n, place, spread, &rng, room);
        iterate(&pass, &m, FIRST_ROUNDS, (const double(*)[AXES])prior, all);
        if (k == 0 || m.fit > best->fit)
            *best = m;
    }
    pass.m = best;
    pass.n = n;
    iterate(&pass, best, ROUNDS, (const double(*)[AXES])prior, all);
out:
    free(room);
    free(pass.sums);
    return err;
}

/* ---- kinds --------------------------------------------------------------------------- */

/* What two kinds have in common: images that may be of either, as a share of the smaller
 * kind. */
static double in_common(const struct sums *s, const int kind[PARTS], int a, int b)
{
    double both = 0, of_a = 0, of_b = 0;

    for (int j = 0; j < PARTS; j++)
        for (int k = 0; k < PARTS; k++) {
            of_a += kind[j] == a ? s->overlap[j][k] : 0;
            of_b += kind[j] == b ? s->overlap[j][k] : 0;
            both += kind[j] == a && kind[k] == b ? s->overlap[j][k] : 0;
        }
    return of_a > 0 && of_b > 0 ? both / fmin(of_a, of_b) : 1;
}

/* Those that have most in common become one kind, until none have more than `least`. */
static void join(const struct sums *s, double least, int kind[PARTS])
{
    double most;

    for (int k = 0; k < PARTS; k++)
        kind[k] = k;
    do {
        int one = 0, two = 0;

        most = least;
        for (int j = 0; j < PARTS; j++)
            for (int k = 0; k < j; k++) {
                double c = kind[j] == j && kind[k] == k ? in_common(s, kind, j, k) : 0;

                if (c > most)
                    most = c, one = j, two = k;
            }
        for (int k = 0; k < PARTS && one != two; k++)
            kind[k] = kind[k] == one ? two : kind[k];
    } while (most > least);
}

struct judge {
    const struct space *space;
    const struct mixture *m;
    const bool *other; /* [PARTS] of a kind that is not the particle's */
    int64_t n;
    const float *numbers;
    float *p;
};

static void judge_item(void *ctx, int rank, int64_t item)
{
    const struct judge *j = ctx;

    (void)rank;
    for (int64_t k = item * BLOCK; k < j->n && k < (item + 1) * BLOCK; k++) {
        double r[PARTS + 1], L[PARTS + 1][AXES][AXES], z[PARTS + 1][AXES], p = 1;
        struct place at;

        if (!(counts_of(j->space, j->numbers + k * NUMBERS) > 0))
            continue;
        place_of(j->space, j->numbers + k * NUMBERS, &at);
        density(j->m, &at, r, L, z);
        for (int c = 0; c < PARTS; c++)
            p -= j->other[c] ? r[c] : 0;
        j->p[k] = (float)fmax(0, p);
    }
}

static spi_err judge_kinds(const struct space *s, int64_t m, const struct place *place,
                           int64_t n, const float *numbers, uint64_t seed, float *p,
                           struct spi_kinds *kinds)
{
    struct mixture mixture;
    struct sums sums;
    double share[PARTS] = {0}, inside = 0;
    int kind[PARTS], most = 0;
    bool other[PARTS] = {0};
    struct judge j = {s, &mixture, other, n, numbers, p};
    spi_err err = fit(s->d, m, place, seed, &mixture, &sums);

    if (err)
        return err;
    join(&sums, fmin(together, together_each * (double)m), kind);
    for (int k = 0; k < PARTS; k++)
        inside += sums.part[k].weight;
    for (int k = 0; k < PARTS; k++)
        share[kind[k]] += sums.part[k].weight / inside;
    for (int k = 0; k < PARTS; k++)
        most = share[k] > share[most] ? k : most;
    /* two kinds of as many images: nothing says which of them is the particle */
    if (share[most] < majority_least || 1 - share[most] < minority_least ||
        (1 - share[most]) * (double)m < MINORITY_IMAGES)
        return SPI_OK;
    kinds->n = 0;
    kinds->share[kinds->n++] = share[most];
    for (int k = 0; k < PARTS; k++) {
        other[k] = kind[k] != most;
        if (k != most && share[k] > 0)
            kinds->share[kinds->n++] = share[k];
    }
    spi_parallel_for(SPI_THREADS_MAX, (n + BLOCK - 1) / BLOCK, judge_item, &j);
    return SPI_OK;
}

/* Another order of the same rows, of which the first ones are spread over all. */
static spi_err spread_out(int64_t m, int64_t *row)
{
    static const double golden = 0.618;
    int64_t *was, step = (int64_t)(golden * (double)m) + 1, a, b;
    spi_err err = SPI_NEW(was, m, "kinds");

    if (err)
        return err;
    for (;; step++) { /* that has no divisor in common with m: each row comes once */
        for (a = m, b = step; b > 0;) {
            int64_t rest = a % b;

            a = b;
            b = rest;
        }
        if (a == 1)
            break;
    }
    memcpy(was, row, (size_t)m * sizeof *row);
    for (int64_t k = 0; k < m; k++)
        row[k] = was[k * step % m];
    free(was);
    return SPI_OK;
}

spi_err spi_kinds_find(const struct spi_kind_shells *shells, int64_t n,
                       const float *numbers, uint64_t seed, float *p,
                       struct spi_kinds *kinds)
{
    struct space s = {.shells = shells};
    struct place *place = NULL;
    int64_t *row = NULL, lit = 0, m;
    double *room = NULL;
    spi_err err;

    *kinds = (struct spi_kinds){.n = 1, .share = {1}};
    SPI_TRY(err = SPI_NEW(row, n + 1, "kinds"), out);
    for (int64_t k = 0; k < n; k++) {
        bool some = counts_of(&s, numbers + k * NUMBERS) > 0;

        p[k] = some ? 1 : NAN;
        if (some)
            row[lit++] = k;
    }
    m = lit < SAMPLE ? lit : SAMPLE;
    for (int64_t k = 0; k < m; k++)
        row[k] = row[k * lit / m];
    if (m > 0)
        SPI_TRY(err = spread_out(m, row), out);
    if (m < 2 * MINORITY_IMAGES)
        goto out;
    SPI_TRY(err = SPI_NEW(room, m, "kinds"), out);
    SPI_TRY(err = SPI_NEW(place, m, "kinds"), out);
    make_groups(&s, m, numbers, row, room);
    if (s.n_light < 2)
        goto out;
    make_axes(&s, m, numbers, row, room);
    for (int64_t k = 0; k < m; k++)
        place_of(&s, numbers + row[k] * NUMBERS, &place[k]);
    if (s.d > 0)
        err = judge_kinds(&s, m, place, n, numbers, seed, p, kinds);
out:
    free(row);
    free(room);
    free(place);
    return err;
}
