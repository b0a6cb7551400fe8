/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mmCIF: the CIF 1.1 syntax (Hall, Allen and Brown, Acta Cryst. A47 (1991) 655) and of the
 * PDBx dictionary only what makes atoms and assemblies. */
#include "io/cif.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/atoms_guess.h"

enum { ITEMS_MAX = 24, COLUMNS_MAX = 256, FIELD_MAX_BYTES = 1 << 24 };

/* ---- the categories that are read, and their items ---------------------------------- */

enum category { ATOM_SITE, ASSEMBLY, OPERATOR, STRUCT, CATEGORIES, OTHER = CATEGORIES };

enum {
    A_SYMBOL,
    A_NAME,
    A_ALT,
    A_RES,
    A_CHAIN,
    A_SEQ,
    A_INS,
    A_X,
    A_Y,
    A_Z,
    A_OCC,
    A_B,
    A_AUTH_SEQ,
    A_MODEL,
    A_AUTH_CHAIN,
    A_AUTH_RES,
    A_AUTH_NAME
};
enum { G_ASSEMBLY, G_EXPRESSION, G_CHAINS };
enum { O_ID, O_MATRIX, O_VECTOR = O_MATRIX + 9 };

static const struct {
    const char *prefix, *item[ITEMS_MAX];
} tables[CATEGORIES] = {
    [ATOM_SITE] = {"_atom_site.",
                   {"type_symbol", "label_atom_id", "label_alt_id", "label_comp_id",
                    "label_asym_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x",
                    "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv", "auth_seq_id",
                    "pdbx_PDB_model_num", "auth_asym_id", "auth_comp_id", "auth_atom_id"}},
    [ASSEMBLY] = {"_pdbx_struct_assembly_gen.",
                  {"assembly_id", "oper_expression", "asym_id_list"}},
    [OPERATOR] = {"_pdbx_struct_oper_list.",
                  {"id", "matrix[1][1]", "matrix[1][2]", "matrix[1][3]", "matrix[2][1]",
                   "matrix[2][2]", "matrix[2][3]", "matrix[3][1]", "matrix[3][2]",
                   "matrix[3][3]", "vector[1]", "vector[2]", "vector[3]"}},
    [STRUCT] = {"_struct.", {"title"}},
};

static enum category category_of(const char *tag, int *item)
{
    *item = -1;
    for (int c = 0; c < CATEGORIES; c++) {
        size_t n = strlen(tables[c].prefix);

        if (strncasecmp(tag, tables[c].prefix, n) != 0)
            continue;
        for (int i = 0; i < ITEMS_MAX && tables[c].item[i]; i++)
            if (strcasecmp(tag + n, tables[c].item[i]) == 0)
                *item = i;
        return (enum category)c;
    }
    return OTHER;
}

/* ---- state -------------------------------------------------------------------------- */

/* One value of the row being read; "" when absent, '.' or '?'. */
struct cell {
    char *text;
    int64_t cap;
};

struct named_operator {
    char id[SPI_NAME];
    struct spi_raw_operator op;
};

struct cif {
    struct spi_line_reader *l;
    struct spi_raw_structure *raw;
    int assembly;
    char *rest; /* what is left of the current line, NULL: read another */
    /* token: kind and text */
    enum kind { END, DATA, LOOP, TAG, VALUE } kind;
    bool quoted;
    const char *text; /* in the line or in `field` */
    struct cell field;
    bool pushed_back;
    struct cell cell[ITEMS_MAX];
    enum category pending;     /* of single items gathered so far */
    struct named_operator *op; /* [n_ops], sorted by id when the file is read */
    int64_t n_ops, op_cap;
    int64_t n_resolved; /* operators that the assembly has so far */
    char **expression;  /* of raw->generator[i]; [n_expressions], owned */
    int64_t n_expressions, expression_cap;
};

static spi_err bad(const struct cif *c, const char *what, const char *text)
{
    return spi_fail(SPI_EFORMAT, "%s:%lld: %s%.60s", spi_line_reader_path(c->l),
                    (long long)spi_line_reader_number(c->l), what, text);
}

static spi_err cell_set(struct cell *cell, const char *text, size_t at)
{
    size_t n = strlen(text);
    void *p = cell->text;
    spi_err err =
        spi_grow(&p, 1, (int64_t)at, (int64_t)(at + n + 1), &cell->cap, "mmCIF value");

    cell->text = p;
    if (!err)
        memcpy(cell->text + at, text, n + 1);
    return err;
}

/* ---- tokens ------------------------------------------------------------------------- */

