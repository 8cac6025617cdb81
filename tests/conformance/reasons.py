#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""reasons.py - on the wire: what makes a packet count under a reason, and under no other.

  reasons.py [--cells NAME,...|all] [--only PATTERN] [--show]

One service with small limits in a network of its own (net.py). Each row of ROWS sends packets from a container or from
outside by a packet socket and says which counters of `xegressctl drops` have moved then, and by how much: those and no
others. A row that failed is tried twice more, for a host says something of its own now and then.
"""
import argparse
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import net as n  # noqa: E402
from bench import Bench, check, same  # noqa: E402
from run import CELLS, explain  # noqa: E402
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.packet import Raw  # noqa: E402
from service import Service  # noqa: E402

N = 7
# Destination L4 ports are of net.RAW_SERVER: nobody's stack answers.
SERVICE, GONE = n.SERVICE, "10.1.0.77"  # GONE: allowed to c2, and no route leads there
NOBODY = ("198.51.100.%d" % i for i in range(200, 250))  # on the uplink; no ARP is answered, and each try asks anew
PRICED = {"limit_packets": "100pps", "limit_bits": "400kbit", "limit_flows": "20flows",
          "limit_source_packets": "100pps per-source", "limit_source_bits": "400kbit per-source",
          "limit_source_flows": "20flows per-source"}
LIMITED = {name: 6710 + i for i, name in enumerate(PRICED)}  # destination L4 ports of the rules

RULES = [("", r) for r in [
    "dnat udp to %s:9100 in eth0 dest %s:9100" % (SERVICE, GONE),
    "dnat udp to %s:9101 in eth0 dest %s:9101" % (SERVICE, n.C2),
    "dnat udp to %s:9102 in eth0 dest %s:9101" % (SERVICE, n.C2),
    "drop from %s in eth0" % (n.O1B + "/32"),
    "kernel udp from %s to 0.0.0.0/0:6700" % n.INSIDE,
    "drop udp from %s to 0.0.0.0/0:6701" % n.INSIDE,
    "reject udp from %s to 0.0.0.0/0:6702" % n.INSIDE,
    "masquerade udp from %s to 0.0.0.0/0:6703 out eth0 ports 19008-19071" % n.INSIDE] + [
    "masquerade udp from %s to 0.0.0.0/0:%d out eth0 ports 20000-29999 limit %s" % (n.INSIDE, port, PRICED[name])
    for name, port in LIMITED.items()] + [
    "masquerade from %s to 0.0.0.0/1 out eth0 ports 20000-29999" % n.INSIDE,
    "masquerade from %s to 198.51.100.0/24 out eth0 ports 20000-29999" % n.INSIDE,
    "masquerade from %s to 203.0.113.0/24 out eth0 ports 20000-29999" % n.INSIDE,
    "masquerade from %s to 2000::/3 out eth0 ports 20000-29999" % n.INSIDE_6]]
EXTRA = "limits: {sessions: 4096, sessions-per-source: 400}\n"

ROWS = []  # (names, function of a Bench)


def row(name):
    def add(function):
        ROWS.append((name, function))
        return function
    return add


def moved(t, act, settle=0.1):
    """Bench.moved(); neighbours look for each other by multicast when they want to, and no row is about that."""
    return {k: v for k, v in t.moved(lambda: (act(), t.until(lambda: at_rest(t))), settle).items() if k != "dst_special"}


def at_rest(t):
    """Have the workers got all that was put into their rings? On a busy machine they may not have looked yet."""
    stats = t.service.json("stats")
    return sum(p["redirected"] - p["xsk_lost"] for p in stats["ports"]) == sum(w["rx_packets"] for w in stats["workers"])


def waiting(t):
    return sum(w["in_flight"] for w in t.service.json("stats")["workers"])


def out(dport, data=b"count", sport=None, src=n.C1, dst=n.O1A, **ip):
    return IP(src=src, dst=dst, **ip) / UDP(sport=sport or 61001, dport=dport) / Raw(data)


def put_all(t, ns, packets):
    """So slowly that a ring has room for them where a worker waits for a CPU: what is lost there has no reason."""
    for i, raw in enumerate(packets):
        t.put(ns, raw)
        if i % 32 == 31:
            t.until(lambda: at_rest(t))


def times(t, ns, packet, count=N):
    return lambda: put_all(t, ns, [bytes(packet)] * count)


def simply(name, wanted, packet, ns="c1"):
    """That packet, N times, counts so. It may be a function of the Bench."""
    @row(name)
    def _(t):
        p = packet if isinstance(packet, IP) else packet(t)
        same("moved", moved(t, times(t, ns, p)), {k: v * N for k, v in wanted.items()})


def flow(t, ns="c1", src=n.C1, sport=61900, dport=6500):
    """A flow that lives: its Ext endpoint, as the other end of the uplink sees it."""
    tap = t.tap("r", "up0")
    for _ in range(4):
        t.put(ns, out(dport, src=src, sport=sport))
        p = tap.wait(lambda p: p.dport == dport and p.proto == 17, 1)
        if p:
            return p.src, p.sport
    raise AssertionError("a flow does not begin")


def back(ext, data=b"back", dport=6500, src=n.O1A, **ip):
    return IP(src=src, dst=ext[0], **ip) / UDP(sport=dport, dport=ext[1]) / Raw(data)


# ---- steering

simply("drop_rule", {"drop_rule": 1}, out(6701))


def swallow(t, *addresses):
    """The router says nothing about what it cannot deliver there."""
    for addr in addresses:
        t.net.on("r", "ip", "route", "replace", "blackhole", addr)


@row("no_rule")
def _(t):
    swallow(t, "192.0.2.77/32")
    same("moved", moved(t, times(t, "c1", out(6500, dst="192.0.2.77"))), {"no_rule": N})


simply("spoofed", {"spoofed": 1}, out(6500, src="10.1.0.99"))
simply("not_tcp_udp", {"not_tcp_udp": 1}, IP(src=n.C1, dst=n.O1A, proto=132) / Raw(b"\0" * 20))
simply("denied", {"denied": 1}, lambda t: back(flow(t), src=n.O1B), ns="r")
simply("malformed", {"malformed": 1}, out(6500, ihl=4))


@row("other_l2")
def _(t):
    sender = t.sender("c1")
    frame = bytes.fromhex("02000000beef") + sender.head[6:] + b"\x08\0" + bytes(out(6500))
    same("moved", moved(t, lambda: [sender.frame(frame) for _ in range(N)]), {"other_l2": N})


@row("egress_not_port")
def _(t):
    t.net.on("h", "ip", "link", "add", "aside", "type", "veth", "peer", "name", "beyond", check=False)
    for dev in ("aside", "beyond"):
        t.net.on("h", "ip", "link", "set", dev, "up")
    t.net.on("h", "ip", "route", "replace", "203.0.113.200/32", "dev", "aside")
    same("moved", moved(t, times(t, "c1", out(6500, dst="203.0.113.200"))), {"egress_not_port": N})


@row("no_route")
def _(t):
    t.net.on("h", "ip", "route", "replace", "prohibit", "203.0.113.201/32")
    same("moved", moved(t, times(t, "c1", out(6500, dst="203.0.113.201"))), {"no_route": N})


def error(ext, quoted=None, chksum=None, **inner):
    """An ICMP error from a router about a flow of c1."""
    quoted = quoted or bytes(IP(src=ext[0], dst=n.O1A, ttl=60) / UDP(sport=ext[1], dport=6500) / Raw(b"quoted"))
    return IP(src="192.0.2.9", dst=n.EXT) / ICMP(type=3, code=1, chksum=chksum) / Raw(quoted)


simply("icmp_not_owned", {"icmp_not_owned": 1}, lambda t: error((n.EXT, 29998)), ns="r")


# ---- workers

simply("rejected", {"taken": 1, "rejected": 1}, out(6702))
simply("no_session", {"taken": 1, "no_session": 1}, lambda t: back(flow(t), src=n.O2A), ns="r")
simply("w_ttl", {"taken": 1, "w_ttl": 1}, lambda t: back(flow(t), ttl=1), ns="r")
simply("w_malformed", {"taken": 1, "w_malformed": 1}, lambda t: out(6500, chksum=0x1234))
simply("icmp_no_session", {"taken": 1, "icmp_no_session": 1}, lambda t: (lambda ext: error(ext, bytes(
    IP(src=ext[0], dst=n.O2A) / UDP(sport=ext[1], dport=6500) / Raw(b"quoted"))))(flow(t)), ns="r")
simply("icmp_bad_csum", {"taken": 1, "icmp_bad_csum": 1}, lambda t: error(flow(t), chksum=0x1234), ns="r")
simply("too_big", {"taken": 1, "too_big": 1}, lambda t: back(flow(t, "c3", n.C3), b"b" * 1400, flags="DF"), ns="r")
simply("target_gone", {"taken": 1, "target_gone": 1}, back((SERVICE, 9100)), ns="r")


@row("too_big_ipv6")
def _(t):
    swallow(t, "2001:db8:a::97/128")
    t.net.on("h", "ip", "route", "replace", "2001:db8:a::97/128", "via", n.GW_6, "mtu", "1300")
    make = lambda data: IPv6(src=n.C1_6, dst="2001:db8:a::97") / UDP(sport=61001, dport=6500) / Raw(data)  # noqa: E731
    t.put("c1", make(b"small"))
    same("moved", moved(t, times(t, "c1", make(b"b" * 1400))), {"taken": N, "too_big": N})


@row("p_too_big")
def _(t):
    swallow(t, "203.0.113.97/32")
    t.net.on("h", "ip", "route", "replace", "203.0.113.97/32", "via", n.GW, "mtu", "1300")
    t.put("c1", out(6500, dst="203.0.113.97"))
    time.sleep(0.2)
    p = out(6500, b"b" * 1400, dst="203.0.113.97", flags="DF")
    same("moved", moved(t, times(t, "c1", p)), {"taken": N, "p_too_big": N})


@row("tuple_taken")
def _(t):
    for port in (9101, 9102):  # one peer, two external L4 ports of one target
        got = moved(t, times(t, "r", back((SERVICE, port))))
    same("moved", got, {"taken": N, "tuple_taken": N})


@row("p_no_neighbour, hold_full")
def _(t):
    """Of many to one that does not answer some wait, the others have no place; what waited is the kernel's in the end."""
    count, raw = 300, bytes(out(6500, dst=next(NOBODY)))
    got = moved(t, lambda: (times(t, "c1", raw, count)(), time.sleep(3), t.until(lambda: not waiting(t), 12)))
    same("which", sorted(got), ["hold_full", "p_no_neighbour", "taken"])
    same("moved", (got["taken"], got["hold_full"] + got["p_no_neighbour"]), (count, count))


