# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bench.py - what a test function has in hand: sockets in a namespace, taps, senders, its own L4 ports.

Everything a test opens is closed after it. L4 ports come from counters, so that tests which run side
by side never share one. `raw` L4 ports are those that the namespaces' stacks never see (net.py).
"""
import itertools
import os
import socket
import threading
import time

import net as n
from wire import Sender, Tap, wait_for

SLOW = float(os.environ.get("XE_SLOW", "1"))
MAC_AT = {("c1", "eth0"): ("h", "vethc1"), ("c2", "eth0"): ("h", "vethc2"), ("c3", "eth0"): ("h", "vethc3"), ("r", "up0"): ("h", "eth0"),
          ("o1", "eth0"): ("r", "ro1"), ("o2", "eth0"): ("r", "ro2")}
# L4 port counters of one process: a set of them for each service, by Net.
_counters = {}
_lock = threading.Lock()


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def same(what, got, wanted):
    check(got == wanted, "%s: got %.120s, wanted %.120s" % (what, got, wanted))


class Bench:
    def __init__(self, net, service, cell, case):
        self.net, self.service, self.cell, self.case = net, service, cell, case
        self.kernel = service.kernel
        self.native, self.offload = cell.startswith("native"), "-on-" in cell
        self.workers = int(cell[-1])
        self.open, self.procs = [], []
        with _lock:
            self._next = _counters.setdefault(net.id, dict(
                server=itertools.cycle(range(7000, 7900)), raw_server=itertools.cycle(n.RAW_SERVER),
                word=itertools.count(1), ident=itertools.cycle(range(1000, 60000)),
                client=itertools.cycle(range(40000, 60000)), raw_client=itertools.cycle(n.RAW_CLIENT),
                **{"rule%d" % r: itertools.cycle(range(r, r + 10)) for r in range(7900, 8200, 10)}))
        self._senders = {}

    def close(self):
        for p in self.procs:
            self.net.stop(p)
        for s in self.open:
            try:
                s.close()
            except OSError:
                pass
        for s in self._senders.values():
            s.s.close()

    def port(self, kind="server"):
        """server, raw_server, client, raw_client, or the first L4 port of a rule of service.py."""
        with _lock:
            return next(self._next[kind if isinstance(kind, str) else "rule%d" % kind])

    def ident(self):
        """An IP id, or the like, that no other test has."""
        return self.port("ident")

    # ---- sockets

    def socket(self, ns, kind=socket.SOCK_DGRAM, family=socket.AF_INET):
        with self.net.inside(ns):
            s = socket.socket(family, kind)
        s.settimeout(3 * SLOW)
        if kind == socket.SOCK_STREAM:  # two datagram sockets with it may get one L4 port
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.open.append(s)
        return s

    def udp(self, ns, addr="", port=0):
        s = self.socket(ns, family=socket.AF_INET6 if ":" in addr else socket.AF_INET)
        s.bind((addr, port))
        return s

    def listen(self, ns, addr, port, backlog=512):
        s = self.socket(ns, socket.SOCK_STREAM, socket.AF_INET6 if ":" in addr else socket.AF_INET)
        s.bind((addr, port))
        s.listen(backlog)
        return s

    def connect(self, ns, addr, port, source=None, seconds=3):
        s = self.socket(ns, socket.SOCK_STREAM, socket.AF_INET6 if ":" in addr else socket.AF_INET)
        s.settimeout(seconds * SLOW)
        if source:
            s.bind(source)
        s.connect((addr, port))
        return s

    def accept(self, listener):
        s, peer = listener.accept()
        s.settimeout(3 * SLOW)
        self.open.append(s)
        return s, peer[:2]

    def pair(self, ns="c1", server="o1", addr=n.O1A, port=None, source=None):
        """A TCP connection: (container's socket, server's socket, Ext as the server sees it)."""
        port = port or self.port()
        listener = self.listen(server, addr, port)
        c = self.connect(ns, addr, port, source)
        s, ext = self.accept(listener)
        return c, s, ext

    def ext(self, client, server, addr):
        """Send by UDP; the (address, L4 port) that the server's socket sees. Sent again when lost; what
        comes late of another flow is not taken for this one's."""
        word = b"ext %d" % self.port("word")
        for _ in range(4):
            client.sendto(word, (addr, server.getsockname()[1]))
            end = time.monotonic() + 0.7 * SLOW
            while time.monotonic() < end:
                if not wait_for(server, end - time.monotonic()):
                    break
                got, peer = server.recvfrom(65536)
                if got == word:
                    return peer[:2]
        raise AssertionError("the server at %s:%d got nothing" % (addr, server.getsockname()[1]))

    def heard(self, s, seconds=0.5):
        """What a datagram socket gets within that time, or None."""
        if wait_for(s, seconds * SLOW):
            return s.recv(65536)
        return None

    def heard2(self, s, seconds=0.7):
        """The same with its sender: (payload, endpoint), or None."""
        if wait_for(s, seconds * SLOW):
            got, peer = s.recvfrom(65536)
            return got, peer[:2]
        return None

    # ---- the wire

    def tap(self, ns, dev="eth0", out=False):
        tap = Tap(self.net, ns, dev, out)
        self.open.append(tap.s)
        return tap

    def sender(self, ns, dev="eth0"):
        dev = "up0" if ns == "r" else dev
        if (ns, dev) not in self._senders:
            self._senders[ns, dev] = Sender(self.net, ns, dev, MAC_AT[ns, dev])
        return self._senders[ns, dev]

    def put(self, ns, packet, dev="eth0", pad=b""):
        """A packet of ours onto the link of a container or server ("r" is the uplink's outer end)."""
        self.sender(ns, dev)(packet, pad)

    # ---- time

    def until(self, what, seconds=3.0):
        """Try until it is true."""
        end = time.monotonic() + seconds * SLOW
        while True:
            value = what()
            if value or time.monotonic() > end:
                return value
            time.sleep(0.05)

    def forget(self, ns):
        """End the flows of a container, after a test that made thousands."""
        if not self.kernel:
            self.service.ctl("flow", "flush", "from", {"c1": n.C1, "c2": n.C2}[ns])

    def needs_service(self):
        """For what only the service can be asked; the kernel's stand-in passes."""
        return not self.kernel

    # ---- the service's counters

    def moved(self, act, settle=0.3):
        """Reasons that an action moved, {name: by how many}."""
        before = None
        for _ in range(20):  # what came before has been counted
            last, before = before, self.service.reasons()
            if last == before:
                break
            time.sleep(settle)
        act()
        last = None
        for _ in range(20):
            time.sleep(settle)
            now = self.service.reasons()
            if now == last:
                break
            last = now
        return {k: v - before.get(k, 0) for k, v in now.items() if v != before.get(k, 0)}