/* A text field: from a line that begins with ';' to the next one that does. */
static spi_err text_field(struct cif *c, char *line)
{
    long long first = spi_line_reader_number(c->l);
    size_t length, at = strlen(line + 1);
    spi_err err = cell_set(&c->field, line + 1, 0);

    while (!err) {
        err = spi_line_reader_next(c->l, &line, &length);
        if (err)
            break;
        if (!line)
            return spi_fail(SPI_EFORMAT,
                            "%s:%lld: the text field that begins here never ends",
                            spi_line_reader_path(c->l), first);
        if (*line == ';')
            break;

        if (at + length > FIELD_MAX_BYTES)
            return spi_fail(SPI_EFORMAT,
                            "%s:%lld: the text field that begins here is longer than %d "
                            "bytes; not a structure",
                            spi_line_reader_path(c->l), first, FIELD_MAX_BYTES);
        err = cell_set(&c->field, "\n", at);
        if (!err)
            err = cell_set(&c->field, line, at + 1);
        at += 1 + length;
    }
    c->rest = err ? NULL : line + 1;
    c->text = c->field.text;
    c->kind = VALUE;
    c->quoted = true;
    return err;
}

static spi_err quoted(struct cif *c, char *from)
{
    char *end = from + 1;

    while (*end && !(*end == *from && (!end[1] || isspace((unsigned char)end[1]))))
        end++;
    if (!*end)
        return bad(c, "a quoted value does not end on its line: ", from);
    *end = 0;
    c->rest = end + 1;
    c->text = from + 1;
    c->kind = VALUE;
    c->quoted = true;
    return SPI_OK;
}

static spi_err bare(struct cif *c, char *from)
{
    char *end = from;

    while (*end && !isspace((unsigned char)*end))
        end++;
    c->rest = *end ? end + 1 : end;
    *end = 0;
    c->text = from;
    c->quoted = false;
    if (*from == '_')
        c->kind = TAG;
    else if (strncasecmp(from, "data_", 5) == 0)
        c->kind = DATA;
    else if (strcasecmp(from, "loop_") == 0)
        c->kind = LOOP;
    else if (strcasecmp(from, "stop_") == 0 || strcasecmp(from, "global_") == 0 ||
             strncasecmp(from, "save_", 5) == 0)
        return bad(c, "reserved word that has no place in a structure: ", from);
    else
        c->kind = VALUE;
    return SPI_OK;
}

static spi_err next(struct cif *c)
{
    if (c->pushed_back) {
        c->pushed_back = false;
        return SPI_OK;
    }
    for (;;) {
        if (!c->rest) {
            char *line;
            size_t length;
            spi_err err = spi_line_reader_next(c->l, &line, &length);

            if (err)
                return err;
            if (!line) {
                c->kind = END;
                return SPI_OK;
            }
            if (*line == ';')
                return text_field(c, line);
            c->rest = line;
        }
        while (isspace((unsigned char)*c->rest))
            c->rest++;
        if (!*c->rest || *c->rest == '#')
            c->rest = NULL;
        else if (*c->rest == '\'' || *c->rest == '"')
            return quoted(c, c->rest);
        else
            return bare(c, c->rest);
    }
}

static spi_err store(struct cif *c, int item)
{
    bool null = !c->quoted && (strcmp(c->text, ".") == 0 || strcmp(c->text, "?") == 0);

    return item < 0 ? SPI_OK : cell_set(&c->cell[item], null ? "" : c->text, 0);
}

/* ---- rows --------------------------------------------------------------------------- */

static const char *text_of(const struct cif *c, int item)
{
    return c->cell[item].text ? c->cell[item].text : "";
}

static const char *either(const struct cif *c, int item, int other)
{
    const char *text = text_of(c, item);

    return *text ? text : text_of(c, other);
}

static spi_err name_of(const struct cif *c, const char *what, const char *text, char *to,
                       size_t size)
{
    if (strlen(text) >= size)
        return spi_fail(SPI_EFORMAT, "%s:%lld: %s '%.60s' is longer than %zu letters",
                        spi_line_reader_path(c->l), (long long)spi_line_reader_number(c->l),
                        what, text, size - 1);
    memcpy(to, text, strlen(text) + 1);
    return SPI_OK;
}

static spi_err atom_numbers(const struct cif *c, struct spi_atom *a)
{
    double v[5];
    spi_err err;

    for (int i = 0; i < 3; i++)
        SPI_TRY(err = spi_raw_number(c->l, tables[ATOM_SITE].item[A_X + i],
                                     text_of(c, A_X + i), NAN, -SPI_COORDINATE_MAX,
                                     SPI_COORDINATE_MAX, &v[i]),
                out);
    SPI_TRY(err = spi_raw_number(c->l, "occupancy", text_of(c, A_OCC), 1, 0, 10, &v[3]),
            out);
    SPI_TRY(
        err = spi_raw_number(c->l, "B_iso_or_equiv", text_of(c, A_B), 0, -1e5, 1e5, &v[4]),
        out);
    a->x = v[0];
    a->y = v[1];
    a->z = v[2];
    a->occupancy = (float)v[3];
    a->b_A2 = (float)v[4];
out:
    return err;
}

