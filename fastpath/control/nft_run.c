/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/nft_run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/log.h"

/* A net of 16,000 rules takes some 4 s; longer than this it hangs. */
#define ANSWER_MS 20000
/* A runner that ends at once each time must not make a busy keeper. */
#define KEEPER_PAUSE_US 1000

struct request {
	uint32_t magic;
	uint32_t number; /* from 1 */
	uint32_t len;
	uint32_t output_flags;
}; /* and the command */

struct answer {
	uint32_t magic;
	uint32_t number; /* of the request; 0: the keeper's, for whichever was there */
	int32_t ret;
	uint32_t output_len, err_len;
}; /* and both texts */

#define REQUEST_MAGIC 0x786e6671u
#define ANSWER_MAGIC  0x786e6674u

/* A runner's exit code: it does not know where in the stream it is (the one before it ended in the
 * middle of a request). Then the service goes on without. */
#define EXIT_LOST 99

/* How long the keeper may take to end: a command that nobody waits for any more may be running. */
#define END_MS 1000

/* The service's end of the socket. -1: commands run here. */
static int apart_fd = -1;
static pid_t keeper;
/* Where libnftables is: the one context. */
static struct nft_ctx *context;

/* ---- here ---- */

/* What libnftables does first, and ends the process over. */
static int try_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), err = 0;

	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int open_context(void)
{
	int err = context ? 0 : try_socket();

	if (context || err)
		return err;
	context = nft_ctx_new(NFT_CTX_DEFAULT);
	if (context && !nft_ctx_buffer_output(context) && !nft_ctx_buffer_error(context))
		return 0;
	if (context)
		nft_ctx_free(context);
	context = NULL;
	return -ENOMEM;
}

static void close_context(void)
{
	if (context)
		nft_ctx_free(context);
	context = NULL;
}

/* nft explains itself in several lines, with the source and a marker; the first one says it. */
static int run_here(const char *command, unsigned int output_flags, const char **output,
		    const char **err)
{
	int ret = open_context();

	*output = *err = "";
	if (ret)
		return ret;
	nft_ctx_output_set_flags(context, output_flags);
	ret = nft_run_cmd_from_buffer(context, command) ? -EIO : 0;
	*output = nft_ctx_get_output_buffer(context);
	*err = nft_ctx_get_error_buffer(context);
	return ret;
}

/* ---- the socket ---- */

