/* SPDX-License-Identifier: MIT */
/* What managers hear. Whoever opens makes events, and a manager that is late loses the oldest:
 * an attacker that wants, without end, what will never come must not leave a victim waiting
 * whose manager does what it is told to do: take what is wanted, and ask where it was told of
 * a loss. */
#include "acts.h"
#include "events.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WISHES      8
#define LONG_WISHES 200

/* More events than a socket and the shortest queue keep. */
#define LATE 80

#define WISH_BYTES 40

static void fulfil(struct helper *helper, const char *path) {
    struct new_member member = {.fd = scene_log()};

    client_add_new(helper->manager, (struct new_set){.set = SET_NEW,
                                                     .lifetime = LIFETIME(ONCE),
                                                     .members = &member,
                                                     .count = 1,
                                                     .name = path + strlen("/dev/fdset/")});
}

/* Of the waiting opens that a Query lists. */
static bool is_listed(struct helper *helper, const char *path) {
    const Cursor *after = NULL;
    Cursor next;

    do {
        QueryReply *page = client_query(helper->manager, SET_ALL, after);
        for (size_t i = 0; i < page->n_waiting; i++)
            if (strcmp(page->waiting[i]->path, path) == 0)
                return true;
        if (!page->next)
            return false;
        next = *page->next;
        after = &next;
    } while (true);
}

/* As a manager does: by the event, or after a loss by the list. */
static void serve_wish(struct helper *helper, struct subscriber *events, const char *path) {
    uint64_t lost = events->lost;

    for (;;) {
        Event *event = event_next(events);
        if (event->kind == EVENT(WANTED) && strcmp(event->path, path) == 0)
            break;
        if (events->lost > lost && is_listed(helper, path))
            break;
        lost = events->lost;
    }
    fulfil(helper, path);
}

static uint64_t run(struct helper *helper, bool late) {
    struct subscriber events = subscriber_begin(helper, (int[]){EVENT(WANTED)}, 1);
    int wishes = scene_is_long() ? LONG_WISHES : WISHES;

    for (int i = 0; i < wishes; i++) {
        char path[WISH_BYTES];
        snprintf(path, sizeof(path), "/dev/fdset/wish%d", i);
        uint32_t serial = client_begin_open(helper->vmm, path, O_RDONLY, WAIT_FOREVER_MS);
        unsigned long before = attack_served();
        wait_until(!late || attack_served() > before + LATE);
        serve_wish(helper, &events, path);
        struct opened opened = client_opened(helper->vmm, serial);
        assert_serves(opened.fd, scene_log(), O_RDONLY);
        client_close(helper->vmm, &opened);
    }
    client_hang_up(events.client);
    return events.lost;
}

static const struct attack *in_vain(void) {
    for (int i = 0; i < ATTACKS; i++)
        if (strcmp(attacks[i].name, "two_that_wait_a_millisecond") == 0)
            return &attacks[i];
    return NULL;
}

static void test_a_manager_that_listens(void **state) {
    struct helper *helper = acts_start();

    attack_begin(helper, in_vain());
    run(helper, false);
    attack_end(helper);
}

/* So late that the victim's event is lost. */
static void test_a_manager_that_is_late(void **state) {
    struct helper *helper = scene_start((const char *[]){"--limit", "events=8", NULL});

    attack_begin(helper, in_vain());
    assert_true(run(helper, true) > 0);
    attack_end(helper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_manager_that_listens),
        helper_test(test_a_manager_that_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
