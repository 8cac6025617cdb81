#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How long the first packet after idleness takes.

first_packet.py CONTAINER_NS L4PORT TRIES IDLE_S ADDR[=NS:DEV]...

Each try: IDLE_S seconds of silence, then the neighbours of each NS:DEV are flushed, then one datagram
to each ADDR at once, from fresh sockets in the container to echo servers and back, timed there. One
JSON line for each ADDR: microseconds, and how many of a hundred took less than 5 ms."""
import ctypes
import json
import os
import select
import socket
import subprocess
import sys
import time

LOST_S = 4
container, port, tries, idle_s = sys.argv[1:5]
ways = [(w + "=").split("=")[:2] for w in sys.argv[5:]]
libc = ctypes.CDLL(None, use_errno=True)


def ask(addr):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"first packet", (addr, int(port)))
    return s


def one():
    """Microseconds by way; 4,000,000 for one that is lost."""
    time.sleep(float(idle_s))
    for _, flush in ways:
        if flush:
            netns, dev = flush.split(":")
            subprocess.run(["ip", "-n", netns, "neigh", "flush", "dev", dev], check=True)
    start, asked = {}, {}
    for n, (addr, _) in enumerate(ways):
        begin = time.perf_counter()
        asked[ask(addr)] = n
        start[n] = begin
    took = [LOST_S * 1000000] * len(ways)
    while asked:
        left = min(start.values()) + LOST_S - time.perf_counter()
        ready = select.select(list(asked), [], [], max(0, left))[0]
        if not ready:
            break
        for s in ready:
            n = asked.pop(s)
            took[n] = round((time.perf_counter() - start[n]) * 1e6)
            s.close()
    for s in asked:
        s.close()
    return took


fd = os.open("/run/netns/" + container, os.O_RDONLY)
if libc.setns(fd, 0x40000000):
    sys.exit("setns: " + os.strerror(ctypes.get_errno()))
for took in zip(*[one() for _ in range(int(tries))]):
    print(json.dumps({"median": sorted(took)[len(took) // 2], "worst": max(took),
                      "fast": 100 * sum(t < 5000 for t in took) // len(took), "all": took}))
