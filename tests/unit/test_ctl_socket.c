// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who gets in: bounds on clients, the socket's file, roles. Where another uid or a dead process is
 * needed, a child plays it.
 */
#include "ctl_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A gid that no account of the machine has. */
#define READERS_GID 54321

static void too_many_clients(void **state)
{
	struct cf_client all[65];

	(void)state;
	for (int i = 0; i < 65; i++) {
		all[i] = cf_client();
		cf_serve(4);
	}
	cf_expect_error(&all[64], "too many clients", XE_CTL_FAILED);
	cf_expect_closed(&all[64]);
	cf_leave(&all[10]);
	cf_leave(&all[64]);
	all[64] = cf_client();
	cf_say(&all[64], "{\"v\":1,\"verb\":\"change\"}\n");
	cf_expect(&all[64], CF_DONE);
	for (int i = 0; i < 65; i++)
		if (i != 10)
			cf_leave(&all[i]);
}

/* The client is turned away; the listener does not keep the loop awake. */
static void no_descriptor_left(void **state)
{
	struct cf_client c = cf_client();
	struct rlimit before, none;
	struct pollfd pfd = {.fd = xe_ctl_fd(cf_ctl), .events = POLLIN};

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = c.fd + 1;
	setrlimit(RLIMIT_NOFILE, &none);
	cf_serve(100);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	setrlimit(RLIMIT_NOFILE, &before);
	cf_expect_closed(&c);
	cf_leave(&c);
	c = cf_client();
	cf_say(&c, "{\"v\":1,\"verb\":\"change\"}\n");
	cf_expect(&c, CF_DONE);
	cf_leave(&c);
}

/* A child that is about to exec (nft, a hook) still has our descriptors for a moment: what we
 * closed must not come back as an event. */
static void a_child_holds_the_descriptors(void **state)
{
	struct cf_client c = cf_client();
	pid_t pid;

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"change\"}\n");
	cf_expect(&c, CF_DONE);
	pid = fork();
	if (!pid) {
		alarm(10); /* should the parent fail before it ends us */
		pause();
	}
	shutdown(c.fd, SHUT_RDWR);
	cf_leave(&c);
	c = cf_client();
	cf_say(&c, "{\"v\":1,\"verb\":\"change\"}\n");
	cf_expect(&c, CF_DONE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cf_leave(&c);
}

/* ---- the socket file ---- */

