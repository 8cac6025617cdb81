#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Packets of every size both ways, each checksum and byte looked at: 200,000; `make check-long` 10,000,000.
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
[ -x "$BUILD/tests/conformance/soak" ] || make --no-print-directory BUILD="$BUILD" "$BUILD/tests/conformance/soak" ||
	exit 1
exec tests/conformance/soak.py "$@"
