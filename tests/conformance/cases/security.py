# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Security: what a container and an outsider must not achieve."""
import os
import re
import stat
import subprocess
import time

import net as n
import service as s
from bench import check, same
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw
from service import BUILD
from table import case


@case("security_spoofed_source", "Security",
      "A container can't send with another container's source, also not into a live flow of that one.")
def _(t):
    c, o = t.udp("c2", n.C2), t.udp("o1", n.O1A, t.port())
    t.ext(c, o, n.O1A)
    t.put("c1", IP(src=n.C2, dst=n.O1A) / UDP(sport=c.getsockname()[1], dport=o.getsockname()[1]) / Raw(b"forged"))
    same("a datagram forged by c1 for c2's flow arrives as", t.heard(o, 0.4), None)


@case("security_spoofed_other_protocols", "Security",
      "Nor by ICMP or another protocol that the kernel forwards: not to another container, nor to the host, though the kernel looks at "
      "no reverse path (rp_filter=0). Both families.", alone=True)
def _(t):
    if t.kernel:
        return
    names = ["/proc/sys/net/ipv4/conf/%s/rp_filter" % dev for dev in ("all", "vethc1")]
    was = [t.net.on("h", "cat", name).strip() for name in names]
    taps = [t.tap("c2"), t.tap("c3"), t.tap("r", "up0")]
    mark = b"impostor %d" % t.ident()
    try:
        for name in names:
            t.net.on("h", "sh", "-c", "echo 0 >" + name)
        for head, src, others in ((IP, n.C2, (n.C3, "10.1.0.1", n.EXT, n.O1A)), (IPv6, n.C2_6, (n.C3_6, n.EXT_6, n.O1A_6))):
            for dst in others:
                t.put("c1", head(src=src, dst=dst) / (ICMP() if head is IP else ICMPv6EchoRequest()) / Raw(mark))
                t.put("c1", head(src=src, dst=dst, **{"proto" if head is IP else "nh": 132}) / Raw(mark))
        seen = [str(p) for tap in taps for p in tap.all(lambda p: mark in p.ip, 0.4)]
    finally:
        for name, value in zip(names, was):
            t.net.on("h", "sh", "-c", "echo %s >%s" % (value, name))
    same("others see", seen, [])


@case("security_live_flow_not_claimed", "Security",
      "A container can't take over a live flow of another: replies go to the owner's port, whatever c1 sends.")
def _(t):
    c, o = t.udp("c2", n.C2), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    spy = t.tap("c1")
    for _ in range(5):
        t.put("c1", IP(src=n.C2, dst=n.O1A) / UDP(sport=c.getsockname()[1], dport=o.getsockname()[1]) / Raw(b"mine"))
        o.sendto(b"for c2", ext)
    same("c2 gets", [t.heard(c, 1) for _ in range(5)], [b"for c2"] * 5)
    same("c1 sees", [str(p) for p in spy.all(lambda p: p.dst == n.C2, 0.2)], [])


@case("security_no_session_from_outside", "Security", "Unsolicited traffic from outside makes no session and reaches nobody.")
def _(t):
    taps = [t.tap("c1"), t.tap("c2")]
    sport = t.port("raw_server")
    before = t.service.json("flow", "count") if not t.kernel else None
    for port in range(20000, 30000, 397):
        t.put("o2", IP(src=n.O2A, dst=n.EXT) / UDP(sport=sport, dport=port) / Raw(b"u"))
        t.put("o2", IP(src=n.O2A, dst=n.EXT) / TCP(sport=sport, dport=port, flags="S"))
        t.put("o2", IP(src=n.O2A, dst=n.EXT) / TCP(sport=sport, dport=port, flags="A"))
    same("containers see", [str(p) for tap in taps for p in tap.all(lambda p: p.sport == sport, 0.3)], [])
    if before is not None:
        flows = [f for f in t.service.flows("to", n.O2A) if str(sport) in str(f)]
        same("flows", flows, [])


def _reaches_nobody(t, taps, where, word, src, dst, sport, dport, ip=IP):
    for proto in (UDP(sport=sport, dport=dport), TCP(sport=sport, dport=dport, flags="S")):
        t.put("r", ip(src=src, dst=dst) / proto / Raw(word))
    seen = [str(p) for tap in taps for p in tap.all(lambda p: word in p.data, 0.1)]
    same("containers see of what says to come from %s, for %s" % (src, where), seen, [])


@case("security_forged_sources_from_outside", "Security",
      "From outside with a source that nobody there has (loopback, multicast, an inside host's, the host's own, Ext itself: LAND, "
      "one of a pool): dropped and counted, for a mapping that lets anybody in, and for a published L4 port. Both families.",
      rule="filter-ei", alone=True)
