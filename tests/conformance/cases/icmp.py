# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ICMP: RFC 5508, 4884, 1191, 792; and what the host says itself (RFC 1812)."""
import errno
import os
import socket
import struct
import time

import net as n
from bench import check, same
from rawtcp import RawTcp
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw
from table import case
from wire import Packet, ones_sum

FAR = "192.0.2.77"  # one that we never sent to
NOWHERE = "192.0.2.99"  # the router has no way there


def a_router(t):
    """An address of no peer, and of no other test."""
    return "100.70.%d.%d" % divmod(t.ident(), 256)


class UdpFlow:
    """A raw UDP flow, with the packet as it left and the one that the uplink shows."""

    def __init__(self, t, ns="c1", data=b"x" * 100, **ip):
        self.t, self.ns = t, ns
        self.caddr = {"c1": n.C1, "c2": n.C2}[ns]
        self.cport, self.sport = t.port("raw_client"), t.port("raw_server")
        self.back = t.tap(ns)
        out = t.tap("o1")
        self.sent = IP(src=self.caddr, dst=n.O1A, id=4242, ttl=64, **ip) / UDP(
            sport=self.cport, dport=self.sport) / Raw(data)
        for _ in range(3):
            t.put(ns, self.sent)
            self.seen = out.wait(lambda p: p.dport == self.sport, 1)
            if self.seen:
                break
        check(self.seen and self.seen.ok(), "the datagram did not come out right")
        self.ext = (self.seen.src, self.seen.sport)

    def outer(self, length=None):
        """What a router that saw it on the uplink quotes, with the checksum it has there."""
        p = self.seen.ip[:self.seen.total]
        if self.seen.not_ready:
            raise AssertionError("a raw packet has its checksum")
        return p[:length] if length else p

    def error(self, kind, code, rest=0, quoted=None, src=None, tail=b"", place="r", chksum=None):
        """An ICMP error about it, from outside; returns the one that the container gets, or None."""
        body = struct.pack("!BBHI", kind, code, 0, rest) + (self.outer() if quoted is None else quoted) + tail
        total = (~ones_sum(body) & 0xffff) if chksum is None else chksum
        body = body[:2] + struct.pack("!H", total) + body[4:]
        src = src or a_router(self.t)
        self.t.put(place, IP(src=src, dst=self.ext[0], proto=1, ttl=60) / Raw(body))
        return self.back.wait(lambda p: p.proto == 1 and p.type == kind and p.src == src, 0.8)

    def check_quote(self, p, code, whole=True):
        """The container's error quotes what the container sent: addresses, L4 port, all checksums."""
        check(p, "the error did not reach the container")
        check(p.ip_ok() and p.l4_ok(), "a checksum of the error itself is wrong: %s" % p)
        same("code", p.code, code)
        same("destination", p.dst, self.caddr)
        q = Packet(p.data)
        same("quoted addresses", (q.src, q.dst), (self.caddr, n.O1A))
        same("quoted L4 ports", struct.unpack("!HH", q.l4[:4]), (self.cport, self.sport))
        check(ones_sum(q.ip[:q.head_len]) == 0xffff, "checksum of the quoted IP header")
        if whole and len(q.l4) >= 8:
            check(q.l4_ok() if len(p.data) >= q.total else q.l4[6:8] == bytes(self.sent)[
                q.head_len + 6:q.head_len + 8], "checksum of the quoted UDP header")


@case("rfc5508_req1_echo_same_id", "ICMP",
      "Echo requests of two containers with the same id to the same host are both answered, each to its sender.")
def _(t):
    ident = t.ident()
    taps = {ns: t.tap(ns) for ns in ("c1", "c2")}
    for ns, addr in (("c1", n.C1), ("c2", n.C2)):
        for seq in range(3):
            t.put(ns, IP(src=addr, dst=n.O1A) / ICMP(id=ident, seq=seq) / Raw(ns.encode() * 20))
    for ns in ("c1", "c2"):
        got = taps[ns].all(lambda p: p.proto == 1 and p.type == 0 and p.rest >> 16 == ident, 0.4)
        same(ns + " is answered", sorted(p.data[:2] for p in got), [ns.encode()] * 3)
        same("id", {p.rest >> 16 for p in got}, {ident})
        check(all(p.ok() for p in got), "checksums")


