/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statements.c - statements that stay prepared on a QE, so that it neither parses
 * nor plans the same text again.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <utils/hsearch.h>
#include <utils/memutils.h>

#include "executor/dispatch/qe.h"

/* Beyond this all are given up: the texts are not repeated then. */
#define STATEMENTS_MAX 256

typedef struct Entry {
	uint64 hash;
	char *sql; /* malloc()ed */
	bool is_prepared;
} Entry;

void qe_statements_forget(Qe *qe)
{
	HASH_SEQ_STATUS status;
	Entry *entry;

	if (qe->statements == NULL)
		return;
	hash_seq_init(&status, qe->statements);
	while ((entry = hash_seq_search(&status)) != NULL)
		free(entry->sql);
	hash_destroy(qe->statements);
	qe->statements = NULL;
}

static void statements_make(Qe *qe)
{
	HASHCTL control = {
	        .keysize = sizeof(uint64), .entrysize = sizeof(Entry), .hcxt = TopMemoryContext};

	qe->statements = hash_create("sluice prepared statements", 64, &control,
	                             HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* In a pipeline of its own: within one it would have taken a snapshot before a transaction
 * begins, and could not be given an isolation level then. A connection that fails is opened
 * again, or known to be lost, before the statement is sent. */
static void statements_trim(Qe *qe)
{
	if (qe->statements == NULL || hash_get_num_entries(qe->statements) < STATEMENTS_MAX)
		return;
	qe_statements_forget(qe);
	if (qe_send(qe, QE_ITEM_END, "DEALLOCATE ALL", 0, NULL, NULL, NULL))
		qe_sync(qe);
}

/* The entry of the statement, or of another with its hash. */
static Entry *statement_entry(Qe *qe, const QeStatement *statement)
{
	Entry *entry;
	bool found;

	if (qe->statements == NULL)
		statements_make(qe);
	entry = hash_search(qe->statements, &statement->hash, HASH_ENTER, &found);
	if (!found) {
		entry->is_prepared = false;
		entry->sql = strdup(statement->sql);
		if (entry->sql == NULL) {
			hash_search(qe->statements, &statement->hash, HASH_REMOVE, NULL);
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		}
	}
	return entry;
}

/* Parse succeeded there. ctx: the hash, as a pointer. */
static void on_prepared(int content, const PGresult *result, void *ctx)
{
	uint64 hash = (uintptr_t)ctx;
	Entry *entry = qe_array[content].statements == NULL
	                       ? NULL
	                       : hash_search(qe_array[content].statements, &hash, HASH_FIND, NULL);

	if (entry != NULL)
		entry->is_prepared = true;
}

static bool prepare(Qe *qe, const QeStatement *statement, const char *name)
{
	if (!qe_item_push(qe, QE_ITEM_PREPARE, false, on_prepared,
	                  (void *)(uintptr_t)statement->hash))
		return false;
	qe_keep_result(qe);
	return PQsendPrepare(qe->conn, name, statement->sql, statement->param_count,
	                     statement->types) == 1;
}

void qe_statement_send(Qe *qe, const QeStatement *statement, mpp_gang_result result, void *ctx)
{
	Entry *entry;
	bool known;
	char name[32];

	qe_make_free(qe);
	statements_trim(qe);
	qe_reopen(qe);
	qe_first_keep(qe, statement, true, result, ctx);
	entry = statement_entry(qe, statement);
	known = strcmp(entry->sql, statement->sql) == 0;
	snprintf(name, sizeof(name), known ? "s%016llx" : "", (unsigned long long)statement->hash);
	if (!qe_send_begin(qe) ||
	    ((!known || !entry->is_prepared) && !prepare(qe, statement, name)) ||
	    !qe_item_push(qe, QE_ITEM_COMMAND, true, result, ctx) ||
	    PQsendQueryPrepared(qe->conn, name, statement->param_count, statement->values,
	                        statement->lengths, statement->formats,
	                        statement->result_format) != 1 ||
	    !qe_sync(qe))
		qe_send_failed(qe);
}
