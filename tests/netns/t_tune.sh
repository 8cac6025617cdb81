#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# xegress-tune on real interfaces: check writes nothing, apply changes what it says and the service runs
# on it, undo leaves host and interfaces as they were found; also after a kill, after others' changes,
# after interfaces have gone. What is the whole machine's is tried on a copy (--root), huge pages apart.
. "$(dirname "$0")/lib.sh"
xe_only

TUNE=${XEGRESS_TUNE:-$BUILD/xegress-tune}
[ -x "$TUNE" ] || die "no $TUNE: run make"

# The sysfs a process sees belongs to the namespace in which it was mounted.
sysfs() { # COMMAND...: in h, with h's /sys
	on h unshare -m sh -c 'mount -t sysfs sysfs /sys && exec "$@"' sysfs "$@"
}

set_sysfs() { # FILE VALUE
	must sysfs sh -c "echo $2 >/sys/class/net/$1"
}

# All that apply may touch, as the kernel prints it.
snapshot() {
	sysfs sh -c 'cd /sys/class/net && grep -H . */threaded */queues/*/rps_cpus \
		*/queues/*/rps_flow_cnt */queues/*/xps_cpus 2>/dev/null | sort'
	on h cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/net/core/wmem_max
	for dev in vethc1 vethc2 eth0; do on h ethtool -l $dev; done
	cat /proc/sys/vm/nr_hugepages /sys/kernel/mm/transparent_hugepage/enabled
}

tune() { # OPTION... VERB: output in $T/tune.out, the audit in $T/tune.err
	on h "$TUNE" -c "$T/xegress.yaml" --run-dir "$T/run" "$@" >"$T/tune.out" 2>"$T/tune.err"
}

code() { # NAME WANTED OPTION... VERB
	local name=$1 wanted=$2 rc=0

	shift 2
	tune "$@" || rc=$?
	if [ $rc = "$wanted" ]; then
		pass "$name"
	else
		fail "$name" "exit $rc, wanted $wanted: $(tail -qn 2 "$T/tune.out" "$T/tune.err" | tr '\n' ' ')"
	fi
}

as_found() { # NAME
	same "$1" "$(snapshot | diff "$T/found" - | head -n 6 | tr '\n' ' ')" ""
}

[ "$(nproc)" -ge 2 ] || skip_all "one CPU: no mask would be wrong"
XE_EXTRA="workers: [1]"
XE_RULES="masquerade from $INSIDE out eth0 ports 20000-40000"
topo_up
# Uplink and container with four queues, and settings that nobody would recommend.
must on h ip link del eth0
must ip link add eth0 netns "$ID-h" numrxqueues 4 numtxqueues 4 type veth \
	peer name up0 netns "$ID-w" numrxqueues 4 numtxqueues 4
must on h ip addr add $EXT/24 dev eth0
must on w ip addr add $GW/24 dev up0
must on h ip link set eth0 up
must on w ip link set up0 up
must on h ip route add default via $GW
must on w ip route add $INSIDE via $EXT
set_sysfs eth0/queues/rx-1/rps_cpus 3
set_sysfs eth0/queues/rx-3/rps_cpus 1
set_sysfs eth0/queues/rx-3/rps_flow_cnt 64
set_sysfs vethc1/queues/rx-0/rps_cpus 3
must on h ethtool -K vethc2 gro on
set_sysfs vethc2/threaded 1
xe_conf >"$T/xegress.yaml"
mkdir -p "$T/run"
snapshot >"$T/found"

# ---- check
code "check: findings are exit code 1" 1 check
for stage in l4ports channels napi rps; do
	between "check: $stage finds what was set" "$(grep -c "^finding *$stage " "$T/tune.out")" 1 9
done
code "check --json" 1 --json check
same "check --json: every finding has its reason" \
	"$(json "$T/tune.out" "all(f['why'] for f in j['findings']) and not j['ok']")" true
