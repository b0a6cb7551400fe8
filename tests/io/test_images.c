/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sets of images: what is written is read back; foreign files in either axis order. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "h5_test.h"
#include "io_test.h"
#include "math/rot.h"
#include "tap.h"

enum { N = 23, PANELS = 2, NY = 5, NX = 6, NP = PANELS * NY * NX };

static struct spi_detector det;
static float pixels[N][NP];
static double quat[N][4], fluence[N];
static int32_t label[N];

/* Whole numbers up to `most`, or floats over 30 decades. */
static void make_content(enum spi_image_kind kind, double most)
{
    struct spi_rng r = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)most);

    for (int k = 0; k < N; k++) {
        spi_rot_random(&r, quat[k]);
        fluence[k] = spi_rng_uniform(&r);
        label[k] = k % 3;
        for (int i = 0; i < NP; i++) {
            double u = spi_rng_uniform(&r);

            pixels[k][i] = kind == SPI_PHOTONS
                               ? floorf((float)(u * most))
                               : (float)(u * pow(10, (k * NP + i) % 30 - 25));
        }
    }
    pixels[3][7] = kind == SPI_PHOTONS ? (float)most : 0;
}

/* All of it in blocks of `block`. */
static spi_err write_content(const char *path, enum spi_image_kind kind, int64_t most,
                             int block)
{
    struct spi_images_spec spec = {.n_images = N,
                                   .kind = kind,
                                   .max_photons = most,
                                   .detector = &det,
                                   .provenance_json = "{\"seed\": 7}"};
    struct spi_images_writer *w;
    spi_err err = spi_images_create(path, &spec, &w);

    for (int k = 0; !err && k < N; k += block) {
        struct spi_image_truth t = {
            .quat = quat[k], .label = label + k, .fluence = fluence + k};

        err = spi_images_append(w, k + block < N ? block : N - k, pixels[k], &t);
        if (err)
            spi_images_abandon(w);
    }
    return err ? err : spi_images_finish_take(w);
}

static int differs(const float *a, int first, int n)
{
    int wrong = 0;

    for (int k = 0; k < n; k++)
        for (int i = 0; i < NP; i++)
            wrong += a[k * NP + i] != (det.bad[i] ? 0 : pixels[first + k][i]);
    return wrong;
}

static void round_trip(enum spi_image_kind kind, int64_t most, const char *type, int block)
{
    const char *path = in_tmp("round.h5");
    static float back[N * NP];
    struct spi_images *im = NULL;

    make_content(kind, (double)most);
    spi_err err = write_content(path, kind, most, block);
    OK(err == SPI_OK, "%s, blocks of %d: %s", type, block,
       err ? spi_err_message() : "written");
    OK(access(in_tmp(".round.h5.spinifel-tmp"), F_OK) != 0, "no temporary file stays");
    OK(spi_images_open(path, &im) == SPI_OK, "opened");
    OK(spi_images_count(im) == N && spi_images_kind(im) == kind &&
           !strcmp(spi_images_type(im), type) && !strcmp(spi_images_layout(im), "spinifel"),
       "count, kind, type, layout");
    OK(spi_images_read(im, 0, N, back) == SPI_OK && differs(back, 0, N) == 0,
       "same pixels");
    OK(spi_images_read(im, 17, 3, back) == SPI_OK && differs(back, 17, 3) == 0 &&
           differs(back, 16, 3) > 0,
       "a range");
    OK(spi_images_read(im, N, 0, back) == SPI_OK, "an empty range");
    OK(spi_images_read(im, N - 1, 2, back) == SPI_EINVAL && says("images 22 to 23"), "%s",
       spi_err_message());
    spi_images_close(im);
}

