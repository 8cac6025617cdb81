# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""UDP: RFC 4787, 7857, 6056."""
import os
import random
import time

import net as n
import service as s
from bench import check, same
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw
from table import case
from wire import wait_for


def in_range(port, low_high):
    return low_high[0] <= port <= low_high[1]


@case("rfc4787_req1_endpoint_independent_mapping", "UDP",
      "One inside address and L4 port has one Ext L4 port toward all destinations; and only that one.")
def _(t):
    c, port = t.udp("c1"), t.port()
    seen = [t.ext(c, t.udp(o, a, p), a) for o, a, p in (
        ("o1", n.O1A, port), ("o1", n.O1B, port), ("o1", n.O1A, t.port()), ("o2", n.O2A, port),
        ("o2", n.O2B, t.port()))]
    same("Ext address", {a for a, _ in seen}, {n.EXT})
    same("one Ext L4 port of " + str(seen), len(set(seen)), 1)


@case("rfc4787_req1b_distinct_mappings", "UDP",
      "No two inside endpoints share an Ext L4 port at once, also with the same L4 port inside.")
def _(t):
    port, source = t.port(), t.port("client")
    o = t.udp("o1", n.O1A, port)
    seen = [t.ext(t.udp("c1", n.C1, source), o, n.O1A), t.ext(t.udp("c2", n.C2, source), o, n.O1A)]
    seen += [t.ext(t.udp("c%d" % (1 + i % 2)), o, n.O1A) for i in range(60)]
    same("distinct Ext L4 ports", len(set(seen)), 62)


@case("rfc7857_sec4_endpoint_dependent_mapping_option", "UDP",
      "`mapping endpoint-dependent` lets flows to different destinations share an Ext L4 port.",
      level="option", rule="mapping")
def _(t):
    port = t.port(s.EDM)
    servers = [t.udp("o1", n.O1A, port), t.udp("o1", n.O1B, port), t.udp("o2", n.O2A, port)]
    seen = []
    for _ in range(2):
        c = t.udp("c1")
        for o in servers:
            seen.append((t.ext(c, o, o.getsockname()[0]), o.getsockname()))
    same("flows told apart", len(set(seen)), 6)
    check(all(in_range(e[1], s.EDM_RANGE) for e, _ in seen), "within two Ext L4 ports: %s" % seen)


@case("rfc4787_req8_address_and_port_dependent_filtering", "UDP",
      "By default only the very address and L4 port that was sent to reaches the inside endpoint.")
def _(t):
    c, o, other = t.udp("c1"), t.udp("o1", n.O1A, t.port()), t.udp("o1", n.O1A, t.port())
    elsewhere = t.udp("o2", n.O2A, o.getsockname()[1])
    ext = t.ext(c, o, n.O1A)
    other.sendto(b"other L4 port", ext)
    elsewhere.sendto(b"other address", ext)
    same("what strangers sent arrives as", t.heard(c, 0.4), None)
    o.sendto(b"the peer", ext)
    same("what the peer sent arrives as", t.heard(c, 2), b"the peer")


@case("rfc4787_req8_endpoint_independent_filtering_option", "UDP",
      "`filter endpoint-independent`: any outside endpoint reaches a mapping by its Ext L4 port, and is answered.",
      level="option", rule="filter-ei")
def _(t):
    port = t.port(s.FILTER_EI)
    c, o = t.udp("c1"), t.udp("o1", n.O1A, port)
    ext = t.ext(c, o, n.O1A)
    for stranger in (t.udp("o1", n.O1A, t.port()), t.udp("o2", n.O2A, t.port())):
        stranger.sendto(b"hello", ext)
        check(t.heard(c, 2) == b"hello", "a stranger's datagram did not arrive")
        same("answer leaves by", t.ext(c, stranger, stranger.getsockname()[0]), ext)


