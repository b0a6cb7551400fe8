/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What `spinifel info` knows of each kind of file. */
#include <jansson.h>
#include <math.h>
#include <zlib.h>

#include "h5_test.h"
#include "io/info.h"
#include "io/mrc.h"
#include "io/orient.h"
#include "io/state.h"
#include "io_test.h"
#include "tap.h"

static json_t *info(const char *path)
{
    json_t *j = NULL;
    spi_err err = spi_file_info(path, &j);

    if (err)
        NOTE("%s", spi_err_message());
    return j;
}

static double real(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));

    return s ? s : "";
}

/* Two images of 4 x 5 pixels: (7 k + p) % 50 = p and p + 7; pixel 19 is masked. */
static void images(void)
{
    const char *path = in_tmp("images.h5");
    struct spi_detector d;
    spi_err err = flat_detector(&d, 1, 4, 5);

    d.bad[19] = 1;
    err = err ? err : good_images(path, 2, &d);
    json_t *j = info(path), *s = json_object_get(j, "statistics");

    OK(!err && !strcmp(text(j, "kind"), "images") &&
           !strcmp(text(j, "layout"), "spinifel") &&
           !strcmp(text(j, "values"), "photons") && !strcmp(text(j, "type"), "uint8"),
       "kind, layout, values, type");
    OK(real(j, "images") == 2 && real(j, "pixels_per_image") == 20, "shape");
    /* h c / 2 A; 1e-12: a few roundings of q and of the fit */
    OK(fabs(real(j, "energy_eV") / 6199.209921660013 - 1) < 1e-12, "energy");
    OK(fabs(real(j, "resolution_corner_A") * spi_detector_q_corner(&d) - 1) < 1e-12 &&
           real(j, "resolution_edge_A") > 1.2 * real(j, "resolution_corner_A"),
       "resolution at the edge and in the corner");
    OK(real(j, "masked_fraction") == 0.05, "masked");
    /* sums of 0..18 and of 7..25 */
    OK(real(s, "photons_per_image") == (171 + 304) / 2.0 &&
           real(s, "photons_per_image_rms") == (304 - 171) / 2.0,
       "photons per image");
    OK(real(s, "pixel_min") == 0 && real(s, "pixel_max") == 25, "range");
    OK(json_array_size(json_object_get(j, "truth")) == 3 && real(j, "structures") == 2,
       "truth");
    OK(real(json_object_get(j, "provenance"), "seed") == 1, "provenance is JSON");
    OK(strstr(text(j, "convention"), "no ") || strstr(text(j, "convention"), "1/d"),
       "convention");
    json_decref(j);
    spi_detector_clear(&d);
}

static void skopi(void)
{
    json_t *j = info(in_data("skopi_2cex_cmtip_layout_4.h5"));
    json_t *s = json_object_get(j, "statistics");

    OK(!strcmp(text(j, "layout"), "cmtip") && !strcmp(text(j, "values"), "intensities"),
       "foreign file");
    OK(fabs(real(j, "energy_eV") - 4600) < 0.1, "4.6 keV: %g", real(j, "energy_eV"));
    OK(real(s, "sum_per_image") > 0 && real(s, "sum_per_image") < 2, "tiny values: %g",
       real(s, "sum_per_image"));
    OK(json_array_size(json_object_get(j, "truth")) == 1, "truth: orientations only");
    json_decref(j);
}

static void map(void)
{
    json_t *j = info(in_data("EMD-3001.map"));

    OK(!strcmp(text(j, "kind"), "map") &&
           json_array_size(json_object_get(j, "labels")) == 1,
       "map");
    OK(json_integer_value(json_array_get(json_object_get(j, "voxels_xyz"), 0)) == 43 &&
           json_integer_value(json_array_get(json_object_get(j, "voxels_xyz"), 2)) == 73,
       "axes in order");
    OK(fabs(real(json_object_get(j, "statistics"), "max") - 0.72161025) < 1e-8, "maximum");
    json_decref(j);
}

