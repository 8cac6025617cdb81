# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Requests and connections: latency in a closed loop and at half load, connects per second, with
many rules, and beside a neighbour who floods."""
from .contenders import Spec
from .netns import RunError
from .topology import BLACKHOLE, SERVER
from .workload import CARRIERS, FEWER, Outcome, WITH_RULES, Workload, last_json, tool

RR_PORT = 8000
CRR_PORTS = "8100-8163"  # 64: 28,000 ephemeral L4 ports each are enough for any rate
CRR_CONCURRENT = 64
RR_CONNECTIONS = 16
BASE = "iptables"        # its closed loop sets the half load of all


def request_loop(ctx, ns, connections, rate=None, seconds=None):
    argv = [tool("tcp_rr"), "-d", SERVER, "-p", RR_PORT, "-c", connections, "-t",
            seconds or ctx.seconds]
    if rate:
        argv += ["-r", int(rate)]
    return ctx.space.start(ns, "tcp_rr", *argv)


def rr_values(result):
    if not result["transactions"]:
        raise RunError("tcp_rr: no transaction, %s errors" % result.get("errors"))
    return {"rate": result["rate"], "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "p999_us": result["p999_us"], "window_p99_us": result["window_p99_us"], "errors": result.get("errors", 0)}


class Requests(Workload):
    group = "latency"
    needs = ("tcp_srv", "tcp_rr")
    cost = None

    def run(self, ctx):
        ctx.serve("w", "tcp_srv", tool("tcp_srv"), "-p", RR_PORT)
        rate = self.rate(ctx)
        with ctx.window() as window:
            client = request_loop(ctx, "c1", self.connections, rate)
            result = last_json(client.wait(ctx.patience), "tcp_rr")
        values = dict(rr_values(result), machine_pct=100.0 * window.busy / window.seconds)
        return Outcome(values, window, result, packets=2 * result["transactions"])

    def rate(self, ctx):
        return None


class ClosedLoop(Requests):
    name, title = "rr-closed", "TCP request/response, 16 connections, closed loop"
    metric, unit, connections = "rate", "transactions/s", RR_CONNECTIONS
    more = (("p50_us", "p50 us"), ("p99_us", "p99 us"), ("p999_us", "p99.9 us"))
    contenders = FEWER


class OneConnection(Requests):
    name, title = "rr-1", "TCP request/response, 1 connection, closed loop"
    metric, unit, better, connections = "p50_us", "us p50", "less", 1
    more = (("p99_us", "p99 us"), ("p999_us", "p99.9 us"), ("rate", "transactions/s"))
    contenders = FEWER


class HalfLoad(Requests):
    """The same rate for all: half of what iptables' closed loop reaches on this machine."""
    name, title = "rr-half", "TCP request/response at half load (of iptables' closed loop)"
    metric, unit, better, connections = "p99_us", "us p99", "less", RR_CONNECTIONS
    more = (("p50_us", "p50 us"), ("window_p99_us", "p99 us of 50 ms, median"), ("p999_us", "p99.9 us"),
            ("rate", "transactions/s"), ("machine_pct", "machine, % of a core"))

    def before(self, ctx_of, shared):
        if "half_load" in shared:
            return
        with ctx_of(BASE) as ctx:
            ctx.serve("w", "tcp_srv", tool("tcp_srv"), "-p", RR_PORT)
            client = request_loop(ctx, "c1", RR_CONNECTIONS)
            result = last_json(client.wait(ctx.patience), "tcp_rr")
            shared["half_load"] = int(rr_values(result)["rate"] / 2)

    def rate(self, ctx):
        return ctx.shared["half_load"]


class OwnHalfLoad(HalfLoad):
    """Each at half of what its own closed loop reached, seconds before: as far from its limit as any."""
    name, title = "rr-own-half", "TCP request/response at half of one's own closed loop"

    def before(self, ctx_of, shared):
        pass

    def rate(self, ctx):
        client = request_loop(ctx, "c1", RR_CONNECTIONS, seconds=0.5)
        return rr_values(last_json(client.wait(ctx.patience), "tcp_rr"))["rate"] / 2


def connect_loop(ctx, ns):
    return ctx.space.start(ns, "tcp_crr", tool("tcp_crr"), "-d", SERVER, "-p", CRR_PORTS, "-c",
                           CRR_CONCURRENT, "-t", ctx.seconds)


def crr_values(result):
    if not result["connections"]:
        raise RunError("tcp_crr: no connection, %s errors" % result.get("errors"))
    return {"rate": result["rate"], "p50_us": result["p50_us"], "p99_us": result["p99_us"],
            "errors": result.get("errors", 0)}


class Connects(Workload):
    group, metric, unit = "connect", "rate", "connects/s"
    needs = ("tcp_srv", "tcp_crr")
    more = (("p50_us", "p50 us"), ("p99_us", "p99 us"), ("errors", "errors"))

    def __init__(self, name, title, rule_cnt=0, contenders=CARRIERS, group="connect"):
        self.name, self.title, self.group = name, title, group
        self.spec = Spec(rule_cnt=rule_cnt)
        self.contenders = contenders

    def run(self, ctx):
        ctx.serve("w", "tcp_srv", tool("tcp_srv"), "-p", CRR_PORTS)
        with ctx.window() as window:
            result = last_json(connect_loop(ctx, "c1").wait(ctx.patience), "tcp_crr")
        return Outcome(crr_values(result), window, result)


class Neighbour(Workload):
    """c1's requests alone, then while c2 sends small UDP packets as fast as it can."""
    name, title = "neighbour", "c1's requests while c2 floods, against c1 alone"
    group, metric, unit = "neighbour", "kept_pct", "% of the rate kept"
    more = (("p99_alone_us", "p99 alone us"), ("p99_us", "p99 flooded us"),
            ("flood_mpps", "flood sent Mpps"))
    needs = ("tcp_srv", "tcp_rr", "udp_gen")
    contenders = FEWER

    def run(self, ctx):
        ctx.serve("w", "tcp_srv", tool("tcp_srv"), "-p", RR_PORT)
        alone = last_json(request_loop(ctx, "c1", 4).wait(ctx.patience), "tcp_rr")
        flood = ctx.space.start("c2", "udp_gen", tool("udp_gen"), "-d", BLACKHOLE, "-p", "7000",
                                "-n", 16, "-t", ctx.seconds + 2)
        with ctx.window() as window:
            beside = last_json(request_loop(ctx, "c1", 4).wait(ctx.patience), "tcp_rr")
        sent = last_json(flood.stop(), "udp_gen")
        one, two = rr_values(alone), rr_values(beside)
        values = {"kept_pct": 100.0 * two["rate"] / one["rate"], "rate_alone": one["rate"],
                  "rate": two["rate"], "p99_alone_us": one["p99_us"], "p99_us": two["p99_us"],
                  "flood_mpps": sent["sent"] / sent["seconds"] / 1e6}
        return Outcome(values, window, {"alone": alone, "beside": beside, "flood": sent})


WORKLOADS = [
    ClosedLoop(), HalfLoad(), OwnHalfLoad(), OneConnection(),
    Connects("crr", "TCP connect, request, close, 64 at a time"),
    Connects("crr-1rule", "connects with 1 rule in front", 1, WITH_RULES, "rules"),
    Connects("crr-1krules", "connects with 1,000 rules in front", 1000, WITH_RULES, "rules"),
    Connects("crr-10krules", "connects with 10,000 rules in front", 10000, WITH_RULES, "rules"),
    Neighbour(),
]
