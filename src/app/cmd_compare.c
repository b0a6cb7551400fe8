/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spinifel compare: a map, and orientations, against the truth. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "app/print.h"
#include "app/progress.h"
#include "app/provenance.h"
#include "app/structure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "fsc/align.h"
#include "fsc/border.h"
#include "fsc/orient_error.h"
#include "fsc/orient_order.h"
#include "fsc/symmetry_fit.h"
#include "io/atoms.h"
#include "io/file.h"
#include "io/mrc.h"
#include "io/orient.h"
#include "math/rot.h"
#include "math/symmetry.h"
#include "plot/plot.h"
#include "sim/density.h"

struct args {
    const char *truth, *orientations, *true_orientations, *symmetry;
    const char *fsc, *aligned, *plot, *models;
    double diameter_A, resolution_A, voxel_A;
    int assembly;
    bool waters, json;
};

static const struct spi_opt opts[] = {
    {'t', "truth", SPI_PATH(args, truth), 0, 0, "FILE",
     "structure (PDB or mmCIF, plain or gzip) or reference map (MRC)", .required = true},
    {0, "json", SPI_FLAG(args, json), 0, 0, "", "print the result as JSON"},
    SPI_HEADING("The truth"),
    {0, "assembly", SPI_INT(args, assembly), 0, 9999, "",
     "biological assembly of the structure; 0: the atoms as in the file"},
    SPI_MODELS_OPT(args, models),
    {0, "waters", SPI_FLAG(args, waters), 0, 0, "", "keep the waters of the structure"},
    {'d', "diameter", SPI_REAL(args, diameter_A), 1, 1e5, "A",
     "largest diameter of the particle", .absent = "of the truth"},
    {0, "resolution", SPI_REAL(args, resolution_A), 0.1, 1e4, "A",
     "finest detail that is compared", .absent = "2 voxels"},
    SPI_VOXEL_OPT(args, voxel_A),
    SPI_HEADING("Orientations"),
    {0, "orientations", SPI_PATH(args, orientations), 0, 0, "FILE.h5",
     "orientations that were found; --true is needed too"},
    {0, "true", SPI_PATH(args, true_orientations), 0, 0, "FILE.h5",
     "the true ones: the simulated images, or a file of orientations"},
    {0, "symmetry", SPI_TEXT(args, symmetry), 0, 0, "GROUP",
     "point group of the particle, C2 D7 T O I ...; orientations that the group relates "
     "count as equal",
     .absent = "none"},
    SPI_HEADING("Also write"),
    {0, "fsc", SPI_OUT(args, fsc), 0, 0, "FILE.csv", "the FSC curve as a table"},
    {0, "plot", SPI_OUT(args, plot), 0, 0, "FILE.png", "the FSC curve as a picture"},
    {0, "aligned", SPI_OUT(args, aligned), 0, 0, "FILE.mrc",
     "the map superposed on the truth"},
    {0},
};

/* Everything that is found out. */
struct comparison {
    const char *map_path, *truth_path;
    bool structure; /* the truth is one, not a map */
    struct spi_volume map, truth, moved;
    struct spi_border map_border, truth_border;
    double diameter_A, q_max;
    struct spi_pose pose;
    double cc; /* of both maps within q_max, their means left out */
    struct spi_fsc fsc;
    double fsc05_A, fsc0143_A;
    bool fsc05_end, fsc0143_end;
    int64_t n_images, n_atoms;
    struct spi_orient_error orient;
    double symmetry_cc;
};

static void comparison_clear(struct comparison *c)
{
    spi_volume_clear(&c->map);
    spi_volume_clear(&c->truth);
    spi_volume_clear(&c->moved);
    spi_fsc_clear(&c->fsc);
    spi_orient_error_clear(&c->orient);
}

/* ------------------------------------------------------------------ the truth */

static spi_err truth_from_structure(const struct spi_call *call, struct comparison *c)
{
    const struct args *a = call->args;
    struct spi_structure_options o = {
        .assembly = a->assembly, .waters = a->waters, .hydrogens = true};
    struct spi_structure s = {0};
    spi_err err;

    SPI_TRY(err = spi_models_from_text(call, a->models, &o.models), out);
    err = spi_structure_read(a->truth, &o, &s);
    SPI_TRY(err = err == SPI_EINVAL ? SPI_EUSAGE : err, out); /* no such assembly */
    spi_structure_centre(&s);
    c->n_atoms = s.n;
    SPI_TRY(err = spi_structure_diameter_A(&s, &c->diameter_A), out);
    err = spi_density_from_structure(&s, c->map.n, c->map.step, c->q_max, &c->truth);
    if (err == SPI_EINVAL) {
        char why[256];

        snprintf(why, sizeof why, "%s", spi_err_message());
        err = spi_fail(err, "%s: on the grid of %s: %s", a->truth, c->map_path, why);
    }
out:
    spi_structure_clear(&s);
    return err;
}

