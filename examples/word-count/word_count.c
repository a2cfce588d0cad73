/* SPDX-License-Identifier: Apache-2.0 */
/*
 * word_count.c - the words of some files by how often they occur, counted by
 * several processes: the smallest distributed query with motion.h.
 *
 *   word-count [--socket PATH] [--cluster N] [--top N] FILE...
 *
 * In SQL: SELECT word, count(*) FROM files GROUP BY word ORDER BY 2 DESC, 1 LIMIT n.
 *
 *   mappers   one per file; count their words      (first stage of the aggregate)
 *      |      redistribute by hash of the word
 *   reducers  add up what belongs to them, sort    (second stage)
 *      |      ordered gather, stopped after n rows
 *   this      prints
 */
#include <sluice/motion.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uthash.h>

#define REDUCERS     2u
#define FILES_MAX    64
#define WORD_BYTES   64u
#define MOTION_WORDS 1u
#define MOTION_COUNT 2u

struct arguments {
	const char *socket_path;
	uint64_t cluster, query, top;
	struct slu_token token;
	char **files;
	uint32_t file_count;
};

/* A row: its length first, as motion.h wants it. */
struct word_row {
	uint32_t length;
	uint32_t reserved;
	uint64_t count;
	char word[WORD_BYTES];
};

struct word {
	struct word_row row;
	UT_hash_handle hh;
};

struct process {
	const struct arguments *arguments;
	slu_endpoint *endpoint;
	slu_motion_context *context;
};

/* ---- a process and its motions ----------------------------------------------- */

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "word-count: %s: %s\n", what, why);
	return 1;
}

static int process_begin(struct process *process, const struct arguments *arguments,
                         const char *name)
{
	struct slu_attach_options options = {
	        .socket_path = arguments->socket_path, .cluster = arguments->cluster, .name = name};

	process->arguments = arguments;
	if (slu_endpoint_attach(&options, &process->endpoint) < 0)
		return complain("attach", slu_attach_error());
	if (slu_motion_context_create(process->endpoint, NULL, &process->context) < 0)
		return complain("motion context", "no memory");
	return 0;
}

static int process_end(struct process *process, int result)
{
	const struct slu_motion_error *error = slu_motion_error(process->context);
	bool failed = result < 0;

	if (failed)
		complain(error->sqlstate, error->error ? error->text : strerror(-result));
	slu_motion_context_destroy(process->context);
	slu_endpoint_detach(process->endpoint);
	return failed;
}

static struct slu_motion_options motion_options(const struct process *process,
                                                enum slu_motion_kind kind, uint32_t motion,
                                                uint32_t self, uint32_t peers)
{
	return (struct slu_motion_options){
	        .kind = kind,
	        .self = self,
	        .cluster = process->arguments->cluster,
	        .query = process->arguments->query,
	        .motion = motion,
	        .peer_count = peers,
	        .token = process->arguments->token,
	};
}

/* ---- counting ------------------------------------------------------------------ */

static void count_word(struct word **words, const char *text, size_t length, uint64_t count)
{
	struct word *word;

	HASH_FIND(hh, *words, text, length, word);
	if (!word) {
		word = calloc(1, sizeof(*word));
		if (!word)
			abort();
		memcpy(word->row.word, text, length);
		HASH_ADD_KEYPTR(hh, *words, word->row.word, length, word);
	}
	word->row.count += count;
}

static void free_words(struct word **words)
{
	struct word *word, *next;

	HASH_ITER (hh, *words, word, next) {
		HASH_DEL(*words, word);
		free(word);
	}
}

/* FNV-1a (Fowler, Noll, Vo), and the finalizer of splitmix64 for its weak bits. */
static uint64_t hash_word(const char *word)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *word; word++)
		hash = (hash ^ (uint8_t)*word) * UINT64_C(0x100000001b3);
	hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
	return hash ^ (hash >> 31);
}

static int compare_rows(const void *left, const void *right, void *ctx)
{
	const struct word_row *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->word, b->word);
}

static int compare_words(const struct word *left, const struct word *right)
{
	return compare_rows(&left->row, &right->row, NULL);
}

/* The row is formed where it is sent from. */
static int send_word(slu_motion_sender *sender, uint32_t destination, const struct word *word)
{
	size_t size_bytes = offsetof(struct word_row, word) + strlen(word->row.word) + 1;
	struct word_row *row;
	void *place;
	int r = slu_motion_reserve(sender, destination, size_bytes, &place);

	if (r != SLU_OK)
		return r;
	row = place;
	row->reserved = 0;
	row->count = word->row.count;
	strcpy(row->word, word->row.word);
	slu_motion_append(sender, destination, size_bytes);
	return SLU_OK;
}

/* ---- the three kinds of process -------------------------------------------------- */

static int read_words(const char *path, struct word **words)
{
	FILE *file = fopen(path, "re");
	char text[WORD_BYTES];
	size_t length = 0;
	int c;

	if (!file)
		return -errno;
	do {
		c = getc(file);
		if (c != EOF && isalnum(c)) {
			if (length < sizeof(text) - 1) /* the rest of a longer one is cut */
				text[length++] = (char)tolower(c);
		} else if (length) {
			count_word(words, text, length, 1);
			length = 0;
		}
	} while (c != EOF);
	fclose(file);
	return 0;
}

