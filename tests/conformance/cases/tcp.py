# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TCP: RFC 5382, 7857, 5961."""
import os
import socket
import struct
import time

import net as n
import service as s
from bench import check, same
from rawtcp import ACK, FIN, PSH, RST, SYN, RawTcp
from scapy.layers.inet import IP, TCP
from table import case

LINGER_RST = struct.pack("ii", 1, 0)  # close() sends a RST: no TIME_WAIT on the container's side


def abort(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    sock.close()


def exchange(c, o, data):
    c.settimeout(20)  # loss, and retransmission timers that back off
    o.settimeout(20)
    got = b""
    c.sendall(data)
    while len(got) < len(data):
        more = o.recv(1 << 16)
        check(more, "end after %d of %d bytes" % (len(got), len(data)))
        got += more
    check(got == data, "bytes changed on the way out")
    got = b""
    o.sendall(data[::-1])
    while len(got) < len(data):
        more = c.recv(1 << 16)
        check(more, "end after %d of %d bytes back" % (len(got), len(data)))
        got += more
    check(got == data[::-1], "bytes changed on the way back")


@case("rfc5382_req1_data_both_ways", "TCP",
      "A connection carries bytes both ways unchanged, from both containers, by an Ext endpoint of the rule's range.")
def _(t):
    for ns in ("c1", "c2"):
        c, o, ext = t.pair(ns)
        same("Ext address", ext[0], n.EXT)
        check(s.DEFAULT_RANGE[0] <= ext[1] <= s.DEFAULT_RANGE[1], "Ext L4 port %d" % ext[1])
        exchange(c, o, os.urandom(150001))


@case("rfc5382_req1_endpoint_independent_option", "TCP",
      "`mapping endpoint-independent` gives TCP one Ext L4 port toward all destinations.", level="option",
      rule="mapping-tcp")
def _(t):
    port, source = t.port(s.EIM_TCP), t.port("client")
    seen = [t.pair("c1", o, a, port, (n.C1, source))[2] for o, a in (
        ("o1", n.O1A), ("o1", n.O1B), ("o2", n.O2A))]
    same("one Ext endpoint of %s" % seen, len(set(seen)), 1)


@case("rfc7857_sec3_ext_ports_shared_between_destinations", "TCP",
      "By default an Ext L4 port carries connections to several destinations: 64 L4 ports, 180 connections at once.")
def _(t):
    port = t.port(s.SHARED)
    where = [("o1", n.O1A), ("o1", n.O1B), ("o2", n.O2A), ("o2", n.O2B)]
    pairs = []
    for ns, addr in where:
        listener = t.listen(ns, addr, port)
        for i in range(45):
            c = t.connect("c1", addr, port)
            pairs.append((c, *t.accept(listener), addr))
    same("connections told apart", len({(ext, addr) for _, _, ext, addr in pairs}), 180)
    check(len({ext for _, _, ext, _ in pairs}) <= 64, "Ext endpoints")
    for i, (c, o, _, _) in enumerate(pairs):
        c.sendall(b"%d" % i)
        same("what arrives", o.recv(10), b"%d" % i)


@case("rfc7857_sec3_closed_tuple_reusable_at_once", "TCP",
      "The same source L4 port connects to the same server 1,000 times in a row.")
def _(t):
    port, source = t.port(), t.port("client")
    listener = t.listen("o1", n.O1A, port)
    for i in range(1000):
        with t.net.inside("c1"):
            c = socket.socket()
        c.settimeout(5)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        c.bind((n.C1, source))
        c.connect((n.O1A, port))
        o, _ = listener.accept()
        o.settimeout(5)
        c.sendall(b"%d" % i)
        same("round %d" % i, o.recv(10), b"%d" % i)
        if i % 2:  # either side begins the end
            o.close()
            same("end of stream in round %d" % i, c.recv(1), b"")
            abort(c)
        else:
            c.shutdown(socket.SHUT_WR)
            same("end of stream in round %d" % i, o.recv(1), b"")
            o.close()
            same("end of stream in round %d" % i, c.recv(1), b"")
            c.close()
            _end_time_wait(t, source, port)


def _end_time_wait(t, source, port):
    """The container's own TIME_WAIT is not what is tested: end it as `ss --kill` does."""
    t.net.on("c1", "ss", "-K", "state", "time-wait", "sport", "=", str(source), "dport", "=", str(port),
             check=False)


@case("rfc5382_closed_ones_reclaimed_first", "TCP",
      "Closed connections never stand in the way of new ones: a range of 64 Ext L4 ports serves 1,000 in a row to one server, "
      "while open ones go on.")
def _(t):
    port = t.port(s.SMALL)
    listener = t.listen("o1", n.O1A, port)
    kept = []
    for _ in range(8):
        c = t.connect("c1", n.O1A, port)
        kept.append((c, t.accept(listener)[0]))
    for i in range(1000):
        with t.net.inside("c1"):
            c = socket.socket()
        c.settimeout(4)
        try:
            c.connect((n.O1A, port))
        except OSError as e:
            raise AssertionError("connection %d of 1,000: %s" % (i, e))
        o, _ = listener.accept()
        c.sendall(b"x")
        o.recv(1)
        if i % 3:
            c.close()
            o.recv(1)
            o.close()
        else:
            abort(c)
            o.close()
    for c, o in kept:
        exchange(c, o, b"still open")


@case("rfc5382_req2_simultaneous_open", "TCP",
      "Two SYNs that cross open a connection.")
def _(t):
    k = RawTcp(t)
    k.up(SYN, ack=0)
    p = k.at_server(SYN)
    check(p, "the SYN did not come out")
    k.ext = (p.src, p.sport)
    k.down(SYN, ack=0)
    check(k.at_container(SYN), "the crossing SYN did not arrive")
    k.cnext += 1
    k.snext += 1
    k.up(SYN | ACK, seq=k.cnext - 1)
    check(k.at_server(SYN | ACK), "the SYN-ACK did not come out")
    k.down(SYN | ACK, seq=k.snext - 1)
    check(k.at_container(SYN | ACK), "the SYN-ACK did not arrive")
    k.speaks("after a simultaneous open")


@case("rfc5382_req2_every_legal_close", "TCP",
      "Half-close, simultaneous close and FIN with data pass, and data still flows in the open direction.")
def _(t):
    k = RawTcp(t).handshake()
    k.up(FIN | ACK)
    check(k.at_server(FIN | ACK), "the FIN did not come out")
    k.cnext += 1
    for i in range(3):  # the half-closed direction goes on
        k.down(PSH | ACK, b"half %d" % i)
        check(k.at_container(PSH | ACK, data=b"half %d" % i), "data after FIN did not arrive")
        k.snext += 6
        k.up(ACK)
        check(k.at_server(ACK), "the ACK did not come out")
    k.down(FIN | PSH | ACK, b"last")
    check(k.at_container(FIN | PSH | ACK, data=b"last"), "FIN with data did not arrive")
    k.snext += 5
    k.up(ACK)
    check(k.at_server(ACK), "the last ACK did not come out")
    k = RawTcp(t).handshake()
    k.up(FIN | ACK)
    k.down(FIN | ACK)
    check(k.at_server(FIN | ACK) and k.at_container(FIN | ACK), "crossing FINs did not pass")
    k.up(ACK, seq=k.cnext + 1, ack=k.snext + 1)
    k.down(ACK, seq=k.snext + 1, ack=k.cnext + 1)
    check(k.at_server(ACK) and k.at_container(ACK), "the ACKs of crossing FINs did not pass")


@case("rfc5382_req4_unsolicited_syn_silence", "TCP",
      "An unsolicited SYN from outside is answered by nothing for 6 s and more, on used and unused Ext L4 ports alike.")
def _(t):
    _, _, ext = t.pair()
    tap = t.tap("o2")
    free = [20000 + i * 997 for i in range(10)]
    sport = t.port("raw_server")
    for port in free + [ext[1]]:
        t.put("o2", IP(src=n.O2A, dst=n.EXT) / TCP(sport=sport, dport=port, flags="S", seq=5))
    answers = [str(p) for p in tap.all(lambda p: p.dport == sport or p.proto == 1, 7)]
    same("answers", answers, [])


@case("rfc5382_req5_default_timeouts", "TCP",
      "By default an established connection may idle 2 h 4 min, a transitory one 4 min.")
def _(t):
    if not t.needs_service():
        return
    text = t.service.ctl("config")[1]
    check("tcp-established: 7440s" in text and "tcp-transitory: 240s" in text, text[text.find("timeouts"):][:200])


@case("rfc5382_req5_timers_as_configured", "TCP",
      "An established connection outlives the transitory time when idle; a half-open one does not outlive it.",
      profile="short")
def _(t):
    k = RawTcp(t).handshake()
    half = RawTcp(t)
    half.up(SYN, ack=0)
    p = half.at_server(SYN)
    half.ext = (p.src, p.sport)
    time.sleep(3.7)
    k.speaks("idle 3.7 s of 5, transitory is 3")
    time.sleep(3.5)
    half.down(SYN | ACK)
    same("SYN-ACK 7 s late arrives", half.at_container(SYN | ACK, 0.5), None)


@case("rfc5382_req5_idle_end", "TCP",
      "A connection idle for longer than its time is forgotten: nothing is delivered any more.", profile="short")
def _(t):
    k = RawTcp(t).handshake()
    time.sleep(9)
    k.down(PSH | ACK, b"late")
    same("data 9 s later (5 configured) arrives", k.at_container(PSH | ACK, 0.5), None)


@case("rfc7857_sec2_rst_moves_to_transitory", "TCP",
      "A RST, from either side, shortens the session's time and never ends it at once.", profile="short")
def _(t):
    for side in ("up", "down"):
        k = RawTcp(t).handshake()
        getattr(k, side)(RST)
        check((k.at_server if side == "up" else k.at_container)(RST), "the RST did not pass")
        time.sleep(0.5)
        k.down(PSH | ACK, b"after")
        check(k.at_container(PSH | ACK, data=b"after"), "freed at once by a RST (%s)" % side)
        k.up(ACK)
        check(k.at_server(ACK), "the other way is gone after a RST (%s)" % side)


@case("rfc7857_sec2_fin_moves_to_transitory", "TCP",
      "FINs of both sides shorten the session's time and never end it at once.", profile="short")
def _(t):
    k = RawTcp(t).handshake()
    k.up(FIN | ACK)
    check(k.at_server(FIN | ACK), "FIN out")
    k.cnext += 1
    k.down(FIN | ACK)
    check(k.at_container(FIN | ACK), "FIN back")
    k.snext += 1
    k.up(ACK)
    check(k.at_server(ACK), "last ACK")
    time.sleep(1.2)
    k.down(FIN | ACK, seq=k.snext - 1)  # its ACK was lost: it says it again
    check(k.at_container(FIN | ACK), "a FIN that is said again does not arrive: freed at once")


def _survives(t, spoil, why, seconds=4.5):
    """In the short profile (transitory 3 s, established 5): still established after what `spoil` does."""
    k = RawTcp(t).handshake()
    k.speaks("before")
    spoil(k)
    time.sleep(seconds - 0.5)
    k.speaks(why)
    return k


@case("rfc5961_sec3_out_of_window_rst_changes_nothing", "TCP",
      "A RST outside of the window does not shorten the session's time.", profile="short")
def _(t):
    def spoil(k):
        k.down(RST, seq=k.snext + 300000, ns="r")
        k.down(RST, seq=k.snext - 300000, ns="r")
        k.up(RST, seq=k.cnext + 500000)
    _survives(t, spoil, "4 s after a RST out of the window (transitory 3, established 5)")


@case("rfc5961_sec3_inexact_rst_changes_nothing", "TCP",
      "A RST inside of the window, but not exactly at the next sequence number, does not shorten the session's time.",
      profile="short")
def _(t):
    def spoil(k):
        k.down(RST, seq=k.snext + 1, ns="r")
        k.down(RST, seq=k.snext + 20000, ns="r")
        k.down(RST | ACK, seq=k.snext + 777, ns="r")
    _survives(t, spoil, "4 s after an inexact RST (transitory 3, established 5)")


@case("rfc5961_sec4_syn_on_live_tuple_passes", "TCP",
      "A SYN on a live connection passes, in both directions, and so does the challenge ACK that answers it; the connection "
      "goes on.")
def _(t):
    k = RawTcp(t).handshake()
    k.speaks("before")
    k.down(SYN, seq=12345, ack=0)
    check(k.at_container(SYN), "the SYN did not arrive")
    k.up(ACK)
    check(k.at_server(ACK), "the challenge ACK did not come out")
    k.up(SYN, seq=99999, ack=0)
    check(k.at_server(SYN), "the SYN did not come out")
    k.down(ACK)
    check(k.at_container(ACK), "the challenge ACK did not arrive")
    k.speaks("after a SYN on the live tuple")


@case("rfc5961_sec4_syn_does_not_shorten", "TCP",
      "A SYN on a live connection does not shorten the session's time.", profile="short")
def _(t):
    _survives(t, lambda k: k.down(SYN, seq=4711, ack=0, ns="r"),
              "4 s after a SYN on the live tuple (transitory 3, established 5)")


@case("rfc5961_old_segments_pass", "TCP",
      "Old duplicates and keep-alives (one before the next byte) pass: what is right is for the ends to say.")
def _(t):
    k = RawTcp(t).handshake()
    k.speaks("before")
    k.up(ACK, b"", seq=k.cnext - 1)
    check(k.at_server(ACK), "a keep-alive did not come out")
    k.down(ACK)
    check(k.at_container(ACK), "its answer did not arrive")
    k.up(PSH | ACK, b"again", seq=k.cnext - 5)
    check(k.at_server(PSH | ACK, data=b"again"), "a repeated segment did not come out")


@case("rfc5382_req9_icmp_never_ends_a_session", "TCP",
      "No ICMP error ends a session, whatever its type.")
def _(t):
    from scapy.layers.inet import ICMP
    k = RawTcp(t).handshake()
    inner = bytes(IP(src=k.ext[0], dst=k.saddr, ttl=60, id=7) / TCP(
        sport=k.ext[1], dport=k.sport, seq=k.cnext, flags="A"))[:28]
    for kind, code in ((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 9), (3, 13), (4, 0), (11, 0), (12, 0)):
        t.put("r", IP(src="203.0.113.1", dst=k.ext[0]) / ICMP(type=kind, code=code) / inner)
    time.sleep(0.3)
    k.speaks("after ICMP errors")


@case("rfc5382_midflow_without_session", "TCP",
      "A segment of no session, from a container, never leaves with its own address, and is not reset by the host.")
def _(t):
    tap, back = t.tap("r", "up0"), t.tap("c1")
    sport, dport = t.port("raw_client"), t.port("raw_server")
    for flags in ("A", "PA", "FA", "R", "SA"):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / TCP(sport=sport, dport=dport, flags=flags, seq=1, ack=1))
    got = [str(p) for p in tap.all(lambda p: p.src == n.C1 and p.dport == dport, 0.5)]
    same("leaves untranslated", got, [])
    same("resets", [str(p) for p in back.all(lambda p: p.dport == sport and p.flags & RST, 0.2)], [])


