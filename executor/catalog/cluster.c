/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.c - sluice.segment_configuration. All databases of the coordinator share
 * one configuration, and processes without a database read it too, so it cannot be
 * a table of the extension. It is kept in the one shared catalog that extensions
 * may write: as the security label of the tablespace pg_default, which is never
 * dropped and never dumped. A line is a member, its columns are separated by tabs.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/table.h>
#include <catalog/objectaddress.h>
#include <catalog/pg_shseclabel.h>
#include <catalog/pg_tablespace.h>
#include <commands/seclabel.h>
#include <commands/trigger.h>
#include <executor/spi.h>
#include <funcapi.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/inval.h>
#include <utils/memutils.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/function.h"

/* Columns of sluice.segment_configuration, in its order. */
enum column {
	COLUMN_DBID,
	COLUMN_CONTENT,
	COLUMN_ROLE,
	COLUMN_PREFERRED_ROLE,
	COLUMN_MODE,
	COLUMN_STATUS,
	COLUMN_PORT,
	COLUMN_HOSTNAME,
	COLUMN_ADDRESS,
	COLUMN_DATADIR,
	COLUMN_NODE,
	COLUMN_COUNT,
};

typedef struct Member {
	char *columns[COLUMN_COUNT];
} Member;

static const ObjectAddress anchor = {TableSpaceRelationId, DEFAULTTABLESPACE_OID, 0};

/* The parsed configuration; its memory lasts to the end of the transaction that
 * notices a change. */
static MppCluster *cluster;
static MemoryContext cluster_context;
static bool cluster_is_valid;

MPP_FUNCTION(mpp_cluster_members);
MPP_FUNCTION(mpp_cluster_change);

/* Splits a copy of the label; a List of Member in the current memory context. */
static List *parse_members(char *label)
{
	List *members = NIL;
	char *line_state = NULL;

	for (char *line = strtok_r(label, "\n", &line_state); line != NULL;
	     line = strtok_r(NULL, "\n", &line_state)) {
		Member *member = palloc0(sizeof(*member));

		for (int i = 0; i < COLUMN_COUNT; i++) {
			char *tab = strchr(line, '\t');

			if ((tab == NULL) != (i == COLUMN_COUNT - 1))
				elog(ERROR, "damaged configuration of the cluster");
			member->columns[i] = line;
			if (tab != NULL) {
				*tab = '\0';
				line = tab + 1;
			}
		}
		members = lappend(members, member);
	}
	return members;
}

static List *read_members(void)
{
	char *label = GetSecurityLabel(&anchor, MPP_LABEL_PROVIDER);

	return label ? parse_members(label) : NIL;
}

static void write_members(const List *members)
{
	StringInfoData label;
	ListCell *cell;

	initStringInfo(&label);
	foreach (cell, members) {
		const Member *member = lfirst(cell);

		for (int i = 0; i < COLUMN_COUNT; i++)
			appendStringInfo(&label, "%s%c", member->columns[i],
			                 i == COLUMN_COUNT - 1 ? '\n' : '\t');
	}
	SetSecurityLabel(&anchor, MPP_LABEL_PROVIDER, label.len > 0 ? label.data : NULL);
	/* Labels have no cache; let the sessions of all databases read it again. */
	CacheInvalidateRelcacheByRelid(SharedSecLabelRelationId);
	CommandCounterIncrement();
}

/* sluice.cluster_members(): rows of the view. */
Datum mpp_cluster_members(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
	AttInMetadata *input;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	input = TupleDescGetAttInMetadata(result->setDesc);
	foreach (cell, read_members()) {
		Member *member = lfirst(cell);

		tuplestore_puttuple(result->setResult,
		                    BuildTupleFromCStrings(input, member->columns));
	}
	return (Datum)0;
}

static Member *member_of_tuple(HeapTuple tuple, TupleDesc descriptor)
{
	Member *member = palloc0(sizeof(*member));

	Assert(descriptor->natts == COLUMN_COUNT);
	for (int i = 0; i < COLUMN_COUNT; i++) {
		char *value = SPI_getvalue(tuple, descriptor, i + 1);

		if (value == NULL)
			ereport(ERROR,
			        (errcode(ERRCODE_NOT_NULL_VIOLATION),
			         errmsg("column \"%s\" of the configuration must not be null",
			                SPI_fname(descriptor, i + 1))));
		if (strpbrk(value, "\t\n") != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("column \"%s\" of the configuration "
			                       "must be of one line without tabs",
			                       SPI_fname(descriptor, i + 1))));
		member->columns[i] = value;
	}
	return member;
}

static bool has_dbid(const List *members, const char *dbid)
{
	ListCell *cell;

	foreach (cell, members)
		if (strcmp(((Member *)lfirst(cell))->columns[COLUMN_DBID], dbid) == 0)
			return true;
	return false;
}

