/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback.c - puts the safety net into the kernel, looks after it, takes it out.
 *
 * Every change is one buffer handed to libnftables, which makes one netlink transaction of it: all
 * or nothing, and packets see the old table or the new one. A re-apply deletes the old chains and
 * sets by the names that the kernel lists (an older version of this program may have made others)
 * but leaves the counters, so that no count is lost. Conntrack is not touched: a flow's translation
 * lives in its entry, not in the rule that made it.
 *
 * The table has no owner flag: it must outlive a crashed process.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/fallback.h"
#include "control/fallback_rules.h"
#include "control/nft_events.h"
#include "control/nft_run.h"
#include "control/nft_generation.h"
#include "xegress/ctl_abi.h"

/* A service that ends has no other time to do it: a moment without memory must not leave the table.
 */
#define REMOVE_TRIES 3

/* A listing that takes longer is not made each time that somebody else has been at the table. */
#define LIST_LONG_NS (20 * XE_NS_PER_MS)

struct xe_fallback {
	char *output;    /* of the last command; NULL: it failed */
	char error[256]; /* or why it did */
	char *table;
	/* What the last apply left: the table as nft lists it, listeners cut out. NULL: none yet.
	 */
	char *listing;
	uint32_t generation; /* of nftables, when the table was last seen to be as applied; 0: never
			      */
	struct xe_nft_events *events; /* NULL: the kernel does not tell */
	uint64_t list_ns;             /* that the last listing took */
	bool differs;                 /* at the last look */
	struct xe_fallback_nat nat;
	struct xe_fallback_nat listen; /* elements of the listener sets: listeners in `nat` */
};

/* ---- libnftables ---- */

/* Run a command; its output is fb->output. -EIO when nft or the kernel refuses, or libnftables has
 * ended itself. */
static int run(struct xe_fallback *fb, const char *command, unsigned int output_flags)
{
	int ret;

	free(fb->output);
	ret = xe_nft_run(command, output_flags, &fb->output, fb->error, sizeof(fb->error));
	return ret && ret != -ENOMEM ? -EIO : ret;
}

static int run_named(struct xe_fallback *fb, const char *verb, unsigned int output_flags)
{
	char *command;
	int ret;

	if (asprintf(&command, "%s table inet %s\n", verb, fb->table) < 0)
		return -ENOMEM;
	ret = run(fb, command, output_flags);
	free(command);
	return ret;
}

/* The members of `{"nftables": [...]}` that the last command put out with NFT_CTX_OUTPUT_JSON; the
 * caller drops the reference. NULL when it is something else. */
static json_t *output_array(struct xe_fallback *fb)
{
	json_t *root = json_loads(fb->output ? fb->output : "", 0, NULL);
	json_t *array = json_incref(json_object_get(root, "nftables"));

	json_decref(root);
	if (!json_is_array(array)) {
		json_decref(array);
		return NULL;
	}
	return array;
}

int xe_fallback_name(const char *run_dir, char name[XE_FALLBACK_NAME_SIZE])
{
	char real[PATH_MAX];
	uint32_t sum = 0;

	/* One name however the directory is written: after a crash the next one has to find it. */
	if (!realpath(run_dir, real))
		return -errno;
	for (const char *c = real; *c; c++)
		sum = sum * 31 + (unsigned char)*c;
	if (!strcmp(real, XE_CTL_RUN_DIR))
		snprintf(name, XE_FALLBACK_NAME_SIZE, "%s", XE_FALLBACK_TABLE);
	else
		snprintf(name, XE_FALLBACK_NAME_SIZE, "%s_%08x", XE_FALLBACK_TABLE, sum);
	return 0;
}

int xe_fallback_open(const char *table, struct xe_fallback **out)
{
	struct xe_fallback *fb = calloc(1, sizeof(*fb));

	*out = NULL;
	if (!fb)
		return -ENOMEM;
	fb->table = strdup(table);
	if (!fb->table) {
		xe_fallback_close(fb);
		return -ENOMEM;
	}
	fb->events = xe_nft_events_open(table);
	*out = fb;
	return 0;
}

void xe_fallback_close(struct xe_fallback *fb)
{
	if (!fb)
		return;
	free(fb->output);
	free(fb->listing);
	free(fb->table);
	xe_nft_events_close(fb->events);
	free(fb);
}

/* ---- what is there ---- */

/* Cut `set NAME { ... }` out of a listing and read its elements, L4 ports, into bits. */
static void cut_listeners(char *listing, const char *name, uint64_t *bits)
{
	static const char elements[] = "elements = {";
	char head[64], *start, *end, *p;

	memset(bits, 0, XE_FALLBACK_WORDS * sizeof(*bits));
	snprintf(head, sizeof(head), "\tset %s {\n", name);
	start = strstr(listing, head);
	end = start ? strstr(start, "\n\t}\n") : NULL;
	if (!end)
		return;
	*end = '\0';
	p = strstr(start, elements);
	for (p = p ? p + sizeof(elements) - 1 : end; *p && *p != '}';) {
		char *after;
		unsigned long l4_port = strtoul(p, &after, 10);

		if (after != p && l4_port <= 65535)
			bits[l4_port / 64] |= 1ULL << (l4_port % 64);
		p = after == p ? p + 1 : after;
	}
	memmove(start, end + 1, strlen(end + 1) + 1);
}

