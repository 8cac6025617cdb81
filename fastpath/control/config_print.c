/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config_print.c - a configuration as a file that loads to the same configuration.
 *
 * Everything is written out, defaults too, so that a newer version with other defaults loads the
 * same; only what has no word for its default (workers, ctl-group) is left away.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "control/config.h"

/* A name in YAML: bare when no reader could take it for something else (a number, `no`, `null`, a
 * list). Names have no quotes and no backslashes (xe_port_name_valid()), so double quotes need no
 * escapes. */
static void print_name(FILE *f, const char *name)
{
	bool letters_only = true, bare = isalpha((unsigned char)*name);

	for (const char *c = name; bare && *c; c++) {
		bare = isalnum((unsigned char)*c) || strchr("._-*?", *c);
		letters_only &= !!isalpha((unsigned char)*c);
	}
	fprintf(f, bare && !letters_only ? "%s" : "\"%s\"", name);
}

static void print_port(FILE *f, const struct xe_config_port *p)
{
	char text[INET6_ADDRSTRLEN + 4];

	fputs("  - {name: ", f);
	print_name(f, p->name);
	fprintf(f, ", role: %s", xe_role_words[p->role]);
	for (uint32_t i = 0; p->allow && i < p->allow_cnt; i++) {
		xe_prefix_print(&p->allow[i], text, sizeof(text));
		fprintf(f, "%s\"%s\"", i ? ", " : ", allow: [", text);
	}
	/* quoted: a reader of YAML 1.1 takes a bare `on` for a truth value */
	fprintf(f, "%s, xdp: %s, coalesce: \"%s\"}\n", p->allow ? "]" : "", xe_xdp_words[p->xdp],
		xe_coalesce_words[p->coalesce]);
}

static void print_workers(FILE *f, const struct xe_config *config)
{
	for (uint32_t i = 0; i < config->worker_cnt; i++)
		fprintf(f, "%s%d", i ? ", " : "workers: [", config->workers[i]);
	if (config->worker_cnt)
		fputs("]\n", f);
}

static void print_ports(FILE *f, const struct xe_config *config)
{
	fprintf(f, "ports:%s\n", config->port_cnt ? "" : " []");
	for (uint32_t i = 0; i < config->port_cnt; i++)
		print_port(f, &config->ports[i]);
	fputs("deny-ports: [", f);
	for (uint32_t i = 0; i < config->deny_port_cnt; i++) {
		fputs(i ? ", " : "", f);
		print_name(f, config->deny_ports[i]);
	}
	fputs("]\n", f);
}

/* Rules start with a verb and hold no ` #`: bare text in YAML, but where a word ends with a colon,
 * as the address fd00:: does. They hold no quotes. */
static bool is_bare_rule(const char *text)
{
	size_t len = strlen(text);

	return !strstr(text, ": ") && !(len && text[len - 1] == ':');
}

static int print_rules(FILE *f, const struct xe_config *config)
{
	char text[XE_RULE_TEXT_SIZE];

	fprintf(f, "rules:%s\n", config->rule_cnt ? "" : " []");
	for (uint32_t i = 0; i < config->rule_cnt; i++) {
		int ret = xe_rule_print(&config->rules[i], text, sizeof(text));

		if (ret < 0)
			return ret;
		fprintf(f, is_bare_rule(text) ? "  - %s\n" : "  - '%s'\n", text);
	}
	return 0;
}

int xe_config_print(const struct xe_config *config, FILE *f)
{
	int ret;

	print_workers(f, config);
	fprintf(f, "wait: %s\n", xe_wait_words[config->wait]);
	fprintf(f, "rps: %s\n", xe_rps_words[config->rps]);
	fprintf(f, "checksum-offload: %s\n", xe_csum_offload_words[config->csum_offload]);
	/* quoted: as coalesce */
	fprintf(f, "repair: \"%s\"\n", xe_repair_words[config->repair]);
	fprintf(f, "on-stop: %s\n", xe_on_stop_words[config->on_stop]);
	print_ports(f, config);
	ret = print_rules(f, config);
	if (ret)
		return ret;
	fprintf(f, "limits: {sessions: %u, sessions-per-source: %u}\n", config->limits.sessions,
		config->limits.sessions_per_source);
	fprintf(f, "timeouts: {tcp-established: %us, tcp-transitory: %us, udp: %us, dns: %us}\n",
		config->timeouts.tcp_established_s, config->timeouts.tcp_transitory_s,
		config->timeouts.udp_s, config->timeouts.dns_s);
	if (config->ctl_group[0])
		fprintf(f, "ctl-group: \"%s\"\n", config->ctl_group);
	return ferror(f) ? -EIO : 0;
}
