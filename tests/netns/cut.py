#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""cut.py - superpackets and too big packets, and what becomes of them on the wire.

  cut.py send INTERFACE MAC GATEWAY-MAC SRC DST SEED   random ones, the same for the same SEED
  cut.py watch INTERFACE DST FILE                      every frame for DST, in hex, until SIGTERM
  cut.py answer ADDRESS L4PORT       answers `n` with n bytes, without DF
  cut.py ask ADDRESS L4PORT N...     asks for them and looks at every byte
  cut.py diff FILE FILE                                are they the same frames in the same order?

Superpackets are sent as a container's kernel would hand them over: AF_PACKET with a virtio-net
header. TCP ones have FIN, PSH, CWR and options at random; none has DF.
"""
import random
import signal
import socket
import struct
import sys
import time

PACKET_VNET_HDR, SOL_PACKET = 15, 263
NEEDS_CSUM, GSO_TCPV4, GSO_ECN, GSO_UDP_L4 = 1, 1, 0x80, 5
SYN, ACK, PSH, FIN, CWR = 2, 16, 8, 1, 0x80


def ones_sum(data):
    if len(data) & 1:
        data += b"\0"
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s


def ip_header(src, dst, proto, length, ident):
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, ident, 0, 64, proto, 0,
                    socket.inet_aton(src), socket.inet_aton(dst))
    return h[:10] + struct.pack("!H", ones_sum(h) ^ 0xffff) + h[12:]


def pseudo(src, dst, proto, length):
    return ones_sum(socket.inet_aton(src) + socket.inet_aton(dst) +
                    struct.pack("!HH", proto, length))


def tcp(a, sport, seq, flags, options, payload):
    n = 20 + len(options) + len(payload)
    head = struct.pack("!HHIIBBHHH", sport, 80, seq, 1, (5 + len(options) // 4) << 4, flags, 500,
                       pseudo(a["src"], a["dst"], 6, n), 0)
    return 6, head + options + payload


def udp(a, sport, payload):
    n = 8 + len(payload)
    return 17, struct.pack("!HHHH", sport, 7, n, pseudo(a["src"], a["dst"], 17, n)) + payload


def frame(a, proto_l4, gso_type, gso_size, ident):
    proto, l4 = proto_l4
    vnet = struct.pack("<BBHHHH", NEEDS_CSUM, gso_type, 34, gso_size, 34, 16 if proto == 6 else 6)
    eth = bytes.fromhex((a["gw"] + a["mac"]).replace(":", "")) + b"\x08\x00"
    return vnet + eth + ip_header(a["src"], a["dst"], proto, len(l4), ident) + l4


def frames(a):
    """(frame, what it is); a SYN opens each TCP flow."""
    r = random.Random(a["seed"])
    for n in range(60):
        sport, size = 10000 + n, r.choice([536, 700, 1000, 1200, 1400, 1448])
        payload = r.randbytes(r.randint(1, min(60000, size * 50)))
        ident = r.randint(0, 65535)
        if n % 3 == 0:
            options = b"\1" * 4 * r.randint(0, 10)
            size = min(size, 1460 - len(options))  # must fit the sender's own MTU
            flags = ACK | r.choice([0, PSH, FIN, PSH | FIN, CWR, CWR | PSH])
            seq = r.randint(0, 0xffffffff)
            yield frame(a, tcp(a, sport, seq - 1 & 0xffffffff, SYN, b"", b""), 0, 0, ident), "syn"
            kind = GSO_TCPV4 | (GSO_ECN if flags & CWR else 0)
            is_super = len(payload) > size
            yield frame(a, tcp(a, sport, seq, flags, options, payload if is_super else
                               payload[:size]), kind if is_super else 0,
                        size if is_super else 0, ident), "tcp"
        elif n % 3 == 1:
            is_super = len(payload) > size
            yield frame(a, udp(a, sport, payload), GSO_UDP_L4 if is_super else 0,
                        size if is_super else 0, ident), "udp"
        else:
            yield frame(a, udp(a, sport, payload[:r.randint(1, 1472)]), 0, 0, ident), "plain"


def send(dev, mac, gw, src, dst, seed):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.bind((dev, 0x0800))
    cnt = {}
    for data, what in frames(dict(mac=mac, gw=gw, src=src, dst=dst, seed=int(seed))):
        s.send(data)
        cnt[what] = cnt.get(what, 0) + 1
        time.sleep(0.003)
    print(cnt)


def watch(dev, dst, path):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.bind((dev, 0x0800))
    want = socket.inet_aton(dst)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("listening", flush=True)
    with open(path, "w", buffering=1) as out:
        while True:
            data, addr = s.recvfrom(70000)
            if addr[2] != 4 and data[30:34] == want:
                out.write(data.hex() + "\n")


def pattern(n):
    return random.Random(n).randbytes(n)


def answer(addr, l4_port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, 10, 4)  # IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE
    s.bind((addr, int(l4_port)))
    while True:
        data, peer = s.recvfrom(100)
        s.sendto(pattern(int(data)), peer)


def ask(addr, l4_port, *sizes):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.connect((addr, int(l4_port)))
    for n in sizes:
        s.send(n.encode())
        if s.recv(70000) != pattern(int(n)):
            sys.exit("an answer of %s bytes is not what was sent" % n)


def where(a, b):
    """A word on the first difference of two frames."""
    n = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
    return "byte %d of %d/%d (IP id %s/%s, flags and offset %s/%s)" % (
        n, len(a), len(b), a[18:20].hex(), b[18:20].hex(), a[20:22].hex(), b[20:22].hex())


def diff(one, two):
    a, b = ([bytes.fromhex(x) for x in open(p).read().split()] for p in (one, two))
    for n, (x, y) in enumerate(zip(a, b)):
        if x != y:
            sys.exit("frame %d differs at %s" % (n, where(x, y)))
    if len(a) != len(b) or not a:
        sys.exit("%d and %d frames" % (len(a), len(b)))
    parts = sum((x[20] & 0x3f) != 0 or x[21] != 0 for x in a)
    print("%d frames, %d of them fragments" % (len(a), parts))


if __name__ == "__main__":
    {"send": send, "watch": watch, "diff": diff, "answer": answer, "ask": ask}[sys.argv[1]](*sys.argv[2:])
