/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What images show without a model: speckles of one particle, of two, a droplet's rings, and
 * an empty shot; what a model leaves unexplained of each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "match/hits.h"
#include "math/rot.h"
#include "tap.h"

enum { SIDE = 64, N = SIDE * SIDE, WAVES = 60, EACH = 60 };
static const double D = 100, edge = 0.08, lambda = 1, photons = 5000;

static spi_err make_detector(struct spi_detector *det)
{
    spi_err err = spi_detector_init(det, 1, SIDE, SIDE);

    if (err)
        return err;
    det->wavelength_A = lambda;
    for (int p = 0; p < N; p++) {
        double *q = det->q + 3 * p;

        q[0] = (p % SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[1] = (p / SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[2] = -lambda * (q[0] * q[0] + q[1] * q[1]) / 2;
        det->bad[p] = hypot(q[0], q[1]) < 0.004; /* a beam stop */
    }
    return SPI_OK;
}

enum shows { PARTICLE, TWO, DROPLET, EMPTY };

/* |sum exp(i q.x)|^2 of points in a ball of diameter D; of two such balls that touch; of a
 * sphere; expected counts, and drawn ones. */
static void make(const struct spi_detector *det, enum shows shows, uint64_t image, float *T,
                 float *K)
{
    struct spi_rng rng = spi_rng_stream(7 + shows, SPI_RNG_TEST, image);
    double at[2 * WAVES][2], turn = 2 * SPI_PI * spi_rng_uniform(&rng), all = 0;
    double radius = 0.3 * D * (1 + spi_rng_uniform(&rng));

    for (int w = 0; w < 2 * WAVES; w++) {
        double r = D / 2 * sqrt(spi_rng_uniform(&rng)),
               a = 2 * SPI_PI * spi_rng_uniform(&rng);

        at[w][0] = r * cos(a) + (w < WAVES ? 0 : D * cos(turn));
        at[w][1] = r * sin(a) + (w < WAVES ? 0 : D * sin(turn));
    }
    for (int p = 0; p < N; p++) {
        const double *q = det->q + 3 * p;
        double re = 0, im = 0, s = hypot(q[0], q[1]), x = 2 * SPI_PI * s * radius;

        for (int w = 0; w < (shows == TWO ? 2 : 1) * WAVES; w++) {
            double phase = 2 * SPI_PI * (at[w][0] * q[0] + at[w][1] * q[1]);

            re += cos(phase), im += sin(phase);
        }
        T[p] = (float)((re * re + im * im) * exp(-s * s / 0.0008));
        if (shows == DROPLET)
            T[p] = (float)(pow((sin(x) - x * cos(x)) / (x * x * x), 2) + 1e-6);
        if (shows == EMPTY)
            T[p] = (float)exp(-s / 0.02);
        all += det->bad[p] ? 0 : (double)T[p];
    }
    for (int p = 0; p < N; p++) {
        T[p] *= (float)(photons / all);
        K[p] = det->bad[p] ? 0 : (float)spi_rng_poisson(&rng, (double)T[p]);
    }
}

/* Shares of each kind that are called round, and doublets; which: how many of each. */
static void judge(const char *what, const int which[4], const double least[4][3])
{
    static float T[N], K[N];
    struct spi_detector det;
    struct spi_hits h;
    struct spi_hit hit[4 * EACH];
    uint8_t kind[4 * EACH] = {0};
    int called[4][3] = {{0}}, n = 0;
    enum shows shown[4 * EACH];
    double typical;
    void *work;

    NEED(!make_detector(&det) && !spi_hits_init(&h, &det, D, edge));
    work = spi_alloc(2 * spi_hits_work_bytes(&h), 1, "hits");
    NEED(work);
    for (int s = 0; s < 4; s++)
        for (int i = 0; i < which[s]; i++, n++) {
            make(&det, (enum shows)s, (uint64_t)i, T, K);
            NEED(!spi_hits_image(&h, K, work, &hit[n]));
            shown[n] = (enum shows)s;
        }
    NEED(!spi_hits_judge(n, hit, kind, &typical));
    for (int k = 0; k < n; k++)
        called[shown[k]][kind[k]]++;
    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 3; k++)
            if (which[s] > 0 && least[s][k] > 0)
                OK(called[s][k] >= least[s][k] * which[s],
                   "%s, kind %d: %d of %d called %d, needed %.0f %%", what, s, called[s][k],
                   which[s], k, 100 * least[s][k]);
    free(work);
    spi_hits_clear(&h);
    spi_detector_clear(&det);
}

/* The right model explains an image, another one does not; a droplet has other rings. */
static void models(void)
{
    static float T[N], K[N], other[N], droplet[N], ignored[N];
    struct spi_detector det;
    struct spi_hits h;
    double worst = 0, least = INFINITY, sigma = 0, rings = 0, far = INFINITY;
    void *work;

    NEED(!make_detector(&det) && !spi_hits_init(&h, &det, D, edge));
    work = spi_alloc(2 * spi_hits_work_bytes(&h), 1, "hits");
    NEED(work);
    for (uint64_t i = 0; i < EACH; i++) {
        double share, s;

        make(&det, PARTICLE, i, T, K);
        make(&det, PARTICLE, i + 1000, other, ignored);
        make(&det, DROPLET, i, ignored, droplet);
        spi_hits_unexplained(&h, K, T, work, &share, &s);
        worst = fmax(worst, share - 2 * s);
        sigma = fmax(sigma, s);
        rings = fmax(rings, spi_hits_rings(&h, K, T, work));
        spi_hits_unexplained(&h, K, other, work, &share, &s);
        least = fmin(least, share + 2 * s);
        far = fmin(far, spi_hits_rings(&h, droplet, T, work));
    }
    OK(worst < 0.1, "the right model leaves %.3f at most, with 2 of %.3f", worst, sigma);
    OK(least > 0.5, "another one leaves %.3f at least", least);
    OK(rings < 0.03, "rings of the right model: %.4f apart at most", rings);
    OK(far > 0.1, "rings of a droplet: %.3f apart at least", far);
    free(work);
    spi_hits_clear(&h);
    spi_detector_clear(&det);
}

/* (J22): whether any of many images has structure along its rings. */
static void structure_of_all(void)
{
    static const struct {
        enum shows shows;
        const char *what;
        bool particle;
    } of[] = {{PARTICLE, "particles", true},
              {DROPLET, "droplets", false},
              {EMPTY, "empty shots", false}};
    enum { MANY = 4 * EACH };
    static float T[N], K[N];
    static struct spi_hit hit[MANY];
    struct spi_detector det;
    struct spi_hits h;
    struct spi_hits_sum all;
    void *work;

    NEED(!make_detector(&det) && !spi_hits_init(&h, &det, D, edge));
    work = spi_alloc(2 * spi_hits_work_bytes(&h), 1, "hits");
    NEED(work);
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < MANY; i++) {
            make(&det, of[s].shows, (uint64_t)i, T, K);
            NEED(!spi_hits_image(&h, K, work, &hit[i]));
        }
        all = spi_hits_add_up(MANY, hit);
        OK(all.n == MANY && (spi_hits_check(&all, 0.5) == SPI_OK) == of[s].particle,
           "%s: contrast^2 %.4f +- %.4f near the beam, %.4f +- %.4f further out",
           of[s].what, all.near, all.near_sigma, all.far, all.far_sigma);
    }
    /* one image in ten shows a particle */
    for (int i = 0; i < MANY; i += 10) {
        make(&det, PARTICLE, (uint64_t)i, T, K);
        NEED(!spi_hits_image(&h, K, work, &hit[i]));
    }
    all = spi_hits_add_up(MANY, hit);
    OK(spi_hits_check(&all, 0.5) == SPI_OK, "a tenth of particles is enough: %.4f +- %.4f",
       all.near, all.near_sigma);
    all = spi_hits_add_up(20, hit);
    OK(spi_hits_check(&all, 0.5) == SPI_OK, "nothing is said of 20 images");
    free(work);
    spi_hits_clear(&h);
    spi_detector_clear(&det);
}

