/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/array.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/array_priv.h"
#include "task/copies.h"
#include "task/graph.h"

static bool by_copies(const struct spi_array *a)
{
    return spi_graph_engine(a->g)->copies;
}

int64_t spi_array_part_rows(const struct spi_array *a, int part, int64_t *first)
{
    const struct spi_array_shape *s = &a->shape;
    int64_t from, to;

    if (part == SPI_WHOLE) {
        from = 0;
        to = s->rows;
    } else if (s->part_rows > 0) {
        from = part * s->part_rows;
        to = part == s->parts - 1 ? s->rows : from + s->part_rows;
    } else {
        from = s->rows * part / s->parts;
        to = s->rows * (part + 1) / s->parts;
    }
    if (first)
        *first = from;
    return to - from;
}

int64_t spi_array_elements(const struct spi_array *a, int part, size_t *at_byte)
{
    int64_t first, rows = spi_array_part_rows(a, part, &first);

    if (at_byte)
        *at_byte = (size_t)(first * a->shape.columns) * a->shape.item;
    return rows * a->shape.columns;
}

static void unlink_array(struct spi_array *a)
{
    struct spi_array **head = spi_graph_arrays(a->g);

    if (a->prev)
        a->prev->next = a->next;
    else if (*head == a)
        *head = a->next;
    if (a->next)
        a->next->prev = a->prev;
}

/* Everything but the memory. */
static spi_err frame(struct spi_graph *g, const struct spi_array_shape *shape, bool ragged,
                     struct spi_array **out)
{
    struct spi_array *a = NULL, **head = spi_graph_arrays(g);
    spi_err err = SPI_NEW(a, 1, shape->name);

    *out = NULL;
    if (err)
        return err;
    *a = (struct spi_array){.g = g, .shape = *shape, .ragged = ragged, .next = *head};
    if (a->next)
        a->next->prev = a;
    *head = a;
    a->whole.number = -1;
    if (a->shape.parts < 1)
        a->shape.parts = 1;
    SPI_TRY(err = spi_graph_region(g, &a->whole), fail);
    if (ragged)
        SPI_TRY(err = SPI_NEW(a->piece, a->shape.parts, shape->name), fail);
    if (a->shape.parts > 1) {
        SPI_TRY(err = SPI_NEW(a->part, a->shape.parts, shape->name), fail);
        for (int i = 0; i < a->shape.parts; i++)
            a->part[i].number = -1;
        for (int i = 0; i < a->shape.parts; i++)
            SPI_TRY(err = spi_graph_region(g, &a->part[i]), fail);
    }
    *out = a;
    return SPI_OK;
fail:
    spi_array_free(g, a);
    return err;
}

static spi_err own_memory(struct spi_array *a)
{
    const struct spi_array_shape *s = &a->shape;
    size_t n = (size_t)(s->rows * s->columns);

    if (by_copies(a))
        return spi_copies_master(n * s->item, s->name, &a->base);
    a->base =
        s->unset ? spi_alloc_unset(n, s->item, s->name) : spi_alloc(n, s->item, s->name);
    return a->base ? SPI_OK : SPI_ENOMEM;
}

spi_err spi_array_new(struct spi_graph *g, const struct spi_array_shape *shape,
                      struct spi_array **out)
{
    spi_err err = frame(g, shape, false, out);

    if (!err && (err = own_memory(*out)) != SPI_OK) {
        spi_array_free(g, *out);
        *out = NULL;
    }
    return err;
}

spi_err spi_array_wrap(struct spi_graph *g, const struct spi_array_shape *shape, void *data,
                       struct spi_array **out)
{
    spi_err err = frame(g, shape, false, out);

    if (err)
        return err;
    (*out)->wrapped = true;
    (*out)->base = data;
    if (by_copies(*out) && (err = spi_copies_wrap(*out)) != SPI_OK) {
        (*out)->base = NULL;
        spi_array_free(g, *out);
        *out = NULL;
    }
    return err;
}

spi_err spi_array_ragged(struct spi_graph *g, const struct spi_array_shape *shape,
                         struct spi_array **out)
{
    return frame(g, shape, true, out);
}

static void free_memory(struct spi_array *a)
{
    if (by_copies(a)) {
        spi_copies_free(a);
        return;
    }
    if (!a->wrapped)
        free(a->base);
    for (int i = 0; i < a->shape.parts && a->piece; i++)
        free(a->piece[i].data);
}

/* Of the array itself: nobody else has it now. */
static spi_err task_release(struct spi_view *v, const void *arg, const volatile int *stop)
{
    struct spi_array *a = *(struct spi_array *const *)arg;

    (void)v;
    (void)stop;
    free(a->base);
    a->base = NULL;
    return SPI_OK;
}

spi_err spi_array_release(struct spi_graph *g, struct spi_array *a)
{
    const struct spi_access all = {a, SPI_WHOLE, SPI_READ_WRITE};

    if (by_copies(a) || a->wrapped || a->ragged) /* copies: memory is not what it is for */
        return SPI_OK;
    return spi_graph_submit(g, "release", task_release, &a, sizeof a, 1, &all);
}

void spi_array_free(struct spi_graph *g, struct spi_array *a)
{
    if (!a)
        return;
    for (int i = 0; i < a->shape.parts && a->part; i++)
        spi_graph_region_free(g, &a->part[i]);
    spi_graph_region_free(g, &a->whole);
    free_memory(a);
    unlink_array(a);
    free(a->part);
    free(a->piece);
    free(a);
}

void *spi_array_data(struct spi_array *a, int part, int64_t *n)
{
    size_t at;

    if (by_copies(a))
        spi_copies_open(a);
    if (a->ragged) {
        if (n)
            *n = a->piece[part].n;
        return a->piece[part].data;
    }

    int64_t count = spi_array_elements(a, part, &at);

    if (n)
        *n = count;
    return (char *)a->base + at;
}

void spi_view_give(struct spi_view *v, void *data, int64_t n)
{
    free(v->given->data);
    v->given->data = v->data = data;
    v->given->n = v->n = n;
}
