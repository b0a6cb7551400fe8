/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that people have: each gives its message or its right values, none hangs, none
 * shows zeros for what is not there. */
#include <hdf5.h>
#include <unistd.h>

#include "base/log.h"
#include "h5_test.h"
#include "io/images_priv.h"
#include "io/survey.h"
#include "io_test.h"
#include "tap.h"

/* What HDF5 itself forgets to free when it gives up a damaged file is not ours to mend. */
const char *__lsan_default_suppressions(void); /* NOLINT: the name is AddressSanitizer's */
const char *__lsan_default_suppressions(void)  /* NOLINT */
{
    return "leak:libhdf5";
}

static const char *in_cases(const char *name)
{
    char path[200];

    snprintf(path, sizeof path, "../tests/cases/%s", name);
    return in_data(path);
}

/* Path of a file of this test, for as long as the test lasts. */
static const char *keep(const char *name)
{
    static char path[32][1024];
    static int next;

    snprintf(path[next], sizeof path[next], "%s", in_tmp(name));
    return path[next++];
}

/* Open, survey, read all images and the truth. */
static spi_err read_it(const char *path, struct spi_survey *s)
{
    struct spi_images *im;
    struct spi_image_truth t = {0};
    float *image = NULL;
    spi_err err = spi_images_open(path, &im);

    if (err)
        return err;
    int64_t n = spi_images_count(im), np = spi_images_detector(im)->n_pixels;

    err = spi_survey(im, NULL, s);
    image = calloc((size_t)(n * np), sizeof *image);
    if (!err)
        err = spi_images_read(im, 0, n, image);
    if (!err)
        err = spi_images_truth(im, &t);
    spi_truth_clear(&t);
    free(image);
    spi_images_close(im);
    return err;
}

/* ---- files of tests/cases ----------------------------------------------------------- */

static void refused(void)
{
    static const struct {
        const char *name;
        spi_err code;
        const char *says[3];
    } files[] = {
        {"vds.h5", SPI_EFORMAT, {"'photons'", "vds_part_B_missing.h5", "not there"}},
        {"photons-vds_missing.h5", SPI_EFORMAT, {"'photons'", "missing.h5", "not there"}},
        {"vds_part_A.h5", SPI_EFORMAT, {"pixel_position_reciprocal", "it has: photons"}},
        {"extlink.h5", SPI_EFORMAT, {"'photons' is a link to '/photons'", "nowhere.h5"}},
        {"geometry_factor-ext_missing.h5",
         SPI_EFORMAT,
         {"'geometry_factor' is a link to '/x'", "nofile.h5"}},
        {"died_writer.h5",
         SPI_EIO,
         {"a program is writing this file, or died", "h5clear -s"}},
        {"hang_vlen_attribute.h5", SPI_EFORMAT, {"'truth' cannot be opened", "damaged"}},
        {"photons-shortchunk.h5",
         SPI_EFORMAT,
         {"the chunk of dataset 'photons' at (0, 0, 0, 0) holds 7 bytes; need 10240"}},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct spi_survey s;
        spi_err err = read_it(in_cases(files[i].name), &s);
        bool all = err == files[i].code;

        for (int k = 0; k < 3 && files[i].says[k]; k++)
            all = all && says(files[i].says[k]);
        OK(all, "%s", err ? spi_err_message() : files[i].name);
    }
}

