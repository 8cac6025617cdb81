#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""tuples.py serve ADDR PORT         answers each datagram until SIGTERM; prints each flow once, back to its
                                 sender, as live_gen reads it: `src dst sport dport`
   tuples.py open ADDR PORT FIRST N  sends from L4 ports FIRST... until each was answered; prints N
Run in their namespaces: so flows come to be whose translation is known from outside."""
import select
import socket
import sys
import time

PATIENCE_S = 5
AGAIN_S = 0.2  # what was not answered by then is sent once more


def serve(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    print("READY", file=sys.stderr, flush=True)
    seen = set()
    while True:
        payload, peer = sock.recvfrom(2048)
        if peer not in seen:
            seen.add(peer)
            print(address, peer[0], port, peer[1], flush=True)
        sock.sendto(payload, peer)


def open_flows(address, port, first, count):
    waiting = {}
    for i in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", first + i))
        sock.connect((address, port))
        waiting[sock.fileno()] = sock
    end = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < end:
        for sock in waiting.values():
            sock.send(b"hello")
        again = time.monotonic() + AGAIN_S
        while waiting and time.monotonic() < again:
            for fd in select.select(list(waiting), [], [], AGAIN_S)[0]:
                waiting.pop(fd).recv(2048)
    print(count - len(waiting))
    return 1 if waiting else 0


if __name__ == "__main__":
    WORDS = sys.argv[2:]
    sys.exit({"serve": serve, "open": open_flows}[sys.argv[1]](WORDS[0], *map(int, WORDS[1:])))
