// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ctl_fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

char cf_dir[] = "/tmp/xe-ctl-XXXXXX", cf_path[64];
struct xe_ctl *cf_ctl;

struct cf_seen cf_seen;

/* ---- verbs ---- */

static int run_echo(void *ctx, struct xe_ctl_request *req)
{
	char *text = xe_ctl_args_joined(req, 0);
	json_t *result = json_pack("{ss*si}", "text", text, "cnt", (int)xe_ctl_arg_cnt(req));

	assert_ptr_equal(ctx, &cf_seen);
	assert_null(xe_ctl_arg(req, xe_ctl_arg_cnt(req)));
	free(text);
	return xe_ctl_ok(req, result);
}

static int run_change(void *ctx, struct xe_ctl_request *req)
{
	size_t len;
	const char *content = xe_ctl_option_text(req, "content", &len);

	(void)ctx;
	if (xe_ctl_arg_cnt(req) && !strcmp(xe_ctl_arg(req, 0), "bad"))
		return xe_ctl_fail(req, XE_CTL_FAILED, "line one\nline %d.\n", 2);
	return xe_ctl_ok(req, content ? json_pack("{si}", "len", (int)len) : NULL);
}

static int run_errno(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	(void)req;
	return -ENODEV;
}

static int run_forgets(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	(void)req;
	return 0;
}

static int run_twice(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	xe_ctl_ok(req, NULL);
	xe_ctl_fail(req, XE_CTL_FAILED, "and again");
	return xe_ctl_ok(req, json_object());
}

static int run_huge(void *ctx, struct xe_ctl_request *req)
{
	char *text = malloc(XE_CTL_ANSWER_MAX);
	json_t *result;

	(void)ctx;
	memset(text, 'x', XE_CTL_ANSWER_MAX);
	result = json_pack("{so}", "text", json_stringn(text, XE_CTL_ANSWER_MAX));
	free(text);
	return xe_ctl_ok(req, result);
}

static int run_waits(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	cf_seen.busy = true;
	cf_seen.during();
	cf_seen.busy = false;
	return xe_ctl_ok(req, NULL);
}

static int run_defer(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	cf_seen.deferred = req;
	return xe_ctl_defer(req);
}

int cf_make_parts(void *arg, struct xe_ctl_request *req)
{
	size_t *left = arg;
	int ret = 1;

	while (*left && ret > 0) {
		ret = xe_ctl_part(req, json_pack("{si}", "left", (int)(*left)--));
		assert_true(ret >= 0);
		cf_seen.made++;
	}
	if (!*left)
		return xe_ctl_ok(req, json_pack("{si}", "count", (int)cf_seen.made));
	return 1;
}

void cf_end_parts(void *arg)
{
	free(arg);
	cf_seen.ended++;
}

static int run_stream(void *ctx, struct xe_ctl_request *req)
{
	size_t *left = malloc(sizeof(*left));

	(void)ctx;
	*left = strtoul(xe_ctl_arg(req, 0), NULL, 10);
	cf_seen.made = 0;
	return xe_ctl_stream(req, cf_make_parts, cf_end_parts, left);
}

static int more_fails(void *arg, struct xe_ctl_request *req)
{
	(void)arg;
	assert_int_equal(xe_ctl_part(req, json_object()), 1);
	assert_int_equal(xe_ctl_part(req, NULL), -EINVAL);
	return -EIO;
}

static int run_stream_fails(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return xe_ctl_stream(req, more_fails, cf_end_parts, NULL);
}

/* Says more than a client may be behind, in one go. */
static int run_flood(void *ctx, struct xe_ctl_request *req)
{
	char text[8192];
	int ret, cnt = 0;

	(void)ctx;
	memset(text, 'y', sizeof(text));
	do
		ret = xe_ctl_part(req, json_pack("{so}", "y", json_stringn(text, sizeof(text))));
	while (ret >= 0 && cnt++ < 10000);
	assert_int_equal(ret, -ENOBUFS);
	return xe_ctl_fail(req, XE_CTL_FAILED, "flooded");
}

/* What the descriptor that came along leads to. */
static int run_takes(void *ctx, struct xe_ctl_request *req)
{
	int fd = xe_ctl_take_fd(req);
	char text[16] = "";
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	(void)ctx;
	assert_int_equal(xe_ctl_take_fd(req), -1); /* there is only one */
	if (fd >= 0)
		close(fd);
	return xe_ctl_ok(req, json_pack("{ss}", "text", n < 0 ? "none" : text));
}

const struct xe_ctl_verb cf_verbs[] = {
	{"echo", false, 0, XE_CTL_ARGS_MAX, run_echo},
	{"two words", false, 1, 2, run_echo},
	{"change", true, 0, 3, run_change},
	{"errno", true, 0, 0, run_errno},
	{"forgets", false, 0, 0, run_forgets},
	{"twice", true, 0, 0, run_twice},
	{"huge", false, 0, 0, run_huge},
	{"defer", true, 0, 1, run_defer},
	{"stream", false, 1, 1, run_stream},
	{"stream fails", false, 0, 0, run_stream_fails},
	{"flood", false, 0, 0, run_flood},
	{"takes", false, 0, 0, run_takes},
	{"waits", false, 0, 0, run_waits},
	{NULL, false, 0, 0, NULL},
};

