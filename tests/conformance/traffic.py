# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""traffic.py - what the differential run sends: recorded, systematic and random, the same for one seed.

An item is one flow: a container's and a server's raw L4 port, and steps. A step is the side that
sends ("out": the container, "back": the server) and a function of the flow that makes the raw IP
packets. Payload is filled with the item's number, so that what comes out can be told, fragments too.
"""
import os
import random
import struct

import net as n
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.packet import Raw

MARK = b"\xd1\xf0"
SAMPLE = os.path.join(os.path.dirname(__file__), "../bench/sample.pcap")


class Item:
    def __init__(self, kind, steps, proto=17, ns="c1"):
        self.kind, self.steps, self.proto, self.ns = kind, steps, proto, ns
        self.caddr = {"c1": n.C1, "c2": n.C2}[ns]
        self.saddr, self.ext_addr = n.O1A, n.EXT
        self.again = n.O1B  # for flows that nobody has met before
        self.number = self.cport = self.sport = None  # set by number()

    def number_as(self, i):
        self.number, self.cport, self.sport = i, n.RAW_CLIENT[i % 4000], n.RAW_SERVER[i % 1000]

    def load(self, size):
        return (MARK + struct.pack("!H", self.number) + MARK + struct.pack("!H", self.number ^ 0xffff)) * (
            size // 8 + 1)

    def fill(self, size):
        return self.load(size)[:size]


def ip(item, side, ext, **more):
    """IP header of that side's packet. `ext`: (address, L4 port) that the flow has outside."""
    if side == "out":
        return IP(**dict(dict(src=item.caddr, dst=item.saddr, id=7), **more))
    return IP(**dict(dict(src=item.saddr, dst=ext[0], id=7), **more))


def udp(item, side, ext, **more):
    if side == "out":
        return UDP(**dict(dict(sport=item.cport, dport=item.sport), **more))
    return UDP(**dict(dict(sport=item.sport, dport=ext[1]), **more))


def tcp(item, side, ext, **more):
    base = dict(window=64000)
    base.update(dict(sport=item.cport, dport=item.sport) if side == "out" else dict(
        sport=item.sport, dport=ext[1]))
    return TCP(**dict(base, **more))


def datagram(side, size, ip_more=None, udp_more=None):
    return side, lambda it, ext: [bytes(ip(it, side, ext, **(ip_more or {})) / udp(
        it, side, ext, **(udp_more or {})) / Raw(it.fill(size)))]


def pieces(raw, size, rng=None, twice=False):
    """Fragments of a raw packet."""
    head = (raw[0] & 15) * 4
    load, size, out = raw[head:], size & ~7, []
    for at in range(0, len(load), size):
        p = IP(raw[:head])
        p.frag, p.flags = at // 8, "MF" if at + size < len(load) else 0
        p.len = p.chksum = None
        out.append(bytes(p / Raw(load[at:at + size])))
    if rng:
        rng.shuffle(out)
    return out * 2 if twice else out


def segment(side, flags, seq, ack, size=0, **more):
    ip_more = more.pop("ip_more", {})
    return side, lambda it, ext: [bytes(ip(it, side, ext, **ip_more) / tcp(
        it, side, ext, flags=flags, seq=seq, ack=ack, **more) / Raw(it.fill(size)))]


def opened():
    return [segment("out", "S", 999, 0, options=[("MSS", 1460), ("WScale", 7), ("SAckOK", b"")]),
            segment("back", "SA", 4999, 1000, options=[("MSS", 1460), ("WScale", 7), ("SAckOK", b"")]),
            segment("out", "A", 1000, 5000)]


# ---- systematic

def sizes(step):
    for size in range(0, 1473, step):
        yield Item("udp_size", [datagram("out", size), datagram("back", size)])
    for size in range(0, 1461, step):
        yield Item("tcp_size", opened() + [
            segment("out", "PA", 1000, 5000, size), segment("back", "PA", 5000, 1000 + size, size)], proto=6)


