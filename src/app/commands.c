/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The subcommands (listed in meson.build) and what the program says of itself. */
#include "app/commands.h"
#include "app/cmd.h"

#define X(name) extern const struct spi_cmd spi_cmd_##name;
SPI_COMMANDS(X)
#undef X

static const struct spi_cmd *const cmds[] = {
#define X(name) &spi_cmd_##name,
    SPI_COMMANDS(X)
#undef X
        NULL,
};

const struct spi_program spi_program = {
    .name = "spinifel",
    .brief = "from X-ray snapshots of single particles to a 3-D density",
    .about =
        "SpiniFEL finds the 3-D electron density of a particle from X-ray snapshots of "
        "randomly oriented copies of it, by multitiered iterative phasing: it repeats "
        "merge, phase, slice and match until two independent half sets of the images "
        "agree.\n\n"
        "Results go to standard output, messages to standard error.",
    .cmds = cmds,
};
