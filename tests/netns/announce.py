#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# announce.py DEVICE=ADDRESS...: gratuitous ARP, again for two seconds, since a neighbour that was
# heard of within the last second (locktime) is not believed.
import socket
import sys
import time

ETH_P_ARP = 0x0806


def announcement(mac, addr):
    ip = socket.inet_aton(addr)
    arp = b"\x00\x01\x08\x00\x06\x04\x00\x01" + mac + ip + b"\xff" * 6 + ip
    return b"\xff" * 6 + mac + ETH_P_ARP.to_bytes(2, "big") + arp


def main():
    sent = []
    for word in sys.argv[1:]:
        dev, addr = word.split("=")
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        sock.bind((dev, ETH_P_ARP))
        sent.append((sock, announcement(sock.getsockname()[4], addr)))
    for _ in range(20):
        for sock, frame in sent:
            sock.send(frame)
        time.sleep(0.1)


main()