static bool send_all(int fd, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = send(fd, (const char *)buf + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* Waits for as long as it takes where wait_ms is -1. */
static bool recv_all(int fd, void *buf, size_t len, int wait_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	for (size_t done = 0; done < len;) {
		ssize_t n = poll(&pfd, 1, wait_ms);

		if (n > 0)
			n = recv(fd, (char *)buf + done, len - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* A text of that length, ended by a zero; to be freed. */
static char *recv_text(int fd, size_t len, int wait_ms)
{
	char *text = malloc(len + 1);

	if (!text || !recv_all(fd, text, len, wait_ms)) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

static bool send_answer(int fd, uint32_t number, int ret, const char *output, const char *err)
{
	struct answer a = {ANSWER_MAGIC, number, ret, (uint32_t)strlen(output),
			   (uint32_t)strlen(err)};

	return send_all(fd, &a, sizeof(a)) && send_all(fd, output, a.output_len) &&
	       send_all(fd, err, a.err_len);
}

/* ---- the processes ---- */

/* Until the service closes its end: exit code 0. */
static void be_runner(int fd)
{
	const char *output, *err;
	struct request rq;
	char *command;
	bool sent;
	int ret;

	prctl(PR_SET_NAME, XE_NFT_RUNNER);
	xe_confine_nft(false);
	while (recv_all(fd, &rq, sizeof(rq), -1)) {
		command = rq.magic == REQUEST_MAGIC ? recv_text(fd, rq.len, -1) : NULL;
		if (!command)
			_exit(EXIT_LOST);
		ret = run_here(command, rq.output_flags, &output, &err);
		free(command);
		sent = send_answer(fd, rq.number, ret, output, err);
		if (!sent)
			break;
	}
	_exit(EXIT_SUCCESS);
}

static void be_keeper(int fd)
{
	char why[128];
	pid_t pid;
	int status;

	prctl(PR_SET_NAME, "xe-nft-keeper");
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	xe_confine_nft(true);
	for (;;) {
		pid = fork();
		if (!pid)
			be_runner(fd);
		if (pid < 0)
			snprintf(why, sizeof(why), "libnftables has no process: %s",
				 strerror(errno));
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (pid > 0 && WIFEXITED(status) &&
		    (!WEXITSTATUS(status) || WEXITSTATUS(status) == EXIT_LOST))
			_exit(EXIT_SUCCESS);
		if (pid > 0)
			snprintf(why, sizeof(why), "libnftables has ended its process (%s %d)",
				 WIFEXITED(status) ? "exit code" : "signal",
				 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		if (!send_answer(fd, 0, -EPIPE, "", why))
			_exit(EXIT_SUCCESS);
		usleep(KEEPER_PAUSE_US);
	}
}

int xe_nft_open(void)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pid = fork();
	if (pid < 0) {
		pid = -errno;
		close(fds[0]);
		close(fds[1]);
		return pid;
	}
	if (!pid) {
		close(fds[0]);
		be_keeper(fds[1]);
	}
	close(fds[1]);
	apart_fd = fds[0];
	keeper = pid;
	return 0;
}

void xe_nft_close(void)
{
	if (apart_fd >= 0) {
		close(apart_fd);
		for (int ms = 0; ms < END_MS && !waitpid(keeper, NULL, WNOHANG); ms++)
			usleep(1000);
	}
	apart_fd = -1;
	close_context();
}

/* A runner that ended between two commands has been answered for; that is nobody's answer. */
static void forget_answers(void)
{
	char buf[4096];

	while (recv(apart_fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* False: nobody answers. */
static bool ask(const char *command, unsigned int output_flags, int *ret, char **output, char **err)
{
	static uint32_t number;
	struct request rq = {REQUEST_MAGIC, ++number, (uint32_t)strlen(command), output_flags};
	struct answer a;

	forget_answers();
	if (!send_all(apart_fd, &rq, sizeof(rq)) || !send_all(apart_fd, command, rq.len))
		return false;
	do {
		free(*output);
		free(*err);
		*output = *err = NULL;
		if (!recv_all(apart_fd, &a, sizeof(a), ANSWER_MS) || a.magic != ANSWER_MAGIC)
			return false;
		*ret = a.ret;
		*output = recv_text(apart_fd, a.output_len, ANSWER_MS);
		*err = *output ? recv_text(apart_fd, a.err_len, ANSWER_MS) : NULL;
	} while (*err && a.number && a.number != rq.number);
	return *err;
}

int xe_nft_run(const char *command, unsigned int output_flags, char **output, char *err,
	       size_t err_size)
{
	char *got = NULL, *got_err = NULL;
	const char *text, *why;
	int ret = -EPIPE;

	if (output)
		*output = NULL;
	if (apart_fd >= 0 && !ask(command, output_flags, &ret, &got, &got_err)) {
		xe_log_warn("the process of libnftables does not answer: it is run here");
		xe_nft_close();
		free(got);
		free(got_err);
		got = got_err = NULL;
	}
	if (apart_fd < 0) {
		ret = run_here(command, output_flags, &text, &why);
		got = strdup(text);
	} else {
		why = got_err;
	}
	if (!ret && !got)
		ret = -ENOMEM;
	if (ret)
		snprintf(err, err_size, "nftables: %.*s", (int)strcspn(why, "\n"), why);
	if (!ret && output)
		*output = got;
	else
		free(got);
	free(got_err);
	return ret;
}
