# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TCP bulk by iperf3: from a container, to it, both ways; and the host's own, beside us."""
from .contenders import Spec
from .netns import RunError, wait_for
from .topology import SERVER
from .workload import CARRIERS, FEWER, Outcome, WITH_RULES, Workload, last_json

FIRST_PORT = 5201
LISTEN = "0A"  # of /proc/net/tcp


def listening(ctx, ns, l4_port):
    text = ctx.space.on(ns, "cat", "/proc/net/tcp")
    return any(line.split()[1].endswith(":%04X" % l4_port) and line.split()[3] == LISTEN
               for line in text.splitlines()[1:])


def iperf_server(ctx, l4_port):
    """One that serves one test and ends: no server is left busy by a client that was cut off."""
    ctx.space.start("w", "iperf3-server", "iperf3", "-s", "-1", "-B", SERVER, "-p", l4_port)
    wait_for("iperf3 server", 5, lambda: listening(ctx, "w", l4_port))


def iperf(ctx, clients, streams, options):
    """One iperf3 from each of the namespaces at once; their JSON and the CPU window."""
    for i in range(len(clients)):
        iperf_server(ctx, FIRST_PORT + i)
    with ctx.window() as window:
        running = [ctx.space.start(ns, "iperf3", "iperf3", "-c", SERVER, "-p", FIRST_PORT + i,
                                   "-t", max(1, round(ctx.seconds)), "-P", streams, "-J",
                                   "--connect-timeout", 3000, *options)
                   for i, ns in enumerate(clients)]
        texts = [p.wait(ctx.patience) for p in running]
    results = [last_json(t, "iperf3") for t in texts]
    for r in results:
        if "error" in r:
            raise RunError("iperf3: " + r["error"])
    return results, window


def received(result):
    """Bytes and bits per second that arrived, both directions of --bidir together."""
    end = result["end"]
    parts = [end[k] for k in ("sum_received", "sum_received_bidir_reverse") if k in end]
    return sum(p["bytes"] for p in parts), sum(p["bits_per_second"] for p in parts)


def brief(result):
    """iperf3's JSON without the intervals and streams, which nobody reads again."""
    return {"end": {k: v for k, v in result["end"].items() if k != "streams"},
            "test": result["start"].get("test_start")}


BULK = CARRIERS + ("iptables-hook",)


class Bulk(Workload):
    group = "tcp"
    metric, unit, cost = "gbps", "Gb/s", "s_per_gb"
    more = (("retransmits", ""),)
    needs = ("iperf3",)

    def __init__(self, name, title, clients, streams, options=(), contenders=BULK):
        self.name, self.title = name, title
        self.clients, self.streams, self.options = clients, streams, options
        self.contenders = contenders

    def run(self, ctx):
        results, window = iperf(ctx, self.clients, self.streams, self.options)
        nbytes, bits = map(sum, zip(*(received(r) for r in results)))
        values = {"gbps": bits / 1e9,
                  "retransmits": sum(r["end"]["sum_sent"].get("retransmits", 0) for r in results)}
        return Outcome(values, window, [brief(r) for r in results], nbytes=nbytes)


class Bystander(Bulk):
    """h's own connections by the uplink, while the contender is up and carries nothing."""
    group = "bystander"


BESIDE = ("forward", "xegress", "xegress-native", "iptables")
WORKLOADS = [
    Bulk("tcp1-out", "TCP, 1 stream, from c1", ["c1"], 1),
    Bulk("tcp1-back", "TCP, 1 stream, to c1", ["c1"], 1, ["-R"]),
    Bulk("tcp8-out", "TCP, 8 streams, from c1 and c2", ["c1", "c2"], 4),
    Bulk("tcp8-back", "TCP, 8 streams, to c1 and c2", ["c1", "c2"], 4, ["-R"]),
    Bulk("tcp1-bidir", "TCP, 1 stream each way, c1", ["c1"], 1, ["--bidir"], FEWER),
    Bulk("tcp8-bidir", "TCP, 8 streams each way, c1 and c2", ["c1", "c2"], 4, ["--bidir"], FEWER),
    Bystander("host-out", "the host's own TCP, from h", ["h"], 1, (), BESIDE),
    Bystander("host-back", "the host's own TCP, to h", ["h"], 1, ["-R"], BESIDE),
]
RULES_BULK = Bulk("tcp1-out-10krules", "TCP, 1 stream, from c1, 10,000 rules", ["c1"], 1,
                  contenders=WITH_RULES)
RULES_BULK.group = "rules"
RULES_BULK.spec = Spec(rule_cnt=10000)
WORKLOADS.append(RULES_BULK)