/* Twice the largest distance of what is above a tenth of the maximum from its own centre;
 * the border's level is off. */
static double map_diameter_A(const struct spi_volume *v)
{
    double max = 0, sum = 0, centre[3] = {0}, r2 = 0;
    const int n = v->n;

    for (size_t i = 0; i < spi_volume_count(v); i++)
        max = fmax(max, fabs((double)v->data[i]));
    for (int pass = 0; pass < 2; pass++)
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    double rho = fabs((double)v->data[spi_volume_index(v, z, y, x)]);
                    const double at[3] = {x, y, z};
                    double d2 = 0;

                    if (rho < 0.1 * max)
                        continue;
                    for (int k = 0; k < 3; k++) {
                        if (pass == 0)
                            centre[k] += rho * at[k];
                        else
                            d2 += pow(at[k] - centre[k] / sum, 2);
                    }
                    sum += pass == 0 ? rho : 0;
                    r2 = fmax(r2, d2);
                }
    return 2 * (sqrt(r2) + 1) * v->step;
}

static spi_err read_map(const char *path, double voxel_A, struct spi_volume *map,
                        struct spi_border *border)
{
    struct spi_mrc_info info;
    spi_err err = spi_mrc_read_voxel(path, voxel_A, map, &info);

    return err ? err : spi_border_take_off(path, info.n, map, border);
}

static spi_err read_maps(const struct spi_call *call, struct comparison *c)
{
    const struct args *a = call->args;
    spi_err err;

    SPI_TRY(err = read_map(c->map_path, a->voxel_A, &c->map, &c->map_border), out);
    c->q_max = 0.5 / c->map.step;
    if (a->resolution_A > 0)
        c->q_max = fmin(c->q_max, 1 / a->resolution_A);
    if (c->structure)
        SPI_TRY(err = truth_from_structure(call, c), out);
    else {
        SPI_TRY(err = read_map(a->truth, a->voxel_A, &c->truth, &c->truth_border), out);
        c->q_max = fmin(c->q_max, 0.5 / c->truth.step);
        c->diameter_A = map_diameter_A(&c->truth);
    }
    if (a->diameter_A > 0)
        c->diameter_A = a->diameter_A;
out:
    return err;
}

/* ------------------------------------------------------------------ comparing */

/* Each map is cut by the other's ellipsoid too: beyond it there is nothing to compare. */
static spi_err compare_maps(struct comparison *c)
{
    spi_err err;

    spi_progress_begin("aligning", 0, "maps");
    SPI_TRY(err = spi_border_align(&c->truth, &c->truth_border, &c->map, &c->map_border,
                                   c->diameter_A, c->q_max, &c->pose, &c->cc),
            out);
    SPI_TRY(err = spi_pose_apply(&c->map, &c->pose, c->truth.n, c->truth.step, &c->moved),
            out);
    spi_border_cut(&c->truth_border, NULL, &c->moved);
    spi_border_cut(&c->map_border, &c->pose, &c->truth);
    SPI_TRY(err = spi_fsc_compute(&c->truth, &c->moved, &c->fsc), out);
    c->fsc05_A = spi_fsc_resolution_A(&c->fsc, 0.5, c->q_max, &c->fsc05_end);
    c->fsc0143_A = spi_fsc_resolution_A(&c->fsc, 0.143, c->q_max, &c->fsc0143_end);
out:
    spi_progress_end();
    return err;
}

/* The point group in the frame of the truth. */
static spi_err symmetry_of_truth(const char *name, struct comparison *c, double (**ops)[9],
                                 int *n)
{
    double U[9];
    spi_err err = spi_symmetry_parse(name, ops, n);

    if (err == SPI_OK && *n > 1)
        err = spi_symmetry_fit_map(name, &c->truth, c->diameter_A, c->q_max, U,
                                   &c->symmetry_cc);
    if (err == SPI_OK && *n > 1)
        spi_symmetry_rotate(*n, *ops, U);
    return err;
}

/* Only images with both orientations, in place. */
static void keep_oriented(struct spi_orientations *found, struct spi_orientations *truth)
{
    int64_t n = 0;

    for (int64_t k = 0; k < found->n; k++) {
        if (!spi_orientations_has(found, k) || !spi_orientations_has(truth, k))
            continue;
        memmove(found->quat + 4 * n, found->quat + 4 * k, 4 * sizeof *found->quat);
        memmove(truth->quat + 4 * n, truth->quat + 4 * k, 4 * sizeof *truth->quat);
        n++;
    }
    found->n = truth->n = n;
}

