/* SPDX-License-Identifier: GPL-3.0-or-later */
/* simulate_experiment.c, of app/simulate.h: what an experiment adds to ideal images. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/provenance.h"
#include "app/simulate.h"
#include "base/mem.h"
#include "base/rng.h"
#include "sim/background.h"

/* "WHAT:NUMBER" -> what (its end cut off), number.  false: no such text. */
static bool split(char *text, double *number)
{
    char *colon = strrchr(text, ':'), *end;

    if (!colon || colon == text)
        return false;
    *number = strtod(colon + 1, &end);
    *colon = 0;
    return end != colon + 1 && !*end && isfinite(*number) && *number >= 0;
}

/* The share that `kind` adds to; NULL: it is a file. */
static double *share_of(struct spi_junk_shares *s, const char *kind)
{
    return strcmp(kind, "blank") == 0     ? &s->blank
           : strcmp(kind, "sphere") == 0  ? &s->sphere
           : strcmp(kind, "doublet") == 0 ? &s->doublet
                                          : NULL;
}

static spi_err read_junk(struct spi_simulate_job *j)
{
    double sum = 0;

    for (int i = 0; i < j->args->junk.n; i++) {
        const char *text = j->args->junk.item[i];
        char *kind = j->junk_text[i];
        double share, *to;

        if (i >= SPI_STRUCTURES_MAX || strlen(text) >= sizeof j->junk_text[i])
            return spi_call_fail(j->call, "junk", "'%s': too many or too long", text);
        snprintf(kind, sizeof j->junk_text[i], "%s", text);
        if (!split(kind, &share) || share > 1)
            return spi_call_fail(j->call, "junk",
                                 "'%s': need KIND:SHARE with a share from 0 to 1, such as "
                                 "sphere:0.1",
                                 text);
        to = share_of(&j->junk, kind);
        if (!to && access(kind, R_OK) != 0)
            return spi_call_fail(j->call, "junk",
                                 "'%s' is no kind of junk: need blank, sphere, doublet or "
                                 "the file of a structure",
                                 kind);
        if (!to) {
            to = &j->junk.other;
            if (j->n + j->n_others >= SPI_STRUCTURES_MAX)
                return spi_call_fail(j->call, "junk", "more than %d structures",
                                     SPI_STRUCTURES_MAX);
            j->other[j->n_others++] = kind;
        }
        *to += share;
        sum += share;
    }
    if (sum > 1)
        return spi_call_fail(j->call, "junk", "the shares add up to %g", sum);
    return SPI_OK;
}

spi_err spi_experiment_check(struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    bool counts = (a->photons > 0 || a->fluence > 0) && !a->noise_free;
    bool electronics = a->response.noise > 0 || a->response.pedestal != 0;

    j->responds = a->response.dead > 0 || a->response.hot > 0 ||
                  a->response.flickering > 0 || a->response.saturation > 0 ||
                  a->response.gain > 0 || a->gaps.n > 0 || a->missing;
    if (electronics && !(a->response.gain > 0))
        return spi_call_fail(j->call, a->response.noise > 0 ? "read-noise" : "pedestal",
                             "needs --gain");
    if (j->responds && !counts)
        return spi_fail(SPI_EUSAGE, "simulate: faults and electronics of a detector need "
                                    "photons: give --photons or --fluence");
    if (a->response.dead + a->response.hot + a->response.flickering > 1)
        return spi_call_fail(j->call, "dead-pixels",
                             "dead, hot and flickering pixels are more than all");
    return read_junk(j);
}

/* "DX[:DY]" of an option -> pixels; NULL: 0. */
static spi_err read_pixels(const struct spi_call *call, const char *option,
                           const char *given, double px[2])
{
    const char *text = given;
    char *end;

    px[0] = px[1] = 0;
    if (!text)
        return SPI_OK;
    for (int i = 0; i < 2; i++) {
        px[i] = strtod(text, &end);
        if (end == text || !(fabs(px[i]) < 16384) || (*end && (*end != ':' || i)))
            return spi_call_fail(call, option, "'%s': need pixels along a row, or DX:DY",
                                 given);
        if (!*end)
            return SPI_OK;
        text = end + 1;
    }
    return SPI_OK;
}

