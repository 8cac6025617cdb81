/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * attach.h - the steering program: its maps, and its life on an interface.
 *
 * One set of maps (struct xe_steer) serves all ports; each port gets a program of its own, loaded
 * with its id and mode as constants. Where the kernel allows freplace, libxdp's dispatcher carries
 * it, so other programs can stand beside it; else it is attached plainly by a bpf_link, which the
 * kernel takes off when the process dies, and never over somebody else's program.
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
};

struct xe_steer {
	struct steer_bpf *skel; /* owner of the maps; its program is attached nowhere */
	struct xe_steer_settings settings;
	bool plain_only; /* the dispatcher has been tried and this kernel refuses it */
	bool can_read_gso; /* the kernel has the kfuncs and lets us use them */
	/* memory-mapped maps */
	uint64_t *owned;
	struct xe_live_bucket *live;
	uint64_t *beats;
	struct xe_steer_conf *conf;
	struct xe_rule_key *rule_keys; /* entries of the rules in force */
	uint32_t rule_key_cnt;
	size_t owned_size, live_size;
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
int xe_steer_set_ext(struct xe_steer *st, __be32 addr_be, uint32_t ext);
void xe_steer_del_ext(struct xe_steer *st, __be32 addr_be);
/* A rule set: its tuples and entries are added beside those in force, then the generation is
 * switched, then the entries of the one before are removed, which steer remembers. rs->gen must be one
 * more than conf->rules_gen. On an error the rules in force stay. */
struct xe_ruleset;
int xe_steer_set_rules(struct xe_steer *st, const struct xe_ruleset *rs);
/* Sum over the CPUs; reset when a port id is given out anew. */
int xe_steer_counters(const struct xe_steer *st, uint32_t port, struct xe_port_counters *out);
int xe_steer_reset_counters(struct xe_steer *st, uint32_t port);

/* Our program on one interface. */
struct xe_attachment {
	int ifindex;
	bool generic;	 /* skb mode */
	bool dispatcher; /* beside others in libxdp's dispatcher */
	bool gso_known;	 /* segment sizes of superpackets are readable */
	uint32_t prog_id;
	struct xdp_program *xdp; /* dispatcher */
	int link_fd;		 /* plain: a bpf_link, -1 none */
	struct steer_bpf *skel;
};

/* Load for this port and attach. mtu decides what a superpacket is where segment sizes cannot be
 * read. -EBUSY: a foreign program is there and stays; err names it. */
int xe_attach(struct xe_steer *st, struct xe_attachment *at, int ifindex, uint32_t port,
	      bool generic, uint32_t mtu, char *err, size_t err_size);
void xe_detach(struct xe_attachment *at);
/* Is it still there? */
bool xe_attached(const struct xe_attachment *at);

#endif
