/* SPDX-License-Identifier: MIT */
/* What a test and the injector share: see plan.h. */
#include "plan.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct plan *plan_share(void) {
    const char *injector = getenv("FAULTS_INJECTOR"), *helper = getenv("FDSET_TEST_HELPER");
    int fd = memfd_create("plan", 0);
    char number[16];

    if (!injector || !helper)
        errx(125, "FAULTS_INJECTOR and FDSET_TEST_HELPER are not set: run this by meson test");
    if (fd < 0 || ftruncate(fd, sizeof(struct plan)) < 0)
        err(125, "memfd");
    struct plan *plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED)
        err(125, "mmap");
    snprintf(number, sizeof(number), "%d", fd);
    setenv("FAULTS_PLAN", number, 1);
    setenv("FAULTS_HELPER", helper, 1);
    setenv("FDSET_TEST_HELPER", injector, 1);
    return plan;
}
