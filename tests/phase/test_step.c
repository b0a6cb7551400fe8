/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fast steps against the literal twin, and what theory says of ER. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/phase_step.h"
#include "math/fft.h"
#include "tap.h"

enum { N = 6, VOXELS = N * N * N, HALF = N * N * (N / 2 + 1) };

struct problem {
    double lo[VOXELS], hi[VOXELS], support[VOXELS], x[VOXELS];
};

static int mirror(int i)
{
    int z = i / N / N, y = i / N % N, x = i % N;

    return ((N - z) % N * N + (N - y) % N) * N + (N - x) % N;
}

/* A third of the modes measured, a third bounded, a third zero; symmetric. */
static void make_problem(struct problem *p)
{
    struct spi_rng r = spi_rng_stream(3, SPI_RNG_TEST, 0);

    for (int i = 0; i < VOXELS; i++) {
        p->x[i] = (double)(float)spi_rng_normal(&r);
        p->support[i] = spi_rng_uniform(&r) < 0.6;
    }
    for (int i = 0; i < VOXELS; i++) {
        double u = spi_rng_uniform(&r), a = (double)(float)(30 * spi_rng_uniform(&r));
        int j = mirror(i);

        p->lo[i] = p->lo[j] = u < 0.33 ? a : 0;
        p->hi[i] = p->hi[j] = u < 0.66 ? a : 0;
    }
}

/* P_M x (or the whole step) by the fast functions. */
static void fast_step(char method, const struct problem *p, int positive, double beta,
                      double *P, double *next)
{
    static _Alignas(64) float lo[HALF], hi[HALF], support[VOXELS], x[VOXELS], pm[VOXELS];
    static _Alignas(64) float complex F[HALF];
    spi_err err;

    for (int i = 0; i < VOXELS; i++)
        x[i] = (float)p->x[i], support[i] = (float)p->support[i];
    for (int i = 0; i < HALF; i++) {
        int full = i / (N / 2 + 1) * N + i % (N / 2 + 1);

        lo[i] = (float)p->lo[full], hi[i] = (float)p->hi[full];
    }
    err = spi_fft3_r2c(N, x, F);
    spi_phase_clamp(HALF, 1.0f / VOXELS, lo, hi, F);
    err = err ? err : spi_fft3_c2r(N, F, pm);
    if (err)
        memset(pm, 0, sizeof pm);
    if (method == 'E')
        spi_phase_er(VOXELS, support, positive, pm, x);
    else if (method == 'H')
        spi_phase_hio(VOXELS, support, positive, (float)beta, pm, x);
    else
        spi_phase_raar(VOXELS, support, positive, (float)beta, pm, x);
    for (int i = 0; i < VOXELS; i++)
        P[i] = (double)pm[i], next[i] = (double)x[i];
}

/* Bound of the error of P_M x in the 2-norm.  An FFT of size V in precision u has relative
 * error e = 8 u log2 V (Higham, 2nd ed., theorem 24.2: eta = mu + gamma_4 (sqrt 2 + mu) is
 * below 8 u).  A mode that is off by d comes back off by at most d (1 + t/|F|) when its
 * modulus is set to t; a random start has no |F| that makes this large (it is printed). */
static double modulus_bound(const struct problem *p, double *worst)
{
    double e = 8 * 0x1p-24 * log2(VOXELS), norm2 = 0, t2 = 0;

    *worst = 0;
    for (int i = 0; i < VOXELS; i++)
        norm2 += p->x[i] * p->x[i];
    for (int k = 0; k < VOXELS; k++) { /* |F_k| by its own sum */
        double re = 0, im = 0, size, t;

        for (int j = 0; j < VOXELS; j++) {
            int phase = k / N / N * (j / N / N) + k / N % N * (j / N % N) + k % N * (j % N);

            re += p->x[j] * cos(phase * 2 * 3.14159265358979323846 / N);
            im += p->x[j] * sin(phase * 2 * 3.14159265358979323846 / N);
        }
        size = hypot(re, im);
        *worst = fmax(*worst, p->lo[k] / size);
        t = fmin(fmax(size, p->lo[k]), p->hi[k]);
        t2 += t * t;
    }
    return e * (sqrt(norm2) * (1 + *worst) + sqrt(t2 / VOXELS));
}

static double distance(const double *a, const double *b)
{
    double d2 = 0;

    for (int i = 0; i < VOXELS; i++)
        d2 += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(d2);
}