same "check: all stages speak" "$(json "$T/tune.out" "len({f['stage'] for f in j['findings']})")" 13
as_found "check changes nothing"
same "check leaves no record" "$(ls "$T/run")" ""
chmod 755 "$T" && chmod 644 "$T/xegress.yaml"
install -m 755 "$TUNE" "$T/xegress-tune"
rc=0
on h setpriv --reuid 65534 --regid 65534 --clear-groups "$T/xegress-tune" -c "$T/xegress.yaml" \
	--run-dir "$T/run" check >"$T/tune.out" 2>&1 || rc=$?
same "check as nobody" $rc 1
between "check as nobody: sees channels" "$(grep -c '^finding *channels' "$T/tune.out")" 1 1
between "check as nobody: takes no other namespace's /sys for its own" \
	"$(grep -c 'shows another network namespace' "$T/tune.out")" 1 99
rc=0
on h unshare -m sh -c 'mount -o remount,ro,bind / 2>/dev/null; mount -o bind,ro /proc /proc &&
	exec "$@"' ro "$TUNE" -c "$T/xegress.yaml" --run-dir "$T/run" check >"$T/tune.out" 2>&1 || rc=$?
same "check with /proc mounted read-only" $rc 1
rc=0
on h setpriv --reuid 65534 --regid 65534 --clear-groups "$T/xegress-tune" -c "$T/xegress.yaml" \
	--run-dir "$T/run" apply >"$T/tune.out" 2>&1 || rc=$?
same "apply as nobody is refused" $rc 1
as_found "apply as nobody changes nothing"

# ---- apply, undo
code "apply" 0 apply
same "apply: an audit line a change" "$(grep -c 'audit: uid=0 .* from=.* to=' "$T/tune.err")" \
	"$(grep -c '^done ' "$T/tune.out")"
code "check after apply is content" 0 check
same "apply: channels" "$(on h ethtool -l eth0 | awk '/^RX:/ { n = $2 } END { print n }')" 1
same "apply: L4 ports" "$(on h cat /proc/sys/net/ipv4/ip_local_port_range)" "$(printf '40002\t60999')"
cp "$T/run/tune.json" "$T/first.json"
code "apply again" 0 apply
check "apply again: nothing changes, nor what was found" diff "$T/first.json" "$T/run/tune.json"
xe_start
check "the service carries on what was tuned" within 3000 on c1 ping -c 1 -W 1 $SRV1
on h ethtool -L eth0 rx 2 tx 2 >/dev/null 2>&1 # somebody's change, so that there is a finding
code "apply while the service runs leaves its queues alone" 1 apply
between "and says so" "$(grep -c '^busy *channels' "$T/tune.out")" 1 1
rc=0
on h "$TUNE" --run-dir "$T/run" check >"$T/tune.out" 2>&1 || rc=$?
same "check by the running service's own words" $rc 1
same "which knows its ports" "$(grep -cE '(napi) *(vethc1|vethc2|eth0)' "$T/tune.out")" 3
xe_stop
on h ethtool -L eth0 rx 1 tx 1 >/dev/null 2>&1
code "undo" 0 undo
as_found "undo: all as found"
same "undo: no record is left" "$(ls "$T/run" | grep -c tune.json)" 0
code "undo again has nothing to do" 0 undo

# ---- one stage, options
code "apply --stage" 0 --stage rps --rps 1 apply
same "--rps: the mask" "$(sysfs cat /sys/class/net/vethc1/queues/rx-0/rps_cpus)" 2
code "undo --stage of another one" 0 --stage napi undo
same "leaves it" "$(sysfs cat /sys/class/net/vethc1/queues/rx-0/rps_cpus)" 2
code "undo --stage" 0 --stage rps undo
as_found "one stage: as found"
code "huge pages" 0 --stage hugepages --hugepages $(($(cat /proc/sys/vm/nr_hugepages) + 2)) apply
code "huge pages: undo" 0 undo
as_found "huge pages as found"