def fields():
    for tos in (0, 1, 2, 3, 0x28, 0xb8, 0xff):
        yield Item("tos", [datagram("out", 30, dict(tos=tos)), datagram("back", 30, dict(tos=tos))])
    for ttl in (2, 3, 64, 255):
        yield Item("ttl", [datagram("out", 30, dict(ttl=ttl)), datagram("back", 30, dict(ttl=ttl))])
    for ttl in (0, 1):
        yield Item("ttl_over", [datagram("out", 30), datagram("out", 31, dict(ttl=ttl)),
                                datagram("back", 30, dict(ttl=ttl))])
    for flags in ("DF", 0, 4):
        yield Item("df" if flags != 4 else "reserved_flag", [
            datagram("out", 30, dict(flags=flags)), datagram("back", 30, dict(flags=flags))])
    for option in (b"\x01\x01\x01\x00", b"\x94\x04\0\0", b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\0\0\0\0\0",
                   b"\x9e\x04ab", b"\x83\x07\x04\x0a\0\0\1\0"):
        yield Item("ip_options", [datagram("out", 30), datagram("out", 31, dict(options=[IPOption(option)])),
                                  datagram("back", 30, dict(options=[IPOption(option)]))])
    for mss in (536, 1460, 9000):
        yield Item("mss", [segment("out", "S", 1, 0, options=[("MSS", mss)]),
                           segment("back", "SA", 1, 2, options=[("MSS", mss)])], proto=6)


def checksums():
    for value in (0, 1, 0x1234, 0xffff):
        yield Item("udp_checksum_%s" % ("zero" if not value else "bad"), [
            datagram("out", 30), datagram("out", 31, None, dict(chksum=value)),
            datagram("back", 31, None, dict(chksum=value))])
    yield Item("udp_checksum_bad", [datagram("out", 30, None, dict(chksum=0x1234))])
    yield Item("tcp_checksum_bad", opened() + [segment("out", "PA", 1000, 5000, 10, chksum=0x1234),
                                               segment("back", "PA", 5000, 1000, 10, chksum=0x4321)], proto=6)
    yield Item("tcp_checksum_bad", [segment("out", "S", 1, 0, chksum=0x1234)], proto=6)
    yield Item("ip_checksum_bad", [datagram("out", 30), datagram("out", 31, dict(chksum=0x1234)),
                                   datagram("back", 31, dict(chksum=0x1234))])


def lengths():
    """Lengths that lie."""
    for ip_more, udp_more in ((dict(len=2000), {}), (dict(len=19), {}), (dict(len=24), {}), (dict(ihl=4), {}),
                              (dict(ihl=15), {}), ({}, dict(len=7)), ({}, dict(len=9000)), ({}, dict(len=0))):
        yield Item("lying_length", [datagram("out", 30), datagram("out", 60, ip_more, udp_more),
                                    datagram("back", 60, ip_more, udp_more)])
    for udp_len in (8, 20):
        yield Item("udp_length_short", [datagram("out", 30), datagram("out", 60, None, dict(len=udp_len)),
                                        datagram("back", 60, None, dict(len=udp_len))])
    for offset in (0, 4, 15):
        yield Item("lying_length", opened() + [segment("out", "PA", 1000, 5000, 5, dataofs=offset),
                                               segment("back", "PA", 5000, 1000, 5, dataofs=offset)], proto=6)