def _(t):
    if t.kernel:
        return
    port = t.port(s.FILTER_EI)
    c, o, stranger = t.udp("c1", n.C1), t.udp("o1", n.O1A, port), t.udp("o2", n.O2A, t.port())
    open_to_all = t.ext(c, o, n.O1A)
    published = {f: t.udp("c2", f, s.FAR) for f in (n.C2, n.C2_6)}
    taps = [t.tap("c1"), t.tap("c2")]
    sources = ("127.0.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", n.C1, n.C2, "10.1.0.1", n.EXT, n.POOL[0])
    sources6 = ("::1", "::", "ff02::1", n.C1_6, n.C2_6, n.EXT_6)

    def send():
        for i, src in enumerate(sources):
            _reaches_nobody(t, taps, "a mapping", b"forged %d" % i, src, open_to_all[0], 4000, open_to_all[1])
            _reaches_nobody(t, taps, "a published L4 port", b"also %d" % i, src, n.SERVICE, 4000, s.FAR)
        for i, src in enumerate(sources6):
            _reaches_nobody(t, taps, "a published L4 port", b"six %d" % i, src, n.SERVICE_6, 4000, s.FAR, IPv6)

    moved = t.moved(send)
    # Two packets each to the published L4 port, one to the mapping: TCP is nobody's there, and Ext itself LAND.
    same("martian, w_spoofed", (moved.get("martian"), moved.get("w_spoofed")), (2 * 7 + 5, 2 * 8 + 4))
    # And who is outside comes in.
    stranger.sendto(b"honest", open_to_all)
    same("a stranger's datagram to the mapping", t.heard(c, 2), b"honest")
    stranger.sendto(b"honest", (n.SERVICE, s.FAR))
    same("and to the published L4 port", t.heard(published[n.C2], 2), b"honest")


@case("security_hairpin_not_injected", "Security",
      "From outside nothing comes into what two containers send each other by external addresses, with their tuple neither; that goes on.",
      rule="hairpin", alone=True)
def _(t):
    if t.kernel:
        return
    a, b = t.udp("c1", n.C1), t.udp("c3", n.C3, s.NARROW)

    def talk(word):
        a.sendto(word, (n.SERVICE, s.NARROW))
        got, peer = b.recvfrom(100)
        same("c3 gets", got, word)
        b.sendto(word + b" too", peer)
        same("c1 gets", a.recvfrom(100), (word + b" too", (n.SERVICE, s.NARROW)))
        return peer

    ext = talk(b"first")
    taps = [t.tap("c1"), t.tap("c3")]
    moved = t.moved(lambda: [t.put("r", IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(b"injected")) for
                             _ in range(5) for (src, sport), (dst, dport) in (
                                 (ext, (n.SERVICE, s.NARROW)), ((n.SERVICE, s.NARROW), ext))])
    same("containers see", [str(p) for tap in taps for p in tap.all(lambda p: p.data == b"injected", 0.3)], [])
    same("dropped as spoofed", moved.get("w_spoofed"), 10)
    same("c3 sees the same peer afterwards", talk(b"second"), ext)


@case("security_inside_not_reachable", "Security",
      "Nothing from outside reaches an inside address directly: TCP, UDP, ICMP, with and without a flow.")
def _(t):
    taps = [t.tap("c1"), t.tap("c2")]
    sport = t.port("raw_server")
    mark = b"direct %d" % sport
    for dst in (n.C1, n.C2):
        for flags in ("S", "A", "SA", "R", "F"):
            t.put("o2", IP(src=n.O2A, dst=dst) / TCP(sport=sport, dport=22, flags=flags) / Raw(mark))
        t.put("o2", IP(src=n.O2A, dst=dst) / UDP(sport=sport, dport=5353) / Raw(mark))
        t.put("o2", IP(src=n.O2A, dst=dst) / ICMP(id=sport) / Raw(mark))
    seen = [str(p) for tap in taps for p in tap.all(lambda p: mark in p.ip, 0.4)]
    same("containers see", seen, [])


@case("security_expired_delivers_to_nobody", "Security",
      "An expired mapping delivers to nobody (and to nobody else: `rfc6888_req8_shared_port_filters`).", profile="short")
def _(t):
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    taps = [t.tap("c1"), t.tap("c2")]
    time.sleep(9)
    for _ in range(5):
        o.sendto(b"expired", ext)
    same("containers see", [str(p) for tap in taps for p in tap.all(lambda p: p.data == b"expired", 0.4)], [])


