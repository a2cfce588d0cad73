/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_to.c - COPY TO of a table: the segments write the rows in the client's format;
 * they pass through here as they are, in the order in which they come.
 */
#include <postgres.h>

#include <catalog/pg_class.h>
#include <libpq/libpq.h>
#include <libpq/pqformat.h>
#include <mb/pg_wchar.h>
#include <miscadmin.h>
#include <storage/fd.h>
#include <sys/stat.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <utils/wait_event.h>

#include "executor/catalog/distribution.h"
#include "executor/dispatch/copy.h"
#include "executor/dispatch/gang.h"
#include "executor/load/load.h"

typedef struct Output {
	CopyFormatOptions options;
	FILE *file; /* NULL: the client */
	bool is_program;
	bool converts; /* to the encoding of the file */
} Output;

/* ---- where it goes ---- */

static void open_client(int column_count, bool binary)
{
	StringInfoData message;

	pq_beginmessage(&message, 'H');
	pq_sendbyte(&message, binary);
	pq_sendint16(&message, column_count);
	for (int i = 0; i < column_count; i++)
		pq_sendint16(&message, binary);
	pq_endmessage(&message);
}

static void open_file(Output *output, const CopyStmt *statement)
{
	mode_t mask;
	int open_errno;

	if (!is_absolute_path(statement->filename))
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
		                errmsg("relative path not allowed for COPY to file")));
	mask = umask(S_IWGRP | S_IWOTH);
	output->file = AllocateFile(statement->filename, PG_BINARY_W);
	open_errno = errno;
	umask(mask);
	errno = open_errno;
	if (output->file == NULL)
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not open file \"%s\" for writing: %m",
		                       statement->filename)));
}

static void output_open(Output *output, const CopyStmt *statement, int column_count)
{
	if (statement->filename == NULL) {
		if (whereToSendOutput != DestRemote)
			output->file = stdout;
		else
			open_client(column_count, output->options.binary);
	} else if (statement->is_program) {
		output->is_program = true;
		output->file = OpenPipeStream(statement->filename, PG_BINARY_W);
		if (output->file == NULL)
			ereport(ERROR, (errcode_for_file_access(),
			                errmsg("could not execute command \"%s\": %m",
			                       statement->filename)));
	} else {
		open_file(output, statement);
	}
}

static void output_put(const Output *output, const char *bytes, int size_bytes)
{
	if (output->file == NULL) {
		(void)pq_putmessage('d', bytes, size_bytes);
		return;
	}
	if (fwrite(bytes, size_bytes, 1, output->file) == 1)
		return;
	if (output->is_program) {
		int rc = ClosePipeStream(output->file);

		if (errno == EPIPE && rc > 0)
			ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			                errmsg("program failed"),
			                errdetail_internal("%s", wait_result_to_str(rc))));
	}
	ereport(ERROR, (errcode_for_file_access(), errmsg("could not write to COPY file: %m")));
}

static void output_close(Output *output, const CopyStmt *statement)
{
	int rc;

	if (output->file == NULL) {
		pq_putemptymessage('c');
	} else if (output->is_program) {
		rc = ClosePipeStream(output->file);
		if (rc == -1)
			ereport(ERROR, (errcode_for_file_access(),
			                errmsg("could not close pipe to external command: %m")));
		if (rc != 0)
			ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			                errmsg("program \"%s\" failed", statement->filename),
			                errdetail_internal("%s", wait_result_to_str(rc))));
	} else if (statement->filename != NULL && FreeFile(output->file) != 0) {
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not close file \"%s\": %m", statement->filename)));
	}
}

/* ---- what goes there ---- */

static void put_line(const Output *output, const char *line, int size_bytes)
{
	char *converted;

	if (!output->converts) {
		output_put(output, line, size_bytes);
		return;
	}
	converted = pg_server_to_any(line, size_bytes, output->options.file_encoding);
	output_put(output, converted, converted == line ? size_bytes : (int)strlen(converted));
	if (converted != line)
		pfree(converted);
}

