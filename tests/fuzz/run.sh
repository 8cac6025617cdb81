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
flags="-std=gnu11 -g -O1 -pthread -fno-sanitize-recover=undefined"
# What all of them are linked with, compiled once.
make -s -j2 CC=clang BUILD="$out/build" \
	CFLAGS="$flags -fsanitize=fuzzer-no-link,address,undefined -MMD -MP" objects

objects=$(ls fastpath/*.c fastpath/*/*.c | sed "/^fastpath\/main/d; s#\(.*\)\.c\$#$out/build/obj/\1.o#")

for name in "$@"; do
	seeds=tests/fuzz/corpus/${name#fuzz_}
	mkdir -p "$out/corpus/$name"
	# What else a target is made of stands in its own head: ` * sources: ...`.
	more=$(sed -n 's/^ \* sources: //p' "tests/fuzz/$name.c")
	# shellcheck disable=SC2046,SC2086
	clang $flags -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Ifastpath -Iinclude -I"$out/build/gen" \
		"tests/fuzz/$name.c" $more $objects \
		-o "$out/$name" $libs
	echo "== $name, $seconds s"
	"$out/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="$out/$name-" "$out/corpus/$name" "$seeds"
done
