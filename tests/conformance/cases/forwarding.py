# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Forwarding: RFC 1812, 1624, 2474, 3168, 791; headers that lie."""
import os
import struct

import net as n
from bench import check, same
from rawtcp import RawTcp
from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from table import case
from wire import Packet


def out_and_back(t, **ip):
    """A datagram with these IP fields and its answer with the same: both as they come out."""
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out, back = t.tap("o1"), t.tap("c1")
    for _ in range(3):
        t.put("c1", IP(src=n.C1, dst=n.O1A, **ip) / UDP(sport=sport, dport=dport) / Raw(b"field"))
        p = out.wait(lambda p: p.dport == dport, 1)
        if p:
            break
    check(p and p.ok(), "nothing right came out with %s" % ip)
    for _ in range(3):
        t.put("o1", IP(src=n.O1A, dst=p.src, **ip) / UDP(sport=dport, dport=p.sport) / Raw(b"field"))
        q = back.wait(lambda q: q.dport == sport and q.sport == dport, 1)
        if q:
            break
    check(q and q.ok(), "nothing right came back with %s" % ip)
    return p, q


def syn_and_back(t, flags="S", **ip):
    """A TCP flow's first segment with these fields out and the answer to it back; (p, q)."""
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out, back = t.tap("o1"), t.tap("c1")
    for _ in range(3):
        t.put("c1", IP(src=n.C1, dst=n.O1A, **ip) / TCP(sport=sport, dport=dport, flags=flags, seq=1000, window=64000))
        p = out.wait(lambda p: p.proto == 6 and p.dport == dport, 1)
        if p:
            break
    check(p and p.ok(), "nothing right came out with %s" % ip)
    for _ in range(3):
        t.put("o1", IP(src=n.O1A, dst=p.src, **ip) / TCP(
            sport=dport, dport=p.sport, flags=flags.replace("C", "") + "A", seq=5000, ack=1001, window=64000))
        q = back.wait(lambda q: q.proto == 6 and q.dport == sport and q.sport == dport, 1)
        if q:
            break
    check(q and q.ok(), "nothing right came back with %s" % ip)
    return p, q


@case("rfc1812_sec5_3_1_ttl_decremented_once", "Forwarding",
      "TTL goes down by one for this hop, both ways, UDP and TCP.")
def _(t):
    for ttl in (255, 64, 5):
        p, q = out_and_back(t, ttl=ttl)
        same("TTL out (two hops: host, router)", p.ttl, ttl - 2)
        same("TTL back", q.ttl, ttl - 2)
        p, q = syn_and_back(t, ttl=ttl)
        same("TTL of a SYN, and of its answer", (p.ttl, q.ttl), (ttl - 2, ttl - 2))


@case("rfc1812_sec5_3_1_expired_answered", "Forwarding",
      "A packet whose TTL runs out here is answered by ICMP 11/0 and not forwarded, from inside and from outside.")
def _(t):
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out, back, far = t.tap("o1"), t.tap("c1"), t.tap("o1")
    t.put("c1", IP(src=n.C1, dst=n.O1A, ttl=1) / UDP(sport=sport, dport=dport) / Raw(b"ttl"))
    mark = struct.pack("!HH", sport, dport)
    p = back.wait(lambda p: p.proto == 1 and p.type == 11 and mark in p.data, 2)
    check(p and p.ok(), "no ICMP 11 for an expired packet of the container")
    t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=sport, dport=dport) / Raw(b"ok"))
    seen = out.wait(lambda p: p.dport == dport)
    check(seen, "the flow does not begin")
    same("the expired one arrives", seen.data, b"ok")
    # From o1 with 2: the router takes one, and it runs out at the host.
    t.put("o1", IP(src=n.O1A, dst=seen.src, ttl=2) / UDP(sport=dport, dport=seen.sport) / Raw(b"ttl"))
    mark = struct.pack("!HH", dport, seen.sport)
    p = far.wait(lambda p: p.proto == 1 and p.type == 11 and mark in p.data, 2)
    check(p and p.ok(), "no ICMP 11 for an expired packet from outside")
    same("source", p.src, n.EXT)
    same("arrives", back.wait(lambda p: p.dport == sport and p.data == b"ttl", 0.3), None)


@case("rfc2474_dscp_untouched", "Forwarding", "All 64 DSCP values pass as they are, both ways.", level="must")
def _(t):
    for dscp in range(64):
        p, q = out_and_back(t, tos=dscp << 2)
        same("TOS out, back", (p.tos, q.tos), (dscp << 2, dscp << 2))


