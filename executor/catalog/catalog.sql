-- SPDX-License-Identifier: Apache-2.0
-- The cluster and its tables, as SQL sees them. Part of the extension's script.

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION sluice" to load this file. \quit

-- A member of the extension, so that pg_dump leaves it to CREATE EXTENSION.
CREATE SCHEMA sluice;
GRANT USAGE ON SCHEMA sluice TO PUBLIC;
SET LOCAL search_path TO sluice, pg_catalog;

-- The servers of the cluster. Changes reach every database of the coordinator.
CREATE FUNCTION sluice.cluster_members(
	OUT dbid int, OUT content int, OUT role "char", OUT preferred_role "char",
	OUT mode "char", OUT status "char", OUT port int, OUT hostname text,
	OUT address text, OUT datadir text, OUT node text)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'mpp_cluster_members';

CREATE VIEW sluice.segment_configuration AS SELECT * FROM sluice.cluster_members();
GRANT SELECT ON sluice.segment_configuration TO PUBLIC;

CREATE FUNCTION sluice.cluster_change() RETURNS trigger LANGUAGE c
AS 'MODULE_PATHNAME', 'mpp_cluster_change';
CREATE TRIGGER change INSTEAD OF INSERT OR UPDATE OR DELETE ON sluice.segment_configuration
FOR EACH ROW EXECUTE FUNCTION sluice.cluster_change();

-- Content id of the segment that holds the rows with this distribution key.
CREATE FUNCTION sluice.hash_segment(VARIADIC "any") RETURNS int LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'mpp_hash_segment_of';

-- Distributed tables: heap on the segments, an empty shell on the coordinator.
CREATE FUNCTION sluice.tableam_handler(internal) RETURNS table_am_handler LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'mpp_tableam_handler';
CREATE ACCESS METHOD sluice TYPE TABLE HANDLER sluice.tableam_handler;
COMMENT ON ACCESS METHOD sluice IS 'distributed tables';

-- Where the rows of the tables are.
CREATE FUNCTION sluice.distribution_keys(label text) RETURNS text[] LANGUAGE c IMMUTABLE STRICT
AS 'MODULE_PATHNAME', 'mpp_distribution_keys';

CREATE VIEW sluice.distribution AS
SELECT objoid::regclass AS relation, split_part(label, '(', 1) AS policy,
	sluice.distribution_keys(label) AS keys
FROM pg_catalog.pg_seclabel
WHERE provider = 'sluice' AND classoid = 'pg_catalog.pg_class'::regclass AND objsubid = 0;
GRANT SELECT ON sluice.distribution TO PUBLIC;

-- What nodes of one cluster must have in common; asked for at each new connection of
-- the coordinator to a segment.
CREATE FUNCTION sluice.node_identity() RETURNS text LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'mpp_node_identity';
