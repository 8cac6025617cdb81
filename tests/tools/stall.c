/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stall - hold one thread of a process still for a while, as a debugger does; the others go on.
 *
 *   stall PID NAME MS
 *     NAME  of the thread (/proc/PID/task/TID/comm)
 *
 * Prints the thread's id when it stands. Exit: 0 held so long and let go, or its process has ended
 * before; 1 not; 77 not allowed to trace.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

/* How late the end of the process may be seen; and what a hold may be longer than asked for is a
 * few per cent of it. */
#define LOOK_MS 20

static int find_thread(const char *pid, const char *name)
{
	char path[300], comm[32];
	struct dirent *e;
	int tid = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	while (dir && !tid && (e = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/task/%.20s/comm", pid, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (f && fgets(comm, sizeof(comm), f) && !strncmp(comm, name, strlen(name)) &&
		    comm[strlen(name)] == '\n')
			tid = atoi(e->d_name);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return tid;
}

/* True: its process has ended meanwhile. A thread that nobody reaps would keep that from its
 * parent. */
static bool hold(int tid, int ms)
{
	const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
	int status;

	for (; ms > 0; ms -= LOOK_MS) {
		nanosleep(&look, NULL);
		if (waitpid(tid, &status, __WALL | WNOHANG) == tid && !WIFSTOPPED(status))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	int tid, ms, status;

	if (argc != 4) {
		fprintf(stderr, "usage: stall PID NAME MS\n");
		return 2;
	}
	ms = atoi(argv[3]);
	tid = find_thread(argv[1], argv[2]);
	if (!tid) {
		fprintf(stderr, "process %s has no thread `%s`\n", argv[1], argv[2]);
		return 1;
	}
	if (ptrace(PTRACE_SEIZE, tid, 0, 0) || ptrace(PTRACE_INTERRUPT, tid, 0, 0)) {
		perror("ptrace");
		return errno == EPERM ? 77 : 1;
	}
	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) {
		fprintf(stderr, "thread %d does not stop\n", tid);
		return 1;
	}
	printf("%d\n", tid);
	fflush(stdout);
	if (hold(tid, ms))
		return 0;
	return ptrace(PTRACE_DETACH, tid, 0, 0) ? 1 : 0;
}
