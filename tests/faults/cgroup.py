# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""cgroup.py - a control group of a run's own, of either version: what a service may have of the machine.

Threads with less CPU time (the rest of the process keeps what it has), or a process with so much memory
and no more. RunError says why they cannot be made here.
"""
import os

from world import RunError

ROOT = "/sys/fs/cgroup"


def _write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(str(text))


def _read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


class Group:
    """Gone with the world, when its processes have ended."""

    def __init__(self, w, controller):
        self.folder = self.leaf = None
        own = os.path.join(ROOT, controller)
        self.old = os.path.isdir(own)  # version 1: a tree for each controller
        try:
            if not self.old and controller not in _read(os.path.join(ROOT, "cgroup.controllers")).split():
                raise OSError("no controller `%s`" % controller)
            if not self.old:
                _write(os.path.join(ROOT, "cgroup.subtree_control"), "+" + controller)
            self.folder = os.path.join(own if self.old else ROOT, w.space.id)
            os.mkdir(self.folder)
        except OSError as e:
            raise RunError("no control group for %s here: %s" % (controller, e)) from None
        w.at_end.append(self.close)

    def set(self, name, value, where=None):
        try:
            _write(os.path.join(where or self.folder, name), value)
        except OSError as e:
            raise RunError("%s of a control group: %s" % (name, e)) from None

    def get(self, name):
        return int(_read(os.path.join(self.folder, name)))

    def slow_down(self, pid, tids, share):
        """These threads of a process may run for so much of each 10 ms."""
        period_us = 10000
        where = self.folder
        if not self.old:
            self.set("cgroup.procs", pid)
            self.set("cgroup.subtree_control", "+cpu")
            self.leaf = where = os.path.join(self.folder, "threads")
            os.mkdir(where)
            self.set("cgroup.type", "threaded", where)
            self.set("cpu.max", "%d %d" % (share * period_us, period_us), where)
        else:
            self.set("cpu.cfs_period_us", period_us)
            self.set("cpu.cfs_quota_us", int(share * period_us))
        for tid in tids:
            self.set("tasks" if self.old else "cgroup.threads", tid, where)

    def memory_of(self, pid):
        """Its memory counts from now on."""
        self.set("cgroup.procs", pid)

    def memory_used(self):
        return self.get("memory.usage_in_bytes" if self.old else "memory.current")

    def memory_limit(self, size):
        self.set("memory.limit_in_bytes" if self.old else "memory.max", size)

    def oom_kills(self):
        text = _read(os.path.join(self.folder, "memory.oom_control" if self.old else "memory.events"))
        return int(dict(ln.split() for ln in text.splitlines()).get("oom_kill", 0))

    def close(self):
        for folder in (self.leaf, self.folder):
            if folder and os.path.isdir(folder):
                os.rmdir(folder)
