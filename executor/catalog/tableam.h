/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tableam.h - the access method of distributed tables. On a segment it is heap.
 * On the coordinator it is a shell: nothing is stored, and a scan that reaches it
 * is an error (a planner hook was passed by), never an empty result. Utility
 * statements may scan shells: what they check or move there is on the segments,
 * where they run too.
 */
#ifndef EXECUTOR_CATALOG_TABLEAM_H
#define EXECUTOR_CATALOG_TABLEAM_H

#include <postgres.h>

#include <executor/tuptable.h>
#include <utils/relcache.h>

/* While positive, scans of shells find nothing instead of failing. Count it up
 * and down around utility statements, in PG_TRY/PG_FINALLY. */
extern int mpp_shell_scans_allowed;

/* Whether a relation is stored by the shell, here on the coordinator. */
extern bool mpp_is_shell(Relation relation);

/* Where ANALYZE of a QD gets the sample of a shell from; set by executor/ddl/. The
 * shell's pg_class has the number of pages and rows already. */
typedef struct MppSampleSource {
	/* Returns the state of next, in the current memory context. */
	void *(*begin)(Relation relation);
	/* Stores the next row of the sample in the slot; false: there is none. */
	bool (*next)(void *state, TupleTableSlot *slot);
} MppSampleSource;

extern const MppSampleSource *mpp_sample_source;

#endif
