# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is said about packets from one container to another by an external address (RFC 5508, 1191)."""
import errno
import time

import net as n
import service as s
from bench import check, same
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from table import case
from wire import Packet

ADDR = {"": {"c1": n.C1, "c2": n.C2, "c3": n.C3, "o1": n.O1A, "ext": n.EXT, "service": n.SERVICE},
        "_ipv6": {"c1": n.C1_6, "c2": n.C2_6, "c3": n.C3_6, "o1": n.O1A_6, "ext": n.EXT_6, "service": n.SERVICE_6}}
# the level, IP_MTU_DISCOVER, IP_MTU
MTU_OPTIONS = {"": (0, 10, 14), "_ipv6": (41, 23, 24)}


def _in_both_families(name, text, test, **more):
    for suffix, words in (("", ""), ("_ipv6", " The same over IPv6.")):
        case(name + suffix, "ICMP", text + words, **more)(lambda t, f=suffix: test(t, f, ADDR[f]))


def _unreachable(p):
    return (p.proto, p.type) in ((1, 3), (58, 1))


def _refused(c, word, codes):
    """What a connected datagram socket is told, or None."""
    try:
        c.send(word)
        c.recv(10)
    except TimeoutError:
        return None
    except OSError as e:
        check(e.errno in codes, "the socket is told: %s" % e)
        return e.errno
    raise AssertionError("an answer of nobody")


def _closed_socket(t, family, addr):
    """Both ways between c1 and c2, several flows of each: of every worker."""
    for i in range(6):
        ns, other = ("c1", "c2") if i % 2 else ("c2", "c1")
        a, b = t.udp(ns, addr[ns]), t.udp(other, addr[other])
        o = t.udp("o1", addr["o1"], t.port())
        ext_b = t.ext(b, o, addr["o1"])
        b.close()
        a.connect(ext_b)
        same("%s is told that nobody listens at %s's Ext endpoint" % (ns, other),
             _refused(a, b"?", (errno.ECONNREFUSED,)), errno.ECONNREFUSED)


_in_both_families(
    "rfc5508_req7_hairpin_error_of_container",
    "An error that a container sends about what came from another by an external address reaches that one, in both "
    "directions and across workers: a connected socket is refused.", _closed_socket)


def _quote(t, family, addr):
    head, ttl = (IPv6, "hlim") if family else (IP, "ttl")
    for ns, other in (("c1", "c2"), ("c2", "c1")):
        b, o = t.udp(other, addr[other]), t.udp("o1", addr["o1"], t.port())
        ext_b = t.ext(b, o, addr["o1"])
        b.close()
        back = t.tap(ns)
        sport = t.port("raw_client")

        def packet(left):
            return bytes(head(src=addr[ns], dst=ext_b[0], **{ttl: left}) / UDP(sport=sport, dport=ext_b[1]) / Raw(
                b"whose is it?" * 9))
        t.put(ns, packet(64))
        p = back.wait(lambda p: _unreachable(p) and p.data and Packet(p.data).sport == sport, 2)
        check(p, "no error reaches " + ns)
        check(p.ok(), "a checksum of the error is wrong: %s" % p)
        same("from, to", (p.src, p.dst), (ext_b[0], addr[ns]))
        same("quoted", p.data, packet(63))


_in_both_families(
    "rfc5508_req7_hairpin_error_quotes_what_was_sent",
    "Such an error comes from the external address and quotes the packet as its container sent it, with right checksums.",
    _quote)


def _too_big(t, family, addr):
    level, discover, mtu = MTU_OPTIONS[family]
    far = t.udp("c3", addr["c3"], s.NARROW)
    for ns in ("c1", "c2"):
        c = t.udp(ns, addr[ns])
        c.setsockopt(level, discover, 2)  # PMTUDISC_DO
        c.connect((addr["service"], s.NARROW))

        def sent(data):
            try:
                return c.send(data)
            except OSError as e:  # once more, if it is about the one before
                same("the socket is told", e.errno, errno.EMSGSIZE)

        def learned():
            sent(b"b" * 1400)
            return c.getsockopt(level, mtu) == n.SMALL_MTU
        check(t.until(learned), "%s has learned a path MTU of %d" % (ns, c.getsockopt(level, mtu)))
        check(t.until(lambda: sent(b"fits" * 250)), "what fits cannot be sent")
        same("what fits arrives", t.heard(far, 2), b"fits" * 250)


_in_both_families(
    "rfc1191_hairpin_too_big_answered",
    "A datagram to another container by an external address that is too big for that one's link is answered with its MTU, "
    "and what fits arrives.", _too_big, rule="hairpin")


def _refused_far(t, family, addr):
    # Each has its share for itself; at the far end all are the external address's.
    head = IPv6 if family else IP
    nobody = t.udp("c2", addr["c2"], s.FAR)  # or c2's stack says that there is nobody
    seen, taps = 0, {ns: t.tap(ns) for ns in ("c1", "c3")}
    for i in range(600):
        ns = ("c1", "c3")[i % 2]
        t.put(ns, head(src=addr[ns], dst=addr["service"]) / UDP(sport=20000 + i, dport=s.FAR) / Raw(b"%d" % i))
        if i % 50 == 49:
            time.sleep(0.03)
    for ns, tap in taps.items():
        got = tap.all(lambda p: p.proto == (58 if family else 1) and _unreachable(p), 0.5)
        check(got, "%s is not told" % ns)
        same("code", {p.code for p in got}, {1 if family else 13})
        check(all(p.ok() for p in got), "checksums")
        same("from, to", {(p.src, p.dst) for p in got}, {(addr["service"], addr[ns])})
        for p in got:
            q = Packet(p.data)
            same("quoted", (q.src, q.dst, q.dport, q.data), (addr[ns], addr["service"], s.FAR, b"%d" % (q.sport - 20000)))
            check(q.ok(), "checksums of the quoted packet")
        seen += len(got)
    check(seen < 400, "%d answers: not rate-limited" % seen)
    nobody.close()


_in_both_families(
    "rfc5508_req8_hairpin_refused_answered",
    "A flow to another container by an external address for which there are no resources at the far end is dropped there, "
    "and the one that sent it gets ICMP 3/13 (ICMPv6 1/1) about what it sent, rate-limited.", _refused_far, rule="hairpin",
    profile="short", alone=True)
