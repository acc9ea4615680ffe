/* Simulates a disk that fails on command, between a program and its files.
 *
 *     cc -shared -fPIC -o disk.so disk.c -ldl -lpthread
 *     LD_PRELOAD=disk.so DISK_FILES=/a/directory DISK_COMMANDS=/another program
 *
 * Calls that change files below DISK_FILES (absolute paths) are serialised. Files in DISK_COMMANDS control them:
 *
 *     fatal     The number of a crash point, counted from 1 since the file exists; the process is killed there. Crash points:
 *               before each call, in the middle of each write, and after each sync.
 *     full      Files grow only by as much as others have shrunk since.
 *     journal   Each completed call is appended; see `struct record`.
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

/* The header of a record; the path and the data follow. */
struct record {
    uint64_t kind;
    uint64_t inode;
    uint64_t offset;
    uint64_t path_bytes;
    uint64_t data_bytes;
};

static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long crash_point;
static uint64_t space;

static int is_ours(const char *path) {
    const char *files = getenv("DISK_FILES");
    size_t length = files ? strlen(files) : 0;
    return length && !strncmp(path, files, length) && (path[length] == '/' || path[length] == 0);
}

/* Returns whether an open file is ours, and writes its path. */
static int is_open_and_ours(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return is_ours(path);
}

static int open_command(const char *name, int flags) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", getenv("DISK_COMMANDS"), name);
    return REAL(open)(path, flags | O_CLOEXEC);
}

static void pass_crash_point(void) {
    char number[32] = "";
    int fatal = open_command("fatal", O_RDONLY);
    if (fatal < 0) {
        crash_point = 0;
        return;
    }
    ssize_t length = read(fatal, number, sizeof number - 1);
    close(fatal);
    crash_point += 1;
    if (length > 0 && crash_point == strtoul(number, NULL, 10)) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

/* Reserves space; returns whether it is exhausted. */
static int is_full(uint64_t bytes) {
    int full = open_command("full", O_RDONLY);
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

static void record(char kind, int file, uint64_t offset, const char *path, const void *data, size_t size) {
    int error = errno, journal = open_command("journal", O_WRONLY | O_APPEND);
    if (journal >= 0) {
        uint64_t inode = file < 0 ? 0 : status_of(file).st_ino;
        struct record head = {(unsigned char)kind, inode, offset, strlen(path), size};
        struct iovec parts[] = {{&head, sizeof head}, {(void *)path, strlen(path)}, {(void *)data, size}};
        if (writev(journal, parts, 3) < 0) abort();
        close(journal);
    }
    errno = error;
}

static void begin(void) {
    pthread_mutex_lock(&call_lock);
    pass_crash_point();
}

static int end(int outcome) {
    pthread_mutex_unlock(&call_lock);
    return outcome;
}

static int open_file(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!(flags & (O_CREAT | O_TRUNC)) || !is_ours(path)) return real(path, flags, mode);
    begin();
    int is_there = access(path, F_OK) == 0;
    int file = real(path, flags, mode);
    if (file >= 0 && !is_there) record('c', file, 0, path, "", 0);
    if (file >= 0 && is_there && (flags & O_TRUNC)) record('t', file, 0, path, "", 0);
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

/* Writes in two halves with a crash point between them. */
static ssize_t write_at(int file, const char *path, const void *data, size_t size, off64_t offset) {
    size_t done = 0, half = size / 2;
    begin();
    off64_t growth = offset + (off64_t)size - status_of(file).st_size;
    if (growth > 0 && is_full(growth)) return end(-1);
    ssize_t written = REAL(pwrite64)(file, data, half, offset);
    if (written == (ssize_t)half) {
        done = half;
        pass_crash_point();
        written = REAL(pwrite64)(file, (const char *)data + half, size - half, offset + half);
    }
    if (written > 0) done += written;
    if (done) record('w', file, offset, path, data, done);
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
        if (!outcome) record('t', file, length, path, "", 0);                          \
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
        if (!outcome) record('s', file, 0, path, "", 0);                               \
        pass_crash_point();                                                               \
        return end(outcome);                                                         \
    }

SYNC(fsync)
SYNC(fdatasync)

int mkdir(const char *path, mode_t mode) {
    if (!is_ours(path)) return REAL(mkdir)(path, mode);
    begin();
    int outcome = REAL(mkdir)(path, mode);
    if (!outcome) record('d', -1, 0, path, "", 0);
    return end(outcome);
}

int unlink(const char *path) {
    if (!is_ours(path)) return REAL(unlink)(path);
    begin();
    struct stat status = {0};
    stat(path, &status);
    space += status.st_size;
    int outcome = REAL(unlink)(path);
    if (!outcome) record('u', -1, 0, path, "", 0);
    return end(outcome);
}

int rename(const char *from, const char *to) {
    if (!is_ours(to)) return REAL(rename)(from, to);
    begin();
    int outcome = REAL(rename)(from, to);
    if (!outcome) record('r', -1, 0, from, to, strlen(to));
    return end(outcome);
}
