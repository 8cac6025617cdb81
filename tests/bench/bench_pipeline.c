// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * bench_pipeline.c - what a packet costs the worker: xe_pipeline_poll() over rings in memory.
 *
 * One scenario a run, one JSON object on stdout; tests/bench/pipeline.py runs the whole set and
 * makes the table. Per packet: the median over repetitions of the time in xe_pipeline_poll(), then
 * the same once more with the time of each stage (pipe_stage.h). With --callgrind nothing is timed:
 * `valgrind --tool=callgrind --toggle-collect=measured_poll` counts the instructions.
 *
 * What is not in the figures: the kernel's part (system calls, its ring ends), the copy into the
 * frame, and unless --cold is given the cache misses on it: the bench has just written its headers.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/insum.h"
#include "pipe_flows.h"
#include "pipe_stage.h"

/* Flows that come and go in the miss scenario beside the live ones. */
#define FRESH 32768u
/* The service's default table; what a hit costs depends on it, for two buckets of a small table
 * share a line of the TLB. */
#define CAPACITY_MIN 1048576u
#define REPS_MAX     101
/* Packets put on an rx ring before the pipeline runs: a few bursts wait, as under load. */
#define FEED_MAX 256u

enum mode { MODE_HIT, MODE_MISS, MODE_RECORDED };
static const char *const mode_name[] = {"hit", "miss", "recorded"};

struct bench {
	uint32_t sessions, rules, idle_ports, reps, packets, l4_ports;
	enum mode mode;
	bool random, cold, callgrind;
	const char *file;
	struct flows flows;
	struct recording rec;
	struct rig *rig;
	uint64_t ticks, overhead; /* in xe_pipeline_poll(), while this repetition lasts */
	uint64_t rng;
	uint32_t next; /* flow, or packet of the recording */
	double tick_per_ns;
};

struct result {
	double ns[REPS_MAX], end_ns, stage_ns[STAGE_CNT], rest_ns, staged_ns;
	uint64_t packets;
};

/* Apart, so that callgrind can switch itself on and off here. */
static __attribute__((noinline)) void measured_poll(struct bench *b)
{
	uint64_t start;

	if (b->callgrind) {
		xe_pipeline_poll(b->rig->lane);
		return;
	}
	start = tick_now();
	xe_pipeline_poll(b->rig->lane);
	b->ticks += tick_now() - start - b->overhead;
}

static void run_waiting(struct bench *b)
{
	while (rig_waiting(b->rig)) {
		measured_poll(b);
		rig_drain(b->rig);
	}
}

static void refill(struct bench *b)
{
	xe_pipeline_poll(b->rig->lane); /* finds nothing, gives frames to the fill rings */
	rig_drain(b->rig);
}

/* ---- the live flows ---- */

static void open_flow(struct bench *b, uint32_t i, uint8_t tcp_flags)
{
	struct rig_packet pkt;

	flow_route(&b->flows, b->rig, i);
	flow_packet(&b->flows, b->rig, i, XE_DIR_OUT, tcp_flags, &pkt);
	rig_feed(b->rig, RIG_INSIDE, &pkt, false);
}

static bool learn_ext(struct bench *b, uint32_t i)
{
	const struct xe_session *s = flow_session(&b->flows, b->rig, i);

	if (!s) {
		fprintf(stderr, "flow %u has no session\n", i);
		return false;
	}
	flow_learn_ext(&b->flows, b->rig, i, s);
	return true;
}

/* The second and third segment of the handshakes of flows first to end - 1. */
static void establish(struct bench *b, uint32_t first, uint32_t end, enum xe_dir dir, uint8_t flags)
{
	struct rig_packet pkt;

	for (uint32_t k = first; k < end; k++) {
		flow_packet(&b->flows, b->rig, k, dir, flags, &pkt);
		rig_feed(b->rig, dir == XE_DIR_OUT ? RIG_INSIDE : RIG_UPLINK, &pkt, false);
	}
	while (rig_waiting(b->rig))
		refill(b);
}

