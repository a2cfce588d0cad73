/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h - what the files of this folder share.
 */
#ifndef EXECUTOR_LOAD_LOAD_H
#define EXECUTOR_LOAD_LOAD_H

#include <postgres.h>

#include <commands/copy.h>
#include <fmgr.h>
#include <lib/stringinfo.h>
#include <nodes/execnodes.h>
#include <nodes/parsenodes.h>
#include <parser/parse_node.h>
#include <utils/rel.h>

/* ---- copy_from.c, copy_to.c: COPY of a distributed table ---- */

/* Returns the number of rows. pstate has p_sourcetext set. */
extern uint64 load_copy_from(ParseState *pstate, const CopyStmt *statement, Relation relation);
extern uint64 load_copy_to(ParseState *pstate, const CopyStmt *statement, Relation relation);

/* ---- copy_statement.c: the COPY that runs on the segments ---- */

/* attnums: the columns, as integers. File, HEADER and ENCODING are the QD's. */
extern char *load_copy_sql(Relation relation, const List *attnums, bool is_from,
                           const CopyFormatOptions *options);

/* ERROR unless the user may read or write these columns and the file. Returns the
 * WHERE clause of COPY FROM, ready to be evaluated: an implicit AND, or NIL. */
extern List *load_copy_check(ParseState *pstate, const CopyStmt *statement, Relation relation,
                             const List *attnums);

/* ---- copy_row.c: a row for the stream to a segment ---- */

/* A column that the rows of the file do not have, and whose value the QD computes. */
typedef struct LoadDefault {
	AttrNumber attnum;
	ExprState *expression;
	bool is_sent;    /* with the row; else the segment comes to the same value */
	FmgrInfo output; /* to text, or send in binary format */
} LoadDefault;

typedef struct LoadRow {
	CopyFromState copy;
	List *defaults;      /* of LoadDefault */
	FmgrInfo *send;      /* [columns of the table], binary format */
	const Datum *values; /* [columns of the table]; what is not needed is not set */
	const bool *nulls;
} LoadRow;

extern void load_row_begin(StringInfo out, const LoadRow *row);
extern void load_row_append(StringInfo out, LoadRow *row);
extern void load_row_end(StringInfo out, const LoadRow *row);

/* ---- copy_lines.c: line numbers of the client's file for lines of a stream ---- */

typedef struct LineMap LineMap;

extern LineMap *line_map_make(void);

/* The next record of the stream has these many lines, and begins at line of the file. */
extern void line_map_add(LineMap *map, uint64 line, uint64 line_count);

/* The segment begins to count anew: with the first record after sent of the stream's
 * lines. */
extern void line_map_restart(LineMap *map);

/* What was added so far has been handed over. */
extern void line_map_sent(LineMap *map);

/* Line of the file for a line number of the segment; 0: forgotten. */
extern uint64 line_map_find(const LineMap *map, uint64 segment_line);

#endif
