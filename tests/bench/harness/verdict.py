# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What has to be shown, each with its figure: pass, MISS, or what is missing to say so.

iptables masquerade stands for the kernel, without and with RPS: a ratio is taken against each, and the
worse of the two for us is judged. Ours is the better of one worker and two, named in the line.
"""
OURS = ("xegress", "xegress-2w")
KERNEL = ("iptables", "iptables-rps")
ROUNDS_NEEDED = 5


class Line:
    def __init__(self, what, wanted, got, passed, rounds=None, note=""):
        self.what, self.wanted, self.got, self.passed = what, wanted, got, passed
        self.rounds, self.note = rounds, note

    @property
    def word(self):
        if self.passed is None:
            return "not measured"
        return "pass" if self.passed else "MISS"


class Judge:
    def __init__(self, results):
        self.results = results
        self.lines = []

    def against(self, ours, bases, workload, metric, more_is_better):
        """(ratio that is worst for us, its base), or None."""
        found = [(self.results.ratio(workload, ours, b, metric), b) for b in bases]
        found = [(s, b) for s, b in found if s]
        if not found:
            return None
        return (min if more_is_better else max)(found, key=lambda f: f[0].median)

    def ratio(self, what, workload, metric, limit, bases=KERNEL, better="more", ours=OURS):
        more = better == "more"
        tried = [(self.against(o, bases, workload, metric, more), o) for o in ours]
        tried = [(f[0], f[1], o) for f, o in tried if f]
        wanted = "%s %g of %s" % ("at least" if more else "at most", limit, " / ".join(bases))
        if not tried:
            self.lines.append(Line(what, wanted, "", None))
            return
        spread, base, name = (max if more else min)(tried, key=lambda t: t[0].median)
        passed = spread.median >= limit if more else spread.median <= limit
        self.lines.append(Line(what, wanted, spread.text(), passed, spread.count,
                               "%s against %s" % (name, base)))

    def bound(self, what, workload, metric, limit, wanted, ours=OURS, each=False):
        """The figure itself, not a ratio: its median, or with `each` every round, within a limit."""
        found = [(self.results.spread(workload, o, metric), o) for o in ours]
        found = [f for f in found if f[0]]
        if not found:
            self.lines.append(Line(what, wanted, "", None))
            return
        spread, name = max(found, key=lambda f: f[0].high if each else f[0].median)
        worst = spread.high if each else spread.median
        self.lines.append(Line(what, wanted, spread.text(), worst <= limit, spread.count, name))

    def published(self, what, workload, contenders, beside="forward", word="of none attached"):
        """Shown, whatever it is."""
        found = [(self.results.ratio(workload, c, beside, "gbps"), c) for c in contenders]
        got = ", ".join("%s %s" % (c, s.text()) for s, c in found if s)
        self.lines.append(Line(what, "published, " + word, got,
                               True if all(s for s, _ in found) else None,
                               min((s.count for s, _ in found if s), default=None)))


def judge(results):
    j = Judge(results)
    for name, text in (("tcp1-out", "1 stream out"), ("tcp1-back", "1 stream back"),
                       ("tcp8-out", "8 streams out"), ("tcp8-back", "8 streams back")):
        j.ratio("TCP bulk, " + text, name, "gbps", 0.6)
        j.published("TCP bulk, " + text, name, ("xegress", "xegress-2w"), "iptables-hook",
                    "of iptables beside a program that passes all")
    j.ratio("UDP 64 B from containers", "udp64-out", "mpps", 0.8)
    j.bound("UDP 64 B from containers: reordered", "udp64-out", "reordered", 0, "none, any round",
            each=True)
    j.ratio("UDP 64 B from containers, DPDK testpmd", "udp64-out", "mpps", 1.0, ("testpmd",))
    j.ratio("NIC-like flood to live sessions", "udp64-back", "mpps", 0.8)
    j.bound("host ping p99 during the flood, ms", "udp64-back", "ping_p99_ms", 10, "under 10 ms")
    j.ratio("connect rate", "crr", "rate", 0.8)
    j.ratio("p99 latency at half load", "rr-half", "p99_us", 1.25, better="less")
    j.ratio("connect rate with 10,000 rules", "crr-10krules", "rate", 5.0, ("iptables",))
    for name, text in (("host-out", "from the host"), ("host-back", "to the host")):
        j.published("the host's own TCP, " + text, name, ("xegress", "xegress-native"))
    j.bound("idle, % of one core", "idle", "own_pct", 1.0, "under 1 %")
    return j.lines


def table(lines):
    out = ["| what | wanted | median [min-max] | verdict | which |", "|---|---|---|---|---|"]
    for line in lines:
        few = line.rounds is not None and line.rounds < ROUNDS_NEEDED
        word = line.word + (" (%d rounds, %d are needed)" % (line.rounds, ROUNDS_NEEDED)
                            if few else "")
        out.append("| %s | %s | %s | %s | %s |" % (line.what, line.wanted, line.got or "-", word,
                                                   line.note))
    return "\n".join(out)
