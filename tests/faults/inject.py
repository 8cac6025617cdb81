#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""inject.py - an error at each system call of start and stop, one a run; and of a takeover.

A first run is traced: which calls do start and stop make, how often? Then every run lets one of them
fail, the first `open`, the second, ... (strace -e inject), and looks at three things:

  - it ends within the time limit, with one line that says so, or it is up, answers, and ends when asked;
  - it does not crash;
  - nothing is left of it: interfaces and what is attached to them, nft tables, punt devices, RPS masks,
    offloads, BPF programs and links (a map has one of these, a pin or a process) and pins, processes,
    conntrack entries. Files in the run directory, which an error may keep it from removing, are gone after the
    next run; so are RPS masks that the new process of a takeover could not reach.

In a takeover the error meets the new process, or the old one: afterwards one of the two is the service.

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


ONE_LINE = re.compile(r"^xegressd: error: |^[^ ]*: [^ ]*error", re.M)
ERROR = re.compile(r"^xegressd: error: .*", re.M)
TUPLE = re.compile(r"\b(?:src|dst|sport|dport|id|type|code)=\S+")


class Bpf:
    """Programs and links of ours that are there though no process holds them. Others' services may run
    beside us, so all of this system's are looked at, and each of theirs has its process."""

    def __init__(self):
        self.since = {}

    @staticmethod
    def shown(kind):
        done = subprocess.run(["bpftool", "-j", kind, "show"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, timeout=20)
        return {x["id"]: x for x in json.loads(done.stdout or "[]") if "id" in x}

    def begin(self):
        self.since = {kind: max(self.shown(kind), default=0) for kind in ("prog", "link")}

    @staticmethod
    def held():
        found = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                for fd in os.listdir("/proc/%s/fd" % pid):
                    if "bpf" in os.readlink("/proc/%s/fd/%s" % (pid, fd)):
                        with open("/proc/%s/fdinfo/%s" % (pid, fd)) as f:
                            found |= set(re.findall(r"(prog|link)_id:\s*(\d+)", f.read()))
            except OSError:
                pass  # it has ended
        return {(kind, int(n)) for kind, n in found}

    def left(self):
        """Of two looks what both have seen: another service may be between two calls."""
        found = self.look()
        for _ in range(3):
            if found:
                time.sleep(0.2)
                found &= self.look()
        return sorted(found)

    def look(self):
        progs, links = self.shown("prog"), self.shown("link")
        held = self.held()
        ours = [("prog", n) for n, p in progs.items() if p.get("name", "").startswith("xe_")]
        ours += [("link", n) for n, x in links.items() if ("prog", x.get("prog_id")) in ours]
        return {"%s %d" % x for x in ours if x[1] > self.since[x[0]] and x not in held}


class World:
    def __init__(self, args):
        self.args, self.bpf = args, Bpf()
        self.log = os.path.join(args.work, "inject.log")
        self.old_log = os.path.join(args.work, "old.log")

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
        seen["pins"] = sorted(os.path.join(at, name) for at, folders, files in os.walk("/sys/fs/bpf")
                              for name in folders + files)
        # no more than there were: those of the set-up go by and by
        seen["conntrack"] = {" ".join(TUPLE.findall(line)) for line in self.ask(
            *self.inside("conntrack", "-L")).splitlines() if "src=" in line}
        seen["bpf"], seen["processes"] = self.going()
        return seen

    def going(self):
        """What the kernel takes away a little later than the process."""
        pids = self.ask("ip", "netns", "pids", self.args.netns).split()
        names = []
        for pid in pids:
            try:
                with open("/proc/%s/comm" % pid) as f:
                    names.append(f.read().strip())
            except OSError:
                pass
        return self.bpf.left(), sorted(names)

    def settle(self, was):
        end = time.monotonic() + 3 * self.args.slow
        while self.going() != (was["bpf"], was["processes"]) and time.monotonic() < end:
            time.sleep(0.1)

    def start(self, strace, *options, log=None):
        out = open(log or self.log, "w")
        command = [self.args.build + "/xegressd", "-c", self.args.config, "--run-dir", self.args.run_dir, *options]
        if strace is not None:
            command = ["strace", "-D", "-f", "-qq", *strace, *command]
        return subprocess.Popen(self.inside(*command), stdout=out, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL)

    def said(self, log=None):
        with open(log or self.log, errors="replace") as f:
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
        lines = ERROR.findall(said)
        if rc and len(lines) > 1:
            return "says so by %d lines: %s" % (len(lines), " | ".join(lines)), went
    if rc and went.startswith("works") and not re.search("^xegressd: error: ", said, re.M):
        return "worked, and ends with %d: %s" % (rc, said[-200:]), went
    return "", went


def await_(seconds, look):
    """Once is enough: the error may meet the second look."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def crashed(world, proc, log):
    said = world.said(log)
    crash = CRASH.search(said)
    if crash:
        return "says " + said[crash.start():crash.start() + 200]
    rc = proc.poll()
    return "" if rc is None or 0 <= rc <= 2 else "ends with %d: %s" % (rc, said[-300:])


def one_takeover(world, strace, limit_s, victim):
    """As one_run(). victim: `new`, `old`, who gets the error."""
    old = world.start(None, log=world.old_log)
    new = tracer = None
    try:
        if not await_(limit_s, lambda: ": ready: " in world.said(world.old_log)):
            return "the old one does not start: " + world.said(world.old_log)[-300:], "hung"
        if victim == "old":
            tracer = subprocess.Popen(["strace", "-f", "-qq", *strace, "-p", str(old.pid)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await_(3, lambda: "TracerPid:\t0\n" not in open("/proc/%d/status" % old.pid).read())
        new = world.start(strace if victim == "new" else None, "--takeover")
        await_(limit_s, lambda: new.poll() is not None or old.poll() is not None)
        if new.poll() is None and old.poll() is None:
            return "neither has ended after %d s" % limit_s, "hung"
        service, log = (old, world.old_log) if new.poll() is not None else (new, world.log)
        went = "goes on" if service is old else "taken over"
        if service is old and not ONE_LINE.search(world.said()):
            return "the new one gives up and does not say why: " + world.said()[-200:], went
        # both may take a moment; and the old one its, to end
        if not await_(5 * world.args.slow, lambda: (world.status() or service).returncode == 0):
            status = world.status()
            return "%s, and status says: %s" % (went, status.stdout[-300:] if status else "nothing"), went
        if service.poll() is not None or service is new and not await_(limit_s, lambda: old.poll() is not None):
            return "%s, and not one service but %s" % (went, "none" if service.poll() is not None else "two"), went
        wrong = crashed(world, old, world.old_log) or crashed(world, new, world.log)
        service.terminate()
        if not await_(limit_s, lambda: service.poll() is not None):
            return "%s; does not stop in %d s" % (went, limit_s), "hung"
        wrong = wrong or crashed(world, service, log)
        if not wrong and service.returncode and not ONE_LINE.search(world.said(log)):
            wrong = "%s; ends with %d: %s" % (went, service.returncode, world.said(log)[-200:])
        return wrong, went
    finally:
        for proc in (new, old, tracer):
            if proc and proc.poll() is None:
                proc.kill()
                proc.wait()


def count_calls(world, limit_s, victim=None):
    """Of the process and its threads, from the opening of the configuration on: {call: [first, last]}.
    Of one that is taken over from: from then on."""
    trace = os.path.join(world.args.work, "trace")
    if victim:
        wrong, went = one_takeover(world, ["-o", trace], limit_s, victim)
    else:
        wrong, went = one_run(world, ["-o", trace], limit_s)
    if wrong or went != ("taken over" if victim else "works"):
        sys.exit("not ok a %s without errors: %s %s" % ("takeover" if victim else "run", went, wrong))
    before, total, started = collections.Counter(), collections.Counter(), victim == "old"
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
    return {(victim, call): (before[call] + 1, cnt) for call, cnt in total.items() if call not in NEVER and cnt > before[call]}


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
    """[((victim, call), n)], the calls in turn."""
    turns = {call: spread(*span) for call, span in sorted(
        calls.items(), key=lambda c: (c[0][1], c[0][0] or ""))}
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
    now = dict(now, conntrack=now["conntrack"] - was["conntrack"] or was["conntrack"])
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
    p.add_argument("--takeovers", type=int, default=0, help="of the runs so many with an error in a takeover")
    p.add_argument("--slow", type=float, default=1, help="factor on short times")
    p.add_argument("--only", help="[new/ or old/]CALL, or that:N")
    p.add_argument("--limit", type=int, default=10, help="seconds for start, and for stop")
    args = p.parse_args()
    world = World(args)
    world.bpf.begin()
    calls = count_calls(world, args.limit)
    todo = plan(calls, (args.runs - args.takeovers) * args.every)[args.first::args.every]
    if args.takeovers:
        for victim, runs in ("new", (args.takeovers + 1) // 2), ("old", args.takeovers // 2):
            given = count_calls(world, args.limit, victim)
            given.pop((victim, "epoll_wait"), None)  # a service without its loop ends, whoever was it before
            todo += plan(given, runs * args.every)[args.first::args.every]
            calls.update(given)
    was = dict(world.snapshot(), bpf=[])
    if args.only:
        name, _, n = args.only.partition(":")
        victim, _, call = name.rpartition("/")
        key = victim or None, call
        todo = [(key, int(n))] if n else [(key, i) for i in range(calls[key][0], calls[key][1] + 1)]
    failed, outcomes = 0, collections.Counter()
    for (victim, call), n in todo:
        error = ERRORS.get(call, "ENOMEM")
        begin = time.monotonic()
        strace = ["-o", "/dev/null", "-e", "inject=%s:error=%s:when=%d" % (call, error, n)]
        if victim:
            wrong, went = one_takeover(world, strace, args.limit, victim)
            call = victim + "/" + call
        else:
            wrong, went = one_run(world, strace, args.limit)
        litter = False
        took = time.monotonic() - begin
        if not wrong:
            world.settle(was)
            now = world.snapshot()
            litter = now["run"] != was["run"]
            now["run"] = was["run"]
            if victim:
                litter = litter or now["rps"] != was["rps"]
                now["rps"] = was["rps"]
            wrong = difference(was, now)
            wrong = wrong and "left behind: " + wrong
        outcomes[went] += 1
        if wrong or litter: # the next one cleans up, or begins anew
            later, _ = one_run(world, ["-o", "/dev/null"], args.limit)
            world.settle(was)
            later = later or difference(was, world.snapshot())
            if later:
                wrong = "%s; the next one does not mend it: %s" % (wrong, later)
                was = dict(world.snapshot(), bpf=[])
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
