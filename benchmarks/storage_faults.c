/* Make the n-th write to a folder fail, and those after it: loaded with LD_PRELOAD by storage_faults.py.
 *
 * A write is any call that creates, fills, renames, links, removes or changes a file below the folder. fault_arm
 * begins the count at zero; each write is printed to the file descriptor given to fault_trace.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long counted, failing, lasting;
static int code, trace_fd = -1, armed;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real_of(#name))

static void *real_of(const char *name) { return dlsym(RTLD_NEXT, name); }

/* first: number of the first write that fails, 0 for none; number: how many fail, -1 for all that follow. */
void fault_arm(const char *folder, long first, long number, int error, int trace) {
    strncpy(root, folder, sizeof root - 1);
    counted = 0, failing = first, lasting = number, code = error, trace_fd = trace, armed = 1;
}

long fault_disarm(void) { armed = 0; return counted; }

static int fails(const char *call, const char *path, int removal) {
    int error = 0;
    if (!armed || strncmp(path, root, strlen(root)) != 0) return 0;
    pthread_mutex_lock(&mutex);
    counted++;
    if (trace_fd >= 0) dprintf(trace_fd, "%ld %s %s\n", counted, call, path + strlen(root));
    if (failing && counted >= failing && (lasting < 0 || counted < failing + lasting)) error = code;
    pthread_mutex_unlock(&mutex);
    /* Nothing is needed to remove a file, but a disk that can be written. */
    if (removal && (error == ENOSPC || error == EDQUOT)) error = 0;
    if (error) errno = error;
    return error;
}

static int at_fails(const char *call, int folder, const char *path, int removal) {
    char whole[PATH_MAX * 2], link[64];
    ssize_t length = 0;
    if (!armed || !path) return 0;
    if (path[0] == '/') return fails(call, path, removal);
    if (folder == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
        length = strlen(whole);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, whole, PATH_MAX - 1);
        if (length < 0) return 0;
    }
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return fails(call, whole, removal);
}

static int fd_fails(const char *call, int fd) {
    char path[PATH_MAX], link[64];
    int saved = errno;
    if (!armed || fd == trace_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path, 0);
}

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC); }

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) {
    MODE(flags)
    if (writes(flags) && at_fails("open", AT_FDCWD, path, 0)) return -1;
    return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    if (writes(flags) && at_fails("open", AT_FDCWD, path, 0)) return -1;
    return REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    if (writes(flags) && at_fails("open", folder, path, 0)) return -1;
    return REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    if (writes(flags) && at_fails("open", folder, path, 0)) return -1;
    return REAL(openat64)(folder, path, flags, mode);
}
FILE *fopen(const char *path, const char *mode) {
    if (strpbrk(mode, "wa+") && at_fails("open", AT_FDCWD, path, 0)) return NULL;
    return REAL(fopen)(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
    if (strpbrk(mode, "wa+") && at_fails("open", AT_FDCWD, path, 0)) return NULL;
    return REAL(fopen64)(path, mode);
}
#define FD(type, name, parameters, arguments) \
    type name parameters { if (fd_fails(#name, fd)) return -1; return REAL(name) arguments; }
FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
FD(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
FD(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
FD(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
FD(int, fsync, (int fd), (fd))
FD(int, fdatasync, (int fd), (fd))
FD(int, ftruncate, (int fd, off_t size), (fd, size))
FD(int, ftruncate64, (int fd, off64_t size), (fd, size))
FD(ssize_t, sendfile, (int fd, int from, off_t *at, size_t size), (fd, from, at, size))
FD(ssize_t, sendfile64, (int fd, int from, off64_t *at, size_t size), (fd, from, at, size))
int posix_fallocate(int fd, off_t at, off_t size) {
    if (fd_fails("fallocate", fd)) return errno;
    return REAL(posix_fallocate)(fd, at, size);
}
ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags) {
    if (fd_fails("copy_file_range", fd)) return -1;
    return REAL(copy_file_range)(from, at, fd, to, size, flags);
}
#define NAMED(name, removal, parameters, folder, path, arguments) \
    int name parameters { if (at_fails(#name, folder, path, removal)) return -1; return REAL(name) arguments; }
NAMED(rename, 0, (const char *from, const char *to), AT_FDCWD, to, (from, to))
NAMED(renameat, 0, (int a, const char *from, int b, const char *to), b, to, (a, from, b, to))
NAMED(link, 0, (const char *from, const char *to), AT_FDCWD, to, (from, to))
NAMED(linkat, 0, (int a, const char *from, int b, const char *to, int flags), b, to, (a, from, b, to, flags))
NAMED(symlink, 0, (const char *from, const char *to), AT_FDCWD, to, (from, to))
NAMED(mkdir, 0, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
NAMED(mkdirat, 0, (int folder, const char *path, mode_t mode), folder, path, (folder, path, mode))
NAMED(chmod, 1, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
NAMED(unlink, 1, (const char *path), AT_FDCWD, path, (path))
NAMED(unlinkat, 1, (int folder, const char *path, int flags), folder, path, (folder, path, flags))
NAMED(rmdir, 1, (const char *path), AT_FDCWD, path, (path))
