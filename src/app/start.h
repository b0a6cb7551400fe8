/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What must happen before main.  Layer: app; part of the program, not of the library.
 *
 * OpenBLAS starts one thread per core while it is loaded, long before main can say that one
 * is enough: tasks are what runs in parallel here.  Where threads or their memory cannot be
 * had, it hangs when the process ends.  So the process is held on one core until main. */
#ifndef SPI_APP_START_H
#define SPI_APP_START_H

#include "base/error.h"

/** First in main: all cores again.  SPI_ENOMEM when the limit on the address space (ulimit
 *  -v) leaves no room to work. */
SPI_MUSTUSE spi_err spi_start(void);

#endif