/* Particles whose structure is the square of a normal number: some have little, as views of a
 * round particle; `droplets` more images have none. */
static void tail(int droplets, bool wanted)
{
    enum { VIEWS = 2000 };
    static struct spi_hit hit[2 * VIEWS];
    static uint8_t kind[2 * VIEWS];
    struct spi_rng rng = spi_rng_stream(8, SPI_RNG_TEST, 0);
    const double sigma = 0.05;
    double typical;
    int round[2] = {0};

    memset(kind, 0, sizeof kind);
    for (int i = 0; i < VIEWS + droplets; i++) {
        double c = i < VIEWS ? fabs(spi_rng_normal(&rng)) : 0;

        hit[i] = (struct spi_hit){.structure = (float)(c + sigma * spi_rng_normal(&rng)),
                                  .sigma = (float)sigma};
    }
    NEED(!spi_hits_judge(VIEWS + droplets, hit, kind, &typical));
    for (int i = 0; i < VIEWS + droplets; i++)
        round[i >= VIEWS] += kind[i] == SPI_HIT_ROUND;
    OK(wanted ? round[1] > 0.95 * droplets : round[0] + round[1] == 0,
       "%d droplets beside %d views of any structure: %d and %d are round", droplets, VIEWS,
       round[1], round[0]);
}

int main(void)
{
    judge("particles alone", (const int[4]){EACH, 0, 0, 0},
          (const double[4][3]){{0.98, 0, 0}});
    judge("a fifth of droplets", (const int[4]){EACH, 0, EACH / 5, 0},
          (const double[4][3]){{0.98, 0, 0}, {0}, {0, 0.95, 0}});
    judge("as many droplets and empty shots", (const int[4]){EACH, 0, EACH / 2, EACH / 2},
          (const double[4][3]){{0.98, 0, 0}, {0}, {0, 0.95, 0}, {0, 0.95, 0}});
    judge("half as many doublets", (const int[4]){EACH, EACH / 2, 0, 0},
          (const double[4][3]){{0.98, 0, 0}, {0, 0, 0.3}});
    models();
    structure_of_all();
    tail(0, false);
    tail(1000, true);
    return tap_done();
}