/* Orientations that do not agree: would they, in another convention? */
static spi_err tell_order(const struct args *a, int64_t n, const double *found,
                          const double *truth, const double *group, int n_group,
                          const struct spi_orient_error *now)
{
    struct spi_orient_order other;
    spi_err err =
        spi_orient_order_find(n, found, truth, group, n_group, now->inliers, &other);

    if (!err && other.words)
        spi_warn("%s: the quaternions seem to be %s: then the median error is %.2f degrees "
                 "instead of %.2f; need (w, x, y, z) of molecule -> laboratory",
                 other.of_truth ? a->true_orientations : a->orientations, other.words,
                 other.median_deg, now->median_deg);
    return err;
}

static spi_err compare_orientations(const struct args *a, struct comparison *c)
{
    struct spi_orientations found = {0}, truth = {0};
    double(*ops)[9] = NULL;
    int n_ops = 0;
    spi_err err;

    SPI_TRY(err = spi_orientations_read(a->orientations, &found), out);
    SPI_TRY(err = spi_orientations_read(a->true_orientations, &truth), out);
    if (found.n != truth.n) {
        err = spi_fail(
            SPI_EINVAL,
            "%s: %lld orientations, but %s has %lld; need those of the same images",
            a->orientations, (long long)found.n, a->true_orientations, (long long)truth.n);
        goto out;
    }
    if (a->symmetry)
        SPI_TRY(err = symmetry_of_truth(a->symmetry, c, &ops, &n_ops), out);
    keep_oriented(&found, &truth);
    if (found.n < 1) {
        err = spi_fail(SPI_EINVAL, "%s: no image has an orientation", a->orientations);
        goto out;
    }
    c->n_images = found.n;
    err = spi_orient_error_compute(found.n, found.quat, truth.quat, ops ? ops[0] : NULL,
                                   n_ops, &c->orient);
    if (!err)
        err = tell_order(a, found.n, found.quat, truth.quat, ops ? ops[0] : NULL, n_ops,
                         &c->orient);
out:
    free(ops);
    spi_orientations_clear(&found);
    spi_orientations_clear(&truth);
    return err;
}

/* ------------------------------------------------------------------ files */

static spi_err write_fsc(const char *path, const struct spi_fsc *f)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    spi_err err;

    if (!to)
        return spi_no_memory(path, 0);
    fputs("q_invA,resolution_A,fsc,voxels\n", to);
    for (int i = 0; i < f->n_shells; i++)
        fprintf(to, "%.9g,%.6g,%.6f,%.0f\n", f->q[i], 1 / f->q[i], f->fsc[i], f->count[i]);
    if (fclose(to) != 0)
        err = spi_no_memory(path, 0);
    else
        err = spi_file_write_text(path, text, size);
    free(text);
    return err;
}

static spi_err write_plot(const char *path, const struct comparison *c)
{
    static const double lines[] = {0.5, 0.143};
    const struct spi_curve curve = {
        .name = "FSC", .n = c->fsc.n_shells, .x = c->fsc.q, .y = c->fsc.fsc};
    char note[128];
    const struct spi_plot plot = {.title = "Map against truth",
                                  .x_label = "q (1/A)",
                                  .y_label = "Fourier shell correlation",
                                  .note = note,
                                  .curves = &curve,
                                  .n_curves = 1,
                                  .h_lines = lines,
                                  .n_h_lines = 2,
                                  .x_is_q = true,
                                  .y_min = -0.1,
                                  .y_max = 1.02};

    snprintf(note, sizeof note, "%.2f A at 0.5, %.2f A at 0.143", c->fsc05_A, c->fsc0143_A);
    return spi_plot_curves(path, &plot);
}

/* The map as it is in its file, moved; where it has nothing, its border's level. */
static spi_err write_aligned(const struct args *a, const struct comparison *c)
{
    struct spi_volume map = {0}, moved = {0};
    struct spi_mrc_info info;
    const float level = (float)c->map_border.level;
    char label[81];
    spi_err err;

    snprintf(label, sizeof label, "spinifel %s compare: map superposed on the truth",
             SPI_VERSION);
    SPI_TRY(err = spi_mrc_read_voxel(c->map_path, a->voxel_A, &map, &info), out);
    for (size_t i = 0; i < spi_volume_count(&map); i++)
        map.data[i] -= level;
    SPI_TRY(err = spi_pose_apply(&map, &c->pose, c->truth.n, c->truth.step, &moved), out);
    for (size_t i = 0; i < spi_volume_count(&moved); i++)
        moved.data[i] += level;
    err = spi_mrc_write(a->aligned, &moved, (const char *const[]){label, NULL});
out:
    spi_volume_clear(&map);
    spi_volume_clear(&moved);
    return err;
}

