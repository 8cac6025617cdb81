/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * reason.h - the one table of reasons.
 *
 * Every packet that the steering program does not take, and every packet that a worker does not
 * send, has exactly one reason from this table, and is counted under it exactly once. Counters,
 * `xegressctl drops --explain` and docs/reasons.md are generated from it.
 *
 * XE_REASON(NAME, class, text)
 *   class  S_PASS  steering: handed to the kernel (XDP_PASS)
 *          S_DROP  steering: dropped (XDP_DROP)
 *          S_TAKE  steering: redirected into an AF_XDP socket
 *          W_DROP  worker: dropped
 *          W_PUNT  worker: given back to the kernel through the punt device (to_kernel)
 *   text   what an operator is told: the cause, and what to do where something can be done
 *
 * The order is the ABI of the per-port counter map: append within a release, never reorder.
 */
#ifndef XEGRESS_REASON_H
#define XEGRESS_REASON_H

/* New ones come last in their list: a process that takes over is told the counters of the one
 * before it by their place (control/takeover_wire.h). */
#define XE_REASONS_STEER(XE_REASON)                                                                \
	XE_REASON(TAKEN, S_TAKE, "redirected to the worker that owns this port")                   \
	XE_REASON(NOT_IP, S_PASS, "not IPv4 or IPv6 (ARP, LLDP, VLAN-tagged, ...): the kernel's")  \
	XE_REASON(NOT_TCP_UDP, S_PASS, "neither TCP nor UDP (ICMP, SCTP, ESP, ...): the kernel's") \
	XE_REASON(OTHER_L2, S_PASS,                                                                \
		  "Ethernet destination is not this host: bridged by the kernel")                  \
	XE_REASON(DST_SPECIAL, S_PASS,                                                             \
		  "broadcast, multicast, link-local, loopback or unspecified destination, or an "  \
		  "IPv6 source that is link-local")                                                \
	XE_REASON(DST_LOCAL, S_PASS,                                                               \
		  "the kernel does not forward it: an address of this host, or no route at all")   \
	XE_REASON(TTL, S_PASS, "TTL or hop limit is 1 or less: the kernel answers time exceeded")  \
	XE_REASON(FRAGMENT, S_PASS,                                                                \
		  "IP fragment, and there is no punt device to give it back by: the kernel's")     \
	XE_REASON(IPV6, S_PASS, "IPv6 on a port without IPv6 `allow` entries: the kernel's")       \
	XE_REASON(KERNEL_RULE, S_PASS, "a `kernel` rule leaves this flow to the kernel's path")    \
	XE_REASON(NO_RULE, S_PASS, "no rule matches this flow: the kernel's")                      \
	XE_REASON(NO_ROUTE, S_PASS,                                                                \
		  "the kernel would not forward it (no route, blackhole, prohibit, or forwarding " \
		  "is off on the interface): the kernel answers")                                  \
	XE_REASON(EGRESS_NOT_PORT, S_PASS, "the route leaves by an interface that is no port")     \
	XE_REASON(MIDFLOW, S_PASS,                                                                 \
		  "TCP segment of no known session and not a SYN: the kernel may know its flow")   \
	XE_REASON(NOT_OWNED, S_PASS, "uplink: destination L4 port is not owned by a session")      \
	XE_REASON(NO_SOCKET, S_PASS, "no AF_XDP socket on this queue: the kernel's path")          \
	XE_REASON(STALLED, S_PASS, "the owning worker's heartbeat is old: the kernel's path")      \
	XE_REASON(NO_METADATA, S_PASS, "the driver gives no XDP metadata area: the kernel's path") \
	XE_REASON(GSO_UNKNOWN, S_PASS,                                                             \
		  "superpacket of a kind that cannot be sent as it came (tunnel, SCTP, ...)")      \
	XE_REASON(MOVING, S_PASS,                                                                  \
		  "no known flow's, while flows are being moved from the kernel or to it (start, " \
		  "`port add`, stop): the kernel's")                                               \
	XE_REASON(SPOOFED, S_DROP, "source address is not allowed on this port")                   \
	XE_REASON(DROP_RULE, S_DROP, "a `drop` rule matches")                                      \
	XE_REASON(MALFORMED, S_DROP, "header lengths contradict each other or the frame")          \
	XE_REASON(MARTIAN, S_DROP,                                                                 \
		  "source equals destination, or is no unicast address; from a container: to the " \
		  "broadcast address of a network of the host's (directed broadcast)")             \
	XE_REASON(DENIED, S_DROP, "uplink: a `drop from PREFIX in UPLINK` rule names its source")  \
	XE_REASON(ICMP_NOT_OWNED, S_DROP,                                                          \
		  "ICMP error about an L4 port of a NAT range that no session owns")

