/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers.c - asks all segments the same, and shows users what they answer: rows and
 * bytes of a table by segment.
 */
#include <postgres.h>

#include <catalog/pg_class.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/ddl/ddl.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/gang.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_rows_per_segment);
MPP_FUNCTION(mpp_table_size);

static void release_answers(void *argument)
{
	MppAnswers *answers = argument;

	for (int i = 0; i < answers->segment_count; i++)
		PQclear(answers->results[i]);
}

static void keep_result(int content, const PGresult *result, void *ctx)
{
	MppAnswers *answers = ctx;

	PQclear(answers->results[content]);
	answers->results[content] = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
}

MppAnswers *mpp_ask_segments(const char *query)
{
	Bitmapset *contents = mpp_gang_all();
	MppAnswers *answers = palloc0(sizeof(*answers));
	int content = -1;

	answers->segment_count = mpp_segment_count();
	answers->results = palloc0(sizeof(PGresult *) * answers->segment_count);
	answers->release = (MemoryContextCallback){release_answers, answers, NULL};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &answers->release);
	mpp_dtx_join(contents, false);
	while ((content = bms_next_member(contents, content)) >= 0)
		mpp_gang_send(content, query, 0, NULL, keep_result, answers);
	mpp_gang_wait(contents, NULL, NULL);
	for (int i = 0; i < answers->segment_count; i++)
		if (answers->results[i] == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
			                errmsg("segment %d did not answer, or memory is out", i)));
	return answers;
}

char *mpp_qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
	                                  get_rel_name(relid));
}

static void check_table(Oid relid)
{
	AclResult allowed = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (!mpp_is_qd())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("only the coordinator can ask the segments")));
	if (mpp_distribution_get(relid) == NULL)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("\"%s\" is not a distributed table", get_rel_name(relid))));
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_TABLE, get_rel_name(relid));
}

/* A partitioned table has the bytes of its partitions. */
static char *size_expression(Oid relid)
{
	char *name = quote_literal_cstr(mpp_qualified_name(relid));

	return psprintf("coalesce((SELECT sum(pg_catalog.pg_total_relation_size(relid))"
	                " FROM pg_catalog.pg_partition_tree(%s::regclass))::bigint,"
	                " pg_catalog.pg_total_relation_size(%s::regclass))",
	                name, name);
}

/* sluice.rows_per_segment(relation): content, rows, bytes. */
Datum mpp_rows_per_segment(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
	AttInMetadata *input;
	MppAnswers *answers;

	check_table(relid);
	InitMaterializedSRF(fcinfo, 0);
	input = TupleDescGetAttInMetadata(result->setDesc);
	answers = mpp_ask_segments(psprintf("SELECT (SELECT count(*) FROM %s), %s",
	                                    mpp_qualified_name(relid), size_expression(relid)));
	for (int i = 0; i < answers->segment_count; i++) {
		char *values[] = {psprintf("%d", i), PQgetvalue(answers->results[i], 0, 0),
		                  PQgetvalue(answers->results[i], 0, 1)};

		tuplestore_puttuple(result->setResult, BuildTupleFromCStrings(input, values));
	}
	return (Datum)0;
}

/* sluice.table_size(relation): bytes on all segments, with indexes and TOAST. */
Datum mpp_table_size(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	MppAnswers *answers;
	int64 size = 0;

	check_table(relid);
	answers = mpp_ask_segments(psprintf("SELECT %s", size_expression(relid)));
	for (int i = 0; i < answers->segment_count; i++)
		size += strtoll(PQgetvalue(answers->results[i], 0, 0), NULL, 10);
	PG_RETURN_INT64(size);
}
