# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""traffic6.py - the differential run's IPv6: what traffic.py has of IPv4, as far as IPv6 has it, and what only it has."""
import random

import net as n
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6,
                                IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN)
from scapy.packet import Raw
from traffic import Item


def item(kind, steps, proto=17, ns="c1"):
    it = Item(kind, steps, proto, ns)
    it.caddr = {"c1": n.C1_6, "c2": n.C2_6}[ns]
    it.saddr, it.again, it.ext_addr = n.O1A_6, n.O1B_6, n.EXT_6
    return it


def ip(it, side, ext, **more):
    if side == "out":
        return IPv6(**dict(dict(src=it.caddr, dst=it.saddr), **more))
    return IPv6(**dict(dict(src=it.saddr, dst=ext[0]), **more))


def l4(layer, it, side, ext, **more):
    ends = (it.cport, it.sport) if side == "out" else (it.sport, ext[1])
    return layer(**dict(dict(sport=ends[0], dport=ends[1]), **more))


def datagram(side, size, ip_more=None, udp_more=None, exts=()):
    def make(it, ext):
        p = ip(it, side, ext, **(ip_more or {}))
        for header in exts:
            p = p / header
        return [bytes(p / l4(UDP, it, side, ext, **(udp_more or {})) / Raw(it.fill(size)))]
    return side, make


def segment(side, flags, seq, ack, size=0, ip_more=None, **more):
    return side, lambda it, ext: [bytes(ip(it, side, ext, **(ip_more or {})) / l4(
        TCP, it, side, ext, flags=flags, seq=seq, ack=ack, window=64000, **more) / Raw(it.fill(size)))]


def opened():
    options = [("MSS", 1440), ("WScale", 7), ("SAckOK", b"")]
    return [segment("out", "S", 999, 0, options=options), segment("back", "SA", 4999, 1000, options=options),
            segment("out", "A", 1000, 5000)]


def both(kind, size, **more):
    return item(kind, [datagram("out", size, **more), datagram("back", size, **more)])


def sizes(step):
    for size in range(0, 1453, step):
        yield both("udp6_size", size)
    for size in range(0, 1441, step):
        yield item("tcp6_size", opened() + [
            segment("out", "PA", 1000, 5000, size), segment("back", "PA", 5000, 1000 + size, size)], proto=6)


def fields():
    for tc in (1, 2, 3, 0x28, 0xb8, 0xff):
        yield both("class6", 30, ip_more=dict(tc=tc))
    yield both("label6", 30, ip_more=dict(fl=0x12345))
    for hlim in (2, 64, 255):
        yield both("hops6", 30, ip_more=dict(hlim=hlim))
    for hlim in (0, 1):
        yield item("hops6_over", [datagram("out", 30), datagram("out", 31, dict(hlim=hlim)),
                                  datagram("back", 30, dict(hlim=hlim))])
    pad = PadN(optdata=b"\0" * 4)
    for exts in ((IPv6ExtHdrDestOpt(options=[pad]),), (IPv6ExtHdrHopByHop(options=[pad]),),
                 (IPv6ExtHdrHopByHop(options=[pad]), IPv6ExtHdrDestOpt(options=[pad]))):
        yield item("headers6", [datagram("out", 30), datagram("out", 31, exts=exts), datagram("back", 30, exts=exts)])
    for mss in (536, 1440, 9000):
        yield item("mss6", [segment("out", "S", 1, 0, options=[("MSS", mss)]),
                            segment("back", "SA", 1, 2, options=[("MSS", mss)])], proto=6)


def wrong():
    for value in (1, 0x1234, 0xffff):
        yield item("udp6_checksum_bad", [datagram("out", 30), datagram("out", 31, None, dict(chksum=value)),
                                         datagram("back", 31, None, dict(chksum=value))])
    yield item("udp6_checksum_zero", [datagram("out", 30), datagram("out", 31, None, dict(chksum=0)),
                                      datagram("back", 31, None, dict(chksum=0))])
    yield item("tcp6_checksum_bad", opened() + [segment("out", "PA", 1000, 5000, 10, chksum=0x1234),
                                                segment("back", "PA", 5000, 1000, 10, chksum=0x4321)], proto=6)
    for ip_more, udp_more in ((dict(plen=2000), {}), (dict(plen=4), {}), ({}, dict(len=7)), ({}, dict(len=9000))):
        yield item("lying_length6", [datagram("out", 30), datagram("out", 60, ip_more, udp_more),
                                     datagram("back", 60, ip_more, udp_more)])


