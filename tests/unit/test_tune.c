/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_tune.c - xegress-tune: sets of CPUs, its reader of configurations, what stages say of a
 * made-up host, the record, apply and undo, also cut short. */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../tools/tune/change.h"
#include "../../tools/tune/ethtool.h"
#include "../../tools/tune/hostfile.h"
#include "../../tools/tune/record.h"
#include "../../tools/tune/stage.h"

/* ---- a made-up host: a folder, and a network card behind the ethtool call ---- */

static char dir[64], run_dir[80];

static struct card {
	struct ethtool_channels ch;
	struct ethtool_ringparam rings;
	struct ethtool_coalesce coalesce;
	uint32_t table[8], udp4_hash;
	int die_on; /* command that ends the process, 0: none */
	int refuse; /* command that fails with EBUSY */
} card;

static int card_call(const char *name, void *command)
{
	uint32_t cmd = *(uint32_t *)command;
	struct ethtool_rxfh_indir *indir = command;
	struct ethtool_rxnfc *nfc = command;

	if (strcmp(name, "eth0"))
		return -EOPNOTSUPP;
	if (card.die_on && cmd == (uint32_t)card.die_on)
		_exit(9);
	if (card.refuse && cmd == (uint32_t)card.refuse)
		return -EBUSY;
	switch (cmd) {
	case ETHTOOL_GDRVINFO:
		strcpy(((struct ethtool_drvinfo *)command)->driver, "made-up");
		return 0;
	case ETHTOOL_GCHANNELS:
		memcpy(command, &card.ch, sizeof(card.ch));
		return 0;
	case ETHTOOL_SCHANNELS:
		memcpy(&card.ch, command, sizeof(card.ch));
		return 0;
	case ETHTOOL_GRINGPARAM:
		memcpy(command, &card.rings, sizeof(card.rings));
		return 0;
	case ETHTOOL_SRINGPARAM:
		memcpy(&card.rings, command, sizeof(card.rings));
		return 0;
	case ETHTOOL_GCOALESCE:
		memcpy(command, &card.coalesce, sizeof(card.coalesce));
		return 0;
	case ETHTOOL_SCOALESCE:
		memcpy(&card.coalesce, command, sizeof(card.coalesce));
		return 0;
	case ETHTOOL_GRXRINGS:
		nfc->data = card.ch.combined_count;
		return 0;
	case ETHTOOL_GRXFHINDIR:
		if (indir->size)
			memcpy(indir->ring_index, card.table, sizeof(card.table));
		indir->size = 8;
		return 0;
	case ETHTOOL_SRXFHINDIR:
		for (uint32_t i = 0; i < 8; i++)
			card.table[i] =
				indir->size ? indir->ring_index[i] : i % card.ch.combined_count;
		return 0;
	case ETHTOOL_GRXFH:
		if (nfc->flow_type != UDP_V4_FLOW)
			return -EOPNOTSUPP;
		nfc->data = card.udp4_hash;
		return 0;
	case ETHTOOL_SRXFH:
		card.udp4_hash = (uint32_t)nfc->data;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* The file below the made-up root; folders on the way are made. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", dir, path);
	for (char *c = full + 1; (c = strchr(c, '/')); c++) {
		*c = '\0';
		mkdir(full, 0755);
		*c = '/';
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", text);
	fclose(f);
}

static const char *get(const char *path)
{
	static char text[TUNE_VALUE_SIZE];

	assert_int_equal(tune_file_read(path, text, sizeof(text)), 0);
	return text;
}

#define GOVERNOR   "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"
#define THP        "/sys/kernel/mm/transparent_hugepage/enabled"
#define IRQ        "/proc/irq/33/smp_affinity_list"
#define RANGE      "/proc/sys/net/ipv4/ip_local_port_range"
#define RPS(port)  "/sys/class/net/" port "/queues/rx-0/rps_cpus"
#define NODE_PAGES "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"

static int host_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/xe-tune.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	tune_files_root(dir);
	assert_int_equal(tune_sysfs_enter(), 0);
	tune_ethtool_call = card_call;
	card = (struct card){
		.ch = {.max_combined = 8, .combined_count = 8},
		.rings = {.rx_max_pending = 4096, .rx_pending = 256, .tx_pending = 256},
		.coalesce = {.rx_coalesce_usecs = 250, .tx_coalesce_usecs = 7},
		.table = {0, 0, 0, 0, 1, 1, 1, 1},
		.udp4_hash = RXH_IP_SRC | RXH_IP_DST,
	};
	put("/sys/devices/system/cpu/online", "0-7");
	put("/sys/devices/system/cpu/isolated", "");
	put(GOVERNOR, "powersave");
	put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_available_governors",
	    "performance powersave");
	put("/sys/devices/system/cpu/cpu1/node0/x", "");
	put("/sys/devices/system/node/node1/cpulist", "4-7");
	put(NODE_PAGES, "0");
	put(THP, "always madvise [never]");
	put(RANGE, "32768\t60999");
	put("/sys/class/net/eth0/ifindex", "2");
	put("/sys/class/net/eth0/threaded", "0");
	put(RPS("eth0"), "00000000,00000000");
	put("/sys/class/net/eth0/device/numa_node", "1");
	put("/sys/class/net/eth0/device/msi_irqs/33", "msix");
	put("/sys/kernel/irq/33/actions", "eth0-TxRx-0");
	put(IRQ, "0-7");
	put("/sys/class/net/veth1/ifindex", "3");
	put("/sys/class/net/veth1/threaded", "1");
	put(RPS("veth1"), "00000000,000000ff");
	return 0;
}

