/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_words.c - what stands behind `explain`, `flow list`, `flow count` and `flow flush`: any
 * words, by the control socket, of a service whose lane (tests/unit/lane_fixture.h) has some flows.
 *
 * The first byte says which verb, and whether the worker's heart beats. An answer is one printable
 * line of refusal, or it is right: a filter finds the flows that it names, judged by code of this
 * file; after a flush those are gone and the others live; `explain` comes to a verdict, and nothing
 * of the lane is other than before.
 *
 * Routes are asked from the kernel, in a network namespace of its own with four interfaces that
 * lead nowhere; without the right to make one, in the one that there is, where they are not found.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_words tests/fuzz/corpus/words
 *
 * sources: tests/unit/lane_fixture.c tests/unit/packet_fixture.c -lcmocka
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../unit/lane_fixture.h"
#include "base/clock.h"
#include "base/insum.h"
#include "base/log.h"
#include "control/verbs.h"

#define SESSIONS  64u
#define WORDS_MAX 12
#define LONG_S    8000u /* beyond every timeout */

/* libFuzzer keeps the input. */
#define must(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static const char *const rules[] = {
	"drop from 10.1.0.0/16 to 198.51.100.128/25",
	"kernel tcp to 0.0.0.0/0:25",
	"reject tcp to 0.0.0.0/0:26",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"nat from 10.2.0.16/28 source 192.0.2.128/28",
	"snat from 10.2.0.0/16 source 192.0.2.10-192.0.2.13 ports 2000-2200",
	"masquerade from 10.1.0.0/16 ports 3000-3100",
	"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80",
	"dnat to 192.0.2.1:53 dest 10.1.0.1*3,10.1.0.2-10.1.0.3",
	"accept udp to 10.1.0.3:53 in eth0",
	"masquerade from 2001:db8:1::/64 ports 3000-3100",
	"dnat to [2001:db8:f::1]:53 dest [2001:db8:1::1-2001:db8:1::3]:5353",
	NULL,
};

/* Flows that there are, and the names of their ports. */
static const struct flow {
	const char *src, *dst;
	uint16_t dport;
	uint8_t proto;
	uint16_t in;
	const char *names[2];
} flows[] = {
	{"10.1.0.2", "198.51.100.1", 53, IPPROTO_UDP, LF_INSIDE, {"va", "eth0"}},
	{"10.1.0.2", "198.51.100.9", 443, IPPROTO_TCP, LF_INSIDE, {"va", "eth0"}},
	{"10.1.0.3", "203.0.113.1", 443, IPPROTO_UDP, LF_INSIDE, {"va", "eth1"}},
	{"10.2.0.2", "198.51.100.1", 80, IPPROTO_TCP, LF_INSIDE2, {"vb", "eth0"}},
	{"10.2.0.17", "203.0.113.9", 80, IPPROTO_TCP, LF_INSIDE2, {"vb", "eth1"}},
	{"10.1.0.2", "10.2.0.2", 80, IPPROTO_TCP, LF_INSIDE, {"va", "vb"}},
	{"2001:db8:1::2", "2001:db8:808::1", 53, IPPROTO_UDP, LF_INSIDE, {"va", "eth0"}},
	{"2001:db8:1::3", "2001:db8:808::2", 443, IPPROTO_TCP, LF_INSIDE, {"va", "eth0"}},
};
#define FLOWS (sizeof(flows) / sizeof(flows[0]))

static const struct xe_ctl_verb verbs[] = {
	{"explain", false, 3, 6, xe_verb_explain},
	{"flow list", false, 0, 7, xe_verb_flow_list},
	{"flow count", false, 0, 7, xe_verb_flow_count},
	{"flow flush", true, 0, 7, xe_verb_flow_flush},
	{NULL, false, 0, 0, NULL},
};

static char dir[] = "/tmp/xe-fuzz-words-XXXXXX", path[64];
static struct lf *f;
static struct xe_service svc;
static struct xe_port ports[LF_PORT_END];
static uint64_t heart;

/* ---- the service ---- */

