# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Fragments: RFC 4787 REQ-14, 1858, 3128, 5722, 6864."""
import os
import random
import time

import net as n
from bench import check, same
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw
from table import case
from wire import Packet


def pieces(packet, size):
    """The fragments of an IP packet: by hand, to be put into any order."""
    raw = bytes(packet)
    ip, load = IP(raw[:20]), raw[20:]
    size &= ~7
    out = []
    for at in range(0, len(load), size):
        p = ip.copy()
        p.frag, p.flags = at // 8, "MF" if at + size < len(load) else 0
        p.len = p.chksum = None
        out.append(bytes(p / Raw(load[at:at + size])))
    return out


def _nodf(s):
    s.setsockopt(0, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: the sender fragments
    return s


@case("rfc4787_req14_fragments_in_order", "UDP",
      "Fragmented datagrams arrive whole, both directions, at lengths up to 60,000 bytes, by the mapping that whole ones have.")
def _(t):
    c, o = _nodf(t.udp("c1")), _nodf(t.udp("o1", n.O1A, t.port()))
    o.setsockopt(1, 33, 8 << 20)
    c.setsockopt(1, 33, 8 << 20)
    ext = t.ext(c, o, n.O1A)
    for size in (1473, 1480, 2961, 8000, 20001, 60000):
        data = os.urandom(size)
        for _ in range(3):
            c.sendto(data, (n.O1A, o.getsockname()[1]))
            got = t.heard2(o)
            if got:
                break
        check(got and got[0] == data, "%d bytes out arrive as %s" % (size, got and len(got[0])))
        same("Ext endpoint of a fragmented datagram", got[1], ext)
        for _ in range(3):
            o.sendto(data, ext)
            back = t.heard(c, 0.7)
            if back:
                break
        check(back == data, "%d bytes back arrive as %s" % (size, back and len(back)))


def _order(t, name, order):
    """Fragments of one datagram each way, put on the link in that order."""
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    data = os.urandom(4000)
    ident = t.ident()
    out = pieces(IP(src=n.C1, dst=n.O1A, id=ident) / UDP(sport=c.getsockname()[1], dport=o.getsockname()[1]) / data,
                 1000)
    for i in order(len(out)):
        t.put("c1", out[i])
    got = t.heard2(o, 1)
    check(got and got[0] == data, "%s, out: arrives as %s" % (name, got and len(got[0])))
    same("Ext endpoint", got[1], ext)
    back = pieces(IP(src=n.O1A, dst=ext[0], id=ident) / UDP(sport=o.getsockname()[1], dport=ext[1]) / data, 1000)
    for i in order(len(back)):
        t.put("o1", back[i])
    same("%s, back: arrives whole" % name, t.heard(c, 1), data)


@case("rfc4787_req14a_fragments_out_of_order", "UDP",
      "Fragments in any order, the first one last, too, arrive as one datagram, both directions.")
def _(t):
    rng = random.Random(14)
    _order(t, "last first", lambda k: range(k - 1, -1, -1))
    _order(t, "first last", lambda k: list(range(1, k)) + [0])
    for _ in range(4):
        _order(t, "shuffled", lambda k: rng.sample(range(k), k))


@case("rfc4787_req14_duplicate_fragments", "UDP",
      "A fragment that comes twice spoils nothing.", level="should")
def _(t):
    _order(t, "each twice", lambda k: [i for i in range(k) for _ in (0, 1)])


@case("rfc4787_req14_interleaved_sources", "UDP",
      "Fragments of two containers with the same IP id, in turns, are not mixed.")
def _(t):
    # To one address: it tells them apart only if they have come to have different ids.
    at = {"c1": n.O1A, "c2": n.O1A}
    c = {"c1": t.udp("c1", n.C1), "c2": t.udp("c2", n.C2)}
    o = {ns: t.udp("o1", at[ns], t.port()) for ns in c}
    data = {ns: ns.encode() * 1500 for ns in c}
    ext = {ns: t.ext(c[ns], o[ns], at[ns]) for ns in c}
    for _ in range(3):
        ident = t.ident()
        split = {ns: pieces(IP(src=c[ns].getsockname()[0], dst=at[ns], id=ident) / UDP(
            sport=c[ns].getsockname()[1], dport=o[ns].getsockname()[1]) / data[ns], 800) for ns in c}
        for a, b in zip(split["c1"], split["c2"]):
            t.put("c1", a)
            t.put("c2", b)
        for ns in c:
            got = t.heard2(o[ns], 1)
            check(got, "that of %s did not arrive" % ns)
            check(got[1] == ext[ns] and data[ns] == got[0], "mixed: %s..." % got[0][:4])


@case("rfc4787_req14_fragmented_tcp", "TCP",
      "TCP segments that were fragmented on the way arrive, both directions.")
def _(t):
    from rawtcp import RawTcp
    k = RawTcp(t).handshake()
    data = bytes(range(256)) * 8
    whole = IP(src=k.caddr, dst=k.saddr, id=t.ident()) / TCP(
        sport=k.cport, dport=k.sport, flags="PA", seq=k.cnext, ack=k.snext, window=64000) / data
    for p in pieces(whole, 800):
        t.put("c1", p)
    got = _collect(k.out, lambda p: p.dport == k.sport)
    check(got, "no fragments came out at the server")
    same("payload out", got[20:], data)
    whole = IP(src=k.saddr, dst=k.ext[0], id=t.ident()) / TCP(
        sport=k.sport, dport=k.ext[1], flags="PA", seq=k.snext, ack=k.cnext, window=64000) / data
    for p in pieces(whole, 800):
        t.put("o1", p)
    got = _collect(k.back, lambda p: p.dport == k.cport)
    check(got, "no fragments arrived at the container")
    same("payload back", got[20:], data)


def _collect(tap, first, seconds=0.6):
    """L4 bytes of the one fragmented packet that comes, put together."""
    parts = {}
    seen = tap.all(lambda p: p.proto == 6 and (p.fragment() or first(p)), seconds)
    ids = {p.id for p in seen if first(p) and len(p.l4) > 600}
    for p in seen:
        if p.id in ids:
            parts[p.offset] = p.l4
    out = b""
    while len(out) in parts and parts[len(out)]:
        out += parts[len(out)]
    return out


@case("rfc4787_req14_errors_need_first_fragment", "UDP",
      "Later fragments without their first one are not delivered, and are forgotten: they keep no room for ever.")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    back = t.tap("c1")
    ident = t.ident()
    split = pieces(IP(src=n.O1A, dst=ext[0], id=ident) / UDP(sport=o.getsockname()[1], dport=ext[1]) / (b"q" * 3000), 800)
    for p in split[1:]:
        t.put("o1", p)
    same("later fragments alone", [str(p) for p in back.all(lambda p: p.fragment() and p.id == ident, 0.6)], [])


@case("rfc4787_req14_state_bounded_per_source", "UDP",
      "A container that sends thousands of first halves takes no room from another one's fragments.", alone=True)
def _(t):
    for i in range(3000):
        first = IP(src=n.C2, dst=n.O2A, id=i, flags="MF", frag=185, proto=17) / Raw(b"f" * 64)
        t.put("c2", first if i == 0 else bytes(first))
    time.sleep(0.2)
    c, o = _nodf(t.udp("c1")), t.udp("o1", n.O1A, t.port())
    data = os.urandom(5000)
    got = None
    for _ in range(3):
        c.sendto(data, (n.O1A, o.getsockname()[1]))
        got = got or t.heard(o, 0.7)
    check(got == data, "c1's fragments do not pass beside c2's")


@case("rfc1858_tiny_first_fragment", "UDP",
      "A first fragment too small for its L4 header, and one at offset 1, are dropped or reach nobody: no shifted rewrite.")
def _(t):
    tap = t.tap("o1")
    dport, ident = t.port("raw_server"), t.ident()
    for proto, load in ((6, bytes(TCP(sport=61999, dport=dport, flags="S"))),
                        (17, bytes(UDP(sport=61999, dport=dport, len=48)) + b"t" * 40)):
        raw = IP(src=n.C1, dst=n.O1A, id=ident + proto, flags="MF", proto=proto) / Raw(load[:8])
        t.put("c1", raw)
        t.put("c1", IP(src=n.C1, dst=n.O1A, id=ident + proto, frag=1, proto=proto) / Raw(load[8:]))
    seen = tap.all(lambda p: p.proto in (6, 17) and (p.dport == dport or p.id in (ident + 6, ident + 17)), 0.5)
    same("leaves with a private source", [str(p) for p in seen if p.src == n.C1], [])
    check(all(p.ip_ok() for p in seen), "IP checksums")


@case("rfc5722_overlapping_fragments", "UDP",
      "Overlapping fragments do not reach anybody as a datagram with mixed content.", level="should")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    t.ext(c, o, n.O1A)
    data, ident = b"A" * 1600, t.ident()
    split = pieces(IP(src=n.C1, dst=n.O1A, id=ident) / UDP(
        sport=c.getsockname()[1], dport=o.getsockname()[1]) / data, 800)
    t.put("c1", split[0])
    t.put("c1", IP(src=n.C1, dst=n.O1A, id=ident, flags="MF", frag=50, proto=17) / Raw(b"B" * 800))
    for p in split[1:]:
        t.put("c1", p)
    got = t.heard(o, 0.5)
    check(got is None or got == data, "mixed content arrived")


@case("rfc4787_req13_too_big_with_df", "UDP",
      "Too big for the way with DF: ICMP 3/4 with the MTU, from inside and from outside alike.")
def _(t):
    back = t.tap("c1")
    cport, dport = t.port("raw_client"), t.port("raw_server")
    t.net.on("h", "ip", "route", "add", "203.0.113.99/32", "via", n.GW, "mtu", "1200")
    try:
        t.put("c1", IP(src=n.C1, dst="203.0.113.99", flags="DF") / UDP(sport=cport, dport=dport) / (b"b" * 1300))
        p = back.wait(lambda p: p.proto == 1 and p.type == 3 and p.code == 4, 2)
        check(p and p.ok(), "no ICMP 3/4 (or a wrong one)")
        same("MTU", p.rest & 0xffff, 1200)
        q = Packet(p.data)
        same("quoted", (q.src, q.sport, q.dst, q.dport), (n.C1, cport, "203.0.113.99", dport))
    finally:
        t.net.on("h", "ip", "route", "del", "203.0.113.99/32")
    # c3's link is narrower than the way from outside.
    c, o = t.udp("c3"), t.udp("o1", n.O1A, t.port())
    ext, far = t.ext(c, o, n.O1A), t.tap("o1")
    oport = o.getsockname()[1]
    t.put("o1", IP(src=n.O1A, dst=ext[0], flags="DF") / UDP(sport=oport, dport=ext[1]) / (b"b" * 1400))
    p = far.wait(lambda p: p.proto == 1 and p.type == 3 and p.code == 4 and Packet(p.data).sport == oport, 2)
    check(p and p.ok(), "no ICMP 3/4 to the outside (or a wrong one)")
    same("source, MTU", (p.src, p.rest & 0xffff), (n.EXT, n.SMALL_MTU))
    q = Packet(p.data)
    same("quoted", (q.src, q.sport, q.dst, q.dport), (n.O1A, oport) + ext)
    same("of it arrives", t.heard(c, 0.1), None)


@case("rfc791_too_big_without_df_fragmented", "UDP",
      "Too big for the way without DF: fragmented, and whole at the other end.")
def _(t):
    tap = t.tap("o1")
    c, o = t.udp("c1"), t.udp("o1", n.O1B, t.port())
    with t.net.o1b_route:
        t.net.on("h", "ip", "route", "add", n.O1B + "/32", "via", n.GW, "mtu", "1000")
        try:
            t.ext(c, o, n.O1B)
            data = os.urandom(1400)
            got = None
            for _ in range(3):
                t.put("c1", IP(src=n.C1, dst=n.O1B, id=t.ident()) / UDP(sport=c.getsockname()[1], dport=o.getsockname()[1]) / data)
                got = t.heard(o, 1)
                if got:
                    break
            check(got == data, "arrives as %s" % (got and len(got)))
            sizes = [p.total for p in tap.all(lambda p: p.dst == n.O1B and p.fragment(), 0.1)]
            check(sizes and max(sizes) <= 1000, "fragments of %s" % sizes)
        finally:
            t.net.on("h", "ip", "route", "del", n.O1B + "/32")


@case("rfc791_ping_of_every_size", "ICMP",
      "Echo requests larger than the MTU (fragmented) are answered.")
def _(t):
    for size in ("56", "1472", "1473", "8000"):
        out = t.net.on("c1", "ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "dont", "-s", size, n.O1A, check=False)
        check(" 0% packet loss" in out or " 50% packet loss" in out, "ping -s %s: %s" % (size, out[-200:]))


@case("rfc4787_req14_fragment_flood_ends", "UDP",
      "Reassembly state ends by itself: halves that nothing has pushed out are given up after their time, and datagrams in "
      "fragments of that source pass meanwhile and afterwards.", profile="short")
def _(t):
    count = 150  # fewer than a source may have (limitations.md); nobody else's are c3's
    given_up = (lambda: 0) if t.kernel else (lambda: t.service.reasons().get("frag_timeout", 0))
    before = given_up()
    for i in range(count):
        t.put("c3", bytes(IP(src=n.C3, dst=n.O2A, id=i, flags="MF", frag=100, proto=17) / Raw(b"f" * 64)))
    c, o = _nodf(t.udp("c3")), t.udp("o1", n.O1A, t.port())

    def passes(when):
        data = os.urandom(4000)
        for _ in range(4):
            c.sendto(data, (n.O1A, o.getsockname()[1]))
            if t.heard(o, 1) == data:
                return
        raise AssertionError("fragments of that source do not pass " + when)
    passes("beside the halves")
    check(t.until(lambda: t.kernel or given_up() - before >= count, 45), "%d of %d halves were given up" % (
        given_up() - before, count))
    passes("after them")