@case("rfc3168_ecn_untouched", "Forwarding", "All four ECN values pass as they are, both ways, and so do the TCP flags by which its ends agree on ECN.")
def _(t):
    for ecn in range(4):
        p, q = out_and_back(t, tos=ecn)
        same("TOS out, back", (p.tos, q.tos), (ecn, ecn))
    p, q = syn_and_back(t, flags="SEC")
    same("flags of the SYN, and of its answer", (p.flags, q.flags), (0xc2, 0x52))


@case("rfc791_df_and_id", "Forwarding", "DF passes as it is; a packet without DF keeps an IP id.")
def _(t):
    p, q = out_and_back(t, flags="DF", id=0)
    same("DF", (p.df, q.df), (True, True))
    p, q = out_and_back(t, flags=0, id=4711)
    same("DF", (p.df, q.df), (False, False))
    same("id", (p.id, q.id), (4711, 4711))


@case("rfc791_ip_options_pass", "Forwarding",
      "Packets with IP options pass translated with the options as they were, or reach nobody; never a shifted rewrite.")
def _(t):
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out = t.tap("r", "up0")
    t.put("c1", IP(src=n.C1, dst=n.O1A, options=[IPOption(b"\x94\x04\0\0")]) / UDP(sport=sport, dport=dport) / Raw(b"o"))
    p = out.wait(lambda p: p.dport == dport or p.src == n.C1 and p.head_len == 24, 1)
    if p:
        check(p.ok(), "checksums")
        same("source, options", (p.src, p.ip[20:24]), (n.EXT, b"\x94\x04\0\0"))


@case("rfc1812_superpacket_exceeds_route_mtu", "Forwarding",
      "TCP through a route with a smaller MTU than the containers' link goes on, also where it comes as superpackets: the "
      "container learns the MTU.")
def _(t):
    port = t.port()
    with t.net.o1b_route:
        t.net.on("h", "ip", "route", "add", n.O1B + "/32", "via", n.GW, "mtu", "1100")
        try:
            from cases.tcp import exchange
            tap, back = t.tap("r", "up0"), t.tap("c2")
            c, o, _ = t.pair("c2", "o1", n.O1B, port)
            exchange(c, o, os.urandom(120000))
            p = back.wait(lambda p: p.proto == 1 and (p.type, p.code) == (3, 4) and Packet(p.data).dport == port, 1)
            check(p and p.ok(), "no ICMP 3/4 (or a wrong one)")
            same("MTU", (p.rest & 0xffff, c.getsockopt(0, 14)), (1100, 1100))  # IP_MTU
            big = [p for p in tap.all(lambda p: p.dport == port, 0.1) if p.total > 1100 and not t.offload]
            same("segments that exceed the MTU on the wire", [str(p) for p in big[:2]], [])
        finally:
            t.net.on("h", "ip", "route", "del", n.O1B + "/32")


# Nobody is there, and no other test speaks to them. A route's MTU, not above IPv6's least; c3's link has that, too.
FAR = {4: "203.0.113.98", 6: "2001:db8:a::98"}
NEAR_MTU = n.SMALL_MTU


def _flow_to(t, version, proto, ns, addr, far):
    """A flow from there to `far`, both ends ours: functions that make its packets out and back with a payload."""
    ip = IP if version == 4 else IPv6
    df = dict(flags="DF") if version == 4 else {}
    sport, dport = t.port("raw_client"), t.port("raw_server")
    tap = t.tap("r", "up0")
    make = {UDP: lambda a, b, n, flags: UDP(sport=a, dport=b), TCP: lambda a, b, n, flags: TCP(
        sport=a, dport=b, flags=flags, seq=n, ack=6002 - n, window=64000)}[proto]
    for _ in range(3):
        t.put(ns, ip(src=addr, dst=far, **df) / make(sport, dport, 1000, "S"))
        p = tap.wait(lambda p: p.dport == dport, 1)
        if p:
            break
    check(p, "the flow does not begin")
    if proto is TCP:
        seen = t.tap(ns)
        for _ in range(3):
            t.put("r", ip(src=far, dst=p.src) / TCP(sport=dport, dport=p.sport, flags="SA", seq=5000, ack=1001, window=64000))
            if seen.wait(lambda q: q.proto == 6 and q.dport == sport, 1):
                break
    return (sport, dport, p.src, p.sport,
            lambda data: ip(src=addr, dst=far, **df) / make(sport, dport, 1001, "A") / Raw(data),
            lambda data: ip(src=far, dst=p.src, **df) / make(dport, p.sport, 5001, "A") / Raw(data))