@case("rfc4787_req8_address_dependent_filtering_option", "UDP",
      "`filter address-dependent`: another L4 port of an address that was sent to passes, another address does not.",
      level="option", rule="filter-ad")
def _(t):
    port = t.port(s.FILTER_AD)
    c, o = t.udp("c1"), t.udp("o1", n.O1A, port)
    ext = t.ext(c, o, n.O1A)
    t.udp("o2", n.O2A, port).sendto(b"other address", ext)
    same("other address arrives as", t.heard(c, 0.4), None)
    t.udp("o1", n.O1A, t.port()).sendto(b"other L4 port", ext)
    same("other L4 port of the address arrives as", t.heard(c, 2), b"other L4 port")


@case("rfc4787_req2_paired_pooling", "UDP",
      "With several external addresses an inside address keeps one, for UDP and TCP; all are ones of the pool.")
def _(t):
    port = t.port(s.PAIRED)
    o = [t.udp("o1", n.O1A, port), t.udp("o2", n.O2A, port)]
    pool = {"198.51.100.%d" % i for i in range(20, 24)}
    for ns, addr in (("c1", n.C1), ("c2", n.C2), ("c2", n.C2B)):
        if addr == n.C2B and t.service.refused.get("nat") is None:
            continue  # has an external address of its own
        seen = {t.ext(t.udp(ns, addr), o[i % 2], o[i % 2].getsockname()[0])[0] for i in range(12)}
        seen.add(t.pair(ns, port=t.port(s.PAIRED), source=(addr, 0))[2][0])
        check(len(seen) == 1 and seen <= pool, "%s leaves by %s" % (addr, sorted(seen)))


@case("rfc4787_req3_ext_port_in_configured_range", "UDP",
      "Every Ext L4 port is in the rule's range: well-known source L4 ports do not stay well-known, and a source L4 "
      "port is kept at most by one.")
def _(t):
    o = t.udp("o1", n.O1A, t.port())
    seen = []
    for source in (500, 1023, 25123, 39999, 65535):
        for ns, addr in (("c1", n.C1), ("c2", n.C2)):
            seen.append(t.ext(t.udp(ns, addr, source), o, n.O1A))
    check(all(in_range(p, s.DEFAULT_RANGE) for _, p in seen), "Ext L4 ports %s" % seen)
    same("distinct", len(set(seen)), len(seen))


@case("rfc4787_req3_source_port_kept_where_free", "UDP",
      "A source L4 port that lies in the rule's range and is free is kept; where it is another's, or lies outside, it is not.")
def _(t):
    o = t.udp("o1", n.O1A, t.port(s.KEPT))
    if t.kernel:
        return
    own = s.KEPT_RANGE[0] + 17
    same("kept", t.ext(t.udp("c1", n.C1, own), o, n.O1A), (n.EXT, own))
    # c3 is of the same worker, which has the range's only block.
    for ns, addr, source in (("c3", n.C3, own), ("c3", n.C3, s.KEPT_RANGE[1] + 1), ("c1", n.C1, 45017)):
        ext = t.ext(t.udp(ns, addr, source), o, n.O1A)
        check(in_range(ext[1], s.KEPT_RANGE) and ext[1] != own, "%s from L4 port %d leaves by %d" % (ns, source, ext[1]))


@case("rfc4787_req3_well_known_only_where_configured", "UDP",
      "An Ext L4 port below 1024 is given where the rule's range has it, and nowhere else.")
def _(t):
    if t.kernel:
        return
    o, other = t.udp("o1", n.O1A, t.port(s.WELL_KNOWN)), t.udp("o1", n.O1A, t.port())
    for source in (1000, 1001, 45018):
        c = t.udp("c1", n.C1, source)
        ext = t.ext(c, o, n.O1A)
        check(ext[0] == n.NOT_HOSTS and in_range(ext[1], s.WELL_KNOWN_RANGE), "from L4 port %d leaves by %d" % (source, ext[1]))
        check(t.ext(c, other, n.O1A)[1] >= 1024, "by another rule it leaves by %d" % ext[1])


