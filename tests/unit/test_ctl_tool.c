// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * xegressctl as people call it: a child plays the service with answers of the shapes that
 * xegress/ctl_abi.h gives, the real binary asks, and its output and exit code are looked at.
 *
 * The binary is xegressctl in the folder $BUILD, or in build/.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/ctl_server.h"

#define OUT_SIZE 262144

static char dir[] = "/tmp/xe-ctl-tool-XXXXXX";
static char tool[4096];
static pid_t server_pid;

/* ---- the service's double ---- */

static int answer(struct xe_ctl_request *req, const char *text)
{
	json_error_t why;
	json_t *result = json_loads(text, 0, &why);

	return result ? xe_ctl_ok(req, result) : xe_ctl_fail(req, 1, "double: %s", why.text);
}

#define PORT_VETH                                                                                  \
	"{\"name\":\"veth1\",\"entry\":\"veth*\",\"role\":\"inside\",\"state\":\"attached\","      \
	"\"why\":null,\"allow\":[\"10.1.0.0/16\"],\"ifindex\":7,\"mtu\":1500,\"queues\":1,"        \
	"\"xdp\":\"generic\",\"attach\":\"plain\",\"prog_id\":42,\"zero_copy\":false,"             \
	"\"superpackets\":true,\"superpackets_why\":null,\"coalesce\":false,"                      \
	"\"checksum\":\"device\",\"checksum_why\":null,\"worker\":0}"
#define PORT_ETH7                                                                                  \
	"{\"name\":\"eth\\u001b7\",\"entry\":\"eth7\",\"role\":\"uplink\",\"state\":\"waiting\","  \
	"\"why\":\"no such interface\",\"xdp\":null,\"prog_id\":null}"

static int run_status(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(
		req,
		"{\"version\":\"0.1\",\"pid\":9,\"uptime_s\":3725,\"config\":\"/etc/x.yaml\","
		"\"in_force\":false,\"why\":[\"port eth7: waiting: no such interface\"],"
		"\"wait\":\"adaptive\",\"on_stop\":\"clean\",\"flows\":{\"count\":5,\"limit\":100},"
		"\"rules\":{\"count\":3,\"in_force\":2},\"workers\":[{\"id\":0,\"cpu\":1,"
		"\"node\":0,\"state\":\"running\",\"wait\":\"adaptive\",\"checksum\":\"avx2\","
		"\"flows\":5}],\"ports\":[" PORT_VETH "," PORT_ETH7 "],"
		"\"safety_net\":{\"state\":\"in place\",\"table\":\"inet xegress\",\"why\":null},"
		"\"notes\":[\"no dispatcher here\"]}");
}

static int run_port_list(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(req, "{\"ports\":[" PORT_VETH "]}");
}

static int run_port_add(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	if (strcmp(xe_ctl_arg(req, 0), "veth1"))
		return xe_ctl_fail(req, XE_CTL_FAILED, "port %s: no such interface",
				   xe_ctl_arg(req, 0));
	return answer(req, "{\"port\":" PORT_VETH "}");
}

/* Says what it was asked. */
static int run_rule_add(void *ctx, struct xe_ctl_request *req)
{
	char *text = xe_ctl_args_joined(req, 0);

	(void)ctx;
	xe_ctl_ok(req, json_pack("{s{sisssbsn}}", "rule", "number", 3, "text", text, "in_force", 1,
				 "why"));
	free(text);
	return 0;
}

static int more_rules(void *arg, struct xe_ctl_request *req)
{
	(void)arg;
	xe_ctl_part(req, json_pack("{sisssbsnsi}", "number", 1, "text", "masquerade", "in_force", 1,
				   "why", "flows", 4));
	xe_ctl_part(req, json_pack("{sisssbss}", "number", 2, "text", "drop", "in_force", 0, "why",
				   "port gone"));
	return xe_ctl_ok(req, json_pack("{si}", "count", 2));
}

static int run_rule_list(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return xe_ctl_stream(req, more_rules, NULL, NULL);
}

