# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""world.py - the network of a fault run, the service in it, and what faults are made with.

    c1 10.1.1.2 --- vc1 \\                                       w 203.0.113.1 (servers)
    c2 10.1.2.2 --- vc2 -- h (service)  eth0 --- up0 w 198.51.100.1
    c3 ...          vc3 /  198.51.100.2

Containers are routed /32s. Each has an entry in `ports:` by a glob, so containers made during a run
become ports by themselves. Names are random, traffic stays in these namespaces.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, os.path.join(ROOT, "tests/bench"))
from harness.netns import Process, RunError, Space, wait_for  # noqa: E402

BUILD = os.path.realpath(os.path.join(ROOT, os.environ.get("BUILD", "build")))
SLOW = float(os.environ.get("XE_SLOW", "1"))
JUDGE = os.path.join(ROOT, "tests/netns/judge.py")
INSIDE, EXT, GATEWAY, SERVER = "10.1.0.0/16", "198.51.100.2", "198.51.100.1", "203.0.113.1"
HOST_INSIDE = "10.1.0.1"
TCP_PORT, UDP_PORT = 9000, 7001
DOOMED_PORT = 9001  # of the connections of containers that are going to die: the host may reset them
HOST_L4_PORTS = 61000, 65535  # the host's own connections: neither a rule nor a container has these

CONF = """workers: [{workers}]
on-stop: {on_stop}
ports:
  - {{name: v*, role: inside, allow: [10.1.0.0/16]}}
  - {{name: eth0, role: uplink}}
rules:
  - masquerade from 10.1.0.0/16 out eth0 ports 1024-29999
limits: {{sessions: 65536, sessions-per-source: 32768}}
{extra}"""

# A host's own, as Docker makes one: kernel flows before the start have a mapping by it.
OWN_MASQUERADE = """table ip docker_like {
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.1.0.0/16 oifname "eth0" masquerade
	}
}"""


class Skip(Exception):
    """This fault cannot be made here; says why."""


def now_ms():
    return time.monotonic_ns() // 1000000


def address(container):
    return "10.1.%d.2" % int(container[1:])


