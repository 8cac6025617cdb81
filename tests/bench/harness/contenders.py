# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who is measured: what carries the containers' packets across h.

A contender is put up for one run and taken down after it, by up(topology, spec) and down(topology).
`pids` are its own processes while it is up. `why_not` says why it cannot run here (or None).
"""
import json
import os
import shutil

from . import rules
from .netns import RunError, wait_for
from .topology import CONTAINERS, PORTS

BUILD = os.environ.get("BUILD", "build")
ALL_CORES = (1 << os.cpu_count()) - 1


class Spec:
    """What a workload asks of a contender beside being there."""

    def __init__(self, rule_cnt=0, sessions=100000):
        self.rule_cnt = rule_cnt  # rules in front that do not match
        self.sessions = sessions  # live sessions that have to have room


class Contender:
    name = label = ""
    family = "kernel"
    needs = ()       # programs
    rules = False    # can take n rules
    sessions = False  # can hold a million sessions
    tcp = True       # carries what a TCP connection needs

    def __init__(self):
        self.pids = []

    def why_not(self):
        for program in self.needs:
            if not shutil.which(program) and not os.access(program, os.X_OK):
                return "no `%s` here" % program
        return None

    def up(self, topo, spec):
        raise NotImplementedError

    def down(self, topo):
        pass

    def facts(self, topo):
        """After the load: what explains a figure (losses and the like), for the raw record."""
        return {}

    def live_sessions(self, topo):
        return int(topo.space.on("h", "cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


class Forward(Contender):
    """The kernel's forwarding alone, no conntrack: nobody who translates can be faster there."""
    name, label = "forward", "kernel forwarding, no NAT"

    def up(self, topo, spec):
        pass


class KernelNat(Contender):
    mask = 0
    rules = sessions = True

    def up(self, topo, spec):
        # Unanswered flows (the fill of session tables) shall live as long as a run.
        topo.space.sysctl("h", netfilter__nf_conntrack_udp_timeout=300)
        self.load(topo, spec)
        topo.rps(self.mask)

    def down(self, topo):
        topo.rps(0)
        self.unload(topo)
        topo.space.on("h", "conntrack", "-F")

    def facts(self, topo):
        return {"conntrack_count": self.live_sessions(topo)}


class Iptables(KernelNat):
    name, label = "iptables", "iptables masquerade"
    needs = ("iptables-restore", "conntrack")

    def load(self, topo, spec):
        topo.space.on("h", "iptables-restore", stdin=rules.iptables(spec.rule_cnt))

    def unload(self, topo):
        topo.space.on("h", "iptables", "-t", "nat", "-F")


class IptablesRps(Iptables):
    name, label, mask = "iptables-rps", "iptables masquerade, RPS", ALL_CORES


class Nftables(KernelNat):
    name, label = "nftables", "nftables masquerade"
    needs = ("nft", "conntrack")

    def load(self, topo, spec):
        topo.space.on("h", "nft", "-f", "-", stdin=rules.nftables(spec.rule_cnt))

    def unload(self, topo):
        topo.space.on("h", "nft", "delete", "table", "ip", "bench")


class NftablesRps(Nftables):
    name, label, mask = "nftables-rps", "nftables masquerade, RPS", ALL_CORES


def kernel_forwarded(topo):
    """Packets that h's kernel forwarded: while xegress carries, next to none."""
    titles, numbers = [line.split() for line in topo.space.on("h", "cat", "/proc/net/snmp")
                       .splitlines() if line.startswith("Ip:")]
    return int(numbers[titles.index("ForwDatagrams")])


class Xegress(Contender):
    name, label = "xegress", "xegress, one worker"
    family = "xegress"
    rules = sessions = True
    needs = (os.path.join(BUILD, "xegressd"), os.path.join(BUILD, "xegressctl"))
    workers = 1
    mode, wait = "auto", "adaptive"
    refused = None

    def why_not(self):
        if os.cpu_count() < self.workers:
            return "%d cores" % os.cpu_count()
        return self.refused or super().why_not()

    def cpus(self):
        """The last ones, as the service chooses by itself."""
        allowed = sorted(os.sched_getaffinity(0))
        return allowed[-self.workers:]

    def config(self, spec):
        lines = ["on-stop: clean", "workers: %s" % self.cpus(), "wait: " + self.wait, "ports:"]
        for veth, address in zip(PORTS, CONTAINERS.values()):
            lines.append("  - {name: %s, role: inside, allow: [%s/32], xdp: %s}" % (
                veth, address, self.mode))
        lines += ["  - {name: eth0, role: uplink, xdp: %s}" % self.mode, "rules:",
                  rules.xegress(spec.rule_cnt)]
        room = max(spec.sessions * 5 // 4, 262144)
        lines.append("limits: {sessions: %d, sessions-per-source: %d}" % (room, room))
        return "\n".join(lines) + "\n"

    def ctl(self, topo, *words):
        return topo.space.on("h", self.needs[1], "--run-dir", topo.space.path("run"), *words)

    def up(self, topo, spec):
        conf = topo.space.path("xegress.yaml")
        os.makedirs(topo.space.path("run"), exist_ok=True)
        with open(conf, "w", encoding="ascii") as f:
            f.write(self.config(spec))
        self.process = topo.space.start("h", "xegressd", self.needs[0], "-c", conf,
                                        "--run-dir", topo.space.path("run"))
        self.process.keep = True
        self.pids = [self.process.pid]
        self.forwarded = kernel_forwarded(topo)
        wait_for("xegressd in force", 15, lambda: self.in_force(topo))
        have = len(self.stats(topo)["workers"])
        if have != self.workers:
            self.down(topo)
            self.refused = "xegressd of this build runs %d of %d workers" % (have, self.workers)
            raise RunError(self.refused)

    def in_force(self, topo):
        if not self.process.running():
            raise RunError("xegressd: " + self.process.last_words())
        if not os.path.exists(topo.space.path("run/ctl.sock")):
            return False
        try:
            self.ctl(topo, "status")
            return True
        except RunError:
            return False

    def stats(self, topo):
        return json.loads(self.ctl(topo, "stats", "--json"))

    def facts(self, topo):
        stats = self.stats(topo)
        return {"kernel_forwarded": kernel_forwarded(topo) - self.forwarded,
                "workers": [{k: v for k, v in w.items() if k != "drops"} |
                            {"drops": {r: n for r, n in w.get("drops", {}).items() if n}}
                            for w in stats["workers"]],
                "xsk_lost": {p["name"]: p.get("xsk_lost") for p in stats["ports"]}}

    def live_sessions(self, topo):
        return sum(w["sessions"] for w in self.stats(topo)["workers"])

    def down(self, topo):
        self.process.stop(seconds=6)
        self.pids = []


class XegressTwo(Xegress):
    name, label, workers = "xegress-2w", "xegress, two workers", 2


class XegressNative(Xegress):
    name, label, mode = "xegress-native", "xegress, native XDP", "native"


class XegressBusy(Xegress):
    name, label, wait = "xegress-busy", "xegress, one worker, `wait: busy`", "busy"


class XegressInterrupt(Xegress):
    name, label, wait = "xegress-interrupt", "xegress, one worker, `wait: interrupt`", "interrupt"


class XegressNativeBusy(XegressNative):
    name, label, wait = "xegress-native-busy", "xegress, native XDP, `wait: busy`", "busy"
