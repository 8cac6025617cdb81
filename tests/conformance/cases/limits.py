# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Limits: RFC 6888, 5508 REQ-8; what happens when something runs out."""
import ipaddress
import time

import net as n
import service as s
from bench import check, same
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from table import case
from wire import Packet


@case("rfc6888_req4_sessions_per_source", "Limits",
      "A source has as many sessions as configured and no more; others are not touched.", profile="short", alone=True)
def _(t):
    time.sleep(9)  # sessions of other tests are over
    o = t.udp("o1", n.O1A, t.port())
    o.setsockopt(1, 33, 4 << 20)
    dport = o.getsockname()[1]
    for i in range(600):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=10000 + i, dport=dport) / Raw(b"%d" % i))
        if i % 50 == 49:
            time.sleep(0.03)
    got = set()
    while True:
        heard = t.heard2(o, 0.4)
        if not heard:
            break
        got.add(heard[1])
    check(350 <= len(got) <= 400, "%d flows of c1 passed, 400 are configured" % len(got))
    t.ext(t.udp("c2"), o, n.O1A)


@case("rfc6888_req4_exempt_destinations", "Limits",
      "Flows to a destination that is exempt (`no-limit`) do not count against the source.", rule="no-limit",
      profile="short", alone=True)
def _(t):
    time.sleep(9)
    for dport, low, high in ((t.port(s.EXEMPT), 590, 600), (t.port(), 350, 400)):
        o = t.udp("o1", n.O1A, dport)
        o.setsockopt(1, 33, 4 << 20)
        for i in range(600):
            t.put("c2", IP(src=n.C2, dst=n.O1A) / UDP(sport=10000 + i, dport=dport) / Raw(b"%d" % i))
            if i % 50 == 49:
                time.sleep(0.03)
        got = set()
        while True:
            heard = t.heard2(o, 0.4)
            if not heard:
                break
            got.add(heard[1])
        check(low <= len(got) <= high, "%d flows passed, wanted %d to %d" % (len(got), low, high))


def pool_of(text):
    """The addresses of `source TEXT`."""
    found = set()
    for part in text.split(","):
        if "/" in part:
            found |= {str(a) for a in ipaddress.ip_network(part)}
            continue
        first, _, last = part.partition("-")
        first, last = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
        found |= {str(first + i) for i in range(int(last) - int(first) + 1)}
    return found


def all_used(t, port, text):
    """200 inside addresses, two flows each: the pool is used, all of it and nothing else, and an inside address keeps one."""
    v6 = ":" in text
    ip, many, server = (IPv6, n.MANY_6, n.O1A_6) if v6 else (IP, n.MANY, n.O1A)
    many = ipaddress.ip_network(many)
    # An inside address of IPv6 has what its /64 has, on its port.
    sources = [str(many[(i << 64 if v6 else 0) + i]) for i in range(10, 210)]
    dport = t.port(port)
    t.udp("o1", server, dport)  # so that nothing answers
    tap = t.tap("o1")
    seen = {}
    for turn in range(3 * 2):  # what a busy machine loses is sent again
        for i, source in enumerate(sources):
            word = b"pool %d %d" % (i, turn % 2)
            if word not in seen:
                t.put("c2", ip(src=source, dst=server) / UDP(sport=5000 + turn % 2, dport=dport) / Raw(word))
                if i % 20 == 0:
                    time.sleep(0.02)
        for p in tap.all(lambda p: p.dport == dport and p.data.startswith(b"pool "), 0.3):
            seen.setdefault(bytes(p.data), set()).add(p.src)
    by_source = {}
    for word, exts in seen.items():
        by_source.setdefault(word.split()[1], set()).update(exts)
    same("sources that got through", len(by_source), 200)
    same("addresses that are used", set().union(*by_source.values()), pool_of(text))
    same("sources with more than one address", [k for k, v in by_source.items() if len(v) > 1], [])