/* The rows of a model need not stand together. */
static spi_err model_of(struct cif *c)
{
    double number;
    spi_err err = spi_raw_number(c->l, "pdbx_PDB_model_num", text_of(c, A_MODEL), 1,
                                 INT_MIN, INT_MAX, &number);

    return err ? err : spi_raw_model(c->l, c->raw, (int)number, true);
}

/* Names only serve to guess: what is longer is cut. */
static void short_name(const char *from, char to[8])
{
    snprintf(to, 8, "%.7s", from);
}

static spi_err atom_row(struct cif *c)
{
    struct spi_raw_atom *a;
    const char *res = either(c, A_RES, A_AUTH_RES), *name = either(c, A_NAME, A_AUTH_NAME);
    const char *symbol = text_of(c, A_SYMBOL);
    char seq[SPI_NAME];
    spi_err err = model_of(c);

    if (err || !c->raw->take)
        return err;
    a = spi_raw_add_atom(c->raw);
    if (!a)
        return SPI_ENOMEM;
    SPI_TRY(err = atom_numbers(c, &a->atom), out);
    SPI_TRY(err =
                name_of(c, "label_alt_id", text_of(c, A_ALT), a->altloc, sizeof a->altloc),
            out);
    SPI_TRY(err = name_of(c, "label_asym_id", either(c, A_CHAIN, A_AUTH_CHAIN), a->chain,
                          SPI_NAME),
            out);
    SPI_TRY(err = name_of(c, "auth_seq_id", either(c, A_AUTH_SEQ, A_SEQ), seq, SPI_NAME),
            out);
    snprintf(a->residue, SPI_NAME, "%.10s%.4s", seq, text_of(c, A_INS));
    short_name(name, a->name);
    short_name(res, a->resname);
    snprintf(a->symbol, sizeof a->symbol, "%.3s", symbol);
    a->model = c->raw->current;
    a->line = spi_line_reader_number(c->l);
    a->water = spi_raw_is_water(res, name);
    a->atom.element = (uint8_t)spi_raw_element(symbol);
out:
    return err;
}

static spi_err assembly_row(struct cif *c)
{
    struct spi_raw_generator *g;
    void *p = c->expression;
    const char *text = text_of(c, G_EXPRESSION);
    char *end;
    spi_err err = spi_raw_add_generator(c->l, c->raw, &g);

    SPI_TRY(err, out);

    long number = strtol(text_of(c, G_ASSEMBLY), &end, 10);

    g->assembly = *end || number < 1 || number > 1000000 ? -1 : (int)number;
    err = spi_grow(&p, sizeof *c->expression, c->n_expressions, c->n_expressions + 1,
                   &c->expression_cap, "assemblies");
    c->expression = p;
    SPI_TRY(err, out);
    SPI_TRY(err = SPI_NEW(c->expression[c->n_expressions], strlen(text) + 1, "assemblies"),
            out);
    memcpy(c->expression[c->n_expressions++], text, strlen(text) + 1);
    err = spi_raw_add_chains(c->l, c->raw, g, text_of(c, G_CHAINS));
out:
    return err;
}

static spi_err operator_row(struct cif *c)
{
    struct named_operator o = {0};
    void *p = c->op;
    double v[12];
    spi_err err = name_of(c, "operator id", text_of(c, O_ID), o.id, SPI_NAME);

    for (int i = 0; !err && i < 12; i++)
        err = spi_raw_number(c->l, tables[OPERATOR].item[O_MATRIX + i],
                             text_of(c, O_MATRIX + i), NAN, -SPI_COORDINATE_MAX,
                             SPI_COORDINATE_MAX, &v[i]);
    SPI_TRY(err, out);
    memcpy(o.op.R, v, sizeof o.op.R);
    memcpy(o.op.t, v + 9, sizeof o.op.t);
    if (!spi_raw_is_rotation(o.op.R))
        return bad(c, "matrix is not a rotation in operator ", o.id);
    err = spi_grow(&p, sizeof o, c->n_ops, c->n_ops + 1, &c->op_cap, "operators");
    c->op = p;
    if (!err)
        c->op[c->n_ops++] = o;
out:
    return err;
}

