/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.c - the entry point of sluice_walstream, preloaded in every server that
 * sends or receives WAL over Sluice: its settings and its shared memory.
 */
#include <postgres.h>

#include <fmgr.h>
#include <libpq/auth.h>
#include <libpq/hba.h>
#include <miscadmin.h>
#include <replication/walsender.h>
#include <storage/ipc.h>
#include <storage/lwlock.h>
#include <storage/shmem.h>
#include <utils/guc.h>

#include "walstream/pg/primary/primary.h"
#include "walstream/pg/terms.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

#define RETRY_S_DEFAULT 30
#define SPIN_US_DEFAULT 50
#define SPIN_US_MAX     1000

static struct walpg_settings settings;
struct walpg_module walpg_module = {.version = WALPG_MODULE_VERSION, .settings = &settings};
char *walpg_wish;

/* A setting without a value of its own, shown by a function. */
static char *no_value;

bool walpg_encryption_demanded;

static ClientAuthentication_hook_type next_client_authentication;
static shmem_request_hook_type next_shmem_request;
static shmem_startup_hook_type next_shmem_startup;

static const struct config_enum_entry modes[] = {
        {"off", WALPG_OFF, false},
        {"prefer", WALPG_PREFER, false},
        {"require", WALPG_REQUIRE, false},
        {NULL, 0, false},
};

static Size shared_size(void)
{
	return add_size(offsetof(struct walpg_shared, stats),
	                mul_size(max_wal_senders + 1, sizeof(struct walpg_stat)));
}

static void shmem_request(void)
{
	if (next_shmem_request)
		next_shmem_request();
	RequestAddinShmemSpace(shared_size());
}

static void stat_init(struct walpg_stat *stat)
{
	memset(stat, 0, sizeof(*stat));
	SpinLockInit(&stat->mutex);
	pg_atomic_init_u64(&stat->fallbacks, 0);
	pg_atomic_init_u64(&stat->bytes, 0);
	pg_atomic_init_u64(&stat->frames, 0);
	pg_atomic_init_u64(&stat->stalls, 0);
	pg_atomic_init_u64(&stat->spins, 0);
	pg_atomic_init_u64(&stat->sleeps, 0);
}

static void shmem_startup(void)
{
	struct walpg_shared *shared;
	bool found;

	if (next_shmem_startup)
		next_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("sluice_walstream", shared_size(), &found);
	if (!found) {
		shared->sender_count = max_wal_senders;
		for (int i = 0; i <= max_wal_senders; i++)
			stat_init(&shared->stats[i]);
	}
	LWLockRelease(AddinShmemInitLock);
	walpg_module.shared = shared;
}

/* The line of pg_hba.conf is forgotten once the client is in. */
static void client_authentication(Port *port, int status)
{
	if (next_client_authentication)
		next_client_authentication(port, status);
	walpg_encryption_demanded =
	        port->hba && (port->hba->conntype == ctHostSSL || port->hba->conntype == ctHostGSS);
}

static bool check_cluster_id(char **value, void **extra, GucSource source)
{
	uint64_t cluster;

	if (terms_cluster_read(*value, &cluster))
		return true;
	GUC_check_errdetail("A cluster id is a number from 1 to 18446744073709551615.");
	return false;
}

static void define_settings(void)
{
	DefineCustomIntVariable("sluice.walstream_retry",
	                        "How often a standby that fell back asks for Sluice again.",
	                        "0: not before its next reconnect.", &settings.retry_s,
	                        RETRY_S_DEFAULT, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL,
	                        NULL, NULL);
	settings.mode = WALPG_PREFER;
	DefineCustomEnumVariable(
	        "sluice.walstream", "Whether WAL streams between servers over Sluice.",
	        "\"prefer\" falls back to PostgreSQL's own connection, \"require\" refuses to.",
	        &settings.mode, WALPG_PREFER, modes, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("sluice.walstream_socket", "Socket of the agent of this host.",
	                           "Empty: the agent's default.", &settings.socket, "", PGC_SIGHUP,
	                           GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("sluice.walstream_cluster_id", "Cluster id of the agents.", NULL,
	                           &settings.cluster_id, "1", PGC_SIGHUP, 0, check_cluster_id, NULL,
	                           NULL);
	DefineCustomIntVariable("sluice.walstream_spin_us",
	                        "Longest busy wait for WAL or for an answer.",
	                        "It is used only while it pays off. 0: never.", &settings.spin_us,
	                        SPIN_US_DEFAULT, 0, SPIN_US_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Words that a standby says on its replication connection. They are settings because
 * those are what a walsender lets a client give and show. */
static void define_words(void)
{
	const int flags =
	        GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE;

	DefineCustomStringVariable("sluice.walstream_standby",
	                           "Given by a standby that wants WAL over Sluice.", NULL,
	                           &walpg_wish, "", PGC_BACKEND, flags, NULL, NULL, NULL);
	DefineCustomStringVariable("sluice.walstream_offer",
	                           "Shows a standby the terms of a stream.", NULL, &no_value, "",
	                           PGC_INTERNAL, flags, NULL, NULL, offer_show);
	DefineCustomStringVariable("sluice.walstream_offer_encrypted",
	                           "Shows a standby the terms of a stream that nobody on the "
	                           "network can read.",
	                           NULL, &no_value, "", PGC_INTERNAL, flags, NULL, NULL,
	                           offer_encrypted_show);
	DefineCustomStringVariable("sluice.walstream_accept",
	                           "Shows a standby that its stream is open.", NULL, &no_value, "",
	                           PGC_INTERNAL, flags, NULL, NULL, accept_show);
	DefineCustomStringVariable("sluice.walstream_decline",
	                           "Lets a standby take back its wish for a stream.", NULL,
	                           &no_value, "", PGC_INTERNAL, flags, NULL, NULL, decline_show);
}

void _PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("sluice_walstream must be loaded by shared_preload_libraries")));
	define_settings();
	define_words();
	next_client_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = client_authentication;
	next_shmem_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	next_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
	*find_rendezvous_variable(WALPG_RENDEZVOUS) = &walpg_module;
}
