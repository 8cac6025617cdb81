# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# xegress. `make help` lists the targets.

VERSION := 0.1.0
BUILD   ?= build
SAN     ?=
DEBUG   ?=
DESTDIR ?=
PREFIX  ?= /usr
UNITDIR ?= $(PREFIX)/lib/systemd/system
CC      ?= gcc
CLANG   ?= clang

# Sanitizer builds stand beside the plain one: SAN=address,undefined -> build-address-undefined.
comma := ,
ifneq ($(SAN),)
BUILD := build-$(subst $(comma),-,$(SAN))
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
DEBUG := 1
endif
# One name however it is written: what an object depends on is kept under it.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))

CPPFLAGS += -D_GNU_SOURCE -DXE_VERSION='"$(VERSION)"' -Ifastpath -Iinclude -I$(BUILD)/gen
ifneq ($(DEBUG),)
CPPFLAGS += -DXE_DEBUG
endif
CFLAGS   += -std=gnu11 -O2 -g -Wall -Wextra -Werror -pthread -MMD -MP $(SANFLAGS)
LDFLAGS  += -pthread $(SANFLAGS)
LIBS_D   := -lxdp -lbpf -lelf -lz -lnuma -lmnl -lnetfilter_conntrack -lnftables -ljansson -lyaml \
	    -lsystemd -lcap-ng -lseccomp -lm
LIBS_CTL := -ljansson
LIBS_TUNE := -ljansson -lyaml
# A slot of the stack for each variable: where they share one, the verifier refuses to load without
# CAP_PERFMON (a scalar over a spilled pointer). 488 of 512 bytes are in use.
BPFFLAGS := -target bpf -O2 -g -mcpu=v3 -Wall -Werror -Iinclude -Ibpf \
	    -mllvm -no-stack-coloring -mllvm -no-stack-slot-sharing \
	    -I/usr/include/$(shell uname -m)-linux-gnu

