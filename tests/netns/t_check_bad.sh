#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# `xegressd --check` on every configuration of tests/conf. bad/X.yaml: exit 1, nothing on stdout, and
# on stderr exactly the one line of bad/X.expect; good/X.yaml: exit 0; and nothing is attached, made
# or left behind by any of them.
. "$(dirname "$0")/lib.sh"

[ "$XE_KERNEL" = 1 ] && skip_all "checks xegressd itself"
XEGRESSD=${XEGRESSD:-$BUILD/xegressd}

# Where an attached program, a table or a socket of ours would show.
footprint() {
	link_show h
	on h nft list tables
	find "$T/run" 2>/dev/null
}

# In the configuration's folder, since .expect files name it without one. 10 s (times XE_SLOW) is far
# more than a check takes, and ends a service that was started instead.
run_check() { # FILE
	on h timeout $((10 * XE_SLOW)) "$XEGRESSD" --check --run-dir "$T/run" -c "$1" \
		>"$T/stdout" 2>"$T/stderr" </dev/null
}

check_bad() { # FILE
	local rc=0

	run_check "$1" || rc=$?
	if [ $rc -ne 1 ]; then
		fail "bad/$1" "exit $rc, wanted 1"
	elif [ -s "$T/stdout" ]; then
		fail "bad/$1" "stdout: $(head -c 300 "$T/stdout")"
	elif ! cmp -s "$T/stderr" "${1%.yaml}.expect"; then
		fail "bad/$1" "got \`$(cat "$T/stderr")\`, wanted \`$(cat "${1%.yaml}.expect")\`"
	else
		pass "bad/$1"
	fi
}

check_good() { # FILE
	local rc=0

	run_check "$1" || rc=$?
	if [ $rc -eq 0 ]; then pass "good/$1"; else fail "good/$1" "exit $rc: $(cat "$T/stderr")"; fi
}

[ -x "$XEGRESSD" ] || die "no $XEGRESSD: run make"
must ip netns add "$ID-h"
# Interfaces that the configurations name, so that an attach would find something.
must on h ip link add veth0 type veth peer name eth0
must on h ip link set veth0 up
must on h ip link set eth0 up
sleep 0.2 # until carrier and operstate don't change any more
footprint >"$T/before"

cd "$ROOT/tests/conf/bad" || die "no tests/conf/bad"
for f in *.yaml; do
	check_bad "$f"
done
between "enough bad configurations" "$CHECKED" 25 10000
for f in *.expect; do # a renamed pair would go unnoticed
	[ -f "${f%.expect}.yaml" ] || fail "bad/$f" "has no configuration"
done
cd ../good || die "no tests/conf/good"
for f in *.yaml; do
	check_good "$f"
done

run_check nonexistent.yaml
same "a missing file: exit" $? 1
same "a missing file: message" "$(cat "$T/stderr")" \
	"nonexistent.yaml:0: file: cannot be read: No such file or directory"
footprint >"$T/after"
check "nothing attached, nothing left" diff "$T/before" "$T/after"
[ "$FAILED" -eq 0 ]
