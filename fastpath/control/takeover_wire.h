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
 * A message is one packet of a SOCK_SEQPACKET socket, descriptors come with it. All of it is of one
 * machine, in structures of the two programs, which may be of different versions:
 *
 * - Each speaks a range of versions (XE_TO_VERSION_MIN to XE_TO_VERSION). The header, HELLO and
 *   REFUSED keep their layout for ever. HELLO has the range of the new one, WELCOME the highest
 * that both speak; where there is none, the old one says no.
 * - Structures grow at their ends, within a version. A message may be longer than the reader's (the
 *   rest is not looked at) or shorter (it is 0); 0 has to mean "not known". Of what comes in
 * numbers (flows and their ports, changes, sockets, held packets, counters) the length is told, too
 *   (xe_to_size; a file of flows has its own), so the same holds of each.
 * - What lies in rings and frames cannot be translated: both must have the same of it, or the old
 *   one says no, and of what.
 * - Counters are known by their place: new reasons (reason.h) come last, new lane counters directly
 *   before the reasons. A change of what a field means is a version.
 */
#ifndef XE_TAKEOVER_WIRE_H
#define XE_TAKEOVER_WIRE_H

#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "pipeline/burst.h"
#include "state/flow_record.h"
#include "xegress/types.h"

#define XE_TO_WELCOME_FDS 6           /* without the punt devices */
#define XE_TO_MAGIC       0x4f545845u /* "EXTO" as bytes in order */
/* Raised where something of below, or of struct xe_meta, means something else than before, and the
 * other one with it where the versions before cannot be served any more. Before 3 nothing told how
 * long it was. For tests the compiler may be told others. */
#ifndef XE_TO_VERSION
#define XE_TO_VERSION 3
#endif
#ifndef XE_TO_VERSION_MIN
#define XE_TO_VERSION_MIN 3
#endif
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

/* How long what is told is: bytes, but where it is said. New ones come last; 0: not told. */
enum xe_to_size {
	XE_TO_META, /* these three must be the same */
	XE_TO_FRAME,
	XE_TO_RING, /* entries */
	XE_TO_CHANGE,
	XE_TO_SOCKET,
	XE_TO_HELD,
	XE_TO_LANE_COUNTERS,
	XE_TO_LANE_PLAIN, /* of these what stands before the reasons */
	XE_TO_PORT_COUNTERS,
	XE_TO_EXT_ADDRS,   /* all of them */
	XE_TO_LIVE_BUCKET, /* the maps that both write for a moment: same sizes, or the links */
	XE_TO_OWNED,       /* are exchanged while all stand still (takeover_mirror.h) */
	XE_TO_SIZE_CNT,
	XE_TO_SIZES = 32 /* room for more, in all versions */
};

struct xe_to_hello {
	uint32_t size[XE_TO_SIZES];
	uint32_t version_min; /* the highest is the header's */
};

/* Fds: lock, memory of the frames, the maps `counters`, `owned`, `live` and `beats`, and if punt:
 * the two punt devices. */
struct xe_to_welcome {
	uint32_t size[XE_TO_SIZES];
	uint64_t k0, k1; /* of the flow hash: packets on their way carry it */
	uint32_t frame_cnt;
	uint32_t worker_cnt;
	uint32_t live_mask;
	uint32_t notified;                          /* systemd started it, and has to be told */
	uint32_t watchdog_every, watchdog_patience; /* of control/watchdog.h: systemd tells it to
						       the process that it starts only */
	uint32_t any_accept;
	uint32_t translated6;
	uint32_t punt;
	char punt_name[IFNAMSIZ], punt_uplink_name[IFNAMSIZ];
	XE_OF_LATER(of_later, 2)
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
	XE_OF_LATER(of_later, 2)
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
	XE_OF_LATER(of_later, 2)
};

struct xe_to_socket {
	uint16_t port, queue;
	uint32_t fill_cnt, tx_cnt;
	uint32_t reserved;
	uint64_t rx_packets;
	XE_OF_LATER(of_later, 1)
};

/* A packet that waits for a next hop: nothing of it has been changed, and its metadata stands in
 * front of its first frame. */
struct xe_to_held {
	uint32_t frame_cnt, reserved;
	struct xdp_desc frames[XE_PACKET_FRAMES];
	XE_OF_LATER(of_later, 1)
};

struct xe_to_msg {
	uint32_t magic;
	uint16_t version; /* the highest that the sender speaks; of WELCOME the one to be spoken */
	uint16_t type;    /* enum xe_to_type */
	union {
		struct xe_to_hello hello;
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
void xe_to_our_sizes(uint32_t size[XE_TO_SIZES]);
/* HELLO's body. */
void xe_to_our_hello(struct xe_to_hello *hello);
/* Is this a HELLO of somebody who can go on with what we have? 0 and the version that both speak;
 * -EPROTONOSUPPORT, and why not: one clause. */
int xe_to_agree(const struct xe_to_msg *hello, uint16_t *version, char why[XE_TO_TEXT]);
/* Do we speak the version of WELCOME? */
bool xe_to_speaks(uint16_t version);

/* Send without waiting, header filled in (but for a version that is not 0); fds NULL: none. 0 or
 * -errno. */
int xe_to_send(int sock, struct xe_to_msg *msg, uint16_t type, const struct xe_to_fds *fds);
/* Say no, with the reason. */
void xe_to_refuse(int sock, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Receive one message and its descriptors (CLOEXEC, the caller's): waits up to timeout_ms (-1: for
 * ever). -ETIMEDOUT; -ECONNRESET: the other end is closed; -EPROTO: none of ours. What the message
 * is too short for is 0. Another version is no error here. */
int xe_to_recv(int sock, struct xe_to_msg *msg, struct xe_to_fds *fds, int timeout_ms);
/* Has the other end been closed, whatever there is still to read? */
bool xe_to_is_gone(int sock);
void xe_to_close_fds(struct xe_to_fds *fds);

#endif
