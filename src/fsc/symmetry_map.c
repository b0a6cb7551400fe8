/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/symmetry_map.h"

#include <string.h>

#include "fsc/align.h"

spi_err spi_symmetry_average(struct spi_volume *map, int n, const double (*group)[9])
{
    struct spi_volume sum = {0}, rotated = {0};
    size_t count = spi_volume_count(map);
    spi_err err;

    if (n < 2)
        return SPI_OK;
    SPI_TRY(err = spi_volume_copy(map, &sum), out);
    for (int i = 1; i < n; i++) {
        struct spi_pose pose = {0};

        memcpy(pose.R, group[i], sizeof pose.R);
        spi_volume_clear(&rotated);
        SPI_TRY(err = spi_pose_apply(map, &pose, map->n, map->step, &rotated), out);
        for (size_t k = 0; k < count; k++)
            sum.data[k] += rotated.data[k];
    }
    for (size_t k = 0; k < count; k++)
        map->data[k] = sum.data[k] / (float)n;
out:
    spi_volume_clear(&rotated);
    spi_volume_clear(&sum);
    return err;
}
