/* SPDX-License-Identifier: MIT */
/* Users and groups are looked up without the system's name services. */
#include "start/usage.h"

#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

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