/* The table as text without the listener sets, whose elements go to *listen; allocated. NULL when
 * there is no such table. */
static char *list_table(struct xe_fallback *fb, struct xe_fallback_nat *listen)
{
	uint64_t start_ns = xe_now_ns();
	char *text;
	int ret;

	ret = run_named(fb, "list", NFT_CTX_OUTPUT_STATELESS);
	fb->list_ns = xe_now_ns() - start_ns;
	if (ret)
		return NULL;
	text = fb->output;
	fb->output = NULL;
	if (text) {
		cut_listeners(text, XE_FALLBACK_SET_TCP, listen->tcp);
		cut_listeners(text, XE_FALLBACK_SET_UDP, listen->udp);
	}
	return text;
}

enum xe_fallback_glance xe_fallback_glance(struct xe_fallback *fb)
{
	enum xe_nft_told told = xe_nft_events_look(fb->events);

	if (!fb->listing || (told == XE_NFT_UNKNOWN && !fb->differs))
		return XE_FALLBACK_MAY_BE;
	if (told == XE_NFT_NOTHING && !fb->differs)
		return fb->generation ? XE_FALLBACK_HOLDS : XE_FALLBACK_MAY_BE;
	return fb->list_ns > LIST_LONG_NS ? XE_FALLBACK_CHANGED : XE_FALLBACK_MAY_BE;
}

int xe_fallback_present(struct xe_fallback *fb)
{
	uint32_t generation = xe_nft_generation(); /* before looking: what changes later shows */
	struct xe_fallback_nat listen;
	char *now;
	int ret;

	/* Listing a table of thousands of rules takes seconds. */
	if (fb->listing && generation && generation == fb->generation)
		return 1;
	if (xe_fallback_glance(fb) == XE_FALLBACK_HOLDS)
		return 1;
	xe_nft_events_forget(fb->events);
	now = list_table(fb, &listen);
	ret = now != NULL;
	if (now && fb->listing)
		ret = !strcmp(now, fb->listing) && !memcmp(&listen, &fb->listen, sizeof(listen));
	fb->generation = ret ? generation : 0;
	fb->differs = !ret;
	free(now);
	return ret;
}

static uint64_t *counter_of(struct xe_fallback_counters *counters, const char *name)
{
	const struct {
		const char *name;
		uint64_t *value;
	} known[] = {
		{"leak_dropped", &counters->leak_dropped},
		{"midflow_dropped", &counters->midflow_dropped},
		{"guard_dropped", &counters->guard_dropped},
		{"inbound_dropped", &counters->inbound_dropped},
		{"spoof_dropped", &counters->spoof_dropped},
		{"rule_dropped", &counters->rule_dropped},
	};

	for (size_t i = 0; name && i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, name))
			return known[i].value;
	return NULL;
}

int xe_fallback_counters(struct xe_fallback *fb, struct xe_fallback_counters *counters)
{
	json_t *array, *item;
	size_t i;

	memset(counters, 0, sizeof(*counters));
	if (run_named(fb, "list counters", NFT_CTX_OUTPUT_JSON))
		return -ENOENT;
	array = output_array(fb);
	if (!array)
		return -EIO;
	json_array_foreach (array, i, item) {
		json_t *counter = json_object_get(item, "counter");
		uint64_t *value =
			counter_of(counters, json_string_value(json_object_get(counter, "name")));

		if (value)
			*value = (uint64_t)json_integer_value(json_object_get(counter, "packets"));
	}
	json_decref(array);
	return 0;
}

/* ---- apply ---- */

/* `delete KIND ...` for all of that kind in the table. Names are asked for without what is inside:
 * listing the table with thousands of rules takes seconds, this a millisecond. */
static void put_deletions(struct xe_fallback *fb, FILE *f, const char *kind)
{
	json_t *array = NULL, *item;
	char command[32];
	size_t i;

	snprintf(command, sizeof(command), "list %ss inet\n", kind);
	if (!run(fb, command, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE))
		array = output_array(fb);
	json_array_foreach (array, i, item) {
		json_t *object = json_object_get(item, kind);
		const char *name = json_string_value(json_object_get(object, "name"));
		const char *table = json_string_value(json_object_get(object, "table"));

		if (name && table && !strcmp(table, fb->table))
			fprintf(f, "delete %s inet %s %s\n", kind, table, name);
	}
	json_decref(array);
}

/* Make the table if there is none, and empty it. With `whole` it is deleted instead, counters and
 * all: for when something in it is not what its listing says. Allocated, NULL when out of memory.
 */
static char *clearing(struct xe_fallback *fb, bool whole)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "add table inet %s\n%s table inet %s\n", fb->table, whole ? "delete" : "flush",
		fb->table);
	if (!whole) {
		put_deletions(fb, f, "chain");
		put_deletions(fb, f, "set");
		put_deletions(fb, f, "map");
	}
	fclose(f);
	return text;
}

