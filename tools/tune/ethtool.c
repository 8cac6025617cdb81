/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ethtool.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Entries of an indirection table, most that a driver has today (mlx5 with many queues: 1024). */
#define RSS_MAX 4096

static int kernel_call(const char *name, void *command)
{
	struct ifreq ifr = {.ifr_data = command};
	int fd, err;

	if (strlen(name) >= sizeof(ifr.ifr_name))
		return -ENODEV;
	strcpy(ifr.ifr_name, name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int (*tune_ethtool_call)(const char *name, void *command) = kernel_call;

int tune_ethtool_driver(const char *name, char *driver, size_t size)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	int err = tune_ethtool_call(name, &info);

	snprintf(driver, size, "%s", err ? "" : info.driver);
	return err;
}

/* ---- channels, rings ---- */

int tune_ethtool_channels(const char *name, struct ethtool_channels *ch)
{
	*ch = (struct ethtool_channels){.cmd = ETHTOOL_GCHANNELS};
	return tune_ethtool_call(name, ch);
}

int tune_channels_read(const char *name, char *text, size_t size)
{
	struct ethtool_channels ch;
	int err = tune_ethtool_channels(name, &ch);

	snprintf(text, size, "rx %u tx %u other %u combined %u", ch.rx_count, ch.tx_count,
		 ch.other_count, ch.combined_count);
	return err;
}

int tune_channels_write(const char *name, const char *text)
{
	struct ethtool_channels ch;
	int err = tune_ethtool_channels(name, &ch);

	if (err)
		return err;
	if (sscanf(text, "rx %u tx %u other %u combined %u", &ch.rx_count, &ch.tx_count,
		   &ch.other_count, &ch.combined_count) != 4)
		return -EINVAL;
	ch.cmd = ETHTOOL_SCHANNELS;
	return tune_ethtool_call(name, &ch);
}

int tune_ethtool_rings(const char *name, struct ethtool_ringparam *rings)
{
	*rings = (struct ethtool_ringparam){.cmd = ETHTOOL_GRINGPARAM};
	return tune_ethtool_call(name, rings);
}

int tune_rings_read(const char *name, char *text, size_t size)
{
	struct ethtool_ringparam r;
	int err = tune_ethtool_rings(name, &r);

	snprintf(text, size, "rx %u rx-mini %u rx-jumbo %u tx %u", r.rx_pending, r.rx_mini_pending,
		 r.rx_jumbo_pending, r.tx_pending);
	return err;
}

int tune_rings_write(const char *name, const char *text)
{
	struct ethtool_ringparam r;
	int err = tune_ethtool_rings(name, &r);

	if (err)
		return err;
	if (sscanf(text, "rx %u rx-mini %u rx-jumbo %u tx %u", &r.rx_pending, &r.rx_mini_pending,
		   &r.rx_jumbo_pending, &r.tx_pending) != 4)
		return -EINVAL;
	r.cmd = ETHTOOL_SRINGPARAM;
	return tune_ethtool_call(name, &r);
}

/* ---- coalescing ---- */

int tune_coalesce_read(const char *name, char *text, size_t size)
{
	struct ethtool_coalesce c = {.cmd = ETHTOOL_GCOALESCE};
	int err = tune_ethtool_call(name, &c);

	snprintf(text, size,
		 "rx-usecs %u rx-frames %u tx-usecs %u tx-frames %u adaptive-rx %u adaptive-tx %u",
		 c.rx_coalesce_usecs, c.rx_max_coalesced_frames, c.tx_coalesce_usecs,
		 c.tx_max_coalesced_frames, c.use_adaptive_rx_coalesce, c.use_adaptive_tx_coalesce);
	return err;
}

int tune_coalesce_write(const char *name, const char *text)
{
	struct ethtool_coalesce c = {.cmd = ETHTOOL_GCOALESCE};
	int err = tune_ethtool_call(name, &c);

	if (err)
		return err;
	if (sscanf(text,
		   "rx-usecs %u rx-frames %u tx-usecs %u tx-frames %u adaptive-rx %u adaptive-tx "
		   "%u",
		   &c.rx_coalesce_usecs, &c.rx_max_coalesced_frames, &c.tx_coalesce_usecs,
		   &c.tx_max_coalesced_frames, &c.use_adaptive_rx_coalesce,
		   &c.use_adaptive_tx_coalesce) != 6)
		return -EINVAL;
	c.cmd = ETHTOOL_SCOALESCE;
	return tune_ethtool_call(name, &c);
}

/* ---- RSS ---- */

/* Which queues there are to spread over. */
static int rx_queues(const char *name, uint32_t *cnt)
{
	struct ethtool_rxnfc nfc = {.cmd = ETHTOOL_GRXRINGS};
	int err = tune_ethtool_call(name, &nfc);

	*cnt = (uint32_t)nfc.data;
	return err ? err : *cnt ? 0 : -EOPNOTSUPP;
}

/* The caller frees. */
static int read_table(const char *name, struct ethtool_rxfh_indir **out)
{
	struct ethtool_rxfh_indir size = {.cmd = ETHTOOL_GRXFHINDIR}, *table;
	int err = tune_ethtool_call(name, &size);

	*out = NULL;
	if (err)
		return err;
	if (!size.size || size.size > RSS_MAX)
		return -EOPNOTSUPP;
	table = calloc(1, sizeof(*table) + size.size * sizeof(table->ring_index[0]));
	if (!table)
		return -ENOMEM;
	*table = (struct ethtool_rxfh_indir){.cmd = ETHTOOL_GRXFHINDIR, .size = size.size};
	err = tune_ethtool_call(name, table);
	if (err)
		free(table);
	else
		*out = table;
	return err;
}

/* ethtool_rxfh_indir_default() of the kernel: all queues in turn. */
static bool is_default(const struct ethtool_rxfh_indir *table, uint32_t queue_cnt)
{
	for (uint32_t i = 0; i < table->size; i++)
		if (table->ring_index[i] != i % queue_cnt)
			return false;
	return true;
}

int tune_rss_read(const char *name, char *text, size_t size)
{
	struct ethtool_rxfh_indir *table;
	uint32_t queue_cnt;
	size_t len = 0;
	int err = rx_queues(name, &queue_cnt);

	text[0] = '\0';
	if (!err)
		err = read_table(name, &table);
	if (err)
		return err;
	if (is_default(table, queue_cnt))
		snprintf(text, size, "default");
	else
		for (uint32_t i = 0; i < table->size && len < size; i++)
			len += (size_t)snprintf(text + len, size - len, "%s%u", i ? " " : "",
						table->ring_index[i]);
	free(table);
	return len < size ? 0 : -E2BIG; /* half a table must not become a record */
}

/* Size 0 is the kernel's word for its default, which also follows a later change of channels. */
int tune_rss_write(const char *name, const char *text)
{
	struct ethtool_rxfh_indir *table;
	int err = read_table(name, &table);

	if (err)
		return err;
	table->cmd = ETHTOOL_SRXFHINDIR;
	if (!strcmp(text, "default")) {
		table->size = 0;
	} else {
		char *end = (char *)text;

		for (uint32_t i = 0; i < table->size && !err; i++) {
			if (!*end)
				err = -EINVAL;
			table->ring_index[i] = (uint32_t)strtoul(end, &end, 10);
		}
		if (*end)
			err = -EINVAL;
	}
	if (!err)
		err = tune_ethtool_call(name, table);
	free(table);
	return err;
}

uint32_t tune_rss_key_len(const char *name)
{
	struct ethtool_rxfh rxfh = {.cmd = ETHTOOL_GRSSH};

	return tune_ethtool_call(name, &rxfh) ? 0 : rxfh.key_size;
}

static int flow_type(const char *kind)
{
	static const struct {
		const char *kind;
		int type;
	} types[] = {{"tcp4", TCP_V4_FLOW},
		     {"tcp6", TCP_V6_FLOW},
		     {"udp4", UDP_V4_FLOW},
		     {"udp6", UDP_V6_FLOW}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(kind, types[i].kind))
			return types[i].type;
	return -EINVAL;
}

static const struct {
	char letter;
	uint32_t bit;
} hash_fields[] = {{'m', RXH_L2DA},   {'v', RXH_VLAN},     {'t', RXH_L3_PROTO}, {'s', RXH_IP_SRC},
		   {'d', RXH_IP_DST}, {'f', RXH_L4_B_0_1}, {'n', RXH_L4_B_2_3}, {'r', RXH_DISCARD}};
#define HASH_FIELD_CNT (sizeof(hash_fields) / sizeof(hash_fields[0]))

int tune_flowhash_read(const char *name, const char *kind, char *text, size_t size)
{
	struct ethtool_rxnfc nfc = {.cmd = ETHTOOL_GRXFH};
	size_t len = 0;
	int err = flow_type(kind);

	text[0] = '\0';
	if (err < 0)
		return err;
	nfc.flow_type = (uint32_t)err;
	err = tune_ethtool_call(name, &nfc);
	for (size_t i = 0; i < HASH_FIELD_CNT && !err && len + 1 < size; i++)
		if (nfc.data & hash_fields[i].bit)
			text[len++] = hash_fields[i].letter;
	text[len] = '\0';
	return err;
}

int tune_flowhash_write(const char *name, const char *kind, const char *text)
{
	struct ethtool_rxnfc nfc = {.cmd = ETHTOOL_SRXFH};
	int type = flow_type(kind);

	if (type < 0)
		return type;
	nfc.flow_type = (uint32_t)type;
	for (; *text; text++) {
		size_t i = 0;

		while (i < HASH_FIELD_CNT && hash_fields[i].letter != *text)
			i++;
		if (i == HASH_FIELD_CNT)
			return -EINVAL;
		nfc.data |= hash_fields[i].bit;
	}
	return tune_ethtool_call(name, &nfc);
}
