#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""inject.py - an error at each system call of start and stop, one a run.

A first run is traced: which calls do start and stop make, how often? Then every run lets one of them
fail, the first `open`, the second, ... (strace -e inject), and looks at three things:

  - it ends within the time limit, with a line that says so, or it is up, answers, and ends when asked;
  - it does not crash;
  - nothing is left of it: interfaces and what is attached to them, nft tables, punt devices, RPS masks,
    offloads. Files in the run directory, which an error may keep it from removing, are gone after the next run.

Runs are spread over the calls in turn: with few of them each call's first is tried, with more its
second, its last, and those between.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time

# What the kernel, or the machine, would say at a bad moment; else ENOMEM.
ERRORS = {
    "accept4": "EMFILE", "access": "EACCES", "bind": "EADDRINUSE", "bpf": "ENOMEM", "capset": "EPERM", "chmod": "EPERM",
    "chown": "EPERM", "clone": "EAGAIN", "clone3": "EAGAIN", "close": "EIO", "connect": "ECONNREFUSED",
    "epoll_create1": "EMFILE", "epoll_ctl": "ENOSPC", "eventfd2": "EMFILE", "fcntl": "EMFILE", "flock": "EINTR",
    "fsopen": "EPERM", "fsconfig": "EPERM", "fsmount": "EPERM", "ftruncate": "ENOSPC", "ioctl": "EIO", "listen": "EADDRINUSE",
    "mkdir": "EACCES", "openat": "EMFILE", "prctl": "EINVAL", "pwrite64": "EIO", "read": "EIO", "recvfrom": "ENOBUFS",
    "recvmsg": "ENOBUFS", "sched_setaffinity": "EINVAL", "sched_setattr": "EPERM", "seccomp": "EINVAL",
    "sendmsg": "ENOBUFS", "sendto": "ENOBUFS", "setpriority": "EACCES", "setrlimit": "EPERM", "prlimit64": "EPERM",
    "setsockopt": "ENOPROTOOPT", "signalfd4": "EMFILE", "socket": "EMFILE", "statfs": "EACCES",
    "timerfd_create": "EMFILE", "unlink": "EIO", "unlinkat": "EIO", "write": "ENOSPC",
}
# These cannot fail (brk not by an error code), or the C library ends the process when they do, rightly.
NEVER = set("""arch_prctl brk clock_gettime clock_nanosleep execve exit exit_group futex getegid geteuid getgid getpid getppid
    getrandom gettid getuid membarrier restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_yield
    set_robust_list set_tid_address wait4""".split())
CRASH = re.compile(r"AddressSanitizer|runtime error|ThreadSanitizer|LeakSanitizer|assert|terminate|free\(\)|malloc\(\)|"
                   r"stack smashing|futex facility")


