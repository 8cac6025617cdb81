# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Rules: each verb and option as the wire shows it; a changed rule set."""
import time

import net as n
import service as s
from bench import check, same
from rawtcp import SYN, RawTcp
from table import case


@case("rule_kernel", "Rules", "`kernel` leaves a flow to the kernel's path: its port range, not ours.")
def _(t):
    o, c = t.udp("o1", n.O1A, t.port(s.KERNEL)), t.udp("c1", n.C1)
    before = 0 if t.kernel else t.service.reasons().get("kernel_rule", 0)
    same("Ext address", t.ext(c, o, n.O1A)[0], n.EXT)
    if t.kernel:
        return
    check(t.service.reasons().get("kernel_rule", 0) > before, "kernel_rule did not count")
    # Other tests run beside this one: it is the pair of endpoints that must not be there.
    ends = ["%s:%d" % x.getsockname() for x in (c, o)]
    same("among the service's flows", [f for f in t.service.flows("udp") if [f["src"], f["dst"]] == ends], [])


@case("rule_drop", "Rules", "`drop` ends a packet: nothing arrives, nothing is answered.")
def _(t):
    if t.kernel:
        return
    port = t.port(s.DROP)
    o, back = t.udp("o1", n.O1A, port), t.tap("c1")
    c = t.udp("c1")
    c.sendto(b"?", (n.O1A, port))
    same("arrives", t.heard(o, 0.4), None)
    mark = c.getsockname()[1].to_bytes(2, "big")
    same("answers", [str(p) for p in back.all(lambda p: p.proto == 1 and mark in p.data, 0.2)], [])


@case("rule_accept_untranslated", "Rules", "`accept` forwards untranslated, UDP and TCP, both ways.")
def _(t):
    port = t.port(s.ACCEPT)
    c, o = t.udp("c1"), t.udp("o1", n.O1A, port)
    same("the server sees", t.ext(c, o, n.O1A), (n.C1, c.getsockname()[1]))
    o.sendto(b"back", (n.C1, c.getsockname()[1]))
    same("back", t.heard(c, 1), b"back")
    ca, oa, ext = t.pair("c2", port=t.port(s.ACCEPT))
    same("the server sees", ext, ca.getsockname())
    ca.sendall(b"x")
    same("arrives", oa.recv(1), b"x")


@case("rule_accept_between_containers", "Rules", "`accept` lets containers talk to each other, untranslated.")
def _(t):
    port = t.port()
    ca, cb, ext = t.pair("c1", "c2", n.C2, port)
    same("c2 sees", ext, ca.getsockname())
    from cases.tcp import exchange
    exchange(ca, cb, b"between" * 5000)


@case("rule_reject_tcp", "Rules", "`reject` answers a SYN with RST, so that connect() fails at once.", rule="reject")
def _(t):
    start = time.monotonic()
    try:
        t.connect("c1", n.O1A, t.port(s.REJECT))
        raise AssertionError("connected")
    except ConnectionRefusedError:
        check(time.monotonic() - start < 1, "refused late")
    k = RawTcp(t, sport=t.port(s.REJECT))
    k.up(SYN, ack=0)
    p = k.back.wait(lambda p: p.proto == 6 and p.dport == k.cport, 1)
    check(p and p.ok(), "no RST, or one with a wrong checksum")
    same("RST: flags, ack", (p.flags & 4, p.ack), (4, k.cnext + 1))


@case("rule_reject_udp", "Rules", "`reject` answers UDP with ICMP 3/13.", rule="reject")
def _(t):
    c = t.udp("c1")
    back = t.tap("c1")
    port = t.port(s.REJECT)
    c.sendto(b"?", (n.O1A, port))
    mark = c.getsockname()[1].to_bytes(2, "big") + port.to_bytes(2, "big")
    p = back.wait(lambda p: p.proto == 1 and mark in p.data, 1)
    check(p and p.ok(), "no ICMP error, or a wrong one")
    same("type, code", (p.type, p.code), (3, 13))