def tcp_life():
    yield item("tcp6_close", opened() + [
        segment("out", "PA", 1000, 5000, 100), segment("back", "A", 5000, 1100), segment("out", "FA", 1100, 5000),
        segment("back", "FA", 5000, 1101), segment("out", "A", 1101, 5001)], proto=6)
    yield item("tcp6_simultaneous", [segment("out", "S", 999, 0), segment("back", "S", 4999, 0),
                                     segment("out", "SA", 999, 5000), segment("back", "SA", 4999, 1000)], proto=6)
    yield item("tcp6_rst", opened() + [segment("back", "R", 5000, 0), segment("out", "A", 1000, 5000)], proto=6)
    yield item("tcp6_refused", [segment("out", "S", 999, 0), segment("back", "RA", 0, 1000)], proto=6)
    yield item("tcp6_window", opened() + [segment("out", "PA", 90000000, 5000, 10),
                                          segment("back", "PA", 70000000, 1000, 10)], proto=6)
    for flags in ("A", "FA", "R", "SA"):
        yield item("tcp6_midflow", [segment("out", flags, 1000, 5000, 5)], proto=6)


def pieces(raw, size, ident, order=None):
    """Fragments of a packet without extension headers."""
    head, load, out = IPv6(raw[:40]), raw[40:], []
    for at in range(0, len(load), size & ~7):
        p = IPv6(src=head.src, dst=head.dst) / IPv6ExtHdrFragment(
            nh=head.nh, offset=at // 8, m=int(at + (size & ~7) < len(load)), id=ident)
        out.append(bytes(p / Raw(load[at:at + (size & ~7)])))
    if order:
        order.shuffle(out)
    return out


def fragments(rng):
    def step(side, size, at, order=None, skip=0):
        return side, lambda it, ext: pieces(bytes(ip(it, side, ext) / l4(UDP, it, side, ext) / Raw(
            it.fill(size))), at, it.number + 1, order)[skip:]
    for size, at in ((3000, 1400), (3000, 800), (9000, 1000)):
        for order in (None, rng):
            yield item("fragments6", [datagram("out", 8), step("out", size, at, order), step("back", size, at, order)])
    # Without its fragment header it would be no larger than the first of them.
    yield item("fragments6_fit", [datagram("out", 8), step("out", 176, 176), step("back", 176, 176)])
    yield item("fragments6_first", [step("out", 3000, 1400), step("back", 3000, 1400)])
    yield item("fragments6_missing", [datagram("out", 8), step("out", 3000, 800, None, 1), step("back", 3000, 800, None, 1)])


def errors():
    """ICMPv6 errors about a flow, from its server and from a router, and those that the container sends."""
    def quote(it, ext, length=None):
        return bytes(IPv6(src=ext[0], dst=it.saddr, hlim=60) / UDP(sport=ext[1], dport=it.sport) / Raw(it.fill(40)))[:length]

    def inner(it):
        return bytes(IPv6(src=it.saddr, dst=it.caddr, hlim=60) / UDP(sport=it.sport, dport=it.cport) / Raw(it.fill(40)))
    for error in (ICMPv6DestUnreach(code=0), ICMPv6DestUnreach(code=1), ICMPv6DestUnreach(code=4),
                  ICMPv6PacketTooBig(mtu=1280), ICMPv6TimeExceeded(code=0), ICMPv6ParamProblem(code=1)):
        for length in (48, None):
            yield item("icmp6_error", [datagram("out", 40), ("back", lambda it, ext, e=error, m=length: [bytes(
                IPv6(src=it.saddr, dst=ext[0]) / e.copy() / Raw(quote(it, ext, m)))])])
    yield item("icmp6_error_bad", [datagram("out", 40), ("back", lambda it, ext: [bytes(
        IPv6(src=it.saddr, dst=ext[0]) / ICMPv6DestUnreach(code=1, cksum=0x1234) / Raw(quote(it, ext)))])])
    for error in (ICMPv6DestUnreach(code=4), ICMPv6TimeExceeded(code=1)):
        yield item("icmp6_error_out", [datagram("out", 40), datagram("back", 40), ("out", lambda it, ext, e=error: [bytes(
            IPv6(src=it.caddr, dst=it.saddr) / e.copy() / Raw(inner(it)))])])


def noise(rng, count):
    for _ in range(count):
        steps = [datagram("out", rng.randrange(0, 1453))]
        for _ in range(rng.randrange(1, 4)):
            more = {}
            if rng.random() < 0.3:
                more["tc"] = rng.randrange(256)
            if rng.random() < 0.3:
                more["hlim"] = rng.randrange(2, 256)
            if rng.random() < 0.3:
                more["fl"] = rng.randrange(1 << 20)
            steps.append(datagram(rng.choice(("out", "back")), rng.randrange(0, 1400), more))
        yield item("noise6", steps, ns=rng.choice(("c1", "c2")))


def items(seed, step, count):
    rng = random.Random(seed + 6)
    return list(fields()) + list(wrong()) + list(tcp_life()) + list(fragments(rng)) + list(errors()) + list(
        sizes(step)) + list(noise(rng, count))