spi_err spi_experiment_centre(const struct spi_call *call,
                              const struct spi_simulate_args *a, double centre_px[2])
{
    return read_pixels(call, "centre-error", a->centre_error, centre_px);
}

/* Steps of a twentieth of a pixel, as long as there is memory for what each needs. */
static int drift_steps(const struct spi_simulate_job *j, double far_px)
{
    const double most =
        fmin((1 << 25) / (double)j->detector.n_pixels, (double)j->args->images);

    return (int)fmin(fmax(ceil(far_px / 0.05), 2), fmax(most, 2));
}

spi_err spi_experiment_drift(struct spi_simulate_job *j)
{
    struct spi_detector_options there = j->geometry;
    double px[2];
    spi_err err;

    SPI_TRY(err = read_pixels(j->call, "centre-drift", j->args->centre_drift, px), out);
    if (px[0] == 0 && px[1] == 0)
        return SPI_OK;
    j->n_drift = drift_steps(j, hypot(px[0], px[1]));
    SPI_TRY(err = SPI_NEW(j->drift, j->n_drift, "drift"), out);
    SPI_TRY(err = SPI_NEW(j->drift_px, j->n_drift, "drift"), out);
    for (int i = 0; i < j->n_drift; i++) {
        for (int c = 0; c < 2; c++) {
            j->drift_px[i][c] = px[c] * ((i + 0.5) / j->n_drift - 0.5);
            there.centre_px[c] = j->geometry.centre_px[c] + j->drift_px[i][c];
        }
        SPI_TRY(err = spi_detector_make(&there, &j->drift[i]), out);
        memcpy(j->drift[i].bad, j->detector.bad, (size_t)j->detector.n_pixels);
    }
out:
    return err == SPI_EINVAL ? SPI_EUSAGE : err;
}

spi_err spi_experiment_panels(struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    int n = a->panels[0] * a->panels[1];
    spi_err err;

    if (!(a->panel_error > 0))
        return SPI_OK;
    if (n < 2)
        return spi_call_fail(
            j->call, "panel-error",
            "needs --panels: one panel alone is at a wrong place where the "
            "beam is (--centre-error)");
    err = SPI_NEW(j->panel_px, n, "panels");
    for (int p = 0; p < n && !err; p++) {
        struct spi_rng rng = spi_rng_stream((uint64_t)a->seed, SPI_RNG_PANELS, (uint64_t)p);

        for (int c = 0; c < 2; c++)
            j->panel_px[p][c] = a->panel_error * spi_rng_normal(&rng);
    }
    return err;
}

static spi_err make_background(struct spi_simulate_job *j)
{
    const char *text = j->args->background;
    char shape[SPI_TEXT_MAX];
    spi_err err;

    if (!text)
        return j->args->background_spread > 0
                   ? spi_call_fail(j->call, "background-spread", "needs --background")
                   : SPI_OK;
    if (strlen(text) >= sizeof shape)
        return spi_call_fail(j->call, "background", "the text is too long");
    snprintf(shape, sizeof shape, "%s", text);
    if (!split(shape, &j->background_ratio) || j->background_ratio > 1e6)
        return spi_call_fail(j->call, "background",
                             "'%s': need SHAPE:RATIO, such as gas:0.3", text);
    SPI_TRY(err = SPI_NEW(j->background, j->detector.n_pixels, "background"), out);
    err = spi_background_make(shape, &j->detector, j->background);
    if (err == SPI_EUSAGE) {
        char why[SPI_MESSAGE_MAX];

        snprintf(why, sizeof why, "%s", spi_err_message());
        return spi_call_fail(j->call, "background", "%s", why);
    }
out:
    return err;
}