@case("rfc4787_req5_default_timeouts", "UDP",
      "A mapping lives 300 s by default (at least 120), toward port 53 less.")
def _(t):
    if not t.needs_service():
        return
    text = t.service.ctl("config")[1]
    check("udp: 300s" in text and "dns: 20s" in text, "config says: %s" % text[text.find("timeouts"):][:200])
    t.ext(t.udp("c1", n.C1, 45111), t.udp("o1", n.O1A, t.port()), n.O1A)


@case("rfc4787_req5_mapping_lives_as_configured", "UDP",
      "An idle mapping delivers until its time is over, and delivers to nobody afterwards.", profile="short")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    time.sleep(2.5)
    o.sendto(b"in time", ext)
    same("after 2.5 of 4 s", t.heard(c, 1), b"in time")
    time.sleep(8)
    o.sendto(b"late", ext)
    same("long after 4 s", t.heard(c, 1), None)


@case("rfc4787_req6_outbound_refreshes", "UDP",
      "A packet out refreshes the mapping: it keeps its Ext L4 port and goes on delivering.", profile="short")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    for _ in range(4):
        time.sleep(2.3)
        same("Ext endpoint after refresh", t.ext(c, o, n.O1A), ext)
    o.sendto(b"alive", ext)
    same("delivers", t.heard(c, 1), b"alive")


@case("rfc4787_req5_dns_short_timer", "UDP",
      "Flows to port 53 have a timer of their own, and end by it.", level="should", profile="short")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1B, 53)
    ext = t.ext(c, o, n.O1B)
    time.sleep(0.3)
    o.sendto(b"answer", ext)
    same("answer", t.heard(c, 1), b"answer")
    time.sleep(6)
    o.sendto(b"late", ext)
    same("after 2 s configured", t.heard(c, 0.5), None)


@case("rfc4787_req9_hairpin", "UDP",
      "A container reaches another by its Ext endpoint, and the other sees it come from Ext, too.",
      rule="filter-ei")
def _(t):
    port = t.port(s.FILTER_EI)
    a, b, o = t.udp("c1"), t.udp("c2"), t.udp("o1", n.O1A, port)
    ext_a, ext_b = t.ext(a, o, n.O1A), t.ext(b, o, n.O1A)
    a.sendto(b"over there", ext_b)
    got, peer = b.recvfrom(100)
    same("payload", got, b"over there")
    same("c2 sees", peer, ext_a)
    b.sendto(b"and back", peer)
    got, peer = a.recvfrom(100)
    same("c1 sees", (got, peer), (b"and back", ext_b))


@case("rfc4787_req9_hairpin_default_filter", "UDP",
      "Hairpin with the default filter: a container reaches another by its Ext endpoint, each seen from its own, before that one "
      "has sent, too (rules.md).")
def _(t):
    a, b, o = t.udp("c1"), t.udp("c2"), t.udp("o1", n.O1A, t.port())
    ext_a, ext_b = t.ext(a, o, n.O1A), t.ext(b, o, n.O1A)
    a.sendto(b"punch", ext_b)
    if not t.kernel:
        check(t.until(lambda: wait_for(b, 0)), "what c1 sends first does not arrive")
    b.sendto(b"from c2", ext_a)
    a.sendto(b"from c1", ext_b)
    got, peer = b.recvfrom(100)
    check(got == b"punch" or t.kernel and got == b"from c1", "c2 got %s" % got)
    same("c2 sees", peer, ext_a)
    got, peer = a.recvfrom(100)
    same("c1 sees", (got, peer), (b"from c2", ext_b))


