#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
#
# t_instructions.sh - the pipeline's instructions per packet, against the figures in the tree: more
# than a tenth above them fails. After a change that is worth its price: tests/bench/pipeline.py
# --record build, and say so in the commit.
set -u
build=${BUILD:-build}
case $(basename "$build") in build) ;; *) echo "skip: the figures are of the plain build" && exit 77 ;; esac
command -v valgrind >/dev/null || { echo "skip: no valgrind" && exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/pipeline.py" --gate "$build"