static void audit(void *ctx, const struct xe_ctl_audit *line)
{
	assert_ptr_equal(ctx, &cf_seen);
	cf_seen.audit_cnt++;
	snprintf(cf_seen.audit, sizeof(cf_seen.audit), "%u %d %s [%s] %d %s", line->uid,
		 line->pid == getpid() ? 0 : 1, line->verb, line->args, line->ok, line->outcome);
}

/* ---- server and client ---- */

int cf_open(gid_t gid, mode_t mode, char *err, size_t err_size)
{
	struct xe_ctl_options options = {.path = cf_path,
					 .mode = mode,
					 .gid = gid,
					 .verbs = cf_verbs,
					 .ctx = &cf_seen,
					 .audit = audit};

	return xe_ctl_open(&options, &cf_ctl, err, err_size);
}

int cf_set_up(void **state)
{
	char err[256];

	(void)state;
	memset(&cf_seen, 0, sizeof(cf_seen));
	assert_int_equal(cf_open((gid_t)-1, 0660, err, sizeof(err)), 0);
	return 0;
}

int cf_tear_down(void **state)
{
	(void)state;
	xe_ctl_close(cf_ctl);
	cf_ctl = NULL;
	assert_int_equal(access(cf_path, F_OK), -1);
	return 0;
}

void cf_serve(int rounds)
{
	struct pollfd pfd = {.fd = xe_ctl_fd(cf_ctl), .events = POLLIN};

	if (cf_seen.busy) {
		xe_ctl_refuse(cf_ctl, "busy");
		return;
	}
	while (rounds-- && poll(&pfd, 1, 0) == 1)
		xe_ctl_dispatch(cf_ctl);
}

int cf_connect(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, cf_path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		close(fd);
		return -1;
	}
	return fd;
}

struct cf_client cf_client(void)
{
	struct cf_client c = {.fd = cf_connect()};

	assert_true(c.fd >= 0);
	return c;
}

void cf_leave(struct cf_client *c)
{
	close(c->fd);
	free(c->in);
	cf_serve(100);
}

void cf_say_len(struct cf_client *c, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return; /* refused already: the answer is there to be read */
		if (n > 0) {
			text += n;
			len -= n;
		}
		cf_serve(1);
	}
}

void cf_say(struct cf_client *c, const char *text)
{
	cf_say_len(c, text, strlen(text));
}

char *cf_hear(struct cf_client *c)
{
	for (int i = 0; i < CF_ROUNDS_MAX; i++) {
		char *nl = c->len ? memchr(c->in, '\n', c->len) : NULL;
		char buf[65536], *line;
		ssize_t n;

		if (nl) {
			line = strndup(c->in, nl - c->in);
			c->len -= nl + 1 - c->in;
			memmove(c->in, nl + 1, c->len);
			return line;
		}
		cf_serve(1);
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return NULL;
		if (n < 0) {
			usleep(1000);
			continue;
		}
		i = 0;
		c->in = realloc(c->in, c->len + n);
		memcpy(c->in + c->len, buf, n);
		c->len += n;
	}
	fail_msg("no line came");
	return NULL;
}

void cf_expect(struct cf_client *c, const char *want)
{
	char *line = cf_hear(c);

	assert_non_null(line);
	assert_string_equal(line, want);
	free(line);
}

void cf_expect_error(struct cf_client *c, const char *part, int code)
{
	char *line = cf_hear(c), *error;
	json_t *json;
	int ok, got;

	assert_non_null(line);
	json = json_loads(line, 0, NULL);
	assert_int_equal(json_unpack(json, "{sbsssi}", "ok", &ok, "error", &error, "code", &got),
			 0);
	assert_false(ok);
	assert_int_equal(got, code);
	if (!strstr(error, part))
		fail_msg("`%s` is not in `%s`", part, error);
	json_decref(json);
	free(line);
}

void cf_expect_closed(struct cf_client *c)
{
	assert_null(cf_hear(c));
}

char *cf_long_request(size_t len)
{
	static const char head[] = "{\"v\":1,\"verb\":\"change\",\"options\":{\"content\":\"";
	char *line = malloc(len + 2);

	memset(line, 'z', len);
	memcpy(line, head, sizeof(head) - 1);
	strcpy(line + len - 3, "\"}}\n");
	return line;
}

int cf_make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(cf_dir) || chmod(cf_dir, 0755))
		return -1;
	snprintf(cf_path, sizeof(cf_path), "%s/ctl.sock", cf_dir);
	return 0;
}

int cf_remove_dir(void **state)
{
	(void)state;
	return rmdir(cf_dir);
}
