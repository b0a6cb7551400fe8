/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of formats of images: each file is of one row, whose functions say what the rest of
 * the program sees; several threads may read at once. */
#include <pthread.h>
#include <string.h>

#include "io/source.h"
#include "io_test.h"
#include "tap.h"

enum { THREADS = 4, ROUNDS = 20 };

struct reader {
    const struct spi_source_format *f;
    void *self;
    int64_t n, n_pixels;
    const float *want; /* [n][n_pixels] */
    int64_t wrong;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    float *one = calloc((size_t)r->n_pixels, sizeof *one);

    for (int64_t k = 0; one && k < ROUNDS * r->n; k++)
        r->wrong += r->f->read(r->self, k % r->n, 1, one) != SPI_OK ||
                    memcmp(one, r->want + k % r->n * r->n_pixels,
                           (size_t)r->n_pixels * sizeof *one) != 0;
    free(one);
    return NULL;
}

static void at_once(const struct spi_source_format *f, void *self,
                    const struct spi_source *s, const float *want)
{
    struct reader reader[THREADS];
    pthread_t thread[THREADS];
    int64_t wrong = 0;

    for (int i = 0; i < THREADS; i++) {
        reader[i] = (struct reader){f, self, s->n, s->det.n_pixels, want, 0};
        NEED(!pthread_create(thread + i, NULL, read_all, reader + i));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        wrong += reader[i].wrong;
    }
    OK(wrong == 0, "%s: %d threads read the same at once", f->name, THREADS);
}

/* A file of row `name`; truth: it holds orientations. */
static void one(const char *path, const char *name, bool truth)
{
    const struct spi_source_format *f;
    struct spi_source s = {.path = path};
    struct spi_image_truth t = {0};
    struct spi_images *im = NULL;
    struct spi_peek p;
    float *raw, *checked;
    void *self = NULL;
    int rows = 0;
    int64_t size, different = 0;

    NEED(!spi_peek_open(path, &p) && p.hdf5 && p.file >= 0);
    for (int i = 0; spi_source_formats[i]; i++)
        rows += spi_source_formats[i]->probe(&p);
    f = spi_source_format_of(&p);
    OK(rows == 1 && f && strcmp(f->name, name) == 0, "%s: of one row", name);
    NEED(f && !f->open(&p, &s, &self) && self);
    OK(p.file < 0, "the open file is taken over");
    spi_peek_close(&p);
    NEED(!spi_images_open(path, &im));
    OK(s.n == spi_images_count(im) && s.kind == spi_images_kind(im) &&
           s.det.n_pixels == spi_images_detector(im)->n_pixels &&
           strcmp(spi_images_layout(im), name) == 0 &&
           strcmp(s.type_on_disk, spi_images_type(im)) == 0,
       "%lld images of %lld pixels, %s", (long long)s.n, (long long)s.det.n_pixels,
       s.type_on_disk);
    size = s.n * s.det.n_pixels;
    raw = calloc((size_t)size, sizeof *raw);
    checked = calloc((size_t)size, sizeof *checked);
    NEED(raw && checked && !f->read(self, 0, s.n, raw) &&
         !spi_images_read(im, 0, s.n, checked));
    for (int64_t i = 0; i < size; i++)
        different += !s.det.bad[i % s.det.n_pixels] && raw[i] != checked[i];
    OK(different == 0, "the same values");
    at_once(f, self, &s, raw);
    if (f->truth)
        OK(!f->truth(self, &t) && (t.quat != NULL) == truth, "its truth");
    spi_truth_clear(&t);
    f->close(self);
    spi_source_clear(&s);
    spi_images_close(im);
    free(raw);
    free(checked);
}

static void none(const char *path, bool broken)
{
    struct spi_peek p;

    NEED(!spi_peek_open(path, &p));
    OK((p.err != SPI_OK) == broken && !spi_source_format_of(&p), "%s: of no row",
       broken ? "HDF5 that cannot be opened" : "a structure");
    spi_peek_close(&p);
}

static void table(void)
{
    for (int i = 0; spi_source_formats[i]; i++) {
        const struct spi_source_format *f = spi_source_formats[i];

        OK(*f->name && *f->says && f->centre_advice && f->probe && f->open && f->read &&
               f->close,
           "%s is whole", f->name);
        for (int j = 0; j < i; j++)
            OK(strcmp(f->name, spi_source_formats[j]->name) != 0,
               "and has a name of its own");
    }
}

int main(void)
{
    static const unsigned char broken[64] = "\x89HDF\r\n\x1a\n and nothing else";
    FILE *fp;

    make_tmp("source");
    table();
    one(in_data("../tests/cases/mask_bool.h5"), "spinifel", true);
    one(in_data("skopi_2cex_cmtip_layout_4.h5"), "cmtip", true);
    one(in_data("../tests/cases/cheetah.cxi"), "cxi", false);
    none(in_data("structures/caffeine.pdb"), false);
    fp = fopen(in_tmp("broken.h5"), "wb");
    OK(fp && fwrite(broken, 1, sizeof broken, fp) == sizeof broken && fclose(fp) == 0,
       "a broken file is made");
    none(in_tmp("broken.h5"), true);
    return tap_done();
}
