/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In place of starpu.c where the library is not there. */
#include "task/engine.h"

const struct spi_engine spi_engine_starpu = {
    .name = "starpu", .why_not = "this program was built without the StarPU library"};
