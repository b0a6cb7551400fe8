/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/atom.h"

#include <ctype.h>
#include <stdbool.h>

static const char symbols[][3] = {
    "?",  "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg",
    "Al", "Si", "P",  "S",  "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn",
    "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr",
    "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb",
    "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th",
    "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf"};

enum { ELEMENTS = sizeof symbols / sizeof *symbols - 1 };

const char *spi_element_symbol(int z)
{
    return symbols[z >= 1 && z <= ELEMENTS ? z : 0];
}

static bool same_word(const char *a, const char *b)
{
    while (*a && toupper((unsigned char)*a) == toupper((unsigned char)*b))
        a++, b++;
    return *a == *b;
}

int spi_element_number(const char *symbol)
{
    if (same_word(symbol, "D")) /* deuterium scatters X-rays as hydrogen */
        return 1;
    for (int z = 1; z <= ELEMENTS; z++)
        if (same_word(symbol, symbols[z]))
            return z;
    return 0;
}
