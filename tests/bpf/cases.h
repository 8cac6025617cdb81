/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases.h - the cases of test_steer, in the order they run; each is a function of its file. */
#ifndef XE_TEST_CASES_H
#define XE_TEST_CASES_H

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "rig.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

#define CASES(CASE)                                                                                \
	/* cases_parse.c */                                                                        \
	CASE(taken_with_metadata)                                                                  \
	CASE(not_ip)                                                                               \
	CASE(ethernet_destination)                                                                 \
	CASE(runts_of_every_length)                                                                \
	CASE(lying_ipv4_lengths)                                                                   \
	CASE(lying_l4_lengths)                                                                     \
	CASE(ipv4_options_and_padding)                                                             \
	CASE(ipv4_protocols)                                                                       \
	CASE(ipv4_ttl)                                                                             \
	CASE(ipv4_destinations)                                                                    \
	CASE(multi_buffer)                                                                         \
	/* cases_ipv6.c */                                                                         \
	CASE(ipv6_plain)                                                                           \
	CASE(ipv6_rules)                                                                           \
	CASE(ipv6_routes)                                                                          \
	CASE(ipv6_live)                                                                            \
	CASE(ipv6_runts_and_lies)                                                                  \
	CASE(ipv6_extension_headers)                                                               \
	CASE(ipv6_destinations)                                                                    \
	CASE(ipv6_on_uplink)                                                                       \
	/* cases_inside.c */                                                                       \
	CASE(martians)                                                                             \
	CASE(spoofed)                                                                              \
	CASE(allow_prefixes)                                                                       \
	CASE(not_forwarded)                                                                        \
	CASE(directed_broadcasts)                                                                  \
	CASE(egress)                                                                               \
	CASE(moving)                                                                               \
	CASE(route_by_tos)                                                                         \
	CASE(forwarding_off)                                                                       \
	CASE(route_ifindex)                                                                        \
	CASE(tcp_midflow)                                                                          \
	CASE(live_tags)                                                                            \
	CASE(live_before_rules)                                                                    \
	CASE(live_regions)                                                                         \
	CASE(port_entry)                                                                           \
	CASE(port_by_interface)                                                                    \
	/* cases_rules.c */                                                                        \
	CASE(verbs)                                                                                \
	CASE(out_masks)                                                                            \
	CASE(in_and_out_names)                                                                     \
	CASE(l4_port_ranges)                                                                       \
	CASE(protocols)                                                                            \
	CASE(first_match)                                                                          \
	CASE(generations)                                                                          \
	CASE(many_tuples)                                                                          \
	CASE(program_and_service_agree)                                                            \
	CASE(ten_thousand_rules)                                                                   \
	/* cases_uplink.c */                                                                       \
	CASE(owned_bits)                                                                           \
	CASE(external_addresses)                                                                   \
	CASE(uplink_is_not_judged)                                                                 \
	CASE(uplink_martians)                                                                      \
	CASE(uplink_parse)                                                                         \
	CASE(accept_replies)                                                                       \
	/* cases_deny.c */                                                                         \
	CASE(denied_sources)                                                                       \
	CASE(denied_by_any_way)                                                                    \
	CASE(many_denied)                                                                          \
	/* cases_icmp.c */                                                                         \
	CASE(icmp_errors_by_uplink)                                                                \
	CASE(icmp_errors_not_ours)                                                                 \
	CASE(icmp_errors_about_the_range)                                                          \
	CASE(icmp_errors_v6)                                                                       \
	CASE(icmp_errors_v6_ext)                                                                   \
	CASE(icmp_errors_from_inside)                                                              \
	/* cases_fragment.c */                                                                     \
	CASE(fragments_inside)                                                                     \
	CASE(fragments_uplink)                                                                     \
	CASE(fragments_of_accepted)                                                                \
	CASE(fragments_without_punt)                                                               \
	/* cases_handover.c */                                                                     \
	CASE(sockets_and_queues)                                                                   \
	CASE(heartbeat)                                                                            \
	CASE(superpackets)                                                                         \
	CASE(metadata_room)                                                                        \
	CASE(every_reason_was_seen)

#define CASE_PROTOTYPE(name) void name(void **state);
CASES(CASE_PROTOTYPE)

/* From a container allowed there, by the default route, under the masquerade rule. */
static const struct flow flow_out = {"10.1.0.5", "198.18.0.1", 40000, 443};
static const struct flow flow_out6 = {"2001:db8:1::5", "2001:db8:2::1", 40000, 443};
/* Reply to it at the first external address. */
static const struct flow flow_back = {"198.18.0.1", "198.51.100.2", 443, 20001};

#endif
