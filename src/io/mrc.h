/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * MRC2014 / CCP4 maps.  Layer: io.  doc/formats.md, "Maps".
 *
 * Read: modes 0, 1, 2, 6, 12; either byte order; any axis order (MAPC/MAPR/MAPS);
 * extended header skipped.  Written: mode 2, little-endian, ISPG 1, statistics filled.
 * Words are numbered from 1 as in the standard. */
#ifndef SPI_IO_MRC_H
#define SPI_IO_MRC_H

#include <stdbool.h>

#include "math/volume.h"

/** What a header says, for `spinifel info`. */
struct spi_mrc_info {
    int n[3]; /* NX NY NZ after the axes are put in x, y, z order */
    int mode;
    bool big_endian;
    int axes[3];         /* MAPC MAPR MAPS: the axis of columns, rows and sections, 1 = x */
    int start[3];        /* NXSTART NYSTART NZSTART in x, y, z order */
    int space_group;     /* word 23 */
    int extended_bytes;  /* word 24, NSYMBT */
    int m[3];            /* MX MY MZ */
    double cell_A[3];    /* CELLA */
    double voxel_A[3];   /* CELLA / MX in x, y, z order; 0: the header does not tell */
    double angle_deg[3]; /* alpha beta gamma */
    double origin_A[3];  /* words 50-52 */
    double minimum, maximum, mean, rms; /* of the data as read; rms about the mean */
    char labels[10][81];
    int n_labels;
};

/** A map as it stands in its file, of any shape and cell; axes put in x, y, z order. */
struct spi_mrc_map {
    struct spi_mrc_info info;
    float *data; /* [n[2]][n[1]][n[0]], x fastest, owned */
};

/** SPI_EIO: missing, truncated; SPI_EFORMAT: the message names word, value and need, or the
 *  voxel that is not finite.  Memory: 4 bytes a voxel, asked for only after the file's
 * length has been found to hold what the header promises. */
SPI_MUSTUSE spi_err spi_mrc_read_map(const char *path, struct spi_mrc_map *map);
/** Release what the struct owns. */
void spi_mrc_map_clear(struct spi_mrc_map *map);

/** Read a cubic map.  Non-cubic maps or unequal voxel sizes (by more than 1e-3) are padded
 *  to the smallest even cube (zeros) or refused with a message, respectively; odd sides are
 *  padded by one plane.  The physical centre voxel n/2 of the padded cube is voxel
 *  floor(n/2) of the map.  Cells that are not rectangular, and maps more than 8 times
 * longer than thick, are refused.  `info` may be NULL. SPI_EIO: missing, truncated;
 * SPI_EFORMAT: the message names word, value and need. */
SPI_MUSTUSE spi_err spi_mrc_read(const char *path, struct spi_volume *vol,
                                 struct spi_mrc_info *info);
/** The same, with the size of a voxel where the header has none (0: such a map is refused).
 */
SPI_MUSTUSE spi_err spi_mrc_read_voxel(const char *path, double voxel_A,
                                       struct spi_volume *vol, struct spi_mrc_info *info);

/** Write atomically (a temporary file, then rename).  `labels`: up to 10 lines of at most
 * 80 characters, NULL-terminated list, may be NULL.  Voxel size = vol->step; the origin
 * (words 50-52) is that of voxel 0, -(n/2) step, so that viewers put the centre voxel at
 * (0, 0, 0). SPI_EINVAL: labels too long or too many, data not finite; SPI_EIO: disk full
 * ... */
SPI_MUSTUSE spi_err spi_mrc_write(const char *path, const struct spi_volume *vol,
                                  const char *const *labels);

#endif
