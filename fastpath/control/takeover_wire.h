/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_wire.h - what two processes say to each other when one takes the service over.
 *
 *      new                                                       old
 *       |  connects to RUN/takeover.sock                          |
 *       |-- HELLO (versions, sizes) ----------------------------->|
 *       |<------------- WELCOME (keys; lock, memory, punt, counters)
 *       |  loads its program, makes its maps, tables, workers     |
 *       |-- BEGIN ----------------------------------------------->|  its ports change no more
 *       |<-------------------------------------------------- PORTS
 *       |-- PORT_WANTED (n) ------------------------------------->|
 *       |<------------------------- PORT (its link, its sockets) -'  for each
 *       |  maps their rings, tells its own maps of them           |
 *       |-- COPY ------------------------------------------------>|
 *       |<------------ COPIED (flows that have changed) ----------'  until few have:
 *       |  flows become sessions                                  |  the workers run
 *       |-- FREEZE ---------------------------------------------->|  workers stop
 *       |<-- FROZEN (who holds each frame; flows that have changed)
 *       |  so do these, links get the new program                 |
 *       |-- DONE ------------------------------------------------>|
 *       |<----------------------------------------------------- GO
 *       |  workers run; it is the service                         |
 *       |-- BYE ------------------------------------------------->|  exits
 *
 * Flows are told while the old workers go on, as often as it takes; what has changed since the last
 * time is told again. So all stand still only for what has changed since the very last time,
 * however many flows there are. COPY may be left out: then FROZEN has them all.
 *
 * Until GO the old one is the service: a word of refusal, the end of the connection or five seconds
 * of silence, and it goes on as if nothing had been. So after DONE the new one must not go away by
 * itself: it waits until it is told, or the other is dead. Old never waits for new but for these.
 *
 * A message is one packet of a SOCK_SEQPACKET socket, descriptors come with it. The header keeps
 * its layout in all versions; the rest is of one version and one machine, in the structures of both
 * programs, so another version, or another size of what is told, is refused.
 */
#ifndef XE_TAKEOVER_WIRE_H
#define XE_TAKEOVER_WIRE_H

#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdint.h>

#include "pipeline/burst.h"
#include "xegress/types.h"

#define XE_TO_WELCOME_FDS 6           /* without the punt devices */
#define XE_TO_MAGIC       0x4f545845u /* "EXTO" as bytes in order */
/* Raise it with every change of what is below, of struct xe_meta, or of what its fields mean. */
#define XE_TO_VERSION     2
#define XE_TO_SOCKET_NAME "takeover.sock"
/* Neither side waits longer for a word of the other, GO excepted. */
#define XE_TO_SILENCE_MS 5000
/* A port's link and its sockets; the kernel passes 253 at once. */
#define XE_TO_FDS_MAX (1 + XE_MAX_QUEUES)
#define XE_TO_TEXT    256

enum xe_to_type {
	XE_TO_HELLO = 1,
	XE_TO_REFUSED, /* text: this one and the one before stay as they are in all versions */
	XE_TO_WELCOME,
	XE_TO_BEGIN,
	XE_TO_PORTS,
	XE_TO_PORT_WANTED,
	XE_TO_PORT,
	XE_TO_COPY,
	XE_TO_COPIED,
	XE_TO_FREEZE,
	XE_TO_FROZEN,
	XE_TO_DONE,
	XE_TO_GO,
	XE_TO_BYE,
};

/* Sizes that both must agree on, beside the version: a forgotten raise is found. */
struct xe_to_sizes {
	uint32_t message, meta, record, frame, ring, change;
};

/* Fds: lock, memory of the frames, the maps `counters`, `owned`, `live` and `beats`, and if punt:
 * the two punt devices. */
