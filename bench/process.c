/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - CPU time, memory and the machine from the kernel; see process.h. */
#include "bench/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

uint64_t bench_process_cpu_ns(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	/* The process's CPU clock, not /proc/PID/stat: that counts in 10 ms. */
	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
		return 0;
	return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

/* "Pss:      12 kB" */
static bool smaps_value(const char *line, const char *name, uint64_t *ret_bytes)
{
	unsigned long long kib;
	size_t size = strlen(name);

	if (strncmp(line, name, size) != 0 || sscanf(line + size, " %llu kB", &kib) != 1)
		return false;
	*ret_bytes = kib * 1024;
	return true;
}

void bench_smaps_read(FILE *smaps, struct bench_memory *memory)
{
	char line[4096];
	bool in_arena = false;
	uint64_t bytes;

	while (fgets(line, sizeof(line), smaps)) {
		/* A mapping begins with its addresses, its values with a capital. */
		if (isxdigit((unsigned char)line[0]) && !isupper((unsigned char)line[0])) {
			in_arena = strstr(line, "/memfd:sluice-arena") != NULL;
			continue;
		}
		/* Hugepages are not part of Pss; only the arena uses them. */
		if (smaps_value(line, "Pss:", &bytes) ||
		    smaps_value(line, "Shared_Hugetlb:", &bytes) ||
		    smaps_value(line, "Private_Hugetlb:", &bytes))
			*(in_arena ? &memory->arena_bytes : &memory->private_bytes) += bytes;
	}
}

int bench_process_memory(pid_t pid, struct bench_memory *memory)
{
	char path[64];
	FILE *smaps;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	smaps = fopen(path, "re");
	if (!smaps)
		return -errno;
	bench_smaps_read(smaps, memory);
	fclose(smaps);
	return 0;
}

uint32_t bench_process_fd_count(pid_t pid)
{
	char path[64];
	uint32_t count = 0;
	struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (!directory)
		return 0;
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static void cpu_model_read(char *ret_model, size_t size)
{
	char line[512];
	FILE *info = fopen("/proc/cpuinfo", "re");

	snprintf(ret_model, size, "unknown CPU");
	if (!info)
		return;
	while (fgets(line, sizeof(line), info)) {
		char *colon = strchr(line, ':');

		if (colon && strncmp(line, "model name", 10) == 0) {
			colon[1 + strcspn(colon + 1, "\n")] = '\0';
			snprintf(ret_model, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
			break;
		}
	}
	fclose(info);
}

void bench_machine_read(struct bench_machine *ret_machine)
{
	struct utsname name;
	cpu_set_t set;

	memset(ret_machine, 0, sizeof(*ret_machine));
	cpu_model_read(ret_machine->cpu_model, sizeof(ret_machine->cpu_model));
	if (uname(&name) == 0)
		snprintf(ret_machine->kernel, sizeof(ret_machine->kernel), "%.30s %.60s",
		         name.sysname, name.release);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		ret_machine->core_count = (uint32_t)CPU_COUNT(&set);
	else
		ret_machine->core_count = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	ret_machine->memory_bytes =
	        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}
