/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statistics.c - VACUUM, ANALYZE and other work on storage, which each node does by
 * itself; sizes and row counts of tables and indexes, which the coordinator keeps as
 * sums over the segments (of a replicated table: as they are on one).
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/multixact.h>
#include <access/relation.h>
#include <access/table.h>
#include <access/transam.h>
#include <access/xact.h>
#include <catalog/index.h>
#include <catalog/namespace.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <commands/defrem.h>
#include <commands/vacuum.h>
#include <funcapi.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/hsearch.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>

#include "executor/catalog/cluster.h"
#include "executor/ddl/ddl.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/gang.h"

/* ---- what the segments have ---- */

/* Of one relation on one segment, as its pg_class says. */
typedef struct StoredSize {
	Oid relid; /* here */
	double pages;
	double rows; /* < 0: not known */
	double all_visible;
} StoredSize;

double *mpp_segment_rows(Oid relid)
{
	double *rows = palloc0(sizeof(double) * mpp_segment_count());
	MppAnswers *answers = mpp_ask_segments(psprintf(
	        "SELECT greatest(reltuples, 0) FROM pg_catalog.pg_class WHERE oid = %s::regclass",
	        quote_literal_cstr(mpp_qualified_name(relid))));

	for (int i = 0; i < answers->segment_count; i++)
		if (PQntuples(answers->results[i]) == 1)
			rows[i] = strtod(PQgetvalue(answers->results[i], 0, 0), NULL);
	return rows;
}

static const char size_query_start[] =
        "SELECT n.nspname, c.relname, c.relpages, c.reltuples, c.relallvisible"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid"
        " WHERE c.relkind IN ('r', 'i') AND n.nspname !~ '^pg_'";

/* Of tables and indexes that have storage; only: OIDs of tables, NIL: all. */
static char *size_query(const List *only)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	appendStringInfoString(&text, size_query_start);
	foreach (cell, only)
		appendStringInfo(&text, "%s%s::regclass",
		                 cell == list_head(only) ? " AND coalesce(i.indrelid, c.oid) IN ("
		                                         : ", ",
		                 quote_literal_cstr(mpp_qualified_name(lfirst_oid(cell))));
	if (only != NIL)
		appendStringInfoChar(&text, ')');
	return text.data;
}

static bool is_replicated(Oid relid)
{
	const MppDistribution *distribution;

	if (get_rel_relkind(relid) == RELKIND_INDEX)
		relid = IndexGetRelation(relid, true);
	distribution = mpp_distribution_get(relid);
	return distribution != NULL && distribution->policy == MPP_POLICY_REPLICATED;
}

/* Whether the coordinator's own pg_class entry is of a distributed table or of an
 * index of one. */
static bool is_distributed(Oid relid)
{
	if (get_rel_relkind(relid) == RELKIND_INDEX)
		relid = IndexGetRelation(relid, true);
	return OidIsValid(relid) && mpp_distribution_get(relid) != NULL;
}

static void add_stored_size(HTAB *table, const PGresult *result, int row)
{
	Oid namespace = get_namespace_oid(PQgetvalue(result, row, 0), true);
	Oid relid = OidIsValid(namespace) ? get_relname_relid(PQgetvalue(result, row, 1), namespace)
	                                  : InvalidOid;
	double pages = strtod(PQgetvalue(result, row, 2), NULL);
	double rows = strtod(PQgetvalue(result, row, 3), NULL);
	double all_visible = strtod(PQgetvalue(result, row, 4), NULL);
	bool found;
	StoredSize *size;

	if (!OidIsValid(relid) || !is_distributed(relid))
		return;
	size = hash_search(table, &relid, HASH_ENTER, &found);
	if (!found) {
		*size = (StoredSize){relid, pages, rows, all_visible};
	} else if (is_replicated(relid)) {
		size->pages = Max(size->pages, pages);
		size->rows = Max(size->rows, rows);
		size->all_visible = Max(size->all_visible, all_visible);
	} else {
		size->pages += pages;
		size->rows = size->rows < 0 || rows < 0 ? Max(size->rows, rows) : size->rows + rows;
		size->all_visible += all_visible;
	}
}

