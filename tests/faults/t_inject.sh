#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# Start and stop with an error at one system call each (inject.py); XE_INJECT runs of some thousand
# that there are (20; make check-long: 200). XE_INJECT_ONLY=CALL[:N] for one.
. "$(dirname "$0")/../netns/lib.sh"
xe_only
command -v strace >/dev/null || skip_all "needs \`strace\`"
case $(basename "$BUILD") in
*address* | *undefined* | *thread*) skip_all "a sanitizer's own calls would fail, too" ;;
esac

topo_up
xe_conf >"$T/xegress.yaml"
mkdir "$T/run" "$T/work"
# `every`: few runs are to meet more than the first call of each kind.
runs=${XE_INJECT:-20}
every=$((runs < 200 ? 200 / runs : 1))
if "$PY" "$ROOT/tests/faults/inject.py" --netns "$ID-h" --build "$BUILD" --config "$T/xegress.yaml" \
	--run-dir "$T/run" --work "$T/work" --runs "$runs" --every $every \
	${XE_INJECT_ONLY:+--only "$XE_INJECT_ONLY"} --limit $((10 * XE_SLOW)); then
	CHECKED=1
else
	FAILED=1
fi
exit $FAILED
