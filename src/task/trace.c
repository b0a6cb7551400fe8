/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"

struct spi_trace {
    FILE *to;
    char path[SPI_PATH_MAX], tmp[SPI_PATH_MAX];
};

spi_err spi_trace_new(const char *path, struct spi_trace **out)
{
    struct spi_trace *t = NULL;
    spi_err err = SPI_NEW(t, 1, "trace");
    int fd;

    *out = NULL;
    SPI_TRY(err, out);
    SPI_TRY(err = spi_file_create(path, t->tmp, &fd), out);
    SPI_TRY(err = spi_file_stream_take(t->tmp, fd, &t->to), out);
    snprintf(t->path, sizeof t->path, "%s", path); /* spi_file_create took it: it fits */
    *out = t;
    t = NULL;
out:
    free(t);
    return err;
}

static void list(FILE *to, const struct spi_trace_task *task, enum spi_privilege which)
{
    const char *comma = "";

    for (int i = 0; i < task->n; i++)
        if ((task->privilege[i] != SPI_READ) == (which != SPI_READ)) {
            fprintf(to, "%s%lld", comma, (long long)task->region[i]);
            comma = ", ";
        }
}

/* The rest of a line. */
static void put_note(FILE *to, const struct spi_note *note)
{
    fprintf(to,
            "\"alone_s\": %.6f, \"loops\": %lld, \"meets\": %lld, \"loops_s\": %.6f, "
            "\"loops_on_s\": [",
            note->alone_s, (long long)note->loops, (long long)note->meets, note->loops_s);
    for (int i = 0; i < SPI_NOTED; i++)
        fprintf(to, "%s%.6f", i ? ", " : "", note->on_s[i]);
    fputs("]}\n", to);
}

void spi_trace_task(struct spi_trace *t, const struct spi_trace_task *task)
{
    fprintf(t->to,
            "{\"task\": %lld, \"wait\": %lld, \"name\": \"%s\", \"start_s\": %.6f, "
            "\"wall_s\": %.6f, \"cpu_s\": %.6f, \"reads\": [",
            (long long)task->task, (long long)task->wait, task->name, task->start_s,
            task->wall_s, task->cpu_s);
    list(t->to, task, SPI_READ);
    fputs("], \"writes\": [", t->to);
    list(t->to, task, SPI_WRITE);
    fputs("], ", t->to);
    put_note(t->to, task->note);
}

void spi_trace_wait(struct spi_trace *t, int64_t wait, double wall_s, double cpu_s,
                    double wait_s, const struct spi_note *note)
{
    fprintf(t->to,
            "{\"wait\": %lld, \"before_wall_s\": %.6f, \"before_cpu_s\": %.6f, \"wait_s\": "
            "%.6f, ",
            (long long)wait, wall_s, cpu_s, wait_s);
    put_note(t->to, note);
}

spi_err spi_trace_finish_take(struct spi_trace *t)
{
    spi_err err = SPI_OK;
    bool had_error = ferror(t->to) != 0;

    errno = 0;
    if (fflush(t->to) == 0 && !had_error)
        err = spi_file_commit(t->tmp, t->path);
    else {
        err = spi_fail(SPI_EIO, "%s: cannot write it: %s", t->path,
                       errno ? strerror(errno) : "the disk may be full");
        unlink(t->tmp);
    }
    fclose(t->to);
    free(t);
    return err;
}

void spi_trace_drop(struct spi_trace *t)
{
    if (!t)
        return;
    unlink(t->tmp);
    fclose(t->to);
    free(t);
}
