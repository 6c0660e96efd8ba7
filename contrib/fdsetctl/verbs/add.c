/* SPDX-License-Identifier: MIT */
/* fdsetctl add: opens files, or takes descriptors that it inherited, and gives
 * them to the helper in one request. */
#include "verbs/add.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ask/connect.h"
#include "base/words.h"
#include "output/json.h"
#include "output/table.h"

/* What is going to be sent: `sets` point into `members`. */
struct plan {
    struct fdset_add sets[MAX_MEMBERS];
    size_t set_count;
    struct fdset_member members[MAX_MEMBERS];
    int flags[MAX_MEMBERS];         /* of each member, for the table, */
    const char *files[MAX_MEMBERS]; /* and its file, NULL for a descriptor */
    size_t member_count;
};

/* The descriptor is the plan's from here on, which the program's end closes. */
static void plan_member(struct plan *plan, const struct add_options *options, int fd, int flags) {
    struct fdset_member *member = &plan->members[plan->member_count];

    *member = options->member;
    member->fd = fd;
    /* With both modes in one command it is meant for the one that can. */
    if ((flags & O_ACCMODE) != O_RDWR)
        member->serves_read_only = false;
    plan->flags[plan->member_count++] = flags;
    plan->sets[plan->set_count - 1].member_count++;
}

static void plan_set(struct plan *plan, const struct add_options *options) {
    struct fdset_add *set = &plan->sets[plan->set_count++];

    *set = options->each;
    set->set = options->set;
    set->members = &plan->members[plan->member_count];
}

/* Each is an open of its own: duplicates would share their locks. */
static void plan_file(struct plan *plan, const struct add_options *options, const char *file) {
    static const int modes[MODE_COUNT] = {O_RDONLY, O_RDWR, O_WRONLY};

    for (size_t i = 0; i < MODE_COUNT * options->copies; i++) {
        if (!options->modes[i % MODE_COUNT])
            continue;
        int flags = modes[i % MODE_COUNT] | add_status_flags(options);
        int fd = open(file, flags | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            die("cannot open '%s' %s%s: %s", file, mode_word(flags),
                flags & O_DIRECT ? " with O_DIRECT" : "", strerror(errno));
        plan->files[plan->member_count] = file;
        plan_member(plan, options, fd, flags);
    }
}

static void plan_files(struct plan *plan, const struct add_options *options) {
    for (size_t i = 0; i < options->file_count; i++) {
        if (i == 0 || !options->each.mixed)
            plan_set(plan, options);
        plan_file(plan, options, options->files[i]);
    }
}

static void plan_fds(struct plan *plan, const struct add_options *options) {
    plan_set(plan, options);
    for (size_t i = 0; i < options->fd_count; i++) {
        int flags = fcntl(options->fds[i], F_GETFL);
        if (flags < 0)
            die("descriptor %d is not open: let the shell open it, as in "
                "'fdsetctl add --fd %d %d<FILE'",
                options->fds[i], options->fds[i], options->fds[i]);
        plan_member(plan, options, options->fds[i], flags);
    }
}

/* A name lasts when numbers change. */
static void paths_print(const struct plan *plan) {
    for (size_t i = 0; i < plan->set_count; i++)
        if (plan->sets[i].name)
            printf("/dev/fdset/%s\n", plan->sets[i].name);
        else
            printf("/dev/fdset/%d\n", plan->sets[i].set);
}

static void member_line(struct libscols_table *table, const struct plan *plan,
                        const struct fdset_add *set, const struct fdset_member *member) {
    struct libscols_line *line = table_line(table);
    size_t index = member - plan->members, column = 0;

    table_cell(line, column++, "/dev/fdset/%d", set->set);
    if (set->name)
        table_cell(line, column++, "/dev/fdset/%s", set->name);
    table_cell(line, column++, "%u", member->id);
    table_cell(line, column++, "%s", mode_word(plan->flags[index]));
    if (plan->files[index])
        table_cell(line, column++, "%s", plan->files[index]);
    else
        table_cell(line, column++, "descriptor %d", member->fd);
}

static void table_of_plan_print(const struct plan *plan, const struct add_options *options) {
    static const struct table_column unnamed[] = {
        {"PATH"}, {"MEMBER", true}, {"MODE"}, {"FILE"}, {NULL},
    };
    static const struct table_column named[] = {
        {"PATH"}, {"NAME-PATH"}, {"MEMBER", true}, {"MODE"}, {"FILE"}, {NULL},
    };
    struct libscols_table *table =
        table_new(options->each.name ? named : unnamed, !options->no_headings);

    for (size_t i = 0; i < plan->set_count; i++)
        for (size_t j = 0; j < plan->sets[i].member_count; j++)
            member_line(table, plan, &plan->sets[i], &plan->sets[i].members[j]);
    table_print(table);
}

static json_t *set_path_json(const char *name) {
    return name ? json_sprintf("/dev/fdset/%s", name) : json_null();
}

/* A set of several files has none of its own. */
static json_t *set_json(const struct plan *plan, const struct fdset_add *set) {
    json_t *members = json_array();
    size_t first = set->members - plan->members;
    const char *file = plan->files[first];

    for (size_t i = 0; i < set->member_count; i++) {
        if (plan->files[first + i] != plan->files[first])
            file = NULL;
        json_array_append_new(members,
                              json_pack("{s:I, s:s, s:o}", "member", (json_int_t)set->members[i].id,
                                        "mode", mode_word(plan->flags[first + i]), "file",
                                        json_text(plan->files[first + i])));
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "set", set->set, "path",
                     json_sprintf("/dev/fdset/%d", set->set), "name", json_text(set->name),
                     "name_path", set_path_json(set->name), "file", json_text(file), "members",
                     members);
}

static json_t *plan_json(const struct plan *plan) {
    json_t *sets = json_array();

    for (size_t i = 0; i < plan->set_count; i++)
        json_array_append_new(sets, set_json(plan, &plan->sets[i]));
    return json_pack("{s:o}", "sets", sets);
}

static int add_run(struct verb_line *line) {
    static struct add_options options = {.set = FDSET_NEW_SET, .each.lifetime = FDSET_KEEP};
    static struct plan plan;

    add_options_read(&options, line);

    /* Before the connection, whose number could be one that --fd names. */
    if (options.fd_count)
        plan_fds(&plan, &options);
    else
        plan_files(&plan, &options);

    struct fdset_manager *manager = manager_connect(line, options.owner);
    if (fdset_add_fds(manager, plan.sets, plan.set_count) < 0)
        die("%s", fdset_error_text());
    fdset_manager_free(manager);
    if (options.json)
        json_print(plan_json(&plan));
    else if (options.path)
        paths_print(&plan);
    else
        table_of_plan_print(&plan, &options);
    return EXIT_DONE;
}

const struct verb verb_add = {
    "add",
    "open files and put their descriptors into sets",
    add_run,
};
