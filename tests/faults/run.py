#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""run.py - makes faults while a checked load runs, and says what each one cost.

  run.py [--quick] [--only NAME]... [--json FILE] [--keep] [--list]
    --quick      those of make check
    --only NAME  these; may be repeated, a part of a name will do

Faults share a network, a service and a load where they can: the load runs on, and each fault has its
window of it (load.py). One line a fault:

  ok NAME              not ok NAME: WHY              later NAME: WHY
and a table at the end. `later` is what later.txt names: not met yet. Exit 0, 1, or 77 where it cannot
run at all. world.py has the picture, table.py what the bounds mean, entries/ the faults.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from load import LOADS, Session  # noqa: E402
from table import FAULTS, FORM, HEAD, Verdict, row  # noqa: E402
from world import (BUILD, DOOMED_PORT, HOST_L4_PORTS, INSIDE, JUDGE, OWN_MASQUERADE, SLOW,  # noqa: E402
                   RunError, Skip, World, now_ms, wait_for)
import entries  # noqa: E402,F401

BEFORE_S = 0.3  # of untroubled load before each fault
AFTER_S = 1.5   # and after it: longer than any of them may take to heal


class Judge:
    """Looks at the internet's end of the uplink: private sources, resets by the host. Each packet is
    the matter of that fault in whose time it came."""

    def __init__(self, world):
        self.world, self.pcap, self.seen = world, world.space.path("wire.%d.pcap" % now_ms()), []
        self.tcpdump = world.space.start(
            "w", "tcpdump", "tcpdump", "--immediate-mode", "-U", "-n", "-Z", "root", "-i", "up0",
            "-s", "128", "-w", self.pcap, "ip and (src net %s or (ip[6:2] & 0x1fff = 0 and "
            "tcp[tcpflags] & tcp-rst != 0))" % INSIDE)
        wait_for("tcpdump", 5 * SLOW, lambda: self.tcpdump.said("listening on"))

    def end(self):
        """What it has seen: (ms, kind, words). What host and mappings have in common is the address, so
        the L4 port says whose connection a reset is of."""
        time.sleep(0.1)
        self.tcpdump.stop(signal.SIGINT)
        if "\n0 packets dropped by kernel" not in self.tcpdump.err():
            raise RunError("the judge has missed packets: " + self.tcpdump.last_words())
        done = subprocess.run([JUDGE, "wire", self.pcap, "--inside", INSIDE, "--ext",
                               "198.51.100.2,198.51.100.5", "--each"], capture_output=True, text=True,
                              check=True)
        since = time.time() * 1000 - now_ms()
        self.seen = [(int(at * 1000 - since), kind, words)
                     for at, kind, sport, dport, words in json.loads(done.stdout)["each"]
                     if kind == "private" or sport < HOST_L4_PORTS[0] and dport != DOOMED_PORT]

    def complaints(self, made, begin, until):
        """Of one fault, whose packets came from begin to until; its cause was over at made.end."""
        wrong = []
        for kind, words, excused in (
                ("private", "with a private source on the uplink", made.end if made.fault.leaks else 0),
                ("host_rst", "of the host are resets", until if made.fault.resets else 0)):
            found = ["%+d ms %s" % (at - made.begin, text) for at, k, text in self.seen
                     if k == kind and begin <= at < until and not made.begin <= at < excused]
            if found:
                wrong.append("%d packets %s: %s" % (len(found), words, "; ".join(found[:3])))
        return wrong


class Made:
    """A fault that has been made: its window, and what went wrong in making it."""

    def __init__(self, fault, begin):
        self.fault, self.begin, self.end, self.until, self.wrong = fault, begin, begin, begin, []
        self.row, self.verdict, self.notes, self.skipped = "", None, [], None


def make(world, fault):
    """Breaks it, and waits until all should be well again."""
    time.sleep(BEFORE_S)
    made = Made(fault, now_ms())
    try:
        fault.function(world)
    except Skip as e:
        made.skipped = str(e)
    except (RunError, KeyError, IndexError, ValueError, OSError) as e:
        made.wrong.append(str(e) or repr(e))
        made.wrong += ["# " + ln for ln in traceback.format_exc().splitlines()[-4:]]
    made.end = now_ms()
    if fault.after and not made.wrong and not made.skipped:
        made.wrong += fault.after(world)
    time.sleep(max(0, AFTER_S * SLOW - (now_ms() - made.end) / 1000))
    made.until = now_ms()
    made.notes, world.notes = world.notes, []
    if world.service and world.service.running():
        try:
            wait_for("status is content", 2 * SLOW, lambda: world.ctl_ok("status"))
        except RunError as e:
            made.wrong.append("%s: %s" % (e, world.ctl_text("status").strip()[-300:]))
    elif world.service and not fault.down:
        made.wrong.append("the service is dead: " + world.service.last_words())
    return made