static void masked(void)
{
    struct spi_survey s;

    OK(read_it(in_cases("mask_bool.h5"), &s) == SPI_OK && s.n[SPI_REASON_MASK] == 128 &&
           s.n_listed == 0,
       "mask_bool.h5: %lld pixels are hidden", (long long)s.n[SPI_REASON_MASK]);
    OK(read_it(in_cases("mask_inverted.h5"), &s) == SPI_OK &&
           s.n[SPI_REASON_MASK] == 4096 - 128,
       "mask_inverted.h5: %lld pixels are hidden", (long long)s.n[SPI_REASON_MASK]);
    OK(read_it(in_cases("maxint_gap.h5"), &s) == SPI_OK && s.n[SPI_REASON_FULL] == 128 &&
           s.n[SPI_REASON_INVALID] == 0 && s.n[SPI_REASON_HOT] == 0 &&
           s.n[SPI_REASON_MASK] == 0,
       "maxint_gap.h5: %lld pixels", (long long)s.n[SPI_REASON_FULL]);
    OK(read_it(in_cases("hot_all.h5"), &s) == SPI_OK && s.n[SPI_REASON_FULL] == 1 &&
           s.n_listed == 1 && s.listed[0].pixel == 11 * 64 + 40,
       "hot_all.h5: pixel %lld", (long long)s.listed[0].pixel);
    OK(read_it(in_cases("gcol_zeroed32.h5"), &s) == SPI_OK, "gcol_zeroed32.h5");
    OK(read_it(in_cases("truth_label-v_max.h5"), &s) == SPI_OK, "truth_label-v_max.h5");
}

static void inverted(void)
{
    const struct spi_images_options opt = {.invert_mask = true},
                                    more = {.mask = in_cases("mask_bool.h5")};
    struct spi_images *im = NULL;
    struct spi_survey s = {0};

    OK(spi_images_open_with(in_cases("mask_inverted.h5"), &opt, &im) == SPI_OK &&
           spi_survey(im, NULL, &s) == SPI_OK && s.n[SPI_REASON_MASK] == 128,
       "mask_inverted.h5, inverted: %lld pixels are hidden",
       (long long)s.n[SPI_REASON_MASK]);
    spi_images_close(im);
    OK(spi_images_open_with(in_cases("hot_all.h5"), &more, &im) == SPI_OK &&
           spi_survey(im, NULL, &s) == SPI_OK && s.n[SPI_REASON_MASK] == 128,
       "hot_all.h5 with the mask of mask_bool.h5: %lld pixels are hidden",
       (long long)s.n[SPI_REASON_MASK]);
    spi_images_close(im);
}

static void bitshuffle(void)
{
    struct spi_survey s;
    spi_err err = read_it(in_cases("bitshuffle8.h5"), &s);

    if (H5Zfilter_avail(32008) > 0)
        OK(err == SPI_OK && s.n_images == 8, "bitshuffle8.h5 is read");
    else
        OK(err == SPI_EFORMAT && says("Bitshuffle (filter 32008)") &&
               says("Debian package bitshuffle,"),
           "%s", spi_err_message());
}

/* The images of mask_bool.h5, whose positions are those of a flat detector. */
static void cxi(void)
{
    struct spi_images *a = NULL, *b = NULL;
    static float x[4096], y[4096];
    double off = 0;
    int64_t different = 0;

    OK(spi_images_open(in_cases("cheetah.cxi"), &a) == SPI_OK &&
           spi_images_open(in_cases("mask_bool.h5"), &b) == SPI_OK &&
           strcmp(spi_images_layout(a), "cxi") == 0 && spi_images_count(a) == 60 &&
           spi_images_kind(a) == SPI_PHOTONS,
       "cheetah.cxi: layout, number of images, photons");
    if (a && b) {
        const struct spi_detector *d = spi_images_detector(a), *e = spi_images_detector(b);

        for (int64_t i = 0; i < 3 * d->n_pixels; i++)
            off = fmax(off, fabs(d->q[i] - e->q[i]));
        /* energy and distance stand in the file with four digits */
        OK(off < 5e-4 * spi_detector_q_corner(e), "positions within %.1e of |q|max",
           off / spi_detector_q_corner(e));
        for (int64_t k = 0; k < 60; k += 7)
            if (spi_images_read(a, k, 1, x) == SPI_OK &&
                spi_images_read(b, k, 1, y) == SPI_OK)
                for (int64_t p = 0; p < 4096; p++)
                    different += !e->bad[p] && x[p] != y[p];
            else
                different = -1;
        OK(different == 0, "the images of mask_bool.h5");
    }
    spi_images_close(a);
    spi_images_close(b);
}

