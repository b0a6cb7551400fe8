/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Wrong image files: each gives its message, and whatever the bytes are, nothing crashes.
 */
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "h5_test.h"
#include "io/orient.h"
#include "io_test.h"
#include "tap.h"

/* What HDF5 itself forgets to free when it gives up a damaged file is not ours to mend. */
const char *__lsan_default_suppressions(void); /* NOLINT: the name is AddressSanitizer's */
const char *__lsan_default_suppressions(void)  /* NOLINT */
{
    return "leak:libhdf5";
}

enum { N = 3, PANELS = 2, NY = 3, NX = 4, NP = PANELS * NY * NX };

static struct spi_detector det;
static double value[3 * N * NP]; /* what goes into a replaced dataset */

/* Open, read everything; the first error. */
static spi_err read_it(const char *path)
{
    struct spi_images *im = NULL;
    struct spi_image_truth t;
    spi_err err = spi_images_open(path, &im);

    if (err)
        return err;
    const struct spi_detector *d = spi_images_detector(im);
    int64_t n = spi_images_count(im), np = d->n_pixels;

    /* a mutated file may promise very much; then a few images are enough */
    n = n > 8 ? 8 : n;
    float *image = np < 1 << 20 ? calloc((size_t)(n * np), sizeof *image) : NULL;
    if (image) {
        err = spi_images_read(im, 0, n, image);
        free(image);
    }
    if (!err) {
        err = spi_images_truth(im, &t);
        spi_truth_clear(&t);
    }
    spi_images_close(im);
    return err;
}

/* ---- one thing wrong at a time ------------------------------------------------------ */

struct change {
    const char *what; /* dataset or attribute */
    const char *how;  /* "remove", "shape", "type", "value", "attribute" */
    int rank;
    hsize_t dim[5];
    double fill; /* every value ... */
    int at;      /* ... or only this one, if >= 0 */
    double there;
    const char *says;
};

static void fill_value(hid_t file, const struct change *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        value[i] = c->fill;
    if (c->at >= 0) { /* all others as they were */
        hid_t set = H5Dopen2(file, c->what, H5P_DEFAULT);

        H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, value);
        H5Dclose(set);
        value[c->at] = c->there;
    }
}

