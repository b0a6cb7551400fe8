/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/lcurve.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static const double pi = 3.14159265358979323846;

static int by_lambda(const void *a, const void *b)
{
    const struct spi_lcurve_point *p = a, *q = b;

    return (p->lambda > q->lambda) - (p->lambda < q->lambda);
}

static bool usable(const struct spi_lcurve_point *p)
{
    return p->residual > 0 && p->norm > 0 && isfinite(p->residual) && isfinite(p->norm);
}

static spi_err check(int n, const struct spi_lcurve_point *p, double rise, double fall)
{
    if (n < 1)
        return spi_fail(SPI_EINVAL, "L-curve: %d points; need at least 1", n);
    if (!(rise >= 0 && fall >= 0))
        return spi_fail(SPI_EINVAL, "L-curve: rise is %g, fall %g; need 0 or more", rise,
                        fall);
    for (int i = 0; i < n; i++)
        if (!(p[i].lambda > 0) || isinf(p[i].lambda))
            return spi_fail(SPI_EINVAL, "L-curve: lambda %d is %g; need a positive number",
                            i, p[i].lambda);
    return SPI_OK;
}

/* (L10): derivatives with respect to t = log lambda of the parabola through three points.
 */
static double curvature(const struct spi_lcurve_point *a, const struct spi_lcurve_point *b,
                        const struct spi_lcurve_point *c)
{
    double h = log(b->lambda / a->lambda), k = log(c->lambda / b->lambda);
    double u = log(b->residual / a->residual) / h, v = log(c->residual / b->residual) / k;
    double w = log(b->norm / a->norm) / h, z = log(c->norm / b->norm) / k;
    double x1 = (k * u + h * v) / (h + k), y1 = (k * w + h * z) / (h + k);
    double x2 = 2 * (v - u) / (h + k), y2 = 2 * (z - w) / (h + k);

    return (x1 * y2 - x2 * y1) / pow(x1 * x1 + y1 * y1, 1.5);
}

/* (L11): angle by which the path a -> b -> c turns to the left, radians. */
static double turn(const struct spi_lcurve_point *a, const struct spi_lcurve_point *b,
                   const struct spi_lcurve_point *c)
{
    double ux = log(b->residual / a->residual), uy = log(b->norm / a->norm);
    double vx = log(c->residual / b->residual), vy = log(c->norm / b->norm);

    return atan2(ux * vy - uy * vx, ux * vx + uy * vy);
}

/* The corner's place in use[m], or -1. */
static int find_corner(int m, const int *use, struct spi_lcurve_point *p)
{
    int best = -1;

    for (int i = 1; i + 1 < m; i++) {
        struct spi_lcurve_point *b = &p[use[i]];

        b->curvature = curvature(&p[use[i - 1]], b, &p[use[i + 1]]);
        if (b->curvature > 0 && turn(&p[use[0]], b, &p[use[m - 1]]) >= pi / 8 &&
            (best < 0 || b->curvature > p[use[best]].curvature))
            best = i;
    }
    return best;
}

/* (L12): the last point of the plateau in use[m]. */
static int plateau_end(int m, const int *use, const struct spi_lcurve_point *p, double rise,
                       double fall)
{
    const struct spi_lcurve_point *first = &p[use[0]];
    int at = 0;

    while (at + 1 < m && p[use[at + 1]].residual <= (1 + rise) * first->residual &&
           p[use[at + 1]].norm >= (1 - fall) * first->norm)
        at++;
    return at;
}

spi_err spi_lcurve_choose(int n, struct spi_lcurve_point *p, double rise, double fall,
                          struct spi_lcurve_choice *choice)
{
    spi_err err = check(n, p, rise, fall);
    int *use, m = 0, at;

    *choice = (struct spi_lcurve_choice){0, SPI_LCURVE_SMALLEST};
    if (err)
        return err;
    qsort(p, (size_t)n, sizeof *p, by_lambda);
    for (int i = 1; i < n; i++)
        if (p[i].lambda == p[i - 1].lambda)
            return spi_fail(SPI_EINVAL, "L-curve: lambda %g appears twice; need each once",
                            p[i].lambda);
    if ((err = SPI_NEW(use, n, "L-curve")) != SPI_OK)
        return err;
    for (int i = 0; i < n; i++) {
        p[i].curvature = (double)NAN;
        if (usable(&p[i]))
            use[m++] = i;
    }
    at = find_corner(m, use, p);
    if (at >= 0)
        *choice = (struct spi_lcurve_choice){use[at], SPI_LCURVE_CORNER};
    else if (m > 0) {
        at = plateau_end(m, use, p, rise, fall);
        choice->index = use[at];
        choice->how = at > 0 ? SPI_LCURVE_PLATEAU : SPI_LCURVE_SMALLEST;
    }
    free(use);
    return SPI_OK;
}

spi_err spi_lcurve_csv(int n, const struct spi_lcurve_point *p,
                       const struct spi_lcurve_choice *choice, char **text)
{
    static const char head[] = "lambda,residual,norm,curvature,chosen\n";
    enum { LINE = 128 }; /* four numbers of at most 17 characters, a word of at most 15 */
    size_t size = sizeof head + LINE * (size_t)(n > 0 ? n : 0), at;

    if ((*text = spi_alloc(size, 1, "L-curve")) == NULL)
        return SPI_ENOMEM;
    at = (size_t)snprintf(*text, size, "%s", head);
    for (int i = 0; i < n; i++) {
        bool chosen = choice && choice->index == i;

        at += (size_t)snprintf(*text + at, size - at, "%.9g,%.9g,%.9g,", p[i].lambda,
                               p[i].residual, p[i].norm);
        if (isfinite(p[i].curvature))
            at += (size_t)snprintf(*text + at, size - at, "%.9g", p[i].curvature);
        at += (size_t)snprintf(*text + at, size - at, ",%s\n",
                               chosen ? spi_lcurve_how_text(choice->how) : "");
    }
    return SPI_OK;
}

const char *spi_lcurve_how_text(enum spi_lcurve_how how)
{
    switch (how) {
    case SPI_LCURVE_CORNER:
        return "corner";
    case SPI_LCURVE_PLATEAU:
        return "plateau";
    case SPI_LCURVE_SMALLEST:
        break;
    }
    return "smallest lambda";
}
