#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The table of requirements in two cells of the matrix; all eight are `make check-long`'s (run_long.sh).
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
# One cell here, the opposite one with sanitizers, all eight in make check-long.
case $(basename "$BUILD") in
*address*) cells=native-off-2 ;;
*) cells=generic-on-1 ;;
esac
mkdir -p "$BUILD/test-logs"
exec tests/conformance/run.py --cells $cells --json "$BUILD/test-logs/conformance.json" "$@"
