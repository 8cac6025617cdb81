# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""IPv6: NAT66, forwarding, extension headers, errors (RFC 8200, 4443, 8201, 6296's idea not)."""
import errno
import os
import struct

import net as n
import service as s
from bench import check, same
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.packet import Raw
from table import case
from wire import Packet


@case("ipv6_masquerade", "IPv6",
      "NAT66 masquerade: UDP and TCP leave by the uplink's address and an Ext L4 port of the range; answers come back.",
      rule="ipv6")
def _(t):
    from cases.tcp import exchange
    c, o = t.udp("c1", n.C1_6), t.udp("o1", n.O1A_6, t.port())
    ext = t.ext(c, o, n.O1A_6)
    same("Ext address", ext[0], n.EXT_6)
    check(s.DEFAULT_RANGE[0] <= ext[1] <= s.DEFAULT_RANGE[1] or t.kernel, "Ext L4 port %d" % ext[1])
    o.sendto(b"back", ext)
    same("back", t.heard(c, 1), b"back")
    for ns in ("c1", "c2"):
        a, b, ext = t.pair(ns, "o1", n.O1A_6)
        same("Ext address of TCP", ext[0], n.EXT_6)
        exchange(a, b, os.urandom(150001))


@case("rfc4787_req1_ipv6_endpoint_independent", "IPv6", "IPv6 mappings are endpoint-independent for UDP, too.", rule="ipv6")
def _(t):
    c = t.udp("c1", n.C1_6)
    seen = {t.ext(c, t.udp(o, a, t.port()), a) for o, a in (
        ("o1", n.O1A_6), ("o1", n.O1B_6), ("o2", n.O2A_6))}
    same("one Ext endpoint of %s" % seen, len(seen), 1)


@case("ipv6_filter", "IPv6", "Unsolicited IPv6 packets reach no mapping.", rule="ipv6")
def _(t):
    c, o, x = t.udp("c1", n.C1_6), t.udp("o1", n.O1A_6, t.port()), t.udp("o2", n.O2A_6, t.port())
    ext = t.ext(c, o, n.O1A_6)
    x.sendto(b"stranger", ext)
    same("a stranger's arrives as", t.heard(c, 0.4), None)


@case("ipv6_snat", "IPv6", "NAT66 snat to a given address.", rule="ipv6-snat")
def _(t):
    c, o = t.udp("c2", n.C2_6), t.udp("o1", n.O1A_6, t.port(s.PAIRED))
    ext = t.ext(c, o, n.O1A_6)
    same("Ext address", ext[0], n.POOL_6)
    o.sendto(b"back", ext)
    same("back", t.heard(c, 1), b"back")


@case("ipv6_dnat", "IPv6", "NAT66 dnat: an outside client reaches a container by an external address.", rule="ipv6-dnat")
def _(t):
    from cases.tcp import exchange
    listener = t.listen("c2", n.C2_6, 80)
    o = t.connect("o1", n.SERVICE_6, 8080)
    c, peer = t.accept(listener)
    same("the container sees", peer, o.getsockname()[:2])
    exchange(c, o, b"six" * 20000)


@case("ipv6_accept_untranslated", "IPv6", "`accept` forwards IPv6 untranslated.", rule="ipv6-accept")
def _(t):
    c, o = t.udp("c1", n.C1_6), t.udp("o1", n.O1A_6, t.port(s.ACCEPT))
    same("the server sees", t.ext(c, o, n.O1A_6), (n.C1_6, c.getsockname()[1]))
    o.sendto(b"back", (n.C1_6, c.getsockname()[1]))
    same("back", t.heard(c, 1), b"back")


def _flow(t, packet=None, want=1.5):
    """A raw datagram out; (as it came out or None, its L4 ports)."""
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out = t.tap("o1")
    for _ in range(3):
        t.put("c1", packet(sport, dport) if packet else IPv6(src=n.C1_6, dst=n.O1A_6, hlim=64) / UDP(
            sport=sport, dport=dport) / Raw(b"six"))
        p = out.wait(lambda p: p.version == 6 and p.dport == dport, want / 3)
        if p:
            break
    return p, sport, dport


@case("rfc8200_hop_limit_and_class", "IPv6",
      "Hop limit goes down by one, traffic class and flow label pass, an expired one is answered by ICMPv6 3/0.",
      rule="ipv6")
