/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "hostfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *root = "";
static bool sysfs_is_ours;

void tune_files_root(const char *dir)
{
	root = dir;
}

bool tune_files_fake(void)
{
	return root[0] != '\0';
}

static int full_path(char out[PATH_MAX], const char *path)
{
	return snprintf(out, PATH_MAX, "%s%s", root, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* ---- which namespace does sysfs show? ---- */

static int mount_own(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return -errno;
	return 0;
}

/* Does sysfs show this interface as the kernel shows it to us? Numbers alone are alike in many
 * namespaces; the address of an Ethernet interface is not. */
static bool shows(int fd, const struct if_nameindex *i)
{
	char path[128], text[64], wanted[32];
	const unsigned char *mac;
	struct ifreq ifr = {};

	snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", i->if_name);
	if (tune_file_number(path, -1) != (long)i->if_index)
		return false;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", i->if_name);
	snprintf(path, sizeof(path), "/sys/class/net/%s/address", i->if_name);
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) || tune_file_read(path, text, sizeof(text)))
		return false;
	mac = (unsigned char *)ifr.ifr_hwaddr.sa_data;
	snprintf(wanted, sizeof(wanted), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return ifr.ifr_hwaddr.sa_family != 1 /* ARPHRD_ETHER */ || !strcmp(text, wanted);
}

static bool shows_all(void)
{
	struct if_nameindex *all = if_nameindex();
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), seen = 0, cnt;
	bool same = all && fd >= 0;
	char **names = NULL;

	for (struct if_nameindex *i = all; same && i->if_index; i++, seen++)
		same = shows(fd, i);
	cnt = tune_folder("/sys/class/net", "", &names);
	for (int i = 0; i < cnt; i++) /* bonding_masters is a file among the folders */
		seen -= strcmp(names[i], "bonding_masters") != 0;
	tune_folder_free(names, cnt);
	if (fd >= 0)
		close(fd);
	if (all)
		if_freenameindex(all);
	return same && !seen;
}

int tune_sysfs_enter(void)
{
	sysfs_is_ours = tune_files_fake() || !mount_own() || shows_all();
	return sysfs_is_ours ? 0 : -ESTALE;
}

bool tune_sysfs_net(void)
{
	return sysfs_is_ours;
}

/* ---- files ---- */

static void tidy(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		if (!isspace((unsigned char)*from))
			*to++ = *from;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
	}
	while (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
}

int tune_file_read(const char *path, char *text, size_t size)
{
	char full[PATH_MAX];
	size_t len = 0;
	ssize_t n = 1;
	int fd, err = full_path(full, path);

	text[0] = '\0';
	if (err)
		return err;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (n > 0 && len + 1 < size) {
		n = read(fd, text + len, size - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	err = n < 0 ? -errno : n ? -E2BIG : 0; /* n: full before its end */
	close(fd);
	text[len] = '\0';
	tidy(text);
	return err;
}

int tune_file_write(const char *path, const char *text)
{
	char full[PATH_MAX], line[TUNE_VALUE_SIZE];
	int fd, len, err = full_path(full, path);

	if (err)
		return err;
	len = snprintf(line, sizeof(line), "%s\n", text);
	/* The kernel's files ignore O_TRUNC; the tests' files need it. Never created. */
	fd = open(full, O_WRONLY | O_CLOEXEC | O_TRUNC);
	if (fd < 0)
		return -errno;
	if (write(fd, line, (size_t)len) != len)
		err = errno ? -errno : -EIO;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

bool tune_file_is(const char *path)
{
	char full[PATH_MAX];

	return !full_path(full, path) && !access(full, F_OK);
}

long tune_file_number(const char *path, long otherwise)
{
	char text[64], *end;
	long n;

	if (tune_file_read(path, text, sizeof(text)) || !text[0])
		return otherwise;
	n = strtol(text, &end, 10);
	return *end ? otherwise : n;
}

/* ---- folders ---- */

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

int tune_folder(const char *path, const char *prefix, char ***names)
{
	char full[PATH_MAX];
	struct dirent *e;
	int cnt = 0, err = full_path(full, path);
	DIR *dir;

	*names = NULL;
	if (err)
		return err;
	dir = opendir(full);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		char **more;

		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		more = realloc(*names, (size_t)(cnt + 1) * sizeof(**names));
		if (!more)
			break;
		*names = more;
		more[cnt] = strdup(e->d_name);
		if (more[cnt])
			cnt++;
	}
	closedir(dir);
	if (cnt)
		qsort(*names, (size_t)cnt, sizeof(**names), by_version);
	return cnt;
}

void tune_folder_free(char **names, int cnt)
{
	for (int i = 0; i < cnt; i++)
		free(names[i]);
	free(names);
}
