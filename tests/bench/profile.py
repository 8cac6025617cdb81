#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""profile.py WORKLOAD CONTENDER [SECONDS] - what the CPUs did while a workload of bench.py ran.

perf samples both the kernel and the programs, on all CPUs, by the clock (no hardware counter is
needed); each sample is put into the first class that its call chain belongs to. The last lines say
what the rate could be at most if our own part cost nothing, all else the same: the distance to a
peer that is left then is not ours to close. docs/benchmarks.md has what came out.
"""
import collections
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HERTZ = 2000
LOADS = ("iperf3", "udp_gen", "live_gen", "tcp_rr", "tcp_crr")
OURS = ("worker: own code", "steer")
HEAD = re.compile(r"^(.{1,15}?)\s+(\d+)\s+([0-9.]+):")


def has(chain, *names):
    return any(sym in names for sym, _ in chain)


def is_own(dso):
    return not dso.startswith(("[kernel", "bpf_prog", "[unknown"))


def of_hook(chain):
    """Of an XDP program on the way in; None: no such thing in the chain."""
    if chain[0][0].startswith("bpf_prog_") and chain[0][0].endswith("xe_steer"):
        return "steer"
    if has(chain, "xsk_generic_rcv", "__xsk_map_redirect", "__xsk_rcv"):
        if has(chain, "sock_def_readable"):
            return "into the socket: wake-up"
        return "into the socket: copy, frames, ring"
    if has(chain, "skb_pp_cow_data", "netif_skb_check_for_xdp", "skb_cow_data_for_xdp"):
        return "hook: copy of what the sender still holds"
    if has(chain, "do_xdp_generic", "bpf_prog_run_generic_xdp"):
        return "hook: the rest"
    return None


def of_worker(chain):
    if is_own(chain[0][1]):
        return OURS[0]
    if has(chain, "__xsk_sendmsg", "xsk_sendmsg", "packet_sendmsg", "__sys_sendmmsg", "__sys_sendto"):
        if has(chain, "net_rx_action", "process_backlog", "__napi_poll"):
            return "worker: what it sends is received in its context"
        return "worker: sending"
    if has(chain, "do_epoll_wait", "clock_nanosleep", "hrtimer_nanosleep", "do_nanosleep",
           "__x64_sys_clock_nanosleep", "common_nsleep"):
        return "worker: waiting"
    return "worker: the rest"


def class_of(comm, chain):
    if comm.startswith("swapper"):
        return "idle" if not has(chain, "net_rx_action") else of_hook(chain) or "ends and their stacks"
    return of_hook(chain) or (of_worker(chain) if comm.startswith("xe-worker") else
                              "ends and their stacks")


def samples(path):
    """(comm, seconds, [(symbol, dso), ...] from the leaf on) of each sample."""
    text = subprocess.run(["perf", "script", "-i", path, "-F", "comm,tid,time,ip,sym,dso"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                          encoding="utf-8", errors="replace").stdout
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        head = HEAD.match(lines[0])
        if not head:
            continue
        chain = []
        for line in lines[1:]:
            m = re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line)
            if m:
                chain.append((m.group(1).split("+0x")[0], m.group(2)))
        if chain:
            yield head.group(1).strip(), float(head.group(3)), chain


def record(workload, contender, seconds, folder):
    """(value and its name, samples while the load ran)."""
    data = os.path.join(folder, "perf.data")
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-a", "-g",
                             "-o", data], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    subprocess.run([sys.executable, os.path.join(HERE, "bench.py"), "--rounds", "1", "--seconds",
                    str(seconds), "--only", workload, "--contenders", contender, "--out", folder],
                   stdout=subprocess.DEVNULL, check=False)
    perf.send_signal(signal.SIGINT)
    perf.wait()
    with open(os.path.join(folder, "bench.json"), encoding="utf-8") as f:
        bench = json.load(f)
    got = [r for r in bench["records"] if r["contender"] == contender and r.get("values")]
    if not got:
        sys.exit("profile.py: no figure of %s with %s" % (workload, contender))
    metric = bench["workloads"][0]["metric"]
    all_of_it = list(samples(data))
    times = sorted(t for comm, t, _ in all_of_it if comm in LOADS)
    if not times:
        sys.exit("profile.py: no sample of %s" % ", ".join(LOADS))
    begin, end = times[len(times) // 20], times[-len(times) // 20 - 1]
    return (got[0]["values"][metric], bench["workloads"][0]["unit"],
            [s for s in all_of_it if begin <= s[1] <= end])


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        value, unit, taken = record(sys.argv[1], sys.argv[2],
                                    float(sys.argv[3]) if len(sys.argv) == 4 else 3, folder)
    classes = collections.Counter(class_of(comm, chain) for comm, _, chain in taken)
    busy = len(taken) - classes["idle"]
    print("%s, %s: %.4g %s, %d samples, %.1f %% idle" %
          (sys.argv[1], sys.argv[2], value, unit, len(taken), 100 * classes["idle"] / len(taken)))
    for name, n in classes.most_common():
        if name != "idle":
            print("%6.1f %%  %s" % (100 * n / busy, name))
    ours = sum(classes[c] for c in OURS) / busy
    print("\nour own part: %.1f %%; if it cost nothing: %.4g %s at most" %
          (100 * ours, value / (1 - ours), unit))


if __name__ == "__main__":
    main()