static void apply(hid_t file, const struct change *c)
{
    size_t n = 1;

    for (int i = 0; i < c->rank; i++)
        n *= c->dim[i];
    if (!strcmp(c->how, "remove")) {
        H5Ldelete(file, c->what, H5P_DEFAULT);
    } else if (!strcmp(c->how, "attribute")) {
        replace_attribute(file, c->what, c->fill);
    } else if (!strcmp(c->how, "text")) {
        hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(c->rank, c->dim, NULL);

        H5Ldelete(file, c->what, H5P_DEFAULT);
        H5Tset_size(type, 4);
        H5Dclose(
            H5Dcreate2(file, c->what, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(space);
        H5Tclose(type);
    } else {
        fill_value(file, c, n);
        replace(file, c->what, H5T_IEEE_F64LE, c->rank, c->dim, value);
    }
}

static const char Q[] = "pixel_position_reciprocal";

/* clang-format off */
static const struct change changes[] = {
    {"photons", "remove", 0, {0}, 0, -1, 0, "'intensities' is a link to '/photons', which is not in the file"},
    {Q, "remove", 0, {0}, 0, -1, 0, "has no dataset 'pixel_position_reciprocal'"},
    {"photons", "value", 3, {N, NY, NX}, 1, -1, 0, "'photons' has shape (3, 3, 4); need four axes"},
    {"photons", "value", 4, {0, PANELS, NY, NX}, 1, -1, 0, "shape (0, 2, 3, 4); no axis may be empty"},
    {"photons", "value", 4, {N, PANELS, NY, NX + 1}, 1, -1, 0, "need (panels, ny, nx, 3) or (3, panels, ny, nx) for 'photons' of shape (3, 2, 3, 5)"},
    {"photons", "text", 4, {N, PANELS, NY, NX}, 1, -1, 0, "'photons' is text; need integers or floats"},
    {Q, "value", 4, {PANELS, NY, NX, 2}, 1, -1, 0, "has shape (2, 3, 4, 2); need (panels, ny, nx, 3)"},
    {Q, "value", 4, {PANELS, NY, 3, NX}, 1, -1, 0, "has shape (2, 3, 3, 4); need"},
    {Q, "value", 3, {NP / 4, 4, 3}, 1, -1, 0, "has shape (6, 4, 3); need"},
    {Q, "text", 4, {PANELS, NY, NX, 3}, 1, -1, 0, "'pixel_position_reciprocal' is text; need numbers"},
    {Q, "value", 4, {PANELS, NY, NX, 3}, 0, -1, 0, "positions of all pixels are zero"},
    {Q, "value", 4, {PANELS, NY, NX, 3}, 0, 3 * 13 + 1, NAN, "position of pixel (panel 1, row 0, column 1) is"},
    {Q, "value", 4, {PANELS, NY, NX, 3}, 0, 2, 1e7, "pixels do not lie on an Ewald sphere"},
    {"wavelength_A", "attribute", 0, {0}, 3, -1, 0, "wavelength_A is 3, but the pixels lie on the Ewald sphere of 2 A"},
    {"mask", "value", 3, {PANELS, NY, NX}, 1, -1, 0, "the mask hides all 24 pixels"},
    {"mask", "value", 2, {PANELS, NY}, 0, -1, 0, "'mask' has shape (2, 3); need (2, 3, 4)"},
    {"geometry_factor", "value", 3, {PANELS, NY, NX}, 0, -1, 0, "geometry_factor of pixel (panel 0, row 0, column 0) is 0"},
    {"geometry_factor", "value", 3, {PANELS, NY, NX}, 1, 23, NAN, "geometry_factor of pixel (panel 1, row 2, column 3) is nan"},
    {"geometry_factor", "value", 3, {PANELS, NY, NX}, 1, 23, 1e30, "geometry_factor of pixel (panel 1, row 2, column 3) is 1e+30; need"},
    {"pixel_index_map", "value", 4, {PANELS, NY, NX, 2}, 0, 9, -1, "puts pixel 4 at column -1"},
    {"pixel_index_map", "value", 4, {PANELS, NY, NX, 2}, 0, 8, 1e6, "puts pixel 4 at row 1000000"},
    {"photons", "value", 4, {N, PANELS, NY, NX}, 1, 2 * NP + 13, -2, "image 2, pixel (panel 1, row 0, column 1) is -2; need a finite number"},
    {"photons", "value", 4, {N, PANELS, NY, NX}, 1, NP + 1, NAN, "image 1, pixel (panel 0, row 0, column 1) is nan"},
    {"photons", "value", 4, {N, PANELS, NY, NX}, 1, 0, INFINITY, "image 0, pixel (panel 0, row 0, column 0) is inf"},
    {"photons", "value", 4, {N, PANELS, NY, NX}, 1, 0, 1e300, "image 0, pixel (panel 0, row 0, column 0) is inf"},
    {"truth/orientations", "value", 3, {N + 1, 1, 4}, 0.5, -1, 0, "has shape (4, 1, 4); need (3, 4) or (3, particles, 4)"},
    {"truth/orientations", "value", 3, {N, 1, 4}, 0.5, 4, 9, "quaternion 1 has norm"},
    {"truth/label", "value", 1, {N + 1}, 0, -1, 0, "'truth/label' has shape (4); need (3)"},
    {"truth/fluence", "text", 1, {N}, 0, -1, 0, "'truth/fluence' is text; need numbers"},
};
/* clang-format on */

static void one_thing_wrong(void)
{
    const char *path = in_tmp("wrong.h5");

    OK(good_images(path, N, &det) == SPI_OK && read_it(path) == SPI_OK,
       "the unspoilt file");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct change *c = changes + i;
        spi_err err = good_images(path, N, &det);
        hid_t file = to_change(path);

        apply(file, c);
        H5Fclose(file);
        err = err ? err : read_it(path);
        OK(err == SPI_EFORMAT && says(c->says), "%s: %s", c->what,
           err ? spi_err_message() : "read without a word");
    }
}

/* What is wrong in a pixel does not matter where the mask hides it. */
static void masked_values(void)
{
    static const hsize_t dim[4] = {N, PANELS, NY, NX};
    const char *path = in_tmp("masked.h5");
    struct spi_images *im = NULL;
    float image[NP];

    det.bad[5] = 1;
    spi_err err = good_images(path, N, &det);
    det.bad[5] = 0;
    for (int i = 0; i < N * NP; i++)
        value[i] = i % NP == 5 ? NAN : 2;
    hid_t file = to_change(path);
    replace(file, "photons", H5T_IEEE_F32LE, 4, dim, value);
    H5Fclose(file);
    OK(!err && spi_images_open(path, &im) == SPI_OK && !spi_images_read(im, 1, 1, image) &&
           image[5] == 0 && image[6] == 2,
       "NaN under the mask is read as 0");
    spi_images_close(im);
}

/* ---- files that are not image files at all ------------------------------------------ */

static void other_files(void)
{
    const char *path = in_tmp("other.h5");
    static char bytes[200000];

    OK(read_it(in_tmp("absent.h5")) == SPI_EIO && says("No such file"), "%s",
       spi_err_message());
    OK(read_it(in_tmp("")) == SPI_EIO && says("is a directory"), "%s", spi_err_message());
    spill(path, "", 0);
    OK(read_it(path) == SPI_EIO && says("is empty"), "%s", spi_err_message());
    spill(path, "just a text\n", 12);
    OK(read_it(path) == SPI_EFORMAT && says("not a file of images (not HDF5)"), "%s",
       spi_err_message());
    OK(read_it(in_data("EMD-3197.map")) == SPI_EFORMAT, "%s", spi_err_message());

    spi_err err = good_images(path, N, &det);
    long n = slurp(path, bytes, sizeof bytes);
    spill(path, bytes, (size_t)n / 2);
    OK(!err && read_it(path) == SPI_EIO && says("truncated: an HDF5 file of"), "%s",
       spi_err_message());
    spill(path, bytes, 20);
    OK(read_it(path) != SPI_OK, "%s", spi_err_message());

    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    OK(read_it(path) == SPI_EFORMAT && says("holds no images; need datasets"), "%s",
       spi_err_message());
}

/* Gigabytes promised, nothing stored: refused before memory is asked for. */
static void empty_promises(void)
{
    static const hsize_t dim[4] = {1 << 20, 1, 128, 128}, chunk[4] = {1, 1, 128, 128},
                         q_dim[4] = {1, 16384, 16384, 3};
    const char *path = in_tmp("promise.h5");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(4, dim, NULL), how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(how, 4, chunk);
    H5Dclose(
        H5Dcreate2(file, "photons", H5T_STD_U8LE, space, H5P_DEFAULT, how, H5P_DEFAULT));
    H5Sclose(space);
    space = H5Screate_simple(4, q_dim, NULL);
    H5Dclose(H5Dcreate2(file, Q, H5T_IEEE_F64LE, space, H5P_DEFAULT, how, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(how);
    H5Fclose(file);
    OK(read_it(path) == SPI_EFORMAT && says("has only 0 bytes in the file"), "%s",
       spi_err_message());
}

/* ---- fuzz --------------------------------------------------------------------------- */

/* Files with 1 to 3 bytes changed, or cut short. */
static void fuzz(int n_files)
{
    static char good[200000], bad[200000];
    const char *path = in_tmp("fuzz.h5");
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    int n_ok = 0, n_silent = 0;

    spi_err err = good_images(path, N, &det);
    long size = slurp(path, good, sizeof good);

    for (int i = 0; i < n_files && !err; i++) {
        uint32_t n_changes = 1 + spi_rng_below(&rng, 3);

        memcpy(bad, good, (size_t)size);
        for (uint32_t c = 0; c < n_changes; c++)
            bad[spi_rng_below(&rng, (uint32_t)size)] = (char)spi_rng_u32(&rng);
        spill(path, bad, i % 5 ? (size_t)size : spi_rng_below(&rng, (uint32_t)size));
        spi_note("%s", "");
        spi_err e = read_it(path);
        struct spi_orientations o;

        n_silent += e != SPI_OK && *spi_err_message() == '\0';
        n_ok += e == SPI_OK;
        if (spi_orientations_read(path, &o) == SPI_OK)
            spi_orientations_clear(&o);
    }
    OK(n_silent == 0, "%d changed files, seed 1: every refusal has a message", n_files);
    OK(n_ok > n_files / 50 && n_ok < n_files * 49 / 50, "%d of them could still be read",
       n_ok);
}

int main(void)
{
    make_tmp("bad_images");
    spi_log_set_level(SPI_LOG_QUIET);
    if (flat_detector(&det, PANELS, NY, NX))
        return 1;
    one_thing_wrong();
    masked_values();
    other_files();
    empty_promises();
    fuzz(getenv("SPI_FUZZ") ? atoi(getenv("SPI_FUZZ")) : 500);
    spi_detector_clear(&det);
    return tap_done();
}
