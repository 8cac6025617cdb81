/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_config.c - the configuration file.
 *
 * Every file of tests/conf/good loads, and prints as a file that loads to the same; every file of
 * tests/conf/bad is refused with exactly the line in the .expect file beside it. Run from the root
 * of the repository, or with XE_CONF naming tests/conf.
 */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/config.h"

#define ERR_SIZE 512

struct warnings {
	int cnt;
	char line[8][ERR_SIZE];
};

static void on_warning(void *ctx, const char *line)
{
	struct warnings *w = ctx;

	assert_in_range(w->cnt, 0, 7);
	snprintf(w->line[w->cnt++], ERR_SIZE, "%s", line);
}

/* The files `pattern` matches below tests/conf, which becomes the working folder for a while, since
 * .expect files name their configurations without a folder. */
static void for_each_file(const char *folder, void (*fn)(const char *file), size_t at_least)
{
	const char *conf = getenv("XE_CONF");
	char *back = getcwd(NULL, 0);
	glob_t files;

	if (chdir(conf ? conf : "tests/conf") || chdir(folder))
		fail_msg("no folder tests/conf/%s here (XE_CONF?)", folder);
	assert_int_equal(glob("*.yaml", 0, NULL, &files), 0);
	assert_in_range(files.gl_pathc, at_least, 10000);
	for (size_t i = 0; i < files.gl_pathc; i++)
		fn(files.gl_pathv[i]);
	globfree(&files);
	assert_int_equal(chdir(back), 0);
	free(back);
}

static char *print(const struct xe_config *config)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(xe_config_print(config, f), 0);
	fclose(f);
	return text;
}

static struct xe_config *parse(const char *text)
{
	struct xe_config *config;
	char err[ERR_SIZE] = "";

	if (xe_config_parse("t", text, strlen(text), &config, NULL, NULL, err, sizeof(err)))
		fail_msg("%s\nin\n%s", err, text);
	return config;
}

static void expect_error(const char *text, const char *want)
{
	struct xe_config *config;
	char err[ERR_SIZE] = "";

	assert_int_equal(
		xe_config_parse("t", text, strlen(text), &config, NULL, NULL, err, sizeof(err)),
		-EINVAL);
	assert_null(config);
	assert_string_equal(err, want);
}

/* Field by field where printing could hide a difference. */
static void assert_same(const struct xe_config *a, const struct xe_config *b)
{
	char *ta = print(a), *tb = print(b);

	assert_string_equal(ta, tb);
	assert_int_equal(a->rule_cnt, b->rule_cnt);
	for (uint32_t i = 0; i < a->rule_cnt; i++)
		assert_true(xe_rule_equal(&a->rules[i], &b->rules[i]));
	assert_int_equal(a->port_cnt, b->port_cnt);
	for (uint32_t i = 0; i < a->port_cnt; i++) {
		assert_string_equal(a->ports[i].name, b->ports[i].name);
		assert_int_equal(a->ports[i].role, b->ports[i].role);
		assert_int_equal(a->ports[i].xdp, b->ports[i].xdp);
		assert_int_equal(a->ports[i].coalesce, b->ports[i].coalesce);
		assert_int_equal(!a->ports[i].allow, !b->ports[i].allow);
		assert_int_equal(a->ports[i].allow_cnt, b->ports[i].allow_cnt);
	}
	assert_memory_equal(&a->limits, &b->limits, sizeof(a->limits));
	assert_memory_equal(&a->timeouts, &b->timeouts, sizeof(a->timeouts));
	assert_memory_equal(a->workers, b->workers, sizeof(a->workers));
	free(ta);
	free(tb);
}