def _too_big(p, version):
    return p.proto == (1 if version == 4 else 58) and (p.type, p.code) == ((3, 4) if version == 4 else (2, 0))


def _told(t, tap, send, version, ends, mtu):
    """The answer to what `send` sends: with that MTU, about these (address, L4 port) of its source and destination."""
    for _ in range(3):
        send()
        p = tap.wait(lambda p: _too_big(p, version) and Packet(p.data).sport == ends[0][1] and
                     Packet(p.data).dport == ends[1][1], 1)
        if p:
            break
    check(p and p.ok(), "no answer (or a wrong one)")
    same("MTU", p.rest & 0xffff, mtu)
    q = Packet(p.data)
    same("quoted", ((q.src, q.sport), (q.dst, q.dport)), ends)


def _superpacket(version, proto):
    def test(t):
        far, own, own3 = FAR[version], (n.C1, n.C1_6)[version == 6], (n.C3, n.C3_6)[version == 6]
        prefix = "%s/%d" % (far, 32 if version == 4 else 128)
        t.net.on("h", "ip", "route", "replace", prefix, "via", (n.GW, n.GW_6)[version == 6], "mtu", str(NEAR_MTU))
        far_back = (n.O1A, n.O1A_6)[version == 6]  # without that route
        sport, dport, ext, ext_port, out, _ = _flow_to(t, version, proto, "c1", own, far)
        tap = t.tap("r", "up0")
        _told(t, t.tap("c1"), lambda: t.sender("c1").superpacket(out(b"b" * 4200), 1400), version,
              ((own, sport), (far, dport)), NEAR_MTU)
        same("of it leaves", [str(p) for p in tap.all(lambda p: p.dport == dport, 0.1)], [])
        for _ in range(3):  # whole or cut
            t.sender("c1").superpacket(out(b"s" * 3000), 1000)
            size = sum(len(p.data) for p in tap.all(lambda p: p.dport == dport, 0.3))
            if size == 3000:
                break
        same("bytes that leave of one whose segments fit", size, 3000)
        # And back: the container's link is narrow.
        sport, dport, ext, ext_port, _, back = _flow_to(t, version, proto, "c3", own3, far_back)
        inside, outside = t.tap("c3"), t.tap("r", "up0")
        _told(t, outside, lambda: t.sender("r").superpacket(back(b"b" * 4200), 1400), version,
              ((far_back, dport), (ext, ext_port)), NEAR_MTU)
        same("of it arrives", [str(p) for p in inside.all(lambda p: p.dport == sport, 0.1)], [])
    name = "rfc1812_df_superpacket_too_big_%s%s" % ("tcp" if proto is TCP else "udp", "" if version == 4 else "_ipv6")
    case(name, "Forwarding",
         "%s over IPv%d: a superpacket with DF whose segments exceed the route's MTU, or going in that of the container's "
         "link, is answered with that MTU, and none of it passes; one whose segments fit does." % (
             "TCP" if proto is TCP else "UDP", version), rule="ipv6" if version == 6 else None)(test)


for _version in (4, 6):
    for _proto in (UDP, TCP):
        _superpacket(_version, _proto)


@case("rfc1812_sec5_3_7_martians_dropped", "Forwarding",
      "Martian and spoofed sources, LAND, loopback and broadcast addresses are not forwarded.")
def _(t):
    dport = t.port("raw_server")
    tap = t.tap("r", "up0")
    for src in ("127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", n.O1A, n.C2, "10.1.0.99",
                n.EXT, n.GW, "192.0.2.200"):
        for proto in (UDP, TCP):
            t.put("c1", IP(src=src, dst=n.O1A) / proto(sport=4000, dport=dport) / Raw(b"martian"))
    for dst in (n.C1, "127.0.0.1", "0.0.0.0", "255.255.255.255", "198.51.100.255", "198.51.100.0"):
        t.put("c1", IP(src=n.C1, dst=dst) / UDP(sport=4000, dport=dport) / Raw(b"martian"))
    same("on the uplink", [str(p) for p in tap.all(lambda p: p.dport == dport, 0.5)], [])


