/* SPDX-License-Identifier: GPL-3.0-or-later */
/* match_scene.c, of benches/bench_match.h: the particle, detector and images that are
 * matched. */
#include "bench_match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "merge/normal.h"

double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void must(spi_err err)
{
    if (err) {
        fprintf(stderr, "bench_match: %s\n", spi_err_message());
        exit(1);
    }
}

/* ---- the scene ---------------------------------------------------------------------- */

static const struct blobs particle = {120, 4, {0.4, 0.33, 0.27}};

/* Their autocorrelation. */
void make_model(struct scene *s, const struct blobs *blobs)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)blobs->n);
    struct spi_volume rho;
    int n;
    double dx;

    spi_merge_grid(diameter_A, s->q_max, &n, &dx);
    must(spi_volume_init(&rho, n, dx));
    for (int b = 0; b < blobs->n; b++) {
        const double *axis = blobs->axis;
        double c[3], r2;

        do {
            r2 = 0;
            for (int i = 0; i < 3; i++) {
                c[i] = 2 * spi_rng_uniform(&rng) - 1;
                r2 += c[i] * c[i];
            }
        } while (r2 > 1);
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    double u = (x - n / 2) * dx - c[0] * axis[0] * diameter_A,
                           v = (y - n / 2) * dx - c[1] * axis[1] * diameter_A,
                           w = (z - n / 2) * dx - c[2] * axis[2] * diameter_A;

                    rho.data[spi_volume_index(&rho, z, y, x)] += (float)exp(
                        -(u * u + v * v + w * w) / (2 * blobs->sigma_A * blobs->sigma_A));
                }
    }
    must(spi_volume_autocorrelate(&rho, &s->A));
    spi_volume_clear(&rho);
    must(spi_nufft_new(s->A.n, s->A.step, 1e-3, &s->plan));
    must(spi_nufft_grid_new(s->plan, 1, &s->grid));
    must(spi_nufft_prepare(s->plan, s->A.data, s->grid));
}

static void make_detector(struct scene *s, int side)
{
    double h = wavelength_A / 2, half = (side - 1) / 2.0;

    must(spi_detector_init(&s->det, 1, side, side));
    s->det.wavelength_A = wavelength_A;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double *q = s->det.q + 3 * (y * side + x);

            q[0] = (x - half) / half * s->q_max;
            q[1] = (y - half) / half * s->q_max;

            double t2 = q[0] * q[0] + q[1] * q[1]; /* |q|^2 = t^2 + (lambda |q|^2 / 2)^2 */

            q[2] = -(1 - sqrt(1 - 4 * h * h * t2)) / (2 * h);
        }
}

void scene_init(struct scene *s, double resolution_A, int side, double oversampling)
{
    *s = (struct scene){.q_max = 1 / resolution_A};
    make_model(s, &particle);
    make_detector(s, side);
    must(spi_rings_init(&s->rings, diameter_A, wavelength_A, 1 / diameter_A, s->q_max,
                        oversampling));
    must(spi_ring_map_init(&s->map, &s->rings, &s->det));
    must(spi_pixel_list_init(&s->pixels, &s->det, 1 / diameter_A, s->q_max));
}

void model_of_scene_clear(struct scene *s)
{
    spi_volume_clear(&s->A);
    spi_nufft_free(s->plan);
    free(s->grid);
}

void scene_clear(struct scene *s)
{
    spi_detector_clear(&s->det);
    spi_rings_clear(&s->rings);
    spi_ring_map_clear(&s->map);
    model_of_scene_clear(s);
    spi_pixel_list_clear(&s->pixels);
}

/* The image of one orientation; T: [s->pixels.n].  image: [pixels], 0 where none is used. */
static void one_image(const struct scene *s, double (*quat)[4], double photons,
                      struct spi_rng *rng, float *T, float *image)
{
    double sum = 0;

    must(spi_pixel_list_values(&s->pixels, 1, (const double(*)[4])quat, s->plan, s->grid,
                               T));
    for (int64_t p = 0; p < s->pixels.n; p++)
        sum += fmax((double)T[p], 0);
    for (int64_t p = 0; p < s->pixels.n; p++) {
        double mean = (photons > 0 ? photons : 1e5) * fmax((double)T[p], 0) / sum;

        image[s->pixels.pixel[p]] =
            photons > 0 ? (float)spi_rng_poisson(rng, mean) : (float)mean;
    }
}

