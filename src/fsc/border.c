#include "fsc/border.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
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

/* The level, and whether all of the border stands there, (F14). */
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

/* The ellipsoid with its soft edge at p (A from the middle), (F15). */
static double inside(const struct spi_border *b, double step, const double p[3])
{
    double r2 = 0, least = fmin(b->half_A[0], fmin(b->half_A[1], b->half_A[2]));
    double width = edge_px * step / least, r;

    for (int k = 0; k < 3; k++)
        r2 += p[k] / b->half_A[k] * (p[k] / b->half_A[k]);
    r = sqrt(r2);
    if (r >= 1)
        return 0;
    if (r <= 1 - width)
        return 1;
    return (1 + cos(SPI_PI * (r - 1 + width) / width)) / 2;
}

void spi_border_cut(const struct spi_border *border, const struct spi_pose *pose,
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
                    (float)inside(border, vol->step, p);
            }
}