LIES = {  # name: (IP fields, L4 bytes): header lengths, data offsets and totals that lie
    "ihl 4": (dict(ihl=4), None),
    "ihl beyond frame": (dict(ihl=15, len=48), None),
    "total beyond frame": (dict(len=1400), None),
    "total below header": (dict(len=19), None),
    "total below UDP": (dict(len=26), None),
    "total below TCP": (dict(len=36, proto=6), bytes(TCP(sport=4000, dport=9))[:16]),
    "TCP offset 4": (dict(proto=6), bytes(TCP(sport=4000, dport=9, flags="S", dataofs=4))),
    "TCP offset beyond": (dict(proto=6), bytes(TCP(sport=4000, dport=9, flags="S", dataofs=15))),
    "UDP length 7": (dict(), bytes(UDP(sport=4000, dport=9, len=7))),
    "UDP length beyond": (dict(), bytes(UDP(sport=4000, dport=9, len=900))),
}


@case("rfc1812_sec5_2_2_lying_lengths", "Forwarding",
      "Header lengths, data offsets and totals that lie are dropped and counted `malformed`; nothing of them is forwarded.",
      alone=True)
def _(t):
    tap = t.tap("r", "up0")
    dport = t.port("raw_server")
    for name, (ip, l4) in LIES.items():
        l4 = (l4 or bytes(UDP(sport=4000, dport=9, len=48)))
        l4 = l4[:2] + struct.pack("!H", dport) + l4[4:]
        more = b"" if name == "TCP offset beyond" else b"m" * 40
        packet = IP(**dict(dict(src=n.C1, dst=n.O1A, proto=17), **ip)) / Raw(l4 + more)
        send = lambda packet=packet: [t.put("c1", bytes(packet)) for _ in range(5)]  # noqa: E731
        if t.kernel:
            send()
            continue
        moved = t.moved(send)
        counted = {k: v for k, v in moved.items() if "malformed" in k}
        same("%s counts (moved: %s)" % (name, moved), sum(counted.values()), 5)
    same("on the uplink", [str(p) for p in tap.all(lambda p: p.dport == dport, 0.3)], [])


@case("rfc894_padding_not_summed_nor_leaked", "Forwarding",
      "Ethernet padding is neither part of a checksum nor sent on with its content.")
def _(t):
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out, back = t.tap("o1"), t.tap("c1")
    secret = b"leaked padding"
    t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=sport, dport=dport) / Raw(b"1234"), pad=secret)
    p = out.wait(lambda p: p.dport == dport)
    check(p and p.ok(), "does not come out right: %s" % p)
    same("payload", p.data, b"1234")
    check(secret not in p.padding, "padding was sent on out")
    t.put("o1", IP(src=n.O1A, dst=p.src) / UDP(sport=dport, dport=p.sport) / Raw(b"1"), pad=secret)
    q = back.wait(lambda q: q.dport == sport and q.sport == dport)
    check(q and q.ok() and q.data == b"1", "does not come back right")
    check(secret not in q.padding, "padding was sent on back")


@case("rfc1812_every_tcp_length", "Forwarding",
      "TCP segments of every payload length pass with right checksums, raw ones with complete sums.")
def _(t):
    k = RawTcp(t).handshake()
    for size in list(range(1, 70)) + [511, 512, 513, 1000, 1439, 1440, 1459, 1460]:
        data = bytes(i * 7 + size & 255 for i in range(size))
        k.up("PA", data)
        p = k.at_server(24, data=data)
        check(p and p.ok(), "%d bytes out" % size)
        k.cnext += size
        k.down("PA", data)
        q = k.at_container(24, data=data)
        check(q and q.ok(), "%d bytes back" % size)
        k.snext += size


@case("other_protocols_stay_with_the_kernel", "Forwarding",
      "What is not handled (SCTP, GRE, ESP) is left to the kernel, never translated into something else, and leaves with a "
      "public source or not at all.")
def _(t):
    tap = t.tap("r", "up0")
    for proto in (132, 47, 50, 41, 253):
        t.put("c1", IP(src=n.C1, dst=n.O1A, proto=proto) / Raw(b"\0\1" * 20))
    got = tap.all(lambda p: p.proto in (132, 47, 50, 41, 253), 0.4)
    check(all(p.src == n.EXT for p in got) or t.kernel, "leaves as %s" % [str(p) for p in got][:3])

