/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/images.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/images_priv.h"
#include "io/kind.h"
#include "io/mask.h"
#include "kernel/pixels.h"

const struct spi_source_format *const spi_source_formats[] = {
    &spi_source_spinifel, &spi_source_cmtip, &spi_source_cxi, NULL};

const struct spi_source_format *spi_source_format_of(const struct spi_peek *p)
{
    const struct spi_source_format *const *f = spi_source_formats;

    while (*f && !(*f)->probe(p))
        f++;
    return *f;
}

void spi_source_clear(struct spi_source *s)
{
    for (int i = 0; i < s->n_texts; i++) {
        free(s->text[i].name);
        free(s->text[i].value);
    }
    free(s->text);
    spi_detector_clear(&s->det);
    spi_h5_sources_clear(&s->others);
    *s = (struct spi_source){0};
}

/* ---- the detector ------------------------------------------------------------------- */

spi_err spi_detector_init(struct spi_detector *d, int panels, int ny, int nx)
{
    spi_err err;
    int64_t n = (int64_t)panels * ny * nx;

    *d = (struct spi_detector){0};
    if (panels < 1 || ny < 1 || nx < 1 || n > 1 << 28 || (int64_t)panels * ny > 1 << 28)
        return spi_fail(SPI_EINVAL,
                        "detector: %d panels of %d x %d pixels; need 1..2^28 pixels",
                        panels, ny, nx);
    d->panels = panels;
    d->ny = ny;
    d->nx = nx;
    d->n_pixels = n;
    d->rows = panels * ny;
    d->columns = nx;
    SPI_TRY(err = SPI_NEW(d->q, 3 * n, "detector"), fail);
    SPI_TRY(err = SPI_NEW(d->geometry, n, "detector"), fail);
    SPI_TRY(err = SPI_NEW(d->bad, n, "detector"), fail);
    SPI_TRY(err = SPI_NEW(d->index_map, 2 * n, "detector"), fail);
    for (int64_t i = 0; i < n; i++) {
        d->geometry[i] = 1;
        d->index_map[2 * i] = (int32_t)(i / nx);
        d->index_map[2 * i + 1] = (int32_t)(i % nx);
    }
    return SPI_OK;
fail:
    spi_detector_clear(d);
    return err;
}

void spi_detector_clear(struct spi_detector *d)
{
    free(d->q);
    free(d->geometry);
    free(d->bad);
    free(d->index_map);
    *d = (struct spi_detector){0};
}

double spi_ewald_fit(int64_t n, const double *q, double *worst)
{
    double above = 0, below = 0, wavelength, far = 0;

    for (int64_t i = 0; i < n; i++) {
        const double *p = q + 3 * i;
        double q2 = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];

        above -= 2 * p[2] * q2;
        below += q2 * q2;
    }
    wavelength = below > 0 ? above / below : 0;
    for (int64_t i = 0; i < n; i++) {
        const double *p = q + 3 * i;
        double q2 = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];

        far = fmax(far, fabs(p[2] + wavelength * q2 / 2));
    }
    *worst = far;
    return wavelength;
}

/* u = q wavelength + z is the direction of the light. */
bool spi_detector_flat(const struct spi_detector *d, int64_t pixel, double at[2])
{
    static const double forward = 0.1;
    const double *q = d->q + 3 * pixel;
    double z = 1 + d->wavelength_A * q[2];

    at[0] = q[0] / z;
    at[1] = q[1] / z;
    return z > forward;
}

/* q on the Ewald sphere of a place on a flat detector. */
void spi_flat_q(double wavelength, const double at[2], double q[3])
{
    double t2 = at[0] * at[0] + at[1] * at[1], r = sqrt(1 + wavelength * wavelength * t2);

    q[0] = at[0] / r;
    q[1] = at[1] / r;
    q[2] = -wavelength * t2 / (r * (1 + r));
}

void spi_images_positions_sha256(const struct spi_images *im, char hex[65])
{
    spi_bytes_sha256(3 * (size_t)im->s.det.n_pixels * sizeof *im->s.det.q, im->s.det.q,
                     hex);
}