/* ---- files made here ---------------------------------------------------------------- */

enum { N = 6, NY = 4, NX = 5, NP = NY * NX };

static struct spi_detector det;
static uint16_t photons[N * NP];

/* good.h5 without its photons. */
static hid_t without_photons(const char *path)
{
    hid_t file = -1;

    if (good_images(path, N, &det) == SPI_OK) {
        file = to_change(path);
        H5Ldelete(file, "photons", H5P_DEFAULT);
    }
    return file;
}

static void put_part(const char *path, const char *name, hsize_t first, hsize_t n)
{
    const hsize_t dim[4] = {n, 1, NY, NX};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(4, dim, NULL);
    hid_t set =
        H5Dcreate2(file, name, H5T_STD_U16LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

    H5Dwrite(set, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, photons + first * NP);
    H5Dclose(set);
    H5Sclose(space);
    H5Fclose(file);
}

/* Rows first ... first+n-1 of the virtual dataset are the first `taken` rows of a file. */
static void map(hid_t create, hid_t space, hsize_t first, hsize_t n, const char *file,
                hsize_t source_rows)
{
    const hsize_t start[4] = {first, 0, 0, 0}, count[4] = {n, 1, NY, NX}, zero[4] = {0},
                  dim[4] = {source_rows, 1, NY, NX};
    hid_t from = H5Screate_simple(4, dim, NULL);

    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    H5Sselect_hyperslab(from, H5S_SELECT_SET, zero, NULL, count, NULL);
    H5Pset_virtual(create, space, file, "part", from);
    H5Sclose(from);
}

static void virtual_images(hid_t file, hid_t create, hid_t space)
{
    hid_t set =
        H5Dcreate2(file, "photons", H5T_STD_U16LE, space, H5P_DEFAULT, create, H5P_DEFAULT);

    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(create);
    H5Fclose(file);
}

static int64_t count_different(const char *path)
{
    static float image[N * NP];
    struct spi_images *im;
    int64_t different = 0;

    if (spi_images_open(path, &im) || spi_images_read(im, 0, N, image)) {
        NOTE("%s", spi_err_message());
        return -1;
    }
    for (int i = 0; i < N * NP; i++)
        different += image[i] != (float)photons[i];
    spi_images_close(im);
    return different;
}

static void sha(const char *path, char hex[65])
{
    struct spi_images *im;

    hex[0] = '\0';
    NEED(!spi_images_open(path, &im));
    if (spi_images_sha256(im, hex))
        hex[0] = '\0';
    spi_images_close(im);
}

/* Virtual datasets: whole, with holes, of sources that are too short. */
static void virtual_sets(void)
{
    const hsize_t dim[4] = {N, 1, NY, NX};
    const char *path = keep("virtual.h5");
    struct spi_survey s;
    char before[65], after[65];

    for (int k = 0; k < 5; k++) {
        hid_t file = without_photons(path), create = H5Pcreate(H5P_DATASET_CREATE);
        hid_t space = H5Screate_simple(4, dim, NULL);

        put_part(in_tmp("part0.h5"), "part", 0, 3);
        put_part(in_tmp("part1.h5"), "part", 3, k == 2 ? 2 : 3);
        if (k == 3)
            unlink(in_tmp("part1.h5"));
        if (k == 4)
            put_part(in_tmp("part1.h5"), "other", 3, 3);
        map(create, space, 0, 3, "part0.h5", 3);
        if (k != 1)
            map(create, space, 3, 3, "part1.h5", 3);
        virtual_images(file, create, space);
        if (k == 0) {
            OK(count_different(path) == 0, "a whole virtual dataset");
            sha(path, before);
            photons[3 * NP] ^= 1;
            put_part(in_tmp("part1.h5"), "part", 3, 3);
            photons[3 * NP] ^= 1;
            sha(path, after);
            OK(strlen(before) == 64 && strlen(after) == 64 && strcmp(before, after) != 0,
               "another source is another fingerprint");
            continue;
        }
        spi_err err = read_it(path, &s);
        static const char *const want[] = {
            "", "row 3 of 6 of the virtual dataset 'photons' comes from no source",
            "takes more from 'part' in", "part1.h5, which is not there",
            "takes values from 'part' in the file"};

        OK(err == SPI_EFORMAT && says(want[k]), "%s", err ? spi_err_message() : "read");
    }
}

/* Sources part0.h5, part1.h5 ... as one name with %b. */
static void numbered_sources(void)
{
    const hsize_t dim[4] = {N, 1, NY, NX}, most[4] = {H5S_UNLIMITED, 1, NY, NX};
    const hsize_t start[4] = {0}, stride[4] = {3, 1, 1, 1},
                  count[4] = {H5S_UNLIMITED, 1, 1, 1}, block[4] = {3, 1, NY, NX};
    const hsize_t part[4] = {3, 1, NY, NX};
    const char *path = keep("numbered.h5");
    hid_t file = without_photons(path), create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(4, dim, most), from = H5Screate_simple(4, part, NULL);
    struct spi_survey s;

    put_part(in_tmp("n0.h5"), "part", 0, 3);
    put_part(in_tmp("n1.h5"), "part", 3, 3);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, stride, count, block);
    H5Pset_virtual(create, space, "n%b.h5", "part", from);
    H5Sclose(from);
    virtual_images(file, create, space);
    OK(count_different(path) == 0, "sources with numbers");
    unlink(in_tmp("n0.h5"));
    spi_err err = read_it(path, &s);
    OK(err == SPI_EFORMAT && says("n0.h5, which is not there"), "%s",
       err ? spi_err_message() : "read");
}

