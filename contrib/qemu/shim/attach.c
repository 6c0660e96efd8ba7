/* SPDX-License-Identifier: MIT */
/* The connection: made by the first open of a set, kept for good.
 *
 * Not earlier, since QEMU daemonises first, and wrappers such as env(1) have
 * the library loaded, too, before they execute QEMU. */
#include "attach.h"

#include "libc.h"
#include "marks.h"
#include "number.h"
#include "open_leases.h"
#include "say.h"
#include "spawn.h"
#include "wire/own.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct fdset_vmm *_Atomic connection;
static pid_t owner; /* this process; a child of vfork(2) is another, but has our memory */
static char *home;  /* own_home_make() */
static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int guarded = -1; /* what shim_socket() says */
static bool is_inherited;        /* that is $FDSET_VMM_FD's socket, not attached to yet */
static __thread bool inside __attribute__((tls_model("initial-exec")));

int shim_inherited(const char *text) {
    int fd, type, family;
    socklen_t size = sizeof(type);

    if (!text || !int_parse(text, &fd) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0)
        return -1;
    return type == SOCK_SEQPACKET && family == AF_UNIX ? fd : -1;
}

/* Once, by whoever is first: another library's constructor may open a set before ours runs. */
static void inherited_find(void) {
    static bool is_found;

    if (is_found)
        return;
    is_found = own_descriptors_hide = true;
    owner = getpid();
    home = own_home_make();
    guarded = shim_inherited(getenv("FDSET_VMM_FD"));
    is_inherited = guarded >= 0;
}

/* Not before it is attached to: whatever is executed before has a right to it, too. */
static int attach_inherited(struct fdset_vmm **vmm) {
    static bool is_told;

    if (!is_inherited) {
        if (!is_told)
            shim_complain("FDSET_VMM_FD=%s is not a socket to fdset-helper",
                          getenv("FDSET_VMM_FD"));
        is_told = true;
        return -ENOTCONN;
    }
    is_inherited = false;
    is_told = true;
    guarded = own_descriptor(guarded);
    int error = fdset_vmm_attach_fd(vmm, guarded, NULL);
    if (error < 0)
        shim_complain("%s", fdset_error_text());
    return error;
}

/* By path, as often as somebody asks: a helper may come. It is told once why there is none. */
static int attach_path(struct fdset_vmm **vmm, const char *path) {
    static char told[256];
    char text[sizeof(told)];
    int error = fdset_vmm_attach_path(vmm, path, NULL);

    if (error >= 0)
        return error;
    snprintf(text, sizeof(text), "%s", fdset_error_text());
    if (strcmp(text, told) != 0)
        shim_complain("%s", strcpy(told, text));
    return error;
}

static struct fdset_vmm *attach(void) {
    const char *path = getenv("FDSET_VMM_SOCKET");
    struct fdset_vmm *vmm;
    int error;

    shim_await_start();
    /* The socket of who started this program is not its own, where it names a
     * path as well: so the children of one that inherited it have a way, too. */
    if (getenv("FDSET_VMM_FD") && (!path || is_inherited))
        error = attach_inherited(&vmm);
    else if (path)
        error = attach_path(&vmm, path);
    else
        error = shim_spawn(&vmm);
    if (error < 0) {
        guarded = -1;
        errno = -error;
        return NULL;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): set where there is no error */
    guarded = fdset_vmm_socket(vmm);
    return vmm;
}

bool shim_is_owner(void) {
    return owner == getpid();
}

bool shim_is_inside(void) {
    return inside;
}

struct fdset_vmm *shim_enter(void) {
    if (inside || !connection || !shim_is_owner())
        return NULL;
    inside = true;
    return connection;
}

struct fdset_vmm *shim_enter_for(int fd) {
    return marks_have(fd, MARK_LEASE) ? shim_enter() : NULL;
}

/* The child of a fork has copies of its parent's leases and of the socket. It
 * keeps the socket open with them, so that the helper takes the leases for
 * ended only when the last process that has the descriptors is gone. But it
 * says nothing over it, and attaches anew if it opens something. */
static void child_starts(void) {
    open_leases_forget_all();
    pthread_mutex_init(&attaching, NULL);
    inside = false;
    if (connection)
        guarded = -1;
    connection = NULL;
    owner = getpid();
    if (home)
        *home = 1;
}

/* A child by the system call alone, of which pthread_atfork(3) does not tell. One of vfork(2) is
 * none: a connection that it made would be its parent's, without the descriptor. */
static bool is_silent_child(void) {
    return !shim_is_owner() && home && !*home;
}

struct fdset_vmm *shim_enter_attached(void) {
    inherited_find();
    if (is_silent_child())
        child_starts();
    if (inside || !shim_is_owner()) {
        errno = inside ? EDEADLK : ESTALE;
        return NULL;
    }
    inside = true;
    pthread_mutex_lock(&attaching);
    if (!connection)
        connection = attach();
    pthread_mutex_unlock(&attaching);
    if (!connection)
        inside = false;
    return connection;
}

void shim_leave(void) {
    inside = false;
}

int shim_socket(void) {
    return inside || guarded < 0 || !shim_is_owner() ? -1 : guarded;
}

bool shim_is_socket(int fd) {
    return fd >= 0 && fd == guarded && fd == shim_socket();
}

/* With the lock held. */
static int give_way(void) {
    if (connection) {
        int error = own_socket_move(connection);
        guarded = fdset_vmm_socket(connection);
        return error;
    }
    int copy = own_duplicate(guarded, 0);
    if (copy < 0)
        return -errno;
    guarded = copy;
    return 0;
}

int shim_give_way(int fd) {
    int result = 0;

    if (!shim_is_socket(fd))
        return 0;
    inside = true;
    pthread_mutex_lock(&attaching);
    if (fd == guarded) /* and no other thread was faster */
        result = give_way() < 0 ? -1 : 1;
    pthread_mutex_unlock(&attaching);
    inside = false;
    if (result < 0)
        errno = EBUSY;
    return result;
}

__attribute__((constructor)) static void watch(void) {
    inherited_find();
    pthread_atfork(NULL, NULL, child_starts);
}

/* -------------------------------------------------- before QEMU's own sandbox */

/* That (-sandbox on,spawn=deny) kills it for starting a program. Where no helper was named, one
 * is started while that is still allowed: as the rule is made, which is before any disk is
 * opened. */

/* libseccomp's, of which nothing else is needed here. */
typedef void *scmp_filter_ctx;
struct scmp_arg_cmp;
typedef int rule_add_function(scmp_filter_ctx, uint32_t, int, unsigned,
                              const struct scmp_arg_cmp *);

EXPORTED rule_add_function seccomp_rule_add_array;
EXPORTED int seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call,
                                    unsigned count, const struct scmp_arg_cmp *arguments) {
    rule_add_function *real = dlsym(RTLD_NEXT, "seccomp_rule_add_array");

    if (!real)
        return -ENOSYS; /* as where libseccomp does not know the call */
    if (call == SYS_execve && !getenv("FDSET_VMM_FD") && !getenv("FDSET_VMM_SOCKET") &&
        shim_may_spawn() && shim_enter_attached())
        shim_leave();
    return real(filter, action, call, count, arguments);
}
