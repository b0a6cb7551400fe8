/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/misfit.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

/* Intensities of many atoms are distributed exponentially over a ring: e^-12 of the pixels
 * are above 12 means.  A symmetric particle has more of its light in few places, which its
 * model knows. */
static const double means_most = 12, models_most = 3, sigmas_most = 8;

/* ---- pairs -------------------------------------------------------------------------- */

static int shell_of(const struct spi_pixel_list *l, int64_t i, double q_min, double cell,
                    int n)
{
    double q = sqrt((double)l->q[i][0] * (double)l->q[i][0] +
                    (double)l->q[i][1] * (double)l->q[i][1] +
                    (double)l->q[i][2] * (double)l->q[i][2]);
    int s = (int)floor((q - q_min) / cell);

    return s < 0 ? 0 : s >= n ? n - 1 : s;
}

spi_err spi_misfit_pairs_init(struct spi_misfit_pairs *p, const struct spi_pixel_list *l,
                              const struct spi_detector *det, double q_min, double q_max,
                              double diameter_A)
{
    double cell = 1 / (2 * diameter_A);
    int64_t panel = (int64_t)det->ny * det->nx;
    int32_t *place = NULL;
    spi_err err;

    *p = (struct spi_misfit_pairs){.n_shells = (int)ceil((q_max - q_min) / cell)};
    p->n_shells = p->n_shells < 1 ? 1 : p->n_shells;
    SPI_TRY(err = SPI_NEW(p->of, 2 * l->n, "misfit"), out);
    SPI_TRY(err = SPI_NEW(p->shell, 2 * l->n, "misfit"), out);
    SPI_TRY(err = SPI_NEW(p->q, p->n_shells, "misfit"), out);
    SPI_TRY(err = SPI_NEW(place, det->n_pixels, "misfit"), out); /* 1 + place in the list */
    for (int s = 0; s < p->n_shells; s++)
        p->q[s] = q_min + (s + 0.5) * cell;
    for (int64_t i = 0; i < l->n; i++)
        place[l->pixel[i]] = (int32_t)(i + 1);
    for (int64_t i = 0; i < l->n; i++) {
        int64_t at = l->pixel[i] % panel, x = at % det->nx, y = at / det->nx;
        const int32_t next[2] = {x + 1 < det->nx ? place[l->pixel[i] + 1] : 0,
                                 y + 1 < det->ny ? place[l->pixel[i] + det->nx] : 0};

        for (int k = 0; k < 2; k++)
            if (next[k]) {
                p->of[p->n][0] = (int32_t)i;
                p->of[p->n][1] = next[k] - 1;
                p->shell[p->n++] = shell_of(l, i, q_min, cell, p->n_shells);
            }
    }
out:
    free(place);
    if (err)
        spi_misfit_pairs_clear(p);
    return err;
}

void spi_misfit_pairs_clear(struct spi_misfit_pairs *p)
{
    free(p->of);
    free(p->shell);
    free(p->q);
    *p = (struct spi_misfit_pairs){0};
}

/* ---- one image ---------------------------------------------------------------------- */

/* One image beside its model, at the pixels of a list. */
struct seen {
    const struct spi_pixel_list *l;
    const struct spi_likelihood *like;
    const float *K, *T, *mean, *inv_var;
};

/* Pixels are taken by tiles: a row of the table works on arrays. */
enum { TILE = 64 };

static int tile(const struct seen *s, int64_t first)
{
    return s->l->n - first < TILE ? (int)(s->l->n - first) : TILE;
}

/* v of a tile; unset where nobody reads it. */
static void tile_inv_var(const struct seen *s, int64_t first, double v[TILE])
{
    for (int i = 0; i < tile(s, first) && s->inv_var; i++)
        v[i] = (double)s->inv_var[first + i];
}

/* Fluence; pixels that are left out (NAN in `out`) do not count. */
static double fluence(const struct seen *s, const float *out)
{
    double top = 0, bottom = 0, model[TILE], v[TILE], w[TILE];

    for (int64_t first = 0; first < s->l->n; first += TILE) {
        int n = tile(s, first);

        for (int i = 0; i < n; i++)
            model[i] = (double)s->l->geometry[first + i] * (double)s->T[first + i];
        tile_inv_var(s, first, v);
        s->like->fluence_weights(n, model, v, w);
        for (int i = 0; i < n; i++) {
            double weight = isnan(out[first + i]) ? 0 : w[i];

            top += weight * (double)s->K[first + i];
            bottom += weight * model[i];
        }
    }
    return bottom > 0 && top > 0 ? top / bottom : 0;
}

static void note(struct spi_outliers *o, const struct spi_outlier *one)
{
    int i = o->kept < SPI_OUTLIERS ? o->kept++ : SPI_OUTLIERS - 1;

    if (i == SPI_OUTLIERS - 1 && o->kept == SPI_OUTLIERS && o->worst[i].times >= one->times)
        return;
    for (; i > 0 && o->worst[i - 1].times < one->times; i--)
        o->worst[i] = o->worst[i - 1];
    o->worst[i] = *one;
}

/* Mark pixels that neither the particle nor noise makes with NAN in `out`, others with 0.
 */
static void find_outliers(const struct seen *s, int64_t image, float *out,
                          struct spi_outliers *o)
{
    const struct spi_pixel_list *l = s->l;
    int64_t found = 0;
    double phi;