@case("security_link_local_stays", "Security",
      "Link-local destinations (169.254.0.0/16) of containers never leave by an uplink by us.")
def _(t):
    tap = t.tap("r", "up0")
    dport = t.port("raw_server")
    for dst in ("169.254.169.254", "169.254.0.1"):
        t.put("c1", IP(src=n.C1, dst=dst) / UDP(sport=4001, dport=dport) / Raw(b"ll"))
        t.put("c1", IP(src=n.C1, dst=dst) / TCP(sport=4001, dport=dport, flags="S"))
    if t.kernel:
        return
    same("on the uplink as ours", [str(p) for p in tap.all(lambda p: p.dport == dport and 20000 <= p.sport <= 29999, 0.4)],
         [])
    same("flows", [f for f in t.service.flows("to", "169.254.0.0/16")], [])


@case("security_ssh_to_host_independent", "Security",
      "A connection from outside to the host itself works beside translated flows, also on the Ext address.")
def _(t):
    listener = t.listen("h", "", 22)
    for _ in range(3):
        o = t.connect("o1", n.EXT, 22)
        h, _ = t.accept(listener)
        o.sendall(b"ssh")
        same("arrives", h.recv(3), b"ssh")
        h.sendall(b"yes")
        same("back", o.recv(3), b"yes")


@case("security_host_connects_out", "Security", "The host's own connections out work, by its own L4 ports.")
def _(t):
    for _ in range(3):
        a, b, seen = t.pair("h")
        same("the server sees", seen, a.getsockname())
        b.sendall(b"hello")
        same("back", a.recv(5), b"hello")


@case("security_control_socket", "Security",
      "Control socket: mode 0660, peer credentials, readers and writers apart; a change leaves a line with uid and pid.",
      alone=True)
def _(t):
    if t.kernel:
        return
    path = os.path.join(t.service.run_dir, "ctl.sock")
    mode = stat.S_IMODE(os.stat(path).st_mode)
    same("mode", oct(mode), "0o660")
    os.chmod(t.net.tmp, 0o755)
    os.chmod(t.service.run_dir, 0o755)
    ctl = (os.path.join(BUILD, "xegressctl"), "--run-dir", t.service.run_dir)
    done = subprocess.run(("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") + ctl + ("status",),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode != 0, "a stranger may ask: " + done.stdout[:100])
    # A member of the socket's group (root's, by default) may look and not change.
    reader = ("setpriv", "--reuid=65534", "--regid=0", "--clear-groups") + ctl
    look = subprocess.run(reader + ("status",), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    same("a reader looks", (look.returncode, look.stdout[:80] if look.returncode else ""), (0, ""))
    change = subprocess.run(reader + ("rule", "add", "drop", "from", "10.1.0.2/32", "to", "192.0.2.199/32"),
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(change.returncode != 0, "a reader changed a rule")
    p = subprocess.Popen(ctl + tuple("rule add at 1 drop from 10.1.0.2/32 to 192.0.2.198/32".split()),
                         stdout=subprocess.DEVNULL)
    same("root changes a rule", p.wait(20), 0)
    log = t.net.log("xegressd.log")
    t.service.ctl(*"rule del drop from 10.1.0.2/32 to 192.0.2.198/32".split())
    line = [ln for ln in log.splitlines() if "192.0.2.198" in ln]
    check(line and re.search(r"uid[ =:]*0\b", line[-1]) and re.search(r"pid[ =:]*%d\b" % p.pid, line[-1]),
          "audit line: %s" % (line or "none"))


@case("security_leaves_nothing_private", "Security",
      "Whatever a container sends, of flows that there are and that there are not, nothing leaves with a private source.")
def _(t):
    tap = t.tap("r", "up0")
    c, o, _ = t.pair()
    dport = o.getsockname()[1]
    for flags in range(0, 64, 3):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / TCP(sport=t.port("raw_client"), dport=dport, flags=flags))
    for kind in (0, 3, 5, 8, 11, 12, 13, 17, 42):
        t.put("c1", IP(src=n.C1, dst=n.O1A) / ICMP(type=kind) / IP(src=n.O1A, dst=n.C1) / UDP(sport=1, dport=2))
    for proto in (6, 17):
        t.put("c1", IP(src=n.C1, dst=n.O1A, proto=proto) / Raw(b"\0" * 5))
    # Of `accept` rules' flows, and of them only, the source is private.
    got = [p for p in tap.all(lambda p: p.src in (n.C1, n.C2), 0.5) if not (
        p.dport and 7920 <= p.dport < 7930)]
    same("leaves with a private source", [str(p) for p in got][:4], [])
