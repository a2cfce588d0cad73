/* SPDX-License-Identifier: Apache-2.0 */
\echo Use "CREATE EXTENSION sluice_walstream" to load this file. \quit

CREATE FUNCTION sluice.stat_walstream(
    OUT role text, OUT pid integer, OUT driver text, OUT peer text,
    OUT bytes bigint, OUT frames bigint, OUT stalls bigint, OUT spins bigint, OUT sleeps bigint,
    OUT fallbacks bigint, OUT fallback_reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'sluice_stat_walstream'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

CREATE VIEW sluice.stat_walstream AS SELECT * FROM sluice.stat_walstream();

REVOKE ALL ON FUNCTION sluice.stat_walstream() FROM PUBLIC;
REVOKE ALL ON sluice.stat_walstream FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sluice.stat_walstream() TO pg_monitor;
GRANT SELECT ON sluice.stat_walstream TO pg_monitor;
GRANT USAGE ON SCHEMA sluice TO pg_monitor;
