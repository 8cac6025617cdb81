#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How long the first packet after idleness takes.

first_packet.py CONTAINER_NS ADDR L4PORT TRIES IDLE_S [NS:DEV...]

Each try: IDLE_S seconds of silence, then the neighbours of each NS:DEV are flushed, then one datagram
from a fresh socket in the container to an echo server and back, timed there. One JSON line:
microseconds, and how many of a hundred took less than 5 ms."""
import ctypes
import json
import os
import socket
import subprocess
import sys
import time

container, addr, port, tries, idle_s = sys.argv[1:6]
flushes = [f.split(":") for f in sys.argv[6:]]
libc = ctypes.CDLL(None, use_errno=True)


def one():
    time.sleep(float(idle_s))
    for netns, dev in flushes:
        subprocess.run(["ip", "-n", netns, "neigh", "flush", "dev", dev], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(4)
        start = time.perf_counter()
        s.sendto(b"first packet", (addr, int(port)))
        try:
            s.recv(100)
        except socket.timeout:
            return 4000000
        return round((time.perf_counter() - start) * 1e6)


fd = os.open("/run/netns/" + container, os.O_RDONLY)
if libc.setns(fd, 0x40000000):
    sys.exit("setns: " + os.strerror(ctypes.get_errno()))
took = [one() for _ in range(int(tries))]
print(json.dumps({"median": sorted(took)[len(took) // 2], "worst": max(took),
                  "fast": 100 * sum(t < 5000 for t in took) // len(took), "all": took}))
