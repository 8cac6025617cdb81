#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""frag.py - UDP datagrams in fragments that this program cuts and orders itself.

  frag.py answer ADDR PORT [spread]     echo; the first byte of a datagram says in which order the
                                        fragments of the echo leave (index into ORDERS)
                                        or `kernel`: as the kernel does it; addresses of any family
  frag.py ask SRC DST PORT ORDER SIZE...   a datagram of each size in that order; the echo, in the
                                        same order, must be the same bytes. Prints how many were
  frag.py interleave SRC DST PORT CNT   CNT datagrams whose fragments take turns, all must come back
  frag.py halves SRC DST CNT RATE [ID]  first fragments and nothing more
  frag.py one SRC DST KIND CNT          CNT times one kind of bad fragment (see bad())

Raw sockets with IP_HDRINCL: the kernel sends them as they are.
"""
import os
import random
import socket
import struct
import sys
import time

MTU = 1500
ORDERS = ["forward", "reverse", "random", "odd-even", "doubled"]


def csum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s >> 16) + (s & 0xffff)
    return ~s & 0xffff


def ip(src, dst, ident, off, more, payload, proto=17, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident,
                       off // 8 | (0x2000 if more else 0), ttl, proto, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack("!H", csum(head)) + head[12:] + payload


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def packed(addr):
    return socket.inet_pton(family(addr), addr)


def ip6(src, dst, ident, off, more, payload, proto=17):
    return struct.pack("!IHBB", 0x60000000, 8 + len(payload), 44, 64) + packed(src) + \
        packed(dst) + struct.pack("!BBHI", proto, 0, off | more, ident) + payload


def udp(src, dst, sport, dport, payload):
    length = 8 + len(payload)
    pseudo = packed(src) + packed(dst) + struct.pack("!HH", 17, length)
    head = struct.pack("!HHH", sport, dport, length)
    return head + struct.pack("!H", csum(pseudo + head + b"\0\0" + payload) or 0xffff) + payload


def fragments(src, dst, sport, dport, payload, mtu=MTU):
    whole, ident = udp(src, dst, sport, dport, payload), random.randrange(1, 65536)
    six = family(src) == socket.AF_INET6
    room = (mtu - (48 if six else 20)) & ~7
    return [(ip6 if six else ip)(src, dst, ident, off, off + room < len(whole), whole[off:off + room])
            for off in range(0, len(whole), room)]


def ordered(parts, order):
    parts = list(parts)
    if order == "reverse":
        parts.reverse()
    elif order == "random":
        random.shuffle(parts)
    elif order == "odd-even":
        parts = parts[1::2] + parts[::2]
    elif order == "doubled":
        # the duplicate of the last one to come would begin a datagram of its own
        parts = [p for part in parts[:-1] for p in (part, part)] + parts[-1:]
    return parts


def raw(addr="0.0.0.0"):
    s = socket.socket(family(addr), socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return s


SPREAD = []


def send(out, dst, parts, spread=False):
    """spread: a connected socket has a hash of its own, and by it a queue of the interface."""
    if spread and not SPREAD:
        SPREAD.extend(raw(dst) for _ in range(16))
        for s in SPREAD:
            s.connect((dst, 0))
    for i, p in enumerate(parts):
        if spread:
            SPREAD[i % len(SPREAD)].send(p)
        else:
            out.sendto(p, (dst, 0))


def bound(addr, port=0):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((addr, port))
    return s


def answer(addr, port, spread=""):
    s, out = bound(addr, int(port)), raw(addr)
    print("listening", flush=True)
    while True:
        data, peer = s.recvfrom(65536)
        if data[0] == len(ORDERS):  # by the kernel
            s.sendto(data, peer)
            continue
        send(out, peer[0], ordered(fragments(addr, peer[0], int(port), peer[1], data),
                                   ORDERS[data[0]]), spread)


def ask(src, dst, port, order, *sizes):
    s, out, good = bound(src), raw(src), 0
    s.settimeout(3)
    for size in map(int, sizes):
        data = bytes([(ORDERS + ["kernel"]).index(order)]) + os.urandom(size - 1)
        if order == "kernel":
            s.sendto(data, (dst, int(port)))
        else:
            parts = fragments(src, dst, s.getsockname()[1], int(port), data)
            send(out, dst, ordered(parts, order))
        try:
            back = s.recv(65536)
        except OSError as e:
            sys.exit("%d bytes, %s: %s" % (size, order, e))
        if back != data:
            sys.exit("%d bytes, %s: not the same bytes came back" % (size, order))
        good += 1
    print(good)


def interleave(src, dst, port, cnt):
    s, out, parts, want = bound(src), raw(src), [], set()
    s.settimeout(3)
    for i in range(int(cnt)):
        data = bytes([0]) + os.urandom(4000)
        want.add(data)
        parts.append(fragments(src, dst, s.getsockname()[1], int(port), data))
    for turn in zip(*parts):
        send(out, dst, turn)
    while want:
        try:
            want.remove(s.recv(65536))
        except OSError as e:
            sys.exit("%d of %s missing: %s" % (len(want), cnt, e))
    print(cnt)


def halves(src, dst, cnt, rate, ident=0):
    out, start = raw(src), time.time()
    for i in range(int(cnt)):
        make = ip6 if family(src) == socket.AF_INET6 else ip
        out.sendto(make(src, dst, (int(ident) + i) & 0xffff, 0, True, bytes(1448)), (dst, 0))
        ahead = i / float(rate) - (time.time() - start)
        if ahead > 0.005:
            time.sleep(ahead)


def bad(src, dst, kind, n):
    # a datagram that is refused stays so for 30 s
    ident = (csum(kind.encode()) + n) & 0xffff
    if kind == "overlap":  # the second one, and the first with it
        return [ip(src, dst, ident, 0, True, bytes(800)), ip(src, dst, ident, 792, True, bytes(800))]
    if kind == "teardrop":
        return [ip(src, dst, ident, 0, True, bytes(40)), ip(src, dst, ident, 24, False, bytes(4))]
    if kind == "duplicate":
        return [ip(src, dst, ident, 8, True, bytes(800))] * 2
    if kind == "tiny":
        return [ip(src, dst, ident, 0, True, bytes(8), proto=6)]
    if kind == "offset1":
        return [ip(src, dst, ident, 8, True, bytes(64), proto=6)]
    if kind == "odd":
        return [ip(src, dst, ident, 0, True, bytes(100))]
    if kind == "death":
        return [ip(src, dst, ident, 65528, False, bytes(1000))]
    sys.exit("what is `%s`?" % kind)


def one(src, dst, kind, cnt):
    out = raw()
    for n in range(int(cnt)):
        send(out, dst, bad(src, dst, kind, n))


if __name__ == "__main__":
    random.seed()
    {"answer": answer, "ask": ask, "interleave": interleave, "halves": halves,
     "one": one}[sys.argv[1]](*sys.argv[2:])
