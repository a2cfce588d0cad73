/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_value.h - from the text of one value to a number, an address or users.
 * Each function reads the whole text or refuses it: 0, or -EINVAL with the
 * reason in error (CONFIG_ERROR_MAX bytes). Outputs are written on success only.
 */
#ifndef TRANSPORT_AGENT_CONFIG_VALUE_H
#define TRANSPORT_AGENT_CONFIG_VALUE_H

#include "transport/agent/config.h"

/* Decimal or 0x-hexadecimal digits, nothing else. */
int config_value_u64(const char *text, uint64_t *ret_value, char *error);

/* As the mode of chmod: 0660. At most 0777. */
int config_value_octal(const char *text, uint64_t *ret_value, char *error);

/* Bytes: 65536, 64k, 256M, 1G (powers of 1024). */
int config_value_size(const char *text, uint64_t *ret_bytes, char *error);

/* 5s, 500ms, 20us, or 0. A number without unit is refused: it would be guessed. */
int config_value_duration(const char *text, uint64_t *ret_ns, char *error);

/* yes or no. */
int config_value_bool(const char *text, bool *ret_value, char *error);

/* host:port, 10.0.0.1:7400, [fd00::1]:7400; port 0 to 65535. */
int config_value_address(const char *text, struct config_address *ret_address, char *error);

/* User names and numeric user ids with commas between. *ret_uids is returned
 * owned (free). Also -ENOMEM. */
int config_value_users(const char *text, uid_t **ret_uids, size_t *ret_count, char *error);

/* Write a size as a configuration has it: 256M, 64k, 1000. size_bytes: 24 of text. */
void config_value_size_text(uint64_t size_bytes, char *ret_text);

#endif
