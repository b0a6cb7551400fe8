/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/validation.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of what the detector reaches, where that is little. */
static const double edge_share = 0.75;

struct words {
    char text[SPI_MESSAGE_MAX];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(w->text + w->n, sizeof w->text - w->n, fmt, ap);
    va_end(ap);
    w->n += n > 0 ? (size_t)n : 0;
    if (w->n >= sizeof w->text) /* cut */
        w->n = sizeof w->text - 1;
}

enum { HOW_FAR = 32 };

/* "to 12.3 A", or "nowhere". */
static const char *how_far(double resolution_A, char text[HOW_FAR])
{
    if (isfinite(resolution_A))
        snprintf(text, HOW_FAR, "to %.1f A", resolution_A);
    else
        snprintf(text, HOW_FAR, "nowhere");
    return text;
}

spi_err spi_validation_check(const struct spi_validation *v, const struct spi_settings *set)
{
    const struct spi_resolution *r = &v->resolution;
    struct words why = {.n = 0};
    char intensities[HOW_FAR], maps[HOW_FAR];
    double need =
        fmin(set->resolution_elements_min, edge_share * v->diameter_A / r->edge_A);

    if (!(v->coverage >= set->fourier_coverage_min))
        say(&why,
            "; the images cross only %.0f %% of the directions (need %.0f "
            "%%): the views cover too few directions",
            100 * v->coverage, 100 * set->fourier_coverage_min);
    if (!(v->diameter_A / r->background_A >= need))
        say(&why,
            "; beyond %.1f A more than %.0f %% of the intensity is the same in all "
            "directions (%.0f %% at %.1f A; need %.1f A), which no particle of this "
            "size can show: the images still contain a background",
            fmin(r->background_A, v->diameter_A / SPI_BALL_QD),
            100 * (1 - SPI_CONTRAST_LEVEL), 100 * v->isotropic, 1 / v->isotropic_q,
            v->diameter_A / need);
    if (isnan(v->unexplained_variance)) /* all are outliers, or the map is flat */
        say(&why,
            "; %.0f %% of the images are outliers (at most %.0f %%): the map explains none "
            "of them; they show other particles or none, or their orientations are wrong",
            100 * v->outlier_images, 100 * set->outlier_images_max);
    else if (!(v->unexplained_variance <= set->unexplained_variance_max) ||
             !(v->outlier_images <= set->outlier_images_max))
        say(&why,
            "; the map leaves %.0f %% of the structure in the images unexplained (at "
            "most %.0f %%), and %.0f %% of the images are outliers (at most %.0f %%): "
            "some images show another particle or none, or their orientations are wrong",
            100 * v->unexplained_variance, 100 * set->unexplained_variance_max,
            100 * v->outlier_images, 100 * set->outlier_images_max);
    else if ((double)v->left_out > v->left_out_least &&
             v->unexplained_shells > set->unexplained_variance_max)
        say(&why,
            "; %lld images are left out because the map does not explain them, and of the "
            "others it leaves %.0f %% unexplained, each shell of |q| counted alike (at "
            "most "
            "%.0f %%): the images show more than one particle, or the orientations are "
            "wrong",
            (long long)v->left_out, 100 * v->unexplained_shells,
            100 * set->unexplained_variance_max);
    if (!(v->diameter_A / fmax(r->intensities_A, r->maps_A) >= need))
        say(&why,
            "; the intensities of the half sets agree %s and their maps %s%s; a ball of "
            "the same diameter would agree as well (need %.1f A)",
            how_far(r->intensities_A, intensities), how_far(r->maps_A, maps),
            isfinite(r->maps_A) ? " only" : "", v->diameter_A / need);
    if (!(v->phase_consistency >= set->phase_consistency_min))
        say(&why,
            "; where the intensities of the half sets agree, their phased maps agree "
            "with each other and with these intensities to %.2f of what that allows "
            "(need %.2f), in the best of %d round%s of phasing: the phases are wrong or "
            "unfinished, while orientations and intensities may be right (--resume with "
            "a larger phasing.N_phase_starts than %d, another phasing.cutoff than %g or "
            "another phasing.recipe phases again)",
            fmax(v->phase_consistency, 0), set->phase_consistency_min, v->phase_rounds,
            v->phase_rounds == 1 ? "" : "s", set->N_phase_starts, set->cutoff);
    return why.n > 0
               ? spi_fail(SPI_ENOCONV, "the result fails its validation: %s", why.text + 2)
               : SPI_OK;
}

/* ---- what limits the resolution ------------------------------------------------------ */

static int64_t left_out(const struct spi_conditions *c)
{
    return c->blank + c->repeated + c->round + c->doublets + c->unexplained;
}

