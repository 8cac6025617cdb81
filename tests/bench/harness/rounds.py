# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The order of things: rounds of all workloads; within a workload all contenders one after the other,
beginning with another one each round (A-B-C, B-C-A, ...).

So two figures that are compared lie seconds apart, and a ratio is made within a round: what
drifts over minutes on a shared machine is in both.
"""
import contextlib
import time

from .netns import RunError
from .series import number
from .topology import Topology
from .workload import Context


class Rounds:
    def __init__(self, workloads, contenders, options, say):
        self.workloads, self.options, self.say = workloads, options, say
        self.contenders = {c.name: c for c in contenders}
        self.records, self.left_out = [], {}
        self.shared = {}
        self.topo, self.spaces = None, []
        self.done = 0
        for c in contenders:
            self.leave_out(c.name, "*", c.why_not())
        for w in workloads:
            self.leave_out("*", w.name, w.why_not())

    def leave_out(self, contender, workload, why):
        if why and (contender, workload) not in self.left_out:
            self.left_out[contender, workload] = why
            self.say("left out: %s in %s: %s" % (contender, workload, why))

    def is_out(self, contender, workload):
        return any(key in self.left_out for key in (
            (contender, "*"), ("*", workload), (contender, workload)))

    def names(self, workload, turn):
        names = [n for n in workload.contenders if n in self.contenders and
                 not self.is_out(n, workload.name)]
        first = turn % len(names) if names else 0
        return names[first:] + names[:first]

    def seconds(self, workload):
        return max(self.options.seconds, workload.seconds or 0)

    def fresh(self):
        """A topology that no failed run has touched."""
        self.close()
        self.topo = Topology()
        self.spaces.append(self.topo.space.id)

    def close(self):
        if self.topo:
            topo, self.topo = self.topo, None
            topo.close()

    @contextlib.contextmanager
    def context(self, name, workload):
        if self.is_out(name, workload.name) or name not in self.contenders:
            raise RunError("%s is not there" % name)
        contender = self.contenders[name]
        try:
            contender.up(self.topo, workload.spec)
            yield Context(self.topo, contender, self.seconds(workload), self.shared)
        finally:
            self.topo.space.stop_running()
            contender.down(self.topo)
            self.topo.space.stop_all()

    def one(self, name, workload, turn):
        """One run, as a record; a failure is a record, too."""
        record = {"contender": name, "workload": workload.name, "round": turn}
        try:
            with self.context(name, workload) as ctx:
                outcome = workload.run(ctx)
                facts = ctx.contender.facts(self.topo)
            record.update(values=outcome.values, cpu=outcome.cpu, begin=round(outcome.begin, 3),
                          end=round(outcome.end, 3), raw=outcome.raw, facts=facts)
            self.say("%d %-18s %-15s %s" % (turn + 1, workload.name, name, self.brief(
                workload, record)))
        except RunError as e:
            record["error"] = str(e)
            self.say("%d %-18s %-15s failed: %s" % (turn + 1, workload.name, name, e))
            refused = getattr(self.contenders[name], "refused", None)
            self.leave_out(name, "*", refused)
            if refused:
                return
            self.fresh()
        self.records.append(record)

    @staticmethod
    def brief(workload, record):
        values, cost = record["values"], record["cpu"].get(workload.cost or "")
        more = ["%s %s" % (label or key, number(values[key], 4)) for key, label in workload.more
                if values.get(key) is not None]
        return "%s %s%s%s" % (number(values[workload.metric], 4), workload.unit,
                                "".join(", " + m for m in more),
                                ", CPU %.3g %s" % (cost, workload.cost) if cost else "")

    def workload(self, workload, turn):
        names = self.names(workload, turn)
        if not names:
            return
        self.fresh()
        try:
            workload.before(lambda name: self.context(name, workload), self.shared)
        except RunError as e:
            self.leave_out("*", workload.name, "calibration: %s" % e)
            return
        for name in names:
            self.one(name, workload, turn)

    def run(self, after_round):
        """All rounds, or as many as the budget allows; after_round() saves what there is."""
        began = time.monotonic()
        try:
            for turn in range(self.options.rounds):
                for workload in self.workloads:
                    self.workload(workload, turn)
                self.done = turn + 1
                after_round()
                took = time.monotonic() - began
                self.say("round %d of %d done, %d s" % (self.done, self.options.rounds, took))
                # A round that would not end in time (and a tenth) is not begun; a part of one
                # would give some workloads more rounds than others.
                if took * (self.done + 1) / self.done > self.options.budget * 66 and \
                        self.done < self.options.rounds:
                    self.say("the budget of %g min allows no further round" % self.options.budget)
                    break
        finally:
            self.close()
