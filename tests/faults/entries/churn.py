# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""churn.py - containers made and destroyed by the hundred, 20 at a time, names and addresses reused.

A container here is a namespace, a veth, an address and a process's sockets. Each round makes 20 under
the interface names of the last round, gives each address to another interface than before, and ends
them in the middle of their traffic; every third round while they are still being attached. A server
answers datagrams after a quarter of a second, when their sender has mostly been replaced by another
container with its address: the answer carries a token, and must reach nobody.
"""
import contextlib
import ctypes
import heapq
import json
import os
import socket
import subprocess
import threading
import time

from table import fault
from world import BUILD, DOOMED_PORT, HOST_INSIDE, SERVER, SLOW, RunError, now_ms, wait_for

AT_A_TIME = 20
SLOW_PORT, L4_PORT = 7100, 5000
ANSWER_AFTER_S = 0.25
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(w, ns):
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/%s-%s" % (w.space.id, ns), os.O_RDONLY)
    try:
        if LIBC.setns(there, 0):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        LIBC.setns(home, 0)
        os.close(home)
        os.close(there)


class SlowEcho(threading.Thread):
    """Answers each datagram of w's L4 port 7100 later."""

    def __init__(self, w):
        super().__init__(daemon=True)
        with inside(w, "w"):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((SERVER, SLOW_PORT))
        self.waiting, self.over = [], False
        self.start()

    def run(self):
        while not self.over:
            due = self.waiting[0][0] - time.monotonic() if self.waiting else 0.1
            self.sock.settimeout(max(0.001, min(0.1, due)))
            try:
                data, peer = self.sock.recvfrom(2048)
                heapq.heappush(self.waiting, (time.monotonic() + ANSWER_AFTER_S, data, peer))
            except socket.timeout:
                pass
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                _, data, peer = heapq.heappop(self.waiting)
                self.sock.sendto(data, peer)
        self.sock.close()


class Container:
    """One of a round: slot says its interface, number its address."""

    def __init__(self, w, made_round, slot, number):
        self.w, self.ns = w, "x%d" % slot
        self.dev, self.addr = "vx%d" % slot, "10.1.100.%d" % (10 + number)
        self.token = ("%d.%d." % (made_round, slot)).encode()
        self.udp = self.tcp = None
        self.answers = 0

    def commands(self):
        full = "%s-%s" % (self.w.space.id, self.ns)
        return ["link add %s type veth peer name eth0 netns %s" % (self.dev, full),
                "addr add %s/32 dev %s" % (HOST_INSIDE, self.dev), "link set %s up" % self.dev,
                "route replace %s/32 dev %s" % (self.addr, self.dev)]

    def begin(self):
        # ARP is asked again soon: an answer that comes before the kernel's link watch has activated
        # the new interface is lost.
        self.w.batch(self.ns, ["ntable change name arp_cache dev eth0 retrans 200",
                               "link set lo up", "link set eth0 up",
                               "addr add %s/32 dev eth0" % self.addr,
                               "route add %s/32 dev eth0" % HOST_INSIDE,
                               "route add default via %s" % HOST_INSIDE])
        with inside(self.w, self.ns):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.udp.bind((self.addr, L4_PORT))
        self.udp.connect((SERVER, SLOW_PORT))
        self.udp.setblocking(False)
        self.tcp.setblocking(False)
        self.tcp.connect_ex((SERVER, DOOMED_PORT))
        self.send()

    def send(self):
        for _ in range(3):
            with contextlib.suppress(OSError):
                self.udp.send(self.token)

    def take(self):
        """The tokens of others that have come in."""
        strange = []
        with contextlib.suppress(OSError):
            while True:
                data = self.udp.recv(2048)
                self.answers += data == self.token
                if data != self.token:
                    strange.append(data.decode())
        return strange

    def close(self):
        for s in (self.udp, self.tcp):
            if s:
                s.close()


class Service:
    """What must not grow: descriptors, memory, entries of maps, the safety net."""

    def __init__(self, w):
        proc = "/proc/%d/" % w.service.pid
        self.fds = len(os.listdir(proc + "fd"))
        with open(proc + "status", encoding="ascii") as f:
            words = {ln.split(":")[0]: ln.split(":")[1].split() for ln in f}
        self.rss_kb, self.threads = int(words["VmRSS"][0]), int(words["Threads"][0])
        self.nft_lines = len(w.on("h", "nft", "-s", "list", "ruleset").splitlines())
        self.maps = self.map_entries(w)

    @staticmethod
    def map_entries(w):
        """Entries in those maps of the program that are no arrays."""
        found = json.loads(w.on("h", "ip", "-d", "-j", "link", "show", "dev", "eth0"))[0]
        prog = json.loads(subprocess.run(
            ["bpftool", "-j", "prog", "show", "id", str(found["xdp"]["prog"]["id"])],
            capture_output=True, text=True, check=True).stdout)
        entries = 0
        for number in prog.get("map_ids", []):
            kind = json.loads(subprocess.run(["bpftool", "-j", "map", "show", "id", str(number)],
                                             capture_output=True, text=True, check=True).stdout)
            if kind["type"] in ("hash", "lpm_trie", "lru_hash"):
                dump = subprocess.run(["bpftool", "-j", "map", "dump", "id", str(number)],
                                      capture_output=True, text=True, check=True).stdout
                entries += len(json.loads(dump))
        return entries

    def __str__(self):
        return "%d fds, %d kB, %d threads, %d lines of nft, %d map entries" % (
            self.fds, self.rss_kb, self.threads, self.nft_lines, self.maps)