static void orientations(void)
{
    double quat[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    float score[3] = {-1, -2, -6};
    uint8_t half[3] = {1, 2, 1};
    float entropy[3] = {0, 0.5F, 1};
    const struct spi_orientations o = {
        .n = 3, .quat = quat[0], .score = score, .half = half, .entropy = entropy};
    spi_err err = spi_orientations_write(in_tmp("o.h5"), &o, "not json");
    json_t *j = info(in_tmp("o.h5"));

    OK(!err && !strcmp(text(j, "kind"), "orientations") && real(j, "images") == 3, "kind");
    OK(real(json_object_get(j, "score"), "mean") == -3 &&
           real(json_object_get(j, "score"), "min") == -6,
       "score");
    OK(real(json_object_get(j, "entropy"), "mean") == 0.5, "entropy");
    OK(json_integer_value(json_array_get(json_object_get(j, "halves"), 0)) == 2, "halves");
    OK(!strcmp(text(j, "provenance"), "not json"),
       "provenance that is not JSON stays text");
    json_decref(j);
}

static void structure(void)
{
    json_t *j = info(in_data("structures/caffeine.pdb"));

    OK(!strcmp(text(j, "kind"), "structure"), "structure");
    /* C8 N4 O2, without hydrogens */
    OK(real(j, "atoms") == 14 && real(json_object_get(j, "elements"), "C") == 8 &&
           real(json_object_get(j, "elements"), "N") == 4,
       "caffeine: %g atoms", real(j, "atoms"));
    OK(real(j, "diameter_A") > 5 && real(j, "diameter_A") < 12, "diameter %g",
       real(j, "diameter_A"));
    json_decref(j);
    j = info(in_data("structures/1aki.cif.gz"));
    OK(!strcmp(text(j, "kind"), "structure") && real(j, "atoms") > 1000, "mmCIF, gzip");
    json_decref(j);
}

static void metrics(void)
{
    static const char good[] = "{\"generation\": 1}\n{\"generation\": 2, \"q_max\": 0.1}\n";
    static const char bad[] = "{\"generation\": 1}\n{\"generation\": \n";
    json_t *j;

    spill(in_tmp("metrics.jsonl"), good, sizeof good - 1);
    j = info(in_tmp("metrics.jsonl"));
    OK(real(j, "generations") == 2 && real(json_object_get(j, "last"), "q_max") == 0.1,
       "metrics");
    json_decref(j);
    spill(in_tmp("bad.jsonl"), bad, sizeof bad - 1);
    OK(spi_file_info(in_tmp("bad.jsonl"), &j) == SPI_EFORMAT &&
           says("bad.jsonl:2: not a JSON"),
       "%s", spi_err_message());
}

static void unknown(void)
{
    json_t *j;

    spill(in_tmp("text"), "hello\n", 6);
    OK(spi_file_info(in_tmp("text"), &j) == SPI_EFORMAT && !j && says("of no kind known"),
       "%s", spi_err_message());
    OK(spi_file_info(in_tmp("absent"), &j) == SPI_EIO && !j, "%s", spi_err_message());
    OK(spi_file_info(in_tmp(""), &j) == SPI_EIO && says("is a directory"), "%s",
       spi_err_message());
    gzFile gz = gzopen(in_tmp("packed"), "wb");
    gzputs(gz,
           "ATOM      1  CA  GLY A   1       1.000   2.000   3.000  1.00  9.00           "
           "C\n");
    gzclose(gz);
    j = info(in_tmp("packed"));
    OK(!strcmp(text(j, "kind"), "structure") && real(j, "atoms") == 1,
       "a structure in gzip without an extension");
    json_decref(j);
    spill(in_tmp("cut.h5"), "\x89HDF\r\n\x1a\n", 8);
    OK(spi_file_info(in_tmp("cut.h5"), &j) == SPI_EFORMAT && says("a broken HDF5 file"),
       "%s", spi_err_message());
    hid_t file = H5Fcreate(in_tmp("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    OK(spi_file_info(in_tmp("other.h5"), &j) == SPI_EFORMAT && says("of no kind known"),
       "%s", spi_err_message());
}

static void states(void)
{
    static const char key[] = "images = 0f\n[runtime]\nseed = 3  # help\n";
    const char *path = in_tmp("state.bin");
    int32_t generation = 17;
    struct spi_state_item item = {SPI_STATE_GENERATION, sizeof generation, &generation};
    spi_err err = spi_state_write(path, key, 1, &item);
    json_t *j = info(path), *with = json_object_get(j, "resumes_with");

    OK(!err && !strcmp(text(j, "kind"), "state") && real(j, "generation") == 17 &&
           json_is_true(json_object_get(j, "resumable")) &&
           strncmp(text(j, "written_by"), "spinifel ", 9) == 0,
       "a state: generation, program");
    OK(!strcmp(text(with, "images"), "0f") &&
           !strcmp(text(json_object_get(with, "runtime"), "seed"), "3"),
       "what it resumes with");
    json_decref(j);
    j = info(in_data("../tests/cases/state_candidate_huge.bin"));
    OK(json_is_false(json_object_get(j, "resumable")) &&
           !strcmp(text(j, "written_by"), "another version of spinifel"),
       "a state of another version");
    json_decref(j);
    OK(truncate(path, 60) == 0 && spi_file_info(path, &j) == SPI_EFORMAT &&
           says("damaged: the checksum is wrong"),
       "%s", spi_err_message());
    remove(path);
}

int main(void)
{
    make_tmp("info");
    images();
    skopi();
    map();
    orientations();
    structure();
    metrics();
    states();
    unknown();
    return tap_done();
}
