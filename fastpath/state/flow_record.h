/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_record.h - a flow with its mapping, as it is told to somebody else: another process, the
 * kernel's conntrack, a file.
 *
 * A session (session.h) is made of numbers that mean something within one worker only: addresses of
 * IPv6, ports, next hops, rules. A record has nothing of that kind: addresses in full, ports by
 * name, times as ages. So whoever reads it may have other workers, other rules, other port ids, be
 * of another version or on another host.
 *
 *   sessions of this process --+                             +--> sessions of this process
 *   state file of a dead one --+--> records (xe_flow_file) --+--> conntrack
 *   conntrack -----------------+                             +--> file, takeover
 */
#ifndef XE_FLOW_RECORD_H
#define XE_FLOW_RECORD_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "xegress/types.h"

/* xe_flow_record.flags */
#define XE_FR_REPLIED      0x01 /* something came back */
#define XE_FR_FROM_OUTSIDE 0x02 /* opened from outside (dnat, nat, accept in) */
#define XE_FR_EXT          0x04 /* nat_src is an Ext address and L4 port out of a range of ours */
#define XE_FR_MAPPED       0x08 /* ... by an endpoint-independent mapping */
#define XE_FR_HAIRPIN      0x10 /* its peer is another of ours */
#define XE_FR_KERNEL       0x20 /* read from conntrack: no TCP tracking, MAC or counters of ours */
#define XE_FR_ADOPTED      0x40 /* xe_adopt_add(): a session has it, with this mapping */
#define XE_FR_TAGS         0x80 /* xe_adopt_add(): made just now, by tags: nobody owns its L4 port */

#define XE_FR_NO_PORT 0xffffu

/*
 * Host byte order unless the name ends in _be. Direction 0 is the inside host's (XE_DIR_OUT), 1 the
 * peer's, also where the peer spoke first. IPv4 addresses as ::ffff:a.b.c.d.
 */
struct xe_flow_record {
	struct xe_addr src, dst;         /* direction 0 as it comes in on the inside port */
	struct xe_addr nat_src, nat_dst; /* as it leaves; direction 1 is this read backwards */
	__be16 sport_be, dport_be, nat_sport_be, nat_dport_be;
	uint16_t in_port, out_port;  /* index in xe_flow_file.ports; XE_FR_NO_PORT: not known */
	uint8_t family;              /* AF_INET or AF_INET6 */
	uint8_t proto;               /* IPPROTO_TCP, IPPROTO_UDP */
	uint8_t verb;                /* enum xe_verb of its rule */
	uint8_t filter;              /* enum xe_filter of its mapping */
	uint8_t flags;               /* XE_FR_* */
	uint8_t tcp_state;           /* enum xe_tcp_state */
	uint8_t tcp_scale, tcp_seen; /* as in struct xe_session */
	uint8_t mac_back[6];         /* inside host's Ethernet address; all 0: not known */
	uint16_t tcp_win[2];
	uint32_t tcp_end[2], tcp_ack[2];
	uint16_t mss_peer, mss_in; /* 0: not seen */
	uint64_t packets[2], bytes[2];
	uint32_t age_s;  /* since it began */
	uint32_t idle_s; /* since its last packet */
	uint32_t left_s; /* until it ends if nothing more comes */
	uint32_t reserved;
	uint64_t rule_id; /* hash of its rule's text; 0: the rule is gone, or it never had one */
	/* A file and another process tell how long a record is: new fields here, and 0 is what is
	 * not known (flow_record.c has the rule). */
	XE_OF_LATER(of_later, 3)
};
_Static_assert(offsetof(struct xe_flow_record, rule_id) == 168, "it grows at its end");

/* A port that records name. */
struct xe_flow_port {
	char name[IFNAMSIZ];
	uint32_t ifindex; /* of whoever wrote it; 0: not known. Another one by the same name is
			     another container's */
	uint8_t role;     /* enum xe_port_role */
	uint8_t worker;   /* number + 1 of its owner among worker_cnt, 0: not known */
	uint8_t worker_cnt;
	uint8_t reserved;
	XE_OF_LATER(of_later, 1) /* it grows here, as a record does */
};

/* Records in memory, owned by whoever has the struct. */
struct xe_flow_file {
	uint8_t boot_id[16]; /* of the kernel it was written under: ifindexes are of that one */
	uint64_t written_s;  /* CLOCK_REALTIME */
	uint32_t
		written_boot_s; /* CLOCK_BOOTTIME, which goes on evenly as long as this boot does */
	struct xe_flow_port *ports;
	uint32_t port_cnt;
	struct xe_flow_record *records;
	uint32_t record_cnt, record_size; /* used, allocated */
};

/* Each of cnt structures of `size` bytes from one of from_size: what is longer is cut, what is
 * shorter filled up with 0. */
void xe_fit(void *to, size_t size, const void *from, size_t from_size, uint32_t cnt);
/* CLOCK_BOOTTIME, seconds. */
uint32_t xe_boot_s(void);
/* Empty, with this boot's id, written now. */
void xe_flow_file_init(struct xe_flow_file *file);
void xe_flow_file_free(struct xe_flow_file *file);
/* Index of the port of that name and ifindex, added when new; XE_FR_NO_PORT: no memory. */
uint16_t xe_flow_file_port(struct xe_flow_file *file, const char *name, uint32_t ifindex,
			   uint8_t role);
/* So many records are about to be added: memory for them, in huge pages where it is much. -ENOMEM.
 */
int xe_flow_file_expect(struct xe_flow_file *file, uint32_t cnt);
/* Append a copy. 0 or -ENOMEM. */
int xe_flow_file_add(struct xe_flow_file *file, const struct xe_flow_record *record);

/* The whole to a descriptor (from its current offset), with magic, version, sizes and a checksum.
 * -errno. */
int xe_flow_file_write(const struct xe_flow_file *file, int fd);
/* Read and judge: -EINVAL and err (where, what was expected) for a file that is none of ours, of
 * another version, cut short, damaged, or whose records contradict themselves (family, protocol,
 * port indexes, states). -ENOMEM, -errno of read(). On error `file` is empty. Reads not one byte
 * behind the last record, so the descriptor may be a pipe or a socket that goes on. */
int xe_flow_file_read(struct xe_flow_file *file, int fd, char *err, size_t err_size);
/* Does the record make sense by itself? NULL or what is wrong. port_cnt: of its file. Who adds
 * records to a file asks this first: xe_flow_file_read() refuses a file for one that does not. */
const char *xe_flow_record_fault(const struct xe_flow_record *record, uint32_t port_cnt);

#endif