static int host_down(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static const char config[] = "workers: [1]\n"
			     "ports:\n"
			     "  - {name: \"veth*\", role: inside}\n"
			     "  - {name: eth0, role: uplink}\n"
			     "rules:\n"
			     "  - masquerade out eth0 ports 20000-40000\n";

static void gather(struct tune_facts *facts, const char *text)
{
	char err[256] = "", file[96];

	put("/x.yaml", text);
	snprintf(file, sizeof(file), "%s/x.yaml", dir);
	assert_int_equal(tune_facts_gather(facts, file, run_dir, err, sizeof(err)), 0);
	assert_string_equal(err, "");
}

static unsigned int ask(const struct tune_stage *stage, const struct tune_facts *facts,
			struct tune_report *report)
{
	unsigned int findings = 0, first = report->cnt;

	report->stage = stage->name;
	stage->check(facts, report);
	assert_false(report->failed);
	for (unsigned int i = first; i < report->cnt; i++)
		findings += report->findings[i].state == TUNE_FINDING;
	return findings;
}

/* ---- sets of CPUs ---- */

static void test_cpus(void **state)
{
	static const struct {
		const char *list, *mask;
	} same[] = {
		{"", "0"},     {"0", "1"}, {"1,3", "a"}, {"0-3,8", "10f"}, {"31-32", "1,80000000"},
		{"1023", NULL}};
	static const char *const bad[] = {"x", "1-", "3-1", "1,,2", "1 2", "-1", "1,"};
	struct tune_cpus a, b;
	char text[TUNE_CPU_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(tune_cpus_from_list(&a, same[i].list), 0);
		tune_cpus_to_list(&a, text, sizeof(text));
		assert_string_equal(text, same[i].list);
		tune_cpus_to_mask(&a, text, sizeof(text));
		if (same[i].mask)
			assert_string_equal(text, same[i].mask);
		assert_int_equal(tune_cpus_from_mask(&b, text), 0);
		assert_memory_equal(&a, &b, sizeof(a));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(tune_cpus_from_list(&a, bad[i]), -EINVAL);
	assert_int_equal(tune_cpus_from_list(&a, "1024"), -ERANGE);
	assert_int_equal(tune_cpus_from_list(&a, "99999999999999999999"), -ERANGE);
	assert_int_equal(tune_cpus_from_mask(&a, "0x3"), -EINVAL);
	assert_true(tune_knob_same("mask /x", "00000000,00000003", "3"));
	assert_false(tune_knob_same("mask /x", "3", "2"));
	assert_true(tune_knob_same("list /x", "0,1,2", "0-2"));
	assert_false(tune_knob_same("file /x", "0,1,2", "0-2"));
}

static void test_knob_names(void **state)
{
	static const char *const good[] = {"file /proc/sys/net/core/wmem_max", "channels eth0",
					   "flowhash eth0 udp4",
					   "mask /sys/class/net/v/queues/rx-0/rps_cpus"};
	static const char *const bad[] = {"file /etc/passwd",
					  "file /proc/sys/net/../../../etc/passwd",
					  "file /proc/sys/kernel/core_pattern",
					  "exec x",
					  "channels",
					  "channels ",
					  "rss a/b",
					  ""};
	char name[IFNAMSIZ];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(tune_knob_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(tune_knob_valid(bad[i]));
	assert_true(tune_knob_interface(good[2], name));
	assert_string_equal(name, "eth0");
	assert_true(tune_knob_interface(good[3], name));
	assert_string_equal(name, "v");
	assert_false(tune_knob_interface(good[0], name));
}

/* ---- configuration ---- */

static void test_conf(void **state)
{
	static const struct {
		const char *text, *err;
	} bad[] = {
		{"ports: {}\n", "f:1: ports: expected a list"},
		{"workers: [1]\nports:\n  - {name: a, role: up}\n",
		 "f:3: ports: expected a name, and as role inside or uplink"},
		{"workers: [x]\n", "f:1: workers: expected a CPU number, got `x`"},
		{"rules:\n  - masquerade ports 9-1\n",
		 "f:2: rules: expected `ports A-B`, got `ports 9-1`"},
		{"\n\n[", NULL},
		{"", "f:1: empty, expected a mapping with keys such as `ports`"},
	};
	static const char text[] =
		"workers: [3, 1]\nwait: busy\n"
		"ports:\n  - {name: v*, role: inside}\n  - {name: v9, role: uplink}\n"
		"deny-ports: [v8]\n"
		"rules:\n  - kernel tcp to 0.0.0.0/0:25\n  - masquerade out v9\n"
		"  - snat source 192.0.2.1 ports 5000-6000 out v9\n";
	struct tune_conf conf;
	char err[256];

	(void)state;
	assert_int_equal(tune_conf_parse(&conf, "f", text, strlen(text), err, sizeof(err)), 0);
	assert_int_equal(conf.cpu_cnt, 2);
	assert_int_equal(conf.cpus[0], 3);
	assert_true(conf.busy);
	assert_int_equal(conf.range_cnt, 2);
	assert_int_equal(conf.ranges[0].rule, 2);
	assert_int_equal(conf.ranges[0].from, 1024);
	assert_int_equal(conf.ranges[1].to, 6000);
	assert_false(tune_conf_match(&conf, "v1")->uplink);
	assert_true(tune_conf_match(&conf, "v9")->uplink);
	assert_null(tune_conf_match(&conf, "v8"));
	assert_null(tune_conf_match(&conf, "eth0"));
	tune_conf_free(&conf);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tune_conf_parse(&conf, "f", bad[i].text, strlen(bad[i].text), err,
						 sizeof(err)),
				 -EINVAL);
		if (bad[i].err)
			assert_string_equal(err, bad[i].err);
		tune_conf_free(&conf);
	}
}

/* ---- stages on the made-up host ---- */

static void test_stages(void **state)
{
	struct tune_facts facts = {};
	struct tune_report r = {};

	(void)state;
	gather(&facts, config);
	assert_int_equal(facts.port_cnt, 2);
	assert_int_equal(ask(&tune_stage_l4ports, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 1].want, "40002 60999");
	assert_int_equal(ask(&tune_stage_numa, &facts, &r), 1);
	assert_non_null(strstr(r.findings[r.cnt - 1].why, "workers: [7]"));
	assert_int_equal(ask(&tune_stage_isolation, &facts, &r), 0);
	facts.conf.busy = true;
	assert_int_equal(ask(&tune_stage_isolation, &facts, &r), 1);
	assert_non_null(strstr(r.findings[r.cnt - 1].why,
			       "isolcpus=managed_irq,domain,1 nohz_full=1 rcu_nocbs=1"));
	put("/sys/devices/system/cpu/isolated", "1,2");
	put("/sys/devices/system/cpu/nohz_full", "1");
	assert_int_equal(ask(&tune_stage_isolation, &facts, &r), 0);
	assert_int_equal(ask(&tune_stage_governor, &facts, &r), 1);
	assert_int_equal(ask(&tune_stage_hugepages, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 2].want, "madvise");
	assert_int_equal(ask(&tune_stage_channels, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 1].want, "rx 0 tx 0 other 0 combined 1");
	assert_int_equal(ask(&tune_stage_rings, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 1].want, "rx 1024 rx-mini 0 rx-jumbo 0 tx 256");
	assert_int_equal(ask(&tune_stage_rss, &facts, &r), 2);
	assert_int_equal(ask(&tune_stage_coalesce, &facts, &r), 1);
	assert_int_equal(ask(&tune_stage_irq, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 1].want, "1");
	assert_int_equal(ask(&tune_stage_napi, &facts, &r), 1);
	assert_int_equal(ask(&tune_stage_rps, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 1].want, "0");
	facts.ports[1].attached = true;
	assert_int_equal(ask(&tune_stage_rps, &facts, &r), 1);
	assert_string_equal(r.findings[r.cnt - 1].want, "fd");
	put(RPS("veth1"), "00000000,0000000c");
	assert_int_equal(ask(&tune_stage_rps, &facts, &r), 0);
	facts.rps = "2";
	assert_int_equal(ask(&tune_stage_rps, &facts, &r), 2);
	tune_report_free(&r);
	tune_facts_free(&facts);
}

/* No gap of 4096 anywhere: advice only, nothing to apply. */
static void test_l4ports_without_room(void **state)
{
	struct tune_facts facts = {};
	struct tune_report r = {};

	(void)state;
	gather(&facts, "rules:\n  - masquerade ports 1024-63000\n");
	assert_int_equal(ask(&tune_stage_l4ports, &facts, &r), 1);
	assert_string_equal(r.findings[0].knob, "");
	tune_report_free(&r);
	tune_facts_free(&facts);
}

/* ---- apply and undo ---- */

struct told {
	unsigned int cnt[TUNE_FAILED + 1];
};

static void tell(void *ctx, enum tune_done done, const struct tune_change *change, const char *now,
		 int error)
{
	struct told *told = ctx;

	(void)change;
	(void)now;
	(void)error;
	told->cnt[done]++;
}

static struct tune_outcome apply_all(struct tune_facts *facts, struct told *told)
{
	struct tune_outcome out = {};
	struct tune_report r = {};
	struct tune_record record;
	char err[256];

	assert_int_equal(tune_record_open(&record, run_dir, true, err, sizeof(err)), 0);
	for (unsigned int i = 0; i < tune_stage_cnt; i++) {
		unsigned int first = r.cnt;

		r.stage = tune_stages[i]->name;
		tune_stages[i]->check(facts, &r);
		assert_int_equal(tune_apply_stage(&r, first, facts, &record, tell, told, &out), 0);
	}
	tune_record_close(&record);
	tune_report_free(&r);
	return out;
}

static struct tune_outcome undo_all(bool force, struct told *told)
{
	struct tune_outcome out = {};
	struct tune_record record;
	char err[256];

	assert_int_equal(tune_record_open(&record, run_dir, true, err, sizeof(err)), 0);
	assert_int_equal(tune_undo(&record, NULL, force, tell, told, &out), 0);
	tune_record_close(&record);
	return out;
}

static void assert_as_found(const struct card *found)
{
	assert_memory_equal(&card.ch.max_rx, &found->ch.max_rx, sizeof(card.ch) - 4);
	assert_memory_equal(&card.rings.rx_max_pending, &found->rings.rx_max_pending,
			    sizeof(card.rings) - 4);
	assert_memory_equal(&card.coalesce.rx_coalesce_usecs, &found->coalesce.rx_coalesce_usecs,
			    sizeof(card.coalesce) - 4);
	assert_memory_equal(card.table, found->table, sizeof(card.table));
	assert_int_equal(card.udp4_hash, found->udp4_hash);
	assert_string_equal(get(GOVERNOR), "powersave");
	assert_string_equal(get(RANGE), "32768 60999");
	assert_string_equal(get(IRQ), "0-7");
	assert_string_equal(get(RPS("veth1")), "00000000,000000ff");
	assert_string_equal(get(RPS("eth0")), "00000000,00000000");
	assert_string_equal(get(NODE_PAGES), "0");
}

static void test_apply_undo(void **state)
{
	struct tune_facts facts = {.hugepages = 4};
	struct card found = card;
	struct told told = {};
	struct tune_outcome out;
	struct stat st;
	char path[128];

	(void)state;
	gather(&facts, config);
	out = apply_all(&facts, &told);
	assert_int_equal(out.left, 0);
	assert_int_equal(out.changed, told.cnt[TUNE_DONE]);
	assert_int_equal(card.ch.combined_count, 1);
	assert_int_equal(card.table[7], 0);
	assert_int_equal(card.rings.rx_pending, 1024);
	assert_int_equal(card.coalesce.rx_coalesce_usecs, 50);
	assert_string_equal(get(GOVERNOR), "performance");
	assert_string_equal(get(THP), "madvise");
	assert_string_equal(get(IRQ), "1");
	assert_string_equal(get(RPS("veth1")), "0");
	assert_string_equal(get(NODE_PAGES), "4");

	/* Again: nothing to do, and a second value does not become the one found. */
	assert_int_equal(apply_all(&facts, &told).changed, 0);
	facts.rps = "2";
	assert_int_equal(apply_all(&facts, &told).changed, 2);
	out = undo_all(false, &told);
	assert_int_equal(out.left, 0);
	assert_as_found(&found);
	snprintf(path, sizeof(path), "%s/tune.json", run_dir);
	assert_int_equal(stat(path, &st), -1);
	tune_facts_free(&facts);
}

/* Whatever call apply dies in, undo finds the way back. */
static void test_cut_short(void **state)
{
	static const int calls[] = {ETHTOOL_SCHANNELS, ETHTOOL_SRINGPARAM, ETHTOOL_SRXFHINDIR,
				    ETHTOOL_SRXFH, ETHTOOL_SCOALESCE};
	struct tune_facts facts = {};
	struct card found = card;
	struct told told = {};

	(void)state;
	gather(&facts, config);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			card.die_on = calls[i];
			apply_all(&facts, &told);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
		/* The child's card died with it; what it had done to files is there. */
		assert_string_equal(get(GOVERNOR), "performance");
		assert_int_equal(undo_all(false, &told).left, 0);
		assert_as_found(&found);
	}
	tune_facts_free(&facts);
}

