# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced by the scripts of this folder: named checks that are counted, network namespaces with
# random names that go away with the script, waiting with a bound.

passed=0
failed=0
namespaces=()
check_said=$(mktemp)

# check "what should be so" COMMAND...: counts; shows what the command said only if it failed. Not
# in a subshell: the command may wait for this shell's children, and set its variables.
check()
{
	local what=$1
	shift
	if "$@" >"$check_said" 2>&1; then
		passed=$((passed + 1))
		echo "ok   $what"
	else
		failed=$((failed + 1))
		echo "FAIL $what ($*)"
		sed 's/^/     | /' "$check_said"
	fi
}

# Prints the sum and ends the script: 0 only if something passed and nothing failed.
finish()
{
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

# new_ns VARIABLE: makes a namespace, puts its name into VARIABLE.
new_ns()
{
	local name=xe-$RANDOM$RANDOM-$1

	ip netns add "$name" || return 1
	namespaces+=("$name")
	printf -v "$1" %s "$name"
	ip -n "$name" link set lo up
}

# For the script's trap on EXIT.
clean_up()
{
	local name

	rm -f "$check_said"
	for name in "${namespaces[@]}"; do
		ip netns del "$name"
	done
}

# in_ns NAME COMMAND...: unlike `ip netns exec` it leaves /sys/fs/bpf and the cgroups in sight.
in_ns()
{
	nsenter --net="/run/netns/$1" "${@:2}"
}

# wait_for SECONDS COMMAND...: asks every 200 ms until the command succeeds.
wait_for()
{
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.2
	done
}

# Rows of `xdp-loader status` on an interface: the dispatcher first, then the programs it calls.
xdp_rows()
{
	in_ns "$1" xdp-loader status "$2" | sed -n '/^-----/,$p' | tail -n +2
}

# has_program NS INTERFACE PROGRAM: a dispatcher calls the program (its row begins with =>).
has_program()
{
	xdp_rows "$1" "$2" | grep -E "^ *=> .* $3( |$)"
}

has_no_program()
{
	local rows

	rows=$(xdp_rows "$1" "$2")
	echo "$rows"
	# Something is always said, if only that there is no program.
	[ -n "$rows" ] && ! grep -qE " $3( |$)" <<<"$rows"
}

# seen_packets MAP: packets that all programs with a counter map of that name have counted.
seen_packets()
{
	bpftool -j map dump name "$1" | /usr/bin/python3 -c '
import json, sys

def values(node):
	if isinstance(node, list):
		return sum(values(n) for n in node)
	return node["formatted"]["value"] if "formatted" in node else values(node["elements"])

print(values(json.load(sys.stdin)))'
}
