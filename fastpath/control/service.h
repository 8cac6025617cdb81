/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * service.h - the running service as the control thread sees it.
 *
 * Everything here belongs to the control thread (the process's first thread), which runs one epoll
 * loop: netlink events, next-hop requests of the workers, the control socket, timers, signals.
 * Workers are reached by worker calls only.
 *
 *   service.c    start, event loop, stop
 *   run_lock.c   the run directory is ours
 *   data_plane.c steering program, memory, workers
 *   ports.c      interfaces become ports and cease to be
 *   resolver.c   next hops: asked from the kernel, followed live
 *   neighbours.c which next hops go through which neighbour
 *   ext_addr.c   external addresses and their indexes
 *   host_l4.c    L4 ports of the host's own sockets
 *   terms_live.c the terms (limits, MSS) of the rules in force
 *   flow_export.c, flow_adopt.c  flows to others, and from others (flow_wait.c, flow_place.c)
 *   flow_sync.c  the flows of another host that may fail
 *   ruleset_live.c  the rule set in force: compile, publish, safety net
 *   takeover_give.c, takeover_take.c  another process takes the service over; from another process
 *   watch.c      is all still as it was made, do the workers move?
 *   standstill.c a worker that is waited for does not move; the end of the process beside it
 *   verbs_*.c    what xegressctl asks for
 */
#ifndef XE_SERVICE_H
#define XE_SERVICE_H

#include <limits.h>

#include "control/config.h"
#include "control/ctl_server.h"
#include "control/fallback.h"
#include "control/handback.h"
#include "control/netlink.h"
#include "control/sockdiag.h"
#include "control/watchdog.h"
#include "io/attach.h"
#include "io/rps.h"
#include "worker.h"

/* The run directory and a name of ours in it. */
#define XE_RUN_PATH_SIZE (PATH_MAX + 32)

enum xe_port_state { XE_PORT_WAITING, XE_PORT_ATTACHED, XE_PORT_FAILED };

/* An interface that the configuration names, or that a glob of it caught. */
struct xe_port {
	uint16_t id; /* index in xe_service.ports; XE_PORT_NONE while it is not attached */
	char name[IFNAMSIZ];
	char entry[IFNAMSIZ]; /* name or glob in the configuration that caught it */
	enum xe_port_role role;
	enum xe_xdp_mode xdp;      /* as configured */
	enum xe_coalesce coalesce; /* as configured */
	bool coalesces;            /* in force, once attached */
	enum xe_port_state state;
	bool comes;    /* its interface has come or changed: xe_ports_settle() tries to attach */
	bool live;     /* attached, and steer takes its packets: its rules are in force */
	bool moving;   /* live, but only for flows that are known (XE_PF_MOVING) */
	int err;       /* failed: -errno of the step that did */
	char why[192]; /* waiting or failed: why, one clause */
	uint8_t retry_step,
		retry_in; /* failed: tries of a second until the next, xe_ports_retry() */
	int ifindex;      /* 0: no such interface */
	uint32_t mtu;
	__be32 own4_be;          /* the host's address there (port_addr.c), 0: none */
	struct xe_addr own6;     /* the same, all 0: none */
	struct xe_prefix *allow; /* inside: in force, both families */
	uint32_t allow_cnt;
	struct xe_attachment at;
	struct xe_rps_port rps;
	struct xe_xsk *xsks[XE_MAX_QUEUES]; /* by queue */
	uint32_t xsk_cnt, queue_cnt;        /* open; that it has */
	uint64_t unheard_cnt;               /* packets by a queue without one, at the last look */
	uint64_t queues_next_ns;            /* because of them the queues are not asked before */
	bool queues_short;                  /* it has more queues than sockets could be opened */
	struct xe_worker *owner;            /* of the port, and of its first queue */
	bool spread;          /* queue q at worker q % worker_cnt, else all at the owner */
	struct xe_port *next; /* xe_service.port_list */
};

/* Resolver's side of a next-hop entry, and of those that share a neighbour. */
struct xe_resolver;

struct xe_service {
	struct xe_config *config; /* as in force, runtime changes included */
	char run_dir[PATH_MAX];
	int lock_fd;
	uint64_t start_ns;

	struct xe_steer steer;
	struct xe_worker workers[XE_MAX_WORKERS];
	uint32_t worker_cnt;
	/* shared by the workers, longer there than they are */
	struct xe_area area;
	struct xe_handoff handoff;
	struct xe_claims *claims;
	struct xe_outside outside;               /* with several workers */
	struct xe_session_budget session_budget; /* likewise */
	struct xe_terms *terms;                  /* limits and the like of the rules, by number */
	struct xe_rule **terms_of; /* by number: the rule that has, or last had it; NULL: none */
	char punt_name[IFNAMSIZ], punt_uplink_name[IFNAMSIZ];
	int punt_fd, punt_uplink_fd;

	struct xe_rps rps;

	struct xe_port *port_list;           /* all, in order of appearance */
	struct xe_port *ports[XE_MAX_PORTS]; /* attached ones by id */
	/* counters of ports that are no more, so that sums go on matching the workers' */
	struct xe_port_counters gone_counters;
	uint64_t gone_xsk_lost;

	struct xe_ruleset *ruleset;
	struct xe_deny_lists *deny_lists;    /* files of the rules in config, as last read */
	uint64_t nat_ports[XE_BITMAP_WORDS]; /* L4 ports of all rules' ranges since the start */
	bool translated6; /* IPv6 flows were, since the start: for the safety net */

	/* Ext addresses by index, IPv4 as ::ffff:a.b.c.d; all zero: free. ext_addr.c */
	struct xe_addr ext_addrs[XE_MAX_EXT_ADDRS];
	uint64_t ext_full_ns; /* last time that none was free, nor could be made so */
	__be32 *broadcasts;   /* that steer knows, as xe_netlink_broadcasts() has them */
	uint32_t broadcast_cnt;
	bool broadcasts_short;                 /* it could not be told of all */
	const struct xe_ruleset *ruleset_next; /* being compiled: its Ext addresses are in use */
	/* L4 ports that no flow is given, read by the workers: the host's and those of dnat rules.
	 */
	struct xe_taken taken;
	uint64_t listening[2][XE_BITMAP_WORDS]; /* of these the host's: by sockets, and reserved */
	uint64_t reserved[XE_BITMAP_WORDS];  /* net.ipv4.ip_local_reserved_ports: UDP's and TCP's */
	uint64_t connected[XE_BITMAP_WORDS]; /* the host's connections in NAT ranges, host_l4.c */
	uint64_t connected_next_ns;          /* when they are read again */
	uint16_t local_min, local_max;       /* net.ipv4.ip_local_port_range; max 0: not known */
	uint16_t default_min, default_max;   /* what a rule without `ports` gives out */
	bool default_moved;                  /* and is not in force yet */
	bool default_refused;                /* which has been said */
	uint64_t dnat[2][XE_BITMAP_WORDS];
	uint64_t held[2][XE_BITMAP_WORDS]; /* by flows that were adopted without owning theirs */
	struct xe_state_dir *state_dir;    /* sessions that outlive the process, state_dir.c */
	struct xe_held_flows *held_flows;  /* those flows, flow_held.c */
	struct xe_adopt *adopt;            /* flows that wait for their port, flow_adopt.c */
	struct xe_flow_sync *sync;         /* another host's flows, flow_sync.c */
	struct xe_l4_rest *l4_rest;        /* L4 ports that rest since before, l4_rest.c */
	struct xe_ct_side *ct;             /* ct_adopt.c; NULL: no conntrack to be had */

	struct xe_netlink *netlink;
	struct xe_sockdiag *sockdiag;
	struct xe_resolver *resolver;
	struct xe_fallback *fallback;
	bool ports_come, ports_gone, ports_renamed; /* since the last xe_ports_settle() */
	bool fallback_stale;                        /* apply again before the loop sleeps */
	bool fallback_ours;     /* this process made the table, and takes it away */
	char fallback_why[256]; /* last failure, "" in place */
	char fallback_table[XE_FALLBACK_NAME_SIZE];
	struct xe_ctl *ctl;
	struct xe_give *give; /* whoever wants to take over, takeover_give.c */
	struct xe_take *take; /* the process this one takes over from, takeover_take.c */
	struct xe_handback handback;
	bool given; /* another process is the service: this one leaves all as it stands */
	struct xe_watch *watch;
	struct xe_beside *beside; /* NULL: it has ended, or there is none */

	int epoll_fd, signal_fd, timer_fd, request_fd;
	uint32_t ticks; /* of the timer */
	struct xe_watchdog watchdog;
	uint32_t waits; /* looks while a worker was waited for, standstill.c */
	bool waits_told;
	bool stop;
};

/* service.c */
struct xe_service_options {
	const char *config_file;
	const char *run_dir;
	bool takeover; /* from the process that has the run directory, if there is one */
};
/* Everything up, or everything down again and one line logged. 0 or -errno. */
int xe_service_start(struct xe_service *svc, const struct xe_service_options *options,
		     struct xe_config *config);
/* The event loop; returns when a signal asked for the end. */
int xe_service_run(struct xe_service *svc);
/* Has the event loop something to do? */
bool xe_service_has_events(const struct xe_service *svc);
/* A signal that asks for the end may have come. */
void xe_service_signals(struct xe_service *svc);
/* The thread's: for xe_service_run(), and before others wait for it. */
void xe_service_raise_priority(void);
/* The control socket waits, or no longer. Events of interfaces do so by xe_watch_defers(). */
void xe_service_hold_still(struct xe_service *svc, bool still);
/* `on-stop: clean`: host exactly as found. `handback`: but for the safety net, and sessions go on
 * in the kernel. Given away: all as it stands. NULL members are fine: also the error path of start,
 * which is always clean. */
void xe_service_stop(struct xe_service *svc);

/* ports.c */
/* Bring ports in line with config and the interfaces that exist now: what is new is attached, then
 * what is gone, or is to be another way, is taken out. */
void xe_ports_sync(struct xe_service *svc);
/* The first half of it alone: no port leaves. */
void xe_ports_sync_new(struct xe_service *svc);
/* Netlink ops: interfaces that went are taken out at once; those that came are attached together,
 * so that the safety net and the rules follow once and not for each of them. */
void xe_ports_link_event(struct xe_service *svc, const struct xe_link *link,
			 const struct xe_link *was, enum xe_nl_event event);
void xe_ports_settle(struct xe_service *svc);
/* Once a second: those that wait since their rules could not be published have another try; with
 * `attach` ports that could not be attached, too, less and less often. */
void xe_ports_retry(struct xe_service *svc, bool attach);
/* Events of links and addresses have not been followed for a while: be as if they had. */
void xe_ports_catch_up(struct xe_service *svc);
/* Connected prefixes may have changed: those ports without `allow` follow. */
void xe_ports_refresh_allow(struct xe_service *svc);
/* port_addr.c: addresses may have changed; the workers learn of it. */
void xe_ports_refresh_own(struct xe_service *svc);
/* guarded.c: NAT ranges, or what the host uses of them, may have changed. */
void xe_guarded_publish(struct xe_service *svc);
/* The same of what no flow is given: one word, TCP (udp 0) or UDP, after listening, connected, dnat
 * or held. */
void xe_taken_publish(struct xe_service *svc, int udp, uint32_t word);
/* A range of a rule (host order, inclusive), from now on; to be published. True: some of it is new.
 */
bool xe_guarded_remember(struct xe_service *svc, uint16_t min, uint16_t max);
/* dnat wins against the host: no flow of ours is to be given the L4 port of such a rule either.
 * Publishes. */
void xe_guarded_reserve(struct xe_service *svc, const struct xe_rule *rules, uint32_t cnt);
struct xe_port *xe_port_named(const struct xe_service *svc, const char *name);
struct xe_port *xe_port_by_ifindex(const struct xe_service *svc, int ifindex);
/* Detach one and forget it. */
void xe_port_remove(struct xe_service *svc, struct xe_port *port);
void xe_ports_close(struct xe_service *svc);
/* A port of this interface, as an entry says, not attached; NULL: no memory. */
struct xe_port *xe_port_make(struct xe_service *svc, const struct xe_link *link,
			     const struct xe_config_port *entry);
/* For rules: ids of the attached ports that a name or glob of the configuration stands for
 * (xe_port_ids_fn). */
__u32 xe_port_ids(void *svc, const char *name, __u16 *ids, __u32 max);
/* Is this a source that the port lets in? */
bool xe_port_allows(const struct xe_port *port, const struct xe_addr *addr);
/* Packets that this port's rings have lost (XDP_STATISTICS, all queues). */
uint64_t xe_port_lost(const struct xe_port *port);

/* resolver.c */
int xe_resolver_open(struct xe_service *svc);
void xe_resolver_close(struct xe_service *svc);
/* request_fd is readable: serve the workers' requests, then go on with a refresh; not all at once,
 * so that the rest of the loop has its turn (request_fd is written again where something is left).
 */
void xe_resolver_poll(struct xe_service *svc);
/* Every 100 ms: neighbours that are being resolved. */
void xe_resolver_tick(struct xe_service *svc);
/* Routes, addresses or ports have changed: ask again for every entry in use, by and by. */
void xe_resolver_refresh(struct xe_service *svc);
/* Next-hop entries that a worker call has made and listed (state/nexthop.h): before anything else
 * is served for that worker. They are asked for when a packet needs one, by the next refresh, or by
 * xe_resolver_ask(), in this order until that time: returns how many it has passed. */
void xe_resolver_list(struct xe_service *svc, uint32_t w, const uint32_t *idx, uint32_t cnt);
uint32_t xe_resolver_ask(struct xe_service *svc, uint32_t w, const uint32_t *idx, uint32_t cnt,
			 uint64_t until_ns);
/* Nobody may use answers that name this port (its id may be given out anew), or masquerade to this
 * Ext address: their packets wait for the refresh, which the caller sees to. At once. */
void xe_resolver_forget_port(struct xe_service *svc, uint16_t port);
void xe_resolver_forget_ext(struct xe_service *svc, uint32_t ext);
/* Set used[ext] for each Ext address that an answer in force names. */
void xe_resolver_mark_exts(const struct xe_service *svc, bool used[XE_MAX_EXT_ADDRS]);
void xe_resolver_neigh_event(struct xe_service *svc, const struct xe_neigh *neigh,
			     enum xe_nl_event event);
/* The uplink that an address of the host itself is on, NULL: there is none. */
struct xe_port *xe_resolver_local_uplink(const struct xe_service *svc, const struct xe_addr *dst);
/* Does this interface bridge inside ports of ours? */
bool xe_resolver_is_bridge(const struct xe_service *svc, int ifindex);

/* ext_addr.c */
/* Index of an Ext address, made known to steer and workers when new; XE_NIL: too many. It is the
 * address's as long as a rule in force, an answer or a session uses it. */
uint32_t xe_ext_get(struct xe_service *svc, const struct xe_addr *addr);
/* Netlink op. An address has left the host: flows masqueraded to it end, as the kernel's do. Those
 * of a `source` pool stay: its addresses need not be the host's. */
/* broadcasts.c: the host's networks may have changed. */
void xe_broadcasts_refresh(struct xe_service *svc);
void xe_ext_addr_event(struct xe_service *svc, const struct xe_ifaddr *addr,
		       enum xe_nl_event event);
/* As if each address that is not the host's had just left it. */
void xe_ext_addrs_catch_up(struct xe_service *svc);

/* ruleset_live.c */
/* Put config->rules in force (compile, publish, steer, safety net stale). On error what was in
 * force stays, and err says why. Called again when the ports a rule names have changed. */
int xe_rules_publish(struct xe_service *svc, char *err, size_t err_size);
void xe_rules_close(struct xe_service *svc);
/* Make or remake the safety net from ports and rules; the outcome is in fallback_why. */
void xe_safety_net_apply(struct xe_service *svc);

/* terms_live.c */
/* Numbers of the terms table for the rules of a set that is about to be in force: a rule that is in
 * force already keeps its number. -ENOMEM; -E2BIG: err says of what. */
int xe_terms_assign(struct xe_service *svc, struct xe_ruleset *rs, char *err, size_t err_size);
void xe_terms_forget(struct xe_service *svc);

/* verbs.c */
extern const struct xe_ctl_verb xe_verbs[];
void xe_verbs_audit(void *ctx, const struct xe_ctl_audit *line);

/* flows, for verbs and ports */
/* End all sessions of a port (by id; XE_PORT_NONE: all), in a worker call. Returns how many. */
uint32_t xe_flows_flush_port(struct xe_service *svc, uint16_t port);
/* End those that were masqueraded to this Ext address, whether it has an index (else XE_NIL) or
 * not. Returns how many. */
uint32_t xe_flows_flush_masquerade(struct xe_service *svc, uint32_t ext,
				   const struct xe_addr *addr);

#endif