/* In place, as VACUUM does: not undone by ROLLBACK. */
static void store_size(const StoredSize *size)
{
	Relation relation = try_relation_open(size->relid, ShareUpdateExclusiveLock);
	BlockNumber pages = (BlockNumber)Min(size->pages, MaxBlockNumber);
	Form_pg_class class;

	if (relation == NULL)
		return;
	class = relation->rd_rel;
	if (class->relpages != (int32)pages || class->reltuples != (float4)size->rows ||
	    class->relallvisible != (int32)size->all_visible)
		vac_update_relstats(relation, pages, size->rows,
		                    (BlockNumber)Min(size->all_visible, pages), class->relhasindex,
		                    InvalidTransactionId, InvalidMultiXactId, NULL, NULL, true);
	relation_close(relation, ShareUpdateExclusiveLock);
}

void mpp_refresh_sizes(const List *only)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(StoredSize)};
	MemoryContext context =
	        AllocSetContextCreate(CurrentMemoryContext, "sluice sizes", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	HASH_SEQ_STATUS scan;
	MppAnswers *answers;
	HTAB *table;
	StoredSize *size;

	control.hcxt = context;
	table = hash_create("sluice sizes", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	answers = mpp_ask_segments(size_query(only));
	for (int i = 0; i < answers->segment_count; i++)
		for (int row = 0; row < PQntuples(answers->results[i]); row++)
			add_stored_size(table, answers->results[i], row);
	hash_seq_init(&scan, table);
	while ((size = hash_seq_search(&scan)) != NULL)
		store_size(size);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

/* ---- statements ---- */

/* The relations of VACUUM or ANALYZE with their partitions; NIL: all. */
static List *named_tables(const VacuumStmt *statement)
{
	List *tables = NIL;
	ListCell *cell;

	foreach (cell, statement->rels) {
		Oid relid =
		        RangeVarGetRelid(((VacuumRelation *)lfirst(cell))->relation, NoLock, false);

		tables = list_concat_unique_oid(tables, find_all_inheritors(relid, NoLock, NULL));
	}
	return tables;
}

static bool has_option(const List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
		if (strcmp(((DefElem *)lfirst(cell))->defname, name) == 0)
			return defGetBoolean(lfirst(cell));
	return false;
}

/* A shell has nothing to rewrite, and would lose its numbers. */
static void drop_option(VacuumStmt *statement, const char *name)
{
	ListCell *cell;

	foreach (cell, statement->options)
		if (strcmp(((DefElem *)lfirst(cell))->defname, name) == 0)
			statement->options = foreach_delete_current(statement->options, cell);
}

static void run_analyzing(MppCall *call, const List *tables)
{
	mpp_refresh_sizes(tables);
	CommandCounterIncrement();
	mpp_run_here(call);
	CommandCounterIncrement();
	/* ANALYZE has put down the sizes of the shells' empty indexes. */
	mpp_refresh_sizes(tables);
}

static void run_vacuum(MppCall *call)
{
	VacuumStmt *statement = (VacuumStmt *)mpp_own_statement(call);
	bool is_alone = !IsInTransactionBlock(call->context == PROCESS_UTILITY_TOPLEVEL);
	MemoryContext context =
	        AllocSetContextCreate(PortalContext, "sluice vacuum", ALLOCSET_SMALL_SIZES);
	/* They are needed when VACUUM has ended its transactions and begun another. */
	MemoryContext previous = MemoryContextSwitchTo(context);
	List *tables = named_tables(statement);
	char *text = mpp_statement_text(call);

	MemoryContextSwitchTo(previous);
	if (statement->is_vacuumcmd) {
		PreventInTransactionBlock(call->context == PROCESS_UTILITY_TOPLEVEL, "VACUUM");
		if (has_option(statement->options, "full"))
			drop_option(statement, "full");
	}
	(void)mpp_gang_command(mpp_gang_all(), text, !is_alone);
	run_analyzing(call, tables);
	MemoryContextDelete(context);
}

void mpp_run_on_each_node(MppCall *call)
{
	Node *statement = call->statement->utilityStmt;
	char *text;

	if (IsA(statement, VacuumStmt)) {
		run_vacuum(call);
		return;
	}
	if (IsA(statement, CreatedbStmt)) {
		mpp_create_database(call);
		return;
	}
	if (IsA(statement, DropdbStmt)) {
		mpp_drop_database(call);
		return;
	}
	if (!IsA(statement, CheckPointStmt))
		PreventInTransactionBlock(call->context == PROCESS_UTILITY_TOPLEVEL,
		                          GetCommandTagName(CreateCommandTag(statement)));
	text = MemoryContextStrdup(PortalContext, mpp_statement_text(call));
	mpp_run_here(call);
	(void)mpp_gang_command(mpp_gang_all(), text, false);
}
