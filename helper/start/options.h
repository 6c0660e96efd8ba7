/* SPDX-License-Identifier: MIT */
/* The command line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "add_fd.h"
#include "confine/confine.h"
#include "connection/listener.h"
#include "model/model.h"

#define OPTIONS_MAX_SOCKETS 1024

/* A socket to listen at, by path, or one that was inherited. */
struct socket_option {
    enum role role;
    const char *path; /* NULL: inherited */
    int fd;           /* inherited or made; owned by whoever begins with it */
    const char *name; /* of a VMM's endpoint, or of the one that others are bound to; or NULL */
    uint32_t given[RESOURCES];
    uint32_t endpoint; /* in endpoints[], from 1; 0: none. Filled in by endpoints_plan() */
};

/* Who may connect to the sockets of a role that are made: the mode and owner of their
 * files. */
struct socket_access {
    mode_t mode;
    uid_t owner; /* -1: the helper's, as of the group */
    gid_t group;
    const char *option; /* that was given, or NULL */
};

struct start_options {
    struct socket_option sockets[OPTIONS_MAX_SOCKETS];
    size_t socket_count;
    struct endpoint_plan endpoints[OPTIONS_MAX_SOCKETS];
    uint32_t endpoint_count;
    struct socket_access access[ROLE_OBSERVER + 1]; /* by role */
    struct add_fd add_fds[FDSET_MAX_DESCRIPTORS];   /* inherited, by the user's numbers */
    size_t add_fd_count;
    struct limits limits, asked; /* asked: 0 where nobody has asked for another than usual */
    struct manager_policy managers;
    enum confine_mode confine;
    size_t descriptors; /* the limit of the process, soft and hard: descriptors_fit() */
    uid_t uid;          /* who to become if started as root */
    gid_t gid;
    int ready_fd; /* inherited; -1: none */
    bool linger;
    bool quiet, verbose;
};

/* A row of the table of options: what one does that is given, with `text` where it takes some. */
struct option_row;
typedef void option_apply(struct start_options *options, const struct option_row *row, char *text);

struct option_row {
    const char *name; /* without its dashes */
    int argument;     /* as getopt_long() has it */
    option_apply *apply;
    enum role role; /* that it is about */
    size_t flag;    /* that it sets, in struct start_options */
};

/* Parses the command line, whose strings it borrows and may change. Prints and
 * exits: 0 for --help and --version, 2 for what it does not understand. */
void options_parse(struct start_options *options, int argc, char **argv);
