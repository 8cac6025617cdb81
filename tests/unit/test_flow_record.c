/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files of flows: written and read again, and every way in which one can be none. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>

#include "state/flow_record.h"
#include "state/rule.h"
#include "state/session.h"

#define MANY 5000u /* several chunks */

static struct xe_flow_record sample(uint32_t i)
{
	struct xe_flow_record r = {
		.src = xe_addr_v4(htonl(0x0a010002 + i / 60000)),
		.dst = xe_addr_v4(htonl(0xcb007107)),
		.nat_src = xe_addr_v4(htonl(0xc0000201)),
		.nat_dst = xe_addr_v4(htonl(0xcb007107)),
		.sport_be = htons((uint16_t)(1024 + i)),
		.dport_be = htons(443),
		.nat_sport_be = htons((uint16_t)(2024 + i)),
		.nat_dport_be = htons(443),
		.in_port = 0,
		.out_port = 1,
		.family = AF_INET,
		.proto = IPPROTO_TCP,
		.verb = XE_VERB_MASQUERADE,
		.flags = XE_FR_EXT | XE_FR_REPLIED,
		.tcp_state = XE_TCP_ESTABLISHED,
		.packets = {i, 2 * i},
		.rule_id = 0x1234567890ull * (i + 1),
	};

	return r;
}