static List *without_dbid(List *members, const char *dbid)
{
	ListCell *cell;

	foreach (cell, members)
		if (strcmp(((Member *)lfirst(cell))->columns[COLUMN_DBID], dbid) == 0)
			members = foreach_delete_current(members, cell);
	return members;
}

/* INSTEAD OF trigger of the view, per row. */
Datum mpp_cluster_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *)fcinfo->context;
	TriggerEvent event;
	Relation labels;
	List *members;
	HeapTuple tuple;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called by a trigger");
	if (mpp_role != MPP_ROLE_COORDINATOR)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("the configuration of the cluster is the coordinator's")));
	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("must be superuser to change the cluster")));
	event = trigger->tg_event;
	tuple = trigger->tg_trigtuple;

	/* One change at a time; kept to the end of the transaction. */
	labels = table_open(SharedSecLabelRelationId, ShareUpdateExclusiveLock);
	members = read_members();
	if (!TRIGGER_FIRED_BY_INSERT(event))
		members = without_dbid(members, SPI_getvalue(tuple, trigger->tg_relation->rd_att,
		                                             COLUMN_DBID + 1));
	if (!TRIGGER_FIRED_BY_DELETE(event)) {
		Member *member;

		tuple = TRIGGER_FIRED_BY_UPDATE(event) ? trigger->tg_newtuple : tuple;
		member = member_of_tuple(tuple, trigger->tg_relation->rd_att);
		if (has_dbid(members, member->columns[COLUMN_DBID]))
			ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
			                errmsg("dbid %s is in use", member->columns[COLUMN_DBID])));
		members = lappend(members, member);
	}
	write_members(members);
	table_close(labels, NoLock);
	return PointerGetDatum(tuple);
}

/* Primaries only. In the current memory context. */
static MppCluster *build(const List *members)
{
	MppCluster *built = palloc0(sizeof(*built));
	ListCell *cell;

	built->segments = palloc0(sizeof(MppSegment) * Max(list_length(members), 1));
	foreach (cell, members) {
		char **columns = ((Member *)lfirst(cell))->columns;
		int content = atoi(columns[COLUMN_CONTENT]);

		if (columns[COLUMN_ROLE][0] != 'p')
			continue;
		if (content == MPP_COORDINATOR) {
			built->coordinator_node = columns[COLUMN_NODE];
			continue;
		}
		if (content < 0 || content >= list_length(members) ||
		    built->segments[content].address != NULL)
			ereport(ERROR,
			        (errcode(ERRCODE_CONFIG_FILE_ERROR),
			         errmsg("sluice.segment_configuration has two primaries of segment "
			                "%d, or numbers with gaps",
			                content)));
		built->segments[content] = (MppSegment){.content = content,
		                                        .address = columns[COLUMN_ADDRESS],
		                                        .port = atoi(columns[COLUMN_PORT]),
		                                        .node = columns[COLUMN_NODE]};
		built->segment_count++;
	}
	for (int i = 0; i < built->segment_count; i++)
		if (built->segments[i].address == NULL)
			ereport(ERROR,
			        (errcode(ERRCODE_CONFIG_FILE_ERROR),
			         errmsg("sluice.segment_configuration has no primary of segment %d",
			                i)));
	return built;
}

static const MppCluster *current_cluster(void)
{
	MemoryContext context;
	MemoryContext previous;

	if (mpp_role != MPP_ROLE_COORDINATOR)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("only the coordinator knows the cluster")));
	while (!cluster_is_valid) {
		context = AllocSetContextCreate(CurrentMemoryContext, "sluice cluster",
		                                ALLOCSET_SMALL_SIZES);
		previous = MemoryContextSwitchTo(context);
		cluster_is_valid = true; /* before reading: a change meanwhile counts */
		PG_TRY();
		{
			MppCluster *built = build(read_members());

			if (cluster_context != NULL)
				MemoryContextSetParent(cluster_context, TopTransactionContext);
			cluster = built;
		}
		PG_CATCH();
		{
			cluster_is_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
		MemoryContextSwitchTo(previous);
		MemoryContextSetParent(context, TopMemoryContext);
		cluster_context = context;
	}
	return cluster;
}

const MppCluster *mpp_cluster_get(void)
{
	const MppCluster *current = current_cluster();

	if (current->segment_count == 0 || current->coordinator_node == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("the cluster has no segments, or no coordinator"),
		                errhint("See sluice.segment_configuration.")));
	return current;
}

int mpp_segment_count(void)
{
	return mpp_role == MPP_ROLE_COORDINATOR ? current_cluster()->segment_count : 0;
}

static void forget_cluster(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == SharedSecLabelRelationId)
		cluster_is_valid = false;
}

void mpp_cluster_init(void)
{
	CacheRegisterRelcacheCallback(forget_cluster, (Datum)0);
}