static void detector_and_truth(void)
{
    const char *path = in_tmp("round.h5");
    struct spi_images *im = NULL;
    struct spi_image_truth t;
    double worst = 0;

    make_content(SPI_PHOTONS, 9);
    spi_err err = write_content(path, SPI_PHOTONS, 9, 4);
    err = err ? err : spi_images_open(path, &im);
    OK(err == SPI_OK, "written and opened");
    const struct spi_detector *d = spi_images_detector(im);
    OK(d->panels == PANELS && d->ny == NY && d->nx == NX && d->n_pixels == NP, "shape");
    for (int i = 0; i < 3 * NP; i++)
        worst = fmax(worst, fabs(d->q[i] - det.q[i]) / fabs(det.q[i]));
    /* 1/A -> 1/m -> 1/A: two products, and 1e-10 is not exact: 3 roundings */
    OK(worst <= 3 * 0x1p-53, "q within 3 roundings (%.2g)", worst);
    OK(!memcmp(d->geometry, det.geometry, sizeof(float) * NP), "geometry factor");
    OK(!memcmp(d->bad, det.bad, NP), "mask");
    OK(!memcmp(d->index_map, det.index_map, 2 * sizeof(int32_t) * NP), "index map");
    OK(d->rows == PANELS * NY && d->columns == NX, "assembled picture");
    OK(d->wavelength_A == 2 && d->distance_m == 0.25, "wavelength, distance");
    OK(!strcmp(spi_images_attribute(im, "provenance"), "{\"seed\": 7}"), "provenance");
    OK(strstr(spi_images_attribute(im, "convention"), "1/d") != NULL, "convention");
    OK(!strcmp(spi_images_attribute(im, "none"), ""), "an absent attribute");

    OK(spi_images_truth(im, &t) == SPI_OK && t.quat && t.label && t.fluence, "truth");
    worst = 0;
    for (int i = 0; i < 4 * N; i++)
        worst = fmax(worst, fabs(t.quat[i] - quat[i / 4][i % 4]));
    OK(worst <= 4 * 0x1p-53, "quaternions, made unit again (%.2g)",
       worst); /* ~4 roundings */
    OK(!memcmp(t.label, label, sizeof label) && !memcmp(t.fluence, fluence, sizeof fluence),
       "labels and fluences");
    spi_truth_clear(&t);
    spi_images_close(im);
}

/* |q| in the middle of the right side of a square of 64 x 64 pixels whose beam is off by
 * `off` pixels to the left; `from`: columns below it are bad.  Flat: q is the position. */
static double edge_of(double off, int from)
{
    struct spi_detector d;
    double edge = -1;

    if (spi_detector_init(&d, 1, 64, 64))
        return -1;
    for (int p = 0; p < 64 * 64; p++) {
        d.q[3 * p] = 1e-3 * (p % 64 - 31.5 + off);
        d.q[3 * p + 1] = 1e-3 * (p / 64 - 31.5);
        d.bad[p] = p % 64 < from;
    }
    edge = 1e3 * spi_detector_q_edge(&d);
    spi_detector_clear(&d);
    return edge;
}

/* The edge is where rings end, not where the nearest side is. */
static void edge_by_filling(void)
{
    OK(fabs(edge_of(0, 0) - 31.5) < 1e-6, "beam in the middle: %.4f px, 31.5 expected",
       edge_of(0, 0));
    /* the left side is 11.5 px away, the right one 51.5, those above and below 31.5:
     * at 31.5 px three quarters of the circle are there, at 51.5 a fifth */
    OK(fabs(edge_of(20, 0) - 31.5) < 1e-6,
       "beam off by 20 px: %.4f px, not 11.5, the nearest side", edge_of(20, 0));
    OK(fabs(edge_of(0, 32) - 31.5) < 1e-6,
       "one half is bad: %.4f px, half of each circle is there", edge_of(0, 32));
    OK(fabs(edge_of(31.5, 0) - 31.5) < 1e-6, "beam on the left side: %.4f px",
       edge_of(31.5, 0));
}

