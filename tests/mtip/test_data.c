/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Means of the rings where a gap, as between two detectors one behind the other, hides whole
 * rings: the rings that no pixel near the gap adds to have the means of the whole detector,
 * those without a pixel have none. */
#include "io/h5.h"
#include "run_bench.h"

/* Wider than the two rings on either side that a pixel is spread over. */
static const double gap_from = 0.045, gap_to = 0.105;

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

static spi_err write_mask(const struct spi_detector *det, const char *name)
{
    const hsize_t dim[3] = {(hsize_t)det->panels, (hsize_t)det->ny, (hsize_t)det->nx};
    uint8_t hidden[SCENE_PIXELS];
    hid_t file = -1;
    spi_err err;

    for (int64_t p = 0; p < det->n_pixels; p++) {
        double r = length(det->q + 3 * p);

        hidden[p] = r > gap_from && r < gap_to;
    }
    spi_h5_lock();
    err = spi_h5_create(name, name, &file);
    if (!err) {
        err = spi_h5_write(file, name, "mask", H5T_STD_U8LE, H5T_NATIVE_UINT8, 3, dim,
                           hidden);
        err = err ? err : spi_h5_close_written(name, file);
    }
    spi_h5_unlock();
    return err;
}

static void check_rings(const struct spi_data *whole, const struct spi_data *gap)
{
    const struct spi_rings *g = &gap->rings;
    double reach = 2 * g->dq, worst = 0, wrong = 0;
    int seen = 0, hidden = 0, none = 0;

    for (int r = 0; r < g->R; r++) {
        if (g->q[r] < gap_from - reach || g->q[r] > gap_to + reach) {
            seen++;
            worst = fmax(worst, fabs(gap->ring_mean[r] / whole->ring_mean[r] - 1));
            worst = fmax(worst, fabs(gap->ring_var[r] / whole->ring_var[r] - 1));
            wrong = fmax(wrong, fabs(gap->ring_mean[r] / whole->ring_mean[g->R / 2] - 1));
        }
        if (g->q[r] > gap_from + reach && g->q[r] < gap_to - reach) {
            hidden++;
            none += gap->ring_mean[r] == 0 && gap->ring_var[r] == 0;
        }
    }
    OK(seen >= 2 && worst < 1e-12, /* sums of the same numbers, in double */
       "%d rings have the means and variances of the whole detector", seen);
    OK(wrong > 0.01, "another ring's mean is told apart");
    OK(hidden >= 2 && none == hidden, "%d rings behind the gap have none", hidden);
}

int main(void)
{
    char mask[4200];
    struct spi_images_options opt = {.mask = mask};
    struct spi_images *images = NULL;
    struct spi_data whole = {0}, gap = {0};
    struct bench b;
    spi_err err;

    if (bench_folder("data"))
        return tap_done();
    snprintf(mask, sizeof mask, "%s/gap.h5", dir);
    SPI_TRY(err = bench_init("serial", 1, &b), out);
    SPI_TRY(err = write_mask(b.data.det, mask), out);
    SPI_TRY(err = spi_images_open_with(path, &opt, &images), out);

    struct spi_data_spec spec = bench_spec(&b, images), all = bench_spec(&b, b.images);

    spec.one_set = all.one_set = true; /* the same images take part in both */
    SPI_TRY(err = spi_data_init(&gap, b.graph, &spec), out);
    SPI_TRY(err = spi_data_init(&whole, b.graph, &all), out);
    check_rings(&whole, &gap);
out:
    OK(!err, "images behind a gap are read: %s", err ? spi_err_message() : "done");
    spi_data_clear(&gap);
    spi_data_clear(&whole);
    spi_images_close(images);
    bench_clear(&b);
    unlink(mask);
    unlink(path);
    rmdir(dir);
    return tap_done();
}