DAEMON_SRC := $(wildcard fastpath/*.c fastpath/*/*.c)
CTL_SRC    := $(wildcard ctl/*.c)
TUNE_SRC   := $(wildcard tools/tune/*.c)
DAEMON_OBJ := $(DAEMON_SRC:%.c=$(BUILD)/obj/%.o)
CTL_OBJ    := $(CTL_SRC:%.c=$(BUILD)/obj/%.o)
TUNE_OBJ   := $(TUNE_SRC:%.c=$(BUILD)/obj/%.o)
# what the tests link: all of the service but its main()
LIB_OBJ    := $(filter-out $(BUILD)/obj/fastpath/main.o,$(DAEMON_OBJ))
SKEL       := $(BUILD)/gen/steer.skel.h $(BUILD)/gen/dispatcher.skel.h

UNIT_SRC   := $(wildcard tests/unit/test_*.c)
UNIT_BIN   := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)
UNIT_FIX   := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/unit/*fixture*.c))
BPFTEST    := $(if $(wildcard tests/bpf/*.c),$(BUILD)/tests/bpf/test_steer)
TOOL_SRC   := $(wildcard tests/tools/*.c)
TOOL_BIN   := $(TOOL_SRC:tests/tools/%.c=$(BUILD)/tests/tools/%)
JUDGE_SRC  := $(wildcard tests/conformance/soak*.c)
JUDGE_BIN  := $(BUILD)/tests/conformance/soak
DRIVER_SRC := $(wildcard tests/netns/*_driver.c)
DRIVER_BIN := $(DRIVER_SRC:tests/netns/%.c=$(BUILD)/tests/%)
BENCH_SRC  := $(wildcard tests/bench/bench_*.c)
BENCH_BIN  := $(BENCH_SRC:tests/bench/%.c=$(BUILD)/tests/bench/%)

# load generators and the peers measured beside us (tests/bench/README.md)
LOAD_SRC   := $(filter-out load.c latency.c %.bpf.c,$(notdir $(wildcard tests/bench/load/*.c)))
LOAD_BIN   := $(LOAD_SRC:%.c=$(BUILD)/tests/bench/%)
LOAD_OBJ   := $(addprefix $(BUILD)/obj/tests/bench/load/,load.o latency.o)
PEER_SRC   := $(filter-out %.bpf.c,$(notdir $(wildcard tests/bench/peers/*.c)))
PEER_BIN   := $(PEER_SRC:%.c=$(BUILD)/tests/bench/%)

.PHONY: all help docs deps demo check check-san check-long tests bench bench-build bench-pipeline \
	fuzz libs objects lint format install \
	clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/xegressd $(BUILD)/xegressctl $(BUILD)/xegress-tune

help:
	@echo "make              build/xegressd, build/xegressctl, build/xegress-tune"
	@echo "make demo         install what is missing, build, show the main job on real traffic (root)"
	@echo "make check        install what is missing, build, all tests (root)"
	@echo "make check-san    the same tests with AddressSanitizer and UBSan (root)"
	@echo "make check-long   TSan, fuzzers, and the dispatcher under other kernels (root)"
	@echo "make bench        beside its peers: ROUNDS=5 SECONDS=2 ONLY=workload,... CONTENDERS=..."
	@echo "                  QUICK=1, BUDGET=minutes; docs/benchmarks.md (root)"
	@echo "make fuzz         libFuzzer targets, FUZZ_SECONDS=60 each"
	@echo "make bench-pipeline  ns and instructions per packet and stage, in memory (5 minutes)"
	@echo "make docs         docs/reasons.md from include/xegress/reason.h, docs/conformance.md from the suite"
	@echo "make install      DESTDIR= PREFIX=/usr"
	@echo "make lint format  clang-format (check, apply), shell syntax"
	@echo "make deps clean"
	@echo "SAN=address,undefined, DEBUG=1, BUILD=folder, V=1"

ifeq ($(V),)
Q := @
say = @echo "  $(1)	$(2)"
endif

deps:
	$(Q)tools/deps.sh build

# ---- the programs ----

$(BUILD)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h include/xegress/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPFFLAGS) -c $< -o $@

$(BUILD)/gen/%.skel.h: $(BUILD)/gen/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)bpftool gen skeleton $< name $*_bpf > $@

$(BUILD)/obj/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/xegressd: $(DAEMON_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_D) -o $@

$(BUILD)/xegressctl: $(CTL_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_CTL) -o $@

$(BUILD)/xegress-tune: $(TUNE_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_TUNE) -o $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- tests ----

# the host's tuning is no part of the service
$(BUILD)/tests/unit/test_tune: $(BUILD)/obj/tests/unit/test_tune.o \
		$(filter-out $(BUILD)/obj/tools/tune/main.o,$(TUNE_OBJ))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_TUNE) -lcmocka -o $@

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(UNIT_FIX) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_D) -lcmocka -o $@

$(BUILD)/tests/bpf/test_steer: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/bpf/*.c)) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_D) -lcmocka -o $@

$(BUILD)/tests/tools/%: $(BUILD)/obj/tests/tools/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@

$(JUDGE_BIN): $(JUDGE_SRC:%.c=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@

$(BUILD)/tests/%_driver: $(BUILD)/obj/tests/netns/%_driver.o $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_D) -o $@

# The pipeline's stages, timed by the wrappers of tests/bench/pipe_stage.c.
PIPE_WRAPPED := xe_rx xe_parse xe_flow xe_flow_new xe_nat xe_merge xe_csum xe_fwd xe_tx xe_tx_flush xe_xsk_refill
PIPE_OBJ     := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/bench/pipe_*.c))
$(BUILD)/tests/bench/bench_pipeline: $(BUILD)/obj/tests/bench/bench_pipeline.o $(PIPE_OBJ) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(PIPE_WRAPPED:%=-Wl,--wrap=%) $^ $(LIBS_D) -o $@

$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_D) -o $@

$(BUILD)/gen/%.bpf.o: tests/bench/load/%.bpf.c $(wildcard tests/bench/load/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPFFLAGS) -c $< -o $@

$(BUILD)/gen/%.bpf.o: tests/bench/peers/%.bpf.c $(wildcard tests/bench/peers/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPFFLAGS) -c $< -o $@

$(BUILD)/obj/tests/bench/load/live_gen.o: $(BUILD)/gen/live_gen.skel.h
$(BUILD)/obj/tests/bench/peers/peer_nat.o: $(BUILD)/gen/tc_nat.skel.h $(BUILD)/gen/xdp_nat.skel.h
$(BUILD)/obj/tests/bench/peers/hook_price.o: $(BUILD)/gen/hook_price.skel.h

$(LOAD_BIN): $(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/load/%.o $(LOAD_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -lbpf -o $@

$(PEER_BIN): $(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/peers/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -lbpf -o $@

# Not only what they run: a bench that is left behind by the code it measures is found here.
tests: all $(UNIT_BIN) $(BPFTEST) $(TOOL_BIN) $(JUDGE_BIN) $(DRIVER_BIN) $(BENCH_BIN) $(LOAD_BIN) $(PEER_BIN)

bench-build: all $(BENCH_BIN) $(LOAD_BIN) $(PEER_BIN)

bench: deps
	$(Q)tools/deps.sh bench
	$(Q)$(MAKE) --no-print-directory -j2 bench-build
	$(Q)BUILD=$(BUILD) XE_BENCH_CFLAGS="$(CFLAGS)" /usr/bin/python3 tests/bench/bench.py \
		$(if $(QUICK),--quick) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(CONTENDERS),--contenders $(CONTENDERS)) $(if $(BUDGET),--budget $(BUDGET))

bench-pipeline: deps
	$(Q)tools/deps.sh check
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/bench/bench_pipeline
	$(Q)tests/bench/pipeline.py $(BUILD)

demo: deps
	$(Q)tools/deps.sh demo
	$(Q)$(MAKE) --no-print-directory all $(TOOL_BIN)
	$(Q)BUILD=$(BUILD) tools/demo.sh

check: deps
	$(Q)tools/deps.sh check
	$(Q)$(MAKE) --no-print-directory -j2 tests
	$(Q)BUILD=$(BUILD) tests/run.sh

check-san: deps
	$(Q)tools/deps.sh check
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined -j2 tests
	$(Q)XE_SLOW=3 BUILD=build-address-undefined tests/run.sh

check-long: deps
	$(Q)tools/deps.sh check
	$(Q)tools/deps.sh long
	$(Q)$(MAKE) --no-print-directory -j2 tests
	$(Q)BUILD=$(BUILD) tests/run_long.sh

# The service but its main(), for what links it its own way (tests/fuzz/run.sh).
objects: $(LIB_OBJ)

FUZZ_SECONDS ?= 60
# What xegressd is linked with, for those who build it their own way.
libs:
	@echo $(LIBS_D)

fuzz: deps
	$(Q)BUILD=$(BUILD) tests/fuzz/run.sh $(FUZZ_SECONDS)

# ---- care ----

FORMATTED := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
lint:
	$(Q)tools/deps.sh lint
	$(Q)clang-format --dry-run -Werror $(FORMATTED)
	$(Q)tools/reasons_doc.sh | diff - docs/reasons.md || { echo "docs/reasons.md: make docs"; exit 1; }
	$(Q)tests/conformance/run.py --docs | diff - docs/conformance.md || { \
		echo "docs/conformance.md: make docs"; exit 1; }
	$(Q)for f in $$(git ls-files '*.sh'); do bash -n $$f || exit 1; done

format:
	$(Q)clang-format -i $(FORMATTED)

docs:
	$(Q)tools/reasons_doc.sh > docs/reasons.md
	$(Q)tests/conformance/run.py --docs > docs/conformance.md

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/doc/xegress \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)/etc/xegress
	install -m 755 $(BUILD)/xegressd $(BUILD)/xegressctl $(BUILD)/xegress-tune \
		$(DESTDIR)$(PREFIX)/sbin/
	install -m 644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -m 644 README.md docs/*.md $(DESTDIR)$(PREFIX)/share/doc/xegress/
	install -d $(DESTDIR)$(UNITDIR)
	for unit in tools/packaging/xegress.*; do \
		sed 's,/usr/sbin/,$(PREFIX)/sbin/,' $$unit > $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; \
	done
	install -m 644 ctl/completion/bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/xegressctl

clean:
	rm -rf build build-*