static int map(struct process *process, uint32_t self)
{
	struct slu_motion_options options =
	        motion_options(process, SLU_MOTION_REDISTRIBUTE, MOTION_WORDS, self, REDUCERS);
	const char *path = process->arguments->files[self];
	struct word *words = NULL, *word;
	slu_motion_sender *sender;
	char text[100];
	int r = slu_motion_open_sender(process->context, &options, &sender);

	if (r < 0)
		return r;
	r = read_words(path, &words);
	if (r < 0) {
		snprintf(text, sizeof(text), "%.60s: %s", path, strerror(-r));
		slu_motion_fail(process->context, -r, "58P01", text);
	}
	for (word = words; word && (r == SLU_OK || r == SLU_STOPPED); word = word->hh.next)
		r = send_word(sender, slu_motion_jump_hash(hash_word(word->row.word), REDUCERS),
		              word);
	free_words(&words);
	return r < 0 ? r : slu_motion_eos(sender);
}

static int reduce(struct process *process, uint32_t self)
{
	struct slu_motion_options from =
	        motion_options(process, SLU_MOTION_REDISTRIBUTE, MOTION_WORDS, self,
	                       process->arguments->file_count);
	struct slu_motion_options to =
	        motion_options(process, SLU_MOTION_ORDERED_GATHER, MOTION_COUNT, self, 1);
	struct word *words = NULL, *word;
	slu_motion_receiver *receiver;
	slu_motion_sender *sender;
	const void *row;
	int r = slu_motion_open_receiver(process->context, &from, &receiver);

	if (r == 0)
		r = slu_motion_open_sender(process->context, &to, &sender);
	if (r < 0)
		return r;
	while ((r = slu_motion_receive(receiver, &row)) == SLU_OK) {
		const struct word_row *counted = row;

		count_word(&words, counted->word, strlen(counted->word), counted->count);
	}
	HASH_SRT(hh, words, compare_words);
	for (word = words; word && r >= 0 && r != SLU_STOPPED; word = word->hh.next)
		r = send_word(sender, 0, word);
	free_words(&words);
	return r < 0 ? r : slu_motion_eos(sender);
}

static int print_top(struct process *process)
{
	struct slu_motion_options options =
	        motion_options(process, SLU_MOTION_ORDERED_GATHER, MOTION_COUNT, 0, REDUCERS);
	slu_motion_receiver *receiver;
	const void *row;
	int r;

	options.compare = compare_rows;
	r = slu_motion_open_receiver(process->context, &options, &receiver);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i < process->arguments->top; i++) {
		r = slu_motion_receive(receiver, &row);
		if (r != SLU_OK)
			return r;
		printf("%8llu %s\n", (unsigned long long)((const struct word_row *)row)->count,
		       ((const struct word_row *)row)->word);
	}
	slu_motion_stop(receiver); /* LIMIT */
	return SLU_OK;
}

static pid_t start(const struct arguments *arguments, const char *name, uint32_t self,
                   int (*run)(struct process *, uint32_t))
{
	struct process process = {0};
	char full_name[40];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(full_name, sizeof(full_name), "%s %u", name, self);
	if (process_begin(&process, arguments, full_name))
		exit(1);
	exit(process_end(&process, run(&process, self)));
}

/* ---- arguments --------------------------------------------------------------------- */

static int parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option known[] = {{"socket", required_argument, NULL, 's'},
	                                      {"cluster", required_argument, NULL, 'c'},
	                                      {"top", required_argument, NULL, 't'},
	                                      {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 's')
			arguments->socket_path = optarg;
		else if (option == 'c')
			arguments->cluster = strtoull(optarg, NULL, 0);
		else if (option == 't')
			arguments->top = strtoull(optarg, NULL, 0);
		else
			return -1;
	}
	if (optind == argc || argc - optind > FILES_MAX)
		return -1;
	arguments->files = argv + optind;
	arguments->file_count = (uint32_t)(argc - optind);
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.cluster = 1, .top = 10};
	struct process process = {0};
	int status, result;

	if (parse(argc, argv, &arguments) < 0) {
		fprintf(stderr,
		        "usage: word-count [--socket PATH] [--cluster N] [--top N] "
		        "FILE...   (at most %d)\n",
		        FILES_MAX);
		return 2;
	}
	/* a dispatcher would send these to the processes it trusts */
	if (getrandom(&arguments.token, sizeof(arguments.token), 0) < 0 ||
	    getrandom(&arguments.query, sizeof(arguments.query), 0) < 0)
		return complain("getrandom", strerror(errno));
	for (uint32_t i = 0; i < arguments.file_count; i++)
		start(&arguments, "mapper", i, map);
	for (uint32_t i = 0; i < REDUCERS; i++)
		start(&arguments, "reducer", i, reduce);
	result = process_begin(&process, &arguments, "printer");
	if (result == 0)
		result = process_end(&process, print_top(&process));
	while (wait(&status) > 0)
		result |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return result;
}