@case("rfc5382_options_and_urgent_untouched", "TCP",
      "TCP options, odd ones too, urgent pointer, reserved bits and window pass as they are.")
def _(t):
    k = RawTcp(t)
    opts = [("MSS", 1111), ("SAckOK", b""), ("Timestamp", (123456, 0)), ("NOP", None), ("WScale", 9),
            (253, b"\x12\x34ab"), (34, b"cookie12"), ("NOP", None), ("NOP", None)]
    k.up("SEC", ack=0, options=opts)
    p = k.out.wait(lambda p: p.dport == k.sport)
    check(p and p.ok(), "the SYN did not come out right")
    sent = bytes(TCP(options=opts))[20:]
    same("options", p.options, sent)
    same("flags (ECE CWR SYN)", p.flags, 0xc2)
    k.ext = (p.src, p.sport)
    k.cnext += 1
    k.down("SAE", options=opts)
    q = k.back.wait(lambda q: q.dport == k.cport)
    check(q and q.ok(), "the SYN-ACK did not arrive right")
    same("options back", q.options, sent)
    k.snext += 1
    k.up("APU", b"urgent!", urgptr=3, reserved=5, options=[("Timestamp", (1, 2)), (77, b"odd")])
    p = k.out.wait(lambda p: p.data == b"urgent!")
    check(p and p.ok(), "the urgent segment did not come out right")
    same("urgent pointer", p.l4[18:20], b"\0\3")
    same("reserved bits", p.l4[12] & 15, 5 << 1 & 15)
    same("window", p.l4[14:16], struct.pack("!H", 64000))