static int replace(struct xe_fallback *fb, const char *rules, bool whole)
{
	char *head = clearing(fb, whole);
	char *text = NULL;
	int ret = -ENOMEM;

	if (head && asprintf(&text, "%s%s", head, rules) >= 0)
		ret = run(fb, text, 0);
	free(text);
	free(head);
	return ret;
}

static void mask(uint64_t *out, const uint64_t *listen, const uint64_t *nat)
{
	for (int w = 0; w < XE_FALLBACK_WORDS; w++)
		out[w] = listen ? listen[w] & nat[w] : 0;
}

/* Remember what is in the kernel now, as nft shows it. */
static int remember(struct xe_fallback *fb, const struct xe_fallback_conf *conf, char *err,
		    size_t err_size)
{
	struct xe_fallback_nat unused;

	xe_fallback_nat_ports(conf, &fb->nat);
	mask(fb->listen.tcp, conf->listen_tcp, fb->nat.tcp);
	mask(fb->listen.udp, conf->listen_udp, fb->nat.udp);
	free(fb->listing);
	xe_nft_events_forget(fb->events); /* most are our own */
	fb->generation = xe_nft_generation();
	fb->differs = false;
	fb->listing = list_table(fb, &unused);
	if (fb->listing)
		return 0;
	snprintf(err, err_size, "%s", fb->error);
	return -EIO;
}

int xe_fallback_apply(struct xe_fallback *fb, const struct xe_fallback_conf *conf, char *err,
		      size_t err_size)
{
	char *rules;
	int ret = xe_fallback_rules(fb->table, conf, &rules, err, err_size);

	if (ret)
		return ret;
	ret = replace(fb, rules, false);
	if (ret == -EIO) {
		snprintf(err, err_size, "%s", fb->error);
		ret = replace(fb, rules, true);
		if (!ret)
			xe_log_warn("safety net: table %s had to be made anew, its counters begin "
				    "at 0 (%s)",
				    fb->table, err);
	}
	if (ret == -EIO)
		snprintf(err, err_size, "%s", fb->error);
	else if (ret)
		snprintf(err, err_size, "out of memory");
	else
		ret = remember(fb, conf, err, err_size);
	free(rules);
	return ret;
}

int xe_fallback_remove(struct xe_fallback *fb)
{
	char *command;
	int ret = 0;

	/* "add" first: `delete` of what isn't there is an error, `destroy` is too new (nft 1.0.7).
	 */
	if (asprintf(&command, "add table inet %s\ndelete table inet %s\n", fb->table, fb->table) <
	    0)
		return -ENOMEM;
	for (int i = 0; i < REMOVE_TRIES; i++) {
		if (i == REMOVE_TRIES - 1)
			xe_nft_close(); /* then here */
		ret = run(fb, command, 0);
		if (!ret)
			break;
	}
	if (ret)
		xe_log_err("safety net: table %s stays, `nft delete table inet %s` removes it: %s",
			   fb->table, fb->table, fb->error);
	free(command);
	free(fb->listing);
	fb->listing = NULL;
	return ret;
}

/* ---- listeners ---- */

/* One command with the elements that `to` has and `from` has not; none when there are none. */
static void put_elements(FILE *f, const char *verb, const char *table, const char *set,
			 const uint64_t *from, const uint64_t *to)
{
	bool any = false;

	for (int w = 0; w < XE_FALLBACK_WORDS; w++) {
		for (uint64_t bits = to[w] & ~from[w]; bits; bits &= bits - 1) {
			if (any)
				fputs(", ", f);
			else
				fprintf(f, "%s element inet %s %s { ", verb, table, set);
			fprintf(f, "%d", w * 64 + __builtin_ctzll(bits));
			any = true;
		}
	}
	if (any)
		fputs(" }\n", f);
}

int xe_fallback_set_listeners(struct xe_fallback *fb, const uint64_t *tcp, const uint64_t *udp)
{
	struct xe_fallback_nat want;
	char *text = NULL;
	size_t len = 0;
	int ret = 0;
	FILE *f;

	if (!fb->listing)
		return -ENOENT;
	mask(want.tcp, tcp, fb->nat.tcp);
	mask(want.udp, udp, fb->nat.udp);
	if (!memcmp(&want, &fb->listen, sizeof(want)))
		return 0;
	f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	put_elements(f, "add", fb->table, XE_FALLBACK_SET_TCP, fb->listen.tcp, want.tcp);
	put_elements(f, "delete", fb->table, XE_FALLBACK_SET_TCP, want.tcp, fb->listen.tcp);
	put_elements(f, "add", fb->table, XE_FALLBACK_SET_UDP, fb->listen.udp, want.udp);
	put_elements(f, "delete", fb->table, XE_FALLBACK_SET_UDP, want.udp, fb->listen.udp);
	ret = fclose(f) ? -ENOMEM : run(fb, text, 0);
	if (!ret)
		fb->listen = want;
	free(text);
	return ret;
}
