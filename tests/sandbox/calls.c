/* SPDX-License-Identifier: MIT */
/* System calls tried for real, in the state that confine_enter() and
 * confine_seal() reach. One process does the first half; for each attempt a
 * child of its own does the second, makes one call, and dies of it or not. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"

#include "cage.h"
#include "confine/filter.h"
#include "reference.h"

#define SURVIVED 42

enum abi { NATIVE, X32, I386 };

static const char *const abi_names[] = {"native", "x32", "i386"};

/* ------------------------------------------------------- inside the process */

/* A child seals itself and tries. Returns whether it lived; -1 if it ended in
 * any way but these two. */
static int survives(const struct cage *cage, enum abi abi, long number,
                    const unsigned long *arguments) {
    struct cage sealed = *cage;
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (confine_seal(&sealed.plan, &sealed.report) < 0)
            cage_exit(1);
        if (abi == I386)
            cage_call_i386(number, arguments);
        else
            cage_call(abi == X32 ? number | 0x40000000 : number, arguments);
        cage_exit(SURVIVED);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SURVIVED)
        return 1;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && !WCOREDUMP(status) ? 0 : -1;
}

/* Whether it went as it should, with a word about it if it did not. */
static bool tried(const struct cage *cage, enum abi abi, long number,
                  const unsigned long *arguments, bool wanted) {
    int result = survives(cage, abi, number, arguments);

    if (result == wanted)
        return true;
    fprintf(stderr, "# %s call %ld(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx): %s\n", abi_names[abi],
            number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
            arguments[5],
            result < 0 ? "odd end"
            : result   ? "lives"
                       : "dies");
    return false;
}

static const struct reference_call *call_find(long number) {
    for (size_t i = 0; i < REFERENCE_CALLS; i++)
#ifdef __x86_64__
        if (reference_calls[i].x86_64 == number)
#else
        if (reference_calls[i].generic == number)
#endif
            return &reference_calls[i];
    return NULL;
}

/* Linux lets these past all seccomp filters (uretprobe since 6.11, uprobe since
 * 6.18): they return from a probe that a tracer with CAP_SYS_ADMIN has set, and
 * fail anywhere else. */
static bool kernel_exempts(enum abi abi, long number) {
#ifdef __x86_64__
    return abi == NATIVE && (number == 335 || number == 336);
#else
    (void)abi, (void)number;
    return false;
#endif
}

/* Every number under one ABI. The argument is what exit_group would end with. */
static int numbers_all(struct cage *cage, enum abi abi) {
    bool right = true;

    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    for (long number = 0; number < 1024; number++) {
        struct attempt attempt = {.arguments = {SURVIVED}};
        const struct reference_call *call = abi == NATIVE ? call_find(number) : NULL;
        if (kernel_exempts(abi, number))
            continue;
        if (call)
            attempt.call = call->name;
        right &= tried(cage, abi, number, attempt.arguments,
                       call && reference_allows(&cage->plan, O_DIRECT, &attempt));
    }
    return right ? 0 : 1;
}

static int numbers_native(struct cage *cage) {
    return numbers_all(cage, NATIVE);
}

/* Whether a rule says anything of this argument of the call. */
static bool is_checked(const char *call, unsigned index) {
    for (size_t i = 0; i < filter_rule_count; i++)
        for (size_t j = 0; j < FILTER_MAX_ARGUMENTS; j++)
            if (!strcmp(filter_rules[i].call, call) && filter_rules[i].arguments[j].test &&
                filter_rules[i].arguments[j].index == index)
                return true;
    return false;
}

/* Each example lives; with any bit of a checked argument changed it goes as the
 * reference says. */
static int bits_all(struct cage *cage) {
    struct attempt examples[REFERENCE_MAX_EXAMPLES];
    size_t count = reference_examples(&cage->plan, O_DIRECT, examples);
    bool right = true;

    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    for (size_t i = 0; i < count; i++) {
        long number = seccomp_syscall_resolve_name(examples[i].call);
        right &= tried(cage, NATIVE, number, examples[i].arguments, true);
        for (int bit = 0; bit < 6 * 64; bit++) {
            struct attempt attempt = examples[i];
            if (!is_checked(attempt.call, bit / 64))
                continue;
            attempt.arguments[bit / 64] ^= UINT64_C(1) << bit % 64;
            right &= tried(cage, NATIVE, number, attempt.arguments,
                           reference_allows(&cage->plan, O_DIRECT, &attempt));
        }
    }
    return right ? 0 : 1;
}

/* Nothing dies of the filter that only logs. */
static int log_only(struct cage *cage) {
    const unsigned long nothing[6] = {0};

    cage->plan.mode = CONFINE_LOG;
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(survives(cage, NATIVE, SYS_getpid, nothing) == 1);
    CAGE_CHECK(survives(cage, NATIVE, SYS_close, nothing) == 1);
    CAGE_CHECK(confine_seal(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_outcome(cage, "seccomp") == CONFINE_PARTLY);
    CAGE_CHECK(strstr(cage->report.stages[cage->report.count - 1].detail, "only logs"));
    return 0;
}

/* ------------------------------------------------------------------- tests */

static void test_numbers_as_root(void **state) {
    cage_test(AS_ROOT, numbers_native);
}

static void test_numbers_as_user(void **state) {
    cage_test(AS_USER, numbers_native);
}

#ifdef __x86_64__
static int numbers_x32(struct cage *cage) {
    return numbers_all(cage, X32);
}

static int numbers_i386(struct cage *cage) {
    return numbers_all(cage, I386);
}

static void test_numbers_x32(void **state) {
    cage_test(AS_USER, numbers_x32);
}

static int i386_getpid(struct cage *cage) {
    const unsigned long nothing[6] = {0};
    (void)cage;
    return cage_call_i386(20, nothing) > 0 ? 0 : 1;
}

static void test_numbers_i386(void **state) {
    /* Without that ABI it is no system call at all, and ends in SIGSEGV. */
    if (cage_run(AS_USER, i386_getpid) != 0)
        skip();
    cage_test(AS_USER, numbers_i386);
}
#endif

static void test_bits_as_root(void **state) {
    cage_test(AS_ROOT, bits_all);
}

static void test_bits_as_user(void **state) {
    cage_test(AS_USER, bits_all);
}

static void test_log_only(void **state) {
    cage_test(AS_USER, log_only);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_numbers_as_root), oracle_test(test_numbers_as_user),
#ifdef __x86_64__
        oracle_test(test_numbers_x32),     oracle_test(test_numbers_i386),
#endif
        oracle_test(test_bits_as_root),    oracle_test(test_bits_as_user),
        oracle_test(test_log_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