@case("rfc5382_many_at_once", "TCP",
      "Three hundred connections of two containers are open at once, and each gets its own bytes.")
def _(t):
    port = t.port()
    listener = t.listen("o1", n.O1A, port)
    pairs = [(t.connect("c%d" % (1 + i % 2), n.O1A, port), t.accept(listener)[0]) for i in range(300)]
    for i, (c, _) in enumerate(pairs):
        c.sendall(b"hello %d" % i)
    for i, (c, o) in enumerate(pairs):
        same("out", o.recv(20), b"hello %d" % i)
        o.sendall(b"back %d" % i)
        same("back", c.recv(20), b"back %d" % i)


@case("rfc5382_bulk_through_loss", "TCP",
      "A transfer through a path that loses 2 % both ways arrives byte for byte.")
def _(t):
    port = t.port()
    t.net.on("o2", "nft", "-f", "-", text="""table ip loss%d {
        chain in {
            type filter hook prerouting priority -400
            tcp dport %d numgen random mod 100 < 2 drop
        }
        chain out {
            type filter hook output priority 0
            tcp sport %d numgen random mod 100 < 2 drop
        }
    }""" % (port, port, port))
    try:
        c, o, _ = t.pair("c1", "o2", n.O2A, port)
        for _ in range(3):
            exchange(c, o, os.urandom(400000))
    finally:
        t.net.on("o2", "nft", "delete", "table", "ip", "loss%d" % port)


