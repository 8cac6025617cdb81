# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""c1 and c2 (containers) - h (the host) - w (the internet), joined by veth pairs, MTU 1500.

      c1 eth0 --- vethc1 \\
                          h  eth0 --- up0 w (servers)
      c2 eth0 --- vethc2 /

Routed as tests/netns/topo.sh does it. Ethernet addresses of neighbours are given in the containers
and in w, so that a contender that answers no ARP (testpmd) stands in the same place; the host asks.
w has a route back to the containers: what a contender without NAT forwards is answered.
"""
from .netns import Space, wait_for, RunError

INSIDE = "10.1.0.0/16"
CONTAINERS = {"c1": "10.1.0.2", "c2": "10.1.0.3"}
HOST_INSIDE = "10.1.0.1"
EXT = "198.51.100.2"
GATEWAY = "198.51.100.1"
SERVER = "203.0.113.1"
BLACKHOLE = "203.0.113.200"  # w throws it away at once: fills session tables at no receiver's cost
PORTS = ("vethc1", "vethc2", "eth0")


class Topology:
    def __init__(self):
        self.space = Space(["c1", "c2", "h", "w"])
        self.rps_mask = 0
        try:
            self.build()
        except BaseException:
            self.space.close()
            raise

    def build(self):
        on = self.space.on
        for ns in self.space.names:
            self.space.sysctl(ns, ipv6__conf__all__disable_ipv6=1,
                              ipv6__conf__default__disable_ipv6=1,
                              ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0)
            on(ns, "ip", "link", "set", "lo", "up")
        self.space.sysctl("h", ipv4__ip_forward=1)
        for ns, address in CONTAINERS.items():
            self.container(ns, address)
        self.uplink()
        # Loads open tens of thousands of connections: neither client nor server may be the bound.
        for ns in ("c1", "c2", "w"):
            self.space.sysctl(ns, ipv4__tcp_tw_reuse=1, ipv4__tcp_max_syn_backlog=16384,
                              core__somaxconn=16384, ipv4__tcp_syncookies=0)
        # tcp_srv closes first, so TIME_WAIT would fill up there.
        self.space.sysctl("w", ipv4__tcp_max_tw_buckets=0)
        for ns in CONTAINERS:
            on(ns, "sysctl", "-q", "net.ipv4.ip_local_port_range=1024 65000")
        self.neighbours()
        wait_for("a path from c1 to w", 3, self.path_works, every=0.05)

    def container(self, ns, address):
        on, veth = self.space.on, "veth" + ns
        on("h", "ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0",
           "netns", self.space.id + "-" + ns)
        on("h", "ip", "link", "set", veth, "up")
        on("h", "ip", "addr", "add", HOST_INSIDE + "/32", "dev", veth)
        on(ns, "ip", "link", "set", "eth0", "up")
        on(ns, "ip", "addr", "add", address + "/32", "dev", "eth0")
        on(ns, "ip", "route", "add", HOST_INSIDE + "/32", "dev", "eth0")
        on(ns, "ip", "route", "add", "default", "via", HOST_INSIDE)
        on("h", "ip", "route", "add", address + "/32", "dev", veth)

    def uplink(self):
        on = self.space.on
        on("h", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "up0",
           "netns", self.space.id + "-w")
        on("h", "ip", "addr", "add", EXT + "/24", "dev", "eth0")
        on("h", "ip", "link", "set", "eth0", "up")
        on("w", "ip", "addr", "add", GATEWAY + "/24", "dev", "up0")
        on("w", "ip", "link", "set", "up0", "up")
        on("h", "ip", "route", "add", "default", "via", GATEWAY)
        on("w", "ip", "addr", "add", SERVER + "/32", "dev", "lo")
        on("w", "ip", "route", "add", INSIDE, "via", EXT)
        on("w", "ip", "route", "add", "blackhole", BLACKHOLE + "/32")

    def mac(self, ns, dev):
        words = self.space.on(ns, "ip", "-o", "link", "show", "dev", dev).split()
        return words[words.index("link/ether") + 1]

    def neighbours(self):
        for ns in CONTAINERS:
            self.space.on(ns, "ip", "neigh", "replace", HOST_INSIDE, "lladdr",
                          self.mac("h", "veth" + ns), "dev", "eth0", "nud", "permanent")
        self.space.on("w", "ip", "neigh", "replace", EXT, "lladdr", self.mac("h", "eth0"),
                      "dev", "up0", "nud", "permanent")

    def path_works(self):
        try:
            self.space.on("c1", "ping", "-c", "1", "-W", "1", SERVER)
            return True
        except RunError:
            return False

    def rps(self, mask):
        """Receive packet steering on the host's veths: the kernel's way to use other cores. /sys
        shows the namespace it was mounted in, so it is mounted anew where nobody else sees it."""
        if mask == self.rps_mask:
            return
        script = "mount -t sysfs none /sys && cd /sys/class/net && for d in %s; do " \
            "for q in $d/queues/rx-*; do echo %x >$q/rps_cpus || exit 1; done; done" % (
                " ".join(PORTS), mask)
        self.space.on("h", "unshare", "-m", "sh", "-c", script)
        self.rps_mask = mask

    def gro(self, on_off):
        """veth takes frames without an skb (live_gen) by NAPI, which GRO switches on."""
        self.space.on("h", "ethtool", "-K", "eth0", "gro", on_off)

    def counters(self, ns, dev):
        """(rx packets, tx packets, rx bytes, tx bytes) as that interface counts."""
        text = self.space.on(ns, "cat", "/proc/net/dev")
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name.strip() == dev:
                n = [int(x) for x in rest.split()]
                return n[1], n[9], n[0], n[8]
        raise RunError("no interface %s in %s" % (dev, ns))

    def close(self):
        self.space.close()
