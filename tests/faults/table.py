# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""table.py - the faults there are, the bounds of each, and the verdict on one that was made."""
import collections

from world import SLOW

FAULTS = collections.OrderedDict()
NEW = ("udp", "connect", "ping")  # what does not wait for a peer's retransmission timer
OTHER_MISSING = 0.005


class Fault:
    """A function that makes something break and heal again. It returns when the cause is over.

    quick     part of `make check`
    hits      loads whose packets go through what is broken; all the others must not notice
    lost      connections of those that may be lost; None: any number
    survive   instead: this part of them has to be there afterwards
    heal      ms until every line of them goes on, from the end of the cause
    pause     ms that none of them may stand still, whatever the cause; None: as long as the cause
    tcp       ms more for streams, which wait for the peers' retransmission (world.py: 1 s at most)
    other     ms that the other loads may stand still: what a busy machine does without any fault.
              Of their datagrams OTHER_MISSING may be lost, and what their own lateness explains
    missing   datagrams that may be lost; None: any number
    fresh     a session of its own: it ends flows by its nature, or wants another start
    down      the service is not there afterwards
    unstarted the service is not there before
    resets    the host may reset flows: the fault is that they are gone
    leaks     nothing of ours may be there before the cause is over: private sources may leave
    loads     names of the loads (load.py); None: all
    prepare   a function of the world, before the loads start
    judge     a function of this, the session and the window: what else is wrong
    after     a function of the world, when the cause is over: what is wrong then
    extra, queues, workers, own_masquerade: the world it wants (world.py)
    """

    def __init__(self, function, quick=False, hits=("c1", "c2", "many"), lost=0, survive=None,
                 heal=1000, pause=None, tcp=1200, other=400, missing=None, fresh=False,
                 extra="", queues=1, workers="0", own_masquerade=False, loads=None,
                 down=False, leaks=False, prepare=None, judge=None,
                 unstarted=False, resets=False, after=None):
        self.function, self.quick, self.hits = function, quick, hits
        self.lost, self.survive, self.heal, self.pause = lost, survive, heal, pause
        self.tcp, self.other, self.missing, self.fresh = tcp, other, missing, fresh
        self.extra, self.queues, self.workers = extra, queues, workers
        self.own_masquerade, self.loads = own_masquerade, loads
        self.unstarted, self.resets, self.after = unstarted, resets, after
        self.down, self.leaks, self.prepare, self.judge = down, leaks, prepare, judge
        self.name = function.__name__.replace("_", "-")
        self.words = " ".join((function.__doc__ or "").split())

    def world_key(self):
        return self.extra, self.queues, self.workers


def fault(**bounds):
    def add(function):
        f = Fault(function, **bounds)
        assert f.name not in FAULTS, f.name
        FAULTS[f.name] = f
        return function
    return add


class Verdict:
    """What a fault cost, and what of that is too much. window: begin, end of the cause, until."""

    def __init__(self, fault_made, session, window):
        self.fault, self.wrong, self.took = fault_made, [], window[1] - window[0]
        self.lost = self.missing = self.corrupt = self.heal = self.tcp_heal = 0
        self.pause = self.tcp_pause = self.other = self.other_missing = self.flows = 0
        self.other_may = 0
        self.reasons = collections.Counter()
        for name in session.logs:
            account = session.account(name, *window)
            self.corrupt += account.corrupt
            if name in fault_made.hits:
                self.flows += session.streams[name]
                self.take_hit(name, account)
            else:
                self.take_other(name, account, session.rates[name], window[2] - window[0])
        if self.corrupt:
            self.wrong.append("%d corrupt" % self.corrupt)
        if fault_made.other is not None and self.other_missing > self.other_may:
            self.wrong.append("loads that have nothing to do with it lose %d datagrams, %d may be" % (
                self.other_missing, self.other_may))
        self.judge_lost()
        if fault_made.judge:
            self.wrong += fault_made.judge(fault_made, session, window)

    def take_hit(self, name, account):
        f = self.fault
        self.lost += len(account.lost)
        self.reasons.update("%s %s %s" % (name, x.kind, x.reason) for x in account.lost)
        self.missing += account.missing
        heal, tcp_heal = account.worst("heal", *NEW), account.worst("heal", "stream")
        pause = account.worst("pause", *NEW)
        self.heal, self.tcp_heal = max(self.heal, heal), max(self.tcp_heal, tcp_heal)
        self.pause = max(self.pause, pause)
        self.tcp_pause = max(self.tcp_pause, account.worst("pause", "stream"))
        self.bound(name, "heals after", heal, f.heal)
        if f.heal is not None:
            self.bound(name, "streams heal after", tcp_heal, f.heal + f.tcp)
            self.bound(name, "stands still again for", account.relapse, 500 + f.tcp)
        self.bound(name, "stands still for", pause, f.pause)
        if f.missing is not None and account.missing > f.missing:
            self.wrong.append("%s: %d datagrams lost" % (name, account.missing))

    def take_other(self, name, account, rate, took_ms):
        kind, pause = max(account.pause.items(), key=lambda x: x[1], default=("", 0))
        self.other = max(self.other, pause)
        self.other_missing += account.missing
        self.other_may += rate * (took_ms * OTHER_MISSING + account.late) / 1000
        if account.lost and self.fault.other is not None:
            self.wrong.append("%s, which has nothing to do with it, loses %d: %s %s" % (
                name, len(account.lost), account.lost[0].kind, account.lost[0].reason))
        self.bound(name, "which has nothing to do with it, stands still (%s) for" % kind, pause,
                   self.fault.other)

    def judge_lost(self):
        f = self.fault
        may = f.lost if f.survive is None else int(self.flows * (1 - f.survive))
        if may is not None and self.lost > may:
            self.wrong.append("%d connections lost, %d may be (%s)" % (self.lost, may, ", ".join(
                "%s: %d" % x for x in self.reasons.most_common(3))))

    def bound(self, name, what, got, most):
        if most is not None and got > most * SLOW:
            self.wrong.append("%s %s %d ms, %d may be" % (name, what, got, most * SLOW))


HEAD = ("fault", "took", "packets lost", "connections lost", "corrupt", "stood still", "heals",
        "TCP heals", "others: lost, still")
FORM = "%-26s %6s %12s %16s %7s %11s %7s %9s %19s"


def row(v):
    """One line of the table, times in ms."""
    return FORM % (v.fault.name, v.took, v.missing, "%d of %d" % (v.lost, v.flows), v.corrupt,
                   max(v.pause, v.tcp_pause), v.heal, v.tcp_heal, "%d, %d" % (v.other_missing, v.other))