/* One write of a stage fails: its others are taken back, other stages go on. */
static void test_stage_whole_or_not(void **state)
{
	struct tune_facts facts = {};
	struct card found = card;
	struct told told = {};
	struct tune_outcome out;

	(void)state;
	gather(&facts, config);
	card.refuse = ETHTOOL_SRXFH;
	out = apply_all(&facts, &told);
	assert_int_equal(told.cnt[TUNE_FAILED], 1);
	assert_int_equal(out.left, 2);
	assert_int_equal(card.udp4_hash, found.udp4_hash);
	assert_memory_equal(card.table, found.table, sizeof(card.table));
	assert_string_equal(get(IRQ), "1");
	card.refuse = 0;
	assert_int_equal(undo_all(false, &told).left, 0);
	assert_as_found(&found);
	tune_facts_free(&facts);
}

static void test_foreign_and_gone(void **state)
{
	struct tune_facts facts = {};
	struct told told = {};
	char path[128];

	(void)state;
	gather(&facts, config);
	apply_all(&facts, &told);
	put(GOVERNOR, "ondemand");
	put("/sys/class/net/veth1/ifindex", "77"); /* another one of that name */
	put(RPS("veth1"), "0");
	assert_int_equal(undo_all(false, &told).left, 1);
	assert_int_equal(told.cnt[TUNE_FOREIGN], 1);
	assert_int_equal(told.cnt[TUNE_GONE], 2);
	assert_string_equal(get(GOVERNOR), "ondemand");
	assert_string_equal(get(RPS("veth1")), "0");
	assert_int_equal(undo_all(true, &told).left, 0);
	assert_string_equal(get(GOVERNOR), "powersave");
	snprintf(path, sizeof(path), "%s/tune.json", run_dir);
	assert_int_equal(access(path, F_OK), -1);
	tune_facts_free(&facts);
}