static const char *const make_links =
	"exec 2>/dev/null; ip link set lo up; for i in va vb eth0 eth1; do"
	" ip link add $i type dummy; ip link set $i up; done;"
	"ip addr add 10.1.0.1/16 dev va; ip addr add 10.2.0.1/16 dev vb;"
	"ip addr add 192.0.2.1/24 dev eth0; ip addr add 192.0.2.2/32 dev eth1;"
	"ip addr add 2001:db8:1::1/64 dev va nodad; ip addr add 2001:db8:f::1/64 dev eth0 nodad;"
	"ip route add default via 192.0.2.254; ip route add 203.0.113.0/24 dev eth1;"
	"ip route add 198.51.100.64/32 dev va; ip route add prohibit 198.51.100.65/32;"
	"ip -6 route add default via 2001:db8:f::fe; true";

static void open_port(uint16_t id)
{
	static const char *const names[] = {"", "va", "vb", "eth0", "eth1"};
	static const char *const allow[] = {"", "10.1.0.0/16", "10.2.0.0/16"};
	struct xe_port *port = &ports[id];
	char err[128];

	port->id = id;
	strcpy(port->name, names[id]);
	strcpy(port->entry, names[id]);
	port->role = id < LF_UPLINK ? XE_ROLE_INSIDE : XE_ROLE_UPLINK;
	port->state = XE_PORT_ATTACHED;
	port->ifindex = (int)if_nametoindex(names[id]);
	port->owner = &svc.workers[0];
	port->next = id + 1 < LF_PORT_END ? &ports[id + 1] : NULL;
	svc.ports[id] = port;
	if (port->role == XE_ROLE_UPLINK)
		return;
	port->allow = calloc(2, sizeof(*port->allow));
	must(!xe_prefix_parse(allow[id], &port->allow[port->allow_cnt++], err, sizeof(err)));
	if (id == LF_INSIDE)
		must(!xe_prefix_parse("2001:db8:1::/64", &port->allow[port->allow_cnt++], err,
				      sizeof(err)));
}

static void open_service(void)
{
	static const struct xe_netlink_ops ops;

	svc.worker_cnt = 1;
	svc.workers[0].lane = f->lane;
	svc.workers[0].beat = &heart;
	svc.config = calloc(1, sizeof(*svc.config));
	svc.config->limits.sessions = svc.config->limits.sessions_per_source = SESSIONS;
	svc.ruleset = f->rules;
	svc.steer.conf = calloc(1, sizeof(*svc.steer.conf));
	svc.steer.conf->any_accept = svc.steer.conf->take_fragments = 1;
	svc.steer.owned = f->owned;
	svc.steer.settings.k0 = f->lane->sessions.k0;
	svc.steer.settings.k1 = f->lane->sessions.k1;
	svc.request_fd = -1;
	for (uint32_t i = 0; i < LF_EXT_CNT; i++)
		svc.ext_addrs[i] = f->lane->pool.ext[i].addr;
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		open_port(id);
	svc.port_list = &ports[1];
	must(!xe_resolver_open(&svc) && !xe_netlink_open(&svc.netlink, &ops, NULL));
}

static void audit(void *ctx, const struct xe_ctl_audit *line)
{
	(void)ctx;
	must(!strpbrk(line->args, "\n\r\x1b") && !strpbrk(line->outcome, "\n\r\x1b"));
}

static void clean_up(void)
{
	xe_ctl_close(svc.ctl);
	rmdir(dir);
}