static void check_good(const char *file)
{
	struct xe_config *config, *again, *dup;
	char err[ERR_SIZE] = "", *text;

	if (xe_config_load(file, &config, NULL, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(config->file, file);
	text = print(config);
	again = parse(text);
	assert_same(config, again);
	dup = xe_config_dup(config);
	assert_non_null(dup);
	xe_config_free(config);
	assert_same(dup, again);
	xe_config_free(dup);
	xe_config_free(again);
	free(text);
}

static void test_good(void **state)
{
	(void)state;
	for_each_file("good", check_good, 5);
}

static void read_expect(const char *file, char *line, size_t size)
{
	char name[256];
	FILE *f;

	snprintf(name, sizeof(name), "%.*s.expect", (int)(strlen(file) - strlen(".yaml")), file);
	f = fopen(name, "r");
	if (!f || !fgets(line, (int)size, f))
		fail_msg("%s: no such file, or empty", name);
	line[strcspn(line, "\n")] = '\0';
	fclose(f);
}

static void check_bad(const char *file)
{
	struct warnings w = {};
	struct xe_config *config = (void *)-1;
	char err[ERR_SIZE] = "", want[ERR_SIZE];
	int ret = xe_config_load(file, &config, on_warning, &w, err, sizeof(err));

	read_expect(file, want, sizeof(want));
	if (ret != -EINVAL || strcmp(err, want) || w.cnt)
		fail_msg("%s: %d, %d warnings\n  got      %s\n  expected %s", file, ret, w.cnt, err,
			 want);
	assert_null(config);
}

static void test_bad(void **state)
{
	(void)state;
	for_each_file("bad", check_bad, 25);
}

static void test_unreadable(void **state)
{
	struct xe_config *config;
	char err[ERR_SIZE];

	(void)state;
	assert_int_equal(xe_config_load("/nonexistent", &config, NULL, NULL, err, sizeof(err)),
			 -ENOENT);
	assert_string_equal(err, "/nonexistent:0: file: cannot be read: No such file or directory");
	assert_int_equal(xe_config_load("/", &config, NULL, NULL, err, sizeof(err)), -EISDIR);
	assert_string_equal(err, "/:0: file: cannot be read: Is a directory");
	assert_int_equal(xe_config_load("/dev/zero", &config, NULL, NULL, err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, "/dev/zero:0: file: too large, expected at most 4 MiB");
}

static void test_values(void **state)
{
	struct xe_config *c =
		parse("workers: [0]\nwait: busy\n"
		      "ports:\n"
		      "- {name: va, role: inside, allow: [10.1.0.0/16], xdp: native}\n"
		      "- {name: eth0, role: uplink, coalesce: off}\n"
		      "rules:\n- kernel\n\n- drop tcp\n"
		      "timeouts: {udp: 3m, tcp-established: 3h}\n"
		      "limits: {sessions: 100}\nchecksum-offload: off\n");

	(void)state;
	assert_int_equal(c->worker_cnt, 1);
	assert_int_equal(c->workers[0], 0);
	assert_int_equal(c->wait, XE_WAIT_BUSY);
	assert_int_equal(c->csum_offload, XE_CSUM_OFFLOAD_OFF);
	assert_int_equal(c->on_stop, XE_STOP_HANDBACK);
	assert_int_equal(c->port_cnt, 2);
	assert_int_equal(c->ports[0].role, XE_ROLE_INSIDE);
	assert_int_equal(c->ports[0].xdp, XE_XDP_NATIVE);
	assert_int_equal(c->ports[0].allow_cnt, 1);
	assert_int_equal(c->ports[0].allow[0].len, 112);
	assert_int_equal(c->ports[0].line, 4);
	assert_int_equal(c->ports[1].role, XE_ROLE_UPLINK);
	assert_int_equal(c->ports[1].xdp, XE_XDP_AUTO);
	assert_int_equal(c->ports[0].coalesce, XE_COALESCE_AUTO);
	assert_int_equal(c->ports[1].coalesce, XE_COALESCE_OFF);
	assert_null(c->ports[1].allow);
	assert_int_equal(c->rules[0].line, 7);
	assert_int_equal(c->rules[1].line, 9);
	assert_int_equal(c->timeouts.udp_s, 180);
	assert_int_equal(c->timeouts.tcp_established_s, 10800);
	assert_int_equal(c->timeouts.tcp_transitory_s, 240);
	assert_int_equal(c->timeouts.dns_s, 20);
	assert_int_equal(c->limits.sessions, 100);
	assert_int_equal(c->limits.sessions_per_source, 16384);
	assert_string_equal(c->ctl_group, "");
	xe_config_free(c);
	xe_config_free(NULL);
}

static void test_port_for(void **state)
{
	struct xe_config *c = parse("ports:\n"
				    "- {name: 'veth*', role: inside}\n"
				    "- {name: 'v*', role: uplink}\n"
				    "- {name: vethx, role: uplink}\n"
				    "- {name: eth0, role: uplink}\n"
				    "deny-ports: [eth9, '*-mgmt']\n");

	(void)state;
	assert_ptr_equal(xe_config_port_for(c, "veth1"), &c->ports[0]);
	assert_ptr_equal(xe_config_port_for(c, "vlan1"), &c->ports[1]);
	assert_ptr_equal(xe_config_port_for(c, "vethx"), &c->ports[2]);
	assert_ptr_equal(xe_config_port_for(c, "eth0"), &c->ports[3]);
	assert_null(xe_config_port_for(c, "eth00"));
	assert_null(xe_config_port_for(c, "eth9"));
	assert_null(xe_config_port_for(c, "veth-mgmt"));
	assert_true(xe_config_denied(c, "veth-mgmt"));
	assert_false(xe_config_denied(c, "eth1"));
	assert_true(xe_config_name_covers(c, "veth*", "veth1"));
	assert_true(xe_config_name_covers(c, "veth1", "veth1"));
	assert_false(xe_config_name_covers(c, "v*", "veth1"));
	assert_false(xe_config_name_covers(c, "veth*", "vethx"));
	assert_false(xe_config_name_covers(c, "eth9", "eth9"));
	xe_config_free(c);
}

static void test_warnings(void **state)
{
	static const char *const quiet = "timeouts: {tcp-established: 7440s, udp: 120s, dns: 1s}\n";
	static const char *const loud = "timeouts:\n  udp: 60s\n";
	struct xe_config *config;
	struct warnings w = {};
	char err[ERR_SIZE];

	(void)state;
	assert_int_equal(xe_config_parse("t", quiet, strlen(quiet), &config, on_warning, &w, err,
					 sizeof(err)),
			 0);
	xe_config_free(config);
	assert_int_equal(w.cnt, 0);
	assert_int_equal(
		xe_config_parse("t", loud, strlen(loud), &config, on_warning, &w, err, sizeof(err)),
		0);
	xe_config_free(config);
	assert_int_equal(w.cnt, 1);
	assert_string_equal(
		w.line[0],
		"t:2: timeouts.udp: 60s is less than the 120s that RFC 4787 REQ-5 wants");
}

/* A NAT range that just meets, and one that just misses, the range of this namespace. */
static void test_local_ports(void **state)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
	struct xe_config *config;
	struct warnings w = {};
	char text[256], err[ERR_SIZE];
	int min, max;

	(void)state;
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d %d", &min, &max), 2);
	fclose(f);
	if (min < 1026)
		skip();
	for (int meets = 0; meets < 2; meets++) {
		snprintf(text, sizeof(text),
			 "ports: [{name: eth0, role: uplink}]\n"
			 "rules: [masquerade ports 1024-%d]\n",
			 min - !meets);
		assert_int_equal(xe_config_parse("t", text, strlen(text), &config, on_warning, &w,
						 err, sizeof(err)),
				 0);
		xe_config_free(config);
		assert_int_equal(w.cnt, meets);
	}
	assert_non_null(strstr(w.line[0], "t:2: rules[0]: `ports 1024-"));
	assert_non_null(strstr(w.line[0], "net.ipv4.ip_local_port_range"));
}

/* Fewer L4 ports than workers. */
static void test_few_l4_ports(void **state)
{
	static const char *const text = "workers: [0, 1]\n"
					"ports: [{name: eth0, role: uplink}]\n"
					"rules:\n"
					"  - masquerade tcp ports 1088-1088\n"
					"  - masquerade udp ports 1088-1089\n";
	struct xe_config *config;
	struct warnings w = {};
	char err[ERR_SIZE];

	(void)state;
	assert_int_equal(
		xe_config_parse("t", text, strlen(text), &config, on_warning, &w, err, sizeof(err)),
		0);
	xe_config_free(config);
	assert_int_equal(w.cnt, 1);
	assert_non_null(strstr(w.line[0], "`ports 1088-1088` are 1 for 2 workers"));
}

/* As the service does for `rule add` and `port add`: the copy gets one more, which has no line. */
static void test_added_alone(void **state)
{
	struct xe_config *c = parse("ports: [{name: va, role: inside}]\nrules: [kernel]\n");
	struct xe_config_port *ports;
	char err[ERR_SIZE] = "";

	(void)state;
	c->rules = realloc(c->rules, 2 * sizeof(*c->rules));
	assert_int_equal(xe_rule_parse("masquerade out eth0", &c->rules[1], err, sizeof(err)), 0);
	c->rule_cnt = 2;
	assert_int_equal(xe_config_check(c, NULL, NULL, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "rules[1]: `out eth0` names no port, expected a name as it stands "
				 "in `ports`");
	ports = realloc(c->ports, 2 * sizeof(*ports));
	c->ports = ports;
	ports[1] = (struct xe_config_port){.name = "eth0", .role = XE_ROLE_UPLINK};
	c->port_cnt = 2;
	assert_int_equal(xe_config_check(c, NULL, NULL, err, sizeof(err)), 0);
	strcpy(ports[1].name, "va");
	assert_int_equal(xe_config_check(c, NULL, NULL, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "ports[1].name: `va` is named by ports[0] already, expected one "
				 "entry for it");
	xe_config_free(c);
}

/* Entries that look like conflicts and are none. */
static void test_no_conflict(void **state)
{
	static const char *const texts[] = {
		/* narrow glob first, then wide; explicit beats glob */
		"ports: [{name: 'veth1*', role: inside}, {name: 'veth*', role: inside}]",
		"ports: [{name: 'veth*', role: inside}, {name: veth0, role: uplink}]",
		/* a glob with ? is not caught by one that only looks wider */
		"ports: [{name: 'veth?', role: inside}, {name: 'veth*', role: inside}]",
		/* denied in part */
		"ports: [{name: 'eth*', role: uplink}]\ndeny-ports: [eth0]",
		/* an interface that a glob catches may be named in a rule */
		"ports: [{name: 'veth*', role: inside}]\nrules: [drop in veth7]",
		/* a rule may be wider than `allow`, and narrower */
		"ports: [{name: va, role: inside, allow: [10.1.0.0/16]}]\n"
		"rules: [masquerade from 10.0.0.0/8, drop from 10.1.2.3]",
		/* same pool twice counts once */
		"rules: [snat tcp source 198.18.0.0-198.18.0.255, snat source 198.18.0.1]",
		/* 1024 in pieces, and again in other ones */
		"rules:\n- snat tcp source 198.18.0.0/24,198.18.2.0/23,198.18.1.0/24\n"
		"- snat source 198.18.3.255,198.18.0.0-198.18.0.9,198.18.1.0/24,198.18.0.10\n"
		"- snat udp source 198.18.0.0/22\n",
		/* YAML takes a colon before a blank, or at the end, for its own */
		"ports: [{name: va, role: inside, allow: [\"fd00::/64\"]}]\n"
		"rules: [\"drop from fd00:: to [fd01::]:80\", \"kernel to [::]\"]",
		/* from outside */
		"ports: [{name: va, role: inside, allow: [10.1.0.0/16]}, {name: e, role: uplink}]\n"
		"rules: [accept from 192.0.2.0/24 in e, kernel from 192.0.2.0/24]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct xe_config *config = parse(texts[i]);
		char *text = print(config);

		xe_config_free(config);
		xe_config_free(parse(text));
		free(text);
	}
}

/* External addresses count once, in whatever pieces: one more than 1024 is refused at its rule. */
static void test_sources(void **state)
{
	static const char first[] =
		"rules:\n- snat tcp source 198.18.0.0/23,198.18.2.0-198.18.3.254\n";
	static const struct {
		const char *rules;
		int refused; /* the rule, 0: none */
	} t[] = {
		{"- snat source 198.18.3.255\n", 0},
		{"- snat source 198.18.3.255\n- snat udp source 198.18.4.0\n", 2},
		{"- snat source 198.18.4.0,198.18.3.255\n", 1},
		{"- snat source 198.17.255.255,198.18.0.0/24\n", 0},
		{"- snat source 198.17.255.254-198.18.0.7\n", 1},
		{"- snat source 198.18.3.255\n- snat udp source 198.18.0.0/22\n"
		 "- snat udp in va source 2001:db8::1\n",
		 3},
	};
	char text[512], want[160];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(text, sizeof(text), "%s%sports: [{name: va, role: inside}]\n", first,
			 t[i].rules);
		if (!t[i].refused) {
			xe_config_free(parse(text));
			continue;
		}
		snprintf(want, sizeof(want),
			 "t:%d: rules[%d]: too many addresses after `source`, expected at most "
			 "1024 in all rules",
			 2 + t[i].refused, t[i].refused);
		expect_error(text, want);
	}
}

/* What a file says must not break the one line of a message, or a terminal. */
static void test_one_line(void **state)
{
	char text[4096], want[128];

	(void)state;
	expect_error("\"a\\nb\\e\": 1\n",
		     "t:1: a?b?: unknown key, expected workers, wait, rps, checksum-offload, "
		     "repair, on-stop, "
		     "ports, deny-ports, rules, limits, timeouts or ctl-group");
	expect_error("wait: \"bu\\0sy\"\n",
		     "t:1: wait: expected a word, got a text with a NUL in it");
	expect_error("rules: [\"drop\\tin \\u00e4\"]\n",
		     "t:1: rules[0]: unexpected byte 0xc3 at column 9, expected printable ASCII");
	snprintf(text, sizeof(text), "wait: %01000d\n", 0);
	snprintf(want, sizeof(want),
		 "t:1: wait: unknown word `%060d`, expected adaptive, busy or interrupt", 0);
	expect_error(text, want);
}

/* Depth is bounded before libyaml builds anything, and a node may contain itself. */
static void test_hostile(void **state)
{
	size_t n = 1 << 20;
	char *deep = malloc(n + 1);

	(void)state;
	memset(deep, '[', n);
	deep[n] = '\0';
	expect_error(deep, "t:1: yaml: nested too deep, expected at most 16 levels");
	free(deep);
	expect_error("ports: &p [*p]\n", "t:1: ports[0]: expected a mapping with the keys name, "
					 "role, allow, xdp or coalesce, got a list");
	expect_error("workers: [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]\n",
		     "t:1: workers: 17 entries, expected at most 16");
}

/* The largest rule list there may be loads, and one more is refused. */
static void test_many_rules(void **state)
{
	size_t size = (XE_MAX_RULES + 2) * 32, len;
	char *text = malloc(size);
	struct xe_config *c;

	(void)state;
	len = (size_t)sprintf(text, "rules:\n");
	for (int i = 0; i < XE_MAX_RULES; i++)
		len += (size_t)sprintf(text + len, "- drop to 10.%d.%d.%d\n", i >> 16, i >> 8 & 255,
				       i & 255);
	c = parse(text);
	assert_int_equal(c->rule_cnt, XE_MAX_RULES);
	assert_int_equal(c->rules[XE_MAX_RULES - 1].line, XE_MAX_RULES + 1);
	xe_config_free(c);
	sprintf(text + len, "- drop\n");
	expect_error(text, "t:2: rules: 16385 entries, expected at most 16384");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),         cmocka_unit_test(test_bad),
		cmocka_unit_test(test_unreadable),   cmocka_unit_test(test_values),
		cmocka_unit_test(test_port_for),     cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_few_l4_ports), cmocka_unit_test(test_local_ports),
		cmocka_unit_test(test_added_alone),  cmocka_unit_test(test_sources),
		cmocka_unit_test(test_no_conflict),  cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_hostile),      cmocka_unit_test(test_many_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
