/* SPDX-License-Identifier: MIT */
/* The text of --help, the end that a wrong command line comes to, and users and groups by their
 * names, without the system's name services. */
#include "start/usage.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

const char usage_help[] =
    "Usage: fdset-helper [OPTION]...\n"
    "\n"
    "Holds sets of descriptors for a virtual machine's emulator, so that the\n"
    "emulator sees no path and needs no right to open a file.\n"
    "\n"
    "Sockets (each may be given several times):\n"
    "  --manage PATH[,for=NAME]\n"
    "                     listen for managers at a new socket; of the\n"
    "                     virtual machine NAME alone\n"
    "  --vmm PATH[,name=NAME][,leases=N][,waiting=N][,holds=N][,connections=N]\n"
    "                     listen for the emulator of one virtual machine, which is\n"
    "                     called NAME and has so many of each to itself; a comma in\n"
    "                     PATH is written twice\n"
    "  --observe PATH[,for=NAME]\n"
    "                     listen for observers, which may only look\n"
    "  --manage-fd N      the same on an inherited socket, listening or connected\n"
    "  --vmm-fd N\n"
    "  --observe-fd N\n"
    "  --manage-mode MODE, --manage-owner USER[:GROUP]\n"
    "  --vmm-mode MODE, --vmm-owner USER[:GROUP]\n"
    "  --observe-mode MODE, --observe-owner USER[:GROUP]\n"
    "                     who may connect to these sockets: mode and owner of their\n"
    "                     files, 0600 and the helper's if not given; names or numbers,\n"
    "                     :GROUP alone is possible\n"
    "  --manager-uid UID  a user who may manage, besides root and the user who\n"
    "                     starts the helper\n"
    "Sockets passed by systemd are taken by their names: manage, vmm, observe.\n"
    "\n"
    "Sets:\n"
    "  --add-fd fd=N,set=M[,opaque=S][,for=NAME]\n"
    "                     start with inherited descriptor N in set M, for the\n"
    "                     virtual machine NAME alone; a comma in S is written\n"
    "                     twice (QEMU's -add-fd)\n"
    "\n"
    "Running:\n"
    "  --linger           go on when the emulator that spawned the helper ends\n"
    "  --user USER[:GROUP]\n"
    "                     the user to become if root starts the helper\n"
    "                     (65534:65534)\n"
    "  --sandbox MODE     enforce: end if a stage fails (the default);\n"
    "                     best-effort: go on without the stage; log: let seccomp\n"
    "                     only log\n"
    "  --limit NAME=N     sets (1024), members (4096), leases (16384),\n"
    "                     leases-per-vmm (8192), connections (64), waiting (256),\n"
    "                     holds (1024), events (256), hello-seconds (30),\n"
    "                     unread-seconds (60)\n"
    "  --ready-fd N       write a line to inherited descriptor N as soon as other\n"
    "                     programs can connect, and close N\n"
    "  --quiet            no ready line on standard error\n"
    "  --verbose          a ready line also when spawned by an emulator\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 when there is nobody left to serve or a signal ended the helper,\n"
    "1 if it could not start, 2 for a wrong command line.\n";

void usage_die(const char *format, ...) {
    va_list arguments;

    fputs("fdset-helper: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    /* As it was called: it is in nobody's PATH. */
    fprintf(stderr, "\nTry '%s --help'.\n", program_invocation_name);
    exit(2);
}

uint64_t usage_number(const char *option, const char *text, uint64_t most) {
    uint64_t value;

    if (!number_parse(text, most, &value))
        usage_die("--%s: not a number from 0 to %llu: '%s'", option, (unsigned long long)most,
                  text);
    return value;
}

/* ----------------------------------------------------------- users and groups */

#define MAX_ID (UINT32_MAX - 1) /* -1 is no id */

__attribute__((noreturn)) static void die_of_account(const char *option, const char *text,
                                                     const char *what, const char *file) {
    if (text[0] && !text[strspn(text, "0123456789")])
        usage_die("--%s: no %s has the number %s", option, what, text);
    usage_die("--%s: there is no %s '%s' in %s: give a number", option, what, text, file);
}

uid_t account_user(const char *option, const char *text, gid_t *login) {
    struct passwd *entry = NULL;
    uid_t uid;
    FILE *file;

    if (number32_parse(text, MAX_ID, &uid))
        return uid;
    file = fopen("/etc/passwd", "re");
    while (file && (entry = fgetpwent(file)) && strcmp(entry->pw_name, text) != 0)
        ;
    if (file)
        fclose(file);
    if (!entry)
        die_of_account(option, text, "user", "/etc/passwd");
    if (login)
        *login = entry->pw_gid;
    return entry->pw_uid;
}

gid_t account_group(const char *option, const char *text) {
    struct group *entry = NULL;
    gid_t gid;
    FILE *file;

    if (number32_parse(text, MAX_ID, &gid))
        return gid;
    file = fopen("/etc/group", "re");
    while (file && (entry = fgetgrent(file)) && strcmp(entry->gr_name, text) != 0)
        ;
    if (file)
        fclose(file);
    if (!entry)
        die_of_account(option, text, "group", "/etc/group");
    return entry->gr_gid;
}

void die_of_owner(const char *option) {
    usage_die("--%s: expected USER or USER:GROUP, by names or numbers", option);
}

char *account_cut_group(const char *option, char *text) {
    char *colon = strchr(text, ':');

    if (colon)
        *colon++ = '\0';
    if (colon ? !*colon : !*text)
        die_of_owner(option);
    return colon;
}
