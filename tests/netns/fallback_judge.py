#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""fallback_judge.py - what the safety net lets out and in, seen on the wire.

    fallback_judge.py ID DRIVER TABLE

ID is the prefix of the scenario's namespaces (topo.sh). The judge holds raw sockets in the
containers c1, c2 and on the internet's side (w), sends frames that no kernel would send, and
looks at what comes out. After each step exactly the named counters of the table may have moved.
The table is configured through DRIVER (fallback_driver.c), which runs in the host's namespace.
"""
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time

from scapy.all import (ICMP, IP, TCP, UDP, Ether, Raw, conf)

conf.verb = 0
ID, DRIVER, TABLE = sys.argv[1:4]
C1, C2, HOST, EXT = "10.1.0.2", "10.1.0.3", "10.1.0.1", "198.51.100.2"
GW, SRV1, SRV3, SRV4 = "198.51.100.1", "203.0.113.1", "203.0.113.3", "203.0.113.4"
NAT_MAX = 32767  # of the default range, which t_fallback.sh applies
QUIET = 0.25  # s: a veth path takes microseconds; the rest is a busy machine
PACKET_OUTGOING = 4
FAILED_EXIT = 3  # a check failed; 1 is Python's own, for a judge that could not go on
failed = 0
libc = ctypes.CDLL(None, use_errno=True)


def in_namespace(name, what):
    """Call what() with this thread in a namespace; sockets made there stay there."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{ID}-{name}", os.O_RDONLY)
    try:
        if libc.setns(there, 0):
            raise OSError(ctypes.get_errno(), "setns")
        return what()
    finally:
        libc.setns(home, 0)
        os.close(there)
        os.close(home)


def mac_of(name, interface):
    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            req = fcntl.ioctl(s, 0x8927, struct.pack("256s", interface.encode()))  # SIOCGIFHWADDR
            return ":".join("%02x" % b for b in req[18:24])
    return in_namespace(name, ask)


