/* Writes and reads files for the tests that are in Python.
 *   write_samples map OUT.mrc N         sin(x + 2 y + 3 z) on a cube
 *   write_samples dump IN.mrc OUT.raw   floats in [z][y][x] order, shape on stdout
 *   write_samples cube IN.mrc OUT.mrc   read as a cube and written again */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const struct {
    const char *name;
    spi_err (*run)(const char *, const char *);
} commands[] = {{"map", write_map}, {"dump", dump_map}, {"cube", copy_cube}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 4 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) {
            if (commands[i].run(argv[2], argv[3]) == SPI_OK)
                return 0;
            fprintf(stderr, "%s\n", spi_err_message());
            return 1;
        }
    fputs("usage: write_samples map|dump|cube A B\n", stderr);
    return 2;
}
