/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/formfactor.h"

#include <assert.h>
#include <math.h>

static const struct {
    double a[5], b[5], c;
} table[SPI_FORMFACTOR_Z_MAX + 1] = {
#include "sim/formfactor_table.h"
};

double spi_formfactor(int z, double q_invA)
{
    assert(z >= 1 && z <= SPI_FORMFACTOR_Z_MAX);

    double s2 = q_invA * q_invA / 4, f = table[z].c;

    for (int i = 0; i < 5; i++)
        f += table[z].a[i] * exp(-table[z].b[i] * s2);
    return f;
}

double spi_debye_waller(double b_A2, double q_invA)
{
    return b_A2 > 0 ? exp(-b_A2 * q_invA * q_invA / 4) : 1;
}