static void links(void)
{
    const char *path = keep("links.h5");
    struct spi_survey s;
    char before[65], after[65];
    hid_t file = without_photons(path);

    put_part(in_tmp("elsewhere.h5"), "part", 0, N);
    H5Lcreate_external("elsewhere.h5", "part", file, "photons", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    OK(count_different(path) == 0, "an external link");
    sha(path, before);
    photons[0] ^= 1;
    put_part(in_tmp("elsewhere.h5"), "part", 0, N);
    photons[0] ^= 1;
    sha(path, after);
    OK(strlen(before) == 64 && strlen(after) == 64 && strcmp(before, after) != 0,
       "another target is another fingerprint");
    put_part(in_tmp("elsewhere.h5"), "other", 0, N);
    spi_err err = read_it(path, &s);
    OK(err == SPI_EFORMAT && says("elsewhere.h5, where it cannot be opened"), "%s",
       err ? spi_err_message() : "read");

    static const char *const optional[] = {
        "mask",        "geometry_factor", "pixel_index_map", "truth/orientations",
        "truth/label", "truth/fluence"};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        err = good_images(path, N, &det);
        file = to_change(path);
        H5Ldelete(file, optional[i], H5P_DEFAULT);
        H5Lcreate_soft("/nothing/here", file, optional[i], H5P_DEFAULT, H5P_DEFAULT);
        H5Fclose(file);
        err = err ? err : read_it(path, &s);
        OK(err == SPI_EFORMAT &&
               says("is a link to '/nothing/here', which is not in the file"),
           "%s", err ? spi_err_message() : optional[i]);
    }
}

/* Raw files: only when they are allowed, and only when they are long enough. */
static void raw_files(void)
{
    const hsize_t dim[4] = {N, 1, NY, NX};
    const char *path = keep("raw.h5"), *raw = keep("pixels.raw");
    struct spi_survey s;
    char before[65], after[65];
    hid_t file = without_photons(path), create = H5Pcreate(H5P_DATASET_CREATE);

    spill(raw, photons, sizeof photons);
    H5Pset_external(create, raw, 0, sizeof photons);
    virtual_images(file, create, H5Screate_simple(4, dim, NULL));
    spi_err err = read_it(path, &s);
    OK(err == SPI_EFORMAT && says("--follow-external") && says("pixels.raw"), "%s",
       err ? spi_err_message() : "read");
    spi_h5_follow_external(true);
    OK(count_different(path) == 0, "allowed");
    sha(path, before);
    spill(raw, "other pixels", 12);
    err = read_it(path, &s);
    OK(err == SPI_EFORMAT && says("which has 12"), "%s", err ? spi_err_message() : "read");
    photons[0] ^= 1;
    spill(raw, photons, sizeof photons);
    photons[0] ^= 1;
    sha(path, after);
    OK(strlen(before) == 64 && strlen(after) == 64 && strcmp(before, after) != 0,
       "other bytes are another fingerprint");
    unlink(raw);
    err = read_it(path, &s);
    OK(err == SPI_EFORMAT && says("which is not there"), "%s",
       err ? spi_err_message() : "read");
    spi_h5_follow_external(false);
}