# ---- fragments

def pieces(ident, parts, data=b"f" * 64, src=n.C1, dst=n.O1A, sport=61001, dport=6500, proto=17):
    """Fragments of one datagram: (first, end, more to come) of each, by bytes of its L4 part."""
    l4 = bytes(UDP(sport=sport, dport=dport, len=8 + len(data), chksum=0)) + data
    if proto == 6:
        l4 = bytes(TCP(sport=sport, dport=dport, flags="A", seq=1, ack=1)) + data
    return [bytes(IP(src=src, dst=dst, id=ident, proto=proto, frag=a // 8, flags="MF" if more else 0) / Raw(l4[a:b]))
            for a, b, more in parts]


def fragments(name, wanted, parts, ns="c1", **more):
    @row(name)
    def _(t):
        def send():
            for _ in range(N):
                for raw in pieces(t.ident(), parts, **more):
                    t.put(ns, raw)
        same("moved", moved(t, send), {k: v * N for k, v in wanted.items()})


fragments("taken_fragments", {"taken": 2}, [(0, 32, 1), (32, 72, 0)])
fragments("frag_tiny", {"taken": 1, "frag_tiny": 1}, [(0, 8, 1)], proto=6)
fragments("frag_overlap", {"taken": 2, "frag_overlap": 2}, [(0, 40, 1), (32, 72, 0)])
fragments("frag_duplicate", {"taken": 3, "frag_duplicate": 1}, [(0, 32, 1), (0, 32, 1), (32, 72, 0)])
fragments("p_rule", {"taken": 2, "p_rule": 2}, [(0, 32, 1), (32, 72, 0)], dport=6700)
# Put together they are one packet, and the rule's to drop.
fragments("w_drop_rule", {"taken": 2, "w_drop_rule": 1}, [(0, 32, 1), (32, 72, 0)], dport=6701)
fragments("p_frag_not_ours", {"taken": 2, "p_frag_not_ours": 2}, [(0, 32, 1), (32, 72, 0)], ns="r", src=n.O1A, dst=n.EXT,
          sport=6500, dport=40000)


@row("frag_limit, frag_timeout")
def _(t):
    """More first halves than one source may have wait, the oldest go; half a minute later all are given up."""
    count = 256 + N
    t.until(lambda: not waiting(t), 40)

    got = moved(t, lambda: put_all(t, "c1", [pieces(t.ident(), [(0, 32, 1)])[0] for _ in range(count)]))
    same("moved at once", got, {"taken": count, "frag_limit": N})
    same("moved half a minute later", moved(t, lambda: time.sleep(32), 0.5), {"frag_timeout": count - N})


# ---- what runs out

for _name, _port in LIMITED.items():
    def _limited(t, name=_name, port=_port):
        """More than there may be of one flow, or as many flows: each either leaves or is counted."""
        t.put("c1", out(port, sport=62999))  # the way is known
        time.sleep(0.2)
        tap = t.tap("r", "up0")
        count = 400

        def packets():
            raw = bytearray(bytes(out(port, b"l" * 400)))
            raw[26:28] = b"\0\0"
            for i in range(count):
                if name.endswith("flows"):
                    raw[20:22] = (61000 + i % 300).to_bytes(2, "big")
                yield bytes(raw)
        before, passed = t.service.reasons().get(name, 0), 0
        got = moved(t, lambda: put_all(t, "c1", packets()))
        same("which", sorted(got), sorted(["taken", name]))
        same("taken", got["taken"], count)

        def all_told():
            nonlocal passed
            passed += len(tap.all(lambda p: p.dport == port, 0.1))
            return t.service.reasons()[name] - before + passed >= count
        t.until(all_told)
        same("left or counted", t.service.reasons()[name] - before + passed, count)
    row(_name)(_limited)


def fill(t, ns, src, count, dport, first=10000):
    def packets():
        raw = bytearray(bytes(out(dport, src=src)))
        raw[26:28] = b"\0\0"  # no checksum: only L4 ports change
        for i in range(count):
            raw[20:22] = (first + i).to_bytes(2, "big")
            yield bytes(raw)
    put_all(t, ns, packets())


@row("l4_ports_exhausted")
def _(t):
    fill(t, "c2", n.C2, 64 + N, 6703)
    got = moved(t, lambda: fill(t, "c2", n.C2, N, 6703, 20000))
    same("moved", got, {"taken": N, "l4_ports_exhausted": N})


@row("source_limit")
def _(t):
    fill(t, "c1", n.C1, 450, 6500)
    got = moved(t, lambda: fill(t, "c1", n.C1, N, 6500, 20000))
    same("moved", got, {"taken": N, "source_limit": N})


@row("sessions_full")
def _(t):
    for host in range(64, 80):
        if host != 67:
            fill(t, "c2", "10.1.0.%d" % host, 390, 6500)
    got = moved(t, lambda: fill(t, "c2", n.C2, N, 6500, 30000))
    same("moved", got, {"taken": N, "sessions_full": N})


# ---- running it

def one(net, service, name, test, cell, args, tries=3):
    start = time.monotonic()
    for attempt in range(tries):
        t = Bench(net, service, cell, None)
        why = None
        try:
            test(t)
            break
        except Exception as e:  # a row may fail in any way; the others go on
            why = explain(e) + ("" if isinstance(e, AssertionError) else " [%s]" % type(e).__name__)
            if args.show:
                print("# %s: %s" % (name, why), flush=True)
        finally:
            t.close()
    for reason in name.split(", "):
        print("%s counts_%s [%s]%s (%.1f s)" % ("not ok" if why else "ok", reason, cell, ": " + why if why else "",
                                               time.monotonic() - start), flush=True)
    return bool(why)


def run_cell(cell, args):
    xdp, offload, workers = cell.split("-")
    net = n.Net(offload=offload == "on", queues=int(workers))
    failed, starved = 0, False
    try:
        net.up()
        service = Service(net, xdp=xdp, workers=int(workers), rules=RULES, extra=EXTRA)
        service.start()
        check(not service.refused, "a rule is refused: %s" % service.refused)
        for name, test in ROWS:
            if not args.only or re.search(args.only, name):
                failed += one(net, service, name, test, cell, args)
        for what in service.complaints():
            print("not ok service [%s]: %s" % (cell, what))
            failed += 1
        starved = service.starved()
    finally:
        net.down()
    return failed, starved


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--cells", default="generic-on-1")
    a.add_argument("--only")
    a.add_argument("--show", action="store_true")
    args = a.parse_args()
    if os.geteuid() != 0:
        print("skip: needs root")
        return 77
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda s, _: sys.exit(128 + s))
    done = [run_cell(c, args) for c in (CELLS if args.cells == "all" else args.cells.split(","))]
    failed = any(f for f, _ in done)
    # 75: a thread of the service stood still, which counts otherwise: tests/run.sh tries again
    return 75 if failed and any(s for _, s in done) else int(failed)


if __name__ == "__main__":
    sys.exit(main())
