/* SPDX-License-Identifier: GPL-3.0-or-later */
/* States that are damaged behind a right checksum: what cannot be is refused with a
 * message, whatever is accepted can be run. */
#include <math.h>
#include <string.h>
#include <zlib.h>

#include "run_bench.h"

enum { STATE_MAX = 4 << 20 };

static char state[4096];
static unsigned char good[STATE_MAX], bad[STATE_MAX];
static long n_bytes;
static struct spi_run run; /* large */

struct item {
    char name[32];
    size_t at, bytes;
};
enum { ITEMS_MAX = 256 };
static struct item items[ITEMS_MAX];
static int n_items;

/* ---- the file ----------------------------------------------------------------------- */

static uint64_t number_at(size_t at)
{
    uint64_t n;

    memcpy(&n, good + at, sizeof n);
    return n;
}

/* The state's layout as state.h says it. */
static void find_items(void)
{
    size_t at = 16;

    for (int i = 0; i < 2; i++) /* version, key */
        at += 8 + number_at(at);
    for (n_items = 0; n_items < ITEMS_MAX && at < (size_t)n_bytes - 8; n_items++) {
        struct item *it = &items[n_items];
        uint64_t n = number_at(at);

        memcpy(it->name, good + at + 8, n);
        it->name[n] = 0;
        it->bytes = number_at(at + 8 + n);
        it->at = at + 16 + n;
        at = it->at + it->bytes;
    }
}

static const struct item *item_of(const char *name)
{
    for (int i = 0; i < n_items; i++)
        if (strcmp(items[i].name, name) == 0)
            return &items[i];
    return NULL;
}

static void write_bad(void)
{
    uint64_t crc = crc32(crc32(0, NULL, 0), bad, (uInt)n_bytes - 8);
    FILE *f = fopen(state, "wb");

    memcpy(bad + n_bytes - 8, &crc, sizeof crc);
    if (fwrite(bad, 1, (size_t)n_bytes, f) != (size_t)n_bytes)
        OK(0, "cannot write %s", state);
    fclose(f);
}

/* The state with `bytes` of `value` at this place, loaded. */
static spi_err load_with(size_t at, size_t bytes, const void *value)
{
    memcpy(bad, good, (size_t)n_bytes);
    memcpy(bad + at, value, bytes);
    write_bad();
    return spi_run_load(&run, state, "key");
}

static int says_damaged(void)
{
    const char *m = spi_err_message();

    return strstr(m, state) && strstr(m, "damaged") && strstr(m, "--force");
}

/* ---- a state to begin with ---------------------------------------------------------- */

struct saver {
    int stop;
};

static spi_err on_generation(struct spi_run *r, const struct spi_generation_report *report,
                             void *user)
{
    const struct saver *s = user;
    spi_err err;

    if (report->generation < s->stop)
        return SPI_OK;
    err = spi_run_save(r, state, "key");
    return err ? err : spi_fail(SPI_ECANCEL, "enough");
}

static int make_state(struct bench *b, const struct spi_settings *set, int generations)
{
    struct saver s = {generations};
    FILE *f;

    spi_run_clear(&run);
    if (spi_run_init(&run, set, &b->data, b->graph, NULL, scene_q_max, 9) ||
        spi_mtip_run(&run, on_generation, &s) != SPI_ECANCEL)
        return -1;
    f = fopen(state, "rb");
    n_bytes = (long)fread(good, 1, sizeof good, f);
    fclose(f);
    find_items();
    return n_bytes < STATE_MAX && n_items < ITEMS_MAX ? 0 : -1;
}

/* ---- what cannot be ----------------------------------------------------------------- */

static void refuse_diameters(void)
{
    static const int32_t none = 0, many = 4;
    static const double tiny = 1, other = scene_D * 1.01;
    const struct {
        const char *item;
        size_t bytes;
        const void *value;
        const char *what;
    } row[] = {{"run.n_diameters", 4, &none, "no diameter"},
               {"run.n_diameters", 4, &many, "four diameters"},
               {"run.diameter_A", 8, &tiny, "a diameter of 1 A"},
               {"run.diameter_A", 8, &other, "a diameter that is not that of the rings"}};
    double D[SPI_DIAMETERS_MAX];
    int32_t n = 0;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct item *it = item_of(row[i].item);
        spi_err err = it ? load_with(it->at, row[i].bytes, row[i].value) : SPI_OK;

        OK(err == SPI_EFORMAT && says_damaged(), "%s: %s", row[i].what,
           err ? spi_err_message() : "accepted");
        err = spi_run_saved_diameters(state, "key", scene_D, &n, D);
        OK(i == 3 ? !err && n == 1 && D[0] == other : err == SPI_EFORMAT && says_damaged(),
           "before the data are made: %s", err ? spi_err_message() : "to be made for it");
    }
}