/* Before libFuzzer has a second thread: the namespace is the whole process's. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct xe_ctl_options options = {.ctx = &svc,
					 .path = path,
					 .mode = 0600,
					 .gid = (gid_t)-1,
					 .verbs = verbs,
					 .audit = audit};
	char err[256];

	(void)argc;
	(void)argv;
	if (!unshare(CLONE_NEWNET) && system(make_links))
		fprintf(stderr, "fuzz_words: no interfaces: `explain` finds no routes\n");
	xe_log_set_level(XE_LOG_ERR);
	xe_insum_init();
	f = lf_open(rules, SESSIONS);
	open_service();
	must(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/ctl.sock", dir);
	must(!xe_ctl_open(&options, &svc.ctl, err, sizeof(err)));
	atexit(clean_up);
	return 0;
}

static void make_flows(void)
{
	if (f->lane->sessions.cnt == FLOWS)
		return;
	for (int i = 0; i < 64 && (f->lane->sessions.cnt || !i); i++) {
		f->lane->now_s += LONG_S;
		xe_pipeline_housekeeping(f->lane);
		lf_answer(f);
	}
	for (size_t i = 0; i < FLOWS; i++) {
		struct lf_spec spec = {.src = flows[i].src,
				       .dst = flows[i].dst,
				       .sport = (uint16_t)(40000 + i),
				       .dport = flows[i].dport,
				       .proto = flows[i].proto,
				       .tcp_flags = 2};

		must(lf_pass(f, flows[i].in, &spec) != NULL);
	}
	must(f->lane->sessions.cnt == FLOWS);
}

/* ---- what a filter means, by the letter of ctl_abi.h ---- */

