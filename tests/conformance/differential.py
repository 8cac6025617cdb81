#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""differential.py - the same traffic through kernel masquerade and through the service, in twin networks.

  differential.py [--cells NAME,...] [--seed N] [--step N] [--count N] [--only KIND] [--show]

Each item of traffic.py is played in both networks, step by step. What comes out on the uplink and at
the containers is put into one form (Ext L4 port and IP id left out, checksums as right or wrong,
fragments put together) and compared. A difference is either one of known.py, exactly, which
docs/limitations.md explains under the name given there, or it fails the run; so does one that is known
and is no difference any more. --step: every so many sizes; --show prints each difference. --cells all: the
matrix of run.py.
"""
import argparse
import collections
import os
import re
import select
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import known  # noqa: E402
import net as n  # noqa: E402
import traffic  # noqa: E402
import traffic6  # noqa: E402
from run import CELLS  # noqa: E402
from service import ROOT, Service  # noqa: E402
from wire import Packet, Sender, Tap, ones_sum  # noqa: E402

BATCH = 100  # items at once: below the 1,000 L4 ports by which they are told apart

OUR_OWN = (n.EXT, "10.1.0.1", n.EXT_6, "2001:db8:1::1")  # sources of the host's own ICMP errors


# A packet, or a datagram of fragments (`cut`), so that two of them may be compared; Ext L4 port, checksums and IP id
# left out. `sums`: which are right.
Form = collections.namedtuple("Form", "src dst proto tos ttl df total sums options l4 padding cut")


def is_error(p):
    """An ICMP error that quotes enough to tell about which flow it is."""
    return p.type in {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}.get(p.proto, ()) and len(p.data) >= {1: 28, 58: 48}[p.proto]


class Twin:
    def __init__(self, name, net, service):
        self.name, self.net, self.service = name, net, service
        self.send = {"c1": Sender(net, "c1", "eth0", ("h", "vethc1")),
                     "c2": Sender(net, "c2", "eth0", ("h", "vethc2")), "o1": Sender(net, "o1", "eth0", ("r", "ro1"))}
        self.taps = {"uplink": Tap(net, "r", "up0"), "c1": Tap(net, "c1"), "c2": Tap(net, "c2")}
        self.ext, self.got = {}, {}

    def begin(self, batch):
        self.batch, self.by_port = batch, {it.sport: it for it in batch}
        self.by_number = {it.number: it for it in batch}
        self.ext, self.got = {}, collections.defaultdict(list)

    def item_of(self, p):
        """By L4 port, by what an error quotes, by the marks in the payload."""
        at = p.ip.find(traffic.MARK, p.head_len)
        while at >= 0:
            number = struct.unpack("!H", p.ip[at + 2:at + 4].ljust(2, b"\0"))[0]
            for number in (number, number ^ 0xffff):
                if number in self.by_number and p.proto in (6, 17):
                    return self.by_number[number]
            at = p.ip.find(traffic.MARK, at + 1)
        if is_error(p):
            q = Packet(p.data)
            ports = struct.unpack("!HH", q.l4[:4]) if len(q.l4) >= 4 and q.offset == 0 else ()
        else:
            ports = (p.sport, p.dport)
        for port in ports:
            if port in self.by_port:
                return self.by_port[port]
        return None

    def play(self, step):
        for it in self.batch:
            if step >= len(it.steps):
                continue
            side, make = it.steps[step]
            if side == "back" and it.number not in self.ext:
                continue
            for raw in make(it, self.ext.get(it.number)):
                self.send[it.ns if side == "out" else "o1"](raw)

    def collect(self, step):
        """What is there; how many packets of the batch's flows."""
        found = 0
        for where, tap in self.taps.items():
            for p in tap.poll():
                it = self.item_of(p)
                if it is None:
                    continue
                found += 1
                if where == "uplink" and p.src == it.ext_addr and p.sport and p.dport == it.sport and p.proto == it.proto:
                    self.ext.setdefault(it.number, (p.src, p.sport))
                self.got[it.number].append((step, where, p))
            tap.seen.clear()
        return found

    def result(self, it):
        """What came out for an item: (step, where, form), sorted; fragments put together."""
        whole, parts = [], collections.defaultdict(list)
        for step, where, p in self.got[it.number]:
            if p.fragment():
                parts[step, where, p.src, p.dst, p.id].append(p)
            else:
                whole.append((step, where, self.form(it, p)))
        for (step, where, *_), ps in parts.items():
            # Datagrams with one id, as the kernel leaves it, are as many as ours with one each.
            copies = sum(p.offset == ps[0].offset for p in ps)
            whole += [(step, where) + (self.joined(it, ps),)] * copies
        return sorted(whole, key=repr)

    def joined(self, it, ps):
        load, last = {p.offset: p for p in ps}, [p for p in ps if not p.mf]
        data, at = b"", 0
        while at in load and len(load[at].l4):
            data += load[at].l4
            at += len(load[at].l4)
        if not last or at != last[0].offset + len(last[0].l4):
            return Form(ps[0].src, ps[0].dst, ps[0].proto, None, None, None, None, "incomplete", b"", b"", None,
                        tuple(sorted((p.offset, len(p.l4)) for p in ps)))
        cut = tuple(sorted((p.offset, len(p.l4)) for p in load.values()))
        if load[0].version == 6:  # without the fragment header
            head = load[0].ip[:4] + struct.pack("!HB", len(data), load[0].proto) + load[0].ip[7:40]
            return self.form(it, Packet(head + data))._replace(cut=cut)
        head = bytearray(load[0].ip[:load[0].head_len])
        head[2:4] = struct.pack("!H", (len(head) + len(data)) & 0xffff)
        head[6:8] = head[10:12] = b"\0\0"
        head[10:12] = struct.pack("!H", ~ones_sum(bytes(head)) & 0xffff)
        return self.form(it, Packet(bytes(head) + data))._replace(cut=cut)

    def form(self, it, p):
        """One packet in a form that may be compared."""
        ext = self.ext.get(it.number, (None, None))
        l4 = bytearray(p.l4)
        sums = "ip %s l4 %s" % ("ok" if p.ip_ok() else "WRONG", "ok" if p.l4_ok() else "WRONG")
        if p.proto in (6, 17) and len(l4) >= 8:
            for at, end in (0, p.src), (2, p.dst):
                if (end, struct.unpack("!H", l4[at:at + 2])[0]) == ext:
                    l4[at:at + 2] = b"EE"
            at = 16 if p.proto == 6 else 6
            if p.proto == 17 and l4[6:8] == b"\0\0":
                sums += " none"
            l4[at:at + 2] = b"CC"
        elif p.proto in (1, 58) and len(l4) >= 8:
            l4[2:4] = b"CC"
            if is_error(p):
                q = Packet(p.data)
                inner = bytearray(p.data)
                head = q.head_len
                if q.version == 4:
                    inner[4:6], inner[10:12] = b"ID", b"CC"
                for at, end in (head, q.src), (head + 2, q.dst):
                    if (end, struct.unpack("!H", inner[at:at + 2])[0]) == ext:
                        inner[at:at + 2] = b"EE"
                sums += " quoted ip %s l4 %s" % (q.ip_ok(), q.l4_ok() if len(p.data) >= q.total else "cut")
                if len(inner) >= head + 8:
                    inner[head + 6:head + 8] = b"CC"
                l4[8:] = inner
        # What the host itself answers begins with a TTL of its own.
        tos, ttl, df = (p.tos, p.ttl, p.df) if not is_error(p) or p.src not in OUR_OWN else (None, None, None)
        if p.version == 6 and tos is not None:
            tos = (tos, struct.unpack("!I", p.ip[:4])[0] & 0xfffff)
        return Form(p.src, p.dst, p.proto, tos, ttl, df, p.total, sums, bytes(p.ip[20 if p.version == 4 else 40:p.head_len]), bytes(l4),
                    bool(p.padding.strip(b"\0")), ())