#define XE_REASONS_WORKER(XE_REASON)                                                               \
	XE_REASON(W_MALFORMED, W_DROP,                                                             \
		  "header lengths contradict each other or the frame, or the IPv4 header's "       \
		  "checksum is wrong")                                                             \
	XE_REASON(W_SPOOFED, W_DROP,                                                               \
		  "source address is not allowed on this port; from an uplink: it is the host's "  \
		  "own, an external one, an inside host's, or nobody's")                           \
	XE_REASON(W_DROP_RULE, W_DROP, "a `drop` rule matches")                                    \
	XE_REASON(NO_SESSION, W_DROP, "from an uplink, and no session has this tuple (any more)")  \
	XE_REASON(NOT_SYN, W_DROP, "TCP segment of no session that cannot start one (not a SYN)")  \
	XE_REASON(SESSIONS_FULL, W_DROP,                                                           \
		  "`limits: sessions` is reached, or half by unanswered flows from outside")       \
	XE_REASON(SOURCE_LIMIT, W_DROP, "`limits: sessions-per-source` is reached by this source") \
	XE_REASON(L4_PORTS_EXHAUSTED, W_DROP,                                                      \
		  "no free L4 port in the rule's range and addresses: widen `ports` or add "       \
		  "addresses")                                                                     \
	XE_REASON(NEXTHOPS_FULL, W_DROP,                                                           \
		  "next-hop table is full, or too many routes are being asked for")                \
	XE_REASON(HOLD_FULL, W_DROP, "too many packets wait for this next hop")                    \
	XE_REASON(NO_FRAMES, W_DROP, "no free UMEM frame to make a packet in")                     \
	XE_REASON(TX_FULL, W_DROP, "the egress device does not drain its TX ring")                 \
	XE_REASON(TX_REFUSED, W_DROP, "the kernel refused the packet on the egress device")        \
	XE_REASON(PORT_GONE, W_DROP, "its port was removed while the packet was in hand")          \
	XE_REASON(TOO_BIG, W_DROP,                                                                 \
		  "not to be fragmented (IPv6 never is), and larger than the inside port's MTU, "  \
		  "or than the route's (IPv6): the sender is told by ICMP")                        \
	XE_REASON(NOT_ALLOWED, W_DROP, "the in-to-out matrix forbids this pair of ports")          \
	XE_REASON(PUNT_FAILED, W_DROP,                                                             \
		  "the kernel's path was wanted, but the punt device refused")                     \
	XE_REASON(P_RULE, W_PUNT, "rule or missing rule found late: given to the kernel's path")   \
	XE_REASON(P_NO_ROUTE, W_PUNT, "no usable route: the kernel's path answers")                \
	XE_REASON(P_NO_NEIGHBOUR, W_PUNT, "next hop does not resolve: the kernel's path answers")  \
	XE_REASON(P_NOT_PORT, W_PUNT, "the route now leaves by an interface that is no port")      \
	XE_REASON(P_TOO_BIG, W_PUNT,                                                               \
		  "not to be fragmented, and larger than the route's MTU: the kernel's path "      \
		  "answers")                                                                       \
	XE_REASON(P_TTL, W_PUNT, "TTL ran out: the kernel's path answers")                         \
	XE_REASON(W_TTL, W_DROP,                                                                   \
		  "from an uplink, and its TTL ran out: the sender is told by ICMP")               \
	XE_REASON(FRAG_TIMEOUT, W_DROP, "fragment whose datagram was not whole after 30 s")        \
	XE_REASON(FRAG_OVERLAP, W_DROP,                                                            \
		  "fragments that overlap or contradict each other: all of the datagram ends")     \
	XE_REASON(FRAG_DUPLICATE, W_DROP, "fragment that is there already")                        \
	XE_REASON(FRAG_TINY, W_DROP,                                                               \
		  "fragment of a length or offset that no honest sender makes (RFC 1858): first "  \
		  "one without the whole L4 header, TCP header cut, not a multiple of 8 bytes")    \
	XE_REASON(FRAG_LIMIT, W_DROP,                                                              \
		  "too many fragments wait: of its datagram (128), its source (256 frames), its "  \
		  "port (512) or all (1024)")                                                      \
	XE_REASON(P_FRAG_NOT_OURS, W_PUNT,                                                         \
		  "fragments of a datagram of no flow of ours (the host's own): given to the "     \
		  "kernel's path, in order")                                                       \
	XE_REASON(HANDOVER_FULL, W_DROP, "the worker that owns the flow does not keep up")         \
	XE_REASON(ICMP_NO_SESSION, W_DROP,                                                         \
		  "ICMP error that quotes a packet of no session (any more)")                      \
	XE_REASON(ICMP_BAD_CSUM, W_DROP,                                                           \
		  "ICMP error about a flow whose checksum, or that of the IP header it quotes, "   \
		  "is wrong")                                                                      \
	XE_REASON(ICMP_NO_WAY, W_DROP,                                                             \
		  "ICMP error from a container, and where its flow goes is not known now")         \
	XE_REASON(REJECTED, W_DROP, "a `reject` rule matches: the sender is told")                 \
	XE_REASON(LIMIT_PACKETS, W_DROP, "over its rule's `limit` of packets a second")            \
	XE_REASON(LIMIT_BITS, W_DROP, "over its rule's `limit` of bits a second")                  \
	XE_REASON(LIMIT_FLOWS, W_DROP, "over its rule's `limit` of new flows a second")            \
	XE_REASON(LIMIT_SOURCE_PACKETS, W_DROP,                                                    \
		  "over its rule's `limit ... per-source` of packets a second")                    \
	XE_REASON(LIMIT_SOURCE_BITS, W_DROP,                                                       \
		  "over its rule's `limit ... per-source` of bits a second")                       \
	XE_REASON(LIMIT_SOURCE_FLOWS, W_DROP,                                                      \
		  "over its rule's `limit ... per-source` of new flows a second")                  \
	XE_REASON(TARGET_GONE, W_DROP,                                                             \
		  "from outside, and the inside host it is for is behind no inside port, or does " \
		  "not answer")                                                                    \
	XE_REASON(TUPLE_TAKEN, W_DROP,                                                             \
		  "from outside, and its peer has a flow to the same inside host and L4 port by "  \
		  "another external one")                                                          \
	XE_REASON(LEFT_BEHIND, W_DROP,                                                             \
		  "fragment, or datagram in fragments, that waited while another process took "    \
		  "the service over (--takeover)")                                                 \
	XE_REASON(                                                                                 \
		STALE, W_DROP,                                                                     \
		"received before its worker stood still for more than a second: sent again, and "  \
		"carried by the kernel, meanwhile")                                                \
	XE_REASON(OWNER_STALLED, W_DROP,                                                           \
		  "of a translated flow whose worker stands still: sent again, it waits for that") \
	XE_REASON(P_OWNER_STALLED, W_PUNT,                                                         \
		  "for a worker that stands still: given to the kernel's path")                    \
	XE_REASON(P_HOST_FLOW, W_PUNT,                                                             \
		  "from an uplink, of no session, and the host may have a flow on that L4 port: "  \
		  "given to the kernel's path")

#define XE_REASON_ENUM(name, class, text) XE_R_##name,
enum xe_steer_reason { XE_REASONS_STEER(XE_REASON_ENUM) XE_R_STEER_CNT };
/* Worker reasons start at 1: 0 (XE_R_NONE) in a packet means "still alive". */
enum xe_worker_reason { XE_R_NONE = 0, XE_REASONS_WORKER(XE_REASON_ENUM) XE_R_WORKER_CNT };
#undef XE_REASON_ENUM

#endif