static spi_err write_files(const struct args *a, const struct comparison *c)
{
    spi_err err = SPI_OK;

    if (a->fsc)
        err = write_fsc(a->fsc, &c->fsc);
    if (err == SPI_OK && a->plot)
        err = write_plot(a->plot, c);
    if (err == SPI_OK && a->aligned)
        err = write_aligned(a, c);
    return err;
}

/* ------------------------------------------------------------------ words */

static double degrees(double radians)
{
    return radians * 180 / SPI_PI;
}

static double rotation_deg(const double R[9])
{
    static const double one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

    return degrees(spi_rot_angle_between(one, R));
}

static void print_resolution(const char *name, double d, bool at_end)
{
    if (isfinite(d))
        printf("%-14s%s%.2f A\n", name, at_end ? "better than " : "", d);
    else
        printf("%-14snone: the curve begins below\n", name);
}

static void print_border(const char *name, const struct spi_border *b)
{
    if (b->cut)
        printf(
            "compared      in the %s's box within an ellipsoid of %.0f x %.0f x %.0f A:\n"
            "              it has structure up to its faces\n",
            name, 2 * b->half_A[0], 2 * b->half_A[1], 2 * b->half_A[2]);
}

static void print_table(const struct args *a, const struct comparison *c)
{
    const double *s = c->pose.shift_A;

    printf("map           %s: %d^3 voxels of %.4g A\n", c->map_path, c->map.n, c->map.step);
    if (c->n_atoms)
        printf("truth         %s: %lld atoms, %.0f A across\n", c->truth_path,
               (long long)c->n_atoms, c->diameter_A);
    else
        printf("truth         %s: %d^3 voxels of %.4g A\n", c->truth_path, c->truth.n,
               c->truth.step);
    print_border("map", &c->map_border);
    print_border("truth", &c->truth_border);
    printf("pose          rotated by %.1f degrees, shifted by %.2f A%s\n",
           rotation_deg(c->pose.R), sqrt(s[0] * s[0] + s[1] * s[1] + s[2] * s[2]),
           c->pose.inverted ? ", other hand" : "");
    print_resolution("FSC 0.5", c->fsc05_A, c->fsc05_end);
    print_resolution("FSC 0.143", c->fsc0143_A, c->fsc0143_end);
    printf("correlation   %.4f\n", c->cc);
    if (c->n_images) {
        printf(
            "orientations  median error %.2f degrees, 90 %% below %.2f (%lld images%s%s)\n",
            c->orient.median_deg, c->orient.p90_deg, (long long)c->n_images,
            a->symmetry ? ", modulo " : "", a->symmetry ? a->symmetry : "");
        printf("              %.1f %% are within 12 degrees; with pictures and their "
               "half-turns equal the median is %.2f\n",
               100 * c->orient.inliers, c->orient.median_flip_deg);
    }
}

static void print_sentence(const struct comparison *c)
{
    if (!isfinite(c->fsc05_A))
        printf("\nThe map does not agree with the truth at any resolution.\n");
    else
        printf("\nThe map agrees with the truth to %.1f A (FSC 0.5)%s.\n", c->fsc05_A,
               c->fsc05_end ? ", the finest detail that was compared" : "");
}

static json_t *numbers(const double *x, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, spi_json_number(x[i]));
    return list;
}

