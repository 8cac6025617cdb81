# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""CPU time of the whole machine, and of single processes.

The whole machine, because a translator's work is done in places that no process is charged for:
softirq in the sender's context, ksoftirqd, the receiver's wake-ups. What else runs on the machine is
counted, too: a reason to run the bench on a quiet one, and why `busy` of an idle run stands beside.
"""
import os
import time

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
BUSY = ("user", "nice", "system", "irq", "softirq")


def machine():
    """Seconds since boot, per field, all cores together and each apart."""
    total, cores = {}, []
    with open("/proc/stat", encoding="ascii") as f:
        for line in f:
            if not line.startswith("cpu"):
                break
            name, *ticks = line.split()
            values = {k: int(t) * TICK_S for k, t in zip(FIELDS, ticks)}
            if name == "cpu":
                total = values
            else:
                cores.append(values)
    return total, cores


def process(pid):
    """User and system seconds of all threads of a process; 0 when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK_S


class Window:
    """with Window(pids) as w: ...load...; then w.result() tells what it cost."""

    def __init__(self, pids=()):
        self.pids = list(pids)

    def __enter__(self):
        self.begin = time.time()
        self.clock = time.monotonic()
        self.before, self.before_cores = machine()
        self.before_pids = {p: process(p) for p in self.pids}
        return self

    def __exit__(self, *_):
        after, after_cores = machine()
        self.seconds = time.monotonic() - self.clock
        self.end = time.time()
        delta = {k: after[k] - self.before[k] for k in FIELDS}
        self.busy = sum(delta[k] for k in BUSY)
        self.steal = delta["steal"]
        self.split = {k: round(delta[k], 3) for k in FIELDS}
        self.cores = [round(sum(a[k] - b[k] for k in BUSY), 3)
                      for a, b in zip(after_cores, self.before_cores)]
        self.contender = sum(process(p) - self.before_pids[p] for p in self.pids)
        return False

    def result(self, nbytes=0, packets=0):
        """For the record; per GB and per million packets where they were counted."""
        out = {"seconds": round(self.seconds, 3), "busy_s": round(self.busy, 3),
               "steal_s": round(self.steal, 3), "busy_per_core_s": self.cores,
               "split_s": self.split, "contender_s": round(self.contender, 3)}
        if nbytes:
            out["s_per_gb"] = round(self.busy / (nbytes / 1e9), 4)
        if packets:
            out["s_per_mpkt"] = round(self.busy / (packets / 1e6), 4)
        return out