static void append_name(StringInfo line, const char *name, const CopyFormatOptions *options)
{
	if (!options->csv_mode ||
	    (strpbrk(name, options->delim) == NULL && strpbrk(name, options->quote) == NULL &&
	     strpbrk(name, "\r\n") == NULL && strcmp(name, options->null_print) != 0)) {
		appendStringInfoString(line, name);
		return;
	}
	appendStringInfoChar(line, options->quote[0]);
	for (; *name != 0; name++) {
		if (*name == options->quote[0] || *name == options->escape[0])
			appendStringInfoChar(line, options->escape[0]);
		appendStringInfoChar(line, *name);
	}
	appendStringInfoChar(line, options->quote[0]);
}

static void put_header(const Output *output, Relation relation, const List *attnums)
{
	StringInfoData line;
	ListCell *cell;

	initStringInfo(&line);
	foreach (cell, attnums) {
		Form_pg_attribute attribute =
		        TupleDescAttr(RelationGetDescr(relation), lfirst_int(cell) - 1);

		if (foreach_current_index(cell) > 0)
			appendStringInfoChar(&line, output->options.delim[0]);
		append_name(&line, NameStr(attribute->attname), &output->options);
	}
	appendStringInfoChar(&line, '\n');
	put_line(output, line.data, line.len);
	pfree(line.data);
}

/* Each segment writes a whole binary file. Its header is a row of its own or stands
 * before its first row; its trailer is a row of 2 bytes. */
static bool binary_row(const char **row, int *size_bytes)
{
	enum { HEADER_BYTES = 19 };

	if (*size_bytes >= HEADER_BYTES && memcmp(*row, "PGCOPY\n\377\r\n\0", 11) == 0) {
		*row += HEADER_BYTES;
		*size_bytes -= HEADER_BYTES;
	}
	return *size_bytes > 0 && !(*size_bytes == 2 && memcmp(*row, "\377\377", 2) == 0);
}

static void put_binary_header(const Output *output)
{
	static const char header[19] = "PGCOPY\n\377\r\n\0";

	output_put(output, header, sizeof(header));
}

static uint64 put_rows(const Output *output)
{
	const char *row;
	int size_bytes;
	uint64 rows = 0;

	while ((row = mpp_copy_get(&size_bytes)) != NULL) {
		if (!output->options.binary) {
			put_line(output, row, size_bytes);
			rows++;
		} else if (binary_row(&row, &size_bytes)) {
			output_put(output, row, size_bytes);
			rows++;
		}
	}
	return rows;
}

static Bitmapset *sources(Relation relation)
{
	if (mpp_distribution_get(RelationGetRelid(relation))->policy == MPP_POLICY_REPLICATED)
		return bms_make_singleton(0);
	return mpp_gang_all();
}

uint64 load_copy_to(ParseState *pstate, const CopyStmt *statement, Relation relation)
{
	Output output = {0};
	List *attnums = CopyGetAttnums(RelationGetDescr(relation), relation, statement->attlist);
	static const MppCopyEvents events;
	uint64 rows;

	if (RelationGetForm(relation)->relkind == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("cannot copy from partitioned table \"%s\"",
		                       RelationGetRelationName(relation)),
		                errhint("Try the COPY (SELECT ...) TO variant.")));
	ProcessCopyOptions(pstate, &output.options, false, statement->options);
	(void)load_copy_check(pstate, statement, relation, attnums);
	if (output.options.file_encoding < 0)
		output.options.file_encoding = pg_get_client_encoding();
	output.converts =
	        !output.options.binary && output.options.file_encoding != GetDatabaseEncoding();
	mpp_copy_begin(sources(relation), load_copy_sql(relation, attnums, false, &output.options),
	               false, &events);
	output_open(&output, statement, list_length(attnums));
	if (output.options.binary)
		put_binary_header(&output);
	else if (output.options.header_line != COPY_HEADER_FALSE)
		put_header(&output, relation, attnums);
	rows = put_rows(&output);
	if (output.options.binary)
		output_put(&output, "\377\377", 2);
	mpp_copy_end(NULL);
	output_close(&output, statement);
	return rows;
}
