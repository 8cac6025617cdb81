// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * live_gen - frames without an skb, several million a second, out of one veth: what arrives at its
 * other end is what a NIC's driver would hand to XDP and the kernel. The kernel makes the frames
 * (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES), live_gen.bpf.c fills them.
 *
 *   live_gen -i IFACE --dst-mac MAC --src A --dst B --sport P[-P] --dport P[-P] [OPTION...]
 *   live_gen -i IFACE --dst-mac MAC --tuples FILE [OPTION...]
 *     -i IFACE        an interface of this namespace; frames leave by it
 *     --tuples FILE   flows, one a line: `src dst sport dport` (IPv4); # and empty lines are
 * skipped. With ranges, each pair of source and destination L4 port is a flow -l BYTES        frame
 * without checksum as interfaces count, 60 (default, the 64 of the wire) to 3520 (the kernel's
 * limit for test frames), and what IFACE's peer takes -r PPS          0 (default): as fast as it
 * goes; at a rate, bursts of a millisecond -t SEC          (default 5; 0: until SIGTERM)
 *     --proto udp|tcp (default udp; tcp: an ACK with data, always the same TCP sequence number)
 *     --batch N       frames between two flushes, 1 to 256 (default 64, a NAPI budget)
 *     -g ID           generator id, as udp_gen
 *
 * {"sent", "sent_bytes" (frames), "errors", "seconds", "flows", "accepted", "refused"}. accepted
 * and refused are IFACE's own counters (xdp_xmit and its errors): what the other end's ring took,
 * and what found it full, as a NIC whose ring is full drops; errors counts what could not be sent.
 *
 * The other end has to take frames: `ethtool -K OTHER_END gro on` in its namespace (or a native XDP
 * program there). With GRO on they come in by NAPI, generic XDP sees them; everything up to the
 * socket runs in this process's context unless the other end has threaded NAPI or RPS.
 */
#include "live_gen.h"

#include "live_gen.skel.h"
#include "load.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <bpf/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FRAME_MIN 60        /* Ethernet's 64 less its checksum */
#define FRAME_MAX 3520      /* page less XDP headroom and skb_shared_info */
#define CALL_MAX  (1 << 15) /* frames by one system call: some 10 ms, so the end is noticed */

enum { OPT_MAC = 256, OPT_SRC, OPT_DST, OPT_SPORT, OPT_DPORT, OPT_TUPLES, OPT_PROTO, OPT_BATCH };

static struct {
	const char *dev, *tuples;
	uint8_t mac[ETH_ALEN];
	union sock_addr src, dst;
	struct l4_range sport, dport;
	uint32_t len, batch, gen;
	uint64_t rate;
	double seconds;
	bool has_mac, tcp;
} opt = {.len = FRAME_MIN, .batch = 64, .seconds = 5};

static struct live_flow *flows;
static uint32_t flow_cnt;
static uint8_t frame[FRAME_MAX];
static uint64_t error_cnt;

static int usage(void)
{
	fprintf(stderr, "usage: live_gen -i IFACE --dst-mac MAC {--src A --dst B --sport P[-P] "
			"--dport P[-P] | --tuples FILE}\n\t[-l BYTES] [-r PPS] [-t SEC] "
			"[--proto udp|tcp] [--batch N] [-g ID]\n");
	return 2;
}

static void parse_mac(const char *text)
{
	uint8_t *m = opt.mac;
	int len = 0;

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%n", &m[0], &m[1], &m[2], &m[3], &m[4],
		   &m[5], &len) != 6 ||
	    text[len]) {
		fprintf(stderr, "--dst-mac: `%s` is not an Ethernet address\n", text);
		exit(2);
	}
	opt.has_mac = true;
}