class Churn:
    def __init__(self, w):
        self.w, self.echo, self.live = w, SlowEcho(w), []
        self.strange, self.attach_ms, self.answered, self.made = [], [], 0, 0
        self.before = None

    def attached(self):
        return sum(p["name"].startswith("vx") and p["state"] == "attached"
                   for p in self.w.json("port", "list")["ports"])

    def begin_round(self, number):
        fresh = [Container(self.w, number, slot, (slot + 7 * number) % AT_A_TIME)
                 for slot in range(AT_A_TIME)]
        self.w.space.command(["ip", "-batch", "-"], stdin="".join(
            "netns add %s-%s\n" % (self.w.space.id, c.ns) for c in fresh))
        self.w.space.names += [c.ns for c in fresh]
        self.w.batch("h", [ln for c in fresh for ln in c.commands()])
        begun = now_ms()
        for c in fresh:
            c.begin()
            self.take()
        self.live = fresh
        self.made += len(fresh)
        return begun

    def take(self):
        for c in self.live:
            self.strange += ["%s got %s" % (c.token.decode(), t) for t in c.take()]

    def watch(self, seconds, until_answered=False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until_answered and all(c.answers for c in self.live)):
            self.take()
            time.sleep(0.01)

    def end_round(self):
        for c in self.live:
            c.send()  # the answers are for whoever has the address then
        self.take()
        names = [c.ns for c in self.live]
        self.w.batch("h", ["link del %s" % c.dev for c in self.live])
        for c in self.live:
            self.answered += c.answers > 0
            c.close()
        self.live = []
        self.w.space.command(["ip", "-batch", "-"], stdin="".join(
            "netns del %s-%s\n" % (self.w.space.id, n) for n in names))
        self.w.space.names = [n for n in self.w.space.names if n not in names]

    def round(self, number):
        begun = self.begin_round(number)
        if number % 3 == 2:
            self.watch(0.02 * (number % 5))  # in the middle of being attached
        else:
            wait_for("20 ports attached", 10 * SLOW, lambda: self.attached() == AT_A_TIME)
            self.attach_ms.append(now_ms() - begun)
            self.watch(2 * SLOW, until_answered=True)
        self.end_round()

    def run(self, count):
        try:
            for number in range(count // AT_A_TIME):
                self.round(number)
                if self.made == max(AT_A_TIME, count // 5):
                    wait_for("no port left", 10 * SLOW, lambda: self.attached() == 0)
                    self.before = Service(self.w)
            wait_for("no port left", 10 * SLOW, lambda: self.attached() == 0)
        finally:
            self.echo.over = True
            if self.live:
                self.end_round()

    def verdict(self):
        after, before = Service(self.w), self.before
        median = sorted(self.attach_ms)[len(self.attach_ms) // 2]
        self.w.notes.append("%d containers, %d answered; 20 attached in %d ms (median), %d at most; "
                            "service: %s, then %s" % (self.made, self.answered, median,
                                                      max(self.attach_ms), before, after))
        wrong = ["%d answers for another container, as %s" % (len(self.strange), self.strange[0])
                 ] if self.strange else []
        bounds = {"fds": 2, "threads": 0, "nft_lines": 0, "maps": 0, "rss_kb": 4096}
        if "address" in os.path.basename(BUILD):
            del bounds["rss_kb"]  # AddressSanitizer keeps what is freed for a while
        for what, more in bounds.items():
            if getattr(after, what) > getattr(before, what) + more:
                wrong.append("%s grew from %d to %d" % (what, getattr(before, what),
                                                        getattr(after, what)))
        if self.answered < len(self.attach_ms) * AT_A_TIME:
            wrong.append("%d of %d containers got no answer" % (
                len(self.attach_ms) * AT_A_TIME - self.answered, len(self.attach_ms) * AT_A_TIME))
        if wrong:
            raise RunError("; ".join(wrong))


def churn(w, count):
    c = Churn(w)
    c.run(count)
    c.verdict()


@fault(quick=True, hits=())
def churn_100(w):
    """100 containers made and destroyed, 20 at a time."""
    churn(w, 100)


@fault(hits=())
def churn_1000(w):
    """1,000 containers made and destroyed, 20 at a time."""
    churn(w, 1000)