/* The number of flows comes as an argument, so that one double serves all cases. */
static int more_flows(void *arg, struct xe_ctl_request *req)
{
	int *left = arg;

	while (*left) {
		json_t *flow = json_loads(
			"{\"proto\":\"tcp\",\"state\":\"established\",\"rule\":1,\"worker\":0,"
			"\"in\":\"veth1\",\"src\":\"10.1.0.2:40000\",\"dst\":\"203.0.113.5:443\","
			"\"out\":\"eth0\",\"nat_src\":\"192.0.2.1:20001\","
			"\"nat_dst\":\"203.0.113.5:443\",\"age_ms\":200000,\"idle_ms\":150,"
			"\"expires_ms\":1,\"packets\":12,\"bytes\":1234,\"back_packets\":34,"
			"\"back_bytes\":56000000}",
			0, NULL);

		--*left;
		if (xe_ctl_part(req, flow) <= 0)
			return 1;
	}
	return xe_ctl_ok(req, json_pack("{si}", "count", 0));
}

static int run_flow_list(void *ctx, struct xe_ctl_request *req)
{
	int *left = malloc(sizeof(*left));

	(void)ctx;
	*left = xe_ctl_arg_cnt(req) ? atoi(xe_ctl_arg(req, 0)) : 1;
	return xe_ctl_stream(req, more_flows, free, left);
}

static int run_flow_count(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(req, "{\"count\":77,\"tcp\":70,\"udp\":7,\"limit\":100}");
}

static int run_apply(void *ctx, struct xe_ctl_request *req)
{
	size_t len;
	const char *text = xe_ctl_option_text(req, "content", &len);

	(void)ctx;
	if (!strcmp(text, "bad\n"))
		return xe_ctl_fail(req, XE_CTL_FAILED, "%s:1: ports: expected a list",
				   xe_ctl_arg(req, 0));
	return answer(req,
		      "{\"changes\":[{\"what\":\"rule\",\"change\":\"added\",\"text\":\"drop\"}],"
		      "\"warnings\":[\"udp: below 120 s\"]}");
}

static int run_config(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(req, "{\"text\":\"ports:\\n  - {name: eth0}\\n\"}");
}

static int run_drops(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(req, "{\"reasons\":["
			   "{\"reason\":\"TAKEN\",\"at\":\"steer\",\"class\":\"take\",\"count\":9,"
			   "\"text\":\"taken\"},"
			   "{\"reason\":\"TTL\",\"at\":\"steer\",\"class\":\"pass\",\"count\":3,"
			   "\"text\":\"too old\"},"
			   "{\"reason\":\"TX_FULL\",\"at\":\"worker\",\"class\":\"drop\","
			   "\"count\":0,\"text\":\"full\"}]}");
}

static int run_stats(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(req, "{\"workers\":[{\"cpu\":1,\"rx_packets\":10,\"drops\":{\"TX_FULL\":2,"
			   "\"HOLD_FULL\":0},\"in_flight\":0}],\"ports\":[{\"name\":\"eth0\","
			   "\"seen\":11}]}");
}

static int run_check(void *ctx, struct xe_ctl_request *req)
{
	(void)ctx;
	return answer(req, "{\"ok\":false,\"checks\":[{\"name\":\"ip_forward\",\"state\":\"fail\","
			   "\"text\":\"is 0\",\"fix\":\"sysctl -w net.ipv4.ip_forward=1\"}]}");
}

static const struct xe_ctl_verb verbs[] = {
	{"status", false, 0, 0, run_status},
	{"port list", false, 0, 0, run_port_list},
	{"port add", true, 2, 6, run_port_add},
	{"rule list", false, 0, 0, run_rule_list},
	{"rule add", true, 1, XE_CTL_ARGS_MAX, run_rule_add},
	{"flow list", false, 0, 7, run_flow_list},
	{"flow count", false, 0, 7, run_flow_count},
	{"apply", true, 1, 1, run_apply},
	{"config", false, 0, 0, run_config},
	{"drops", false, 0, 0, run_drops},
	{"stats", false, 0, 0, run_stats},
	{"check", false, 0, 0, run_check},
	{NULL, false, 0, 0, NULL},
};

