# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Requirements that a scenario of its own shows; listed here, run by tests/run.sh."""
from table import script

script("kernel_twin_same_traffic", "Whole runs",
       "Recorded, systematic and random traffic, IPv4 and IPv6 (every size, odd fields, wrong checksums, lying lengths, fragments, errors, "
       "TCP with loss, retransmission and reordering) comes out as kernel masquerade lets it out, the TTL, too; what differs is "
       "explained in limitations.md.",
       "t_differential.sh")
script("rfc1624_no_wrong_checksum", "Whole runs",
       "No wrong checksum, byte, address or L4 port in 10,000,000 packets of every size, UDP and TCP, both directions: plain "
       "ones, with IP and TCP options, without a checksum, in fragments (of up to 4,400 bytes), and superpackets. Each has the "
       "headers that one of its kind and size has after kernel masquerade.",
       "t_soak.sh")

script("counter_on_the_wire", "Counters",
       "Packets between network namespaces, from a container and from outside, move each of 39 reasons, once a packet (of a "
       "dropped datagram in fragments once a datagram), and no other.", "t_reasons.sh")
script("counter_each_reason", "Counters",
       "Each reason of docs/reasons.md has a test that makes it count, once a packet, while no other moves; one that no test "
       "of `make check` has made count fails it.", "reasons_seen.sh")

script("security_collisions_bounded", "Security",
       "Tuples chosen by an attacker do not make a lookup dear: with the hash key in hand he has 16 sessions in two buckets and is refused "
       "from then on, without it (or with half of it) his tuples lie as any; in every table that outsiders or containers fill.",
       "test_collision")

for name, text in (
        ("stun_mapping", "coturn's natdiscovery finds endpoint-independent mapping."),
        ("stun_filtering", "It finds address-and-port-dependent filtering."),
        ("stun_filtering_option", "With `filter endpoint-independent` it finds that."),
        ("stun_hairpin", "It finds hairpinning."),
        ("stun_lifetime", "It finds that a mapping lives."),
        ("http_wrk", "wrk loads nginx with 50 connections: no error."),
        ("http_wrk_ipv6", "The same over IPv6."),
        ("https_http2_curl", "curl downloads by TLS and HTTP/2."),
        ("dns_dig", "dig asks unbound by UDP and TCP, also for an answer that has to change to TCP."),
        ("dns_answer_in_fragments", "An answer of 3,000 bytes arrives as a fragmented datagram."),
        ("dns_dnsperf", "dnsperf asks 2,000 a second by UDP and TCP: at most 5 in 1,000 are lost."),
        ("ftp_passive", "curl downloads and uploads by FTP in passive mode, by PASV and EPSV."),
        ("quic_ngtcp2", "ngtcp2's client downloads by QUIC."),
        ("way_traceroute", "traceroute names host, router and server, by ICMP, UDP and TCP."),
        ("way_mtr", "mtr does, by ICMP, UDP and TCP."),
        ("way_tracepath", "tracepath finds the path MTU."),
        ("outside_nmap", "nmap from outside sees the NAT range filtered, TCP and UDP; the host resets nothing.")):
    script("client_" + name, "Independent clients", text, "t_clients.sh")
