/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_hugepages.c - large pages for frames and sessions. */
#include <stdio.h>
#include <string.h>

#include "hostfile.h"
#include "stage.h"

#define THP   "/sys/kernel/mm/transparent_hugepage/enabled"
#define PAGES "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages"
#define ALL   "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static void check_transparent(struct tune_report *r)
{
	char now[64];

	/* `always` serves xegressd as well, and is others' choice. */
	if (!tune_knob_read("choice " THP, now, sizeof(now)) && !strcmp(now, "always"))
		tune_say(r, TUNE_OK, "transparent", "always");
	else
		tune_want(r, "transparent", "choice " THP, "madvise",
			  "xegressd asks for 2 MiB pages for frames and sessions (madvise): with "
			  "`never` each 128 MiB of frames are 32768 small pages, more than any "
			  "TLB holds");
}

static void check_reserved(const struct tune_facts *facts, const char *subject, const char *path,
			   struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE], want[16];

	if (tune_file_number(path, -1) >= (long)facts->hugepages) {
		tune_say(r, TUNE_OK, subject, "has at least the %u pages asked for",
			 facts->hugepages);
		return;
	}
	snprintf(knob, sizeof(knob), "file %s", path);
	snprintf(want, sizeof(want), "%u", facts->hugepages);
	tune_want(r, subject, knob, want, "asked for by --hugepages %u", facts->hugepages);
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	char path[128], subject[32];

	check_transparent(r);
	if (!facts->hugepages) {
		tune_say(r, TUNE_OK, "reserved",
			 "none needed: xegressd takes transparent huge pages (--hugepages N "
			 "reserves all the same)");
		return;
	}
	for (unsigned int i = 0; i < facts->cpu_cnt; i++) {
		int node = tune_cpu_node(facts->cpus[i]);
		bool seen = false;

		for (unsigned int j = 0; j < i; j++)
			seen |= tune_cpu_node(facts->cpus[j]) == node;
		if (node < 0)
			snprintf(path, sizeof(path), ALL);
		else
			snprintf(path, sizeof(path), PAGES, node);
		snprintf(subject, sizeof(subject), node < 0 ? "host" : "node%d", node);
		if (!seen)
			check_reserved(facts, subject, path, r);
	}
}

const struct tune_stage tune_stage_hugepages = {
	.name = "hugepages",
	.what = "2 MiB pages for frames and sessions",
	.explain =
		"xegressd marks its frames (128 MiB a worker) and its sessions with "
		"madvise(MADV_HUGEPAGE). That works unless transparent huge pages are off "
		"(`never`); applied then: `madvise`, which concerns only programs that ask. It "
		"needs no reserved pages (hugetlb); --hugepages N reserves N of 2 MiB on each "
		"node that has a worker, for what else asks for them (a DPDK neighbour); then say "
		"it to `check`, too.\n"
		"Leave transparent pages off where a database on this host was told to keep them "
		"off. Not kept across a reboot; to keep it: transparent_hugepage=madvise, "
		"hugepages=N on the kernel's command line.",
	.check = check,
};
