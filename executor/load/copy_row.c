/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_row.c - rows as segments read them. In text and CSV a row is the line of the
 * file as it is, with the values of defaults behind it; in binary format it is made
 * from the values.
 */
#include <postgres.h>

#include <commands/copyfrom_internal.h>
#include <libpq/pqformat.h>

#include "executor/load/load.h"

static const char binary_signature[11] = "PGCOPY\n\377\r\n\0";

void load_row_begin(StringInfo out, const LoadRow *row)
{
	if (!row->copy->opts.binary)
		return;
	appendBinaryStringInfo(out, binary_signature, sizeof(binary_signature));
	pq_sendint32(out, 0); /* flags */
	pq_sendint32(out, 0); /* length of the header's extension */
}

void load_row_end(StringInfo out, const LoadRow *row)
{
	if (row->copy->opts.binary)
		pq_sendint16(out, -1);
}

static void append_escaped(StringInfo out, const char *value, const CopyFormatOptions *options)
{
	static const char names[] = "bfnrtv";
	static const char codes[] = "\b\f\n\r\t\v";
	char delimiter = options->delim[0];

	/* NULL is what reads so before escapes are taken away. */
	if (*value != 0 && strcmp(value, options->null_print) == 0)
		appendStringInfo(out, "\\x%02x", (unsigned char)*value++);
	for (; *value != 0; value++) {
		const char *code = strchr(codes, *value);

		if (code != NULL)
			appendStringInfo(out, "\\%c", names[code - codes]);
		else if (*value == '\\' || *value == delimiter)
			appendStringInfo(out, "\\%c", *value);
		else
			appendStringInfoChar(out, *value);
	}
}

/* Always quoted, so that it is not taken for NULL. */
static void append_quoted(StringInfo out, const char *value, char quote, char escape)
{
	appendStringInfoChar(out, quote);
	for (; *value != 0; value++) {
		if (*value == quote || *value == escape)
			appendStringInfoChar(out, escape);
		appendStringInfoChar(out, *value);
	}
	appendStringInfoChar(out, quote);
}

static void append_default(StringInfo out, LoadRow *row, LoadDefault *column)
{
	const CopyFormatOptions *options = &row->copy->opts;
	char *value;

	appendStringInfoChar(out, options->delim[0]);
	if (row->nulls[column->attnum - 1]) {
		appendBinaryStringInfo(out, options->null_print, options->null_print_len);
		return;
	}
	value = OutputFunctionCall(&column->output, row->values[column->attnum - 1]);
	if (options->csv_mode)
		append_quoted(out, value, options->quote[0], options->escape[0]);
	else
		append_escaped(out, value, options);
}

static void append_line(StringInfo out, LoadRow *row)
{
	const StringInfoData *line = &row->copy->line_buf;
	int length = line->len;
	int backslashes = 0;
	ListCell *cell;

	/* At the end of a file that ends within an escape; PostgreSQL drops it. */
	if (!row->copy->opts.csv_mode) {
		while (backslashes < length && line->data[length - 1 - backslashes] == '\\')
			backslashes++;
		length -= backslashes % 2;
	}
	appendBinaryStringInfo(out, line->data, length);
	foreach (cell, row->defaults) {
		LoadDefault *column = lfirst(cell);

		if (column->is_sent)
			append_default(out, row, column);
	}
	appendStringInfoChar(out, '\n');
}

static void append_datum(StringInfo out, FmgrInfo *send, Datum value, bool is_null)
{
	bytea *bytes;

	if (is_null) {
		pq_sendint32(out, -1);
		return;
	}
	bytes = SendFunctionCall(send, value);
	pq_sendint32(out, VARSIZE(bytes) - VARHDRSZ);
	appendBinaryStringInfo(out, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
}

static void append_binary(StringInfo out, LoadRow *row)
{
	int count_at = out->len;
	int count = 0;
	uint16 count_net;
	ListCell *cell;

	pq_sendint16(out, 0);
	foreach (cell, row->copy->attnumlist) {
		int i = lfirst_int(cell) - 1;

		append_datum(out, &row->send[i], row->values[i], row->nulls[i]);
		count++;
	}
	foreach (cell, row->defaults) {
		LoadDefault *column = lfirst(cell);
		int i = column->attnum - 1;

		if (!column->is_sent)
			continue;
		append_datum(out, &column->output, row->values[i], row->nulls[i]);
		count++;
	}
	count_net = pg_hton16(count);
	memcpy(out->data + count_at, &count_net, sizeof(count_net));
}

void load_row_append(StringInfo out, LoadRow *row)
{
	if (row->copy->opts.binary)
		append_binary(out, row);
	else
		append_line(out, row);
}
