/* SPDX-License-Identifier: MIT */
/* From nothing to a helper that is locked in, beside the least that a start of any
 * program costs; by a small caller and by one as large as an emulator. */
#include <err.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "groups.h"
#include "ours.h"

#define ROUNDS  30
#define SAMPLES 4

#define MIB ((size_t)1 << 20)

/* Of a machine's memory no more than this part is taken. */
#define PART_OF_FREE 0.6

static void measure_spawn(struct contender *contender, double *samples, size_t count) {
    int *descriptor = contender->context;
    for (size_t i = 0; i < count; i++) {
        struct ours ours = {0};
        double start = now_us();
        ours_start(&ours, descriptor, 1, NULL);
        samples[i] = now_us() - start;
        ours_stop(&ours);
    }
}

static void measure_true(struct contender *contender, double *samples, size_t count) {
    static char word[] = "true", *const words[] = {word, NULL};
    for (size_t i = 0; i < count; i++) {
        pid_t pid;
        double start = now_us();
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, words, environ) != 0)
            err(1, "/bin/true");
        waitpid(pid, NULL, 0);
        samples[i] = now_us() - start;
    }
}

static size_t free_bytes(void) {
    char line[128];
    size_t kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "MemAvailable: %zu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024;
}

static void *become_large(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "%zu MiB", bytes / MIB);
    memset(memory, 1, bytes);
    return memory;
}

static double bench_size(struct report *report, size_t bytes, const char *title) {
    int disk = memfd_create("disk", MFD_CLOEXEC);
    struct contender all[] = {{{"posix_spawn of /bin/true, to its end"}, measure_true, &disk},
                              {{"spawn of a helper, to ready"}, measure_spawn, &disk}};
    void *memory = become_large(bytes);
    take_turns(all, 2, rounds_of_group(ROUNDS), SAMPLES);
    munmap(memory, bytes);
    char group[32];
    snprintf(group, sizeof(group), "start_%zu_mib", bytes / MIB);
    report_group(report, group, title);
    report_series(report, &all[0].series, NULL);
    report_series(report, &all[1].series, &all[0].series);
    double ratio = series_ratio(&all[1].series, &all[0].series);
    series_free(&all[0].series);
    series_free(&all[1].series);
    close(disk);
    return ratio;
}

void bench_start(struct report *report) {
    size_t large = 8192 * MIB, most = (size_t)((double)free_bytes() * PART_OF_FREE);
    char title[80], note[80];
    report_target(report, "spawn_over_true",
                  bench_size(report, 10 * MIB, "A start by 10 MiB, microseconds"), 3, false, NULL);
    bool whole = large <= most;
    if (!whole)
        large = most / MIB * MIB;
    snprintf(title, sizeof(title), "A start by %zu MiB, microseconds", large / MIB);
    snprintf(note, sizeof(note), "with %zu MiB: there is no more memory", large / MIB);
    report_target(report, "spawn_8g_over_true", bench_size(report, large, title), 3, false,
                  whole ? NULL : note);
}