def tcp_life():
    yield Item("tcp_close", opened() + [
        segment("out", "PA", 1000, 5000, 100), segment("back", "A", 5000, 1100), segment("out", "FA", 1100, 5000),
        segment("back", "A", 5000, 1101), segment("back", "PA", 5000, 1101, 50), segment("back", "FA", 5050, 1101),
        segment("out", "A", 1101, 5051)], proto=6)
    yield Item("tcp_simultaneous", [segment("out", "S", 999, 0), segment("back", "S", 4999, 0),
                                    segment("out", "SA", 999, 5000), segment("back", "SA", 4999, 1000)], proto=6)
    yield Item("tcp_rst", opened() + [segment("out", "R", 1000, 0), segment("back", "A", 5000, 1000)], proto=6)
    yield Item("tcp_rst", opened() + [segment("back", "R", 5000, 0), segment("out", "A", 1000, 5000)], proto=6)
    yield Item("tcp_refused", [segment("out", "S", 999, 0), segment("back", "RA", 0, 1000)], proto=6)
    for seq in (5001, 30000, 4000000):
        yield Item("tcp_rst_window", opened() + [segment("back", "R", seq, 0), segment("out", "PA", 1000, 5000, 20),
                                                 segment("back", "A", 5000, 1020)], proto=6)
    yield Item("tcp_syn_live", opened() + [segment("back", "S", 777, 0), segment("out", "A", 1000, 5000),
                                           segment("out", "S", 777, 0), segment("back", "A", 5000, 1000)], proto=6)
    yield Item("tcp_keepalive", opened() + [segment("out", "PA", 1000, 5000, 10), segment("back", "A", 5000, 1010),
                                            segment("out", "A", 1009, 5000), segment("back", "A", 5000, 1010)], proto=6)
    yield Item("tcp_old", opened() + [segment("out", "PA", 1000, 5000, 10), segment("out", "PA", 1000, 5000, 10),
                                      segment("back", "A", 5000, 1010)], proto=6)
    yield Item("tcp_window", opened() + [segment("out", "PA", 90000000, 5000, 10),
                                         segment("back", "PA", 70000000, 1000, 10)], proto=6)
    yield Item("tcp_urgent", opened() + [segment("out", "PAU", 1000, 5000, 10, urgptr=5),
                                         segment("back", "PAU", 5000, 1010, 10, urgptr=5)], proto=6)
    for flags in (0, "F", "PFU", "SF", "SR", "SRF", "FSRPAU"):
        yield Item("tcp_flags", [segment("out", flags, 1, 0)], proto=6)
        yield Item("tcp_flags", opened() + [segment("out", flags, 1000, 5000), segment("back", flags, 5000, 1000)],
                   proto=6)
    for flags in ("A", "PA", "FA", "R", "SA"):
        yield Item("tcp_midflow", [segment("out", flags, 1000, 5000, 5)], proto=6)
    yield Item("tcp_data_on_syn", [segment("out", "S", 999, 0, 50), segment("back", "SA", 4999, 1050, 50)], proto=6)


def fragments(rng):
    def step(side, size, at, shuffled, twice=False):
        return side, lambda it, ext: pieces(bytes(ip(it, side, ext, id=it.number + 1) / udp(
            it, side, ext) / Raw(it.fill(size))), at, rng if shuffled else None, twice)
    for size, at in ((1480, 1480), (3000, 1480), (3000, 800), (9000, 1000), (20000, 1480), (1473, 1480)):
        for shuffled in (False, True):
            yield Item("fragments_shuffled" if shuffled else "fragments", [
                datagram("out", 8), step("out", size, at, shuffled), step("back", size, at, shuffled)])
    yield Item("fragments_first", [step("out", 3000, 1480, False), step("back", 3000, 1480, False)])
    yield Item("fragments_twice", [datagram("out", 8), step("out", 3000, 1480, False, True),
                                   step("back", 3000, 1480, False, True)])
    yield Item("fragments_tiny", [datagram("out", 8), step("out", 100, 8, False), step("back", 100, 8, False)])
    yield Item("fragments_missing", [datagram("out", 8), (
        "out", lambda it, ext: pieces(bytes(ip(it, "out", ext, id=it.number + 1) / udp(it, "out", ext) / Raw(
            it.fill(3000))), 800)[1:]), ("back", lambda it, ext: pieces(bytes(ip(
                it, "back", ext, id=it.number + 1) / udp(it, "back", ext) / Raw(it.fill(3000))), 800)[1:])])