def _error_case(kind, code):
    def test(t):
        f = UdpFlow(t)
        f.check_quote(f.error(kind, code), code)
    return test


for _kind, _code, _what in (
        (3, 0, "network unreachable"), (3, 1, "host unreachable"), (3, 3, "L4 port unreachable"),
        (3, 13, "prohibited"), (11, 0, "time exceeded"), (12, 0, "parameter problem")):
    case("rfc5508_req3_error_%d_%d" % (_kind, _code), "ICMP",
         "ICMP %d/%d (%s) about a translated datagram reaches the container, with addresses, L4 port and checksums of "
         "the quoted packet translated back." % (_kind, _code, _what))(_error_case(_kind, _code))


@case("rfc5508_req4_error_about_tcp", "ICMP",
      "Errors about TCP sessions are translated, too, with all checksums, and reach the right container.")
def _(t):
    for ns in ("c1", "c2"):
        k = RawTcp(t, ns=ns).handshake()
        seen = bytes(IP(src=k.ext[0], dst=k.saddr, ttl=60, id=99) / TCP(
            sport=k.ext[1], dport=k.sport, seq=k.cnext, ack=k.snext, flags="PA", window=64000) / b"quoted data")
        body = struct.pack("!BBHI", 3, 1, 0, 0) + seen
        body = body[:2] + struct.pack("!H", ~ones_sum(body) & 0xffff) + body[4:]
        router = a_router(t)
        t.put("r", IP(src=router, dst=k.ext[0], proto=1) / Raw(body))
        p = k.back.wait(lambda p: p.proto == 1 and p.src == router, 1)
        check(p and p.ok(), "the error did not reach %s right" % ns)
        q = Packet(p.data)
        same("quoted", (q.src, q.sport, q.dst, q.dport), (k.caddr, k.cport, k.saddr, k.sport))
        check(q.ok(), "checksums of the quoted packet")
        same("quoted sequence number", q.seq, k.cnext)


@case("rfc5508_req4_error_seen_by_socket", "ICMP",
      "A container's socket gets the error: refused for UDP to a closed L4 port, no route to host for a TCP connect.")
def _(t):
    c = t.udp("c1")
    c.connect((n.O1A, t.port()))  # nobody listens there
    c.send(b"?")
    try:
        c.recv(10)
        raise AssertionError("an answer of nobody")
    except ConnectionRefusedError:
        pass
    except TimeoutError:
        raise AssertionError("the socket waits for an answer that ICMP said will not come")
    t.net.on("r", "ip", "route", "add", "unreachable", NOWHERE + "/32")
    try:
        t.connect("c1", NOWHERE, t.port(), seconds=8)  # a router says so once a second at most, and SYNs come again
        raise AssertionError("a connection to nobody")
    except OSError as e:
        same("what connect() says", errno.errorcode.get(e.errno, str(e)), "EHOSTUNREACH")
    finally:
        t.net.on("r", "ip", "route", "del", "unreachable", NOWHERE + "/32")


@case("rfc5508_req4_truncated_inner", "ICMP",
      "An error that quotes only IP header and 8 bytes is translated; a header it does not quote is not invented.")
def _(t):
    f = UdpFlow(t)
    for quoted in (28, 36, 60):
        p = f.error(3, 1, quoted=f.outer(quoted))
        f.check_quote(p, 1)
        same("length of the quote", len(p.data), quoted)


@case("rfc5508_req4_inner_options", "ICMP",
      "IP options in the quoted packet are stepped over.")