class World:
    def __init__(self, workers="0", containers=("c1", "c2"), extra="", queues=1):
        self.space = Space(["h", "w"])
        self.containers, self.session = [], None
        self.notes = []  # what a fault wants said of itself
        self.conf_words = {"workers": workers, "extra": extra, "on_stop": "handback"}
        self.service, self.service_cnt, self.queues = None, 0, queues
        self.before = set()  # flows before a fault
        self.at_end = []     # functions, when all processes have ended
        try:
            if not self.can_hand_back():
                self.conf_words["on_stop"] = "clean"
            self.build(containers)
        except BaseException:
            self.space.close()
            raise

    # ---- the network

    def on(self, ns, *argv, **more):
        return self.space.on(ns, *argv, **more)

    def try_on(self, ns, *argv):
        """Exit code 0? For what may fail."""
        try:
            self.space.on(ns, *argv)
            return True
        except RunError:
            return False

    def batch(self, ns, lines):
        self.on(ns, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def quiet(self, ns):
        self.space.sysctl(ns, ipv6__conf__all__disable_ipv6=1, ipv6__conf__default__disable_ipv6=1,
                          ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0,
                          ipv4__conf__default__arp_notify=1)
        # The peers' retransmission timers back off to seconds; what is measured is the service's
        # time to heal, so they ask once a second at least (kernel 6.15; older ones: no matter).
        self.try_on(ns, "sysctl", "-q", "net.ipv4.tcp_rto_max_ms=1000")
        self.on(ns, "ip", "link", "set", "lo", "up")

    def build(self, containers):
        for ns in ("h", "w"):
            self.quiet(ns)
        self.space.sysctl("h", ipv4__ip_forward=1, ipv4__ip_local_port_range="%d %d" % HOST_L4_PORTS)
        self.space.sysctl("w", ipv4__tcp_max_syn_backlog=4096, core__somaxconn=4096)
        queues = "numtxqueues 4 numrxqueues 4" if self.queues > 1 else ""
        self.batch("h", ["link add eth0 %s type veth peer name up0 %s netns %s" % (
                             queues, queues, self.space.id + "-w"),
                         "addr add %s/24 dev eth0" % EXT, "link set eth0 up"])
        self.space.sysctl("h", ipv4__conf__eth0__promote_secondaries=1)
        self.batch("w", ["addr add %s/24 dev up0" % GATEWAY, "link set up0 up",
                         "addr add %s/32 dev lo" % SERVER, "addr add 203.0.113.2/32 dev lo",
                         "route add %s via %s" % (INSIDE, EXT)])
        if self.queues > 1:
            self.on("w", "ethtool", "-L", "up0", "tx", self.queues, "rx", self.queues)
            self.on("h", "ethtool", "-L", "eth0", "tx", self.queues, "rx", self.queues)
        self.on("h", "ip", "route", "add", "default", "via", GATEWAY)
        for name in containers:
            self.make_container(name)
        self.start("w", "tcp", "tcp_many", "server", SERVER, TCP_PORT)
        self.start("w", "doomed", "tcp_many", "server", SERVER, DOOMED_PORT)
        self.start("w", "udp", "udp_echo", SERVER, UDP_PORT)
        for ns in containers:
            wait_for("a path from %s to w" % ns, 5 * SLOW,
                     lambda ns=ns: self.try_on(ns, "ping", "-c", "1", "-W", "1", GATEWAY))

    def make_container(self, name, addr=None, dev=None, queues=1):
        """Namespace, veth, address, routes, as an engine makes it. With more queues than one: one, and
        room for the others."""
        full, addr, dev = self.space.id + "-" + name, addr or address(name), dev or "v" + name
        self.space.command(["ip", "netns", "add", full])
        self.space.names.append(name)
        self.containers.append(name)
        self.quiet(name)
        room = "numtxqueues %d numrxqueues %d" % (queues, queues) if queues > 1 else ""
        self.batch("h", ["link add %s %s type veth peer name eth0 %s netns %s" % (dev, room, room, full),
                         "addr add %s/32 dev %s" % (HOST_INSIDE, dev), "link set %s up" % dev,
                         "route replace %s/32 dev %s" % (addr, dev)])
        for ns, end in ((name, "eth0"), ("h", dev)) if queues > 1 else ():
            self.on(ns, "ethtool", "-L", end, "tx", 1, "rx", 1)
        self.batch(name, ["link set eth0 up", "addr add %s/32 dev eth0" % addr,
                          "route add %s/32 dev eth0" % HOST_INSIDE,
                          "route add default via %s" % HOST_INSIDE])

    def kill_container(self, name):
        """Its processes and its namespace at once; the kernel takes the veth away behind them."""
        full = self.space.id + "-" + name
        for pid in self.space.command(["ip", "netns", "pids", full]).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.space.command(["ip", "netns", "del", full])
        self.space.names.remove(name)
        self.containers.remove(name)

    def start(self, ns, name, tool, *argv):
        return self.space.start(ns, name, os.path.join(BUILD, "tests/tools", tool), *argv)

    # ---- the service

    def run_dir(self):
        return self.space.path("run")

    def can_hand_back(self):
        self.write_conf()
        return subprocess.run((os.path.join(BUILD, "xegressd"), "--check", "-c",
                               self.space.path("xegress.yaml")), capture_output=True,
                              check=False).returncode == 0

    def write_conf(self, **words):
        with open(self.space.path("xegress.yaml"), "w", encoding="ascii") as f:
            f.write(CONF.format(**dict(self.conf_words, **words)))

    def spawn(self, *options):
        """A new service process; returns at once."""
        self.service_cnt += 1
        os.makedirs(self.run_dir(), exist_ok=True)
        argv = self.space.enter("h", (os.path.join(BUILD, "xegressd"), "-c",
                                      self.space.path("xegress.yaml"), "--run-dir", self.run_dir(),
                                      *options))
        process = Process(self.space, "xegressd.%d" % self.service_cnt, argv)
        self.space.processes.append(process)
        return process

    def start_service(self, *options, **words):
        self.write_conf(**words)
        self.service = self.spawn(*options)
        self.wait_in_force()

    def late_ms(self):
        """How long the control thread was ready to run and had no CPU: the machine's, not its own."""
        with open("/proc/%d/schedstat" % self.service.pid, encoding="ascii") as f:
            return int(f.read().split()[1]) // 1000000

    def forwarded(self):
        """Packets that the host's kernel has forwarded."""
        lines = [ln.split() for ln in self.on("h", "cat", "/proc/net/snmp").splitlines()
                 if ln.startswith("Ip:")]
        return int(lines[1][lines[0].index("ForwDatagrams")])

    def carried(self):
        """Packets that workers have sent."""
        return sum(x["tx_packets"] for x in self.json("stats")["workers"])

    def flows(self, *states):
        """Proto, both ends, mapping of those in these states; none named: of all."""
        return {(f["proto"], f["src"], f["dst"], f["nat_src"]) for f in self.json(
            "flow", "list")["flows"] if not states or f["state"] in states}

    def wait_in_force(self, seconds=5):
        def look():
            if not self.service.running():
                raise RunError("xegressd: " + self.service.last_words())
            return self.ctl_ok("status")
        try:
            wait_for("xegressd in force", seconds * SLOW, look)
        except RunError as e:
            raise RunError("%s (%s)" % (e, self.ctl_text("status").strip()[-400:])) from None

    def ctl_argv(self, *words):
        return [os.path.join(BUILD, "xegressctl"), "--run-dir", self.run_dir(), *words]

    def ctl_run(self, *words):
        return subprocess.run(self.ctl_argv(*words), capture_output=True, text=True, check=False,
                              timeout=30 * SLOW)

    def ctl_ok(self, *words):
        return self.ctl_run(*words).returncode == 0

    def ctl_text(self, *words):
        done = self.ctl_run(*words)
        return done.stdout + done.stderr

    def ctl(self, *words):
        done = self.ctl_run(*words)
        if done.returncode:
            raise RunError("xegressctl %s: %s" % (" ".join(words), (done.stderr + done.stdout)[-300:]))
        return done.stdout

    def json(self, *words):
        return json.loads(self.ctl_run(*words, "--json").stdout)

    def signal(self, sig):
        os.kill(self.service.pid, sig)

    def wait_gone(self, seconds=5):
        """The exit code of the service, negative for the signal that ended it."""
        try:
            return self.service.popen.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise RunError("xegressd is still there after %g s" % (seconds * SLOW)) from None

    def complaints(self):
        """What is wrong with the service itself: sanitizers, assertions, equations."""
        found = []
        for n in range(1, self.service_cnt + 1):
            for path in (self.space.path("xegressd.%d.err" % n),):
                if os.path.exists(path):
                    with open(path, encoding="utf-8", errors="replace") as f:
                        found += [ln.strip() for ln in f if "Sanitizer" in ln or
                                  "runtime error" in ln or "assert" in ln][:3]
        if self.service and self.service.running():
            done = subprocess.run([JUDGE, "conserve", "--may-hold", "--wait", str(5 * SLOW), "--"] +
                                  self.ctl_argv("stats", "--json"), capture_output=True, text=True,
                                  check=False)
            if done.returncode:
                found += [ln for ln in done.stdout.splitlines() if "WRONG" in ln or "rest" in ln] or [
                    "conserve: " + (done.stderr or done.stdout)[-200:]]
        return found

    def log_tail(self, n=15):
        if not self.service:
            return []
        return [ln for ln in self.service.err().splitlines() if "audit:" not in ln][-n:]

    def close(self):
        self.space.close()
        for end in self.at_end:
            end()


# ---- one thread of a process stands still, as in a debugger

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(what, tid):
    if _LIBC.ptrace(what, tid, None, None) < 0:
        raise RunError("ptrace: " + os.strerror(ctypes.get_errno()))


def hold_thread(tid):
    _ptrace(PTRACE_SEIZE, tid)
    _ptrace(PTRACE_INTERRUPT, tid)
    os.waitpid(tid, 0x40000000)  # __WALL


def let_thread_go(tid):
    _ptrace(PTRACE_DETACH, tid)


def thread_has_ended(tid):
    """One that is held; who holds it has to reap it, or its process stays."""
    return os.waitpid(tid, 0x40000000 | os.WNOHANG)[0] == tid


def worker_threads(pid):
    """Ids of the worker threads: all but the first one that have a name of a worker."""
    found = []
    for tid in sorted(map(int, os.listdir("/proc/%d/task" % pid))):
        with open("/proc/%d/task/%d/comm" % (pid, tid), encoding="ascii") as f:
            if tid != pid and f.read().startswith("xe-worker"):
                found.append(tid)
    return found


__all__ = ["World", "RunError", "wait_for"]
