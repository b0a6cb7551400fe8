/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A map moved rigidly, doc/math.md (F4). */
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "fsc/align.h"
#include "fsc/fit.h"
#include "fsc/kb.h"
#include "math/fft.h"
#include "math/rot.h"

enum { W = 6 };

/* The map on a grid m / n times finer, divided by the window's transform; voxel 0 is a
 * corner of the box, as in the map. */
struct fine {
    int m;
    double per_voxel; /* m / n */
    struct spi_kb kb;
    float *f; /* [m]^3, owned */
};

static void fine_clear(struct fine *g)
{
    spi_kb_clear(&g->kb);
    free(g->f);
}

/* padded[m] half spectrum = half spectrum of n / window's transform, |k| <= k_max only. */
static void pad_spectrum(int n, int m, double k_max, const double *inverse_hat,
                         const float complex *half, float complex *padded)
{
    size_t h = (size_t)n / 2 + 1, hm = (size_t)m / 2 + 1;
    double scale = 1 / ((double)n * n * n);

    for (int z = -n / 2; z <= n / 2; z++)
        for (int y = -n / 2; y <= n / 2; y++)
            for (int x = 0; x <= n / 2; x++) {
                size_t from =
                    ((size_t)((z + n) % n) * (size_t)n + (size_t)((y + n) % n)) * h;
                size_t to =
                    ((size_t)((z + m) % m) * (size_t)m + (size_t)((y + m) % m)) * hm;
                double k2 = (double)z * z + (double)y * y + (double)x * x;
                double f =
                    scale * inverse_hat[abs(z)] * inverse_hat[abs(y)] * inverse_hat[x];

                if (k2 > k_max * k_max)
                    continue;
                /* the Nyquist planes stand for +n/2 and -n/2: half to each */
                f *= (abs(z) == n / 2 ? 0.5 : 1) * (abs(y) == n / 2 ? 0.5 : 1) *
                     (x == n / 2 ? 0.5 : 1);
                padded[to + (size_t)x] = half[from + (size_t)x] * (float)f;
            }
}

static spi_err fine_init(const struct spi_volume *map, double q_max, struct fine *g)
{
    spi_err err;
    int n = map->n;
    /* memory, not accuracy, decides for large maps */
    int m = spi_fft_good_size(n > 160 ? 3 * n / 2 : 2 * n);
    size_t plane = (size_t)m * (size_t)m;
    float complex *half = NULL, *padded = NULL;
    double *inverse_hat = NULL;

    *g = (struct fine){.m = m, .per_voxel = (double)m / n};
    SPI_TRY(err = spi_kb_init(W, (double)m / n, &g->kb), out);
    SPI_TRY(err = SPI_NEW(inverse_hat, n / 2 + 1, "moved map"), out);
    SPI_TRY(err = SPI_NEW(half, (size_t)n * (size_t)n * ((size_t)n / 2 + 1), "moved map"),
            out);
    SPI_TRY(err = SPI_NEW(padded, plane * ((size_t)m / 2 + 1), "moved map"), out);
    SPI_TRY(err = SPI_NEW(g->f, plane * (size_t)m, "moved map"), out);
    for (int k = 0; k <= n / 2; k++)
        inverse_hat[k] = 1 / spi_kb_hat(&g->kb, (double)k / m);
    SPI_TRY(err = spi_fft3_r2c(n, map->data, half), out);
    pad_spectrum(n, m, q_max * n * map->step, inverse_hat, half, padded);
    err = spi_fft3_c2r(m, padded, g->f);
out:
    free(padded);
    free(half);
    free(inverse_hat);
    return err;
}

/* Value at u (fine nodes from the corner), periodic. */
static float fine_at(const struct fine *g, const double u[3])
{
    float w[3][W], sum = 0;
    int i[3][W], m = g->m;

    for (int k = 0; k < 3; k++) {
        double base = floor(u[k]);
        int first = (int)base - W / 2 + 1;

        spi_kb_weights(&g->kb, W, (float)(u[k] - base), w[k]);
        for (int a = 0; a < W; a++)
            i[k][a] = (first + a + m) % m;
    }
    for (int a = 0; a < W; a++)
        for (int b = 0; b < W; b++) {
            const float *row =
                g->f + ((size_t)i[2][a] * (size_t)m + (size_t)i[1][b]) * (size_t)m;
            float line = 0;

            if (i[0][0] < i[0][W - 1]) {
                for (int c = 0; c < W; c++)
                    line += w[0][c] * row[i[0][0] + c];
            } else {
                for (int c = 0; c < W; c++)
                    line += w[0][c] * row[i[0][c]];
            }
            sum += w[2][a] * w[1][b] * line;
        }
    return sum;
}

/* moved(x) = map(s R^T (x - shift)) voxel by voxel; zero outside the map's box. */
struct resampling {
    const struct fine *g;
    const struct spi_volume *map;
    const struct spi_pose *pose;
    struct spi_volume *moved;
};

static void resample_plane(void *ctx, int rank, int64_t z)
{
    const struct resampling *r = ctx;
    const struct spi_pose *pose = r->pose;
    double s = pose->inverted ? -1 : 1, centre = r->map->n / 2, half = r->map->n / 2;
    int n = r->moved->n;
    float *out = r->moved->data + (size_t)z * (size_t)n * (size_t)n;

    (void)rank;
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++, out++) {
            double c = n / 2, p[3], v[3], u[3];
            bool inside = true;

            p[0] = (x - c) * r->moved->step - pose->shift_A[0];
            p[1] = (y - c) * r->moved->step - pose->shift_A[1];
            p[2] = ((int)z - c) * r->moved->step - pose->shift_A[2];
            spi_rot_apply_t(pose->R, p, v);
            for (int k = 0; k < 3; k++) {
                v[k] *= s / r->map->step;
                inside = inside && v[k] >= -half && v[k] <= half;
                u[k] = (v[k] + centre) * r->g->per_voxel;
            }
            *out = inside ? fine_at(r->g, u) : 0;
        }
}

static bool is_identity(const struct spi_pose *pose)
{
    double off = 0;

    for (int k = 0; k < 9; k++)
        off = fmax(off, fabs(pose->R[k] - (k % 4 == 0)));
    for (int k = 0; k < 3; k++)
        off = fmax(off, fabs(pose->shift_A[k]));
    return off == 0 && !pose->inverted;
}

spi_err spi_pose_apply(const struct spi_volume *map, const struct spi_pose *pose, int n,
                       double step, struct spi_volume *moved)
{
    struct fine g = {0};
    double q_max = 0.5 / fmax(step, map->step);
    spi_err err;

    *moved = (struct spi_volume){0};
    if (map->n < 4 || map->n % 2 || n % 2 || !(map->step > 0) || !(step > 0))
        return spi_fail(
            SPI_EINVAL,
            "move map: sides %d and %d, steps %g and %g; need even sides from 4, "
            "steps > 0",
            map->n, n, map->step, step);
    SPI_TRY(err = spi_fit_check_pose("move map", pose->R, pose->shift_A), out);
    if (n == map->n && step == map->step && is_identity(pose))
        return spi_volume_copy(map, moved);
    SPI_TRY(err = spi_volume_init(moved, n, step), out);
    SPI_TRY(err = fine_init(map, q_max, &g), out);
    spi_parallel_for(SPI_THREADS_MAX, n, resample_plane,
                     &(struct resampling){&g, map, pose, moved});
out:
    fine_clear(&g);
    if (err)
        spi_volume_clear(moved);
    return err;
}
