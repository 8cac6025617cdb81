/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * attach.h - the steering program: its maps, and its life on an interface.
 *
 * One set of maps (struct xe_steer) and one program a mode (generic, native) serve all ports: the
 * program finds its port by the interface, so xe_steer_set_ifindex() comes before xe_attach().
 * Where the kernel allows freplace, libxdp's dispatcher carries it, so other programs can stand
 * beside it; else it is attached plainly by a bpf_link, which the kernel takes off when the process
 * dies, and never over somebody else's program.
 *
 * Control thread only.
 */
#ifndef XE_ATTACH_H
#define XE_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xegress/steer_abi.h"

struct xe_steer_settings {
	uint64_t k0, k1;
	uint32_t live_mask; /* buckets of one worker's region - 1 */
	uint32_t worker_cnt;
	const char *run_dir;         /* for what libxdp reads from files; not copied */
	uint64_t lock_dev, lock_ino; /* of the lock that this process holds; 0: none */
};

struct xe_steer {
	/* the program in its forms, by steer_prog.c */
	struct steer_bpf *skel;   /* generic mode, plain; owner of the maps */
	struct steer_bpf *native; /* native mode, plain; NULL until it is needed */
	struct xe_steer_ext {
		struct steer_bpf *skel;
		struct xdp_program *xdp;
	} ext[2];             /* for the dispatcher: native, generic; NULL until needed */
	char *dispatcher_dir; /* of our dispatcher object; NULL: libxdp's is used */
	struct xe_steer_settings settings;
	bool lock_shared;  /* another process that lives has our lock, too: it is taken over */
	bool plain_only;   /* no dispatcher here: this kernel, or this process, can't */
	bool can_read_gso; /* the kernel has the kfuncs and lets us use them */
	/* memory-mapped maps */
	uint64_t *owned;
	uint64_t *guarded;
	struct xe_live_bucket *live;
	uint64_t *beats;
	struct xe_steer_conf *conf;
	struct xe_allow_key *deny_keys; /* deny lists in force, sorted */
	uint32_t deny_key_cnt;
	struct steer_rule_keys {
		struct xe_rule_key *keys;
		uint32_t cnt;
	} rule_keys, rule_keys_next; /* entries of the rules in force, and of those made ready */
	size_t owned_size, live_size;
	struct xe_port_counters *carried; /* by port; NULL: none */
};

int xe_steer_open(struct xe_steer *st, const struct xe_steer_settings *settings);
void xe_steer_close(struct xe_steer *st);

/* Map updates; 0 or -errno. */
int xe_steer_set_port(struct xe_steer *st, uint32_t port, const struct xe_port_conf *conf);
int xe_steer_set_ifindex(struct xe_steer *st, int ifindex, uint32_t port);
void xe_steer_del_ifindex(struct xe_steer *st, int ifindex);
int xe_steer_set_allow(struct xe_steer *st, uint32_t port, const struct xe_addr *src, uint8_t len);
void xe_steer_del_allow(struct xe_steer *st, uint32_t port, const struct xe_addr *src, uint8_t len);
int xe_steer_set_socket(struct xe_steer *st, uint32_t port, uint32_t queue, int xsk_fd);
void xe_steer_del_socket(struct xe_steer *st, uint32_t port, uint32_t queue);
int xe_steer_set_ext(struct xe_steer *st, const struct xe_addr *addr, uint32_t ext);
void xe_steer_del_ext(struct xe_steer *st, const struct xe_addr *addr);
int xe_steer_set_broadcast(struct xe_steer *st, __be32 addr_be, bool on);
/* A rule set, rs->gen one more than conf->rules_gen, in two steps, of which only the first can
 * fail: its tuples and entries are added beside those in force (on an error nothing of them is
 * left); then the generation is switched, and the entries of the one before are removed, which
 * steer remembers. Or it is dropped after all. */