@case("rfc6888_req3_pool_all_used", "Limits",
      "A pool of several addresses is used, all of it and nothing else; an inside address keeps one.")
def _(t):
    all_used(t, s.PAIRED, "%s-%s" % n.POOL)


@case("rfc6888_req3_pool_in_pieces", "Limits",
      "So is a pool of addresses, ranges and prefixes that do not lie together.", rule="pieces")
def _(t):
    all_used(t, s.PIECED, n.PIECES)


@case("rfc6888_req3_ipv6_pool_in_pieces", "Limits", "So is such a pool of IPv6.", rule="pieces")
def _(t):
    all_used(t, s.PIECED, n.PIECES_6)


@case("rfc5508_req8_no_resources_answered", "Limits",
      "A flow for which there are no resources is dropped, and its sender gets ICMP 3/13, rate-limited; existing ones live on.")
def _(t):
    port = t.port(s.NONE_LEFT)
    o = t.udp("o2", n.O2A, port)
    count = s.NONE_LEFT_RANGE[1] - s.NONE_LEFT_RANGE[0] + 1
    socks = [t.udp("c2") for _ in range(count)]
    ext = []
    for c in socks:
        c.sendto(b"?", (n.O2A, port))
        heard = t.heard2(o, 0.3)
        if heard:
            ext.append((c, heard[1]))
    back = t.tap("c1")
    for i in range(300):
        t.put("c1", IP(src=n.C1, dst=n.O2A) / UDP(sport=t.port("raw_client"), dport=port) / Raw(b"none left"))
    got = back.all(lambda p: p.proto == 1 and p.type == 3 and
                   p.data[16:20] == bytes([203, 0, 113, 140]), 0.5)
    check(got, "no ICMP 3/13 for a flow without resources")
    same("code", {p.code for p in got}, {13})
    check(all(p.ok() for p in got), "checksums")
    check(len(got) < 250, "%d answers to 300: not rate-limited" % len(got))
    for c, e in ext[::9]:
        o.sendto(b"lives", e)
        same("existing flow", t.heard(c, 1), b"lives")


@case("rfc5508_req8_no_places_answered", "Limits",
      "A new flow whose next hop cannot be asked for, because too many packets of its container wait for others, is dropped "
      "and answered by ICMP 3/13; live flows and other containers' new ones go on.", alone=True)
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    back = t.tap("c1")
    for host in range(200, 220):  # neighbours that are not there
        for i in range(60):
            t.put("c1", IP(src=n.C1, dst="198.51.100.%d" % host) / UDP(sport=15000 + i, dport=9) / Raw(b"waits"))
        time.sleep(0.02)
    p = back.wait(lambda p: p.proto == 1 and p.type == 3 and p.code == 13, 1)
    check(p and p.ok(), "no ICMP 3/13 for a flow without a place")
    q = Packet(p.data)
    same("quoted", (q.src, q.dport, q.data), (n.C1, 9, b"waits"))
    check(q.ok(), "checksums of the quoted packet")
    o.sendto(b"lives", ext)
    same("live flow", t.heard(c, 1), b"lives")
    t.ext(t.udp("c2"), o, n.O1A)
    time.sleep(4.5)  # until their places are free


@case("rfc6888_req9_fields_of_flow_list", "Limits",
      "Each live mapping can be asked for: who (inside), as what (Ext), to whom, since when.")
def _(t):
    if not t.needs_service():
        return
    c, o, ext = t.pair()
    source = c.getsockname()
    flows = [f for f in t.service.flows("tcp", "from", n.C1) if str(source[1]) in str(f["src"])]
    check(flows, "the flow is not in the list")
    # A closed one from the same L4 port may be there still.
    words = (n.C1, n.O1A, str(ext[1]), ext[0])
    check(any(all(word in str(f) for word in words) for f in flows), "%s are not in one of %s" % (words, flows))


def held(t):
    """No other test's rule has this limit."""
    return t.service.reasons().get("limit_source_packets", 0) if not t.kernel else 0