void spi_images_move_centre(struct spi_images *im, const double at[2])
{
    struct spi_detector *d = &im->s.det;

    for (int64_t i = 0; i < d->n_pixels; i++) {
        double t[2], was[3], is[3];

        if (!spi_detector_flat(d, i, t))
            continue;
        spi_flat_q(d->wavelength_A, t, was);
        t[0] -= at[0];
        t[1] -= at[1];
        spi_flat_q(d->wavelength_A, t, is);
        for (int k = 0; k < 3;
             k++) /* what is not quite on the sphere stays so far from it */
            d->q[3 * i + k] += is[k] - was[k];
    }
}

void spi_places_clear(struct spi_places *p)
{
    free(p->shift_invA);
    *p = (struct spi_places){0};
}

spi_err spi_places_copy(const struct spi_places *from, struct spi_places *to)
{
    spi_err err = SPI_OK;

    *to = *from;
    to->shift_invA = NULL;
    if (from->panels && (err = SPI_NEW(to->shift_invA, from->panels, "panels")) == SPI_OK)
        memcpy(to->shift_invA, from->shift_invA,
               (size_t)from->panels * sizeof *to->shift_invA);
    return err;
}

spi_err spi_images_place_panels(struct spi_images *im, const struct spi_places *places)
{
    struct spi_detector *d = &im->s.det;
    int64_t of_panel = (int64_t)d->ny * d->nx;

    if (!im->told) {
        spi_err err = SPI_NEW(im->told, 3 * d->n_pixels, im->path);

        if (err)
            return err;
        memcpy(im->told, d->q, 3 * (size_t)d->n_pixels * sizeof *d->q);
    }
    memcpy(d->q, im->told, 3 * (size_t)d->n_pixels * sizeof *d->q);
    for (int64_t i = 0; i < d->n_pixels && places->panels; i++) {
        double t[2], was[3], is[3];

        if (!spi_detector_flat(d, i, t))
            continue;
        spi_flat_q(d->wavelength_A, t, was);
        for (int c = 0; c < 2; c++)
            t[c] = (t[c] + places->shift_invA[i / of_panel][c]) / (1 + places->stretch);
        spi_flat_q(d->wavelength_A, t, is);
        for (int k = 0; k < 3; k++)
            d->q[3 * i + k] += is[k] - was[k];
    }
    return SPI_OK;
}

spi_err spi_images_set_drift(struct spi_images *im, const double (*at)[2])
{
    spi_err err;

    if (!im->drift && (err = SPI_NEW(im->drift, im->s.n, im->path)) != SPI_OK)
        return err;
    memcpy(im->drift, at, (size_t)im->s.n * sizeof *im->drift);
    return SPI_OK;
}

bool spi_images_drift(const struct spi_images *im, int64_t first, int64_t n, double at[2])
{
    at[0] = at[1] = 0;
    for (int64_t k = first; k < first + n && im->drift; k++)
        for (int c = 0; c < 2; c++)
            at[c] += im->drift[k][c] / (double)n;
    return im->drift != NULL;
}