    for (int64_t p = 0; p < l->n; p++)
        out[p] = 0;
    phi = fluence(s, out);
    for (int64_t first = 0; first < l->n; first += TILE) {
        double most[TILE], expected[TILE], v[TILE], precision[TILE];
        int n = tile(s, first);

        for (int i = 0; i < n; i++) {
            double light = phi * (double)l->geometry[first + i];

            most[i] = fmax(means_most * light * (double)s->mean[first + i],
                           models_most * light * (double)s->T[first + i]);
            expected[i] = most[i] + 1; /* + 1: of an empty place, one photon */
        }
        tile_inv_var(s, first, v);
        s->like->precisions(n, expected, v, precision);
        for (int i = 0; i < n; i++) {
            int64_t p = first + i;

            most[i] += sigmas_most * sqrt(1 / fmax(precision[i], 1e-300));
            if ((double)s->K[p] <= most[i])
                continue;
            out[p] = NAN;
            found++;
            note(o, &(struct spi_outlier){
                        .image = image,
                        .pixel = l->pixel[p],
                        .value = s->K[p],
                        .expected = (float)(phi * (double)l->geometry[p] * (double)s->T[p]),
                        .times = (double)s->K[p] / most[i]});
        }
    }
    o->n += found;
    o->images += found > 0;
}

void spi_misfit_image(const struct spi_misfit_pairs *pairs, const struct spi_pixel_list *l,
                      const struct spi_likelihood *like, const float *K, const float *T,
                      const float *mean, const float *inv_variance, int64_t image,
                      float *work, struct spi_misfit *one, struct spi_outliers *o)
{
    struct seen all = {l, like, K, T, mean, like->weighted ? inv_variance : NULL};
    float *seen = work, *model = work + l->n, *ring = work + 2 * l->n;
    double phi;

    for (int s = 0; s < pairs->n_shells; s++)
        one[s] = (struct spi_misfit){0};
    find_outliers(&all, image, seen, o);
    phi = fluence(&all, seen);
    for (int64_t first = 0; first < l->n;
         first += TILE) { /* in units of the noise; NAN stays */
        double light[TILE], even[TILE], v[TILE], precision[TILE];
        int n = tile(&all, first);

        for (int i = 0; i < n; i++) {
            light[i] = phi * (double)l->geometry[first + i];
            even[i] = light[i] * (double)mean[first + i];
        }
        tile_inv_var(&all, first, v);
        like->precisions(n, even, v, precision);
        for (int i = 0; i < n; i++) {
            int64_t p = first + i;
            double root = sqrt(precision[i]);

            ring[p] = (float)(root * even[i]);
            seen[p] += (float)(root * ((double)K[p] - even[i]));
            model[p] = (float)(root * (light[i] * (double)T[p] - even[i]));
        }
    }
    for (int64_t i = 0; i < pairs->n; i++) {
        int32_t a = pairs->of[i][0], b = pairs->of[i][1];
        double Ia = (double)seen[a], Ib = (double)seen[b], Ma = (double)model[a],
               Mb = (double)model[b];
        struct spi_misfit *s = one + pairs->shell[i];

        if (isnan(Ia) || isnan(Ib))
            continue;
        s->even2 += (double)ring[a] * (double)ring[b];
        s->image2 += Ia * Ib;
        s->cross += (Ia * Mb + Ma * Ib) / 2;
        s->model2 += Ma * Mb;
        s->variance += (Ia - Ma) * (Ia - Ma) * (Ib - Mb) * (Ib - Mb);
    }
}

/* ---- sums --------------------------------------------------------------------------- */

void spi_misfit_add(int n, const struct spi_misfit *from, struct spi_misfit *to)
{
    for (int s = 0; s < n; s++) {
        to[s].even2 += from[s].even2;
        to[s].image2 += from[s].image2;
        to[s].cross += from[s].cross;
        to[s].model2 += from[s].model2;
        to[s].variance += from[s].variance;
    }
}

struct spi_misfit spi_misfit_sum(int n, const struct spi_misfit *shells)
{
    struct spi_misfit sum = {0};

    for (int s = 0; s < n; s++)
        spi_misfit_add(1, shells + s, &sum);
    return sum;
}

double spi_misfit_share(const struct spi_misfit *m)
{
    return m->model2 > 0 ? (m->image2 - 2 * m->cross + m->model2) / m->model2 : (double)NAN;
}

double spi_misfit_share_of_shells(int n, const struct spi_misfit *shell)
{
    static const double clear = 5; /* standard deviations */
    double sum = 0;
    int m = 0;

    for (int s = 0; s < n; s++) {
        double share = spi_misfit_share(&shell[s]);

        if (!(shell[s].image2 > clear * sqrt(shell[s].variance)) || isnan(share))
            continue;
        sum += fmin(fmax(share, 0), 1);
        m++;
    }
    return m > 0 ? sum / m : (double)NAN;
}

double spi_misfit_sigma(const struct spi_misfit *m)
{
    return m->model2 > 0 ? sqrt(m->variance) / m->model2 : (double)NAN;
}

void spi_outliers_add(const struct spi_outliers *from, struct spi_outliers *to)
{
    to->n += from->n;
    to->images += from->images;
    for (int i = 0; i < from->kept; i++)
        note(to, from->worst + i);
}