static void test_attached_is_left(void **state)
{
	struct tune_facts facts = {};
	struct told told = {};

	(void)state;
	gather(&facts, config);
	for (unsigned int i = 0; i < facts.port_cnt; i++)
		facts.ports[i].attached = true;
	assert_true(apply_all(&facts, &told).left >= 2);
	assert_int_equal(told.cnt[TUNE_BUSY], 2); /* channels, rings */
	assert_int_equal(card.ch.combined_count, 8);
	assert_int_equal(undo_all(false, &told).left, 0);
	tune_facts_free(&facts);
}

/* ---- the record ---- */

static void test_record(void **state)
{
	static const struct {
		const char *text, *err;
	} bad[] = {
		{"{\n\"version\": x\n", "/tune.json:2: "},
		{"[]", "/tune.json:1: expected version 1"},
		{"{\"version\": 2, \"boot\": \"none\", \"netns\": 0, \"changes\": []}",
		 "version 1"},
		{"{\"version\": 1, \"boot\": \"none\", \"netns\": 5, \"changes\": []}",
		 "another network namespace"},
		{"{\"version\": 1, \"boot\": \"none\", \"netns\": 0, \"changes\": [{\"stage\": "
		 "\"x\", "
		 "\"knob\": \"file /etc/passwd\", \"ifindex\": 0, \"from\": \"a\", \"to\": "
		 "\"b\"}]}",
		 "changes[0]"},
	};
	struct tune_record record, other;
	char err[5000];

	(void)state;
	assert_int_equal(tune_record_open(&record, run_dir, true, err, sizeof(err)), 0);
	assert_int_equal(tune_record_open(&other, run_dir, true, err, sizeof(err)), -EBUSY);
	tune_record_close(&other);
	assert_non_null(
		tune_record_add(&record, "rps", "mask /sys/class/net/v/x", 7, "a \"b\" \\ c", "d"));
	record.changes[0].keep = true;
	assert_non_null(tune_record_add(&record, "rss", "rss eth0", 2, "0 1", "default"));
	assert_int_equal(tune_record_save(&record), 0);
	tune_record_close(&record);
	assert_int_equal(tune_record_open(&record, run_dir, false, err, sizeof(err)), 0);
	assert_int_equal(record.cnt, 2);
	assert_string_equal(record.changes[0].from, "a \"b\" \\ c");
	assert_true(record.changes[0].keep);
	assert_false(record.changes[1].keep);
	assert_non_null(tune_record_find(&record, "rss eth0", 2));
	assert_null(tune_record_find(&record, "rss eth0", 3));
	tune_record_close(&record);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("/run/tune.json", bad[i].text);
		assert_true(tune_record_open(&record, run_dir, false, err, sizeof(err)) < 0);
		assert_non_null(strstr(err, bad[i].err));
		tune_record_close(&record);
	}
	put("/run/tune.json",
	    "{\"version\": 1, \"boot\": \"other\", \"netns\": 5, \"changes\": []}");
	assert_int_equal(tune_record_open(&record, run_dir, false, err, sizeof(err)), 0);
	assert_true(record.other_boot);
	tune_record_close(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_knob_names),
		cmocka_unit_test(test_conf),
		cmocka_unit_test_setup_teardown(test_stages, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_l4ports_without_room, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_apply_undo, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_cut_short, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_stage_whole_or_not, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_foreign_and_gone, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_attached_is_left, host_up, host_down),
		cmocka_unit_test_setup_teardown(test_record, host_up, host_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
