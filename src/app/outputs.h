/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * No result takes the place of what it was made from.  Layer: app. */
#ifndef SPI_APP_OUTPUTS_H
#define SPI_APP_OUTPUTS_H

#include "app/cmd.h"

/** Before any work: every output of a call (SPI_OUT, SPI_OUT_DIR) can be made, is none of
 *  its inputs (operands, SPI_PATH and texts that name a file, compared by device and inode,
 *  so that links are seen through), and is none of its other outputs.  From then on, opening a dataset of an input
 *  fails where its values lie in a file that is an output; `call` is borrowed until the
 * end. SPI_EUSAGE: an input, an output twice, a directory, a device, a pipe or a link;
 *  SPI_EIO: the file cannot be created there. */
SPI_MUSTUSE spi_err spi_outputs_check(const struct spi_call *call);
/** The command has ended. */
void spi_outputs_forget(void);

#endif
