#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""fallback_judge6.py - the safety net's IPv6 on the wire; fallback_judge.py is IPv4's and has the
frame of it.

    fallback_judge6.py ID DRIVER TABLE
"""
import socket
import subprocess
import sys

from scapy.all import (TCP, UDP, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
                       ICMPv6PacketTooBig, ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6,
                       IPv6ExtHdrDestOpt, PadN, Raw)

import fallback_judge as j
from fallback_judge import MIDFLOW, driver, expect, in_namespace, run, verdict, wires

C1, C2, EXT = "fd00:1:1::2", "fd00:1:2::2", "2001:db8:51::2"
SRV1, SRV2, SRV3, SRV4 = ["2001:db8:203::%d" % i for i in (1, 2, 3, 4)]
NAT_MAX = j.NAT_MAX
INSIDE = ("inside vethc1 fd00:1:1::/64", "inside vethc2 fd00:1:2::/64")
MASQ = "rule masquerade from fd00:1::/32"
TALK = {130, 131, 132, 133, 134, 135, 136, 137, 143}  # multicast listeners, neighbour discovery


class Wire6(j.Wire):
    ETHERTYPE, LAYER = 0x86dd, IPv6

    @staticmethod
    def is_noise(packet):
        kind = bytes(packet.payload)[:1]
        return packet.nh == 0 or (packet.nh == 58 and kind and kind[0] in TALK)


def apply(*lines):
    driver.apply(*INSIDE, *lines)


def tcp(src, dst, flags, sport=45000, dport=80):
    return IPv6(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags, seq=77, ack=88)


def udp(src, dst, sport=45000, dport=7000):
    return IPv6(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(b"xegress")


def error(src, dst, quoted, kind=ICMPv6DestUnreach, **more):
    return IPv6(src=src, dst=dst) / kind(**more) / Raw(bytes(quoted)[:100])


def is_error(p):
    return p.nh == 58 and bytes(p.payload)[0] == 1


def translated(proto, low=NAT_MAX + 1, high=65535):
    return lambda p: p.src == EXT and proto in p and low <= p[proto].sport <= high


def plain(src):
    return lambda p: p.src == src


def mid_flow(tag):
    for n, (what, flags) in enumerate(MIDFLOW.items()):
        expect("midflow6-%s%s" % (what, tag), wires["c1"].send,
               [tcp(C1, SRV1, flags, sport=45000 + n) / Raw(b"x" * 10)], {"midflow": 1})


def icmp_leaks():
    quoted = tcp(SRV1, C1, "A", sport=80, dport=45999)
    for kind, more in ((ICMPv6DestUnreach, {"code": 4}), (ICMPv6PacketTooBig, {"mtu": 1280}),
                       (ICMPv6TimeExceeded, {}), (ICMPv6ParamProblem, {})):
        expect("icmp6-error-%s-unknown-flow" % kind.__name__, wires["c1"].send,
               [error(C1, SRV1, quoted, kind, **more)], {"leak": 1})
    expect("icmp6-unsolicited-echo-reply", wires["c1"].send,
           [IPv6(src=C1, dst=SRV1) / ICMPv6EchoReply(id=7)], {"leak": 1})


def new_flows(tag):
    for sport, check in ((45100, translated(TCP, 45100, 45100)), (5000, translated(TCP)),
                         (NAT_MAX, translated(TCP))):
        expect("syn6-from-%d%s" % (sport, tag), wires["c1"].send,
               [tcp(C1, SRV1, "S", sport=sport, dport=9)], {}, w=[check],
               c1=[lambda p, s=sport: p.src == SRV1 and p[TCP].dport == s and p[TCP].flags.R])
    for sport, check in ((45200, translated(UDP, 45200, 45200)), (5353, translated(UDP))):
        expect("udp6-from-%d%s" % (sport, tag), wires["c1"].send,
               [udp(C1, SRV1, sport=sport, dport=9)], {}, w=[check], c1=[is_error])
    expect("udp6-extension-header" + tag, wires["c1"].send,
           [IPv6(src=C1, dst=SRV1) / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
            / UDP(sport=45260, dport=9) / Raw(b"xegress")], {}, w=[translated(UDP)],
           c1=[is_error])
    expect("ping6-same-id" + tag, lambda p: (wires["c1"].send(p[0]), wires["c2"].send(p[1])),
           [(IPv6(src=C1, dst=SRV1) / ICMPv6EchoRequest(id=99),
             IPv6(src=C2, dst=SRV1) / ICMPv6EchoRequest(id=99))], {},
           w=[lambda p: p.src == EXT] * 2, c1=[lambda p: p[ICMPv6EchoReply].id == 99],
           c2=[lambda p: p[ICMPv6EchoReply].id == 99])


def error_of_known_flow():
    expect("udp6-flow-for-error", wires["c1"].send, [udp(C1, SRV1, sport=45300, dport=7001)], {},
           w=[translated(UDP)], c1=[is_error])
    expect("icmp6-error-known-flow", wires["c1"].send,
           [error(C1, SRV1, udp(SRV1, C1, sport=7001, dport=45300), code=4)], {},
           w=[lambda p: p.src == EXT and is_error(p)
              and IPv6(bytes(p.payload)[8:]).dst == EXT])


def spoofed():
    for what, packet in (("tcp", tcp("fd00:77::1", SRV1, "S")),
                         ("udp", udp("2001:db8:99::1", SRV1)), ("other", udp(C2, SRV1)),
                         ("ping", IPv6(src="fd00:77::1", dst=SRV1) / ICMPv6EchoRequest())):
        expect("spoofed6-" + what, wires["c1"].send, [packet], {"spoof": 1})
    for where, dst in (("container", C2), ("host", EXT)):
        for what, packet in (("ping", ICMPv6EchoRequest()), ("udp", UDP(dport=7) / Raw(b"x"))):
            expect("spoofed6-%s-to-%s" % (what, where), wires["c1"].send,
                   [IPv6(src="fd00:77::1", dst=dst) / packet], {"spoof": 1})


def guard():
    for l4_port in (1024, NAT_MAX):
        for what, flags in (("syn", "S"), ("ack", "A"), ("syn-ack", "SA"), ("fin-ack", "FA")):
            expect("guard6-tcp-%s-%d" % (what, l4_port), wires["w"].send,
                   [tcp(SRV1, EXT, flags, dport=l4_port)], {"guard": 1})
        expect("guard6-udp-%d" % l4_port, wires["w"].send,
               [udp(SRV1, EXT, dport=l4_port)], {"guard": 1})
    answers = {
        "closed-tcp-above": (tcp(SRV1, EXT, "S", dport=NAT_MAX + 1),
                             lambda p: p[TCP].flags.R and p.src == EXT),
        "closed-udp-below": (udp(SRV1, EXT, dport=1023), is_error),
        "ping": (IPv6(src=SRV1, dst=EXT) / ICMPv6EchoRequest(), lambda p: p.src == EXT)}
    for name, (packet, check) in answers.items():
        expect("host-answers6-" + name, wires["w"].send, [packet], {}, w=[check])


def listener():
    """Of the host's own sockets one that takes both families counts for IPv6."""
    def make():
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", 8080))
        s.listen()
        return s
    with in_namespace("h", make):
        expect("listener6", wires["w"].send, [tcp(SRV1, EXT, "S", sport=46001, dport=8080)], {},
               w=[lambda p: p[TCP].flags.S and p[TCP].flags.A and p[TCP].sport == 8080])


