/* SPDX-License-Identifier: MIT */
/* The leak oracle for the helper: what it has open, and what it says it has. */
#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 4096

/* What each was when the helper was ready: "socket:[123]", a path, "" for closed. */
static char links[MAX_DESCRIPTORS][64];
static pid_t remembered;

/* Looks at each of the helper's descriptors. Returns
 * false where we may not look. */
static bool each_descriptor(const struct helper *helper,
                            void (*look)(int directory, const char *number, void *data),
                            void *data) {
    char name[64];
    snprintf(name, sizeof(name), "/proc/%d/fd", helper->pid);
    DIR *list = opendir(name);
    if (!list)
        return false;
    for (struct dirent *entry; (entry = readdir(list));) {
        /* Valgrind keeps its own from 1024 down; it is not asked what they are. */
        bool valgrinds = getenv("FDSET_TEST_WRAPPER") && atoi(entry->d_name) > 900;
        if (entry->d_name[0] != '.' && !valgrinds)
            look(dirfd(list), entry->d_name, data);
    }
    closedir(list);
    return true;
}

/* ------------------------------------------------------------------ counting */

struct count {
    const struct stat *file; /* NULL: all count */
    int times;
};

static void count_one(int directory, const char *number, void *data) {
    struct count *count = data;
    struct stat found;
    count->times += !count->file ||
                    (fstatat(directory, number, &found, 0) == 0 &&
                     found.st_dev == count->file->st_dev && found.st_ino == count->file->st_ino);
}

static int count_descriptors(const struct helper *helper, const struct stat *file) {
    struct count count = {.file = file};
    return each_descriptor(helper, count_one, &count) ? count.times : -1;
}

int helper_descriptors(struct helper *helper) {
    return count_descriptors(helper, NULL);
}

void assert_held(struct helper *helper, int fd, int times) {
    struct stat file;
    assert_int_equal(fstat(fd, &file), 0);
    int held = count_descriptors(helper, &file);
    if (held >= 0)
        assert_int_equal(held, times);
}

/* ------------------------------------------------------------------ identity */

/* Not by stat(), which a hung file system would not answer. */
static void read_link(int directory, const char *number, char *link, size_t size) {
    ssize_t length = readlinkat(directory, number, link, size - 1);
    link[length > 0 ? length : 0] = '\0';
}

static void remember_one(int directory, const char *number, void *data) {
    assert_in_range(atoi(number), 0, MAX_DESCRIPTORS - 1);
    read_link(directory, number, links[atoi(number)], sizeof(links[0]));
}

void helper_remember(struct helper *helper) {
    memset(links, 0, sizeof(links));
    remembered = helper->pid;
    each_descriptor(helper, remember_one, NULL);
    helper->descriptors = helper_descriptors(helper);
}

static void compare_one(int directory, const char *number, void *data) {
    int *differences = data, fd = atoi(number);
    char link[64];
    read_link(directory, number, link, sizeof(link));
    if (fd < MAX_DESCRIPTORS && strcmp(link, links[fd]) == 0)
        return;
    print_error("the helper's descriptor %d is %s, and was %s\n", fd, link,
                fd < MAX_DESCRIPTORS && links[fd][0] ? links[fd] : "closed");
    ++*differences;
}

/* ------------------------------------------------------------------ the end */

static void remove_first_set(struct helper *helper, const SetInfo *set) {
    char path[32];
    int id = set->set;
    snprintf(path, sizeof(path), "/dev/fdset/%d", id);
    for (size_t i = 0; i < set->n_members; i++)
        for (size_t j = 0; j < set->members[i]->n_leases; j++)
            client_close_leases(helper->vmm, &set->members[i]->leases[j]->lease, 1);
    client_barrier(helper->vmm);
    client_unhold(helper->vmm, path);
    client_remove(helper->manager, id, 0);
}

/* Nothing is under way any more, and nobody else is there. */
static Totals wait_for_quiet(struct helper *helper) {
    Totals totals;
    for (time_t began = time(NULL);; be_patient(began, "an end of settling and of connections")) {
        totals = client_totals(helper->manager);
        if (totals.settling == 0 && totals.connections <= 2)
            return totals;
    }
}

void helper_expect_clean(struct helper *helper) {
    int differences = 0;
    for (struct client *client = helper->clients; client; client = client->next)
        if (client != helper->manager && client != helper->vmm)
            client_hang_up(client);
    for (time_t began = time(NULL);; be_patient(began, "the end of the sets")) {
        QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
        if (page->n_sets == 0)
            break;
        remove_first_set(helper, page->sets[0]);
    }
    Totals totals = wait_for_quiet(helper);
    assert_int_equal(totals.sets, 0);
    assert_int_equal(totals.members, 0);
    assert_int_equal(totals.leases, 0);
    assert_int_equal(totals.holds, 0);
    assert_int_equal(totals.opens, totals.closes + totals.hangups);
    assert_int_equal(totals.added, totals.removed);
    assert_int_equal(helper_descriptors(helper), helper->descriptors);
    if (remembered == helper->pid)
        each_descriptor(helper, compare_one, &differences);
    assert_int_equal(differences, 0);
}