def too_big():
    for df in ("DF", 0):
        yield Item("too_big", [datagram("out", 8), (
            "out", lambda it, ext, df=df: [bytes(IP(src=it.caddr, dst=n.O2B, flags=df, id=it.number) / UDP(
                sport=it.cport, dport=it.sport) / Raw(it.fill(1400)))])])


def errors():
    """ICMP errors about a flow, from the server's side and from the container."""
    def quote(it, ext, length=None):
        raw = bytes(IP(src=ext[0], dst=it.saddr, id=9, ttl=60) / UDP(sport=ext[1], dport=it.sport) / Raw(it.fill(40)))
        return raw[:length]

    def inner(it, length=None):
        raw = bytes(IP(src=it.saddr, dst=it.caddr, id=9, ttl=60) / UDP(sport=it.sport, dport=it.cport) / Raw(it.fill(40)))
        return raw[:length]
    for kind, code in ((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0), (5, 0)):
        for length in (28, None):
            yield Item("icmp_error" if kind in (3, 11, 12) else "icmp_odd", [datagram("out", 40), (
                "back", lambda it, ext, k=kind, c=code, m=length: [bytes(IP(src=it.saddr, dst=ext[0]) / ICMP(
                    type=k, code=c) / Raw(quote(it, ext, m)))])])
    yield Item("icmp_error_bad", [datagram("out", 40), ("back", lambda it, ext: [bytes(
        IP(src=it.saddr, dst=ext[0]) / ICMP(type=3, code=1, chksum=0x1234) / Raw(quote(it, ext)))])])
    for kind, code in ((3, 3), (11, 1), (12, 0)):
        yield Item("icmp_error_out", [datagram("out", 40), datagram("back", 40), (
            "out", lambda it, ext, k=kind, c=code: [bytes(IP(src=it.caddr, dst=it.saddr) / ICMP(
                type=k, code=c) / Raw(inner(it)))])])


# ---- random

def noise(rng, count):
    """Flows of random datagrams: every field that may be odd is, now and then."""
    for _ in range(count):
        steps = [datagram("out", rng.randrange(0, 1473))]
        for _ in range(rng.randrange(1, 4)):
            more = {}
            if rng.random() < 0.3:
                more["tos"] = rng.randrange(256)
            if rng.random() < 0.3:
                more["ttl"] = rng.randrange(2, 256)
            if rng.random() < 0.3:
                more["flags"] = rng.choice(("DF", 0))
            if rng.random() < 0.1:
                more["id"] = rng.randrange(65536)
            if rng.random() < 0.1:
                more["options"] = [IPOption(b"\x01" * rng.choice((4, 8, 40)))]
            size = rng.randrange(0, 1400)
            steps.append(datagram(rng.choice(("out", "back")), size, more, dict(chksum=0) if rng.random() < 0.1 else {}))
        yield Item("noise", steps, ns=rng.choice(("c1", "c2")))


def streams(rng, count):
    """TCP conversations over a path that loses, repeats and reorders, before and behind the translator: what is lost before
    it is seen by it only when it is sent again, behind a hole; what is lost behind it is seen twice. What follows a hole
    is answered by duplicate ACKs with SACK, and ACKs are lost, too."""
    for _ in range(count):
        talk = _Talk(rng)
        for _ in range(rng.randrange(1, 4)):
            talk.burst(rng.choice(("out", "back")))
        if rng.random() < 0.5:
            talk.close(rng.choice(("out", "back")))
        yield Item("stream", opened() + talk.steps, proto=6, ns=rng.choice(("c1", "c2")))


