#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bulk.py - superpackets that programs make, and whether all of it arrives, in order.

  bulk.py udp_sink ADDRESS L4PORT [gro]      takes numbered datagrams until none comes for a second
  bulk.py udp_send ADDRESS L4PORT ROUNDS     UDP_SEGMENT sends of all sizes among single datagrams
  bulk.py tcp_send ADDRESS L4PORT SECONDS    writes of 100 bytes among ones of 60000
  bulk.py tcp_sink ADDRESS L4PORT            reads one connection, prints its sha256
  bulk.py watch INTERFACE L4PORT [6]         TCP toward it, until SIGTERM: JSON of what was seen

An address says which family; watch looks at IPv4 or at IPv6.
"""
import hashlib
import json
import random
import signal
import socket
import struct
import sys
import time

UDP_SEGMENT, UDP_GRO = 103, 104


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def body(seq, n):
    return struct.pack("!II", seq, n) + bytes((seq + i) & 255 for i in range(n - 8))


def udp_sink(addr, l4_port, *gro):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    if gro:
        s.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    s.bind((addr, int(l4_port)))
    print("listening", flush=True)
    r = dict(datagrams=0, wrong=0, disorder=0, lost=0, joined=0)
    want = 0
    while True:
        try:
            data, cmsg, _, _ = s.recvmsg(70000, 100)
        except socket.timeout:
            break
        s.settimeout(3)
        size = struct.unpack("i", cmsg[0][2])[0] if cmsg else len(data)
        r["joined"] += len(data) > size
        for part in (data[i:i + size] for i in range(0, len(data), size)):
            seq, n = struct.unpack("!II", part[:8])
            r["datagrams"] += 1
            r["wrong"] += n != len(part) or part != body(seq, n)
            r["disorder"] += seq < want
            r["lost"] += max(0, seq - want)
            want = max(want, seq + 1)
    print(json.dumps(r))


def udp_send(addr, l4_port, rounds):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    full = 1472
    if family(addr) == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
    else:
        full = 1452  # never longer: only its sender fragments an IPv6 packet
    s.connect((addr, int(l4_port)))
    r = random.Random(7)
    s.send(body(0, 8))
    time.sleep(0.3)  # the flow is known now
    seq = 1
    for _ in range(int(rounds)):
        size, cnt = r.choice([200, 777, 1200, 1400, full]), r.randint(2, 40)
        last = r.randint(8, size)
        parts = [body(seq + i, size if i < cnt - 1 else last) for i in range(cnt)]
        s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        s.send(b"".join(parts))
        seq += cnt
        s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
        for n in (9, 1000):
            s.send(body(seq, n))
            seq += 1
        time.sleep(0.004)
    print(seq)


def tcp_send(addr, l4_port, seconds):
    s = socket.create_connection((addr, int(l4_port)))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    h, end, n = hashlib.sha256(), time.time() + float(seconds), 0
    while time.time() < end:
        for size in (100, 60000, 1, 100):
            data = body(n, max(size, 8))[:size]
            n += 1
            s.sendall(data)
            h.update(data)
            time.sleep(0.0005)
    s.close()
    print(h.hexdigest())


def tcp_sink(addr, l4_port):
    s = socket.create_server((addr, int(l4_port)), family=family(addr))
    print("listening", flush=True)
    c, h = s.accept()[0], hashlib.sha256()
    while data := c.recv(1 << 20):
        h.update(data)
    print(h.hexdigest())


def watch(dev, l4_port, *six):
    proto = 0x86dd if six else 0x0800
    nexthdr, l4 = (20, 54) if six else (23, 34)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(proto))
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    s.bind((dev, proto))
    r = dict(packets=0, small=0, big=0, disorder=0, resent=0, sizes={})
    high = top = None

    def done(*_):
        top = sorted(r["sizes"].items(), key=lambda x: -x[1])
        r["largest"] = max(r["sizes"], default=0)
        r["usual"] = top[0][0] if top else 0
        del r["sizes"]
        print(json.dumps(r), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, done)
    print("listening", flush=True)
    while True:
        data, addr = s.recvfrom(100)
        if addr[2] == 4 or data[nexthdr] != 6 or \
                data[l4 + 2:l4 + 4] != struct.pack("!H", int(l4_port)):
            continue
        l4_len = struct.unpack("!H", data[18:20] if six else data[16:18])[0] - (0 if six else 20)
        seq, size = struct.unpack("!I", data[l4 + 4:l4 + 8])[0], l4_len - (data[l4 + 12] >> 4) * 4
        if not size:
            continue
        r["packets"] += 1
        r["small"] += size <= 100
        r["big"] += size > 1460
        r["sizes"][size] = r["sizes"].get(size, 0) + 1
        # The sender counts IP ids up, and a segment sent again has a new one. IPv6 has none: there
        # only `resent` says, and a segment sent again counts there, too.
        if not six:
            ident = struct.unpack("!H", data[18:20])[0]
            r["disorder"] += high is not None and (ident - high) & 0x8000 != 0
            high = ident
        r["resent"] += top is not None and (seq - top) & 0x80000000 != 0
        top = (seq + size) & 0xffffffff


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