def _mss_of(options):
    at = 0
    while at < len(options):
        if options[at] == 1:
            at += 1
            continue
        if options[at] == 2:
            return int.from_bytes(options[at + 2:at + 4], "big")
        at += options[at + 1]
    return None


def _mss_seen(t, port, mss):
    k = RawTcp(t, sport=port)
    k.out, k.back = t.tap("o1"), t.tap("c1")
    k.up(SYN, ack=0, options=[("NOP", None), ("NOP", None), ("MSS", mss), ("SAckOK", b"")])
    p = k.out.wait(lambda p: p.dport == port and p.flags == SYN and p.proto == 6)
    check(p and p.ok(), "the SYN did not come out right")
    k.ext = (p.src, p.sport)
    k.cnext += 1
    k.down("SA", options=[("MSS", mss), ("SAckOK", b"")])
    q = k.back.wait(lambda q: q.dport == k.cport and q.proto == 6)
    check(q and q.ok(), "the SYN-ACK did not arrive right")
    return _mss_of(p.options), _mss_of(q.options)


@case("rule_mss_clamp", "Rules",
      "`mss-clamp N` lowers the MSS of SYN and SYN-ACK to N, never raises it, and keeps checksums right.",
      level="option", rule="mss-clamp")
def _(t):
    same("MSS 1460 becomes", _mss_seen(t, t.port(s.MSS), 1460), (1200, 1200))
    same("MSS 900 becomes", _mss_seen(t, t.port(s.MSS), 900), (900, 900))


@case("rule_mss_untouched_by_default", "Rules", "Without `mss-clamp` no TCP option is changed.")
def _(t):
    same("MSS 9000 becomes", _mss_seen(t, t.port("raw_server"), 9000), (9000, 9000))


@case("rule_mss_clamp_auto", "Rules", "`mss-clamp auto` lowers the MSS to what the route's MTU takes.", level="option",
      rule="mss-clamp-auto")
def _(t):
    same("MSS 9000 becomes", _mss_seen(t, t.port(s.MSS_AUTO), 9000)[0], 1460)


@case("rule_dnat", "Rules",
      "`dnat`: an outside client reaches a container by an external address; the container sees the client's own address.",
      rule="dnat-in")
def _(t):
    listener = t.listen("c2", n.C2, 81)
    from cases.tcp import exchange
    for ns in ("o1", "o2"):
        o = t.connect(ns, n.SERVICE, 8081)
        c, peer = t.accept(listener)
        same("the container sees", peer, o.getsockname())
        exchange(c, o, ns.encode() * 30000)


@case("rule_dnat_l4_port_range", "Rules", "`dnat` with a range of L4 ports maps it one to one.", rule="dnat-range")
def _(t):
    for i in (0, 4, 9):
        c, o = t.udp("c2", n.C2, 8200 + i), t.udp("o1", n.O1A, t.port())
        o.sendto(b"%d" % i, (n.SERVICE, 8100 + i))
        heard = t.heard2(c, 1)
        check(heard and heard[0] == b"%d" % i, "L4 port %d does not arrive at %d" % (8100 + i, 8200 + i))
        c.sendto(b"back", heard[1])
        got = t.heard2(o, 1)
        same("the client sees", got, (b"back", (n.SERVICE, 8100 + i)))


@case("rule_dnat_weights", "Rules",
      "`dnat` with several targets spreads flows by weight; all of a client's address and L4 port go to one of them.", rule="dnat-weights")
