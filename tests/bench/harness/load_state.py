# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Many live sessions; and a machine that has nothing to do."""
import time

from . import cpu
from .contenders import Spec
from .load_rpc import CRR_PORTS, connect_loop, crr_values
from .netns import RunError, wait_for
from .topology import BLACKHOLE
from .workload import Outcome, WITH_SESSIONS, Workload, last_json, tool

SOCKETS = 16384       # udp_gen's bound; more flows share them by L4 ports of the destination
FILL_S = 40           # a million first packets at 25,000 a second: more is broken, not slow
FULL = 0.95           # of the flows; what an overloaded receiver loses comes by the next turn
LOOK_S = 0.5          # counting a million sessions costs, too
IDLE_SETTLE_S = 0.5


class Sessions(Workload):
    """udp_gen goes round all its flows, one packet each in turn, so each packet meets a session that
    was not touched for long: first until all are there, then for the figure. Then connects beside
    the live sessions."""
    group, metric, unit, cost = "sessions", "mpps", "Mpps on the uplink", "s_per_mpkt"
    more = (("crr", "connects/s"), ("crr_p99_us", "connect p99 us"), ("live", "live sessions"),
            ("fill_s", "s to fill"))
    needs = ("udp_gen", "tcp_srv", "tcp_crr")
    contenders = WITH_SESSIONS

    def __init__(self, name, title, count):
        self.name, self.title, self.count = name, title, count
        self.spec = Spec(sessions=count)

    def run(self, ctx):
        ctx.serve("w", "tcp_srv", tool("tcp_srv"), "-p", CRR_PORTS)
        shared_by = -(-self.count // SOCKETS)
        began = time.monotonic()
        gen = ctx.space.start("c1", "udp_gen", tool("udp_gen"), "-d", BLACKHOLE, "-p",
                              "10000-%d" % (10000 + shared_by - 1), "-n", self.count, "-b", 1,
                              "-t", 0)
        wait_for("%d live sessions" % self.count, FILL_S, lambda: self.full(ctx, gen), every=LOOK_S)
        fill_s = time.monotonic() - began
        _, out, _, _ = ctx.topo.counters("h", "eth0")
        with ctx.window() as window:
            time.sleep(ctx.seconds)
            _, now, _, _ = ctx.topo.counters("h", "eth0")
        sent = last_json(gen.stop(), "udp_gen")
        live = ctx.contender.live_sessions(ctx.topo)
        connects = last_json(connect_loop(ctx, "c1").wait(ctx.patience), "tcp_crr")
        made = crr_values(connects)
        values = {"mpps": (now - out) / window.seconds / 1e6, "live": live, "fill_s": fill_s,
                  "crr": made["rate"], "crr_p99_us": made["p99_us"]}
        return Outcome(values, window, {"udp_gen": sent, "tcp_crr": connects}, packets=now - out)

    def full(self, ctx, gen):
        if not gen.running():
            raise RunError("udp_gen: " + gen.last_words())
        return ctx.contender.live_sessions(ctx.topo) >= FULL * self.count


class Idle(Workload):
    """Nothing is sent. The contender's own threads, in percent of one core; beside it what the whole
    machine did, which shows how quiet it was."""
    name, title = "idle", "idle: CPU of the contender's own threads"
    group, metric, unit, better = "idle", "own_pct", "% of a core", "less"
    more = (("machine_pct", "machine, % of a core"),)
    contenders = ("xegress", "xegress-2w", "xegress-native", "forward", "iptables", "tc", "xdp",
                  "testpmd")
    seconds = 3

    def run(self, ctx):
        time.sleep(IDLE_SETTLE_S)
        with ctx.window() as window:
            time.sleep(ctx.seconds)
        values = {"own_pct": 100.0 * window.contender / window.seconds,
                  "machine_pct": 100.0 * window.busy / window.seconds}
        return Outcome(values, window, {"tick_s": cpu.TICK_S})


WORKLOADS = [
    Sessions("sessions-1", "64 bytes through 1 live session", 1),
    Sessions("sessions-100k", "64 bytes in turn through 100,000 live sessions", 100000),
    Sessions("sessions-1m", "64 bytes in turn through 1,000,000 live sessions", 1000000),
    Idle(),
]
