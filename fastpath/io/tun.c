/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

/* Its packets carry sources that are routed elsewhere, so the reverse path filter must not look;
 * IPv6 is not punted, and without an address the kernel sends nothing into it. */
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
	set_conf("ipv6", ifr.ifr_name, "disable_ipv6", "1");
	set_conf("ipv4", ifr.ifr_name, "rp_filter", "0");
	set_conf("ipv4", ifr.ifr_name, "forwarding", "1");
	err = bring_up(&ifr);
out:
	if (err) {
		close(fd);
		return err;
	}
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return fd;
}