def _(t):
    a, b = t.udp("c1", n.C1, 8300), t.udp("c2", n.C2, 8300)
    count, clients, at = {"a": 0, "b": 0}, [], {}
    for i in range(120):
        clients.append(t.udp("o1", n.O1A if i % 2 else n.O1B, t.port("client")))
    for turn in range(3):
        for i, o in enumerate(clients):
            o.sendto(b"%d" % i, (n.SERVICE, 8300))
        for name, sock in (("a", a), ("b", b)):
            while True:
                got = t.heard(sock, 0.15)
                if not got:
                    break
                at.setdefault(int(got), set()).add(name)
    same("clients of whom both targets hear", [i for i in at if len(at[i]) > 1], [])
    for names in at.values():
        count[min(names)] += 1
    check(sum(count.values()) >= 115, "%s of 120 arrived" % count)
    check(65 <= count["a"] <= 108, "weights 3 to 1 gave %s" % count)


@case("rule_nat_one_to_one", "Rules",
      "`nat` maps an inside address to one external address with all L4 ports, both directions.", rule="nat")
def _(t):
    c, o = t.udp("c2", n.C2B, t.port("client")), t.udp("o1", n.O1A, t.port())
    same("the server sees", t.ext(c, o, n.O1A), (n.STATIC, c.getsockname()[1]))
    o.sendto(b"back", (n.STATIC, c.getsockname()[1]))
    same("back", t.heard(c, 1), b"back")
    inside = t.udp("c2", n.C2B, t.port("client"))
    client = t.udp("o2", n.O2A, t.port())
    client.sendto(b"from outside", (n.STATIC, inside.getsockname()[1]))
    same("from outside arrives", t.heard2(inside, 1), (b"from outside", client.getsockname()))


@case("rule_deny_list_in_uplink", "Rules",
      "`drop from PREFIX in UPLINK`: nothing of that prefix reaches a container, replies neither; others are not touched.",
      rule="drop-in", profile="denied")
def _(t):
    c, o, denied = t.udp("c1"), t.udp("o1", n.O1A, t.port()), t.udp("o1", n.O1B, t.port())
    t.ext(c, o, n.O1A)
    ext = t.ext(c, denied, n.O1B)
    denied.sendto(b"denied", ext)
    same("the denied one's answer arrives as", t.heard(c, 0.5), None)
    o.sendto(b"fine", ext)
    same("another's", t.heard(c, 1), b"fine")


@case("rule_change_touches_new_flows_only", "Rules",
      "A changed rule set decides new flows; live ones go on with the mapping they have.", alone=True)
def _(t):
    if t.kernel:
        return
    dport = t.port()
    c, o = t.udp("c1"), t.udp("o1", n.O1A, dport)
    ext = t.ext(c, o, n.O1A)
    rule = "drop udp from 10.1.0.0/16 to 203.0.113.10/32:%d" % dport
    t.service.ctl("rule", "add", "at", "1", *rule.split())
    try:
        same("live flow after `rule add drop`", t.ext(c, o, n.O1A), ext)
        t.udp("c1").sendto(b"new", (n.O1A, dport))
        same("new flow after `rule add drop`", t.heard(o, 0.4), None)
    finally:
        t.service.ctl("rule", "del", *rule.split())
    t.ext(t.udp("c1"), o, n.O1A)


@case("rule_explain", "Rules", "`explain` names the rule that a packet would get, and why.")
def _(t):
    if t.kernel:
        return
    code, said = t.service.ctl("explain", "udp", "%s:5555" % n.C1, "%s:%d" % (n.O1A, s.DROP), check=False)
    check(code != 2, "explain: " + said)
    check("rule 2: drop" in " ".join(said.split()), "explain does not name the rule: " + said)


@case("rule_flush_ends_flows", "Rules", "`flow flush` ends live flows, and what they sent next is a new flow.", alone=True)
def _(t):
    if t.kernel:
        return
    c, o = t.udp("c1"), t.udp("o1", n.O1A, t.port())
    ext = t.ext(c, o, n.O1A)
    t.service.ctl("flow", "flush", "udp", "from", n.C1)
    o.sendto(b"ended", ext)
    same("arrives after the flush", t.heard(c, 0.4), None)
    t.ext(c, o, n.O1A)
