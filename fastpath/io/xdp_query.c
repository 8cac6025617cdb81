/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/xdp_query.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* One link with all its attributes: some 2 KiB, as many again for each hundred virtual functions.
 */
#define ANSWER_SIZE 32768

/* The kernel names the program by the mode it is attached in (4.19). */
static int xdp_attr(const struct nlattr *attr, void *arg)
{
	uint32_t *prog_id = arg;
	int type = mnl_attr_get_type(attr);

	if (type == IFLA_XDP_SKB_PROG_ID || type == IFLA_XDP_DRV_PROG_ID)
		*prog_id = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_XDP)
		mnl_attr_parse_nested(attr, xdp_attr, arg);
	return MNL_CB_OK;
}

static int link_message(const struct nlmsghdr *nh, void *arg)
{
	mnl_attr_parse(nh, sizeof(struct ifinfomsg), link_attr, arg);
	return MNL_CB_STOP;
}

int xe_xdp_query(int ifindex, uint32_t *prog_id)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char request[256], answer[ANSWER_SIZE];
	struct nlmsghdr *nh = mnl_nlmsg_put_header(request);
	struct ifinfomsg *ifi;
	ssize_t len;
	int err = 0;

	*prog_id = 0;
	if (!nl)
		return -errno;
	nh->nlmsg_type = RTM_GETLINK;
	nh->nlmsg_flags = NLM_F_REQUEST;
	nh->nlmsg_seq = 1;
	ifi = mnl_nlmsg_put_extra_header(nh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	mnl_attr_put_u32(nh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_sendto(nl, nh, nh->nlmsg_len) < 0) {
		err = -errno;
		goto out;
	}
	len = mnl_socket_recvfrom(nl, answer, sizeof(answer));
	if (len < 0 || mnl_cb_run(answer, (size_t)len, 1, mnl_socket_get_portid(nl), link_message,
				  prog_id) < 0)
		err = -errno;
out:
	mnl_socket_close(nl);
	return err;
}