@case("rfc4787_req10_payload_untouched", "UDP",
      "Payload is never touched, whatever it holds (addresses, too), at every length up to the MTU; every checksum is right.")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    c.setsockopt(1, 8, 4 << 20)
    o.setsockopt(1, 8, 4 << 20)
    t.ext(c, o, n.O1A)
    tap, tap_c = t.tap("o1"), t.tap("c1")
    addrs = b"10.1.0.2" + bytes([10, 1, 0, 2]) + bytes([198, 51, 100, 2])
    rng = random.Random(4787)
    sizes = list(range(0, 40)) + sorted(rng.sample(range(40, 1473), 160)) + [1471, 1472]
    for size in sizes:
        data = (addrs + rng.randbytes(1472))[:size]
        for _ in range(3):
            c.sendto(data, (n.O1A, o.getsockname()[1]))
            got = t.heard2(o)
            if got is not None:
                break
        check(got and got[0] == data, "%d bytes out arrive as %s" % (size, got and len(got[0])))
        for _ in range(3):
            o.sendto(data[::-1], got[1])
            back = t.heard(c, 1)
            if back is not None:
                break
        check(back == data[::-1], "%d bytes back arrive as %s" % (size, back and len(back)))
    port = o.getsockname()[1]
    bad = [str(p) for p in tap.all(lambda p: p.dport == port, 0.1) + tap_c.all(
        lambda p: p.sport == port, 0.1) if not p.ok()]
    same("packets with a wrong checksum", bad[:3], [])


@case("rfc768_zero_checksum_stays_zero", "UDP",
      "A UDP checksum of 0 (none) stays 0; a computed 0 is sent as 0xffff.")
def _(t):
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out, back = t.tap("o1"), t.tap("c1")
    t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=sport, dport=dport, chksum=0) / Raw(b"no sum"))
    p = out.wait(lambda p: p.dport == dport)
    check(p, "nothing arrived")
    same("checksum out", p.l4[6:8], b"\0\0")
    t.put("o1", IP(src=n.O1A, dst=n.EXT) / UDP(sport=dport, dport=p.sport, chksum=0) / Raw(b"none"))
    q = back.wait(lambda q: q.sport == dport)
    check(q, "the reply did not arrive")
    same("checksum back", q.l4[6:8], b"\0\0")
    # Of these payloads one makes the translated sum come out as 0, whatever the Ext L4 port is.
    base = UDP(sport=sport, dport=dport)
    for word in _words_for_zero(p):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / base / Raw(word.to_bytes(2, "big")))
    got = out.all(lambda q: q.dport == dport, 0.4)
    check(got, "nothing arrived")
    same("sums that are wrong or 0", [str(q) for q in got if not q.ok() or q.l4[6:8] == b"\0\0"], [])
    check(any(q.l4[6:8] == b"\xff\xff" for q in got), "none summed up to 0xffff")


def _words_for_zero(seen):
    """Payload words around the one that makes the checksum of the translated datagram 0."""
    from wire import ones_sum
    import struct
    pseudo = seen.ip[12:20] + struct.pack("!BBH", 0, 17, 10)
    total = ones_sum(pseudo + seen.l4[:4] + struct.pack("!HH", 10, 0))
    word = 0xffff - total
    return [word, word - 1 & 0xffff, word + 1 & 0xffff]


@case("rfc1624_wrong_checksum_stays_wrong", "UDP",
      "A wrong checksum is not repaired by translation: the receiver finds it.")
def _(t):
    sport, dport = t.port("raw_client"), t.port("raw_server")
    out = t.tap("o1")
    t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=sport, dport=dport) / Raw(b"good"))
    check(out.wait(lambda p: p.dport == dport and p.ok()), "the good one did not arrive")
    t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=sport, dport=dport, chksum=0x1234) / Raw(b"bad"))
    p = out.wait(lambda p: p.dport == dport, 1)
    check(p is None or not p.l4_ok(), "a wrong checksum became right")


@case("rfc4787_req11_same_behaviour_near_exhaustion", "UDP",
      "At 99 % use of a range the behaviour is that of 1 %: endpoint-independent mapping, filtering, no shared L4 port; "
      "the one that finds none is refused, and the others go on.", alone=True)