static bool covers(const char *prefix, const char *text)
{
	int family = strchr(prefix, ':') ? AF_INET6 : AF_INET, bits = family == AF_INET ? 32 : 128;
	uint8_t net[16] = {}, addr[16] = {};
	char word[64];
	char *slash;

	snprintf(word, sizeof(word), "%s", prefix);
	slash = strchr(word, '/');
	if (slash) {
		*slash = '\0';
		bits = atoi(slash + 1);
	}
	if (inet_pton(family, text, addr) != 1)
		return false;
	must(inet_pton(family, word, net) == 1);
	for (int i = 0; i < bits; i++)
		if ((net[i / 8] ^ addr[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static bool is_named(const struct flow *flow, char *const *words, int cnt)
{
	for (int i = 0; i < cnt; i++) {
		if (!strcmp(words[i], "tcp") || !strcmp(words[i], "udp")) {
			if ((words[i][0] == 't') != (flow->proto == IPPROTO_TCP))
				return false;
			continue;
		}
		must(++i < cnt);
		if (!strcmp(words[i - 1], "from") && !covers(words[i], flow->src))
			return false;
		if (!strcmp(words[i - 1], "to") && !covers(words[i], flow->dst))
			return false;
		if (!strcmp(words[i - 1], "port") && strcmp(words[i], flow->names[0]) &&
		    strcmp(words[i], flow->names[1]))
			return false;
	}
	return true;
}

static uint32_t named(char *const *words, int cnt, uint8_t proto)
{
	uint32_t n = 0;

	for (size_t i = 0; i < FLOWS; i++)
		n += (!proto || flows[i].proto == proto) && is_named(&flows[i], words, cnt);
	return n;
}

/* ---- asked and answered ---- */

static int connect_client(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	must(fd >= 0 && !connect(fd, (struct sockaddr *)&sun, sizeof(sun)));
	return fd;
}

static void say(int fd, const char *verb, char *const *words, int cnt)
{
	json_t *args = json_array(), *req;
	char *line;

	for (int i = 0; i < cnt; i++)
		json_array_append_new(args, json_string(words[i]));
	req = json_pack("{si, ss, so}", "v", 1, "verb", verb, "args", args);
	line = json_dumps(req, JSON_COMPACT);
	must(send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line));
	must(send(fd, "\n", 1, MSG_NOSIGNAL) == 1);
	free(line);
	json_decref(req);
}

/* The last line of the answer, to be let go of; *parts: those before it. */
static json_t *ask(const char *verb, char *const *words, int cnt, uint32_t *parts)
{
	static char buf[1 << 18];
	size_t have = 0;
	int fd = connect_client();
	json_t *json = NULL;
	char *at, *nl;

	*parts = 0;
	say(fd, verb, words, cnt);
	for (int turn = 0; turn < 100 && !json; turn++) {
		ssize_t n;

		xe_ctl_dispatch(svc.ctl);
		n = recv(fd, buf + have, sizeof(buf) - have, MSG_DONTWAIT);
		have += n > 0 ? (size_t)n : 0;
		for (at = buf; (nl = memchr(at, '\n', (size_t)(buf + have - at))); at = nl + 1) {
			json_decref(json);
			json = json_loadb(at, (size_t)(nl - at), JSON_REJECT_DUPLICATES, NULL);
			must(json_is_object(json));
			if (!json_object_get(json, "part"))
				break;
			++*parts;
			json_decref(json);
			json = NULL;
		}
		have = (size_t)(buf + have - at);
		memmove(buf, at, have);
	}
	must(json != NULL);
	close(fd);
	xe_ctl_dispatch(svc.ctl);
	return json;
}

static bool is_line(const char *text)
{
	for (; *text; text++)
		if (!isprint((unsigned char)*text) && !(*text & 0x80))
			return false;
	return true;
}

/* The result, NULL: refused. */
static json_t *result_of(json_t *answer)
{
	const char *error = "";
	int ok, code = -1;

	must(!json_unpack(answer, "{sb}", "ok", &ok));
	if (ok)
		return json_object_get(answer, "result");
	must(!json_unpack(answer, "{sssi}", "error", &error, "code", &code));
	must(*error && is_line(error) && (code == XE_CTL_FAILED || code == XE_CTL_USAGE));
	return NULL;
}

static void check_explain(char *const *words, int cnt)
{
	uint32_t parts, sessions = f->lane->sessions.cnt, hops = f->lane->nexthops.cnt;
	json_t *answer = ask("explain", words, cnt, &parts), *result = result_of(answer);
	const char *verdict, *steer;
	json_t *steps, *step;
	size_t i;

	must(!parts && f->lane->sessions.cnt == sessions && f->lane->nexthops.cnt == hops);
	if (result) {
		must(!json_unpack(result, "{ss, ss, so}", "verdict", &verdict, "steer", &steer,
				  "steps", &steps));
		must(*verdict && is_line(verdict) && *steer && json_array_size(steps));
		json_array_foreach (steps, i, step)
			must(is_line(json_string_value(json_object_get(step, "text"))));
	}
	json_decref(answer);
}

static int64_t count_of(const char *verb, char *const *words, int cnt, uint32_t *parts)
{
	json_t *answer = ask(verb, words, cnt, parts), *result = result_of(answer);
	int64_t n = result ? json_integer_value(json_object_get(result, "count")) : -1;

	json_decref(answer);
	return n;
}

static void check_filter(const char *verb, char *const *words, int cnt)
{
	uint32_t parts, want;
	int64_t n = count_of(verb, words, cnt, &parts);

	if (n < 0) { /* all of them say no to the same */
		must(count_of("flow count", words, cnt, &parts) < 0);
		must(f->lane->sessions.cnt == FLOWS);
		return;
	}
	want = named(words, cnt, 0);
	must(n == want && (parts == want || strcmp(verb, "flow list")));
	if (!strcmp(verb, "flow flush")) {
		must(f->lane->sessions.cnt == FLOWS - want);
		must(!count_of("flow count", words, cnt, &parts));
	} else {
		must(f->lane->sessions.cnt == FLOWS);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char text[512], *words[WORDS_MAX], *save = NULL, *word;
	const char *verb;
	json_t *json;
	int cnt = 0;

	if (len < 1 || len > sizeof(text))
		return 0;
	memcpy(text, bytes + 1, len - 1);
	text[len - 1] = '\0';
	for (word = strtok_r(text, "\n", &save); word && cnt < WORDS_MAX;
	     word = strtok_r(NULL, "\n", &save)) {
		json = json_string(word); /* others cannot be said */
		if (!json)
			return 0;
		json_decref(json);
		words[cnt++] = word;
	}
	make_flows();
	heart = bytes[0] & 8 ? 0 : xe_now_coarse_ns();
	verb = verbs[bytes[0] & 3].name;
	if (!strcmp(verb, "explain"))
		check_explain(words, cnt);
	else
		check_filter(verb, words, cnt);
	return 0;
}
