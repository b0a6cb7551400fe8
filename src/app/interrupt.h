/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Ctrl-C, kill, and a terminal that closes.  Layer: app. */
#ifndef SPI_APP_INTERRUPT_H
#define SPI_APP_INTERRUPT_H

/** From now on SIGINT, SIGTERM and SIGHUP (unless it is ignored, as under nohup) only set a
 * flag, whose place is returned: hand it to what takes a `stop`, which then ends with
 * SPI_ECANCEL.  A second signal ends the process. */
const volatile int *spi_interrupt_catch(void);

#endif
