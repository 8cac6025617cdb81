/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config.h - the configuration file: YAML in, checked structures out, and printed back.
 *
 * Control thread only. Every error is one line `FILE:LINE: KEY: what is wrong, what was expected`.
 */
#ifndef XE_CONFIG_H
#define XE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "io/tx_csum.h"
#include "state/rule.h"
#include "xegress/types.h"

enum xe_wait { XE_WAIT_ADAPTIVE, XE_WAIT_BUSY, XE_WAIT_INTERRUPT };
enum xe_on_stop { XE_STOP_HANDBACK, XE_STOP_CLEAN };
enum xe_rps_mode { XE_RPS_AUTO, XE_RPS_OFF };
enum xe_repair { XE_REPAIR_ON, XE_REPAIR_OFF };
enum xe_xdp_mode { XE_XDP_AUTO, XE_XDP_NATIVE, XE_XDP_GENERIC };
enum xe_coalesce { XE_COALESCE_AUTO, XE_COALESCE_ON, XE_COALESCE_OFF };

struct xe_config_port {
	char name[IFNAMSIZ]; /* interface name or glob (fnmatch) */
	enum xe_port_role role;
	enum xe_xdp_mode xdp;
	enum xe_coalesce coalesce;
	struct xe_prefix *allow; /* inside only; NULL: the interface's connected prefixes */
	uint32_t allow_cnt;
	int line, allow_line; /* of its name and of its `allow`; 0 = from the ctl tool */
};

struct xe_config {
	char *file;                  /* as named on the command line, for messages */
	int workers[XE_MAX_WORKERS]; /* CPU numbers */
	uint32_t worker_cnt;         /* 0: default, one on the last allowed CPU */
	enum xe_wait wait;
	enum xe_rps_mode rps; /* io/rps.h */
	enum xe_csum_offload csum_offload;
	enum xe_repair repair; /* control/watch.h */
	enum xe_on_stop on_stop;
	struct xe_config_port *ports;
	uint32_t port_cnt;
	char (*deny_ports)[IFNAMSIZ]; /* names or globs */
	uint32_t deny_port_cnt;
	uint32_t deny_by_del_cnt; /* the last of these: `port del` of what a glob catches, taken
				     back by `port add`; none in a loaded file */
	struct xe_rule *rules;
	uint32_t rule_cnt;
	struct {
		uint32_t sessions;            /* whole service; default 1048576 */
		uint32_t sessions_per_source; /* default 16384 */
	} limits;
	struct {
		uint32_t tcp_established_s; /* default 7440: RFC 5382 REQ-5 wants >= 2 h 4 min */
		uint32_t tcp_transitory_s;  /* default 240: RFC 5382 REQ-5 */
		uint32_t udp_s;             /* default 300: RFC 4787 REQ-5 */
		uint32_t dns_s;             /* default 20; RFC 4787 REQ-5 allows it */
	} timeouts;
	char ctl_group[64]; /* `ctl-group:`, group of the control socket, "" = leave root's */
};

/* What the checker says that is no error (a timer below an RFC's minimum, ...): one line of the
 * same form as an error. */
typedef void (*xe_config_warn_fn)(void *ctx, const char *line);

/* Load and check a file. On success *out is the caller's, freed with xe_config_free(). On error
 * returns -EINVAL (or -errno of opening the file) and err holds the one line. */
int xe_config_load(const char *file, struct xe_config **out, xe_config_warn_fn warn, void *ctx,
		   char *err, size_t err_size);
/* The same from memory (ctl `apply`, fuzzing); `name` stands for the file in messages. */
int xe_config_parse(const char *name, const char *text, size_t len, struct xe_config **out,
		    xe_config_warn_fn warn, void *ctx, char *err, size_t err_size);
/* Checks that need the whole (run by load and parse, and by the service before a rule or port is
 * added alone): port names of rules exist in `ports:`, an `out` is an uplink, rule `from` can come
 * from an allowed prefix, NAT ranges do not meet the kernel's, ... */
int xe_config_check(const struct xe_config *config, xe_config_warn_fn warn, void *ctx, char *err,
		    size_t err_size);
/* config_sources.c: 0, or -E2BIG and the rule by which the pools of all rules have more external
 * addresses than XE_MAX_EXT_ADDRS; -ENOMEM. */
int xe_config_count_sources(const struct xe_config *config, uint32_t *rule);
/* The `ports:` entry for an interface name: an explicit name beats a glob, the first glob wins;
 * NULL when nothing names it or deny-ports does. */
const struct xe_config_port *xe_config_port_for(const struct xe_config *config, const char *ifname);
bool xe_config_denied(const struct xe_config *config, const char *ifname);
/* Does `name`, as written in `in` or `out` of a rule, stand for this interface? It does when it is
 * the interface's own name, or the name (a glob, perhaps) of its `ports:` entry. */
bool xe_config_name_covers(const struct xe_config *config, const char *name, const char *ifname);
/* Is this name a pattern (fnmatch) and not one interface? */
bool xe_config_is_glob(const char *name);
/* The words of the file. */
extern const char *const xe_role_words[],
	*const xe_xdp_words[],
		*const xe_coalesce_words[],
			*const xe_wait_words[],
				*const xe_rps_words[],
					*const xe_csum_offload_words[],
						*const xe_repair_words[],
							*const xe_on_stop_words[]; /* each ends in
									      NULL, indexed by its
									      enum */
/* Print a file that loads to the same configuration. */
int xe_config_print(const struct xe_config *config, FILE *f);
struct xe_config *xe_config_dup(const struct xe_config *config);
void xe_config_free(struct xe_config *config);

#endif
