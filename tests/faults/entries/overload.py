# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""overload.py - more than the machine can carry: containers that send as fast as they can, and frames
without an skb into the uplink at several times what the service can take.

Asked meanwhile: does the control socket answer, do the host's own connections live, does a modest
container get its share? And afterwards: how long until nothing is lost, how long is the first ping.
"""
import json
import os
import socket
import threading
import time

from table import fault
from world import BUILD, EXT, GATEWAY, SLOW, RunError, now_ms

FLOODED = "203.0.113.200"  # w throws it away at once: no receiver's work
CTL_MS, FIRST_PING_MS, SHARE = 100, 10, 0.95
BEGIN_MS = 250  # the floods' first packets meet a worker that sleeps: what its rings lose is apart
AFTER_MS = 1000  # after this nothing may be lost any more


class Asker(threading.Thread):
    """Asks the control socket for its status a hundred times a second, on one connection."""

    def __init__(self, w):
        super().__init__(daemon=True)
        self.path, self.took_ms, self.over, self.error = w.run_dir() + "/ctl.sock", [], False, None
        self.start()

    def run(self):
        try:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(10 * SLOW)
            s.connect(self.path)
            with s, s.makefile("rw", encoding="utf-8") as f:
                while not self.over:
                    begun = time.monotonic()
                    f.write('{"v": 1, "verb": "status"}\n')
                    f.flush()
                    if "ok" not in f.readline():
                        raise OSError("no answer")
                    self.took_ms.append((time.monotonic() - begun) * 1000)
                    time.sleep(0.01)
        except OSError as e:
            self.error = str(e)

    def p99(self):
        return sorted(self.took_ms)[len(self.took_ms) * 99 // 100] if self.took_ms else 99999


def tool(w, ns, name, *argv):
    return w.space.start(ns, name, os.path.join(BUILD, "tests/bench", name), *argv)


def mac(w, ns, dev):
    return json.loads(w.on(ns, "ip", "-j", "link", "show", "dev", dev))[0]["address"]


def floods(w, seconds):
    """Two containers, and the wire: half of its frames for L4 ports that sessions may own."""
    found = [tool(w, ns, "udp_gen", "-d", FLOODED, "-p", "9", "-n", 64, "-l", 64, "-t", seconds,
                  "-g", n + 1) for n, ns in enumerate(("f1", "f2"))]
    found.append(tool(w, "w", "live_gen", "-i", "up0", "--dst-mac", mac(w, "h", "eth0"), "--src",
                      "203.0.113.77", "--dst", EXT, "--sport", "5000-5063", "--dport", "1024-1279",
                      "-t", seconds, "-g", 9))
    return found


def carried(w):
    """Packets that workers have taken and sent, and what came to the ports."""
    stats = w.json("stats")
    return (sum(x["rx_packets"] for x in stats["workers"]),
            sum(x["tx_packets"] for x in stats["workers"]), sum(x["seen"] for x in stats["ports"]))


def overload(w, seconds):
    w.session.add("pings", "h", ("-c", 0, "-u", 0, "-l", 0, "-v", "-p", GATEWAY))
    begun, before = now_ms(), carried(w)
    asker, running = Asker(w), floods(w, seconds)
    time.sleep(seconds)
    for p in running:
        p.wait(10 * SLOW)
    ended, after = now_ms(), carried(w)
    asker.over = True
    sent = [json.loads(p.out().splitlines()[-1])["sent"] for p in running]
    took = (ended - begun) / 1000
    w.notes.append("sent %.2f Mpps, seen by ports %.2f, carried %.2f; control socket p99 %d ms, worst %d ms" % (
        sum(sent) / took / 1e6, (after[2] - before[2]) / took / 1e6, (after[1] - before[1]) / took / 1e6,
        asker.p99(), max(asker.took_ms, default=0)))
    if asker.error or asker.p99() > CTL_MS * SLOW:
        raise RunError("control socket: %s, p99 %d ms" % (asker.error or "slow", asker.p99()))


def prepare(w):
    w.on("w", "ip", "route", "replace", "blackhole", FLOODED + "/32")
    w.on("h", "ethtool", "-K", "eth0", "gro", "on")  # live frames come in by NAPI
    for ns in ("f1", "f2"):
        w.make_container(ns, "10.1.20%s.2" % ns[1])


def judge(fault_made, session, window):
    """After the loads have ended: shares, recovery, first ping."""
    begin, end, _ = window
    wrong = []
    for name in ("c1", "c2", "host"):
        log = session.logs[name]
        lost = sum(m.count for m in log.missing if begin - 20 <= m.begin and m.end <= end + AFTER_MS)
        late = sum(m.count for m in log.missing if m.begin > end + AFTER_MS * SLOW)
        sent = (end - begin) / 1000 * session.rates[name]
        if lost > sent * (1 - SHARE) + BEGIN_MS / 1000 * session.rates[name]:
            wrong.append("%s lost %d of %d datagrams" % (name, lost, sent))
        if late:
            wrong.append("%s lost %d datagrams more than a second after it" % (name, late))
    first = [us / 1000 for _, at, us in session.logs["pings"].rtts if at - us / 1000 > end]
    if not first or first[0] > FIRST_PING_MS * SLOW:
        wrong.append("first ping after it: %s ms" % (first[0] if first else "no"))
    return wrong


@fault(quick=True, lost=0, resets=True, heal=1000, other=None, fresh=True, loads=("c1", "c2", "host"),
       prepare=prepare, judge=judge)
def overload_3s(w):
    """Two containers flood, and the wire, for 3 s: several times what the service can carry."""
    overload(w, 3)


@fault(lost=0, resets=True, heal=1000, other=None, fresh=True, loads=("c1", "c2", "host"), prepare=prepare,
       judge=judge)
def overload_60s(w):
    """The same for a minute."""
    overload(w, 60)
