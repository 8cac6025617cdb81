#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# The systemd unit: what `make install` puts there, understood by systemd, no more exposed than README.md
# says; watchdog beats, by a stand-in for systemd.
. "$(dirname "$0")/lib.sh"
XE_STALLS=1 # of our making
xe_only
# `systemd-analyze security` of systemd 252, times ten. Other versions weigh differently.
WORST=26

beats() { # how many messages of this word the stand-in has heard
	grep -c "^$1" "$T/notify.log"
}

many_beats() { [ "$(beats WATCHDOG=1)" -ge 4 ]; }

cat >"$T/notify.py" <<'EOP'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode(), flush=True)
EOP

check "make install" make -s -C "$ROOT" BUILD="$BUILD" DESTDIR="$T/root" install
for file in sbin/xegressd lib/systemd/system/xegress.service lib/systemd/system/xegress.slice; do
	check "installed: $file" test -s "$T/root/usr/$file"
done
if command -v systemd-analyze >/dev/null; then
	sed "s,/usr/sbin/,$T/root/usr/sbin/,; /^Documentation/d" \
		"$T/root/usr/lib/systemd/system/xegress.service" >"$T/xegress.service"
	sed '/^Documentation/d' "$ROOT/tools/packaging/xegress.slice" >"$T/xegress.slice"
	check "systemd understands it" systemd-analyze verify "$T/xegress.service"
	same "and has nothing to say about it" "$(grep -F xegress "$T/check.out")" ""
	if systemd-analyze --version | grep -q '^systemd 252 '; then
		check "exposure at most $WORST / 10" systemd-analyze security --offline=yes \
			--threshold=$WORST "$ROOT/tools/packaging/xegress.service"
		score=$(sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p' "$T/check.out")
		check "README.md says $score" grep -q "systemd-analyze security.*$score" "$ROOT/README.md"
	else
		skip "exposure" "another version of systemd"
	fi
else
	skip "systemd understands it" "no systemd-analyze"
fi

topo_up
judge_start
bg notify h "$PY" "$T/notify.py" "$T/notify.sock"
within 3000 test -S "$T/notify.sock" || die "no stand-in for systemd"
# WATCHDOG_PID is left out: then it is meant for whoever reads it.
export NOTIFY_SOCKET=$T/notify.sock WATCHDOG_USEC=1000000
xe_start
unset NOTIFY_SOCKET WATCHDOG_USEC
within 2000 eval '[ "$(beats READY=1)" -ge 1 ]' # said a moment after the control socket answers
same "READY=1" "$(beats READY=1)" 1
check "watchdog beats" within 3000 many_beats
# The control thread stands still with the rest: no beats, which is what they are for.
kill -STOP "${PIDS[xegressd.$XE_RUN]}"
sleep 0.3
before=$(beats WATCHDOG=1)
sleep 1
same "none while it is stopped" "$(beats WATCHDOG=1)" "$before"
kill -CONT "${PIDS[xegressd.$XE_RUN]}"
more_beats() { [ "$(beats WATCHDOG=1)" -gt "$before" ]; }
check "again when it goes on" within 3000 more_beats
finish