static spi_err take_row(struct cif *c, enum category category)
{
    spi_err err = SPI_OK;

    switch (category) {
    case ATOM_SITE:
        err = atom_row(c);
        break;
    case ASSEMBLY:
        err = assembly_row(c);
        break;
    case OPERATOR:
        err = operator_row(c);
        break;
    case STRUCT:
        spi_raw_trim(text_of(c, 0), strlen(text_of(c, 0)), c->raw->title, SPI_TITLE);
        for (char *t = c->raw->title; *t; t++)
            if (*t == '\n')
                *t = ' ';
        break;
    case OTHER:
        break;
    }
    for (int i = 0; i < ITEMS_MAX; i++)
        if (c->cell[i].text)
            c->cell[i].text[0] = 0;
    return err;
}

/* ---- structure of the file ---------------------------------------------------------- */

static spi_err flush(struct cif *c)
{
    enum category category = c->pending;

    c->pending = OTHER;
    return take_row(c, category);
}

static spi_err single_item(struct cif *c)
{
    int item;
    enum category category = category_of(c->text, &item);
    spi_err err = category == c->pending ? SPI_OK : flush(c);
    char tag[64];

    snprintf(tag, sizeof tag, "%.63s", c->text);
    c->pending = category;
    if (!err)
        err = next(c);
    if (!err && c->kind != VALUE)
        return bad(c, "no value for ", tag);
    return err ? err : store(c, item);
}

static spi_err loop(struct cif *c)
{
    int item[COLUMNS_MAX], columns = 0, at = 0;
    enum category category = OTHER;
    spi_err err = flush(c);

    for (; !err; columns++) {
        err = next(c);
        if (err || c->kind != TAG)
            break;
        if (columns == COLUMNS_MAX)
            return bad(c, "more than 256 columns in a loop_ at ", c->text);

        enum category this = category_of(c->text, &item[columns]);

        if (columns == 0)
            category = this;
        else if (this != category)
            return bad(c, "two categories in one loop_ at ", c->text);
    }
    if (!err && columns == 0)
        return bad(c, "loop_ without names", "");
    while (!err && c->kind == VALUE) {
        err = store(c, item[at]);
        if (!err && ++at == columns) {
            at = 0;
            err = take_row(c, category);
        }
        if (!err)
            err = next(c);
    }
    if (!err && at)
        return spi_fail(
            SPI_EFORMAT,
            "%s:%lld: a loop_ ends inside a row: %d values of %d (truncated file?)",
            spi_line_reader_path(c->l), (long long)spi_line_reader_number(c->l), at,
            columns);
    c->pushed_back = true;
    return err;
}

static spi_err whole_file(struct cif *c)
{
    spi_err err = SPI_OK;

    for (;;) {
        err = next(c);
        if (err || c->kind == END)
            break;
        if (c->kind == DATA && c->raw->n > 0) { /* another structure */
            spi_warn("%s:%lld: another data block begins here; only the first one is read",
                     spi_line_reader_path(c->l), (long long)spi_line_reader_number(c->l));
            break;
        }
        if (c->kind == LOOP)
            err = loop(c);
        else if (c->kind == TAG)
            err = single_item(c);
        else if (c->kind == VALUE)
            err = bad(c, "value without a name: ", c->text);
        if (err)
            return err;
    }
    return err ? err : flush(c);
}

/* ---- operator expressions: (1-60), (1,2)(3-5), 1,2,P -------------------------------- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct named_operator *)a)->id,
                  ((const struct named_operator *)b)->id);
}

static const struct spi_raw_operator *find(const struct cif *c, const char *id)
{
    struct named_operator key = {0}, *found;

    if (strlen(id) >= SPI_NAME || c->n_ops == 0)
        return NULL;
    memcpy(key.id, id, strlen(id));
    found = bsearch(&key, c->op, (size_t)c->n_ops, sizeof *c->op, by_id);
    return found ? &found->op : NULL;
}

/* x' = A (B x). */
static struct spi_raw_operator product(const struct spi_raw_operator *A,
                                       const struct spi_raw_operator *B)
{
    struct spi_raw_operator C;

    for (int i = 0; i < 3; i++) {
        const double *a = A->R + 3 * i;

        for (int j = 0; j < 3; j++)
            C.R[3 * i + j] = a[0] * B->R[j] + a[1] * B->R[3 + j] + a[2] * B->R[6 + j];
        C.t[i] = a[0] * B->t[0] + a[1] * B->t[1] + a[2] * B->t[2] + A->t[i];
    }
    return C;
}

