#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# reasons_seen.sh - does the file $XE_REASONS_SEEN, which the tests wrote, have each reason of
# include/xegress/reason.h? A test writes a name when a packet was counted so, once, and under no other.
set -u
cd "$(dirname "$0")/.." || exit 1
missing=$(printf '#include "xegress/reason.h"\n#define ROW(name, class, text) @ name @\n%s(ROW) %s(ROW)\n' \
	XE_REASONS_STEER XE_REASONS_WORKER | gcc -E -P -Iinclude -x c - | grep -oE '@ [A-Z0-9_]+ @' |
	cut -d' ' -f2 | grep -vxF -f "$XE_REASONS_SEEN")
# A table that is not read is not one whose names were all seen.
[ "$(wc -l <"$XE_REASONS_SEEN")" -gt 0 ] || missing="any at all"
[ -z "$missing" ] && exit 0
echo "not ok reasons: no test made a packet count as:" $missing
exit 1
