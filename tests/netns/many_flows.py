#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""many_flows.py CNT PEERS FILE - a file of flows (fastpath/state/flow_record.h) of the scenarios'
two containers, half TCP and half UDP, to so many peers: for t_crash_many.sh and
tests/bench/adopt_time.sh."""
import ipaddress
import struct
import sys
import time
import zlib

PORTS = ((b"vethc1", 0), (b"vethc2", 0), (b"eth0", 1))
HOSTS = ("10.1.0.2", "10.1.0.3")
EXT = "198.51.100.2"
FIRST, RANGE = 20000, 10000  # the rule's L4 ports
EXT_FLAG, MAPPED, REPLIED = 0x04, 0x08, 0x01
MASQUERADE = 4
RECORD = struct.Struct("<16s16s16s16sHHHHHHBBBBBBBB6sHH2xIIIIHH4xQQQQIIIIQ")


def addr(text):
    return b"\0" * 10 + b"\xff\xff" + ipaddress.ip_address(text).packed


def swap(port):
    return (port & 0xff) << 8 | port >> 8


def main():
    cnt, peers, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    assert RECORD.size == 176
    body = bytearray()
    for name, role in PORTS:
        body += struct.pack("<16sIBBBB", name, 0, role, 0, 0, 0)
    hosts, ext = [addr(h) for h in HOSTS], addr(EXT)
    base = int(ipaddress.ip_address("203.0.64.0"))
    dsts = [addr(str(ipaddress.ip_address(base + i))) for i in range(peers)]
    for i in range(cnt):
        port, peer = FIRST + i % RANGE, i // RANGE
        tcp, host = port >> 1 & 1, port & 1  # an L4 port is one host's, so its mapping is, too
        dst, dport = dsts[(peer + port * 7) % peers], 1024 + peer // peers * 8 + peer % 8
        body += RECORD.pack(hosts[host], dst, ext, dst, swap(port), swap(dport), swap(port),
                            swap(dport), host, 2, 2, 6 if tcp else 17, MASQUERADE, 0,
                            EXT_FLAG | REPLIED | (0 if tcp else MAPPED), 3 if tcp else 0,
                            0x77 if tcp else 0, 0, bytes((2, 0, 0, 0, 0, 1 + host)), 1000, 1000,
                            5000, 6000, 6000, 5000, 0, 0, 9, 8, 900, 800, 60, 1, 200, 0, 0)
    boot = bytes.fromhex(open("/proc/sys/kernel/random/boot_id").read().strip().replace("-", ""))
    boot_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    head = [b"xegflow", 1, 64, 24, 176, len(PORTS), cnt, int(time.time()), boot, 0, boot_s]
    pack = struct.Struct("<8sIIIIIIQ16sII").pack
    head[9] = zlib.crc32(body, zlib.crc32(pack(*head)))
    with open(path, "wb") as f:
        f.write(pack(*head))
        f.write(body)


main()
