/* SPDX-License-Identifier: MIT */
/* Finds the sockets of all helpers, and asks each what it has. */
#include "ask/sources.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ask/connect.h"
#include "common/memory.h"
#include "common/say.h"

/* A helper that says nothing must not keep those that do from being heard. */
#define PATIENCE_MS 5000

static void source_add(struct sources *sources, const char *socket, struct fdset_listing *listing) {
    sources->all = xreallocarray(sources->all, sources->count + 1, sizeof(*sources->all));
    sources->all[sources->count++] =
        (struct helper_source){vm_name(socket), xstrdup(socket), listing};
}

/* Those that are not there are no failure: each helper has sets of its own. */
static int source_ask(struct sources *sources, const char *path, const struct fdset_filter *filter,
                      const char **why) {
    struct fdset_manager *manager;
    struct fdset_listing *listing;
    int error = helper_connect(&manager, path, NULL, PATIENCE_MS, why);

    if (error < 0)
        return error;
    error = fdset_query_filtered(manager, filter, &listing);
    *why = error == -EAGAIN ? NO_ANSWER : fdset_error_text();
    fdset_manager_free(manager);
    if (error == 0)
        source_add(sources, path, listing);
    return error == -ENOENT ? 0 : error;
}

/* ------------------------------------------------------------ found sockets */

/* The sockets of one helper, of which either will do. */
struct found {
    char *key; /* their path without "manage" or "observe" */
    char *manage, *observe;
};

struct search {
    struct found *all;
    size_t count;
    bool failed;
};

/* NULL where it has gone meanwhile. */
static char *key_of(const char *path, const char *role) {
    char *key = realpath(path, NULL), *at = key ? strstr(strrchr(key, '/'), role) : NULL;

    if (at)
        memmove(at, at + strlen(role), strlen(at + strlen(role)) + 1);
    return key;
}

static struct found *found_of(struct search *search, char *key) {
    for (size_t i = 0; i < search->count; i++)
        if (strcmp(search->all[i].key, key) == 0) {
            free(key);
            return &search->all[i];
        }
    search->all = xreallocarray(search->all, search->count + 1, sizeof(*search->all));
    search->all[search->count] = (struct found){.key = key};
    return &search->all[search->count++];
}

/* By a symbolic link or another directory, one socket may be found again. */
static void found_add(struct search *search, const char *path, bool observe) {
    char *key = key_of(path, observe ? "observe" : "manage");
    struct found *found = key ? found_of(search, key) : NULL;

    if (found && observe && !found->observe)
        found->observe = xstrdup(path);
    else if (found && !observe && !found->manage)
        found->manage = xstrdup(path);
}

static bool is_named(const char *name, const char *role) {
    const char *at = strstr(name, role);
    size_t length = strlen(role);

    return at && (at == name || !at[length] || strcmp(at + length, ".sock") == 0);
}

static int by_name(const struct dirent **one, const struct dirent **other) {
    return strcoll((*one)->d_name, (*other)->d_name);
}

/* Where to search: at the beginning, or in a directory that was found there. */
enum level { LEVEL_WANTED, LEVEL_USUAL, LEVEL_BELOW };

static void entries_free(struct dirent **entries, int count) {
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static void entry_look(struct search *search, const char *path, const char *name) {
    struct stat status;

    if (name[0] != '.' && stat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        (is_named(name, "manage") || is_named(name, "observe")))
        found_add(search, path, is_named(name, "observe"));
}

/* The sockets of a directory. Returns how many entries of any kind it has. */
static int sockets_search(struct search *search, const char *directory, enum level level,
                          struct dirent ***entries) {
    int count = scandir(directory, entries, NULL, by_name);

    if (count < 0 && (errno != ENOENT || level == LEVEL_WANTED)) {
        complain("cannot look into %s: %s", directory, strerror(errno));
        search->failed = true;
    }
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", directory, (*entries)[i]->d_name);
        entry_look(search, path, (*entries)[i]->d_name);
        free(path);
    }
    return count;
}

static void below_search(struct search *search, const char *path, const char *name) {
    struct dirent **entries = NULL;
    struct stat status;

    if (name[0] == '.' || stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
        return;
    int count = sockets_search(search, path, LEVEL_BELOW, &entries);
    entries_free(entries, count);
}

static void directory_search(struct search *search, const char *directory, enum level level) {
    struct dirent **entries = NULL;
    int count = sockets_search(search, directory, level, &entries);

    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", directory, entries[i]->d_name);
        below_search(search, path, entries[i]->d_name);
        free(path);
    }
    entries_free(entries, count);
}

