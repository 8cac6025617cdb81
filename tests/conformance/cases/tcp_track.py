# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TCP: what does and what does not change a session's state (RFC 5382 REQ-5, 5961, 7857 section 2).

In the profile `short` an established connection may idle 5 s, any other 3 s: which of the two is
left after a segment is how its state is seen from outside."""
import socket
import struct
import time

import net as n
from bench import check, same
from rawtcp import ACK, FIN, PSH, RST, SYN, RawTcp
from scapy.layers.inet import IP, TCP
from table import case


def _is_gone(k, why, seconds=3.6):
    """Neither way passes after idling longer than the transitory time and less than the established one."""
    time.sleep(seconds)
    k.down(PSH | ACK, b"too late")
    same(why + ": data back", k.at_container(PSH | ACK, 0.4, b"too late"), None)


def _established(k, why, seconds=4.0):
    time.sleep(seconds)
    k.speaks(why)


@case("rfc5961_sec3_exact_rst_is_believed", "TCP",
      "A RST with exactly the next sequence number, from either side, makes the session transitory.", profile="short")
def _(t):
    flows = []
    for side, exact in (("down", 0), ("up", 0), ("down", 40), ("up", 40)):
        k = RawTcp(t).handshake()
        k.speaks("before")
        if exact:  # behind data that is not acknowledged yet
            getattr(k, side)(PSH | ACK, b"d" * exact)
        getattr(k, side)(RST, seq=(k.snext if side == "down" else k.cnext) + exact, ack=0)
        check((k.at_container if side == "down" else k.at_server)(RST), "the RST did not pass")
        flows.append(k)
    time.sleep(3.6)
    for k in flows:
        k.down(PSH | ACK, b"too late")
        same("data after 3.6 s (transitory is 3)", k.at_container(PSH | ACK, 0.3, b"too late"), None)


@case("rfc5961_sec5_forged_fin_changes_nothing", "TCP",
      "A FIN outside of the window, one that acknowledges what was never sent, or one of old data does not shorten the "
      "session's time; each passes.", profile="short")
def _(t):
    k = RawTcp(t).handshake()
    k.speaks("before")
    for seq, ack in ((k.snext + 300000, k.cnext), (k.snext - 200000, k.cnext), (k.snext, k.cnext + 5000),
                     (k.snext - 5, k.cnext)):
        k.down(FIN | ACK, seq=seq, ack=ack, ns="r")
        check(k.at_container(FIN | ACK), "the FIN did not pass")
    _established(k, "4 s after forged FINs (transitory 3, established 5)")


@case("rfc5961_sec3_half_open_not_reset_blindly", "TCP",
      "A connection that is being opened is neither ended nor confused by a RST or SYN of somebody who does not see it.")
def _(t):
    k = RawTcp(t)
    k.up(SYN, ack=0)
    p = k.at_server(SYN)
    check(p, "the SYN did not come out")
    k.ext = (p.src, p.sport)
    k.cnext += 1
    k.down(RST, seq=0, ack=0, ns="r")
    k.down(RST | ACK, seq=0, ack=k.cnext + 7, ns="r")
    k.down(SYN, seq=555, ack=0, ns="r")
    k.down(SYN | ACK, seq=556, ack=k.cnext + 1, ns="r")
    k.down(SYN | ACK)
    k.snext += 1
    check(k.at_container(SYN | ACK, data=b""), "no SYN-ACK arrived")
    k.up(ACK)
    check(k.at_server(ACK), "the ACK did not come out")
    k.speaks("after forged segments during the handshake")


@case("rfc5961_sec4_restarted_host", "TCP",
      "A container that was restarted and connects again from the same L4 port: its SYN passes, the challenge ACK comes back, "
      "its exact RST passes, and its next SYN opens a new connection at once.")
def _(t):
    k = RawTcp(t).handshake()
    k.speaks("before")
    for _ in range(20):
        new = k.cnext + 123456789 & 0xffffffff
        k.up(SYN, seq=new, ack=0)
        check(k.at_server(SYN), "the SYN did not come out")
        k.down(ACK)
        check(k.at_container(ACK), "the challenge ACK did not arrive")
        k.up(RST, seq=k.cnext, ack=0)
        check(k.at_server(RST), "the RST did not come out")
        k.cnext, k.snext = new, k.snext + 7777777 & 0xffffffff
        ext = k.ext
        k.handshake()
        same("Ext endpoint", k.ext, ext)
        k.speaks("the new connection")


@case("rfc5961_sec4_both_restarted", "TCP",
      "Both ends were restarted: a SYN on the live tuple that is answered by a SYN-ACK is a new connection, established.",
      profile="short")
def _(t):
    k = RawTcp(t).handshake()
    k.speaks("before")
    k.cnext, k.snext = 3000000000, 77
    k.handshake()
    k.speaks("the new connection")
    k.down(RST, seq=7000000, ack=0, ns="r")  # of the old one
    _established(k, "4 s later (transitory 3, established 5)")


@case("rfc7857_sec2_rst_that_was_not_one", "TCP",
      "A side that goes on after a RST in its name has not sent it: the session is established again.", profile="short")
def _(t):
    k = RawTcp(t).handshake()
    k.speaks("before")
    k.down(RST, ack=0, ns="r")  # a lucky one
    check(k.at_container(RST), "the RST did not pass")
    k.speaks("after it")
    k.speaks("and again")
    _established(k, "4 s after the last word (transitory 3, established 5)")


@case("rfc5382_req5_half_closed_for_long", "TCP",
      "A half-closed connection over which data flows lives on, longer than any timer; idle, it is transitory.",
      profile="short")
def _(t):
    k = RawTcp(t).handshake()
    k.up(FIN | ACK)
    check(k.at_server(FIN | ACK), "the FIN did not come out")
    k.cnext += 1
    for i in range(5):
        time.sleep(2)
        k.down(PSH | ACK, b"half %d" % i)
        check(k.at_container(PSH | ACK, data=b"half %d" % i), "after %d s" % (2 * i + 2))
        k.snext += 6
        k.up(ACK)
        check(k.at_server(ACK), "its ACK after %d s" % (2 * i + 2))
    _is_gone(k, "half-closed and idle for 3.6 s (transitory is 3)")


@case("rfc5382_req4_closed_tuple_not_opened_from_outside", "TCP",
      "A server's SYN to the Ext endpoint of a closed connection opens nothing by itself, and the host answers nothing.")
def _(t):
    k = RawTcp(t).handshake()
    k.up(FIN | ACK)
    check(k.at_server(FIN | ACK), "the FIN did not come out")
    k.cnext += 1
    k.down(FIN | ACK)
    # Or the last ACK, which comes in by another port, might pass it while the worker waits for a CPU.
    check(k.at_container(FIN | ACK), "the peer's FIN did not arrive")
    k.snext += 1
    k.up(ACK)
    check(k.at_server(ACK), "the last ACK did not come out")
    k.down(SYN, seq=4242, ack=0)
    time.sleep(0.2)
    other = t.tap("o1")
    k.down(PSH | ACK, b"pushed", seq=4243)
    time.sleep(0.5)
    if t.needs_service():
        states = [f["state"] for f in t.service.flows("from", n.C1) if f["src"] == "%s:%d" % (n.C1, k.cport)]
        same("states of the session", states, ["closed"])
    same("answers of the host", [str(p) for p in other.all(lambda p: p.dport == k.sport, 0.3)], [])


@case("rfc5961_sec3_kernel_socket_challenges", "TCP",
      "Kernel sockets behind it: an inexact RST from off the path draws the container's challenge ACK, which comes out, and "
      "the connection goes on; the exact one ends it.")
def _(t):
    port = t.port()
    listener = t.listen("o1", n.O1A, port)
    seen = t.tap("o1")
    c = t.connect("c1", n.O1A, port)
    o, ext = t.accept(listener)
    c.sendall(b"hello")
    same("hello", o.recv(10), b"hello")
    o.sendall(b"there")
    same("there", c.recv(10), b"there")
    p = seen.wait(lambda p: p.proto == 6 and p.dport == port and p.flags == ACK and p.sport == ext[1] and
                  not p.data and p.ack != 0, 2)
    last = [q for q in seen.all(lambda q: q.dport == port and q.sport == ext[1], 0.3)] or [p]
    expected = last[-1].ack

    def rst(seq):
        t.put("r", IP(src=n.O1A, dst=ext[0]) / TCP(sport=port, dport=ext[1], flags="R", seq=seq & 0xffffffff))

    rst(expected + 1000)
    challenge = seen.wait(lambda q: q.proto == 6 and q.dport == port and q.flags == ACK and q.ack == expected, 2)
    check(challenge, "no challenge ACK came out")
    rst(expected + (1 << 30))
    c.sendall(b"still")
    same("still", o.recv(10), b"still")
    rst(expected)
    end = None
    try:
        c.settimeout(2)
        end = c.recv(10)
    except ConnectionResetError:
        end = "reset"
    except socket.timeout:
        end = "nothing"
    same("after the exact RST", end, "reset")
    o.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
