#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# The same recorded, systematic and random traffic through kernel masquerade and through the service:
# what comes out is alike, or docs/limitations.md says why not. `make check-long` plays more of it.
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
exec tests/conformance/differential.py "$@"