static int start_server(void **state)
{
	struct xe_ctl_options options = {.mode = 0660, .gid = (gid_t)-1, .verbs = verbs};
	static struct xe_ctl *ctl; /* the parent's copy stays, unused: no leak */
	char path[64], err[256];

	(void)state;
	snprintf(tool, sizeof(tool), "%s/xegressctl", getenv("BUILD") ? getenv("BUILD") : "build");
	if (access(tool, X_OK) || !mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/ctl.sock", dir);
	options.path = path;
	if (xe_ctl_open(&options, &ctl, err, sizeof(err)))
		return -1;
	server_pid = fork();
	if (server_pid)
		return server_pid < 0 ? -1 : 0; /* the listening descriptor stays open, unused */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct pollfd pfd = {.fd = xe_ctl_fd(ctl), .events = POLLIN};

		poll(&pfd, 1, -1);
		xe_ctl_dispatch(ctl);
	}
}

static int stop_server(void **state)
{
	char path[64];

	(void)state;
	kill(server_pid, SIGKILL);
	waitpid(server_pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/ctl.sock", dir);
	unlink(path);
	return rmdir(dir);
}

/* ---- calling the tool ---- */

/* Run `xegressctl WORDS` by the shell; stdout and stderr together. Returns the exit code. */
static int call(const char *words, char *out)
{
	char line[sizeof(tool) + 1024];
	size_t len;
	FILE *f;

	snprintf(line, sizeof(line), "exec 2>&1; '%s' --run-dir %s %s", tool, dir, words);
	f = popen(line, "r");
	assert_non_null(f);
	len = fread(out, 1, OUT_SIZE - 1, f);
	out[len] = '\0';
	return WEXITSTATUS(pclose(f));
}

static void expect(const char *words, int code, const char *want)
{
	static char out[OUT_SIZE];
	int got = call(words, out);

	if (got != code || strcmp(out, want))
		fail_msg("xegressctl %s: exit %d, expected %d\ngot:\n%s\nexpected:\n%s", words, got,
			 code, out, want);
}

static void expect_in(const char *words, int code, const char *want)
{
	static char out[OUT_SIZE];
	int got = call(words, out);

	if (got != code || !strstr(out, want))
		fail_msg("xegressctl %s: exit %d, expected %d; `%s` is not in:\n%s", words, got,
			 code, want, out);
}

static void status(void **state)
{
	static const char want[] =
		"xegressd 0.1, pid 9, up 1h02m, /etc/x.yaml\n"
		"in force: not all\n"
		"rules: 2 of 3 in force\n"
		"flows: 5 of at most 100\n"
		"safety net: in place (inet xegress)\n"
		"on stop: clean\n"
		"\n"
		"WORKER  CPU  NODE  STATE    WAIT      CHECKSUM  FLOWS\n"
		"     0    1     0  running  adaptive  avx2          5\n"
		"\n"
		"PORT   ROLE    STATE     XDP      ATTACH  PROGRAM  MEMORY  SUPERPACKETS  COALESCE "
		" CHECKSUM  WORKER  REMARK\n"
		"veth1  inside  attached  generic  plain        42  copy    kept          off      "
		" device         0  \n"
		"eth?7  uplink  waiting   -        -             -  -       -             -        "
		" -              -  "
		"no such interface\n"
		"\n"
		"note: no dispatcher here\n"
		"xegressctl: not in force: port eth7: waiting: no such interface\n";

	(void)state;
	expect("", 1, want);
	expect("status", 1, want);
	expect_in("--json", 1, "\"checksum\": \"avx2\"");
	expect_in("status extra", 2, "`extra`");
}

static void ports_and_rules(void **state)
{
	(void)state;
	expect_in("port list", 0, "veth1  inside  attached");
	expect_in("port", 0, "veth1  inside  attached");
	expect("port add veth1 inside", 0, "");
	expect("port add veth9 inside", 1, "xegressctl: port veth9: no such interface\n");
	expect("port add veth9", 2, "xegressctl: `port add` wants at least 2 words, got 1\n");
	expect_in("port lost", 2, "expected list, add or del");
	expect("rule list", 0,
	       "RULE  STATE                    FLOWS  TEXT\n"
	       "   1  in force                     4  masquerade\n"
	       "   2  not in force: port gone      -  drop\n");
	expect("rule add at 3 drop from 10.1.0.0/16", 0, "3 at 3 drop from 10.1.0.0/16\n");
	expect("rule --json", 0,
	       "{\n  \"rules\": [\n"
	       "    "
	       "{\"number\":1,\"text\":\"masquerade\",\"in_force\":true,\"why\":null,\"flows\":4},"
	       "\n"
	       "    {\"number\":2,\"text\":\"drop\",\"in_force\":false,\"why\":\"port gone\"}\n"
	       "  ],\n  \"count\": 2\n}\n");
}

static void flows(void **state)
{
	static char out[OUT_SIZE];
	json_t *json;

	(void)state;
	expect("flow list", 0,
	       "PROTO  STATE        FROM   OUT                               BACK                 "
	       "              BY    RULE    AGE   IDLE  PACKETS  BYTES  BACK-PKTS  BACK-BYTES\n"
	       "tcp    established  veth1  10.1.0.2:40000 > 203.0.113.5:443  203.0.113.5:443 > "
	       "192.0.2.1:20001  eth0     1  3m20s  150ms       12  1.2kB         34      "
	       "56.0MB\n");
	expect("flow list 0", 0, "");
	expect("flow list 0 --json", 0, "{\n  \"flows\": [],\n  \"count\": 0\n}\n");
	expect("flow list 20000 | wc -l", 0, "20001\n");
	call("flow list 300 --json", out);
	json = json_loads(out, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(json, "flows")), 300);
	json_decref(json);
	expect("flow count", 0, "77\n");
	expect_in("flow flush", 2, "unknown verb `flow flush`"); /* the double has none */
}

