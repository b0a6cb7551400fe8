/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/hash.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

enum { BLOCK = 1 << 16 };

static void finish(struct sha256_ctx *ctx, char hex[65])
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_digest(ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

spi_err spi_file_sha256(const char *path, char hex[65])
{
    spi_err err;
    struct sha256_ctx ctx;
    uint8_t *block = NULL;
    FILE *fp = fopen(path, "rb");
    size_t n;

    hex[0] = '\0';
    if (!fp)
        return spi_fail(SPI_EIO, "%s: %s", path, strerror(errno));
    SPI_TRY(err = SPI_NEW(block, BLOCK, path), out);
    sha256_init(&ctx);
    while ((n = fread(block, 1, BLOCK, fp)) > 0)
        sha256_update(&ctx, n, block);
    if (ferror(fp)) {
        err = spi_fail(SPI_EIO, "%s: cannot read it: %s", path, strerror(errno));
        goto out;
    }
    finish(&ctx, hex);
out:
    free(block);
    fclose(fp);
    return err;
}

void spi_bytes_sha256(size_t n, const void *bytes, char hex[65])
{
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, n, bytes);
    finish(&ctx, hex);
}

spi_err spi_files_sha256(const char *path, int n, char *const *more, char hex[65])
{
    struct sha256_ctx ctx;
    char one[65];
    spi_err err = spi_file_sha256(path, hex);

    if (err || n == 0)
        return err;
    sha256_init(&ctx);
    sha256_update(&ctx, 64, (const uint8_t *)hex);
    for (int i = 0; i < n && !err; i++) {
        err = spi_file_sha256(more[i], one);
        sha256_update(&ctx, 64, (const uint8_t *)one);
    }
    finish(&ctx, hex);
    return err;
}
