# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""known.py - in what the service differs from kernel masquerade on purpose, packet by packet.

An entry says of which kinds of items (traffic.py) it is, and by a function of the item and of the packets
that only the kernel and only the service let out whether these are that difference and nothing else. A
packet is (step, where, Form) as differential.py has them. docs/limitations.md explains each by its name.
"""
import struct

import net as n

FIN, SYN, RST, ACK = 1, 2, 4, 16
ENTRIES = []  # (name, kinds, function)


def difference(name, *kinds):
    def add(function):
        ENTRIES.append((name, kinds, function))
        return function
    return add


def name_of(it, kernel, service):
    """The name of what explains all of it, or None."""
    return next((name for name, kinds, function in ENTRIES if it.kind in kinds and function(it, kernel, service)), None)


def expected(kinds):
    """(name, kind) that must be met with by a run that has items of these kinds."""
    return [(name, kind) for name, of, _ in ENTRIES for kind in of if kind in kinds]


# ---- what a packet is

def leaks(it, x):
    """Out by the uplink with the container's own address and L4 port."""
    _, where, f = x
    return where == "uplink" and f.src == it.caddr and f.l4[:4] == struct.pack("!HH", it.cport, it.sport)


def translated(it, x):
    """What masquerade would have made of one that leaked."""
    step, where, f = x
    return step, where, f._replace(src=it.ext_addr, l4=b"EE" + f.l4[2:])


def at_container(it, x):
    """From the server, to the container's own address and L4 port."""
    _, where, f = x
    return where == it.ns and (f.src, f.dst) == (it.saddr, it.caddr) and f.l4[:4] == struct.pack(
        "!HH", it.sport, it.cport)


def flags(x):
    return x[2].l4[13] if x[2].proto == 6 and len(x[2].l4) >= 20 else None


def host_resets(it, x):
    """The host's own RST to the server, for what it did not find a flow for: headers only, by the Ext L4 port."""
    _, where, f = x
    size = 60 if ":" in f.src else 40
    return where == "uplink" and (f.src, f.dst, f.total) == (it.ext_addr, it.saddr, size) and f.l4[:2] == b"EE" and \
        flags(x) in (RST, RST | ACK)


def same_but_leaked(it, kernel, service):
    """All that leaks there comes out translated here, byte for byte, and nothing else goes out here."""
    return sorted(map(repr, [translated(it, x) for x in kernel if leaks(it, x)])) == sorted(map(repr, [
        x for x in service if x[1] == "uplink"]))


# ---- the differences

@difference("Wrong checksums", "udp_checksum_bad", "tcp_checksum_bad", "udp6_checksum_bad", "tcp6_checksum_bad")
def _(it, kernel, service):
    return same_but_leaked(it, kernel, service) and all(leaks(it, x) for x in kernel) and all(
        "l4 WRONG" in x[2].sums for x in kernel + service) and all(
            x[1] == "uplink" or at_container(it, x) for x in service)


@difference("Segments of no flow", "tcp_midflow", "tcp_flags", "tcp6_midflow")
def _(it, kernel, service):
    # One segment is all there is; the kernel begins a flow with it, or lets it out as it is.
    return len(it.steps) == 1 and not service and len(kernel) == 1 and kernel[0][1] == "uplink" and \
        (leaks(it, kernel[0]) or kernel[0][2].l4[:2] == b"EE") and flags(kernel[0]) & (SYN | RST | FIN | ACK) != SYN


@difference("Odd flags in a flow", "tcp_flags")
def _(it, kernel, service):
    # The last two steps are the odd segment out and back.
    out, back = len(it.steps) - 2, len(it.steps) - 1
    odd = {flags(x) for x in service}
    return out == 3 and same_but_leaked(it, kernel, service) and len(odd) == 1 and \
        [x[0] for x in service if x[1] == "uplink"] == [out] and \
        [x[0] for x in service if at_container(it, x)] == [back] and len(service) == 2 and \
        all(leaks(it, x) and {flags(x)} == odd or host_resets(it, x) and x[0] == back for x in kernel)


@difference("Segments out of the window", "tcp_window", "tcp6_window")
def _(it, kernel, service):
    return same_but_leaked(it, kernel, service) and [x[0] for x in service if at_container(it, x)] == [4] and \
        len(service) == 2 and all(leaks(it, x) or host_resets(it, x) and x[0] == 4 for x in kernel)


@difference("Segments out of the window", "tcp_syn_live")
def _(it, kernel, service):
    # The server's SYN on a live flow: here it arrives, there the host answers it.
    return len(kernel) == len(service) == 1 and host_resets(it, kernel[0]) and at_container(it, service[0]) and \
        flags(service[0]) == SYN and kernel[0][0] == service[0][0] == 3


@difference("IP options", "ip_options")
def _(it, kernel, service):
    RECORD_ROUTE, TIMESTAMP, SOURCE_ROUTES = 7, 68, (131, 137)
    rest = list(service)
    for step, where, f in kernel:  # each has its like here, but for what the kernel filled in
        like = [x for x in rest if x[:2] == (step, where) and x[2]._replace(options=f.options) == f]
        if not like or f.options[0] not in (RECORD_ROUTE, TIMESTAMP) or f.options[:2] != like[0][2].options[:2]:
            return False
        rest.remove(like[0])
    return all(x[2].options[0] in SOURCE_ROUTES for x in rest)


@difference("Lengths that lie", "lying_length", "lying_length6")
def _(it, kernel, service):
    return not service and all(leaks(it, x) for x in kernel)


@difference("Datagrams without a checksum", "udp6_checksum_zero")
def _(it, kernel, service):
    return not service and all(x[2].sums.endswith("none") for x in kernel)


@difference("Fragments that fit", "fragments6_fit")
def _(it, kernel, service):
    return sorted(map(repr, kernel)) == sorted(repr((step, where, f._replace(cut=()))) for step, where, f in service) and \
        len(service) == 2 and all(len(x[2].cut) == 2 for x in service)


@difference("Source quench", "icmp_odd")
def _(it, kernel, service):
    return not service and all(x[1] == it.ns and x[2].proto == 1 and x[2].l4[0] == 4 for x in kernel)


# form() of differential.py leaves out what is different of those.
NAMES = sorted({name for name, _, _ in ENTRIES}) + ["ICMP answers of our own"]