@case("rfc5382_flood_of_syns_leaves_others_alone", "TCP",
      "SYNs of one container to 2,000 tuples neither end nor hinder the flows of another.")
def _(t):
    c, o, _ = t.pair("c2", "o2", n.O2A)
    dport = t.port("raw_server")
    sport = t.port("raw_client")
    raw = bytearray(bytes(IP(src=n.C1, dst=n.O1A) / TCP(sport=sport, dport=dport, flags="S")))
    for i in range(2000):
        t.put("c1", bytes(_with_port(raw, 1024 + i)))
        if i % 100 == 0:
            exchange(c, o, b"beside it %d" % i)
    exchange(*t.pair("c2", "o2", n.O2A)[:2], b"a new one")


def _with_port(raw, port):
    """The same SYN from another L4 port, checksum kept right (RFC 1624)."""
    old = raw[20:22]
    out = bytearray(raw)
    out[20:22] = struct.pack("!H", port)
    total = (~struct.unpack("!H", raw[36:38])[0] & 0xffff) + (
        ~struct.unpack("!H", old)[0] & 0xffff) + port
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    out[36:38] = struct.pack("!H", ~total & 0xffff)
    return out


@case("rfc5382_hairpin", "TCP",
      "A container connects to a service of another by its external address (dnat), and to itself likewise; it is seen as Ext.",
      rule="dnat")
def _(t):
    listener = t.listen("c2", n.C2, 80)
    for ns in ("c1", "c2"):
        c = t.connect(ns, n.SERVICE, 8080)
        o, peer = t.accept(listener)
        exchange(c, o, b"hairpin from " + ns.encode())
        check(peer[0] not in (n.C1, n.C2), "the other end sees %s" % peer[0])
