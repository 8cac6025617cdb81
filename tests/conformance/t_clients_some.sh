#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A few of the independent clients (t_clients.sh has all): STUN, HTTP, DNS, FTP, traceroute.
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
exec tests/conformance/clients.py --only '^(stun_mapping|https_http2_curl|http_wrk_ipv6|dns_dig|ftp_passive|way_traceroute)$' "$@"
