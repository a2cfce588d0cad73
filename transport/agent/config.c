/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - reads sluiced.conf: libinih splits lines into keys and values, one
 * table says what each key is. Sections and line numbers come from the reader
 * that feeds libinih, because libinih cuts long section names, does not report
 * empty sections and takes an indented line for more of the value above it.
 */
#include "transport/agent/config.h"

#include "transport/agent/config_value.h"
#include "transport/clock.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum key_kind {
	KEY_TEXT,     /* char * */
	KEY_NAME,     /* char *, a node name */
	KEY_PATH,     /* char *, absolute */
	KEY_U32,      /* uint32_t */
	KEY_U64,      /* uint64_t */
	KEY_US,       /* uint64_t in ns, written as microseconds without unit */
	KEY_SIZE,     /* uint64_t bytes */
	KEY_DURATION, /* uint64_t ns */
	KEY_OCTAL,    /* uint32_t */
	KEY_BOOL,     /* bool */
	KEY_WORD,     /* uint32_t: which of words, split by '|' */
	KEY_NUMA,     /* int32_t */
	KEY_ADDRESS,  /* struct config_address */
	KEY_USERS,    /* config_agent.allow_uids and allow_uid_count */
};

struct key {
	const char *section;
	const char *name;
	enum key_kind kind;
	size_t offset; /* in struct config; in struct config_peer for [peer] */
	uint64_t min, max;
	const char *words;
};

#define AGENT(field)   offsetof(struct config, agent.field)
#define ARENA(field)   offsetof(struct config, arena.field)
#define CONTROL(field) offsetof(struct config, control.field)
#define DRIVER(field)  offsetof(struct config, driver.field)

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

#define HOUR_NS (3600 * SLU_NS_PER_S)

/* clang-format off */
static const struct key config_keys[] = {
	{"agent", "node", KEY_NAME, AGENT(node), 0, 0, NULL},
	{"agent", "cluster_id", KEY_U64, AGENT(cluster_id), 1, UINT64_MAX, NULL},
	{"agent", "socket", KEY_PATH, AGENT(socket_path), 0, 107, NULL},
	{"agent", "socket_mode", KEY_OCTAL, AGENT(socket_mode), 0, 0, NULL},
	{"agent", "allow_users", KEY_USERS, 0, 0, 0, NULL},
	{"agent", "pollers", KEY_U32, AGENT(poller_count), 1, CONFIG_POLLERS_MAX, NULL},
	{"agent", "spin_us", KEY_US, AGENT(spin_ns), 0, 1000000, NULL},
	{"agent", "log_level", KEY_WORD, AGENT(log_level), 0, 0, "debug|info|warning|error"},
	{"agent", "rendezvous_timeout", KEY_DURATION, AGENT(rendezvous_timeout_ns),
	 10 * SLU_NS_PER_MS, 24 * HOUR_NS, NULL},
	{"agent", "peer_timeout", KEY_DURATION, AGENT(peer_timeout_ns), 100 * SLU_NS_PER_MS, HOUR_NS, NULL},
	{"agent", "keepalive", KEY_DURATION, AGENT(keepalive_ns), 10 * SLU_NS_PER_MS, HOUR_NS, NULL},
	{"agent", "metrics_listen", KEY_ADDRESS, AGENT(metrics_listen), 0, 0, NULL},
	{"arena", "size", KEY_SIZE, ARENA(size_bytes), MIB, 16384 * GIB, NULL},
	{"arena", "frame_size", KEY_SIZE, ARENA(frame_size_bytes), 4 * KIB, 16 * MIB, NULL},
	{"arena", "max_channels", KEY_U32, ARENA(max_channels), 1, 1u << 20, NULL},
	{"arena", "receive_frames", KEY_U32, ARENA(receive_frames), 1, 1u << 20, NULL},
	{"arena", "max_processes", KEY_U32, ARENA(max_processes), 1, 1u << 16, NULL},
	{"arena", "window_max", KEY_U32, ARENA(window_max_frames), 1, 1u << 15, NULL},
	{"arena", "hugepages", KEY_WORD, ARENA(hugepages), 0, 0, "auto|always|never"},
	{"arena", "numa", KEY_NUMA, ARENA(numa_node), 0, 1023, NULL},
	{"control", "listen", KEY_ADDRESS, CONTROL(listen), 0, 0, NULL},
	{"control", "auth", KEY_WORD, CONTROL(auth), 0, 0, "none|psk|cert"},
	{"control", "psk_file", KEY_PATH, CONTROL(psk_file), 0, 4095, NULL},
	{"control", "psk_identity", KEY_TEXT, CONTROL(psk_identity), 1, 127, NULL},
	{"control", "ca_file", KEY_PATH, CONTROL(ca_file), 0, 4095, NULL},
	{"control", "cert_file", KEY_PATH, CONTROL(cert_file), 0, 4095, NULL},
	{"control", "key_file", KEY_PATH, CONTROL(key_file), 0, 4095, NULL},
	{"control", "auth_none_anywhere", KEY_BOOL, CONTROL(auth_none_anywhere), 0, 0, NULL},
	{"driver", "name", KEY_TEXT, DRIVER(name), 1, 63, NULL},
	{"driver", "sessions", KEY_U32, DRIVER(session_count), 1, 64, NULL},
	{"driver", "crc32c", KEY_BOOL, DRIVER(crc32c), 0, 0, NULL},
	{"driver", "encrypt", KEY_BOOL, DRIVER(encrypt), 0, 0, NULL},
	{"peer", "address", KEY_ADDRESS, offsetof(struct config_peer, address), 0, 0, NULL},
};
/* clang-format on */

