/* SPDX-License-Identifier: MIT */
/* sandbox-open-cost HELPER HELPER-WITHOUT-FILTER
 *
 * What the filter costs an open: both helpers are asked in turn, a few times
 * each, in one run, so that the machine's mood is the same for both; all on one
 * processor, so that nobody has to be woken up elsewhere; and by several pairs of
 * helpers, as where their memory lies makes a difference. A benchmark: prints
 * medians and asserts nothing about them. */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <fdset/vmm.h>

#define HELPERS 20 /* pairs of them */
#define ROUNDS  2000
#define OPENS   20 /* of each helper in a round */

enum { WITH, WITHOUT };

/* Microseconds: of each open, and of each open and close together. */
static double opens[2][ROUNDS * OPENS], pairs[2][ROUNDS * OPENS];
/* Of each round, by how much the one took longer than the other. */
static double open_excess[ROUNDS], pair_excess[ROUNDS];

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Sorts. */
static double median(double *samples, size_t count) {
    qsort(samples, count, sizeof(*samples), compare);
    return samples[count / 2];
}

static struct fdset_vmm *spawn(const char *helper, int disk) {
    struct fdset_initial initial = {.fd = disk, .set = 1};
    struct fdset_spawn_options options = {
        .helper = helper, .initial = &initial, .initial_count = 1};
    struct fdset_vmm *vmm;

    if (fdset_vmm_spawn(&vmm, &options) < 0)
        errx(1, "%s: %s", helper, fdset_error_text());
    return vmm;
}

static int open_disk(struct fdset_vmm *vmm) {
    int fd = fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        errx(1, "open: %s", fdset_error_text());
    return fd;
}

/* An open by itself begins when the helper has worked off the close before it. */
static void measure_opens(struct fdset_vmm *vmm, double *samples) {
    for (int i = 0; i < OPENS; i++) {
        usleep(50);
        double start = now();
        int fd = open_disk(vmm);
        samples[i] = now() - start;
        fdset_close(vmm, fd);
    }
}

static void measure_pairs(struct fdset_vmm *vmm, double *samples) {
    for (int i = 0; i < OPENS; i++) {
        double start = now();
        fdset_close(vmm, open_disk(vmm));
        samples[i] = now() - start;
    }
}

typedef void measure(struct fdset_vmm *vmm, double *samples);

/* Who comes first changes from round to round. Sorting a round's samples does
 * no harm. */
static void round_run(struct fdset_vmm **vmms, measure *measure_one,
                      double samples[2][ROUNDS * OPENS], double *excess, size_t which) {
    double medians[2];

    for (size_t i = 0; i < 2; i++) {
        size_t helper = (which + i) % 2;
        measure_one(vmms[helper], &samples[helper][which * OPENS]);
        medians[helper] = median(&samples[helper][which * OPENS], OPENS);
    }
    excess[which] = medians[WITH] - medians[WITHOUT];
}

static void print_line(const char *what, double samples[2][ROUNDS * OPENS], double *excess) {
    double without = median(samples[WITHOUT], ROUNDS * OPENS);
    double with = median(samples[WITH], ROUNDS * OPENS);
    double more = median(excess, ROUNDS);

    printf("  %-26s %8.2f %8.2f   %+6.2f  %+5.1f %%\n", what, without, with, more,
           100 * more / without);
}

static void stay_here(void) {
    cpu_set_t here;

    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    if (sched_setaffinity(0, sizeof(here), &here) < 0)
        err(1, "sched_setaffinity");
}

/* The rounds of one pair of helpers. */
static void measure_helpers(char **helpers, int disk, size_t first, size_t count) {
    struct fdset_vmm *vmms[2] = {spawn(helpers[WITH], disk), spawn(helpers[WITHOUT], disk)};

    for (size_t round = first; round < first + count; round++) {
        round_run(vmms, measure_opens, opens, open_excess, round);
        round_run(vmms, measure_pairs, pairs, pair_excess, round);
    }
    fdset_vmm_free(vmms[WITH]);
    fdset_vmm_free(vmms[WITHOUT]);
}

int main(int argc, char **argv) {
    int disk = memfd_create("disk", MFD_CLOEXEC);

    if (argc != 3 || disk < 0)
        errx(1, "usage: sandbox-open-cost HELPER HELPER-WITHOUT-FILTER");
    stay_here();
    for (size_t pair = 0; pair < HELPERS; pair++)
        measure_helpers(argv + 1, disk, pair * (ROUNDS / HELPERS), ROUNDS / HELPERS);
    printf("microseconds, medians of %d; the difference, of %d rounds\n", ROUNDS * OPENS, ROUNDS);
    printf("  %-26s %8s %8s   %6s\n", "", "without", "with", "the filter");
    print_line("fdset_open", opens, open_excess);
    print_line("fdset_open + fdset_close", pairs, pair_excess);
    close(disk);
    return 0;
}