# ---- killed in the middle
for ms in 1 2 3 4 5 6 7 8 10 12 15 20; do
	on h timeout -s KILL 0.0$(printf %02d $ms) "$TUNE" -c "$T/xegress.yaml" --run-dir "$T/run" apply \
		>/dev/null 2>&1
	tune undo || fail "undo after a kill at $ms ms" "$(tail -qn 2 "$T/tune.out" "$T/tune.err" | tr '\n' ' ')"
done
as_found "killed after 1 to 20 ms: undo finds the way back"
rm -f "$T/run/tune.json.new"

# ---- somebody else, and interfaces that go
code "apply for foreign changes" 0 apply
on h sysctl -q -w net.ipv4.ip_local_port_range="50000 60001"
code "undo: a foreign change is left" 1 undo
between "and named" "$(grep -c '^foreign *l4ports .*50000 60001' "$T/tune.out")" 1 1
same "it is still there" "$(on h cat /proc/sys/net/ipv4/ip_local_port_range)" \
	"$(printf '50000\t60001')"
code "undo --force" 0 --force undo
as_found "undo --force: as found"
code "apply before an interface goes" 0 apply
must on h ip link del vethc2
code "undo: what has gone is no failure" 0 undo
between "but said" "$(grep -c '^gone *napi .*vethc2' "$T/tune.out")" 1 1

# ---- what is bad
echo '{ "version": 1,' >"$T/run/tune.json"
code "a bad record: apply" 1 apply
code "a bad record: undo" 1 undo
between "a bad record: file and line" "$(grep -c 'run/tune.json:[0-9]*: ' "$T/tune.err")" 1 1
rm "$T/run/tune.json"
echo 'workers: [x]' >"$T/xegress.yaml"
code "a bad configuration" 1 check
same "a bad configuration: file and line" "$(sed "s#$T/##" "$T/tune.err")" \
	"xegress-tune: xegress.yaml:1: workers: expected a CPU number, got \`x\`"
code "an unknown stage" 2 --stage nonsense check
code "no verb" 2 --json
code "an unknown verb" 2 tune
code "explain" 0 explain
between "explain: every stage" "$(grep -c '^[a-z0-9]* - ' "$T/tune.out")" 13 13

# ---- the whole machine's settings, on a copy
F=$T/fake
mkdir -p "$F/sys/devices/system/cpu/cpu1/cpufreq" "$F/sys/kernel/mm/transparent_hugepage" \
	"$F/sys/class/net/eth0/device/msi_irqs" "$F/sys/kernel/irq/40" "$F/proc/irq/40"
echo 0-7 >"$F/sys/devices/system/cpu/online"
echo powersave >"$F/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"
echo "always madvise [never]" >"$F/sys/kernel/mm/transparent_hugepage/enabled"
echo 2 >"$F/sys/class/net/eth0/ifindex"
echo msix >"$F/sys/class/net/eth0/device/msi_irqs/40"
echo eth0-TxRx-0 >"$F/sys/kernel/irq/40/actions"
echo 0-7 >"$F/proc/irq/40/smp_affinity_list"
printf 'workers: [1]\nports: [{name: eth0, role: uplink}]\n' >"$T/xegress.yaml"
code "governor, pages, interrupts: check" 1 --root "$F" check
code "governor, pages, interrupts: apply" 0 --root "$F" apply
same "governor" "$(cat "$F/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor")" performance
same "interrupt on the worker's CPU" "$(cat "$F/proc/irq/40/smp_affinity_list")" 1
code "governor, pages, interrupts: undo" 0 --root "$F" undo
same "governor as found" "$(cat "$F/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor")" powersave
same "interrupt as found" "$(cat "$F/proc/irq/40/smp_affinity_list")" 0-7
[ $FAILED -eq 0 ]