#define KEY_COUNT (sizeof(config_keys) / sizeof(config_keys[0]))

struct parser {
	FILE *stream;
	const char *name;
	struct config *config;
	char *error;   /* CONFIG_ERROR_MAX bytes */
	int rc;        /* not 0: the first error, in error_line */
	unsigned line; /* of the line read last; from 1 */
	unsigned error_line;
	char section[16];         /* "" before the first */
	unsigned sections_seen;   /* bit per entry of section_names */
	struct config_peer *peer; /* of the current [peer NAME] */
	bool seen[KEY_COUNT];     /* [peer] keys are reset by each section */
};

static const char *const section_names[] = {"agent", "arena", "control", "driver"};

__attribute__((format(printf, 3, 4))) static int parser_fail(struct parser *parser, int rc,
                                                             const char *format, ...)
{
	va_list args;
	int used;

	if (parser->rc)
		return parser->rc;
	used = snprintf(parser->error, CONFIG_ERROR_MAX, "%.255s:%u: ", parser->name, parser->line);
	va_start(args, format);
	vsnprintf(parser->error + used, CONFIG_ERROR_MAX - (size_t)used, format, args);
	va_end(args);
	parser->rc = rc;
	parser->error_line = parser->line;
	return rc;
}

bool config_name_valid(const char *text)
{
	size_t size = strlen(text);

	if (size < 1 || size >= CONFIG_NAME_MAX || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
			return false;
	return true;
}

static int parser_peer_section(struct parser *parser, const char *name)
{
	struct config *config = parser->config;
	struct config_peer *peers;

	if (!config_name_valid(name))
		return parser_fail(parser, -EINVAL, "'%s' is not a node name", name);
	for (size_t i = 0; i < config->peer_count; i++)
		if (strcasecmp(config->peers[i].name, name) == 0)
			return parser_fail(parser, -EINVAL, "peer '%s' is there twice", name);
	if (config->peer_count == CONFIG_PEERS_MAX)
		return parser_fail(parser, -EINVAL, "more than %u peers", CONFIG_PEERS_MAX);
	peers = reallocarray(config->peers, config->peer_count + 1, sizeof(*peers));
	if (!peers)
		return parser_fail(parser, -ENOMEM, "out of memory");
	config->peers = peers;
	parser->peer = &peers[config->peer_count++];
	memset(parser->peer, 0, sizeof(*parser->peer));
	strcpy(parser->peer->name, name);
	strcpy(parser->section, "peer");
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(config_keys[i].section, "peer") == 0)
			parser->seen[i] = false;
	return 0;
}

