#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh SECONDS [NAME...] - build the libFuzzer targets (clang, ASan, UBSan) and run each for SECONDS
# from its seed corpus. New inputs go to BUILD/fuzz/corpus, never into the tree. Exit 1 on a finding;
# the input that found it lies in BUILD/fuzz/.
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
seconds=${1:-60}
shift || true
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')
out=$BUILD/fuzz
mkdir -p "$out"
libs=$(make -s libs)
make -s "$BUILD/gen/steer.skel.h" "$BUILD/gen/dispatcher.skel.h"

for name in "$@"; do
	seeds=tests/fuzz/corpus/${name#fuzz_}
	mkdir -p "$out/corpus/$name"
	# What else a target is made of stands in its own head: ` * sources: ...`.
	more=$(sed -n 's/^ \* sources: //p' "tests/fuzz/$name.c")
	# shellcheck disable=SC2046,SC2086
	clang -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -Ifastpath -Iinclude -I"$BUILD/gen" \
		"tests/fuzz/$name.c" $more $(ls fastpath/*.c fastpath/*/*.c | grep -v '^fastpath/main.c$') \
		-o "$out/$name" -pthread $libs
	echo "== $name, $seconds s"
	"$out/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="$out/$name-" "$out/corpus/$name" "$seeds"
done
