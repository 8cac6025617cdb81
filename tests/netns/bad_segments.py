#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bad_segments.py - one TCP connection by raw frames, in bursts of segments of which some have a
wrong checksum.

  bad_segments.py INTERFACE ADDRESS L4PORT ROUNDS

Answers the first SYN to ADDRESS:L4PORT. Each round sends BURST segments back to back, every tenth
one broken, waits, and sends the broken ones again as they should be. Prints the sha256 of the
stream and how many were broken, as JSON, and ends the connection.
"""
import hashlib
import json
import random
import socket
import struct
import sys
import time

BURST = 40  # 40 KB: inside the window that a receiver has at first
SIZE = 1000


def csum(data):
    if len(data) & 1:
        data += b"\0"
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return 0xffff - s


class Peer:
    """The far end, as its SYN showed it."""

    def __init__(self, frame):
        self.eth = frame[6:12] + frame[0:6] + b"\x08\x00"
        self.src, self.dst = frame[30:34], frame[26:30]
        self.sport, self.dport = struct.unpack("!HH", frame[36:38] + frame[34:36])
        self.ack = struct.unpack("!I", frame[38:42])[0] + 1 & 0xffffffff
        self.ip_id = 100

    def frame(self, seq, flags, payload=b"", options=b"", wrong=0):
        tcp = struct.pack("!HHIIBBHHH", self.sport, self.dport, seq, self.ack,
                          (20 + len(options)) << 2, flags, 8192, 0, 0) + options + payload
        pseudo = self.src + self.dst + struct.pack("!HH", 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", csum(pseudo + tcp) ^ wrong) + tcp[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), self.ip_id & 0xffff, 0x4000, 64, 6,
                         0) + self.src + self.dst
        self.ip_id += 1
        return self.eth + ip[:10] + struct.pack("!H", csum(ip)) + ip[12:] + tcp


def wait_for(s, l4_port, flag):
    while True:
        f = s.recv(2048)
        if (len(f) >= 54 and f[12:14] == b"\x08\x00" and f[23] == 6 and
                f[36:38] == struct.pack("!H", l4_port) and f[47] & flag):
            return f


def main(interface, address, l4_port, rounds):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((interface, 0))
    s.settimeout(20)
    print("listening", flush=True)
    peer = Peer(wait_for(s, int(l4_port), 2))
    assert peer.src == socket.inet_aton(address)
    s.send(peer.frame(999, 0x12, options=struct.pack("!BBH", 2, 4, 1460)))
    wait_for(s, int(l4_port), 0x10)
    rng, sha, seq, broken = random.Random(1), hashlib.sha256(), 1000, 0
    for _ in range(int(rounds)):
        frames, again = [], []
        for i in range(BURST):
            data = rng.randbytes(SIZE)
            sha.update(data)
            wrong = 0x0101 if i % 10 == 5 else 0
            frames.append(peer.frame(seq, 0x10, data, wrong=wrong))
            if wrong:
                again.append((seq, data))
            seq += SIZE
        for f in frames:
            s.send(f)
        broken += len(again)
        time.sleep(0.1)
        for at, data in again:
            s.send(peer.frame(at, 0x10, data))
        time.sleep(0.05)
    s.send(peer.frame(seq, 0x11))
    print(json.dumps({"sha": sha.hexdigest(), "broken": broken, "bytes": seq - 1000}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
