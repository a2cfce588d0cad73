/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database.c - databases, and this extension in one: what cannot be done in a
 * transaction of all nodes. It is done node by node, and undone where that is
 * possible; else the message says what is left to do.
 */
#include <postgres.h>

#include <access/xact.h>
#include <commands/dbcommands.h>
#include <commands/defrem.h>
#include <libpq-fe.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/resowner.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/ddl/ddl.h"
#include "executor/dispatch/gang.h"

/* One command on one segment, in a transaction of its own. Returns the error, in the
 * current memory context, or NULL. */
static ErrorData *try_on_segment(int content, const char *command)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void)mpp_gang_command(bms_make_singleton(content), command, false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* Leaves the others as they are; what fails is told as a WARNING. */
static void drop_on_segments(const char *name, int count)
{
	char *command = psprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", quote_identifier(name));

	for (int content = 0; content < count; content++) {
		ErrorData *error = try_on_segment(content, command);

		if (error != NULL)
			ereport(WARNING, (errcode(error->sqlerrcode),
			                  errmsg("database \"%s\" remains on segment %d: %s", name,
			                         content, error->message),
			                  errhint("Drop it there in utility mode: "
			                          "PGOPTIONS='-c sluice.session_role=utility'.")));
	}
}

void mpp_create_database(MppCall *call)
{
	const CreatedbStmt *statement = (const CreatedbStmt *)call->statement->utilityStmt;
	char *text = mpp_statement_text(call);
	int segments = mpp_segment_count();

	/* Before anything is made: can all be reached? */
	mpp_gang_require(mpp_gang_all());
	mpp_run_here(call);
	CommandCounterIncrement();
	for (int content = 0; content < segments; content++) {
		ErrorData *error = try_on_segment(content, text);

		if (error == NULL)
			continue;
		drop_on_segments(statement->dbname, content);
		/* Its files would stay if only the transaction were undone. */
		dropdb(statement->dbname, true, false);
		ReThrowError(error);
	}
}

void mpp_drop_database(MppCall *call)
{
	const DropdbStmt *statement = (const DropdbStmt *)call->statement->utilityStmt;

	mpp_gang_require(mpp_gang_all());
	mpp_run_here(call);
	drop_on_segments(statement->dbname, mpp_segment_count());
}

/* ---- the extension itself ---- */

/* There is no gang in a database without the extension. */
static void create_on_segment(const MppSegment *segment, const char *command)
{
	char port[16];
	const char *keywords[] = {"host", "port", "dbname", "user", "options", "connect_timeout",
	                          NULL};
	const char *values[] = {segment->address,
	                        port,
	                        get_database_name(MyDatabaseId),
	                        GetUserNameFromId(GetUserId(), false),
	                        "-c sluice.session_role=utility",
	                        "10",
	                        NULL};
	PGconn *connection;
	PGresult *result;
	char *message = NULL;

	snprintf(port, sizeof(port), "%d", segment->port);
	connection = PQconnectdbParams(keywords, values, 0);
	result = PQstatus(connection) == CONNECTION_OK ? PQexec(connection, command) : NULL;
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		message = pchomp(PQerrorMessage(connection));
	PQclear(result);
	PQfinish(connection);
	if (message != NULL)
		ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
		                errmsg("could not create extension \"sluice\" on segment %d",
		                       segment->content),
		                errdetail_internal("%s", message)));
}

bool mpp_creates_own_extension(const Node *statement)
{
	return IsA(statement, CreateExtensionStmt) &&
	       strcmp(((const CreateExtensionStmt *)statement)->extname, "sluice") == 0;
}

void mpp_create_own_extension(MppCall *call)
{
	const MppCluster *cluster = mpp_segment_count() > 0 ? mpp_cluster_get() : NULL;

	mpp_run_here(call);
	for (int i = 0; cluster != NULL && i < cluster->segment_count; i++)
		create_on_segment(&cluster->segments[i], "CREATE EXTENSION IF NOT EXISTS sluice");
}
