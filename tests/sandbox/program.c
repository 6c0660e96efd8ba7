/* SPDX-License-Identifier: MIT */
/* The filter as a program: what libseccomp made of the table of rules, when the
 * helper was built or, for other architectures, now; run through an interpreter
 * and compared with the hand-written reference, for each architecture that we
 * support. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oracle.h"
#include <linux/audit.h>

#include "bpf.h"
#include "confine/filter.h"
#include "reference.h"

struct architecture {
    const char *name;
    uint32_t token, audit;
    uint64_t direct; /* its O_DIRECT */
    bool generic_numbers;
};

static const struct architecture architectures[] = {
    {"x86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0x4000, false},
    {"aarch64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0x10000, true},
    {"riscv64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, 0x4000, true},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Pointers whose halves are zero, small or full are the likely slips. */
static const struct confine_plan plans[] = {
    {.descriptor_limit = 4096,
     .empty_path = (const char *)0x00007f1240003000,
     .unlock_all = (const struct flock *)0x0000555512345678},
    {.descriptor_limit = 1000,
     .empty_path = (const char *)0x0000000000402010,
     .unlock_all = (const struct flock *)0x0000000000402014},
    {.descriptor_limit = 20000,
     .empty_path = (const char *)0x00007fff00000000,
     .unlock_all = (const struct flock *)0x0000ffffffffffff},
    {.descriptor_limit = 64,
     .empty_path = (const char *)0x0000000100000000,
     .unlock_all = (const struct flock *)0x0000000200000000},
};

/* What is being tried. */
static const struct confine_plan *plan;
static const struct architecture *architecture;
static struct sock_filter program[FILTER_MAX_INSTRUCTIONS];
static size_t program_length;

static int number_of(const char *call) {
    for (size_t i = 0; i < REFERENCE_CALLS; i++)
        if (!strcmp(reference_calls[i].name, call))
            return architecture->generic_numbers ? reference_calls[i].generic
                                                 : reference_calls[i].x86_64;
    fail_msg("no number for %s", call);
    return -1;
}

/* As libseccomp makes it now. */
static size_t program_export(uint32_t token, struct sock_filter *to, size_t room) {
    FILE *file = tmpfile();
    size_t length;

    assert_non_null(file);
    assert_int_equal(filter_export(plan, token, fileno(file)), 0);
    rewind(file);
    length = fread(to, sizeof(*to), room, file);
    assert_in_range(length, 10, room - 1);
    fclose(file);
    return length;
}

/* For this machine's architecture the program that the helper would load. */
static void program_load(const struct confine_plan *of, const struct architecture *on) {
    plan = of;
    architecture = on;
    program_length = architecture->token == seccomp_arch_native()
                         ? filter_make(plan, program)
                         : program_export(architecture->token, program, COUNT(program));
}

static uint32_t run(uint32_t audit, uint32_t number, const uint64_t *arguments) {
    struct seccomp_data data = {number, audit, 0x7f0000001000, {0}};

    memcpy(data.args, arguments, sizeof(data.args));
    return bpf_run(program, program_length, &data);
}

/* The filter and the reference must agree. */
static void check(const struct attempt *attempt) {
    const uint64_t *a = attempt->arguments;
    uint32_t action, wanted;

    action = run(architecture->audit, number_of(attempt->call), a);
    wanted = reference_allows(plan, architecture->direct, attempt) ? SECCOMP_RET_ALLOW
                                                                   : SECCOMP_RET_KILL_PROCESS;
    if (action != wanted)
        fail_msg("%s: %s(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx) gives %#x", architecture->name,
                 attempt->call, a[0], a[1], a[2], a[3], a[4], a[5], action);
}

typedef void trial(const struct attempt *examples, size_t count);

/* For each architecture and plan. */
static void everywhere(trial *trial_run) {
    for (size_t i = 0; i < COUNT(architectures); i++)
        for (size_t j = 0; j < COUNT(plans); j++) {
            struct attempt examples[REFERENCE_MAX_EXAMPLES];
            program_load(&plans[j], &architectures[i]);
            trial_run(examples, reference_examples(plan, architecture->direct, examples));
        }
}

/* ------------------------------------------------------------------ trials */

static void examples_pass(const struct attempt *examples, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_true(reference_allows(plan, architecture->direct, &examples[i]));
        check(&examples[i]);
    }
}

/* Each bit of each argument, alone and with each other bit. */
static void bits_matter(const struct attempt *examples, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (int one = 0; one < 6 * 64; one++)
            for (int other = one; other < 6 * 64; other++) {
                struct attempt attempt = examples[i];
                attempt.arguments[one / 64] ^= UINT64_C(1) << one % 64;
                if (other != one)
                    attempt.arguments[other / 64] ^= UINT64_C(1) << other % 64;
                check(&attempt);
            }
}

/* Each argument replaced by each value that matters anywhere, and its neighbours. */
static void values_mix(const struct attempt *examples, size_t count) {
    static const uint64_t highs[] = {0, 1, 0x80000000, 0xffffffff};

    for (size_t i = 0; i < count; i++)
        for (size_t from = 0; from < count * 6; from++)
            for (int to = 0; to < 6; to++)
                for (int near = -1; near <= 1; near++)
                    for (size_t high = 0; high < COUNT(highs); high++) {
                        struct attempt attempt = examples[i];
                        attempt.arguments[to] =
                            (examples[from / 6].arguments[from % 6] + near) ^ highs[high] << 32;
                        check(&attempt);
                    }
}

/* Every descriptor number below the limit, as close and as settle socket. */
static void descriptors_all(const struct attempt *examples, size_t count) {
    (void)examples, (void)count;
    for (uint64_t fd = 0; fd < plan->descriptor_limit; fd++)
        for (uint64_t high = 0; high <= 1; high++) {
            check(&(struct attempt){"close", {fd | high << 32}});
            check(&(struct attempt){"recvmsg", {fd | high << 32, 0, 0x40000000}});
            check(&(struct attempt){"write", {fd | high << 32}});
        }
}

/* Numbers that are not in the list die whatever the arguments, with any that
 * would be allowed elsewhere. */
static void number_check(uint32_t number, const struct attempt *examples, size_t count) {
    for (size_t i = 0; i < REFERENCE_CALLS; i++)
        if (number == (uint32_t)number_of(reference_calls[i].name))
            return;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(run(architecture->audit, number, examples[i].arguments),
                         SECCOMP_RET_KILL_PROCESS);
}

static void numbers_all(const struct attempt *examples, size_t count) {
    for (uint32_t number = 0; number < 4096; number++) {
        number_check(number, examples, count);
        number_check(number | 0x40000000, examples, count); /* x32 */
        number_check(number | 0x80000000, examples, count);
        number_check(number + 0x0f0000, examples, count); /* ARM's own */
        number_check(-number - 1, examples, count);
    }
}

/* A call that is allowed by its number dies under any other ABI's name. */
static void foreign_abis(const struct attempt *examples, size_t count) {
    static const uint32_t others[] = {AUDIT_ARCH_I386,    AUDIT_ARCH_X86_64, AUDIT_ARCH_ARM,
                                      AUDIT_ARCH_AARCH64, AUDIT_ARCH_PPC,    AUDIT_ARCH_RISCV32,
                                      AUDIT_ARCH_RISCV64, AUDIT_ARCH_S390X,  0,
                                      UINT32_MAX};

    for (size_t i = 0; i < COUNT(others); i++)
        for (size_t j = 0; j < count; j++)
            if (others[i] != architecture->audit)
                assert_int_equal(run(others[i], number_of(examples[j].call), examples[j].arguments),
                                 SECCOMP_RET_KILL_PROCESS);
}

/* ------------------------------------------------------------------- tests */

static void test_examples_pass(void **state) {
    everywhere(examples_pass);
}

static void test_bits_matter(void **state) {
    everywhere(bits_matter);
}

static void test_values_mix(void **state) {
    everywhere(values_mix);
}

static void test_descriptors_all(void **state) {
    everywhere(descriptors_all);
}

static void test_numbers_all(void **state) {
    everywhere(numbers_all);
}

static void test_foreign_abis(void **state) {
    everywhere(foreign_abis);
}

/* Some named attacks, so that nobody has to trust the reference either. */
static void test_attacks_die(void **state) {
    program_load(&plans[0], &architectures[0]);
    const uint64_t unlock = (uintptr_t)plan->unlock_all, empty = (uintptr_t)plan->empty_path;
    const struct attempt attacks[] = {
        {"close", {2}},                                 /* then receive a disk as log */
        {"close", {0x100000002}},                       /* the same to the kernel */
        {"close", {3}},                                 /* then receive what is epoll's */
        {"close", {7}},                                 /* or a socket to wait on */
        {"write", {6}},                                 /* to a disk */
        {"write", {0x200000009}},                       /* the same */
        {"fcntl", {9, 0}},                              /* F_DUPFD */
        {"fcntl", {9, 1030}},                           /* F_DUPFD_CLOEXEC */
        {"fcntl", {9, 2, 0}},                           /* F_SETFD: no close on exec */
        {"fcntl", {9, 4, 0x2000}},                      /* O_ASYNC */
        {"fcntl", {9, 6, unlock}},                      /* F_SETLK */
        {"fcntl", {9, 7, unlock}},                      /* F_SETLKW: hangs */
        {"fcntl", {9, 8, 1}},                           /* F_SETOWN: signals */
        {"fcntl", {9, 10, 9}},                          /* F_SETSIG: which one */
        {"fcntl", {9, 1024, 0}},                        /* F_SETLEASE: holds others up */
        {"fcntl", {9, 1024, 0x100000001}},              /* the same */
        {"flock", {9, 2}},                              /* LOCK_EX: hangs */
        {"flock", {9, 6}},                              /* LOCK_EX | LOCK_NB */
        {"fcntl", {9, 37, unlock + 32}},                /* another lock structure */
        {"fcntl", {9, 37, unlock | UINT64_C(1) << 63}}, /* the same, non-canonical */
        {"fcntl", {9, 38, unlock}},                     /* F_OFD_SETLKW */
        {"fcntl", {9, 1031, 4096}},                     /* F_SETPIPE_SZ */
        {"fcntl", {9, 1033, 15}},                       /* F_ADD_SEALS */
        {"recvmsg", {9, 0, 0x40000000}},                /* waits on a VMM */
        {"recvmsg", {0x900000009, 0, 0x40}},            /* leaks to exec */
        {"recvmsg", {9, 0, 0x02 | 0x40000000}},         /* MSG_PEEK that waits */
        {"recvmsg", {9, 0, 0x42}},                      /* MSG_PEEK that leaks to exec */
        {"sendmsg", {9, 0, 0x4000}},                    /* waits */
        {"sendmsg", {9, 0, 0x40}},                      /* SIGPIPE */
        {"epoll_pwait", {9, 0, 64, 0, 0, 8}},           /* another epoll */
        {"epoll_pwait", {3, 0, 65, 0, 0, 8}},           /* beyond the array */
        {"epoll_pwait", {3, 0, 64, 0, empty, 8}},       /* a signal mask */
        {"statx", {9, empty + 1, 0x5000, 0x7ff}},       /* a path */
        {"statx", {9, 0, 0x5000, 0x7ff}},               /* NULL, as Linux 6.11 takes */
        {"statx", {9, empty, 0x1000, 0x7ff}},           /* asks the server */
        {"statx", {9, empty, 0x5000, 0xfff}},           /* birth time: may ask */
        {"accept4", {9, 0, 0, 0}},                      /* leaks to exec, waits */
        {"accept4", {9, empty, 0, 0x80800}},            /* the kernel writes an address */
        {"epoll_ctl", {9, 1, 9, 0}},                    /* another epoll */
        {"epoll_ctl", {3, 4, 9, 0}},                    /* no such operation */
        {"getsockopt", {9, 1, 59}},                     /* SO_PEERGROUPS */
        {"getsockopt", {9, 6, 17}},                     /* TCP */
    };

    for (size_t i = 0; i < COUNT(attacks); i++) {
        assert_false(reference_allows(plan, architecture->direct, &attacks[i]));
        check(&attacks[i]);
    }
}

/* Where the mode is log, the same attempts pass, and each is logged. */
static void test_log_mode(void **state) {
    struct confine_plan log = plans[0];
    const uint64_t nothing[6] = {0};

    log.mode = CONFINE_LOG;
    program_load(&log, &architectures[0]);
    assert_int_equal(run(AUDIT_ARCH_X86_64, 2 /* open */, nothing), SECCOMP_RET_LOG);
    assert_int_equal(run(AUDIT_ARCH_X86_64, 3 /* close */, nothing), SECCOMP_RET_LOG);
    assert_int_equal(run(AUDIT_ARCH_X86_64, 231 /* exit_group */, nothing), SECCOMP_RET_ALLOW);
    assert_int_equal(run(AUDIT_ARCH_I386, 1, nothing), SECCOMP_RET_KILL_PROCESS);
}

/* Each call of the table is one of the reference and the other way round; each
 * rule and each argument of one says why and what. */
static void test_table_is_whole(void **state) {
    assert_int_equal(filter_call_count(), REFERENCE_CALLS);
    architecture = &architectures[0];
    for (size_t i = 0; i < filter_rule_count; i++) {
        const struct filter_rule *rule = &filter_rules[i];
        number_of(rule->call);
        assert_true(strlen(rule->reason) > 5);
        for (size_t j = 0; j < FILTER_MAX_ARGUMENTS && rule->arguments[j].test; j++)
            assert_non_null(rule->arguments[j].text);
    }
}

/* The cost is what stands before a call in the program; this notices growth. */
static void test_program_is_short(void **state) {
    for (size_t i = 0; i < COUNT(architectures); i++) {
        program_load(&plans[0], &architectures[i]);
        print_message("# %s: %zu instructions\n", architecture->name, program_length);
        assert_in_range(program_length, 50, 250);
    }
}

/* What was written when the helper was built is what libseccomp writes now, for
 * each plan and mode, instruction for instruction. */
static void test_built_is_exported(void **state) {
    static struct sock_filter exported[FILTER_MAX_INSTRUCTIONS];

    for (size_t i = 0; i < COUNT(plans); i++)
        for (enum confine_mode mode = CONFINE_ENFORCE; mode <= CONFINE_LOG; mode++) {
            static struct confine_plan tried;
            tried = plans[i];
            tried.mode = mode;
            plan = &tried;
            program_length = filter_make(plan, program);
            assert_int_equal(program_export(seccomp_arch_native(), exported, COUNT(exported)),
                             program_length);
            assert_memory_equal(program, exported, program_length * sizeof(*program));
        }
}

static void test_bad_descriptor(void **state) {
    assert_int_equal(filter_export(&plans[0], SCMP_ARCH_X86_64, -1), -EBADF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_examples_pass),     oracle_test(test_bits_matter),
        oracle_test(test_values_mix),        oracle_test(test_descriptors_all),
        oracle_test(test_numbers_all),       oracle_test(test_foreign_abis),
        oracle_test(test_attacks_die),       oracle_test(test_log_mode),
        oracle_test(test_table_is_whole),    oracle_test(test_program_is_short),
        oracle_test(test_built_is_exported), oracle_test(test_bad_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