double spi_detector_q_corner(const struct spi_detector *d)
{
    double most = 0;

    for (int64_t i = 0; i < d->n_pixels; i++) {
        const double *p = d->q + 3 * i;

        most = fmax(most, p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
    }
    return sqrt(most);
}

/* |q| of a pixel on an axis whose component across the beam is `across`:
 * across^2 = q^2 - (wavelength q^2 / 2)^2, solved for the smaller q^2. */
static double q_of_side(const struct spi_detector *d, double across)
{
    double b = d->wavelength_A * d->wavelength_A;

    return b > 0 ? sqrt(2 * (1 - sqrt(fmax(0, 1 - b * across * across))) / b) : across;
}

/* Usable pixels with |q| from `from` to `to`, over the area of that annulus: the share of
 * the circle that pixels fill, in pixels per 1/A^2. */
static double filled(const struct spi_detector *d, double from, double to)
{
    double n = 0;

    for (int64_t i = 0; i < d->n_pixels; i++) {
        const double *p = d->q + 3 * i;
        double q = sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);

        n += !d->bad[i] && q > from && q <= to;
    }
    return n / (to * to - from * from);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double spi_detector_q_edge(const struct spi_detector *d)
{
    enum { SIDES = 4, ANNULI = 8 };
    static const double filled_least = 0.5, narrow = 0.95;
    double side[SIDES] = {0}, part[ANNULI];

    for (int64_t i = 0; i < d->n_pixels; i++)
        for (int k = 0; k < 2 && !d->bad[i]; k++) {
            const double *p = d->q + 3 * i;

            side[k] = fmax(side[k], p[k]);
            side[2 + k] = fmax(side[2 + k], -p[k]);
        }
    for (int k = 0; k < SIDES; k++)
        side[k] = q_of_side(d, side[k]);
    qsort(side, SIDES, sizeof *side, by_value);
    for (int k = SIDES - 1; k > 0; k--) { /* from the farthest side on */
        double q = side[k] * (1 + 1e-9);

        if (!(side[k] > 0.1 * side[SIDES - 1]))
            break; /* a side that hardly leaves the beam is not there */
        for (int i = 0; i < ANNULI; i++)
            part[i] = filled(d, q * i / ANNULI, q * (i + 1) / ANNULI);
        qsort(part, ANNULI, sizeof *part, by_value);
        if (filled(d, narrow * q, q) >= filled_least * part[ANNULI / 2])
            return side[k];
    }
    for (int k = 0; k < SIDES; k++)
        if (side[k] > 0.1 * side[SIDES - 1])
            return side[k];
    return side[SIDES - 1];
}

void spi_pixel_text(const struct spi_detector *d, int64_t pixel, char text[96])
{
    snprintf(text, 96, "panel %lld, row %lld, column %lld",
             (long long)(pixel / ((int64_t)d->ny * d->nx)),
             (long long)(pixel / d->nx % d->ny), (long long)(pixel % d->nx));
}

/* ---- checks after a layout has filled the detector ---------------------------------- */

static spi_err check_pixels(const char *path, struct spi_detector *d)
{
    int64_t usable = 0;
    char at[96];

    for (int64_t i = 0; i < d->n_pixels; i++) {
        double *p = d->q + 3 * i;

        for (int k = 0; k < 3 && d->bad[i];
             k++) /* where nothing is used, nothing is asked */
            p[k] = isfinite(p[k]) ? p[k] : 0;
        if (d->bad[i])
            continue;
        if (!isfinite(p[0]) || !isfinite(p[1]) || !isfinite(p[2])) {
            spi_pixel_text(d, i, at);
            return spi_fail(SPI_EFORMAT,
                            "%s: the position of pixel (%s) is (%g, %g, %g); need numbers",
                            path, at, p[0], p[1], p[2]);
        }
        usable++;
        if (!(d->geometry[i] >= 1e-12f &&
              d->geometry[i] <= 1e12f)) { /* floats hold squares */
            spi_pixel_text(d, i, at);
            return spi_fail(
                SPI_EFORMAT,
                "%s: geometry_factor of pixel (%s) is %g; need a positive number, 1e-12 to "
                "1e12 (solid angle times polarisation, 1 in the beam), or mark the pixel "
                "in "
                "'mask'",
                path, at, (double)d->geometry[i]);
        }
    }
    if (usable == 0)
        return spi_fail(SPI_EFORMAT,
                        "%s: the mask hides all %lld pixels (0 = good, unless "
                        "--invert-mask); need one at least",
                        path, (long long)d->n_pixels);
    return SPI_OK;
}

/* Likely causes of a wavelength, or of positions, that are wrong by a factor. */
struct cause {
    double factor;
    const char *words;
};

static const char *likely_cause(const struct cause *c, double factor)
{
    for (; c->words; c++)
        if (fabs(factor / c->factor - 1) < 0.03) /* constants rounded to two digits */
            return c->words;
    return NULL;
}

enum { SHORTEST_WAVE_pm = 1, LONGEST_WAVE_A = 1000 }; /* electrons ... extreme UV */

static bool is_wavelength(double A)
{
    return A > SHORTEST_WAVE_pm / 100.0 && A < LONGEST_WAVE_A;
}

/* Attribute and positions contradict each other. */
static spi_err wrong_wavelength(const char *path, double attribute, double fit)
{
    static const struct cause of_q[] = {
        {2 * M_PI, "the positions seem to hold 2 pi / d instead of 1 / d: divide by 2 pi"},
        {1e-10, "the positions seem to be in 1/A instead of 1/m: multiply by 1e10"},
        {2e-10 * M_PI,
         "the positions seem to be 2 pi / d in 1/A instead of 1 / d in 1/m: multiply by "
         "1e10 / (2 pi)"},
        {1e-9, "the positions seem to be in 1/nm instead of 1/m: multiply by 1e9"},
        {2e-9 * M_PI,
         "the positions seem to be 2 pi / d in 1/nm instead of 1 / d in 1/m: multiply by "
         "1e9 / (2 pi)"},
        {0, NULL}};
    static const struct cause of_attribute[] = {
        {2 * M_PI, "the positions seem to hold 2 pi / d instead of 1 / d: divide by 2 pi"},
        {1e-10, "the attribute seems to be in m instead of A"},
        {0.1, "the attribute seems to be in nm instead of A"},
        {1e3, "the attribute seems to be computed from an energy in keV taken for eV"},
        {1e-3, "the attribute seems to be computed from an energy in meV taken for eV"},
        {0, NULL}};
    const char *why =
        likely_cause(is_wavelength(fabs(fit)) ? of_attribute : of_q, fabs(attribute / fit));

    static const double hc_keV_A = 12.398419843320026;
    static const struct cause of_energy[] = {
        {1,
         "the attribute seems to hold the photon energy in keV instead of the wavelength"},
        {1e3,
         "the attribute seems to hold the photon energy in eV instead of the wavelength"},
        {0, NULL}};

    if (!why)
        why = likely_cause(of_energy, fabs(attribute * fit) / hc_keV_A);
    return spi_fail(SPI_EFORMAT,
                    "%s: attribute wavelength_A is %g, but the pixels lie on the Ewald "
                    "sphere of %g A; %s",
                    path, attribute, fit,
                    why ? why : "one of the two is wrong (positions are 1 / d in 1/m)");
}

/* No X-ray is scattered so little. */
static spi_err tiny_q(const char *path, double corner, double fit)
{
    bool angstrom = is_wavelength(fabs(fit) * 1e-10);
    bool nm = is_wavelength(fabs(fit) * 1e-9);

    return spi_fail(
        SPI_EFORMAT,
        "%s: the largest |q| is %g 1/A (positions are 1 / d in 1/m); they seem to be in "
        "%s: multiply by %s",
        path, corner, nm && !angstrom ? "1/nm" : "1/A, or 2 pi/A",
        nm && !angstrom ? "1e9" : "1e10, or by 1e10 / (2 pi)");
}

/* The wavelength, and that the pixels lie on its Ewald sphere (design.md section 2). */
static spi_err check_sphere(const char *path, struct spi_detector *d)
{
    double worst, off, corner = spi_detector_q_corner(d);
    double fit = spi_ewald_fit(d->n_pixels, d->q, &worst);
    const double given = d->wavelength_A;

    if (!(corner > 0))
        return spi_fail(SPI_EFORMAT, "%s: the positions of all pixels are zero", path);
    if (!(corner <
          1e9)) /* an electron's Compton wavelength is 0.02 A; squares must not overflow */
        return spi_fail(SPI_EFORMAT, "%s: the largest |q| is %g 1/A; that is no position",
                        path, corner);
    if (d->wavelength_A == 0)
        d->wavelength_A = fit;
    if (fit < 0) /* a file whose z axis points against the beam */
        d->wavelength_A = -fabs(d->wavelength_A);
    if (!(worst <= 0.01 * corner))
        return spi_fail(
            SPI_EFORMAT,
            "%s: pixels do not lie on an Ewald sphere: the best one (wavelength "
            "%g A) misses one by %g of the largest |q|; need 0.01",
            path, fit, worst / corner);
    /* Both spheres may pass within 1 % when the angles are small; but where the pixels tell
     * the two apart clearly, one of them is wrong. */
    off = fabs(d->wavelength_A - fit) * corner * corner / 2;
    if (off > 0.01 * corner ||
        (off > 10 * worst && off > 0.01 * fabs(fit) * corner * corner / 2))
        return wrong_wavelength(path, given, fit);
    if (corner < 1e-6) /* 100 micrometres */
        return tiny_q(path, corner, fit);
    if (corner > 100 || corner < 1e-5)
        spi_warn(
            "%s: the largest |q| is %g 1/A, which is odd: are the pixel positions in 1/m, "
            "without 2 pi?",
            path, corner);
    return SPI_OK;
}

static spi_err no_images(const struct spi_peek *p)
{
    static const char *const orientations[] = {"orientations", NULL};
    char names[400], hint[SPI_HINT_MAX];

    if (!p->hdf5)
        return spi_fail(SPI_EFORMAT, "%s: is not a file of images (not HDF5)%s", p->path,
                        spi_kind_hint(spi_kind_of_bytes(p->path, p->head, p->n), hint));
    spi_h5_lock();
    spi_h5_names(p->file, names, sizeof names);
    spi_h5_unlock();
    return spi_fail(SPI_EFORMAT,
                    "%s: holds no images; need datasets 'photons' or 'intensities', and "
                    "'pixel_position_reciprocal'; it has: %s%s",
                    p->path, names,
                    spi_peek_has(p, orientations)
                        ? "; it is for --orientations of merge, slice and compare"
                        : "");
}

static spi_err open_source(struct spi_images *im)
{
    struct spi_peek p;
    spi_err err = spi_peek_open(im->path, &p);

    if (err)
        return err;
    err = p.err;
    if (!err && !(im->format = spi_source_format_of(&p)))
        err = no_images(&p);
    if (!err)
        err = im->format->open(&p, &im->s, &im->self);
    spi_peek_close(&p);
    return err;
}

static void invert(const struct spi_detector *d, uint8_t *mask)
{
    for (int64_t i = 0; i < d->n_pixels; i++)
        mask[i] = !mask[i];
}

/* The file's own mask is in det.bad. */
static spi_err add_masks(struct spi_images *im, const struct spi_images_options *opt)
{
    struct spi_detector *d = &im->s.det;
    uint8_t *mask = NULL;
    spi_err err = SPI_OK;

    if (!opt)
        return SPI_OK;
    if (!opt->mask) {
        if (opt->invert_mask && im->s.has_mask)
            invert(d, d->bad);
        return SPI_OK;
    }
    SPI_TRY(err = SPI_NEW(mask, d->n_pixels, "mask"), out);
    SPI_TRY(err = spi_mask_read(opt->mask, d->panels, d->ny, d->nx, mask), out);
    if (opt->invert_mask)
        invert(d, mask);
    for (int64_t i = 0; i < d->n_pixels; i++)
        d->bad[i] |= mask[i];
out:
    free(mask);
    return err;
}

/* ---- open, close -------------------------------------------------------------------- */

spi_err spi_images_open(const char *path, struct spi_images **out)
{
    return spi_images_open_with(path, NULL, out);
}

spi_err spi_images_open_with(const char *path, const struct spi_images_options *opt,
                             struct spi_images **out)
{
    spi_err err;
    struct spi_images *im = NULL;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(im, 1, "images"), out);
    im->path = spi_text_copy(path, "images");
    SPI_TRY(err = im->path ? SPI_OK : SPI_ENOMEM, out);
    im->s.path = im->path;
    SPI_TRY(err = open_source(im), out);
    SPI_TRY(err = add_masks(im, opt), out);
    SPI_TRY(err = check_pixels(path, &im->s.det), out);
    SPI_TRY(err = check_sphere(path, &im->s.det), out);
    *out = im;
    im = NULL;
out:
    spi_images_close(im);
    return err;
}

