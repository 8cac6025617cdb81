/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "xegress/ctl_abi.h"

static int connect_service(const char *path)
{
	struct timeval silence = {.tv_sec = XE_CTL_SILENCE_MAX_S};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		return fd;
	close(fd);
	return -1;
}

static int say_no_service(const char *path)
{
	if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
		return ctl_failed("the service is not running: nobody listens on %s", path);
	if (errno == EACCES || errno == EPERM)
		return ctl_failed("%s: permission denied: root may do everything, members of the "
				  "socket's group may look",
				  path);
	if (errno == EAGAIN)
		return ctl_failed("%s: the service does not answer", path);
	return ctl_failed("%s: %m", path);
}

/* NULL: said why. A word that is no UTF-8 cannot be said in JSON. */
static char *request_line(struct call *call)
{
	json_t *root = json_pack("{sissso*}", "v", XE_CTL_VERSION, "verb", call->verb, "options",
				 call->options);
	json_t *args = json_array();
	char *line = NULL;

	call->options = NULL;
	for (int i = 0; i < call->argc; i++) {
		json_t *word = json_string(call->argv[i]);

		if (!word) {
			ctl_usage("word %d is not UTF-8", i + 1);
			goto out;
		}
		json_array_append_new(args, word);
	}
	if (!json_object_set(root, "args", args))
		line = json_dumps(root, JSON_COMPACT);
	if (!line)
		ctl_failed("no memory");
out:
	json_decref(args);
	json_decref(root);
	return line;
}

/* The first byte of the request, and a descriptor with it. */
static ssize_t send_fd(int fd, char first, int passed)
{
	union {
		struct cmsghdr head; /* aligned */
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = {.iov_base = &first, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(passed));
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* An early refusal may close the connection while we still write: its line is there to be read. */
static void send_line(int fd, const struct call *call, const char *line)
{
	size_t len = strlen(line);

	if (call->passes_fd && send_fd(fd, *line, call->fd) == 1) {
		line++;
		len--;
	}

	while (len) {
		ssize_t n = send(fd, line, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		line += n;
		len -= n;
	}
	send(fd, "\n", 1, MSG_NOSIGNAL);
}

static int say_cut(const char *path, ssize_t got)
{
	if (got >= 0)
		return ctl_failed("%s: the service closed the connection without an answer", path);
	if (errno == EAGAIN)
		return ctl_failed("%s: no answer for %d s: is the service stuck?", path,
				  XE_CTL_SILENCE_MAX_S);
	return ctl_failed("%s: %m", path);
}

/* One line that is no part. */
static int last_line(json_t *line, json_t **result)
{
	const char *error = "no reason given";
	int ok = 0, code = XE_CTL_FAILED;

	if (json_unpack(line, "{sb}", "ok", &ok))
		return ctl_failed("an answer that is neither `ok` nor a part");
	if (ok) {
		*result = json_incref(json_object_get(line, "result"));
		return 0;
	}
	json_unpack(line, "{s?s,s?i}", "error", &error, "code", &code);
	fprintf(stderr, "xegressctl: %s\n", error);
	return code == XE_CTL_USAGE ? XE_CTL_USAGE : XE_CTL_FAILED;
}

/* Read lines up to the last one. */
static int read_answer(FILE *in, const char *path, struct call *call, json_t **result)
{
	char *text = NULL;
	size_t size = 0;
	bool last = false;
	int ret = 0;

	while (!ret && !last) {
		ssize_t len = getline(&text, &size, in);
		json_t *line, *part;

		if (len < 0 || text[len - 1] != '\n') {
			ret = say_cut(path, feof(in) ? 0 : -1);
			break;
		}
		line = json_loadb(text, len, 0, NULL);
		part = json_object_get(line, "part");
		last = !part;
		if (!json_is_object(line))
			ret = ctl_failed("%s: an answer that is not JSON", path);
		else if (last)
			ret = last_line(line, result);
		else if (call->part)
			ret = call->part(call->arg, part);
		json_decref(line);
	}
	free(text);
	return ret;
}

int call_service(const struct ctl_options *options, struct call *call, json_t **result)
{
	char *line = NULL, *path = NULL;
	FILE *in = NULL;
	int fd = -1, ret = XE_CTL_FAILED;

	*result = NULL;
	line = request_line(call);
	if (!line)
		goto out;
	if (asprintf(&path, "%s/%s", options->run_dir, XE_CTL_SOCKET_NAME) < 0) {
		path = NULL;
		ret = ctl_failed("no memory");
		goto out;
	}
	fd = connect_service(path);
	if (fd < 0) {
		ret = say_no_service(path);
		goto out;
	}
	send_line(fd, call, line);
	in = fdopen(fd, "r");
	ret = in ? read_answer(in, path, call, result) : ctl_failed("no memory");
out:
	if (in)
		fclose(in);
	else if (fd >= 0)
		close(fd);
	free(path);
	free(line);
	return ret;
}

void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

int call_and_show(const struct ctl_options *options, const char *verb, int argc, char **argv,
		  json_t **result)
{
	struct call call = {.verb = verb, .argc = argc, .argv = argv};
	int ret = call_service(options, &call, result);

	if (!ret && options->json)
		print_json(*result);
	return ret;
}

struct array {
	const char *name;
	size_t cnt;
};

static int print_part(void *arg, json_t *part)
{
	struct array *array = arg;

	/* The head comes with the first part: a refusal prints nothing here. */
	if (!array->cnt++)
		printf("{\n  \"%s\": [\n    ", array->name);
	else
		fputs(",\n    ", stdout);
	json_dumpf(part, stdout, JSON_COMPACT);
	return ferror(stdout) ? XE_CTL_FAILED : 0; /* main() says it */
}

int call_and_print_stream(const struct ctl_options *options, const char *verb, const char *name,
			  int argc, char **argv)
{
	struct array array = {.name = name};
	struct call call = {
		.verb = verb, .argc = argc, .argv = argv, .part = print_part, .arg = &array};
	json_t *result, *value;
	const char *key;
	int ret;

	ret = call_service(options, &call, &result);
	if (ret)
		return ret; /* cut short, and no JSON: nobody takes it for the whole */
	if (array.cnt)
		fputs("\n  ]", stdout);
	else
		printf("{\n  \"%s\": []", name);
	json_object_foreach (result, key, value) {
		printf(",\n  \"%s\": ", key);
		json_dumpf(value, stdout, JSON_ENCODE_ANY);
	}
	fputs("\n}\n", stdout);
	json_decref(result);
	return 0;
}
