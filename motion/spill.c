/* SPDX-License-Identifier: Apache-2.0 */
/* spill.c - see spill.h. */
#include "motion/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPILL_PAGE_BYTES 4096u /* a block shares none with another */

int spill_init(struct spill *spill, const char *directory, size_t block_bytes, uint64_t bytes_max)
{
	if (!directory)
		directory = getenv("TMPDIR");
	if (!directory || !directory[0])
		directory = "/tmp";
	*spill = (struct spill){
	        .directory = strdup(directory),
	        .block_bytes =
	                (block_bytes + SPILL_PAGE_BYTES - 1) & ~(size_t)(SPILL_PAGE_BYTES - 1),
	        .bytes_max = bytes_max ? bytes_max : UINT64_MAX,
	        .fd = -1,
	};
	return spill->directory ? 0 : -ENOMEM;
}

void spill_fini(struct spill *spill)
{
	if (spill->fd >= 0)
		close(spill->fd);
	free(spill->free);
	free((char *)spill->directory);
}

/* Where the file system has no O_TMPFILE, a name for a moment. */
static int open_named(const char *directory)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/sluice-spill.XXXXXX", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int open_file(struct spill *spill)
{
	if (spill->fd >= 0)
		return 0;
	spill->fd = open(spill->directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (spill->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT))
		spill->fd = open_named(spill->directory);
	else if (spill->fd < 0)
		spill->fd = -errno;
	if (spill->fd < 0) {
		int r = spill->fd;

		spill->fd = -1;
		return r;
	}
	return 0;
}

static int take_block(struct spill *spill, uint64_t *ret_block)
{
	if (spill->free_count) {
		*ret_block = spill->free[--spill->free_count];
		return 0;
	}
	if (spill_file_bytes(spill) + spill->block_bytes > spill->bytes_max)
		return -EDQUOT;
	/* room for every block now: giving one back must not fail */
	if (spill->block_count == spill->free_room) {
		size_t room = spill->free_room ? spill->free_room * 2 : 64;
		uint64_t *grown = reallocarray(spill->free, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		spill->free = grown;
		spill->free_room = room;
	}
	*ret_block = spill->block_count++;
	return 0;
}

int spill_write(struct spill *spill, const void *data, size_t size_bytes, uint64_t *ret_block)
{
	uint64_t block;
	size_t done = 0;
	int r = open_file(spill);

	if (r == 0)
		r = take_block(spill, &block);
	if (r < 0)
		return r;
	while (done < size_bytes) {
		ssize_t n = pwrite(spill->fd, (const uint8_t *)data + done, size_bytes - done,
		                   (off_t)(block * spill->block_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -EIO;
			spill_free(spill, block);
			return r;
		}
		done += (size_t)n;
	}
	*ret_block = block;
	return 0;
}

int spill_read(struct spill *spill, uint64_t block, void *data, size_t size_bytes)
{
	size_t done = 0;

	while (done < size_bytes) {
		ssize_t n = pread(spill->fd, (uint8_t *)data + done, size_bytes - done,
		                  (off_t)(block * spill->block_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

void spill_free(struct spill *spill, uint64_t block)
{
	spill->free[spill->free_count++] = block;
}

uint64_t spill_file_bytes(const struct spill *spill)
{
	return spill->block_count * spill->block_bytes;
}