/* line begins with '['. */
static int parser_section(struct parser *parser, const char *line)
{
	char name[CONFIG_NAME_MAX + 16];
	size_t size = strcspn(line + 1, "]\r\n");
	const char *rest = line + 1 + size;

	if (*rest != ']')
		return parser_fail(parser, -EINVAL, "the section has no ']'");
	rest += 1 + strspn(rest + 1, " \t\r\n");
	if (*rest && *rest != ';' && *rest != '#')
		return parser_fail(parser, -EINVAL, "text after the section's ']'");
	snprintf(name, sizeof(name), "%.*s", (int)size, line + 1);
	if (size < sizeof(name) && strncmp(name, "peer ", 5) == 0)
		return parser_peer_section(parser, name + 5 + strspn(name + 5, " \t"));
	for (size_t i = 0; i < sizeof(section_names) / sizeof(section_names[0]); i++) {
		if (strcmp(name, section_names[i]) != 0)
			continue;
		if (parser->sections_seen & (1u << i))
			return parser_fail(parser, -EINVAL, "section [%s] is there twice", name);
		parser->sections_seen |= 1u << i;
		strcpy(parser->section, name);
		return 0;
	}
	return parser_fail(parser, -EINVAL, "no section [%s]", name);
}

/* Gives libinih one line; NULL ends it, also after an error. As fgets(). */
static char *parser_read(char *ret_line, int size, void *ctx)
{
	struct parser *parser = ctx;
	size_t used;

	if (parser->rc || !fgets(ret_line, size, parser->stream))
		return NULL;
	parser->line++;
	used = strlen(ret_line);
	if ((used == 0 || ret_line[used - 1] != '\n') && !feof(parser->stream)) {
		parser_fail(parser, -EINVAL, "the line is longer than %d bytes or not text",
		            size - 2);
		return NULL;
	}
	if (isspace((unsigned char)ret_line[0]) && ret_line[strspn(ret_line, " \t\r\n\v\f")]) {
		parser_fail(parser, -EINVAL, "the line begins with a space");
		return NULL;
	}
	if (ret_line[0] == '[' && parser_section(parser, ret_line))
		return NULL;
	return ret_line;
}

static int parser_text(struct parser *parser, const struct key *key, const char *text, void *field)
{
	char **ret_text = field;

	if (key->kind == KEY_NAME && !config_name_valid(text))
		return parser_fail(parser, -EINVAL,
		                   "%s: '%s' is not a node name (letters, digits, '.', '_', '-')",
		                   key->name, text);
	if (key->kind == KEY_PATH && text[0] != '/')
		return parser_fail(parser, -EINVAL, "%s: '%s' is not an absolute path", key->name,
		                   text);
	if (key->max && strlen(text) > key->max)
		return parser_fail(parser, -EINVAL, "%s: longer than %llu bytes", key->name,
		                   (unsigned long long)key->max);
	free(*ret_text);
	*ret_text = strdup(text);
	return *ret_text ? 0 : parser_fail(parser, -ENOMEM, "out of memory");
}

static int parser_word(struct parser *parser, const struct key *key, const char *text,
                       uint32_t *ret_value)
{
	const char *word = key->words;

	for (uint32_t i = 0; *word; i++) {
		size_t size = strcspn(word, "|");

		if (strlen(text) == size && memcmp(word, text, size) == 0) {
			*ret_value = i;
			return 0;
		}
		word += size + (word[size] == '|');
	}
	return parser_fail(parser, -EINVAL, "%s: '%s' is none of %s", key->name, text, key->words);
}

static int parser_number(struct parser *parser, const struct key *key, const char *text,
                         uint64_t *ret_value)
{
	char reason[CONFIG_ERROR_MAX];
	uint64_t value = 0;
	int rc;

	if (key->kind == KEY_SIZE)
		rc = config_value_size(text, &value, reason);
	else if (key->kind == KEY_DURATION)
		rc = config_value_duration(text, &value, reason);
	else if (key->kind == KEY_OCTAL)
		rc = config_value_octal(text, &value, reason);
	else
		rc = config_value_u64(text, &value, reason);
	if (rc)
		return parser_fail(parser, rc, "%s: %s", key->name, reason);
	if (key->kind != KEY_OCTAL && (value < key->min || value > key->max))
		return parser_fail(parser, -EINVAL, "%s: '%s' is not in %llu .. %llu%s", key->name,
		                   text, (unsigned long long)key->min, (unsigned long long)key->max,
		                   key->kind == KEY_DURATION ? " ns"
		                   : key->kind == KEY_SIZE   ? " bytes"
		                                             : "");
	*ret_value = key->kind == KEY_US ? value * SLU_NS_PER_US : value;
	return 0;
}

static int parser_numa(struct parser *parser, const struct key *key, const char *text,
                       int32_t *ret_node)
{
	uint64_t node;

	if (strcmp(text, "auto") == 0) {
		*ret_node = CONFIG_NUMA_AUTO;
	} else if (strcmp(text, "off") == 0) {
		*ret_node = CONFIG_NUMA_OFF;
	} else {
		if (parser_number(parser, key, text, &node))
			return parser->rc;
		*ret_node = (int32_t)node;
	}
	return 0;
}

