/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_flows.c - any bytes as a file of flows. What is taken must be sound, and written again must
 * be read as the same. The checksum is put right in every other input, so that what lies behind it
 * is reached.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_flows tests/fuzz/corpus/flows
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "state/flow_record.h"

#define CRC_AT     56u
#define HEADER     64u
#define INPUT_SIZE 65536u

static void must(int ok)
{
	if (!ok)
		abort(); /* libFuzzer keeps the input */
}

static void put_crc(uint8_t *bytes, size_t len)
{
	uint32_t crc;

	memset(bytes + CRC_AT, 0, sizeof(crc));
	crc = (uint32_t)crc32(0, bytes, (uInt)len);
	memcpy(bytes + CRC_AT, &crc, sizeof(crc));
}

static void again(const struct xe_flow_file *file)
{
	int fd = memfd_create("again", MFD_CLOEXEC);
	struct xe_flow_file copy;
	char err[256];

	must(fd >= 0 && !xe_flow_file_write(file, fd) && !lseek(fd, 0, SEEK_SET));
	must(!xe_flow_file_read(&copy, fd, err, sizeof(err)));
	must(copy.record_cnt == file->record_cnt && copy.port_cnt == file->port_cnt);
	must(!file->record_cnt ||
	     !memcmp(copy.records, file->records, file->record_cnt * sizeof(*file->records)));
	xe_flow_file_free(&copy);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[INPUT_SIZE];
	struct xe_flow_file file;
	char err[256] = "";
	int fd, ret;

	if (size < 1 || size > INPUT_SIZE)
		return 0;
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & 1 && size - 1 >= HEADER)
		put_crc(bytes, size - 1);
	fd = memfd_create("flows", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, bytes, size - 1) == (ssize_t)(size - 1));
	must(!lseek(fd, 0, SEEK_SET));
	ret = xe_flow_file_read(&file, fd, err, sizeof(err));
	close(fd);
	if (ret) {
		must(err[0] && !file.records && !file.ports);
		return 0;
	}
	for (uint32_t i = 0; i < file.record_cnt; i++)
		must(!xe_flow_record_fault(&file.records[i], file.port_cnt));
	again(&file);
	xe_flow_file_free(&file);
	return 0;
}
