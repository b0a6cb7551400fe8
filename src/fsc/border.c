/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/border.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/fft.h"
#include "math/rot.h"

/* The border is flat when the deviations of the box's faces are below this part of all of
 * the map's. */
static const double flat = 0.05;

/* The rim of the ellipsoid, of its half axes: there its level is looked for. */
static const double rim = 0.85;

/* Width of the soft edge, voxels: a cosine. */
static const double edge_px = 3;

/* The voxels that hold data: first, and one behind the last, on each axis. */
struct box {
    int from[3], to[3];
};

static struct box box_of(const struct spi_volume *map, const int sides[3])
{
    struct box b;

    for (int k = 0; k < 3; k++) {
        b.from[k] = map->n / 2 - sides[k] / 2;
        b.to[k] = b.from[k] + sides[k];
    }
    return b;
}

static bool in_box(const struct box *b, const int at[3])
{
    return at[0] >= b->from[0] && at[0] < b->to[0] && at[1] >= b->from[1] &&
           at[1] < b->to[1] && at[2] >= b->from[2] && at[2] < b->to[2];
}

static bool on_face(const struct box *b, const int at[3])
{
    for (int k = 0; k < 3; k++)
        if (at[k] == b->from[k] || at[k] == b->to[k] - 1)
            return true;
    return false;
}

/* Distance from the middle, of the half axes of the ellipsoid within the box. */
static double radius(const struct box *b, const int at[3])
{
    double r2 = 0;

    for (int k = 0; k < 3; k++) {
        double half = (b->to[k] - b->from[k]) / 2.0;
        double d = (at[k] - (b->from[k] + b->to[k]) / 2.0 + 0.5) / half;

        r2 += d * d;
    }
    return sqrt(r2);
}

enum part { FACES, RIM, ALL };

static bool is_in(enum part part, const struct box *b, const int at[3])
{
    double r;

    if (part == ALL || !in_box(b, at))
        return in_box(b, at);
    if (part == FACES)
        return on_face(b, at);
    r = radius(b, at);
    return r >= rim && r <= 1;
}

/* Values of a part of the map, one after the other; how many. */
static int64_t gather(const struct spi_volume *map, const struct box *b, enum part part,
                      float *out)
{
    int64_t n = 0;

    for (int z = 0; z < map->n; z++)
        for (int y = 0; y < map->n; y++)
            for (int x = 0; x < map->n; x++)
                if (is_in(part, b, (const int[3]){x, y, z}))
                    out[n++] = map->data[spi_volume_index(map, z, y, x)];
    return n;
}

static int by_value(const void *pa, const void *pb)
{
    float a = *(const float *)pa, b = *(const float *)pb;

    return (a > b) - (a < b);
}

static double median(int64_t n, float *v)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return ((double)v[(n - 1) / 2] + (double)v[n / 2]) / 2;
}

static double rms_about(int64_t n, const float *v, double level)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += ((double)v[i] - level) * ((double)v[i] - level);
    return sqrt(sum / (double)n);
}

/* The level, and whether all of the border stands there, (F15). */
static bool find_level(const struct spi_volume *map, const struct box *b, float *work,
                       double *level)
{
    int64_t n = gather(map, b, FACES, work);
    double off;

    *level = median(n, work);
    off = rms_about(n, work, *level);
    n = gather(map, b, ALL, work);
    if (off <= flat * rms_about(n, work, *level))
        return true;
    n = gather(map, b, RIM, work);
    if (n > 0)
        *level = median(n, work);
    return false;
}

static bool is_constant(const struct spi_volume *map, const struct box *b, double *value)
{
    float low = INFINITY, high = -INFINITY;

    for (int z = b->from[2]; z < b->to[2]; z++)
        for (int y = b->from[1]; y < b->to[1]; y++)
            for (int x = b->from[0]; x < b->to[0]; x++) {
                float v = map->data[spi_volume_index(map, z, y, x)];

                low = fminf(low, v);
                high = fmaxf(high, v);
            }
    *value = (double)low;
    return !(high > low);
}

static void subtract(struct spi_volume *map, const struct box *b, double level)
{
    for (int z = 0; z < map->n; z++)
        for (int y = 0; y < map->n; y++)
            for (int x = 0; x < map->n; x++) {
                float *v = &map->data[spi_volume_index(map, z, y, x)];

                *v = in_box(b, (const int[3]){x, y, z}) ? (float)((double)*v - level) : 0;
            }
}

spi_err spi_border_take_off(const char *name, const int sides[3], struct spi_volume *map,
                            struct spi_border *border)
{
    struct box b = box_of(map, sides);
    double value;
    float *work = NULL;
    spi_err err;