void spi_images_close(struct spi_images *im)
{
    if (!im)
        return;
    if (im->self)
        im->format->close(im->self);
    spi_source_clear(&im->s);
    spi_repair_free(im->repair);
    free(im->told);
    free(im->drift);
    free(im->path);
    free(im);
}

spi_err spi_images_sha256(const struct spi_images *im, char hex[65])
{
    return spi_files_sha256(im->path, im->s.others.n, im->s.others.path, hex);
}

int64_t spi_images_count(const struct spi_images *im)
{
    return im->s.n;
}

enum spi_image_kind spi_images_kind(const struct spi_images *im)
{
    return im->s.kind;
}

const struct spi_detector *spi_images_detector(const struct spi_images *im)
{
    return &im->s.det;
}

const char *spi_images_layout(const struct spi_images *im)
{
    return im->format->name;
}

const char *spi_images_centre_advice(const struct spi_images *im)
{
    return im->format->centre_advice;
}

const char *spi_images_type(const struct spi_images *im)
{
    return im->s.type_on_disk;
}

const char *spi_images_attribute(const struct spi_images *im, const char *name)
{
    for (int i = 0; i < im->s.n_texts; i++)
        if (!strcmp(im->s.text[i].name, name))
            return im->s.text[i].value;
    return "";
}