static int parser_users(struct parser *parser, const struct key *key, const char *text)
{
	struct config_agent *agent = &parser->config->agent;
	char reason[CONFIG_ERROR_MAX] = "out of memory";
	uid_t *uids;
	size_t count;
	int rc = config_value_users(text, &uids, &count, reason);

	if (rc)
		return parser_fail(parser, rc, "%s: %s", key->name, reason);
	free(agent->allow_uids);
	agent->allow_uids = uids;
	agent->allow_uid_count = count;
	return 0;
}

static int parser_value(struct parser *parser, const struct key *key, const char *text)
{
	bool in_peer = strcmp(key->section, "peer") == 0;
	void *field = (char *)(in_peer ? (void *)parser->peer : parser->config) + key->offset;
	char reason[CONFIG_ERROR_MAX];
	uint64_t value;
	int rc = 0;

	switch (key->kind) {
	case KEY_TEXT:
	case KEY_NAME:
	case KEY_PATH:
		return parser_text(parser, key, text, field);
	case KEY_U32:
	case KEY_OCTAL:
		rc = parser_number(parser, key, text, &value);
		if (!rc)
			*(uint32_t *)field = (uint32_t)value;
		return rc;
	case KEY_U64:
	case KEY_US:
	case KEY_SIZE:
	case KEY_DURATION:
		return parser_number(parser, key, text, field);
	case KEY_WORD:
		return parser_word(parser, key, text, field);
	case KEY_NUMA:
		return parser_numa(parser, key, text, field);
	case KEY_USERS:
		return parser_users(parser, key, text);
	case KEY_BOOL:
		rc = config_value_bool(text, field, reason);
		break;
	case KEY_ADDRESS:
		rc = config_value_address(text, field, reason);
		break;
	}
	return rc ? parser_fail(parser, rc, "%s: %s", key->name, reason) : 0;
}

/* A key of [driver] that is not ours belongs to the driver. */
static int parser_option(struct parser *parser, const char *name, const char *text)
{
	struct config_driver *driver = &parser->config->driver;
	struct slu_driver_option *options;

	for (size_t i = 0; i < driver->option_count; i++)
		if (strcmp(driver->options[i].name, name) == 0)
			return parser_fail(parser, -EINVAL, "'%s' is there twice", name);
	options = reallocarray(driver->options, driver->option_count + 1, sizeof(*options));
	if (!options)
		return parser_fail(parser, -ENOMEM, "out of memory");
	driver->options = options;
	options += driver->option_count++;
	options->name = strdup(name);
	options->value = strdup(text);
	if (!options->name || !options->value)
		return parser_fail(parser, -ENOMEM, "out of memory");
	return 0;
}

/* libinih's handler: not 0 to go on. */
static int parser_key(void *ctx, const char *section, const char *name, const char *text)
{
	struct parser *parser = ctx;
	size_t i;

	if (!parser->section[0])
		return !parser_fail(parser, -EINVAL, "'%s' stands before the first section", name);
	if (!*name || !*text)
		return !parser_fail(parser, -EINVAL, "'%s' has no value", name);
	/* Only ';' begins a comment behind a value, and a path may hold a '#'. */
	if (strstr(text, " #"))
		return !parser_fail(parser, -EINVAL, "%s: a comment behind a value begins with ';'",
		                    name);
	for (i = 0; i < KEY_COUNT; i++)
		if (strcmp(config_keys[i].section, parser->section) == 0 &&
		    strcmp(config_keys[i].name, name) == 0)
			break;
	if (i == KEY_COUNT && strcmp(parser->section, "driver") == 0)
		return !parser_option(parser, name, text);
	if (i == KEY_COUNT)
		return !parser_fail(parser, -EINVAL, "no key '%s' in [%s]", name, parser->section);
	if (parser->seen[i])
		return !parser_fail(parser, -EINVAL, "'%s' is there twice", name);
	parser->seen[i] = true;
	return !parser_value(parser, &config_keys[i], text);
}

