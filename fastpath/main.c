/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* main.c - xegressd: options, then start, run, stop. */
#include <bpf/libbpf.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xdp/libxdp.h>

#include "base/confine.h"
#include "base/detach.h"
#include "base/log.h"
#include "control/leftovers.h"
#include "control/nft_run.h"
#include "control/service.h"

#ifndef XE_VERSION
#define XE_VERSION "0"
#endif
#define DEFAULT_CONFIG "/etc/xegress/xegress.yaml"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
	"usage: xegressd [-c FILE] [--run-dir DIR] [-v] [--no-seccomp] [--detach]\n"
	"                [--check | --takeover]\n"
	"       xegressd --handback | --clean [--run-dir DIR]\n"
	"\n"
	"  -c, --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
	"      --check        check the configuration, attach nothing\n"
	"      --handback     flows of a service that crashed go on in the kernel\n"
	"      --clean        remove what a service that crashed, or handed back, has left\n"
	"      --run-dir DIR  socket, lock and state (default " XE_CTL_RUN_DIR ")\n"
	"      --no-seccomp   do not filter system calls (for debugging)\n"
	"      --takeover     take over from the instance that runs there, without loss\n"
	"      --detach       return when it is up, and go on in the background\n"
	"  -v, --verbose      say more\n"
	"      --version\n"
	"  -h, --help\n";

struct options {
	struct xe_service_options service;
	bool check, detach, hand_back, clean;
};

/* Negative: go on; else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},  {"check", no_argument, NULL, 'C'},
		{"run-dir", required_argument, NULL, 'r'}, {"no-seccomp", no_argument, NULL, 'S'},
		{"takeover", no_argument, NULL, 't'},      {"detach", no_argument, NULL, 'd'},
		{"verbose", no_argument, NULL, 'v'},       {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},          {"handback", no_argument, NULL, 'H'},
		{"clean", no_argument, NULL, 'L'},         {NULL, 0, NULL, 0},
	};
	int c;

	o->service = (struct xe_service_options){DEFAULT_CONFIG, XE_CTL_RUN_DIR, false};
	while ((c = getopt_long(argc, argv, "c:vh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->service.config_file = optarg;
			break;
		case 'C':
			o->check = true;
			break;
		case 'H':
			o->hand_back = true;
			break;
		case 'L':
			o->clean = true;
			break;
		case 'r':
			o->service.run_dir = optarg;
			break;
		case 'S':
			xe_confine_no_filter();
			break;
		case 't':
			o->service.takeover = true;
			break;
		case 'd':
			o->detach = true;
			break;
		case 'v':
			xe_log_set_level(XE_LOG_DEBUG);
			break;
		case 'V':
			puts("xegressd " XE_VERSION);
			return EXIT_DONE;
		case 'h':
			fputs(usage, stdout);
			return EXIT_DONE;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "xegressd: unexpected argument `%s`\n%s", argv[optind], usage);
	return EXIT_USAGE;
}

static void warn(void *ctx, const char *line)
{
	(void)ctx;
	xe_log_always(XE_LOG_WARN, "%s", line); /* each is about another line of the file */
}

/* The libraries' own words are for debugging: what matters is said by us, once. */
static int bpf_says(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	xe_log_debug("%s", line);
	return 0;
}

static int xdp_says(enum libxdp_print_level level, const char *fmt, va_list ap)
{
	return bpf_says((enum libbpf_print_level)level, fmt, ap);
}

int main(int argc, char **argv)
{
	static struct xe_service svc;
	struct options o = {};
	struct xe_config *config = NULL;
	char err_text[1024];
	int ret = parse_options(argc, argv, &o);

	if (ret >= 0)
		return ret;
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(bpf_says);
	libxdp_set_print(xdp_says);
	/* A configuration that cannot be loaded may be why there is something to do. */
	if (o.hand_back)
		return xe_leftovers_hand_back(o.service.run_dir) ? EXIT_FAILED : EXIT_DONE;
	if (o.clean)
		return xe_leftovers_clean(o.service.run_dir) ? EXIT_FAILED : EXIT_DONE;
	if (xe_config_load(o.service.config_file, &config, warn, NULL, err_text,
			   sizeof(err_text))) {
		fprintf(stderr, "%s\n", err_text);
		return EXIT_FAILED;
	}
	if (o.check) {
		xe_config_free(config);
		return EXIT_DONE;
	}
	ret = o.detach ? xe_detach_begin() : 0;
	if (ret) {
		xe_log_err("--detach: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	if (xe_confine_begin(err_text, sizeof(err_text))) {
		xe_log_err("%s", err_text);
		xe_config_free(config);
		return EXIT_FAILED;
	}
	ret = xe_nft_open();
	if (ret) {
		xe_log_err("process for libnftables: %s", strerror(-ret));
		xe_config_free(config);
		return EXIT_FAILED;
	}
	if (xe_service_start(&svc, &o.service, config))
		return EXIT_FAILED;
	xe_detach_done();
	ret = xe_service_run(&svc) ? EXIT_FAILED : EXIT_DONE;
	xe_service_stop(&svc);
	return ret;
}
