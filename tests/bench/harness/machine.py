# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The machine that is measured on: what it is, and the one global setting that the bench changes."""
import datetime
import os
import platform
import subprocess
import sys

CONNTRACK_MAX = "/proc/sys/net/netfilter/nf_conntrack_max"
CONNTRACK_BUCKETS = "/proc/sys/net/netfilter/nf_conntrack_buckets"


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return ""


def said(*argv):
    """First line of a command's output, empty when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def cpu_model():
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


# Of the kernel's command line what changes speed; the rest says more about a site than about a figure.
FLAGS = ("mitigations", "nosmt", "isolcpus", "nohz", "nohz_full", "rcu_nocbs", "preempt", "idle",
         "intel_pstate", "amd_pstate", "processor.max_cstate", "intel_idle.max_cstate", "iommu",
         "transparent_hugepage", "hugepages", "irqaffinity", "threadirqs", "skew_tick")


def kernel_flags():
    """Those words, and what cannot be seen there: JIT and the default governor."""
    words = [w for w in read("/proc/cmdline").split() if w.partition("=")[0] in FLAGS]
    for title, path in (("bpf_jit", "/proc/sys/net/core/bpf_jit_enable"),
                        ("bpf_jit_harden", "/proc/sys/net/core/bpf_jit_harden"),
                        ("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")):
        if read(path):
            words.append("%s=%s" % (title, read(path)))
    return " ".join(words)


def describe(options):
    """The header of every report."""
    dirty = bool(said("git", "status", "--porcelain", "--untracked-files=no"))
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": said("git", "rev-parse", "--short=12", "HEAD") + (" + changes" if dirty else ""),
        "kernel": " ".join(os.uname()[i] for i in (2, 3)),
        "kernel_flags": kernel_flags(),
        "cpu": cpu_model(), "cores": os.cpu_count(),
        "hypervisor": said("systemd-detect-virt", "--vm") or "unknown",
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "compiler": said(os.environ.get("CC", "gcc"), "--version"),
        "cflags": os.environ.get("XE_BENCH_CFLAGS", ""),
        "tools": {"iperf3": said("iperf3", "--version"), "iptables": said("iptables", "--version"),
                  "nft": said("nft", "--version"),
                  "dpdk": said("dpkg-query", "-W", "-f", "DPDK ${Version}",
                                  "dpdk-dev")},
        "command": " ".join([os.path.relpath(sys.argv[0])] + sys.argv[1:]),
        "seconds": options.seconds, "rounds_wanted": options.rounds,
        "load_before": read("/proc/loadavg"),
    }


class ConntrackRoom:
    """nf_conntrack_max and the number of hash buckets belong to the whole machine, not to a
    namespace: raised for a million sessions, and put back as found."""

    def __init__(self, sessions, say):
        self.wanted = sessions * 5 // 4
        self.say = say
        self.found = {}

    def __enter__(self):
        now = read(CONNTRACK_MAX)
        if not now or int(now) >= self.wanted:
            return self
        for path, value in ((CONNTRACK_BUCKETS, self.wanted // 2), (CONNTRACK_MAX, self.wanted)):
            self.found[path] = read(path)
            self.put(path, value)
            self.say("%s: %s -> %s, put back at the end" % (os.path.basename(path),
                                                            self.found[path], read(path)))
        return self

    @staticmethod
    def put(path, value):
        with open(path, "w", encoding="ascii") as f:
            f.write(str(value))

    def __exit__(self, *_):
        # max after buckets: setting buckets sets max, too, on some kernels
        for path in (CONNTRACK_BUCKETS, CONNTRACK_MAX):
            if path in self.found:
                self.put(path, self.found[path])
        if self.found:
            self.say("nf_conntrack_max and buckets put back")
        return False