def _(t):
    f = UdpFlow(t)
    seen = f.seen
    options = b"\x07\x07\x04\0\0\0\0\0"  # record route, not filled, and its end
    head = bytearray(seen.ip[:20])
    head[0] = 0x47
    head[2:4] = struct.pack("!H", seen.total + 8)
    head[10:12] = b"\0\0"
    total = ~ones_sum(bytes(head) + options) & 0xffff
    head[10:12] = struct.pack("!H", total)
    p = f.error(3, 13, quoted=bytes(head) + options + seen.l4)
    check(p and p.ok(), "the error did not reach the container right")
    q = Packet(p.data)
    same("quoted", (q.src, q.sport, q.dst, q.dport), (f.caddr, f.cport, n.O1A, f.sport))
    same("options", q.ip[20:28], options)
    check(q.ok(), "checksums of the quoted packet")


@case("rfc5508_req4_error_about_first_fragment", "ICMP",
      "An error that quotes the first fragment of a datagram reaches the container, translated back.")
def _(t):
    f = UdpFlow(t)
    head = bytearray(f.seen.ip[:20])
    head[6:8] = b"\x20\0"  # more fragments
    head[10:12] = b"\0\0"
    head[10:12] = struct.pack("!H", ~ones_sum(bytes(head)) & 0xffff)
    p = f.error(11, 1, quoted=bytes(head) + f.seen.l4)
    f.check_quote(p, 1, whole=False)
    q = Packet(p.data)
    check(q.mf and q.l4 == bytes(f.sent)[20:], "the quoted fragment is not the one that was sent")


@case("rfc4884_extensions_pass", "ICMP",
      "An error with RFC 4884 length and extension objects arrives with both, and its checksum is right.")
