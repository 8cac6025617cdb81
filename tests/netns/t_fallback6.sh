#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# The safety net's IPv6 on its own: the table is there, and no service. Crafted packets in
# fallback_judge6.py; the driver is that of t_fallback.sh.
. "$(dirname "$0")/lib.sh"
. "$HERE/topo6.sh"

DRIVER=${FALLBACK_DRIVER:-$BUILD/tests/fallback_driver}
[ -x "$DRIVER" ] || skip_all "no $DRIVER (make build/tests/fallback_driver)"

topo_up
topo6_up
mkdir -p "$T/www"
head -c 3000000 /dev/urandom >"$T/www/file"
"$PY" "$HERE/fallback_judge6.py" "$ID" "$DRIVER" xegress_test >"$T/judge6.out" 2>"$T/judge6.log"
JUDGE=$?
cat "$T/judge6.out"
BAD=$(grep -c '^not ok' "$T/judge6.out")
CHECKED=$((CHECKED + $(grep -c . "$T/judge6.out")))
FAILED=$((FAILED + BAD))
same judge-came-to-its-end $JUDGE $((BAD > 0 ? 3 : 0))

# Real sockets, the table of the judge's last step (`masquerade` alone) still there.
serve_http6 w 80
serve_echo6 w $SRV6 7
check "TCP through the kernel" on c1 curl -sS --max-time 20 -o "$T/got" "http://[$SRV6]/file"
check "every byte" cmp "$T/got" "$T/www/file"
check "UDP through the kernel" udp_ask6 c2 $SRV6 7
same "the server saw no inside address" "$(cat "$T/http6.log" "$T/echo6.7.log" | grep -c fd00:)" 0
[ $FAILED -eq 0 ] || exit 1
exit 0
