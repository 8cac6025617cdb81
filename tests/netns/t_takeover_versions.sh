#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: builds the service a second time.
#
# Upgrade and downgrade under load: this build, and one as of a later version (XE_TEST_LATER: every structure that is
# told is longer; it speaks one version more), take over from each other. Two that have no version in
# common: refused, by one line that says so, and nothing has happened.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only

PRESENT=$BUILD
LATER=$BUILD-later
BEYOND=$BUILD-beyond

build() { # FOLDER FLAGS
	env -u MAKEFLAGS -u MAKELEVEL CPPFLAGS="$2" nice make -s -C "$ROOT" -j2 BUILD="$1" \
		"${1#"$ROOT"/}/xegressd" >"$T/build.log" 2>&1 || die "set-up: $1: $(tail -n 2 "$T/build.log")"
	cp "$BUILD/xegressctl" "$1"
}

# Only takeover_wire.c knows the versions.
build_beyond() {
	rm -rf "$BEYOND"
	mkdir -p "$BEYOND"
	cp -a "$BUILD/obj" "$BUILD/gen" "$BEYOND" || die "set-up: no $BUILD/obj"
	rm -f "$BEYOND/obj/fastpath/control/takeover_wire.o"
	build "$BEYOND" "-DXE_TO_VERSION=9 -DXE_TO_VERSION_MIN=8"
}

of() { # FOLDER COMMAND...: with the programs of that build
	local rc=0

	BUILD=$1
	shift
	"$@" || rc=$?
	BUILD=$PRESENT
	return $rc
}

by() { of "$1" take_over; }

counted() { # all packets that the workers have had
	json "$(xe_ctl stats --json)" "sum(w['rx_packets'] for w in j['workers'])"
}

refused_once() { # FOLDER: it is refused by one line, and exits with 1
	of "$1" take_fails "$1/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" --takeover || return 1
	[ "$(grep -c "stop it and start the new one" "$T/failed.log")" = 1 ] || {
		tail -n 3 "$T/failed.log"
		return 1
	}
}

build "$LATER" "-DXE_TEST_LATER -DXE_TO_VERSION=4"
build_beyond

topo_up
judge_start
load_servers
xe_start

load_begin $((8 * XE_SLOW))
sleep 0.5
for n in 1 2; do
	for to in "$LATER" "$BUILD"; do
		before=$(counted)
		check "$(basename "$to") takes over ($n)" by "$to"
		echo "# $(took)"
		between "counters count on" "$(counted)" $((before + 1)) 1000000000000
	done
done
check "nothing in common: refused by one line" refused_once "$BEYOND"
check "which names both" \
	grep -q "speaks version 3 of takeover, the new one versions 8 to 9:" "$T/failed.log"
load_end $((3000 * XE_SLOW))
check "nothing moves, to a later one: flow by flow the same" of "$LATER" take_over_unmoved
check "and back: the same" take_over_unmoved
xe_conserve

BUILD=$BEYOND
xe_stop
xe_start
BUILD=$PRESENT
check "nothing in common, the other way round: refused by one line" refused_once "$PRESENT"
check "which names both" \
	grep -q "speaks versions 8 to 9 of takeover, the new one version 3:" "$T/failed.log"
check "and the old process goes on" on c2 "$TCP_MANY" client -c 2 $SRV1 7001
finish
