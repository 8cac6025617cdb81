#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ctl_shape.py VERB - is the JSON on standard input what include/xegress/ctl_abi.h promises?

Members that the contract does not name are fine; missing ones, and other types, are not. Written
from the contract's text; imports nothing of the product.
"""
import json
import re
import sys

ENDPOINT = re.compile(r"^\d+\.\d+\.\d+\.\d+:\d+$")


def num(v):
    return isinstance(v, int) and not isinstance(v, bool) and v >= 0


def text(v):
    return isinstance(v, str)


def flag(v):
    return isinstance(v, bool)


def null(v):
    return v is None


def endpoint(v):
    return text(v) and ENDPOINT.match(v) is not None


def word(*words):
    return lambda v: v in words


def either(*kinds):
    return lambda v: any(k(v) for k in kinds)


def all_of(kind):
    return lambda v: isinstance(v, list) and all(fits(kind, x, "[]") for x in v)


def counts(v):
    return isinstance(v, dict) and all(num(x) for x in v.values())


def fits(kind, v, path):
    if not isinstance(kind, dict):
        return kind(v)
    if not isinstance(v, dict):
        return False
    for name, k in kind.items():
        optional = name.endswith("?")
        name = name.rstrip("?")
        if name not in v:
            if optional:
                continue
            bad.append("%s.%s is missing" % (path, name))
            return False
        if not fits(k, v[name], path + "." + name):
            bad.append("%s.%s is %r" % (path, name, v[name]))
            return False
    return True


bad = []
WAIT = word("adaptive", "busy", "interrupt")
PORT = {
    "name": text, "entry": text, "role": word("inside", "uplink"),
    "state": word("attached", "waiting", "failed"), "why": either(text, null),
    "allow": all_of(text), "ifindex": either(num, null), "mtu": either(num, null),
    "queues": either(num, null), "xdp": word("native", "generic", None),
    "attach": word("dispatcher", "plain", None), "prog_id": either(num, null),
    "zero_copy": either(flag, null), "superpackets": either(flag, null),
    "superpackets_why": either(text, null),
    "superpackets_out": word("tcp udp", "tcp", "udp", "none", None),
    "segment_sizes": word("read", "tracked by MSS", None), "rps": either(flag, null),
    "coalesce": either(flag, null), "worker": either(num, null),
    "workers": either(all_of(num), null),
    "checksum": either(text, null), "checksum_why": either(text, null),
}
RULE = {"number": num, "text": text, "in_force": flag, "why": either(text, null), "flows?": num}
FLOW = {
    "proto": word("tcp", "udp"), "state": word("opening", "established", "closing", "closed", "open"),
    "rule": either(num, null), "worker": num, "in": text, "src": endpoint, "dst": endpoint,
    "out": text, "nat_src": endpoint, "nat_dst": endpoint, "age_ms": num, "idle_ms": num,
    "expires_ms": num, "packets": num, "bytes": num, "back_packets": num, "back_bytes": num,
}
SHAPES = {
    "status": {
        "version": text, "pid": num, "uptime_s": num, "config": either(text, null),
        "in_force": flag, "why": all_of(text), "wait": WAIT,
        "on_stop": word("handback", "clean"), "flows": {"count": num, "limit": num},
        "rules": {"count": num, "in_force": num},
        "workers": all_of({"id": num, "cpu": num, "node": num,
                           "state": word("running", "stalled"), "wait": WAIT,
                           "checksum": word("avx2", "sse2", "scalar"), "flows": num}),
        "ports": all_of(PORT),
        "safety_net": {"state": word("in place", "absent", "failed"), "table": text,
                       "why": either(text, null)},
        "notes": all_of(text),
    },
    "port list": {"ports": all_of(PORT)},
    "port add": {"port": PORT},
    "port del": {"name": text},
    "rule list": {"rules": all_of(RULE), "count": num},
    "rule add": {"rule": RULE},
    "rule del": {"rule": RULE},
    "flow list": {"flows": all_of(FLOW), "count": num},
    "flow count": {"count": num, "tcp": num, "udp": num, "limit": num},
    "flow flush": {"count": num},
    "drops": {"reasons": all_of({"reason": text, "at": word("steer", "worker"),
                                 "class": word("take", "pass", "drop", "punt"),
                                 "count": num, "text": text})},
    "stats": {
        "workers": all_of({"cpu": num, "rx_packets": num, "handed_in": num, "made": num,
                           "tx_packets": num, "drops": counts, "handed_out": num,
                           "merged": num, "to_kernel": num, "in_flight": num}),
        "ports": all_of({"name": text, "seen": num, "passed": num, "dropped": num,
                         "redirected": num, "xsk_lost": num}),
    },
    "check": {"ok": flag, "checks": all_of({"name": text, "state": word("ok", "warn", "fail"),
                                            "text": text, "fix": either(text, null)})},
    "config": {"text": text},
    "apply": {
        "changes": all_of({"what": word("port", "rule", "setting"),
                           "change": word("added", "removed", "changed", "moved"),
                           "text": text}),
        "warnings": all_of(text),
    },
}

value = json.load(sys.stdin)
verb = " ".join(sys.argv[1:])
if not fits(SHAPES[verb], value, verb):
    print("; ".join(bad) or "%s: %r" % (verb, value))
    sys.exit(1)
# An attached port has what only an attached one can have; any other has none of it.
for port in value.get("ports", []) if verb in ("status", "port list") else []:
    for name in ("ifindex", "mtu", "queues", "xdp", "attach", "prog_id", "zero_copy",
                 "superpackets", "superpackets_out", "rps", "coalesce", "worker", "workers"):
        if (port[name] is None) == (port["state"] == "attached"):
            print("port %s is %s, and %s is %r" % (port["name"], port["state"], name, port[name]))
            sys.exit(1)
