# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""load.py - the checked loads of a session, and what their logs say about one fault.

tests/tools/load_line.h has the format of the logs. All times are ms of CLOCK_MONOTONIC, which is one
for all namespaces, so the account of a fault is a question of windows: [when it began, when the next
one begins). A gap belongs to the fault in whose window it began.
"""
import collections
import json
import signal

from world import GATEWAY, HOST_INSIDE, SERVER, SLOW, TCP_PORT, UDP_PORT, RunError, wait_for

IDLE_S = 20  # checked_load -i: longer than any fault lasts
OVERLAP_MS = 100  # a pause that begins this late after the cause has ended is not its pause

# name: (namespace, options). `many` are the flows that a crash must not end: mostly idle, many.
PLAIN = ("-c", 4, "-u", 2, "-r", 500, "-l", 50)
LOADS = {
    "c1": ("c1", PLAIN + ("-p", HOST_INSIDE, "-p", GATEWAY)),
    "c2": ("c2", PLAIN + ("-p", HOST_INSIDE)),
    "many": ("c1", ("-c", 150, "-b", 2000, "-g", 500, "-u", 1, "-r", 50, "-l", 0)),
    "host": ("h", ("-c", 2, "-u", 1, "-r", 100, "-l", 20, "-p", GATEWAY)),
}

Gap = collections.namedtuple("Gap", "kind idx begin end")
Lost = collections.namedtuple("Lost", "kind idx at reason")
Missing = collections.namedtuple("Missing", "kind idx begin end count")


class Log:
    """What one checked_load has said."""

    def __init__(self, text):
        self.gaps, self.lost, self.missing, self.late, self.rtts = [], [], [], [], []
        self.corrupt_at, self.summary = [], {}
        for line in text.splitlines():
            word = line.split()
            if word[0] == "gap":
                self.gaps.append(Gap(word[1], int(word[2]), int(word[3]), int(word[4])))
            elif word[0] == "lost":
                self.take_lost(word)
            elif word[0] == "missing":
                self.missing.append(Missing(word[1], *map(int, word[2:])))
            elif word[0] == "corrupt":
                self.corrupt_at.append(int(word[3]))
            elif word[0] == "late":
                self.late.append((int(word[1]), int(word[2])))
            elif word[0] == "rtt":
                self.rtts.append(tuple(map(int, word[1:])))
            elif word[0].startswith("{"):
                self.summary = json.loads(line)

    def take_lost(self, word):
        self.lost.append(Lost(word[1], int(word[2]), int(word[3]), word[4]))
        if word[4] == "corrupt":
            self.corrupt_at.append(int(word[3]))

    def own(self, begin, end):
        """How much of that time the load itself did not run."""
        return sum(max(0, min(end, b) - max(begin, a)) for a, b in self.late)

    def length(self, gap, begin=0):
        begin = max(begin, gap.begin)
        return gap.end - begin - self.own(begin, gap.end)


class Account:
    """One load in the window of one fault: [begin, until), the cause being over at `end`."""

    def __init__(self, log, begin, end, until):
        gaps = [g for g in log.gaps if begin <= g.end and g.begin < until and g.end > begin]
        mine = [g for g in gaps if g.begin < end + OVERLAP_MS]
        self.lost = [x for x in log.lost if begin <= x.at < until]
        self.missing = sum(m.count for m in log.missing if begin - 20 <= m.begin < until)
        self.corrupt = sum(begin <= at < until for at in log.corrupt_at)
        self.late = log.own(begin, until)
        self.pause = collections.defaultdict(int)  # by kind, the longest
        self.heal = collections.defaultdict(int)
        for g in mine:
            self.pause[g.kind] = max(self.pause[g.kind], log.length(g))
            self.heal[g.kind] = max(self.heal[g.kind], log.length(g, end))
        self.relapse = max((log.length(g) for g in gaps if g not in mine), default=0)

    def worst(self, what, *kinds):
        return max((n for kind, n in getattr(self, what).items() if kind in kinds), default=0)


class Session:
    """The loads, running while faults are made one after the other."""

    def __init__(self, world, names):
        self.world, self.running, self.logs = world, {}, {}
        self.streams, self.rates = {}, {}
        for name in names:
            self.add(name)
        wait_for("all loads running", 15 * SLOW,
                 lambda: all(p.said("ready") for p in self.running.values()))

    def add(self, name, ns=None, options=None, tcp_port=TCP_PORT):
        ns, options = (ns, options) if ns else LOADS[name]
        self.streams[name] = options[options.index("-c") + 1]
        self.rates[name] = options[options.index("-r") + 1] if "-r" in options else 0
        self.running[name] = self.world.start(ns, "load-" + name, "checked_load", "-i", IDLE_S,
                                              *options, SERVER, tcp_port, UDP_PORT)

    def drop(self, name):
        """That load's container is about to die: what becomes of it is nobody's matter."""
        self.running.pop(name, None)

    def still(self):
        """Names of the loads some line of which stands still now."""
        before = {name: p.out().count("still ") for name, p in self.running.items()}
        for p in self.running.values():
            p.popen.send_signal(signal.SIGUSR1)
        wait_for("an answer of the loads", 5 * SLOW, lambda: all(
            p.out().count("still ") > before[n] for n, p in self.running.items()))
        return [n for n, p in self.running.items()
                if not [ln for ln in p.out().splitlines() if ln.startswith("still ")][-1].endswith(" 0")]

    def stop(self):
        for p in self.running.values():
            if p.running():
                p.popen.send_signal(signal.SIGTERM)
        for name, p in self.running.items():
            p.popen.wait(10 * SLOW)
            self.logs[name] = Log(p.out())
            if not self.logs[name].summary:
                raise RunError("load %s: %s" % (name, p.last_words()))

    def account(self, name, begin, end, until):
        return Account(self.logs[name], begin, end, until)
