/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/rss_read.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ETH_RSS_HASH_TOP_BIT of linux/ethtool.h is the kernel's own name for bit 0. */
#define HASH_TOEPLITZ 1
#define L4_PORTS      (RXH_L4_B_0_1 | RXH_L4_B_2_3)
#define ADDRESSES     (RXH_IP_SRC | RXH_IP_DST)

static int ask(int fd, const char *ifname, void *cmd)
{
	struct ifreq ifr = {.ifr_data = cmd};

	strncpy(ifr.ifr_name, ifname, IFNAMSIZ - 1);
	return ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
}

static bool hashes_l4_ports(int fd, const char *ifname, uint32_t flow_type)
{
	struct ethtool_rxnfc rx = {.cmd = ETHTOOL_GRXFH, .flow_type = flow_type};

	return !ask(fd, ifname, &rx) &&
	       (rx.data & (ADDRESSES | L4_PORTS)) == (ADDRESSES | L4_PORTS);
}

/* Indirection table and key together; NULL: not there, or nothing that can be used. */
static struct ethtool_rxfh *read_table(int fd, const char *ifname)
{
	struct ethtool_rxfh size = {.cmd = ETHTOOL_GRSSH}, *rxfh;

	if (ask(fd, ifname, &size) || !size.indir_size || size.indir_size > XE_RSS_INDIR_MAX ||
	    size.key_size < XE_RSS_KEY_MIN)
		return NULL;
	rxfh = calloc(1, sizeof(*rxfh) + size.indir_size * sizeof(uint32_t) + size.key_size);
	if (!rxfh)
		return NULL;
	rxfh->cmd = ETHTOOL_GRSSH;
	rxfh->indir_size = size.indir_size;
	rxfh->key_size = size.key_size;
	/* rsvd8[0] is input_xfrm since 6.8: a card that folds the tuple first hashes otherwise.
	 * hfunc 0: a driver older than the field, all of which hash by Toeplitz. */
	if (!ask(fd, ifname, rxfh) && rxfh->indir_size == size.indir_size && !rxfh->rsvd8[0] &&
	    (!rxfh->hfunc || rxfh->hfunc == HASH_TOEPLITZ))
		return rxfh;
	free(rxfh);
	return NULL;
}

static struct xe_rss *make(int fd, const char *ifname, uint32_t queues, uint32_t worker_cnt)
{
	struct ethtool_rxfh *rxfh = read_table(fd, ifname);
	struct xe_rss *rss = rxfh ? calloc(1, sizeof(*rss)) : NULL;

	for (uint32_t i = 0; rss && i < rxfh->indir_size; i++) {
		if (rxfh->rss_config[i] >= queues) { /* a queue that we have no socket on */
			free(rss);
			rss = NULL;
			break;
		}
		rss->worker[i] = (uint8_t)(rxfh->rss_config[i] % worker_cnt);
	}
	if (rss) {
		rss->indir_cnt = rxfh->indir_size;
		rss->by_l4_port[0] = hashes_l4_ports(fd, ifname, TCP_V4_FLOW);
		rss->by_l4_port[1] = hashes_l4_ports(fd, ifname, UDP_V4_FLOW);
		rss->by_l4_port6[0] = hashes_l4_ports(fd, ifname, TCP_V6_FLOW);
		rss->by_l4_port6[1] = hashes_l4_ports(fd, ifname, UDP_V6_FLOW);
		xe_rss_set_key(rss, (uint8_t *)(rxfh->rss_config + rxfh->indir_size));
	}
	free(rxfh);
	return rss;
}

struct xe_rss *xe_rss_read(const char *ifname, uint32_t queues, uint32_t worker_cnt)
{
	struct xe_rss *rss;
	int fd;

	if (worker_cnt < 2 || queues < 2)
		return NULL;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	rss = make(fd, ifname, queues, worker_cnt);
	close(fd);
	return rss;
}
