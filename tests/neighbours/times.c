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

/* --------------------------------------------------------------------- attacks */

/* Ask for more than the kernel lets a user have on its way, and read nothing. */
static void hoard(struct helper *helper, int connections) {
    for (int i = 0; i < connections; i++) {
        struct client *attacker = attacker_connect(helper);
        for (int packet = 0; attacker && packet < 3; packet++)
            attacker_ask(attacker, FDSET_MAX_OPENS);
    }
    attack_settles(helper);
}

static void hoard_by_two(struct helper *helper) {
    hoard(helper, 2);
}

static void hoard_by_ten(struct helper *helper) {
    hoard(helper, 10);
}

static void hoard_by_fifty(struct helper *helper) {
    hoard(helper, 50);
}

static void say_nothing(struct helper *helper) {
    while (helper_try_connect(helper, ROLE(VMM)) && client_totals(helper->manager).connections < 40)
        ;
}

/* What lies there and does nothing more, while the victim is served. */
static const struct {
    const char *name;
    void (*prepare)(struct helper *helper);
} burdens[] = {
    {"two_that_never_read", hoard_by_two},     {"ten_that_never_read", hoard_by_ten},
    {"fifty_that_never_read", hoard_by_fifty}, {"some_that_say_nothing", say_nothing},
    {"full_tables", acts_fill_tables},         {"full_tables_and_a_crowded_set", acts_fill_all},
};

#define BURDENS ((int)(sizeof(burdens) / sizeof(burdens[0])))

/* The one that is measured: an attack, or a burden. */
struct row {
    const char *name;
    const struct attack *attack;
    void (*prepare)(struct helper *helper);
};

static struct row rows[ATTACKS + BURDENS];
static int row_count, next;

static struct spread measure_beside(struct helper *helper, const struct row *row) {
    struct spread beside;

    if (row->prepare)
        row->prepare(helper);
    else
        attack_begin(helper, row->attack);
    unsigned long before = attack_served();
    pin(0, 0, 2);
    beside = measure(helper);
    pin(0, 1, 0);
    if (row->attack) {
        assert_true(attack_served() > before);
        attack_end(helper);
    }
    return beside;
}

static void test_row(void **state) {
    const struct row *row = &rows[next++];
    struct figures figures;

    for (int pair = 0; pair < PAIRS; pair++) {
        struct helper *helper = acts_start();
        pin_helper(helper);
        pin(0, 0, 2);
        struct spread alone = measure(helper);
        pin(0, 1, 0);
        note(&figures, pair, alone, measure_beside(helper, row));
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
    report(row->name, &figures, row->attack ? GATE * BUSY : GATE);
}

/* All, or those that have one of the words in their names. */
static bool is_wanted(const char *name, char **words) {
    if (!*words)
        return true;
    for (; *words; words++)
        if (strstr(name, *words))
            return true;
    return false;
}

int main(int argc, char **argv) {
    struct CMUnitTest tests[ATTACKS + BURDENS];

    for (int i = 0; i < ATTACKS; i++)
        if (is_wanted(attacks[i].name, argv + 1))
            rows[row_count++] = (struct row){attacks[i].name, .attack = &attacks[i]};
    for (int i = 0; i < BURDENS; i++)
        if (is_wanted(burdens[i].name, argv + 1))
            rows[row_count++] = (struct row){burdens[i].name, .prepare = burdens[i].prepare};
    for (int i = 0; i < row_count; i++)
        tests[i] = (struct CMUnitTest){rows[i].name, test_row, harness_begin, harness_end, NULL};
    print_message("%-38s %7s %7s   %7s %7s   %5s %4s\n", "microseconds of an open", "alone", "p99",
                  "beside", "p99", "times", "gate");
    return _cmocka_run_group_tests("times", tests, (size_t)row_count, NULL, NULL);
}
