/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ddl.h - what the files of this folder share.
 */
#ifndef EXECUTOR_DDL_DDL_H
#define EXECUTOR_DDL_DDL_H

#include <postgres.h>

#include <libpq-fe.h>
#include <nodes/parsenodes.h>
#include <tcop/utility.h>

#include "executor/catalog/distribution.h"

/* ---- utility.c ---- */

/* A utility statement: the arguments of ProcessUtility_hook. */
typedef struct MppCall {
	PlannedStmt *statement;
	const char *query_string;
	bool read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *environment;
	DestReceiver *destination;
	QueryCompletion *completion;
} MppCall;

/* Run it on this server alone. */
extern void mpp_run_here(const MppCall *call);

/* The parse tree, which may be changed: a copy if plans hold it. */
extern Node *mpp_own_statement(MppCall *call);

/* Text of the statement, without what stands before and after it. */
extern char *mpp_statement_text(const MppCall *call);

/* Run it here, then after, if not NULL, and then on all segments in the same
 * transaction. text NULL: the statement's own. */
extern void mpp_run_everywhere(MppCall *call, const char *text, void (*after)(void *ctx),
                               void *ctx);

/* Run it here, then after; the segments get what after sends, not the text. */
extern void mpp_run_here_and_send(MppCall *call, void (*after)(void *ctx), void *ctx);

/* Have the segments run this, too, after the statement that is being run. */
extern void mpp_send_later(const char *text);

/* Whether the segments have run what the coordinator has: not within statements. */
extern bool mpp_is_sent(void);

/* ---- classify.c ---- */

typedef enum MppStatementKind {
	MPP_STATEMENT_LOCAL,      /* of the session, or sent by somebody else */
	MPP_STATEMENT_EVERYWHERE, /* on all nodes, in the transaction */
	MPP_STATEMENT_EACH_NODE,  /* on all nodes, in a transaction of each */
	MPP_STATEMENT_REFUSED,
} MppStatementKind;

extern MppStatementKind mpp_classify(const Node *statement);

/* Whether this form of REINDEX or CLUSTER begins transactions itself. */
extern bool mpp_needs_own_transaction(const Node *statement);

/* OIDs of the relations that it is about, so far as they exist. */
extern List *mpp_statement_relations(const Node *statement);

/* Whether it makes a temporary object, or drops one by its schema's name. */
extern bool mpp_creates_temporary(const Node *statement);

/* Whether it makes, or is about, temporary objects. ERROR when about others, too. */
extern bool mpp_concerns_temporary(const Node *statement);
extern bool mpp_is_temporary(Oid relid);

/* ---- create_table.c ---- */

/* What CREATE TABLE was asked for, beyond PostgreSQL's own. */
typedef struct MppTableOption {
	bool is_given;
	MppPolicy policy;
	List *columns; /* of String */
} MppTableOption;

/* Take WITH (distributed_by = ...) out of the options of a statement. */
extern void mpp_take_table_option(List **options, MppTableOption *ret_option);

/* CREATE TABLE on the QD: here, with its distribution, and on all segments. */
extern void mpp_create_table(MppCall *call);

/* Have a table that is this server's own made as heap, whatever the default is. */
extern void mpp_make_local(MppCall *call);

/* CREATE TABLE on a QE, which is told the distribution afterwards. */
extern void mpp_create_table_on_segment(MppCall *call);

/* ERROR if a partition bound is not the same wherever it is evaluated. NULL is. */
extern void mpp_check_bound(const PartitionBoundSpec *bound);

/* The relation that CREATE would find in its way, or InvalidOid. Not by the search
 * path, on which a temporary one may come first. */
extern Oid mpp_relation_to_create(const RangeVar *relation);

/* Give a table a distribution on all nodes: its label. */
extern void mpp_label_everywhere(Oid relid, MppPolicy policy, const List *columns);

/* ---- keys.c ---- */

/* Of a distributed table: ERROR unless segments can enforce its unique, exclusion
 * and foreign keys, and unless its parents and children are distributed as it is. */
extern void mpp_check_distribution(Oid relid);

/* Of unique and exclusion keys alone, with a distribution that it may get. */
extern void mpp_check_unique_keys(Oid relid, const MppDistribution *distribution);

/* The same after it was distributed anew: foreign keys of other tables, too. */
extern void mpp_check_new_distribution(Oid relid);

/* Names of the distribution key: List of String. */
extern List *mpp_key_names(Oid relid, const MppDistribution *distribution);

extern List *mpp_parents(Oid relid);

/* ---- create_table_as.c ---- */

extern void mpp_create_table_as(MppCall *call);
extern void mpp_create_table_as_on_segment(MppCall *call);

/* INSERT INTO relid SELECT: the columns (List of TargetEntry of source) go to the
 * first columns of the table. Takes source. */
extern Query *mpp_make_insert(Oid relid, Query *source, const List *columns);

/* Run utility statements, of which text has one or more, as a function would. */
extern void mpp_run_statement(const char *text);

/* ---- alter_table.c ---- */

extern void mpp_alter_table(MppCall *call);
extern void mpp_rename(MppCall *call);
extern void mpp_create_index(MppCall *call);
extern void mpp_create_trigger(MppCall *call);
extern void mpp_alter_table_init(void);

/* Whether there are rows in the table, its partitions or its heirs. */
extern bool mpp_table_is_empty(Oid relid);

/* ---- database.c ---- */

extern void mpp_create_database(MppCall *call);
extern void mpp_drop_database(MppCall *call);

/* CREATE EXTENSION sluice, in a database of the coordinator that has it not yet. */
extern bool mpp_creates_own_extension(const Node *statement);
extern void mpp_create_own_extension(MppCall *call);

/* ---- enum.c ---- */

/* CREATE TYPE ... AS ENUM, ALTER TYPE ... ADD or RENAME VALUE. */
extern void mpp_create_enum(MppCall *call);
extern void mpp_alter_enum(MppCall *call);

/* ---- answers.c ---- */

typedef struct MppAnswers {
	int segment_count;
	PGresult **results; /* [segment_count], values as text */
	MemoryContextCallback release;
} MppAnswers;

/* What each segment answers to a query; until the memory context is reset. */
extern MppAnswers *mpp_ask_segments(const char *query);

/* Name for SQL that is sent, independent of the search path. */
extern char *mpp_qualified_name(Oid relid);

/* ---- sample.c, statistics.c ---- */

/* VACUUM, ANALYZE, and what begins transactions itself. */
extern void mpp_run_on_each_node(MppCall *call);

/* Bring pages and rows in pg_class up to date for these tables and their indexes, as
 * the segments' own pg_class has them; NIL: for all. */
extern void mpp_refresh_sizes(const List *only);

/* Rows of a table by segment, as estimated there. */
extern double *mpp_segment_rows(Oid relid);

extern void mpp_sample_init(void);

/* ---- redistribute.c ---- */

/* Run a query or INSERT as the owner of its tables, from whom policies that a table forces on
 * its owner hide no rows. Returns the number of rows. expected: what SPI is to say. */
extern uint64 mpp_execute_on_all_rows(const char *command, int expected);

/* Give a table, with its partitions, another distribution, and move its rows. */
extern void mpp_redistribute(Oid relid, MppPolicy policy, List *columns);

/* SECURITY LABEL: FOR sluice it is the same. */
extern void mpp_security_label(MppCall *call);

#endif