static void other_verbs(void **state)
{
	(void)state;
	expect("config", 0, "ports:\n  - {name: eth0}\n");
	expect("drops", 0, "REASON  AT     CLASS  COUNT\nTTL     steer  pass       3\n");
	expect_in("drops --explain", 0, "TX_FULL  worker  drop       0  full");
	expect("stats", 0,
	       "worker on cpu 1\n"
	       "  rx_packets                                10\n"
	       "  drops.TX_FULL                              2\n"
	       "  in_flight                                  0\n"
	       "port eth0\n"
	       "  seen                                      11\n");
	expect_in("stats --json", 0, "\"TX_FULL\": 2");
	expect_in("check", 1, "fail   ip_forward  is 0   sysctl -w");
	expect("capture", 1, "xegressctl: capture: not yet in this version\n");
}

static void apply(void **state)
{
	(void)state;
	expect("apply - < /dev/null", 0,
	       "rule added: drop\nxegressctl: warning: udp: below 120 s\n");
	expect("apply /dev/stdin <<E\nbad\nE\n", 1,
	       "xegressctl: /dev/stdin:1: ports: expected a list\n");
	expect("apply /no/such", 1, "xegressctl: /no/such: No such file or directory\n");
	expect_in("apply /bin/true", 1, "not a text file");
	expect_in("apply", 2, "one file");
}

static void how_it_is_called(void **state)
{
	(void)state;
	expect_in("nonsense", 2, "unknown verb `nonsense`");
	expect_in("--nonsense", 2, "nonsense");
	expect_in("capture --json", 2, "no --json");
	expect_in("status --explain", 2, "no --explain");
	expect_in("--help", 0, "xegressctl flow count [FILTER]");
	expect_in("--version", 0, "xegressctl ");
	expect("flow count --run-dir /no/where", 1,
	       "xegressctl: the service is not running: nobody listens on /no/where/ctl.sock\n");
	expect("--run-dir=/no/where flow list --json", 1,
	       "xegressctl: the service is not running: nobody listens on /no/where/ctl.sock\n");
	expect_in("flow count > /dev/full", 1, "No space left on device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status), cmocka_unit_test(ports_and_rules),
		cmocka_unit_test(flows),  cmocka_unit_test(other_verbs),
		cmocka_unit_test(apply),  cmocka_unit_test(how_it_is_called),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
