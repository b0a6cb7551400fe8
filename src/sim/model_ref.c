/* SPDX-License-Identifier: GPL-3.0-or-later */
/* model_ref.c, of sim/model.h: the sum over atoms in double. */
#include <math.h>

#include "math/rot.h"
#include "sim/formfactor.h"
#include "sim/model.h"

void spi_model_slice_ref(const struct spi_structure *s, bool use_b, int64_t n,
                         const double (*q)[3], const double quat[4], double *W)
{
    double R[9];

    spi_rot_matrix(quat, R);
    for (int64_t p = 0; p < n; p++) {
        double u[3], f0[SPI_FORMFACTOR_Z_MAX + 1] = {0}, re = 0, im = 0;

        spi_rot_apply_t(R, q[p], u);

        double len = sqrt(u[0] * u[0] + u[1] * u[1] + u[2] * u[2]);

        for (int64_t j = 0; j < s->n; j++) {
            const struct spi_atom *a = &s->atom[j];
            double phase = -2 * SPI_PI * (u[0] * a->x + u[1] * a->y + u[2] * a->z);

            if (f0[a->element] == 0)
                f0[a->element] = spi_formfactor(a->element, len);

            double f = (double)a->occupancy * f0[a->element];

            if (use_b)
                f *= spi_debye_waller((double)a->b_A2, len);
            re += f * cos(phase);
            im += f * sin(phase);
        }
        W[p] = re * re + im * im;
    }
}
