/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every event has its words, with the numbers that it rests on, and only what the user
 * should look at warns. */
#include <string.h>

#include "report/events.h"
#include "tap.h"

static const struct spi_symmetry_found d7 = {
    .group = "D7", .score = 0.975, .level = 0.875, .between = 0.25};

static const struct {
    struct spi_event e;
    bool warns;
    const char *says[4];
} cases[] = {
    {{SPI_EVENT_INITS_SCORED, .u.inits = {{-7.25, -7.5}, 0.625, 0.5, 0.9375}},
     false,
     {"-7.25000 and -7.50000", "agree to 0.625", "need 0.50", "from 0.94 on"}},
    {{SPI_EVENT_INITS_REPEAT, .u.repeat = {0.9375, 0.875, true}},
     false,
     {"agree to 0.938", "need 0.875", "further rounds would find the same"}},
    {{SPI_EVENT_INITS_REPEAT, .u.repeat = {0.25, 0.875, false}},
     false,
     {"agree to 0.250 (need 0.875)"}},
    {{SPI_EVENT_EXTENT, .u.extent = {{120, 124}, 128, 150}},
     false,
     {"120 A and 124 A wide", "particle of 128 A"}},
    {{SPI_EVENT_DIAMETER_IMPLAUSIBLE, .u.extent = {{120, 124}, 428, 150}},
     true,
     {"particle of 428 A", "too far from 150 A", "background"}},
    {{SPI_EVENT_DIAMETER_KEPT, .u.extent = {{120, 124}, 128, 150}},
     true,
     {"particle of 128 A", "diameter of 150 A", "--diameter 128"}},
    {{SPI_EVENT_SYMMETRY, .u.symmetry = {&d7, .used = true}},
     false,
     {"symmetry found: D7", "score 0.975 (need 0.875; 0.250 between"}},
    {{SPI_EVENT_SYMMETRY, .u.symmetry = {&d7, .used = false}},
     false,
     {"D7", "it is not used, the half sets are more alike"}},
    {{SPI_EVENT_SYMMETRY, .u.symmetry = {&d7, .at_end = true}},
     false,
     {"symmetry found in the result: D7", "it was not used"}},
    {{SPI_EVENT_PHASING, .u.phasing = {2, {3, 4}, 8, 0.125, 0.75, 0.5, 0.9375}},
     false,
     {"round 2: shrink-wrap at 0.125", "3 and 4 of 8 starts agree", "agree to 0.750",
      "need 0.50; no more rounds from 0.94"}},
    {{SPI_EVENT_GEOMETRY, .u.geometry = {400, 4, 1.25, 0.01, 0, 0}},
     true,
     {"panels are up to 1.25 pixels (+- 0.01) from", "as 400 images", "geometry=file"}},
    {{SPI_EVENT_GEOMETRY, .u.geometry = {400, 1, 0.25, 0.01, -0.0125, 0.001}},
     true,
     {"the beam's centre is 0.25 pixels", "and the detector is 1.2 % (+- 0.1) nearer",
      "particle is that much smaller"}},
    {{SPI_EVENT_DRIFT, .u.drift = {400, 2.25, 2.25, 0.01, false}},
     true,
     {"moves by 2.25 pixels (+- 0.01)", "as 400 images", "--correct-drift takes"}},
    {{SPI_EVENT_DRIFT, .u.drift = {400, 2.25, 0.125, 0.01, true}},
     true,
     {"moves by 2.25 pixels", "about the place where the beam was",
      "0.12 pixels (+- 0.01)"}},
    {{SPI_EVENT_OUTLIERS, .u.outliers = {12, 5, 1000, 0.25, 1, 2, 3, 77}},
     true,
     {"12 pixel values in 5 images", "1000 where 0.25", "panel 1, row 2, column 3",
      "image 77"}},
};

int main(void)
{
    enum { N = sizeof cases / sizeof *cases };
    char text[2048], little[8];

    for (int i = 0; i < N; i++) {
        bool warns = spi_event_words(&cases[i].e, text, sizeof text), all = true;

        for (int k = 0; k < 4 && cases[i].says[k]; k++)
            all = all && strstr(text, cases[i].says[k]);
        OK(all && !strchr(text, '\n'), "%s", text);
        OK(warns == cases[i].warns, "... %s", warns ? "warns" : "tells");
    }
    spi_event_words(&cases[0].e, little, sizeof little);
    OK(strcmp(little, "init: t") == 0, "words end with the room for them");
    return tap_done();
}