/* SPI_EUSAGE of a text that is not understood, with the option's name. */
static spi_err of_option(const struct spi_simulate_job *j, const char *option, spi_err err)
{
    char why[SPI_MESSAGE_MAX];

    if (err != SPI_EUSAGE)
        return err;
    snprintf(why, sizeof why, "%s", spi_err_message());
    return spi_call_fail(j->call, option, "%s", why);
}

static spi_err make_response(struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    struct spi_response *r = &j->response;
    spi_err err;

    if (!j->responds)
        return SPI_OK;
    SPI_TRY(err = spi_response_init(r, &j->detector, &a->response, (uint64_t)a->seed), out);
    for (int i = 0; i < a->gaps.n; i++)
        SPI_TRY(err =
                    of_option(j, "gap", spi_response_gap(r, &j->detector, a->gaps.item[i])),
                out);
    if (a->missing)
        err = of_option(j, "missing-panels",
                        spi_response_missing(r, &j->detector, a->missing));
out:
    return err;
}

spi_err spi_experiment_make(struct spi_simulate_job *j)
{
    spi_err err = make_background(j);

    j->displaced = j->geometry.centre_px[0] != 0 || j->geometry.centre_px[1] != 0 ||
                   j->args->distance_error != 0 || j->panel_px;
    return err ? err : make_response(j);
}

void spi_experiment_clear(struct spi_simulate_job *j)
{
    free(j->background);
    free(j->panel_px);
    for (int i = 0; j->drift && i < j->n_drift; i++)
        spi_detector_clear(&j->drift[i]);
    free(j->drift);
    free(j->drift_px);
    spi_response_clear(&j->response);
}

void spi_experiment_options(const struct spi_simulate_job *j,
                            struct spi_simulate_options *opt)
{
    opt->junk = j->junk;
    opt->n_others = j->n_others;
    opt->background = j->background;
    opt->background_ratio = j->background_ratio;
    opt->background_spread = j->args->background_spread;
    opt->focus = j->args->focus != NULL;
    opt->response = j->responds ? &j->response : NULL;
    opt->told = j->displaced ? &j->told : NULL;
    opt->told_centre_px[0] = j->geometry.centre_px[0];
    opt->told_centre_px[1] = j->geometry.centre_px[1];
    opt->drift = j->drift;
    opt->n_drift = j->n_drift;
    opt->told_drift_px = (const double(*)[2])j->drift_px;
    opt->told_panel_px = (const double(*)[2])j->panel_px;
}

static json_t *names(const struct spi_texts *t)
{
    json_t *list = json_array();

    for (int i = 0; i < t->n; i++)
        json_array_append_new(list, spi_json_name(t->item[i]));
    return list;
}

json_t *spi_experiment_json(const struct spi_simulate_job *j)
{
    const struct spi_simulate_args *a = j->args;
    const struct spi_response_options *r = &a->response;

    return json_pack("{s:o?, s:f, s:o, s:b, s:[f,f], s:s?, s:f, s:f, s:f, s:f, s:f, s:f, "
                     "s:o, s:s?, s:f, s:f, "
                     "s:f, s:f}",
                     "background", a->background ? spi_json_name(a->background) : NULL,
                     "background_spread", a->background_spread, "junk", names(&a->junk),
                     "focus", a->focus != NULL, "centre_error_px", j->geometry.centre_px[0],
                     j->geometry.centre_px[1], "centre_drift_px", a->centre_drift,
                     "distance_error", a->distance_error, "panel_error_px", a->panel_error,
                     "dead_pixels", r->dead, "hot_pixels", r->hot, "flickering_pixels",
                     r->flickering, "hot_counts", r->hot_counts, "gaps", names(&a->gaps),
                     "missing_panels", a->missing, "saturation", r->saturation, "gain",
                     r->gain, "read_noise", r->noise, "pedestal", r->pedestal);
}