void images_file(const struct scene *s, int64_t n, const char *path)
{
    struct spi_rng rng = spi_rng_stream(6, SPI_RNG_TEST, 1);
    struct spi_images_spec spec = {.n_images = n,
                                   .kind = SPI_INTENSITIES,
                                   .detector = &s->det,
                                   .provenance_json = "{}"};
    struct spi_images_writer *w;
    float *T, *image;

    must(SPI_NEW(T, s->pixels.n, "images"));
    must(SPI_NEW(image, s->det.n_pixels, "images"));
    must(spi_images_create(path, &spec, &w));
    for (int64_t k = 0; k < n; k++) {
        double quat[1][4];
        struct spi_image_truth truth = {.quat = quat[0]};

        spi_rot_random(&rng, quat[0]);
        one_image(s, quat, 0, &rng, T, image);
        must(spi_images_append(w, 1, image, &truth));
    }
    must(spi_images_finish_take(w));
    free(T);
    free(image);
}

void images_init(struct images *im, const struct scene *s, int64_t n, bool keep,
                 const struct spi_views *grid, double photons)
{
    struct spi_rng rng = spi_rng_stream(6, SPI_RNG_TEST, 1);
    int64_t P = s->det.n_pixels, H = s->rings.h_at[s->rings.R];
    float *T, *image, *samples;
    double t0;

    *im = (struct images){.n = n};
    must(SPI_NEW(im->quat, n, "images"));
    must(SPI_NEW(im->h, n * H, "images"));
    must(SPI_NEW(im->row, n, "images"));
    must(SPI_NEW(T, s->pixels.n, "images"));
    must(SPI_NEW(image, P, "images"));
    must(SPI_NEW(samples, s->rings.at[s->rings.R], "images"));
    if (keep)
        must(SPI_NEW(im->pixels, n * P, "images"));
    for (int64_t k = 0; k < n; k++) {
        if (grid)
            spi_view_quat(grid, spi_rng_below(&rng, (uint32_t)grid->nd),
                          2 * SPI_PI * spi_rng_below(&rng, (uint32_t)grid->Na) / grid->Na,
                          im->quat[k]);
        else
            spi_rot_random(&rng, im->quat[k]);
        one_image(s, im->quat + k, photons, &rng, T, image);
        if (keep)
            memcpy(im->pixels + k * P, image, (size_t)P * sizeof *image);
        t0 = cpu_s();
        spi_ring_resample(&s->map, &s->rings, image, samples);
        im->row[k] = im->h + k * H;
        must(spi_ring_analyse(&s->rings, s->rings.R, samples, im->h + k * H));
        im->ingest_s += (cpu_s() - t0) / (double)n;
    }
    free(T);
    free(image);
    free(samples);
}

void images_clear(struct images *im)
{
    free(im->quat);
    free(im->pixels);
    free(im->h);
    free(im->row);
}

/* Rows of n directions, list[i] each. */
void model_of(struct model *m, const struct scene *s, const struct spi_band *band,
              struct spi_views views, const struct spi_likelihood *like,
              const float *ring_scale, int64_t n, const int32_t *list)
{
    float one[256];
    struct spi_template_spec spec = {.rings = &s->rings,
                                     .band = band,
                                     .map = &s->map,
                                     .views = views,
                                     .like = like,
                                     .ring_scale = ring_scale,
                                     .inv_var = one};
    double t0 = cpu_s();

    for (int r = 0; r < 256; r++)
        one[r] = 1;
    must(SPI_NEW(m->templates, n * band->floats, "model"));
    must(SPI_NEW(m->table, n * views.Na, "model"));
    must(SPI_NEW(m->S, n * views.Na, "model"));
    must(spi_templates_make(&spec, s->plan, s->grid, list, 0, n, m->templates, m->table,
                            m->S));
    m->seconds = cpu_s() - t0;
}

void model_init(struct model *m, const struct scene *s, const struct spi_band *band,
                struct spi_views views, const struct spi_likelihood *like)
{
    model_of(m, s, band, views, like, NULL, views.nd, NULL);
}

void model_clear(struct model *m)
{
    free(m->templates);
    free(m->table);
    free(m->S);
}

/* Angle between two orientations, degrees. */
double angle_deg(const double a[4], const double b[4])
{
    double dot = fabs(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]);

    return 2 * acos(dot < 1 ? dot : 1) / degree;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Error of n found orientations against the truth: median and 99 %; sorts. */
void print_errors(int64_t n, double *error)
{
    qsort(error, (size_t)n, sizeof *error, by_value);
    printf("\"error_median_deg\":%.3f,\"error_99_percent_deg\":%.3f", error[n / 2],
           error[n * 99 / 100]);
}
