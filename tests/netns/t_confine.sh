#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Privileges: what is left of root's after the start, by thread; the same service as another user with
# five capabilities; without one of them, or without locked memory, one line that says which.
. "$(dirname "$0")/lib.sh"
xe_only
command -v setpriv >/dev/null || skip_all "needs \`setpriv\`"

NEEDED="net_admin net_raw bpf ipc_lock"
# CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_IPC_LOCK 14, CAP_PERFMON 38, CAP_BPF 39
LEFT=000000c000007000
NONE=0000000000000000

field() { sed -n "s/^$2:[ \t]*//p" "/proc/$PID/task/$1/status"; } # TASK NAME
of_all() { # NAME: its values in all threads
	local task

	for task in /proc/"$PID"/task/*; do
		field "${task##*/}" "$1"
	done | sort -u
}

workers() { # NAME: its values in the workers
	local task

	for task in /proc/"$PID"/task/*; do
		[[ $(cat "$task/comm") != xe-worker* ]] || field "${task##*/}" "$1"
	done | sort -u
}

# Files that are open for writing, but those of the run directory, devices, and the queues' RPS masks.
open_for_writing() {
	local fd file flags

	for fd in /proc/"$PID"/fd/*; do
		file=$(readlink "$fd")
		flags=$(sed -n 's/^flags:[ \t]*//p' "/proc/$PID/fdinfo/${fd##*/}" 2>/dev/null)
		[ $((0${flags:-0} & 3)) != 0 ] && [ -f "$fd" ] || continue
		case $file in
		anon_inode:* | /memfd:* | "$T"/run/* | "$T"/xegressd.*.log | */queues/rx-*/rps_cpus) ;;
		*) readlink /proc/$$/fd/* | grep -qxF "$file" || echo "$file" ;; # handed down by us
		esac
	done
}

without() { # CAPABILITY: how setpriv starts it as nobody
	local cap caps=-all

	for cap in $NEEDED perfmon; do
		[ "$cap" = "$1" ] || caps=$caps,+$cap
	done
	echo "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps $caps --ambient-caps $caps"
}

starts_not() { # TEXT COMMAND...: exit code 1 and one line of error, which says this
	local text=$1 rc=0

	shift
	on h "$@" "$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" >"$T/not.out" 2>&1 ||
		rc=$?
	cat "$T/not.out"
	[ $rc = 1 ] && [ "$(grep -c "error: " "$T/not.out")" = 1 ] && grep -q "$text" "$T/not.out"
}

flows() { # NAME
	check "$1: TCP" on c1 "$TCP_MANY" client -c 5 -u 30001 -d 30001 $SRV1 9001
	check "$1: UDP" on c2 "$UDP_SEND" -s 1-50 -r 2000 $SRV1 7001
}

topo_up
judge_start
serve_many w $SRV1 9001
serve_echo w $SRV1 7001
XE_WORKERS=$(($(nproc) > 1 ? 2 : 1)) # one CPU under QEMU
xe_start
PID=${PIDS[xegressd.$XE_RUN]}
# Where libxdp's dispatcher is used it needs programs by id.
grep -q 'attached plainly' "$T/xegressd.$XE_RUN.log" || LEFT=000000c000207000
for set in CapPrm CapEff; do
	same "control thread: $set" "$(field "$PID" $set)" $LEFT
	same "workers: $set" "$(workers $set)" $NONE
done
for set in CapInh CapBnd CapAmb; do
	same "all threads: $set" "$(of_all $set)" $NONE
done
same "nothing can be gained by another program" "$(of_all NoNewPrivs)" 1
case $(basename "$BUILD") in
*address* | *undefined* | *thread*) skip "system calls are filtered" "a sanitizer's build" ;;
*) same "system calls are filtered in all threads" "$(of_all Seccomp)" 2 ;;
esac
same "no file but ours is open for writing" "$(open_for_writing)" ""
carried_begin
flows "confined"
check "a port goes" xe_ctl port del vethc2
check "and comes" xe_ctl port add vethc2 inside allow $C2/32
check "rules change" xe_ctl rule add drop to 203.0.113.99
check "the safety net follows" eval '[ "$(on h nft list ruleset | grep -c 203.0.113.99)" -gt 0 ]'
flows "a port that came later"
carried_end "confined"
xe_conserve
xe_stop
xe_left_as_found

# What another user is to run has to be where he can get at it.
chmod 711 "$T"
mkdir "$T/bin"
cp "$BUILD/xegressd" "$BUILD/xegressctl" "$T/bin"
BUILD=$T/bin
chown -R 65534:65534 "$T/run"
ROOTS= # what nobody cannot have here
if [ "$(printf '%s\n' 6.2 "$(uname -r)" | sort -V | head -n 1)" = 6.2 ]; then
	XE_WRAP=$(without nothing)
	xe_start
	PID=${PIDS[xegressd.$XE_RUN]}
	same "as nobody" "$(of_all Uid | cut -f 1)" 65534
	same "control thread of nobody: CapEff" "$(field "$PID" CapEff)" 000000c000007000
	same "workers of nobody: CapEff" "$(workers CapEff)" $NONE
	carried_begin
	flows "as nobody"
	carried_end "as nobody"
	xe_conserve
	xe_stop
	xe_left_as_found
else # libbpf looks through all modules for what this kernel lacks
	ROOTS=1
	check "as nobody, on a kernel before 6.2: it says what it would need" eval '! on h $(without nothing) \
		"$BUILD/xegressd" -c "$T/xegress.yaml" --run-dir "$T/run" >"$T/not.out" 2>&1 &&
		grep -q "on a kernel before 6.2 CAP_SYS_ADMIN until it is up" "$T/not.out"'
fi

for cap in $NEEDED; do
	text="missing CAP_${cap^^}"
	# shellcheck disable=SC2046 # words
	if [ "$cap" = ipc_lock ]; then
		check "without $cap" starts_not "CAP_IPC_LOCK, or raise RLIMIT_MEMLOCK" \
			prlimit --memlock=65536:65536 $(without $cap)
	else
		check "without $cap" starts_not "$text" $(without $cap)
	fi
done
# What could be read at the start only would be refused with the first change.
chown -R 0:0 "$T/run"
echo 192.0.2.0/24 >"$T/deny.txt"
chown 65534 "$T/deny.txt"
chmod 600 "$T/deny.txt"
cp "$T/xegress.yaml" "$T/good.yaml"
echo "  - drop from @$T/deny.txt in eth0" >>"$T/xegress.yaml"
check "a deny list that only CAP_DAC_OVERRIDE reads" \
	starts_not "deny.txt: permission denied: it has mode 0600, owner uid 65534, .* uid 0 without CAP_DAC_OVERRIDE"
chmod 644 "$T/deny.txt"
cp "$T/xegress.yaml" "$T/with_list.yaml"
XE_WRAP=
XE_RULES="$XE_RULES
drop from @$T/deny.txt in eth0"
xe_start
chmod 600 "$T/deny.txt"
check "closed while the service runs: a change is refused" \
	eval '! xe_ctl apply "$T/with_list.yaml" 2>"$T/refused" && grep -q "deny.txt: permission denied: it has mode 0600" "$T/refused"'
same "and what was in force stays" "$(xe_ctl rule list | grep -c "deny.txt in eth0 (1 prefixes\?)")" 1
chmod 644 "$T/deny.txt"
check "open again: it is taken" xe_ctl apply "$T/with_list.yaml"
xe_stop
XE_RULES=${XE_RULES%$'\n'*}
cp "$T/good.yaml" "$T/xegress.yaml"
XE_WRAP="prlimit --memlock=65536:65536"
if [ -z "$ROOTS" ]; then
	chown -R 65534:65534 "$T/run"
	XE_WRAP="$XE_WRAP $(without nothing)"
fi
xe_start
flows "64 KiB of locked memory"
finish