/* ---- reading ------------------------------------------------------------------------ */

/* Bad pixels to 0; the first usable value that is not a number >= 0, or -1. */
static int64_t clean(const struct spi_detector *d, float *image)
{
    if (!spi_pixels_clean(d->n_pixels, d->bad, image))
        for (int64_t i = 0; i < d->n_pixels; i++)
            if (!(image[i] >= 0 && image[i] <= FLT_MAX))
                return i;
    return -1;
}

spi_err spi_images_read_raw(const struct spi_images *im, int64_t first, int64_t n,
                            float *out)
{
    return im->format->read(im->self, first, n, out);
}

struct cleaning {
    const struct spi_detector *d;
    const struct spi_repair *repair;
    float *images;
    int64_t *wrong; /* [images] the first wrong pixel of each, or -1; owned */
};

static void clean_one(void *ctx, int rank, int64_t i)
{
    const struct cleaning *c = ctx;

    (void)rank;
    if (c->repair) {
        spi_repair_image(c->repair, c->d->bad, c->images + i * c->d->n_pixels);
        c->wrong[i] = -1;
    } else {
        c->wrong[i] = clean(c->d, c->images + i * c->d->n_pixels);
    }
}

spi_err spi_images_read(struct spi_images *im, int64_t first, int64_t n, float *out)
{
    spi_err err;
    const struct spi_detector *d = &im->s.det;
    struct cleaning c = {.wrong = NULL};
    char at[96];

    if (first < 0 || n < 0 || first > im->s.n - n)
        return spi_fail(SPI_EINVAL, "%s: images %lld to %lld asked for; it has %lld",
                        im->path, (long long)first, (long long)(first + n - 1),
                        (long long)im->s.n);
    if (n == 0)
        return SPI_OK;
    SPI_TRY(err = spi_images_read_raw(im, first, n, out), done);
    c = (struct cleaning){.d = d, .repair = im->repair, .images = out};
    SPI_TRY(err = SPI_NEW(c.wrong, n, im->path), done);
    spi_parallel_for(SPI_THREADS_MAX, n, clean_one, &c);
    for (int64_t i = 0; !err && i < n; i++) {
        int64_t pixel = c.wrong[i];

        if (pixel < 0)
            continue;
        spi_pixel_text(d, pixel, at);
        err = spi_fail(
            SPI_EFORMAT,
            "%s: image %lld, pixel (%s) is %g; need a finite number, 0 or more (or "
            "mark the pixel in 'mask')",
            im->path, (long long)(first + i), at, (double)out[i * d->n_pixels + pixel]);
    }
done:
    free(c.wrong);
    return err;
}

spi_err spi_images_truth(struct spi_images *im, struct spi_image_truth *out)
{
    spi_err err;

    *out = (struct spi_image_truth){0};
    if (!im->format->truth)
        return SPI_OK;
    err = im->format->truth(im->self, out);
    if (err)
        spi_truth_clear(out);
    return err;
}

void spi_truth_clear(struct spi_image_truth *t)
{
    free(t->quat);
    free(t->label);
    free(t->fluence);
    free(t->class);
    free(t->background);
    *t = (struct spi_image_truth){0};
}
