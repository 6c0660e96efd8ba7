/* The connection: made by the first open of a set, kept for good.
 *
 * Not earlier, since QEMU daemonises first, and wrappers such as env(1) have
 * the library loaded, too, before they execute QEMU. */
#include "real.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static struct fdset_vmm *_Atomic connection;
static pid_t owner; /* who has it; valid while there is one */
static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int guarded = -1; /* what shim_socket() says */
static __thread bool inside __attribute__((tls_model("initial-exec")));

void shim_complain(const char *format, ...) {
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "libfdset-preload: %s\n", text);
}

bool shim_is_verbose(void) {
    return getenv("FDSET_PRELOAD_VERBOSE");
}

/* The number in $FDSET_VMM_FD if that is a socket of the right kind, else -1:
 * in a program that an attached QEMU has started, the number may mean anything. */
static int inherited_socket(void) {
    const char *text = getenv("FDSET_VMM_FD");
    int type, family;
    socklen_t size = sizeof type;
    char *rest;

    if (!text || !*text)
        return -1;
    long fd = strtol(text, &rest, 10);
    if (*rest || fd < 0 || fd > 0x7fffffff ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0)
        return -1;
    return type == SOCK_SEQPACKET && family == AF_UNIX ? fd : -1;
}

/* Moves the socket to where no program expects a descriptor of its own, and
 * keeps it from programs that this one executes. */
static int attach_inherited(struct fdset_vmm **vmm) {
    struct rlimit limit = {.rlim_cur = 1024};
    int fd = inherited_socket();

    if (fd < 0) {
        shim_complain("FDSET_VMM_FD=%s is no socket to fdset-helper", getenv("FDSET_VMM_FD"));
        return -ENOTCONN;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > 65536)
        limit.rlim_cur = 65536;
    int high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur * 7 / 8));
    if (high < 0)
        return -errno;
    REAL(close)(fd);
    guarded = high;
    return fdset_vmm_attach_fd(vmm, high, NULL);
}

static struct fdset_vmm *attach(void) {
    const char *path = getenv("FDSET_VMM_SOCKET");
    struct fdset_vmm *vmm;
    int error;

    /* The socket of who started this program is not its own, where it names a
     * path as well: so the children of one that inherited it have a way, too. */
    if (getenv("FDSET_VMM_FD") && (!path || inherited_socket() >= 0))
        error = attach_inherited(&vmm);
    else if (path)
        error = fdset_vmm_attach_path(&vmm, path, NULL);
    else
        error = shim_spawn(&vmm);
    if (error < 0) {
        if (error != -ENOTCONN) /* of which has been told */
            shim_complain("%s", fdset_error_text());
        guarded = -1;
        errno = -error;
        return NULL;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): set where there is no error */
    guarded = fdset_vmm_socket(vmm);
    owner = getpid();
    return vmm;
}

/* In the process that attached; in a vfork(2) child, which shares the memory
 * but not the process id, it is not. */
static bool is_owner(void) {
    return owner == getpid();
}

struct fdset_vmm *shim_enter(void) {
    if (inside || !connection || !is_owner())
        return NULL;
    inside = true;
    return connection;
}

struct fdset_vmm *shim_enter_for(int fd) {
    return holdings_may_be(fd) ? shim_enter() : NULL;
}

struct fdset_vmm *shim_enter_attached(void) {
    if (inside || (connection && !is_owner())) {
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
    return inside || (connection && !is_owner()) ? -1 : guarded;
}

bool shim_is_socket(int fd) {
    return fd >= 0 && fd == guarded && fd == shim_socket();
}

/* The child of a fork has copies of its parent's leases and of the socket. It
 * keeps the socket open with them, so that the helper takes the leases for
 * ended only when the last process that has the descriptors is gone. But it
 * says nothing over it, and attaches anew if it opens something. */
static void child_starts(void) {
    holdings_forget_all();
    pthread_mutex_init(&attaching, NULL);
    inside = false;
    if (connection)
        guarded = -1;
    connection = NULL;
}

__attribute__((constructor)) static void watch(void) {
    guarded = inherited_socket();
    pthread_atfork(NULL, NULL, child_starts);
}