static int parse_one(int c)
{
	switch (c) {
	case 'i':
		opt.dev = optarg;
		break;
	case 'l':
		opt.len = (uint32_t)xe_arg_number(optarg, 'l', FRAME_MIN, FRAME_MAX);
		break;
	case 'r':
		opt.rate = xe_arg_number(optarg, 'r', 0, NS_PER_S);
		break;
	case 't':
		opt.seconds = xe_arg_seconds(optarg);
		break;
	case 'g':
		opt.gen = (uint32_t)xe_arg_number(optarg, 'g', 0, WIRE_GEN_CNT - 1);
		break;
	case OPT_MAC:
		parse_mac(optarg);
		break;
	case OPT_SRC:
		opt.src = xe_arg_addr(optarg, 's');
		break;
	case OPT_DST:
		opt.dst = xe_arg_addr(optarg, 'd');
		break;
	case OPT_SPORT:
		opt.sport = xe_arg_range(optarg, 'S');
		break;
	case OPT_DPORT:
		opt.dport = xe_arg_range(optarg, 'D');
		break;
	case OPT_TUPLES:
		opt.tuples = optarg;
		break;
	case OPT_BATCH:
		opt.batch = (uint32_t)xe_arg_number(optarg, 'b', 1, 256);
		break;
	case OPT_PROTO:
		opt.tcp = !strcmp(optarg, "tcp");
		return opt.tcp || !strcmp(optarg, "udp") ? 0 : -1;
	default:
		return -1;
	}
	return 0;
}

static int parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"dst-mac", required_argument, NULL, OPT_MAC},
		{"src", required_argument, NULL, OPT_SRC},
		{"dst", required_argument, NULL, OPT_DST},
		{"sport", required_argument, NULL, OPT_SPORT},
		{"dport", required_argument, NULL, OPT_DPORT},
		{"tuples", required_argument, NULL, OPT_TUPLES},
		{"proto", required_argument, NULL, OPT_PROTO},
		{"batch", required_argument, NULL, OPT_BATCH},
		{0},
	};
	bool ranges;
	int c;

	opt.gen = (uint32_t)getpid() % WIRE_GEN_CNT;
	while ((c = getopt_long(argc, argv, "i:l:r:t:g:", longs, NULL)) != -1) {
		if (parse_one(c))
			return -1;
	}
	ranges = opt.src.sa.sa_family == AF_INET && opt.dst.sa.sa_family == AF_INET &&
		 opt.sport.lo && opt.dport.lo;
	if (opt.tcp && opt.len < 14 + 20 + 20 + WIRE_LEN)
		opt.len = 14 + 20 + 20 + WIRE_LEN;
	return opt.dev && opt.has_mac && (ranges || opt.tuples) && optind == argc ? 0 : -1;
}

/* ---- flows ---- */

static uint32_t sum16(const void *at, size_t len)
{
	const uint8_t *p = at;
	uint32_t sum = 0;
	uint16_t word;

	for (; len > 1; p += 2, len -= 2) {
		memcpy(&word, p, 2);
		sum += word;
	}
	if (len) {
		word = 0;
		memcpy(&word, p, 1);
		sum += word;
	}
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint16_t l4_len(void)
{
	return (uint16_t)(opt.len - ETH_HLEN - sizeof(struct iphdr));
}

/* The same headers as live_gen.bpf.c writes, with sequence and time 0. */
static void prepare(struct live_flow *f)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .frag_off = htons(0x4000)};
	struct udphdr udp = {.source = f->sport_be, .dest = f->dport_be, .len = htons(l4_len())};
	struct tcphdr tcp = {.source = f->sport_be, .dest = f->dport_be, .doff = 5, .ack = 1};
	struct {
		uint32_t saddr, daddr;
		uint16_t protocol, len;
	} pseudo = {f->saddr_be, f->daddr_be, htons(opt.tcp ? IPPROTO_TCP : IPPROTO_UDP),
		    htons(l4_len())};
	size_t hdr_len = opt.tcp ? sizeof(tcp) : sizeof(udp), fill;
	struct wire w;

	ip.tot_len = htons((uint16_t)(opt.len - ETH_HLEN));
	ip.protocol = opt.tcp ? IPPROTO_TCP : IPPROTO_UDP;
	ip.saddr = f->saddr_be;
	ip.daddr = f->daddr_be;
	tcp.window = 0xffff;
	f->ip_csum = fold(sum16(&ip, sizeof(ip)));
	wire_put(&w, f->id, 0, 0);
	fill = l4_len() - hdr_len - sizeof(w);
	f->l4_sum = sum16(&pseudo, sizeof(pseudo)) + sum16(&w, sizeof(w)) +
		    (opt.tcp ? sum16(&tcp, sizeof(tcp)) : sum16(&udp, sizeof(udp))) +
		    sum16(frame + opt.len - fill, fill);
}

