/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The L-curve: a circle's curvature, the corner for Shaw's problem, fallbacks, CSV. */
#include "solve/lcurve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dense.h"
#include "tap.h"

enum { N = 64, M = 25, SEEDS = 10 };

static const double pi = 3.14159265358979323846;

static struct {
    struct dense normal; /* K' K */
    double K[N][N], truth[N], y[N];
} shaw;

/* C. B. Shaw, J. Math. Anal. Appl. 37 (1972) 83: one-dimensional image restoration,
 * K(s,t) = (cos s + cos t)^2 (sin v / v)^2, v = pi (sin s + sin t), on [-pi/2, pi/2] by the
 * midpoint rule; the solution is a sum of two Gaussians.  noise: relative to |K x|. */
static void shaw_problem(double noise, int seed)
{
    struct spi_rng rng = spi_rng_stream((uint64_t)seed, SPI_RNG_TEST, 6);
    double yy = 0;

    shaw.normal.n = N;
    for (int i = 0; i < N; i++) {
        double s = -pi / 2 + (i + 0.5) * pi / N;

        shaw.truth[i] = 2 * exp(-6 * pow(s - 0.8, 2)) + exp(-2 * pow(s + 0.5, 2));
        for (int j = 0; j < N; j++) {
            double t = -pi / 2 + (j + 0.5) * pi / N, v = pi * (sin(s) + sin(t));
            double sinc = fabs(v) > 1e-9 ? sin(v) / v : 1;

            shaw.K[i][j] = pow((cos(s) + cos(t)) * sinc, 2) * pi / N;
        }
    }
    for (int i = 0; i < N; i++) {
        shaw.y[i] = 0;
        for (int j = 0; j < N; j++) {
            shaw.y[i] += shaw.K[i][j] * shaw.truth[j];
            shaw.normal.a[i][j] = 0;
            for (int k = 0; k < N; k++)
                shaw.normal.a[i][j] += shaw.K[k][i] * shaw.K[k][j];
        }
        yy += shaw.y[i] * shaw.y[i];
    }
    for (int i = 0; i < N; i++)
        shaw.y[i] += noise * sqrt(yy / N) * spi_rng_normal(&rng);
}

static double lambda_of(int i)
{
    return pow(10, -7 + 0.3 * i); /* 1e-7 ... 1.6 */
}

/* Residual, norm and error of the solution x. */
static void judge(const double *x, struct spi_lcurve_point *p, double *error)
{
    double r[N], e[N];

    for (int i = 0; i < N; i++) {
        r[i] = shaw.y[i];
        for (int j = 0; j < N; j++)
            r[i] -= shaw.K[i][j] * x[j];
        e[i] = x[i] - shaw.truth[i];
    }
    p->residual = norm_d(N, r);
    p->norm = norm_d(N, x);
    *error = norm_d(N, e);
}

static void right_side(double *b)
{
    for (int i = 0; i < N; i++) {
        b[i] = 0;
        for (int k = 0; k < N; k++)
            b[i] += shaw.K[k][i] * shaw.y[k];
    }
}

/* The whole curve by dense solutions; returns the smallest error on it. */
static double dense_curve(struct spi_lcurve_point *p, double *error)
{
    double b[N], x[N], best = HUGE_VAL;

    right_side(b);
    for (int i = 0; i < M; i++) {
        p[i] = (struct spi_lcurve_point){.lambda = lambda_of(i)};
        dense_solve(&shaw.normal, p[i].lambda, b, x);
        judge(x, &p[i], &error[i]);
        best = fmin(best, error[i]);
    }
    return best;
}

/* The same curve as merging gets it: float products, one Krylov sequence, the misfit from
 * the drop (L8). */
static void krylov_curve(struct spi_lcurve_point *p)
{
    static double x[M][N];
    struct dense *d = &shaw.normal;
    struct spi_operator A = dense_operator(&d);
    struct spi_cg_options opt = {60, 1e-6, 0, NULL};
    struct spi_cg_report rep[M];
    double b[N], lambda[M], yy = 0;

    right_side(b);
    for (int i = 0; i < N; i++)
        yy += shaw.y[i] * shaw.y[i];
    for (int i = 0; i < M; i++)
        lambda[i] = lambda_of(i);
    OK(spi_cg_shifts(&A, M, lambda, b, &opt, x[0], rep) == SPI_OK, "one Krylov sequence");
    for (int i = 0; i < M; i++)
        p[i] = (struct spi_lcurve_point){.lambda = lambda[i],
                                         .residual = sqrt(fmax(yy - rep[i].drop, 0)),
                                         .norm = rep[i].norm_x};
}