def inbound():
    packets = {"syn": tcp(SRV1, C1, "S"), "ack": tcp(SRV1, C1, "A"), "udp": udp(SRV1, C1),
               "ping": IPv6(src=SRV1, dst=C1) / ICMPv6EchoRequest(),
               "icmp-error": error(SRV1, C1, tcp(C1, SRV1, "A", sport=45998))}
    for what, packet in packets.items():
        expect("inbound6-" + what, wires["w"].send, [packet], {"inbound": 1})


def rules():
    """Each verb does in the kernel what it does in a worker; what no rule matches is plain."""
    apply("rule drop udp to %s" % SRV3, "rule accept from fd00:1:1::/64 to %s" % SRV4,
          "rule snat from %s to 2001:db8:203::/126 source 2001:db8:51::77-2001:db8:51::78" % C2,
          "rule masquerade tcp from fd00:1:1::/64 to [2001:db8:203::/126]:80")
    for what, flags in (("ack", "A"), ("rst", "R"), ("fin-ack", "FA")):
        got, moved = run(wires["c1"].send, tcp(C1, SRV4, flags, sport=45601))
        verdict("accept6-midflow-" + what, [] if got["w"] and got["w"][0].src == C1 and not moved
                else ["w saw %s, counters %s" % ([p.summary() for p in got["w"]], moved)])
    expect("accept6-ping", wires["c1"].send, [IPv6(src=C1, dst=SRV4) / ICMPv6EchoRequest()], {},
           w=[plain(C1)], c1=[lambda p: p.src == SRV4])
    expect("drop6-rule-udp", wires["c1"].send, [udp(C1, SRV3)], {"rule": 1})
    expect("rule6-tcp-80", wires["c1"].send, [tcp(C1, SRV1, "S", sport=45602)], {},
           w=[translated(TCP)], c1=[lambda p: p[TCP].flags.R])
    expect("rule6-midflow-80", wires["c1"].send, [tcp(C1, SRV1, "A", sport=45603)],
           {"midflow": 1})
    # Not the rule's: as if we were not there.
    expect("plain6-tcp-81", wires["c1"].send, [tcp(C1, SRV1, "S", sport=45604, dport=81)], {},
           w=[plain(C1)], c1=[lambda p: p[TCP].flags.R])
    expect("plain6-ping", wires["c1"].send, [IPv6(src=C1, dst=SRV1) / ICMPv6EchoRequest()], {},
           w=[plain(C1)], c1=[lambda p: p.src == SRV1])
    expect("plain6-udp", wires["c1"].send, [udp(C1, SRV1, dport=9)], {}, w=[plain(C1)],
           c1=[is_error])
    # From where the rule translates to nobody comes in, from elsewhere as ever.
    expect("inbound6-from-rule", wires["w"].send, [udp(SRV1, C1)], {"inbound": 1})
    expect("inbound6-from-elsewhere", wires["w"].send, [udp("2001:db8:203::9", C1)], {},
           c1=[lambda p: UDP in p], w=[is_error])
    # The pool is no address of the host: w asks for it in vain, so no answer is wanted.
    got, moved = run(wires["c2"].send, IPv6(src=C2, dst=SRV1) / ICMPv6EchoRequest(),
                     udp(C2, SRV1, sport=35001, dport=9), udp(C2, SRV2, sport=35002, dport=9))
    seen = {p.src for p in got["w"]}
    pool = {"2001:db8:51::77", "2001:db8:51::78"}
    verdict("snat6-one-address", [] if len(got["w"]) == 3 and len(seen) == 1 and seen <= pool
            and not moved else ["w saw %s, counters %s" % ([p.summary() for p in got["w"]], moved)])
    expect("guard6-pool", wires["w"].send, [udp(SRV1, "2001:db8:51::77", dport=20000)],
           {"guard": 1})