int spi_validation_losses(const struct spi_validation *v,
                          struct spi_loss loss[SPI_LOSSES_MAX])
{
    const struct spi_conditions *c = &v->conditions;
    const struct {
        const char *what;
        double value, trifle;
    } all[SPI_LOSSES_MAX] = {
        {"images", c->images > 0 ? (double)left_out(c) / (double)c->images : 0, 0.2},
        {"pixels", c->masked, 0.2},
        {"background", c->background_ratio, 0.3},
        {"centre", c->moved_px, 1},
        {"panels", c->panels_px, 1},
        {"drift", c->drift_px, 0.5}};
    double size[SPI_LOSSES_MAX];
    int n = 0;

    for (int i = 0; i < SPI_LOSSES_MAX && v->resolution.limit != SPI_LIMIT_EDGE; i++) {
        double times = all[i].value / all[i].trifle;
        int at = n;

        if (!(times > 1))
            continue;
        for (; at > 0 && size[at - 1] < times; at--) {
            size[at] = size[at - 1];
            loss[at] = loss[at - 1];
        }
        size[at] = times;
        loss[at] = (struct spi_loss){all[i].what, all[i].value};
        n++;
    }
    return n;
}

/* "(20 % without signal, 5 % doublets)" */
static void say_left_out(struct words *w, const struct spi_conditions *c)
{
    const struct {
        int64_t n;
        const char *words;
    } kind[] = {{c->blank, "without signal"},
                {c->repeated, "that repeat others"},
                {c->round, "without structure along their rings"},
                {c->doublets, "doublets"},
                {c->unexplained, "that the map does not explain"}};
    const char *before = " (";

    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        double percent = 100 * (double)kind[i].n / (double)c->images;

        if (percent < 0.5)
            continue;
        say(w, "%s%.0f %% %s", before, percent, kind[i].words);
        before = ", ";
    }
    say(w, "%s", *before == ',' ? ")" : "");
}

static void say_loss(struct words *w, const struct spi_loss *l,
                     const struct spi_conditions *c)
{
    if (strcmp(l->what, "images") == 0) {
        say(w, "%.0f %% of the images left out", 100 * l->value);
        say_left_out(w, c);
    } else if (strcmp(l->what, "pixels") == 0) {
        say(w, "%.0f %% of the pixels masked", 100 * l->value);
        if (c->masked_found >= 0.005)
            say(w, " (%.0f %% found by the program)", 100 * c->masked_found);
    } else if (strcmp(l->what, "background") == 0) {
        say(w, "a background of %.2g times the counts of the particle", l->value);
    } else if (strcmp(l->what, "centre") == 0) {
        say(w, "a beam centre %.1f pixels from that of the file, which was corrected",
            l->value);
    } else if (strcmp(l->what, "panels") == 0) {
        say(w, "panels up to %.1f pixels from where the file says, which was corrected",
            l->value);
    } else {
        say(w, "a beam centre that moves by %.1f pixels over the file", l->value);
    }
}

static void say_outlook(struct words *w, const struct spi_outlook *o)
{
    if (o->known)
        say(w,
            " (half of the images: %.1f A; expected with twice as many: %.1f A, four "
            "times: %.1f A)",
            o->half_A, o->twice_A, o->four_times_A);
}

void spi_validation_limit(const struct spi_validation *v, char *text, size_t size)
{
    const struct spi_resolution *r = &v->resolution;
    struct spi_loss loss[SPI_LOSSES_MAX];
    struct words w = {.n = 0};
    int n = spi_validation_losses(v, loss);

    switch (r->limit) {
    case SPI_LIMIT_EDGE:
        say(&w, "the edge of the detector (%.1f A)", r->edge_A);
        break;
    case SPI_LIMIT_BACKGROUND:
        say(&w,
            "a background that the images still contain: beyond %.1f A more than %.0f "
            "%% of the intensity is the same in all directions",
            r->background_A, 100 * (1 - SPI_CONTRAST_LEVEL));
        break;
    case SPI_LIMIT_PHASES:
        say(&w,
            "the phases: the intensities of the half sets agree to %.1f A, their "
            "maps to %.1f A",
            r->intensities_A, r->maps_A);
        say_outlook(&w, &v->outlook);
        break;
    case SPI_LIMIT_IMAGES:
        say(&w,
            "the images: the intensities of the half sets agree to %.1f A, the "
            "detector reaches %.1f A",
            r->intensities_A, r->edge_A);
        say_outlook(&w, &v->outlook);
        break;
    }
    for (int i = 0; i < n; i++) {
        say(&w, "%s", i == 0 ? "; what takes resolution away: " : ", ");
        say_loss(&w, &loss[i], &v->conditions);
    }
    snprintf(text, size, "%s", w.text);
}
