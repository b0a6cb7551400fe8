/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/events.h"

#include <math.h>
#include <stdio.h>

static void words_symmetry(const struct spi_event *e, char *text, size_t size)
{
    const struct spi_symmetry_found *f = e->u.symmetry.found;
    const char *then = e->u.symmetry.at_end ? "; it was not used"
                       : e->u.symmetry.used
                           ? ""
                           : "; it is not used, the half sets are more alike";

    snprintf(text, size,
             "symmetry found%s: %s, score %.3f (need %.3f; %.3f between its elements)%s",
             e->u.symmetry.at_end ? " in the result" : "", f->group, f->score, f->level,
             f->between, then);
}

static void words_background(const struct spi_event *e, char *text, size_t size)
{
    char found[96] = "";

    if (e->u.background.found)
        snprintf(found, sizeof found, ": %.0f %% of the intensity at %.3g A",
                 100 * e->u.background.share, 1 / e->u.background.q);
    snprintf(text, size,
             "background: %.3g times the photons of the particle between %.3g and %.3g A, "
             "%s%s; it is taken out of the intensities",
             e->u.background.ratio, 1 / e->u.background.q_min, 1 / e->u.background.q_max,
             !e->u.background.told   ? "found in the images"
             : e->u.background.found ? "as given, and more found in the images"
                                     : "as given",
             found);
}

static void words_geometry(const struct spi_event *e, char *text, size_t size)
{
    double stretch = e->u.geometry.stretch;
    char panels[128] = "", distance[160] = "";

    if (e->u.geometry.far_px > 0)
        snprintf(panels, sizeof panels, "%s %.2f pixels (+- %.2f) from where the file says",
                 e->u.geometry.panels > 1 ? "the detector's panels are up to"
                                          : "the beam's centre is",
                 e->u.geometry.far_px, e->u.geometry.sigma_px);
    if (stretch != 0)
        snprintf(distance, sizeof distance,
                 "%sthe detector is %.1f %% (+- %.1f) %s than the file says, so that the "
                 "particle is that much %s",
                 *panels ? ", and " : "", 100 * fabs(stretch),
                 100 * e->u.geometry.stretch_sigma, stretch > 0 ? "farther" : "nearer",
                 stretch > 0 ? "larger" : "smaller");
    snprintf(text, size,
             "%s%s, as %lld images beside the model show; the map is of where the images "
             "show the detector (--set detector.geometry=file: where the file says)",
             panels, distance, (long long)e->u.geometry.images);
}

bool spi_event_words(const struct spi_event *e, char *text, size_t size)
{
    switch (e->kind) {
    case SPI_EVENT_INITS_SCORED:
        snprintf(text, size,
                 "init: the best held-out scores are %.5f and %.5f; the half sets agree to "
                 "%.3f (need %.2f; from %.2f on no further round is made)",
                 e->u.inits.score[0], e->u.inits.score[1], e->u.inits.cc, e->u.inits.need,
                 e->u.inits.stop);
        return false;
    case SPI_EVENT_INITS_REPEAT:
        snprintf(text, size,
                 "init: the two best replicas of each half set agree to %.3f (need %.3f)%s",
                 e->u.repeat.cc, e->u.repeat.need,
                 e->u.repeat.repeat ? "; further rounds would find the same" : "");
        return false;
    case SPI_EVENT_EXTENT:
        snprintf(text, size,
                 "init: the densities of the half sets are %.0f A and %.0f A wide, as of a "
                 "particle of %.0f A",
                 e->u.extent.half_A[0], e->u.extent.half_A[1], e->u.extent.shown_A);
        return false;
    case SPI_EVENT_DIAMETER_IMPLAUSIBLE:
        snprintf(text, size,
                 "the random initialisations show a particle of %.0f A, which is too far "
                 "from %.0f A to be one: a background that the images still contain shows "
                 "in this way",
                 e->u.extent.shown_A, e->u.extent.assumed_A);
        return true;
    case SPI_EVENT_DIAMETER_KEPT:
        snprintf(text, size,
                 "the random initialisations show a particle of %.0f A; the run goes on "
                 "with a diameter of %.0f A: if its result is poor, try --diameter %.0f",
                 e->u.extent.shown_A, e->u.extent.assumed_A, e->u.extent.shown_A);
        return true;
    case SPI_EVENT_SYMMETRY:
        words_symmetry(e, text, size);
        return false;
    case SPI_EVENT_PHASING:
        snprintf(text, size,
                 "phasing, round %d: shrink-wrap at %.3f, %d and %d of %d starts agree, "
                 "half maps agree to %.3f of what the intensities allow (need %.2f; no "
                 "more rounds from %.2f)",
                 e->u.phasing.round, e->u.phasing.cutoff, e->u.phasing.n_kept[0],
                 e->u.phasing.n_kept[1], e->u.phasing.n_starts, e->u.phasing.consistency,
                 e->u.phasing.need, e->u.phasing.stop);
        return false;
    case SPI_EVENT_BACKGROUND:
        words_background(e, text, size);
        return false;
    case SPI_EVENT_GEOMETRY:
        words_geometry(e, text, size);
        return true;
    case SPI_EVENT_DRIFT:
        if (e->u.drift.corrected)
            snprintf(text, size,
                     "the beam's centre moves by %.2f pixels over the file, as %lld images "
                     "beside the model show; each image is taken about the place where the "
                     "beam was (%.2f pixels (+- %.2f) are left)",
                     e->u.drift.range_px, (long long)e->u.drift.images, e->u.drift.left_px,
                     e->u.drift.sigma_px);
        else
            snprintf(text, size,
                     "the beam's centre moves by %.2f pixels (+- %.2f) over the file, as "
                     "%lld images beside the model show; one centre is used for all of "
                     "them: --correct-drift takes each image about the place where the "
                     "beam was",
                     e->u.drift.range_px, e->u.drift.sigma_px,
                     (long long)e->u.drift.images);
        return true;
    case SPI_EVENT_OUTLIER_IMAGES:
        snprintf(
            text, size,
            "%lld of %lld images are left out: the map explains less than half of their "
            "structure; they show something else",
            (long long)e->u.outlier_images.n, (long long)e->u.outlier_images.images);
        return false;
    case SPI_EVENT_OUTLIERS:
        snprintf(text, size,
                 "%lld pixel values in %lld images are larger than the particle and noise "
                 "can make them: zingers or hot pixels, which a mask should hide; the "
                 "worst is %.4g where %.3g is expected, in panel %lld, row %lld, column "
                 "%lld of image %lld",
                 (long long)e->u.outliers.n, (long long)e->u.outliers.images,
                 e->u.outliers.value, e->u.outliers.expected,
                 (long long)e->u.outliers.panel, (long long)e->u.outliers.row,
                 (long long)e->u.outliers.column, (long long)e->u.outliers.image);
        return true;
    }
    return false;
}
