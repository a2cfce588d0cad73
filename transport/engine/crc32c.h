/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4) of frames and small
 * messages: by the SSE4.2 instruction where the CPU has it, else by tables. */
#ifndef TRANSPORT_ENGINE_CRC32C_H
#define TRANSPORT_ENGINE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of size_bytes at data; continues the checksum crc of the bytes
 * before, 0 to begin. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size_bytes);

/* The same by tables, whatever the CPU has. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size_bytes);

#endif