@case("limit_packets_per_second", "Limits",
      "`limit N pps per-source` lets N a second through, of each source, and counts the rest, once each.", level="option",
      rule="limit")
def _(t):
    dport = t.port(s.LIMIT_PPS)
    o = t.udp("o1", n.O1A, dport)
    o.setsockopt(1, 33, 4 << 20)
    for ns, addr in (("c1", n.C1), ("c2", n.C2)):
        t.ext(t.udp(ns), o, n.O1A)  # the way is known: nothing waits for it, and too many would not
        counted = held(t)
        start, sent = time.monotonic(), 0
        raw = bytes(IP(src=addr, dst=n.O1A) / UDP(sport=t.port("raw_client"), dport=dport) / Raw(b"l"))
        while time.monotonic() - start < 2:
            t.put(ns, raw)
            sent += 1
            time.sleep(0.001)
        got, end = 0, time.monotonic() + 4
        while time.monotonic() < end and (t.kernel or got + held(t) - counted < sent):
            while t.heard(o, 0.2) is not None:
                got += 1
        # A bucket may hold a second's worth at the start.
        check(150 <= got <= 330, "%s: %d of %d passed in 2 s, limit is 100 a second" % (ns, got, sent))
        counted = held(t) - counted
        check(t.kernel or sent - sent // 100 <= got + counted <= sent,
              "%s: %d sent, %d passed, %d counted" % (ns, sent, got, counted))


@case("limit_new_flows_per_second", "Limits", "`limit N flows` lets N new flows a second begin; live ones are not slowed.",
      level="option", rule="limit-flows")
def _(t):
    dport = t.port(s.LIMIT_FLOWS)
    o = t.udp("o1", n.O1A, dport)
    o.setsockopt(1, 33, 4 << 20)
    for i in range(400):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=t.port("raw_client"), dport=dport) / Raw(b"f"))
        time.sleep(0.002)
    got = set()
    while True:
        heard = t.heard2(o, 0.3)
        if not heard:
            break
        got.add(heard[1])
    check(15 <= len(got) <= 100, "%d flows began in about a second, limit is 20 a second" % len(got))


@case("limit_bits_per_second", "Limits", "`limit N bit` lets that many bits a second through.", level="option",
      rule="limit-bit")
def _(t):
    dport = t.port(s.LIMIT_BIT)
    o = t.udp("o1", n.O1A, dport)
    o.setsockopt(1, 33, 4 << 20)
    raw = bytes(IP(src=n.C1, dst=n.O1A) / UDP(sport=t.port("raw_client"), dport=dport) / Raw(b"b" * 972))
    start = time.monotonic()
    while time.monotonic() - start < 2:
        t.put("c1", raw)
        time.sleep(0.002)
    got = 0
    while t.heard(o, 0.3) is not None:
        got += 1
    check(60 <= got <= 200, "%d packets of 8 kbit in 2 s, limit is 400 kbit a second" % got)


@case("rfc6888_req1_flood_of_tuples_leaves_others", "Limits",
      "A container that opens flows to tens of thousands of tuples costs others neither live flows nor new ones.",
      alone=True)
def _(t):
    c, o, _ = t.pair("c2", "o2", n.O2A)
    dport = t.port("raw_server")
    template = bytes(IP(src=n.C1, dst=n.O1A) / TCP(sport=1, dport=dport, flags="S"))
    from cases.tcp import _with_port, exchange
    failed = 0
    for i in range(20000):
        t.put("c1", bytes(_with_port(template, 1024 + i)))
        if i % 1000 == 0:
            c.sendall(b"live")
            same("live flow", o.recv(4), b"live")
            try:
                exchange(*t.pair("c2", "o2", n.O2A)[:2], b"new")
            except (OSError, AssertionError):
                failed += 1
    t.forget("c1")
    check(failed == 0, "%d of 20 new connections of the other container failed" % failed)
