/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: scores, doc/math.md (M1), (M2), and the largest of them. */

INLINE vec NAME(larger)(vec a, vec b)
{
#ifdef MAX
    return MAX(a, b);
#else
    ivec first = a > b;

    return (vec)(((ivec)a & first) | ((ivec)b & ~first));
#endif
}

INLINE vec NAME(score)(enum spi_score_form form, vec x, vec table, vec count)
{
    vec zero = {0};

    if (form == SPI_FORM_DIFFERENCE)
        return x - count * table;
    return WHERE((x > zero) & (table > zero), x * x / (2 * table));
}

INLINE void NAME(top_of)(enum spi_score_form form, int Na, const float *x,
                         const float *table, float count, float *top)
{
    for (int h = 0; h < SPI_LANES; h += LANES) {
        vec n = count - (vec){0};
        vec t0 = NAME(score)(form, CV(x + h), CV(table + h), n), t1 = t0;

        for (int a = 0; a < Na; a += 2) {
            const float *p = x + a * SPI_LANES + h, *q = table + a * SPI_LANES + h;

            t0 = NAME(larger)(NAME(score)(form, CV(p), CV(q), n), t0);
            t1 = NAME(larger)(NAME(score)(form, CV(p + SPI_LANES), CV(q + SPI_LANES), n),
                              t1);
        }
        V(top + h) = NAME(larger)(t0, t1);
    }
}

static void NAME(top)(enum spi_score_form form, int Na, const float *x, const float *table,
                      float count, float top[SPI_LANES])
{
    if (form == SPI_FORM_DIFFERENCE)
        NAME(top_of)(SPI_FORM_DIFFERENCE, Na, x, table, count, top);
    else
        NAME(top_of)(SPI_FORM_RATIO, Na, x, table, count, top);
}

/* Scores of one row, `width` <= LANES of them; returns the larger of `best` and each. */
INLINE vec NAME(row)(enum spi_score_form form, int width, const float *x,
                     const float *table, float count, float *out, vec best)
{
    vec tab = CV(x), s, none = count - (vec){0};

    if (width >= LANES) {
        s = NAME(score)(form, CV(x), UV(table), none);
        *(uvec *)out = s;
    } else { /* the end of the row: the first value again, so that the maximum stands */
        for (int c = 0; c < LANES; c++)
            tab[c] = table[c < width ? c : 0];
        s = NAME(score)(form, CV(x), tab, none);
        memcpy(out, &s, (size_t)width * sizeof *out);
        for (int c = width; c < LANES; c++)
            s[c] = s[0];
    }
    return NAME(larger)(s, best);
}

static void NAME(rows)(enum spi_score_form form, int Na, int n, const float *x,
                       const float *const *table, const float *count, float *const *out,
                       float *top)
{
    _Alignas(64) float t[SPI_LANES * SPI_LANES];
    const float *src[SPI_LANES];
    vec best[SPI_LANES];

    for (int i = 0; i < n; i++)
        best[i] = -__builtin_inff() - (vec){0};
    for (int a = 0; a < Na; a += SPI_LANES) {
        int width = Na - a < SPI_LANES ? Na - a : SPI_LANES;

        for (int c = 0; c < SPI_LANES; c++) /* beyond Na: anything */
            src[c] = x + (long)(c < width ? a + c : a) * SPI_LANES;
        NAME(block)(src, 0, t, SPI_LANES);
        for (int i = 0; i < n; i++)
            for (int h = 0; h < width; h += LANES)
                best[i] = NAME(row)(form, width - h, t + SPI_LANES * i + h,
                                    table[i] + a + h, count[i], out[i] + a + h, best[i]);
    }
    for (int i = 0; i < n; i++) {
        top[i] = best[i][0];
        for (int c = 1; c < LANES; c++)
            top[i] = best[i][c] > top[i] ? best[i][c] : top[i];
    }
}
