#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""tune_summary.py FILE BASE - medians of what tune_ab.sh and tune_thp.sh measured, each variant also
as its ratio to the variant BASE of the same round. FILE: a JSON object a line, with round, variant,
workload and value."""
import collections
import json
import statistics
import sys

path, base = sys.argv[1:3]
seen = collections.defaultdict(list)
with open(path) as lines:
    for line in lines:
        r = json.loads(line)
        seen[r["workload"], r["variant"]].append(r["value"])
for (workload, variant), values in sorted(seen.items()):
    ratios = [v / o for v, o in zip(values, seen[workload, base]) if o]
    print("%-5s %-9s median %10.2f (%.2f to %.2f), to %s %.2f (%.2f to %.2f)" % (
        workload, variant, statistics.median(values), min(values), max(values), base,
        statistics.median(ratios), min(ratios), max(ratios)))