static int index_of(const struct spi_lcurve_point *p, double lambda)
{
    for (int i = 0; i < M; i++)
        if (p[i].lambda == lambda)
            return i;
    return -1;
}

/* The best lambda is known here, from the truth.  The corner may cost a factor of two in
 * error, since a lambda a thousand times too small or too large costs more than that
 * (control). */
static void test_shaw(void)
{
    double worst = 0, below = HUGE_VAL, above = HUGE_VAL;
    int corners = 0;
    struct spi_lcurve_point p[M];
    struct spi_lcurve_choice c;

    for (int seed = 0; seed < SEEDS; seed++) {
        double error[M], best;

        shaw_problem(1e-2, seed);
        best = dense_curve(p, error);
        if (spi_lcurve_choose(M, p, 0.03, 0.003, &c) != SPI_OK)
            break;

        int i = index_of(p, lambda_of(c.index)), lo = i > 10 ? i - 10 : 0, hi = i + 10;

        corners += c.how == SPI_LCURVE_CORNER;
        worst = fmax(worst, error[i] / best);
        below = fmin(below, error[lo] / best);
        above = fmin(above, error[hi < M ? hi : M - 1] / best);
    }
    OK(corners == SEEDS, "a corner for %d of %d noise seeds", corners, SEEDS);
    OK(worst <= 2, "Shaw: the error at the corner is at most %.2f of the smallest", worst);
    OK(below > 2 && above > 1,
       "1000 times less lambda costs a factor %.1f or more, 1000 times more %.1f", below,
       above);

    double lambda = p[c.index].lambda;

    krylov_curve(p);
    OK(spi_lcurve_choose(M, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_CORNER &&
           fabs(log10(p[c.index].lambda / lambda)) <
               0.31, /* one step of the grid: 10^0.3 */
       "multi-shift CG in float finds the corner at %.1e (dense %.1e)", p[c.index].lambda,
       lambda);
}

/* A quarter circle of radius R in the log-log plane, convex to the origin: curvature 1/R.
 * Error of the three-point parabola for a turn of h: h^2 / 2 relative at most. */
static void test_circle(void)
{
    struct spi_lcurve_point p[M];
    struct spi_lcurve_choice c;
    double h = pi / 2 / (M + 1), worst = 0;

    for (int i = 0; i < M; i++) {
        double a = pi + (i + 1) * h; /* from the left (vertical) to the bottom (flat) */

        p[M - 1 - i] = (struct spi_lcurve_point){.lambda = lambda_of(i),
                                                 .residual = exp(3 + 3 * cos(a)),
                                                 .norm = exp(3 + 3 * sin(a))};
    }
    OK(spi_lcurve_choose(M, p, 0.03, 0.003, &c) == SPI_OK && p[0].lambda < p[M - 1].lambda,
       "points are sorted by lambda");
    for (int i = 1; i < M - 1; i++)
        worst = fmax(worst, fabs(3 * p[i].curvature - 1));
    OK(worst <= h * h / 2, "curvature of a circle: error is %.3f of the bound",
       worst / (h * h / 2));
    OK(isnan(p[0].curvature) && isnan(p[M - 1].curvature), "no curvature at the ends");
    OK(fabs(3 * 1.01 * p[3].curvature - 1) > h * h / 2, "an error of 1 %% is noticed");
}

static void points(int n, const double *res, const double *norm, struct spi_lcurve_point *p)
{
    for (int i = 0; i < n; i++)
        p[i] = (struct spi_lcurve_point){
            .lambda = pow(10, i - 4), .residual = res[i], .norm = norm[i]};
}

static void test_fallback(void)
{
    struct spi_lcurve_point p[M];
    struct spi_lcurve_choice c;
    double error[M];

    shaw_problem(0, 0);
    for (int i = 0; i < M;
         i++) /* noise-free and well-posed: residual = lambda / (1 + lambda) */
        p[i] = (struct spi_lcurve_point){.lambda = lambda_of(i),
                                         .residual = lambda_of(i) / (1 + lambda_of(i)),
                                         .norm = 1 / (1 + lambda_of(i))};
    OK(spi_lcurve_choose(M, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_SMALLEST &&
           c.index == 0,
       "noise-free: no corner, the smallest lambda");

    points(5, (const double[]){1, 1.001, 1.02, 1.5, 4},
           (const double[]){1, 1, 0.99, 0.7, 0.2}, p);
    OK(spi_lcurve_choose(5, p, 0.03, 0.02, &c) == SPI_OK && c.how == SPI_LCURVE_PLATEAU &&
           c.index == 2,
       "a plateau: its largest lambda");
    OK(spi_lcurve_choose(5, p, 0.005, 0.02, &c) == SPI_OK && c.index == 1,
       "a lower step of the residual ends it");
    OK(spi_lcurve_choose(5, p, 0.03, 0.003, &c) == SPI_OK && c.index == 1,
       "a lower step of the norm ends it");
    /* merging 300 photons an image: noise hides what damping does to the residual, and the
     * norm, mostly the unmeasured middle, is the first to go */
    points(5, (const double[]){1, 1.0000, 1.0001, 1.0004, 1.0019},
           (const double[]){0.1609, 0.1607, 0.1591, 0.1455, 0.0975}, p);
    OK(spi_lcurve_choose(5, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_PLATEAU &&
           c.index == 1,
       "noisy data: the residual alone does not decide");
    OK(spi_lcurve_choose(5, p, 0.03, 1, &c) == SPI_OK && c.index == 4,
       "it would take everything (control)");

    /* an L with a spoiled point of zero norm, one NaN and an infinite residual */
    points(9, (const double[]){1, 1, 1.01, 1.02, 1.1, 5, 25, (double)NAN, (double)INFINITY},
           (const double[]){1000, 100, 10, 0, 1, 0.9, 0.8, 1, 1}, p);
    OK(spi_lcurve_choose(9, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_CORNER &&
           c.index == 4,
       "unusable points are passed over");
    points(3, (const double[]){0, 0, 0}, (const double[]){0, 0, 0}, p);
    OK(spi_lcurve_choose(3, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_SMALLEST &&
           c.index == 0,
       "all points zero: the smallest lambda");
    OK(spi_lcurve_choose(1, p, 0.03, 0.003, &c) == SPI_OK && c.index == 0, "one point");
    points(3, (const double[]){1, 1, 1}, (const double[]){1, 1, 1}, p);
    OK(spi_lcurve_choose(3, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_PLATEAU,
       "three equal points: no division by zero");

    shaw_problem(1e-2, 0);
    dense_curve(p, error);
    OK(spi_lcurve_choose(M, p, 0.03, 0.003, &c) == SPI_OK && c.how == SPI_LCURVE_CORNER,
       "a noisy curve has a corner (control)");

    p[2].lambda = p[1].lambda;
    OK(spi_lcurve_choose(M, p, 0.03, 0.003, &c) == SPI_EINVAL, "twice: %s",
       spi_err_message());
    p[2].lambda = -1;
    OK(spi_lcurve_choose(M, p, 0.03, 0.003, &c) == SPI_EINVAL, "negative: %s",
       spi_err_message());
    OK(spi_lcurve_choose(0, p, 0.03, 0.003, &c) == SPI_EINVAL, "none: %s",
       spi_err_message());
    OK(spi_lcurve_choose(1, p, (double)NAN, 0.003, &c) == SPI_EINVAL, "rise: %s",
       spi_err_message());
    OK(spi_lcurve_choose(1, p, 0.03, -1, &c) == SPI_EINVAL, "fall: %s", spi_err_message());
}

static void test_csv(void)
{
    struct spi_lcurve_point p[3];
    struct spi_lcurve_choice c;
    char *text = NULL;

    points(3, (const double[]){1, 2, 4}, (const double[]){16, 2, 1.9}, p);
    OK(spi_lcurve_choose(3, p, 0.03, 0.003, &c) == SPI_OK &&
           spi_lcurve_csv(3, p, &c, &text) == SPI_OK,
       "CSV is made");
    OK(text &&
           strncmp(text,
                   "lambda,residual,norm,curvature,chosen\n0.0001,1,16,,\n"
                   "0.001,2,2,",
                   62) == 0 &&
           strstr(text, ",corner\n0.01,4,1.9,,\n"),
       "with its head, the corner marked and no number at the ends");
    free(text);
    for (int i = 0; i < 3; i++)
        p[i].lambda = p[i].residual = p[i].norm = p[i].curvature = -1.23456789e-300;
    OK(spi_lcurve_csv(3, p, NULL, &text) == SPI_OK && text[strlen(text) - 1] == '\n' &&
           strstr(text, "-1.23456789e-300,\n"),
       "the longest numbers fit");
    free(text);
}

int main(void)
{
    test_shaw();
    test_circle();
    test_fallback();
    test_csv();
    return tap_done();
}
