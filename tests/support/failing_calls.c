/* Makes system calls on the files of a recording fail: preloaded into the recorder by a test.
 *
 * FAIL_AT=N      the N-th call of the kind fails, and FAIL_TIMES - 1 after it
 * FAIL_KIND      write: writing, syncing, cutting, mapping and creating fail with FAIL_ERRNO;
 *                lock: fcntl's locks fail with EAGAIN; read: what is read of the main
 *                file is garbage (of the log it would be garbage that SQLite copies in good faith)
 *                slow: syncing takes FAIL_MS longer each time
 * FAIL_MARK      this file is created when it happens
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long calls;

/* The recording or a file beside it; with an end, only those that end so. */
static int is_ours_with(int fd, const char *end)
{
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	const char *name = strstr(path, "case.db");
	return name && (!end || !strcmp(name, end));
}

static int is_ours(int fd)
{
	return is_ours_with(fd, NULL);
}

/* Counts a call of a kind, and says whether it is to fail. */
static int fails(const char *kind)
{
	const char *wanted = getenv("FAIL_KIND"), *at = getenv("FAIL_AT");
	if (!wanted || !at || strcmp(wanted, kind))
		return 0;
	const char *times = getenv("FAIL_TIMES");
	long now = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST), first = atol(at);
	if (now < first || now >= first + (times ? atol(times) : 1))
		return 0;
	const char *mark = getenv("FAIL_MARK");
	FILE *file = mark ? fopen(mark, "w") : NULL;
	if (file)
		fclose(file);
	return 1;
}

static int write_fails(int fd)
{
	if (!is_ours(fd) || !fails("write"))
		return 0;
	const char *code = getenv("FAIL_ERRNO");
	errno = code ? atoi(code) : EIO;
	return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	return write_fails(fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	return write_fails(fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size)
{
	return write_fails(fd) ? -1 : REAL(write)(fd, data, size);
}

static void be_slow(int fd)
{
	const char *wanted = getenv("FAIL_KIND"), *ms = getenv("FAIL_MS");
	if (wanted && ms && !strcmp(wanted, "slow") && is_ours(fd))
		usleep(1000 * (useconds_t)atol(ms));
}

int fsync(int fd)
{
	be_slow(fd);
	return write_fails(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	be_slow(fd);
	return write_fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t size)
{
	return write_fails(fd) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	return write_fails(fd) ? -1 : REAL(ftruncate64)(fd, size);
}

void *mmap(void *at, size_t size, int how, int flags, int fd, off_t from)
{
	return fd >= 0 && write_fails(fd) ? MAP_FAILED : REAL(mmap)(at, size, how, flags, fd, from);
}

void *mmap64(void *at, size_t size, int how, int flags, int fd, off64_t from)
{
	return fd >= 0 && write_fails(fd) ? MAP_FAILED : REAL(mmap64)(at, size, how, flags, fd, from);
}

static int open_fails(const char *path, int flags)
{
	if (!(flags & O_CREAT) || !strstr(path, "case.db") || !fails("write"))
		return 0;
	const char *code = getenv("FAIL_ERRNO");
	errno = code ? atoi(code) : EIO;
	return 1;
}

#define MODE(flags, mode)                       \
	mode_t mode = 0;                        \
	if ((flags) & (O_CREAT | __O_TMPFILE)) { \
		va_list more;                   \
		va_start(more, flags);          \
		mode = va_arg(more, mode_t);    \
		va_end(more);                   \
	}

int open(const char *path, int flags, ...)
{
	MODE(flags, mode)
	return open_fails(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE(flags, mode)
	return open_fails(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

static int lock_fails(int fd, int what)
{
	if (what != F_SETLK || !is_ours(fd) || !fails("lock"))
		return 0;
	errno = EAGAIN;
	return 1;
}

#define THIRD(what, third)           \
	va_list more;                \
	va_start(more, what);        \
	void *third = va_arg(more, void *); \
	va_end(more);

int fcntl(int fd, int what, ...)
{
	THIRD(what, third)
	return lock_fails(fd, what) ? -1 : REAL(fcntl)(fd, what, third);
}

int fcntl64(int fd, int what, ...)
{
	THIRD(what, third)
	return lock_fails(fd, what) ? -1 : REAL(fcntl64)(fd, what, third);
}

static ssize_t spoil(int fd, void *data, ssize_t size)
{
	if (size > 0 && is_ours_with(fd, "case.db") && fails("read"))
		memset(data, 0xa5, (size_t)size);
	return size;
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at)
{
	return spoil(fd, data, REAL(pread64)(fd, data, size, at));
}

ssize_t pread(int fd, void *data, size_t size, off_t at)
{
	return spoil(fd, data, REAL(pread)(fd, data, size, at));
}