/* The flat detector is 12 x 5 pixels: its nearest side is half a height away. */
static void edge(void)
{
    double b = 0.01 * 2, want, corner;

    /* tan = b at the side, |q| = 2 sin(theta) / wavelength; 1e-12: a dozen roundings of
     * numbers of order 1 under the square root of 1 - small, amplified by 1/q^2 ~ 1e3 */
    want = 2 * sin(atan(b) / 2) / 2;
    OK(fabs(spi_detector_q_edge(&det) / want - 1) < 1e-3, "q at the edge's middle: %g, %g",
       spi_detector_q_edge(&det), want);
    corner = 2 * sin(atan(hypot(0.055, 0.02)) / 2) / 2;
    OK(fabs(spi_detector_q_corner(&det) / corner - 1) < 1e-12, "q at the corner: %g",
       corner);
    OK(spi_detector_q_edge(&det) < 0.5 * spi_detector_q_corner(&det), "they differ");
}

/* ---- foreign files ------------------------------------------------------------------ */

static void skopi(const char *name, const char *layout)
{
    static float image[4][4096];
    struct spi_images *im = NULL;
    struct spi_image_truth t;
    spi_err err = spi_images_open(in_data(name), &im);

    OK(err == SPI_OK, "%s: %s", name, err ? spi_err_message() : "opened");
    NEED(!err);
    const struct spi_detector *d = spi_images_detector(im);
    OK(!strcmp(spi_images_layout(im), layout) && spi_images_count(im) == 4 &&
           spi_images_kind(im) == SPI_INTENSITIES,
       "%s, 4 images", layout);
    /* numpy: least squares over the pixels of the whole detector, 2.695308638830636e-10 m;
     * skopi rounds constants of its own, so other pixels give it only to 1e-6 */
    OK(fabs(d->wavelength_A / 2.6953086 - 1) < 1e-6, "wavelength %.9g A", d->wavelength_A);
    OK(d->distance_m == 0.2, "distance");
    /* attribute reciprocal_extent of the file, printed by h5py */
    OK(fabs(spi_detector_q_corner(d) / 0.051278881995994484 - 1) < 1e-12, "largest |q|");
    /* pixel (row 0, column 63): x > 0, y < 0, against the beam */
    OK(d->q[3 * 63] > 0.035 && d->q[3 * 63 + 1] < -0.035 && d->q[3 * 63 + 2] < 0,
       "order of q");
    OK(d->rows == 64 && d->columns == 64 && d->index_map[2 * 63] == 63, "index map");
    OK(spi_images_read(im, 0, 4, image[0]) == SPI_OK, "read");
    /* h5py: intensities[0, 0, 32, 32] and [3, 0, 95, 95] of the whole file */
    OK(image[0][0] == 9.135908e-06F && image[3][4095] == 2.959381e-05F, "pixels");
    OK(spi_images_truth(im, &t) == SPI_OK && t.quat && !t.label && !t.fluence, "truth");
    OK(fabs(t.quat[4 * 3 + 2] - 0.25784448727325204) < 1e-15,
       "the fourth quaternion"); /* h5py */
    spi_truth_clear(&t);
    spi_images_close(im);
}

