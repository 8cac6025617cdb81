/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl state export FILE | import [--sync] FILE
 *
 * The service sees no file of the caller's, and never waits for one: what goes between the two is
 * memory (memfd_create) that is passed along with the request. Into the file it is copied here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call.h"
#include "member.h"

#define COPY_SIZE (256u << 10)

/* All that is behind `from`'s offset. 0 or -errno, *reading says whose. */
static int copy(int from, int to, bool *reading)
{
	char *buf = malloc(COPY_SIZE);
	ssize_t n = -1;

	*reading = true;
	while (buf && (n = read(from, buf, COPY_SIZE)) > 0) {
		for (ssize_t done = 0, put; done < n; done += put) {
			put = write(to, buf + done, (size_t)(n - done));
			if (put < 0) {
				*reading = false;
				n = -errno;
				free(buf);
				return (int)n;
			}
		}
	}
	n = n < 0 ? -errno : 0;
	free(buf);
	return (int)n;
}

/* Beside FILE first: what is there is replaced by a whole one, or not at all. */
static int write_file(const char *name, int mem)
{
	char *temp = NULL;
	bool reading;
	int fd, err;

	if (!strcmp(name, "-")) {
		err = copy(mem, STDOUT_FILENO, &reading);
		return err ? ctl_failed("standard output: %s", strerror(-err)) : 0;
	}
	if (asprintf(&temp, "%s.XXXXXX", name) < 0)
		return ctl_failed("no memory");
	fd = mkstemp(temp); /* mode 0600: it says who talks with whom */
	err = fd < 0 ? -errno : copy(mem, fd, &reading);
	if (fd >= 0 && close(fd) && !err)
		err = -errno;
	if (!err && rename(temp, name))
		err = -errno;
	if (err && fd >= 0)
		unlink(temp);
	free(temp);
	return err ? ctl_failed("%s: %s", name, strerror(-err)) : 0;
}

static int read_file(const char *name, int mem)
{
	bool stdin_too = !strcmp(name, "-"), reading;
	int fd = stdin_too ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 ? -errno : copy(fd, mem, &reading);

	if (fd >= 0 && !stdin_too)
		close(fd);
	if (err)
		return ctl_failed("%s: %s", name, strerror(-err));
	if (lseek(mem, 0, SEEK_SET) ||
	    fcntl(mem, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW))
		return ctl_failed("%s: %m", name);
	return 0;
}

static int state_export(const struct ctl_options *options, char **argv, int mem)
{
	struct call call = {
		.verb = "state export", .argc = 1, .argv = argv, .fd = mem, .passes_fd = true};
	json_t *result;
	int ret = call_service(options, &call, &result);

	if (!ret && lseek(mem, 0, SEEK_SET))
		ret = ctl_failed("%m");
	if (!ret)
		ret = write_file(argv[0], mem);
	if (!ret && options->json && strcmp(argv[0], "-"))
		print_json(result);
	else if (!ret && strcmp(argv[0], "-"))
		printf("%lld flows\n", member_number(result, "flows"));
	json_decref(result);
	return ret;
}

static void print_imported(const json_t *result)
{
	printf("%lld of %lld flows go on here; %lld wait for their port, %lld were here "
	       "already, %lld are over, %lld cannot\n",
	       member_number(result, "adopted"), member_number(result, "flows"),
	       member_number(result, "waiting"), member_number(result, "there"),
	       member_number(result, "over"), member_number(result, "refused"));
}

static void print_synced(const json_t *result)
{
	printf("%lld flows: %lld new here, %lld brought up to date, %lld wait for their port or "
	       "address, %lld are carried here, %lld are over, %lld cannot; %lld have ended\n",
	       member_number(result, "flows"), member_number(result, "adopted"),
	       member_number(result, "updated"), member_number(result, "waiting"),
	       member_number(result, "there"), member_number(result, "over"),
	       member_number(result, "refused"), member_number(result, "ended"));
}

static int state_import(const struct ctl_options *options, char **argv, int mem)
{
	char sync[] = "sync", *words[] = {argv[0], sync};
	struct call call = {.verb = "state import",
			    .argc = options->sync ? 2 : 1,
			    .argv = words,
			    .fd = mem,
			    .passes_fd = true};
	int ret = read_file(argv[0], mem);
	json_t *result = NULL;

	if (!ret)
		ret = call_service(options, &call, &result);
	if (!ret && options->json)
		print_json(result);
	else if (!ret && options->sync)
		print_synced(result);
	else if (!ret)
		print_imported(result);
	json_decref(result);
	return ret;
}

int verb_state(const struct ctl_options *options, int argc, char **argv)
{
	bool export = argc > 1 && !strcmp(argv[1], "export");
	int mem, ret;

	if (argc < 2 || (!export && strcmp(argv[1], "import")))
		return ctl_usage("state: expected export or import, got `%s`",
				 argc < 2 ? "" : argv[1]);
	if (argc != 3)
		return ctl_usage("state %s wants one file", argv[1]);
	if (export && options->sync)
		return ctl_usage("state export has no --sync");
	mem = memfd_create("flows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mem < 0)
		return ctl_failed("%m");
	ret = export ? state_export(options, argv + 2, mem) : state_import(options, argv + 2, mem);
	close(mem);
	return ret;
}
