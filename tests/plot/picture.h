/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures read back for the tests, with libpng. */
#ifndef SPI_TESTS_PLOT_PICTURE_H
#define SPI_TESTS_PLOT_PICTURE_H

#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The leak checker asks this: fontconfig keeps its font cache to the end. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

struct picture {
    int w, h;
    uint8_t *rgb; /* [h][w][3] */
};

static inline bool picture_read(const char *path, struct picture *p)
{
    png_image image = {.version = PNG_IMAGE_VERSION};

    *p = (struct picture){0};
    if (!png_image_begin_read_from_file(&image, path))
        return false;
    image.format = PNG_FORMAT_RGB;
    p->rgb = malloc(PNG_IMAGE_SIZE(image));
    if (!p->rgb || !png_image_finish_read(&image, NULL, p->rgb, 0, NULL)) {
        png_image_free(&image);
        return false;
    }
    p->w = (int)image.width;
    p->h = (int)image.height;
    return true;
}

static inline void picture_clear(struct picture *p)
{
    free(p->rgb);
    *p = (struct picture){0};
}

struct patch {
    int x0, x1, y0, y1; /* [x0, x1) x [y0, y1) */
};

/* Number and mean place of the pixels of one colour in a patch. */
struct found {
    int n;
    double x, y;
};

static inline struct found picture_find(const struct picture *p, uint32_t rgb,
                                        struct patch a)
{
    struct found f = {0, 0, 0};

    for (int y = a.y0; y < a.y1 && y < p->h; y++)
        for (int x = a.x0; x < a.x1 && x < p->w; x++) {
            const uint8_t *c = p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);

            if (((uint32_t)c[0] << 16 | (uint32_t)c[1] << 8 | c[2]) == rgb) {
                f.n++;
                f.x += x;
                f.y += y;
            }
        }
    if (f.n) {
        f.x /= f.n;
        f.y /= f.n;
    }
    return f;
}

static inline struct patch picture_all(const struct picture *p)
{
    return (struct patch){0, p->w, 0, p->h};
}

/* Pixels that differ; -1 if the sizes do. */
static inline int picture_difference(const struct picture *a, const struct picture *b)
{
    int n = 0;

    if (a->w != b->w || a->h != b->h)
        return -1;
    for (size_t i = 0; i < (size_t)a->w * (size_t)a->h; i++)
        n += memcmp(a->rgb + 3 * i, b->rgb + 3 * i, 3) != 0;
    return n;
}

/* A path in the folder for the tests' files. */
static inline const char *test_path(const char *name, char path[512])
{
    const char *dir = getenv("SPI_TEST_TMP");

    snprintf(path, 512, "%s/%s", dir ? dir : ".", name);
    return path;
}

#endif
