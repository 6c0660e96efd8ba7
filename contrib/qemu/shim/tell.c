/* SPDX-License-Identifier: MIT */
/* Finds the joint, keeps it out of the program's way, and tells. */
#include "tell.h"

#include "attach.h"
#include "say.h"
#include "wire/own.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic int joint = -1;
static bool is_moved;
static pthread_mutex_t moving = PTHREAD_MUTEX_INITIALIZER;

/* In a child that has done nothing else yet: it closes what it does not want to pass on, and
 * its parent has it still. */
static _Atomic bool is_quiet;

static void child_starts(void) {
    is_quiet = true;
    pthread_mutex_init(&moving, NULL);
}

/* It stays where it is until it is used: what is executed before has a right to it, too. */
__attribute__((constructor)) static void joint_find(void) {
    joint = shim_inherited(getenv("FDSET_JOINT_FD"));
    pthread_atfork(NULL, NULL, child_starts);
}

bool shim_is_joined(void) {
    return joint >= 0;
}

int shim_joint(void) {
    return shim_is_inside() || !shim_is_owner() ? -1 : joint;
}

bool shim_is_joint(int fd) {
    return fd >= 0 && fd == joint && fd == shim_joint();
}

/* With the lock held. The old one is still open, and no longer ours. */
static bool move_from(int lowest) {
    int copy = own_duplicate(joint, lowest);

    is_moved = true;
    if (copy >= 0)
        joint = copy;
    return copy >= 0;
}

bool shim_tell(const struct joint_message *message, const int fds[2]) {
    static atomic_flag is_said = ATOMIC_FLAG_INIT;

    is_quiet = is_quiet && message->kind == JOINT_PORTAL_CLOSED;
    if (joint < 0 || is_quiet || !shim_is_owner())
        return false;
    pthread_mutex_lock(&moving);
    int old = joint;
    if (!is_moved && move_from(old + 1))
        close(old);
    int error = joint_send(joint, message, fds);
    pthread_mutex_unlock(&moving);
    if (error < 0 && !atomic_flag_test_and_set(&is_said))
        shim_complain("the relay of fdset-qemu has gone: monitors are shut, and what is open "
                      "stays open");
    return error == 0;
}

int shim_joint_give_way(int fd) {
    int result = 0;

    if (!shim_is_joint(fd))
        return 0;
    pthread_mutex_lock(&moving);
    if (fd == joint)
        result = move_from(0) ? 1 : -1;
    pthread_mutex_unlock(&moving);
    if (result < 0)
        errno = EBUSY;
    return result;
}
