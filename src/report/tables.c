/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

/* A number of a table; nothing where there is none. */
static void cell(FILE *f, double value)
{
    if (isfinite(value))
        fprintf(f, ",%.6f", value);
    else
        fputc(',', f);
}

spi_err spi_report_fsc_table(const struct spi_report *r, const char *path)
{
    const struct spi_result *res = r->result;
    const struct spi_agreement *a = &res->agreement;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("fsc.csv", 0);
    fprintf(f, "q_invA,resolution_A,fsc,voxels,prtf_half1,prtf_half2,intensity_cc,contrast,"
               "reproduced_half1,reproduced_half2\n");
    for (int i = 0; i < res->fsc.n_shells; i++) {
        double q = res->fsc.q[i];

        fprintf(f, "%.6g,%.6g,%.6f,%.0f", q, 1 / q, res->fsc.fsc[i], res->fsc.count[i]);
        for (int h = 0; h < 2; h++)
            cell(f, i < res->phase[h].n_shells ? res->phase[h].prtf[i] : (double)NAN);
        cell(f, spi_agreement_at(a, a->shells.cc, q));
        cell(f, spi_agreement_at(a, a->shells.contrast, q));
        for (int h = 0; h < 2; h++)
            cell(f, spi_agreement_at(a, res->own[h], q));
        fputc('\n', f);
    }
    fclose(f);
    err = spi_file_write_text(path, text, len);
    free(text);
    return err;
}

spi_err spi_report_images_table(const struct spi_report *r, const char *path)
{
    const struct spi_inspection *in = &r->result->inspection;
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    spi_err err;

    if (!f)
        return spi_no_memory("images.csv", 0);
    fprintf(f, "q_invA,images_contrast2,model_contrast2,cross_contrast2,unexplained\n");
    for (int s = 0; s < in->n_shells; s++) {
        const struct spi_misfit *m = in->shell + s;

        fprintf(f, "%.6g", in->q[s]);
        cell(f, m->image2 / m->even2);
        cell(f, m->model2 / m->even2);
        cell(f, m->cross / m->even2);
        cell(f, spi_misfit_share(m));
        fputc('\n', f);
    }
    fclose(f);
    err = spi_file_write_text(path, text, len);
    free(text);
    return err;
}

spi_err spi_table_lcurve(const struct spi_merging_lcurve *c, const char *path)
{
    char *text = NULL;
    spi_err err = spi_lcurve_csv(c->n, c->points, &c->choice, &text);

    if (!err)
        err = spi_file_write_text(path, text, strlen(text));
    free(text);
    return err;
}

spi_err spi_report_lcurve_table(const struct spi_report *r, const char *path)
{
    return spi_table_lcurve(&r->result->lcurve, path);
}
