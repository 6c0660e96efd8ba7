/* SPDX-License-Identifier: MIT */
/* The command line. */
#pragma once

#include "monitor.h"

#define MONITORS_MAX 64

struct options {
    const char *manage; /* path of the helper's manage socket; NULL: */
    int manage_fd;
    int pid_fd, ready_fd; /* -1: none */
    const char *prefix;
    struct monitor monitors[MONITORS_MAX];
    size_t monitor_count;
};

/* Reads it, or says what is wrong and exits with status 2. */
void options_read(struct options *options, int argc, char **argv);