static void usual_search(struct search *search) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    directory_search(search, "/run/fdset-helper", LEVEL_USUAL);
    if (!runtime || runtime[0] != '/')
        return;
    char *path = xasprintf("%s/fdset-helper", runtime);
    directory_search(search, path, LEVEL_USUAL);
    free(path);
}

/* The observe socket gives fewer rights; the manage socket does where it is alone, or
 * the other one cannot be connected to. */
static void found_ask(struct search *search, struct sources *sources, const struct found *found,
                      const struct fdset_filter *filter) {
    const char *paths[] = {found->observe, found->manage}, *why;

    for (size_t i = 0; i < 2; i++)
        if (paths[i] && source_ask(sources, paths[i], filter, &why) == 0)
            return;
        else if (paths[i] && (i == 1 || !paths[1]))
            complain("cannot ask %s: %s", paths[i], why);
    search->failed = true;
}

static struct sources all_ask(const struct where *where, const struct fdset_filter *filter) {
    struct sources sources = {.several = true};
    struct search search = {NULL};

    for (size_t i = 0; i < where->count; i++)
        directory_search(&search, where->directories[i], LEVEL_WANTED);
    if (!where->count)
        usual_search(&search);
    for (size_t i = 0; i < search.count; i++) {
        found_ask(&search, &sources, &search.all[i], filter);
        free(search.all[i].key);
        free(search.all[i].manage);
        free(search.all[i].observe);
    }
    if (!search.count && !search.failed)
        complain("no manage or observe socket is in %s: --directory names another place",
                 where->count ? "these directories"
                              : "/run/fdset-helper and "
                                "$XDG_RUNTIME_DIR/fdset-helper");
    free(search.all);
    sources.failed = search.failed;
    return sources;
}

void where_directory(void *place, const char *name, const char *directory) {
    struct where *where = place;

    if (where->count == MAX_DIRECTORIES)
        die_usage("at most %d directories", MAX_DIRECTORIES);
    where->directories[where->count++] = directory;
    where->all = true;
}

struct sources sources_ask(const struct verb_line *line, const struct where *where,
                           const struct fdset_filter *filter) {
    struct sources sources = {NULL};
    struct fdset_listing *listing;

    if (where->all && line->socket)
        die_usage("give either --socket, for one helper, or --all or --directory");
    if (where->all)
        return all_ask(where, filter);
    struct fdset_manager *manager = manager_connect(line, NULL);
    if (fdset_query_filtered(manager, filter, &listing) < 0)
        die("%s", fdset_error_text());
    fdset_manager_free(manager);
    source_add(&sources, socket_path(line), listing);
    return sources;
}

void sources_free(struct sources *sources) {
    for (size_t i = 0; i < sources->count; i++) {
        free(sources->all[i].vm);
        free(sources->all[i].socket);
        fdset_listing_free(sources->all[i].listing);
    }
    free(sources->all);
}

const struct fdset_member_info *sources_next(const struct sources *sources,
                                             const struct file_id *file,
                                             struct member_cursor *cursor) {
    for (; cursor->source < sources->count; cursor->source++, cursor->set = 0) {
        const struct fdset_listing *listing = sources->all[cursor->source].listing;
        for (; cursor->set < listing->count; cursor->set++, cursor->member = 0) {
            const struct fdset_info *set = &listing->sets[cursor->set];
            while (cursor->member < set->member_count) {
                const struct fdset_member_info *member = &set->members[cursor->member++];
                if (file_id_fits(file, member))
                    return member;
            }
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------------- files */

static bool is_device(mode_t type) {
    return S_ISBLK(type) || S_ISCHR(type);
}

struct file_id file_id_read(const char *path) {
    struct stat status;

    if (stat(path, &status) < 0)
        die("cannot look at '%s': %s", path, strerror(errno));
    return (struct file_id){
        .type = status.st_mode & S_IFMT,
        .device = status.st_dev,
        .inode = status.st_ino,
        .number = is_device(status.st_mode) ? status.st_rdev : 0,
    };
}

bool file_id_fits(const struct file_id *file, const struct fdset_member_info *member) {
    if (!file)
        return true;
    if (is_device(file->type) && member->type)
        return member->type == file->type && member->device_number == file->number;
    return member->device == file->device && member->inode == file->inode;
}
