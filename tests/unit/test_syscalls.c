/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The filters of system calls: what passes, what fails, what kills; each in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscalls.h"

/* The exit status of fn under the filter; negative: the signal that ended it. 255: no filter. */
static int under(enum xe_syscalls who, int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || xe_syscalls_confine(who))
			_exit(255);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* errno, or 0 */
static int opens(void)
{
	return open("/dev/null", O_RDONLY) < 0 ? errno : 0;
}

static int makes_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? errno : 0;
}

static int makes_strange_socket(void)
{
	return socket(AF_ALG, SOCK_SEQPACKET, 0) < 0 ? errno : 0;
}

static int unshares(void)
{
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

static int mounts(void)
{
	return mount("none", "/nowhere", "tmpfs", 0, NULL) ? errno : 0;
}

static int forks(void)
{
	return fork() < 0 ? errno : 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int makes_thread(void)
{
	pthread_t t;
	int err = pthread_create(&t, NULL, nothing, NULL);

	return err ? err : pthread_join(t, NULL);
}

static int signals(void)
{
	return kill(getppid(), SIGUSR1) ? errno : 0;
}

static int asks_who_lives(void)
{
	return kill(getppid(), 0) ? errno : 0;
}

static int writes_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	if (mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	    MAP_FAILED)
		return 2;
	return mprotect(p, 4096, PROT_READ | PROT_EXEC) ? errno : 0;
}

static int executes(void)
{
	char *const argv[] = {"true", NULL};

	execv("/bin/true", argv);
	return 0;
}

static int waits(void)
{
	uint64_t one = 1;
	int fd = eventfd(0, 0);

	return fd >= 0 && write(fd, &one, 8) == 8 && read(fd, &one, 8) == 8 ? 0 : errno;
}

static void worker(void **state)
{
	(void)state;
	assert_int_equal(under(XE_SYSCALLS_WORKER, waits), 0);
	assert_int_equal(under(XE_SYSCALLS_WORKER, opens), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_WORKER, makes_socket), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_WORKER, unshares), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_WORKER, forks), ENOSYS);
	assert_int_not_equal(under(XE_SYSCALLS_WORKER, makes_thread), 0);
	assert_int_equal(under(XE_SYSCALLS_WORKER, asks_who_lives), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_WORKER, writes_code), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_WORKER, executes), -SIGSYS);
}

static void control(void **state)
{
	(void)state;
	assert_int_equal(under(XE_SYSCALLS_CONTROL, waits), 0);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, opens), 0);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, makes_socket), 0);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, makes_strange_socket), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, unshares), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, mounts), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, forks), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, makes_thread), 0);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, signals), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, asks_who_lives), 0);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, writes_code), ENOSYS);
	assert_int_equal(under(XE_SYSCALLS_CONTROL, executes), -SIGSYS);
}

/* As systemd does whose groups of calls do not name seccomp(). */
static bool forbid_seccomp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {4, code};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void under_another_filter(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(!forbid_seccomp() || xe_syscalls_confine(XE_SYSCALLS_WORKER) ||
		      opens() != ENOSYS);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker),
		cmocka_unit_test(control),
		cmocka_unit_test(under_another_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
