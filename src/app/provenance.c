/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/provenance.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/version.h"
#include "io/hash.h"

json_t *spi_json_name(const char *text)
{
    json_t *s = json_string(text);
    char printable[4 * 4096];

    return s ? s : json_string(spi_text_printable(text, printable, sizeof printable));
}

spi_err spi_inputs_hash(int n, struct spi_input *input)
{
    spi_err err = SPI_OK;

    for (int i = 0; i < n && !err; i++)
        err = input[i].images ? spi_images_sha256(input[i].images, input[i].sha256)
                              : spi_file_sha256(input[i].path, input[i].sha256);
    return err;
}

/* Value of an option as JSON. */
static json_t *value_of(const struct spi_opt *o, const void *at)
{
    const struct spi_texts *texts = at;
    const struct spi_reals *reals = at;
    json_t *list;

    switch (o->kind) {
    case SPI_OPT_FLAG:
        return json_boolean(*(const bool *)at);
    case SPI_OPT_INT:
        return json_integer(*(const int *)at);
    case SPI_OPT_COUNT:
        return json_integer((json_int_t) * (const int64_t *)at);
    case SPI_OPT_REAL:
        return json_real(*(const double *)at);
    case SPI_OPT_SIZE:
        return json_pack("[i,i]", ((const int *)at)[0], ((const int *)at)[1]);
    case SPI_OPT_TEXTS:
        list = json_array();
        for (int i = 0; i < texts->n; i++)
            json_array_append_new(list, spi_json_name(texts->item[i]));
        return list;
    case SPI_OPT_REALS:
        list = json_array();
        for (int i = 0; i < reals->n; i++)
            json_array_append_new(list, json_real(reals->x[i]));
        return list;
    default:
        return spi_json_name(*(const char *const *)at);
    }
}

static json_t *options_given(const struct spi_call *call)
{
    json_t *all = json_object();

    for (int i = 0; call->cmd->opts && call->cmd->opts[i].name; i++) {
        const struct spi_opt *o = &call->cmd->opts[i];

        if (call->given[i])
            json_object_set_new(all, o->name,
                                value_of(o, (const char *)call->args + o->at));
    }
    return all;
}

static json_t *inputs_of(int n, const struct spi_input *input)
{
    json_t *all = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(all, json_pack("{s:s, s:o, s:s}", "role", input[i].role,
                                             "file", spi_json_name(input[i].path), "sha256",
                                             input[i].sha256));
    return all;
}

spi_err spi_provenance(const struct spi_call *call, int n, const struct spi_input *input,
                       const struct spi_settings *set, json_t *numbers, char **text)
{
    char *settings = NULL;
    size_t len;
    FILE *f = set ? open_memstream(&settings, &len) : NULL;
    json_t *o;

    *text = NULL;
    if (f) {
        spi_settings_dump(set, f);
        fclose(f);
    }
    o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "program", "spinifel", "version",
                  SPI_VERSION, "revision", SPI_REVISION, "command", call->cmd->name,
                  "options", options_given(call), "inputs", inputs_of(n, input));
    if (o && settings)
        json_object_set_new(o, "settings", json_string(settings));
    if (o && numbers)
        json_object_update(o, numbers);
    *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    free(settings);
    return *text ? SPI_OK : spi_no_memory(call->cmd->name, 0);
}

void spi_labels_make(struct spi_labels *l, const struct spi_call *call, int n,
                     const struct spi_input *input, const char *fmt, ...)
{
    va_list ap;
    char words[512];
    int rows = 0;

    snprintf(l->text[rows++], sizeof l->text[0], "spinifel %s (%s) %s", SPI_VERSION,
             SPI_REVISION, call->cmd->name);
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    for (char *line = words; line && rows < SPI_LABELS_MAX;) {
        char *end = strchr(line, '\n');

        snprintf(l->text[rows++], sizeof l->text[0], "%.*s",
                 end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
    }
    for (int i = 0; i < n && rows < SPI_LABELS_MAX; i++)
        snprintf(l->text[rows++], sizeof l->text[0], "%.8s sha256 %s", input[i].role,
                 input[i].sha256);
    for (int i = 0; i < rows; i++)
        l->line[i] = l->text[i];
    l->line[rows] = NULL;
}
