/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine `serial`: a task runs when it is submitted.  The reference of all others.
 * `copies` is the same engine; graph.c gives its tasks copies. */
#include "task/engine.h"

static spi_err start(int workers, void **self, int *got, const char **why)
{
    (void)workers;
    *self = NULL;
    *got = 1;
    *why = NULL; /* one worker is what this engine is for */
    return SPI_OK;
}

static void stop(void *self)
{
    (void)self;
}

/* Order needs no regions. */
static spi_err region_new(void *self, void **region)
{
    (void)self;
    *region = NULL;
    return SPI_OK;
}

static void region_free(void *self, void *region)
{
    (void)self;
    (void)region;
}

static spi_err submit(void *self, struct spi_task *t, int n,
                      const struct spi_engine_access *access)
{
    (void)self;
    (void)n;
    (void)access;
    spi_task_run(t);
    return SPI_OK;
}

static void wait_all(void *self)
{
    (void)self;
}

#define ONE_AFTER_ANOTHER                                                               \
    .start = start, .stop = stop, .region_new = region_new, .region_free = region_free, \
    .submit = submit, .wait = wait_all

const struct spi_engine spi_engine_serial = {.name = "serial", ONE_AFTER_ANOTHER};
const struct spi_engine spi_engine_copies = {
    .name = "copies", .copies = true, ONE_AFTER_ANOTHER};
