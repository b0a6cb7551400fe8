/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/h5_source.h"

#include <stdlib.h>

#include "base/mem.h"

/* The text attributes of the root that somebody asks for. */
static spi_err read_texts(const struct spi_h5_source *h)
{
    static const char *const names[] = {"convention", "program", "provenance"};
    enum { MOST = sizeof names / sizeof *names };
    struct spi_source *s = h->s;
    spi_err err;

    SPI_TRY(err = SPI_NEW(s->text, MOST, h->path), out);
    for (int i = 0; i < MOST; i++) {
        struct spi_text *t = s->text + s->n_texts;

        SPI_TRY(err = spi_h5_text(h->file, names[i], &t->value), out);
        if (!t->value)
            continue;
        s->n_texts++;
        if (!(t->name = spi_text_copy(names[i], h->path)))
            return SPI_ENOMEM;
    }
out:
    return err;
}

spi_err spi_h5_source_open(struct spi_peek *p, struct spi_source *s,
                           spi_err (*fill)(struct spi_h5_source *h), void **self)
{
    struct spi_h5_source *h;
    spi_err err = SPI_NEW(h, 1, "images");

    if (err)
        return err;
    *h = (struct spi_h5_source){.path = s->path, .file = p->file, .s = s};
    p->file = -1;
    spi_h5_lock();
    spi_h5_collect(&s->others);
    err = fill(h);
    if (!err)
        err = read_texts(h);
    spi_h5_collect(NULL);
    spi_h5_unlock();
    h->n = s->n;
    h->s = NULL;
    if (err)
        spi_h5_source_close(h);
    else
        *self = h;
    return err;
}

spi_err spi_h5_source_read(void *self, int64_t first, int64_t n, float *out)
{
    struct spi_h5_source *h = self;

    return spi_h5_rows_read_unlocked(h->rows, (hsize_t)first, (hsize_t)n, out);
}

void spi_h5_source_close(void *self)
{
    struct spi_h5_source *h = self;

    spi_h5_lock();
    spi_h5_rows_close(h->rows);
    H5Fclose(h->file);
    spi_h5_unlock();
    free(h);
}
