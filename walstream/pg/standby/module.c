/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.c - stands before PostgreSQL's libpqwalreceiver: loads that by its exact
 * path, wraps its functions, and takes over the stream of a physical connection when
 * the primary agrees. Everything else, and everything on other connections (logical
 * replication), is PostgreSQL's own.
 */
#include <postgres.h>

#include <fmgr.h>
#include <miscadmin.h>
#include <storage/ipc.h>
#include <utils/guc.h>

#include "walstream/pg/standby/standby.h"
#include "walstream/pg/terms.h"

#include <libpq-fe.h>

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

#define RETRY_DOUBLINGS 6

WalReceiverFunctionsType stock;
struct standby standby;

static WalReceiverFunctionsType functions;

const struct walpg_module *standby_module(void)
{
	const struct walpg_module *module = *find_rendezvous_variable(WALPG_RENDEZVOUS);

	return module && module->version == WALPG_MODULE_VERSION ? module : NULL;
}

struct walpg_stat *standby_stat(void)
{
	const struct walpg_module *module = standby_module();

	return module && module->shared ? walpg_receiver_stat(module->shared) : NULL;
}

static void standby_forget(void)
{
	struct walpg_stat *stat = standby_stat();

	receive_end();
	slu_endpoint_detach(standby.endpoint);
	free(standby.conninfo);
	memset(&standby, 0, sizeof(standby));
	if (stat)
		walpg_stat_begin(stat, 0, "", "");
}

/* Whatever ends this process, the agent is to see that it left in order. */
static void forget_at_exit(int code, Datum arg)
{
	standby_forget();
}

static void fall_back(const char *reason)
{
	struct walpg_stat *stat = standby_stat();
	bool news;

	receive_end();
	slu_endpoint_detach(standby.endpoint);
	standby.endpoint = NULL;
	standby.fell_back = true;
	standby.retried_ns = slu_now_ns();
	news = !stat || walpg_stat_fall_back(stat, reason);
	if (standby.mode == WALPG_REQUIRE)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("cannot stream WAL over Sluice: %s", reason),
		                errdetail("sluice.walstream is \"require\".")));
	ereport(news ? WARNING : DEBUG1,
	        (errmsg("streaming WAL over TCP instead of Sluice: %s", reason)));
	if (stat)
		walpg_stat_begin(stat, MyProcPid, "libpq", "");
}

/* libpq's connection is the first member of stock's struct in every 15.x; that it is
 * one shows by the process at its other end. */
PGconn *standby_libpq(WalReceiverConn *conn)
{
	PGconn *libpq = *(PGconn **)conn;

	return PQbackendPID(libpq) == stock.walrcv_get_backend_pid(conn) ? libpq : NULL;
}

static WalReceiverConn *connect_plainly(const char *conninfo, const char *appname, char **err)
{
	standby.conn = stock.walrcv_connect(conninfo, false, appname, err);
	return standby.conn;
}

static WalReceiverConn *wrap_connect(const char *conninfo, bool logical, const char *appname,
                                     char **err)
{
	const struct walpg_module *module = standby_module();
	char reason[WALPG_REASON_BYTES];
	static bool at_exit;

	if (logical || MyBackendType != B_WAL_RECEIVER || !module)
		return stock.walrcv_connect(conninfo, logical, appname, err);
	if (!at_exit)
		before_shmem_exit(forget_at_exit, 0);
	at_exit = true;
	standby_forget();
	standby.mode = module->settings->mode;
	if (standby.mode == WALPG_OFF)
		return connect_plainly(conninfo, appname, err);
	strlcpy(standby.name, appname, sizeof(standby.name));
	standby.conninfo = strdup(conninfo);
	standby.endpoint = walpg_attach(module->settings, "walreceiver", &standby.cluster, reason);
	if (!standby.endpoint) {
		fall_back(reason);
		return connect_plainly(conninfo, appname, err);
	}
	standby.conn = stock.walrcv_connect(negotiate_conninfo(conninfo), false, appname, err);
	if (!standby.conn && strstr(*err, "sluice.walstream_standby")) {
		fall_back("the primary does not take the setting sluice.walstream_standby");
		return connect_plainly(conninfo, appname, err);
	}
	if (standby.conn)
		standby.libpq = standby_libpq(standby.conn);
	return standby.conn;
}

static bool wrap_startstreaming(WalReceiverConn *conn, const WalRcvStreamOptions *options)
{
	char reason[WALPG_REASON_BYTES];
	bool streams;

	if (conn != standby.conn || !standby.endpoint)
		return stock.walrcv_startstreaming(conn, options);
	if (!standby.libpq)
		fall_back("this PostgreSQL's libpqwalreceiver is not known");
	else if (!negotiate_stream(options, reason))
		fall_back(reason);
	streams = stock.walrcv_startstreaming(conn, options);
	if (standby.receiver && streams)
		receive_begin();
	else
		receive_end();
	return streams;
}

static void wrap_endstreaming(WalReceiverConn *conn, TimeLineID *next_timeline)
{
	if (conn == standby.conn)
		receive_end();
	stock.walrcv_endstreaming(conn, next_timeline);
}

/* End in order; the startup process asks for a new walreceiver at once. */
static void reconnect(const char *why)
{
	ereport(LOG, (errmsg("walreceiver reconnects: %s", why)));
	proc_exit(0);
}

/* Ask for Sluice again now and then, ever less often if it then failed after all. */
static void retry(const struct walpg_module *module)
{
	struct walpg_stat *stat = standby_stat();
	uint64_t wait_ns = (uint64_t)module->settings->retry_s * UINT64_C(1000000000);
	uint64_t now_ns = slu_now_ns();

	if (!stat || !wait_ns ||
	    now_ns - standby.retried_ns < wait_ns << Min(walpg_stat_retries(stat), RETRY_DOUBLINGS))
		return;
	standby.retried_ns = now_ns;
	if (!negotiate_probe())
		return;
	walpg_stat_retry(stat);
	reconnect("WAL can stream over Sluice again");
}

static int wrap_receive(WalReceiverConn *conn, char **buffer, pgsocket *wait_fd)
{
	const struct walpg_module *module = standby_module();

	if (conn == standby.conn && standby.mode != module->settings->mode)
		reconnect("sluice.walstream was changed");
	if (conn == standby.conn && standby.fell_back)
		retry(module);
	if (conn != standby.conn || !standby.receiver)
		return stock.walrcv_receive(conn, buffer, wait_fd);
	return receive_next(buffer, wait_fd);
}

static void wrap_send(WalReceiverConn *conn, const char *buffer, int nbytes)
{
	if (conn != standby.conn || !standby.receiver)
		stock.walrcv_send(conn, buffer, nbytes);
	else
		reply_send(buffer, nbytes);
}

static void wrap_disconnect(WalReceiverConn *conn)
{
	if (conn == standby.conn)
		standby_forget();
	stock.walrcv_disconnect(conn);
}

void _PG_init(void)
{
	load_file("$libdir/libpqwalreceiver", false);
	if (!WalReceiverFunctions)
		elog(ERROR, "libpqwalreceiver of PostgreSQL did not initialize");
	stock = *WalReceiverFunctions;
	functions = stock;
	functions.walrcv_connect = wrap_connect;
	functions.walrcv_startstreaming = wrap_startstreaming;
	functions.walrcv_endstreaming = wrap_endstreaming;
	functions.walrcv_receive = wrap_receive;
	functions.walrcv_send = wrap_send;
	functions.walrcv_disconnect = wrap_disconnect;
	WalReceiverFunctions = &functions;
}
