/** \file
 * MRC2014 / CCP4 maps.  Layer: io.  doc/formats.md section 2.
 *
 * Read: modes 0, 1, 2, 6, 12; either byte order; any axis order (MAPC/MAPR/MAPS);
 * extended header skipped.  Written: mode 2, little-endian, ISPG 1, statistics filled.
 * Words are numbered from 1 as in the standard. */
#ifndef SPI_IO_MRC_H
#define SPI_IO_MRC_H

#include "math/volume.h"

/** What a header says, for `spinifel info`. */
struct spi_mrc_info {
    int n[3]; /* NX NY NZ after the axes are put in x, y, z order */
    int mode;
    double voxel_A[3];
    double origin_A[3];                 /* words 50-52 */
    double minimum, maximum, mean, rms; /* of the data as read */
    char labels[10][81];
    int n_labels;
};

/** Read a cubic map.  Non-cubic maps or unequal voxel sizes (by more than 1e-3) are padded
 *  to the smallest even cube (zeros) or refused with a message, respectively; odd sides are
 *  padded by one plane.  The physical centre voxel n/2 of the padded cube is voxel
 *  floor(n/2) of the map.  `info` may be NULL.
 *  SPI_EIO: missing, truncated; SPI_EFORMAT: the message names word, value and need. */
SPI_MUSTUSE spi_err spi_mrc_read(const char *path, struct spi_volume *vol,
                                 struct spi_mrc_info *info);

/** Write atomically (PATH.tmp, then rename).  `labels`: up to 10 lines of at most 80
 *  characters, NULL-terminated list, may be NULL.  Voxel size = vol->step. */
SPI_MUSTUSE spi_err spi_mrc_write(const char *path, const struct spi_volume *vol,
                                  const char *const *labels);

#endif
