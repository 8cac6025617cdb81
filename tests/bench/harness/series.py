# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""From records to figures: medians, spreads, and ratios between runs of the same round."""
import statistics


class Spread:
    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.low, self.high = min(self.values), max(self.values)
        self.count = len(self.values)

    def text(self, digits=3):
        """median [min-max], the spread left out where there is one figure."""
        if self.count == 1:
            return number(self.median, digits)
        return "%s [%s-%s]" % tuple(number(v, digits) for v in (self.median, self.low, self.high))


def number(value, digits=3):
    """Short, never in powers of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** digits:
        return "%.0f" % value
    text = "%.*g" % (digits, value)
    return "%.4f" % value if "e" in text else text


class Results:
    """The records of one bench, asked by workload and contender."""

    def __init__(self, records):
        self.records = records
        self.good = [r for r in records if "values" in r]

    def rounds(self, workload, contender, metric):
        """Round number -> figure."""
        out = {}
        for r in self.good:
            if r["workload"] == workload and r["contender"] == contender:
                value = r["values"].get(metric)
                if value is not None:
                    out[r["round"]] = value
        return out

    def spread(self, workload, contender, metric):
        found = self.rounds(workload, contender, metric)
        return Spread(found.values()) if found else None

    def cost(self, workload, contender, key):
        found = [r["cpu"][key] for r in self.good if r["workload"] == workload and
                 r["contender"] == contender and key in r["cpu"]]
        return Spread(found) if found else None

    def ratio(self, workload, contender, base, metric, base_workload=None):
        """Of the rounds that both have."""
        ours = self.rounds(workload, contender, metric)
        theirs = self.rounds(base_workload or workload, base, metric)
        both = [ours[r] / theirs[r] for r in ours if theirs.get(r)]
        return Spread(both) if both else None

    def failures(self, workload, contender):
        return [r["error"] for r in self.records if r["workload"] == workload and
                r["contender"] == contender and "error" in r]