def _(t):
    # A try before this one may have the range.
    t.forget("c1")
    port = t.port(s.FULL)
    o, o2 = t.udp("o1", n.O1A, port), t.udp("o2", n.O2A, port)
    count = s.FULL_RANGE[1] - s.FULL_RANGE[0] + 1
    socks = [t.udp("c1") for _ in range(count)]
    seen = [t.ext(c, o, n.O1A) for c in socks]
    same("distinct Ext L4 ports of %d" % count, len(set(seen)), count)
    for i in range(0, count, 7):
        same("mapping to another destination", t.ext(socks[i], o2, n.O2A), seen[i])
    extra = t.udp("c2")
    extra.sendto(b"one too many", (n.O1A, port))
    same("the one too many arrives as", t.heard(o, 0.4), None)
    for i in (0, count // 2, count - 1):
        o.sendto(b"still here", seen[i])
        same("existing flow", t.heard(socks[i], 1), b"still here")


@case("rfc4787_range_used_to_the_last_beside_light_user", "UDP",
      "A container (and the worker whose its port is) with a few mappings all over a range does not keep what is free between them "
      "from another one: that gets all of it, to the last L4 port.")
def _(t):
    for ns in ("c1", "c2"):
        t.forget(ns)
    port = t.port(s.BETWEEN)
    o = t.udp("o1", n.O1A, port)
    count = s.BETWEEN_RANGE[1] - s.BETWEEN_RANGE[0] + 1
    light = [t.udp("c2") for _ in range(count // 8)]
    seen = [t.ext(c, o, n.O1A) for c in light]
    full = [t.udp("c1") for _ in range(count - len(light))]
    seen += [t.ext(c, o, n.O1A) for c in full]
    same("distinct Ext L4 ports of %d" % count, len(set(seen)), count)
    extra = t.udp("c1")
    extra.sendto(b"one too many", (n.O1A, port))
    same("the one too many arrives as", t.heard(o, 0.4), None)
    for c, ext in list(zip(light + full, seen))[::37]:
        o.sendto(b"still here", ext)
        same("existing flow", t.heard(c, 1), b"still here")


@case("rfc6056_ext_ports_hard_to_guess", "UDP",
      "Ext L4 ports are drawn at random from the range: not sequential, and spread over it.")
def _(t):
    o = t.udp("o1", n.O1A, t.port())
    seen = [t.ext(t.udp("c1", n.C1, t.port("client")), o, n.O1A)[1] for _ in range(64)]
    steps = [abs(b - a) for a, b in zip(seen, seen[1:])]
    # Of two drawn from one block of 64 that is once in 16; 14 of 63 is five standard deviations more.
    check(sum(d <= 2 for d in steps) <= 14, "%d of 63 neighbours are close: %s" % (
        sum(d <= 2 for d in steps), seen[:12]))
    width = s.DEFAULT_RANGE[1] - s.DEFAULT_RANGE[0] if not t.kernel else 10000
    check(max(seen) - min(seen) > width // 2, "64 flows lie within %d-%d" % (min(seen), max(seen)))


@case("rfc6888_req8_freed_udp_port_rests", "UDP",
      "A freed UDP Ext L4 port of a mapping is not given to another source before a rest (120 s). (Exempt by REQ-8 C: `mapping "
      "endpoint-dependent`.)", profile="short")
def _(t):
    # Fill a small range, let it expire, and ask from the other container at once: nobody may get one.
    port = t.port(s.SMALL)
    o = t.udp("o1", n.O1A, port)
    count = s.SMALL_RANGE[1] - s.SMALL_RANGE[0] + 1
    mine = {t.ext(t.udp("c1"), o, n.O1A)[1] for _ in range(count - 4)}
    time.sleep(9)
    got = []
    for _ in range(12):
        t.udp("c2").sendto(b"?", (n.O1A, port))
        heard = t.heard2(o, 0.2)
        if heard:
            got.append(heard[1][1])
    same("Ext L4 ports of c1 that c2 got within 120 s", sorted(mine & set(got)), [])
    check(got or not t.kernel, "nothing arrived")


@case("rfc6888_req8_shared_port_filters", "UDP",
      "A UDP Ext L4 port of `mapping endpoint-dependent`, which need not rest (REQ-8 C): the source that has it next hears "
      "nothing from peers of the one before.", rule="mapping", profile="short")
def _(t):
    port = t.port(s.EDM)
    o, x = t.udp("o1", n.O1A, port), t.udp("o2", n.O2A, port)
    before = [t.udp("c1") for _ in range(2)]
    for c in before:
        t.ext(c, x, n.O2A)  # all that the range has toward x
    time.sleep(9)
    c = t.udp("c3")  # of the same worker, which has the range's only block
    ext = t.ext(c, o, n.O1A)
    check(ext[1] in s.EDM_RANGE or t.kernel, "Ext L4 port %d" % ext[1])
    for l4_port in s.EDM_RANGE:
        x.sendto(b"for the one before", (ext[0], l4_port))
    same("c3 hears", t.heard(c, 0.5), None)
    o.sendto(b"its own", ext)
    same("from whom it sent to", t.heard(c, 1), b"its own")


@case("rfc6888_req8_own_port_reusable", "UDP",
      "The source that had a freed Ext L4 port may have it again at once.", level="should", profile="short")
def _(t):
    o = t.udp("o1", n.O1A, t.port(s.NONE_LEFT))
    count = s.NONE_LEFT_RANGE[1] - s.NONE_LEFT_RANGE[0] + 1
    if t.kernel:
        return
    first = {t.ext(t.udp("c1"), o, n.O1A)[1] for _ in range(count)}
    same("L4 ports of the range that c1 has", len(first), count)
    time.sleep(9)
    same("and has again, when all have been freed and rest", {t.ext(t.udp("c1"), o, n.O1A)[1] for _ in range(count)}, first)


@case("rfc4787_req14_many_flows_one_socket", "UDP",
      "A datagram socket that talks to many servers keeps one mapping, and each answer finds its way.")
def _(t):
    port = t.port()
    c = t.udp("c2")
    servers = [t.udp("o1", n.O1A, t.port()) for _ in range(12)] + [t.udp("o2", n.O2A, port)]
    seen = [t.ext(c, o, o.getsockname()[0]) for o in servers]
    same("mappings", len(set(seen)), 1)
    for i, o in enumerate(servers):
        o.sendto(b"%d" % i, seen[0])
    got = {c.recvfrom(100) for _ in servers}
    same("answers", got, {(b"%d" % i, o.getsockname()) for i, o in enumerate(servers)})


@case("rfc4787_udp_segmentation_offload", "UDP",
      "A sender that leaves cutting to the kernel (UDP_SEGMENT) has every segment arrive whole, in order, once.")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    t.ext(c, o, n.O1A)
    o.setsockopt(1, 33, 8 << 20)  # SO_RCVBUFFORCE
    for size, total in ((1400, 28000), (1472, 1472 * 30), (500, 10001), (1200, 63600)):
        data = os.urandom(total)
        for _ in range(3):  # a burst of 44 may overrun a queue on a busy machine
            c.setsockopt(17, 103, size)  # SOL_UDP, UDP_SEGMENT
            c.sendto(data, (n.O1A, o.getsockname()[1]))
            got = []
            while sum(map(len, got)) < total:
                d = t.heard(o, 0.5)
                if d is None:
                    break
                got.append(d)
            if b"".join(got) == data:
                break
        c.setsockopt(17, 103, 0)
        check(b"".join(got) == data, "%d bytes in segments of %d: %d arrived in %d" % (
            total, size, sum(map(len, got)), len(got)))
        same("sizes", {len(g) for g in got[:-1]}, {size})
