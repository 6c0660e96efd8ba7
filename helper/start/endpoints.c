/* SPDX-License-Identifier: MIT */
/* From what is said of VMM sockets to endpoints. */
#include "start/endpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "containers/utf8.h"
#include "number.h"

/* What each of many endpoints has at least, where nobody has asked for other limits. */
static struct limits least = {.leases = 256, .waiting = 16, .holds = 32, .connections = 8};

/* The first VMM socket that has no name is called so, the next so with a 2. */
#define USUAL_NAME "vmm"

char *cut_words(char *text) {
    char *from = text, *to = text;

    for (; *from && !(from[0] == ',' && from[1] != ','); from++, to++) {
        from += *from == ',';
        *to = *from;
    }
    char *rest = *from ? from + 1 : NULL;
    *to = '\0';
    return rest;
}

/* ------------------------------------------------------------ what is said of one */

static int read_number(struct socket_option *socket, enum resource resource, const char *text,
                       struct refusal *refusal) {
    uint64_t value;

    if (!number_parse(text, LIMITS_LARGEST, &value) || value == 0)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "%s=: not a number from 1 to %d: '%s'",
                      resource_names[resource], LIMITS_LARGEST, text);
    socket->given[resource] = (uint32_t)value;
    return 0;
}

static int read_name(struct socket_option *socket, const char *key, const char *text,
                     struct refusal *refusal) {
    if (!*text || strlen(text) > FDSET_MAX_NAME_BYTES || !is_plain(text))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "%s=: 1 to %d bytes of printable ASCII: '%s'", key, FDSET_MAX_NAME_BYTES,
                      text);
    socket->name = text;
    return 0;
}

static int read_word(struct socket_option *socket, const char *key, const char *value,
                     struct refusal *refusal) {
    bool is_vmm = socket->role == ROLE_VMM;

    if (value && strcmp(key, is_vmm ? "name" : "for") == 0)
        return read_name(socket, key, value, refusal);
    if (!is_vmm)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "'%s': expected for=NAME (in a path, a comma is written twice)", key);
    for (enum resource resource = 0; resource < RESOURCES; resource++)
        if (value && strcmp(key, resource_names[resource]) == 0)
            return read_number(socket, resource, value, refusal);
    return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                  "'%s': expected name=, leases=, waiting=, holds= or connections= (in a path, a "
                  "comma is written twice)",
                  key);
}

int socket_words(struct socket_option *socket, char *words, struct refusal *refusal) {
    int result = 0;

    while (words && result == 0) {
        char *key = words;
        words = cut_words(key);
        char *value = strchr(key, '=');
        if (value)
            *value++ = '\0';
        result = read_word(socket, key, value, refusal);
    }
    return result;
}

/* ---------------------------------------------------------------- what they are */

static struct endpoint_plan *find(struct start_options *options, const char *name) {
    for (uint32_t i = 0; i < options->endpoint_count; i++)
        if (strcmp(options->endpoints[i].name, name) == 0)
            return &options->endpoints[i];
    return NULL;
}

static int join(struct start_options *options, struct socket_option *socket, const char *name,
                struct refusal *refusal) {
    struct endpoint_plan *plan = *name ? find(options, name) : NULL;

    if (!plan) { /* one without a name is on its own */
        plan = &options->endpoints[options->endpoint_count++];
        strcpy(plan->name, name);
    }
    for (enum resource resource = 0; resource < RESOURCES; resource++) {
        uint32_t *given = &plan->given[resource];
        if (*given && socket->given[resource] && *given != socket->given[resource])
            return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                          "VMM sockets called '%s' are one VM, which has %s=%u or %s=%u", name,
                          resource_names[resource], *given, resource_names[resource],
                          socket->given[resource]);
        if (socket->given[resource])
            *given = socket->given[resource];
    }
    socket->endpoint = (uint32_t)(plan - options->endpoints) + 1;
    return 0;
}

/* No other has them, in whatever order they stand. */
static void name_others(struct start_options *options) {
    char name[FDSET_MAX_NAME_BYTES + 1] = USUAL_NAME;
    uint32_t number = 1;

    for (uint32_t i = 0; i < options->endpoint_count; i++) {
        struct endpoint_plan *plan = &options->endpoints[i];
        if (*plan->name)
            continue;
        while (find(options, name))
            snprintf(name, sizeof(name), USUAL_NAME "%u", ++number);
        strcpy(plan->name, name);
    }
}

static int join_all(struct start_options *options, struct refusal *refusal) {
    for (size_t i = 0; i < options->socket_count; i++) {
        struct socket_option *socket = &options->sockets[i];
        if (socket->role == ROLE_VMM &&
            join(options, socket, socket->name ? socket->name : "", refusal) < 0)
            return -refusal->error;
    }
    name_others(options);
    return 0;
}

static const char *names_of_all(const struct start_options *options, char *text, size_t size) {
    size_t used = 0;

    snprintf(text, size, "none");
    for (uint32_t i = 0; i < options->endpoint_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s'%s'", i ? ", " : "",
                                 options->endpoints[i].name);
    return text;
}

static uint32_t number_of(struct start_options *options, const char *name,
                          struct refusal *refusal) {
    const struct endpoint_plan *plan = find(options, name);
    char names[240];

    if (plan)
        return (uint32_t)(plan - options->endpoints) + 1;
    refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
           "for=%s: no VMM socket is called so, there are %s: say --vmm PATH,name=%s", name,
           names_of_all(options, names, sizeof(names)), name);
    return 0;
}

/* Managers and observers that are bound to one. */
static int bind_all(struct start_options *options, struct refusal *refusal) {
    for (size_t i = 0; i < options->socket_count; i++) {
        struct socket_option *socket = &options->sockets[i];
        if (socket->role == ROLE_VMM || !socket->name)
            continue;
        socket->endpoint = number_of(options, socket->name, refusal);
        if (socket->endpoint == 0)
            return -refusal->error;
    }
    return 0;
}

/* Makes a limit that nobody asked for large enough; one that somebody did must be. */
static int fit_limit(struct start_options *options, enum resource resource,
                     struct refusal *refusal) {
    const char *name = resource_names[resource];
    uint32_t *limit = limits_find(&options->limits, name);
    uint64_t needed = 0, each = *limits_find(&least, name);

    for (uint32_t i = 0; i < options->endpoint_count; i++)
        needed += options->endpoints[i].given[resource];
    if (resource == RESOURCE_CONNECTIONS && needed > 0)
        needed += needed / 4 + 1; /* managers and observers keep an eighth and a sixteenth of all */
    if (needed > LIMITS_LARGEST)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "what the VMM sockets have by %s=N needs %llu in all, and there may be %d",
                      name, (unsigned long long)needed, LIMITS_LARGEST);
    if (*limits_find(&options->asked, name) && needed > *limit)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "what the VMM sockets have by %s=N needs --limit %s=%llu", name, name,
                      (unsigned long long)needed);
    for (uint32_t i = 0; i < options->endpoint_count; i++)
        needed += options->endpoints[i].given[resource] ? 0 : each;
    if (!*limits_find(&options->asked, name) && needed > *limit)
        *limit = needed < LIMITS_LARGEST ? (uint32_t)needed : LIMITS_LARGEST;
    return 0;
}

int endpoints_plan(struct start_options *options, struct refusal *refusal) {
    int result = join_all(options, refusal);

    if (result == 0)
        result = bind_all(options, refusal);

    for (enum resource resource = 0; resource < RESOURCES && result == 0; resource++)
        result = fit_limit(options, resource, refusal);
    return result;
}