/* Multiply every operator of `left` with operator `id` and add it to `to`. */
static spi_err add_products(const struct cif *c, const char *id,
                            const struct spi_raw_generator *left,
                            struct spi_raw_generator *to)
{
    const struct spi_raw_operator *right = find(c, id);
    spi_err err = SPI_OK;

    if (!right)
        return spi_fail(
            SPI_EFORMAT,
            "%s: the assembly needs operator '%.20s', which _pdbx_struct_oper_list "
            "lacks",
            spi_line_reader_path(c->l), id);
    if (c->n_resolved + to->n_ops + left->n_ops > SPI_OPERATORS_MAX)
        return spi_fail(SPI_EFORMAT, "%s: assembly %d has more than %d operators",
                        spi_line_reader_path(c->l), c->assembly, SPI_OPERATORS_MAX);
    for (int64_t i = 0; !err && i < left->n_ops; i++) {
        struct spi_raw_operator op = product(&left->op[i], right);

        err = spi_raw_add_operator(to, &op);
    }
    return err;
}

/* "1,2,5-9,P": the names of one factor, cut out of `list`. */
static spi_err factor(const struct cif *c, char *list, const struct spi_raw_generator *left,
                      struct spi_raw_generator *to)
{
    spi_err err = SPI_OK;
    char *save, *word;

    for (word = strtok_r(list, ", \t\n", &save); !err && word;
         word = strtok_r(NULL, ", \t\n", &save)) {
        int first, last, used = 0;
        char id[SPI_NAME];

        if (sscanf(word, "%9d-%9d%n", &first, &last, &used) != 2 || word[used]) {
            err = add_products(c, word, left, to);
            continue;
        }
        for (int k = first; !err && k <= last; k++) {
            snprintf(id, sizeof id, "%d", k);
            err = add_products(c, id, left, to);
        }
    }
    return err;
}

static spi_err resolve(const struct cif *c, char *text, struct spi_raw_generator *g)
{
    static const struct spi_raw_operator identity = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}};
    struct spi_raw_generator left = {0}, right = {0};
    char *whole = NULL;
    spi_err err = spi_raw_add_operator(&left, &identity);

    if (!err && !strchr(text, '(')) { /* a bare list is one factor */
        SPI_TRY(err = SPI_NEW(whole, strlen(text) + 3, "assemblies"), out);
        snprintf(whole, strlen(text) + 3, "(%s)", text);
        text = whole;
    }
    while (!err && *(text += strspn(text, " \t\n"))) {
        char *close = strchr(text, ')');

        if (*text != '(' || !close) {
            err = spi_fail(SPI_EFORMAT, "%s: broken operator expression at '%.40s'",
                           spi_line_reader_path(c->l), text);
            break;
        }
        *close = 0;
        err = factor(c, text + 1, &left, &right);
        text = close + 1;
        free(left.op);
        left = right;
        memset(&right, 0, sizeof right);
    }
    if (!err && left.n_ops == 0)
        err = spi_fail(SPI_EFORMAT, "%s: empty operator expression",
                       spi_line_reader_path(c->l));
out:
    free(whole);
    free(right.op);
    if (err) {
        free(left.op);
        return err;
    }
    g->op = left.op;
    g->n_ops = left.n_ops;
    g->op_cap = left.op_cap;
    return SPI_OK;
}

/* Operators by name, each once. */
static spi_err sort_operators(struct cif *c)
{
    if (c->n_ops)
        qsort(c->op, (size_t)c->n_ops, sizeof *c->op, by_id);
    for (int64_t i = 1; i < c->n_ops; i++)
        if (by_id(&c->op[i - 1], &c->op[i]) == 0)
            return spi_fail(SPI_EFORMAT,
                            "%s: operator '%s' stands twice in _pdbx_struct_oper_list",
                            spi_line_reader_path(c->l), c->op[i].id);
    return SPI_OK;
}

spi_err spi_cif_read(struct spi_line_reader *l, int assembly, struct spi_raw_structure *raw)
{
    struct cif c = {.l = l, .raw = raw, .assembly = assembly, .pending = OTHER};
    spi_err err = whole_file(&c);

    if (!err && assembly)
        err = sort_operators(&c);
    for (int64_t i = 0; !err && assembly && i < c.n_expressions; i++)
        if (raw->generator[i].assembly == assembly) {
            err = resolve(&c, c.expression[i], &raw->generator[i]);
            c.n_resolved += raw->generator[i].n_ops;
        }
    for (int i = 0; i < ITEMS_MAX; i++)
        free(c.cell[i].text);
    free(c.field.text);
    free(c.op);
    for (int64_t i = 0; i < c.n_expressions; i++)
        free(c.expression[i]);
    free(c.expression);
    return err;
}
