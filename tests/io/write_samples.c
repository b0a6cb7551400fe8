/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes and reads files for the tests that are in Python.
 *   write_samples map OUT.mrc N         sin(x + 2 y + 3 z) on a cube
 *   write_samples dump IN.mrc OUT.raw   floats in [z][y][x] order, shape on stdout
 *   write_samples cube IN.mrc OUT.mrc   read as a cube and written again
 *   write_samples images OUT.h5 N       N photon images, pixel p of image k = (7 k + p) %
 * 50 write_samples floats IN.h5 OUT.raw  all images; on stdout: layout, kind, shape,
 * wavelength, q of the last pixel, quaternion of the last image */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_test.h"
#include "io/mrc.h"

static spi_err write_map(const char *path, const char *side)
{
    static const char *const labels[] = {"a test map", "second line", NULL};
    struct spi_volume v;
    spi_err err = spi_volume_init(&v, atoi(side), 2.5);

    if (err)
        return err;
    for (int z = 0; z < v.n; z++)
        for (int y = 0; y < v.n; y++)
            for (int x = 0; x < v.n; x++)
                v.data[spi_volume_index(&v, z, y, x)] = sinf((float)(x + 2 * y + 3 * z));
    err = spi_mrc_write(path, &v, labels);
    spi_volume_clear(&v);
    return err;
}

static spi_err dump_map(const char *path, const char *raw)
{
    struct spi_mrc_map m;
    spi_err err = spi_mrc_read_map(path, &m);
    FILE *fp;

    if (err)
        return err;
    fp = fopen(raw, "wb");
    if (!fp || fwrite(m.data, sizeof *m.data * (size_t)(m.info.n[0] * m.info.n[1]),
                      (size_t)m.info.n[2], fp) != (size_t)m.info.n[2])
        err = spi_fail(SPI_EIO, "%s: cannot write", raw);
    if (fp)
        fclose(fp);
    printf("%d %d %d %.9g %.9g %.9g\n", m.info.n[2], m.info.n[1], m.info.n[0],
           m.info.voxel_A[0], m.info.voxel_A[1], m.info.voxel_A[2]);
    spi_mrc_map_clear(&m);
    return err;
}

static spi_err copy_cube(const char *from, const char *to)
{
    struct spi_volume v;
    spi_err err = spi_mrc_read(from, &v, NULL);

    if (!err)
        err = spi_mrc_write(to, &v, NULL);
    spi_volume_clear(&v);
    return err;
}

static spi_err write_images(const char *path, const char *n)
{
    struct spi_detector d;
    spi_err err = flat_detector(&d, 2, 5, 6);

    d.bad[7] = 1;
    err = err ? err : good_images(path, atoi(n), &d);
    spi_detector_clear(&d);
    return err;
}

static void print_images(struct spi_images *im, const double *quat)
{
    const struct spi_detector *d = spi_images_detector(im);
    const double *q = d->q + 3 * (d->n_pixels - 1);
    int64_t n = spi_images_count(im);

    printf("%s %s %lld %d %d %d %.17g", spi_images_layout(im),
           spi_images_kind(im) == SPI_PHOTONS ? "photons" : "intensities", (long long)n,
           d->panels, d->ny, d->nx, d->wavelength_A);
    printf(" %.17g %.17g %.17g", q[0], q[1], q[2]);
    for (int i = 0; quat && i < 4; i++)
        printf(" %.17g", quat[4 * (n - 1) + i]);
    putchar('\n');
}

static spi_err read_images(const char *path, const char *raw)
{
    struct spi_images *im;
    struct spi_image_truth t = {0};
    spi_err err = spi_images_open(path, &im);
    FILE *fp = NULL;

    if (err)
        return err;
    size_t n = (size_t)(spi_images_count(im) * spi_images_detector(im)->n_pixels);
    float *image = calloc(n, sizeof *image);

    err = spi_images_read(im, 0, spi_images_count(im), image);
    err = err ? err : spi_images_truth(im, &t);
    if (!err) {
        print_images(im, t.quat);
        fp = fopen(raw, "wb");
        if (!fp || fwrite(image, sizeof *image, n, fp) != n)
            err = spi_fail(SPI_EIO, "%s: cannot write", raw);
    }
    if (fp)
        fclose(fp);
    free(image);
    spi_truth_clear(&t);
    spi_images_close(im);
    return err;
}

static const struct {
    const char *name;
    spi_err (*run)(const char *, const char *);
} commands[] = {{"map", write_map},
                {"dump", dump_map},
                {"cube", copy_cube},
                {"images", write_images},
                {"floats", read_images}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 4 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) {
            if (commands[i].run(argv[2], argv[3]) == SPI_OK)
                return 0;
            fprintf(stderr, "%s\n", spi_err_message());
            return 1;
        }
    fputs("usage: write_samples map|dump|cube|images|floats A B\n", stderr);
    return 2;
}
