/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel settings: all settings as a file that can be edited. */
#include <stdio.h>

#include "app/cmd.h"
#include "app/print.h"
#include "app/stage.h"

struct args {
    struct spi_settings_args settings;
};

static const struct spi_opt opts[] = {
    SPI_SETTINGS_OPTS(args, settings),
    {0},
};

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;
    struct spi_settings s;
    spi_err err = spi_settings_from_args(&a->settings, &s);

    if (err == SPI_OK)
        err = spi_stage_check_settings(&s);
    if (err == SPI_OK)
        spi_settings_dump(&s, stdout);
    return err;
}

const struct spi_cmd spi_cmd_settings = {
    .name = "settings",
    .operands = "",
    .brief = "print all settings, with defaults and help, as a file to edit",
    .about = "Prints every setting with its value, unit and meaning as a TOML file: the "
             "defaults, or the defaults changed by --settings and --set. A file with a "
             "mistake is refused with its line, so the command also checks a file.",
    .examples = {{"spinifel settings > my.toml", "begin a file of your own"},
                 {"spinifel settings --settings my.toml --set algorithm.rlambda=1e-3",
                  "check a file and see what a change makes of it"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
