/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/symmetry.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"

enum { FOLD_MAX = 64, ORDER_MAX = 2 * FOLD_MAX };

/* Two elements of a group of at most 128 rotations are 2 pi / 64 = 0.098 rad or more apart;
 * a product of a few exact ones is known to 1e-14. */
static const double same_rad = 0.01;

static void about(double x, double y, double z, int fold, double R[9])
{
    double s = 2 * SPI_PI / fold / sqrt(x * x + y * y + z * z);
    double v[3] = {s * x, s * y, s * z};

    spi_rot_from_vector(v, R);
}

/* Generators of a group in the standard frame; 0 if the name is not one. */
static int generators(const char *name, double g[2][9])
{
    char kind = (char)toupper((unsigned char)name[0]);
    char *end;
    long fold;

    if (strchr("TOI", kind) && kind && !name[1]) {
        about(1, 1, 1, 3, g[0]);
        if (kind == 'T')
            about(0, 0, 1, 2, g[1]);
        else if (kind == 'O')
            about(0, 0, 1, 4, g[1]);
        else
            about(0, 1, (1 + sqrt(5)) / 2, 5, g[1]);
        return 2;
    }
    if ((kind != 'C' && kind != 'D') || !isdigit((unsigned char)name[1]))
        return 0;
    fold = strtol(name + 1, &end, 10);
    if (*end || fold < 1 || fold > FOLD_MAX)
        return 0;
    about(0, 0, 1, (int)fold, g[0]);
    about(1, 0, 0, 2, g[1]);
    return kind == 'C' ? 1 : 2;
}

void spi_symmetry_normalise(char *name)
{
    double g[2][9];
    size_t zeros;

    if (generators(name, g) == 0)
        return;
    name[0] = (char)toupper((unsigned char)name[0]);
    zeros = strspn(name + 1, "0");
    memmove(name + 1, name + 1 + zeros, strlen(name + 1 + zeros) + 1);
}

static int find(int n, double (*ops)[9], const double R[9])
{
    for (int i = 0; i < n; i++)
        if (spi_rot_angle_between(ops[i], R) < same_rad)
            return i;
    return -1;
}

spi_err spi_symmetry_parse(const char *name, double (**ops)[9], int *n)
{
    double g[2][9], (*out)[9];
    int n_gen = generators(name, g), count = 1;

    *ops = NULL;
    *n = 0;
    if (n_gen == 0)
        return spi_fail(
            SPI_EINVAL,
            "symmetry: '%s' is no point group; need C1..C%d, D1..D%d, T, O or I", name,
            FOLD_MAX, FOLD_MAX);
    out = spi_alloc(ORDER_MAX, sizeof *out, "point group");
    if (!out)
        return SPI_ENOMEM;
    out[0][0] = out[0][4] = out[0][8] = 1;

    /* every element is a word in the generators: append generators until nothing is new */
    for (int i = 0; i < count; i++)
        for (int k = 0; k < n_gen && count < ORDER_MAX; k++) {
            double R[9];

            spi_rot_mul(out[i], g[k], R);
            if (find(count, out, R) < 0)
                spi_rot_nearest(R, out[count++]);
        }
    *ops = out;
    *n = count;
    return SPI_OK;
}

void spi_symmetry_rotate(int n, double (*ops)[9], const double U[9])
{
    for (int i = 0; i < n; i++) {
        double US[9];

        spi_rot_mul(U, ops[i], US);
        spi_rot_mul_nt(US, U, ops[i]);
    }
}

bool spi_symmetry_in_unit(int n, double (*ops)[9], const double dir[3])
{
    static const double nearest[3] = {0.80, 0.27, 0.53}; /* on no axis of any group */
    double own = dir[0] * nearest[0] + dir[1] * nearest[1] + dir[2] * nearest[2];

    for (int i = 1; i < n; i++) {
        double S[3];

        spi_rot_apply(ops[i], dir, S);
        if (S[0] * nearest[0] + S[1] * nearest[1] + S[2] * nearest[2] > own)
            return false;
    }
    return true;
}
