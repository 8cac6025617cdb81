#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""judge.py - reads what the outside judge caught, and adds up what the service says of itself.

  judge.py wire PCAP --inside PREFIX,... --ext A,B --allow-dst A,B --allow-rst PORT,... [--until EPOCH]
             [--rst-until EPOCH] [--each]
      JSON: packets with a private source, resets by who sent them; --each: `each`, the worst kinds
      of them one by one: [EPOCH, kind, source L4 port, destination L4 port, words]
  judge.py look INTERFACE tcp|udp L4PORT
      looks at each arriving packet until SIGTERM, then JSON: checksums, TTLs, sources
  judge.py conserve [--wait SECONDS] (FILE | -- COMMAND...)
      the two conservation equations of `xegressctl stats --json`; exit 1 where one fails
  judge.py moved BEFORE AFTER
      the reasons of two `xegressctl drops --json` that moved, `reason=n` each
  judge.py notify SOCKET SECONDS
      waits for READY=1 of sd_notify

Nothing here imports code of the product.
"""
import argparse
import collections
import ipaddress
import json
import signal
import socket
import struct
import subprocess
import sys
import time

HOST_TTL = 64  # Linux' default: what the host sends itself arrives with this, one hop away


# ---- packets

def fold(total):
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def ones_sum(data, total=0):
    if len(data) % 2:
        data += b"\0"
    return fold(total + sum(struct.unpack("!%dH" % (len(data) // 2), data)))


EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options


class Ip:
    """An IP packet of either family in an Ethernet frame; None from parse() for anything else."""

    @classmethod
    def parse(cls, frame):
        p = cls()
        p.ip, p.offset = frame[14:], 0
        p.is6 = frame[12:14] == b"\x86\xdd"
        if len(frame) < (54 if p.is6 else 34) or p.ip[0] >> 4 != (6 if p.is6 else 4):
            return None
        if p.is6:
            p.parse6()
        elif frame[12:14] == b"\x08\x00":
            p.parse4()
        else:
            return None
        p.sport = p.dport = 0
        if p.proto in (6, 17) and p.offset == 0 and len(p.l4) >= 8:
            p.sport, p.dport = struct.unpack("!HH", p.l4[:4])
        return p

    def parse4(self):
        self.head_len = (self.ip[0] & 15) * 4
        self.ttl, self.proto = self.ip[8], self.ip[9]
        self.addresses = self.ip[12:20]
        self.src, self.dst = (socket.inet_ntoa(self.ip[n:n + 4]) for n in (12, 16))
        self.offset = struct.unpack("!H", self.ip[6:8])[0] & 0x1fff
        # A total length of 0 is a superpacket's beyond 64 KiB.
        total = struct.unpack("!H", self.ip[2:4])[0] or len(self.ip)
        self.l4 = self.ip[self.head_len:total]

    def parse6(self):
        self.ttl, self.proto, self.head_len = self.ip[7], self.ip[6], 40
        self.addresses = self.ip[8:40]
        self.src, self.dst = (socket.inet_ntop(socket.AF_INET6, self.ip[n:n + 16])
                              for n in (8, 24))
        total = 40 + (struct.unpack("!H", self.ip[4:6])[0] or len(self.ip) - 40)
        while self.proto in EXTENSIONS + (44,) and self.head_len + 8 <= len(self.ip):
            hdr = self.ip[self.head_len:self.head_len + 8]
            if self.proto == 44:
                self.offset = struct.unpack("!H", hdr[2:4])[0] >> 3
            self.head_len += 8 + (0 if self.proto == 44 else hdr[1] * 8)
            self.proto = hdr[0]
        self.l4 = self.ip[self.head_len:total]

    def head_is_right(self):
        return self.is6 or ones_sum(self.ip[:self.head_len]) == 0xffff

    def is_reset(self):
        return self.proto == 6 and self.offset == 0 and len(self.l4) >= 14 and self.l4[13] & 4

    def __str__(self):
        return "%s:%d > %s:%d proto %d ttl %d" % (self.src, self.sport, self.dst, self.dport,
                                                  self.proto, self.ttl)


def read_pcap(path):
    with open(path, "rb") as f:
        head = f.read(24)
        if len(head) < 24:
            return
        order = "<" if head[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        while True:
            record = f.read(16)
            if len(record) < 16:
                return
            sec, usec, caught, _ = struct.unpack(order + "IIII", record)
            yield sec + usec / 1e6, f.read(caught)


def cmd_wire(args):
    inside = [ipaddress.ip_network(n) for n in args.inside.split(",")]
    ext = set(args.ext.split(","))
    allow_dst = set(filter(None, args.allow_dst.split(",")))
    allow_rst = set(map(int, filter(None, args.allow_rst.split(","))))
    count = collections.Counter(private=0, host_rst=0, container_rst=0, server_rst=0)
    examples, each = collections.defaultdict(list), []

    for when, frame in read_pcap(args.pcap):
        p = Ip.parse(frame)
        if p is None or (args.until and when > args.until):
            continue
        kinds = []
        src = ipaddress.ip_address(p.src)
        if any(src in n for n in inside) and p.dst not in allow_dst:
            kinds.append("private")
        if p.is_reset() and p.src not in ext:
            kinds.append("server_rst")
        elif p.is_reset() and p.ttl != HOST_TTL:
            kinds.append("container_rst")
        elif p.is_reset() and p.sport not in allow_rst and not (
                args.rst_until and when > args.rst_until):
            kinds.append("host_rst")
        for kind in kinds:
            count[kind] += 1
            if len(examples[kind]) < 3:
                examples[kind].append("%.3f %s" % (when, p))
            if args.each and kind in ("private", "host_rst"):
                each.append((when, kind, p.sport, p.dport, str(p)))
    print(json.dumps(dict(count, examples=examples, each=each)))


SOL_PACKET, PACKET_AUXDATA = 263, 8
STATUS_CSUM_NOT_READY = 1 << 3  # sent here without a checksum yet: offload was asked for


def l4_state(p, not_ready):
    """`full`, `partial`, `zero` (UDP without a checksum) or `bad`."""
    pseudo = p.addresses + struct.pack("!BBH", 0, p.proto, len(p.l4) & 0xffff)
    at = 16 if p.proto == 6 else 6
    if p.offset or len(p.l4) < at + 2:
        return "full"
    if p.proto == 17 and p.l4[at:at + 2] == b"\0\0":
        return "bad" if p.is6 else "zero"  # RFC 8200: there must be one
    if not_ready:
        field = struct.unpack("!H", p.l4[at:at + 2])[0]
        return "partial" if field == ones_sum(pseudo) else "bad"
    return "full" if ones_sum(pseudo + p.l4) == 0xffff else "bad"


def cmd_look(args):
    proto = {"tcp": 6, "udp": 17}[args.proto]
    count = collections.Counter(packets=0, bad_ip=0, bad_l4=0, full=0, partial=0, zero=0)
    ttls, sources, examples = collections.Counter(), collections.Counter(), []
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    # 16 MiB: a burst of superpackets waits here while Python sums the one before.
    s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    s.bind((args.interface, 0))
    s.settimeout(0.1)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    print("listening on", args.interface, flush=True)
    while True:
        try:
            frame, control, _, where = s.recvmsg(1 << 17, 128)
        except socket.timeout:
            if stop:
                break
            continue
        p = Ip.parse(frame)
        if p is None or where[2] == 4 or p.proto != proto:  # 4: PACKET_OUTGOING
            continue
        if args.l4_port and args.l4_port not in (p.sport, p.dport):
            continue
        status = struct.unpack("I", control[0][2][:4])[0] if control else 0
        state = l4_state(p, status & STATUS_CSUM_NOT_READY)
        bad_ip = not p.head_is_right()
        count["packets"] += 1
        count["bad_ip"] += bad_ip
        count["bad_l4" if state == "bad" else state] += 1
        ttls[p.ttl] += 1
        sources[p.src] += 1
        if (bad_ip or state == "bad") and len(examples) < 3:
            examples.append("%s len %d status %#x" % (p, len(frame), status))
    print(json.dumps(dict(count, ttls=ttls, sources=sources, examples=examples)))


# ---- the service's own numbers

WORKER_IN = ("rx_packets", "handed_in", "made")
WORKER_OUT = ("tx_packets", "drops", "handed_out", "merged", "to_kernel", "in_flight")
PORT_OUT = ("passed", "dropped", "redirected")


def flat(worker):
    return dict({k: worker[k] for k in WORKER_IN + WORKER_OUT if k != "drops"},
                drops=sum(worker["drops"].values()))


def equations(stats):
    """(text, left side, right side) of each."""
    def terms(names, values):
        return " + ".join("%s %d" % (n, values[n]) for n in names)

    for w in stats["workers"]:
        v = flat(w)
        yield ("worker on CPU %s: %s = %s" % (w["cpu"], terms(WORKER_IN, v), terms(WORKER_OUT, v)),
               sum(v[n] for n in WORKER_IN), sum(v[n] for n in WORKER_OUT))
    for p in stats["ports"]:
        yield ("port %s: seen %d = %s" % (p["name"], p["seen"], terms(PORT_OUT, p)),
               p["seen"], sum(p[n] for n in PORT_OUT))
    rx = sum(w["rx_packets"] for w in stats["workers"])
    redirected = sum(p["redirected"] for p in stats["ports"])
    lost = sum(p["xsk_lost"] for p in stats["ports"])
    yield ("rings: redirected %d = rx_packets %d + xsk_lost %d" % (redirected, rx, lost),
           redirected, rx + lost)


def at_rest(read, seconds, may_hold=False):
    """Stats as soon as two looks 100 ms apart agree and no worker holds a packet."""
    end = time.monotonic() + seconds
    before = read()
    while True:
        time.sleep(0.1)
        now = read()
        numbers = [[flat(w) for w in s["workers"]] +
                   [[p[n] for n in ("seen", "xsk_lost") + PORT_OUT] for p in s["ports"]]
                   for s in (before, now)]
        held = sum(w["in_flight"] for w in now["workers"])
        if (numbers[0] == numbers[1] and (may_hold or not held)) or time.monotonic() > end:
            return now, numbers[0] == numbers[1], held
        before = now


def cmd_conserve(args):
    def read():
        if len(args.source) == 1:
            with open(args.source[0]) as f:
                return json.load(f)
        return json.loads(subprocess.run(args.source, check=True, stdout=subprocess.PIPE).stdout)

    stats, quiet, held = at_rest(read, args.wait, args.may_hold)
    bad = 0
    for text, left, right in equations(stats):
        bad += left != right
        print(text if left == right else "%s: WRONG, %d != %d" % (text, left, right))
    for worker in stats["workers"]:
        for reason, n in worker["drops"].items():
            if n:
                print("worker on CPU %s: dropped for %s: %d" % (worker["cpu"], reason, n))
    if not quiet:
        print("the numbers do not come to rest")
    if held:
        print("%d packets are still in a worker's hands" % held)
    if not stats["ports"] or not stats["workers"]:
        print("no port or no worker in the statistics")
        bad += 1
    return 1 if bad or (held and not args.may_hold) or not quiet else 0


def reasons(path):
    with open(path) as f:
        return {r["reason"].lower().replace("-", "_"): r["count"]
                for r in json.load(f)["reasons"]}


def cmd_moved(args):
    before, after = reasons(args.before), reasons(args.after)
    # NOT_IP: ARP comes when it wants to.
    print(" ".join("%s=%d" % (r, after[r] - before.get(r, 0)) for r in after
                   if after[r] != before.get(r, 0) and r != "not_ip"))


def cmd_notify(args):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(args.socket)
    end = time.monotonic() + args.seconds
    print("listening on", args.socket, flush=True)
    while time.monotonic() < end:
        s.settimeout(max(0.01, end - time.monotonic()))
        try:
            said = s.recv(4096).decode()
        except socket.timeout:
            break
        print(said.replace("\n", " "), flush=True)
        if "READY=1" in said.split("\n"):
            return 0
    print("no READY=1 in time")
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    v = verbs.add_parser("wire")
    v.add_argument("pcap")
    v.add_argument("--inside", required=True)
    v.add_argument("--ext", required=True)
    v.add_argument("--allow-dst", default="")
    v.add_argument("--allow-rst", default="")
    v.add_argument("--until", type=float)
    v.add_argument("--rst-until", type=float)
    v.add_argument("--each", action="store_true")
    v = verbs.add_parser("look")
    v.add_argument("interface")
    v.add_argument("proto", choices=("tcp", "udp"))
    v.add_argument("l4_port", type=int)
    v = verbs.add_parser("conserve")
    v.add_argument("--wait", type=float, default=5)
    v.add_argument("--may-hold", action="store_true", help="packets may be in a worker's hands")
    v.add_argument("source", nargs="+")
    v = verbs.add_parser("moved")
    v.add_argument("before")
    v.add_argument("after")
    v = verbs.add_parser("notify")
    v.add_argument("socket")
    v.add_argument("seconds", type=float)
    args = parser.parse_args()
    return globals()["cmd_" + args.verb](args)


if __name__ == "__main__":
    sys.exit(main())