/* ---- chunks ------------------------------------------------------------------------- */

/* Every shape of chunk gives the same pixels, whatever range is read. */
static void chunk_shapes(void)
{
    static const hsize_t shapes[][4] = {{1, 1, NY, NX}, {2, 1, NY, NX}, {4, 1, 3, 2},
                                        {N, 1, NY, NX}, {8, 1, 2, 8},   {1, 1, 1, 1}};
    static const hsize_t dim[4] = {N, 1, NY, NX}, most[4] = {H5S_UNLIMITED, 1, NY, 8};
    const char *path = keep("chunks.h5");

    for (int filters = 0; filters < 5; filters++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            hid_t file = without_photons(path), create = H5Pcreate(H5P_DATASET_CREATE);
            hid_t space = H5Screate_simple(4, dim, most), set;
            int64_t wrong = 0;
            struct spi_images *im;
            float image[N * NP];

            H5Pset_chunk(create, 4, shapes[k]);
            if (filters == 2 || filters == 3)
                H5Pset_shuffle(create);
            if (filters == 1 || filters == 2 || filters == 4)
                H5Pset_deflate(create, 4);
            if (filters >= 3)
                H5Pset_fletcher32(create); /* HDF5 reads these itself */
            set = H5Dcreate2(file, "photons", H5T_STD_U16BE, space, H5P_DEFAULT, create,
                             H5P_DEFAULT);
            H5Dwrite(set, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, photons);
            H5Dclose(set);
            H5Sclose(space);
            H5Pclose(create);
            H5Fclose(file);
            if (spi_images_open(path, &im)) {
                OK(0, "%s", spi_err_message());
                continue;
            }
            for (int first = 0; first < N; first++)
                for (int n = 1; first + n <= N; n++) {
                    if (spi_images_read(im, first, n, image))
                        wrong = -1000;
                    for (int i = 0; i < n * NP; i++)
                        wrong += image[i] != (float)photons[first * NP + i];
                }
            OK(wrong == 0, "chunks %zu, filters %d: every range", k, filters);
            spi_images_close(im);
        }
}