def session(world, faults, out):
    """Faults one after the other under one load. Those that could not follow are left in `faults`."""
    names = [n for n in LOADS if faults[0].loads is None or n in faults[0].loads]
    judge = Judge(world)
    world.session = Session(world, names)
    made = []
    while faults:
        made.append(make(world, faults.pop(0)))
        if made[-1].wrong or world.session.still():
            break  # what stands still now would be the next one's
    world.session.stop()
    complaints = world.complaints()
    judge.end()
    for m, before, after in zip(made, [None] + made, made[1:] + [None]):
        m.verdict = Verdict(m.fault, world.session, (m.begin, m.end, m.until))
        m.wrong = m.verdict.wrong + judge.complaints(
            m, m.begin if before else 0, after.begin if after else 1 << 62) + m.wrong
        m.row = row(m.verdict)
    if complaints:  # who of them did it: run it alone
        made[-1].wrong += complaints
    return made


def prepare(fault):
    world = World(workers=fault.workers, extra=fault.extra, queues=fault.queues)
    if fault.own_masquerade:
        world.on("h", "nft", "-f", "-", stdin=OWN_MASQUERADE)
    if fault.prepare:
        fault.prepare(world)
    if fault.unstarted:
        world.write_conf()
    else:
        world.start_service()
    return world


class Run:
    def __init__(self, options):
        self.options, self.rows, self.failed, self.records = options, [], 0, []
        here = os.path.dirname(os.path.realpath(__file__))
        with open(os.path.join(here, "later.txt"), encoding="utf-8") as f:
            lines = [ln.strip() for ln in f if ln.strip() and not ln.startswith("#")]
        self.later = {ln.split()[0]: " ".join(ln.split()[1:]) for ln in lines}

    def say(self, made):
        name = made.fault.name
        if made.skipped and not made.wrong:
            print("ok %s # skip %s" % (name, made.skipped))
        elif not made.wrong:
            print("ok %s%s" % (name, "  # is in later.txt, and passes" if name in self.later else ""))
        elif name in self.later:
            print("later %s: %s (%s)" % (name, made.wrong[0], self.later[name]))
        else:
            self.failed += 1
            print("not ok %s: %s" % (name, made.wrong[0]))
        for why in made.wrong[1:] + made.notes:
            print("    " + why)
        sys.stdout.flush()
        if made.row and not made.skipped:
            self.rows.append(made.row)
        if made.verdict:
            v = made.verdict
            self.records.append({"fault": name, "took_ms": v.took, "packets_lost": v.missing,
                                 "connections_lost": v.lost, "connections": v.flows,
                                 "corrupt": v.corrupt, "heal_ms": v.heal,
                                 "tcp_heal_ms": v.tcp_heal, "pause_ms": v.pause,
                                 "others_pause_ms": v.other, "wrong": made.wrong})

    def one_world(self, faults):
        """As many of them as one world lasts for; the others are left in the list."""
        key, fresh = faults[0].world_key(), faults[0].fresh
        mine = [faults.pop(0)]
        while not fresh and faults and faults[0].world_key() == key and not faults[0].fresh:
            mine.append(faults.pop(0))
        try:
            world = prepare(mine[0])
        except RunError as e:
            made = Made(mine[0], now_ms())
            made.wrong.append(str(e))
            self.say(made)
            faults[:0] = mine[1:]
            return
        try:
            made = session(world, mine, self)
            for m in made:
                self.say(m)
            if made[-1].wrong:
                for ln in world.log_tail():
                    print("    | " + ln)
        except RunError as e:
            broken = Made(mine.pop(0) if mine else FAULTS[next(iter(FAULTS))], now_ms())
            broken.wrong.append("the run itself: %s" % e)
            self.say(broken)
        finally:
            faults[:0] = mine
            if not self.options.keep:
                world.close()

    def all(self, faults):
        while faults:
            self.one_world(faults)
        print()
        print(FORM % HEAD)
        for line in self.rows:
            print(line)
        print("times in ms; connections lost of those that were open")
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as f:
                json.dump(self.records, f, indent=1)
        return 1 if self.failed else 0


def chosen(options):
    found = [f for f in FAULTS.values() if not options.only or any(x in f.name for x in options.only)]
    if options.quick and not options.only:
        found = [f for f in found if f.quick]
    # Those that share a world stand side by side.
    order = {}
    for f in found:
        order.setdefault((f.fresh, f.world_key()), len(order))
    return sorted(found, key=lambda f: order[(f.fresh, f.world_key())])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append")
    parser.add_argument("--json")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    faults = chosen(options)
    if options.list:
        for f in faults:
            print("%-28s %s" % (f.name, f.words))
        return 0
    if os.geteuid():
        print("skip: needs root")
        return 77
    for need in ("xegressd", "tests/tools/checked_load"):
        if not os.path.exists(os.path.join(BUILD, need)):
            print("skip: no %s: make tests" % os.path.join(BUILD, need))
            return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return Run(options).all(faults)


if __name__ == "__main__":
    sys.exit(main())