static void socket_file(void **state)
{
	struct stat st;
	char err[256];

	(void)state;
	assert_int_equal(stat(cf_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_gid, getegid());
	/* A live one is refused with its pid, and keeps its file. */
	struct xe_ctl *first = cf_ctl;
	char want[32];

	assert_int_equal(cf_open((gid_t)-1, 0660, err, sizeof(err)), -EADDRINUSE);
	snprintf(want, sizeof(want), "(pid %d)", (int)getpid());
	assert_non_null(strstr(err, want));
	assert_non_null(strstr(err, cf_path));
	cf_ctl = first;
	cf_serve(10);
	/* A successor's file is left alone. */
	assert_int_equal(unlink(cf_path), 0);
	assert_int_equal(cf_open((gid_t)-1, 0660, err, sizeof(err)), 0);
	xe_ctl_close(first);
	assert_int_equal(access(cf_path, F_OK), 0);
}

static void stale_socket_file(void **state)
{
	char err[256];
	pid_t pid;

	(void)state;
	xe_ctl_close(cf_ctl);
	cf_ctl = NULL;
	pid = fork();
	if (!pid)
		_exit(cf_open((gid_t)-1, 0660, err, sizeof(err)) ? 1 : 0);
	waitpid(pid, NULL, 0);
	assert_int_equal(access(cf_path, F_OK), 0);
	assert_int_equal(cf_open((gid_t)-1, 0660, err, sizeof(err)), 0);
	struct cf_client c = cf_client();

	cf_say(&c, "{\"v\":1,\"verb\":\"change\"}\n");
	cf_expect(&c, CF_DONE);
	cf_leave(&c);
}

static void bad_paths(void **state)
{
	struct xe_ctl_options options = {.mode = 0660, .gid = (gid_t)-1, .verbs = cf_verbs};
	struct xe_ctl *none;
	char err[256], name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s/missing/ctl.sock", cf_dir);
	options.path = name;
	assert_int_equal(xe_ctl_open(&options, &none, err, sizeof(err)), -ENOENT);
	assert_null(none);
	snprintf(name, sizeof(name), "%s/file", cf_dir);
	close(open(name, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(xe_ctl_open(&options, &none, err, sizeof(err)), -EEXIST);
	assert_non_null(strstr(err, "not a socket"));
	unlink(name);
	memset(name, 'n', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(xe_ctl_open(&options, &none, err, sizeof(err)), -ENAMETOOLONG);
}

/* ---- roles ---- */

/* A child with these ids asks one thing; its answer, to be freed. */
static char *ask_as(uid_t uid, gid_t gid, gid_t extra, const char *request)
{
	struct pollfd pfd = {.fd = xe_ctl_fd(cf_ctl), .events = POLLIN};
	int pipe_fds[2];
	char *answer = calloc(1, 4096);
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		char buf[4096];
		ssize_t n;
		int fd;

		if (setgroups(1, &extra) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(1);
		fd = cf_connect();
		send(fd, request, strlen(request), MSG_NOSIGNAL);
		n = fd < 0 ? snprintf(buf, sizeof(buf), "not connected")
			   : recv(fd, buf, sizeof(buf), 0);
		_exit(write(pipe_fds[1], buf, n) != n);
	}
	close(pipe_fds[1]);
	for (int i = 0; i < CF_ROUNDS_MAX && waitpid(pid, NULL, WNOHANG) == 0; i++)
		if (poll(&pfd, 1, 1) == 1)
			xe_ctl_dispatch(cf_ctl);
	assert_true(read(pipe_fds[0], answer, 4095) > 0);
	close(pipe_fds[0]);
	return answer;
}

static void expect_as(uid_t uid, gid_t gid, gid_t extra, const char *verb, const char *want)
{
	char request[128], *answer;

	snprintf(request, sizeof(request), "{\"v\":1,\"verb\":\"%s\"}\n", verb);
	answer = ask_as(uid, gid, extra, request);
	if (!strstr(answer, want))
		fail_msg("uid %u gid %u+%u %s: `%s` is not in %s", uid, gid, extra, verb, want,
			 answer);
	free(answer);
}

static void roles(void **state)
{
	char err[256], *long_line, *answer;

	(void)state;
	if (geteuid())
		skip();
	xe_ctl_close(cf_ctl);
	assert_int_equal(cf_open(READERS_GID, 0660, err, sizeof(err)), 0);
	expect_as(0, 0, 0, "change", "true");
	expect_as(1234, READERS_GID, 1, "echo", "true");
	expect_as(1234, 1, READERS_GID, "echo", "true");
	cf_seen.audit_cnt = 0;
	expect_as(1234, 1, READERS_GID, "change", "permission denied: uid 1234 may look");
	assert_int_equal(cf_seen.audit_cnt, 1);
	assert_non_null(strstr(cf_seen.audit, "1234 1 change [] 0 permission denied"));
	expect_as(1234, 1, 2, "echo", "not connected");
	long_line = cf_long_request(XE_CTL_REQUEST_MAX_READER + 1);
	answer = ask_as(1234, READERS_GID, 1, long_line);
	assert_non_null(strstr(answer, "longer than 65536 bytes"));
	free(answer);
	free(long_line);
	/* Whatever the file's mode lets in, a stranger stays one. */
	assert_int_equal(chmod(cf_path, 0666), 0);
	expect_as(1234, 1, 2, "echo", "neither root nor in the socket's group");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cf_test(too_many_clients),
		cf_test(no_descriptor_left),
		cf_test(a_child_holds_the_descriptors),
		cf_test(socket_file),
		cf_test(stale_socket_file),
		cf_test(bad_paths),
		cf_test(roles),
	};

	return cmocka_run_group_tests(tests, cf_make_dir, cf_remove_dir);
}
