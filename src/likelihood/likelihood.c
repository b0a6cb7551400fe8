/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "likelihood/likelihood.h"

#include <string.h>

#include "likelihood/rows.h"

#define COMMA      ,
#define ROW(name)  &spi_likelihood_##name
#define NAME(name) #name

const struct spi_likelihood *const spi_likelihoods[] = {SPI_LIKELIHOOD_ROWS(ROW, COMMA),
                                                        NULL};
const char spi_likelihood_names[] = SPI_LIKELIHOOD_ROWS(NAME, "|");

const struct spi_likelihood *spi_likelihood_of(enum spi_image_kind images)
{
    const struct spi_likelihood *const *row = spi_likelihoods;

    while (*row && !((*row)->automatic & 1 << images))
        row++;
    return *row;
}

const struct spi_likelihood *spi_likelihood_named(const char *name,
                                                  enum spi_image_kind images)
{
    const struct spi_likelihood *const *row = spi_likelihoods;

    if (strcmp(name, "auto") == 0)
        return spi_likelihood_of(images);
    while (*row && strcmp((*row)->name, name) != 0)
        row++;
    return *row;
}

void spi_likelihood_add(const struct spi_likelihood *like, double K, double T, double g,
                        double v, struct spi_likelihood_terms *s)
{
    s->fit += K * like->f(T, g, v);
    s->norm += g * like->h(T, g, v);
    s->N += K;
    s->K2 += K * K;
}

double spi_likelihood_value(const struct spi_likelihood *like,
                            const struct spi_likelihood_terms *s)
{
    return like->pair(s->fit, like->table(s->norm), s->N, s->K2);
}
