/* The particle's point group: given, or seen in both half sets.  doc/math.md section 7. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fsc/symmetry_fit.h"
#include "mtip/mtip.h"

/* Lay the given group upon a model that has found its shape without it. */
static spi_err lay_upon(const struct spi_run *r, struct spi_chain *c, double q_max)
{
    struct spi_volume W = {0};
    double axes[9], score;
    spi_err err;

    SPI_TRY(err = spi_volume_fourier_even(&c->A, &W), out);
    SPI_TRY(err = spi_symmetry_fit_intensity(
                r->set->symmetry, &W, c->data->rings.diameter_A, q_max, -1, axes, &score),
            out);
    err = spi_chain_symmetry(c, r->set->symmetry, axes);
out:
    spi_volume_clear(&W);
    return err;
}

spi_err spi_run_impose(struct spi_run *r, const struct spi_step *step)
{
    spi_err err = SPI_OK;

    for (int s = 0; s < r->n_chains && !err; s++)
        for (int h = 0; h < 2 && !err; h++)
            if (spi_run_chain_runs(r, h, s, SPI_STAGE_START))
                err = lay_upon(r, &r->chain[h][s], step->q_merge);
    return err;
}

/* Mean and standard error of the differences of two fits to the same images. */
static void paired(int64_t n, const float *before, const float *after, double *mean,
                   double *error)
{
    double sum = 0, square = 0;

    for (int64_t i = 0; i < n; i++) {
        double d = (double)after[i] - (double)before[i];

        sum += d;
        square += d * d;
    }
    *mean = sum / (double)n;
    *error = sqrt(fmax(0, square / (double)n - *mean * *mean) / (double)n);
}

/* Average the leading models over the groups found and match the held-out images again. */
static spi_err try_found(struct spi_run *r, const struct spi_step *step,
                         const struct spi_symmetry_found found[2], bool *better)
{
    struct spi_volume kept[2] = {{0}};
    float *before[2] = {NULL};
    spi_err err;

    for (int h = 0; h < 2; h++) {
        struct spi_chain *c = &r->chain[h][r->leading[h]];

        SPI_TRY(err = spi_volume_copy(&c->A, &kept[h]), out);
        SPI_TRY(err = SPI_NEW(before[h], c->n_fit, "symmetry"), out);
        memcpy(before[h], c->fit, (size_t)c->n_fit * sizeof *c->fit);
        SPI_TRY(err = spi_chain_symmetry(c, found[h].group, found[h].axes), out);
        SPI_TRY(err = spi_symmetry_average(&c->A, c->n_group, (const double(*)[9])c->group),
                out);
        SPI_TRY(err = spi_chain_symmetry(c, "C1", NULL), out); /* the same grid as before */
    }
    SPI_TRY(err = spi_run_heldout(r, step, true), out);
    *better = true;
    for (int h = 0; h < 2; h++) {
        const struct spi_chain *c = &r->chain[h][r->leading[h]];
        double mean, error;

        paired(c->n_fit, before[h], c->fit, &mean, &error);
        *better = *better && mean > -2 * error;
        spi_info("half %d averaged over %s: held-out score changes by %+.6f +- %.6f", h + 1,
                 found[h].group, mean, error);
    }
    for (int h = 0; h < 2 && !*better; h++) {
        struct spi_volume *A = &r->chain[h][r->leading[h]].A, t = *A;

        *A = kept[h];
        kept[h] = t;
    }
out:
    for (int h = 0; h < 2; h++) {
        free(before[h]);
        spi_volume_clear(&kept[h]);
    }
    return err;
}

spi_err spi_run_find_symmetry(struct spi_run *r, const struct spi_step *step)
{
    struct spi_symmetry_found found[2];
    struct spi_volume W = {0};
    bool better = false;
    spi_err err = SPI_OK;

    for (int h = 0; h < 2; h++) {
        struct spi_chain *c = &r->chain[h][r->leading[h]];

        spi_volume_clear(&W);
        SPI_TRY(err = spi_volume_fourier_even(&c->A, &W), out);
        SPI_TRY(err = spi_symmetry_find(&W, r->data->rings.diameter_A, step->q_merge,
                                        r->halves_cc, &found[h]),
                out);
    }
    r->found = found[0];
    r->found.score = fmin(found[0].score, found[1].score);
    if (strcmp(found[0].group, found[1].group) != 0 || strcmp(found[0].group, "C1") == 0) {
        r->found = (struct spi_symmetry_found){.group = "C1", .level = found[0].level};
        goto out;
    }
    SPI_TRY(err = try_found(r, step, found, &better), out);
    for (int h = 0; h < 2 && better && !err; h++)
        err =
            spi_chain_symmetry(&r->chain[h][r->leading[h]], found[h].group, found[h].axes);
    spi_info("symmetry found: %s, score %.3f (need %.3f; %.3f between its elements)%s",
             r->found.group, r->found.score, r->found.level, r->found.between,
             better ? "" : "; it is not used, the held-out images fit worse with it");
out:
    spi_volume_clear(&W);
    return err;
}
