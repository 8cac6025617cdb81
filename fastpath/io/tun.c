/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

/* The dummy address of RFC 7600, never a destination: Linux itself signs with it where it has no
 * other.
 */
#define PUNT_ADDR "192.0.0.8"
/* Room for one short request and its acknowledgement with the request in it. */
#define NETLINK_BUF_SIZE 512

static void set_conf(const char *family, const char *name, const char *key, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		xe_log_debug("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int get_conf(const char *family, const char *name, const char *key)
{
	char path[128], value[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, value, sizeof(value) - 1) <= 0)
		value[0] = '\0';
	if (fd >= 0)
		close(fd);
	return value[0] ? atoi(value) : -1;
}

/* Send and read the acknowledgement. Requests are made in buf, the answer overwrites it. */
static int ask(struct mnl_socket *nl, void *buf)
{
	struct nlmsghdr *nlh = buf;
	ssize_t n;

	nlh->nlmsg_seq = 1;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl, buf, NETLINK_BUF_SIZE);
	if (n < 0 || mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), NULL, NULL) < 0)
		return -errno;
	return 0;
}

/* Scope host: nothing that the host sends by itself ever takes it for its source. */
static int add_address(const char *name)
{
	char buf[NETLINK_BUF_SIZE] __attribute__((aligned(8)));
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;
	int err;

	if (!nl)
		return -errno;
	nlh->nlmsg_type = RTM_NEWADDR;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	*ifa = (struct ifaddrmsg){.ifa_family = AF_INET,
				  .ifa_prefixlen = 32,
				  .ifa_scope = RT_SCOPE_HOST,
				  .ifa_index = if_nametoindex(name)};
	mnl_attr_put_u32(nlh, IFA_LOCAL, inet_addr(PUNT_ADDR));
	mnl_attr_put_u32(nlh, IFA_ADDRESS, inet_addr(PUNT_ADDR));
	err = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ? -errno : ask(nl, buf);
	mnl_socket_close(nl);
	return err;
}

/*
 * Its packets carry sources that are routed elsewhere. The kernel filters by the larger of an
 * interface's rp_filter and that of `all`, so 0 says nothing where `all` is 1: 2 does, which wants
 * no more than that some route leads to the source. But on an interface without an address 2 lets
 * nothing pass (seen on 6.18; __fib_validate_source), so it gets one.
 */
static void pass_reverse_path_filter(const char *name)
{
	int err = add_address(name);

	if (err == -EEXIST)
		err = 0; /* made again */
	if (err)
		xe_log_warn(
			"punt device %s: no address (%s): with net.ipv4.conf.all.rp_filter not 0 "
			"what is given back to the kernel is lost",
			name, strerror(-err));
	set_conf("ipv4", name, "rp_filter", err ? "0" : "2");
}

static int bring_up(const struct ifreq *dev)
{
	struct ifreq ifr = *dev;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	ifr.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		err = -errno;
	close(fd);
	return err;
}

/* Settings, address, up: all but the device itself. */
static int settle(const struct ifreq *dev)
{
	const char *name = dev->ifr_name;

	/* No IPv6 address, not even a link-local one: the kernel sends none into it by itself. */
	set_conf("ipv6", name, "addr_gen_mode", "1");
	set_conf("ipv6", name, "accept_ra", "0");
	set_conf("ipv6", name, "disable_ipv6", "0");
	set_conf("ipv6", name, "forwarding", "1");
	pass_reverse_path_filter(name);
	set_conf("ipv4", name, "forwarding", "1");
	return bring_up(dev);
}

int xe_tun_open(char name[IFNAMSIZ])
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	strcpy(ifr.ifr_name, "xepunt%d");
	if (ioctl(fd, TUNSETIFF, &ifr)) {
		err = -errno;
		goto out;
	}
	err = settle(&ifr);
out:
	if (err) {
		close(fd);
		return err;
	}
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return fd;
}

static bool has_address(int fd, const char *name)
{
	struct ifreq ifr = {};
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return !ioctl(fd, SIOCGIFADDR, &ifr) && in->sin_addr.s_addr == inet_addr(PUNT_ADDR);
}

/* Without an address rp_filter was set to 0, and is not what is looked at. */
static int look_at_settings(int fd, const char *name)
{
	struct ifreq ifr = {};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr))
		return -ENODEV;
	if (!(ifr.ifr_flags & IFF_UP))
		return -ENETDOWN;
	if (get_conf("ipv4", name, "forwarding") == 0 || get_conf("ipv6", name, "forwarding") == 0)
		return -EINVAL;
	if (get_conf("ipv4", name, "rp_filter") == 0)
		return has_address(fd, name) ? -EINVAL : 0;
	if (!has_address(fd, name))
		return -EADDRNOTAVAIL;
	return get_conf("ipv4", name, "rp_filter") == 1 ? -EINVAL : 0;
}

int xe_tun_look(int fd, char name[IFNAMSIZ])
{
	struct ifreq ifr = {};
	int sock, err;

	if (ioctl(fd, TUNGETIFF, &ifr))
		return -ENODEV;
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return 0; /* cannot be told */
	err = look_at_settings(sock, name);
	close(sock);
	return err;
}

int xe_tun_restore(const char *name)
{
	struct ifreq ifr = {};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return settle(&ifr);
}
