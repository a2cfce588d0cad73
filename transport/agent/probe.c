/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c - see probe.h. */
#include "transport/agent/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct asking {
	struct slu_driver_config driver;
	bool json;
	bool told; /* of a driver before */
	FILE *out;
};

static void tell(struct asking *asking, const char *name, int result, const char *text)
{
	if (result == -EINVAL)
		fprintf(stderr, "sluiced: driver %s: %s\n", name, asking->driver.error);
	else if (result != 0 && result != -ENODEV)
		fprintf(stderr, "sluiced: driver %s: %s\n", name, strerrordesc_np(-result));
	else if (asking->json)
		fprintf(asking->out, "%s \"%s\": %s", asking->told ? ",\n" : "", name, text);
	else
		fprintf(asking->out, "driver %s\n%s", name, text);
	asking->told |= result == 0 || result == -ENODEV;
}

/* As the op, and tells; what needs nothing of the machine (-ENOTSUP) says nothing. */
static int ask(struct asking *asking, const char *name)
{
	const struct slu_driver_ops *ops = slu_driver_find(name);
	char *text = NULL;
	size_t size_bytes = 0;
	FILE *stream = open_memstream(&text, &size_bytes);
	int r;

	if (!stream)
		return -ENOMEM;
	r = ops->probe(&asking->driver, asking->json, stream);
	if (fclose(stream) != 0)
		r = -ENOMEM;
	if (r != -ENOTSUP)
		tell(asking, name, r, text);
	free(text);
	return r;
}

static bool ask_configured(struct asking *asking, const char *name)
{
	int r;

	if (!slu_driver_find(name)) {
		fprintf(stderr, "sluiced: this build has no driver '%s'\n", name);
		return false;
	}
	r = ask(asking, name);
	if (r == -ENOTSUP && !asking->json)
		fprintf(asking->out, "driver %s\n  needs no device of its own\n", name);
	return r == 0 || r == -ENOTSUP;
}

int probe_run(const struct config *config, bool json, FILE *out)
{
	char error[SLU_DRIVER_ERROR_MAX] = "";
	struct asking asking = {.driver.error = error, .json = json, .out = out};
	const char *const *names = slu_driver_names();
	bool usable = false;

	if (json)
		fputs("{\n", out);
	if (config) {
		asking.driver.options = config->driver.options;
		asking.driver.option_count = config->driver.option_count;
		usable = ask_configured(&asking, config->driver.name);
	}
	for (; !config && *names; names++)
		usable |= ask(&asking, *names) == 0;
	if (json)
		fputs("\n}\n", out);
	else if (!config && !asking.told)
		fputs("no driver of this build needs a device\n", out);
	return usable ? 0 : 1;
}
