# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""One PNG a group of workloads, by gnuplot: bars are medians, whiskers the smallest and the largest
round. Ours in one colour, the kernel's ways in another, the peers in a third."""
import os
import shutil
import subprocess

from .series import Results

COLOURS = {"xegress": "#1b6ca8", "kernel": "#b0b0b0", "peer": "#d9a441"}
WIDTH, HEIGHT = 560, 420  # pixels of one workload's panel
COLUMNS = 2


def rows(results, workload):
    out = []
    for name in workload["contenders"]:
        spread = results.spread(workload["name"], name, workload["metric"])
        if spread:
            out.append((name, spread))
    return out


def quoted(text):
    return '"%s"' % text.replace('"', "'")


def panel(workload, found, families):
    """gnuplot commands of one panel, its figures inline."""
    block = "$d_" + "".join(c if c.isalnum() else "_" for c in workload["name"])
    lines = ["%s << EOD" % block]
    for i, (name, spread) in enumerate(found):
        colour = COLOURS[families.get(name, "kernel")]
        lines.append("%d %s %.6g %.6g %.6g %d" % (i, quoted(name), spread.median, spread.low,
                                                  spread.high, int(colour[1:], 16)))
    lines.append("EOD")
    top = max(s.high for _, s in found) or 1
    lines += [
        "set title %s" % quoted(workload["title"]),
        "set ylabel %s" % quoted(workload["unit"] + (
            "" if workload["better"] == "more" else " (less is better)")),
        "set yrange [0:%.6g]" % (top * 1.18), "set xrange [-0.6:%.1f]" % (len(found) - 0.4),
        # bars, whiskers, the median in figures above the whisker
        "plot %s using 1:3:(0.7):6:xtic(2) with boxes fs solid 0.9 lc rgb variable notitle, "
        "%s using 1:3:4:5 with yerrorbars ps 0 lw 1.2 lc rgb '#303030' notitle, "
        "%s using 1:5:(sprintf('%%.3g', $3)) with labels offset 0,0.6 font ',8' notitle" % (
            block, block, block)]
    return lines


def script(path, panels):
    columns = min(COLUMNS, len(panels))
    rows_cnt = -(-len(panels) // columns)
    head = ["set terminal pngcairo size %d,%d font 'sans,9' noenhanced" % (
                WIDTH * columns, HEIGHT * rows_cnt),
            "set output %s" % quoted(path), "set multiplot layout %d,%d" % (rows_cnt, columns),
            "set style data boxes", "set grid ytics lc rgb '#dddddd'", "set border 3",
            "set xtics nomirror rotate by 40 right font ',8'", "set ytics nomirror",
            "set bmargin 6", "set lmargin 10", "unset key"]
    return "\n".join(head + [line for p in panels for line in p] + ["unset multiplot", ""])


def draw(bench, folder, say):
    """The names of the files made."""
    if not shutil.which("gnuplot"):
        say("no gnuplot: no plots (tools/deps.sh bench)")
        return []
    results, groups, made = Results(bench["records"]), {}, []
    for workload in bench["workloads"]:
        found = rows(results, workload)
        if found:
            groups.setdefault(workload["group"], []).append(
                panel(workload, found, bench["families"]))
    for group, panels in groups.items():
        path = os.path.join(folder, group + ".png")
        done = subprocess.run(["gnuplot"], input=script(path, panels), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0 or not os.path.exists(path):
            say("gnuplot: " + (done.stderr.strip().splitlines() or ["no file"])[-1])
        else:
            made.append(group + ".png")
    return made
