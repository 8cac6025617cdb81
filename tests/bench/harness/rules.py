# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""n rules that do not match, in front of the one that does, in the words of each contender.

Each names the containers' sources and one destination host of 100.64.0.0/10, which no load ever
sends to, so every new flow has to pass all of them where rules are tried one after the other.
nftables could hold them in one set; that is another rule set, which its user would have to write.
"""
from .topology import INSIDE


def destinations(count):
    return ["100.%d.%d.%d" % (64 + (i >> 16), (i >> 8) & 255, i & 255) for i in range(count)]


def xegress(count):
    lines = ["  - masquerade from %s to %s/32 out eth0" % (INSIDE, d)
             for d in destinations(count)]
    return "\n".join(lines + ["  - masquerade from %s out eth0" % INSIDE])


def iptables(count):
    """For iptables-restore."""
    match = "-A POSTROUTING -s %s " % INSIDE
    lines = [match + "-d %s/32 -o eth0 -j MASQUERADE" % d for d in destinations(count)]
    return "\n".join(["*nat"] + lines + [match + "-o eth0 -j MASQUERADE", "COMMIT", ""])


def nftables(count):
    match = "ip saddr %s " % INSIDE
    lines = [match + "ip daddr %s oifname eth0 masquerade" % d for d in destinations(count)]
    lines.append(match + "oifname eth0 masquerade")
    return "table ip bench {\n chain post {\n  type nat hook postrouting priority srcnat\n  " \
        "%s\n }\n}\n" % "\n  ".join(lines)