/* A chunk that was never written is the fill value. */
static void unwritten(void)
{
    static const hsize_t dim[4] = {N, 1, NY, NX}, chunk[4] = {1, 1, NY, NX};
    const char *path = keep("unwritten.h5");
    hid_t file = without_photons(path), create = H5Pcreate(H5P_DATASET_CREATE), set;
    struct spi_images *im = NULL;
    float image[NP] = {0};
    const uint16_t seven = 7;

    H5Pset_chunk(create, 4, chunk);
    H5Pset_deflate(create, 1);
    H5Pset_fill_value(create, H5T_NATIVE_UINT16, &seven);
    hid_t space = H5Screate_simple(4, dim, NULL);
    set =
        H5Dcreate2(file, "photons", H5T_STD_U16LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(create);
    H5Fclose(file);
    OK(spi_images_open(path, &im) == SPI_OK && spi_images_read(im, 2, 1, image) == SPI_OK &&
           image[0] == 7 && image[NP - 1] == 7,
       "a chunk that was never written");
    spi_images_close(im);
}

/* Stored chunks of a wrong length: plain, shuffled, deflated, with filters left out. */
static void wrong_chunks(void)
{
    static const hsize_t dim[4] = {N, 1, NY, NX}, chunk[4] = {N, 1, NY, NX}, zero[4] = {0};
    static const struct {
        bool shuffle, deflate;
        uint32_t skipped;
        size_t bytes;
        const char *says;
    } c[] = {{false, false, 0, 3, "hold 3 bytes; need a multiple of 240"},
             {false, false, 0, 5000, "hold 5000 bytes; need a multiple of 240"},
             {true, false, 0, 5000, "holds 5000 bytes; need 240"},
             {false, true, 0, 5000, "holds 5000 bytes; need 240"},
             {true, false, 0, 7, "holds 7 bytes; need 240"},
             {false, true, 1, 50, "holds 50 bytes; need 240"},
             {true, true, 2, 11, "holds 11 bytes; need 240"},
             {false, true, 0, 60, "cannot be inflated"}};
    const char *path = keep("wrong_chunk.h5");
    struct spi_survey s;
    static char bytes[5000];

    for (size_t k = 0; k < sizeof c / sizeof *c; k++) {
        hid_t file = without_photons(path), create = H5Pcreate(H5P_DATASET_CREATE);
        hid_t space = H5Screate_simple(4, dim, NULL), set;

        H5Pset_chunk(create, 4, chunk);
        if (c[k].shuffle)
            H5Pset_shuffle(create);
        if (c[k].deflate)
            H5Pset_deflate(create, 1);
        set = H5Dcreate2(file, "photons", H5T_STD_U16LE, space, H5P_DEFAULT, create,
                         H5P_DEFAULT);
        H5Dwrite_chunk(set, H5P_DEFAULT, c[k].skipped, zero, c[k].bytes, bytes);
        H5Dclose(set);
        H5Sclose(space);
        H5Pclose(create);
        H5Fclose(file);
        spi_err err = read_it(path, &s);
        OK(err == SPI_EFORMAT && says(c[k].says), "%s", err ? spi_err_message() : "read");
    }
}

/* ---- attributes, picture, units ----------------------------------------------------- */

static void long_text(void)
{
    const char *path = keep("text.h5"), *value = "by another program";
    spi_err err = good_images(path, N, &det);
    hid_t file = to_change(path), type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR),
          a;
    struct spi_images *im = NULL;

    H5Tset_size(type, H5T_VARIABLE);
    H5Adelete(file, "program");
    a = H5Acreate2(file, "program", type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, type, &value);
    H5Aclose(a);
    H5Sclose(space);
    H5Tclose(type);
    H5Fclose(file);
    OK(!err && spi_images_open(path, &im) == SPI_OK &&
           strstr(spi_images_attribute(im, "program"), "not read") &&
           strcmp(spi_images_attribute(im, "provenance"), "{\"seed\": 1}") == 0,
       "text of variable length is not read, of fixed length it is");
    spi_images_close(im);
}

static void far_apart(void)
{
    static const hsize_t dim[4] = {1, NY, NX, 2};
    static double place[2 * NP];
    const char *path = keep("picture.h5");
    struct spi_survey s;

    for (int i = 0; i < NP; i++)
        place[2 * i] = place[2 * i + 1] = i == NP - 1 ? 24999 : i;
    spi_err err = good_images(path, N, &det);
    hid_t file = to_change(path);
    replace(file, "pixel_index_map", H5T_STD_I64LE, 4, dim, place);
    H5Fclose(file);
    err = err ? err : read_it(path, &s);
    OK(err == SPI_EFORMAT && says("20 pixels over a picture of 25000 x 25000"), "%s",
       err ? spi_err_message() : "read");
}

