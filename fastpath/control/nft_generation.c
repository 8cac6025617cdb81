/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/nft_generation.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

static int on_attr(const struct nlattr *attr, void *gen)
{
	if (mnl_attr_get_type(attr) == NFTA_GEN_ID && !mnl_attr_validate(attr, MNL_TYPE_U32))
		*(uint32_t *)gen = ntohl(mnl_attr_get_u32(attr));
	return MNL_CB_OK;
}

static int on_message(const struct nlmsghdr *nlh, void *gen)
{
	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), on_attr, gen);
	return MNL_CB_STOP;
}

uint32_t xe_nft_generation(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char buf[1024]; /* the answer has a number and a process name */
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;
	uint32_t gen = 0;
	ssize_t n;

	if (!nl)
		return 0;
	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = 1;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	if (!mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) &&
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) >= 0) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n > 0)
			mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), on_message, &gen);
	}
	mnl_socket_close(nl);
	return gen;
}
