/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enum.c - enum types have the same OIDs of labels on all nodes. A value of an enum
 * is the OID of its label: rows that travel, and hashes that distribute them, would
 * otherwise mean another thing on each node.
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/xact.h>
#include <catalog/indexing.h>
#include <catalog/namespace.h>
#include <catalog/pg_enum.h>
#include <catalog/pg_type.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <parser/parse_type.h>
#include <storage/lmgr.h>
#include <utils/acl.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

#include "executor/catalog/node.h"
#include "executor/ddl/ddl.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_set_enum_labels);

/* ---- on the coordinator ---- */

static SysScanDesc scan_labels(Relation enums, Oid type)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(type));
	return systable_beginscan(enums, EnumTypIdLabelIndexId, true, NULL, 1, &key);
}

/* Has the segments make the labels of the type like those here. */
static void send_labels(void *ctx)
{
	Oid type = typenameTypeId(NULL, makeTypeNameFromNameList(ctx));
	Relation enums = table_open(EnumRelationId, AccessShareLock);
	SysScanDesc scan = scan_labels(enums, type);
	StringInfoData oids, orders, labels;
	HeapTuple tuple;

	initStringInfo(&oids);
	initStringInfo(&orders);
	initStringInfo(&labels);
	while (HeapTupleIsValid(tuple = systable_getnext(scan))) {
		Form_pg_enum label = (Form_pg_enum)GETSTRUCT(tuple);
		const char *separator = oids.len > 0 ? ", " : "";

		appendStringInfo(&oids, "%s%u", separator, label->oid);
		appendStringInfo(&orders, "%s%.9g", separator, label->enumsortorder);
		appendStringInfo(&labels, "%s%s", separator,
		                 quote_literal_cstr(NameStr(label->enumlabel)));
	}
	systable_endscan(scan);
	table_close(enums, AccessShareLock);
	mpp_send_later(psprintf(
	        "SELECT sluice.set_enum_labels(%s::regtype, ARRAY[%s]::oid[], "
	        "ARRAY[%s]::real[], ARRAY[%s]::text[])",
	        quote_literal_cstr(format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY)),
	        oids.data, orders.data, labels.data));
}

void mpp_create_enum(MppCall *call)
{
	CreateEnumStmt *statement = (CreateEnumStmt *)call->statement->utilityStmt;
	char *name;
	Oid namespace = QualifiedNameGetCreationNamespace(statement->typeName, &name);
	char *text = psprintf("CREATE TYPE %s AS ENUM ()",
	                      quote_qualified_identifier(get_namespace_name(namespace), name));

	mpp_run_everywhere(
	        call, text, send_labels,
	        list_make2(makeString(get_namespace_name(namespace)), makeString(pstrdup(name))));
}

void mpp_alter_enum(MppCall *call)
{
	AlterEnumStmt *statement = (AlterEnumStmt *)call->statement->utilityStmt;

	mpp_run_here_and_send(call, send_labels, statement->typeName);
}

/* ---- on a segment ---- */

static void remove_labels(Relation enums, Oid type)
{
	SysScanDesc scan = scan_labels(enums, type);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(enums, &tuple->t_self);
	systable_endscan(scan);
	CommandCounterIncrement();
}

static void insert_label(Relation enums, Oid type, Datum oid, Datum order, Datum label)
{
	Datum values[Natts_pg_enum] = {0};
	bool nulls[Natts_pg_enum] = {0};
	NameData name;

	if (strlen(TextDatumGetCString(label)) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("enum label is too long")));
	namestrcpy(&name, TextDatumGetCString(label));
	values[Anum_pg_enum_oid - 1] = oid;
	values[Anum_pg_enum_enumtypid - 1] = ObjectIdGetDatum(type);
	values[Anum_pg_enum_enumsortorder - 1] = order;
	values[Anum_pg_enum_enumlabel - 1] = NameGetDatum(&name);
	CatalogTupleInsert(enums, heap_form_tuple(RelationGetDescr(enums), values, nulls));
}

/* sluice.set_enum_labels(type, oids, orders, labels) */
Datum mpp_set_enum_labels(PG_FUNCTION_ARGS)
{
	Oid type = PG_GETARG_OID(0);
	Datum *oids, *orders, *labels;
	int oid_count, order_count, label_count;
	Relation enums;

	if (!mpp_is_qe())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("only the coordinator may set the labels of an enum")));
	if (!pg_type_ownercheck(type, GetUserId()))
		aclcheck_error_type(ACLCHECK_NOT_OWNER, type);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids,
	                  NULL, &oid_count);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), FLOAT4OID, sizeof(float4), true, TYPALIGN_INT,
	                  &orders, NULL, &order_count);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), TEXTOID, -1, false, TYPALIGN_INT, &labels, NULL,
	                  &label_count);
	if (get_typtype(type) != TYPTYPE_ENUM || oid_count != order_count ||
	    oid_count != label_count)
		elog(ERROR, "set_enum_labels: not an enum, or lists of different lengths");

	LockDatabaseObject(TypeRelationId, type, 0, ExclusiveLock);
	enums = table_open(EnumRelationId, RowExclusiveLock);
	remove_labels(enums, type);
	for (int i = 0; i < label_count; i++)
		insert_label(enums, type, oids[i], orders[i], labels[i]);
	table_close(enums, RowExclusiveLock);
	PG_RETURN_VOID();
}
