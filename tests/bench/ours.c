/* SPDX-License-Identifier: MIT */
/* What is measured of the helper, by way of the library: see ours.h. */
#include "ours.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "series.h"

int open_anew(int fd) {
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int anew = open(path, O_RDWR | O_CLOEXEC);
    if (anew < 0)
        err(1, "%s", path);
    return anew;
}

void ours_start(struct ours *ours, const int *descriptors, size_t count,
                const char *const *arguments) {
    struct fdset_initial *initial = calloc(count + 1, sizeof(*initial));
    ours->paths = calloc(count, sizeof(*ours->paths));
    if (!initial || !ours->paths)
        err(1, "calloc");
    for (size_t i = 0; i < count; i++) {
        initial[i] = (struct fdset_initial){.fd = open_anew(descriptors[i]), .set = (int)i};
        set_path(i, ours->paths[i]);
    }
    struct fdset_spawn_options options = {.manage_fd = ours->manage_fd,
                                          .initial = initial,
                                          .initial_count = count,
                                          .arguments = arguments};
    ours->set_count = count;
    if (fdset_vmm_spawn(&ours->vmm, &options) < 0)
        errx(1, "spawn: %s", fdset_error_text());
    for (size_t i = 0; i < count; i++)
        close(initial[i].fd);
    free(initial);
}

void ours_stop(struct ours *ours) {
    free(ours->paths);
    fdset_vmm_free(ours->vmm);
}

const char *set_path(size_t set, char path[SET_PATH_BYTES]) {
    snprintf(path, SET_PATH_BYTES, "/dev/fdset/%zu", set);
    return path;
}

void ours_close_all(struct fdset_vmm *vmm, const int *descriptors, size_t count) {
    for (size_t i = 0; i + 1 < count; i++)
        fdset_close(vmm, descriptors[i]);
    if (count > 0)
        fdset_close_wait(vmm, descriptors[count - 1]);
}

static int open_set(struct fdset_vmm *vmm, const char *path) {
    int fd = fdset_open(vmm, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        errx(1, "open %s: %s", path, fdset_error_text());
    return fd;
}

/* Closes are not answered, but for this one, which comes after them. */
static void wait_until_heard(struct ours *ours) {
    fdset_close_wait(ours->vmm, open_set(ours->vmm, ours->paths[0]));
}

static int *room_for(size_t descriptors) {
    int *room = calloc(descriptors, sizeof(*room));
    if (!room)
        err(1, "calloc");
    return room;
}

void measure_open(struct contender *contender, double *samples, size_t count) {
    struct ours *ours = contender->context;
    int *descriptors = room_for(count);
    for (size_t i = 0; i < count; i++) {
        const char *path = ours->paths[i % ours->set_count];
        double start = now_us();
        descriptors[i] = open_set(ours->vmm, path);
        samples[i] = now_us() - start;
    }
    ours_close_all(ours->vmm, descriptors, count);
    free(descriptors);
}

void measure_open_close(struct contender *contender, double *samples, size_t count) {
    struct ours *ours = contender->context;
    for (size_t i = 0; i < count; i++) {
        const char *path = ours->paths[i % ours->set_count];
        double start = now_us();
        fdset_close(ours->vmm, open_set(ours->vmm, path));
        samples[i] = now_us() - start;
    }
    wait_until_heard(ours);
}

/* --------------------------------------------------------------- open_many */

struct batch {
    struct fdset_open_request *requests;
    size_t count;
};

static void batch_make(struct batch *batch, const struct ours *ours, size_t count) {
    *batch = (struct batch){.count = count};
    batch->requests = calloc(count, sizeof(*batch->requests));
    if (!batch->requests)
        err(1, "calloc");
    for (size_t i = 0; i < count; i++)
        batch->requests[i] = (struct fdset_open_request){.path = ours->paths[i % ours->set_count],
                                                         .flags = O_RDWR | O_CLOEXEC};
}

static void batch_free(struct batch *batch) {
    free(batch->requests);
}

static void batch_open(struct batch *batch, struct fdset_vmm *vmm) {
    int opened = fdset_open_many(vmm, batch->requests, batch->count);
    if (opened != (int)batch->count)
        errx(1, "open_many: %d of %zu: %s", opened, batch->count, fdset_error_text());
}

static void batch_close(struct batch *batch, struct fdset_vmm *vmm) {
    for (size_t i = 0; i < batch->count; i++)
        fdset_close(vmm, batch->requests[i].fd);
}

static void measure_batches(struct contender *contender, double *samples, size_t count,
                            bool with_close) {
    struct ours *ours = contender->context;
    struct batch batch;
    batch_make(&batch, ours, contender->number);
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        batch_open(&batch, ours->vmm);
        if (with_close)
            batch_close(&batch, ours->vmm);
        samples[i] = (now_us() - start) / (double)batch.count;
        if (!with_close)
            batch_close(&batch, ours->vmm);
        wait_until_heard(ours);
    }
    batch_free(&batch);
}

void measure_open_many(struct contender *contender, double *samples, size_t count) {
    measure_batches(contender, samples, count, false);
}

void measure_open_many_close(struct contender *contender, double *samples, size_t count) {
    measure_batches(contender, samples, count, true);
}

/* --------------------------------------------------------------- pipelined */

static void keep_opened(struct fdset_vmm *vmm, int fd, void *context) {
    int **next = context;
    if (fd < 0)
        errx(1, "submitted open: %s", fdset_error_text());
    *(*next)++ = fd;
}

static void open_pipelined(struct ours *ours, size_t depth, int *descriptors) {
    struct fdset_vmm *vmm = ours->vmm;
    int *next = descriptors;
    for (size_t i = 0; i < depth; i++)
        if (fdset_open_submit(vmm, ours->paths[i % ours->set_count], O_RDWR | O_CLOEXEC, 0,
                              keep_opened, &next) < 0)
            errx(1, "submit: %s", fdset_error_text());
    while (next < descriptors + depth)
        if (fdset_vmm_dispatch(vmm, -1) < 0)
            errx(1, "dispatch: %s", fdset_error_text());
}

void measure_pipelined(struct contender *contender, double *samples, size_t count) {
    struct ours *ours = contender->context;
    size_t depth = contender->number;
    int *descriptors = room_for(depth);
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        open_pipelined(ours, depth, descriptors);
        samples[i] = (now_us() - start) / (double)depth;
        ours_close_all(ours->vmm, descriptors, depth);
    }
    free(descriptors);
}

size_t scattered(size_t i, size_t count) {
    static const size_t step = 7919; /* a prime that divides no count in use */
    return i * step % count;
}
