#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bench.py - xegress beside its peers, in namespaces of its own, in alternating rounds.

`make bench` runs it; docs/benchmarks.md says how to read what comes out. It leaves bench.json (every
run, with the raw output of the generators), bench.md and PNG plots in build/bench/.
"""
import argparse
import json
import os
import signal
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["BUILD"] = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from harness import load_rpc, load_state, load_tcp, load_udp, machine, plots, report, verdict  # noqa: E402
from harness import contenders as kernel_and_us, peers  # noqa: E402
from harness.rounds import Rounds  # noqa: E402
from harness.series import Results  # noqa: E402

CONTENDERS = (kernel_and_us.Xegress, kernel_and_us.XegressTwo, kernel_and_us.XegressNative,
              kernel_and_us.Forward, kernel_and_us.Iptables, kernel_and_us.IptablesRps,
              kernel_and_us.Nftables, kernel_and_us.NftablesRps, peers.TcNat, peers.XdpNat,
              peers.HookPrice, peers.Testpmd)
# Only when named, then in every workload that has `xegress`.
VARIANTS = (kernel_and_us.XegressBusy, kernel_and_us.XegressInterrupt,
            kernel_and_us.XegressNativeBusy)
GROUPS = ("tcp", "udp", "latency", "connect", "rules", "sessions", "neighbour", "idle", "bystander")
WORKLOADS = sorted(load_tcp.WORKLOADS + load_udp.WORKLOADS + load_rpc.WORKLOADS +
                   load_state.WORKLOADS, key=lambda w: GROUPS.index(w.group))
QUICK_WORKLOADS = "tcp1-out,tcp1-back,udp64-out,udp64-back,rr-closed,crr,idle"
QUICK_CONTENDERS = "xegress,iptables"


def say(text):
    print(text, flush=True)


def options(argv):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2, help="of each run")
    p.add_argument("--only", default="", help="workloads or groups, by commas")
    p.add_argument("--contenders", default="", help="by commas")
    p.add_argument("--budget", type=float, default=45, metavar="MINUTES",
                   help="no round is begun that would not end by then (default 45)")
    p.add_argument("--quick", action="store_true", help="one round of the main ones, under a minute")
    p.add_argument("--out", default=os.path.join(os.environ["BUILD"], "bench"))
    p.add_argument("--list", action="store_true", help="workloads and contenders, nothing runs")
    p.add_argument("--report", metavar="JSON", help="tables and plots anew from a bench.json")
    o = p.parse_args(argv)
    if o.quick:
        o.rounds, o.seconds = 1, min(o.seconds, 1)
        o.only = o.only or QUICK_WORKLOADS
        o.contenders = o.contenders or QUICK_CONTENDERS
    if o.rounds < 1 or o.seconds <= 0:
        p.error("--rounds and --seconds want more than 0")
    return o, p


def chosen(kind, things, wanted, names_of, parser):
    """Those whose name (or group) is in the list; an unknown one is an error."""
    wanted = [w for w in wanted.split(",") if w]
    known = {n for t in things for n in names_of(t)}
    for w in wanted:
        if w not in known:
            parser.error("no %s `%s`; --list shows them" % (kind, w))
    return [t for t in things if not wanted or any(n in wanted for n in names_of(t))]


def bench_of(meta, rounds, complete):
    """What bench.json holds."""
    meta = dict(meta, rounds=rounds.done, complete=complete, spaces=rounds.spaces,
                half_load=rounds.shared.get("half_load"))
    return {
        "meta": meta,
        "contenders": {c.name: c.label for c in rounds.contenders.values()},
        "families": {c.name: c.family for c in rounds.contenders.values()},
        "workloads": [{"name": w.name, "group": w.group, "title": w.title, "metric": w.metric,
                       "unit": w.unit, "better": w.better, "cost": w.cost,
                       "more": [list(m) for m in w.more], "contenders": list(w.contenders)}
                      for w in rounds.workloads],
        "left_out": [{"contender": c, "workload": w, "why": why}
                     for (c, w), why in rounds.left_out.items()],
        "records": rounds.records,
    }


def save(bench, folder):
    """bench.json first, and whole or not at all; then what is made from it."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "bench.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(bench, f, indent=1)
    os.replace(path + ".new", path)
    write_report(bench, folder)


def write_report(bench, folder):
    made = plots.draw(bench, folder, say)
    with open(os.path.join(folder, "bench.md"), "w", encoding="utf-8") as f:
        f.write(report.markdown(bench, made))


def show_verdict(bench):
    say("\nWhat must be shown (medians of ratios within a round):")
    for line in verdict.judge(Results(bench["records"])):
        say("  %-12s %-40s %-22s wanted %s%s" % (
            line.word, line.what, line.got, line.wanted, "  (%s)" % line.note if line.note else ""))


def measure(o, workloads, contenders):
    meta = machine.describe(o)
    room = max(w.spec.sessions for w in workloads)
    rounds = Rounds(workloads, contenders, o, say)
    complete = False
    try:
        with machine.ConntrackRoom(room, say):
            rounds.run(lambda: save(bench_of(meta, rounds, True), o.out))
        complete = True
    except KeyboardInterrupt:
        say("interrupted: what was measured so far is reported")
    finally:
        rounds.close()
    bench = bench_of(meta, rounds, complete)
    save(bench, o.out)
    show_verdict(bench)
    say("\n%s/bench.md, bench.json, plots" % os.path.relpath(o.out))
    if not complete:
        return 130
    return 0 if any("values" in r for r in rounds.records) and not any(
        "error" in r for r in rounds.records) else 1


def interrupted(*_):
    raise KeyboardInterrupt


def main(argv):
    o, parser = options(argv)
    if o.report:
        with open(o.report, encoding="utf-8") as f:
            bench = json.load(f)
        write_report(bench, os.path.dirname(os.path.abspath(o.report)))
        show_verdict(bench)
        return 0
    workloads = chosen("workload", WORKLOADS, o.only, lambda w: (w.name, w.group), parser)
    contenders = chosen("contender", CONTENDERS + VARIANTS, o.contenders, lambda c: (c.name,), parser)
    if not o.contenders:
        contenders = [c for c in contenders if c not in VARIANTS]
    for w in workloads:
        if "xegress" in w.contenders:
            w.contenders = tuple(w.contenders) + tuple(
                c.name for c in contenders if c in VARIANTS)
    if o.list:
        for w in workloads:
            say("%-10s %-18s %s" % (w.group, w.name, w.title))
        for c in contenders:
            say("%-10s %-18s %s" % (c.family, c.name, c.label))
        return 0
    if os.geteuid() != 0:
        say("bench.py: needs root (network namespaces)")
        return 1
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    return measure(o, workloads, [c() for c in contenders])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