/* Positions times `scale`; an attribute times `wave` (0: removed). */
static void units(void)
{
    static const hsize_t dim[4] = {1, NY, NX, 3};
    static double q[3 * NP];
    static const struct {
        double scale, wave;
        const char *says;
    } c[] = {{1e-10, 1, "seem to be in 1/A instead of 1/m"},
             {2e-10 * M_PI, 1, "seem to be 2 pi / d in 1/A"},
             {2 * M_PI, 1, "seem to hold 2 pi / d instead of 1 / d"},
             {1e-9, 1, "seem to be in 1/nm instead of 1/m"},
             {1e-10, 0, "they seem to be in 1/A, or 2 pi/A"},
             {1, 0.1, "the attribute seems to be in nm"},
             {1, 1e-10, "the attribute seems to be in m instead of A"},
             {1, 1e3, "an energy in keV taken for eV"},
             {1, 12.398 / 4, "the attribute seems to hold the photon energy in keV"},
             {1, 12398 / 4.0, "the attribute seems to hold the photon energy in eV"},
             {1, 1.5, "one of the two is wrong"}};
    const char *path = keep("units.h5");
    struct spi_survey s;

    for (size_t k = 0; k < sizeof c / sizeof *c; k++) {
        spi_err err = good_images(path, N, &det);
        hid_t file = to_change(path);

        for (int i = 0; i < 3 * NP; i++)
            q[i] = det.q[i] * 1e10 * c[k].scale;
        replace(file, "pixel_position_reciprocal", H5T_IEEE_F64LE, 4, dim, q);
        H5Adelete(file, "wavelength_A");
        if (c[k].wave > 0 && spi_h5_put_number(file, path, "wavelength_A", 2 * c[k].wave))
            NOTE("%s", spi_err_message());
        H5Fclose(file);
        err = err ? err : read_it(path, &s);
        OK(err == SPI_EFORMAT && says(c[k].says), "%s",
           err ? spi_err_message() : c[k].says);
    }
}

/* Sources of a virtual dataset that are damaged where HDF5 has no checksum before it
 * decodes them: it takes gigabytes, or writes beyond its memory. */
static void damaged_sources(void)
{
    static char bytes[110000];
    const char *path = keep("damaged.h5");
    struct spi_survey s;
    long n;

    for (int i = 0; i < 2; i++) {
        static const struct {
            int at;
            unsigned char value;
            const char *says;
        } change[] = {{102299, 119, "the HDF5 library"}, {102307, 172, "the HDF5 library"}};

        n = slurp(in_cases("vds.h5"), bytes, sizeof bytes);
        bytes[change[i].at] = (char)change[i].value;
        spill(path, bytes, (size_t)n);
        OK(n > 102500 && read_it(path, &s) == SPI_EFORMAT && says(change[i].says), "%s",
           spi_err_message());
    }
}

/* -1: of no structure; what is below is no label. */
static void negative_label(void)
{
    static const hsize_t dim[1] = {N};
    static const double label[2][N] = {{0, 1, -1}, {0, 1, -2}};
    const char *path = keep("label.h5");
    struct spi_survey s;

    for (int i = 0; i < 2; i++) {
        spi_err err = good_images(path, N, &det);
        hid_t file = to_change(path);

        replace(file, "truth/label", H5T_STD_I32LE, 1, dim, label[i]);
        H5Fclose(file);
        err = err ? err : read_it(path, &s);
        if (i == 0)
            OK(err == SPI_OK, "label -1: %s", err ? spi_err_message() : "read");
        else
            OK(err == SPI_EFORMAT && says("the label of image 2 is -2"), "%s",
               err ? spi_err_message() : "read");
    }
}

int main(void)
{
    make_tmp("image_cases");
    spi_log_set_level(SPI_LOG_QUIET);
    alarm(120); /* a damaged file that is read for ever */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (flat_detector(&det, 1, NY, NX))
        return 1;
    for (int i = 0; i < N * NP; i++)
        photons[i] = (uint16_t)(7 * (i / NP) + i % 11);
    refused();
    masked();
    inverted();
    bitshuffle();
    cxi();
    virtual_sets();
    numbered_sources();
    links();
    raw_files();
    chunk_shapes();
    unwritten();
    wrong_chunks();
    long_text();
    far_apart();
    units();
    negative_label();
    damaged_sources();
    spi_detector_clear(&det);
    return tap_done();
}
