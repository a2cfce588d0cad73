-- SPDX-License-Identifier: Apache-2.0
-- What the coordinator asks segments for, to know the tables of the cluster.

-- On a segment: a random sample of a table's rows there, in the table's order.
CREATE FUNCTION sluice.sample_rows(relation regclass, row_count int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mpp_sample_rows';

-- Rows and bytes (with indexes and TOAST) of a table by segment; it counts the rows.
CREATE FUNCTION sluice.rows_per_segment(relation regclass, OUT content int, OUT rows bigint,
	OUT bytes bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'mpp_rows_per_segment';

-- Bytes of a table on all segments, with indexes and TOAST.
CREATE FUNCTION sluice.table_size(relation regclass) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'mpp_table_size';

-- How unevenly the rows of a table lie: the fullest segment to the average one.
CREATE FUNCTION sluice.skew(relation regclass) RETURNS numeric
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
AS $$
	SELECT round(max(rows) / nullif(avg(rows), 0), 3) FROM sluice.rows_per_segment(relation)
$$;

-- The distributed tables, with rows and bytes as of the last ANALYZE or VACUUM.
CREATE VIEW sluice.distributed_tables AS
SELECT d.relation, n.nspname AS schema, c.relname AS name,
	CASE c.relkind WHEN 'p' THEN 'partitioned table' ELSE 'table' END AS kind,
	d.policy, d.keys, nullif(c.reltuples, -1)::bigint AS estimated_rows,
	greatest(c.relpages, 0) * pg_catalog.current_setting('block_size')::bigint AS estimated_bytes,
	pg_catalog.pg_get_userbyid(c.relowner) AS owner
FROM sluice.distribution d
JOIN pg_catalog.pg_class c ON c.oid = d.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;
GRANT SELECT ON sluice.distributed_tables TO PUBLIC;

-- On a segment, by the coordinator: makes the labels of an enum like those there.
CREATE FUNCTION sluice.set_enum_labels(type regtype, oids oid[], orders real[], labels text[])
RETURNS void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'mpp_set_enum_labels';
