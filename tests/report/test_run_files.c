/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of a run's files, and the files of a small result. */
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "../io/h5_test.h"
#include "../io/io_test.h"
#include "../plot/picture.h"
#include "base/rng.h"
#include "io/mrc.h"
#include "math/rot.h"
#include "report/pictures.h"
#include "report/run_files.h"
#include "tap.h"

enum { SIDE = 16, IMAGES = 40, SHELLS = 3, LAMBDAS = 3 };

/* ---- the list ----------------------------------------------------------------------- */

static const struct spi_run_file *last_of(enum spi_run_file_kind kind)
{
    const struct spi_run_file *last = NULL;

    for (const struct spi_run_file *f = spi_run_file_next(kind, NULL); f;
         f = spi_run_file_next(kind, f))
        last = f;
    return last;
}

static void list(void)
{
    int n = 0, visited = 0, twice = 0, wrong = 0;

    for (const struct spi_run_file *f = spi_run_files; f->name; f++, n++) {
        for (const struct spi_run_file *g = spi_run_files; g != f; g++)
            twice += strcmp(f->name, g->name) == 0;
        wrong += (f->write != NULL) != (f->kind == SPI_FILE_RESULT);
    }
    for (int kind = SPI_FILE_RESULT; kind <= SPI_FILE_PRIVATE; kind++)
        for (const struct spi_run_file *f =
                 spi_run_file_next((enum spi_run_file_kind)kind, NULL);
             f; f = spi_run_file_next((enum spi_run_file_kind)kind, f))
            visited += (int)f->kind == kind;
    OK(n > 0 && visited == n, "each of %d files is of one kind", n);
    OK(twice == 0, "no name stands twice");
    OK(wrong == 0, "every result has its writer, and nothing else has one");
    OK(strcmp(last_of(SPI_FILE_RESULT)->name, "density.mrc") == 0,
       "density.mrc is the last result");
    OK(strcmp(last_of(SPI_FILE_ORIGIN)->name, "run.json") == 0, "run.json moves last");
}

/* ---- a result ----------------------------------------------------------------------- */

static double q[SHELLS] = {0.01, 0.02, 0.03}, cc[SHELLS] = {0.9, 0.8, 0.7},
              contrast[SHELLS] = {1, 0.9, 0.8}, own[2][SHELLS] = {{0.9, 0.9, 0.9}},
              prtf[SHELLS] = {1, 0.5, 0.25};
static struct spi_lcurve_point point[LAMBDAS] = {
    {0.1, 1, 3, NAN}, {0.2, 1.1, 2, 0.5}, {0.4, 2, 1.5, NAN}};
static double quat[IMAGES][4];
static uint8_t aside[IMAGES]; /* the last four: a droplet, and three of something else */
static struct spi_misfit shell[2] = {{.even2 = 4, .image2 = 2, .cross = 2, .model2 = 2},
                                     {.even2 = 4, .image2 = 4, .cross = 0, .model2 = 4}};

static spi_err blob(struct spi_volume *v, double at)
{
    spi_err err = spi_volume_init(v, SIDE, 2);

    for (int i = 0; i < SIDE * SIDE * SIDE && !err; i++) {
        double x = i % SIDE - at, y = i / SIDE % SIDE - at, z = i / (SIDE * SIDE) - at;

        v->data[i] = (float)exp(-(x * x + y * y + z * z) / 8);
    }
    return err;
}

static spi_err make(struct spi_result *r)
{
    static const double identity[1][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}};
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 0);
    struct spi_volume *const map[] = {&r->half[0], &r->half[1], &r->density, &r->A, &r->W};
    spi_err err = SPI_OK;

    *r = (struct spi_result){0};
    for (int i = 0; i < 5 && !err; i++)
        err = blob(map[i], 7 + 0.2 * i);
    for (int k = 0; k < IMAGES; k++) {
        spi_rot_random(&rng, quat[k]);
        aside[k] = k < IMAGES - 4    ? SPI_ASIDE_NO
                   : k == IMAGES - 4 ? SPI_ASIDE_ROUND
                                     : SPI_ASIDE_OTHER;
    }
    r->orientations =
        (struct spi_orientations){.n = IMAGES, .quat = quat[0], .aside = aside};
    r->agreement.q_min = q[0];
    r->agreement.q_max = q[SHELLS - 1];
    r->agreement.shells = (struct spi_intensity_shells){SHELLS, q, cc, contrast};
    for (int h = 0; h < 2; h++) {
        r->own[h] = own[h];
        r->phase[h] =
            (struct spi_phase_result){.n_shells = SHELLS, .prtf = prtf, .shell_q = q};
    }
    r->lcurve =
        (struct spi_merging_lcurve){.n = LAMBDAS, .points = point, .choice = {1, 0}};
    r->inspection = (struct spi_inspection){.n_shells = 2, .q = q, .shell = shell};
    r->validation.resolution.edge_A = 33.3;
    if (!err)
        err = spi_fsc_compute(&r->half[0], &r->half[1], &r->fsc);
    return err ? err : spi_coverage_init(&r->coverage, &r->orientations, 1, identity, 0.3);
}

