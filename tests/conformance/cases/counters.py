# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Counters: each reason once per packet, and sums that match what the neighbours count."""
import time

import net as n
import service as s
from bench import check, same
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw
from table import case

N = 7


def _link(t, ns, dev):
    import json
    link = json.loads(t.net.on(ns, "ip", "-j", "-s", "link", "show", "dev", dev))[0]
    return link["stats64"]["rx"]["packets"], link["stats64"]["tx"]["packets"]


def _reason(name, text, packet, moved, ns="c1", listens=None):
    def test(t):
        if t.kernel:
            return
        if listens:  # or the server would answer with an error
            t.udp("o1", n.O1A, listens)
        for attempt in range(3):  # a neighbour may say something of its own meanwhile
            got = t.moved(lambda: [t.put(ns, packet(t)) for _ in range(N)])
            if got == moved:
                return
        same("moved", got, moved)
    case("counter_" + name, "Counters", text, alone=True)(test)


def _udp(**ip):
    return lambda t: IP(**dict(dict(src=n.C1, dst=n.O1A), **ip)) / UDP(sport=4700, dport=6999) / Raw(b"count")


_reason("ttl", "TTL 1: counted once, under its own name.", _udp(ttl=1), {"ttl": N})
_reason("dst_special", "Multicast, with a unicast Ethernet address: once, under one name.", _udp(dst="239.1.2.3"), {
    "dst_special": N})
_reason("martian", "Source equals destination: once.", _udp(dst=n.C1), {"martian": N})
_reason("directed_broadcast", "To the broadcast address of a network of the host's: once, as martian.", _udp(
    dst="198.51.100.255"), {"martian": N})
_reason("dst_local", "For the host itself: once.", lambda t: IP(src=n.C1, dst="10.1.0.1") / UDP(
    sport=4700, dport=6999, chksum=0) / Raw(b"count"), {"dst_local": N})
_reason("kernel_rule", "`kernel` rule: once.", lambda t: IP(src=n.C1, dst=n.O1A) / UDP(
    sport=4700, dport=s.KERNEL + 5) / Raw(b"count"), {"kernel_rule": N}, listens=s.KERNEL + 5)
_reason("midflow", "A segment of no flow: once.", lambda t: IP(src=n.C1, dst=n.O1A) / TCP(
    sport=4701, dport=6999, flags="A", seq=1, ack=1), {"midflow": N})
_reason("not_owned", "From outside, for an Ext L4 port that nobody has: once.", lambda t: IP(
    src=n.O1A, dst=n.EXT) / UDP(sport=6999, dport=19999) / Raw(b"count"), {"not_owned": N}, ns="r")
_reason("taken", "A packet of a live flow: taken, sent, and nothing else.", lambda t: IP(src=n.C1, dst=n.O1A) / UDP(
    sport=4702, dport=6998) / Raw(b"count"), {"taken": N})


@case("counter_sums_match_neighbours", "Counters",
      "What the ports count is what the neighbours' interfaces count: out of c1, into the router, and back.", alone=True)
def _(t):
    if t.kernel:
        return
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    t.ext(c, o, n.O1A)

    def ports():
        return {p["name"]: p for p in t.service.json("stats")["ports"]}
    for attempt in range(3):
        time.sleep(0.5)
        before, c1, r = ports(), _link(t, "c1", "eth0"), _link(t, "r", "up0")
        for i in range(200):
            c.sendto(b"n%d" % i, (n.O1A, o.getsockname()[1]))
            got = t.heard2(o, 1)
            check(got, "datagram %d was lost" % i)
            o.sendto(got[0], got[1])
            check(t.heard(c, 1), "answer %d was lost" % i)
        time.sleep(0.3)
        after, c1b, rb = ports(), _link(t, "c1", "eth0"), _link(t, "r", "up0")
        seen = {k: after[k]["seen"] - before[k]["seen"] for k in ("vethc1", "eth0")}
        wanted = {"vethc1": c1b[1] - c1[1], "eth0": rb[1] - r[1]}
        arrived = (c1b[0] - c1[0], rb[0] - r[0])
        if seen == wanted and arrived[0] >= 200 and arrived[1] >= 200:
            return
    same("ports saw", seen, wanted)


@case("counter_conservation_under_load", "Counters",
      "Under load of all kinds the equations hold: everything taken is sent, dropped for a reason, or given to the kernel.",
      alone=True)
def _(t):
    if t.kernel:
        return
    for i in range(1500):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / UDP(sport=t.port("raw_client"), dport=s.DROP if i % 5 == 0 else 6997)
              / Raw(b"m" * (i % 1400)))
    stats = None
    for _ in range(20):
        time.sleep(0.2)
        now = t.service.json("stats")
        if now == stats and not any(w["in_flight"] for w in now["workers"]):
            break
        stats = now
    for w in stats["workers"]:
        same("worker %s" % w["cpu"], w["rx_packets"] + w["handed_in"] + w["made"], w["tx_packets"] + sum(
            w["drops"].values()) + w["handed_out"] + w["merged"] + w["to_kernel"] + w["in_flight"])
    for p in stats["ports"]:
        same("port " + p["name"], p["seen"], p["passed"] + p["dropped"] + p["redirected"])
    same("rings", sum(p["redirected"] for p in stats["ports"]),
         sum(w["rx_packets"] for w in stats["workers"]) + sum(p["xsk_lost"] for p in stats["ports"]))
