#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""soak.py - so many packets of every size, both directions, and no wrong checksum among them (soak.c).

  soak.py [--cells NAME,...] [--packets N] [--seconds N] [--loss PER-MILLE]

N packets are judged in all, half of them out and half of them back, in equal parts over the cells, IPv4
and (where the service takes its rules) IPv6. --seconds bounds each part. In the end the judge is shown
a wrong one, which it has to find.
"""
import argparse
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import net as n  # noqa: E402
from service import BUILD, SLOW, Service  # noqa: E402

SOAK = os.path.join(BUILD, "tests/conformance/soak")
EVERY_SIZE = {4: (1473, 1461), 6: (1453, 1441)}  # UDP and TCP payloads that an MTU of 1500 takes
ENOUGH = 128 * 1500  # round trips after which every flow has walked through all sizes


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def wrong_one(net):
    """A datagram with a wrong checksum, straight to the judge."""
    from scapy.layers.inet import IP, UDP
    from scapy.packet import Raw
    from wire import Sender
    Sender(net, "r", "ro1", ("o1", "eth0"))(
        IP(src=n.EXT, dst=n.O1A) / UDP(sport=25000, dport=6000, chksum=0x1234) / Raw(b"wrong"))


def part(net, family, trips, args):
    """One run; what is wrong with it, and how many packets were judged."""
    own, ext, server = (n.C1, n.EXT, n.O1A) if family == 4 else (n.C1_6, n.EXT_6, n.O1A_6)
    log = "reflect%d.log" % family
    reflect = net.start("o1", SOAK, "reflect", "eth0", net.macs["r", "ro1"], ext, server, log=log)
    end = time.monotonic() + 5
    while "listening" not in net.log(log) and time.monotonic() < end:
        time.sleep(0.05)
    out = net.on("c1", SOAK, "send", "eth0", net.macs["h", "vethc1"], own, server, str(trips),
                 str(int(args.seconds * SLOW)), check=False, timeout=args.seconds * SLOW + 60)
    back = last_json(out)
    if family == 4:
        wrong_one(net)
        time.sleep(0.2)
    net.stop(reflect)
    there = last_json(net.log(log))
    found = []
    if family == 4:  # the wrong one, which is wrong in all of these
        for what in ("bad_l4", "bad_data", "bad_tuple"):
            there[what] -= 1
        if there["bad_l4"] < 0:
            found.append("the judge did not see the wrong one")
    found += ["%s: %d %s" % (where, r[what], what) for where, r in (("out", there), ("back", back))
              for what in ("bad_ip", "bad_l4", "bad_data", "bad_tuple") if r[what] > 0]
    lost = back["lost"] * 1000 / max(1, back["sent"])
    if lost > args.loss:
        found.append("%.1f of 1,000 were lost" % lost)
    if back["sent"] >= ENOUGH and (back["sizes_udp"], back["sizes_tcp"]) != EVERY_SIZE[family]:
        found.append("sizes seen: %d of UDP, %d of TCP" % (back["sizes_udp"], back["sizes_tcp"]))
    if back["sent"] < trips:
        found.append("%d of %d were sent in the time" % (back["sent"], trips))
    return found, there["segments"] + back["segments"]


def cell(name, trips, args):
    xdp, offload, workers = name.split("-")
    net = n.Net(offload=offload == "on", queues=int(workers))
    failed, judged, starved = 0, 0, False
    try:
        net.up()
        service = Service(net, xdp=xdp, workers=int(workers))
        service.start()
        families = [4] if "ipv6" in service.refused else [4, 6]
        for family in families:
            start = time.monotonic()
            found, count = part(net, family, trips // len(families), args)
            judged += count
            failed += bool(found)
            print("%s checksums_ipv%d [%s]: %s%d packets (%.1f s)" % (
                "not ok" if found else "ok", family, name, "".join(w + ", " for w in found), count,
                time.monotonic() - start), flush=True)
        for what in service.complaints():
            print("not ok service [%s]: %s" % (name, what))
            failed += 1
        starved = service.starved()
    finally:
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
    names = args.cells.split(",")
    # Answers are not owed to every packet (an empty TCP segment), and some may be lost, so a few more.
    trips = args.packets // 2 // len(names) * 104 // 100
    done = [cell(name, trips, args) for name in names]
    judged = sum(j for _, j, _ in done)
    failed = any(f for f, _, _ in done) or judged < args.packets
    print("%s checksums: %d packets judged, %d wanted" % ("not ok" if failed else "ok", judged, args.packets))
    # 75: the machine was so busy that a thread of the service stood still: tests/run.sh tries again
    return 75 if failed and any(s for _, _, s in done) else int(failed)


if __name__ == "__main__":
    sys.exit(main())
