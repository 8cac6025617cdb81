/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rig.h - the steering program under BPF_PROG_TEST_RUN: what it stands on, and what is expected of
 * one packet.
 *
 * The maps and programs are those of the service (io/attach.h, io/steer_prog.h): one program for
 * all ports, which it tells apart by the interface. One AF_XDP socket is bound for real; it stands
 * for all (port, queue 0) but those of in1, which has none: TEST_RUN looks the socket up and does
 * not deliver.
 *
 * Every expectation checks: the verdict that the reason's class demands; that exactly this reason
 * of exactly this port moved by exactly one; that the packet left as it came; and the metadata in
 * front of it, there when taken and not there otherwise.
 */
#ifndef XE_TEST_RIG_H
#define XE_TEST_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "frames.h"
#include "io/attach.h"
#include "io/umem.h"
#include "io/xsk.h"
#include "state/ruleset.h"
#include "steer_net.h"

/* How a program reads GSO facts (bpf/steer_gso.h). */
enum { GSO_NATIVE, GSO_SHINFO, GSO_UNKNOWN, GSO_CNT };

struct rig {
	struct xe_steer steer;
	int prog_fd[GSO_CNT];    /* [GSO_SHINFO]: -1 where the kernel refuses it */
	struct steer_bpf *blind; /* owner of [GSO_UNKNOWN] where the service has none */
	int ifindex[PORT_CNT];
	struct xe_port_conf conf[PORT_CNT];
	struct xe_umem umem;
	struct xe_xsk xsk;
	struct xe_ruleset *rules;
	uint32_t gen;
	bool meta_limited; /* the kernel lets no more metadata be there than steer removes */
	uint64_t seen[XE_R_STEER_CNT]; /* expectations met so far, by reason */
};

/* cmocka group setup and teardown; *state is the rig. */
int rig_open(void **state);
int rig_close(void **state);
/* cmocka test setup: ports live, beats fresh, tables as after start, the rules of rig_rules(). */
int rig_reset(void **state);

/* Compile these rules and make them the active set. */
void rig_set_rules(struct rig *rig, const char *const *texts, uint32_t cnt);
#define rig_rules(rig, ...)                                                                        \
	rig_set_rules(rig, (const char *const[]){__VA_ARGS__},                                     \
		      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
void rig_set_compiled(struct rig *rig, struct xe_ruleset *rs);
/* Port names of rules: in0, in1, up0, up1; `in*` and `up*` both of a role. */
__u32 rig_port_ids(void *ctx, const char *name, __u16 *ids, __u32 max);

/* One allow entry: "10.1.0.0/16". */
void rig_allow(struct rig *rig, uint32_t port, const char *prefix);
void rig_disallow(struct rig *rig, uint32_t port, const char *prefix);
void rig_put_port(struct rig *rig, uint32_t port); /* rig->conf[port] to the map */

/* xe_flow_hash() of the packet as it is seen on this port. */
uint64_t rig_hash(const struct rig *rig, uint32_t port, const struct frame *f);
/* Region of one worker in the live map. */
struct xe_live_bucket *rig_live(struct rig *rig, uint32_t worker);
void rig_clear_live(struct rig *rig);
void rig_set_owned(struct rig *rig, uint32_t ext, bool is_udp, uint16_t l4_port, bool on);

struct run {
	int fd; /* program */
	uint32_t port, queue;
	uint32_t meta_len;   /* metadata already in front of the packet */
	uint32_t linear_len; /* bytes before the first frag; 0: as many as fit */
	uint32_t repeat;     /* 0: once */
	const struct frame *frame;
	/* out */
	uint32_t verdict, out_len, out_meta_len;
	uint32_t duration_ns;
	uint8_t out[FRAME_SIZE + 256];
};
/* 0 or -errno, as the kernel answers. Other members than out are set by the caller. */
int rig_run(const struct rig *rig, struct run *run);
/* A run of the native program of this port, with nothing special. */
void run_init(const struct rig *rig, struct run *run, uint32_t port, const struct frame *f);

/* reason: enum xe_steer_reason, or NOTHING_COUNTED with XDP_PASS. */
#define NOTHING_COUNTED (-1)
void expect_run_at(struct rig *rig, struct run *run, int reason, const char *name, const char *file,
		   int line);
void expect_at(struct rig *rig, uint32_t port, const struct frame *f, int reason, const char *name,
	       const char *file, int line);
#define expect_run(rig, run, reason, name) expect_run_at(rig, run, reason, name, __FILE__, __LINE__)
#define expect(rig, port, f, reason, name) expect_at(rig, port, f, reason, name, __FILE__, __LINE__)

#endif