def _(t):
    p, _, _ = _flow(t, lambda sp, dp: IPv6(src=n.C1_6, dst=n.O1A_6, hlim=44, tc=0xb9, fl=0x12345) / UDP(
        sport=sp, dport=dp) / Raw(b"f"))
    check(p and p.ok(), "does not come out right")
    same("hop limit (two hops), class, flow label", (p.ttl, p.tos, struct.unpack("!I", p.ip[:4])[0] & 0xfffff),
         (42, 0xb9, 0x12345))
    back = t.tap("c1")
    sport = t.port("raw_client")
    t.put("c1", IPv6(src=n.C1_6, dst=n.O1A_6, hlim=1) / UDP(sport=sport, dport=6000) / Raw(b"f"))
    mark = struct.pack("!HH", sport, 6000)
    q = back.wait(lambda q: q.proto == 58 and q.type == 3 and mark in q.data, 2)
    check(q and q.ok(), "no ICMPv6 time exceeded")


@case("rfc8200_extension_headers_walked", "IPv6",
      "Extension headers (hop-by-hop, destination options) in front of UDP are walked and pass; the packet is translated or "
      "left to the kernel, never rewritten in the wrong place.", rule="ipv6")
def _(t):
    for make in (lambda h: h / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
                 lambda h: h / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]),
                 lambda h: h / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 20)]) / IPv6ExtHdrDestOpt()):
        p, _, _ = _flow(t, lambda sp, dp: make(IPv6(src=n.C1_6, dst=n.O1A_6)) / UDP(sport=sp, dport=dp) / Raw(b"ext"))
        check(p, "does not come out")
        check(p.ok() and p.data == b"ext", "comes out changed: %s" % p)
        same("source", p.src, n.EXT_6)


@case("rfc8200_extension_headers_bounded", "IPv6",
      "A chain of extension headers beyond the bound, or one that lies, leaves with no inside source, and live flows go on.",
      rule="ipv6")
def _(t):
    c, o = t.udp("c1", n.C1_6), t.udp("o1", n.O1A_6, t.port())
    ext = t.ext(c, o, n.O1A_6)
    out = t.tap("r", "up0")
    h = IPv6(src=n.C1_6, dst=n.O1A_6)
    for _ in range(40):
        h = h / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    t.put("c1", h / UDP(sport=61001, dport=6001) / Raw(b"deep"))
    t.put("c1", IPv6(src=n.C1_6, dst=n.O1A_6, nh=60) / Raw(b"\x11\xff" + b"\0" * 30))
    t.put("c1", IPv6(src=n.C1_6, dst=n.O1A_6, nh=0, plen=4000) / Raw(b"\x11\0" + b"\0" * 30))
    t.put("c1", IPv6(src=n.C1_6, dst=n.O1A_6) / IPv6ExtHdrRouting(type=0, addresses=[n.O1B_6]) / UDP() / Raw(b"r"))
    t.net.on("c1", "ping", "-c", "1", "-W", "2", n.O1A_6)
    leaked = out.all(lambda p: p.version == 6 and p.src == n.C1_6, 0.2)
    if not t.kernel:  # which does not translate what it finds invalid
        same("from the container's own address on the uplink", [str(p) for p in leaked], [])
    same("the live flow's Ext endpoint", t.ext(c, o, n.O1A_6), ext)
    o.sendto(b"back", ext)
    same("and its answer", t.heard(c, 1), b"back")


@case("rfc8200_udp_checksum_mandatory", "IPv6",
      "A UDP checksum is always there: what leaves has one, also where the payload makes it 0 (sent as 0xffff).", rule="ipv6")
def _(t):
    p, sport, dport = _flow(t)
    check(p and p.ok() and p.l4[6:8] != b"\0\0", "does not come out right")
    from wire import ones_sum
    total = ones_sum(p.ip[8:40] + struct.pack("!IHBB", 10, 0, 0, 17) + p.l4[:4] + struct.pack("!HH", 10, 0))
    out = t.tap("o1")
    for word in (0xffff - total, (0xfffe - total) & 0xffff, (0x10000 - total) & 0xffff):
        t.put("c1", IPv6(src=n.C1_6, dst=n.O1A_6) / UDP(sport=sport, dport=dport) / Raw(word.to_bytes(2, "big")))
    got = out.all(lambda p: p.dport == dport, 0.4)
    check(len(got) >= 3, "%d of 3 arrive" % len(got))
    same("wrong or zero", [str(q) for q in got if not q.ok() or q.l4[6:8] == b"\0\0"], [])


