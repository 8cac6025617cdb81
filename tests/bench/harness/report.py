# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bench.md out of the records: header, what must be shown, one table a workload."""
from . import verdict
from .series import Results

BASE = "iptables"
FORWARDED_NOTE = 100  # packets; a few at the edges of a run (a late FIN) say nothing
COSTS = {"s_per_gb": "CPU s/GB", "s_per_mpkt": "CPU s/Mpkt"}
HEAD = (("date", "date"), ("commit", "commit"), ("kernel", "kernel"), ("kernel flags",
        "kernel_flags"), ("CPU", "cpu"), ("cores", "cores"), ("hypervisor", "hypervisor"),
        ("memory, MiB", "memory_mib"), ("compiler", "compiler"), ("compiler flags", "cflags"),
        ("command", "command"), ("seconds a run", "seconds"), ("load average before",
                                                              "load_before"))


def header(meta):
    lines = ["| %s | %s |" % (title, str(meta.get(key, "")).replace("|", "/"))
             for title, key in HEAD]
    lines.append("| tools | %s |" % "; ".join(v for v in meta["tools"].values() if v))
    lines.append("| rounds | %d of %d%s |" % (meta["rounds"], meta["rounds_wanted"],
                                             "" if meta["complete"] else ", ended early"))
    if meta.get("half_load"):
        lines.append("| half load | %d transactions/s |" % meta["half_load"])
    return ["| | |", "|---|---|"] + lines


def columns(workload):
    """Titles of a workload's table."""
    titles = ["contender", workload["unit"], "of iptables"]
    if workload["cost"]:
        titles.append(COSTS[workload["cost"]])
    titles.append("own CPU s")
    titles.append("steal s")
    return titles + [label or key for key, label in workload["more"]]


def row(results, workload, name, label):
    spread = results.spread(workload["name"], name, workload["metric"])
    failed = results.failures(workload["name"], name)
    if not spread:
        return [label, "failed: " + failed[0].replace("|", "/")] if failed else None
    cells = [label, spread.text() + (" (%d failed)" % len(failed) if failed else "")]
    ratio = results.ratio(workload["name"], name, BASE, workload["metric"])
    cells.append(ratio.text() if ratio and name != BASE else "1" if ratio else "-")
    for key in ([workload["cost"]] if workload["cost"] else []) + ["contender_s", "steal_s"]:
        cost = results.cost(workload["name"], name, key)
        cells.append(cost.text() if cost else "-")
    for key, _ in workload["more"]:
        more = results.spread(workload["name"], name, key)
        cells.append(more.text() if more else "-")
    return cells


def workload_table(results, workload, labels):
    titles = columns(workload)
    better = "more is better" if workload["better"] == "more" else "less is better"
    out = ["### %s: %s" % (workload["name"], workload["title"]), "",
           "%s, %s; median [min-max] over the rounds." % (workload["unit"], better), "",
           "| %s |" % " | ".join(titles), "|---" * len(titles) + "|"]
    for name in workload["contenders"]:
        cells = row(results, workload, name, labels.get(name, name))
        if cells:
            cells += [""] * (len(titles) - len(cells))
            out.append("| %s |" % " | ".join(cells))
    return out + [""] + notes(results, workload)


def notes(results, workload):
    """Runs in which the kernel carried a part of what xegress was to carry: no figure of ours."""
    out = []
    for r in results.good:
        count = r.get("facts", {}).get("kernel_forwarded", 0)
        if r["workload"] == workload["name"] and count > FORWARDED_NOTE:
            out.append("- %s, round %d: the kernel forwarded %d packets of this run" % (
                r["contender"], r["round"] + 1, count))
    return out + [""] if out else []


def markdown(bench, plots=()):
    """The whole report; `bench` is what bench.json holds."""
    results = Results(bench["records"])
    out = ["# xegress bench", ""] + header(bench["meta"]) + [
        "", "Ratios are between runs of the same round, seconds apart. CPU is that of the whole machine "
        "(/proc/stat), own CPU that of the contender's own processes during a run, steal what the "
        "hypervisor took.", "", "## What must be shown", "",
        verdict.table(verdict.judge(results)), ""]
    if bench["left_out"]:
        out += ["## Left out", ""] + ["- %s in %s: %s" % (
            "everyone" if x["contender"] == "*" else x["contender"],
            "every workload" if x["workload"] == "*" else x["workload"], x["why"])
            for x in bench["left_out"]] + [""]
    group = None
    for workload in bench["workloads"]:
        if not any(r["workload"] == workload["name"] for r in bench["records"]):
            continue
        if workload["group"] != group:
            group = workload["group"]
            out += ["## " + group, ""]
            out += ["![%s](%s)" % (group, p) for p in plots if p == group + ".png"] + [""]
        out += workload_table(results, workload, bench["contenders"])
    return "\n".join(out)
