#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""soak.py - so many packets of every size, both directions, as kernel masquerade lets them out and no wrong checksum
among them (soak.c).

  soak.py [--cells NAME,...|all] [--packets N] [--seconds N] [--loss PER-MILLE]

The service's packets are judged, N in all, half of them out and half of them back, in equal parts over the cells, IPv4
and (where the service takes its rules) IPv6: plain ones, with IP and TCP options, without a checksum, in fragments,
and superpackets. A twin network with kernel masquerade plays the same until it has had every size: of each kind and
size the headers that come out are the same there (TTL, TOS, DF, options, where fragments are cut). --seconds bounds
each part. In the end the judge is shown a wrong one, which it has to find.
"""
import argparse
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import net as n  # noqa: E402
from run import CELLS  # noqa: E402
from service import BUILD, SLOW, Service  # noqa: E402

SOAK = os.path.join(BUILD, "tests/conformance/soak")
SHAPES = ("plain", "IP options", "L4 options", "fragments", "superpackets")  # soak.h
WRONG = ("bad_ip", "bad_l4", "bad_data", "bad_tuple", "bad_form")
ALL_SIZES = 90000  # answers after which every flow has walked through its sizes


def sizes(shape, tcp, family):
    """How many sizes there are of 0 and up (size_max() of soak.c)."""
    room = 1500 - (20 if family == 4 else 40) - (20 if tcp else 8)
    return 4401 if shape == 3 else room - 39 if shape == 1 or shape == 2 and tcp else room + 1


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def read_forms(path):
    """(shape, is TCP, size) -> hash."""
    with open(path) as f:
        rows = [line.split() for line in f]
    return {tuple(map(int, row[:3])): row[3] for row in rows}


def wrong_one(net):
    """A datagram with a wrong checksum, straight to the judge."""
    from scapy.layers.inet import IP, UDP
    from scapy.packet import Raw
    from wire import Sender
    Sender(net, "r", "ro1", ("o1", "eth0"))(
        IP(src=n.EXT, dst=n.O1A) / UDP(sport=25000, dport=6000, chksum=0x1234) / Raw(b"wrong"))


def fits_whole(family, key):
    """IPv6 fragments of a datagram that is no larger than the first of them, which has a header more: the kernel sends it
    on whole, the service as it came (limitations.md, "Fragments that fit")."""
    shape, tcp, size = key
    return family == 6 and SHAPES[shape] == "fragments" and 0 < size + (20 if tcp else 8) - 8 * (16 + size % 165) <= 8


class Part:
    """One run in one network: what both ends counted (`there`: at the server, `back`: at the container) and saw."""

    def __init__(self, net, family, trips, args):
        own, ext, server = (n.C1, n.EXT, n.O1A) if family == 4 else (n.C1_6, n.EXT_6, n.O1A_6)
        log = "reflect%d.log" % family
        paths = [os.path.join(net.tmp, "forms.%s" % end) for end in ("there", "back")]
        reflect = net.start("o1", SOAK, "reflect", "eth0", net.macs["r", "ro1"], ext, server, paths[0], log=log)
        end = time.monotonic() + 5
        while "listening" not in net.log(log) and time.monotonic() < end:
            time.sleep(0.05)
        out = net.on("c1", SOAK, "send", "eth0", net.macs["h", "vethc1"], own, server, paths[1], str(trips),
                     str(int(args.seconds * SLOW)), check=False, timeout=args.seconds * SLOW + 60)
        self.back = last_json(out)
        if family == 4:
            wrong_one(net)
            time.sleep(0.2)
        net.stop(reflect)
        self.there = last_json(net.log(log))
        self.forms = [read_forms(path) for path in paths]
        self.family, self.trips, self.args = family, trips, args

    def lost(self):
        return self.back["lost"] * 1000 / max(1, self.trips)

    def wrong(self):
        found, there = [], dict(self.there)
        if self.family == 4:  # the wrong one, which is wrong in all of these
            for what in ("bad_l4", "bad_data", "bad_tuple"):
                there[what] -= 1
            if there["bad_l4"] < 0:
                found.append("the judge did not see the wrong one")
        found += ["%s: %d %s" % (where, r[what], what) for where, r in (("out", there), ("back", self.back))
                  for what in WRONG if r[what] > 0]
        if self.lost() > self.args.loss:
            found.append("%.1f of 1,000 were lost" % self.lost())
        if self.back["segments"] + self.back["lost"] < self.trips:
            found.append("%d of %d were sent in the time" % (self.back["segments"] + self.back["lost"], self.trips))
        return found + (self.missing() if self.trips >= 2 * ALL_SIZES else [])

    def missing(self):
        """Sizes that have not been seen: none, when each flow has walked through all of its own twice."""
        found = []
        for where, forms in zip(("out", "back"), self.forms):
            for shape, name in enumerate(SHAPES):
                for tcp in (0, 1):
                    seen = len([k for k in forms if k[:2] == (shape, tcp) and k[2]])
                    if seen != sizes(shape, tcp, self.family) - 1:
                        found.append("%s %s of %s: %d sizes" % (name, where, "UDP TCP".split()[tcp], seen))
        return found


def differ(kernel, service):
    """What came out otherwise than of the kernel."""
    found, compared = [], 0
    for where, a, b in zip(("out", "back"), kernel.forms, service.forms):
        both = set(a) & set(b)
        compared += len(both)
        other = sorted(k for k in both if (a[k] != b[k]) != fits_whole(kernel.family, k))
        if other:
            shape, tcp, size = other[0]
            found.append("%s: %d of %d kinds and sizes are not as the kernel lets them out, the first: %s, %s, %d bytes" % (
                where, len(other), len(both), SHAPES[shape], "UDP TCP".split()[tcp], size))
        if len(both) < min(len(a), len(b)) * 0.9 or not both:
            found.append("%s: %d and %d kinds and sizes, %d of both" % (where, len(a), len(b), len(both)))
    return found, compared


def cell(name, trips, args):
    xdp, offload, workers = name.split("-")
    nets = [n.Net(offload=offload == "on", queues=int(workers)) for _ in range(2)]
    failed, judged, starved = 0, 0, False
    try:
        n.up_together(nets)
        stand_in, service = Service(nets[0], kernel=True), Service(nets[1], xdp=xdp, workers=int(workers))
        stand_in.start()
        service.start()
        families = [4] if "ipv6" in service.refused else [4, 6]
        for family in families:
            start, each = time.monotonic(), trips // len(families)
            part = Part(nets[1], family, each, args)
            if part.lost() > args.loss:  # a machine that was busy loses packets: once more
                print("# %.1f of 1,000 were lost, tried again" % part.lost())
                part = Part(nets[1], family, each, args)
            twin = Part(nets[0], family, min(each, 2 * ALL_SIZES), args)
            other, compared = differ(twin, part)
            found = part.wrong() + ["kernel: " + what for what in twin.wrong()] + other
            count = sum(end["segments"] + end["fragments"] - end["joined"] for end in (part.there, part.back))
            judged += count
            failed += bool(found)
            if found:
                print("# drops: %s" % {k: v for k, v in service.reasons().items() if v})
            print("%s checksums_ipv%d [%s]: %s%d packets (%d fragments), %d kinds and sizes as the kernel's (%.1f s)" % (
                "not ok" if found else "ok", family, name, "".join(w + ", " for w in found), count,
                part.there["fragments"] + part.back["fragments"], compared, time.monotonic() - start), flush=True)
        for what in service.complaints():
            print("not ok service [%s]: %s" % (name, what))
            failed += 1
        starved = service.starved()
    finally:
        for net in nets:
            net.down()
    return failed, judged, starved


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--cells", default="generic-on-1,native-off-2")
    a.add_argument("--packets", type=int, default=200000)
    a.add_argument("--seconds", type=float, default=120)
    a.add_argument("--loss", type=float, default=20)
    args = a.parse_args()
    if os.geteuid() != 0:
        print("skip: needs root")
        return 77
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda s, _: sys.exit(128 + s))
    names = CELLS if args.cells == "all" else args.cells.split(",")
    # A segment out and one back is a trip; some are four fragments instead, some have no answer, some may be lost.
    trips = args.packets // 2 // len(names) * 78 // 100
    done = [cell(name, trips, args) for name in names]
    judged = sum(j for _, j, _ in done)
    failed = any(f for f, _, _ in done) or judged < args.packets
    print("%s checksums: %d packets judged, %d wanted" % ("not ok" if failed else "ok", judged, args.packets))
    # 75: the machine was so busy that a thread of the service stood still: tests/run.sh tries again
    return 75 if failed and any(s for _, _, s in done) else int(failed)


if __name__ == "__main__":
    sys.exit(main())
