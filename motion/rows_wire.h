/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_wire.h - what a frame of a motion holds, told by the frame's tag.
 *
 *   ROWS   whole rows, each padded with zeros to a multiple of 8 bytes; the tag
 *          that slu_channel_flush() gives
 *   FIRST  the first bytes of a row that is larger than a frame
 *   MORE   its next bytes; the row ends where the length in its first four bytes
 *          says, and so does that frame
 *
 * The frames of one row follow each other without others between. Lengths are
 * in the byte order of the hosts: agents with another one do not connect.
 */
#ifndef MOTION_ROWS_WIRE_H
#define MOTION_ROWS_WIRE_H

#include <stdint.h>

enum rows_tag {
	ROWS_TAG_ROWS = 0,
	ROWS_TAG_FIRST = 1,
	ROWS_TAG_MORE = 2,
};

#define ROWS_LENGTH_BYTES  4u /* of the word a row begins with */
#define ROWS_ALIGN_BYTES   8u
#define ROWS_BYTES_DEFAULT (UINT32_C(1) << 30) /* longest row, as PostgreSQL's */

#endif
