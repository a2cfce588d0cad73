/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_lines.c - a segment counts the lines of its own stream; errors shall name the
 * line of the file. The last records of each stream are remembered: an error can
 * only be about what is still under way, or in the segment's batch of at most 1,000
 * rows.
 */
#include <postgres.h>

#include "executor/load/load.h"

#define RECORDS_MAX (512 * 1024) /* a power of 2 */

typedef struct Record {
	uint64 stream_line;
	uint64 line;
} Record;

struct LineMap {
	Record *records; /* ring */
	uint64 size;     /* of it, a power of 2 */
	uint64 count;    /* records ever added; the last min(count, size) are kept */
	uint64 next;     /* stream line of the next record */
	uint64 sent;     /* lines of the stream that were handed over */
	uint64 base;     /* lines of the stream before the segment began to count */
};

LineMap *line_map_make(void)
{
	LineMap *map = palloc0(sizeof(*map));

	map->size = 1024;
	map->records = palloc(map->size * sizeof(Record));
	map->next = 1;
	return map;
}

void line_map_add(LineMap *map, uint64 line, uint64 line_count)
{
	if (map->count == map->size && map->size < RECORDS_MAX) {
		/* Full for the first time at this size, so the ring begins at 0. */
		map->size *= 2;
		map->records = repalloc(map->records, map->size * sizeof(Record));
	}
	map->records[map->count & (map->size - 1)] = (Record){map->next, line};
	map->count++;
	map->next += line_count;
}

void line_map_sent(LineMap *map)
{
	map->sent = map->next - 1;
}

void line_map_restart(LineMap *map)
{
	map->base = map->sent;
}

uint64 line_map_find(const LineMap *map, uint64 segment_line)
{
	uint64 stream_line = map->base + segment_line;
	uint64 low = map->count > map->size ? map->count - map->size : 0;
	uint64 high = map->count;

	/* The last record that begins at or before that line. */
	while (low < high) {
		uint64 middle = (low + high) / 2;

		if (map->records[middle & (map->size - 1)].stream_line <= stream_line)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || (map->count > map->size && low == map->count - map->size))
		return 0;
	return map->records[(low - 1) & (map->size - 1)].line + stream_line -
	       map->records[(low - 1) & (map->size - 1)].stream_line;
}
