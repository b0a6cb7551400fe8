/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/kind.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "io/file.h"
#include "io/state.h"

enum { HEAD = 512 };

/* The name of each kind, and which commands read it. */
static const struct {
    const char *name, *readers;
} kinds[SPI_KINDS] = {
    [SPI_KIND_IMAGES] =
        {"images", "images, which reconstruct, merge, match and slice --geometry read"},
    [SPI_KIND_ORIENTATIONS] = {"orientations",
                               "orientations, which --orientations of merge, "
                               "slice and compare reads"},
    [SPI_KIND_MAP] = {"map", "a map, which compare, phase, slice and match --model read"},
    [SPI_KIND_STATE] = {"state", "the state of a run, which reconstruct --resume reads"},
    [SPI_KIND_METRICS] = {"metrics", "metrics of a run, which plot reads"},
    [SPI_KIND_STRUCTURE] = {"structure",
                            "a structure, which simulate and compare --truth read"},
};

const char *spi_kind_name(enum spi_kind kind)
{
    return kinds[kind].name;
}

const char *spi_kind_hint(enum spi_kind kind, char text[SPI_HINT_MAX])
{
    *text = 0;
    if (kind != SPI_KIND_UNKNOWN)
        snprintf(text, SPI_HINT_MAX, "; it holds %s", kinds[kind].readers);
    return text;
}

/* The length of a name without .gz behind. */
static size_t bare_length(const char *path)
{
    size_t n = strlen(path);

    return n > 3 && strcasecmp(path + n - 3, ".gz") == 0 ? n - 3 : n;
}

static bool ends_with(const char *path, size_t n, const char *end)
{
    size_t m = strlen(end);

    return n > m && strncasecmp(path + n - m, end, m) == 0;
}

bool spi_kind_is_structure_name(const char *path)
{
    static const char *const end[] = {".pdb", ".ent", ".cif", ".mmcif", NULL};
    size_t n = bare_length(path);

    while (n > 0 && isdigit((unsigned char)path[n - 1])) /* .pdb1: an assembly */
        n--;
    for (int i = 0; end[i]; i++)
        if (ends_with(path, n, end[i]))
            return true;
    return false;
}

bool spi_kind_is_structure_line(const char *line)
{
    static const char *const start[] = {"HEADER", "TITLE ", "REMARK", "CRYST1", "ATOM  ",
                                        "HETATM", "MODEL ", "data_",  NULL};

    for (int i = 0; start[i]; i++)
        if (strncmp(line, start[i], strlen(start[i])) == 0)
            return true;
    return false;
}

enum spi_kind spi_kind_of_bytes(const char *path, const char *head, size_t n)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    const char *line = head;

    if (strncmp(line, byte_order_mark, strlen(byte_order_mark)) == 0)
        line += strlen(byte_order_mark);
    if (n >= 212 && memcmp(head + 208, "MAP", 3) == 0)
        return SPI_KIND_MAP;
    if (spi_state_is(head, n))
        return SPI_KIND_STATE;
    if (ends_with(path, bare_length(path), ".jsonl"))
        return SPI_KIND_METRICS;
    if (spi_kind_is_structure_name(path) || spi_kind_is_structure_line(line))
        return SPI_KIND_STRUCTURE;
    return SPI_KIND_UNKNOWN;
}

spi_err spi_kind_of_file(const char *path, enum spi_kind *kind)
{
    char head[HEAD + 1] = "";
    spi_err err = spi_file_check(path);
    size_t n;
    FILE *fp;

    *kind = SPI_KIND_UNKNOWN;
    if (err)
        return err;
    fp = fopen(path, "rb");
    if (!fp)
        return spi_fail(SPI_EIO, "%s: cannot be read", path);
    n = fread(head, 1, HEAD, fp);
    fclose(fp);
    *kind = spi_kind_of_bytes(path, head, n);
    return SPI_OK;
}
