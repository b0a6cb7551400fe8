/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel version: what this program is made of. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/cmd.h"
#include "app/libraries.h"
#include "app/print.h"
#include "base/version.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

struct args {
    bool json;
};

static const struct spi_opt opts[] = {
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print one JSON object"},
    {0},
};

static const struct {
    const char *name, *version;
} libraries[] = {
#define X(name, version) {name, version},
    SPI_LIBRARIES(X)
#undef X
};
enum { N_LIBRARIES = sizeof libraries / sizeof *libraries };

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;

    if (!a->json) {
        printf("spinifel %s (%s), compiled by %s\n", SPI_VERSION, SPI_REVISION, COMPILER);
        for (int i = 0; i < N_LIBRARIES; i++)
            printf("  %-12s %s\n", libraries[i].name, libraries[i].version);
        return SPI_OK;
    }

    json_t *used = json_object();

    for (int i = 0; i < N_LIBRARIES; i++)
        json_object_set_new(used, libraries[i].name, json_string(libraries[i].version));
    return spi_print_json_take(json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", "spinifel",
                                         "version", SPI_VERSION, "revision", SPI_REVISION,
                                         "compiler", COMPILER, "libraries", used));
}

const struct spi_cmd spi_cmd_version = {
    .name = "version",
    .operands = "",
    .brief = "print the version, and those of the libraries",
    .about =
        "Prints the version of the program, the git revision that it was built from, and "
        "the versions of the libraries that it was built with.",
    .examples = {{"spinifel version", "for people"},
                 {"spinifel version --json", "for programs"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