class _Talk:
    """The steps of one conversation. `sent`, `heard`: of each side, the next to be sent, and how far all has come to it."""

    def __init__(self, rng):
        self.rng, self.steps = rng, []
        self.sent, self.heard = dict(out=1000, back=5000), dict(out=5000, back=1000)

    def put(self, side, flags, seq, size=0, **more):
        self.steps.append(segment(side, flags, seq, self.heard[side], size, **more))

    def burst(self, side):
        other, rng = {"out": "back", "back": "out"}[side], self.rng
        flight, missing, begin = [], [], self.sent[side]
        for _ in range(rng.randrange(2, 5)):
            one = self.sent[side], rng.randrange(1, 1461)
            self.sent[side] += one[1]
            fate = rng.random()
            copies, arrives = (0, False) if fate < 0.2 else (1, False) if fate < 0.35 else (2, True) if fate < 0.45 else (
                1, True)
            flight += [(one, arrives)] * copies
            missing += [] if arrives else [one]
        if len(flight) > 1 and rng.random() < 0.5:
            i = rng.randrange(len(flight) - 1)
            flight[i], flight[i + 1] = flight[i + 1], flight[i]
        have = []
        for one, arrives in flight:
            self.put(side, "PA", *one)
            if arrives:
                have.append(one)
                if not self.follows(other, begin, have):  # a hole before it
                    self.put(other, "A", self.sent[other], options=[
                        ("NOP", None), ("NOP", None), ("SAck", (one[0], one[0] + one[1]))])
        for one in missing:
            self.put(side, "PA", *one)
            have.append(one)
        self.follows(other, begin, have)
        if rng.random() < 0.85:  # else lost: what comes next says it
            self.put(other, "A", self.sent[other])

    def follows(self, side, begin, have):
        """Has it all from `begin` on, without a hole? What it acknowledges is where the first one is."""
        end = begin
        for seq, size in sorted(set(have)):
            if seq != end:
                break
            end = seq + size
        self.heard[side] = end
        return end == max(seq + size for seq, size in have)

    def close(self, side):
        other = {"out": "back", "back": "out"}[side]
        for one, peer in ((side, other), (other, side)):
            for _ in range(self.rng.choice((1, 1, 2))):  # the first of two was lost behind the translator
                self.put(one, "FA", self.sent[one])
            self.sent[one] += 1
            self.heard[peer] = self.sent[one]
            self.put(peer, "A", self.sent[peer])


def recorded():
    """Conversations of tests/bench/sample.pcap, with our addresses: segments in the order they were seen."""
    from scapy.utils import PcapReader
    flows = {}
    if not os.path.exists(SAMPLE):
        return
    with PcapReader(SAMPLE) as packets:
        for p in packets:
            p = p.getlayer(IP)
            if p is None or not (p.haslayer(UDP) or p.haslayer(TCP)) or p.len > 1500 or p.frag:
                continue
            l4 = p.getlayer(TCP) or p.getlayer(UDP)
            a, b = (p.src, l4.sport), (p.dst, l4.dport)
            key = (p.proto,) + ((a, b) if a < b else (b, a))
            if key not in flows:
                if p.proto == 6 and int(l4.flags) & 0x12 != 2:
                    continue
                flows[key] = (a, [])
            first, kept = flows[key]
            if len(kept) < 24:
                # The recording holds the headers only; what was behind them is zero now.
                kept.append(("out" if a == first else "back", bytes(p)[:p.len].ljust(p.len, b"\0")))
    for key, (_, kept) in list(flows.items())[:60]:
        yield Item("recorded", [_replay(side, raw) for side, raw in kept], proto=key[0])


def _replay(side, raw):
    def make(it, ext):
        p = IP(raw)
        p.src, p.dst = (it.caddr, it.saddr) if side == "out" else (it.saddr, ext[0])
        l4 = p.getlayer(TCP) or p.getlayer(UDP)
        l4.sport, l4.dport = (it.cport, it.sport) if side == "out" else (it.sport, ext[1])
        del p.chksum, l4.chksum
        return [bytes(p)]
    return side, make


def items(seed, step, count, more=()):
    rng = random.Random(seed)
    made = list(fields()) + list(checksums()) + list(lengths()) + list(tcp_life()) + list(fragments(rng)) + list(
        too_big()) + list(errors()) + list(sizes(step)) + list(noise(rng, count)) + list(streams(rng, count)) + list(
        recorded()) + list(more)
    for i, item in enumerate(made):
        item.number_as(i)
    return made
