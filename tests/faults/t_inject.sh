#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Start and stop with an error at one system call each (inject.py); XE_INJECT runs of some thousand
# that there are (16; make check-long: 200), a fifth of them in a takeover. XE_INJECT_ONLY=CALL[:N],
# or with new/ or old/ before it, for one.
. "$(dirname "$0")/../netns/lib.sh"
xe_only
for need in strace bpftool conntrack; do
	command -v $need >/dev/null || skip_all "needs \`$need\`"
done
case $(basename "$BUILD") in
*address* | *undefined* | *thread*) skip_all "a sanitizer's own calls would fail, too" ;;
esac

topo_up
xe_conf >"$T/xegress.yaml"
mkdir "$T/run" "$T/work"
# `every`: few runs are to meet more than the first call of each kind.
runs=${XE_INJECT:-16}
every=$((runs < 200 ? 200 / runs : 1))
if "$PY" "$ROOT/tests/faults/inject.py" --netns "$ID-h" --build "$BUILD" --config "$T/xegress.yaml" \
	--run-dir "$T/run" --work "$T/work" --runs "$runs" --takeovers $(((runs + 4) / 5)) \
	--every $every --slow "$XE_SLOW" \
	${XE_INJECT_ONLY:+--only "$XE_INJECT_ONLY"} --limit $((10 * XE_SLOW)); then
	CHECKED=1
else
	FAILED=1
fi
exit $FAILED