    *border = (struct spi_border){0};
    if (is_constant(map, &b, &value))
        return value == 0 ? spi_fail(SPI_EFORMAT, "%s: is empty: all voxels are 0", name)
                          : spi_fail(SPI_EFORMAT,
                                     "%s: is constant: all voxels are %g; need a map with "
                                     "some structure",
                                     name, value);
    SPI_TRY(err = SPI_NEW(work, spi_volume_count(map), "border of a map"), out);
    border->cut = !find_level(map, &b, work, &border->level);
    for (int k = 0; k < 3; k++)
        border->half_A[k] = sides[k] / 2.0 * map->step;
    subtract(map, &b, border->level);
    spi_border_cut(border, NULL, map);
    b = (struct box){.to = {map->n, map->n, map->n}};
    if (is_constant(map, &b, &value))
        err = spi_fail(SPI_EFORMAT,
                       "%s: is constant within an ellipsoid that touches its faces; need a "
                       "map with its particle in the middle",
                       name);
out:
    free(work);
    return err;
}

/* The ellipsoid, made smaller by `scale`, with its soft edge at p (A from the middle),
 * (F16). */
static double inside(const struct spi_border *b, double scale, double step,
                     const double p[3])
{
    double r2 = 0, least = fmin(b->half_A[0], fmin(b->half_A[1], b->half_A[2]));
    double width = edge_px * step / (scale * least), r;

    for (int k = 0; k < 3; k++)
        r2 += p[k] / b->half_A[k] * (p[k] / b->half_A[k]);
    r = sqrt(r2) / scale;
    if (r >= 1)
        return 0;
    if (r <= 1 - width)
        return 1;
    return (1 + cos(SPI_PI * (r - 1 + width) / width)) / 2;
}

static void cut(const struct spi_border *border, double scale, const struct spi_pose *pose,
                struct spi_volume *vol)
{
    const double c = vol->n / 2, s = pose && pose->inverted ? -1 : 1;

    if (!border->cut)
        return;
    for (int z = 0; z < vol->n; z++)
        for (int y = 0; y < vol->n; y++)
            for (int x = 0; x < vol->n; x++) {
                double p[3] = {(x - c) * vol->step, (y - c) * vol->step,
                               (z - c) * vol->step};

                if (pose) {
                    double d[3], v[3];

                    for (int k = 0; k < 3; k++)
                        d[k] = p[k] - pose->shift_A[k];
                    spi_rot_apply_t(pose->R, d, v);
                    for (int k = 0; k < 3; k++)
                        p[k] = s * v[k];
                }
                vol->data[spi_volume_index(vol, z, y, x)] *=
                    (float)inside(border, scale, vol->step, p);
            }
}

void spi_border_cut(const struct spi_border *border, const struct spi_pose *pose,
                    struct spi_volume *vol)
{
    cut(border, 1, pose, vol);
}

/* ---- alignment ---------------------------------------------------------------------- */

enum { ROUNDS = 12, REFINED = 2 };

struct pair {
    const struct spi_volume *ref, *map;
    const struct spi_border *ref_border, *map_border;
    double D, q_max;
};

/* What undoes a pose: of y = s R^T (x - t) it is x = s R y + t. */
static struct spi_pose inverse(const struct spi_pose *pose)
{
    struct spi_pose out = {.inverted = pose->inverted};
    double s = pose->inverted ? -1 : 1;

    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            out.R[3 * i + k] = pose->R[3 * k + i];
    spi_rot_apply_t(pose->R, pose->shift_A, out.shift_A);
    for (int k = 0; k < 3; k++)
        out.shift_A[k] *= -s;
    return out;
}

static double distance(const struct spi_pose *a, const struct spi_pose *b, double radius)
{
    double d = radius * spi_rot_angle_between(a->R, b->R), t2 = 0;

    for (int k = 0; k < 3; k++)
        t2 += (a->shift_A[k] - b->shift_A[k]) * (a->shift_A[k] - b->shift_A[k]);
    return d + sqrt(t2);
}

/* From `pose`: both maps cut to what both hold there, superposed, again and
 * again. The cut draws towards the pose at which it is made, so that each round goes a part
 * of the way. */
static spi_err refine(const struct pair *p, struct spi_pose *pose)
{
    const double small = 0.02 * p->ref->step;
    bool moves = true;
    spi_err err = SPI_OK;

    for (int round = 0; !err && moves && round < ROUNDS; round++) {
        struct spi_volume ref = {0}, map = {0};
        struct spi_pose start = *pose, back = inverse(pose);
        double cc;

        err = spi_volume_copy(p->ref, &ref);
        if (!err)
            err = spi_volume_copy(p->map, &map);
        if (!err) {
            spi_border_cut(p->map_border, pose, &ref);
            spi_border_cut(p->ref_border, &back, &map);
            err = spi_align_densities(&ref, &map, p->D, p->q_max, &start, pose, &cc);
        }
        moves = !err && distance(&start, pose, p->D / 2) > small;
        spi_volume_clear(&ref);
        spi_volume_clear(&map);
    }
    return err;
}