@case("rfc8201_path_mtu_discovery", "IPv6", "Path MTU discovery works end to end over IPv6.", rule="ipv6")
def _(t):
    from cases.tcp import exchange
    c, o, _ = t.pair("c1", "o2", n.O2B_6)
    exchange(c, o, os.urandom(200000))


@case("rfc4443_errors_translated_back", "IPv6",
      "ICMPv6 errors about translated flows reach the container with the quoted packet translated back.", rule="ipv6")
def _(t):
    p, sport, dport = _flow(t)
    check(p, "no flow")
    back = t.tap("c1")
    for i, error in enumerate((ICMPv6DestUnreach(code=4), ICMPv6DestUnreach(code=1), ICMPv6PacketTooBig(mtu=1281))):
        src = "2001:db8:ff::%x" % t.ident()
        t.put("r", IPv6(src=src, dst=p.src) / error / Raw(p.ip[:p.total]))
        q = back.wait(lambda q: q.proto == 58 and q.src == src, 1)
        check(q and q.ok(), "error %d did not reach the container right" % i)
        inner = Packet(q.data)
        same("quoted", (inner.src, inner.sport, inner.dst, inner.dport), (n.C1_6, sport, n.O1A_6, dport))
        check(inner.ok(), "checksum of the quoted packet")


@case("rfc4443_errors_about_extension_headers", "IPv6",
      "ICMPv6 errors about packets with extension headers, and about first fragments, are translated back; the headers stay "
      "as they are.", rule="ipv6")
def _(t):
    p, sport, dport = _flow(t)
    check(p, "no flow")
    back = t.tap("c1")
    head, udp = p.ip[:40], p.ip[40:p.total]
    fragment = bytes([17, 0, 0, 1, 0, 0, 0x12, 0x34])  # the first one, more follow
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    for first, ext in ((44, fragment), (60, options), (60, bytes([44]) + options[1:] + fragment)):
        quoted = head[:4] + struct.pack("!HB", len(ext) + len(udp), first) + head[7:] + ext + udp
        src = "2001:db8:ff::%x" % t.ident()
        t.put("r", IPv6(src=src, dst=p.src) / ICMPv6PacketTooBig(mtu=1281) / Raw(quoted))
        q = back.wait(lambda q: q.proto == 58 and q.src == src, 1)
        check(q and q.ok(), "the error about next header %d did not reach the container right" % first)
        inner = Packet(q.data)
        same("quoted", (inner.src, inner.sport, inner.dst, inner.dport), (n.C1_6, sport, n.O1A_6, dport))
        same("headers", q.data[40:40 + len(ext)], ext)
        whole = Packet(q.data[:4] + struct.pack("!HB", len(udp), 17) + q.data[7:40] + q.data[40 + len(ext):])
        check(whole.ok(), "checksum of the quoted packet")


@case("rfc8201_path_mtu_discovery_fragments", "IPv6",
      "Datagrams that a container sends in fragments learn the path MTU of a router further away, and arrive.", rule="ipv6")
def _(t):
    c, o = t.udp("c1", n.C1_6), t.udp("o2", n.O2B_6, t.port())
    c.connect((n.O2B_6, o.getsockname()[1]))
    data = os.urandom(4000)

    def arrives():
        try:
            c.send(data)
        except OSError as e:  # the socket is told of the one before
            same("the socket is told", e.errno, errno.EMSGSIZE)
        return t.heard(o, 0.3) == data
    check(t.until(arrives), "a datagram of 4000 bytes never arrives")
    same("path MTU that c1 learned", c.getsockopt(41, 24), n.SMALL_MTU)  # IPV6_MTU


@case("rfc8200_too_big_answered", "IPv6",
      "A packet larger than the route's MTU is answered by packet too big with that MTU, from inside.", rule="ipv6")
