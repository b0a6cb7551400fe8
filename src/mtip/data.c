#include "mtip/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/half.h"

enum { BLOCK = 256, SLOTS = 4, IMAGES_LEAST = 64 };
enum { MEMORY_SHARE = 3 }; /* of the memory that is free a third may hold records */
static const double typical_counts = 1e5;

/* One block on its way: pixels -> records. */
struct block {
    struct spi_data *d;
    float *pixels;                  /* [BLOCK][n_pixels] */
    float *samples;                 /* [samples] */
    float complex *h;               /* [harmonics] */
    char *records;                  /* [BLOCK], as they are stored */
    double *sum, *sum2, *pixel_sum; /* per ring, per ring, per pixel: of this slot */
    struct spi_region *region;
};

/* A record of H harmonics: the scale in as many bytes as keep vectors in cache lines, then
 * halves. */
enum { HEAD = 32 };

static size_t record_bytes(int H)
{
    return HEAD + 2 * (size_t)H * sizeof(uint16_t);
}

static void pack_record(int H, const float complex *h, char *record)
{
    float scale = spi_half_pack(2 * (int64_t)H, (const float *)h,
                                (uint16_t *)(void *)(record + HEAD));

    memcpy(record, &scale, sizeof scale);
}

struct ingest_args {
    int64_t first, n;
};

static void add_moments(const struct spi_data *d, const float *samples, struct block *b)
{
    const struct spi_rings *g = &d->rings;

    for (int r = 0; r < g->R; r++) {
        double live = (double)crealf(d->map.live_h[g->h_at[r]]) / g->n[r];

        for (int i = g->at[r]; i < g->at[r + 1]; i++) {
            if ((double)d->map.live[i] < 0.2 * live)
                continue;

            double v = (double)samples[i] / (double)d->map.live[i];

            b->sum[r] += v;
            b->sum2[r] += v * v;
        }
    }
}

static spi_err ingest_block(void *const *data, const void *arg, const volatile int *stop)
{
    struct block *b = data[0];
    const struct ingest_args *a = arg;
    struct spi_data *d = b->d;
    int64_t n_pixels = d->det->n_pixels;
    int H = d->rings.h_at[d->rings.R];
    spi_err err = spi_images_read(d->images, a->first, a->n, b->pixels);

    for (int64_t k = 0; k < a->n && !err; k++) {
        float *image = b->pixels + k * n_pixels;

        if (*stop)
            return spi_fail(SPI_ECANCEL, "stopped on request");
        for (int64_t p = 0; p < n_pixels; p++) {
            image[p] *= (float)d->scale;
            b->pixel_sum[p] += (double)image[p];
        }
        spi_ring_resample(&d->map, &d->rings, image, b->samples);
        add_moments(d, b->samples, b);
        err = spi_ring_analyse(&d->rings, d->rings.R, b->samples, b->h);
        pack_record(H, b->h, b->records + (size_t)k * record_bytes(H));
    }
    return err ? err : spi_store_write(d->store, a->first, a->n, b->records);
}

static spi_err block_init(struct block *b, struct spi_data *d, struct spi_graph *g)
{
    const struct spi_rings *r = &d->rings;
    spi_err err;

    *b = (struct block){.d = d};
    SPI_TRY(err = SPI_NEW(b->pixels, BLOCK * d->det->n_pixels, "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->samples, r->at[r->R], "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->h, r->h_at[r->R], "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->records, BLOCK * record_bytes(r->h_at[r->R]), "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->sum, r->R, "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->sum2, r->R, "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->pixel_sum, d->det->n_pixels, "ingest"), out);
    SPI_TRY(err = spi_region_new(g, b, sizeof *b, &b->region), out);
out:
    return err;
}

static void block_clear(struct block *b, struct spi_graph *g)
{
    spi_region_free(g, b->region);
    free(b->pixels);
    free(b->samples);
    free(b->h);
    free(b->records);
    free(b->sum);
    free(b->sum2);
    free(b->pixel_sum);
}

/* Moments of all slots -> ring means, variances, mean image. */
static spi_err summarise(struct spi_data *d, const struct block *slot)
{
    const struct spi_rings *g = &d->rings;
    double total = 0, n = (double)d->n_images;

    for (int r = 0; r < g->R; r++) {
        double live = (double)crealf(d->map.live_h[g->h_at[r]]) / g->n[r], sum = 0,
               sum2 = 0;
        double used = 0;

        for (int i = g->at[r]; i < g->at[r + 1]; i++)
            used += (double)d->map.live[i] >= 0.2 * live;
        for (int s = 0; s < SLOTS; s++)
            sum += slot[s].sum[r], sum2 += slot[s].sum2[r];
        used = used > 0 ? used * n : 1;
        d->ring_mean[r] = sum / used;
        d->ring_var[r] = fmax(sum2 / used - d->ring_mean[r] * d->ring_mean[r], 0);
        total += d->ring_mean[r] * live * g->n[r];
    }
    for (int64_t p = 0; p < d->det->n_pixels; p++) {
        double sum = 0;

        for (int s = 0; s < SLOTS; s++)
            sum += slot[s].pixel_sum[p];
        d->mean_image[p] = (float)(sum / n);
    }
    d->mean_counts = total;
    if (!(total > 0))
        return spi_fail(SPI_EFORMAT, "the images are all zero on the usable pixels");
    return SPI_OK;
}

