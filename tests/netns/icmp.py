#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""icmp.py - ICMP errors as sockets and wires see them.

  icmp.py ask udp|tcp DST L4PORT TTL       one packet with that TTL: the error that the socket gets, as
                                           `TYPE CODE OFFENDER`, or `reply`, `refused`, `silence`
  icmp.py client DST L4PORT SPORT          sends one datagram, waits for one, and is gone
  icmp.py server ADDR L4PORT               answers a datagram at once and again 0.5 s later, by a connected
                                           socket: `refused`, or `silence`
  icmp.py echo DST ID                      ICMP echo with that id: `reply`, `silence`
  icmp.py watch INTERFACE                  each ICMP packet that arrives, a line of JSON; until SIGTERM
  icmp.py send INTERFACE KIND KEY=VALUE... crafted ones, see crafted()
"""
import errno
import json
import select
import socket
import struct
import sys
import time

IP_RECVERR, IPV6_RECVERR = 11, 25


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def error_of(sock):
    """The first ICMP error on the socket's error queue, None: there is none."""
    try:
        _, anc, _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        return None
    for level, kind, data in anc:
        if (level, kind) in ((socket.SOL_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            _, origin, typ, code, _, info, _ = struct.unpack_from("IBBBBII", data)
            offender = (socket.inet_ntoa(data[20:24]) if level == socket.SOL_IP else
                        socket.inet_ntop(socket.AF_INET6, data[24:40]))
            if origin in (2, 3):
                return "%d %d %s%s" % (typ, code, offender, " %d" % info if info else "")
            return "local %d" % info
    return None


def ask(proto, dst, l4_port, ttl):
    tcp, v6 = proto == "tcp", ":" in dst
    s = socket.socket(family(dst), socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    if v6:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, int(ttl))
    else:
        s.setsockopt(socket.SOL_IP, IP_RECVERR, 1)
        s.setsockopt(socket.SOL_IP, socket.IP_TTL, int(ttl))
    s.setblocking(False)
    s.connect_ex((dst, int(l4_port)))
    if not tcp:
        s.send(b"who is there?")
    end = time.time() + 3
    while time.time() < end:
        p = select.poll()
        p.register(s, select.POLLIN | select.POLLERR | (select.POLLOUT if tcp else 0))
        events = p.poll(200)
        if not events:
            continue
        e = error_of(s)
        if e:
            return e
        err = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if err:
            return "refused" if err == errno.ECONNREFUSED else errno.errorcode[err]
        if events[0][1] & (select.POLLOUT if tcp else select.POLLIN):
            return "reply"
    return "silence"


def client(dst, l4_port, sport):
    s = socket.socket(family(dst), socket.SOCK_DGRAM)
    s.bind(("", int(sport)))
    s.connect((dst, int(l4_port)))
    s.settimeout(3)
    s.send(b"hello")
    s.recv(100)
    return "reply"


def server(addr, l4_port):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    s.bind((addr, int(l4_port)))
    print("listening", flush=True)
    data, peer = s.recvfrom(2048)
    s.connect(peer)
    s.send(data)
    time.sleep(0.5)
    s.send(data)
    s.settimeout(2)
    try:
        s.recv(100)
    except ConnectionRefusedError:
        return "refused"
    except socket.timeout:
        return "silence"
    return "data"


def csum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return total ^ 0xffff


def echo(dst, ident):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    body = b"same id, different hosts"
    head = struct.pack("!BBHHH", 8, 0, 0, int(ident), 1)
    head = struct.pack("!BBHHH", 8, 0, csum(head + body), int(ident), 1)
    s.settimeout(3)
    for _ in range(5):
        s.sendto(head + body, (dst, 0))
        end = time.time() + 0.6
        while time.time() < end:
            s.settimeout(max(0.01, end - time.time()))
            try:
                ip = s.recv(2048)
            except socket.timeout:
                break
            icmp = ip[(ip[0] & 15) * 4:]
            if icmp[0] == 0 and struct.unpack("!H", icmp[4:6])[0] == int(ident):
                return "reply" if icmp[8:] == body else "another's reply"
    return "silence"


def describe(ip):
    ihl = (ip[0] & 15) * 4
    total = struct.unpack("!H", ip[2:4])[0]
    icmp = ip[ihl:total]
    out = {"src": socket.inet_ntoa(ip[12:16]), "dst": socket.inet_ntoa(ip[16:20]), "ttl": ip[8],
           "type": icmp[0], "code": icmp[1], "mtu": struct.unpack("!H", icmp[6:8])[0],
           "ip_ok": csum(ip[:ihl]) == 0, "icmp_ok": csum(icmp) == 0}
    if icmp[0] in (3, 5, 11, 12) and len(icmp) >= 36:
        q = icmp[8:]
        qhl = (q[0] & 15) * 4
        sport, dport = struct.unpack("!HH", q[qhl:qhl + 4])
        out["quoted"] = "%s:%d %s:%d" % (socket.inet_ntoa(q[12:16]), sport,
                                         socket.inet_ntoa(q[16:20]), dport)
        out["quoted_ip_ok"] = csum(q[:qhl]) == 0
        qlen = struct.unpack("!H", q[2:4])[0]
        if q[9] == 17 and qlen <= len(q):  # whole: its checksum can be looked at
            l4 = q[qhl:qlen]
            pseudo = q[12:20] + struct.pack("!BBH", 0, 17, len(l4))
            field = struct.unpack("!H", l4[6:8])[0]
            # as on the wire, or as a veth has it whose sender left it to an offload
            out["quoted_l4_ok"] = field in (0, csum(pseudo) ^ 0xffff) or csum(pseudo + l4) == 0
    return out


def watch(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.bind((interface, 0x0800))
    print("listening", flush=True)
    while True:
        frame, addr = s.recvfrom(65535)
        if addr[2] != 4 and frame[23] == 1:  # not what leaves
            print(json.dumps(describe(frame[14:])), flush=True)


def crafted(kind, a):
    """KEYs: dmac smac src dst (of the error), qsrc qdst qsport qdport (of what it quotes), proto."""
    from scapy.all import ICMP, IP, UDP, TCP, Ether, Raw, raw
    typ, code = {"unreachable": (3, 1), "too_big": (3, 4), "expired": (11, 0), "parameter": (12, 0),
                 "redirect": (5, 1), "quench": (4, 0), "bad_csum": (3, 1),
                 "bad_quoted": (3, 1), "cut": (3, 1), "options": (3, 1),
                 "extensions": (11, 0)}[kind]
    l4 = (TCP if a.get("proto") == "tcp" else UDP)(sport=int(a["qsport"]), dport=int(a["qdport"]))
    options = [b"\x94\x04\x00\x00"] if kind == "options" else []
    quoted = IP(src=a["qsrc"], dst=a["qdst"], ttl=1, id=77, flags="DF",
                options=[__import__("scapy.all").all.IPOption(o) for o in options])
    inner = bytearray(raw(quoted / l4 / Raw(b"q" * 20)))
    if kind == "bad_quoted":
        inner[10] ^= 0x11
    if kind == "cut":
        inner = inner[:28]
    rest = struct.pack("!HH", 0, 1300 if kind == "too_big" else 0)
    if kind == "extensions":  # RFC 4884: the original in 128 bytes, then a structure
        inner = inner.ljust(128, b"\0")
        obj = struct.pack("!HBB", 8, 1, 1) + b"\x00\x01\x01\x01"
        ext = struct.pack("!BBH", 0x20, 0, 0) + obj
        ext = struct.pack("!BBH", 0x20, 0, csum(ext)) + obj
        inner += ext
        rest = struct.pack("!BBH", 0, 32, 0)
    icmp = struct.pack("!BBH", typ, code, 0) + rest + bytes(inner)
    total = csum(icmp) ^ (0x0101 if kind == "bad_csum" else 0)
    icmp = icmp[:2] + struct.pack("!H", total) + icmp[4:]
    return raw(Ether(src=a["smac"], dst=a["dmac"]) / IP(src=a["src"], dst=a["dst"], proto=1) /
               Raw(icmp))


def send(interface, kind, *pairs):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((interface, 0))
    s.send(crafted(kind, dict(p.split("=", 1) for p in pairs)))


if __name__ == "__main__":
    verbs = {f.__name__: f for f in (ask, client, server, echo, watch, send)}
    if len(sys.argv) < 3 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    said = verbs[sys.argv[1]](*sys.argv[2:])
    if said is not None:
        print(said)
