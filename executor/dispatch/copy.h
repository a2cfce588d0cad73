/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - COPY streams between the QD and its QEs, on the connections of the gang.
 * Within a stream the connection takes no other command; an abort ends it.
 */
#ifndef EXECUTOR_DISPATCH_COPY_H
#define EXECUTOR_DISPATCH_COPY_H

#include <postgres.h>

#include <nodes/bitmapset.h>

typedef struct MppCopyEvents {
	/* The stream to content has ended well at all that was put so far, and begun
	 * anew: segments say something only at an end. NULL: streams are not to be ended
	 * before their time, and errors are seen at the end only. */
	void (*restarted)(int content, void *ctx);
	/* The context lines of an error there, made those of the client's file. Returns
	 * palloc()ed text. NULL: as they are. */
	char *(*context)(int content, const char *context, void *ctx);
	void *ctx;
} MppCopyEvents;

/* Joins the transaction and begins COPY ... FROM STDIN or TO STDOUT on all. events
 * are borrowed until mpp_copy_end() or the abort. */
extern void mpp_copy_begin(const Bitmapset *contents, const char *sql, bool writes,
                           const MppCopyEvents *events);

/* FROM STDIN: hands bytes over; waits when too much is under way to that segment. */
extern void mpp_copy_put(int content, const char *bytes, int size_bytes);

/* TO STDOUT: a row of any segment, valid until the next call; NULL at the end of all. */
extern const char *mpp_copy_get(int *ret_size_bytes);

/* Ends all streams; throws the first error. ret_rows, by content, may be NULL. */
extern void mpp_copy_end(uint64 *ret_rows);

#endif
