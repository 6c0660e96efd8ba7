/* SPDX-License-Identifier: MIT */
/* How long the victim waits for an open beside each attack, by how long it waits alone. A
 * benchmark: p99 beside by p99 alone, both of one helper, the median of several such pairs;
 * it fails where that is more than the gate.
 *
 * Where there are two processors and we may, the helper and the victim have one and go before
 * all else on it, and the attackers have the other: what an attacker takes from the victim
 * through the host's scheduler is not the helper's to prevent. Who attacks keeps the helper as
 * busy as it can, so a fair share of the helper's time is one half, and the gate twice that
 * for attacks that only lie there. */
#include "acts.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS   7
#define SAMPLES 1000
#define WARM_UP 100

#define GATE 3.0
#define BUSY 2.0 /* helper's time is for two */

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return difference < 0 ? -1 : difference > 0;
}

/* ------------------------------------------------------------------ processors */

static void pin(pid_t pid, int processor, int priority) {
    struct sched_param parameters = {.sched_priority = priority};
    cpu_set_t set;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(pid, sizeof(set), &set);
    /* Not inherited by attackers. */
    sched_setscheduler(pid, (priority ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK,
                       &parameters);
}

static void pin_helper(const struct helper *helper) {
    char path[64];
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/task", helper->pid);
    DIR *tasks = opendir(path);
    while (tasks && (entry = readdir(tasks)))
        if (atoi(entry->d_name) > 0)
            pin(atoi(entry->d_name), 0, 1);
    if (tasks)
        closedir(tasks);
}

/* ------------------------------------------------------------------- measuring */

struct spread {
    double median, p99;
};

static struct spread measure(struct helper *helper) {
    static double samples[SAMPLES];

    for (int i = -WARM_UP; i < SAMPLES; i++) {
        double began = now_us();
        struct opened opened = client_open_set(helper->vmm, VICTIMS, O_RDWR);
        if (i >= 0)
            samples[i] = now_us() - began;
        assert_int_equal(opened.code, 0);
        client_close(helper->vmm, &opened);
    }
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    return (struct spread){samples[SAMPLES / 2], samples[SAMPLES * 99 / 100]};
}

struct figures {
    double alone[PAIRS], beside[PAIRS], alone_p99[PAIRS], beside_p99[PAIRS], ratio[PAIRS];
};

static void note(struct figures *figures, int pair, struct spread alone, struct spread beside) {
    figures->alone[pair] = alone.median;
    figures->beside[pair] = beside.median;
    figures->alone_p99[pair] = alone.p99;
    figures->beside_p99[pair] = beside.p99;
    figures->ratio[pair] = beside.p99 / alone.p99;
}

static double median(double *all) {
    qsort(all, PAIRS, sizeof(all[0]), compare);
    return all[PAIRS / 2];
}

/* Prints one line of the table, and fails what is above its gate. */
static void report(const char *name, struct figures *figures, double gate) {
    double ratio = median(figures->ratio);

    print_message("%-38s %7.1f %7.1f   %7.1f %7.1f   %5.1f  %3.0f  %s\n", name,
                  median(figures->alone), median(figures->alone_p99), median(figures->beside),
                  median(figures->beside_p99), ratio, gate, ratio > gate ? "TOO SLOW" : "");
    if (ratio > gate)
        fail_msg("%s: %.1f times as long as alone, %.0f allowed", name, ratio, gate);
}

/* --------------------------------------------------- attacks that are processes */

static int next;

static void test_row(void **state) {
    const struct attack *attack = &attacks[next++];
    struct figures figures;

    for (int pair = 0; pair < PAIRS; pair++) {
        struct helper *helper = acts_start();
        pin_helper(helper);
        pin(0, 0, 2);
        struct spread alone = measure(helper);
        pin(0, 1, 0);
        attack_begin(helper, attack);
        unsigned long before = attack_served();
        pin(0, 0, 2);
        struct spread beside = measure(helper);
        pin(0, 1, 0);
        assert_true(attack_served() > before);
        attack_end(helper);
        note(&figures, pair, alone, beside);
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
    report(attack->name, &figures, GATE * BUSY);
}

/* ------------------------------------------------------- attacks that lie there */

/* Asks for more than the kernel lets a user have on its way, over `connections`, and reads
 * nothing. */
static void hoard(void **state, const char *name, int connections) {
    struct figures figures;

    for (int pair = 0; pair < PAIRS; pair++) {
        struct helper *helper = acts_start();
        pin_helper(helper);
        pin(0, 0, 2);
        struct spread alone = measure(helper);
        for (int i = 0; i < connections; i++) {
            struct client *attacker = attacker_connect(helper);
            for (int packet = 0; attacker && packet < 3; packet++)
                attacker_ask(attacker, FDSET_MAX_OPENS);
        }
        attack_settles(helper);
        note(&figures, pair, alone, measure(helper));
        pin(0, 1, 0);
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
    report(name, &figures, GATE);
}

static void test_two_hoards(void **state) {
    hoard(state, "two_that_never_read", 2);
}

static void test_ten_hoards(void **state) {
    hoard(state, "ten_that_never_read", 10);
}

static void test_fifty_hoards(void **state) {
    hoard(state, "fifty_that_never_read", 50);
}

int main(void) {
    const CMUnitTestFunction hoards[] = {test_two_hoards, test_ten_hoards, test_fifty_hoards};
    struct CMUnitTest tests[ATTACKS + 3];

    for (int i = 0; i < ATTACKS; i++)
        tests[i] = (struct CMUnitTest){attacks[i].name, test_row, harness_begin, harness_end, NULL};
    for (int i = 0; i < 3; i++)
        tests[ATTACKS + i] =
            (struct CMUnitTest){"hoard", hoards[i], harness_begin, harness_end, NULL};
    print_message("%-38s %7s %7s   %7s %7s   %5s %4s\n", "microseconds of an open", "alone", "p99",
                  "beside", "p99", "times", "gate");
    return _cmocka_run_group_tests("times", tests, ATTACKS + 3, NULL, NULL);
}