static int fd_of(const void *bytes, size_t len)
{
	int fd = memfd_create("flows", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Bytes of a file of `cnt` flows; the caller frees. */
static uint8_t *bytes_of(uint32_t cnt, size_t *len)
{
	int fd = memfd_create("flows", MFD_CLOEXEC);
	struct xe_flow_file file;
	uint8_t *bytes;

	xe_flow_file_init(&file);
	assert_int_equal(xe_flow_file_port(&file, "veth0", 7, XE_ROLE_INSIDE), 0);
	assert_int_equal(xe_flow_file_port(&file, "eth0", 2, XE_ROLE_UPLINK), 1);
	for (uint32_t i = 0; i < cnt; i++) {
		struct xe_flow_record r = sample(i);

		assert_int_equal(xe_flow_file_add(&file, &r), 0);
	}
	assert_int_equal(xe_flow_file_write(&file, fd), 0);
	xe_flow_file_free(&file);
	*len = (size_t)lseek(fd, 0, SEEK_END);
	bytes = malloc(*len);
	assert_int_equal(pread(fd, bytes, *len, 0), *len);
	close(fd);
	return bytes;
}

static int read_bytes(const uint8_t *bytes, size_t len, struct xe_flow_file *file, char err[256])
{
	int fd = fd_of(bytes, len), ret;

	err[0] = '\0';
	ret = xe_flow_file_read(file, fd, err, 256);
	close(fd);
	if (ret)
		assert_null(file->records);
	return ret;
}

static void expect_refused(const uint8_t *bytes, size_t len, const char *why)
{
	struct xe_flow_file file;
	char err[256];

	assert_int_equal(read_bytes(bytes, len, &file, err), -EINVAL);
	if (!strstr(err, why))
		fail_msg("`%s` does not say `%s`", err, why);
}

static void test_round_trip(void **state)
{
	struct xe_flow_file file;
	uint8_t zero[16] = {};
	char err[256];
	size_t len;
	uint8_t *bytes = bytes_of(MANY, &len);

	(void)state;
	assert_int_equal(read_bytes(bytes, len, &file, err), 0);
	assert_int_equal(file.port_cnt, 2);
	assert_string_equal(file.ports[0].name, "veth0");
	assert_int_equal(file.ports[1].ifindex, 2);
	assert_int_equal(file.ports[1].role, XE_ROLE_UPLINK);
	assert_int_equal(file.record_cnt, MANY);
	assert_memory_not_equal(file.boot_id, zero, 16);
	assert_true(file.written_s > 0);
	for (uint32_t i = 0; i < MANY; i++) {
		struct xe_flow_record r = sample(i);

		assert_memory_equal(&file.records[i], &r, sizeof(r));
	}
	xe_flow_file_free(&file);
	free(bytes);
}

/* What follows the file in a stream is somebody else's. */
static void test_stream(void **state)
{
	struct xe_flow_file file;
	char err[256], rest[8] = "";
	size_t len;
	uint8_t *bytes = bytes_of(20, &len);
	int pair[2];

	(void)state;
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(write(pair[1], bytes, len), len);
	assert_int_equal(write(pair[1], "rest", 5), 5);
	assert_int_equal(xe_flow_file_read(&file, pair[0], err, sizeof(err)), 0);
	assert_int_equal(file.record_cnt, 20);
	assert_int_equal(read(pair[0], rest, sizeof(rest)), 5);
	assert_string_equal(rest, "rest");
	close(pair[0]);
	close(pair[1]);
	xe_flow_file_free(&file);
	free(bytes);
}

/* The layout of the header: state/flow_record.c. */
#define SIZES_AT 12
#define CRC_AT   56

/* As a program has it whose structures have other lengths: header, port, record. */
static uint8_t *other_sizes(const uint8_t *from, const uint32_t size[3], uint32_t cnt, size_t *len)
{
	const uint32_t was[3] = {64, sizeof(struct xe_flow_port), sizeof(struct xe_flow_record)};
	const uint32_t cnts[3] = {1, 2, cnt};
	uint8_t *bytes, *at;
	uint32_t crc;

	*len = size[0] + 2 * size[1] + (size_t)cnt * size[2];
	at = bytes = malloc(*len);
	memset(bytes, 0xa5, *len);
	for (int part = 0; part < 3; part++)
		for (uint32_t i = 0; i < cnts[part]; i++, at += size[part], from += was[part])
			memcpy(at, from, was[part] < size[part] ? was[part] : size[part]);
	memcpy(bytes + SIZES_AT, size, 3 * sizeof(*size));
	memset(bytes + CRC_AT, 0, sizeof(crc));
	crc = (uint32_t)crc32(0, bytes, (uInt)*len);
	memcpy(bytes + CRC_AT, &crc, sizeof(crc));
	return bytes;
}

/* What a later version has behind what we know is not looked at. */
static void test_longer(void **state)
{
	const uint32_t longer[3] = {80, 40, 200}, too_short[3] = {64, 24, 168};
	struct xe_flow_file file;
	char err[256];
	size_t len;
	uint8_t *bytes = bytes_of(MANY, &len), *other = other_sizes(bytes, longer, MANY, &len);

	(void)state;
	assert_int_equal(read_bytes(other, len, &file, err), 0);
	assert_int_equal(file.record_cnt, MANY);
	assert_string_equal(file.ports[1].name, "eth0");
	for (uint32_t i = 0; i < MANY; i++) {
		struct xe_flow_record r = sample(i);

		assert_memory_equal(&file.records[i], &r, sizeof(r));
	}
	xe_flow_file_free(&file);
	other[len - 1] ^= 1; /* but it is checked */
	expect_refused(other, len, "checksum");
	expect_refused(other, len - 30, "cut short");
	expect_refused(other, 70, "cut short");
	free(other);
	other = other_sizes(bytes, too_short, MANY, &len);
	expect_refused(other, len, "sizes that no version has");
	free(other);
	free(bytes);
}

/* And what an earlier one has not is 0. */
static void test_fit(void **state)
{
	const uint32_t from[3][2] = {{1, 2}, {3, 4}, {5, 6}};
	uint32_t to[3][3], back[3][1];

	(void)state;
	memset(to, 0xff, sizeof(to));
	xe_fit(to, sizeof(to[0]), from, sizeof(from[0]), 3);
	xe_fit(back, sizeof(back[0]), to, sizeof(to[0]), 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_memory_equal(to[i], from[i], sizeof(from[i]));
		assert_int_equal(to[i][2], 0);
		assert_int_equal(back[i][0], from[i][0]);
	}
}

static void test_empty(void **state)
{
	struct xe_flow_file file;
	char err[256];
	size_t len;
	uint8_t *bytes = bytes_of(0, &len);

	(void)state;
	assert_int_equal(read_bytes(bytes, len, &file, err), 0);
	assert_int_equal(file.record_cnt, 0);
	xe_flow_file_free(&file);
	free(bytes);
}

static void test_foreign(void **state)
{
	size_t len;
	uint8_t *bytes = bytes_of(3, &len);

	(void)state;
	expect_refused((const uint8_t *)"", 0, "does not begin with");
	expect_refused((const uint8_t *)"xeg", 3, "does not begin with");
	expect_refused((const uint8_t *)"\x7f"
					"ELF and so on, and so on",
		       24, "does not begin with");
	bytes[8] = 99;
	expect_refused(bytes, len, "version 99");
	free(bytes);
}

/* Cut anywhere, and any bit turned: refused, never believed. */
static void test_damaged(void **state)
{
	struct xe_flow_file file;
	char err[256];
	size_t len;
	uint8_t *bytes = bytes_of(3, &len);

	(void)state;
	for (size_t cut = 8; cut < len; cut++)
		expect_refused(bytes, cut, "cut short");
	for (size_t i = 0; i < len; i++) {
		bytes[i] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(read_bytes(bytes, len, &file, err), -EINVAL);
		assert_true(err[0]);
		bytes[i] ^= (uint8_t)(1 << i % 8);
	}
	free(bytes);
}

static void expect_fault(struct xe_flow_record r, const char *why)
{
	const char *fault = xe_flow_record_fault(&r, 2);

	assert_non_null(fault);
	if (!strstr(fault, why))
		fail_msg("`%s` does not say `%s`", fault, why);
}

#define FAULT(why, ...)                                                                            \
	do {                                                                                       \
		struct xe_flow_record r = sample(1);                                               \
		__VA_ARGS__;                                                                       \
		expect_fault(r, why);                                                              \
	} while (0)

static void test_faults(void **state)
{
	struct xe_flow_record ok = sample(1);

	(void)state;
	assert_null(xe_flow_record_fault(&ok, 2));
	ok.in_port = ok.out_port = XE_FR_NO_PORT;
	assert_null(xe_flow_record_fault(&ok, 0));
	FAULT("family", r.family = 7);
	FAULT("address", r.family = AF_INET6);
	FAULT("address", r.nat_dst.b[0] = 1);
	FAULT("protocol", r.proto = IPPROTO_ICMP);
	FAULT("UDP with", r.proto = IPPROTO_UDP);
	FAULT("TCP state", r.tcp_state = XE_TCP_NONE);
	FAULT("TCP state", r.tcp_state = XE_TCP_CLOSED + 1);
	FAULT("port", r.in_port = 2);
	FAULT("port", r.out_port = 2);
	FAULT("verb", r.verb = XE_VERB_DROP);
	FAULT("verb", r.verb = 200);
	FAULT("filter", r.filter = 77);
	FAULT("accepted", r.verb = XE_VERB_ACCEPT);
	FAULT("mapping without", r.flags = XE_FR_MAPPED);
	FAULT("gives none", r.verb = XE_VERB_DNAT);
	FAULT("L4 port 0", r.nat_sport_be = 0);
	FAULT("from outside", r.flags |= XE_FR_FROM_OUTSIDE);
	FAULT("flags", r.flags |= 0x80);
	FAULT("more packets", r.packets[0] = 1ull << XE_COUNT_PACKETS_BITS);
	FAULT("more packets", r.bytes[1] = 1ull << XE_COUNT_BYTES_BITS);
}

/* A file whose checksum is right, and whose flows are not. */
static void test_contradiction(void **state)
{
	int fd = memfd_create("flows", MFD_CLOEXEC);
	struct xe_flow_record r = sample(0);
	struct xe_flow_file file;
	char err[256] = "";

	(void)state;
	xe_flow_file_init(&file);
	r.in_port = r.out_port = XE_FR_NO_PORT;
	assert_int_equal(xe_flow_file_add(&file, &r), 0);
	r.proto = 1;
	assert_int_equal(xe_flow_file_add(&file, &r), 0);
	assert_int_equal(xe_flow_file_write(&file, fd), 0);
	xe_flow_file_free(&file);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(xe_flow_file_read(&file, fd, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "flow 2: "));
	close(fd);
}

static void test_ports(void **state)
{
	struct xe_flow_file file;

	(void)state;
	xe_flow_file_init(&file);
	assert_int_equal(xe_flow_file_port(&file, "a", 1, 0), 0);
	assert_int_equal(xe_flow_file_port(&file, "b", 1, 0), 1);
	assert_int_equal(xe_flow_file_port(&file, "a", 2, 0), 2);
	assert_int_equal(xe_flow_file_port(&file, "a", 1, 0), 0);
	xe_flow_file_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_stream),
		cmocka_unit_test(test_empty),         cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_damaged),       cmocka_unit_test(test_faults),
		cmocka_unit_test(test_contradiction), cmocka_unit_test(test_ports),
		cmocka_unit_test(test_longer),        cmocka_unit_test(test_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
