#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""run.py - runs the table of requirements against the service, cell by cell of the matrix.

  run.py [--cells NAME,...|all|reduced] [--only PATTERN] [--json FILE] [--jobs N] [--kernel] [--keep]
         [--budget SECONDS]
  run.py --docs | --list

A cell is XDP mode, offloads of the neighbours, workers: generic-on-1 ... native-off-2. `reduced` (the
default) is for make check: all in one cell, in the opposite one what depends on it (SECOND). One service a cell and profile; the tests run side by side in
threads and are kept apart by L4 ports. One line a test:

  ok NAME [CELL] (SECONDS)          not ok NAME [CELL]: WHY          unmet NAME [CELL]: WHY

`unmet` is what unmet.txt names, and does not fail the run; that it passes does. --kernel puts nft
masquerade in place of the service: what can be met by the kernel shows that its test can pass.
XE_RETRY=1: what failed is tried once more, alone; so it is when the machine was so busy that a thread of the service
stood still, and left packets to the kernel. Exit 0, 1, or 77 where it cannot run at all.
"""
import argparse
import concurrent.futures
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

if "--docs" in sys.argv:  # needs the table, not the packets: no scapy where only the page is made
    from unittest.mock import MagicMock
    for module in ("", ".layers", ".layers.inet", ".layers.inet6", ".packet"):
        sys.modules["scapy" + module] = MagicMock()

import table  # noqa: E402
from cases import MODULES  # noqa: E402,F401  (fills the table)

CELLS = ["%s-%s-%d" % (x, o, w) for x in ("generic", "native") for o in ("on", "off") for w in (1, 2)]
REDUCED = ["generic-on-1", "native-off-2"]
# What `reduced` asks in its second cell, beside the first: whatever one worker cannot show (whose queue, who owns the
# block of L4 ports, who sees the other's flows), and what depends on the mode and on checksums and cuts that are done.
SECOND = {
    # two workers
    "rfc4787_req1_endpoint_independent_mapping", "rfc4787_req1b_distinct_mappings", "rfc4787_req2_paired_pooling",
    "rfc4787_req8_endpoint_independent_filtering_option", "rfc4787_req9_hairpin", "rfc5382_hairpin",
    "rfc4787_req14_interleaved_sources", "rfc4787_req14a_fragments_out_of_order", "rfc4787_req14_fragmented_tcp",
    "rfc5508_req4_error_on_any_workers_queue", "rfc5508_req4_error_from_stranger", "rfc5508_req4_error_about_tcp",
    "rfc5508_req7_hairpin_error_of_container", "rfc5508_req7_hairpin_error_of_container_ipv6",
    "rfc5508_req8_no_resources_answered", "rfc7857_sec3_ext_ports_shared_between_destinations", "rfc5382_many_at_once",
    "rule_dnat", "rule_nat_one_to_one", "ipv6_masquerade", "limit_new_flows_per_second", "limit_packets_per_second",
    # native mode, nothing left to an offload
    "rfc768_zero_checksum_stays_zero", "rfc1624_wrong_checksum_stays_wrong", "rfc894_padding_not_summed_nor_leaked",
    "rfc1812_every_tcp_length", "rfc4787_req10_payload_untouched", "rfc4787_udp_segmentation_offload",
    "rfc1812_superpacket_exceeds_route_mtu", "rfc1812_df_superpacket_too_big_udp", "rfc1812_df_superpacket_too_big_tcp",
    "rfc1812_df_superpacket_too_big_udp_ipv6", "rfc1812_df_superpacket_too_big_tcp_ipv6", "ipv6_every_length",
    "counter_taken", "counter_sums_match_neighbours", "counter_conservation_under_load",
}
PROFILES = {
    "main": dict(extra=""),
    "short": dict(extra="limits: {sessions: 4096, sessions-per-source: 400}\ntimeouts: {tcp-established: "
                        "5s, tcp-transitory: 3s, udp: 4s, dns: 2s}\n"),
    "denied": dict(extra="", apart=("drop-in",)),
}


class Results:
    def __init__(self, missing):
        self.missing, self.rows, self.lock = missing, [], threading.Lock()

    def add(self, case, cell, why, seconds, quiet=False):
        row = dict(test=case.name, cell=cell, why=why, seconds=round(seconds, 2),
                   verdict="ok" if why is None else "unmet" if case.name in self.missing else "not ok")
        with self.lock:
            self.rows = [r for r in self.rows if (r["test"], r["cell"]) != (case.name, cell)] + [row]
            if quiet and row["verdict"] == "not ok":
                print("# %s [%s], first try: %s" % (case.name, cell, why), flush=True)
            else:
                print("%s %s [%s]%s (%.1f s)" % (row["verdict"], case.name, cell,
                                                 ": " + why if why else "", seconds), flush=True)
        return row["verdict"]

    def close(self):
        """Verdicts over all cells; the number of failures."""
        failed = len([r for r in self.rows if r["verdict"] == "not ok"])
        for name in self.missing:
            of = [r["verdict"] for r in self.rows if r["test"] == name]
            if of and all(v == "ok" for v in of):
                print("not ok %s: it passes, take it out of tests/conformance/unmet.txt" % name)
                failed += 1
        return failed


def explain(error):
    frame = [f for f in traceback.extract_tb(error.__traceback__) if "/cases/" in f.filename]
    where = " (%s:%d)" % (os.path.basename(frame[-1].filename), frame[-1].lineno) if frame else ""
    text = str(error) or type(error).__name__
    if not isinstance(error, (AssertionError, table.Unmet)):
        text = "%s: %s" % (type(error).__name__, text)
    return " ".join(text.split())[:300] + where


def one(case, net, service, cell, results, quiet=False):
    from bench import Bench
    start, why = time.monotonic(), None
    bench = Bench(net, service, cell, case)
    try:
        if case.rule in service.refused:
            raise table.Unmet("refused: " + service.refused[case.rule])
        case.run(bench)
    except Exception as e:  # a test may fail in any way; the run goes on
        why = explain(e)
    finally:
        bench.close()
    return results.add(case, cell, why, time.monotonic() - start, quiet)


def profile(cell, name, cases, args, results):
    """All tests of one service: those that can side by side, then one after the other."""
    from net import Net, SetupError
    from service import Service
    xdp, offload, workers = cell.split("-")
    net = Net(offload=offload == "on", queues=int(workers))
    try:
        net.up()
        service = Service(net, xdp=xdp, workers=int(workers), kernel=args.kernel, **PROFILES[name])
        service.start()
        again = []
        retry = os.environ.get("XE_RETRY", "0") != "0"
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for case, verdict in zip(
                    [c for c in cases if not c.alone],
                    pool.map(lambda c: one(c, net, service, cell, results, retry),
                             [c for c in cases if not c.alone])):
                if verdict == "not ok":
                    again.append(case)
        for case in [c for c in cases if c.alone]:
            if one(case, net, service, cell, results, retry) == "not ok":
                again.append(case)
        for case in again if retry or service.starved() else []:
            one(case, net, service, cell, results)
        for what in service.complaints():
            print("not ok service [%s %s]: %s" % (cell, name, what))
            results.rows.append(dict(test="service", cell=cell, why=what, seconds=0, verdict="not ok"))
    except Exception as e:
        if not isinstance(e, SetupError):
            traceback.print_exc()
        print("not ok set_up [%s %s]: %s" % (cell, name, explain(e)))
        print(net.log("xegressd.log")[-1500:])
        results.rows.append(dict(test="set_up", cell=cell, why=explain(e), seconds=0, verdict="not ok"))
    finally:
        net.down(args.keep)


def run_cells(args, cases, results):
    start = time.monotonic()
    # Waiting for timers is the short profile's business, and costs no CPU: beside the others. So is the second cell of
    # the reduced matrix, which is short.
    jobs = [[(cell, p, [c for c in cases if c.profile == p]) for p in PROFILES] for cell in args.cells]
    if args.reduced:
        missing = SECOND - {c.name for c in table.CASES}
        if missing:
            raise SystemExit("SECOND: no test `%s`" % "`, `".join(sorted(missing)))
        for job in jobs[1:]:
            jobs[0] += [(cell, p, [c for c in of if c.name in SECOND]) for cell, p, of in job]
        del jobs[1:]
    for n, job in enumerate(jobs):
        if args.budget and time.monotonic() - start > args.budget:
            print("# budget of %d s used: not run: %s" % (args.budget, " ".join(args.cells[n:])))
            results.rows.append(dict(test="budget", cell=args.cells[n], why="not run", seconds=0, verdict="not ok"))
            break
        threads = [threading.Thread(target=profile, args=(cell, p, of, args, results)) for cell, p, of in job if of]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--cells", default="reduced")
    a.add_argument("--only", action="append", default=[])
    a.add_argument("--json")
    a.add_argument("--jobs", type=int, default=6)
    a.add_argument("--budget", type=float, default=0)
    for flag in ("--kernel", "--keep", "--docs", "--list"):
        a.add_argument(flag, action="store_true")
    args = a.parse_args()
    if args.docs:
        sys.stdout.write(table.document())
        return 0
    cases = [c for c in table.CASES if c.run and (
        not args.only or any(p in c.name for p in args.only))]
    if args.list:
        print("\n".join(c.name for c in cases))
        return 0
    if os.geteuid() != 0:
        print("skip: needs root")
        return 77
    args.reduced = args.cells == "reduced"
    args.cells = {"all": CELLS, "reduced": REDUCED}.get(args.cells) or args.cells.split(",")
    if os.cpu_count() < 2:
        print("# one CPU: not run: %s" % " ".join(c for c in args.cells if c[-1] != "1"))
        args.cells = [c for c in args.cells if c[-1] == "1"]
    # Two cells side by side have hundreds of sockets each.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    results = Results(table.unmet())
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda s, _: sys.exit(128 + s))
    run_cells(args, cases, results)
    failed = results.close()
    if args.json:
        with open(args.json, "w") as f:
            json.dump(dict(cells=args.cells, rows=results.rows), f, indent=1)
    count = {v: len([r for r in results.rows if r["verdict"] == v]) for v in ("ok", "unmet", "not ok")}
    print("# %(ok)d ok, %(unmet)d unmet, %(not ok)d not ok" % count)
    return 1 if failed or not count["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
