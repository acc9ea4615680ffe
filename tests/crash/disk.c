/* A disk that fails when it is told to, between a program and its files.
 *
 *     cc -shared -fPIC -o disk.so disk.c -ldl -lpthread
 *     LD_PRELOAD=disk.so DISK_FILES=/a/directory DISK_ORDERS=/another program
 *
 * The calls that change what is below DISK_FILES, which must be named by absolute paths, are made one at a time. What lies
 * in DISK_ORDERS tells what becomes of them:
 *
 *     fatal     holds the number of a moment, counted from 1 since the file is there: at that moment the process is killed.
 *               Moments are: before each call, half-way through each write, and after each sync.
 *     full      files grow only by as much as others have shrunk since.
 *     journal   each call that has been made is noted at its end; see `struct note`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What stands before the path and the data of a note. */
struct note {
    uint64_t kind;
    uint64_t inode;
    uint64_t offset;
    uint64_t path_bytes;
    uint64_t data_bytes;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static unsigned long moment;
static uint64_t space;

static int is_ours(const char *path) {
    const char *files = getenv("DISK_FILES");
    size_t length = files ? strlen(files) : 0;
    return length && !strncmp(path, files, length) && (path[length] == '/' || path[length] == 0);
}

/* Whether an open file is ours; its path. */
static int is_open_and_ours(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return is_ours(path);
}

static int order(const char *name, int flags) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", getenv("DISK_ORDERS"), name);
    return REAL(open)(path, flags | O_CLOEXEC);
}

static void pass_moment(void) {
    char number[32] = "";
    int fatal = order("fatal", O_RDONLY);
    if (fatal < 0) {
        moment = 0;
        return;
    }
    ssize_t length = read(fatal, number, sizeof number - 1);
    close(fatal);
    moment += 1;
    if (length > 0 && moment == strtoul(number, NULL, 10)) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

/* Takes so many bytes of the space that is left; whether they were not to be had. */
static int is_full(uint64_t bytes) {
    int full = order("full", O_RDONLY);
    if (full < 0) {
        space = 0;
        return 0;
    }
    close(full);
    if (bytes <= space) {
        space -= bytes;
        return 0;
    }
    errno = ENOSPC;
    return 1;
}

static struct stat status_of(int file) {
    struct stat status = {0};
    fstat(file, &status);
    return status;
}

static void note(char kind, int file, uint64_t offset, const char *path, const void *data, size_t size) {
    int error = errno, journal = order("journal", O_WRONLY | O_APPEND);
    if (journal >= 0) {
        uint64_t inode = file < 0 ? 0 : status_of(file).st_ino;
        struct note head = {(unsigned char)kind, inode, offset, strlen(path), size};
        struct iovec parts[] = {{&head, sizeof head}, {(void *)path, strlen(path)}, {(void *)data, size}};
        if (writev(journal, parts, 3) < 0) abort();
        close(journal);
    }
    errno = error;
}

static void begin(void) {
    pthread_mutex_lock(&turn);
    pass_moment();
}

static int end(int outcome) {
    pthread_mutex_unlock(&turn);
    return outcome;
}

static int open_file(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!(flags & (O_CREAT | O_TRUNC)) || !is_ours(path)) return real(path, flags, mode);
    begin();
    int is_there = access(path, F_OK) == 0;
    int file = real(path, flags, mode);
    if (file >= 0 && !is_there) note('c', file, 0, path, "", 0);
    if (file >= 0 && is_there && (flags & O_TRUNC)) note('t', file, 0, path, "", 0);
    return end(file);
}

#define OPEN(name)                                           \
    int name(const char *path, int flags, ...) {             \
        va_list rest;                                        \
        va_start(rest, flags);                               \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, int) : 0; \
        va_end(rest);                                        \
        return open_file(REAL(name), path, flags, mode);     \
    }

OPEN(open)
OPEN(open64)

/* In two halves, and between them is a moment. */
static ssize_t write_at(int file, const char *path, const void *data, size_t size, off64_t offset) {
    size_t done = 0, half = size / 2;
    begin();
    off64_t growth = offset + (off64_t)size - status_of(file).st_size;
    if (growth > 0 && is_full(growth)) return end(-1);
    ssize_t written = REAL(pwrite64)(file, data, half, offset);
    if (written == (ssize_t)half) {
        done = half;
        pass_moment();
        written = REAL(pwrite64)(file, (const char *)data + half, size - half, offset + half);
    }
    if (written > 0) done += written;
    if (done) note('w', file, offset, path, data, done);
    end(0);
    return done || !size ? (ssize_t)done : written;
}

#define PWRITE(name, offset_type)                                                    \
    ssize_t name(int file, const void *data, size_t size, offset_type offset) {      \
        char path[PATH_MAX];                                                         \
        if (!is_open_and_ours(file, path)) return REAL(name)(file, data, size, offset); \
        return write_at(file, path, data, size, offset);                             \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int file, const void *data, size_t size) {
    char path[PATH_MAX];
    if (!is_open_and_ours(file, path)) return REAL(write)(file, data, size);
    int is_appended = fcntl(file, F_GETFL) & O_APPEND;
    off64_t offset = is_appended ? status_of(file).st_size : lseek64(file, 0, SEEK_CUR);
    ssize_t written = write_at(file, path, data, size, offset);
    if (written > 0) lseek64(file, offset + written, SEEK_SET);
    return written;
}

#define TRUNCATE(name, length_type)                                                  \
    int name(int file, length_type length) {                                         \
        char path[PATH_MAX];                                                         \
        if (!is_open_and_ours(file, path)) return REAL(name)(file, length);          \
        begin();                                                                     \
        off64_t growth = length - status_of(file).st_size;                           \
        if (growth > 0 && is_full(growth)) return end(-1);                           \
        if (growth < 0) space -= growth;                                             \
        int outcome = REAL(name)(file, length);                                      \
        if (!outcome) note('t', file, length, path, "", 0);                          \
        return end(outcome);                                                         \
    }

TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                                   \
    int name(int file) {                                                             \
        char path[PATH_MAX];                                                         \
        if (!is_open_and_ours(file, path)) return REAL(name)(file);                  \
        begin();                                                                     \
        int outcome = REAL(name)(file);                                              \
        if (!outcome) note('s', file, 0, path, "", 0);                               \
        pass_moment();                                                               \
        return end(outcome);                                                         \
    }

SYNC(fsync)
SYNC(fdatasync)

int mkdir(const char *path, mode_t mode) {
    if (!is_ours(path)) return REAL(mkdir)(path, mode);
    begin();
    int outcome = REAL(mkdir)(path, mode);
    if (!outcome) note('d', -1, 0, path, "", 0);
    return end(outcome);
}

int unlink(const char *path) {
    if (!is_ours(path)) return REAL(unlink)(path);
    begin();
    struct stat status = {0};
    stat(path, &status);
    space += status.st_size;
    int outcome = REAL(unlink)(path);
    if (!outcome) note('u', -1, 0, path, "", 0);
    return end(outcome);
}

int rename(const char *from, const char *to) {
    if (!is_ours(to)) return REAL(rename)(from, to);
    begin();
    int outcome = REAL(rename)(from, to);
    if (!outcome) note('r', -1, 0, from, to, strlen(to));
    return end(outcome);
}
