/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel help [COMMAND]. */
#include <stdio.h>

#include "app/cmd.h"
#include "app/help.h"

static spi_err run(const struct spi_call *call)
{
    if (call->n_operands == 0) {
        spi_help_program(&spi_program, stdout);
        return SPI_OK;
    }

    const struct spi_cmd *cmd = spi_cmd_find(&spi_program, call->operand[0]);

    if (!cmd)
        return spi_cmd_unknown(&spi_program, call->operand[0]);
    spi_help_cmd(&spi_program, cmd, stdout);
    return SPI_OK;
}

const struct spi_cmd spi_cmd_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .max_operands = 1,
    .brief = "explain the program or one command",
    .about =
        "Without an operand lists the commands; with one explains that command: what it "
        "does and writes, its options with ranges and defaults, examples and exit codes.",
    .examples = {{"spinifel help settings", "what a command does and takes"}},
    .run = run,
};
