// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a client may send to the control socket, by libFuzzer:
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined ... tests/fuzz/fuzz_ctl.c
 *         fastpath/control/ctl_*.c fastpath/base/log.c -ljansson
 *
 * One input is one connection. Its first byte says in how many pieces the rest is sent, and whether
 * the client leaves before it has read its answers. Checked are the promises of the protocol:
 * every line that comes back is a JSON object with a part or an end, there is one end for each
 * line that was sent (the deferred ones apart), and every stream is ended exactly once.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "control/ctl_server.h"

#define must(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static char dir[] = "/tmp/xe-fuzz-ctl-XXXXXX", path[64];
static struct xe_ctl *ctl;
static struct xe_ctl_request *deferred;
static size_t begun, ended, answers;

static int run_echo(void *ctx, struct xe_ctl_request *req)
{
	char *text = xe_ctl_args_joined(req, 0);
	size_t len;
	const char *content = xe_ctl_option_text(req, "content", &len);

	(void)ctx;
	must(text && strlen(text) < 1u << 20 && (content || !len));
	if (xe_ctl_arg_cnt(req) > 3)
		xe_ctl_fail(req, XE_CTL_FAILED, "%s", text);
	else
		xe_ctl_ok(req, json_pack("{ss}", "text", text));
	free(text);
	return 0;
}

static int more(void *arg, struct xe_ctl_request *req)
{
	int *left = arg;

	if ((*left)-- > 0) {
		must(xe_ctl_part(req, json_pack("{si}", "left", *left)) >= 0);
		return 1;
	}
	return *left < -2 ? -1 : xe_ctl_ok(req, NULL);
}

static void end(void *arg)
{
	free(arg);
	ended++;
}

static int run_stream(void *ctx, struct xe_ctl_request *req)
{
	int *left = malloc(sizeof(*left));

	(void)ctx;
	*left = atoi(xe_ctl_arg(req, 0)) % 100;
	begun++;
	return xe_ctl_stream(req, more, end, left);
}

/* One at a time is kept; the next one answers it. */
static int run_defer(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	if (deferred)
		xe_ctl_ok(deferred, NULL);
	deferred = req;
	return xe_ctl_defer(req);
}

static const struct xe_ctl_verb verbs[] = {
	{"echo", true, 0, 8, run_echo},
	{"flow list", false, 1, 2, run_stream},
	{"port add", true, 0, XE_CTL_ARGS_MAX, run_defer},
	{NULL, false, 0, 0, NULL},
};

static void audit(void *ctx, const struct xe_ctl_audit *line)
{
	(void)ctx;
	must(!strpbrk(line->args, "\n\r\x1b") && !strpbrk(line->outcome, "\n\r\x1b"));
}

static void clean_up(void)
{
	xe_ctl_close(ctl);
	rmdir(dir);
}

static void start(void)
{
	struct xe_ctl_options options = {
		.path = path, .mode = 0600, .gid = (gid_t)-1, .verbs = verbs, .audit = audit};
	char err[256];

	xe_log_set_level(XE_LOG_ERR);
	must(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ctl.sock", dir);
	must(!xe_ctl_open(&options, &ctl, err, sizeof(err)));
	atexit(clean_up);
}

static void check_line(const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *error = "";
	int ok, code = XE_CTL_USAGE;

	must(json_is_object(json));
	if (!json_object_get(json, "part")) {
		must(!json_unpack(json, "{sb}", "ok", &ok));
		must(ok || !json_unpack(json, "{sssi}", "error", &error, "code", &code));
		must(code == XE_CTL_FAILED || code == XE_CTL_USAGE);
		answers++;
	}
	json_decref(json);
}

/* Take what has come; whole lines are checked. Returns false when the server has closed. */
static bool hear(int fd)
{
	static char buf[1 << 20];
	static size_t have;
	ssize_t n = recv(fd, buf + have, sizeof(buf) - have, MSG_DONTWAIT);
	char *nl, *at = buf;

	if (n <= 0) {
		if (!n)
			have = 0;
		return n < 0;
	}
	have += n;
	while ((nl = memchr(at, '\n', buf + have - at))) {
		check_line(at, nl - at);
		at = nl + 1;
	}
	have = buf + have - at;
	memmove(buf, at, have);
	must(have < sizeof(buf));
	return true;
}

static int connect_client(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	must(fd >= 0 && !connect(fd, (struct sockaddr *)&sun, sizeof(sun)));
	return fd;
}

/* Lines that get an answer: an empty one is nothing, an unfinished last one gets an error. */
static size_t count_lines(const uint8_t *in, size_t len)
{
	size_t cnt = 0, start_of_line = 0;

	for (size_t i = 0; i < len; i++) {
		if (in[i] != '\n')
			continue;
		cnt += i > start_of_line;
		start_of_line = i + 1;
	}
	return cnt + (start_of_line < len);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	size_t pieces, sent = 0, lines;
	bool leaves;
	int fd;

	if (!ctl)
		start();
	if (len < 1 || len > 60000)
		return 0;
	pieces = 1 + (in[0] & 7);
	leaves = in[0] & 8;
	in++;
	len--;
	lines = count_lines(in, len);
	answers = 0;
	fd = connect_client();
	for (size_t i = 0; i < pieces; i++) {
		size_t to = i + 1 == pieces ? len : sent + len / pieces;

		must(send(fd, in + sent, to - sent, MSG_NOSIGNAL) == (ssize_t)(to - sent));
		sent = to;
		for (int turn = 0; turn < 3; turn++)
			xe_ctl_dispatch(ctl);
		if (!leaves)
			hear(fd);
	}
	shutdown(fd, leaves ? SHUT_RDWR : SHUT_WR);
	while (!leaves && hear(fd)) {
		xe_ctl_dispatch(ctl);
		if (deferred) {
			xe_ctl_ok(deferred, NULL);
			deferred = NULL;
		}
	}
	close(fd);
	for (int turn = 0; turn < 3; turn++)
		xe_ctl_dispatch(ctl);
	if (deferred)
		xe_ctl_fail(deferred, XE_CTL_FAILED, "gone");
	deferred = NULL;
	must(leaves || answers == lines);
	must(begun == ended);
	return 0;
}
