/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/validation.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

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
    else if (v->left_out > 0 && v->unexplained_shells > set->unexplained_variance_max)
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

void spi_validation_limit(const struct spi_validation *v, char *text, size_t size)
{
    const struct spi_resolution *r = &v->resolution;
    const struct spi_outlook *o = &v->outlook;
    int n;

    if (r->limit == SPI_LIMIT_EDGE) {
        snprintf(text, size, "the edge of the detector (%.1f A)", r->edge_A);
        return;
    }
    if (r->limit == SPI_LIMIT_BACKGROUND) {
        snprintf(text, size,
                 "a background that the images still contain: beyond %.1f A more than %.0f "
                 "%% of the intensity is the same in all directions",
                 r->background_A, 100 * (1 - SPI_CONTRAST_LEVEL));
        return;
    }
    if (r->limit == SPI_LIMIT_PHASES)
        n = snprintf(text, size,
                     "the phases: the intensities of the half sets agree to %.1f A, their "
                     "maps to %.1f A",
                     r->intensities_A, r->maps_A);
    else
        n = snprintf(text, size,
                     "the images: the intensities of the half sets agree to %.1f A, the "
                     "detector reaches %.1f A",
                     r->intensities_A, r->edge_A);
    if (o->known && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n,
                 " (half of the images: %.1f A; expected with twice as many: %.1f A, four "
                 "times: %.1f A)",
                 o->half_A, o->twice_A, o->four_times_A);
}
