# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""service.py - the translator under test: its configuration, start, questions to it, stop.

A rule that the service under test refuses is left out, with what it said: the tests that need it
are unmet, for that reason. So the suite is ahead of the service and needs no edit when it catches up.
With kernel=True nft masquerade takes its place, which shows that a test can pass.
"""
import json
import os
import re
import subprocess
import time

from net import (C2, C2B, C2_6, C3, C3_6, EXT, INSIDE, INSIDE_6, MANY, MANY_6, NOT_HOSTS, PIECES, PIECES_6, POOL, POOL_6,
                 SERVICE, SERVICE_6, STATIC, SetupError, run)

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SLOW = float(os.environ.get("XE_SLOW", "1"))

ANY, ANY6 = "0.0.0.0/0", "[::/0]"
# Destination L4 port (first of ten) of a rule's tests, and its range of Ext L4 ports.
KERNEL, DROP, ACCEPT, PAIRED, SMALL = 7900, 7910, 7920, 7930, 7940
EDM, FILTER_EI, FILTER_AD, REJECT, MSS, LIMIT_PPS, LIMIT_FLOWS, EIM_TCP, EXEMPT = (
    7950, 7960, 7970, 7980, 7990, 8000, 8010, 8020, 8030)
HALF, MSS_AUTO, LIMIT_BIT, FULL, NONE_LEFT, SHARED, KEPT, WELL_KNOWN, BETWEEN = (
    8040, 8050, 8060, 8070, 8080, 8090, 8120, 8130, 8140)
PIECED = 8110
FAR, NARROW = 8400, 8401  # of SERVICE, without `in`: between containers
SMALL_RANGE, EDM_RANGE, DEFAULT_RANGE = (18000, 18063), (18100, 18101), (20000, 29999)
HALF_RANGE = (18600, 18999)
FULL_RANGE, NONE_LEFT_RANGE, SHARED_RANGE = (19008, 19071), (19072, 19135), (19136, 19199)
KEPT_RANGE, WELL_KNOWN_RANGE = (19200, 19263), (960, 1023)
BETWEEN_RANGE = (19264, 19583)
DENIED = "203.0.113.11/32"

# name: rules, in the order of the file. "" ones are there always.
RULES = [
    ("", "kernel udp from %s to %s:%d-%d" % (INSIDE, ANY, KERNEL, KERNEL + 9)),
    ("", "drop from %s to %s:%d-%d" % (INSIDE, ANY, DROP, DROP + 9)),
    ("", "accept from %s to %s:%d-%d" % (INSIDE, ANY, ACCEPT, ACCEPT + 9)),
    ("", "accept from %s to %s" % (INSIDE, INSIDE)),
    ("dnat", "dnat tcp to %s:8080 dest %s:80" % (SERVICE, C2)),
    ("dnat-in", "dnat tcp to %s:8081 in eth0 dest %s:81" % (SERVICE, C2)),
    ("dnat-range", "dnat udp to %s:8100-8109 in eth0 dest %s:8200-8209" % (SERVICE, C2)),
    ("dnat-weights", "dnat udp to %s:8300 in eth0 dest 10.1.0.2:8300*3,%s:8300*1" % (SERVICE, C2)),
    ("hairpin", "dnat to %s:%d dest %s:%d" % (SERVICE, NARROW, C3, NARROW)),
    ("hairpin", "dnat to [%s]:%d dest [%s]:%d" % (SERVICE_6, NARROW, C3_6, NARROW)),
    ("hairpin", "dnat to %s:%d dest %s:%d" % (SERVICE, FAR, C2, FAR)),
    ("hairpin", "dnat to [%s]:%d dest [%s]:%d" % (SERVICE_6, FAR, C2_6, FAR)),
    ("nat", "nat from %s/32 out eth0 source %s/32" % (C2B, STATIC)),
    ("", "snat from %s to %s:%d-%d out eth0 source %s-%s ports 20000-29999" % (
        INSIDE, ANY, PAIRED, PAIRED + 9, *POOL)),
    ("pieces", "snat from %s to %s:%d-%d out eth0 source %s ports 20000-29999" % (
        INSIDE, ANY, PIECED, PIECED + 9, PIECES)),
    ("", "masquerade from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, SMALL, SMALL + 9,
                                                                 *SMALL_RANGE)),
    ("mapping", "masquerade udp from %s to %s:%d-%d out eth0 ports %d-%d mapping "
                "endpoint-dependent" % (INSIDE, ANY, EDM, EDM + 9, *EDM_RANGE)),
    ("filter-ei", "masquerade udp from %s to %s:%d-%d out eth0 ports 18176-18303 filter "
                  "endpoint-independent" % (INSIDE, ANY, FILTER_EI, FILTER_EI + 9)),
    ("filter-ad", "masquerade udp from %s to %s:%d-%d out eth0 ports 18304-18431 filter "
                  "address-dependent" % (INSIDE, ANY, FILTER_AD, FILTER_AD + 9)),
    ("reject", "reject from %s to %s:%d-%d" % (INSIDE, ANY, REJECT, REJECT + 9)),
    ("mss-clamp", "masquerade tcp from %s to %s:%d-%d out eth0 ports 20000-29999 mss-clamp 1200" % (
        INSIDE, ANY, MSS, MSS + 9)),
    ("mss-clamp-auto", "masquerade tcp from %s to %s:%d-%d out eth0 ports 20000-29999 mss-clamp "
                       "auto" % (INSIDE, ANY, MSS_AUTO, MSS_AUTO + 9)),
    ("limit", "masquerade udp from %s to %s:%d-%d out eth0 ports 20000-29999 limit 100pps "
              "per-source" % (INSIDE, ANY, LIMIT_PPS, LIMIT_PPS + 9)),
    ("limit-flows", "masquerade udp from %s to %s:%d-%d out eth0 ports 20000-29999 limit 20flows" % (
        INSIDE, ANY, LIMIT_FLOWS, LIMIT_FLOWS + 9)),
    ("limit-bit", "masquerade udp from %s to %s:%d-%d out eth0 ports 20000-29999 limit 400kbit" % (
        INSIDE, ANY, LIMIT_BIT, LIMIT_BIT + 9)),
    ("mapping-tcp", "masquerade tcp from %s to %s:%d-%d out eth0 ports 18432-18559 mapping "
                    "endpoint-independent" % (INSIDE, ANY, EIM_TCP, EIM_TCP + 9)),
    ("no-limit", "masquerade udp from %s to %s:%d-%d out eth0 ports 20000-29999 no-limit" % (
        INSIDE, ANY, EXEMPT, EXEMPT + 9)),
    ("", "masquerade from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, HALF, HALF + 9,
                                                                 *HALF_RANGE)),
    ("", "masquerade udp from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, FULL, FULL + 9, *FULL_RANGE)),
    ("", "masquerade udp from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, NONE_LEFT, NONE_LEFT + 9,
                                                                     *NONE_LEFT_RANGE)),
    ("", "masquerade udp from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, BETWEEN, BETWEEN + 9,
                                                                     *BETWEEN_RANGE)),
    ("", "masquerade tcp from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, SHARED, SHARED + 9,
                                                                     *SHARED_RANGE)),
    ("", "masquerade udp from %s to %s:%d-%d out eth0 ports %d-%d" % (INSIDE, ANY, KEPT, KEPT + 9, *KEPT_RANGE)),
    ("", "snat udp from %s to %s:%d-%d out eth0 source %s ports %d-%d" % (INSIDE, ANY, WELL_KNOWN, WELL_KNOWN + 9,
                                                                         NOT_HOSTS, *WELL_KNOWN_RANGE)),
    ("drop-in", "drop from %s in eth0" % DENIED),
    ("", "masquerade from %s out eth0 ports %d-%d" % (INSIDE, *DEFAULT_RANGE)),
    ("ipv6-accept", "accept from %s to [2000::/3]:%d-%d" % (INSIDE_6, ACCEPT, ACCEPT + 9)),
    ("ipv6-snat", "snat from %s to [2000::/3]:%d-%d out eth0 source %s ports 20000-29999" % (
        INSIDE_6, PAIRED, PAIRED + 9, POOL_6)),
    ("pieces", "snat from %s to [2000::/3]:%d-%d out eth0 source %s ports 20000-29999" % (
        MANY_6, PIECED, PIECED + 9, PIECES_6)),
    ("ipv6-dnat", "dnat tcp to [%s]:8080 in eth0 dest [%s]:80" % (SERVICE_6, C2_6)),
    ("ipv6", "masquerade from %s to 2000::/3 out eth0 ports %d-%d" % (INSIDE_6, *DEFAULT_RANGE)),
]

# `drop ... in UPLINK` would keep O1B from every test: it goes into a configuration of its own.
APART = {"drop-in"}

NFT = """table ip stand_in {
	chain post {
		type nat hook postrouting priority srcnat
		oifname eth0 ip saddr {inside} th dport 7920-7929 accept
		oifname eth0 ip saddr {inside} th dport 7930-7939 snat to {pool} persistent
		oifname eth0 ip saddr {inside} th dport 8110-8119 snat to jhash ip saddr mod 5 map {
			0 : 198.51.100.17, 1 : 198.51.100.24, 2 : 198.51.100.25, 3 : 198.51.100.28, 4 : 198.51.100.29 }
		oifname eth0 ip saddr {inside} meta l4proto { tcp, udp } masquerade to :20000-29999
		oifname eth0 ip saddr {inside} masquerade
	}
}
table ip6 stand_in {
	chain post {
		type nat hook postrouting priority srcnat
		oifname eth0 ip6 saddr {inside6} th dport 7920-7929 accept
		oifname eth0 ip6 saddr {inside6} masquerade
	}
}
"""


class Service:
    def __init__(self, net, xdp="generic", workers=1, extra="", apart=(), kernel=False, rules=None):
        self.net, self.xdp, self.workers, self.extra = net, xdp, workers, extra
        self.kernel, self.apart, self.proc = kernel, set(apart), None
        self.rules = rules or RULES
        self.run_dir = os.path.join(net.tmp, "run")
        self.conf = os.path.join(net.tmp, "xegress.yaml")
        self.refused = {}

    def _text(self, rules):
        ports = "".join("  - {name: %s, xdp: %s, %s}\n" % (dev, self.xdp, rest) for dev, rest in (
            ("vethc1", "role: inside, allow: [10.1.0.2/32, 2001:db8:1::2/128]"),
            ("vethc2", "role: inside, allow: [10.1.0.3/32, 10.1.0.64/28, %s, 2001:db8:1::3/128, '%s']" % (
                MANY, MANY_6)),
            ("vethc3", "role: inside, allow: [10.1.0.4/32, 2001:db8:1::4/128]"),
            ("eth0", "role: uplink")))
        return "%son-stop: clean\nports:\n%srules:\n%s%s" % (
            "workers: [%s]\n" % ", ".join(map(str, range(self.workers))) if self.workers > 1 else "",
            ports, "".join('  - "%s"\n' % r for r in rules), self.extra)

    def _refusal(self, rules):
        """What xegressd --check says against these rules; "" when nothing."""
        path = self.conf + ".check"
        with open(path, "w") as f:
            f.write(self._text(rules))
        done = subprocess.run((os.path.join(BUILD, "xegressd"), "--check", "-c", path),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = [ln for ln in done.stdout.splitlines() if "warning" not in ln]
        return "" if done.returncode == 0 else (lines or ["exit %d" % done.returncode])[-1]

    def _rules(self):
        wanted = [(n, r) for n, r in self.rules if n not in APART or n in self.apart]
        if not self._refusal([r for _, r in wanted]):
            return [r for _, r in wanted]
        for name, rule in wanted:
            if name:
                why = self._refusal([rule])
                if why:
                    self.refused[name] = why.split(": ", 1)[-1]
        rules = [r for n, r in wanted if n not in self.refused]
        why = self._refusal(rules)
        if why:
            raise SetupError("xegressd --check: " + why)
        return rules

    def start(self):
        if self.kernel:
            text = NFT
            for k, v in (("inside6", INSIDE_6), ("inside", INSIDE), ("pool", "%s-%s" % POOL)):
                text = text.replace("{%s}" % k, v)
            self.net.on("h", "nft", "-f", "-", text=text)
            return
        os.makedirs(self.run_dir, exist_ok=True)
        with open(self.conf, "w") as f:
            f.write(self._text(self._rules()))
        self.proc = self.net.start("h", os.path.join(BUILD, "xegressd"), "-c", self.conf,
                                   "--run-dir", self.run_dir, log="xegressd.log")
        end = time.monotonic() + 8 * SLOW
        while self.ctl("status", check=False)[0]:
            if self.proc.poll() is not None or time.monotonic() > end:
                raise SetupError("xegressd is not in force: %s %s" % (
                    self.ctl("status", check=False)[1][-300:], self.net.log("xegressd.log")[-300:]))
            time.sleep(0.05)

    def ctl(self, *words, check=True):
        done = subprocess.run((os.path.join(BUILD, "xegressctl"), "--run-dir", self.run_dir) + words,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20 * SLOW)
        if check and done.returncode:
            raise SetupError("xegressctl %s: %s" % (" ".join(words), done.stdout[-300:]))
        return done.returncode, done.stdout

    def json(self, *words):
        return json.loads(self.ctl(*words, "--json")[1])

    def flows(self, *words):
        return self.json("flow", "list", *words)["flows"]

    def reasons(self):
        """Counts by reason, ARP apart: it comes when it wants to."""
        return {r["reason"].lower().replace("-", "_"): r["count"]
                for r in self.json("drops")["reasons"] if r["reason"] != "NOT_IP"}

    def starved(self):
        """Has a thread of it had no CPU for a second? Nothing here stops one."""
        return not self.kernel and re.search(r"stood still for [0-9.]+ s", self.net.log("xegressd.log")) is not None

    def complaints(self):
        """What is wrong at the end: equations, exit code, sanitizers. The service is stopped."""
        if self.kernel:
            return []
        found = []
        if self.proc.poll() is None:
            judge = os.path.join(ROOT, "tests/netns/judge.py")
            out = run("/usr/bin/python3", judge, "conserve", "--wait", str(5 * SLOW), "--",
                      os.path.join(BUILD, "xegressctl"), "--run-dir", self.run_dir, "stats", "--json",
                      check=False, timeout=60)
            found += [ln for ln in out.splitlines() if "WRONG" in ln or "come to rest" in ln]  # fragments may wait
            code = self.net.stop(self.proc, seconds=10 * SLOW)
            if code != 0:
                found.append("xegressd ends with exit code %s" % code)
        else:
            found.append("xegressd died: exit code %s" % self.proc.returncode)
        log = self.net.log("xegressd.log")
        found += [ln for ln in log.splitlines() if "Sanitizer" in ln or "runtime error" in ln
                  or "assert" in ln][:3]
        return found


__all__ = ["Service", "EXT"]
