/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - what the kernel knows about a process (CPU time, memory) and
 * about the machine, for the head of every report.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* CPU time of all threads of a process that may be read by this one, user and
 * system, exact to the ns; 0 when there is no such process. */
uint64_t bench_process_cpu_ns(pid_t pid);

/* Proportional set size of a process, in bytes. */
struct bench_memory {
	uint64_t private_bytes; /* all mappings but the arena's */
	uint64_t arena_bytes;   /* the arena's, hugepages included */
};

/* Adds what /proc/PID/smaps says to *memory. 0 or a negative errno. */
int bench_process_memory(pid_t pid, struct bench_memory *memory);

/* The same from an open smaps file. */
void bench_smaps_read(FILE *smaps, struct bench_memory *memory);

/* Open descriptors of a process; 0 when they cannot be listed. */
uint32_t bench_process_fd_count(pid_t pid);

struct bench_machine {
	char cpu_model[96];
	char kernel[96];
	uint32_t core_count; /* usable by this process */
	uint64_t memory_bytes;
};

void bench_machine_read(struct bench_machine *ret_machine);

#endif
