# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a workload is; the loads themselves are in load_*.py.

run(ctx) drives one load through the contender that is up and returns an Outcome. Everything it
starts ends before it returns (the bench ends what is left).
"""
import json
import os

from . import cpu
from .contenders import BUILD, Spec
from .netns import RunError, wait_for

CARRIERS = ("xegress", "xegress-2w", "xegress-native", "forward", "iptables", "iptables-rps",
            "nftables", "nftables-rps", "tc", "xdp")
# What stands beside the figures that have to be shown: fewer, so that five rounds of all take less
# than an hour.
FEWER = ("xegress", "xegress-2w", "forward", "iptables", "iptables-rps", "nftables-rps", "tc")
WITH_RULES = ("xegress", "iptables", "nftables")
WITH_SESSIONS = ("xegress", "xegress-2w", "iptables", "nftables")


def tool(name):
    return os.path.join(BUILD, "tests/bench", name)


def last_json(text, who):
    """The JSON object that a generator prints, whatever it says before."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise RunError("%s: no JSON in `%.200s`" % (who, text)) from None


class Context:
    """One run: where, through whom, for how long. `shared` lives as long as the bench."""

    def __init__(self, topo, contender, seconds, shared):
        self.topo, self.contender = topo, contender
        self.seconds, self.shared = seconds, shared
        self.space = topo.space
        self.patience = seconds + 20  # for a load that should take `seconds`

    def window(self):
        return cpu.Window(self.contender.pids)

    def serve(self, ns, name, *argv):
        """A server, up when it says READY."""
        server = self.space.start(ns, name, *argv)
        wait_for(name, 5, lambda: server.said("READY"))
        return server


class Outcome:
    def __init__(self, values, window, raw, nbytes=0, packets=0):
        self.values, self.raw = values, raw
        self.cpu = window.result(nbytes, packets)
        self.begin, self.end = window.begin, window.end


class Workload:
    name = group = title = ""
    metric = unit = ""  # of values[metric], the figure that is compared
    better = "more"     # or "less"
    cost = None         # "s_per_gb" or "s_per_mpkt": which CPU column the table shows
    contenders = CARRIERS
    needs = ()          # generators of tests/bench, other programs
    seconds = None      # longer than the bench's default where the load needs it
    spec = Spec()
    more = ()           # (metric, unit) of further columns

    def why_not(self):
        for program in self.needs:
            path = tool(program)
            if not os.access(path, os.X_OK) and not any(
                    os.access(os.path.join(d, program), os.X_OK)
                    for d in os.environ["PATH"].split(":")):
                return "no `%s`: make bench-build" % path
        return None

    def before(self, ctx_of, shared):
        """Once a round, before the first contender; ctx_of(contender name) is a context manager
        that puts one up, for calibration; shared is what other runs see as ctx.shared."""

    def run(self, ctx):
        raise NotImplementedError