static int add_flow(uint32_t saddr_be, uint32_t daddr_be, uint32_t sport, uint32_t dport)
{
	struct live_flow *f;

	if (flow_cnt >= WIRE_FLOW_CNT) {
		fprintf(stderr, "more than %u flows\n", WIRE_FLOW_CNT);
		return -1;
	}
	if (!(flow_cnt & (flow_cnt - 1))) { /* a power of two: grow to the next */
		f = realloc(flows, (flow_cnt ? flow_cnt * 2 : 1) * sizeof(*flows));
		if (!f)
			return xe_load_fail("memory");
		flows = f;
	}
	f = &flows[flow_cnt];
	*f = (struct live_flow){.saddr_be = saddr_be, .daddr_be = daddr_be};
	f->sport_be = htons((uint16_t)sport);
	f->dport_be = htons((uint16_t)dport);
	f->id = opt.gen << WIRE_FLOW_BITS | flow_cnt++;
	prepare(f);
	return 0;
}

static int read_tuple(const char *line, int line_no)
{
	char src[64], dst[64];
	struct in_addr s, d;
	unsigned int sport, dport;

	if (line[strspn(line, " \t\n")] == '\0' || *line == '#')
		return 0;
	if (sscanf(line, "%63s %63s %u %u", src, dst, &sport, &dport) != 4 ||
	    inet_pton(AF_INET, src, &s) != 1 || inet_pton(AF_INET, dst, &d) != 1 ||
	    sport - 1 >= UINT16_MAX || dport - 1 >= UINT16_MAX) {
		fprintf(stderr, "%s:%d: not `src dst sport dport`\n", opt.tuples, line_no);
		return -1;
	}
	return add_flow(s.s_addr, d.s_addr, sport, dport);
}

static int read_tuples(void)
{
	FILE *file = fopen(opt.tuples, "r");
	char line[256];
	int ret = 0;

	if (!file)
		return xe_load_fail(opt.tuples);
	for (int n = 1; !ret && fgets(line, sizeof(line), file); n++)
		ret = read_tuple(line, n);
	fclose(file);
	if (!ret && !flow_cnt) {
		fprintf(stderr, "%s: no flows\n", opt.tuples);
		ret = -1;
	}
	return ret;
}

static int make_flows(void)
{
	for (uint32_t i = 0; i < opt.len; i++)
		frame[i] = i & 1 ? 'x' : 'e';
	if (opt.tuples)
		return read_tuples();
	for (uint32_t s = opt.sport.lo; s <= opt.sport.hi; s++) {
		for (uint32_t d = opt.dport.lo; d <= opt.dport.hi; d++) {
			if (add_flow(opt.src.in.sin_addr.s_addr, opt.dst.in.sin_addr.s_addr, s, d))
				return -1;
		}
	}
	return 0;
}

/* ---- the interface ---- */

static int ask_dev(unsigned long what, struct ifreq *req)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret;

	snprintf(req->ifr_name, sizeof(req->ifr_name), "%s", opt.dev);
	ret = ioctl(fd, what, req);
	close(fd);
	return ret;
}

static int ask_ethtool(void *command)
{
	struct ifreq req = {.ifr_data = command};

	return ask_dev(SIOCETHTOOL, &req);
}

/* The sums over all queues of IFACE's counters of frames sent for XDP. Has it any? */
static bool xmit_counters(uint64_t *taken, uint64_t *errors)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t cnt;
	} set = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_STATS}};
	struct ethtool_gstrings *names = NULL;
	struct ethtool_stats *stats = NULL;
	const char *name;
	bool found = false;

	*taken = *errors = 0;
	if (ask_ethtool(&set) || !set.cnt)
		return false;
	names = calloc(1, sizeof(*names) + (size_t)set.cnt * ETH_GSTRING_LEN);
	stats = calloc(1, sizeof(*stats) + (size_t)set.cnt * sizeof(uint64_t));
	if (!names || !stats)
		goto out;
	*names = (struct ethtool_gstrings){ETHTOOL_GSTRINGS, ETH_SS_STATS, set.cnt};
	*stats = (struct ethtool_stats){ETHTOOL_GSTATS, set.cnt};
	if (ask_ethtool(names) || ask_ethtool(stats))
		goto out;
	for (uint32_t i = 0; i < set.cnt; i++) {
		name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
		if (!strncmp(name, "tx_", 3) && strstr(name, "xdp_xmit_errors"))
			*errors += stats->data[i];
		else if (!strncmp(name, "tx_", 3) && strstr(name, "xdp_xmit"))
			*taken += stats->data[i], found = true;
	}
