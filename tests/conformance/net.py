# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""net.py - the network of a conformance run: namespaces with random names, addresses, processes.

        c1 10.1.0.2  --\\                      203.0.113.10, .11  o1
                        h (service) --- r ---<
        c2 10.1.0.3  --/   198.51.100.0/24     203.0.113.140, .141 o2 (.141 behind MTU 1300)
        c3 10.1.0.4  -/ (MTU 1300; other containers' tests speak to it)

IPv6 beside it: 2001:db8:1::/64 inside, 2001:db8:100::/64 uplink, 2001:db8:a::/64 and b::/64 servers.

A thread enters a namespace by setns(2), makes its socket there and leaves: a socket stays where it
was made. So tests may run side by side in threads of one process.
"""
import concurrent.futures
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

C1, C2, C3, C2B = "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.67"
INSIDE = "10.1.0.0/16"
EXT, GW = "198.51.100.2", "198.51.100.1"
POOL = ("198.51.100.20", "198.51.100.23")
PIECES = "198.51.100.17,198.51.100.24/31,198.51.100.28-198.51.100.29"
STATIC = "198.51.100.40"  # 1:1 nat of C2B
SERVICE = "198.51.100.41"  # dnat
NOT_HOSTS = "198.51.100.42"  # snat to well-known L4 ports, which of the host's own address are the host's
O1A, O1B, O2A, O2B = "203.0.113.10", "203.0.113.11", "203.0.113.140", "203.0.113.141"
SMALL_MTU = 1300  # toward O2B, known to r only; of C3's link

C1_6, C2_6, C3_6 = "2001:db8:1::2", "2001:db8:1::3", "2001:db8:1::4"
INSIDE_6 = "2001:db8:1::/64"
EXT_6, GW_6 = "2001:db8:100::2", "2001:db8:100::1"
POOL_6 = "2001:db8:100::20"
PIECES_6 = "2001:db8:110::1,2001:db8:110::80/127,2001:db8:110:1::ffff-2001:db8:110:1::1:0"
MANY, MANY_6 = "10.1.128.0/24", "2001:db8:2:100::/56"  # c2 may send as any of these, too
SERVICE_6 = "2001:db8:100::41"
O1A_6, O1B_6, O2A_6 = "2001:db8:a::10", "2001:db8:a::11", "2001:db8:b::140"
O2B_6 = "2001:db8:b::141"

CONTAINERS = ("c1", "c2", "c3")
SERVERS = ("o1", "o2")
# L4 ports whose traffic a test makes and reads by itself: that namespace's stack never sees it.
RAW_CLIENT = range(61000, 65000)
RAW_SERVER = range(6000, 7000)
RAW_SERVER_TOO = "7990-7999, 8050-8059"  # of rules whose tests make the segments (service.py: MSS)

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class SetupError(Exception):
    pass


def run(*argv, text=None, check=True, timeout=30):
    done = subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, timeout=timeout)
    if check and done.returncode:
        raise SetupError("`%s`: %s" % (" ".join(argv), done.stdout.strip()[-300:]))
    return done.stdout


class Net:
    def __init__(self, offload=True, queues=1):
        self.id = "xc" + os.urandom(3).hex()
        self.tmp = tempfile.mkdtemp(prefix=self.id + ".", dir="/tmp")
        self.offload, self.queues = offload, queues
        self.names, self.procs, self.macs = [], [], {}
        self.o1b_route = threading.Lock()  # the host's own route to O1B: one test at a time has one

    # ---- namespaces

    def path(self, ns):
        return "/run/netns/%s-%s" % (self.id, ns)

    @contextlib.contextmanager
    def inside(self, ns):
        """This thread in that namespace, for as long as the block lasts."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path(ns), os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns " + ns)
            yield
        finally:
            _libc.setns(home, CLONE_NEWNET)
            os.close(there)
            os.close(home)

    def argv(self, ns, *argv):
        return ("nsenter", "--net=" + self.path(ns)) + argv

    def on(self, ns, *argv, text=None, check=True, timeout=30):
        return run(*self.argv(ns, *argv), text=text, check=check, timeout=timeout)

    def start(self, ns, *argv, log=None, **more):
        out = open(os.path.join(self.tmp, log), "w") if log else subprocess.DEVNULL
        p = subprocess.Popen(self.argv(ns, *argv), stdin=subprocess.DEVNULL, stdout=out,
                             stderr=subprocess.STDOUT, **more)
        self.procs.append(p)
        return p

    @staticmethod
    def stop(p, sig=signal.SIGTERM, seconds=5):
        """Its exit code; None where it had to be killed."""
        if p.poll() is None:
            p.send_signal(sig)
        try:
            return p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            return None

    def log(self, name):
        try:
            with open(os.path.join(self.tmp, name)) as f:
                return f.read()
        except OSError:
            return ""

    def add(self, *names):
        for ns in names:
            run("ip", "netns", "add", "%s-%s" % (self.id, ns))
            self.names.append(ns)
            self.on(ns, "sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.default.rp_filter=0", "net.ipv6.conf.all.accept_dad=0",
                    "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
                    "net.ipv6.conf.default.router_solicitations=0",
                    "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
                    "net.ipv4.icmp_msgs_per_sec=10000")
            self.on(ns, "ip", "link", "set", "lo", "up")

    def batch(self, ns, lines):
        """Lines for `ip -batch` in that namespace."""
        self.on(ns, "ip", "-batch", "-", text="\n".join(lines) + "\n")

    def link(self, ns, dev, peer_ns, peer_dev, queues=1):
        run("ip", "link", "add", dev, "netns", "%s-%s" % (self.id, ns), "numtxqueues", str(queues),
            "numrxqueues", str(queues), "type", "veth", "peer", "name", peer_dev, "netns",
            "%s-%s" % (self.id, peer_ns), "numtxqueues", str(queues), "numrxqueues", str(queues))
        for n, d in ((ns, dev), (peer_ns, peer_dev)):
            self.on(n, "ip", "link", "set", d, "up")
            self.macs[n, d] = self._mac(n, d)
            if not self.offload:
                self.on(n, "ethtool", "-K", d, "tx", "off", "tso", "off", "gso", "off", "gro", "off",
                        "sg", "off", check=False)

    def _mac(self, ns, dev):
        with self.inside(ns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((dev, 0))
            return ":".join("%02x" % b for b in s.getsockname()[4])

    # ---- the picture above

    def up(self):
        self.add("c1", "c2", "c3", "h", "r", "o1", "o2")
        for ns in ("h", "r"):
            self.on(ns, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1",
                    "net.ipv6.conf.all.forwarding=1")
        for ns in SERVERS:
            self.on(ns, "sysctl", "-q", "-w", "net.ipv4.tcp_max_syn_backlog=4096")
        for ns, addr, addr6 in (("c1", C1, C1_6), ("c2", C2, C2_6), ("c3", C3, C3_6)):
            self._container(ns, addr, addr6)
        for ns, dev in (("h", "vethc3"), ("c3", "eth0")):
            self.batch(ns, ["link set %s mtu %d" % (dev, SMALL_MTU)])
        self.batch("c2", ["addr add %s/32 dev eth0" % C2B])
        self.batch("h", ["route add %s/32 dev vethc2" % C2B])
        self.link("h", "eth0", "r", "up0", self.queues)
        self.batch("h", ["addr add %s/24 dev eth0" % EXT, "addr add %s/64 dev eth0" % EXT_6,
                         "route add default via %s" % GW, "route add ::/0 via %s" % GW_6])
        self.batch("r", ["addr add %s/24 dev up0" % GW, "addr add %s/64 dev up0" % GW_6,
                         "route add 198.51.100.16/28 via %s" % EXT,
                         "route add 198.51.100.32/28 via %s" % EXT,
                         # What leaves untranslated finds its way back, so that a leak is answered.
                         "route add %s via %s" % (INSIDE, EXT),
                         "route add %s via %s" % (INSIDE_6, EXT_6),
                         "route add 2001:db8:100::20/128 via %s" % EXT_6,
                         "route add 2001:db8:100::41/128 via %s" % EXT_6,
                         "route add 2001:db8:110::/63 via %s" % EXT_6])
        for ns, gw, gw6, addrs in (("o1", "203.0.113.1", "2001:db8:a::1", (O1A, O1A_6)),
                                   ("o2", "203.0.113.129", "2001:db8:b::1", (O2A, O2A_6))):
            self.link("r", "r" + ns, ns, "eth0")
            self.batch("r", ["addr add %s/25 dev r%s" % (gw, ns), "addr add %s/64 dev r%s" % (gw6, ns)])
            self.batch(ns, ["addr add %s/25 dev eth0" % addrs[0], "addr add %s/64 dev eth0" % addrs[1],
                            "route add default via %s" % gw, "route add ::/0 via %s" % gw6])
        self.batch("o1", ["addr add %s/25 dev eth0" % O1B, "addr add %s/64 dev eth0" % O1B_6])
        self._narrow()
        for ns in CONTAINERS + SERVERS:
            self._mute(ns)
        for ns, to in (("c1", "10.1.0.1"), ("c2", "10.1.0.1"), ("c1", O1A), ("c2", O2A), ("o2", O1A)):
            if ns[0] == to[0] or to == "10.1.0.1" or ns == "o2":
                self._reach(ns, to)
        self._reach("h", O1A)
        self._reach("h", O2B)
        self._reach("h", O1A_6)

    def _reach(self, ns, to, seconds=3):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if subprocess.run(self.argv(ns, "ping", "-c", "1", "-W", "1", to),
                              stdout=subprocess.DEVNULL).returncode == 0:
                return
        raise SetupError("%s does not reach %s" % (ns, to))

    def _container(self, ns, addr, addr6):
        dev = "veth" + ns
        self.link("h", dev, ns, "eth0")
        self.batch("h", ["addr add 10.1.0.1/32 dev %s" % dev, "route add %s/32 dev %s" % (addr, dev),
                         "addr add fe80::1/64 dev %s nodad" % dev,
                         "route add %s/128 dev %s" % (addr6, dev)])
        self.batch(ns, ["addr add %s/32 dev eth0" % addr, "route add 10.1.0.1/32 dev eth0",
                        "route add default via 10.1.0.1 src %s" % addr,
                        "addr add %s/128 dev eth0" % addr6,
                        "route add ::/0 via fe80::1 dev eth0"])

    def _narrow(self):
        """O2B is behind a link of a smaller MTU, which only r and o2 know."""
        self.link("r", "ro2b", "o2", "eth1")
        self.batch("r", ["link set ro2b mtu %d" % SMALL_MTU, "addr add 192.0.2.129/30 dev ro2b",
                         "route add %s/32 dev ro2b" % O2B, "addr add 2001:db8:c::1/64 dev ro2b",
                         "route add %s/128 via 2001:db8:c::2" % O2B_6])
        self.batch("o2", ["link set eth1 mtu %d" % SMALL_MTU, "addr add 192.0.2.130/30 dev eth1",
                          "addr add %s/32 dev lo" % O2B, "addr add 2001:db8:c::2/64 dev eth1",
                          "addr add %s/128 dev lo" % O2B_6])

    def _mute(self, ns):
        ports = RAW_CLIENT if ns in CONTAINERS else RAW_SERVER
        self.on(ns, "nft", "-f", "-", text="""table inet raw_ports {
            chain in {
                type filter hook prerouting priority -500
                ip frag-off & 0x1fff != 0 accept
                frag frag-off != 0 accept
                meta l4proto { tcp, udp } th dport { %d-%d%s } drop
            }
        }""" % (ports[0], ports[-1], ", " + RAW_SERVER_TOO if ns in SERVERS else ""))

    # ---- end

    def down(self, keep=False):
        for p in self.procs:
            if p.poll() is None:
                p.terminate()
        for p in self.procs:
            self.stop(p)
        if keep:
            print("kept: namespaces %s-*, folder %s" % (self.id, self.tmp))
            return
        for ns in self.names:
            for pid in run("ip", "netns", "pids", "%s-%s" % (self.id, ns), check=False).split():
                if int(pid) != os.getpid():
                    with contextlib.suppress(OSError):
                        os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", "%s-%s" % (self.id, ns), check=False)
        shutil.rmtree(self.tmp, ignore_errors=True)


def up_together(nets):
    """Several networks at once: most of it is waiting for processes."""
    with concurrent.futures.ThreadPoolExecutor(len(nets)) as pool:
        list(pool.map(Net.up, nets))
