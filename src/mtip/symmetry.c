/* The particle's point group: given, or seen in both half sets.  doc/math.md section 7. */
#include <math.h>
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
                err = lay_upon(r, &r->chain[h][s], step->q_match);
    return err;
}

/* Copies turned by the group's elements are as alike as the half sets are, (Y7). */
static bool safe(const struct spi_symmetry_found *f, double agreement)
{
    return 1 - f->score <= 1.5 * (1 - agreement) + 0.02;
}

spi_err spi_run_find_symmetry(struct spi_run *r, const struct spi_step *step)
{
    struct spi_symmetry_found found[2];
    struct spi_volume W = {0};
    bool use;
    spi_err err = SPI_OK;

    for (int h = 0; h < 2; h++) {
        struct spi_chain *c = &r->chain[h][r->leading[h]];

        spi_volume_clear(&W);
        SPI_TRY(err = spi_volume_fourier_even(&c->A, &W), out);
        SPI_TRY(err = spi_symmetry_find(&W, r->data->rings.diameter_A, step->q_merge,
                                        r->halves_cc, &found[h]),
                out);
    }
    if (strcmp(found[0].group, found[1].group) != 0 || strcmp(found[0].group, "C1") == 0)
        goto out;
    r->found = found[0];
    r->found.score = fmin(found[0].score, found[1].score);
    use = safe(&r->found, r->halves_cc);
    for (int h = 0; h < 2 && use && !err; h++)
        err =
            spi_chain_symmetry(&r->chain[h][r->leading[h]], found[h].group, found[h].axes);
    spi_info("symmetry found: %s, score %.3f (need %.3f; %.3f between its elements)%s",
             r->found.group, r->found.score, r->found.level, r->found.between,
             use ? "" : "; it is not used, the half sets are more alike");
out:
    spi_volume_clear(&W);
    return err;
}