def _(t):
    f = UdpFlow(t, data=b"y" * 200)
    objects = struct.pack("!HBB", 8, 1, 1) + b"\0\1\2\3"  # an MPLS label stack entry
    ext = struct.pack("!BBH", 0x20, 0, 0) + objects
    ext = ext[:2] + struct.pack("!H", ~ones_sum(ext) & 0xffff) + ext[4:]
    quoted = f.outer(128)
    p = f.error(11, 0, rest=(len(quoted) // 4) << 16, quoted=quoted, tail=ext)
    f.check_quote(p, 0, whole=False)
    same("length field", p.rest >> 16 & 255, 32)
    same("extension", p.data[128:], ext)


@case("rfc5508_req4_error_from_stranger", "ICMP",
      "The sender of an error need not be the peer: any router's address passes, and is left as it is.")
def _(t):
    f = UdpFlow(t)
    p = f.error(11, 0, src=FAR)
    f.check_quote(p, 0)
    same("source", p.src, FAR)


@case("rfc5508_req4_error_on_any_workers_queue", "ICMP",
      "An error reaches its container also where another worker owns the session than the one that received it.")
def _(t):
    for i in range(8):
        f = UdpFlow(t, ns="c%d" % (1 + i % 2))
        f.check_quote(f.error(3, 1, src="192.0.2.%d" % (10 + i)), 1)


@case("rfc5508_req5_error_without_session_dropped", "ICMP",
      "An error that quotes a tuple of the NAT range without a session reaches nobody.")
def _(t):
    f = UdpFlow(t)
    for quoted in (IP(src=n.EXT, dst=n.O1A) / UDP(sport=29999, dport=f.sport) / Raw(b"none"),
                   IP(src=n.EXT, dst=n.O2A) / UDP(sport=f.ext[1], dport=f.sport) / Raw(b"none"),
                   IP(src=n.EXT, dst=n.O1A) / UDP(sport=f.ext[1], dport=f.sport ^ 1) / Raw(b"none"),
                   IP(src=n.EXT, dst=n.O1A) / TCP(sport=f.ext[1], dport=f.sport)):
        same("error about %s arrives" % quoted.summary(), f.error(3, 1, quoted=bytes(quoted)), None)


@case("rfc5508_req3_error_bad_checksum_dropped", "ICMP",
      "An error with a wrong ICMP checksum, or whose quoted IP header has one, reaches nobody.")
def _(t):
    f = UdpFlow(t)
    same("error with a wrong checksum arrives", f.error(3, 1, chksum=0x1234), None)
    quoted = bytearray(f.outer())
    quoted[8] ^= 1  # TTL: the header's checksum does not fit any more
    same("error that quotes a broken header arrives", f.error(3, 1, quoted=bytes(quoted)), None)


@case("rfc5508_req7_error_from_container", "ICMP",
      "An error that a container sends about an inbound packet of its flow leaves with Ext as source, quotes what came "
      "from outside, and has right checksums.")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    c.close()  # the container's stack answers what comes now with 3/3
    tap, leak = t.tap("o1"), t.tap("r", "up0")
    o.sendto(b"nobody there", ext)
    mark = struct.pack("!HH", o.getsockname()[1], ext[1])
    p = tap.wait(lambda p: p.proto == 1 and p.type == 3 and mark in p.data, 2)
    leak.poll()
    check(not [q for q in leak.seen if q.src == n.C1 and q.proto == 1], "an error left with a private source")
    check(p and p.ok(), "the error did not come out right")
    same("source", p.src, n.EXT)
    same("code", p.code, 3)
    q = Packet(p.data)
    same("quoted", (q.src, q.sport, q.dst, q.dport), (n.O1A, o.getsockname()[1]) + ext)
    check(q.ip_ok(), "checksum of the quoted IP header")
    check(b"10.1" not in p.data and socket.inet_aton(n.C1) not in p.data, "quotes a private address")


@case("rfc5508_req10_redirects_not_forwarded", "ICMP",
      "Redirects and the like, from either side, are not forwarded.")
def _(t):
    f = UdpFlow(t)
    same("redirect from outside arrives", f.error(5, 1, rest=0xc6336402), None)
    same("source quench from outside arrives", f.error(4, 0), None)
    tap = t.tap("r", "up0")
    t.put("c1", IP(src=n.C1, dst=n.O1A) / ICMP(type=5, code=1, gw="10.1.0.9") / f.outer())
    same("redirect from a container leaves", tap.wait(lambda p: p.proto == 1 and p.type == 5, 0.5), None)


@case("rfc1191_path_mtu_discovery", "ICMP",
      "Path MTU discovery works end to end: a narrow link behind the router's is found by TCP and by UDP with DF.")
def _(t):
    port = t.port()
    listener = t.listen("o2", n.O2B, port)
    c = t.connect("c1", n.O2B, port)
    o, _ = t.accept(listener)
    data = os.urandom(200000)
    c.settimeout(8)
    o.settimeout(8)
    c.sendall(data)
    got = b""
    while len(got) < len(data):
        more = o.recv(1 << 16)
        check(more, "end")
        got += more
    check(got == data, "bytes changed")
    u = t.udp("c2")
    u.setsockopt(0, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
    u.connect((n.O2B, t.port()))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            u.send(b"z" * 1400)
            time.sleep(0.1)
        except OSError:  # EMSGSIZE: the socket has learned
            break
    same("path MTU that c2 learned", u.getsockopt(0, 14), n.SMALL_MTU)  # IP_MTU


@case("rfc5508_req4_frag_needed_value_kept", "ICMP",
      "ICMP 3/4 reaches the container with the router's MTU in it.")
def _(t):
    f = UdpFlow(t, flags="DF")
    p = f.error(3, 4, rest=1234)
    f.check_quote(p, 4)
    same("MTU", p.rest & 0xffff, 1234)


@case("rfc1812_traceroute_names_each_hop", "ICMP",
      "Traceroute from a container, by UDP and by TCP, names the host, the router and the server.")
def _(t):
    for what in ("-U", "-T"):
        out = t.net.on("c1", "traceroute", "-n", "-q", "1", "-w", "1", "-m", "6", what, "-p",
                       str(t.port()), n.O1A, timeout=30)
        hops = [ln.split()[1] for ln in out.splitlines()[1:] if ln.strip()]
        same("hops by %s" % what, hops[1:], [n.GW, n.O1A])
        check(hops[0] in ("10.1.0.1", n.EXT), "first hop " + hops[0])