def explain(a, b):
    """The first thing that differs, kernel and service, short."""
    a, b = apart(a, b)
    return "kernel: %s | service: %s" % tuple(" and ".join(map(brief, x[:2])) or "nothing" for x in (a, b))


def apart(a, b):
    """What only one of two has, as often as it has it more."""
    return [list((collections.Counter(x) - collections.Counter(y)).elements()) for x, y in ((a, b), (b, a))]


def brief(x):
    step, where, f = x
    return "step %s %s %s" % (step, where, " ".join(str(v) for v in f._replace(
        options=f.options.hex(), l4=f.l4[:40].hex()) if v not in ("", None, False, ())))


def known_in_docs():
    with open(os.path.join(ROOT, "docs/limitations.md")) as f:
        text = f.read()
    at = text.find("## Different from conntrack")
    return [name for name in known.NAMES if at < 0 or "**%s**" % name not in text[at:]]


def settle(twins, step, quiet, last):
    """Collect until nothing has come for `quiet` seconds; for a quarter of it where both have as many, but at the end,
    where nothing comes after what is one too many."""
    taps = [tap.s for twin in twins for tap in twin.taps.values()]
    count, since = [0] * len(twins), time.monotonic()
    while True:
        wanted = quiet if last or len(set(count)) > 1 else quiet / 4
        left = since + wanted - time.monotonic()
        if left <= 0:
            return
        select.select(taps, [], [], left)
        new = [twin.collect(step) for twin in twins]
        if any(new):
            count, since = [a + b for a, b in zip(count, new)], time.monotonic()