static void check_refused(void)
{
    static const int32_t huge = 1000000000, minus1 = -1, minus2 = -2, seven = 7,
                         replicas = 64;
    static const int64_t grid = (int64_t)1 << 50;
    static const float nan_f = NAN, minus = -1;
    static const double nan_d = NAN, tiny = 1e-9, big = 1e9;
    static const char group[16] = "Q7";
    static const int32_t side = 2048;
    const struct {
        const char *item;
        size_t at, bytes;
        const void *value;
        const char *what;
    } row[] = {
        {"half.0.candidate", 0, 4, &huge, "a candidate beyond its grid"},
        {"half.1.candidate", 4, 4, &minus2, "a candidate of -2"},
        {"half.0.candidate", 0, 4, &minus1, "an image without candidates"},
        {"half.0.best", 0, 4, &huge, "a best direction beyond its grid"},
        {"half.1.best", 0, 4, &minus2, "a best direction of -2"},
        {"half.0.best", 4, 4, &nan_f, "an angle that is no number"},
        {"half.0.fluence", 8, 4, &nan_f, "a fluence that is no number"},
        {"half.1.fluence", 0, 4, &minus, "a fluence below 0"},
        {"half.0.candidate_nd", 0, 8, &grid, "candidates on a grid of 2^50"},
        {"half.1.best_nd", 0, 8, &grid, "orientations on a grid of 2^50"},
        {"half.0.candidate_cell", 0, 8, &tiny, "a cell of 1e-9"},
        {"half.0.candidate_cell", 0, 8, &nan_d, "a cell that is no number"},
        {"run.generation", 0, 4, &minus1, "generation -1"},
        {"run.stage", 0, 4, &seven, "stage 7"},
        {"run.step", 0, 4, &huge, "step 10^9"},
        {"run.n_replicas", 0, 4, &replicas, "64 replicas"},
        {"run.round", 0, 4, &seven, "round 7"},
        {"run.leading", 0, 4, &huge, "leading start 10^9"},
        {"run.leading", 4, 4, &minus2, "leading start -2"},
        {"run.have_pose", 0, 4, &seven, "a pose of 7"},
        {"run.converged", 0, 4, &seven, "converged 7 times"},
        {"run.begun_at", 0, 4, &huge, "a beginning after 10^9 generations"},
        {"run.begun_at", 0, 4, &minus1, "a beginning before the first generation"},
        {"run.best_cc", 0, 8, &big, "a correlation of 10^9"},
        {"run.pose", 0, 8, &big, "a pose that is no rotation"},
        {"replica.0.0.A.n", 0, 4, &side, "a model of 2048 voxels"},
        {"replica.0.0.beta", 0, 4, &nan_f, "a beta that is no number"},
        {"replica.0.0.A.step", 0, 8, &tiny, "voxels of 1e-9 A"},
        {"replica.0.0.axes", 0, 8, &big, "axes that are no rotation"},
        {"replica.1.0.symmetry", 0, 16, group, "a point group that is none"},
        {"replica.0.0.A", 400, 4, &nan_f, "a voxel that is no number"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct item *it = item_of(row[i].item);
        spi_err err =
            it ? load_with(it->at + row[i].at, row[i].bytes, row[i].value) : SPI_OK;

        OK(err == SPI_EFORMAT && says_damaged(), "%s: %s", row[i].what,
           err ? spi_err_message() : "accepted");
    }
    refuse_diameters();
    write_bad();
    memcpy(bad, good, (size_t)n_bytes);
    write_bad();
    OK(spi_run_load(&run, state, "key") == SPI_OK, "and the state itself is accepted");
}

/* ---- every field -------------------------------------------------------------------- */

static spi_err one_more(struct spi_run *r, const struct spi_generation_report *report,
                        void *user)
{
    (void)r;
    (void)report;
    (void)user;
    return spi_fail(SPI_ECANCEL, "enough");
}

/* Loaded with a changed word: refused, or fit to run (some of them do). */
static void check_words(const struct item *it, size_t step, bool runs)
{
    static const uint32_t words[] = {0, 1, 0xffffffff, 0x7fffffff, 0x7fc00000};
    enum { RUNS = 1 };
    int refused = 0, told = 0, accepted = 0, ran = 0;

    for (size_t at = 0; at + 4 <= it->bytes; at += step)
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            spi_err err;

            if (memcmp(good + it->at + at, &words[w], 4) == 0)
                continue;
            err = load_with(it->at + at, 4, &words[w]);
            refused += err != SPI_OK;
            told += err == SPI_EFORMAT && says_damaged();
            accepted += !err;
            if (err || !runs || run.stage == SPI_STAGE_DONE || ran == RUNS)
                continue;
            err = spi_mtip_run(&run, one_more, NULL);
            if (err != SPI_ECANCEL && err != SPI_ENOCONV)
                NOTE("%s, byte %zu, %08x: %s", it->name, at, words[w], spi_err_message());
            ran += err == SPI_ECANCEL || err == SPI_ENOCONV;
        }
    OK(refused == told, "%s: %d of %d refusals say that the state is damaged", it->name,
       told, refused);
    OK(!runs || run.stage == SPI_STAGE_DONE || ran > 0 || accepted == 0,
       "%s: %d accepted, %d of them ran on", it->name, accepted, ran);
}

/* Of half set 1, or of the run; of the first replica. */
static bool is_of_first(const char *name)
{
    return strncmp(name, "run.", 4) == 0 || strncmp(name, "half.0.", 7) == 0 ||
           strncmp(name, "replica.0.0.", 12) == 0;
}

/* Small items word by word, of the arrays a dozen places; the loop runs on with what may
 * change its course. */
static void check_all(void)
{
    enum { SMALL = 256 };

    for (int i = 0; i < n_items; i++) {
        const char *name = items[i].name;
        size_t bytes = items[i].bytes;

        if (!is_of_first(name))
            continue;
        if (bytes <= SMALL)
            check_words(&items[i], 4, true);
        else
            check_words(&items[i], bytes / 12 / 4 * 4 + 4, strstr(name, "candidate"));
    }
}

int main(void)
{
    struct spi_settings set;
    struct bench b;

    if (bench_folder("checkpoint"))
        return tap_done();
    snprintf(state, sizeof state, "%s/state.bin", dir);
    small_settings(&set);
    if (bench_init("serial", 1, &b)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    OK(make_state(&b, &set, 5) == 0, "a state in frequency marching: %d items", n_items);
    check_refused();
    check_all();
    OK(make_state(&b, &set, 1) == 0, "a state in the random initialisations");
    check_all();
    spi_run_clear(&run);
    bench_clear(&b);
    remove(state);
    remove(path);
    rmdir(dir);
    return tap_done();
}