static spi_err print_json(const struct args *a, const struct comparison *c)
{
    bool o = c->n_images > 0;
    json_t *root = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:b}", "fsc05_A", spi_json_number(c->fsc05_A),
        "fsc0143_A", spi_json_number(c->fsc0143_A), "cc", spi_json_number(c->cc),
        "orientation_error_deg_median",
        spi_json_number(o ? c->orient.median_deg : (double)NAN),
        "orientation_error_deg_p90", spi_json_number(o ? c->orient.p90_deg : (double)NAN),
        "inverted", (int)c->pose.inverted);
    json_t *more = json_pack(
        "{s:o, s:o, s:f, s:b, s:f, s:b, s:o, s:o, s:o, s:o, s:b, s:b}", "map",
        spi_json_name(c->map_path), "truth", spi_json_name(c->truth_path), "map_level",
        c->map_border.level, "map_cut", c->map_border.cut, "truth_level",
        c->truth_border.level, "truth_cut", c->truth_border.cut, "diameter_A",
        spi_json_number(c->diameter_A), "q_max_invA", spi_json_number(c->q_max), "rotation",
        numbers(c->pose.R, 9), "shift_A", numbers(c->pose.shift_A, 3), "fsc05_is_limit",
        c->fsc05_end, "fsc0143_is_limit", c->fsc0143_end);

    json_object_update(root, more);
    json_decref(more);
    if (o) {
        more = json_pack("{s:I, s:o, s:o}", "n_images", (json_int_t)c->n_images,
                         "orientation_error_deg_median_half_turn",
                         spi_json_number(c->orient.median_flip_deg), "orientation_inliers",
                         spi_json_number(c->orient.inliers));
        json_object_update(root, more);
        json_decref(more);
    }
    if (a->symmetry)
        json_object_set_new(root, "symmetry_cc", spi_json_number(c->symmetry_cc));
    return spi_print_json_take(root);
}

/* ------------------------------------------------------------------ the command */

static spi_err check_args(const struct spi_call *call)
{
    const struct args *a = call->args;

    if (a->orientations && !a->true_orientations)
        return spi_call_fail(call, "orientations",
                             "needs --true, the file that has the truth");
    if (a->true_orientations && !a->orientations)
        return spi_call_fail(call, "true",
                             "needs --orientations, those to compare with it");
    if (a->symmetry && !a->orientations)
        return spi_call_fail(call, "symmetry",
                             "is about --orientations, which are not given");
    if (!spi_structure_is(a->truth) && (a->assembly || a->waters || a->models))
        return spi_call_fail(call,
                             a->assembly ? "assembly"
                             : a->waters ? "waters"
                                         : "models",
                             "the truth, %s, is not a structure (.pdb, .ent, .cif, .mmcif)",
                             a->truth);
    if (a->symmetry) {
        double(*ops)[9] = NULL;
        int n;

        if (spi_symmetry_parse(a->symmetry, &ops, &n) != SPI_OK)
            return SPI_EUSAGE; /* the message names the group */
        free(ops);
    }
    return SPI_OK;
}

static spi_err run(const struct spi_call *call)
{
    const struct args *a = call->args;
    struct comparison c = {.map_path = call->operand[0], .truth_path = a->truth};
    spi_err err;

    SPI_TRY(err = check_args(call), out);
    c.structure = spi_structure_is(a->truth);
    SPI_TRY(err = read_maps(call, &c), out);
    if (a->orientations)
        SPI_TRY(err = compare_orientations(a, &c), out);
    SPI_TRY(err = compare_maps(&c), out);
    SPI_TRY(err = write_files(a, &c), out);
    if (a->json)
        err = print_json(a, &c);
    else {
        print_table(a, &c);
        print_sentence(&c);
    }
out:
    comparison_clear(&c);
    return err;
}

const struct spi_cmd spi_cmd_compare = {
    .name = "compare",
    .operands = "MAP.mrc",
    .min_operands = 1,
    .max_operands = 1,
    .brief = "a map, and orientations, against the truth",
    .about =
        "Finds the rotation, translation and hand that superpose the map best on the "
        "truth, and prints how well the two then agree: the Fourier shell correlation, "
        "the resolution where it falls below 0.5 and 0.143, and the correlation of the "
        "maps. A structure is rotated first and then becomes a density on the grid of "
        "the map, with nothing beyond the map's resolution.\n\n"
        "A constant, a scale and the number type of a map do not matter: the level at "
        "the border is subtracted. A map that has structure up to the faces of its box "
        "is compared within the ellipsoid that touches the faces. A constant map is an "
        "error.\n\n"
        "With --orientations and --true the command also prints the error of the images' "
        "orientations, after removing what cannot be known: one global rotation, and the "
        "particle's symmetry if --symmetry names it.\n\n"
        "Prints a table and one sentence, or JSON; writes files only where asked. "
        "Between maps of different voxels the comparison ends at the limit of the "
        "coarser map.",
    .examples = {{"spinifel compare run1/density.mrc --truth 1I3Q.pdb --plot fsc.png",
                  "a map against the structure it should show"},
                 {"spinifel compare run1/density.mrc --truth 1I3Q.pdb --orientations "
                  "run1/orientations.h5 --true images.h5 --json",
                  "orientations too, for a program"},
                 {"spinifel compare a.mrc --truth b.mrc --aligned a-on-b.mrc",
                  "one map superposed on another"}},
    .opts = opts,
    .size = sizeof(struct args),
    .run = run,
};
