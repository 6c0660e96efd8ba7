/* SPDX-License-Identifier: MIT */
/* The leak oracle for the test itself: see oracle.h. */
#include "oracle.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 4096

struct entry {
    dev_t device;
    ino_t inode;
    int status_flags;
    bool open;
};

static struct entry before[MAX_DESCRIPTORS], after[MAX_DESCRIPTORS];

static struct entry look(int fd) {
    struct stat file;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &file) < 0)
        return (struct entry){.open = false};
    return (struct entry){file.st_dev, file.st_ino, flags, true};
}

/* Only at those that are open: valgrind counts a look at any other number as an error, and
 * tells no more than a thousand. Numbers above MAX_DESCRIPTORS are its own. */
static void look_at_all(struct entry *table) {
    DIR *list = opendir("/proc/self/fd");
    assert_non_null(list);
    memset(table, 0, MAX_DESCRIPTORS * sizeof(table[0]));
    for (struct dirent *entry; (entry = readdir(list));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd < MAX_DESCRIPTORS && fd != dirfd(list))
            table[fd] = look(fd);
    }
    closedir(list);
}

static void describe(const char *what, int fd) {
    char link[64], target[256] = "";
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (readlink(link, target, sizeof(target) - 1) < 0)
        strcpy(target, "closed");
    print_error("descriptor %d was %s: %s\n", fd, what, target);
}

int oracle_remember(void **state) {
    look_at_all(before);
    return 0;
}

int oracle_compare(void **state) {
    int differences = 0;
    look_at_all(after);
    for (int fd = 0; fd < MAX_DESCRIPTORS; fd++) {
        const struct entry *now = &after[fd], *then = &before[fd];
        if (now->open == then->open && now->device == then->device && now->inode == then->inode &&
            now->status_flags == then->status_flags)
            continue;
        differences++;
        describe(!then->open ? "left open" : !now->open ? "closed" : "changed", fd);
        if (now->open && !then->open)
            close(fd);
    }
    return differences;
}

int oracle_count(void) {
    int count = 0;
    look_at_all(after);
    for (int fd = 0; fd < MAX_DESCRIPTORS; fd++)
        count += after[fd].open;
    return count;
}
