#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Packets between network namespaces and what `xegressctl drops` says of them: each counted once, under one name.
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
exec tests/conformance/reasons.py "$@"