def from_outside():
    """What `accept` lets in comes in, also behind a rule that translates."""
    apply(MASQ, "rule accept udp from 2001:db8:203::9 to %s in eth0" % C1)
    expect("accept6-from-outside", wires["w"].send, [udp("2001:db8:203::9", C1)], {},
           c1=[lambda p: UDP in p], w=[lambda p: p.src == C1 and is_error(p)])
    expect("accept6-not-others", wires["w"].send, [udp(SRV1, C1)], {"inbound": 1})
    expect("accept6-not-tcp", wires["w"].send, [tcp("2001:db8:203::9", C1, "S")], {"inbound": 1})


def everything():
    """`masquerade` alone is about both families."""
    apply("rule masquerade")
    expect("both6-udp", wires["c1"].send, [udp(C1, SRV1, sport=45700, dport=9)], {},
           w=[translated(UDP)], c1=[is_error])
    expect("both6-midflow", wires["c1"].send, [tcp(C1, SRV1, "A", sport=45701)], {"midflow": 1})


def loose(value):
    in_namespace("h", lambda: subprocess.run(
        ["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=%d" % value], check=True))


def main():
    j.open_wires(Wire6)
    apply(MASQ)
    for value in (1, 0):
        loose(value)
        mid_flow("-loose%d" % value)
    loose(1)
    icmp_leaks()
    new_flows("")
    error_of_known_flow()
    spoofed()
    guard()
    listener()
    inbound()
    rules()
    from_outside()
    everything()
    sys.exit(j.FAILED_EXIT if j.failed else 0)


main()
