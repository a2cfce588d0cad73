/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_config.c - any bytes as sluiced.conf: read or refused, never more. */
#include "transport/agent/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[CONFIG_ERROR_MAX];
	struct config *config;
	FILE *stream;

	if (size == 0)
		return 0;
	stream = fmemopen((void *)data, size, "r");
	if (stream && config_read(stream, "input", &config, error) == 0)
		config_free(config);
	if (stream)
		fclose(stream);
	return 0;
}
