# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""overload.py - more than the machine can carry: containers that send as fast as they can, and frames
without an skb into the uplink at several times what the service can take.

Before it: what can the service carry, one container alone sending what it can? Of that the floods have
to be three times as much, or nothing is proven. A machine that also has to send it all cannot send three
times what its CPUs can carry: so the worker has a fifth of the time. Asked meanwhile: does the control socket answer, do
the host's own connections live, does a modest container get its share? And afterwards: how long until
nothing is lost, how long is the first ping, is as much carried as before?
"""
import json
import os
import socket
import threading
import time

from cgroup import Group
from table import fault
from world import BUILD, EXT, GATEWAY, SLOW, RunError, now_ms, worker_threads

FLOODED = "203.0.113.200"  # w throws it away at once: no receiver's work
CTL_MS, FIRST_PING_MS, SHARE = 100, 10, 0.95
CTL_WORST_MS = 1000  # of all answers: a hundredth may be above CTL_MS, none above this
TIMES = 3  # the floods, of what can be carried
WORKER = 0.2  # of a CPU's time; where there are no control groups, all of it: then this cannot be proven
ALONE_S, FULL = 0.7, 0.9  # measured for so long; so much of it has to be carried again afterwards
BEGIN_MS = 250  # the floods' first packets meet a worker that sleeps: what its rings lose is apart
AFTER_MS = 1000  # after this nothing may be lost any more
CALM_MS = 250  # looked at so long


class Asker(threading.Thread):
    """Asks the control socket for its status a hundred times a second, on one connection."""

    def __init__(self, w):
        super().__init__(daemon=True)
        self.path, self.took_ms, self.over, self.error = w.run_dir() + "/ctl.sock", [], False, None
        self.own_ms = 0  # at most, how late this thread itself was
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
                    begun = time.monotonic()
                    time.sleep(0.01)
                    self.own_ms = max(self.own_ms, (time.monotonic() - begun) * 1000 - 10)
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
    return found + [wire(w, seconds, 3)]


def wire(w, seconds, number):
    return tool(w, "w", "live_gen", "-i", "up0", "--dst-mac", mac(w, "h", "eth0"), "--src",
                "203.0.113.77", "--dst", EXT, "--sport", "5000-5063", "--dport", "1024-1279",
                "-t", seconds, "-g", number)


def three_times(w, running, seconds):
    """More of the wire, until enough comes: on a busy machine each has a small part of a CPU."""
    end = time.monotonic() + seconds
    while True:
        begun, before = time.monotonic(), carried(w)[2]
        time.sleep(min(0.4, max(0, end - begun)))
        now = time.monotonic()
        if now >= end:
            return
        if (carried(w)[2] - before) / (now - begun) < (TIMES + 0.5) * w.alone and len(running) < 12:
            running.append(wire(w, end - now, len(running) + 1))


def carried(w):
    """Packets that workers have taken and sent, and what came to the ports."""
    stats = w.json("stats")
    return (sum(x["rx_packets"] for x in stats["workers"]),
            sum(x["tx_packets"] for x in stats["workers"]), sum(x["seen"] for x in stats["ports"]))


def free_share():
    """Of the machine's CPUs what nobody else wants: a service can answer in time in its own time only.
    1 where it is quiet; the loads of this run want some 0.3."""
    def now():
        with open("/proc/stat", encoding="ascii") as f:
            words = list(map(int, f.readline().split()[1:]))
        return words[3] + words[4], sum(words[:8])
    before = now()
    time.sleep(0.4)
    after = now()
    return min(1, max(0.25, 0.3 + (after[0] - before[0]) / max(1, after[1] - before[1])))


def speed():
    """Of this virtual CPU, just now: turns of a loop in 50 ms of its time. Its host may halve it."""
    turns, end = 0, time.thread_time() + 0.05
    while time.thread_time() < end:
        turns += bool(sum(range(500)))
    return turns


def alone(w, rate=0):
    """Packets a second that are carried when one container sends what it can, or at a rate; and what
    it did send."""
    p = tool(w, "f1", "udp_gen", "-d", FLOODED, "-p", "9", "-n", 64, "-l", 64, "-t", ALONE_S + 0.4,
             "-r", int(rate), "-g", 20)
    time.sleep(0.2)  # it has begun
    begun, before = now_ms(), carried(w)
    time.sleep(ALONE_S)
    got = (carried(w)[1] - before[1]) * 1000 / (now_ms() - begun)
    p.wait(10 * SLOW)
    said = json.loads(p.out().splitlines()[-1])
    return got, said["sent"] / said["seconds"]


def overload(w, seconds):
    w.session.add("pings", "h", ("-c", 0, "-u", 0, "-l", 0, "-v", "-p", GATEWAY))
    slow, times = SLOW / free_share(), TIMES
    try:
        Group(w, "cpu").slow_down(w.service.pid, worker_threads(w.service.pid), WORKER)
    except RunError as e:
        times = 0
        w.notes.append("%s: how many times what can be carried the floods are is not asked" % e)
    w.speed = speed()
    w.alone = min(alone(w)[0], alone(w)[0])  # the lower: one differs from the next by a tenth
    begun, before = now_ms(), carried(w)
    asker, running = Asker(w), floods(w, seconds)
    three_times(w, running, seconds)
    for p in running:
        p.wait(10 * SLOW)
    ended, after = now_ms(), carried(w)
    asker.over = True
    sent = [json.loads(p.out().splitlines()[-1])["sent"] for p in running]
    took = (ended - begun) / 1000
    rate, worst = sum(sent) / took, max(asker.took_ms, default=0)
    w.capacity = max(w.alone, (after[1] - before[1]) / took)
    w.notes.append("can carry %.2f Mpps; sent %.2f Mpps, seen by ports %.2f, carried %.2f; control socket "
                   "p99 %d ms, worst %d ms (asker's own %d), bounds %.1f times" % (
                       w.capacity / 1e6, rate / 1e6, (after[2] - before[2]) / took / 1e6,
                       (after[1] - before[1]) / took / 1e6, asker.p99(), worst, asker.own_ms, slow))
    w.flooded = [begun, ended]
    if rate < times * w.capacity:
        raise RunError("no overload: sent %.1f times of what can be carried" % (rate / w.capacity))
    if asker.error or asker.p99() > CTL_MS * slow or worst - asker.own_ms > CTL_WORST_MS * slow:
        raise RunError("control socket: %s, p99 %d ms, worst %d ms" % (asker.error or "slow", asker.p99(),
                                                                      worst))


def full_again(w):
    """From a second after it on: what could be carried before, as far as the CPU is as fast as it was. (On a
    busy machine it cannot be sent, sometimes, and less is then less; asked twice more, for the worker may
    have had no CPU for a moment.)"""
    time.sleep((AFTER_MS + CALM_MS) / 1000 * SLOW)
    begun = now_ms()
    for _ in range(3):
        before = w.alone * min(1, speed() / w.speed)
        again, sent = alone(w, 0.95 * before)
        if again >= FULL * min(before, sent):
            break
    w.flooded += begun, now_ms()
    time.sleep(2 * CALM_MS / 1000 * SLOW)
    w.notes.append("a second after it %.2f of %.2f Mpps" % (again / 1e6, sent / 1e6))
    if again < FULL * min(before, sent):
        return ["a second after it %.2f of %.2f Mpps are carried, before it %.2f, by this CPU's speed now %.2f" % (
            again / 1e6, sent / 1e6, w.alone / 1e6, before / 1e6)]
    return []


def prepare(w):
    w.on("w", "ip", "route", "replace", "blackhole", FLOODED + "/32")
    w.on("h", "ethtool", "-K", "eth0", "gro", "on")  # live frames come in by NAPI
    for ns in ("f1", "f2"):
        w.make_container(ns, "10.1.20%s.2" % ns[1])


def judge(fault_made, session, window):
    """After the loads have ended: shares, recovery, first ping."""
    flooded = session.world.flooded  # begin and end of the flood, and of what is carried again
    begin, end, again = window[0], flooded[1], flooded[2:] + [window[2]] * 2
    wrong = []
    for name in ("c1", "c2", "host"):
        log = session.logs[name]
        late = sum(m.count for m in log.missing if end + AFTER_MS * SLOW < m.begin < again[0] or
                   m.begin > again[1] + CALM_MS * SLOW)
        lost = sum(m.count for m in log.missing if m.begin >= begin - 20) - late
        sent = (window[2] - begin) / 1000 * session.rates[name]
        if lost > sent * (1 - SHARE) + BEGIN_MS / 1000 * session.rates[name]:
            wrong.append("%s lost %d of %d datagrams" % (name, lost, sent))
        if late:
            wrong.append("%s lost %d datagrams more than a second after it" % (name, late))
    first = [us / 1000 for _, at, us in session.logs["pings"].rtts if at - us / 1000 > end]
    if not first or first[0] > FIRST_PING_MS * SLOW:
        wrong.append("first ping after it: %s ms" % (first[0] if first else "no"))
    return wrong


@fault(quick=True, heal=1000, other=None, fresh=True, loads=("c1", "c2", "host"),
       prepare=prepare, judge=judge, after=full_again)
def overload_3s(w):
    """Two containers flood, and the wire, for 3 s: several times what the service can carry."""
    overload(w, 3)


@fault(heal=1000, other=None, fresh=True, loads=("c1", "c2", "host"), prepare=prepare,
       judge=judge, after=full_again)
def overload_60s(w):
    """The same for a minute."""
    overload(w, 60)