static spi_err ingest(struct spi_data *d, struct spi_graph *g, spi_on_ingest *progress,
                      void *user)
{
    struct block slot[SLOTS] = {0};
    spi_err err = SPI_OK;
    int turn = 0;

    for (int s = 0; s < SLOTS; s++)
        SPI_TRY(err = block_init(slot + s, d, g), out);
    for (int64_t first = 0; first < d->n_images; first += BLOCK, turn++) {
        struct ingest_args a = {first,
                                d->n_images - first < BLOCK ? d->n_images - first : BLOCK};
        struct spi_access access = {slot[turn % SLOTS].region, SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(g, "ingest", ingest_block, &a, sizeof a, 1, &access),
                out);
        if (turn % SLOTS == SLOTS - 1) { /* memory: SLOTS blocks at once */
            SPI_TRY(err = spi_graph_wait(g), out);
            if (progress)
                progress(first + a.n, d->n_images, user);
        }
    }
    SPI_TRY(err = spi_graph_wait(g), out);
    SPI_TRY(err = summarise(d, slot), out);
out:
    if (err)
        (void)!spi_graph_wait(g);
    for (int s = 0; s < SLOTS; s++)
        block_clear(slot + s, g);
    return err;
}

/* Scale of analogue data from the first images; photons are taken as they are. */
static spi_err find_scale(struct spi_data *d)
{
    int64_t n = d->n_images < 100 ? d->n_images : 100, n_pixels = d->det->n_pixels;
    float *pixels = NULL;
    double sum = 0;
    spi_err err;

    d->scale = 1;
    if (d->kind == SPI_PHOTONS)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(pixels, n_pixels, "ingest"), out);
    for (int64_t k = 0; k < n; k++) {
        SPI_TRY(err = spi_images_read(d->images, k, 1, pixels), out);
        for (int64_t u = 0; u < d->map.n_used; u++)
            sum += (double)pixels[d->map.pixel[u]];
    }
    if (sum > 0 && isfinite(sum))
        d->scale = typical_counts * (double)n / sum;
    else
        err =
            spi_fail(SPI_EFORMAT, "the first %lld images are all zero on the usable pixels",
                     (long long)n);
out:
    free(pixels);
    return err;
}

spi_err spi_data_init(struct spi_data *d, struct spi_graph *g, struct spi_images *images,
                      double diameter_A, double q_min, double q_max, double oversampling,
                      const char *dir, spi_on_ingest *progress, void *user)
{
    spi_err err;
    char path[4096];

    *d = (struct spi_data){.images = images,
                           .n_images = spi_images_count(images),
                           .kind = spi_images_kind(images),
                           .det = spi_images_detector(images)};
    if (d->n_images < IMAGES_LEAST)
        return spi_fail(SPI_EFORMAT, "%lld images; a reconstruction needs at least %d",
                        (long long)d->n_images, IMAGES_LEAST);
    SPI_TRY(err = spi_rings_init(&d->rings, diameter_A, d->det->wavelength_A, q_min, q_max,
                                 oversampling),
            fail);
    SPI_TRY(err = spi_ring_map_init(&d->map, &d->rings, d->det), fail);
    SPI_TRY(err = SPI_NEW(d->ring_mean, d->rings.R, "data"), fail);
    SPI_TRY(err = SPI_NEW(d->ring_var, d->rings.R, "data"), fail);
    SPI_TRY(err = SPI_NEW(d->mean_image, d->det->n_pixels, "data"), fail);
    SPI_TRY(err = find_scale(d), fail);
    snprintf(path, sizeof path, "%s/rings.bin", dir);

    SPI_TRY(err =
                spi_store_create(path, record_bytes(d->rings.h_at[d->rings.R]), d->n_images,
                                 spi_memory_bytes() / MEMORY_SHARE, &d->store),
            fail);
    SPI_TRY(err = ingest(d, g, progress, user), fail);
    SPI_TRY(err = spi_store_finish(d->store), fail);
    return SPI_OK;
fail:
    spi_data_clear(d);
    return err;
}

void spi_data_clear(struct spi_data *d)
{
    spi_rings_clear(&d->rings);
    spi_ring_map_clear(&d->map);
    spi_store_free(d->store);
    free(d->ring_mean);
    free(d->ring_var);
    free(d->mean_image);
    *d = (struct spi_data){0};
}

void spi_data_inv_var(const struct spi_data *d, enum spi_score_kind kind, int R,
                      float *inv_var)
{
    for (int r = 0; r < R; r++)
        inv_var[r] = kind == SPI_SCORE_EUCLID ? 1
                     : d->ring_var[r] > 0     ? (float)(1 / d->ring_var[r])
                                              : 0;
}

void spi_data_record(const struct spi_data *d, int64_t image, int R, float complex *h)
{
    const char *record = spi_store_record(d->store, image);
    float scale;

    memcpy(&scale, record, sizeof scale);
    spi_half_unpack(2 * (int64_t)d->rings.h_at[R],
                    (const uint16_t *)(const void *)(record + HEAD), scale, (float *)h);
}

void spi_data_ahead(const struct spi_data *d, int64_t image)
{
    const char *record = spi_store_record(d->store, image);

    for (int i = 0; i < 4; i++)
        __builtin_prefetch(record + 64 * i);
}
