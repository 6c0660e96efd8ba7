/* SPDX-License-Identifier: MIT */
#include "start/accounts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -1 is no id. */
static bool is_number(const char *text, uint32_t *id) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *id = (uint32_t)value;
    return errno == 0 && *end == '\0' && value < UINT32_MAX;
}

bool account_user(const char *text, uid_t *uid, gid_t *login) {
    struct passwd *entry = NULL;
    FILE *file;

    if (is_number(text, uid))
        return true;
    if (!(file = fopen("/etc/passwd", "re")))
        return false;
    while ((entry = fgetpwent(file)) && strcmp(entry->pw_name, text) != 0)
        ;
    fclose(file);
    if (!entry)
        return false;
    *uid = entry->pw_uid;
    if (login)
        *login = entry->pw_gid;
    return true;
}

bool account_group(const char *text, gid_t *gid) {
    struct group *entry = NULL;
    FILE *file;

    if (is_number(text, gid))
        return true;
    if (!(file = fopen("/etc/group", "re")))
        return false;
    while ((entry = fgetgrent(file)) && strcmp(entry->gr_name, text) != 0)
        ;
    fclose(file);
    if (entry)
        *gid = entry->gr_gid;
    return entry;
}
