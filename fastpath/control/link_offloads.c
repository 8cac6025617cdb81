/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * link_offloads.c - ETHTOOL_GFEATURES: names to bit numbers once, then one call an interface.
 *
 * The numbers differ between kernels, the names do not (net/ethtool/common.c,
 * netdev_features_strings).
 */
#include "control/link_offloads.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pipeline/lane.h"

/* Kernel 6.18 has 64 features, two words; it is to grow. */
#define WORDS 8
#define NAMES (WORDS * 32)

static const struct {
	const char *name;
	uint8_t bit;
} offloads[] = {
	{"tx-tcp-segmentation", XE_TX_TCP4},
	{"tx-tcp-ecn-segmentation", XE_TX_TCP_ECN},
	{"tx-udp-segmentation", XE_TX_UDP},
	{"tx-tcp6-segmentation", XE_TX_TCP6},
};
#define OFFLOADS (sizeof(offloads) / sizeof(offloads[0]))

static int ask(int fd, const char *name, void *data)
{
	struct ifreq ifr = {.ifr_data = data};

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	return ioctl(fd, SIOCETHTOOL, &ifr);
}

/* The kernel's table of names, the same for all interfaces. Its length; 0: not to be had. */
static uint32_t read_names(int fd, const char *dev, int *feature)
{
	struct {
		struct ethtool_sset_info head;
		uint32_t len;
	} info = {.head = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES}};
	struct ethtool_gstrings *names;
	uint32_t cnt = 0;

	if (ask(fd, dev, &info) || !info.head.sset_mask || !info.len || info.len > NAMES)
		return 0;
	names = calloc(1, sizeof(*names) + info.len * ETH_GSTRING_LEN);
	if (!names)
		return 0;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = info.len;
	if (!ask(fd, dev, names))
		cnt = names->len;
	for (uint32_t i = 0; i < cnt; i++)
		for (size_t o = 0; o < OFFLOADS; o++)
			if (!strncmp((char *)names->data + i * ETH_GSTRING_LEN, offloads[o].name,
				     ETH_GSTRING_LEN))
				feature[o] = (int)i;
	free(names);
	return cnt;
}

static uint8_t read_offloads(int fd, const char *dev, const int *feature)
{
	struct {
		struct ethtool_gfeatures head;
		struct ethtool_get_features_block block[WORDS];
	} f = {.head = {.cmd = ETHTOOL_GFEATURES, .size = WORDS}};
	uint8_t bits = 0;

	if (ask(fd, dev, &f))
		return 0;
	for (size_t o = 0; o < OFFLOADS; o++)
		if (feature[o] >= 0 && f.block[feature[o] / 32].active >> feature[o] % 32 & 1)
			bits |= offloads[o].bit;
	return bits;
}

uint8_t xe_link_offloads(const char *name)
{
	static int feature[OFFLOADS] = {-1, -1, -1, -1};
	static uint32_t names_cnt;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t bits = 0;

	if (fd < 0)
		return 0;
	if (!names_cnt)
		names_cnt = read_names(fd, name, feature);
	if (names_cnt)
		bits = read_offloads(fd, name, feature);
	close(fd);
	return bits;
}