static void twin(char method, int positive, double beta, const struct problem *p)
{
    static double want[VOXELS], got[VOXELS], P[VOXELS], Pwant[VOXELS], other[VOXELS];
    double worst, bound = modulus_bound(p, &worst), least = INFINITY;

    spi_phase_step_ref(method, N, p->lo, p->hi, p->support, positive, beta, p->x, want);
    spi_phase_modulus_ref(N, p->lo, p->hi, p->x, Pwant);
    fast_step(method, p, positive, beta, P, got);
    OK(distance(P, Pwant) <= bound,
       "%c positive %d: P_M off by %.1e, bound %.1e (t/|F| <= %.0f)", method, positive,
       distance(P, Pwant), bound, worst);
    /* No voxel may be so near to the edge of HIO's jump that rounding takes it over. */
    for (int i = 0; i < VOXELS; i++)
        least = fmin(least, fabs(Pwant[i]));
    OK(least > bound || method != 'H', "no voxel is within the bound of zero (%.1e)",
       least);
    /* |beta x + (1 - 2 beta) p| and |x - beta p| pass an error of p with factor <= 1, and
     * round each voxel three more times. */
    bound += gamma_f32(3) * 3 * distance(p->x, (double[VOXELS]){0});
    OK(distance(got, want) <= bound, "%c: step off by %.1e, bound %.1e", method,
       distance(got, want), bound);
    spi_phase_step_ref(method == 'R' ? 'H' : 'R', N, p->lo, p->hi, p->support, positive,
                       beta, p->x, other);
    OK(distance(got, other) > 10 * bound, "control: another method is %.1e away",
       distance(got, other));
}

static void special_modes(void)
{
    float lo[3] = {2, 0, 0}, hi[3] = {2, 1, 0};
    float complex F[3] = {0, 3.0f * I, 5};

    spi_phase_clamp(3, 1, lo, hi, F);
    OK(crealf(F[0]) == 2 && cimagf(F[0]) == 0, "a mode that is zero gets its modulus");
    OK(crealf(F[1]) == 0 && fabsf(cimagf(F[1]) - 1) < 2 * 0x1p-23f /* two roundings */,
       "a free mode is bounded");
    OK(F[2] == 0, "a mode beyond the shell is zero");

    double sums[2] = {0};

    spi_phase_misfit(3, (float[]){1, 2, 0}, (float[]){3, 1, 7},
                     (float complex[]){4.0f * I, 0.5f, 1}, sums);
    OK(sums[0] == 1 + 2 * 0.5 && sums[1] == 3 + 2, "misfit by hand: %g of %g", sums[0],
       sums[1]);
}

/* Errors |P_M x - x| over 60 steps; -1 when memory fails. */
static int rises(char method, double *first, double *last)
{
    enum { M = 16, V = M * M * M, H = M * M * (M / 2 + 1), STEPS = 60 };
    static _Alignas(64) float x[V], p[V], support[V], lo[H];
    static _Alignas(64) float complex F[H];
    struct spi_rng r = spi_rng_stream(4, SPI_RNG_TEST, 1);
    int n = 0;

    for (int i = 0; i < V; i++) {
        int a = abs(i / M / M - 8), b = abs(i / M % M - 8), c = abs(i % M - 8);

        support[i] = a < 4 && b < 3 && c < 3;
        x[i] = support[i] * (float)spi_rng_uniform(&r);
    }
    if (spi_fft3_r2c(M, x, F))
        return -1;
    for (int i = 0; i < H; i++)
        lo[i] = cabsf(F[i]);
    for (int i = 0; i < V; i++)
        x[i] = support[i] * (float)spi_rng_uniform(&r);
    for (int s = 0; s < STEPS; s++) {
        double e2 = 0;

        if (spi_fft3_r2c(M, x, F))
            return -1;
        spi_phase_clamp(H, 1.0f / V, lo, lo, F);
        if (spi_fft3_c2r(M, F, p))
            return -1;
        for (int i = 0; i < V; i++)
            e2 += (double)(p[i] - x[i]) * (double)(p[i] - x[i]);
        /* Each voxel of p carries some 1e-6 of rounding, each step sums V of them. */
        n += s > 0 && sqrt(e2) > *last * (1 + 1e-5);
        *first = s ? *first : sqrt(e2);
        *last = sqrt(e2);
        if (method == 'E')
            spi_phase_er(V, support, 1, p, x);
        else
            spi_phase_hio(V, support, 1, 0.9f, p, x);
    }
    return n;
}

int main(void)
{
    static struct problem p;
    double first = 0, last = 0;
    int n;

    make_problem(&p);
    twin('E', 1, 0.9, &p);
    twin('H', 1, 0.7, &p);
    twin('R', 1, 0.9, &p);
    twin('E', 0, 0.9, &p);
    twin('H', 0, 0.7, &p);
    twin('R', 0, 0.8, &p);
    special_modes();
    n = rises('E', &first, &last);
    OK(n == 0 && last < first, "ER: the error never rises in 60 steps (%g -> %g)", first,
       last);
    n = rises('H', &first, &last);
    OK(n > 0, "control: that of HIO does (%d times)", n);
    return tap_done();
}