struct xe_to_welcome {
	uint64_t k0, k1; /* of the flow hash: packets on their way carry it */
	uint32_t frame_cnt;
	uint32_t worker_cnt;
	uint32_t live_mask;
	uint32_t steer_counters_size, lane_counters_size; /* others' are not carried on */
	uint32_t notified;                          /* systemd started it, and has to be told */
	uint32_t watchdog_every, watchdog_patience; /* of control/watchdog.h: systemd tells it to
						       the process that it starts only */
	uint32_t any_accept;
	uint32_t translated6;
	uint32_t punt;
	char punt_name[IFNAMSIZ], punt_uplink_name[IFNAMSIZ];
};

struct xe_to_queue {
	uint8_t zerocopy, multi_buffer, meta;
};

/* Fds: the link where by_link, then its sockets in the order of their queues. */
struct xe_to_port {
	char name[IFNAMSIZ], entry[IFNAMSIZ];
	uint32_t ifindex;
	uint16_t id;
	uint8_t role, xdp, coalesce;
	uint8_t generic, by_link;
	uint8_t owner; /* worker */
	uint32_t queue_cnt;
	struct xe_to_queue queues[XE_MAX_QUEUES];
};

/* Fds: a file, with a bitmap of XE_BITMAP_WORDS words (the L4 ports in NAT ranges), then cnt times
 * struct xe_flow_change, then an xe_flow_file. */
struct xe_to_changes {
	uint32_t cnt;
	uint32_t more; /* this pass through the sessions is not at its end */
};

/* Fds: lanes; what has changed. In lanes, one after the other: */
struct xe_to_frozen {
	uint32_t frame_cnt;  /* uint16_t each, see umem_give.h */
	uint32_t worker_cnt; /* struct xe_lane_counters of each */
	uint32_t socket_cnt; /* struct xe_to_socket */
	uint32_t held_cnt;   /* struct xe_to_held */
	uint32_t port_cnt, reserved;
	uint64_t gone_xsk_lost;
	/* Behind them struct xe_port_counters: of ports that are no more, and of each port in the
	 * order of PORTS what the old one had from the one before it, and is not in its map. Last
	 * the Ext addresses by their numbers, XE_MAX_EXT_ADDRS. */
	struct xe_to_changes changes;
};

struct xe_to_socket {
	uint16_t port, queue;
	uint32_t fill_cnt, tx_cnt;
	uint32_t reserved;
	uint64_t rx_packets;
};

/* A packet that waits for a next hop: nothing of it has been changed, and its metadata stands in
 * front of its first frame. */
struct xe_to_held {
	uint32_t frame_cnt, reserved;
	struct xdp_desc frames[XE_PACKET_FRAMES];
};

struct xe_to_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum xe_to_type */
	union {
		struct xe_to_sizes sizes;
		struct xe_to_welcome welcome;
		uint32_t number; /* PORTS: how many; PORT_WANTED: which */
		struct xe_to_port port;
		struct xe_to_changes changes;
		struct xe_to_frozen frozen;
		char text[XE_TO_TEXT];
	};
};

struct xe_to_fds {
	int fd[XE_TO_FDS_MAX];
	uint32_t cnt;
};

/* What we have. */
struct xe_to_sizes xe_to_our_sizes(void);

/* Send without waiting, header filled in; fds NULL: none. 0 or -errno. */
int xe_to_send(int sock, struct xe_to_msg *msg, uint16_t type, const struct xe_to_fds *fds);
/* Say no, with the reason. */
void xe_to_refuse(int sock, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Receive one message and its descriptors (CLOEXEC, the caller's): waits up to timeout_ms (-1: for
 * ever). -ETIMEDOUT; -ECONNRESET: the other end is closed; -EPROTO: none of ours. Another version
 * is no error here. */
int xe_to_recv(int sock, struct xe_to_msg *msg, struct xe_to_fds *fds, int timeout_ms);
/* Has the other end been closed, whatever there is still to read? */
bool xe_to_is_gone(int sock);
void xe_to_close_fds(struct xe_to_fds *fds);

#endif