class World:
    def __init__(self, args):
        self.args = args
        self.log = os.path.join(args.work, "inject.log")

    def inside(self, *command):
        return ["nsenter", "--net=/run/netns/" + self.args.netns] + list(command)

    def ask(self, *command):
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20).stdout

    def snapshot(self):
        """What has to be as it was. Flags of links and statistics move by themselves."""
        seen = {}
        links = json.loads(self.ask(*self.inside("ip", "-d", "-j", "link")) or "[]")
        for link in links:
            seen["link " + link["ifname"]] = {k: link.get(k) for k in ("ifindex", "mtu", "xdp", "promiscuity", "qdisc")}
            features = self.ask(*self.inside("ethtool", "-k", link["ifname"]))
            seen["offloads " + link["ifname"]] = features
        seen["nft"] = self.ask(*self.inside("nft", "-s", "list", "ruleset"))
        seen["ip rule"] = self.ask(*self.inside("ip", "rule"))
        seen["rps"] = self.ask("ip", "netns", "exec", self.args.netns, "sh", "-c",
                               "grep -H . /sys/class/net/*/queues/rx-*/rps_cpus")
        seen["run"] = sorted(os.listdir(self.args.run_dir)) if os.path.isdir(self.args.run_dir) else []
        return seen

    def start(self, strace):
        out = open(self.log, "w")
        command = [self.args.build + "/xegressd", "-c", self.args.config, "--run-dir", self.args.run_dir]
        return subprocess.Popen(self.inside("strace", "-D", "-f", "-qq", *strace, *command),
                                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def status(self):
        try:
            return subprocess.run([self.args.build + "/xegressctl", "--run-dir", self.args.run_dir, "status"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return None


def one_run(world, strace, limit_s):
    """What is wrong with it, "" nothing; and how it went."""
    proc = world.start(strace)
    end = time.monotonic() + limit_s
    while proc.poll() is None and time.monotonic() < end and ": ready: " not in world.said():
        time.sleep(0.01)
        # the line itself may be what could not be written
        if time.monotonic() > end - limit_s + 3:
            answer = world.status()
            if answer and answer.returncode == 0:
                break
    went = ""
    try:
        if proc.poll() is None and time.monotonic() >= end:
            return "neither ready nor ended after %d s" % limit_s, "hung"
        if proc.poll() is None:
            answer = world.status()
            if proc.poll() is None:
                if answer is None:
                    return "no answer to `status`", "hung"
                went = "works" if answer.returncode == 0 else "works in part"
                if answer.returncode != 0 and "not in force" not in answer.stdout and "xegressctl: " not in answer.stdout:
                    return "status fails and does not say why: " + answer.stdout[-200:], went
            proc.terminate()
        try:
            rc = proc.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return "does not stop in %d s" % limit_s, "hung"
    finally:
        if proc.poll() is None:
            proc.kill()
            proc.wait()
    said = world.said()
    crash = CRASH.search(said)
    if rc == 127 and "error while loading shared libraries" in said:
        return "", "not loaded"  # the loader's, before main(): its calls are not the same in every run
    if rc < 0 or rc > 2:
        return "ends with %d: %s" % (rc, said[-300:]), "crashed"
    if crash:
        return "says " + said[crash.start():crash.start() + 200], "crashed"
    if rc and not re.search(r"^(xegressd: error: |/.*: |xegressd: )", said, re.M):
        return "ends with %d and does not say why: %s" % (rc, said[-200:]), "mute"
    if not went:
        went = "refused to start" if rc else "ended"
    if rc and went.startswith("works") and not re.search("^xegressd: error: ", said, re.M):
        return "worked, and ends with %d: %s" % (rc, said[-200:]), went
    return "", went


def count_calls(world, limit_s):
    """Of the process and its threads, from the opening of the configuration on: {call: [first, last]}."""
    trace = os.path.join(world.args.work, "trace")
    wrong, went = one_run(world, ["-o", trace], limit_s)
    if wrong or went != "works":
        sys.exit("not ok a run without errors: %s %s" % (went, wrong))
    before, total, started = collections.Counter(), collections.Counter(), False
    per_thread = collections.defaultdict(collections.Counter)
    with open(trace, errors="replace") as f:
        for line in f:
            call = re.match(r"(\d+) +(\w+)\(", line)
            if not call:
                continue
            started = started or os.path.basename(world.args.config) in line and "openat" in line
            per_thread[call[1]][call[2]] += 1
            if not started:
                before[call[2]] += 1
    # strace counts for each thread apart
    for thread in per_thread.values():
        for call, cnt in thread.items():
            total[call] = max(total[call], cnt)
    return {call: (before[call] + 1, cnt) for call, cnt in total.items() if call not in NEVER and cnt > before[call]}


def spread(first, last):
    """first, last, and then ever finer between them."""
    yield first
    if last > first:
        yield last
    step = last - first
    seen = {first, last}
    while step > 1:
        step = (step + 1) // 2
        for n in range(first, last, step):
            if n not in seen:
                seen.add(n)
                yield n


def plan(calls, runs):
    """[(call, n)], the calls in turn."""
    turns = {call: spread(*span) for call, span in sorted(calls.items())}
    out = []
    while turns and len(out) < runs:
        for call in list(turns):
            n = next(turns[call], None)
            if n is None:
                del turns[call]
            elif len(out) < runs:
                out.append((call, n))
    return out


def difference(was, now):
    return "; ".join("%s: %s -> %s" % (k, str(was.get(k))[:160], str(now.get(k))[:160])
                     for k in sorted(set(was) | set(now)) if was.get(k) != now.get(k))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--netns", required=True)
    p.add_argument("--build", required=True)
    p.add_argument("--config", required=True)
    p.add_argument("--run-dir", required=True)
    p.add_argument("--work", required=True)
    p.add_argument("--runs", type=int, default=20)
    p.add_argument("--every", type=int, default=1, help="take every n-th run of the plan only")
    p.add_argument("--from", type=int, default=0, dest="first", help="begin there")
    p.add_argument("--only", help="CALL or CALL:N")
    p.add_argument("--limit", type=int, default=10, help="seconds for start, and for stop")
    args = p.parse_args()
    world = World(args)
    calls = count_calls(world, args.limit)
    was = world.snapshot()
    todo = plan(calls, args.runs * args.every)[args.first::args.every]
    if args.only:
        call, _, n = args.only.partition(":")
        todo = [(call, int(n))] if n else [(call, i) for i in range(calls[call][0], calls[call][1] + 1)]
    failed, outcomes = 0, collections.Counter()
    for call, n in todo:
        error = ERRORS.get(call, "ENOMEM")
        begin = time.monotonic()
        wrong, went = one_run(world, ["-o", "/dev/null", "-e", "inject=%s:error=%s:when=%d" % (call, error, n)], args.limit)
        litter = False
        took = time.monotonic() - begin
        if not wrong:
            now = world.snapshot()
            litter = now["run"] != was["run"]
            now["run"] = was["run"]
            wrong = difference(was, now)
            wrong = wrong and "left behind: " + wrong
        outcomes[went] += 1
        if wrong or litter: # the next one cleans up, or begins anew
            later, _ = one_run(world, ["-o", "/dev/null"], args.limit)
            later = later or difference(was, world.snapshot())
            if later:
                wrong = "%s; the next one does not mend it: %s" % (wrong, later)
                was = world.snapshot()
        if wrong:
            failed += 1
            print("not ok %s %d %s: %s" % (call, n, error, wrong), flush=True)
            for line in world.said().splitlines()[-6:]:
                print("    " + line)
        else:
            errors = [line for line in world.said().splitlines() if re.search("error: |warning: ", line)]
            print("# %s %d %s: %s in %.1f s%s" % (call, n, error, went, took, ": " + errors[0] if errors else ""), flush=True)
    print("# %d calls of %d kinds; %d runs: %s" % (sum(b - a + 1 for a, b in calls.values()), len(calls), len(todo),
                                                   ", ".join("%s %d" % o for o in sorted(outcomes.items()))))
    if not failed:
        print("ok no error at a system call hangs, crashes or leaks (%d runs)" % len(todo))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