/* Returns owned, NULL when out of memory. */
static struct config *config_defaults(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->agent = (struct config_agent){
	        .socket_path = strdup("/run/sluice/sluiced.sock"),
	        .socket_mode = 0666,
	        .poller_count = 1,
	        .spin_ns = 50 * SLU_NS_PER_US,
	        .log_level = LOG_LEVEL_INFO,
	        .rendezvous_timeout_ns = 30 * SLU_NS_PER_S,
	        .peer_timeout_ns = 5 * SLU_NS_PER_S,
	        .keepalive_ns = SLU_NS_PER_S,
	};
	config->arena = (struct config_arena){
	        .size_bytes = 256 * MIB,
	        .frame_size_bytes = 64 * KIB,
	        .max_channels = 1024,
	        .receive_frames = 1024,
	        .max_processes = 256,
	        .window_max_frames = 64,
	        .hugepages = CONFIG_HUGEPAGES_AUTO,
	        .numa_node = CONFIG_NUMA_AUTO,
	};
	config->control.auth = CONFIG_AUTH_CERT;
	config->control.psk_identity = strdup("sluice");
	config->driver.name = strdup("tcp");
	config->driver.session_count = 1;
	if (!config->agent.socket_path || !config->control.psk_identity || !config->driver.name) {
		config_free(config);
		return NULL;
	}
	return config;
}

/* What can be told only when the whole file is read. */
static int parser_finish(struct parser *parser)
{
	struct config *config = parser->config;
	struct config_agent *agent = &config->agent;
	char host[CONFIG_NAME_MAX] = "";

	if (!agent->cluster_id)
		return parser_fail(parser, -EINVAL, "[agent] cluster_id is not given");
	if (!agent->node) {
		/* A longer name is cut without a NUL; the last byte stays 0. */
		gethostname(host, sizeof(host) - 1);
		if (!config_name_valid(host))
			return parser_fail(parser, -EINVAL,
			                   "the host name '%s' cannot be a node name: "
			                   "give [agent] node",
			                   host);
		agent->node = strdup(host);
	}
	if (!agent->allow_uids) {
		agent->allow_uids = malloc(2 * sizeof(*agent->allow_uids));
		if (agent->allow_uids) {
			agent->allow_uids[agent->allow_uid_count++] = 0;
			if (geteuid() != 0)
				agent->allow_uids[agent->allow_uid_count++] = geteuid();
		}
	}
	if (!agent->node || !agent->allow_uids)
		return parser_fail(parser, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->peer_count; i++) {
		if (strcasecmp(config->peers[i].name, agent->node) != 0)
			continue;
		memmove(&config->peers[i], &config->peers[i + 1],
		        (config->peer_count - i - 1) * sizeof(*config->peers));
		config->peer_count--;
		break;
	}
	return 0;
}

int config_read(FILE *stream, const char *name, struct config **ret_config, char *error)
{
	struct parser parser = {.stream = stream, .name = name, .error = error};
	int line;

	parser.config = config_defaults();
	if (!parser.config) {
		snprintf(error, CONFIG_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	line = ini_parse_stream(parser_read, &parser, parser_key, &parser);
	if (line > 0 && (!parser.rc || (unsigned)line < parser.error_line)) {
		parser.rc = 0;
		parser.line = (unsigned)line;
		parser_fail(&parser, -EINVAL, "neither a section nor key = value");
	} else if (line < 0) {
		parser_fail(&parser, -ENOMEM, "out of memory");
	}
	if (!parser.rc && ferror(stream))
		parser_fail(&parser, -EIO, "cannot be read");
	if (!parser.rc)
		parser_finish(&parser);
	if (parser.rc) {
		config_free(parser.config);
		return parser.rc;
	}
	*ret_config = parser.config;
	return 0;
}

int config_load(const char *path, struct config **ret_config, char *error)
{
	FILE *stream = fopen(path, "re");
	int rc;

	if (!stream) {
		rc = -errno;
		snprintf(error, CONFIG_ERROR_MAX, "%.255s: %s", path, strerror(-rc));
		return rc;
	}
	rc = config_read(stream, path, ret_config, error);
	fclose(stream);
	return rc;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	free(config->agent.node);
	free(config->agent.socket_path);
	free(config->agent.allow_uids);
	free(config->control.psk_file);
	free(config->control.psk_identity);
	free(config->control.ca_file);
	free(config->control.cert_file);
	free(config->control.key_file);
	free(config->driver.name);
	for (size_t i = 0; i < config->driver.option_count; i++) {
		free((char *)config->driver.options[i].name);
		free((char *)config->driver.options[i].value);
	}
	free(config->driver.options);
	free(config->peers);
	free(config);
}
