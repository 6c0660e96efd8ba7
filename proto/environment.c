/* SPDX-License-Identifier: MIT */
/* The same environment for a helper, be it the library that starts it or fdset-qemu. */
#include "environment.h"

#include <string.h>

bool environment_is_private(const char *variable) {
    static const char *const names[] = {
        "LD_PRELOAD=",     "NOTIFY_SOCKET=", "LISTEN_PID=",    "LISTEN_FDS=",
        "LISTEN_FDNAMES=", "WATCHDOG_PID=",  "WATCHDOG_USEC=",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

const char *environment_word(const char **text, size_t *length) {
    static const char blanks[] = " \t\n";
    const char *word = *text ? *text + strspn(*text, blanks) : "";

    *length = strcspn(word, blanks);
    *text = word + *length;
    return *length > 0 ? word : NULL;
}
