/* SPDX-License-Identifier: MIT */
/* Finds the monitors of a command line, and gives QEMU other sockets for them. */
#include "monitors.h"

#include <string.h>

#include "command-line.h"
#include "common/memory.h"
#include "common/say.h"
#include "common/sockets.h"
#include "qemu_opts.h"
#include "sockets.h"

/* A -mon, or a -qmp or -monitor that names a chardev of its own. The storage daemon's
 * --monitor is like a -mon, and speaks QMP alone. */
struct use {
    const char *chardev;
    bool is_human;
};

static const char *without(const char *text, const char *prefix) {
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* ---------------------------------------------------------------- finding */

static bool use_read(const struct word *word, struct use *use) {
    bool is_human = word_is_of(word, "monitor");
    bool is_daemons = is_human && without(word->text, "chardev=");

    if (is_daemons || word_is_of(word, "mon")) {
        struct pairs pairs;
        pairs_parse(&pairs, word->text, "chardev");
        const char *mode = pairs_get(&pairs, "mode");
        *use = (struct use){pairs_get(&pairs, "chardev"),
                            !is_daemons && (!mode || strcmp(mode, "control") != 0)};
        return use->chardev;
    }
    if (!is_human && !word_is_of(word, "qmp") && !word_is_of(word, "qmp-pretty"))
        return false;
    *use = (struct use){without(word->text, "chardev:"), is_human};
    return use->chardev;
}

static const struct use *use_find(const struct use *uses, size_t count, const char *chardev) {
    for (size_t i = 0; chardev && i < count; i++)
        if (strcmp(uses[i].chardev, chardev) == 0)
            return &uses[i];
    return NULL;
}

/* Notes a socket that a monitor has; what cannot be relayed goes through. */
static void monitor_note(struct monitors *monitors, const struct command_line *line,
                         const struct wrapped_monitor *monitor) {
    const char *option = line->words[monitor->word].text, *why;

    if (!monitor->is_stdio && !socket_is_known(&monitor->pairs, &why)) {
        complain("%s: %s; this monitor is QEMU's own, and knows nothing of the helper's sets",
                 option, why);
        return;
    }
    if (monitors->count == MONITORS_MAX)
        die("more than %d monitors", MONITORS_MAX);
    monitors->items[monitors->count++] = *monitor;
    monitors->any_control |= !monitor->is_human;
}

/* -chardev socket,id=ID,... */
static void chardev_note(struct monitors *monitors, const struct command_line *line, size_t word,
                         const struct use *uses, size_t use_count) {
    struct wrapped_monitor monitor = {.word = word, .prefix = "", .first = "backend"};

    pairs_parse(&monitor.pairs, line->words[word].text, monitor.first);
    const char *backend = pairs_get(&monitor.pairs, "backend");
    const struct use *use = use_find(uses, use_count, pairs_get(&monitor.pairs, "id"));
    if (!use)
        return;
    monitor.is_human = use->is_human;
    monitor.is_stdio = backend && strcmp(backend, "stdio") == 0 && !use->is_human &&
                       !pairs_is_on(&monitor.pairs, "mux");
    if (monitor.is_stdio || (backend && strcmp(backend, "socket") == 0))
        monitor_note(monitors, line, &monitor);
    else if (!use->is_human)
        complain(
            "%s: no socket; this monitor is QEMU's own, and knows nothing of the helper's sets",
            line->words[word].text);
}

/* HOST:PORT,... to host=HOST,port=PORT,... */
static void tcp_parse(struct pairs *pairs, const char *text) {
    size_t host = strcspn(text, ":,");
    const char *port = text[host] == ':' ? text + host + 1 : "";
    size_t length = strcspn(port, ",");

    pairs_parse(pairs, port[length] ? port + length + 1 : "", NULL);
    pairs_add(pairs, "host", xasprintf("%.*s", (int)host, text));
    pairs_add(pairs, "port", xasprintf("%.*s", (int)length, port));
}

/* -qmp unix:PATH,... and the like */
static void compat_note(struct monitors *monitors, const struct command_line *line, size_t word) {
    const char *text = line->words[word].text, *rest;
    struct wrapped_monitor monitor = {
        .word = word,
        .is_human = word_is_of(&line->words[word], "monitor"),
        .prefix = "unix:",
    };

    if ((rest = without(text, "unix:")))
        pairs_parse(&monitor.pairs, rest, "path");
    else if ((rest = without(text, "tcp:")))
        tcp_parse(&monitor.pairs, rest);
    else if (!monitor.is_human && strcmp(text, "stdio") == 0)
        monitor.is_stdio = true;
    else if (monitor.is_human || without(text, "chardev:") || strcmp(text, "none") == 0)
        return;
    monitor_note(monitors, line, &monitor);
}

void monitors_find(struct monitors *monitors, const struct command_line *line) {
    struct use *uses = xcalloc(line->count, sizeof(*uses));
    size_t count = 0;

    monitors->count = 0;
    for (size_t i = 0; i < line->count; i++)
        count += use_read(&line->words[i], &uses[count]);
    for (size_t i = 0; i < line->count; i++) {
        const struct word *word = &line->words[i];
        if (word_is_of(word, "chardev"))
            chardev_note(monitors, line, i, uses, count);
        else if (word_is_of(word, "qmp") || word_is_of(word, "qmp-pretty") ||
                 word_is_of(word, "monitor"))
            compat_note(monitors, line, i);
    }
}

/* -------------------------------------------------------------- diverting */

/* Where management is now, QEMU is to be no more. */
static void address_drop(struct pairs *pairs) {
    static const char *const keys[] = {"path", "abstract", "tight",  "host",  "port", "to",  "ipv4",
                                       "ipv6", "delay",    "server", "mptcp", "fd",   "wait"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        pairs_drop(pairs, keys[i]);
}

/* A server that waits for its client goes on waiting: the relay connects when
 * management does. */
static int listener_divert(struct pairs *pairs) {
    const char *wait = pairs_get(pairs, "wait");
    bool waits = pairs_is_on(pairs, "server") && (!wait || pairs_is_on(pairs, "wait"));
    int handle, fd = socket_make_private(&handle);

    address_drop(pairs);
    pairs_add(pairs, "fd", xasprintf("%d", fd));
    pairs_add(pairs, "server", "on");
    pairs_add(pairs, "wait", waits ? "on" : "off");
    return handle;
}

static int connection_divert(struct pairs *pairs) {
    int other, fd = socket_make_connected(&other);

    address_drop(pairs);
    pairs_add(pairs, "fd", xasprintf("%d", fd));
    return other;
}

static struct address stdio_make(struct pairs *pairs) {
    const char *id = pairs_get(pairs, "id");

    pairs->count = 0;
    if (id) { /* -chardev, and not -qmp */
        pairs_add(pairs, "backend", "socket");
        pairs_add(pairs, "id", id);
    }
    return (struct address){.fd = pump_start()};
}

static struct relay_monitor monitor_divert(struct wrapped_monitor *monitor, struct word *word) {
    struct relay_monitor relayed = {.human = monitor->is_human};
    struct pairs *pairs = &monitor->pairs;

    relayed.listen = monitor->is_stdio ? stdio_make(pairs) : socket_make(pairs, word->text);
    if (relayed.listen.path || socket_is_listening(relayed.listen.fd))
        relayed.emulator.fd = listener_divert(pairs);
    else
        relayed.emulator.fd = connection_divert(pairs);
    word->text = xasprintf("%s%s", monitor->prefix, pairs_text(pairs, monitor->first));
    return relayed;
}

void monitors_divert(struct monitors *monitors, struct command_line *line,
                     struct relay_setup *setup) {
    for (size_t i = 0; i < monitors->count; i++) {
        struct wrapped_monitor *monitor = &monitors->items[i];
        setup->monitors[setup->monitor_count++] =
            monitor_divert(monitor, &line->words[monitor->word]);
    }
}
