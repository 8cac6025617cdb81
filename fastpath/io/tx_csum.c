/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/tx_csum.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

/* include/uapi/linux/netdev.h of 6.8 and later. */
#define NETDEV_FAMILY     "netdev"
#define NETDEV_DEV_GET    1
#define NETDEV_IFINDEX    1
#define NETDEV_XSK        6 /* u64 of flags */
#define NETDEV_XSK_CSUM   (1u << 1)
#define ANSWER_TIMEOUT_MS 1000

/* ---- one question by generic netlink ---- */

struct question {
	struct mnl_socket *mnl;
	char buf[8192] __attribute__((aligned(8)));
};

static struct nlmsghdr *begin(struct question *q, uint16_t type, uint8_t cmd)
{
	struct genlmsghdr genl = {.cmd = cmd, .version = 1};
	struct nlmsghdr *nlh;

	memset(q->buf, 0, sizeof(q->buf));
	nlh = mnl_nlmsg_put_header(q->buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(genl)), &genl, sizeof(genl));
	return nlh;
}

/* The attribute of that type in the one answer; NULL: an error, or no such attribute. */
static const struct nlattr *ask(struct question *q, struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;
	ssize_t len;

	if (mnl_socket_sendto(q->mnl, nlh, nlh->nlmsg_len) < 0)
		return NULL;
	len = mnl_socket_recvfrom(q->mnl, q->buf, sizeof(q->buf));
	if (len < 0 || !mnl_nlmsg_ok(nlh, (int)len) || nlh->nlmsg_type == NLMSG_ERROR ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
		return NULL;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) if (mnl_attr_get_type(attr) ==
								    type) return attr;
	return NULL;
}

static bool open_question(struct question *q)
{
	struct timeval wait = {.tv_sec = ANSWER_TIMEOUT_MS / 1000};

	q->mnl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	return q->mnl && !mnl_socket_bind(q->mnl, 0, MNL_SOCKET_AUTOPID) &&
	       !setsockopt(mnl_socket_get_fd(q->mnl), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
}

/* What the driver says of its zero-copy TX; false where the kernel is too old to be asked. */
static bool driver_sums(int ifindex)
{
	struct question q = {};
	const struct nlattr *attr;
	struct nlmsghdr *nlh;
	uint64_t flags = 0;

	if (!open_question(&q))
		goto out;
	nlh = begin(&q, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	attr = ask(&q, nlh, CTRL_ATTR_FAMILY_ID);
	if (!attr || mnl_attr_get_payload_len(attr) < sizeof(uint16_t))
		goto out;
	nlh = begin(&q, mnl_attr_get_u16(attr), NETDEV_DEV_GET);
	mnl_attr_put_u32(nlh, NETDEV_IFINDEX, (uint32_t)ifindex);
	attr = ask(&q, nlh, NETDEV_XSK);
	if (attr && mnl_attr_get_payload_len(attr) >= sizeof(flags))
		memcpy(&flags, mnl_attr_get_payload(attr), sizeof(flags));
out:
	if (q.mnl)
		mnl_socket_close(q.mnl);
	return flags & NETDEV_XSK_CSUM;
}

/* ---- devices that do not take the usual way in copy mode ---- */

static int ask_ethtool(int ifindex, void *cmd)
{
	struct ifreq ifr = {.ifr_data = cmd};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0 || !if_indextoname((unsigned int)ifindex, ifr.ifr_name) ||
	    ioctl(fd, SIOCETHTOOL, &ifr))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* For a device that takes packets in page fragments only (IFF_TX_SKB_NO_LINEAR; in the kernel's
 * tree that is virtio_net) kernels build the skb by a function of its own, which for long did not
 * look at the request: the packet left with a wrong checksum. Nothing says so from outside. */
static bool ignores_requests(int ifindex)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	return !ask_ethtool(ifindex, &info) && !strcmp(info.driver, "virtio_net");
}

/* In copy mode the kernel sums for a device that cannot, and more slowly than a worker does. */
static bool device_sums(int ifindex)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GTXCSUM, .data = 1};

	return ask_ethtool(ifindex, &value) || value.data;
}

const char *xe_tx_csum_why_not(int ifindex, bool zerocopy, bool only_gain)
{
	if (zerocopy)
		return driver_sums(ifindex) ? NULL : "the driver's zero-copy has none";
	if (ignores_requests(ifindex))
		return "kernels ignore the request on virtio_net";
	if (only_gain && !device_sums(ifindex))
		return "the interface has tx-checksumming off";
	return NULL;
}

/* ---- the kernel ---- */

/* Between 6.8, which brought requests, and 6.11 the length counted without a flag, and the flag was
 * refused unless backported; all others take a registration without the flag, too, and forget
 * about the length. */
static bool counts_without_flag(void)
{
	unsigned int major, minor;
	struct utsname u;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 && major == 6 &&
	       minor >= 8 && minor <= 10;
}

int xe_tx_csum_register(int xsk_fd, struct xe_umem_reg reg)
{
	reg.tx_metadata_len = sizeof(struct xe_tx_meta);
	reg.flags |= XE_UMEM_TX_META_LEN;
	if (!setsockopt(xsk_fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)))
		return 0;
	if (errno != EINVAL)
		return -errno;
	reg.flags &= ~XE_UMEM_TX_META_LEN;
	if (!counts_without_flag())
		return -EOPNOTSUPP;
	return setsockopt(xsk_fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
}
