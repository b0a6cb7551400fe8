/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel info: what is in a file. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "app/cmd.h"
#include "app/print.h"
#include "base/text.h"
#include "io/h5.h"
#include "io/info.h"

struct args {
    bool json, follow_external;
};

static const struct spi_opt opts[] = {
    {0, "json", SPI_FLAG(args, json), 0, 0, "",
     "print JSON: one object, or for several files a list of them"},
    {0, "follow-external", SPI_FLAG(args, follow_external), 0, 0, "",
     "read datasets whose values are raw bytes of other files"},
    {0},
};

enum { VALUE_COLUMN = 25, WIDTH = 79, TEXT_MAX = 4096 };

static bool is_leaf(const json_t *v)
{
    return !json_is_object(v) && !json_is_array(v);
}

/* Nothing worth a line for people; JSON has it. */
static bool is_empty(const json_t *v)
{
    return json_is_null(v) || (json_is_string(v) && !*json_string_value(v)) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static void leaf_text(const json_t *v, char *out, size_t size)
{
    if (json_is_string(v))
        snprintf(out, size, "%s", json_string_value(v));
    else if (json_is_integer(v))
        snprintf(out, size, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(out, size, "%.6g", json_real_value(v));
    else
        snprintf(out, size, "%s",
                 json_is_true(v)    ? "yes"
                 : json_is_false(v) ? "no"
                                    : "unknown");
}

/* "  key    words", wrapped.  Key and text may come from a file: what a terminal would
 * obey, and line feeds, are escaped. */
static void print_line(const char *key, int depth, const char *from)
{
    char text[4 * TEXT_MAX], name[TEXT_MAX];
    int column = printf("%*s%-*s ", 2 * depth, "", VALUE_COLUMN - 1 - 2 * depth,
                        spi_text_printable(key, name, sizeof name));

    spi_text_printable(from, text, sizeof text);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        int len = (int)strlen(word);

        if (column + 1 + len > WIDTH && column > VALUE_COLUMN)
            column = printf("\n%*s", VALUE_COLUMN, "") - 1;
        else if (column > VALUE_COLUMN)
            column += printf(" ");
        column += printf("%s", word);
    }
    putchar('\n');
}

static void print_title(const char *key, int depth)
{
    char name[TEXT_MAX];

    printf("%*s%s\n", 2 * depth, "", spi_text_printable(key, name, sizeof name));
}

static void print_value(const char *key, const json_t *v, int depth);

/* Lists of numbers and words on one line, others one element a line. */
static void print_list(const char *key, const json_t *list, int depth)
{
    char text[TEXT_MAX] = "", one[1024];
    size_t i, n = json_array_size(list);
    json_t *v;
    bool flat = true;

    json_array_foreach(list, i, v) flat = flat && is_leaf(v);
    if (!flat || n > 32) {
        print_title(key, depth);
        json_array_foreach(list, i, v) print_value("-", v, depth + 1);
        return;
    }
    json_array_foreach(list, i, v)
    {
        size_t used = strlen(text);

        leaf_text(v, one, sizeof one);
        snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", one);
    }
    print_line(key, depth, text);
}

static void print_value(const char *key, const json_t *v, int depth)
{
    const char *name;
    json_t *child;
    char text[TEXT_MAX];

    if (is_empty(v))
        return;
    if (json_is_array(v))
        print_list(key, v, depth);
    else if (json_is_object(v)) {
        print_title(key, depth);
        json_object_foreach((json_t *)(uintptr_t)v, name,
                            child) if (depth > 0 || strcmp(name, "file") !=
                                                        0) /* the title has it already */
            print_value(name, child, depth + 1);
    } else {
        leaf_text(v, text, sizeof text);
        print_line(key, depth, text);
    }
}

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;
    json_t *list = json_array();
    spi_err first = SPI_OK;
    int failed = 0;

    spi_h5_follow_external(a->follow_external);
    for (int i = 0; i < call->n_operands; i++) {
        json_t *one = NULL;
        spi_err err = spi_file_info(call->operand[i], &one);

        if (err) {
            /* The last message is main's; those of the other files go out at once. */
            if (call->n_operands > 1)
                fprintf(stderr, "spinifel: %s\n", spi_err_message());
            first = first ? first : err;
            failed++;
        } else if (a->json)
            json_array_append_new(list, one);
        else {
            print_value(call->operand[i], one, 0);
            json_decref(one);
        }
    }
    if (a->json && json_array_size(list) > 0) {
        json_t *all = call->n_operands == 1 ? json_incref(json_array_get(list, 0))
                                            : json_incref(list);
        spi_err err = spi_print_json_take(all);

        first = first ? first : err;
    }
    json_decref(list);
    if (failed && call->n_operands > 1)
        return spi_fail(first, "info: %d of %d files could not be read", failed,
                        call->n_operands);
    return first;
}

const struct spi_cmd spi_cmd_info = {
    .name = "info",
    .operands = "FILE...",
    .min_operands = 1,
    .max_operands = -1,
    .brief = "what is in a file: kind, shape, units, statistics, provenance",
    .about =
        "Describes any file that the program knows - images, maps, orientations, "
        "structures, metrics, states of runs: the kind of the file, its shape and units, "
        "its statistics, and its provenance (the version, settings and inputs that made "
        "it).\n\n"
        "Nothing is written. A file that cannot be read is reported and the others are "
        "still shown; the exit status is then 1.",
    .examples = {{"spinifel info images.h5",
                  "images: detector, wavelength, photons per image"},
                 {"spinifel info --json run1/density.mrc", "a map, for a program"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