out:
	free(names);
	free(stats);
	return found;
}

/* ---- the run ---- */

static struct live_gen_bpf *load(void)
{
	struct live_gen_bpf *bpf = live_gen_bpf__open();
	struct ifreq req = {0};

	if (!bpf || ask_dev(SIOCGIFHWADDR, &req)) {
		xe_load_fail(opt.dev);
		goto fail;
	}
	memcpy((void *)bpf->rodata->src_mac, req.ifr_hwaddr.sa_data, ETH_ALEN);
	memcpy((void *)bpf->rodata->dst_mac, opt.mac, ETH_ALEN);
	bpf->rodata->out_ifindex = if_nametoindex(opt.dev);
	bpf->rodata->flow_cnt = flow_cnt;
	bpf->rodata->ip_len_be = htons((uint16_t)(opt.len - ETH_HLEN));
	bpf->rodata->udp_len_be = htons(l4_len());
	bpf->rodata->is_tcp = opt.tcp;
	bpf_map__set_max_entries(bpf->maps.flows, flow_cnt);
	if (live_gen_bpf__load(bpf)) {
		xe_load_fail("loading the XDP program");
		goto fail;
	}
	for (uint32_t i = 0; i < flow_cnt; i++) {
		if (bpf_map__update_elem(bpf->maps.flows, &i, sizeof(i), &flows[i],
					 sizeof(flows[i]), BPF_ANY)) {
			xe_load_fail("flows");
			goto fail;
		}
	}
	return bpf;
fail:
	live_gen_bpf__destroy(bpf);
	return NULL;
}

static int send_frames(int prog_fd, uint32_t cnt)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = opt.len,
		    .repeat = (int)cnt, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = opt.batch < cnt ? opt.batch : cnt);

	if (!bpf_prog_test_run_opts(prog_fd, &run) || errno == EINTR)
		return 0;
	error_cnt++;
	return xe_load_fail("BPF_PROG_TEST_RUN");
}

static int run(int prog_fd, uint64_t start_ns)
{
	uint64_t wanted = 0, done = 0, now_ns = start_ns;
	uint32_t cnt = CALL_MAX;

	while (!xe_load_over_at(now_ns)) {
		if (opt.rate) {
			wanted = (uint64_t)((double)(now_ns - start_ns) * (double)opt.rate / 1e9) +
				 1;
			cnt = wanted - done > CALL_MAX ? CALL_MAX : (uint32_t)(wanted - done);
		}
		if (cnt && send_frames(prog_fd, cnt))
			return -1;
		done += cnt;
		if (opt.rate) /* late frames are caught up with, a burst later */
			xe_load_sleep_until(
				now_ns + (opt.rate > 1000 ? NS_PER_S / 1000 : NS_PER_S / opt.rate));
		now_ns = xe_now_ns();
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t start_ns, taken[2], full[2];
	struct live_gen_bpf *bpf;
	bool counted;
	int ret;

	if (parse(argc, argv))
		return usage();
	if (make_flows())
		return 1;
	bpf = load();
	if (!bpf)
		return 1;
	xmit_counters(&taken[0], &full[0]);
	xe_load_begin(opt.seconds);
	start_ns = xe_now_ns();
	ret = run(bpf_program__fd(bpf->progs.live_gen), start_ns);
	counted = xmit_counters(&taken[1], &full[1]);
	printf("{\"sent\": %llu, \"sent_bytes\": %llu, \"errors\": %llu, \"seconds\": %.6f, "
	       "\"flows\": %u, \"accepted\": %llu, \"refused\": %llu}\n",
	       (unsigned long long)bpf->bss->sent, (unsigned long long)bpf->bss->sent * opt.len,
	       (unsigned long long)(error_cnt + bpf->bss->refused),
	       (double)(xe_now_ns() - start_ns) / 1e9, flow_cnt,
	       (unsigned long long)(taken[1] - taken[0]), (unsigned long long)(full[1] - full[0]));
	ret = ret || !bpf->bss->sent || (counted && taken[1] == taken[0]);
	if (counted && taken[1] == taken[0])
		fprintf(stderr, "%s took no frame: is GRO on at its other end?\n", opt.dev);
	live_gen_bpf__destroy(bpf);
	free(flows);
	return ret;
}