class Wire:
    """One end of a veth, below everything the kernel there does."""

    ETHERTYPE, LAYER = 0x0800, IP

    @staticmethod
    def is_noise(packet):
        return False

    def __init__(self, name, interface, peer_interface):
        self.sock = in_namespace(name, lambda: socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        self.sock.bind((interface, 0))
        self.sock.setblocking(False)
        self.eth = Ether(src=mac_of(name, interface), dst=mac_of("h", peer_interface))

    def send(self, packet):
        """Again where the other end's queue is full for a moment, on a busy machine."""
        for left in range(50, -1, -1):
            try:
                self.sock.send(bytes(self.eth / packet))
                return
            except OSError as e:
                if e.errno != errno.ENOBUFS or not left:
                    raise
                time.sleep(0.01)

    def receive(self):
        """What came in since the last call, as IP packets."""
        got = []
        while True:
            try:
                data, addr = self.sock.recvfrom(65536)
            except BlockingIOError:
                return got
            if addr[2] != PACKET_OUTGOING and addr[1] == self.ETHERTYPE:
                packet = Ether(data)[self.LAYER]
                if not self.is_noise(packet):
                    got.append(packet)


class Driver:
    def __init__(self):
        self.p = in_namespace("h", lambda: subprocess.Popen(
            [DRIVER, TABLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def call(self, *lines):
        """Words, the last one a call: its answer's lines and its number."""
        self.p.stdin.write("".join(line + "\n" for line in lines))
        self.p.stdin.flush()
        answer = []
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise RuntimeError("the driver ended")
            if line.startswith("= "):
                return answer, int(line[2:])
            answer.append(line.rstrip())

    def counters(self):
        words = self.call("counters")[0][0].split()
        return {k: int(v) for k, v in zip(words[::2], words[1::2])}

    def apply(self, *lines):
        base = ["reset", "uplink eth0", "nat tcp 1024-32767", "nat udp 1024-32767",
                "listen tcp 8080", "listen udp 8080"]
        if not any(line.startswith("inside") for line in lines):
            base += ["inside vethc1 10.1.0.0/16", "inside vethc2 10.1.0.0/16"]
        said, ret = self.call(*base, *lines, "apply")
        if ret:
            raise RuntimeError("apply: %d %s" % (ret, said))


def verdict(name, why):
    global failed
    if why:
        failed += 1
        print("not ok %s: %s" % (name, "; ".join(why)))
    else:
        print("ok " + name)
    sys.stdout.flush()


wires = {}
driver = Driver()


def open_wires(kind):
    wires.update(c1=kind("c1", "eth0", "vethc1"), c2=kind("c2", "eth0", "vethc2"),
                 w=kind("w", "up0", "eth0"))


def collect(seconds):
    got = {name: [] for name in wires}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        select.select([w.sock for w in wires.values()], [], [], max(0, end - time.monotonic()))
        for name, wire in wires.items():
            got[name] += wire.receive()
    return got


def run(sender, *packets):
    """Send; what came out where, and by how much the counters moved."""
    collect(0.01)
    before = driver.counters()
    for packet in packets:
        sender(packet)
    got = collect(QUIET)
    after = driver.counters()
    return got, {k: after[k] - before[k] for k in after if after[k] != before[k]}


def expect(name, sender, packets, count, **wanted):
    """wanted: for each wire what must come out of it, a predicate for each packet in order; a wire
    that is not named must stay silent."""
    got, moved = run(sender, *packets)
    why = []
    if moved != count:
        why.append("counters moved %s, wanted %s" % (moved, count))
    for wire in wires:
        checks = wanted.get(wire, [])
        if len(got[wire]) != len(checks):
            why.append("%s saw %s, wanted %d" % (wire, [p.summary() for p in got[wire]],
                                                 len(checks)))
            continue
        for packet, check in zip(got[wire], checks):
            if not check(packet):
                why.append("%s saw %s" % (wire, packet.summary()))
    verdict(name, why)
    return got


def tcp(src, dst, flags, sport=45000, dport=80, **more):
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags, seq=77, ack=88,
                                      **more)


def udp(src, dst, sport=45000, dport=7000):
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(b"xegress")


def icmp_error(src, dst, quoted, kind=3, code=3):
    return IP(src=src, dst=dst) / ICMP(type=kind, code=code) / Raw(bytes(quoted)[:48])


def translated(proto, low=NAT_MAX + 1, high=65535):
    """Came with the Ext address and an L4 port that is the kernel's."""
    return lambda p: p.src == EXT and proto in p and low <= p[proto].sport <= high


MIDFLOW = {"ack": "A", "data": "PA", "fin-ack": "FA", "fin": "F", "rst": "R", "rst-ack": "RA",
           "syn-ack": "SA", "null": "", "xmas": "FPU", "syn-fin": "SF", "syn-rst": "SR"}


def mid_flow(tag):
    """What of a TCP flow isn't a SYN, and the kernel doesn't know, goes nowhere."""
    l4_port = 45000
    for what, flags in MIDFLOW.items():
        l4_port += 1
        expect("midflow-%s%s" % (what, tag), wires["c1"].send,
               [tcp(C1, SRV1, flags, sport=l4_port) / Raw(b"x" * 10)], {"midflow": 1})


def icmp_leaks():
    quoted = tcp(SRV1, C1, "A", sport=80, dport=45999)
    for kind, code in ((3, 3), (3, 4), (11, 0), (12, 0), (5, 1)):
        expect("icmp-error-%d-%d-unknown-flow" % (kind, code), wires["c1"].send,
               [icmp_error(C1, SRV1, quoted, kind, code)], {"leak": 1})
    expect("icmp-error-unknown-udp", wires["c1"].send,
           [icmp_error(C1, SRV1, udp(SRV1, C1))], {"leak": 1})
    expect("icmp-unsolicited-echo-reply", wires["c1"].send,
           [IP(src=C1, dst=SRV1) / ICMP(type=0, id=7)], {"leak": 1})


def new_flows(tag):
    """A SYN, a datagram, a ping start kernel flows: outside the workers' L4 ports."""
    for sport, check in ((45100, translated(TCP, 45100, 45100)), (5000, translated(TCP)),
                         (80, translated(TCP)), (NAT_MAX, translated(TCP))):
        # w's kernel answers with a reset, which must find its way back.
        expect("syn-from-%d%s" % (sport, tag), wires["c1"].send,
               [tcp(C1, SRV1, "S", sport=sport, dport=9)], {}, w=[check],
               c1=[lambda p, s=sport: p.src == SRV1 and p[TCP].dport == s and p[TCP].flags.R])
    for sport, check in ((45200, translated(UDP, 45200, 45200)), (5353, translated(UDP))):
        expect("udp-from-%d%s" % (sport, tag), wires["c1"].send,
               [udp(C1, SRV1, sport=sport, dport=9)], {}, w=[check],
               c1=[lambda p, s=sport: ICMP in p and p[ICMP].type == 3])
    expect("ping-same-id%s" % tag, lambda p: (wires["c1"].send(p[0]), wires["c2"].send(p[1])),
           [(IP(src=C1, dst=SRV1) / ICMP(id=99), IP(src=C2, dst=SRV1) / ICMP(id=99))], {},
           w=[lambda p: p.src == EXT] * 2, c1=[lambda p: p[ICMP].id == 99],
           c2=[lambda p: p[ICMP].id == 99])


def wrong_checksums():
    """Conntrack has nothing to do with them, so nothing would translate them."""
    syn, datagram = tcp(C1, SRV1, "S", sport=45250), udp(C1, SRV1, sport=45251)
    syn[TCP].chksum = datagram[UDP].chksum = 0x1234
    expect("syn-wrong-checksum", wires["c1"].send, [syn], {"leak": 1})
    expect("udp-wrong-checksum", wires["c1"].send, [datagram], {"leak": 1})


def error_of_known_flow():
    """A container's ICMP error about a flow that the kernel translates leaves translated."""
    expect("udp-flow-for-error", wires["c1"].send, [udp(C1, SRV1, sport=45300, dport=7001)], {},
           w=[translated(UDP)], c1=[lambda p: ICMP in p])
    expect("icmp-error-known-flow", wires["c1"].send,
           [icmp_error(C1, SRV1, udp(SRV1, C1, sport=7001, dport=45300))], {},
           w=[lambda p: p.src == EXT and p[ICMP].type == 3
              and bytes(IP(bytes(p[ICMP].payload)).dst, "ascii") == EXT.encode()])


def spoofed():
    for what, packet in (("tcp", tcp("10.77.0.1", SRV1, "S")), ("udp", udp("192.0.2.99", SRV1)),
                         ("link-local", udp("169.254.7.7", SRV1)),
                         ("ping", IP(src="10.77.0.1", dst=SRV1) / ICMP())):
        expect("spoofed-" + what, wires["c1"].send, [packet], {"spoof": 1})
    # Toward another container, and the host itself.
    for where, dst in (("container", C2), ("host", HOST), ("host-ext", EXT)):
        for what, packet in (("ping", ICMP()), ("sctp", Raw(b"\0" * 12)), ("udp", UDP(dport=7) / Raw(b"x")),
                             ("error", ICMP(type=3, code=1) / Raw(bytes(udp(dst, "10.77.0.1"))[:28]))):
            packet = IP(src="10.77.0.1", dst=dst, proto=132 if what == "sctp" else None) / packet
            if what != "sctp":
                del packet.proto
            expect("spoofed-%s-to-%s" % (what, where), wires["c1"].send, [packet], {"spoof": 1})
    # Who has no address yet is nobody's impostor; who has one is answered.
    expect("dhcp-discover", wires["c1"].send,
           [IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / Raw(b"x")], {})
    expect("ping-to-host", wires["c1"].send, [IP(src=C1, dst=HOST) / ICMP(id=7)], {},
           c1=[lambda p: p[ICMP].type == 0])


def guard():
    """Nobody learns from the host what is (not) behind an L4 port of the NAT range."""
    for l4_port in (1024, 20000, NAT_MAX):
        for what, flags in (("syn", "S"), ("ack", "A"), ("syn-ack", "SA"), ("rst", "R"),
                            ("fin-ack", "FA")):
            expect("guard-tcp-%s-%d" % (what, l4_port), wires["w"].send,
                   [tcp(SRV1, EXT, flags, dport=l4_port)], {"guard": 1})
        expect("guard-udp-%d" % l4_port, wires["w"].send,
               [udp(SRV1, EXT, dport=l4_port)], {"guard": 1})
    answers = {
        "closed-tcp-above": (tcp(SRV1, EXT, "S", dport=NAT_MAX + 1),
                             lambda p: p[TCP].flags.R and p.src == EXT),
        "closed-tcp-below": (tcp(SRV1, EXT, "S", dport=1023),
                             lambda p: p[TCP].flags.R and p.src == EXT),
        "closed-udp-above": (udp(SRV1, EXT, dport=NAT_MAX + 1),
                             lambda p: p[ICMP].type == 3 and p.src == EXT),
        "ping": (IP(src=SRV1, dst=EXT) / ICMP(), lambda p: p[ICMP].type == 0 and p.src == EXT)}
    for name, (packet, check) in answers.items():
        expect("host-answers-" + name, wires["w"].send, [packet], {}, w=[check])


def listeners():
    """The host's own services inside the NAT range stay reachable; the set follows live."""
    def server(kind, l4_port):
        def make():
            s = socket.socket(socket.AF_INET, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((EXT, l4_port))
            if kind == socket.SOCK_STREAM:
                s.listen()
            return s
        return in_namespace("h", make)

    def syn_answered(l4_port):
        # w's kernel knows nothing of this SYN and resets the answer; the next one is a new flow.
        return {"w": [lambda p: p[TCP].flags.S and p[TCP].flags.A and p[TCP].sport == l4_port]}

    with server(socket.SOCK_STREAM, 8080), server(socket.SOCK_STREAM, 8081), \
            server(socket.SOCK_DGRAM, 8080) as u:
        expect("listener-tcp", wires["w"].send, [tcp(SRV1, EXT, "S", sport=46001, dport=8080)],
               {}, **syn_answered(8080))
        expect("listener-udp", wires["w"].send, [udp(SRV1, EXT, sport=46002, dport=8080)], {})
        verdict("listener-udp-delivered", [] if u.recv(100) == b"xegress" else ["wrong bytes"])
        expect("listener-not-in-set", wires["w"].send,
               [tcp(SRV1, EXT, "S", sport=46003, dport=8081)], {"guard": 1})
        said, ret = driver.call("listen tcp 8081", "unlisten tcp 8080", "set")
        verdict("set-listeners", ["%d %s" % (ret, said)] if ret else [])
        expect("listener-added", wires["w"].send,
               [tcp(SRV1, EXT, "S", sport=46004, dport=8081)], {}, **syn_answered(8081))
        expect("listener-removed", wires["w"].send,
               [tcp(SRV1, EXT, "S", sport=46005, dport=8080)], {"guard": 1})
        ret = driver.call("present")[1]
        verdict("present-with-listeners", [] if ret == 1 else ["present says %d" % ret])


def inbound():
    """Nothing from outside reaches an inside address directly."""
    packets = {"syn": tcp(SRV1, C1, "S"), "ack": tcp(SRV1, C1, "A"), "rst": tcp(SRV1, C1, "R"),
               "syn-ack": tcp(SRV1, C1, "SA"), "udp": udp(SRV1, C1),
               "ping": IP(src=SRV1, dst=C1) / ICMP(),
               "icmp-error": icmp_error(SRV1, C1, tcp(C1, SRV1, "A", sport=45998))}
    for what, packet in packets.items():
        expect("inbound-" + what, wires["w"].send, [packet], {"inbound": 1})
    # Nor does an outside host that claims an inside address get its packets sent on for it.
    got, moved = run(wires["w"].send, udp(C1, "192.0.2.200", sport=45400))
    why = ["w saw " + p.summary() for p in got["w"] if p.src in (C1, EXT) and UDP in p]
    verdict("inside-source-from-outside", why + ([] if moved == {"leak": 1} else [str(moved)]))


class Punt:
    """A tun device in the host's namespace: what a worker gives back to the kernel."""

    def __init__(self):
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH", b"xepunt", 0x1001))  # TUN, NO_PI
            for cmd in ("ip link set xepunt up", "sysctl -qw net.ipv4.conf.xepunt.rp_filter=0"):
                subprocess.run(cmd.split(), check=True)
            return fd
        self.fd = in_namespace("h", make)

    def send(self, packet):
        os.write(self.fd, bytes(packet))


def punted():
    punt = Punt()
    for sport in (45500, 6000):
        expect("punted-udp-from-%d" % sport, punt.send, [udp(C1, SRV1, sport=sport, dport=9)], {},
               w=[translated(UDP)], c1=[lambda p: ICMP in p and p[ICMP].type == 3])
    expect("punted-syn", punt.send, [tcp(C1, SRV1, "S", sport=45501, dport=9)], {},
           w=[translated(TCP)], c1=[lambda p: p[TCP].flags.R])
    expect("punted-midflow", punt.send, [tcp(C1, SRV1, "A", sport=45502)], {"midflow": 1})
    expect("punted-icmp-error", punt.send,
           [icmp_error(C1, SRV1, tcp(SRV1, C1, "A", sport=80, dport=45999))], {"leak": 1})
    os.close(punt.fd)


def rules():
    """accept, drop, snat and masquerade rules do in the kernel what they do in a worker."""
    driver.apply("rule drop udp to %s" % SRV3, "rule accept from 10.1.0.0/16 to %s" % SRV4,
                 "rule accept udp from 10.1.0.0/16 to 203.0.113.2:53",
                 "rule snat from %s source 198.51.100.77-198.51.100.78" % C2,
                 "rule masquerade from 10.1.0.0/16 ports 30000-39999")
    plain = [lambda p: p.src == C1 and p[TCP].sport == 45601]
    for what, flags in MIDFLOW.items():
        if "S" in flags or not flags or what == "xmas":
            continue  # w's answers to those differ by kernel
        got, moved = run(wires["c1"].send, tcp(C1, SRV4, flags, sport=45601))
        why = [] if got["w"] and plain[0](got["w"][0]) and not moved else [
            "w saw %s, counters %s" % ([p.summary() for p in got["w"]], moved)]
        verdict("accept-midflow-" + what, why)
    expect("accept-ping", wires["c1"].send, [IP(src=C1, dst=SRV4) / ICMP()], {},
           w=[lambda p: p.src == C1], c1=[lambda p: p.src == SRV4])
    expect("accept-from-outside", wires["w"].send, [udp(SRV4, C1)], {}, c1=[lambda p: UDP in p],
           w=[lambda p: p.src == C1 and ICMP in p])
    expect("accept-udp-53", wires["c1"].send, [udp(C1, "203.0.113.2", dport=53)], {},
           w=[lambda p: p.src == C1], c1=[lambda p: ICMP in p])
    expect("accept-udp-not-54", wires["c1"].send, [udp(C1, "203.0.113.2", dport=54)], {},
           w=[lambda p: p.src == EXT], c1=[lambda p: ICMP in p])
    expect("accept-not-others", wires["w"].send, [udp(SRV1, C1)], {"inbound": 1})
    expect("drop-rule-udp", wires["c1"].send, [udp(C1, SRV3)], {"rule": 1})
    expect("drop-rule-not-tcp", wires["c1"].send, [tcp(C1, SRV3, "S", sport=45602, dport=9)], {},
           w=[translated(TCP)], c1=[lambda p: p[TCP].flags.R])
    # The pool is no address of the host: w asks for it in vain, so no answer is wanted here.
    pool = ("198.51.100.77", "198.51.100.78")
    got, moved = run(wires["c2"].send, IP(src=C2, dst=SRV1) / ICMP(),
                     *(udp(C2, "203.0.113.%d" % n, sport=35000 + n, dport=9)
                       for n in (1, 2, 3, 4, 5, 6, 7, 8) if n not in (3, 4)))
    seen = {p.src for p in got["w"]}
    sports = sorted(p[UDP].sport for p in got["w"] if UDP in p)
    why = []
    if len(got["w"]) != 7 or len(seen) != 1 or not seen <= set(pool) or moved:
        why.append("w saw %s, counters %s" % ([p.summary() for p in got["w"]], moved))
    elif min(sports) < 40000:  # 1024-32767 and the rule's 30000-39999 are the workers'
        why.append("L4 ports %s" % sports)
    verdict("snat-one-address", why)
    # Unsolicited, to a pool address: not sent back to the router until its TTL is over.
    expect("guard-pool", wires["w"].send, [udp(SRV1, pool[0], dport=20000)], {"guard": 1})
    expect("masquerade-avoids-rule-range", wires["c1"].send,
           [udp(C1, SRV1, sport=35001, dport=9)], {}, w=[translated(UDP, 40000, 65535)],
           c1=[lambda p: ICMP in p])


def foreign_masquerade():
    """Docker's and others' masquerade rules don't get our flows."""
    def nft(text):
        in_namespace("h", lambda: subprocess.run(["nft", text], check=True))

    nft("add table ip other; add chain ip other post { type nat hook postrouting priority 100; }; "
        "add rule ip other post ip saddr 10.1.0.0/16 masquerade")
    driver.apply("rule accept from 10.1.0.0/16 to %s" % SRV4, "rule kernel udp to %s" % SRV3,
                 "rule masquerade from 10.1.0.0/16")
    expect("foreign-masquerade-port", wires["c1"].send, [udp(C1, SRV1, sport=7777, dport=9)], {},
           w=[translated(UDP)], c1=[lambda p: ICMP in p])
    expect("foreign-masquerade-accept", wires["c1"].send, [udp(C1, SRV4, sport=7778, dport=9)],
           {}, w=[lambda p: p.src == C1 and p[UDP].sport == 7778], c1=[lambda p: ICMP in p])
    expect("foreign-masquerade-kernel", wires["c1"].send, [udp(C1, SRV3, sport=7779, dport=9)],
           {}, w=[lambda p: p.src == EXT and p[UDP].sport == 7779], c1=[lambda p: ICMP in p])
    nft("delete table ip other")


def wide_prefix():
    """An inside prefix that covers the host's own address does not make the host a container."""
    driver.apply("inside vethc1 0.0.0.0/0", "inside vethc2 0.0.0.0/0",
                 "rule masquerade")
    s = in_namespace("h", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    s.bind((EXT, 2222))
    expect("wide-host-udp", lambda p: s.sendto(p, (SRV1, 9)), [b"own"], {},
           w=[lambda p: p.src == EXT and p[UDP].sport == 2222])
    s.close()
    expect("wide-host-answers-ping", wires["w"].send, [IP(src=SRV1, dst=EXT) / ICMP()], {},
           w=[lambda p: p[ICMP].type == 0])
    expect("wide-container-udp", wires["c1"].send, [udp(C1, SRV1, sport=7000, dport=9)], {},
           w=[translated(UDP)], c1=[lambda p: ICMP in p])
    expect("wide-midflow", wires["c1"].send, [tcp(C1, SRV1, "A", sport=45701)], {"midflow": 1})
    expect("wide-inbound", wires["w"].send, [udp(SRV1, C1)], {"inbound": 1})


def loose(value):
    in_namespace("h", lambda: subprocess.run(
        ["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=%d" % value], check=True))


def main():
    open_wires(Wire)
    driver.apply("rule masquerade from 10.1.0.0/16")
    for value in (1, 0):
        loose(value)
        mid_flow("-loose%d" % value)
    loose(1)
    icmp_leaks()
    new_flows("")
    wrong_checksums()
    error_of_known_flow()
    spoofed()
    guard()
    listeners()
    inbound()
    punted()
    driver.apply()  # no rule at all: the last resort does it
    new_flows("-no-rule")
    mid_flow("-no-rule")
    rules()
    foreign_masquerade()
    wide_prefix()
    sys.exit(FAILED_EXIT if failed else 0)


if __name__ == "__main__":
    main()