/* Correlation up to q_max of two maps on one grid, q = 0 left out. */
static spi_err correlation(const struct spi_volume *a, const struct spi_volume *b,
                           double q_max, double *cc)
{
    const int n = a->n, h = n / 2 + 1;
    size_t half = (size_t)n * (size_t)n * (size_t)h;
    float complex *fa = NULL, *fb = NULL;
    double ab = 0, aa = 0, bb = 0, most = q_max * n * a->step;
    spi_err err;

    SPI_TRY(err = SPI_NEW(fa, half, "correlation"), out);
    SPI_TRY(err = SPI_NEW(fb, half, "correlation"), out);
    SPI_TRY(err = spi_fft3_r2c(n, a->data, fa), out);
    SPI_TRY(err = spi_fft3_r2c(n, b->data, fb), out);
    for (int z = 0; z < n; z++)
        for (int y = 0; y < n; y++)
            for (int x = 0; x < h; x++) {
                double kz = z < h ? z : z - n, ky = y < h ? y : y - n, kx = x;
                double k = sqrt(kx * kx + ky * ky + kz * kz);
                double w = x > 0 && x < n / 2 ? 2 : 1;
                size_t i = ((size_t)z * (size_t)n + (size_t)y) * (size_t)h + (size_t)x;
                double complex u = (double complex)fa[i], v = (double complex)fb[i];

                if (k == 0 || k > most * (1 + 1e-9))
                    continue;
                ab += w * (creal(u) * creal(v) + cimag(u) * cimag(v));
                aa += w * (creal(u) * creal(u) + cimag(u) * cimag(u));
                bb += w * (creal(v) * creal(v) + cimag(v) * cimag(v));
            }
    *cc = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
out:
    free(fa);
    free(fb);
    return err;
}

/* Voxels that both maps hold, in voxels of the reference. */
static spi_err overlap(const struct pair *p, const struct spi_pose *pose, double *count)
{
    struct spi_volume both = {0};
    spi_err err = spi_volume_init(&both, p->ref->n, p->ref->step);

    *count = 0;
    if (err)
        return err;
    for (size_t i = 0; i < spi_volume_count(&both); i++)
        both.data[i] = 1;
    spi_border_cut(p->ref_border, NULL, &both);
    spi_border_cut(p->map_border, pose, &both);
    for (size_t i = 0; i < spi_volume_count(&both); i++)
        *count += (double)both.data[i];
    spi_volume_clear(&both);
    return SPI_OK;
}

struct scored_motion {
    struct spi_pose pose;
    double cc; /* where both maps hold something, q = 0 left out */
    double
        score; /* Fisher's z times the root of what is compared: little is easily alike */
};

static spi_err score_motion(const struct pair *p, struct scored_motion *j)
{
    static const double most = 1 - 1e-6; /* samples in single precision */
    struct spi_volume ref = {0}, moved = {0};
    double count;
    spi_err err;

    SPI_TRY(err = spi_volume_copy(p->ref, &ref), out);
    SPI_TRY(err = spi_pose_apply(p->map, &j->pose, ref.n, ref.step, &moved), out);
    spi_border_cut(p->map_border, &j->pose, &ref);
    spi_border_cut(p->ref_border, NULL, &moved);
    SPI_TRY(err = correlation(&ref, &moved, p->q_max, &j->cc), out);
    SPI_TRY(err = overlap(p, &j->pose, &count), out);
    j->score = atanh(fmin(j->cc, most)) * sqrt(count);
out:
    spi_volume_clear(&ref);
    spi_volume_clear(&moved);
    return err;
}

static int by_score(const void *pa, const void *pb)
{
    double a = ((const struct scored_motion *)pa)->score,
           b = ((const struct scored_motion *)pb)->score;

    return (a < b) - (a > b);
}

spi_err spi_border_align(const struct spi_volume *ref, const struct spi_border *ref_border,
                         const struct spi_volume *map, const struct spi_border *map_border,
                         double diameter_A, double q_max, struct spi_pose *pose, double *cc)
{
    const struct pair p = {.ref = ref,
                           .map = map,
                           .ref_border = ref_border,
                           .map_border = map_border,
                           .D = diameter_A,
                           .q_max = q_max};
    struct scored_motion best = {.pose = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}}},
                         j[SPI_FINALISTS];
    struct spi_pose finalist[SPI_FINALISTS];
    int n = 0;
    spi_err err;

    if (!ref_border->cut && !map_border->cut)
        return spi_align_densities(ref, map, diameter_A, q_max, NULL, pose, cc);
    SPI_TRY(err = score_motion(&p, &best), out); /* no motion at all wins a tie */
    SPI_TRY(err = spi_align_finalists(ref, map, diameter_A, q_max, finalist, &n), out);
    for (int i = 0; i < n; i++) {
        j[i] = (struct scored_motion){.pose = finalist[i]};
        SPI_TRY(err = spi_align_densities(ref, map, diameter_A, q_max, &finalist[i],
                                          &j[i].pose, &j[i].cc),
                out);
        SPI_TRY(err = score_motion(&p, &j[i]), out);
    }
    qsort(j, (size_t)n, sizeof *j, by_score);
    for (int i = 0; i < n && i < REFINED; i++) {
        SPI_TRY(err = refine(&p, &j[i].pose), out);
        SPI_TRY(err = score_motion(&p, &j[i]), out);
        if (j[i].score > best.score)
            best = j[i];
    }
    *pose = best.pose;
    *cc = best.cc;
out:
    return err;
}
