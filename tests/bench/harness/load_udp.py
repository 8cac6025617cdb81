# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""UDP: from a container by udp_gen (sendmmsg, an skb each), to the containers by live_gen (frames
without an skb, as a NIC's driver hands them over). What counts is what arrived, by sequence numbers."""
import os
import re
import signal

from .contenders import Spec
from .netns import RunError
from .topology import CONTAINERS, EXT, GATEWAY, SERVER
from .workload import CARRIERS, FEWER, Outcome, WITH_RULES, Workload, last_json, tool

UDP_CONTENDERS = CARRIERS + ("testpmd",)
SINK_PORTS = "7000-7007"  # udp_gen spreads its flows over them
FLOWS = 64                # enough for RPS and for port spreading, few enough to stay in caches
BACK_PORT = 9000          # where the live sessions were opened to
BACK_FIRST = 7100         # and from which L4 port of each container
BACK_FLOWS = 32           # a container
HOST_PING_S = 0.02        # at 10 ms and less ping does not sleep: it takes a quarter of two CPUs
TUPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tuples.py")
PYTHON = "/usr/bin/python3"
WIRE_HEADER = 46          # Ethernet, IPv4, UDP and the Ethernet checksum: payload to wire


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


class Out(Workload):
    group, metric, unit, cost = "udp", "mpps", "Mpps", "s_per_mpkt"
    more = (("lost_pct", "% lost"), ("reordered", "reordered"))
    needs = ("udp_gen", "udp_sink")

    def __init__(self, name, title, payload, contenders=UDP_CONTENDERS):
        self.name, self.title, self.payload = name, title, payload
        self.contenders = contenders

    def run(self, ctx):
        sink = ctx.serve("w", "udp_sink", tool("udp_sink"), "-p", SINK_PORTS)
        with ctx.window() as window:
            gen = ctx.space.start("c1", "udp_gen", tool("udp_gen"), "-d", SERVER, "-p", SINK_PORTS,
                                  "-n", FLOWS, "-l", self.payload, "-t", ctx.seconds)
            sent = last_json(gen.wait(ctx.patience), "udp_gen")
        got = last_json(sink.stop(signal.SIGTERM), "udp_sink")
        if not got["received"]:
            raise RunError("nothing arrived of %d sent" % sent["sent"])
        values = {"mpps": got["received"] / sent["seconds"] / 1e6,
                  "sent_mpps": sent["sent"] / sent["seconds"] / 1e6,
                  "lost_pct": 100.0 * (1 - got["received"] / max(sent["sent"], 1)),
                  "reordered": got["reordered"], "duplicate": got["duplicate"]}
        return Outcome(values, window, {"udp_gen": sent, "udp_sink": got},
                       nbytes=got["received"] * (self.payload + WIRE_HEADER - 4),
                       packets=got["received"])


def open_sessions(ctx, containers, path):
    """Live sessions of the containers' L4 ports, and the file of their outside tuples."""
    count = BACK_FLOWS * len(containers)
    server = ctx.serve("w", "tuples", PYTHON, TUPLES, "serve", SERVER, BACK_PORT)
    for ns in containers:
        ctx.space.on(ns, PYTHON, TUPLES, "open", SERVER, str(BACK_PORT), str(BACK_FIRST),
                     str(BACK_FLOWS))
    text = server.stop()
    if len(text.splitlines()) != count:
        raise RunError("%d of %d sessions opened" % (len(text.splitlines()), count))
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return text


def ping_times(text):
    """(milliseconds of each answer, how many were sent)."""
    sent = re.search(r"(\d+) packets transmitted", text)
    return ([float(t) for t in re.findall(r"time=([0-9.]+) ms", text)],
            int(sent.group(1)) if sent else 0)


class Back(Workload):
    """The flood goes to live sessions as fast as live_gen can; the host is pinged meanwhile, by the
    same uplink."""
    group, metric, unit, cost = "udp", "mpps", "Mpps", "s_per_mpkt"
    more = (("ping_p99_ms", "host ping p99 ms"), ("ping_lost_pct", "% pings lost"),
            ("reordered", "reordered"))
    needs = ("live_gen", "udp_sink")

    def __init__(self, name, title, frame, contenders=UDP_CONTENDERS):
        self.name, self.title, self.frame = name, title, frame
        self.contenders = contenders

    def run(self, ctx):
        ctx.topo.gro("on")
        try:
            return self.flood(ctx)
        finally:
            ctx.topo.gro("off")

    def flood(self, ctx):
        containers = list(CONTAINERS) if ctx.contender.tcp else ["c1"]
        tuples = ctx.space.path("tuples")
        open_sessions(ctx, containers, tuples)
        last = BACK_FIRST + BACK_FLOWS - 1
        sinks = [ctx.serve(ns, "udp_sink", tool("udp_sink"), "-p", "%d-%d" % (BACK_FIRST, last))
                 for ns in containers]
        ping = ctx.space.start("w", "ping", "ping", "-I", GATEWAY, "-i", HOST_PING_S, "-w",
                               max(1, int(ctx.seconds)), EXT)
        with ctx.window() as window:
            gen = ctx.space.start("w", "live_gen", tool("live_gen"), "-i", "up0", "--dst-mac",
                                  ctx.topo.mac("h", "eth0"), "--tuples", tuples, "-l",
                                  self.frame, "-t", ctx.seconds)
            sent = last_json(gen.wait(ctx.patience), "live_gen")
        got = [last_json(s.stop(signal.SIGTERM), "udp_sink") for s in sinks]
        times, pings = ping_times(ping.stop(signal.SIGINT))
        received = sum(g["received"] for g in got)
        if not received:
            raise RunError("nothing arrived of %d sent" % sent["sent"])
        values = {"mpps": received / sent["seconds"] / 1e6,
                  "sent_mpps": sent["sent"] / sent["seconds"] / 1e6,
                  "lost_pct": 100.0 * (1 - received / max(sent["sent"], 1)),
                  "reordered": sum(g["reordered"] for g in got),
                  "ping_p99_ms": percentile(times, 0.99), "ping_p50_ms": percentile(times, 0.5),
                  "ping_lost_pct": 100.0 * (1 - len(times) / pings) if pings else None}
        return Outcome(values, window, {"live_gen": sent, "udp_sink": got},
                       nbytes=received * self.frame, packets=received)


WORKLOADS = [
    Out("udp64-out", "UDP, 64-byte frames, from c1", 18),
    Out("udp1400-out", "UDP, 1400 bytes, from c1", 1400, FEWER + ("testpmd",)),
    Back("udp64-back", "64-byte live frames to c1 and c2", 60),
    Back("udp1400-back", "1400-byte live frames to c1 and c2", 1442, FEWER + ("testpmd",)),
]
RULES_UDP = Out("udp64-out-10krules", "UDP, 64-byte frames, from c1, 10,000 rules", 18)
RULES_UDP.group = "rules"
RULES_UDP.spec = Spec(rule_cnt=10000)
RULES_UDP.contenders = WITH_RULES
WORKLOADS.append(RULES_UDP)
