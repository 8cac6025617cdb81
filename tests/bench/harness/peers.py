# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Peers that are no product: NAT in tc-BPF, NAT in XDP, DPDK's testpmd over af_xdp, and the kernel with
an XDP program that does nothing."""
import os
import subprocess

from .contenders import BUILD, Contender, IptablesRps
from .netns import RunError, wait_for
from .topology import CONTAINERS, EXT, PORTS, SERVER

# Of the same size as the range that xegress takes by itself.
EXT_PORTS = "1024-32767"


class PeerNat(Contender):
    family = "peer"
    needs = (os.path.join(BUILD, "tests/bench/peer_nat"),)
    hook = ""

    def up(self, topo, spec):
        argv = [self.needs[0], self.hook, "--inside", "vethc1,vethc2", "--uplink", "eth0", "--ext",
                EXT, "--ports", EXT_PORTS] + self.more(topo)
        self.process = topo.space.start("h", "peer_nat", *argv)
        self.process.keep = True
        self.pids = [self.process.pid]
        wait_for("peer_nat " + self.hook, 5, lambda: self.process.said("READY"))

    def more(self, topo):
        return []

    def down(self, topo):
        self.process.stop()
        self.pids = []


class TcNat(PeerNat):
    name, label, hook = "tc", "NAT in tc-BPF", "tc"


class XdpNat(PeerNat):
    name, label, hook = "xdp", "NAT in XDP, redirect", "xdp"

    def more(self, topo):
        """The other ends have to take frames."""
        ends = [(ns, "eth0") for ns in CONTAINERS] + [("w", "up0")]
        return ["--gro", ",".join("%s-%s:%s" % (topo.space.id, ns, dev) for ns, dev in ends)]


class HookPrice(IptablesRps):
    """The kernel's way beside a generic-mode XDP program that passes everything: what nobody who
    begins at that hook can do without."""
    name, label = "iptables-hook", "iptables masquerade, RPS, XDP programs that pass everything"
    needs = IptablesRps.needs + (os.path.join(BUILD, "tests/bench/hook_price"),)

    def load(self, topo, spec):
        super().load(topo, spec)
        self.process = topo.space.start("h", "hook_price", self.needs[-1], *PORTS)
        self.process.keep = True
        wait_for("hook_price", 5, lambda: self.process.said("READY"))

    def unload(self, topo):
        self.process.stop()
        super().unload(topo)


class Testpmd(Contender):
    """Mac forwarding between vethc1 and the uplink; no NAT, no ARP, no look at a checksum (so both
    ends have to finish their own). UDP of c1 only."""
    name, label = "testpmd", "DPDK testpmd over af_xdp, no NAT"
    family = "peer"
    needs = ("dpdk-testpmd",)
    tcp = False

    def up(self, topo, spec):
        self.checksums(topo, "off")
        # Commands come from standard input; at its end testpmd would stop.
        self.process = topo.space.start(
            "h", "testpmd", "dpdk-testpmd", "-l", "0,%d" % (os.cpu_count() - 1), "--no-pci",
            "--file-prefix", topo.space.id, "--no-huge", "-m", "512", "--no-telemetry",
            "--vdev", "net_af_xdp0,iface=vethc1", "--vdev", "net_af_xdp1,iface=eth0", "--",
            "--forward-mode=mac", "--auto-start", "--total-num-mbufs=16384", "--no-flush-rx",
            "--eth-peer=0," + topo.mac("c1", "eth0"), "--eth-peer=1," + topo.mac("w", "up0"),
            stdin=subprocess.PIPE)
        self.process.keep = True
        self.pids = [self.process.pid]
        wait_for("testpmd forwards", 15, lambda: self.forwards(topo), every=0.1)

    def forwards(self, topo):
        """An answer whose TTL nobody decremented has not been through the kernel."""
        if not self.process.running():
            raise RunError("testpmd: " + self.process.last_words())
        try:
            return "ttl=64" in topo.space.on("c1", "ping", "-c", "1", "-W", "1", SERVER)
        except RunError:
            return False

    def down(self, topo):
        self.process.stop(seconds=3)
        self.pids = []
        for leftover in ("rtemap_0",):
            path = os.path.join("/var/run/dpdk", topo.space.id, leftover)
            if os.path.exists(path):
                os.unlink(path)
        self.checksums(topo, "on")

    @staticmethod
    def checksums(topo, offload):
        topo.space.on("c1", "ethtool", "-K", "eth0", "tx", offload)
        topo.space.on("w", "ethtool", "-K", "up0", "tx", offload)