static bool open_flows(struct bench *b)
{
	for (uint32_t i = 0; i < b->sessions;) {
		uint32_t first = i;

		refill(b);
		for (; i < b->sessions && i - first < FEED_MAX; i++)
			open_flow(b, i, XE_TH_SYN);
		while (rig_waiting(b->rig))
			refill(b);
		for (uint32_t k = first; k < i; k++)
			if (!learn_ext(b, k))
				return false;
		if (b->flows.proto != IPPROTO_TCP)
			continue;
		establish(b, first, i, XE_DIR_BACK, XE_TH_SYN | XE_TH_ACK);
		establish(b, first, i, XE_DIR_OUT, XE_TH_ACK);
	}
	return true;
}

/* The next hops of all flows there will be, kept though no session uses them. */
static void keep_routes(struct bench *b)
{
	for (uint32_t i = 0; i < FLOW_HOPS; i++)
		xe_nexthop_ref(&b->rig->lane->nexthops, flow_route(&b->flows, b->rig, i));
}

/* ---- rounds ---- */

static uint32_t next_flow(struct bench *b)
{
	if (!b->random)
		return b->next++ % b->sessions;
	/* xorshift64* (Vigna): a period that 4M flows do not exhaust, and no memory */
	b->rng ^= b->rng >> 12;
	b->rng ^= b->rng << 25;
	b->rng ^= b->rng >> 27;
	return (uint32_t)((b->rng * 0x2545f4914f6cdd1dull >> 32) * b->sessions >> 32);
}

static uint32_t room(const struct bench *b, uint16_t port)
{
	uint32_t n = rig_room(b->rig, port);

	return n < FEED_MAX ? n : FEED_MAX;
}

static void feed_hits(struct bench *b)
{
	uint32_t n = room(b, RIG_INSIDE), back = room(b, RIG_UPLINK);
	struct rig_packet pkt;

	for (n = n < back ? n : back; n; n--) {
		flow_packet(&b->flows, b->rig, next_flow(b), XE_DIR_OUT, XE_TH_ACK, &pkt);
		rig_feed(b->rig, RIG_INSIDE, &pkt, b->cold);
		flow_packet(&b->flows, b->rig, next_flow(b), XE_DIR_BACK, XE_TH_ACK, &pkt);
		rig_feed(b->rig, RIG_UPLINK, &pkt, b->cold);
	}
}

/* Until a ring has no more frames, in the recording's order. */
static void feed_recording(struct bench *b)
{
	uint32_t n[2] = {room(b, RIG_INSIDE), room(b, RIG_UPLINK)};

	for (;;) {
		uint32_t i = b->next % b->rec.cnt;
		enum xe_dir dir = b->rec.dirs[i];

		if (!n[dir]--)
			return;
		rig_feed(b->rig, dir == XE_DIR_OUT ? RIG_INSIDE : RIG_UPLINK, &b->rec.packets[i],
			 b->cold);
		b->next++;
	}
}

static void run_hits(struct bench *b, uint32_t packets)
{
	uint64_t end = b->rig->lane->cnt.rx_packets + packets;

	while (b->rig->lane->cnt.rx_packets < end) {
		refill(b);
		if (b->mode == MODE_RECORDED)
			feed_recording(b);
		else
			feed_hits(b);
		run_waiting(b);
	}
}

/* FRESH new flows come, then end again. Returns the ns that one end took. */
static double run_misses(struct bench *b, uint32_t packets)
{
	struct xe_sessions *t = &b->rig->lane->sessions;
	uint64_t start;

	if (packets > FRESH)
		packets = FRESH;
	for (uint32_t done = 0; done < packets;) {
		struct rig_packet pkt;

		refill(b);
		for (uint32_t n = room(b, RIG_INSIDE); n && done < packets; n--, done++) {
			flow_packet(&b->flows, b->rig, b->sessions + done, XE_DIR_OUT, XE_TH_SYN,
				    &pkt);
			rig_feed(b->rig, RIG_INSIDE, &pkt, b->cold);
		}
		run_waiting(b);
	}
	start = tick_now();
	for (uint32_t i = b->sessions; i < b->sessions + packets; i++)
		xe_flow_end(b->rig->lane, &t->slots[i]);
	return (double)(tick_now() - start) / (b->callgrind ? 1 : b->tick_per_ns) / packets;
}

