/* SPDX-License-Identifier: MIT */
/* fdsetctl info: which helper that is, its limits and how full they are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ask/connect.h"
#include "ask/figures.h"
#include "base/words.h"
#include "output/json.h"
#include "output/table.h"

static const char help[] =
    "Usage: fdsetctl info [OPTION]...\n"
    "Show which helper answers: its version and how long it has run, what this socket may\n"
    "do, and the helper's limits and how full they are.\n"
    "\n"
    "  -j, --json           print JSON\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

struct info_options {
    bool json, no_headings;
};

/* What there is to show. */
struct info {
    char *vm;
    pid_t pid; /* 0 where it is not known */
    struct fdset_helper_info helper;
    struct fdset_totals totals;
    struct fdset_listing *listing; /* whose totals those are, and its endpoints */
};

/* Who made the socket listen: the helper, or systemd for it. */
static pid_t helper_pid(int socket) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    char path[64], name[32] = "";

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer.pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(name, sizeof(name), file))
        name[0] = '\0';
    fclose(file);
    return strcmp(name, "fdset-helper\n") == 0 ? peer.pid : 0;
}

static const char *role_word(enum fdset_role role) {
    return role == FDSET_ROLE_MANAGER    ? "manager"
           : role == FDSET_ROLE_OBSERVER ? "observer"
           : role == FDSET_ROLE_VMM      ? "vmm"
                                         : "unknown";
}

static void limits_print(const struct info *info, bool headings) {
    static const struct table_column columns[] = {
        {"LIMIT"}, {"USED", true}, {"MAXIMUM", true}, {"USED%", true}, {"MEANING"}, {NULL},
    };
    struct libscols_table *table = table_new(columns, headings);

    for (const struct figure *limit = limit_figures; limit->name; limit++) {
        struct libscols_line *line = table_line(table);
        const struct figure *total = limit_total(limit);
        uint64_t used = total ? figure_value(total, &info->totals) : 0;
        uint64_t maximum = figure_value(limit, &info->helper.limits);
        table_cell(line, 0, "%s", limit->name);
        table_number(line, 1, used, total);
        table_number(line, 2, maximum, maximum);
        table_number(line, 3, maximum ? used * 100 / maximum : 0, total && maximum);
        table_cell(line, 4, "%s", limit->help);
    }
    table_print(table);
}

/* What each virtual machine has, of what is kept for it: "3/64". */
static void endpoints_print(const struct fdset_listing *listing, bool headings) {
    static const struct table_column columns[] = {
        {"ENDPOINT"},    {"LEASES", true},      {"WAITING", true},
        {"HOLDS", true}, {"CONNECTIONS", true}, {"IN-FLIGHT", true},
        {NULL},
    };
    struct libscols_table *table = table_new(columns, headings);

    for (size_t i = 0; i < listing->endpoint_count; i++) {
        const struct fdset_endpoint_info *endpoint = &listing->endpoints[i];
        struct libscols_line *line = table_line(table);
        table_cell(line, 0, "%s", endpoint->name);
        table_cell(line, 1, "%u/%u", endpoint->leases, endpoint->leases_kept);
        table_cell(line, 2, "%u/%u", endpoint->waiting, endpoint->waiting_kept);
        table_cell(line, 3, "%u/%u", endpoint->holds, endpoint->holds_kept);
        table_cell(line, 4, "%u/%u", endpoint->connections, endpoint->connections_kept);
        table_cell(line, 5, "%u", endpoint->in_flight);
    }
    table_print(table);
}

static void info_print(const struct info *info, bool headings) {
    static const struct table_column columns[] = {{"FIELD"}, {"VALUE"}, {NULL}};
    struct libscols_table *table = table_new(columns, false);

    table_field(table, "VM", "%s", info->vm ? info->vm : "-");
    table_field(table, "Version", "%s", info->helper.helper);
    table_field(table, "Protocol", "%" PRIu32, info->helper.protocol);
    table_field(table, "This socket", "%s", role_word(info->helper.role));
    if (info->helper.endpoint[0])
        table_field(table, "Bound to", "%s", info->helper.endpoint);
    table_field(table, "Process", "%s", pid_text(info->pid).text);
    table_field(table, "Uptime", "%s", duration_text(info->totals.uptime_ms).text);
    table_print(table);
    puts("");
    limits_print(info, headings);
    if (info->listing->endpoint_count > 0)
        puts("");
    endpoints_print(info->listing, headings);
}

static json_t *info_json(const struct info *info) {
    json_t *limits = json_object();

    for (const struct figure *limit = limit_figures; limit->name; limit++) {
        const struct figure *total = limit_total(limit);
        uint64_t used = total ? figure_value(total, &info->totals) : 0;
        uint64_t maximum = figure_value(limit, &info->helper.limits);
        json_object_set_new(limits, limit->name,
                            json_pack("{s:o, s:o}", "used", number_json(used, total), "maximum",
                                      number_json(maximum, maximum)));
    }
    return json_pack("{s:o, s:o, s:I, s:s, s:o, s:o, s:I, s:o, s:o}", "vm", json_text(info->vm),
                     "version", json_text(info->helper.helper), "protocol",
                     (json_int_t)info->helper.protocol, "role", role_word(info->helper.role),
                     "endpoint", json_text(info->helper.endpoint[0] ? info->helper.endpoint : NULL),
                     "pid", number_json(info->pid, info->pid > 0), "uptime_ms",
                     (json_int_t)info->totals.uptime_ms, "limits", limits, "endpoints",
                     endpoints_json(info->listing));
}

static int info_run(struct verb_line *line) {
    static const struct verb_option table[] = {
        {"json", no_argument, 'j', offsetof(struct info_options, json)},
        {"no-headings", no_argument, 'n', offsetof(struct info_options, no_headings)},
        {NULL},
    };
    struct info_options options = {.json = false};
    struct info info;

    options_read(line, help, table, &options);
    no_operands(line);
    struct fdset_manager *manager = manager_connect(line, NULL);
    info.vm = vm_name(socket_path(line));
    info.pid = helper_pid(fdset_manager_socket(manager));
    info.listing = totals_ask(manager);
    info.totals = info.listing->totals;
    fdset_manager_helper_info(manager, &info.helper);
    if (options.json)
        json_print(info_json(&info));
    else
        info_print(&info, !options.no_headings);
    fdset_listing_free(info.listing);
    free(info.vm);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

const struct verb verb_info = {
    "info",
    "show the helper's version, limits and how full they are",
    info_run,
};
