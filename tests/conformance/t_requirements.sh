#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The table of requirements in one cell of the matrix, and in the opposite one what depends on it (run.py, SECOND); all
# of it in all eight cells is `make check-long`'s (run_long.sh).
# docs/testing.md tells how it works, docs/conformance.md what is met.
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
for need in ip nft nsenter ethtool traceroute; do
	command -v $need >/dev/null || {
		echo "skip: needs \`$need\` (tools/deps.sh installs it)"
		exit 77
	}
done
# With sanitizers all of the opposite cell.
case $(basename "$BUILD") in
*address*) cells=native-off-2 ;;
*) cells=reduced ;;
esac
mkdir -p "$BUILD/test-logs"
exec tests/conformance/run.py --cells $cells --json "$BUILD/test-logs/conformance.json" "$@"