def _(t):
    t.net.on("h", "ip", "route", "add", n.O1B_6 + "/128", "via", n.GW_6, "mtu", "1300")
    try:
        back = t.tap("c1")
        sport, dport = t.port("raw_client"), t.port("raw_server")
        t.put("c1", IPv6(src=n.C1_6, dst=n.O1B_6) / UDP(sport=sport, dport=dport) / Raw(b"b" * 1400))
        mark = struct.pack("!HH", sport, dport)
        q = back.wait(lambda q: q.proto == 58 and q.type == 2 and mark in q.data, 2)
        check(q and q.ok(), "no packet too big")
        same("MTU", q.rest, 1300)
    finally:
        t.net.on("h", "ip", "route", "del", n.O1B_6 + "/128")


@case("rfc8200_fragments", "IPv6", "Fragmented IPv6 datagrams arrive whole, both directions, by the mapping of whole ones.",
      rule="ipv6")
def _(t):
    c, o = t.udp("c1", n.C1_6), t.udp("o1", n.O1A_6, t.port())
    ext = t.ext(c, o, n.O1A_6)
    data = os.urandom(5000)
    for _ in range(3):
        c.sendto(data, (n.O1A_6, o.getsockname()[1]))
        got = t.heard2(o)
        if got:
            break
    check(got and got[0] == data, "out: %s" % (got and len(got[0])))
    same("Ext endpoint", got[1], ext)
    for _ in range(3):
        o.sendto(data, ext)
        back = t.heard(c, 0.7)
        if back:
            break
    check(back == data, "back: %s" % (back and len(back)))


@case("rfc5722_overlapping_ipv6_fragments", "IPv6", "Overlapping IPv6 fragments deliver nothing.")
def _(t):
    sport, dport = t.port("client"), t.port()
    o, ident = t.udp("o1", n.O1A_6, dport), t.ident()
    load = bytes(UDP(sport=sport, dport=dport, len=1608, chksum=0xffff)) + b"A" * 1600
    head = IPv6(src=n.C1_6, dst=n.O1A_6)
    t.put("c1", head / IPv6ExtHdrFragment(nh=17, m=1, offset=0, id=ident) / Raw(load[:808]))
    t.put("c1", head / IPv6ExtHdrFragment(nh=17, m=1, offset=50, id=ident) / Raw(b"B" * 800))
    t.put("c1", head / IPv6ExtHdrFragment(nh=17, m=0, offset=101, id=ident) / Raw(load[808:]))
    same("arrives", t.heard(o, 0.5), None)


@case("ipv6_ping_stays", "IPv6", "What is not handled passes to the kernel: ping6 of a container is answered.")
def _(t):
    for ns in ("c1", "c2"):
        t.net.on(ns, "ping", "-c", "2", "-i", "0.2", "-W", "2", n.O1A_6)


@case("ipv6_every_length", "IPv6", "Every length up to the MTU passes unchanged with right checksums.", rule="ipv6")
def _(t):
    c, o = t.udp("c1", n.C1_6), t.udp("o1", n.O1A_6, t.port())
    t.ext(c, o, n.O1A_6)
    tap = t.tap("o1")
    for size in list(range(0, 40)) + list(range(40, 1453, 11)) + [1451, 1452]:
        data = os.urandom(size)
        for _ in range(3):
            c.sendto(data, (n.O1A_6, o.getsockname()[1]))
            got = t.heard2(o)
            if got:
                break
        check(got and got[0] == data, "%d bytes out" % size)
        o.sendto(data, got[1])
        back = t.heard(c, 1)
        if back is None:
            o.sendto(data, got[1])
            back = t.heard(c, 1)
        check(back == data, "%d bytes back" % size)
    port = o.getsockname()[1]
    same("wrong checksums", [str(p) for p in tap.all(lambda p: p.dport == port, 0.1) if not p.ok()], [])


@case("ipv6_spoofed_source_dropped", "IPv6", "A container cannot send with another IPv6 source.")
def _(t):
    tap = t.tap("r", "up0")
    dport = t.port("raw_server")
    for src in (n.C2_6, "2001:db8:1::99", n.EXT_6, n.O1B_6, "::1", "ff02::1"):
        t.put("c1", IPv6(src=src, dst=n.O1A_6) / UDP(sport=4000, dport=dport) / Raw(b"s"))
    same("on the uplink", [str(p) for p in tap.all(lambda p: p.dport == dport, 0.4)], [])