static double run_rep(struct bench *b, struct result *res)
{
	uint64_t before = b->rig->lane->cnt.rx_packets;

	b->ticks = 0;
	if (b->mode == MODE_MISS)
		res->end_ns = run_misses(b, b->packets);
	else
		run_hits(b, b->packets);
	res->packets = b->rig->lane->cnt.rx_packets - before;
	return b->callgrind ? 0 : (double)b->ticks / b->tick_per_ns / (double)res->packets;
}

static void run_stages(struct bench *b, struct result *res)
{
	double sum = 0, all;

	memset(stage_ticks, 0, sizeof(stage_ticks));
	memset(stage_calls, 0, sizeof(stage_calls));
	stage_timing = true;
	all = run_rep(b, res);
	stage_timing = false;
	for (int i = 0; i < STAGE_CNT; i++) {
		double ticks = (double)stage_ticks[i] - (double)(stage_calls[i] * b->overhead);

		/* a reading inside another costs that one two */
		if (i == STAGE_FLOW)
			ticks -= (double)stage_ticks[STAGE_FLOW_NEW] +
				 (double)(stage_calls[STAGE_FLOW_NEW] * b->overhead);
		res->stage_ns[i] = ticks / b->tick_per_ns / (double)res->packets;
		sum += res->stage_ns[i];
		all -= (double)(stage_calls[i] * b->overhead) * 2 / b->tick_per_ns /
		       (double)res->packets;
	}
	res->staged_ns = all;
	res->rest_ns = all > sum ? all - sum : 0;
}

/* ---- a run ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_result(const struct bench *b, struct result *res)
{
	qsort(res->ns, b->reps, sizeof(res->ns[0]), by_value);
	printf("{\"mode\": \"%s\", \"sessions\": %u, \"rules\": %u, \"ip\": %d, \"proto\": \"%s\", "
	       "\"size\": \"%s\", \"order\": \"%s\", \"cold\": %s, \"idle_ports\": %u, "
	       "\"packets\": %llu",
	       mode_name[b->mode], b->rig->lane->sessions.cnt, b->rules, b->flows.v6 ? 6 : 4,
	       b->flows.proto == IPPROTO_TCP ? "tcp" : "udp", b->flows.imix ? "imix" : "64",
	       b->random ? "random" : "round-robin", b->cold ? "true" : "false", b->idle_ports,
	       (unsigned long long)res->packets);
	if (!b->callgrind) {
		printf(", \"reps\": %u, \"ns\": %.2f, \"ns_min\": %.2f, \"ns_max\": %.2f", b->reps,
		       res->ns[b->reps / 2], res->ns[0], res->ns[b->reps - 1]);
		if (b->mode == MODE_MISS)
			printf(", \"end_ns\": %.1f", res->end_ns);
		printf(", \"stages\": {");
		for (int i = 0; i < STAGE_CNT; i++)
			printf("\"%s\": %.2f, ", stage_name[i], res->stage_ns[i]);
		printf("\"rest\": %.2f}", res->rest_ns);
	}
	printf("}\n");
}

static bool prepare(struct bench *b)
{
	uint32_t wanted = b->sessions + FRESH, capacity = CAPACITY_MIN;

	b->rng = 88172645463325252ull;
	if (b->callgrind)
		xe_insum_select("scalar"); /* the count must not depend on the CPU */
	else
		xe_insum_init();
	if (!b->callgrind) {
		b->tick_per_ns = tick_per_ns();
		b->overhead = tick_overhead();
	}
	if (b->mode == MODE_RECORDED && !recording_read(&b->rec, b->file))
		return false;
	b->rig = rig_open(wanted > capacity ? wanted : capacity, b->rules, b->idle_ports,
			  b->l4_ports, b->flows.v6);
	b->flows.ext = calloc(b->sessions + 1, sizeof(*b->flows.ext));
	if (!b->rig || !b->flows.ext)
		return false;
	if (b->mode == MODE_RECORDED)
		return recording_open_flows(&b->rec, b->rig);
	if (b->mode == MODE_MISS)
		keep_routes(b);
	return open_flows(b);
}

