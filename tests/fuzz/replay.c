/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - runs a fuzz target over the files of its corpus without a fuzzer,
 * so that every input that ever mattered is a test of the ordinary build.
 *
 *	fuzz_NAME DIRECTORY_OR_FILE...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns owned memory of exactly the file's size: a decoder that reads past
 * its input then reads past the allocation, which ASan sees. */
static uint8_t *replay_read(const char *path, size_t size_bytes)
{
	uint8_t *data = malloc(size_bytes);
	FILE *file = fopen(path, "rb");

	if (!file || (size_bytes && !data) || fread(data, 1, size_bytes, file) != size_bytes) {
		perror(path);
		exit(1);
	}
	fclose(file);
	return data;
}

static int replay_file(const char *path, size_t size_bytes)
{
	uint8_t *data = replay_read(path, size_bytes);

	printf("%s\n", path); /* before the run: the last line names what crashed */
	LLVMFuzzerTestOneInput(data, size_bytes);
	free(data);
	return 1;
}

/* Returns how many inputs ran. Exits when one cannot be read: a corpus that is
 * not there must not look like one that passed. */
static int replay_path(const char *path)
{
	struct dirent **entries;
	struct stat status;
	int entry_count;
	int run_count = 0;

	if (stat(path, &status) != 0) {
		perror(path);
		exit(1);
	}
	if (!S_ISDIR(status.st_mode))
		return replay_file(path, (size_t)status.st_size);

	entry_count = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < entry_count; i++) {
		char child[4096];

		if (entries[i]->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
			run_count += replay_path(child);
		}
		free(entries[i]);
	}
	if (entry_count >= 0)
		free(entries);
	return run_count;
}

int main(int argc, char **argv)
{
	static const uint8_t nothing[1];
	int run_count = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 1; i < argc; i++)
		run_count += replay_path(argv[i]);
	if (run_count == 0) {
		fprintf(stderr, "%s: no input to replay\n", argv[0]);
		return 1;
	}
	LLVMFuzzerTestOneInput(nothing, 0);
	printf("%d inputs\n", run_count);
	return 0;
}
