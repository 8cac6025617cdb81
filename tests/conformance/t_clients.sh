#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: the other half minute of the suite.
# Programs of others through the service: STUN, HTTP, DNS, FTP, QUIC, traceroute and the like, nmap.
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
exec tests/conformance/clients.py "$@"
