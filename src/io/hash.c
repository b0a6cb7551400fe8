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

spi_err spi_file_sha256(const char *path, char hex[65])
{
    spi_err err;
    struct sha256_ctx ctx;
    uint8_t digest[SHA256_DIGEST_SIZE], *block = NULL;
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
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
out:
    free(block);
    fclose(fp);
    return err;
}