/* Only what `make` made. */
static void clear(struct spi_result *r)
{
    struct spi_volume *const map[] = {&r->half[0], &r->half[1], &r->density, &r->A, &r->W};

    for (int i = 0; i < 5; i++)
        spi_volume_clear(map[i]);
    spi_fsc_clear(&r->fsc);
    spi_coverage_clear(&r->coverage);
}

static const struct spi_run_file *find(const char *name)
{
    for (const struct spi_run_file *f = spi_run_files; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* Files of the directory that are results of the list; other: that are not. */
static int count_files(const char *dir, int *other)
{
    DIR *d = opendir(dir);
    int n = 0;

    *other = 0;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        const struct spi_run_file *f = find(e->d_name);

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (f && f->kind == SPI_FILE_RESULT)
            n++;
        else
            ++*other;
    }
    if (d)
        closedir(d);
    return n;
}

/* Line `number` of a text file, from 1. */
static const char *line_of(const char *path, int number, char line[400])
{
    FILE *f = fopen(path, "r");

    *line = 0;
    for (int i = 0; f && i < number; i++)
        if (!fgets(line, 400, f))
            *line = 0;
    if (f)
        fclose(f);
    return line;
}

static void remove_all(const char *dir)
{
    for (const struct spi_run_file *f = spi_run_files; f->name; f++)
        unlink(in_tmp(f->name));
    rmdir(dir);
}

static void written(void)
{
    struct spi_result result;
    struct spi_report r = {.result = &result,
                           .seed = 7,
                           .n_images = IMAGES,
                           .diameter_A = 30,
                           .provenance = "{\"seed\": 7}"};
    const char *images = "run_files_images.h5";
    struct spi_detector det = {0};
    struct spi_mrc_map map;
    struct spi_orientations o;
    struct picture p;
    char line[400];
    int n = 0, other, high = 0;

    NEED(make(&result) == SPI_OK);
    NEED(flat_detector(&det, 1, 30, 20) == SPI_OK);
    NEED(good_images(images, IMAGES, &det) == SPI_OK);
    NEED(spi_images_open(images, &r.images) == SPI_OK);
    for (const struct spi_run_file *f = spi_run_file_next(SPI_FILE_RESULT, NULL); f;
         f = spi_run_file_next(SPI_FILE_RESULT, f))
        n++;
    NEED(spi_run_files_write(&r, test_dir) == SPI_OK);
    OK(count_files(test_dir, &other) == n && other == 0,
       "the %d results of the list, and no other file", n);

    NEED(spi_mrc_read_map(in_tmp("half2.mrc"), &map) == SPI_OK);
    OK(map.info.n[0] == SIDE && strstr(map.info.labels[0], "superposed on half 1") &&
           strcmp(map.info.labels[1], "seed 7, 40 images, diameter 30.0 A") == 0,
       "labels of a map: %s", map.info.labels[1]);
    spi_mrc_map_clear(&map);
    NEED(spi_orientations_read(in_tmp("orientations.h5"), &o) == SPI_OK);
    OK(o.n == IMAGES && fabs(o.quat[4] - quat[1][0]) < 1e-12, "orientations");
    spi_orientations_clear(&o);
    /* the shell at q = 1/32 lies beyond those of the intensities, 0.01 to 0.03 */
    OK(strncmp(line_of(in_tmp("fsc.csv"), 2, line), "0.03125,32,", 11) == 0 &&
           strstr(line, ",1.000000,1.000000,,,,\n"),
       "fsc.csv: %s", strtok(line, "\n"));
    OK(strcmp(line_of(in_tmp("images.csv"), 2, line),
              "0.01,0.500000,0.500000,0.500000,0.000000\n") == 0,
       "images.csv, a shell that the model explains: %s", strtok(line, "\n"));
    OK(strcmp(line_of(in_tmp("images.csv"), 3, line),
              "0.02,1.000000,1.000000,0.000000,2.000000\n") == 0,
       "images.csv, a shell that it does not: %s", strtok(line, "\n"));
    OK(strcmp(line_of(in_tmp("lcurve.csv"), 3, line), "0.2,1.1,2,0.5,corner\n") == 0,
       "lcurve.csv: the chosen lambda");
    for (const char *const *name = (const char *const[]){"coverage.png", "fsc.png",
                                                         "lcurve.png", "density.png", NULL};
         *name; name++) {
        bool read = picture_read(in_tmp(*name), &p);

        OK(read && p.w > 100 && p.h > 100, "%s is a picture", *name);
        picture_clear(&p);
    }
    /* rows of examples: the particle, a droplet, something else; fewer without the latter */
    for (int i = 0; i < 2; i++) {
        bool read = picture_read(in_tmp("images.png"), &p);

        OK(read && (i == 0 ? p.h > 100 : p.h < high), "images.png: %d pixels high", p.h);
        high = p.h;
        picture_clear(&p);
        memset(aside, SPI_ASIDE_NO, sizeof aside);
        NEED(spi_report_images_picture(&r, in_tmp("images.png")) == SPI_OK);
    }

    remove_all(test_dir);
    OK(spi_run_files_write(&r, test_dir) == SPI_EIO && says("half1.mrc"),
       "a directory that is missing: %s", spi_err_message());
    clear(&result);
    spi_images_close(r.images);
    spi_detector_clear(&det);
    unlink(images);
}

int main(void)
{
    make_tmp("run_files");
    list();
    written();
    return tap_done();
}
