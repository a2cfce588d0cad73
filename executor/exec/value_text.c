/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_text.c - the output and input functions of the types, under settings that
 * lose nothing. A row without a named type has no input function: it is
 * written as the names of its columns' types and their values.
 */
#include "executor/exec/value_text.h"

#include <access/htup_details.h>
#include <catalog/dependency.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <funcapi.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <parser/parse_type.h>
#include <utils/builtins.h>
#include <utils/float.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "executor/exec/names.h"

static bool is_reg_type(Oid type)
{
	switch (type) {
	case REGCLASSOID:
	case REGPROCOID:
	case REGPROCEDUREOID:
	case REGOPEROID:
	case REGOPERATOROID:
	case REGTYPEOID:
	case REGROLEOID:
	case REGNAMESPACEOID:
	case REGCOLLATIONOID:
	case REGCONFIGOID:
	case REGDICTIONARYOID:
		return true;
	default:
		return false;
	}
}

bool mpp_type_holds_oids(Oid type)
{
	Oid element;

	if (is_reg_type(type) || type == RECORDOID || type == RECORDARRAYOID)
		return true;
	element = get_element_type(type);
	if (OidIsValid(element)) /* an array names its element type in its header */
		return element >= MPP_FIRST_NAMED_OID || mpp_type_holds_oids(element);
	if (type < MPP_FIRST_NAMED_OID)
		return false;
	switch (get_typtype(type)) {
	case TYPTYPE_DOMAIN:
		return mpp_type_holds_oids(getBaseType(type));
	case TYPTYPE_ENUM:
		/* Values of a user's enum have the same OIDs on all nodes (executor/ddl/enum.c);
		 * an extension's script runs on each node by itself. */
		return OidIsValid(getExtensionOfObject(TypeRelationId, type));
	case TYPTYPE_COMPOSITE: /* these three name themselves */
	case TYPTYPE_RANGE:
	case TYPTYPE_MULTIRANGE:
		return true;
	default:
		return false;
	}
}

void mpp_value_text_init(MppValueText *io, Oid type)
{
	Oid function;
	bool is_varlena;

	io->type = type;
	getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info(function, &io->output);
	getTypeInputInfo(type, &function, &io->io_param);
	fmgr_info(function, &io->input);
}

/* ---- rows without a named type --------------------------------------------- */

static void put_counted(StringInfo out, const char *string)
{
	appendStringInfo(out, "%zu:%s", strlen(string), string);
}

static char *record_to_text(Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc type = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
	                                        HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	Datum *values = palloc(sizeof(Datum) * (Size)Max(type->natts, 1));
	bool *nulls = palloc(sizeof(bool) * (Size)Max(type->natts, 1));
	StringInfoData out;
	int i;

	heap_deform_tuple(&tuple, type, values, nulls);
	initStringInfo(&out);
	appendStringInfo(&out, "%d:", type->natts);
	for (i = 0; i < type->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(type, i);
		MppValueText io;

		put_counted(&out, NameStr(column->attname));
		put_counted(&out, format_type_extended(column->atttypid, column->atttypmod,
		                                       FORMAT_TYPE_FORCE_QUALIFY |
		                                               FORMAT_TYPE_TYPEMOD_GIVEN));
		appendStringInfoChar(&out, nulls[i] ? 'n' : 'v');
		if (nulls[i])
			continue;
		mpp_value_text_init(&io, column->atttypid);
		put_counted(&out, mpp_value_to_text(&io, values[i]));
	}
	ReleaseTupleDesc(type);
	return out.data;
}

static long get_number(const char **at)
{
	char *end;
	long number = strtol(*at, &end, 10);

	if (*end != ':' || number < 0)
		elog(ERROR, "malformed row");
	*at = end + 1;
	return number;
}

static char *get_counted(const char **at)
{
	long length = get_number(at);
	char *string = pnstrdup(*at, (Size)length);

	*at += strlen(string);
	return string;
}

static Datum record_from_text(const char *text)
{
	int natts = (int)get_number(&text), i;
	TupleDesc type = CreateTemplateTupleDesc(natts);
	Datum *values = palloc0(sizeof(Datum) * (Size)Max(natts, 1));
	bool *nulls = palloc0(sizeof(bool) * (Size)Max(natts, 1));

	for (i = 0; i < natts; i++) {
		char *name = get_counted(&text);
		MppValueText io;
		Oid type_id;
		int32 typmod;

		parseTypeString(get_counted(&text), &type_id, &typmod, false);
		TupleDescInitEntry(type, (AttrNumber)(i + 1), name, type_id, typmod, 0);
		nulls[i] = *text++ == 'n';
		if (nulls[i])
			continue;
		mpp_value_text_init(&io, type_id);
		values[i] = mpp_value_from_text(&io, get_counted(&text));
	}
	return HeapTupleHeaderGetDatum(
	        heap_form_tuple(BlessTupleDesc(type), values, nulls)->t_data);
}

/* ---- any value ------------------------------------------------------------- */

typedef struct Settings {
	int date_style;
	int interval_style;
	int float_digits;
} Settings;

static Settings set_exact(void)
{
	Settings before = {DateStyle, IntervalStyle, extra_float_digits};

	DateStyle = USE_ISO_DATES;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	return before;
}

static void set_back(Settings before)
{
	DateStyle = before.date_style;
	IntervalStyle = before.interval_style;
	extra_float_digits = before.float_digits;
}

char *mpp_value_to_text(MppValueText *io, Datum value)
{
	Settings before = set_exact();
	char *text;

	PG_TRY();
	{
		text = io->type == RECORDOID ? record_to_text(value)
		                             : OutputFunctionCall(&io->output, value);
	}
	PG_FINALLY();
	{
		set_back(before);
	}
	PG_END_TRY();
	return text;
}

Datum mpp_value_from_text(MppValueText *io, const char *text)
{
	Settings before = set_exact();
	Datum value;

	PG_TRY();
	{
		value = io->type == RECORDOID
		                ? record_from_text(text)
		                : InputFunctionCall(&io->input, unconstify(char *, text),
		                                    io->io_param, -1);
	}
	PG_FINALLY();
	{
		set_back(before);
	}
	PG_END_TRY();
	return value;
}
