/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_error.c - an error of a reader on its way to its QE.
 */
#include <postgres.h>

#include <libpq/pqformat.h>

#include "executor/exec/reader_wire.h"

static void put_string(StringInfo out, const char *string)
{
	int length = string ? (int)strlen(string) : -1;

	pq_sendint32(out, (uint32)length);
	if (string)
		pq_sendbytes(out, string, length);
}

static char *get_string(StringInfo in)
{
	int length = (int)pq_getmsgint(in, 4);

	return length < 0 ? NULL : pnstrdup(pq_getmsgbytes(in, length), (Size)length);
}

void mpp_reader_put_error(StringInfo out, const ErrorData *error)
{
	pq_sendint32(out, (uint32)error->sqlerrcode);
	put_string(out, error->message);
	put_string(out, error->detail);
	put_string(out, error->hint);
	put_string(out, error->context);
	put_string(out, error->schema_name);
	put_string(out, error->table_name);
	put_string(out, error->column_name);
	put_string(out, error->datatype_name);
	put_string(out, error->constraint_name);
}

ErrorData *mpp_reader_get_error(StringInfo in)
{
	ErrorData *error = palloc0(sizeof(*error));

	error->elevel = ERROR;
	error->sqlerrcode = (int)pq_getmsgint(in, 4);
	error->message = get_string(in);
	error->detail = get_string(in);
	error->hint = get_string(in);
	error->context = get_string(in);
	error->schema_name = get_string(in);
	error->table_name = get_string(in);
	error->column_name = get_string(in);
	error->datatype_name = get_string(in);
	error->constraint_name = get_string(in);
	error->assoc_context = CurrentMemoryContext;
	return error;
}
