/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * An atom and its element.  Layer: io. */
#ifndef SPI_IO_ATOM_H
#define SPI_IO_ATOM_H

#include <stdint.h>

struct spi_atom {
    double x, y, z; /* A */
    float occupancy;
    float b_A2;      /* isotropic displacement parameter B, A^2 */
    uint8_t element; /* atomic number, 1..98 */
};

/** "C" of 6 and so on; "?" out of range. */
const char *spi_element_symbol(int z);
/** Atomic number of a symbol of 1-2 letters, any case; 0 if unknown. */
int spi_element_number(const char *symbol);

#endif