struct xe_ruleset;
int xe_steer_ready_rules(struct xe_steer *st, const struct xe_ruleset *rs);
void xe_steer_switch_rules(struct xe_steer *st, const struct xe_ruleset *rs);
void xe_steer_drop_rules(struct xe_steer *st);
/* The deny lists of all uplinks become these (sorted, none twice; at most XE_MAX_DENY). Only the
 * difference is carried out, what is new first: a prefix in both is denied throughout. On an error
 * those in force stay. (steer_deny.c) */
int xe_steer_set_deny(struct xe_steer *st, const struct xe_allow_key *keys, uint32_t cnt);
/* Sum over the CPUs; reset when a port id is given out anew. */
int xe_steer_counters(const struct xe_steer *st, uint32_t port, struct xe_port_counters *out);
int xe_steer_reset_counters(struct xe_steer *st, uint32_t port);
/* For a takeover: maps that another process writes to, and the same maps of that process. Fds in
 * the order owned, live, beats. */
#define XE_STEER_SHARED 3
void xe_steer_shared_fds(const struct xe_steer *st, int fds[XE_STEER_SHARED]);
struct xe_steer_theirs {
	uint64_t *owned;
	struct xe_live_bucket *live;
	uint64_t *beats;
	size_t owned_size, live_size;
};
/* Of the same layout as st's. -errno. */
int xe_steer_map_theirs(const struct xe_steer *st, struct xe_steer_theirs *theirs,
			const int fds[XE_STEER_SHARED]);
void xe_steer_unmap_theirs(struct xe_steer_theirs *theirs);
/* For a takeover: the map; another process's map of the same layout; what others counted of a port
 * before us, which is added to ours from then on. */
int xe_steer_counters_fd(const struct xe_steer *st);
/* Is it that map, of values as long as is said? The kernel writes as much as they are. */
bool xe_steer_are_counters(int map_fd, size_t value_size);
int xe_steer_read_counters(int map_fd, size_t value_size, uint32_t port,
			   struct xe_port_counters *out);
int xe_steer_carry_counters(struct xe_steer *st, uint32_t port,
			    const struct xe_port_counters *before);
/* No program reads any more what it could read before this call (an RCU grace period: some ms). */
void xe_steer_wait(void);

/* Our program on one interface. */
struct xe_attachment {
	int ifindex;
	bool generic;    /* skb mode */
	bool dispatcher; /* beside others in libxdp's dispatcher */
	bool gso_known;  /* segment sizes of superpackets are readable */
	uint32_t prog_id;
	struct xdp_program *xdp;         /* dispatcher; the steer's */
	struct xe_dispatcher_seen *seen; /* dispatcher: what it held when looked at */
	int link_fd;                     /* plain: a bpf_link, -1 none */
};

/* -EBUSY: a foreign program is there and stays; err names it. -EAGAIN: one of another instance of
 * ours, which lives or has done so a second ago. A program of a dead instance is removed. The steer
 * must outlive the attachment. */
int xe_attach(struct xe_steer *st, struct xe_attachment *at, int ifindex, bool generic, char *err,
	      size_t err_size);
void xe_detach(struct xe_attachment *at);
/* A link that another process has made with a program of its own: ours from now on, with the
 * program still the other's until xe_attach_switch(). Loads what is needed for that. On an error
 * the fd is the caller's. */
int xe_attach_adopt(struct xe_steer *st, struct xe_attachment *at, int ifindex, bool generic,
		    int link_fd);
/* The link gets our program, at once and without a gap. -errno: it has not. */
int xe_attach_switch(struct xe_steer *st, struct xe_attachment *at);
/* Is our program in the link? */
bool xe_attach_is_ours(const struct xe_attachment *at);
/* Let go of a link that has been given to another process. */
void xe_attach_leave(struct xe_attachment *at);
/* Take off what dead instances of ours have left on an interface. -EBUSY: one of them lives, or has
 * done so a second ago. */
int xe_attach_clear(int ifindex);
/* Is it still there? */
bool xe_attached(const struct xe_attachment *at);
/* Do superpackets reach the program in fragments, uncopied? Not beside a program in the dispatcher
 * that cannot take them so: libxdp then refuses fragments for all. May change with every program
 * that comes and goes there. */
bool xe_attached_frags(const struct xe_attachment *at);

#endif