/* The two files hold the same images: whatever the order of axes, the same comes out. */
static void same_in_both_layouts(void)
{
    static float a[4][4096], b[4][4096];
    struct spi_images *one, *two;
    struct spi_image_truth t, u;

    if (spi_images_open(in_data("skopi_2cex_cmtip_layout_4.h5"), &one) ||
        spi_images_open(in_data("skopi_2cex_spinifel_layout_4.h5"), &two)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    OK(!memcmp(spi_images_detector(one)->q, spi_images_detector(two)->q,
               3 * 4096 * sizeof(double)),
       "same q in both layouts");
    OK(!spi_images_read(one, 0, 4, a[0]) && !spi_images_read(two, 0, 4, b[0]) &&
           !memcmp(a, b, sizeof a),
       "same pixels");
    OK(!spi_images_truth(one, &t) && !spi_images_truth(two, &u) &&
           !memcmp(t.quat, u.quat, 16 * sizeof(double)),
       "same orientations");
    spi_truth_clear(&t);
    spi_truth_clear(&u);
    spi_images_close(one);
    spi_images_close(two);
}

/* Three panels of 3 x 3: both axis orders have one shape; the Ewald sphere tells. */
static void ambiguous_shape(void)
{
    static const hsize_t dim[4] = {3, 3, 3, 3};
    const char *path = in_tmp("ambiguous.h5");
    struct spi_detector d;
    struct spi_images *im = NULL;
    double q[81];

    spi_err err = flat_detector(&d, 3, 3, 3);
    err = err ? err : good_images(path, 2, &d);
    OK(err == SPI_OK && !spi_images_open(path, &im) &&
           !strcmp(spi_images_layout(im), "spinifel"),
       "(3,3,3,3) with q last");
    spi_images_close(im);

    for (int i = 0; i < 27; i++)
        for (int k = 0; k < 3; k++)
            q[27 * k + i] = d.q[3 * i + k] * 1e10;
    hid_t file = to_change(path);
    replace(file, "pixel_position_reciprocal", H5T_IEEE_F64LE, 4, dim, q);
    H5Fclose(file);
    OK(spi_images_open(path, &im) == SPI_OK && !strcmp(spi_images_layout(im), "cmtip"),
       "(3,3,3,3) with q first");
    OK(fabs(spi_images_detector(im)->q[3 * 5] - d.q[3 * 5]) < 1e-15, "the same q");
    spi_images_close(im);
    spi_detector_clear(&d);
}

/* z against the beam, several particles, no index map, photons beside intensities. */
static void variants(void)
{
    static const hsize_t q_dim[4] = {PANELS, NY, NX, 3}, o_dim[3] = {4, 2, 4},
                         i_dim[4] = {4, PANELS, NY, NX};
    static double q[3 * NP], o[32], value[4 * NP];
    const char *path = in_tmp("variant.h5");
    struct spi_images *im = NULL;
    struct spi_image_truth t;
    float image[NP];

    spi_err err = good_images(path, 4, &det);
    hid_t file = to_change(path);
    for (int i = 0; i < 3 * NP; i++)
        q[i] = 1e10 * det.q[i] * (i % 3 == 2 ? -1 : 1);
    for (int i = 0; i < 8; i++)
        o[4 * i + (i % 2 ? 3 : 1)] = i % 2 ? 1 : -1;
    for (int i = 0; i < 4 * NP; i++)
        value[i] = 0.25 * i;
    replace(file, "pixel_position_reciprocal", H5T_IEEE_F64LE, 4, q_dim, q);
    replace(file, "truth/orientations", H5T_IEEE_F32BE, 3, o_dim, o);
    replace(file, "intensities", H5T_IEEE_F32BE, 4, i_dim, value);
    H5Ldelete(file, "pixel_index_map", H5P_DEFAULT);
    H5Ldelete(file, "truth/label", H5P_DEFAULT);
    H5Adelete(file, "wavelength_A");
    H5Fclose(file);

    OK(!err && spi_images_open(path, &im) == SPI_OK, "opened");
    /* 1e-12: some 60 roundings of a sum of positive numbers */
    OK(fabs(spi_images_detector(im)->wavelength_A + 2) < 1e-12, "wavelength %g: z reversed",
       spi_images_detector(im)->wavelength_A);
    OK(spi_images_detector(im)->q[2] > 0, "q is left as it is");
    OK(spi_images_detector(im)->index_map[2 * NP - 2] == PANELS * NY - 1, "panels stacked");
    OK(spi_images_truth(im, &t) == SPI_OK && t.quat[1] == -1 && t.quat[5] == -1 && !t.label,
       "the first of two particles");
    OK(spi_images_kind(im) == SPI_PHOTONS && !spi_images_read(im, 1, 1, image) &&
           image[0] == 7,
       "photons preferred");
    spi_truth_clear(&t);
    spi_images_close(im);

    file = to_change(path);
    replace_attribute(file, "wavelength_A", 2);
    H5Ldelete(file, "photons", H5P_DEFAULT);
    H5Fclose(file);
    OK(spi_images_open(path, &im) == SPI_OK && spi_images_detector(im)->wavelength_A == -2,
       "a positive attribute takes the sign of q");
    OK(spi_images_kind(im) == SPI_INTENSITIES && !spi_images_read(im, 1, 1, image) &&
           image[2] == 0.25F * (NP + 2),
       "intensities, big-endian");
    spi_images_close(im);
}

/* ---- writers that fail -------------------------------------------------------------- */

static spi_err append_one(int64_t max, float value, double norm)
{
    struct spi_images_spec spec = {.n_images = 2,
                                   .kind = SPI_PHOTONS,
                                   .max_photons = max,
                                   .detector = &det,
                                   .provenance_json = NULL};
    struct spi_images_writer *w;
    double unit[4] = {norm, 0, 0, 0};
    struct spi_image_truth t = {.quat = unit};
    static float image[NP];
    spi_err err = spi_images_create(in_tmp("refused.h5"), &spec, &w);

    image[13] = value;
    if (err)
        return err;
    err = spi_images_append(w, 1, image, &t);
    if (err)
        spi_images_abandon(w);
    else
        err = spi_images_finish_take(w); /* one image is missing */
    return err;
}

static void refusals(void)
{
    const char *path = in_tmp("refused.h5");
    struct spi_images_writer *w;

    unlink(path);
    OK(append_one(9, 10, 1) == SPI_EINVAL && says("image 0, pixel 13 is 10; need a whole"),
       "%s", spi_err_message());
    OK(append_one(255, 256, 1) == SPI_EINVAL, "%s", spi_err_message());
    OK(append_one(9, 1.5F, 1) == SPI_EINVAL, "%s", spi_err_message());
    OK(append_one(9, -1, 1) == SPI_EINVAL, "%s", spi_err_message());
    OK(append_one(9, NAN, 1) == SPI_EINVAL, "%s", spi_err_message());
    OK(append_one(9, 1, 1.1) == SPI_EINVAL && says("quaternion of image 0"), "%s",
       spi_err_message());
    OK(append_one(0, 1, 1) == SPI_EINVAL && says("need 1..4294967295"), "%s",
       spi_err_message());
    OK(append_one(9, 9, 1) == SPI_EINVAL && says("1 images written; announced were 2"),
       "%s", spi_err_message());
    OK(access(path, F_OK) && access(in_tmp(".refused.h5.spinifel-tmp"), F_OK),
       "nothing is left");
    struct spi_images_spec none = {.n_images = 0,
                                   .kind = SPI_PHOTONS,
                                   .max_photons = 9,
                                   .detector = &det,
                                   .provenance_json = NULL};
    OK(spi_images_create(path, &none, &w) == SPI_EINVAL && !w, "%s", spi_err_message());
    struct spi_images_spec one = {.n_images = 1,
                                  .kind = SPI_PHOTONS,
                                  .max_photons = 9,
                                  .detector = &det,
                                  .provenance_json = NULL};
    OK(spi_images_create(in_tmp("no/dir.h5"), &one, &w) == SPI_EIO &&
           says("does not exist"),
       "%s", spi_err_message());
    spi_images_abandon(NULL);
}

/* Full disks of many sizes (a limit on the file's size fails in the same places): always a
 * message, never a file, and HDF5 goes on working. */
static void disk_full(void)
{
    const char *path = in_tmp("full.h5"), *tmp = in_tmp(".full.h5.spinifel-tmp");
    struct rlimit old, small;
    int refused = 0, told = 0, left = 0, n = 0;

    unlink(path);
    make_content(SPI_INTENSITIES, 1);
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 11000; limit += 1 + limit / 20, n++) {
        small = (struct rlimit){limit, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        spi_err err = write_content(path, SPI_INTENSITIES, 0, 2);
        setrlimit(RLIMIT_FSIZE, &old);
        refused += err == SPI_EIO;
        told += says("File too large");
        left += !access(path, F_OK) || !access(tmp, F_OK);
        if (err != SPI_EIO || !says("File too large"))
            NOTE("limit %d: %d %s", (int)limit, err, spi_err_message());
        unlink(tmp);
    }
    OK(refused == n && told == n, "%d sizes of a full disk: %d refused, %d with the reason",
       n, refused, told);
    OK(left == 0, "nothing is left (%d)", left);
    OK(write_content(path, SPI_INTENSITIES, 0, 2) == SPI_OK,
       "works when there is room again");
}

/* ---- threads ------------------------------------------------------------------------ */

static void *read_much(void *arg)
{
    struct spi_images *im = arg;
    float back[3 * NP];
    intptr_t wrong = 0;

    for (int k = 0; k < 300; k++) {
        int first = k * 7 % (N - 2);

        wrong += spi_images_read(im, first, 3, back) != SPI_OK || differs(back, first, 3);
    }
    return (void *)wrong; /* NOLINT: a count of at most 300 */
}

static void threads(void)
{
    const char *path = in_tmp("threads.h5");
    pthread_t t[4];
    struct spi_images *im = NULL;
    intptr_t wrong = 0;

    make_content(SPI_PHOTONS, 1000);
    spi_err err = write_content(path, SPI_PHOTONS, 1000, 5);
    if (err || spi_images_open(path, &im)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int i = 0; i < 4; i++)
        pthread_create(t + i, NULL, read_much, im);
    for (int i = 0; i < 4; i++) {
        void *w;

        pthread_join(t[i], &w);
        wrong += (intptr_t)w;
    }
    OK(wrong == 0, "1200 ranges from 4 threads");
    spi_images_close(im);
}

/* The same content gives the same bytes. */
static void same_bytes(void)
{
    static char a[100000], b[100000];

    make_content(SPI_PHOTONS, 100);
    spi_err err = write_content(in_tmp("a.h5"), SPI_PHOTONS, 100, 5);
    err = err ? err : write_content(in_tmp("b.h5"), SPI_PHOTONS, 100, 5);
    long na = slurp(in_tmp("a.h5"), a, sizeof a), nb = slurp(in_tmp("b.h5"), b, sizeof b);
    OK(!err && na > 0 && na == nb && !memcmp(a, b, (size_t)na), "same bytes twice (%ld)",
       na);
}

int main(void)
{
    make_tmp("images");
    spi_log_set_level(SPI_LOG_QUIET);
    if (flat_detector(&det, PANELS, NY, NX))
        return 1;
    det.bad[3] = 1;
    for (int i = 0; i < NP; i++)
        det.geometry[i] = 1 - 0.001F * (float)i;
    round_trip(SPI_PHOTONS, 255, "uint8", 1);
    round_trip(SPI_PHOTONS, 256, "uint16", 5);
    round_trip(SPI_PHOTONS, 65536, "uint32", 23);
    round_trip(SPI_INTENSITIES, 0, "float32", 4);
    detector_and_truth();
    edge();
    edge_by_filling();
    skopi("skopi_2cex_cmtip_layout_4.h5", "cmtip");
    skopi("skopi_2cex_spinifel_layout_4.h5", "spinifel");
    same_in_both_layouts();
    ambiguous_shape();
    variants();
    refusals();
    disk_full();
    threads();
    same_bytes();
    spi_detector_clear(&det);
    return tap_done();
}