def compare(twins, items, args, quiet=0.12):
    """Differences: (item, words) that nothing explains; counts by known name and kind."""
    found, explained, packets = [], collections.Counter(), 0
    for at in range(0, len(items), BATCH):
        batch = items[at:at + BATCH]
        for twin in twins:
            twin.begin(batch)
        steps = max(len(it.steps) for it in batch)
        for step in range(steps):
            for twin in twins:
                twin.play(step)
            settle(twins, step, quiet, step + 1 == steps)
        for it in batch:
            a, b = (twin.result(it) for twin in twins)
            packets += len(a) + len(b)
            if a == b:
                continue
            name = known.name_of(it, *apart(a, b))
            if args.show:
                print("# %s (%d) %s: %s" % (it.kind, it.number, name or "NOT KNOWN", explain(a, b)))
            if name:
                explained[name, it.kind] += 1
            else:
                found.append((it, explain(a, b)))
    return found, explained, packets


def cell(name, args):
    xdp, offload, workers = name.split("-")
    nets = [n.Net(offload=offload == "on", queues=int(workers)) for _ in range(2)]
    failed = 0
    try:
        n.up_together(nets)
        services = [Service(nets[0], kernel=True), Service(nets[1], xdp=xdp, workers=int(workers))]
        for service in services:
            service.start()
        twins = [Twin("kernel", nets[0], services[0]), Twin("service", nets[1], services[1])]
        # Sizes and noise are less of a question there: a third of them.
        six = traffic6.items(args.seed, args.step * 3, args.count // 3) if "ipv6" not in services[1].refused else []
        items = [it for it in traffic.items(args.seed, args.step, args.count, six)
                 if not args.only or re.search(args.only, it.kind)]
        found, explained, packets = compare(twins, items, args)
        # A machine that was busy loses packets, or is late with them: what differs is played once more, alone and slowly.
        for it, _ in found:
            it.saddr = it.again  # flows that neither has met before
        again, more, _ = compare(twins, [it for it, _ in found], args, 0.6) if found else ([], {}, None)
        explained.update(more)
        for it, words in again:
            print("not ok %s_%d [%s]: %s" % (it.kind, it.number, name, words))
        idle = [x for x in known.expected({it.kind for it in items}) if not explained[x]]
        for what, kind in idle:
            print("not ok known_%s [%s]: `%s` is known to differ and does not (known.py, limitations.md)" % (
                what.replace(" ", "_"), name, kind))
        failed += len(again) + len(idle)
        by_name = collections.Counter()
        for (what, _), count in explained.items():
            by_name[what] += count
        print("ok same_traffic [%s]: %d flows, %d packets compared, %d differ as known: %s" % (
            name, len(items), packets, sum(by_name.values()), dict(by_name)) if not again else
            "# %d flows, %d packets, %d differ" % (len(items), packets, len(again)))
        for what in services[1].complaints():
            print("not ok service [%s]: %s" % (name, what))
            failed += 1
    finally:
        for net in nets:
            net.down()
    return failed


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--cells", default="generic-on-1")
    a.add_argument("--seed", type=int, default=5)
    a.add_argument("--step", type=int, default=37)
    a.add_argument("--count", type=int, default=60)
    a.add_argument("--only")
    a.add_argument("--show", action="store_true")
    args = a.parse_args()
    if os.geteuid() != 0:
        print("skip: needs root")
        return 77
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda s, _: sys.exit(128 + s))
    failed = 0
    for name in known_in_docs():
        print("not ok known_%s: not explained in docs/limitations.md" % name.replace(" ", "_"))
        failed += 1
    for name in CELLS if args.cells == "all" else args.cells.split(","):
        failed += cell(name, args)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