static int run(struct bench *b)
{
	struct result res = {};
	int err;

	if (!prepare(b))
		return 1;
	if (!b->callgrind)
		run_rep(b, &res); /* warms up */
	for (uint32_t i = 0; i < b->reps; i++)
		res.ns[i] = run_rep(b, &res);
	if (!b->callgrind)
		run_stages(b, &res);
	print_result(b, &res);
	err = rig_check(b->rig);
	rig_close(b->rig);
	free(b->flows.ext);
	recording_free(&b->rec);
	return err;
}

static const struct option options[] = {
	{"sessions", required_argument, NULL, 's'},
	{"rules", required_argument, NULL, 'r'},
	{"mode", required_argument, NULL, 'm'},
	{"file", required_argument, NULL, 'f'},
	{"imix", no_argument, NULL, 'i'},
	{"tcp", no_argument, NULL, 't'},
	{"ipv6", no_argument, NULL, '6'},
	{"random", no_argument, NULL, 'o'},
	{"cold", no_argument, NULL, 'c'},
	{"idle-ports", required_argument, NULL, 'p'},
	{"reps", required_argument, NULL, 'n'},
	{"packets", required_argument, NULL, 'k'},
	{"callgrind", no_argument, NULL, 'g'},
	{"l4-ports", required_argument, NULL, 'l'},
	{},
};

static bool take_option(struct bench *b, int opt)
{
	uint32_t n = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;

	switch (opt) {
	case 's':
		b->sessions = n;
		return n > 0 && n <= 4194304;
	case 'r':
		b->rules = n;
		return n > 0 && n <= XE_MAX_RULES;
	case 'n':
		b->reps = n;
		return n > 0 && n <= REPS_MAX;
	case 'k':
		b->packets = n;
		return n > 0;
	case 'p':
		b->idle_ports = n;
		return n <= RIG_PORTS_MAX - RIG_FIRST_IDLE;
	case 'l':
		b->l4_ports = n;
		return n > 0 && n <= 64512; /* 1024 to 65535 */
	case 'f':
		b->file = optarg;
		return true;
	case 'i':
		b->flows.imix = true;
		return true;
	case 't':
		b->flows.proto = IPPROTO_TCP;
		return true;
	case '6':
		b->flows.v6 = true;
		return true;
	case 'o':
		b->random = true;
		return true;
	case 'c':
		b->cold = true;
		return true;
	case 'g':
		b->callgrind = true;
		return true;
	case 'm':
		for (int i = MODE_HIT; i <= MODE_RECORDED; i++)
			if (!strcmp(optarg, mode_name[i])) {
				b->mode = (enum mode)i;
				return true;
			}
		return false;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct bench b = {.sessions = 1000,
			  .rules = 1,
			  .reps = 9,
			  .packets = 200000,
			  .flows.proto = IPPROTO_UDP};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(&b, opt))
			goto usage;
	if (optind < argc || (b.mode == MODE_RECORDED && !b.file))
		goto usage;
	if (b.callgrind)
		b.reps = 1;
	return run(&b);
usage:
	fprintf(stderr,
		"usage: %s [--mode hit|miss|recorded] [--file PCAP] [--sessions N]\n"
		"\t[--rules N] [--imix] [--tcp] [--random] [--cold] [--idle-ports N]\n"
		"\t[--reps N] [--packets N] [--l4-ports N] [--callgrind]\n",
		argv[0]);
	return 2;
}
